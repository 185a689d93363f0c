//! Every way in which authentication fails, with the exact code, status and text.

use http::Request;
use http::request::{Builder, Parts};
use towpath_wire::WireError;
use towpath_wire::signature::{Parsed, Payload, Verifier, parse, wrong_region, wrong_service};

/// 2015-08-30T12:36:00Z.
const NOW: i64 = 1_440_938_160;
const SIGNATURE: &str = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";

fn parts(builder: Builder) -> Parts {
    builder.body(()).expect("a request").into_parts().0
}

fn json() -> Builder {
    Request::post("/").header("host", "localhost:7400").header("x-amz-target", "CodePipeline_20150709.ListPipelines")
}

fn query() -> Builder {
    Request::post("/").header("host", "localhost:7400").header("content-type", "application/x-www-form-urlencoded")
}

fn s3() -> Builder {
    Request::get("/bucket/key").header("host", "localhost:7400").header("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
}

fn authorization(service: &str, signed_headers: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/{service}/aws4_request, \
         SignedHeaders={signed_headers}, Signature={SIGNATURE}"
    )
}

fn signed(builder: Builder, service: &str, signed_headers: &str) -> Parts {
    let header = authorization(service, signed_headers);
    parts(builder.header("authorization", header).header("x-amz-date", "20150830T123600Z"))
}

fn refused(parts: &Parts) -> (String, u16, String) {
    triple(parse(parts).expect_err("must be refused"))
}

fn triple(error: WireError) -> (String, u16, String) {
    (error.code.into_owned(), error.status, error.message)
}

fn expected(code: &str, status: u16, message: &str) -> (String, u16, String) {
    (code.to_owned(), status, message.to_owned())
}

fn verdict(parts: &Parts, now: i64) -> WireError {
    let parsed: Parsed<'_> = parse(parts).expect("well formed").expect("signed");
    Verifier::new().verify(&parsed, "secret", parts, "UNSIGNED-PAYLOAD", now).expect_err("must be refused")
}

#[test]
fn other_schemes_and_none_are_anonymous() {
    assert!(parse(&parts(json())).expect("anonymous").is_none());
    assert!(parse(&parts(json().header("authorization", "Basic dTpw"))).expect("not AWS's").is_none());
    assert!(parse(&parts(Request::get("/?Action=x&y"))).expect("anonymous").is_none());
}

#[test]
fn a_header_that_cannot_be_taken_apart_is_incomplete() {
    let header = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/codepipeline/aws4_request, Signature=abc";
    assert_eq!(
        refused(&parts(json().header("authorization", header))),
        expected(
            "IncompleteSignatureException",
            400,
            "Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either \
             a 'X-Amz-Date' or a 'Date' header. Authorization=AWS4-HMAC-SHA256 \
             Credential=AKIDEXAMPLE/20150830/us-east-1/codepipeline/aws4_request, Signature=****"
        )
    );
    let header = "AWS4-HMAC-SHA256 Credential, Signature=abc, SignedHeaders=host";
    assert_eq!(
        refused(&parts(query().header("authorization", header))),
        expected(
            "IncompleteSignature",
            400,
            "'Credential' not a valid key=value pair (missing equal-sign) in Authorization header: 'AWS4-HMAC-SHA256 \
             Credential, Signature=****, SignedHeaders=host'."
        )
    );
    assert_eq!(
        refused(&parts(s3().header("authorization", "AWS4-HMAC-SHA256 "))),
        expected(
            "AuthorizationHeaderMalformed",
            400,
            "The authorization header is malformed; the authorization header requires three components: Credential, \
             SignedHeaders, and Signature."
        )
    );
}

