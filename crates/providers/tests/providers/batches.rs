//! Batch builds of a CodeBuild that has them.

use serde_json::{Value, json};
use towpath_model::action::{ActionInvocation, Outcome, Progress};
use towpath_model::catalogue::Category;
use towpath_providers::RealmKind;

use crate::stage::{Stage, build, failure, pending, success};

const ID: &str = "ferry-build:batch-1";

fn on_aws() -> Stage {
    Stage::over(&Stage::new().aws, RealmKind::Aws)
}

fn batch(more: &[(&str, &str)]) -> ActionInvocation {
    let mut action = build();
    action.configuration.insert("BatchEnabled".to_owned(), "true".to_owned());
    action.configuration.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    action
}

fn end(stage: &Stage, status: &str, more: &Value) {
    let mut world = stage.aws.world();
    for batch in world.codebuild.batches.values_mut() {
        batch["buildBatchStatus"] = json!(status);
        batch["complete"] = json!(true);
        for (name, value) in more.as_object().unwrap() {
            batch[name] = value.clone();
        }
    }
}

fn groups(states: &[(&str, &str)]) -> Value {
    let group =
        |(name, state): &(&str, &str)| json!({"identifier": name, "currentBuildSummary": {"buildStatus": state}});
    json!({"buildGroups": states.iter().map(group).collect::<Vec<_>>()})
}

#[tokio::test]
async fn a_batch_has_a_builds_overrides_and_its_own_link() {
    let stage = on_aws();
    let action = batch(&[("CombineArtifacts", "true"), ("BuildspecOverride", "ci/batch.yml")]);
    let progress = pending(stage.start(&action).await);
    assert_eq!(progress.external_id.as_deref(), Some(ID));
    assert_eq!(
        progress.external_url.as_deref(),
        Some(
            "https://eu-west-1.console.aws.amazon.com/codesuite/codebuild/111122223333/projects/ferry-build/batch/\
             ferry-build%3Abatch-1"
        )
    );
    let started = stage.aws.world().codebuild.batched[0].clone();
    assert_eq!(started["sourceLocationOverride"], "artifacts/ferry/app_src/Qm4TzX1.zip");
    assert_eq!(started["artifactsOverride"]["name"], "a1B2c3D");
    assert_eq!(started["buildspecOverride"], "ci/batch.yml");
    assert_eq!(started["buildBatchConfigOverride"], json!({"combineArtifacts": true}));
    assert_eq!(started["idempotencyToken"], "22222222-2222-4222-8222-222222222222");
    // The same start again is the same batch.
    assert_eq!(pending(stage.start(&action).await), progress);
    assert_eq!(stage.aws.world().codebuild.batched.len(), 1);
    assert!(stage.aws.world().codebuild.started.is_empty());
    // Without CombineArtifacts the project's own configuration holds.
    let stage = on_aws();
    pending(stage.start(&batch(&[])).await);
    assert_eq!(stage.aws.world().codebuild.batched[0]["buildBatchConfigOverride"], json!(null));
}

#[tokio::test]
async fn a_batch_tells_how_far_it_is_and_how_it_ended() {
    let stage = on_aws();
    let action = batch(&[]);
    let progress = pending(stage.start(&action).await);
    let half = groups(&[("lint", "SUCCEEDED"), ("unit", "IN_PROGRESS"), ("docs", "FAILED"), ("e2e", "IN_PROGRESS")]);
    end(&stage, "IN_PROGRESS", &half);
    assert_eq!(pending(stage.poll(&action, &progress).await).percent, Some(50));
    // A process that knows nothing of the start asks again with the same token.
    assert_eq!(pending(stage.poll(&action, &Progress::default()).await).external_id.as_deref(), Some(ID));
    end(&stage, "SUCCEEDED", &groups(&[("lint", "SUCCEEDED")]));
    let (last, variables, _) = success(stage.poll(&action, &progress).await);
    assert_eq!((last.percent, variables.len()), (Some(100), 0));
    end(&stage, "FAILED", &groups(&[("lint", "SUCCEEDED"), ("unit", "FAILED"), ("docs", "STOPPED")]));
    let text = "Build batch terminated with state: FAILED. Builds that did not succeed: unit, docs";
    assert_eq!(failure(stage.poll(&action, &progress).await), ("JobFailed".to_owned(), text.to_owned()));
    let phases = json!({"buildGroups": [], "phases": [{"phaseType": "DOWNLOAD_BATCHSPEC", "phaseStatus": "FAILED",
        "contexts": [{"statusCode": "YAML_FILE_ERROR", "message": "no batch"}]}]});
    end(&stage, "FAILED", &phases);
    let text = "Build batch terminated with state: FAILED. Phase: DOWNLOAD_BATCHSPEC, Code: YAML_FILE_ERROR, Message: no batch";
    assert_eq!(failure(stage.poll(&action, &progress).await), ("JobFailed".to_owned(), text.to_owned()));
}

