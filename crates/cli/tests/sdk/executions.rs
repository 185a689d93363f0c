//! Executions: starts and their tokens, histories in pages, transitions, retries, stops, pipeline variables.

use aws_sdk_codepipeline::error::ProvideErrorMetadata as _;
use aws_sdk_codepipeline::types::{
    ActionCategory, ActionExecutionFilter, LatestInPipelineExecutionFilter, PipelineDeclaration,
    PipelineExecutionStatus, PipelineVariable, PipelineVariableDeclaration, StageRetryMode, StageTransitionType,
    StartTimeRange, TriggerType,
};

use crate::support::{ACCOUNT, World, eventually, pipeline, rehearsal, stage};

fn declared(name: &str, outcome: &str) -> PipelineDeclaration {
    pipeline(
        name,
        vec![
            stage("Source", vec![rehearsal("Fetch", ActionCategory::Source).output("App")]),
            stage(
                "Build",
                vec![
                    rehearsal("Good", ActionCategory::Build).input("App"),
                    rehearsal("Bad", ActionCategory::Build)
                        .input("App")
                        .set("Outcome", outcome)
                        .set("Message", "as told"),
                    rehearsal("After", ActionCategory::Build).input("App").order(2),
                ],
            ),
        ],
    )
}

#[tokio::test]
async fn starts_are_told_apart_by_their_token() {
    let world = World::new().await;
    let first = world.create(declared("tokens", "succeed")).await;
    world.succeeds("tokens", &first).await;
    let start =
        |token: &str| world.pipelines.start_pipeline_execution().name("tokens").client_request_token(token).send();
    let one = start("token-1").await.unwrap().pipeline_execution_id().unwrap().to_owned();
    let same = start("token-1").await.unwrap().pipeline_execution_id().unwrap().to_owned();
    let two = start("token-2").await.unwrap().pipeline_execution_id().unwrap().to_owned();
    assert_eq!(one, same);
    assert_ne!(one, two);
    let bad = start("no_underscores").await.unwrap_err().into_service_error();
    assert_eq!(bad.code(), Some("ValidationException"), "{bad:?}");
    let ended = world.ended("tokens", &one).await;
    assert!(matches!(ended, PipelineExecutionStatus::Succeeded | PipelineExecutionStatus::Superseded), "{ended:?}");
    world.succeeds("tokens", &two).await;

    let listed = world.pipelines.list_pipeline_executions().pipeline_name("tokens").send().await.unwrap();
    let summaries = listed.pipeline_execution_summaries();
    let ids: Vec<_> = summaries.iter().map(|s| s.pipeline_execution_id().unwrap()).collect();
    assert_eq!(ids, [two.as_str(), one.as_str(), first.as_str()], "newest first");
    let kinds: Vec<_> = summaries.iter().map(|s| s.trigger().unwrap().trigger_type().unwrap().clone()).collect();
    assert_eq!(
        kinds,
        [TriggerType::StartPipelineExecution, TriggerType::StartPipelineExecution, TriggerType::CreatePipeline]
    );
    let who = summaries[0].trigger().unwrap().trigger_detail();
    assert_eq!(who, Some(&*format!("arn:aws:iam::{ACCOUNT}:root")));
    assert!(summaries[0].start_time() <= summaries[0].last_update_time());

    let gone = world.pipelines.get_pipeline_execution().pipeline_name("tokens");
    let gone = gone.pipeline_execution_id("00000000-0000-4000-8000-000000000000").send().await.unwrap_err();
    let gone = gone.into_service_error();
    assert!(gone.is_pipeline_execution_not_found_exception(), "{gone:?}");
    let text = "Pipeline Execution with id '00000000-0000-4000-8000-000000000000' does not exist in pipeline with name \
                'tokens'";
    assert_eq!(gone.message(), Some(text));
}

#[tokio::test]
async fn histories_come_in_pages() {
    let world = World::new().await;
    let mut ids = vec![world.create(declared("pages", "succeed")).await];
    world.succeeds("pages", &ids[0]).await;
    for _ in 0..4 {
        ids.push(world.start_execution("pages").await);
        world.succeeds("pages", ids.last().unwrap()).await;
    }
    ids.reverse();
    let mut seen = Vec::new();
    let executions = world.pipelines.list_pipeline_executions().pipeline_name("pages").max_results(2);
    let mut pages = executions.into_paginator().items().send();
    while let Some(summary) = pages.next().await {
        seen.push(summary.unwrap().pipeline_execution_id().unwrap().to_owned());
    }
    assert_eq!(seen, ids);

    let (mut rows, mut sizes) = (Vec::new(), Vec::new());
    let actions = world.pipelines.list_action_executions().pipeline_name("pages").max_results(7);
    let mut pages = actions.into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        sizes.push(page.action_execution_details().len());
        rows.extend(page.action_execution_details().iter().map(|r| r.action_execution_id().unwrap().to_owned()));
    }
    assert_eq!(sizes, [7, 7, 6], "four actions of five executions");
    rows.sort();
    rows.dedup();
    assert_eq!(rows.len(), 20, "each once");
    let own = world.rows("pages", &ids[0]).await;
    assert!(own.len() == 4 && own.iter().all(|r| r.pipeline_execution_id() == Some(ids[0].as_str())), "{own:?}");

    let first = world.pipelines.list_pipeline_executions().pipeline_name("pages").max_results(2).send().await.unwrap();
    let token = first.next_token().unwrap();
    let other = world.pipelines.list_action_executions().pipeline_name("pages").next_token(token).send().await;
    let other = other.unwrap_err().into_service_error();
    assert!(other.is_invalid_next_token_exception(), "{other:?}");
    let many = world.pipelines.list_action_executions().pipeline_name("pages").max_results(101).send().await;
    assert_eq!(many.unwrap_err().into_service_error().code(), Some("ValidationException"));
}

