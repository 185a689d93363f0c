//! Who gets in: keys, tokens, permissions, presigned URLs.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::presigning::PresigningConfig;

use crate::support::*;

#[tokio::test]
async fn keys_and_tokens_are_verified() {
    let server = Server::start().await;
    server.bucket("guarded").await;
    let list = |client: aws_sdk_s3::Client| async move { refusal(client.list_buckets().send().await) };
    assert_eq!(
        list(server.client_of("AKIAOWNER", "wrong", None)).await,
        "SignatureDoesNotMatch 403: The request signature we calculated does not match the signature you provided. Check \
         your key and signing method."
    );
    assert_eq!(
        list(server.client_of("AKIANOBODY", "x", None)).await,
        "InvalidAccessKeyId 403: The AWS Access Key Id you provided does not exist in our records."
    );
    let temporary = |token| server.client_of("ASIATEMPORARY", "temporary-secret", token);
    let invalid = "InvalidToken 400: The provided token is malformed or otherwise invalid.";
    assert_eq!(list(temporary(None)).await, invalid);
    assert_eq!(list(temporary(Some("another-token"))).await, invalid);
    assert_eq!(list(temporary(Some("an-ended-token"))).await, "ExpiredToken 400: The provided token has expired.");
    assert_eq!(list(server.client_of("AKIAOWNER", "owner-secret", Some("the-token"))).await, invalid);
    temporary(Some("the-token")).list_buckets().send().await.unwrap();
    let wrong = server.client_of("AKIAOWNER", "wrong", None).put_object().bucket("guarded").key("k");
    assert_eq!(code(wrong.body(vec![7; 3 << 20].into()).send().await), "SignatureDoesNotMatch 403");
    assert_eq!((server.files(), server.drafts()), (0, 0));
}

#[tokio::test]
async fn a_clock_that_is_off_is_told() {
    let real = clock();
    let later: towpath_services::s3::Clock = Arc::new(move || real() + Duration::from_mins(16));
    let server = Server::with(later, random()).await;
    assert_eq!(
        refusal(server.client().list_buckets().send().await),
        "RequestTimeTooSkewed 403: The difference between the request time and the current time is too large."
    );
}

#[tokio::test]
async fn permissions_are_asked_for_by_their_names() {
    let server = Server::start().await;
    let client = server.versioned("asked").await;
    let asked = || std::mem::take(&mut *server.rules.asked.lock().unwrap());
    let one = |action: &str, resource: &str| vec![(action.to_owned(), resource.to_owned())];
    assert_eq!(
        asked(),
        [one("s3:CreateBucket", "arn:aws:s3:::asked"), one("s3:PutBucketVersioning", "arn:aws:s3:::asked")].concat()
    );
    let object = "arn:aws:s3:::asked/dir/k";
    let id = put(&client, "asked", "dir/k", "x").await.version_id.unwrap();
    assert_eq!(asked(), one("s3:PutObject", object));
    let tagged = client.put_object().bucket("asked").key("dir/k").tagging("a=b").body(b"y".to_vec().into());
    tagged.send().await.unwrap();
    assert_eq!(asked(), [one("s3:PutObject", object), one("s3:PutObjectTagging", object)].concat());
    client.get_object().bucket("asked").key("dir/k").version_id(&id).send().await.unwrap();
    assert_eq!(asked(), one("s3:GetObjectVersion", object));
    client.head_object().bucket("asked").key("dir/k").send().await.unwrap();
    assert_eq!(asked(), one("s3:GetObject", object));
    client
        .copy_object()
        .bucket("asked")
        .key("c")
        .copy_source(format!("asked/dir/k?versionId={id}"))
        .send()
        .await
        .unwrap();
    assert_eq!(asked(), [one("s3:PutObject", "arn:aws:s3:::asked/c"), one("s3:GetObjectVersion", object)].concat());
    client.list_object_versions().bucket("asked").send().await.unwrap();
    client.list_buckets().send().await.unwrap();
    assert_eq!(asked(), [one("s3:ListBucketVersions", "arn:aws:s3:::asked"), one("s3:ListAllMyBuckets", "*")].concat());

    server.rules.denied.lock().unwrap().push("s3:DeleteObject");
    assert_eq!(
        refusal(client.delete_object().bucket("asked").key("c").send().await),
        "AccessDenied 403: User: arn:aws:iam::123456789012:root is not authorized to perform: s3:DeleteObject on resource: \
         \"arn:aws:s3:::asked/c\" because no identity-based policy allows the s3:DeleteObject action"
    );
    let delete = aws_sdk_s3::types::Delete::builder()
        .objects(aws_sdk_s3::types::ObjectIdentifier::builder().key("c").build().unwrap())
        .build()
        .unwrap();
    let done = client.delete_objects().bucket("asked").delete(delete).send().await.unwrap();
    assert_eq!(done.errors()[0].code(), Some("AccessDenied"));
    assert_eq!(text(&client, "asked", "c").await, "y".replace('y', "x"));

    // Who may not list does not learn what is missing.
    assert_eq!(code(client.get_object().bucket("asked").key("none").send().await), "NoSuchKey 404");
    server.rules.denied.lock().unwrap().push("s3:ListBucket");
    assert_eq!(code(client.get_object().bucket("asked").key("none").send().await), "AccessDenied 403");
}

