//! Inputs of another Region: what is copied, as whom, and what is said when it cannot be.

use std::collections::BTreeMap;

use towpath_model::action::{ActionInvocation, ArtifactCopy, ArtifactLocation, Outcome};
use towpath_providers::{RealmKind, copy_inputs};

use crate::stage::{ACTION_ROLE, PIPELINE_ROLE, Stage, artifact, build, failure};

fn abroad() -> ActionInvocation {
    let from = artifact("app_src", "ferry/app_src/Qm4TzX1.zip");
    let to = ArtifactLocation {
        bucket: "artifacts-west".to_owned(),
        key: "ferry/app_src/Zz11223.zip".to_owned(),
        region: "us-west-2".to_owned(),
        ..from.clone()
    };
    ActionInvocation {
        region: "us-west-2".to_owned(),
        role_arn: Some(ACTION_ROLE.to_owned()),
        input_artifacts: vec![to.clone()],
        copies: vec![ArtifactCopy { from, to }],
        ..build()
    }
}

fn stage(kind: RealmKind) -> Stage {
    let stage = Stage::over(&Stage::new().aws, kind);
    let headers = [("x-amz-meta-codepipeline-revision-id", "rev-7"), ("content-type", "application/zip")];
    let headers: BTreeMap<String, String> = headers.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    {
        let mut world = stage.aws.world();
        world.s3.bucket("artifacts-west", true);
        world.s3.put("artifacts", "ferry/app_src/Qm4TzX1.zip", b"zip", headers);
    }
    stage
}

#[tokio::test]
async fn an_input_is_copied_to_the_actions_region_with_the_pipelines_role() {
    for kind in [RealmKind::Embedded, RealmKind::Aws] {
        let stage = stage(kind);
        for _ in 0..2 {
            copy_inputs(&stage.call(), &abroad()).await.unwrap();
            let world = stage.aws.world();
            let copied = world.s3.newest("artifacts-west", "ferry/app_src/Zz11223.zip").unwrap();
            assert_eq!(copied.bytes, b"zip");
            assert_eq!(copied.headers["x-amz-meta-codepipeline-revision-id"], "rev-7", "the revision travels with it");
        }
        let world = stage.aws.world();
        let roles: Vec<_> = world.sessions.values().map(|session| session.role.as_str()).collect();
        assert!(roles.iter().all(|role| *role == PIPELINE_ROLE), "{roles:?}");
        let region = |wanted: &str| {
            let of = |r: &&crate::world::Request| r.service == "s3" && r.method == wanted;
            world.requests.iter().find(of).unwrap().region.clone()
        };
        assert_eq!((region("HEAD").as_str(), region("PUT").as_str()), ("eu-west-1", "us-west-2"));
    }
}

#[tokio::test]
async fn without_copies_nothing_is_asked() {
    let stage = Stage::new();
    copy_inputs(&stage.call(), &build()).await.unwrap();
    assert!(stage.aws.world().requests.is_empty());
}

#[tokio::test]
async fn what_cannot_be_copied_is_said_as_of_a_missing_artifact() {
    let fails = async |stage: &Stage| failure(*copy_inputs(&stage.call(), &abroad()).await.unwrap_err());
    let bad = stage(RealmKind::Embedded);
    bad.aws.world().s3.buckets.get_mut("artifacts").unwrap().objects.clear();
    let (code, message) = fails(&bad).await;
    assert_eq!(code, "ConfigurationError");
    assert_eq!(
        message,
        "Unable to access the artifact with Amazon S3 object key 'ferry/app_src/Qm4TzX1.zip' located in the Amazon S3 \
         artifact bucket 'artifacts'. The object does not exist: the action that should have made it wrote nothing."
    );
    let bad = stage(RealmKind::Embedded);
    bad.aws.world().denied.insert("s3:CopyObject".to_owned());
    let (code, message) = fails(&bad).await;
    assert_eq!(code, "PermissionError");
    assert!(
        message.starts_with(
            "Unable to access the artifact with Amazon S3 object key 'ferry/app_src/Zz11223.zip' located in the Amazon S3 \
             artifact bucket 'artifacts-west'. The provided role does not have sufficient permissions. User: "
        ),
        "{message}"
    );
    let bad = stage(RealmKind::Embedded);
    bad.aws.world().throttled.insert("s3:CopyObject".to_owned(), u32::MAX);
    let outcome = *copy_inputs(&bad.call(), &abroad()).await.unwrap_err();
    assert!(matches!(outcome, Outcome::Unavailable { .. }), "{outcome:?}");
}
