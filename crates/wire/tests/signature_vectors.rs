//! SigV4 verification against AWS's public vectors: the general test suite and the worked examples of the S3 API reference.

use http::Request;
use http::request::Parts;
use serde::Deserialize;
use towpath_wire::signature::{Payload, Verifier, parse, sha256_hex, signing_key};

#[derive(Deserialize)]
struct Case {
    name: String,
    request: String,
    authorization: String,
}

const SUITE_SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// 2015-08-30T12:36:00Z.
const SUITE_NOW: i64 = 1_440_938_160;
/// A space cannot be in a request line that an HTTP parser accepts.
const NOT_HTTP: &[&str] = &["get-space"];

/// The head of a raw request and its body.
fn read(case: &Case) -> (Parts, String) {
    let unfolded = case.request.replace("\n ", " ");
    let (head, body) = unfolded.split_once("\n\n").unwrap_or((unfolded.as_str(), ""));
    let mut lines = head.lines();
    let line: Vec<&str> = lines.next().expect("a request line").split(' ').collect();
    let mut builder = Request::builder().method(line[0]).uri(line[1]);
    for header in lines {
        let (name, value) = header.split_once(':').expect("a header");
        builder = builder.header(name, value);
    }
    let request = builder.header("authorization", &case.authorization).body(()).expect("a request");
    (request.into_parts().0, body.to_owned())
}

#[test]
fn the_general_suite_verifies() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("vectors/aws4_testsuite.json")).expect("the vectors");
    assert_eq!(cases.len(), 34);
    let verifier = Verifier::new();
    for case in cases.iter().filter(|case| !NOT_HTTP.contains(&case.name.as_str())) {
        let (parts, body) = read(case);
        let parsed = parse(&parts).expect(&case.name).expect("signed");
        assert_eq!(
            (parsed.scope.access_key.as_ref(), parsed.scope.region.as_ref(), parsed.scope.service.as_ref()),
            ("AKIDEXAMPLE", "us-east-1", "service")
        );
        let hash = sha256_hex(body.as_bytes());
        let verdict = verifier.verify(&parsed, SUITE_SECRET, &parts, &hash, SUITE_NOW);
        assert_eq!(verdict, Ok(()), "{}", case.name);
        let error = verifier.verify(&parsed, "another secret", &parts, &hash, SUITE_NOW).expect_err("another key");
        assert_eq!((error.code.as_ref(), error.status), ("InvalidSignatureException", 400), "{}", case.name);
        let other = sha256_hex(b"another body");
        assert!(verifier.verify(&parsed, SUITE_SECRET, &parts, &other, SUITE_NOW).is_err(), "{}", case.name);
    }
}

#[test]
fn the_documented_signing_key_is_derived() {
    let key = signing_key(SUITE_SECRET, "20150830", "us-east-1", "iam");
    let documented = "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9";
    assert_eq!(hex::encode(key), documented);
}

const S3_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// 2013-05-24T00:00:00Z.
const S3_NOW: i64 = 1_369_353_600;
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn s3(method: &str, uri: &str, headers: &[(&str, &str)], signed: &str, signature: &str) -> Parts {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders={signed},\
         Signature={signature}"
    );
    let mut builder = Request::builder().method(method).uri(uri).header("authorization", authorization);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(()).expect("a request").into_parts().0
}

fn verify_s3(parts: &Parts) {
    let parsed = parse(parts).expect("well formed").expect("signed");
    let Payload::Literal(hash) = parsed.payload(parts).expect("stated") else { panic!("S3 states its payload hash") };
    assert_eq!(Verifier::new().verify(&parsed, S3_SECRET, parts, &hash, S3_NOW), Ok(()), "{}", parts.uri);
}

#[test]
fn the_s3_header_examples_verify() {
    let host = ("host", "examplebucket.s3.amazonaws.com");
    let date = ("x-amz-date", "20130524T000000Z");
    let empty = ("x-amz-content-sha256", EMPTY);
    verify_s3(&s3(
        "GET",
        "/test.txt",
        &[host, date, empty, ("range", "bytes=0-9")],
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ));
    let body = sha256_hex(b"Welcome to Amazon S3.");
    verify_s3(&s3(
        "PUT",
        "/test$file.text",
        &[
            host,
            date,
            ("x-amz-content-sha256", &body),
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ],
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ));
    let signed = "host;x-amz-content-sha256;x-amz-date";
    let headers = [host, date, empty];
    let lifecycle = "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543";
    verify_s3(&s3("GET", "/?lifecycle", &headers, signed, lifecycle));
    let list = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";
    verify_s3(&s3("GET", "/?max-keys=2&prefix=J", &headers, signed, list));
}

#[test]
fn the_s3_streaming_seeds_verify() {
    verify_s3(&s3(
        "PUT",
        "/examplebucket/chunkObject.txt",
        &[
            ("host", "s3.amazonaws.com"),
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            ("content-encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", "66560"),
            ("content-length", "66824"),
        ],
        "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    ));
    verify_s3(&s3(
        "PUT",
        "/examplebucket/chunkObject.txt",
        &[
            ("host", "s3.amazonaws.com"),
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"),
            ("content-encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", "66560"),
            ("x-amz-trailer", "x-amz-checksum-crc32c"),
        ],
        "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    ));
}

#[test]
fn the_s3_presigned_example_verifies_for_its_day() {
    let uri = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3\
               %2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=\
               aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    let request = Request::get(uri).header("host", "examplebucket.s3.amazonaws.com").body(()).expect("a request");
    let parts = request.into_parts().0;
    verify_s3(&parts);
    let parsed = parse(&parts).expect("well formed").expect("signed");
    assert!(parsed.is_presigned());
    let at = |now| parsed.check_time(now).map_err(|error| (error.code.into_owned(), error.message));
    assert_eq!(at(S3_NOW + 86_400), Ok(()));
    let denied = |message: &str| Err(("AccessDenied".to_owned(), message.to_owned()));
    assert_eq!(at(S3_NOW + 86_401), denied("Request has expired"));
    assert_eq!(at(S3_NOW - 901), denied("Request is not yet valid"));
}
