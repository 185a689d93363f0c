//! A whole life of a pipeline: everything it needs is made, it is tagged, run, approved, held up, retried, changed,
//! stopped, looked back upon, listened for, and taken down again with all it needed. With the SDK's waiters and paginators.

use std::time::Duration;

use aws_sdk_codepipeline::error::ProvideErrorMetadata as _;
use aws_sdk_codepipeline::types::{
    ApprovalResult, ApprovalStatus, ExecutionMode, PipelineDeclaration, PipelineExecutionStatus, StageRetryMode,
    StageTransitionType, Tag, WebhookAuthConfiguration, WebhookAuthenticationType, WebhookDefinition,
    WebhookFilterRule,
};
use aws_sdk_iam::client::Waiters as _;
use aws_sdk_s3::client::Waiters as _;

use crate::support::{
    ACCOUNT, BUILD_ROLE, PIPELINE_ROLE, REGION, STORE, World, approval, codebuild, eventually, pipeline, s3_deploy,
    s3_source, stage, zip,
};

const PATIENCE: Duration = Duration::from_secs(30);
const SPEC: &str = "version: 0.2\nphases:\n  build:\n    commands: ['tr a-z A-Z < page.txt > shout.txt']\n\
    artifacts:\n  files: [shout.txt]\n";

fn declared() -> PipelineDeclaration {
    pipeline(
        "life",
        vec![
            stage("Source", vec![s3_source("Fetch", "source", "app.zip").output("src")]),
            stage("Build", vec![codebuild("Make", "life").input("src").output("built")]),
            stage("Gate", vec![approval("Ok")]),
            stage("Deploy", vec![s3_deploy("Put", "site").input("built").set("Extract", "true")]),
        ],
    )
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build().unwrap()
}

async fn answer(world: &World, status: ApprovalStatus) {
    let result = ApprovalResult::builder().status(status).summary("seen").build().unwrap();
    let put = world.pipelines.put_approval_result().pipeline_name("life").stage_name("Gate").action_name("Ok");
    put.token(world.token("life", "Gate", "Ok").await).result(result).send().await.unwrap();
}

#[tokio::test]
async fn from_nothing_to_nothing() {
    let world = World::new().await;
    set_up(&world).await;
    let arn = format!("arn:aws:codepipeline:{REGION}:{ACCOUNT}:life");
    let made = world.pipelines.create_pipeline().pipeline(declared()).tags(tag("team", "web")).send().await.unwrap();
    assert_eq!((made.pipeline().unwrap().version(), made.tags()), (Some(1), &[tag("team", "web")][..]));
    let more = world.pipelines.tag_resource().resource_arn(&arn).tags(tag("stage", "test"));
    more.tags(tag("team", "data")).send().await.unwrap();
    world.pipelines.untag_resource().resource_arn(&arn).tag_keys("team").send().await.unwrap();
    let tags = world.pipelines.list_tags_for_resource().resource_arn(&arn).into_paginator().items().send();
    assert_eq!(tags.try_collect().await.unwrap(), [tag("stage", "test")]);

    let first = rejected_retried_held_up(&world).await;
    let (second, third) = changed_and_stopped(&world).await;
    check_history(&world, [&third, &second, &first]).await;
    webhook(&world).await;
    take_down(&world).await;
}

async fn set_up(world: &World) {
    for role in [PIPELINE_ROLE, BUILD_ROLE] {
        world.iam.wait_until_role_exists().role_name(role).wait(PATIENCE).await.unwrap();
    }
    for (bucket, versioned) in [("source", true), ("site", false)] {
        world.bucket(bucket, versioned).await;
        world.s3.wait_until_bucket_exists().bucket(bucket).wait(PATIENCE).await.unwrap();
    }
    world.put("source", "app.zip", zip(&[("page.txt", b"hello\n"), ("buildspec.yml", SPEC.as_bytes())])).await;
    world.s3.wait_until_object_exists().bucket("source").key("app.zip").wait(PATIENCE).await.unwrap();
    world.project("life", SPEC).await;
}

/// The first execution: rejected, retried, approved, held before Deploy, let go.
async fn rejected_retried_held_up(world: &World) -> String {
    let api = &world.pipelines;
    let listed = api.list_pipeline_executions().pipeline_name("life").send().await.unwrap();
    let first = listed.pipeline_execution_summaries()[0].pipeline_execution_id().unwrap().to_owned();
    answer(world, ApprovalStatus::Rejected).await;
    assert_eq!(world.ended("life", &first).await, PipelineExecutionStatus::Failed);
    let close = api.disable_stage_transition().pipeline_name("life").stage_name("Deploy").reason("freeze");
    close.transition_type(StageTransitionType::Inbound).send().await.unwrap();
    let retry = api.retry_stage_execution().pipeline_name("life").stage_name("Gate").pipeline_execution_id(&first);
    let retried = retry.retry_mode(StageRetryMode::FailedActions).send().await.unwrap();
    assert_eq!(retried.pipeline_execution_id(), Some(&*first));
    answer(world, ApprovalStatus::Approved).await;
    eventually("the closed transition", async || world.stage("life", "Deploy").await.inbound_execution).await;
    assert_eq!(world.keys("site").await, Vec::<String>::new(), "nothing is deployed");
    let open = api.enable_stage_transition().pipeline_name("life").stage_name("Deploy");
    open.transition_type(StageTransitionType::Inbound).send().await.unwrap();
    world.succeeds("life", &first).await;
    assert_eq!(world.text("site", "shout.txt").await, "HELLO\n");
    first
}

