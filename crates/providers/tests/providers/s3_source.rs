//! S3 source: which version is taken, what it becomes, and each way it can be missing.

use std::collections::BTreeMap;

use towpath_model::action::{Outcome, SourceRevisionOverride};
use towpath_providers::{Call, RealmKind};

use crate::stage::{Stage, failure, realm, s3_source, success};
use crate::world::Aws;

fn headers(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn pinned(kind: &str, value: &str) -> SourceRevisionOverride {
    SourceRevisionOverride {
        action_name: "Act".into(),
        revision_type: kind.to_owned(),
        revision_value: value.to_owned(),
    }
}

#[tokio::test]
async fn the_newest_version_becomes_the_artifact() {
    let stage = Stage::new();
    stage.aws.world().s3.put("sources", "web/app.zip", b"old", headers(&[]));
    let kept = headers(&[("content-type", "application/zip")]);
    let id = stage.aws.world().s3.put("sources", "web/app.zip", b"new", kept);
    let (progress, variables, revisions) = success(stage.start(&s3_source()).await);

    let world = stage.aws.world();
    let object = world.s3.newest("artifacts", "ferry/app-src/Qm4TzX1.zip").unwrap();
    assert_eq!(object.bytes, b"new");
    assert_eq!(
        object.headers,
        headers(&[("content-type", "application/zip"), ("x-amz-meta-codepipeline-revision-id", &id)])
    );
    assert_eq!(
        variables.keys().map(String::as_str).collect::<Vec<_>>(),
        ["BucketName", "ETag", "ObjectKey", "VersionId"]
    );
    assert_eq!((variables["BucketName"].as_str(), variables["ObjectKey"].as_str()), ("sources", "web/app.zip"));
    assert_eq!((variables["ETag"].len(), variables["VersionId"].as_str()), (32, id.as_str()));
    assert_eq!(revisions.len(), 1);
    assert_eq!((revisions[0].artifact.as_str(), revisions[0].action.as_str()), ("app-src", "Act"));
    assert_eq!(revisions[0].id, id);
    assert_eq!(revisions[0].summary, Some(format!("Amazon S3 version id: {id}")));
    assert_eq!(revisions[0].url.as_deref(), Some("https://console.aws.amazon.com/s3/home?region=eu-west-1#"));
    assert_eq!(revisions[0].created.unwrap().iso8601(), "2026-10-01T13:00:00.000Z");
    assert_eq!((progress.external_id, progress.summary), (Some(id), revisions[0].summary.clone()));
}

#[tokio::test]
async fn the_object_tells_its_own_summary() {
    let stage = Stage::new();
    let told = headers(&[("x-amz-meta-codepipeline-artifact-revision-summary", "Release 7")]);
    stage.aws.world().s3.put("sources", "web/app.zip", b"new", told);
    let (progress, _, revisions) = success(stage.start(&s3_source()).await);
    assert_eq!(revisions[0].summary.as_deref(), Some("Release 7"));
    assert_eq!(progress.summary.as_deref(), Some("Release 7"));
}

#[tokio::test]
async fn a_start_request_pins_version_and_key() {
    let stage = Stage::new();
    let old = stage.aws.world().s3.put("sources", "web/app.zip", b"old", headers(&[]));
    stage.aws.world().s3.put("sources", "web/app.zip", b"new", headers(&[]));
    stage.aws.world().s3.put("sources", "web/other +ü.zip", b"other", headers(&[]));

    let mut action = s3_source();
    action.source_overrides = vec![pinned("S3_OBJECT_VERSION_ID", &old)];
    let (_, variables, _) = success(stage.start(&action).await);
    assert_eq!(variables["VersionId"], old);
    assert_eq!(stage.aws.world().s3.newest("artifacts", "ferry/app-src/Qm4TzX1.zip").unwrap().bytes, b"old");

    action.source_overrides = vec![pinned("S3_OBJECT_KEY", "web/other +ü.zip")];
    let (code, message) = failure(stage.start(&action).await);
    assert_eq!(code, "ConfigurationError");
    assert_eq!(
        message,
        "The source revision override names the object key 'web/other +ü.zip', and action Act does not allow it. Set \
         AllowOverrideForS3ObjectKey to true, or start the pipeline without the override."
    );
    action.configuration.insert("AllowOverrideForS3ObjectKey".to_owned(), "true".to_owned());
    let (_, variables, _) = success(stage.start(&action).await);
    assert_eq!(variables["ObjectKey"], "web/other +ü.zip");
    assert_eq!(stage.aws.world().s3.newest("artifacts", "ferry/app-src/Qm4TzX1.zip").unwrap().bytes, b"other");

    action.source_overrides[0].action_name = "Else".into();
    let (_, variables, _) = success(stage.start(&action).await);
    assert_eq!(variables["ObjectKey"], "web/app.zip");
}

#[tokio::test]
async fn each_thing_that_is_missing_has_its_own_words() {
    let stage = Stage::new();
    let action = s3_source();
    assert_eq!(
        failure(stage.start(&action).await),
        (
            "ConfigurationError".to_owned(),
            "The object with key 'web/app.zip' does not exist in the Amazon S3 bucket named sources.".to_owned()
        )
    );
    let mut pinned_action = s3_source();
    stage.aws.world().s3.put("sources", "web/app.zip", b"x", headers(&[]));
    pinned_action.source_overrides = vec![pinned("S3_OBJECT_VERSION_ID", "gone")];
    assert_eq!(
        failure(stage.start(&pinned_action).await).1,
        "The object with key 'web/app.zip' and version ID 'gone' does not exist in the Amazon S3 bucket named sources."
    );
    stage.aws.world().s3.bucket("sources", false);
    assert_eq!(
        failure(stage.start(&action).await),
        (
            "ConfigurationError".to_owned(),
            "Versioning is not enabled on the Amazon S3 bucket named sources. Enable versioning on the bucket, upload the \
             object again, and then try again."
                .to_owned()
        )
    );
    stage.aws.world().s3.buckets.remove("sources");
    assert_eq!(
        failure(stage.start(&action).await),
        (
            "ConfigurationError".to_owned(),
            "The Amazon S3 bucket named sources does not exist. Error: Amazon S3:NoSuchBucket:The specified bucket does \
             not exist (Service: Amazon S3; Status Code: 404; Error Code: NoSuchBucket; Request ID: R-1)"
                .to_owned()
        )
    );
    stage.aws.world().s3.bucket("sources", true);
    stage.aws.world().s3.put("sources", "web/app.zip", b"x", headers(&[]));
    stage.aws.world().s3.buckets.remove("artifacts");
    assert!(failure(stage.start(&action).await).1.starts_with("The Amazon S3 bucket named artifacts does not exist."));
}

/// moto names the element of its answer otherwise than AWS does.
#[tokio::test]
async fn versions_tell_where_the_bucket_cannot_be_understood() {
    let aws = Stage::new().aws;
    aws.world().s3.mumbles = true;
    let id = aws.world().s3.put("sources", "web/app.zip", b"new", headers(&[]));
    let (_, variables, _) = success(Stage::over(&aws, RealmKind::Other).start(&s3_source()).await);
    assert_eq!(variables["VersionId"], id);
    aws.world().s3.buckets.get_mut("sources").unwrap().objects.get_mut("web/app.zip").unwrap()[0].id =
        "null".to_owned();
    let (_, message) = failure(Stage::over(&aws, RealmKind::Other).start(&s3_source()).await);
    assert!(message.starts_with("Versioning is not enabled on the Amazon S3 bucket named sources."), "{message}");
    // AWS itself is understood, or something is wrong.
    let (_, message) = failure(Stage::over(&aws, RealmKind::Aws).start(&s3_source()).await);
    assert!(message.starts_with("The Amazon S3 bucket named sources cannot be used"), "{message}");
}

#[tokio::test]
async fn the_artifact_is_encrypted_as_its_store_says() {
    let stage = Stage::new();
    stage.aws.world().s3.put("sources", "web/app.zip", b"x", headers(&[]));
    let mut action = s3_source();
    let sse = |aws: &Aws| {
        let world = aws.world();
        let headers = &world.s3.newest("artifacts", "ferry/app-src/Qm4TzX1.zip").unwrap().headers;
        let get = |name: &str| headers.get(name).cloned();
        (get("x-amz-server-side-encryption"), get("x-amz-server-side-encryption-aws-kms-key-id"))
    };
    success(stage.start(&action).await);
    assert_eq!(sse(&stage.aws), (None, None));
    // AWS encrypts with the account's aws/s3 key where none is named.
    success(Stage::over(&stage.aws, RealmKind::Aws).start(&action).await);
    assert_eq!(sse(&stage.aws), (Some("aws:kms".to_owned()), None));
    action.encryption_key = Some("alias/ferry".to_owned());
    success(stage.start(&action).await);
    assert_eq!(sse(&stage.aws), (Some("aws:kms".to_owned()), Some("alias/ferry".to_owned())));
}

#[tokio::test]
async fn objects_past_five_gigabytes_are_copied_in_parts() {
    const SIZE: u64 = 5 * 1024 * 1024 * 1024 + 10;
    let stage = Stage::new();
    stage.aws.world().s3.put("sources", "web/app.zip", b"x", headers(&[]));
    {
        let mut world = stage.aws.world();
        let sources = world.s3.buckets.get_mut("sources").unwrap();
        sources.objects.get_mut("web/app.zip").unwrap()[0].pretends = Some(SIZE);
    }
    success(stage.start(&s3_source()).await);
    {
        let world = stage.aws.world();
        assert_eq!(world.log.iter().filter(|op| *op == "s3:UploadPartCopy").count(), 6);
        let ranges: Vec<&String> =
            world.requests.iter().filter_map(|r| r.headers.get("x-amz-copy-source-range")).collect();
        assert_eq!(ranges[0], "bytes=0-1073741823");
        assert_eq!(*ranges[5], format!("bytes=5368709120-{}", SIZE - 1));
        let object = world.s3.newest("artifacts", "ferry/app-src/Qm4TzX1.zip").unwrap();
        assert!(object.headers.contains_key("x-amz-meta-codepipeline-revision-id"));
    }
    stage.aws.world().denied.insert("s3:UploadPartCopy".to_owned());
    assert_eq!(failure(stage.start(&s3_source()).await).0, "PermissionError");
    assert!(stage.aws.world().s3.uploads.is_empty(), "a failed upload is taken back");
}

#[tokio::test]
async fn between_realms_the_bytes_pass_through() {
    let stage = Stage::new();
    let other = Aws::default();
    other.world().s3.bucket("artifacts", true);
    let far = realm(&other, RealmKind::Other, &stage.clock);
    let call = Call { artifacts: &far, ..stage.call() };
    for size in [0, 5, 8 * 1024 * 1024, 20 * 1024 * 1024 + 3] {
        let bytes: Vec<u8> = (0..size).map(|i: u32| i.to_le_bytes()[1]).collect();
        stage.aws.world().s3.put("sources", "web/app.zip", &bytes, headers(&[]));
        let action = s3_source();
        success(stage.provider(&action).start(&call, &action).await);
        let copied = other.world().s3.newest("artifacts", "ferry/app-src/Qm4TzX1.zip").unwrap().bytes.clone();
        assert_eq!(copied.len(), bytes.len());
        assert!(copied == bytes, "the bytes are the same");
    }
    assert_eq!(other.calls("s3:UploadPart"), 1 + 3);

    // A source that ends early is no artifact.
    stage.aws.world().s3.cut_short = 1;
    let before = other.world().s3.newest("artifacts", "ferry/app-src/Qm4TzX1.zip").unwrap().id.clone();
    let action = s3_source();
    let outcome = stage.provider(&action).start(&call, &action).await;
    assert!(matches!(outcome, Outcome::Unavailable { .. }), "{outcome:?}");
    assert_eq!(other.world().s3.newest("artifacts", "ferry/app-src/Qm4TzX1.zip").unwrap().id, before);
    assert!(other.world().s3.uploads.is_empty());
}

#[tokio::test]
async fn an_embedded_bucket_is_shown_in_our_own_console() {
    let stage = Stage::new();
    stage.aws.world().s3.put("sources", "web/app.zip", b"x", headers(&[]));
    let settings = towpath_providers::RealmSettings {
        name: "embedded".to_owned(),
        kind: RealmKind::Embedded,
        endpoints: towpath_providers::Endpoints::one("https://s3.fake.test"),
        credentials: towpath_providers::Credentials::new("AKIASERVICE", "s", None, None, "test").into(),
        http: stage.aws.http(),
        clock: stage.clock.clone(),
        console_url: Some("http://127.0.0.1:7400/console".to_owned()),
    };
    let ours = towpath_providers::Realm::new(settings);
    let call = Call { realm: &ours, artifacts: &ours, ..stage.call() };
    let action = s3_source();
    let (progress, ..) = success(stage.provider(&action).start(&call, &action).await);
    assert_eq!(progress.external_url.as_deref(), Some("http://127.0.0.1:7400/console/s3/sources"));
}