#[tokio::test]
async fn a_closed_transition_holds_an_execution() {
    let world = World::new().await;
    let first = world.create(declared("held", "succeed")).await;
    world.succeeds("held", &first).await;
    let disable = world.pipelines.disable_stage_transition().pipeline_name("held").stage_name("Build");
    disable.transition_type(StageTransitionType::Inbound).reason("a freeze").send().await.unwrap();
    let id = world.start_execution("held").await;
    let waiting = eventually("the execution at the gate", async || {
        world.stage("held", "Build").await.inbound_execution.map(|e| e.pipeline_execution_id().to_owned())
    })
    .await;
    assert_eq!(waiting, id);
    let state = world.stage("held", "Build").await;
    let transition = state.inbound_transition_state().unwrap();
    assert!(!transition.enabled());
    assert_eq!(transition.disabled_reason(), Some("a freeze"));
    assert_eq!(transition.last_changed_by(), Some(&*format!("arn:aws:iam::{ACCOUNT}:root")));
    assert_eq!(state.latest_execution().unwrap().pipeline_execution_id(), first);
    assert_eq!(world.execution("held", &id).await.status(), Some(&PipelineExecutionStatus::InProgress));
    // A newer one takes the place of the one that waits.
    let newer = world.start_execution("held").await;
    assert_eq!(world.ended("held", &id).await, PipelineExecutionStatus::Superseded);

    let enable = world.pipelines.enable_stage_transition().pipeline_name("held").stage_name("Build");
    enable.transition_type(StageTransitionType::Inbound).send().await.unwrap();
    world.succeeds("held", &newer).await;
    let state = world.stage("held", "Build").await;
    let transition = state.inbound_transition_state().unwrap();
    assert_eq!((transition.enabled(), transition.disabled_reason()), (true, None));
    assert!(state.inbound_executions().is_empty());
    let nowhere = world.pipelines.enable_stage_transition().pipeline_name("held").stage_name("Nowhere");
    let nowhere = nowhere.transition_type(StageTransitionType::Inbound).send().await.unwrap_err().into_service_error();
    assert!(nowhere.is_stage_not_found_exception(), "{nowhere:?}");
}

#[tokio::test]
async fn a_failed_stage_is_tried_again() {
    let world = World::new().await;
    let id = world.create(declared("retried", "fail")).await;
    let (code, message) = world.fails("retried", &id, "Bad").await;
    assert_eq!((code.as_str(), message.as_str()), ("JobFailed", "as told"));
    let count = async |action: &str| {
        world.rows("retried", &id).await.iter().filter(|r| r.action_name() == Some(action)).count()
    };
    assert_eq!((count("Good").await, count("Bad").await, count("After").await), (1, 1, 0));
    let retry = |stage: &str, execution: &str, mode| {
        let retry = world.pipelines.retry_stage_execution().pipeline_name("retried").stage_name(stage);
        retry.pipeline_execution_id(execution).retry_mode(mode).send()
    };
    let same = retry("Build", &id, StageRetryMode::FailedActions).await.unwrap();
    assert_eq!(same.pipeline_execution_id(), Some(id.as_str()));
    world.fails("retried", &id, "Bad").await;
    assert_eq!((count("Good").await, count("Bad").await), (1, 2));
    retry("Build", &id, StageRetryMode::AllActions).await.unwrap();
    world.fails("retried", &id, "Bad").await;
    assert_eq!((count("Good").await, count("Bad").await), (2, 3));

    let latest = async |range: StartTimeRange| {
        let only = LatestInPipelineExecutionFilter::builder().pipeline_execution_id(&id).start_time_range(range);
        let filter = ActionExecutionFilter::builder().latest_in_pipeline_execution(only.build().unwrap()).build();
        let listed = world.pipelines.list_action_executions().pipeline_name("retried").filter(filter).send().await;
        listed.unwrap().action_execution_details().len()
    };
    assert_eq!((latest(StartTimeRange::All).await, latest(StartTimeRange::Latest).await), (6, 3));

    let early = retry("Source", &id, StageRetryMode::FailedActions).await.unwrap_err().into_service_error();
    assert!(early.is_stage_not_retryable_exception(), "{early:?}");
    let nowhere = retry("Nowhere", &id, StageRetryMode::FailedActions).await.unwrap_err().into_service_error();
    assert!(nowhere.is_stage_not_found_exception(), "{nowhere:?}");
    let newer = world.start_execution("retried").await;
    world.fails("retried", &newer, "Bad").await;
    let older = retry("Build", &id, StageRetryMode::FailedActions).await.unwrap_err().into_service_error();
    assert!(older.is_not_latest_pipeline_execution_exception(), "{older:?}");

    // An updated pipeline is another one; what failed before is not tried again.
    world.pipelines.update_pipeline().pipeline(declared("retried", "succeed")).send().await.unwrap();
    let outdated = retry("Build", &newer, StageRetryMode::FailedActions).await.unwrap_err().into_service_error();
    assert!(outdated.is_stage_not_retryable_exception(), "{outdated:?}");
    let fixed = world.start_execution("retried").await;
    world.succeeds("retried", &fixed).await;
    assert_eq!(world.execution("retried", &fixed).await.pipeline_version(), Some(2));
    assert_eq!(world.execution("retried", &id).await.pipeline_version(), Some(1));
}

