//! Objects put, read in whole and in part, described, tagged and copied.

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use aws_sdk_s3::types::*;

use crate::support::*;

#[tokio::test]
async fn an_object_keeps_its_bytes_and_headers() {
    let server = Server::start().await;
    let client = server.bucket("objects").await;
    let expires = DateTime::from_str("Wed, 21 Oct 2026 07:28:00 GMT", DateTimeFormat::HttpDate).unwrap();
    let put = client
        .put_object()
        .bucket("objects")
        .key("dir/naïve key+%?#.txt")
        .content_type("text/plain; charset=utf-8")
        .cache_control("max-age=60")
        .content_disposition("attachment; filename=\"x.txt\"")
        .content_encoding("identity")
        .content_language("en-GB")
        .expires(expires)
        .metadata("owner", "lock keeper")
        .metadata("unicode", "größe")
        .storage_class(StorageClass::StandardIa)
        .tagging("a=1&b=two%20words")
        .server_side_encryption(ServerSideEncryption::Aes256)
        .body(b"hello world".to_vec().into())
        .send()
        .await
        .unwrap();
    assert_eq!(put.e_tag(), Some("\"5eb63bbbe01eeed093cb22bb8f5acdc3\""));
    assert_eq!(put.server_side_encryption(), Some(&ServerSideEncryption::Aes256));
    assert_eq!(put.checksum_crc32(), Some("DUoRhQ=="));
    assert_eq!(put.version_id(), None);

    let got = client.get_object().bucket("objects").key("dir/naïve key+%?#.txt");
    let got = got.checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert_eq!(got.content_type(), Some("text/plain; charset=utf-8"));
    assert_eq!(got.cache_control(), Some("max-age=60"));
    assert_eq!(got.content_disposition(), Some("attachment; filename=\"x.txt\""));
    assert_eq!(got.content_encoding(), Some("identity"));
    assert_eq!(got.content_language(), Some("en-GB"));
    assert_eq!(got.expires_string(), Some("Wed, 21 Oct 2026 07:28:00 GMT"));
    assert_eq!(got.metadata().unwrap()["owner"], "lock keeper");
    assert!(got.metadata().unwrap().contains_key("unicode"));
    assert_eq!(got.storage_class(), Some(&StorageClass::StandardIa));
    assert_eq!(got.tag_count(), Some(2));
    assert_eq!(got.content_length(), Some(11));
    assert_eq!(got.accept_ranges(), Some("bytes"));
    assert_eq!((got.checksum_crc32(), got.checksum_type()), (Some("DUoRhQ=="), Some(&ChecksumType::FullObject)));
    assert_eq!(got.body.collect().await.unwrap().to_vec(), b"hello world");

    let head = client.head_object().bucket("objects").key("dir/naïve key+%?#.txt").send().await.unwrap();
    assert_eq!((head.content_length(), head.e_tag()), (Some(11), put.e_tag()));
    assert!(head.last_modified().is_some());
    assert_eq!(head.checksum_crc32(), None);

    let changed = client.get_object().bucket("objects").key("dir/naïve key+%?#.txt");
    let changed =
        changed.response_content_type("application/json").response_cache_control("no-store").send().await.unwrap();
    assert_eq!((changed.content_type(), changed.cache_control()), (Some("application/json"), Some("no-store")));

    assert_eq!(
        refusal(client.get_object().bucket("objects").key("missing").send().await),
        "NoSuchKey 404: The specified key does not exist."
    );
    let missing = client.head_object().bucket("objects").key("missing").send().await.unwrap_err();
    assert!(missing.into_service_error().is_not_found());
    assert_eq!(code(client.get_object().bucket("no-such-bucket").key("k").send().await), "NoSuchBucket 404");
    client.delete_object().bucket("objects").key("missing").send().await.unwrap();
    let long = "k".repeat(1025);
    let put = client.put_object().bucket("objects").key(long).body(b"x".to_vec().into()).send().await;
    assert_eq!(refusal(put), "KeyTooLongError 400: Your key is too long");
    let wrong = client.put_object().bucket("objects").key("k").storage_class("COLD".into()).send().await;
    assert_eq!(code(wrong), "InvalidStorageClass 400");
    let heavy = client.put_object().bucket("objects").key("k").metadata("m", "x".repeat(2048)).send().await;
    assert_eq!(code(heavy), "MetadataTooLarge 400");
}

