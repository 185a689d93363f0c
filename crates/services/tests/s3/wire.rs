//! Requests as no SDK sends them: tampered with, chunked by hand, of forms that are not embedded.

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use sha2::{Digest as _, Sha256};
use towpath_services::s3::S3Service;

use crate::support::*;

pub const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const SIGNED_CHUNKS: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const SIGNED_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

pub struct Signed {
    pub request: http::request::Builder,
    key: Vec<u8>,
    scope: String,
    date: String,
    seed: String,
}

/// Signs a request of the owner by hand.
pub fn sign(method: &Method, host: &str, path: &str, payload: &str, headers: &[(&str, &str)]) -> Signed {
    let since = clock()().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let time = aws_sdk_s3::primitives::DateTime::from_secs(i64::try_from(since).unwrap());
    let date = time.fmt(aws_sdk_s3::primitives::DateTimeFormat::DateTime).unwrap().replace(['-', ':'], "");
    let day = &date[..8];
    let mut all = vec![("host", host), ("x-amz-content-sha256", payload), ("x-amz-date", date.as_str())];
    all.extend_from_slice(headers);
    all.sort_unstable();
    let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
    let canonical: String = all.iter().flat_map(|(name, value)| [*name, ":", *value, "\n"]).collect();
    let (path_only, query) = path.split_once('?').unwrap_or((path, ""));
    let query = if query.is_empty() || query.contains('=') { query.to_owned() } else { format!("{query}=") };
    let canonical = format!("{method}\n{path_only}\n{query}\n{canonical}\n{}\n{payload}", names.join(";"));
    let scope = format!("{day}/us-east-1/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
    let key = hmac(b"AWS4owner-secret", day);
    let key = hmac(&hmac(&hmac(&key, "us-east-1"), "s3"), "aws4_request");
    let seed = hex::encode(hmac(&key, &text));
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in &all {
        request = request.header(*name, *value);
    }
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential=AKIAOWNER/{scope}, SignedHeaders={}, Signature={seed}", names.join(";"));
    Signed { request: request.header("authorization", authorization), key, scope, date: date.clone(), seed }
}

impl Signed {
    /// The signature of a trailer line that follows the chunk signed `previous`.
    fn trailer(&self, previous: &str, line: &str) -> String {
        let text = format!(
            "AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{previous}\n{}",
            self.date,
            self.scope,
            hex::encode(Sha256::digest(format!("{line}\n")))
        );
        hex::encode(hmac(&self.key, &text))
    }

    /// A body of chunks, each signed over the one before.
    fn chunks(&self, pieces: &[&[u8]]) -> Vec<u8> {
        let mut previous = self.seed.clone();
        let mut out = Vec::new();
        for piece in pieces {
            let text = format!(
                "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{previous}\n{}\n{}",
                self.date,
                self.scope,
                hex::encode(Sha256::digest(b"")),
                hex::encode(Sha256::digest(piece))
            );
            previous = hex::encode(hmac(&self.key, &text));
            out.extend_from_slice(format!("{:x};chunk-signature={previous}\r\n", piece.len()).as_bytes());
            out.extend_from_slice(piece);
            out.extend_from_slice(b"\r\n");
        }
        out
    }
}

pub async fn send<S>(service: &S3Service, request: http::request::Builder, body: S) -> (u16, String)
where
    S: Stream<Item = Bytes> + Send + 'static,
{
    let body = StreamBody::new(body.map(|piece| Ok::<_, std::convert::Infallible>(Frame::data(piece))));
    let response = service.handle(request.body(body).unwrap()).await;
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&bytes).into_owned())
}

async fn send_bytes(service: &S3Service, request: http::request::Builder, body: Vec<u8>) -> (u16, String) {
    let request = if body.is_empty() { request.header("content-length", "0") } else { request };
    // In small pieces, so that every boundary falls inside something.
    let pieces: Vec<Bytes> = body.chunks(7).map(Bytes::copy_from_slice).collect();
    send(service, request, futures::stream::iter(pieces)).await
}

