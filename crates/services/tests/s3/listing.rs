//! Listings in pages.

use aws_sdk_s3::types::*;

use crate::support::*;

#[tokio::test]
async fn two_and_a_half_thousand_keys_come_in_pages() {
    let server = Server::quick().await;
    let client = server.bucket("many").await;
    // Put past the wire: the listing is what is tested here.
    let file = server.dir.path().join("content");
    std::fs::write(&file, "x").unwrap();
    let names: Vec<String> = (0..2500).map(|n| format!("{}/{n:04}.txt", ["a", "b", "c", "d", "e"][n % 5])).collect();
    for name in names.iter().map(String::as_str).chain(["top", "übersee"]) {
        server
            .service
            .put_from_file(ACCOUNT, "many", name, &file, towpath_services::s3::PutOptions::default())
            .await
            .unwrap();
    }
    let mut expected = names.clone();
    expected.extend(["top".to_owned(), "übersee".to_owned()]);
    expected.sort();

    let (mut found, mut pages, mut token) = (Vec::new(), Vec::new(), None);
    loop {
        let page = client.list_objects_v2().bucket("many").set_continuation_token(token).send().await.unwrap();
        pages.push(page.contents().len());
        assert_eq!(page.key_count(), Some(i32::try_from(page.contents().len()).unwrap()));
        found.extend(page.contents().iter().filter_map(Object::key).map(str::to_owned));
        token = page.next_continuation_token().map(str::to_owned);
        assert_eq!(page.is_truncated(), Some(token.is_some()));
        if token.is_none() {
            break;
        }
    }
    assert_eq!(pages, [1000, 1000, 502]);
    assert_eq!(found, expected);

    let top = client.list_objects_v2().bucket("many").delimiter("/").send().await.unwrap();
    let prefixes: Vec<_> = top.common_prefixes().iter().filter_map(CommonPrefix::prefix).collect();
    assert_eq!(prefixes, ["a/", "b/", "c/", "d/", "e/"]);
    assert_eq!((top.contents().len(), top.key_count(), top.is_truncated()), (2, Some(7), Some(false)));

    // Pages of two, through prefixes and keys alike.
    let (mut told, mut token) = (Vec::new(), None);
    loop {
        let page = client.list_objects_v2().bucket("many").delimiter("/").max_keys(2).set_continuation_token(token);
        let page = page.send().await.unwrap();
        told.extend(page.contents().iter().filter_map(Object::key).map(str::to_owned));
        told.extend(page.common_prefixes().iter().filter_map(CommonPrefix::prefix).map(str::to_owned));
        token = page.next_continuation_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    // Within a page keys and prefixes come apart.
    told.sort();
    assert_eq!(told, ["a/", "b/", "c/", "d/", "e/", "top", "übersee"]);

    let part =
        client.list_objects_v2().bucket("many").prefix("c/").start_after("c/2400").fetch_owner(true).send().await;
    let part = part.unwrap();
    assert_eq!(part.contents().len(), 20);
    assert_eq!(part.contents()[0].owner().unwrap().id().unwrap().len(), 64);
    assert_eq!(
        code(client.list_objects_v2().bucket("many").continuation_token("?").send().await),
        "InvalidArgument 400"
    );
    assert!(client.list_objects_v2().bucket("many").max_keys(0).send().await.unwrap().contents().is_empty());

    // The older form, whose marker is a key.
    let (mut count, mut marker) = (0, None);
    loop {
        let page = client.list_objects().bucket("many").set_marker(marker).send().await.unwrap();
        count += page.contents().len();
        if page.is_truncated() != Some(true) {
            break;
        }
        assert_eq!(page.next_marker(), None);
        marker = page.contents().last().and_then(Object::key).map(str::to_owned);
    }
    assert_eq!(count, 2502);
    let page = client.list_objects().bucket("many").delimiter("/").max_keys(1).send().await.unwrap();
    assert_eq!(page.next_marker(), Some("a/"));
    let page = client.list_objects().bucket("many").delimiter("/").max_keys(1).marker("a/").send().await.unwrap();
    assert_eq!(page.common_prefixes()[0].prefix(), Some("b/"));

    let mut keys: Vec<_> = expected.iter().map(|key| ObjectIdentifier::builder().key(key).build().unwrap()).collect();
    while !keys.is_empty() {
        let batch: Vec<_> = keys.drain(..keys.len().min(1000)).collect();
        let delete = Delete::builder().set_objects(Some(batch)).quiet(true).build().unwrap();
        let done = client.delete_objects().bucket("many").delete(delete).send().await.unwrap();
        assert!(done.deleted().is_empty() && done.errors().is_empty());
    }
    client.delete_bucket().bucket("many").send().await.unwrap();
    assert_eq!(server.files(), 0);
}

#[tokio::test]
async fn versions_come_in_pages_that_know_the_latest() {
    let server = Server::start().await;
    let client = server.versioned("history").await;
    for round in 0..3 {
        for key in ["a", "b/x", "b/y", "c"] {
            put(&client, "history", key, &format!("{round}")).await;
        }
    }
    client.delete_object().bucket("history").key("c").send().await.unwrap();
    let (mut told, mut key_marker, mut id_marker) = (Vec::new(), None, None);
    loop {
        let page = client.list_object_versions().bucket("history").max_keys(2);
        let page = page.set_key_marker(key_marker).set_version_id_marker(id_marker).send().await.unwrap();
        for version in page.versions() {
            told.push(format!(
                "{}{}",
                version.key().unwrap(),
                if version.is_latest() == Some(true) { "*" } else { "" }
            ));
        }
        for marker in page.delete_markers() {
            told.push(format!(
                "{} marker{}",
                marker.key().unwrap(),
                if marker.is_latest() == Some(true) { "*" } else { "" }
            ));
        }
        if page.is_truncated() != Some(true) {
            break;
        }
        key_marker = page.next_key_marker().map(str::to_owned);
        id_marker = page.next_version_id_marker().map(str::to_owned);
    }
    told.sort();
    assert_eq!(told, ["a", "a", "a*", "b/x", "b/x", "b/x*", "b/y", "b/y", "b/y*", "c", "c", "c", "c marker*"]);
    let folded = client.list_object_versions().bucket("history").delimiter("/").send().await.unwrap();
    assert_eq!((folded.versions().len(), folded.common_prefixes()[0].prefix()), (6, Some("b/")));
    let after = client.list_object_versions().bucket("history").key_marker("b/x").send().await.unwrap();
    assert_eq!(after.versions()[0].key(), Some("b/y"));
    assert_eq!(after.versions()[0].is_latest(), Some(true));
}

#[tokio::test]
async fn keys_can_be_told_encoded() {
    let server = Server::start().await;
    let client = server.bucket("encoded").await;
    put(&client, "encoded", "dir &+/ü <k>", "x").await;
    let plain = client.list_objects_v2().bucket("encoded").send().await.unwrap();
    assert_eq!(plain.contents()[0].key(), Some("dir &+/ü <k>"));
    let encoded = client.list_objects_v2().bucket("encoded").encoding_type(EncodingType::Url).send().await.unwrap();
    assert_eq!(encoded.contents()[0].key(), Some("dir%20%26%2B/%C3%BC%20%3Ck%3E"));
    let folded = client.list_objects_v2().bucket("encoded").delimiter("/").encoding_type(EncodingType::Url);
    assert_eq!(folded.send().await.unwrap().common_prefixes()[0].prefix(), Some("dir%20%26%2B/"));
}
