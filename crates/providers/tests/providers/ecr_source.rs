//! ECR source: the image a tag or a digest means, the file that tells of it, and each way it can be missing.

use std::collections::BTreeMap;

use towpath_model::action::{ActionInvocation, SourceRevisionOverride};
use towpath_model::catalogue::{Category, Owner};

use crate::ecr_peer::Ecr;
use crate::stage::{Stage, artifact, failure, invocation, success, unzipped};

pub const DIGEST: &str = "sha256:0c2a7e7f8d7b9a1c0c2a7e7f8d7b9a1c0c2a7e7f8d7b9a1c0c2a7e7f8d7b9a1c";

pub fn ecr_source() -> ActionInvocation {
    let configuration = [("RepositoryName", "towline/web"), ("ImageTag", "stable")];
    ActionInvocation {
        output_artifacts: vec![artifact("image-ref", "ferry/image-ref/Qm4TzX1")],
        ..invocation(Category::Source, Owner::Aws, "ECR", &configuration)
    }
}

pub fn with_an_image(stage: &Stage) {
    stage.aws.world().peers.insert("ecr".to_owned(), Box::new(Ecr::with("towline/web", "stable", DIGEST)));
}

fn prepared() -> Stage {
    let stage = Stage::new();
    with_an_image(&stage);
    stage
}

#[tokio::test]
async fn a_tag_becomes_image_detail_json() {
    let stage = prepared();
    let (progress, variables, revisions) = success(stage.start(&ecr_source()).await);
    let uri = format!("111122223333.dkr.ecr.eu-west-1.amazonaws.com/towline/web@{DIGEST}");
    let world = stage.aws.world();
    let object = world.s3.newest("artifacts", "ferry/image-ref/Qm4TzX1").unwrap();
    assert_eq!(object.headers["x-amz-meta-codepipeline-revision-id"], DIGEST);
    let files = unzipped(&object.bytes);
    assert_eq!(files.keys().map(String::as_str).collect::<Vec<_>>(), ["imageDetail.json"]);
    assert_eq!(
        String::from_utf8_lossy(&files["imageDetail.json"]),
        format!(
            r#"{{"ImageSizeInBytes":"44728918","ImageDigest":"{DIGEST}","Version":"1.0","ImagePushedAt":"Mon Jan 21 20:04:00 UTC 2019","RegistryId":"111122223333","RepositoryName":"towline/web","ImageURI":"{uri}","ImageTags":["stable","v1"]}}"#
        )
    );
    let told = [
        ("ImageDigest", DIGEST),
        ("ImageTag", "stable"),
        ("ImageURI", &uri),
        ("RegistryId", "111122223333"),
        ("RepositoryName", "towline/web"),
    ];
    assert_eq!(variables, BTreeMap::from(told.map(|(key, value)| (key.to_owned(), value.to_owned()))));
    assert_eq!((revisions.len(), revisions[0].id.as_str()), (1, DIGEST));
    assert_eq!((revisions[0].artifact.as_str(), revisions[0].action.as_str()), ("image-ref", "Act"));
    assert_eq!(revisions[0].created.unwrap().iso8601(), "2019-01-21T20:04:00.000Z");
    assert_eq!((progress.external_id.as_deref(), progress.summary.as_deref()), (Some(DIGEST), Some(uri.as_str())));
    let page =
        "https://eu-west-1.console.aws.amazon.com/ecr/repositories/private/111122223333/towline/web?region=eu-west-1";
    assert_eq!(progress.external_url.as_deref(), Some(page));
}

#[tokio::test]
async fn a_pinned_digest_goes_before_the_tag() {
    let stage = prepared();
    let pinned = |kind: &str, value: &str| SourceRevisionOverride {
        action_name: "Act".into(),
        revision_type: kind.to_owned(),
        revision_value: value.to_owned(),
    };
    let mut action = ecr_source();
    action.configuration.insert("ImageTag".to_owned(), "gone".to_owned());
    action.source_overrides = vec![pinned("IMAGE_DIGEST", DIGEST)];
    let (_, variables, _) = success(stage.start(&action).await);
    assert_eq!(variables["ImageDigest"], DIGEST);
    assert!(!variables.contains_key("ImageTag"), "what was asked for is no tag");
    action.source_overrides = vec![pinned("COMMIT_ID", "abc")];
    let (code, message) = failure(stage.start(&action).await);
    assert_eq!(code, "ConfigurationError");
    assert!(message.contains("has the type COMMIT_ID, and an Amazon ECR source knows IMAGE_DIGEST only"), "{message}");
}

#[tokio::test]
async fn each_way_it_can_be_missing() {
    let stage = prepared();
    let mut action = ecr_source();
    action.configuration.remove("ImageTag");
    let (code, message) = failure(stage.start(&action).await);
    assert_eq!(code, "ConfigurationError");
    let start = "The image with tag 'latest' does not exist in the Amazon ECR repository named towline/web. Push it";
    assert!(message.starts_with(start) && message.contains("Error Code: ImageNotFoundException"), "{message}");

    action.configuration.insert("RepositoryName".to_owned(), "towline/none".to_owned());
    let (code, message) = failure(stage.start(&action).await);
    assert_eq!(code, "ConfigurationError");
    assert_eq!(
        message,
        "The Amazon ECR repository named towline/none does not exist in Region eu-west-1. Error: The repository with name \
         'towline/none' does not exist in the registry with id '111122223333' (Service: AmazonECR; Status Code: 400; Error \
         Code: RepositoryNotFoundException; Request ID: R-1)"
    );

    action.configuration.remove("RepositoryName");
    let (code, message) = failure(stage.start(&action).await);
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("ConfigurationError", "The configuration of action Act lacks RepositoryName.")
    );
}
