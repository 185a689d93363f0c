//! RollbackStage, automatic rollback, automatic retry.

use towpath_model::declaration::ExecutionMode;
use towpath_model::declaration::RetryMode::{AllActions, FailedActions};
use towpath_model::event::Rejection;
use towpath_model::ids::ExecutionId;
use towpath_model::state::{ExecutionKind, ExecutionStatus, StageStatus};

use crate::bench::{Bench, bench};
use crate::declare::{Pipeline, pipeline, source, three_stages, work};

fn run(b: &mut Bench) -> ExecutionId {
    let id = b.start();
    for action in ["S", "B", "D"] {
        b.done(&id, action);
    }
    id
}

fn deploying() -> Pipeline {
    pipeline("p").stage("Source", [source("S")]).stage("Build", [work("B")]).stage("Deploy", [work("D").input("SOut")])
}

#[test]
fn a_stage_runs_again_as_it_did_in_the_target() {
    let mut b = bench(deploying().variable("Who", Some("nobody")));
    let e1 = b.start_with(&[("Who", "ada")], &[]).unwrap();
    b.done_at(&e1, "S", "SOut", "revision-1");
    let first = b.executions[&e1].artifacts["SOut"].clone();
    b.done(&e1, "B");
    b.done(&e1, "D");
    let e2 = run(&mut b);
    b.hush();
    let e3 = b.roll_back("Deploy", &e1).unwrap();
    assert_eq!(b.happened(), ["e3 STARTED", "e3 Deploy STARTED", "e3 Deploy/D STARTED"]);
    assert_eq!(b.invocation(&e3, "D").input_artifacts, [first]);
    let execution = &b.executions[&e3];
    assert_eq!(execution.kind, ExecutionKind::Rollback { target: e1.clone(), stage: "Deploy".into() });
    assert_eq!(execution.trigger.kind, "ManualRollback");
    assert_eq!(execution.trigger.detail, format!("{{\"AwsUserArn\":\"{}\"}}", crate::bench::BY));
    assert_eq!(execution.variables.as_ref().unwrap()["Who"], "ada");
    assert_eq!(execution.revisions, b.executions[&e1].revisions);
    b.done(&e3, "D");
    assert_eq!(b.happened(), ["e3 Deploy/D SUCCEEDED", "e3 Deploy SUCCEEDED", "e3 SUCCEEDED"]);
    let gate = b.gate.stage("Deploy").unwrap();
    assert_eq!((gate.latest.as_ref(), gate.last_success.as_ref()), (Some(&e3), Some(&e2)));
    assert_eq!(b.gate.stage("Build").unwrap().latest, Some(e2), "other stages keep theirs");
}

#[test]
fn why_a_rollback_is_refused() {
    let mut b = bench(three_stages());
    let e1 = run(&mut b);
    let unable = |answer: Result<ExecutionId, Rejection>| matches!(answer, Err(Rejection::UnableToRollbackStage(_)));
    assert!(unable(b.roll_back("Source", &e1)), "a source stage");
    assert!(matches!(b.roll_back("Nowhere", &e1), Err(Rejection::StageNotFound(_))));
    assert!(matches!(b.roll_back("Deploy", &"none".into()), Err(Rejection::PipelineExecutionNotFound(_))));
    let e2 = b.start();
    b.done(&e2, "S");
    assert!(unable(b.roll_back("Build", &e1)), "another execution is in the stage");
    b.fail(&e2, "B");
    assert!(unable(b.roll_back("Build", &e2)), "it did not succeed there");
    let e3 = b.roll_back("Build", &e1).unwrap();
    b.done(&e3, "B");
    assert!(unable(b.roll_back("Build", &e3)), "a rollback is no target");
    b.update(three_stages());
    assert!(matches!(b.roll_back("Build", &e1), Err(Rejection::PipelineExecutionOutdated(_))));
}

#[test]
fn a_parallel_pipeline_is_not_rolled_back() {
    let mut b = bench(three_stages().mode(ExecutionMode::Parallel));
    let e1 = run(&mut b);
    assert!(matches!(b.roll_back("Build", &e1), Err(Rejection::UnableToRollbackStage(_))));
}

#[test]
fn a_queued_pipeline_counts_its_rollbacks() {
    let mut b = bench(three_stages().mode(ExecutionMode::Queued));
    let e1 = run(&mut b);
    for _ in 0..50 {
        b.start();
    }
    assert!(matches!(b.roll_back("Deploy", &e1), Err(Rejection::ConcurrentPipelineExecutionsLimitExceeded(_))));
}

#[test]
fn a_failed_rollback_may_be_retried_and_stopped() {
    let mut b = bench(three_stages());
    let e1 = run(&mut b);
    let e2 = b.roll_back("Build", &e1).unwrap();
    b.fail(&e2, "B");
    b.retry(&e2, "Build", FailedActions).unwrap();
    b.stop(&e2, true, None).unwrap();
    assert_eq!(b.status(&e2), ExecutionStatus::Stopped);
    b.retry(&e2, "Build", FailedActions).unwrap();
    b.done(&e2, "B");
    assert_eq!(b.status(&e2), ExecutionStatus::Succeeded);
}

