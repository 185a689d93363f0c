//! Whole executions through orchestrator, engine, store and provider.

mod support;

use std::sync::Arc;

use serde_json::json;
use support::{action, approval, create, ended, orchestrator, pipeline, scope, start, three_stages, until};
use towpath_model::event::Event;
use towpath_model::state::{ActionStatus, ExecutionStatus, StageStatus};
use towpath_orchestrator::{CommandError, NewPipeline};
use towpath_store::{MemoryStore, SqliteStore, Store};

#[tokio::test]
async fn a_pipeline_runs_to_its_end_and_its_history_is_in_order() {
    let bench = orchestrator(Arc::new(MemoryStore::new())).await;
    let id = create(&bench, three_stages("p")).await;
    let execution = ended(&bench, "p", &id).await;
    assert_eq!(execution.status, ExecutionStatus::Succeeded);
    let history = bench.history(&id, 0, 100).await.expect("history");
    let sequences: Vec<u64> = history.iter().map(|entry| entry.sequence).collect();
    assert!(sequences.windows(2).all(|pair| pair[0] < pair[1]), "{sequences:?}");
    let actions = bench.list_actions(&scope(), "p", Some(&id), false, None, 100).await.expect("actions");
    let names: Vec<&str> = actions.records.iter().map(|record| record.action.as_str()).collect();
    assert_eq!(names, ["Ship", "Compile", "Fetch"], "newest start first");
    assert_eq!(bench.tasks_pending(), 0, "nothing is left in the outbox");
}

#[tokio::test]
async fn a_failed_action_is_retried_and_the_same_execution_goes_on() {
    let bench = orchestrator(Arc::new(MemoryStore::new())).await;
    let declaration = pipeline(
        "p",
        &[
            ("Source", vec![action("Fetch", "Source", 1, &json!({}))]),
            ("Build", vec![action("Compile", "Build", 1, &json!({"Outcome": "fail", "Message": "no such luck"}))]),
        ],
    );
    let id = create(&bench, declaration).await;
    let failed = ended(&bench, "p", &id).await;
    assert_eq!(failed.status, ExecutionStatus::Failed);
    let attempt = failed.stages[1].actions[0].latest.as_ref().expect("an attempt");
    assert_eq!(attempt.status, ActionStatus::Failed);
    assert_eq!(attempt.error.as_ref().map(|e| e.message.as_str()), Some("no such luck"));

    let mode = towpath_model::declaration::RetryMode::FailedActions;
    bench.retry_stage(&scope(), "p", "Build", &id, mode).await.expect("the stage is retried");
    let again = until(&bench, "p", &id, |e| e.attempt == 2 && e.status.has_ended()).await;
    assert_eq!(again.status, ExecutionStatus::Failed);
    let actions = bench.list_actions(&scope(), "p", Some(&id), false, None, 100).await.expect("actions");
    assert_eq!(actions.records.len(), 3, "Fetch once, Compile twice");
    let latest = bench.list_actions(&scope(), "p", Some(&id), true, None, 100).await.expect("actions");
    assert_eq!(latest.records.len(), 2);
}

#[tokio::test]
async fn an_approval_waits_across_a_restart_and_is_answered_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let open = || SqliteStore::open(directory.path()).expect("the store opens");
    let declaration = pipeline(
        "p",
        &[
            ("Source", vec![action("Fetch", "Source", 1, &json!({}))]),
            ("Gate", vec![approval("SignOff", 1)]),
            ("Deploy", vec![action("Ship", "Deploy", 1, &json!({"Seconds": "0"}))]),
        ],
    );
    let waiting = |e: &towpath_model::state::Execution| e.stages.len() == 2 && e.stages[1].actions[0].latest.is_some();
    let (id, token) = {
        let store: Arc<dyn Store> = Arc::new(open());
        let bench = orchestrator(store).await;
        let id = create(&bench, declaration).await;
        let execution = until(&bench, "p", &id, waiting).await;
        let token = execution.stages[1].actions[0].latest.as_ref().and_then(|a| a.token.clone()).expect("a token");
        bench.shutdown();
        (id, token)
    };
    // The first orchestrator's tasks hold the store until they notice the shutdown.
    let store = loop {
        match SqliteStore::open(directory.path()) {
            Ok(store) => break store,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    };
    let bench = orchestrator(Arc::new(store)).await;
    assert_eq!(bench.tasks_pending(), 1, "the approval's deadline is watched again");
    let answer = |summary: &str| Event::ApprovalAnswered {
        stage: "Gate".into(),
        action: "SignOff".into(),
        token: token.clone(),
        approved: true,
        summary: summary.to_owned(),
        answered_by: "arn:aws:iam::123456789012:root".to_owned(),
    };
    bench.put_approval_result(&scope(), "p", answer("fine")).await.expect("the approval is taken");
    let done = ended(&bench, "p", &id).await;
    assert_eq!(done.status, ExecutionStatus::Succeeded);
    let second = bench.put_approval_result(&scope(), "p", answer("again")).await;
    assert!(matches!(second, Err(CommandError::Rejected(_))), "a token is consumed once");
}