#[tokio::test]
async fn empty_objects_and_replacement_leave_one_file_each() {
    let server = Server::start().await;
    let client = server.bucket("replaced").await;
    put(&client, "replaced", "k", "").await;
    assert_eq!(text(&client, "replaced", "k").await, "");
    put(&client, "replaced", "k", "second").await;
    put(&client, "replaced", "k", "third").await;
    assert_eq!(text(&client, "replaced", "k").await, "third");
    assert_eq!((server.files(), server.drafts()), (1, 0));
    client.delete_object().bucket("replaced").key("k").send().await.unwrap();
    assert_eq!(server.files(), 0);
}

#[tokio::test]
async fn ranges_are_cut_as_asked() {
    let server = Server::start().await;
    let client = server.bucket("ranges").await;
    put(&client, "ranges", "k", "0123456789").await;
    for (range, text, told) in [
        ("bytes=0-3", "0123", "bytes 0-3/10"),
        ("bytes=4-", "456789", "bytes 4-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=8-100", "89", "bytes 8-9/10"),
        ("bytes=-100", "0123456789", "bytes 0-9/10"),
    ] {
        let got = client.get_object().bucket("ranges").key("k").range(range).send().await.unwrap();
        assert_eq!(got.content_range(), Some(told), "{range}");
        assert_eq!(got.body.collect().await.unwrap().to_vec(), text.as_bytes(), "{range}");
    }
    let past = client.get_object().bucket("ranges").key("k").range("bytes=10-").send().await;
    assert_eq!(refusal(past), "InvalidRange 416: The requested range is not satisfiable");
    let part = client.get_object().bucket("ranges").key("k").part_number(1).send().await.unwrap();
    assert_eq!(part.content_range(), Some("bytes 0-9/10"));
    assert_eq!(
        code(client.get_object().bucket("ranges").key("k").part_number(2).send().await),
        "InvalidPartNumber 416"
    );
    let head = client.head_object().bucket("ranges").key("k").range("bytes=1-2").send().await.unwrap();
    assert_eq!((head.content_length(), head.content_range()), (Some(2), Some("bytes 1-2/10")));
}

#[tokio::test]
async fn conditions_hold_back_reads_and_writes() {
    let server = Server::start().await;
    let client = server.bucket("conditions").await;
    let b = "conditions";
    let etag = put(&client, b, "k", "one").await.e_tag.unwrap();
    let get = || client.get_object().bucket(b).key("k");
    get().if_match(&etag).send().await.unwrap();
    assert_eq!(code(get().if_match("\"0\"").send().await), "PreconditionFailed 412");
    let unchanged = get().if_none_match(&etag).send().await.unwrap_err();
    let response = unchanged.raw_response().unwrap();
    assert_eq!((response.status().as_u16(), response.headers().get("etag")), (304, Some(etag.as_str())));
    get().if_none_match("\"0\"").send().await.unwrap();
    let modified = client.head_object().bucket(b).key("k").send().await.unwrap().last_modified.unwrap();
    let earlier = DateTime::from_secs(modified.secs() - 10);
    assert_eq!(
        get().if_modified_since(modified).send().await.unwrap_err().raw_response().unwrap().status().as_u16(),
        304
    );
    get().if_modified_since(earlier).send().await.unwrap();
    assert_eq!(code(get().if_unmodified_since(earlier).send().await), "PreconditionFailed 412");

    let write = |key: &str| client.put_object().bucket(b).key(key).body(b"two".to_vec().into());
    assert_eq!(
        refusal(write("k").if_none_match("*").send().await),
        "PreconditionFailed 412: At least one of the pre-conditions you specified did not hold"
    );
    write("new").if_none_match("*").send().await.unwrap();
    assert_eq!(code(write("k").if_match("\"0\"").send().await), "PreconditionFailed 412");
    assert_eq!(code(write("absent").if_match(&etag).send().await), "NoSuchKey 404");
    write("k").if_match(&etag).send().await.unwrap();
    assert_eq!(text(&client, b, "k").await, "two");
    assert_eq!(code(client.delete_object().bucket(b).key("k").if_match(&etag).send().await), "PreconditionFailed 412");
}