#[tokio::test]
async fn a_hanging_execution_is_abandoned_once() {
    let world = World::new().await;
    let id = world.create(declared("hanging", "hang")).await;
    world.external_id("hanging", "Build", "Bad").await;
    let stop = || world.pipelines.stop_pipeline_execution().pipeline_name("hanging").pipeline_execution_id(&id);
    stop().reason("wait first").send().await.unwrap();
    stop().abandon(true).reason("no more").send().await.unwrap();
    assert_eq!(world.ended("hanging", &id).await, PipelineExecutionStatus::Stopped);
    let again = stop().abandon(true).send().await.unwrap_err().into_service_error();
    assert!(again.is_pipeline_execution_not_stoppable_exception(), "{again:?}");
    let text = format!(
        "The pipeline execution with ID '{id}' in 'hanging' can't be stopped now. Either it does not exist in the \
         pipeline, or the pipeline execution has no action executions in progress."
    );
    assert_eq!(again.message(), Some(text.as_str()));
    let summary = world.execution("hanging", &id).await;
    assert_eq!(summary.status_summary(), Some("no more"));
}

#[tokio::test]
async fn pipeline_variables_are_bound_at_the_start() {
    let world = World::new().await;
    let mut with = pipeline(
        "variables",
        vec![
            stage("Source", vec![rehearsal("Fetch", ActionCategory::Source).output("App")]),
            stage(
                "Deploy",
                vec![
                    rehearsal("Ship", ActionCategory::Deploy)
                        .input("App")
                        .set("Message", "to #{variables.Where} as #{variables.Who}"),
                ],
            ),
        ],
    );
    let declare = |name: &str, default: Option<&str>| {
        let declared = PipelineVariableDeclaration::builder().name(name);
        declared.set_default_value(default.map(str::to_owned)).build().unwrap()
    };
    with.variables = Some(vec![declare("Where", Some("staging")), declare("Who", None)]);
    let first = world.create(with).await;
    assert_eq!(world.ended("variables", &first).await, PipelineExecutionStatus::Failed);
    let failed = world.execution("variables", &first).await;
    assert_eq!(failed.status_summary(), Some("Values for required variables haven't been provided: Who"));
    assert_eq!(world.rows("variables", &first).await.len(), 0);

    let value = |name: &str, value: &str| PipelineVariable::builder().name(name).value(value).build().unwrap();
    let start = |values: Vec<PipelineVariable>| {
        world.pipelines.start_pipeline_execution().name("variables").set_variables(Some(values)).send()
    };
    let id = start(vec![value("Who", "me"), value("unknown", "x")]).await.unwrap();
    let id = id.pipeline_execution_id().unwrap();
    world.succeeds("variables", id).await;
    let shipped = world.row("variables", id, "Ship").await;
    assert_eq!(shipped.input().unwrap().resolved_configuration().unwrap()["Message"], "to staging as me");
    let bound = world.execution("variables", id).await;
    let bound: Vec<_> = bound.variables().iter().map(|v| (v.name().unwrap(), v.resolved_value().unwrap())).collect();
    assert_eq!(bound, [("Where", "staging"), ("Who", "me")]);
    let twice = start(vec![value("Who", "a"), value("Who", "b")]).await.unwrap_err().into_service_error();
    assert_eq!(twice.code(), Some("ValidationException"), "{twice:?}");
}