/// A second execution, of a changed definition; a third that is stopped.
async fn changed_and_stopped(world: &World) -> (String, String) {
    let api = &world.pipelines;
    let mut changed = declared();
    changed.execution_mode = Some(ExecutionMode::Queued);
    let updated = api.update_pipeline().pipeline(changed).send().await.unwrap();
    assert_eq!(updated.pipeline().unwrap().version(), Some(2));
    let got = api.get_pipeline().name("life").send().await.unwrap();
    assert_eq!(got.pipeline().unwrap().execution_mode(), Some(&ExecutionMode::Queued));
    let second = world.start_execution("life").await;
    answer(world, ApprovalStatus::Approved).await;
    world.succeeds("life", &second).await;
    let third = world.start_execution("life").await;
    world.token("life", "Gate", "Ok").await;
    let stop = api.stop_pipeline_execution().pipeline_name("life").pipeline_execution_id(&third);
    stop.abandon(true).reason("enough").send().await.unwrap();
    assert_eq!(world.ended("life", &third).await, PipelineExecutionStatus::Stopped);
    (second, third)
}

async fn check_history(world: &World, newest_first: [&str; 3]) {
    use PipelineExecutionStatus::{Stopped, Succeeded};
    let api = &world.pipelines;
    let rows = api.list_pipeline_executions().pipeline_name("life").into_paginator().page_size(1).items().send();
    let rows = rows.try_collect().await.unwrap();
    let ids: Vec<_> = rows.iter().filter_map(|row| row.pipeline_execution_id()).collect();
    assert_eq!(ids, newest_first);
    let ends: Vec<_> = rows.iter().filter_map(|row| row.status()).collect();
    assert_eq!(ends, [&Stopped, &Succeeded, &Succeeded]);
    let rows = api.list_action_executions().pipeline_name("life").into_paginator().page_size(2).items().send();
    let rows = rows.try_collect().await.unwrap();
    let of_first = rows.iter().filter(|row| row.pipeline_execution_id() == Some(newest_first[2]));
    let names: Vec<_> = of_first.filter_map(|row| row.action_name()).collect();
    assert_eq!(names, ["Put", "Ok", "Ok", "Make", "Fetch"]);
    let pipelines = api.list_pipelines().into_paginator().page_size(1).items().send().try_collect().await.unwrap();
    assert_eq!(pipelines.iter().filter_map(|row| row.name()).collect::<Vec<_>>(), ["life"]);
    let types = api.list_action_types().into_paginator().items().send().try_collect().await.unwrap();
    assert!(types.iter().any(|kind| kind.id().unwrap().provider() == "S3"));
}

async fn webhook(world: &World) {
    let api = &world.pipelines;
    let filter = WebhookFilterRule::builder().json_path("$.ref").match_equals("refs/heads/{S3ObjectKey}");
    let hook = WebhookDefinition::builder().name("hook").target_pipeline("life").target_action("Fetch");
    let hook = hook.filters(filter.build().unwrap()).authentication(WebhookAuthenticationType::GithubHmac);
    let secret = WebhookAuthConfiguration::builder().secret_token("s3cr3t-unique").build();
    let hook = hook.authentication_configuration(secret).build().unwrap();
    let made = api.put_webhook().webhook(hook).send().await.unwrap().webhook.unwrap();
    let shown = made.definition().unwrap().authentication_configuration().unwrap().secret_token();
    assert_eq!(shown, Some("****"));
    let listed = api.list_webhooks().into_paginator().page_size(1).items().send().try_collect().await.unwrap();
    assert_eq!(listed, [made]);
    api.delete_webhook().name("hook").send().await.unwrap();
    assert!(api.list_webhooks().send().await.unwrap().webhooks().is_empty());
}

async fn take_down(world: &World) {
    world.pipelines.delete_pipeline().name("life").send().await.unwrap();
    let gone = world.pipelines.get_pipeline().name("life").send().await.unwrap_err().into_service_error();
    assert!(gone.is_pipeline_not_found_exception(), "{gone:?}");
    let text = format!("The account with AWS account ID '{ACCOUNT}' does not include a pipeline named 'life'");
    assert_eq!(gone.message(), Some(text.as_str()));
    world.builds.delete_project().name("life").send().await.unwrap();
    for bucket in ["source", "site", STORE] {
        let listed = world.s3.list_object_versions().bucket(bucket).send().await.unwrap();
        for version in listed.versions() {
            let delete = world.s3.delete_object().bucket(bucket).key(version.key().unwrap());
            delete.version_id(version.version_id().unwrap()).send().await.unwrap();
        }
        world.s3.delete_bucket().bucket(bucket).send().await.unwrap();
        world.s3.wait_until_bucket_not_exists().bucket(bucket).wait(PATIENCE).await.unwrap();
    }
    for role in [PIPELINE_ROLE, BUILD_ROLE] {
        world.iam.delete_role_policy().role_name(role).policy_name("all").send().await.unwrap();
        world.iam.delete_role().role_name(role).send().await.unwrap();
    }
    assert!(world.iam.list_roles().send().await.unwrap().roles().is_empty());
    assert!(world.s3.list_buckets().send().await.unwrap().buckets().is_empty());
}