fn put_signed(payload: &str, extra: &[(&str, &str)]) -> Signed {
    sign(&Method::PUT, "localhost", "/wire/k", payload, extra)
}

#[tokio::test]
async fn a_body_that_was_tampered_with_is_refused_and_forgotten() {
    let server = Server::start().await;
    let client = server.bucket("wire").await;
    let digest = hex::encode(Sha256::digest(b"honest"));
    let (status, _) =
        send_bytes(&server.service, put_signed(&digest, &[]).request.header("content-length", "6"), b"honest".to_vec())
            .await;
    assert_eq!(status, 200);
    let tampered = put_signed(&digest, &[]).request.header("content-length", "6");
    let (status, answer) = send_bytes(&server.service, tampered, b"fraud!".to_vec()).await;
    assert_eq!(status, 400);
    assert!(answer.contains("<Code>XAmzContentSHA256Mismatch</Code>"), "{answer}");
    let short = put_signed(&digest, &[]).request.header("content-length", "6");
    let (status, answer) = send_bytes(&server.service, short, b"hone".to_vec()).await;
    assert!(status == 400 && answer.contains("<Code>IncompleteBody</Code>"), "{answer}");
    let long = put_signed(&digest, &[]).request.header("content-length", "6");
    let (status, answer) = send_bytes(&server.service, long, b"honest and more".to_vec()).await;
    assert!(status == 400 && answer.contains("<Code>IncompleteBody</Code>"), "{answer}");
    assert_eq!(text(&client, "wire", "k").await, "honest");
    assert_eq!((server.files(), server.drafts()), (1, 0));

    // Documents too.
    let document = b"<Delete><Object><Key>k</Key></Object></Delete>";
    let digest = hex::encode(Sha256::digest(document));
    let delete = || {
        sign(&Method::POST, "localhost", "/wire?delete", &digest, &[]).request.header("content-length", document.len())
    };
    let other = String::from_utf8_lossy(document).replace("k<", "x<").into_bytes();
    let (status, answer) = send_bytes(&server.service, delete(), other).await;
    assert!(status == 400 && answer.contains("XAmzContentSHA256Mismatch"), "{answer}");
    let (status, answer) = send_bytes(&server.service, delete(), document.to_vec()).await;
    assert!(status == 200 && answer.contains("<Key>k</Key>"), "{answer}");
}