#[tokio::test]
async fn one_of_many_writers_makes_the_key() {
    let server = Server::start().await;
    let client = server.bucket("race").await;
    let writers = (0..16).map(|n| {
        let put = client.put_object().bucket("race").key("k").if_none_match("*");
        put.body(format!("{n}").into_bytes().into()).send()
    });
    let outcomes = futures::future::join_all(writers).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!((server.files(), server.drafts()), (1, 0));
}

fn md5_base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    use md5::Digest as _;
    base64::engine::general_purpose::STANDARD.encode(md5::Md5::digest(bytes))
}

#[tokio::test]
async fn checksums_of_every_kind_are_verified_and_kept() {
    let server = Server::start().await;
    let client = server.bucket("sums").await;
    let b = "sums";
    for algorithm in [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha1,
        ChecksumAlgorithm::Sha256,
    ] {
        let put = client.put_object().bucket(b).key(algorithm.as_str()).checksum_algorithm(algorithm.clone());
        put.body(b"checked".to_vec().into()).send().await.unwrap();
        let got = client.get_object_attributes().bucket(b).key(algorithm.as_str());
        let got = got.object_attributes(ObjectAttributes::Checksum).send().await.unwrap();
        let sum = got.checksum().unwrap();
        let there = [
            sum.checksum_crc32(),
            sum.checksum_crc32_c(),
            sum.checksum_crc64_nvme(),
            sum.checksum_sha1(),
            sum.checksum_sha256(),
        ];
        assert_eq!(there.iter().flatten().count(), 1, "{algorithm}");
        // The SDK verifies what it reads.
        let read = client.get_object().bucket(b).key(algorithm.as_str()).checksum_mode(ChecksumMode::Enabled);
        assert_eq!(read.send().await.unwrap().body.collect().await.unwrap().to_vec(), b"checked");
    }
    let put = |key: &str| client.put_object().bucket(b).key(key).body(b"checked".to_vec().into());
    assert_eq!(
        refusal(put("wrong").checksum_sha256("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").send().await),
        "BadDigest 400: The SHA256 you specified did not match the calculated checksum."
    );
    assert_eq!(code(put("wrong").checksum_crc32("nonsense").send().await), "InvalidRequest 400");
    assert_eq!(
        refusal(put("wrong").content_md5("1B2M2Y8AsgTpgAmY7PhCfg==").send().await),
        "BadDigest 400: The Content-MD5 you specified did not match what we received."
    );
    assert_eq!(code(put("wrong").content_md5("short").send().await), "InvalidDigest 400");
    assert_eq!(code(client.head_object().bucket(b).key("wrong").send().await), "NotFound 404");
    let md5 = md5_base64(b"checked");
    put("right").content_md5(md5).send().await.unwrap();
    assert_eq!((server.files(), server.drafts()), (6, 0));
}