#[tokio::test]
async fn strangers_stay_out() {
    let server = Server::start().await;
    let client = server.bucket("private").await;
    put(&client, "private", "k", "x").await;
    let stranger = server.client_of("AKIASTRANGER", "stranger-secret", None);
    let denied = "AccessDenied 403: Access Denied";
    assert_eq!(refusal(stranger.get_object().bucket("private").key("k").send().await), denied);
    assert_eq!(refusal(stranger.list_objects_v2().bucket("private").send().await), denied);
    assert_eq!(refusal(stranger.delete_bucket().bucket("private").send().await), denied);
    let put_there = stranger.put_object().bucket("private").key("y").body(b"y".to_vec().into());
    assert_eq!(refusal(put_there.send().await), denied);
    stranger.create_bucket().bucket("theirs").send().await.unwrap();
    let copy = stranger.copy_object().bucket("theirs").key("k").copy_source("private/k");
    assert_eq!(refusal(copy.send().await), denied);
    let expected = client.get_object().bucket("private").key("k").expected_bucket_owner(STRANGER);
    assert_eq!(refusal(expected.send().await), denied);
    client.get_object().bucket("private").key("k").expected_bucket_owner(ACCOUNT).send().await.unwrap();

    let anonymous = server.get("/private/k").await;
    assert!(anonymous.starts_with("HTTP/1.1 403"), "{anonymous}");
    assert!(anonymous.contains("<Error><Code>AccessDenied</Code><Message>Access Denied</Message>"), "{anonymous}");
    assert!(server.get("/").await.starts_with("HTTP/1.1 403"));
}

fn path_of(uri: &str) -> String {
    uri.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap()
}

#[tokio::test]
async fn presigned_urls_open_one_thing_for_a_while() {
    let server = Server::start().await;
    let client = server.bucket("presigned").await;
    put(&client, "presigned", "a key", "signed for").await;
    let minute = || PresigningConfig::expires_in(Duration::from_mins(1)).unwrap();
    let get = client.get_object().bucket("presigned").key("a key").presigned(minute()).await.unwrap();
    let answer = server.get(&path_of(get.uri())).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("signed for"), "{answer}");

    let other = path_of(get.uri()).replace("a%20key", "b");
    assert!(server.get(&other).await.contains("<Code>SignatureDoesNotMatch</Code>"));
    let long = path_of(get.uri()).replace("X-Amz-Expires=60", "X-Amz-Expires=600");
    assert!(server.get(&long).await.contains("<Code>SignatureDoesNotMatch</Code>"));

    let past = clock()() - Duration::from_hours(1);
    let ended = PresigningConfig::builder().start_time(past).expires_in(Duration::from_mins(1)).build().unwrap();
    let ended = client.get_object().bucket("presigned").key("a key").presigned(ended).await.unwrap();
    let answer = server.get(&path_of(ended.uri())).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(answer.contains("<Code>AccessDenied</Code><Message>Request has expired</Message>"), "{answer}");
    let future: SystemTime = clock()() + Duration::from_hours(1);
    let early = PresigningConfig::builder().start_time(future).expires_in(Duration::from_mins(1)).build().unwrap();
    let early = client.get_object().bucket("presigned").key("a key").presigned(early).await.unwrap();
    assert!(server.get(&path_of(early.uri())).await.contains("Request is not yet valid"));

    let put = client.put_object().bucket("presigned").key("put").presigned(minute()).await.unwrap();
    let send = |path: String, extra: String| {
        let (server, host) = (&server, server.address);
        async move {
            let request = format!(
                "PUT {path} HTTP/1.1\r\nhost: {host}\r\n{extra}content-length: 4\r\nconnection: close\r\n\r\nbody"
            );
            server.raw(&request).await
        }
    };
    let signed: String = put.headers().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
    let answer = send(path_of(put.uri()), signed.clone()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(text(&client, "presigned", "put").await, "body");
    // Nothing may be added to what was signed.
    let answer = send(path_of(put.uri()), format!("{signed}x-amz-acl: public-read\r\n")).await;
    assert!(answer.contains("There were headers present in the request which were not signed"), "{answer}");
    let temporary = server.client_of("ASIATEMPORARY", "temporary-secret", Some("the-token"));
    let get = temporary.get_object().bucket("presigned").key("put").presigned(minute()).await.unwrap();
    assert!(server.get(&path_of(get.uri())).await.ends_with("body"));
    let without = path_of(get.uri()).replace("X-Amz-Security-Token=the-token", "X-Amz-Security-Token=other");
    assert!(server.get(&without).await.contains("<Code>InvalidToken</Code>"));
}
