//! Invoke / CodePipeline: what it starts, and what refusals become.

use serde_json::json;
use towpath_model::action::Outcome;
use towpath_providers::RealmKind;

use crate::codepipeline_peer::CodePipelinePeer;
use crate::stage::{Stage, failure, pipeline_invoke, success};

#[tokio::test]
async fn another_pipeline_is_started_with_variables_and_revisions() {
    let stage = Stage::over(&Stage::new().aws, RealmKind::Aws);
    let peer = CodePipelinePeer::new(&stage);
    let variables = json!([{"name": "Target", "value": "prod"}]);
    let revisions = json!([{"actionName": "Src", "revisionType": "COMMIT_ID", "revisionValue": "abc"}]);
    let action = pipeline_invoke(&[("Variables", &variables.to_string()), ("SourceRevisions", &revisions.to_string())]);
    let (progress, told, _) = success(stage.start(&action).await);
    assert!(told.is_empty(), "it has no variables");
    let id = format!("execution-of-{}", action.action_execution_id);
    assert_eq!(progress.external_id.as_deref(), Some(id.as_str()));
    assert_eq!(
        progress.external_url,
        Some(format!(
            "https://console.aws.amazon.com/codesuite/codepipeline/pipelines/ferry-prod/executions/{id}/timeline?region=eu-west-1"
        ))
    );
    assert_eq!(progress.summary, Some(format!("Started the execution {id} of the pipeline ferry-prod.")));
    let token = action.action_execution_id.as_str();
    let expected = json!({"name": "ferry-prod", "clientRequestToken": token, "variables": variables,
        "sourceRevisions": revisions});
    assert_eq!(peer.started(), [expected]);
}

#[tokio::test]
async fn without_either_nothing_of_them_is_said() {
    let stage = Stage::new();
    let peer = CodePipelinePeer::new(&stage);
    success(stage.start(&pipeline_invoke(&[("Variables", "[]"), ("SourceRevisions", " ")])).await);
    let mut names: Vec<_> = peer.started()[0].as_object().unwrap().keys().cloned().collect();
    names.sort();
    assert_eq!(names, ["clientRequestToken", "name"]);
}

#[tokio::test]
async fn pipelines_that_cannot_be_started() {
    let stage = Stage::new();
    let peer = CodePipelinePeer::new(&stage);
    let (code, message) = failure(stage.start(&pipeline_invoke(&[("PipelineName", "nowhere")])).await);
    assert_eq!(code, "ConfigurationError");
    assert_eq!(
        message,
        "Error calling startPipelineExecution: The account with id '111122223333' does not include a pipeline with the name \
         'nowhere' (Service: AWSCodePipeline; Status Code: 400; Error Code: PipelineNotFoundException; Request ID: R-1)"
    );
    let (code, message) = failure(stage.start(&pipeline_invoke(&[("Variables", "prod")])).await);
    assert_eq!(code, "ConfigurationError");
    assert!(message.starts_with("The value of Variables is not valid: it must be a JSON array"), "{message}");

    peer.0.lock().unwrap().busy = 1;
    let outcome = stage.start(&pipeline_invoke(&[])).await;
    assert!(matches!(outcome, Outcome::Unavailable { .. }), "a busy pipeline is asked again: {outcome:?}");
    success(stage.start(&pipeline_invoke(&[])).await);
}
