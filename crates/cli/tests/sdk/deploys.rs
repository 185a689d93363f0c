//! The S3 deployment: as one object or as files, with placeholders, headers and a canned ACL.

use aws_sdk_codepipeline::types::ActionCategory;
use aws_sdk_s3::types::{ObjectOwnership, Permission};

use crate::support::{World, pipeline, rehearsal, s3_deploy, s3_source, stage, zip};

const PAGE: &[u8] = b"<p>hello</p>";

#[tokio::test]
async fn files_and_whole_artifacts_with_their_headers() {
    let world = World::new().await;
    world.bucket("sources", true).await;
    // A bucket of today refuses ACLs, and public ones above all, until its owner allows them.
    let site = world.s3.create_bucket().bucket("site").object_ownership(ObjectOwnership::BucketOwnerPreferred);
    site.send().await.unwrap();
    world.s3.delete_public_access_block().bucket("site").send().await.unwrap();
    world.bucket("archive", false).await;
    let artifact = zip(&[
        ("index.html", PAGE),
        ("app.js", b"1"),
        ("css/site.css", b"a{}"),
        ("data.json", b"{}"),
        ("logo.png", b"\x89PNG"),
        ("no-extension", b"?"),
        ("with space & plus+.txt", b"odd"),
    ]);
    world.put("sources", "site.zip", artifact.clone()).await;
    world.put("site", "2023/old.html", b"kept".to_vec()).await;
    let id = world
        .create(pipeline(
            "deploys",
            vec![
                stage("Source", vec![s3_source("Fetch", "sources", "site.zip").output("Site")]),
                stage(
                    "Deploy",
                    vec![
                        s3_deploy("Files", "site")
                            .input("Site")
                            .set("Extract", "true")
                            .set("ObjectKey", "2023/")
                            .set("CannedACL", "public-read")
                            .set("CacheControl", "public, max-age=60"),
                        s3_deploy("Whole", "archive")
                            .input("Site")
                            .set("Extract", "false")
                            .set("ObjectKey", "at-{datetime}/{uuid}.zip")
                            .set("CacheControl", "no-store"),
                        s3_deploy("Root", "archive").input("Site").set("Extract", "true"),
                    ],
                ),
            ],
        ))
        .await;
    world.succeeds("deploys", &id).await;

    let types = [
        ("app.js", "application/x-javascript"),
        ("css/site.css", "text/css"),
        ("data.json", "application/json"),
        ("index.html", "text/html"),
        ("logo.png", "image/png"),
        ("no-extension", "application/octet-stream"),
        ("with space & plus+.txt", "text/plain"),
    ];
    let mut keys: Vec<String> = types.iter().map(|(name, _)| format!("2023/{name}")).collect();
    keys.push("2023/old.html".to_owned());
    keys.sort();
    assert_eq!(world.keys("site").await, keys, "what was there stays");
    for (name, media) in types {
        let head = world.s3.head_object().bucket("site").key(format!("2023/{name}")).send().await.unwrap();
        assert_eq!((head.content_type(), head.cache_control()), (Some(media), Some("public, max-age=60")), "{name}");
    }
    let acl = world.s3.get_object_acl().bucket("site").key("2023/index.html").send().await.unwrap();
    let everyone = |uri: Option<&str>| uri == Some("http://acs.amazonaws.com/groups/global/AllUsers");
    let read = acl
        .grants()
        .iter()
        .any(|g| g.permission() == Some(&Permission::Read) && g.grantee().is_some_and(|who| everyone(who.uri())));
    assert!(read, "{acl:?}");
    assert_eq!(world.read("site", "2023/index.html").await, PAGE);
    assert_eq!(world.text("site", "2023/with space & plus+.txt").await, "odd");

    // One object for the whole artifact, beside the files without a prefix.
    let archived = world.keys("archive").await;
    let whole: Vec<&String> = archived.iter().filter(|key| key.starts_with("at-")).collect();
    let [whole] = whole.as_slice() else { panic!("one archive: {archived:?}") };
    let (date, name) = whole.strip_prefix("at-").unwrap().split_once('/').unwrap();
    let digits = |text: &str, pattern: &str| {
        text.len() == pattern.len()
            && text.chars().zip(pattern.chars()).all(|(c, p)| if p == '0' { c.is_ascii_digit() } else { c == p })
    };
    assert!(digits(date, "0000-00-00_00-00-00"), "{date}");
    let uuid = name.strip_suffix(".zip").unwrap();
    assert!(uuid.len() == 36 && uuid.split('-').map(str::len).eq([8, 4, 4, 4, 12]), "{uuid}");
    assert!(world.read("archive", whole).await == artifact, "the artifact as it is");
    let head = world.s3.head_object().bucket("archive").key(whole.as_str()).send().await.unwrap();
    assert_eq!(head.cache_control(), Some("no-store"));
    assert_eq!(archived.len(), types.len() + 1);
    let head = world.s3.head_object().bucket("archive").key("index.html").send().await.unwrap();
    assert_eq!((head.content_type(), head.cache_control()), (Some("text/html"), None));
}

