//! S3 deploy: which objects are written, with what, and what stands in the way.

use std::collections::BTreeMap;

use towpath_model::action::Outcome;
use towpath_providers::RealmKind;

use crate::stage::{Stage, failure, s3_deploy, success, zip_of};

fn with_bundle(zip: &[u8]) -> Stage {
    let stage = Stage::new();
    stage.aws.world().s3.put("artifacts", "ferry/bundle/a1B2c3D", zip, BTreeMap::new());
    stage
}

/// Keys and media types of what lies in the deployment bucket.
fn deployed(stage: &Stage) -> Vec<(String, String)> {
    let world = stage.aws.world();
    let objects = &world.s3.buckets["site"].objects;
    objects.iter().map(|(key, versions)| (key.clone(), versions[0].headers["content-type"].clone())).collect()
}

#[tokio::test]
async fn every_file_becomes_an_object() {
    for kind in [RealmKind::Embedded, RealmKind::Aws, RealmKind::Other] {
        let files: [(&str, &[u8]); 4] =
            [("index.html", b"<p>"), ("js/app.js", b"1"), ("data/a b+ü.json", b"{}"), ("empty", b"")];
        let stage = Stage::over(&with_bundle(&zip_of(&files)).aws, kind);
        let action = s3_deploy(&[
            ("Extract", "true"),
            ("ObjectKey", "releases/{datetime}/{uuid}/"),
            ("CannedACL", "bucket-owner-full-control"),
            ("CacheControl", "max-age=300"),
        ]);
        let (progress, variables, revisions) = success(stage.start(&action).await);
        assert_eq!(progress.summary.as_deref(), Some("Deployment Succeeded"));
        let prefix = "releases/2026-10-01_13-42-12/22222222-2222-4222-8222-222222222222";
        assert_eq!(progress.external_id.unwrap(), format!("site/{prefix}"));
        let page = format!("https://console.aws.amazon.com/s3/buckets/site?region=eu-west-1&prefix={prefix}/");
        assert_eq!(progress.external_url.as_deref(), Some(page.as_str()));
        assert!(variables.is_empty() && revisions.is_empty());
        let names = [
            ("data/a b+ü.json", "application/json"),
            ("empty", "application/octet-stream"),
            ("index.html", "text/html"),
            ("js/app.js", "application/x-javascript"),
        ];
        assert_eq!(deployed(&stage), names.map(|(name, kind)| (format!("{prefix}/{name}"), kind.to_owned())));
        let world = stage.aws.world();
        for (name, bytes) in files {
            let object = world.s3.newest("site", &format!("{prefix}/{name}")).unwrap();
            assert_eq!(object.bytes, bytes, "{name}");
            assert_eq!(object.headers["x-amz-acl"], "bucket-owner-full-control");
            assert_eq!(object.headers["cache-control"], "max-age=300");
        }
        assert_eq!(std::fs::read_dir(stage.scratch.path()).unwrap().count(), 0, "nothing is left behind");
    }
}

#[tokio::test]
async fn the_artifact_becomes_one_object() {
    let zip = zip_of(&[("a", b"1")]);
    let stage = with_bundle(&zip);
    let action = s3_deploy(&[("Extract", "false"), ("ObjectKey", "app-{uuid}.zip")]);
    let (progress, ..) = success(stage.start(&action).await);
    let page = "https://console.aws.amazon.com/s3/buckets/site?region=eu-west-1";
    assert_eq!(progress.external_url.as_deref(), Some(page));
    let key = "app-22222222-2222-4222-8222-222222222222.zip";
    assert_eq!(progress.external_id.unwrap(), format!("site/{key}"));
    assert_eq!(deployed(&stage), [(key.to_owned(), "application/octet-stream".to_owned())]);
    assert_eq!(stage.aws.world().s3.newest("site", key).unwrap().bytes, zip);
    assert_eq!(stage.aws.calls("s3:CopyObject"), 1);
    assert_eq!(stage.aws.calls("s3:GetObject"), 0, "no byte passes through here");
}