fn rolling_back() -> Pipeline {
    let pipeline =
        pipeline("p").stage("Source", [source("S")]).stage("Build", [work("B")]).on_failure("ROLLBACK", None);
    pipeline.stage("Deploy", [work("D")])
}

#[test]
fn a_failure_rolls_back_to_the_last_success_before_anybody_else_enters() {
    let mut b = bench(rolling_back());
    let e1 = run(&mut b);
    let e2 = b.start();
    b.done(&e2, "S");
    let e3 = b.start();
    b.done(&e3, "S");
    assert_eq!(b.waiting("Build"), ["e3"]);
    b.hush();
    b.fail(&e2, "B");
    assert_eq!(
        b.happened(),
        ["e2 Build/B FAILED", "e2 Build FAILED", "e2 FAILED", "e4 STARTED", "e4 Build STARTED", "e4 Build/B STARTED"]
    );
    let e4 = b.newest().id.clone();
    assert_eq!(b.executions[&e4].kind, ExecutionKind::Rollback { target: e1, stage: "Build".into() });
    assert_eq!(b.waiting("Build"), ["e3"]);
    assert!(matches!(b.retry(&e2, "Build", FailedActions), Err(Rejection::NotLatestPipelineExecution(_))));
    b.hush();
    b.fail(&e4, "B");
    assert_eq!(
        b.happened(),
        ["e4 Build/B FAILED", "e4 Build FAILED", "e4 FAILED", "e3 Build STARTED", "e3 Build/B STARTED"],
        "a failed rollback rolls nothing back"
    );
}

#[test]
fn without_a_target_the_stage_just_fails() {
    let mut b = bench(rolling_back());
    let e1 = b.start();
    b.done(&e1, "S");
    b.fail(&e1, "B");
    assert_eq!(b.executions.len(), 1);
    b.retry(&e1, "Build", FailedActions).unwrap();
    b.done(&e1, "B");
    b.done(&e1, "D");
    // The success was under another version.
    b.update(rolling_back());
    let e2 = b.start();
    b.done(&e2, "S");
    b.fail(&e2, "B");
    assert_eq!(b.executions.len(), 2);
    assert_eq!(b.lock("Build"), None);
}

fn retrying(mode: Option<towpath_model::declaration::RetryMode>) -> Bench {
    let stages = pipeline("p").stage("Source", [source("S")]).stage("Build", [work("A"), work("B")]);
    bench(stages.on_failure("RETRY", mode).stage("Deploy", [work("D")]))
}

#[test]
fn one_automatic_retry_of_the_failed_actions() {
    let mut b = retrying(None);
    let e1 = b.start();
    b.done(&e1, "S");
    b.done(&e1, "A");
    b.hush();
    b.fail(&e1, "B");
    assert_eq!(
        b.happened(),
        ["e1 Build/B FAILED", "e1 Build FAILED", "e1 FAILED", "e1 RESUMED", "e1 Build RESUMED", "e1 Build/B STARTED"]
    );
    let run = b.executions[&e1].stage_run("Build").unwrap();
    assert_eq!(
        (run.automatic_retries, run.manual_retries, run.latest_retry_trigger.as_deref()),
        (1, 0, Some("AutomatedStageRetry"))
    );
    assert_eq!(b.executions[&e1].attempt, 2);
    let failed = b.records.values().filter(|record| record.action == "B" && record.attempt.status.as_str() == "Failed");
    assert_eq!(failed.count(), 1, "the first attempt is recorded as it ended");
    b.fail(&e1, "B");
    assert_eq!((b.status(&e1), b.stage_status(&e1, "Build")), (ExecutionStatus::Failed, StageStatus::Failed));
    b.retry(&e1, "Build", FailedActions).unwrap();
    b.fail(&e1, "B");
    assert_eq!(b.status(&e1), ExecutionStatus::Failed, "a manual retry earns no second automatic one");
    let run = b.executions[&e1].stage_run("Build").unwrap();
    assert_eq!((run.automatic_retries, run.manual_retries), (1, 1));
}

#[test]
fn an_automatic_retry_of_all_actions() {
    let mut b = retrying(Some(AllActions));
    let e1 = b.start();
    b.done(&e1, "S");
    b.done(&e1, "A");
    b.fail(&e1, "B");
    assert_eq!(b.in_flight(&e1).into_iter().collect::<Vec<_>>(), ["A", "B"]);
    b.done(&e1, "A");
    b.done(&e1, "B");
    b.done(&e1, "D");
    assert_eq!(b.status(&e1), ExecutionStatus::Succeeded);
}

#[test]
fn an_automatic_retry_knows_no_other_execution_and_keeps_its_place_among_them() {
    let mut b = retrying(None);
    let e1 = b.start();
    b.done(&e1, "S");
    // It neither waits nor is it in the same stage, so the failure's decision is made without its row.
    let e2 = b.start();
    b.done(&e1, "B");
    b.fail(&e1, "A");
    assert_eq!(b.status(&e1), ExecutionStatus::InProgress);
    assert_eq!(b.gate.active, [e1, e2]);
}
