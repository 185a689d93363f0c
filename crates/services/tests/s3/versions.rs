//! Versioned buckets: every write kept, markers over deletions, null versions while suspended.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::*;

use crate::support::*;

async fn versions(client: &Client, bucket: &str) -> Vec<String> {
    let listed = client.list_object_versions().bucket(bucket).send().await.unwrap();
    let of = |key: Option<&str>, id: Option<&str>, latest: Option<bool>, kind: &str| {
        let id = if id == Some("null") { "null" } else { "id" };
        format!("{} {kind} {id}{}", key.unwrap_or_default(), if latest == Some(true) { " latest" } else { "" })
    };
    let objects = listed.versions().iter().map(|v| of(v.key(), v.version_id(), v.is_latest(), "version"));
    let markers = listed.delete_markers().iter().map(|v| of(v.key(), v.version_id(), v.is_latest(), "marker"));
    objects.chain(markers).collect()
}

#[tokio::test]
async fn every_write_is_a_version_and_deletion_a_marker() {
    let server = Server::start().await;
    let client = server.versioned("versioned").await;
    let b = "versioned";
    let first = put(&client, b, "k", "one").await.version_id.unwrap();
    let second = put(&client, b, "k", "two").await.version_id.unwrap();
    assert_ne!(first, second);
    assert_eq!(text(&client, b, "k").await, "two");
    let old = client.get_object().bucket(b).key("k").version_id(&first).send().await.unwrap();
    assert_eq!(old.version_id(), Some(first.as_str()));
    assert_eq!(old.body.collect().await.unwrap().to_vec(), b"one");
    assert_eq!(versions(&client, b).await, ["k version id latest", "k version id"]);

    let deleted = client.delete_object().bucket(b).key("k").send().await.unwrap();
    assert_eq!(deleted.delete_marker(), Some(true));
    let marker = deleted.version_id.unwrap();
    let gone = client.get_object().bucket(b).key("k").send().await.unwrap_err();
    let response = gone.raw_response().unwrap();
    assert_eq!(response.status().as_u16(), 404);
    assert_eq!(response.headers().get("x-amz-delete-marker"), Some("true"));
    assert_eq!(response.headers().get("x-amz-version-id"), Some(marker.as_str()));
    let named = client.get_object().bucket(b).key("k").version_id(&marker).send().await;
    let allow = named.as_ref().unwrap_err().raw_response().unwrap().headers().get("allow").map(str::to_owned);
    assert_eq!(allow.as_deref(), Some("DELETE"));
    assert_eq!(refusal(named), "MethodNotAllowed 405: The specified method is not allowed against this resource.");
    assert!(client.list_objects_v2().bucket(b).send().await.unwrap().contents().is_empty());
    assert_eq!(versions(&client, b).await, ["k version id", "k version id", "k marker id latest"]);
    assert_eq!(
        refusal(client.delete_bucket().bucket(b).send().await),
        "BucketNotEmpty 409: The bucket you tried to delete is not empty. You must delete all versions in the bucket."
    );

    // Without its marker the key is back.
    let undone = client.delete_object().bucket(b).key("k").version_id(&marker).send().await.unwrap();
    assert_eq!((undone.delete_marker(), undone.version_id()), (Some(true), Some(marker.as_str())));
    assert_eq!(text(&client, b, "k").await, "two");
    client.delete_object().bucket(b).key("k").version_id(&second).send().await.unwrap();
    assert_eq!(text(&client, b, "k").await, "one");
    client.delete_object().bucket(b).key("k").version_id(&first).send().await.unwrap();
    assert_eq!(server.files(), 0);
    assert_eq!(
        refusal(client.get_object().bucket(b).key("k").version_id(&first).send().await),
        "NoSuchVersion 404: The specified version does not exist."
    );
    assert_eq!(
        refusal(client.get_object().bucket(b).key("k").version_id("nonsense").send().await),
        "InvalidArgument 400: Invalid version id specified"
    );
    // Once more is no error.
    client.delete_object().bucket(b).key("k").version_id(&first).send().await.unwrap();
    client.delete_bucket().bucket(b).send().await.unwrap();
}