#[tokio::test]
async fn a_batch_is_stopped_as_a_batch() {
    let stage = on_aws();
    let action = batch(&[]);
    assert_eq!(stage.stop(&action, &Progress::default()).await, Ok(()));
    let progress = pending(stage.start(&action).await);
    for _ in 0..2 {
        assert_eq!(stage.stop(&action, &progress).await, Ok(()));
    }
    assert_eq!(stage.aws.world().codebuild.stopped, [ID]);
    stage.aws.world().codebuild.batches.clear();
    assert_eq!(stage.stop(&action, &progress).await, Ok(()), "gone is stopped");
    assert_eq!(
        failure(stage.poll(&action, &progress).await),
        ("JobFailed".to_owned(), format!("Build batch {ID} does not exist"))
    );
    stage.aws.world().denied.insert("codebuild:StopBuildBatch".to_owned());
    let refused = stage.stop(&action, &progress).await.unwrap_err();
    assert!(refused.starts_with("Error calling stopBuildBatch: User: "), "{refused}");
}

#[tokio::test]
async fn throttling_and_refusals_of_batches() {
    for operation in ["codebuild:StartBuildBatch", "codebuild:BatchGetBuildBatches"] {
        let run = async |stage: &Stage| {
            let action = batch(&[]);
            match stage.start(&action).await {
                Outcome::Pending { progress } => {
                    end(stage, "SUCCEEDED", &json!({}));
                    stage.poll(&action, &progress).await
                }
                other => other,
            }
        };
        let stage = on_aws();
        stage.aws.world().throttled.insert(operation.to_owned(), 2);
        success(run(&stage).await);
        let stage = on_aws();
        stage.aws.world().throttled.insert(operation.to_owned(), u32::MAX);
        let outcome = run(&stage).await;
        assert!(matches!(outcome, Outcome::Unavailable { .. }), "{outcome:?}");
        let stage = on_aws();
        stage.aws.world().denied.insert(operation.to_owned());
        let (code, message) = failure(run(&stage).await);
        assert_eq!(code, "JobFailed");
        assert!(message.contains(&format!("is not authorized to perform: {operation}")), "{message}");
    }
}

#[tokio::test]
async fn the_embedded_codebuild_says_that_it_has_none() {
    let stage = Stage::new();
    for category in [Category::Build, Category::Test, Category::Rule] {
        let mut action = batch(&[]);
        action.action_type.category = category;
        let (code, message) = failure(stage.start(&action).await);
        assert_eq!(code, "ConfigurationError");
        assert_eq!(
            message,
            "BatchEnabled: the embedded CodeBuild runs no batch builds. Run one CodeBuild action for each build, or let this \
             one run on AWS: `[realm.aws]` with `providers = [\"CodeBuild\"]` and `staging-bucket = \"...\"` in towpath.toml."
        );
    }
    let mut alone = build();
    alone.configuration.insert("CombineArtifacts".to_owned(), "true".to_owned());
    let (_, message) = failure(stage.start(&alone).await);
    assert_eq!(message, "CombineArtifacts needs BatchEnabled. Set BatchEnabled to true, or remove CombineArtifacts.");
    for key in ["BatchEnabled", "CombineArtifacts"] {
        alone.configuration.insert(key.to_owned(), "false".to_owned());
    }
    pending(stage.start(&alone).await);
}
