//! Multipart uploads.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::*;

use crate::support::*;

const MB: usize = 1024 * 1024;

async fn begin(client: &Client, bucket: &str, key: &str) -> String {
    let begun = client.create_multipart_upload().bucket(bucket).key(key).send().await.unwrap();
    begun.upload_id.unwrap()
}

async fn part(client: &Client, bucket: &str, key: &str, id: &str, number: i32, body: Vec<u8>) -> CompletedPart {
    let sent = client.upload_part().bucket(bucket).key(key).upload_id(id).part_number(number);
    let sent = sent.body(body.into()).send().await.unwrap();
    CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).set_checksum_crc32(sent.checksum_crc32).build()
}

fn completed(parts: Vec<CompletedPart>) -> CompletedMultipartUpload {
    CompletedMultipartUpload::builder().set_parts(Some(parts)).build()
}

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((at / 7 + seed) % 251).unwrap()).collect()
}

#[tokio::test]
async fn sixty_four_megabytes_in_parts_come_back_whole() {
    let server = Server::start().await;
    let client = server.bucket("multipart").await;
    let (b, k) = ("multipart", "big");
    let begun = client
        .create_multipart_upload()
        .bucket(b)
        .key(k)
        .content_type("application/zip")
        .metadata("m", "1")
        .tagging("t=1")
        .checksum_algorithm(ChecksumAlgorithm::Crc32)
        .send()
        .await
        .unwrap();
    assert_eq!(begun.checksum_type(), Some(&ChecksumType::Composite));
    let id = begun.upload_id.unwrap();
    let mut whole = Vec::new();
    let mut parts = Vec::new();
    for number in 1..=8 {
        let body = pattern(8 * MB, usize::try_from(number).unwrap());
        whole.extend_from_slice(&body);
        parts.push(part(&client, b, k, &id, number, body).await);
    }
    let listed = client.list_parts().bucket(b).key(k).upload_id(&id).max_parts(3).send().await.unwrap();
    assert_eq!(
        (listed.parts().len(), listed.is_truncated(), listed.next_part_number_marker()),
        (3, Some(true), Some("3"))
    );
    let rest = client.list_parts().bucket(b).key(k).upload_id(&id).part_number_marker("3").send().await.unwrap();
    assert_eq!((rest.parts().len(), rest.is_truncated()), (5, Some(false)));
    assert!(rest.parts()[0].checksum_crc32().is_some());
    assert_eq!(code(client.head_object().bucket(b).key(k).send().await), "NotFound 404");

    let done =
        client.complete_multipart_upload().bucket(b).key(k).upload_id(&id).multipart_upload(completed(parts.clone()));
    let done = done.send().await.unwrap();
    assert!(done.e_tag().unwrap().ends_with("-8\""), "{:?}", done.e_tag());
    assert!(done.checksum_crc32().unwrap().ends_with("-8"));
    assert!(done.location().unwrap().ends_with("/multipart/big"));
    // The same answer to the same question.
    let again = client.complete_multipart_upload().bucket(b).key(k).upload_id(&id).multipart_upload(completed(parts));
    assert_eq!(again.send().await.unwrap().e_tag(), done.e_tag());

    let got = client.get_object().bucket(b).key(k).send().await.unwrap();
    assert_eq!((got.content_type(), got.content_length()), (Some("application/zip"), Some(64 << 20)));
    assert!(got.body.collect().await.unwrap().to_vec() == whole, "the bytes differ");
    let across = client.get_object().bucket(b).key(k).range(format!("bytes={}-{}", 8 * MB - 5, 8 * MB + 4));
    let across = across.send().await.unwrap().body.collect().await.unwrap().to_vec();
    assert_eq!(across, &whole[8 * MB - 5..8 * MB + 5]);
    let third = client.get_object().bucket(b).key(k).part_number(3).send().await.unwrap();
    assert_eq!(third.parts_count(), Some(8));
    assert!(third.body.collect().await.unwrap().to_vec() == whole[16 * MB..24 * MB], "the part differs");
    assert_eq!(code(client.get_object().bucket(b).key(k).part_number(9).send().await), "InvalidPartNumber 416");
    let described = client.get_object_attributes().bucket(b).key(k).object_attributes(ObjectAttributes::ObjectParts);
    let described = described.max_parts(2).send().await.unwrap();
    let described = described.object_parts().unwrap();
    assert_eq!((described.total_parts_count(), described.is_truncated()), (Some(8), Some(true)));
    assert_eq!(described.parts()[1].size(), Some(8 << 20));
    assert_eq!(server.files(), 8);

    // A copy of it is one object without parts.
    let copied = client.copy_object().bucket(b).key("copy").copy_source("multipart/big").send().await.unwrap();
    assert!(!copied.copy_object_result().unwrap().e_tag().unwrap().contains('-'));
    client.delete_object().bucket(b).key(k).send().await.unwrap();
    let copy = client.get_object().bucket(b).key("copy").send().await.unwrap();
    assert!(copy.body.collect().await.unwrap().to_vec() == whole, "the copy differs");
    client.delete_object().bucket(b).key("copy").send().await.unwrap();
    assert_eq!((server.files(), server.drafts()), (0, 0));
}