#[tokio::test]
async fn suspension_keeps_one_null_version_beside_the_others() {
    let server = Server::start().await;
    let client = server.bucket("suspended").await;
    let b = "suspended";
    let unversioned = put(&client, b, "k", "before").await;
    assert_eq!(unversioned.version_id(), None);
    set_versioning(&client, b, "Enabled").await;
    let kept = put(&client, b, "k", "kept").await.version_id.unwrap();
    let null = client.get_object().bucket(b).key("k").version_id("null").send().await.unwrap();
    assert_eq!(null.version_id(), Some("null"));
    assert_eq!(null.body.collect().await.unwrap().to_vec(), b"before");

    set_versioning(&client, b, "Suspended").await;
    let put_null = put(&client, b, "k", "after").await;
    assert_eq!(put_null.version_id(), Some("null"));
    assert_eq!(versions(&client, b).await, ["k version null latest", "k version id"]);
    assert_eq!(server.files(), 2);
    let deleted = client.delete_object().bucket(b).key("k").send().await.unwrap();
    assert_eq!((deleted.delete_marker(), deleted.version_id()), (Some(true), Some("null")));
    assert_eq!(versions(&client, b).await, ["k version id", "k marker null latest"]);
    assert_eq!(server.files(), 1);
    client.delete_object().bucket(b).key("k").version_id("null").send().await.unwrap();
    assert_eq!(text(&client, b, "k").await, "kept");
    let missing = client.get_object().bucket(b).key("k").version_id("null").send().await;
    assert_eq!(code(missing), "NoSuchVersion 404");
    client.delete_object().bucket(b).key("k").version_id(&kept).send().await.unwrap();
    assert!(versions(&client, b).await.is_empty());
}

#[tokio::test]
async fn versions_are_tagged_copied_and_deleted_by_id() {
    let server = Server::start().await;
    let client = server.versioned("by-id").await;
    let b = "by-id";
    let first = put(&client, b, "k", "one").await.version_id.unwrap();
    put(&client, b, "k", "two").await;
    let tag = Tag::builder().key("which").value("first").build().unwrap();
    let tagging = Tagging::builder().tag_set(tag).build().unwrap();
    let done = client.put_object_tagging().bucket(b).key("k").version_id(&first).tagging(tagging).send().await.unwrap();
    assert_eq!(done.version_id(), Some(first.as_str()));
    assert!(client.get_object_tagging().bucket(b).key("k").send().await.unwrap().tag_set().is_empty());

    let copied = client.copy_object().bucket(b).key("copy").copy_source(format!("{b}/k?versionId={first}"));
    let copied = copied.send().await.unwrap();
    assert_eq!(copied.copy_source_version_id(), Some(first.as_str()));
    assert!(copied.version_id().is_some());
    assert_eq!(text(&client, b, "copy").await, "one");
    // The way to bring an old version back.
    client.copy_object().bucket(b).key("k").copy_source(format!("{b}/k?versionId={first}")).send().await.unwrap();
    assert_eq!(text(&client, b, "k").await, "one");

    let marker = client.delete_object().bucket(b).key("copy").send().await.unwrap().version_id.unwrap();
    let from_marker =
        client.copy_object().bucket(b).key("c").copy_source(format!("{b}/copy?versionId={marker}")).send();
    assert!(refusal(from_marker.await).starts_with("InvalidRequest 400: The source of a copy request may not"));
    assert_eq!(
        code(client.copy_object().bucket(b).key("c").copy_source(format!("{b}/copy")).send().await),
        "NoSuchKey 404"
    );

    let all = client.list_object_versions().bucket(b).send().await.unwrap();
    let ids = all
        .versions()
        .iter()
        .map(|v| (v.key(), v.version_id()))
        .chain(all.delete_markers().iter().map(|v| (v.key(), v.version_id())));
    let objects: Vec<_> = ids
        .map(|(key, id)| ObjectIdentifier::builder().key(key.unwrap()).version_id(id.unwrap()).build().unwrap())
        .collect();
    assert_eq!(objects.len(), 5);
    let delete = Delete::builder().set_objects(Some(objects)).build().unwrap();
    let done = client.delete_objects().bucket(b).delete(delete).send().await.unwrap();
    assert_eq!((done.deleted().len(), done.errors().len()), (5, 0));
    assert_eq!(done.deleted().iter().filter(|d| d.delete_marker() == Some(true)).count(), 1);
    assert_eq!(server.files(), 0);
    client.delete_bucket().bucket(b).send().await.unwrap();
}