#[test]
fn a_credential_has_five_parts_and_the_terminator() {
    let with = |credential: &str| {
        format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature={SIGNATURE}")
    };
    assert_eq!(
        refused(&parts(json().header("authorization", with("AKID/20150830/us-east-1")))),
        expected(
            "IncompleteSignatureException",
            400,
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got \
             'AKID/20150830/us-east-1'"
        )
    );
    assert_eq!(refused(&parts(json().header("authorization", with("/20150830/r/codepipeline/aws4_request")))).1, 400);
    assert_eq!(refused(&parts(json().header("authorization", with("a/b/c/d/e/f")))).0, "IncompleteSignatureException");
    assert_eq!(
        refused(&parts(s3().header("authorization", with("AKID")))),
        expected(
            "AuthorizationHeaderMalformed",
            400,
            "The authorization header is malformed; the Credential is mal-formed; expecting \
             \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"."
        )
    );
    assert_eq!(
        refused(&parts(json().header("authorization", with("AKID/20150830/us-east-1/iam/aws5")))),
        expected("SignatureDoesNotMatch", 403, "Credential should be scoped with a valid terminator: 'aws4_request'")
    );
}

#[test]
fn only_one_algorithm_and_one_place_are_accepted() {
    let header = "AWS4-ECDSA-P256-SHA256 Credential=a";
    assert_eq!(
        refused(&parts(s3().header("authorization", header))),
        expected(
            "InvalidRequest",
            400,
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
        )
    );
    assert_eq!(refused(&parts(s3().header("authorization", "AWS AKID:sig"))).0, "InvalidRequest");
    assert_eq!(refused(&parts(json().header("authorization", header))).0, "IncompleteSignatureException");
    let both = Request::get("/b/k?X-Amz-Signature=x").header("authorization", authorization("s3", "host"));
    assert_eq!(refused(&parts(both)).0, "InvalidArgument");
}

#[test]
fn a_date_is_needed_and_must_agree_with_the_scope() {
    let without = parts(s3().header("authorization", authorization("s3", "host")));
    assert_eq!(
        refused(&without),
        expected("AccessDenied", 403, "AWS authentication requires a valid Date or x-amz-date header")
    );
    let bad = parts(json().header("authorization", authorization("codepipeline", "host")).header("x-amz-date", "now"));
    assert_eq!(refused(&bad).0, "IncompleteSignatureException");
    let header = authorization("codepipeline", "host").replace("20150830", "20150829");
    let other_day = parts(json().header("authorization", header).header("x-amz-date", "20150830T123600Z"));
    assert_eq!(
        triple(verdict(&other_day, NOW)),
        expected(
            "InvalidSignatureException",
            400,
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP"
        )
    );
    let date_header = json()
        .header("authorization", authorization("codepipeline", "date;host;x-amz-target"))
        .header("date", "Sun, 30 Aug 2015 12:36:00 GMT");
    let date_header = parts(date_header);
    assert_eq!(parse(&date_header).expect("well formed").expect("signed").signed_at(), NOW);
}

#[test]
fn clocks_may_differ_by_minutes() {
    let json = signed(json(), "codepipeline", "host;x-amz-date;x-amz-target");
    assert_eq!(
        triple(verdict(&json, NOW + 301)),
        expected(
            "InvalidSignatureException",
            400,
            "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)"
        )
    );
    assert_eq!(
        triple(verdict(&json, NOW - 301)),
        expected(
            "InvalidSignatureException",
            400,
            "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)"
        )
    );
    let iam = signed(query(), "iam", "content-type;host;x-amz-date");
    assert_eq!(
        triple(verdict(&iam, NOW + 901)),
        expected(
            "SignatureDoesNotMatch",
            403,
            "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T125101Z - 15 min.)"
        )
    );
    let s3 = signed(s3(), "s3", "host;x-amz-content-sha256;x-amz-date");
    let error = verdict(&s3, NOW + 901);
    assert_eq!(
        error.extra,
        [
            ("RequestTime", "20150830T123600Z".to_owned()),
            ("ServerTime", "2015-08-30T12:51:01Z".to_owned()),
            ("MaxAllowedSkewMilliseconds", "900000".to_owned())
        ]
    );
    assert_eq!(
        triple(error),
        expected(
            "RequestTimeTooSkewed",
            403,
            "The difference between the request time and the current time is too large."
        )
    );
    assert_eq!(verdict(&s3, NOW + 900).code, "SignatureDoesNotMatch", "the edge of the window is inside");
}