#[tokio::test]
async fn large_files_are_uploaded_in_parts_and_large_artifacts_survive_a_broken_connection() {
    let big: Vec<u8> =
        (0..17 * 1024 * 1024_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0]).collect();
    let exact = vec![3; 16 * 1024 * 1024];
    let stage = with_bundle(&zip_of(&[("big.bin", &big), ("exact.bin", &exact), ("small", b"s")]));
    stage.aws.world().s3.cut_short = 2;
    success(stage.start(&s3_deploy(&[("Extract", "true")])).await);
    let world = stage.aws.world();
    for (name, bytes) in [("big.bin", &big), ("exact.bin", &exact), ("small", &b"s".to_vec())] {
        assert!(world.s3.newest("site", name).unwrap().bytes == *bytes, "{name}");
    }
    assert!(world.s3.uploads.is_empty());
    let count = |wanted: &str| world.log.iter().filter(|op| *op == wanted).count();
    assert_eq!((count("s3:CreateMultipartUpload"), count("s3:UploadPart"), count("s3:GetObject")), (2, 5, 3));
}

#[tokio::test]
async fn an_upload_that_fails_in_the_middle_is_taken_back() {
    let stage = with_bundle(&zip_of(&[("big.bin", &vec![3; 9 * 1024 * 1024])]));
    stage.aws.world().denied.insert("s3:UploadPart".to_owned());
    assert_eq!(failure(stage.start(&s3_deploy(&[("Extract", "true")])).await).0, "PermissionError");
    let world = stage.aws.world();
    assert!(world.s3.uploads.is_empty() && world.s3.newest("site", "big.bin").is_none());
}

#[tokio::test]
async fn what_the_artifact_is_not() {
    let action = s3_deploy(&[("Extract", "true")]);
    let stage = with_bundle(b"hello");
    assert_eq!(
        failure(stage.start(&action).await),
        (
            "JobFailed".to_owned(),
            "The archive is malformed: the artifact bundle cannot be extracted: it is not a zip file.".to_owned()
        )
    );
    let mut zip = zip_of(&[("a.png", b"hello")]);
    let at = zip.windows(5).position(|w| w == b"hello").unwrap();
    zip[at] = b'j';
    let stage = with_bundle(&zip);
    assert_eq!(
        failure(stage.start(&action).await).1,
        "The archive is malformed: the artifact bundle cannot be extracted: the entry \"a.png\" is damaged."
    );
    assert!(stage.aws.world().s3.newest("site", "a.png").is_none());
    for extract in ["true", "false"] {
        let stage = Stage::new();
        let action = s3_deploy(&[("Extract", extract), ("ObjectKey", "x")]);
        assert_eq!(
            failure(stage.start(&action).await),
            (
                "ConfigurationError".to_owned(),
                "Unable to access the artifact with Amazon S3 object key 'ferry/bundle/a1B2c3D' located in the Amazon S3 \
                 artifact bucket 'artifacts'. The object does not exist: the action that should have made it wrote nothing."
                    .to_owned()
            )
        );
    }
}

#[tokio::test]
async fn what_the_bucket_refuses() {
    let stage = with_bundle(&zip_of(&[("a", b"1")]));
    let action = s3_deploy(&[("Extract", "true")]);
    stage.aws.world().denied.insert("s3:PutObject".to_owned());
    let (code, message) = failure(stage.start(&action).await);
    assert_eq!(code, "PermissionError");
    assert!(
        message.starts_with(
            "You do not have sufficient permissions to call s3.putObject for the deployment bucket, site. Verify that the \
             policy on the resource allows you to perform this task."
        ),
        "{message}"
    );
    stage.aws.world().denied.clear();
    stage.aws.world().s3.buckets.remove("site");
    let (code, message) = failure(stage.start(&action).await);
    assert_eq!(code, "ConfigurationError");
    assert_eq!(
        message,
        "The deployment bucket, site, does not exist in Region eu-west-1. The specified bucket does not exist (Service: \
         Amazon S3; Status Code: 404; Error Code: NoSuchBucket; Request ID: R-1)"
    );
}