#[tokio::test]
async fn what_cannot_be_deployed_says_why() {
    let world = World::new().await;
    world.bucket("sources", true).await;
    world.bucket("live", false).await;
    world.put("sources", "app", b"this is no archive".to_vec()).await;
    let stages = |publish| {
        vec![stage("Source", vec![s3_source("Fetch", "sources", "app").output("App")]), stage("Deploy", vec![publish])]
    };
    let nowhere = s3_deploy("Publish", "nowhere").input("App").set("Extract", "false").set("ObjectKey", "k");
    let id = world.create(pipeline("nowhere", stages(nowhere))).await;
    let (code, message) = world.fails("nowhere", &id, "Publish").await;
    assert_eq!(code, "ConfigurationError");
    assert!(message.starts_with("The deployment bucket, nowhere, does not exist in Region us-east-1."), "{message}");

    let acl = s3_deploy("Publish", "live").input("App").set("Extract", "false").set("ObjectKey", "k");
    let id = world.create(pipeline("acl", stages(acl.set("CannedACL", "public-read")))).await;
    let (code, message) = world.fails("acl", &id, "Publish").await;
    assert_eq!(code, "ConfigurationError");
    let begin = "The deployment bucket, live, does not allow ACLs. Remove CannedACL, or set it to bucket-owner-full-control, or \
                 enable ACLs on the bucket. ";
    assert!(message.starts_with(begin), "{message}");
    let words = "The bucket does not allow ACLs (Service: Amazon S3; Status Code: 400; Error Code: \
                 AccessControlListNotSupported; Request ID: ";
    assert!(message.contains(words), "{message}");

    let unpacked = s3_deploy("Publish", "live").input("App").set("Extract", "true");
    let id = world.create(pipeline("unpacked", stages(unpacked))).await;
    let (code, message) = world.fails("unpacked", &id, "Publish").await;
    assert_eq!(code, "JobFailed");
    assert!(message.starts_with("The archive is malformed: the artifact App cannot be extracted:"), "{message}");

    // A rehearsed source writes nothing; whoever reads its artifact says that it is not there.
    let missing = vec![
        stage("Source", vec![rehearsal("Fetch", ActionCategory::Source).output("App")]),
        stage("Deploy", vec![s3_deploy("Publish", "live").input("App").set("Extract", "true")]),
    ];
    let id = world.create(pipeline("missing", missing)).await;
    let (code, message) = world.fails("missing", &id, "Publish").await;
    assert_eq!(code, "ConfigurationError");
    assert!(message.starts_with("Unable to access the artifact with Amazon S3 object key 'missing/App/"), "{message}");
    assert_eq!(world.keys("live").await, Vec::<String>::new());

    let slip = zip(&[("../escaped", b"x")]);
    world.put("sources", "app", slip).await;
    let id = world.start_execution("unpacked").await;
    let (code, message) = world.fails("unpacked", &id, "Publish").await;
    assert_eq!(code, "JobFailed");
    assert!(message.contains("../escaped"), "{message}");
    assert_eq!(world.keys("live").await, Vec::<String>::new());
}