#[tokio::test]
async fn completion_is_checked() {
    let server = Server::start().await;
    let client = server.bucket("checked").await;
    let (b, k) = ("checked", "k");
    let id = begin(&client, b, k).await;
    let complete = |parts: Vec<CompletedPart>| {
        client.complete_multipart_upload().bucket(b).key(k).upload_id(&id).multipart_upload(completed(parts)).send()
    };
    let small = part(&client, b, k, &id, 1, b"small".to_vec()).await;
    let last = part(&client, b, k, &id, 7, b"last".to_vec()).await;
    let strange = CompletedPart::builder().part_number(1).e_tag("\"0\"").build();
    let absent = CompletedPart::builder().part_number(2).e_tag(small.e_tag().unwrap()).build();
    assert_eq!(
        refusal(complete(vec![small.clone(), last.clone()]).await),
        "EntityTooSmall 400: Your proposed upload is smaller than the minimum allowed size"
    );
    assert_eq!(code(complete(vec![last.clone(), small.clone()]).await), "InvalidPartOrder 400");
    assert_eq!(code(complete(vec![strange]).await), "InvalidPart 400");
    assert_eq!(code(complete(vec![absent]).await), "InvalidPart 400");
    assert_eq!(code(complete(vec![]).await), "MalformedXML 400");
    // Parts that are not named are dropped; a part sent again counts as sent last.
    part(&client, b, k, &id, 1, b"sent again".to_vec()).await;
    assert_eq!(code(complete(vec![small]).await), "InvalidPart 400");
    complete(vec![last]).await.unwrap();
    assert_eq!(text(&client, b, k).await, "last");
    assert_eq!((server.files(), server.drafts()), (1, 0));

    let unknown = client.upload_part().bucket(b).key(k).upload_id(&id).part_number(1).body(b"x".to_vec().into());
    assert_eq!(
        refusal(unknown.send().await),
        "NoSuchUpload 404: The specified upload does not exist. The upload ID may be invalid, or the upload may have been \
         aborted or completed."
    );
    assert_eq!(code(client.list_parts().bucket(b).key(k).upload_id("../../x").send().await), "NoSuchUpload 404");
    let id = begin(&client, b, k).await;
    for number in [0, 10_001] {
        let sent = client.upload_part().bucket(b).key(k).upload_id(&id).part_number(number).body(b"x".to_vec().into());
        assert_eq!(code(sent.send().await), "InvalidArgument 400");
    }
    let wrong =
        client.upload_part().bucket(b).key(k).upload_id(&id).part_number(1).content_md5("1B2M2Y8AsgTpgAmY7PhCfg==");
    assert_eq!(code(wrong.body(b"x".to_vec().into()).send().await), "BadDigest 400");
}

#[tokio::test]
async fn a_full_object_checksum_is_that_of_the_bytes() {
    let server = Server::start().await;
    let client = server.bucket("full-object").await;
    let (b, k) = ("full-object", "k");
    let body = pattern(5 * MB + 3, 1);
    let whole = client.put_object().bucket(b).key("whole").body(body.clone().into()).send().await.unwrap();
    let begun = client.create_multipart_upload().bucket(b).key(k).checksum_algorithm(ChecksumAlgorithm::Crc32);
    let begun = begun.checksum_type(ChecksumType::FullObject).send().await.unwrap();
    let id = begun.upload_id.unwrap();
    let parts = vec![
        part(&client, b, k, &id, 1, body[..5 * MB].to_vec()).await,
        part(&client, b, k, &id, 2, body[5 * MB..].to_vec()).await,
    ];
    let wrong =
        client.complete_multipart_upload().bucket(b).key(k).upload_id(&id).multipart_upload(completed(parts.clone()));
    assert_eq!(code(wrong.checksum_crc32("AAAAAA==").send().await), "BadDigest 400");
    let done = client.complete_multipart_upload().bucket(b).key(k).upload_id(&id).multipart_upload(completed(parts));
    let done = done.send().await.unwrap();
    assert_eq!(done.checksum_crc32(), whole.checksum_crc32());
    assert_eq!(done.checksum_type(), Some(&ChecksumType::FullObject));
    let got = client.get_object().bucket(b).key(k).checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert!(got.body.collect().await.unwrap().to_vec() == body, "the SDK verified other bytes");
    let sha = client.create_multipart_upload().bucket(b).key(k).checksum_algorithm(ChecksumAlgorithm::Sha256);
    assert_eq!(code(sha.checksum_type(ChecksumType::FullObject).send().await), "InvalidRequest 400");
}