#[tokio::test]
async fn configurations_that_cannot_be_used() {
    let stage = with_bundle(&zip_of(&[("a", b"1")]));
    for (configuration, text) in [
        (
            vec![("Extract", "maybe")],
            "Invalid value for configuration property 'maybe': 'Extract'. Edit your pipeline and set 'Extract' to either \
             'true' or 'false'.",
        ),
        (
            vec![("Extract", "false")],
            "When the extract feature is disabled, you must provide an object. Edit your pipeline to fix the configuration.",
        ),
        (
            vec![("Extract", "true"), ("CannedACL", "everybody")],
            "CannedACL is 'everybody'; it must be one of private, public-read, public-read-write, authenticated-read, \
             aws-exec-read, bucket-owner-read, bucket-owner-full-control.",
        ),
        (
            vec![("Extract", "true"), ("KMSEncryptionKeyARN", "alias/x")],
            "KMSEncryptionKeyARN is not supported by Towpath's own S3: there is no AWS KMS beside it. Remove it, and the \
             bucket's own encryption is used; or deploy to a realm that has AWS KMS.",
        ),
    ] {
        let outcome = stage.start(&s3_deploy(&configuration)).await;
        assert_eq!(failure(outcome), ("ConfigurationError".to_owned(), text.to_owned()));
    }
    assert!(stage.aws.world().requests.is_empty(), "nothing was asked");
}

#[tokio::test]
async fn a_scratch_directory_that_is_gone_is_ours_to_mend() {
    let stage = with_bundle(&zip_of(&[("a", b"1")]));
    std::fs::remove_dir(stage.scratch.path()).unwrap();
    let outcome = stage.start(&s3_deploy(&[("Extract", "true")])).await;
    let Outcome::Unavailable { message } = outcome else { panic!("{outcome:?}") };
    assert!(message.starts_with("cannot keep the artifact bundle while it is deployed: "), "{message}");
}

#[tokio::test]
async fn objects_are_encrypted_with_the_key_where_there_is_kms() {
    for extract in ["true", "false"] {
        let stage = Stage::over(&with_bundle(&zip_of(&[("a.txt", b"1")])).aws, RealmKind::Aws);
        let action = s3_deploy(&[
            ("Extract", extract),
            ("ObjectKey", "x"),
            ("KMSEncryptionKeyARN", "alias/site"),
            ("CannedACL", "private"),
        ]);
        success(stage.start(&action).await);
        let key = if extract == "true" { "x/a.txt" } else { "x" };
        let world = stage.aws.world();
        let headers = &world.s3.newest("site", key).unwrap().headers;
        assert_eq!(headers["x-amz-server-side-encryption"], "aws:kms");
        assert_eq!(headers["x-amz-server-side-encryption-aws-kms-key-id"], "alias/site");
        assert_eq!(headers["x-amz-acl"], "private");
    }
}

#[tokio::test]
async fn a_bucket_is_written_to_in_its_own_region() {
    for (region, may_ask) in [("us-east-1", true), ("ap-south-1", true), ("eu-west-1", false)] {
        let stage = Stage::over(&with_bundle(&zip_of(&[("a.txt", b"1")])).aws, RealmKind::Other);
        region.clone_into(&mut stage.aws.world().s3.buckets.get_mut("site").unwrap().region);
        if !may_ask {
            stage.aws.world().denied.insert("s3:GetBucketLocation".to_owned());
        }
        let (progress, ..) = success(stage.start(&s3_deploy(&[("Extract", "true")])).await);
        let page = format!("https://console.aws.amazon.com/s3/buckets/site?region={region}");
        assert_eq!(progress.external_url.as_deref(), Some(page.as_str()));
        let world = stage.aws.world();
        let put = world.requests.iter().rfind(|request| request.method == "PUT").unwrap();
        assert_eq!(put.region, region);
    }
    let stage = Stage::over(&with_bundle(&zip_of(&[("a.txt", b"1")])).aws, RealmKind::Other);
    stage.aws.world().s3.buckets.remove("site");
    let (code, message) = failure(stage.start(&s3_deploy(&[("Extract", "true")])).await);
    assert!(
        code == "ConfigurationError" && message.starts_with("The deployment bucket, site, does not exist"),
        "{message}"
    );
}
