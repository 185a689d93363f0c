//! PutApprovalResult: tokens, rejection, what an answered or outdated approval says.

use aws_sdk_codepipeline::error::ProvideErrorMetadata as _;
use aws_sdk_codepipeline::types::{
    ActionCategory, ActionExecutionStatus, ApprovalResult, ApprovalStatus, PipelineDeclaration, PipelineExecutionStatus,
};

use crate::support::{World, approval, pipeline, rehearsal, stage};

fn gated(name: &str) -> PipelineDeclaration {
    pipeline(
        name,
        vec![
            stage("Source", vec![rehearsal("Fetch", ActionCategory::Source).output("App")]),
            stage("Gate", vec![approval("SignOff")]),
        ],
    )
}

fn result(status: ApprovalStatus, summary: &str) -> ApprovalResult {
    ApprovalResult::builder().status(status).summary(summary).build().unwrap()
}

#[tokio::test]
async fn a_rejection_fails_the_action_without_error_details() {
    let world = World::new().await;
    let id = world.create(gated("gated")).await;
    let token = world.token("gated", "Gate", "SignOff").await;
    let put = || {
        let put = world.pipelines.put_approval_result().pipeline_name("gated").stage_name("Gate");
        put.action_name("SignOff").result(result(ApprovalStatus::Rejected, "not today"))
    };
    let wrong = put().token("1a2b3c4d-0000-4000-8000-000000000003").send().await.unwrap_err().into_service_error();
    assert!(wrong.is_invalid_approval_token_exception(), "{wrong:?}");
    let elsewhere = put().token(&token).stage_name("Nowhere").send().await.unwrap_err().into_service_error();
    assert!(elsewhere.is_stage_not_found_exception(), "{elsewhere:?}");
    let nobody = put().token(&token).action_name("Nobody").send().await.unwrap_err().into_service_error();
    assert!(nobody.is_action_not_found_exception(), "{nobody:?}");
    let nothing = put().token(&token).pipeline_name("nothing").send().await.unwrap_err().into_service_error();
    assert!(nothing.is_pipeline_not_found_exception(), "{nothing:?}");

    put().token(&token).send().await.unwrap();
    assert_eq!(world.ended("gated", &id).await, PipelineExecutionStatus::Failed);
    let latest = world.action("gated", "Gate", "SignOff").await.latest_execution.unwrap();
    assert_eq!((latest.status(), latest.summary()), (Some(&ActionExecutionStatus::Failed), Some("not today")));
    assert_eq!((latest.error_details(), latest.token()), (None, None));
    let again = put().token(&token).send().await.unwrap_err().into_service_error();
    assert!(again.is_approval_already_completed_exception(), "{again:?}");
}

#[tokio::test]
async fn an_update_outdates_an_open_approval() {
    let world = World::new().await;
    let id = world.create(gated("gated")).await;
    let token = world.token("gated", "Gate", "SignOff").await;
    world.pipelines.update_pipeline().pipeline(gated("gated")).send().await.unwrap();
    assert_eq!(world.ended("gated", &id).await, PipelineExecutionStatus::Cancelled);
    let latest = world.action("gated", "Gate", "SignOff").await.latest_execution.unwrap();
    assert_eq!(latest.summary(), Some("The approval action has been canceled."));
    let put = world.pipelines.put_approval_result().pipeline_name("gated").stage_name("Gate").action_name("SignOff");
    let late = put.token(token).result(result(ApprovalStatus::Approved, "")).send().await.unwrap_err();
    let late = late.into_service_error();
    assert!(late.is_invalid_approval_token_exception(), "{late:?}");
    assert_eq!(
        late.message(),
        Some("The pipeline gated has been updated, and the approval request you responded to is now out of date.")
    );
}