#[test]
fn a_signature_that_differs_is_told_apart_only_for_s3() {
    let json = signed(json(), "codepipeline", "host;x-amz-date;x-amz-target");
    let error = verdict(&json, NOW);
    assert!(error.extra.is_empty());
    assert_eq!(
        triple(error),
        expected(
            "InvalidSignatureException",
            400,
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
             Key and signing method. Consult the service documentation for details."
        )
    );
    let s3 = signed(s3(), "s3", "host;x-amz-content-sha256;x-amz-date");
    let error = verdict(&s3, NOW);
    let extra = |name: &str| error.extra.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
    assert_eq!(extra("AWSAccessKeyId"), Some("AKIDEXAMPLE"));
    assert_eq!(extra("SignatureProvided"), Some(SIGNATURE));
    assert_eq!(
        extra("CanonicalRequest"),
        Some(
            "GET\n/bucket/key\n\nhost:localhost:7400\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:20150830T123600Z\n\n\
             host;x-amz-content-sha256;x-amz-date\nUNSIGNED-PAYLOAD"
        )
    );
    assert!(
        extra("StringToSign").expect("shown").starts_with("AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/s3/")
    );
    assert!(extra("CanonicalRequestBytes").expect("shown").starts_with("47 45 54 0a 2f"));
    assert_eq!(
        (error.code.as_ref(), error.status, error.message.as_str()),
        (
            "SignatureDoesNotMatch",
            403,
            "The request signature we calculated does not match the signature you provided. Check your key and signing method."
        )
    );
}