#[tokio::test]
async fn stopping_with_abandon_ends_a_hanging_action_at_once() {
    let bench = orchestrator(Arc::new(MemoryStore::new())).await;
    let declaration = pipeline(
        "p",
        &[
            ("Source", vec![action("Fetch", "Source", 1, &json!({}))]),
            ("Build", vec![action("Compile", "Build", 1, &json!({"Seconds": "3600"}))]),
        ],
    );
    let id = create(&bench, declaration).await;
    until(&bench, "p", &id, |e| e.stages.len() == 2 && e.stages[1].actions[0].latest.is_some()).await;
    bench
        .stop_execution(&scope(), "p", &id, true, Some("enough".to_owned()), "tester".to_owned())
        .await
        .expect("the execution stops");
    let stopped = ended(&bench, "p", &id).await;
    assert_eq!(stopped.status, ExecutionStatus::Stopped);
    assert_eq!(stopped.stages[1].status, StageStatus::Stopped);
    assert_eq!(stopped.stages[1].actions[0].latest.as_ref().map(|a| a.status), Some(ActionStatus::Abandoned));
}

#[tokio::test]
async fn a_request_token_starts_one_execution() {
    let bench = orchestrator(Arc::new(MemoryStore::new())).await;
    let first = create(&bench, three_stages("p")).await;
    ended(&bench, "p", &first).await;
    let one = start(&bench, "p", Some("token-1")).await;
    let two = start(&bench, "p", Some("token-1")).await;
    let other = start(&bench, "p", Some("token-2")).await;
    assert_eq!(one, two);
    assert_ne!(one, other);
    let malformed = towpath_orchestrator::StartRequest {
        trigger: towpath_model::state::Trigger {
            kind: "StartPipelineExecution".to_owned(),
            detail: "tester".to_owned(),
        },
        variables: vec![("A".to_owned(), "1".to_owned()), ("A".to_owned(), "2".to_owned())],
        source_overrides: Vec::new(),
        client_request_token: Some("token-1".to_owned()),
    };
    let refused = bench.start_execution(&scope(), "p", malformed).await;
    assert!(matches!(refused, Err(CommandError::Rejected(_))), "a malformed repeat is refused first: {refused:?}");
}

#[tokio::test]
async fn racing_calls_with_one_token_start_one_execution() {
    let bench = orchestrator(Arc::new(MemoryStore::new())).await;
    let first = create(&bench, three_stages("p")).await;
    ended(&bench, "p", &first).await;
    let starts = (0..20).map(|_| {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move { start(&bench, "p", Some("same")).await })
    });
    let mut ids = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        ids.push(start.await.expect("no panic"));
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn create_refuses_a_name_in_use_a_role_that_cannot_be_assumed_and_a_broken_structure() {
    let bench = orchestrator(Arc::new(MemoryStore::new())).await;
    create(&bench, three_stages("p")).await;
    let create = |declaration| {
        bench.create_pipeline(NewPipeline {
            scope: scope(),
            declaration,
            tags: Vec::new(),
            created_by: "tester".to_owned(),
        })
    };
    let error = create(three_stages("p")).await.err().expect("refused");
    assert_eq!(error.to_string(), "A pipeline with the name 'p' already exists in account '123456789012'");
    let mut forbidden = three_stages("q");
    forbidden.role_arn = "arn:aws:iam::123456789012:role/forbidden".to_owned();
    let error = create(forbidden).await.err().expect("refused");
    assert!(matches!(error, CommandError::Role(_)), "{error}");
    let mut broken = three_stages("r");
    broken.stages.truncate(1);
    let error = create(broken).await.err().expect("refused");
    assert!(error.to_string().starts_with("Pipeline has only 1 stage(s)."), "{error}");
}

#[tokio::test]
async fn a_deleted_pipeline_is_gone_and_its_name_is_free() {
    let bench = orchestrator(Arc::new(MemoryStore::new())).await;
    let first = create(&bench, three_stages("p")).await;
    ended(&bench, "p", &first).await;
    bench.delete_pipeline(&scope(), "p").await.expect("deleted");
    bench.delete_pipeline(&scope(), "p").await.expect("deleting what is not there is no error");
    assert!(matches!(bench.pipeline(&scope(), "p", None).await, Err(CommandError::PipelineNotFound { .. })));
    let second = create(&bench, three_stages("p")).await;
    ended(&bench, "p", &second).await;
    assert!(
        matches!(bench.execution(&scope(), "p", &first).await, Err(CommandError::PipelineExecutionNotFound { .. })),
        "the old pipeline's executions are not the new one's"
    );
    let page = bench.list_executions(&scope(), "p", None, None, 10).await.expect("a page");
    assert_eq!(page.executions.len(), 1);
}

/// Executions pile up before a gate, each superseding the one before: none of them may ever be shown both ways at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pipeline_state_is_of_one_moment() {
    let bench = orchestrator(Arc::new(MemoryStore::new())).await;
    let gate = ("Gate", vec![approval("SignOff", 1)]);
    create(&bench, pipeline("p", &[("Source", vec![action("Fetch", "Source", 1, &json!({}))]), gate])).await;
    let writer = tokio::spawn({
        let bench = Arc::clone(&bench);
        async move {
            for _ in 0..200 {
                let id = start(&bench, "p", None).await;
                until(&bench, "p", &id, |e| e.stages.len() == 1 && e.stages[0].status == StageStatus::Succeeded).await;
            }
        }
    });
    let mut shown_waiting = 0;
    while !writer.is_finished() {
        let state = bench.pipeline_state(&scope(), "p").await.expect("the state");
        for id in state.gate.stages.iter().flat_map(|stage| &stage.waiting) {
            let execution = state.executions.iter().find(|e| e.id == *id).expect("whoever waits is there");
            assert_eq!(execution.status, ExecutionStatus::InProgress, "{id} waits");
            shown_waiting += 1;
        }
        tokio::task::yield_now().await;
    }
    writer.await.expect("every execution starts");
    assert!(shown_waiting > 0, "somebody waited");
}