#[tokio::test]
async fn attributes_and_tags() {
    let server = Server::start().await;
    let client = server.bucket("described").await;
    let b = "described";
    put(&client, b, "k", "four").await;
    let got = client
        .get_object_attributes()
        .bucket(b)
        .key("k")
        .object_attributes(ObjectAttributes::Etag)
        .object_attributes(ObjectAttributes::ObjectSize)
        .object_attributes(ObjectAttributes::StorageClass)
        .object_attributes(ObjectAttributes::ObjectParts)
        .send()
        .await
        .unwrap();
    assert_eq!((got.object_size(), got.storage_class()), (Some(4), Some(&StorageClass::Standard)));
    assert!(got.e_tag().is_some() && got.object_parts().is_none() && got.checksum().is_none());

    assert!(client.get_object_tagging().bucket(b).key("k").send().await.unwrap().tag_set().is_empty());
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build().unwrap();
    let set = |tags: Vec<Tag>| {
        let tagging = Tagging::builder().set_tag_set(Some(tags)).build().unwrap();
        client.put_object_tagging().bucket(b).key("k").tagging(tagging).send()
    };
    set(vec![tag("x", "1"), tag("y", "2")]).await.unwrap();
    let tags = client.get_object_tagging().bucket(b).key("k").send().await.unwrap();
    assert_eq!(tags.tag_set(), [tag("x", "1"), tag("y", "2")]);
    assert_eq!(code(set(vec![tag("aws:x", "1")]).await), "InvalidTag 400");
    assert_eq!(code(set((0..11).map(|n| tag(&format!("t{n}"), "")).collect()).await), "BadRequest 400");
    client.delete_object_tagging().bucket(b).key("k").send().await.unwrap();
    assert!(client.get_object_tagging().bucket(b).key("k").send().await.unwrap().tag_set().is_empty());
    assert_eq!(code(client.get_object_tagging().bucket(b).key("none").send().await), "NoSuchKey 404");
}

#[tokio::test]
async fn copies_carry_or_replace_what_they_are_told_to() {
    let server = Server::start().await;
    let client = server.bucket("source").await;
    client.create_bucket().bucket("target").send().await.unwrap();
    let put =
        client.put_object().bucket("source").key("a b/ü.txt").content_type("text/x").metadata("m", "1").tagging("t=1");
    let put = put.body(b"copied".to_vec().into()).send().await.unwrap();
    let copy = |key: &str| client.copy_object().bucket("target").key(key).copy_source("source/a%20b/%C3%BC.txt");
    let done = copy("plain").send().await.unwrap();
    assert_eq!(done.copy_object_result().unwrap().e_tag(), put.e_tag());
    assert_eq!(done.copy_object_result().unwrap().checksum_crc32(), put.checksum_crc32());
    let head = client.head_object().bucket("target").key("plain").send().await.unwrap();
    assert_eq!((head.content_type(), head.metadata().unwrap()["m"].as_str()), (Some("text/x"), "1"));
    let tags = client.get_object_tagging().bucket("target").key("plain").send().await.unwrap();
    assert_eq!(tags.tag_set().len(), 1);
    assert_eq!(text(&client, "target", "plain").await, "copied");

    let replaced = copy("replaced").metadata_directive(MetadataDirective::Replace).content_type("text/y");
    let replaced = replaced.tagging_directive(TaggingDirective::Replace).tagging("u=2&v=3");
    let replaced = replaced.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await.unwrap();
    assert!(replaced.copy_object_result().unwrap().checksum_sha256().is_some());
    let head = client.head_object().bucket("target").key("replaced").send().await.unwrap();
    assert_eq!(head.content_type(), Some("text/y"));
    assert!(head.metadata().unwrap().is_empty());
    let tags = client.get_object_tagging().bucket("target").key("replaced").send().await.unwrap();
    assert_eq!(tags.tag_set().len(), 2);

    // A copy does not depend on its source.
    client.delete_object().bucket("source").key("a b/ü.txt").send().await.unwrap();
    assert_eq!(text(&client, "target", "replaced").await, "copied");
    assert_eq!(server.files(), 2);
    assert_eq!(code(copy("none").send().await), "NoSuchKey 404");

    let itself = || client.copy_object().bucket("target").key("plain").copy_source("target/plain");
    assert!(refusal(itself().send().await).starts_with("InvalidRequest 400: This copy request is illegal"));
    let changed = itself().metadata_directive(MetadataDirective::Replace).metadata("m", "2").send().await;
    changed.unwrap();
    assert_eq!(client.head_object().bucket("target").key("plain").send().await.unwrap().metadata().unwrap()["m"], "2");
    assert_eq!(text(&client, "target", "plain").await, "copied");
    assert_eq!(
        code(copy("c").copy_source("target/plain").copy_source_if_match("\"0\"").send().await),
        "PreconditionFailed 412"
    );
    let unless = copy("c").copy_source("target/plain").copy_source_if_none_match(put.e_tag().unwrap()).send().await;
    assert_eq!(code(unless), "PreconditionFailed 412");
}