#[test]
fn the_host_and_every_amz_header_must_be_covered() {
    let error = verdict(&signed(json(), "codepipeline", "x-amz-date;x-amz-target"), NOW);
    assert_eq!(error.message, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.");
    let error = verdict(&signed(json(), "codepipeline", "host;x-amz-date"), NOW);
    assert_eq!(error.message, "'x-amz-target' must be a 'SignedHeader' in the AWS Authorization.");
    let s3 = signed(s3().header("x-amz-acl", "public-read"), "s3", "host;x-amz-date");
    let error = verdict(&s3, NOW);
    assert_eq!(error.extra, [("HeadersNotSigned", "x-amz-acl".to_owned())]);
    assert_eq!(
        triple(error),
        expected("AccessDenied", 403, "There were headers present in the request which were not signed")
    );
}

#[test]
fn a_presigned_query_is_checked_part_by_part() {
    let url = |expires: &str| {
        format!(
            "/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20150830%2Fus-east-1%2Fs3%2Faws4_request\
             &X-Amz-Date=20150830T123600Z&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host&X-Amz-Signature={SIGNATURE}"
        )
    };
    let text = |url: String| refused(&parts(Request::get(url).header("host", "h")));
    let error = |message: &str| expected("AuthorizationQueryParametersError", 400, message);
    assert_eq!(
        text(url("604801")),
        error(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds"
        )
    );
    assert_eq!(text(url("-1")), error("X-Amz-Expires must be non-negative"));
    assert_eq!(text(url("soon")), error("X-Amz-Expires should be a number"));
    let all = error(
        "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, \
         X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
    );
    for part in [
        "X-Amz-Algorithm=",
        "X-Amz-Credential=",
        "X-Amz-Date=",
        "X-Amz-Expires=",
        "X-Amz-SignedHeaders=",
        "X-Amz-Signature=",
    ] {
        assert_eq!(text(url("60").replace(part, "ignored=")), all, "{part}");
    }
    let parts = parts(Request::get(url("60")).header("host", "h"));
    let parsed = parse(&parts).expect("well formed").expect("signed");
    assert_eq!(parsed.payload(&parts), Ok(Payload::Literal("UNSIGNED-PAYLOAD".into())));
    let error = parsed.check_time(NOW + 61).expect_err("over");
    assert_eq!(
        error.extra,
        [
            ("X-Amz-Expires", "60".to_owned()),
            ("Expires", "2015-08-30T12:37:00Z".to_owned()),
            ("ServerTime", "2015-08-30T12:37:01Z".to_owned())
        ]
    );
}

#[test]
fn a_presigned_url_of_another_service_lives_fifteen_minutes_at_most() {
    let url = "/?Action=GetCallerIdentity&X-Amz-Algorithm=AWS4-HMAC-SHA256\
               &X-Amz-Credential=AKID%2F20150830%2Fus-east-1%2Fsts%2Faws4_request&X-Amz-Date=20150830T123600Z\
               &X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=00&X-Amz-Security-Token=a%2Fb";
    let parts = parts(Request::get(url).header("host", "h"));
    let parsed = parse(&parts).expect("well formed").expect("signed");
    assert_eq!(parsed.token.as_deref(), Some("a/b"));
    assert_eq!(parsed.payload(&parts), Ok(Payload::Body));
    assert_eq!(parsed.check_time(NOW + 900), Ok(()));
    let error = parsed.check_time(NOW + 901).expect_err("over");
    assert_eq!((error.code.as_ref(), error.status), ("SignatureDoesNotMatch", 403));
}

#[test]
fn s3_states_its_payload() {
    let payload = |value: Option<&str>| {
        let mut builder = Request::get("/b/k").header("host", "h");
        if let Some(value) = value {
            builder = builder.header("x-amz-content-sha256", value);
        }
        let parts = signed(builder, "s3", "host;x-amz-date");
        let parsed = parse(&parts).expect("well formed").expect("signed");
        parsed.payload(&parts).map(|payload| format!("{payload:?}")).map_err(triple)
    };
    let missing = "Missing required header for this request: x-amz-content-sha256";
    assert_eq!(payload(None), Err(expected("InvalidRequest", 400, missing)));
    let mode = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    assert_eq!(payload(Some(mode)), Ok(format!("Literal(\"{mode}\")")));
    for wrong in ["", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", &SIGNATURE.to_uppercase(), "abc"] {
        assert_eq!(payload(Some(wrong)).expect_err("refused").0, "InvalidArgument", "{wrong}");
    }
}

#[test]
fn an_upper_case_signature_is_none() {
    let header = authorization("codepipeline", "host;x-amz-date;x-amz-target").replace(SIGNATURE, &"F".repeat(64));
    let upper = parts(json().header("authorization", header).header("x-amz-date", "20150830T123600Z"));
    assert_eq!(verdict(&upper, NOW).code, "InvalidSignatureException");
    let header = authorization("codepipeline", "host;x-amz-date;x-amz-target").replace(SIGNATURE, "zz");
    let garbage = parts(json().header("authorization", header).header("x-amz-date", "20150830T123600Z"));
    assert_eq!(verdict(&garbage, NOW).code, "InvalidSignatureException");
}

#[test]
fn scopes_for_somewhere_else_have_their_words() {
    use towpath_wire::Dialect;
    let region = |dialect| triple(wrong_region(dialect, "eu-west-1", "us-east-1"));
    assert_eq!(
        region(Dialect::Json),
        expected("InvalidSignatureException", 400, "Credential should be scoped to a valid region, not 'eu-west-1'. ")
    );
    assert_eq!(
        region(Dialect::S3),
        expected(
            "AuthorizationHeaderMalformed",
            400,
            "The authorization header is malformed; the region 'eu-west-1' is wrong; expecting 'us-east-1'"
        )
    );
    assert_eq!(
        triple(wrong_service(Dialect::Query, "sts", "iam")),
        expected("SignatureDoesNotMatch", 403, "Credential should be scoped to correct service: 'iam'. ")
    );
}