#[tokio::test]
async fn parts_are_copied_from_objects() {
    let server = Server::start().await;
    let client = server.bucket("part-copy").await;
    let b = "part-copy";
    let source = pattern(6 * MB, 3);
    client.put_object().bucket(b).key("src").body(source.clone().into()).send().await.unwrap();
    let id = begin(&client, b, "dst").await;
    let copy = |number: i32| {
        client.upload_part_copy().bucket(b).key("dst").upload_id(&id).part_number(number).copy_source("part-copy/src")
    };
    let first = copy(1).send().await.unwrap();
    let second = copy(2).copy_source_range("bytes=10-19").send().await.unwrap();
    assert_eq!(code(copy(3).copy_source_range(format!("bytes=0-{}", 6 * MB)).send().await), "InvalidArgument 400");
    let of = |number: i32, result: Option<&CopyPartResult>| {
        CompletedPart::builder().part_number(number).e_tag(result.unwrap().e_tag().unwrap()).build()
    };
    let parts = vec![of(1, first.copy_part_result()), of(2, second.copy_part_result())];
    client.delete_object().bucket(b).key("src").send().await.unwrap();
    let done =
        client.complete_multipart_upload().bucket(b).key("dst").upload_id(&id).multipart_upload(completed(parts));
    done.send().await.unwrap();
    let got = client.get_object().bucket(b).key("dst").send().await.unwrap().body.collect().await.unwrap().to_vec();
    assert!(got == [&source[..], &source[10..20]].concat(), "the bytes differ");

    // From an object of several parts, across their border.
    let id = begin(&client, b, "again").await;
    let copy =
        client.upload_part_copy().bucket(b).key("again").upload_id(&id).part_number(1).copy_source("part-copy/dst");
    let copied = copy.copy_source_range(format!("bytes={}-{}", 6 * MB - 2, 6 * MB + 2)).send().await.unwrap();
    let parts = vec![of(1, copied.copy_part_result())];
    let done =
        client.complete_multipart_upload().bucket(b).key("again").upload_id(&id).multipart_upload(completed(parts));
    done.send().await.unwrap();
    let got = client.get_object().bucket(b).key("again").send().await.unwrap().body.collect().await.unwrap().to_vec();
    assert_eq!(got, [&source[6 * MB - 2..], &source[10..13]].concat());
    assert_eq!((server.files(), server.drafts()), (3, 0));
}

#[tokio::test]
async fn uploads_are_listed_and_abandoned() {
    let server = Server::start().await;
    let client = server.bucket("uploads").await;
    let b = "uploads";
    let mut ids = Vec::new();
    for key in ["a", "d/1", "d/2", "z"] {
        ids.push(begin(&client, b, key).await);
    }
    let second_a = begin(&client, b, "a").await;
    let listed = client.list_multipart_uploads().bucket(b).send().await.unwrap();
    let keys: Vec<_> = listed.uploads().iter().filter_map(MultipartUpload::key).collect();
    assert_eq!(keys, ["a", "a", "d/1", "d/2", "z"]);
    let folded = client.list_multipart_uploads().bucket(b).delimiter("/").send().await.unwrap();
    assert_eq!((folded.uploads().len(), folded.common_prefixes()[0].prefix()), (3, Some("d/")));
    let page = client.list_multipart_uploads().bucket(b).max_uploads(1).send().await.unwrap();
    assert_eq!((page.next_key_marker(), page.next_upload_id_marker()), (Some("a"), Some(ids[0].as_str())));
    let next = client.list_multipart_uploads().bucket(b).max_uploads(1).key_marker("a").upload_id_marker(&ids[0]);
    assert_eq!(next.send().await.unwrap().uploads()[0].upload_id(), Some(second_a.as_str()));

    part(&client, b, "z", &ids[3], 1, b"never used".to_vec()).await;
    assert_eq!(server.files(), 1);
    client.abort_multipart_upload().bucket(b).key("z").upload_id(&ids[3]).send().await.unwrap();
    assert_eq!(server.files(), 0);
    assert_eq!(
        code(client.abort_multipart_upload().bucket(b).key("z").upload_id(&ids[3]).send().await),
        "NoSuchUpload 404"
    );
    part(&client, b, "a", &ids[0], 1, b"goes with the bucket".to_vec()).await;
    client.delete_bucket().bucket(b).send().await.unwrap();
    assert_eq!(server.files(), 0);
    let recreated = server.bucket(b).await;
    assert!(recreated.list_multipart_uploads().bucket(b).send().await.unwrap().uploads().is_empty());
}

#[tokio::test]
async fn an_upload_of_unknown_shape_streams() {
    let server = Server::start().await;
    let client = server.bucket("streams").await;
    let file = server.dir.path().join("upload");
    let body = pattern(3 * MB, 9);
    std::fs::write(&file, &body).unwrap();
    let stream = ByteStream::from_path(&file).await.unwrap();
    client.put_object().bucket("streams").key("k").body(stream).send().await.unwrap();
    let got = client.get_object().bucket("streams").key("k").send().await.unwrap();
    assert!(got.body.collect().await.unwrap().to_vec() == body, "the bytes differ");
}