#[tokio::test]
async fn signed_chunks_are_a_chain() {
    let server = Server::start().await;
    let client = server.bucket("wire").await;
    let length = [("content-encoding", "aws-chunked"), ("x-amz-decoded-content-length", "11")];
    let signed = put_signed(SIGNED_CHUNKS, &length);
    let body = signed.chunks(&[b"hello ", b"world", b""]);
    let (status, answer) = send_bytes(&server.service, signed.request, body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(text(&client, "wire", "k").await, "hello world");
    let head = client.head_object().bucket("wire").key("k").send().await.unwrap();
    assert_eq!(head.content_encoding(), None);

    let signed = put_signed(SIGNED_CHUNKS, &length);
    let mut body = signed.chunks(&[b"hello ", b"world", b""]);
    let at = body.windows(5).position(|window| window == b"world").unwrap();
    body[at] = b'W';
    let (status, answer) = send_bytes(&server.service, signed.request, body).await;
    assert!(status == 403 && answer.contains("<Code>SignatureDoesNotMatch</Code>"), "{answer}");
    // Cut off after a whole chunk.
    let signed = put_signed(SIGNED_CHUNKS, &length);
    let body = signed.chunks(&[b"hello "]);
    let (status, answer) = send_bytes(&server.service, signed.request, body).await;
    assert!(status == 400 && answer.contains("<Code>IncompleteBody</Code>"), "{answer}");
    let signed = put_signed(SIGNED_CHUNKS, &length);
    let body = b"7fffffff;chunk-signature=00\r\n".to_vec();
    let (status, answer) = send_bytes(&server.service, signed.request, body).await;
    assert!(status == 400 && answer.contains("the most accepted is 16777216"), "{answer}");
    assert_eq!((server.files(), server.drafts()), (1, 0));
}

#[tokio::test]
async fn a_signed_trailer_ends_the_chain() {
    let server = Server::start().await;
    let client = server.bucket("wire").await;
    let headers = [
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "11"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    ];
    let put = async |trailer: &str, signed_trailer: &str| {
        let signed = put_signed(SIGNED_TRAILER, &headers);
        let mut body = signed.chunks(&[b"hello ", b"world", b""]);
        let last = body.windows(16).rposition(|window| window == b"chunk-signature=").unwrap() + 16;
        let previous = String::from_utf8(body[last..last + 64].to_vec()).unwrap();
        body.truncate(last + 64 + 2);
        let signature = signed.trailer(&previous, signed_trailer);
        let signature =
            if signed_trailer.is_empty() { String::new() } else { format!("x-amz-trailer-signature:{signature}\r\n") };
        body.extend_from_slice(format!("{trailer}\r\n{signature}\r\n").as_bytes());
        send_bytes(&server.service, signed.request, body).await
    };
    let sum = "x-amz-checksum-crc32:DUoRhQ==";
    let (status, answer) = put(sum, sum).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(text(&client, "wire", "k").await, "hello world");
    // The trailer is part of the chain: another one under its signature, or one without any, is not the client's.
    let (status, answer) = put("x-amz-checksum-crc32:AAAAAA==", sum).await;
    assert!(status == 403 && answer.contains("<Code>SignatureDoesNotMatch</Code>"), "{answer}");
    let (status, answer) = put(sum, "").await;
    assert!((400..=403).contains(&status), "{answer}");
    let (status, answer) = put("x-amz-checksum-crc32:AAAAAA==", "x-amz-checksum-crc32:AAAAAA==").await;
    assert!(status == 400 && answer.contains("<Code>BadDigest</Code>"), "{answer}");
    // Chunks in another order are another body.
    let signed = put_signed(SIGNED_CHUNKS, &headers[..2]);
    let body = signed.chunks(&[b"world", b"hello ", b""]);
    let swapped: Vec<u8> = {
        let text = String::from_utf8(body).unwrap();
        let parts: Vec<&str> = text.splitn(5, "\r\n").collect();
        [parts[2], parts[3], parts[0], parts[1], parts[4]].join("\r\n").into_bytes()
    };
    let (status, answer) = send_bytes(&server.service, signed.request, swapped).await;
    assert!(status == 403 && answer.contains("<Code>SignatureDoesNotMatch</Code>"), "{answer}");
    assert_eq!((server.files(), server.drafts()), (1, 0));
}

#[tokio::test]
async fn trailers_are_checksums_of_the_body() {
    let server = Server::start().await;
    let client = server.bucket("wire").await;
    let headers = [("x-amz-decoded-content-length", "11"), ("x-amz-trailer", "x-amz-checksum-crc32")];
    let body = |sum: &str| format!("b\r\nhello world\r\n0\r\n{sum}\r\n\r\n").into_bytes();
    let put = || put_signed(UNSIGNED_TRAILER, &headers).request;
    let (status, answer) = send_bytes(&server.service, put(), body("x-amz-checksum-crc32:DUoRhQ==")).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(text(&client, "wire", "k").await, "hello world");
    let (status, answer) = send_bytes(&server.service, put(), body("x-amz-checksum-crc32:AAAAAA==")).await;
    assert_eq!(status, 400);
    assert!(
        answer
            .contains("<Code>BadDigest</Code><Message>The CRC32 you specified did not match the calculated checksum."),
        "{answer}"
    );
    let (status, answer) = send_bytes(&server.service, put(), b"b\r\nhello world\r\n0\r\n\r\n".to_vec()).await;
    assert!(status == 400 && answer.contains("without the x-amz-checksum-crc32 trailer"), "{answer}");
    let (status, answer) = send_bytes(&server.service, put(), b"zz\r\nhello".to_vec()).await;
    assert!(status == 400 && answer.contains("not hexadecimal"), "{answer}");
    assert_eq!((server.files(), server.drafts()), (1, 0));
}

#[tokio::test]
async fn a_bucket_can_be_in_the_host_name() {
    let server = Server::start().await;
    let client = server.bucket("wire").await;
    put(&client, "wire", "a/b", "hosted").await;
    let get = sign(&Method::GET, "wire.localhost:7400", "/a/b", "UNSIGNED-PAYLOAD", &[]);
    assert_eq!(send_bytes(&server.service, get.request, Vec::new()).await, (200, "hosted".to_owned()));
    let list = sign(&Method::GET, "wire.localhost:7400", "/?list-type=2", "UNSIGNED-PAYLOAD", &[]);
    let (status, answer) = send_bytes(&server.service, list.request, Vec::new()).await;
    assert!(status == 200 && answer.contains("<Key>a/b</Key>"), "{answer}");
}

#[tokio::test]
async fn what_is_not_embedded_is_refused_by_name() {
    let server = Server::start().await;
    server.bucket("wire").await;
    let refused = async |method: Method, path: &str| {
        let request = sign(&method, "localhost", path, "UNSIGNED-PAYLOAD", &[]).request;
        let (status, answer) = send_bytes(&server.service, request, Vec::new()).await;
        assert_eq!(status, 501, "{answer}");
        answer
    };
    assert!(refused(Method::PUT, "/new-bucket?metadataConfiguration").await.contains("`metadataConfiguration`"));
    assert!(refused(Method::DELETE, "/wire?metadataConfiguration").await.contains("`metadataConfiguration`"));
    assert!(refused(Method::GET, "/wire/k?torrent").await.contains("GetObjectTorrent is not part of the embedded S3."));
    server.client().head_bucket().bucket("wire").send().await.unwrap();
    assert!(server.client().head_bucket().bucket("new-bucket").send().await.is_err());

    let form = "POST /wire HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/form-data; boundary=x\r\ncontent-length: \
        5\r\nconnection: close\r\n\r\n--x--";
    let answer = server.raw(form).await;
    assert!(answer.starts_with("HTTP/1.1 501") && answer.contains("Browser form uploads"), "{answer}");
    let old = "GET / HTTP/1.1\r\nhost: localhost\r\nauthorization: AWS AKIAOWNER:c2ln\r\nconnection: close\r\n\r\n";
    assert!(server.raw(old).await.contains("Please use AWS4-HMAC-SHA256."));
}

#[tokio::test]
async fn a_refusal_has_awss_shape() {
    let server = Server::start().await;
    server.bucket("wire").await;
    let get = sign(&Method::GET, "localhost", "/wire/a%20key", "UNSIGNED-PAYLOAD", &[]);
    let response = server.service.handle(get.request.body(Full::new(Bytes::new())).unwrap()).await;
    assert_eq!(response.status().as_u16(), 404);
    let id = response.headers()["x-amz-request-id"].to_str().unwrap().to_owned();
    let host = response.headers()["x-amz-id-2"].to_str().unwrap().to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        String::from_utf8_lossy(&body),
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code><Message>The specified key does not \
             exist.</Message><Key>a key</Key><RequestId>{id}</RequestId><HostId>{host}</HostId></Error>"
        )
    );
    let head = sign(&Method::HEAD, "localhost", "/wire/none", "UNSIGNED-PAYLOAD", &[]);
    assert_eq!(send_bytes(&server.service, head.request, Vec::new()).await, (404, String::new()));
}
