//! A directory in place of the service that a source action names.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::action::{ActionInvocation, Outcome};
use towpath_model::catalogue::{ActionTypes, Category, Owner};
use towpath_providers::working_tree::{Description, WorkingTree, keys, may_stand_in};
use towpath_providers::{Catalogue, Provider, Service, Settings};

use crate::stage::{Stage, artifact, failure, invocation, s3_source, success};

/// The provider behind it is one that needs the world; nothing of it is asked here.
fn tree() -> WorkingTree {
    let inner = Box::new(towpath_providers::s3_source::S3Source::new());
    WorkingTree::new(inner, BTreeSet::from(["Act".to_owned()]))
}

fn fetch() -> ActionInvocation {
    ActionInvocation {
        output_artifacts: vec![artifact("app-src", "ferry/app-src/Qm4TzX1.zip")],
        ..invocation(Category::Source, Owner::Aws, "S3", &[("S3Bucket", "nowhere"), ("S3ObjectKey", "k")])
    }
}

fn description() -> Description {
    Description {
        revision: "0123456789abcdef0123456789abcdef01234567-dirty-37d06ac6b54d".to_owned(),
        summary: "changed since: One".to_owned(),
        created: Some(1_790_863_200_000),
        variables: BTreeMap::from([("CommitId".to_owned(), "0123".to_owned())]),
    }
}

fn lay(stage: &Stage) {
    let (zip, json) = keys("ferry", "Act");
    let mut world = stage.aws.world();
    world.s3.put("artifacts", &zip, b"the files", [].into());
    world.s3.put("artifacts", &json, &serde_json::to_vec(&description()).unwrap(), [].into());
}

#[tokio::test]
async fn the_directory_becomes_the_artifact_and_says_what_it_is() {
    let stage = Stage::new();
    lay(&stage);
    for _ in 0..2 {
        let (progress, variables, revisions) = success(tree().start(&stage.call(), &fetch()).await);
        assert_eq!(progress.external_id.as_deref(), Some(description().revision.as_str()));
        assert_eq!(progress.summary.as_deref(), Some("changed since: One"));
        assert_eq!(variables, description().variables);
        assert_eq!(
            (revisions[0].id.as_str(), revisions[0].artifact.as_str()),
            (description().revision.as_str(), "app-src")
        );
        let world = stage.aws.world();
        let made = world.s3.newest("artifacts", "ferry/app-src/Qm4TzX1.zip").unwrap();
        assert_eq!(made.bytes, b"the files");
        assert_eq!(made.headers["x-amz-meta-codepipeline-revision-id"], description().revision);
    }
    assert_eq!(std::fs::read_dir(stage.scratch.path()).unwrap().count(), 0, "nothing is left behind");
    assert_eq!(tree().service_of(&fetch()), None, "it needs no realm");
}

#[tokio::test]
async fn without_its_objects_or_with_other_ones_the_action_fails() {
    let stage = Stage::new();
    let (code, message) = failure(tree().start(&stage.call(), &fetch()).await);
    assert_eq!(code, "ConfigurationError");
    assert!(message.contains("towpath-run/ferry/Act.zip"), "{message}");
    lay(&stage);
    let (_, json) = keys("ferry", "Act");
    stage.aws.world().s3.put("artifacts", &json, b"{}", [].into());
    let (code, message) = failure(tree().start(&stage.call(), &fetch()).await);
    assert_eq!(code, "InternalError");
    assert!(message.contains("does not describe a directory"), "{message}");
    stage.aws.world().throttled.insert("s3:GetObject".to_owned(), u32::MAX);
    let outcome = tree().start(&stage.call(), &fetch()).await;
    assert!(matches!(outcome, Outcome::Unavailable { .. } | Outcome::Failed { .. }), "{outcome:?}");
}

#[tokio::test]
async fn actions_of_other_names_go_to_the_service() {
    let stage = Stage::new();
    stage.aws.world().s3.put("sources", "web/app.zip", b"zip", [].into());
    let other = ActionInvocation { action_name: "Other".into(), ..s3_source() };
    let (_, variables, _) = success(tree().start(&stage.call(), &other).await);
    assert_eq!(variables["BucketName"], "sources");
    assert_eq!(tree().service_of(&other), Some(Service::S3));
}

#[test]
fn sources_but_s3_can_be_stood_in_for() {
    let catalogue = Catalogue::new(Settings { rehearsal: true });
    for entry in catalogue.all() {
        let id = &entry.id;
        let expected = id.category == Category::Source && id.provider != "S3" && id.owner != Owner::Custom;
        assert_eq!(may_stand_in(entry), expected, "{id:?}");
    }
    let stood_in = Catalogue::new(Settings { rehearsal: true }).standing_in(&BTreeSet::from(["Act".to_owned()]));
    assert_eq!(stood_in.all().len(), catalogue.all().len(), "the entries stay what they are");
}
