//! RetryStageExecution: both modes, and every reason to refuse.

use towpath_engine::Reply;
use towpath_model::declaration::RetryMode::{AllActions, FailedActions};
use towpath_model::event::Rejection;
use towpath_model::ids::ExecutionId;
use towpath_model::state::{ExecutionStatus, StageStatus};

use crate::bench::{Bench, bench};
use crate::declare::{pipeline, source, three_stages, work};

fn group_of_two() -> crate::declare::Pipeline {
    pipeline("p").stage("Source", [source("S")]).stage("Work", [work("A"), work("B"), work("C").order(2)])
}

fn failed_group() -> (Bench, ExecutionId) {
    let mut b = bench(group_of_two());
    let e1 = b.start();
    b.done(&e1, "S");
    b.done(&e1, "A");
    b.fail(&e1, "B");
    b.hush();
    (b, e1)
}

fn names(names: &[&str]) -> std::collections::BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn failed_actions_start_anew_and_then_the_groups_not_yet_run() {
    let (mut b, e1) = failed_group();
    let (first_a, first_b) = (b.attempt(&e1, "A").id.clone(), b.attempt(&e1, "B").id.clone());
    assert_eq!(b.retry(&e1, "Work", FailedActions), Ok(Reply::Retried(e1.clone())));
    assert_eq!(b.happened(), ["e1 RESUMED", "e1 Work RESUMED", "e1 Work/B STARTED"]);
    assert_eq!(b.attempt(&e1, "A").id, first_a);
    assert_ne!(b.attempt(&e1, "B").id, first_b);
    assert_eq!(b.lock("Work"), Some("e1".to_owned()));
    let execution = &b.executions[&e1];
    assert_eq!(execution.attempt, 2);
    let run = execution.stage_run("Work").unwrap();
    assert_eq!((run.manual_retries, run.latest_retry_trigger.as_deref()), (1, Some("ManualStageRetry")));
    b.done(&e1, "B");
    b.done(&e1, "C");
    assert_eq!(b.status(&e1), ExecutionStatus::Succeeded);
}

#[test]
fn all_actions_start_anew_from_the_first_group() {
    let (mut b, e1) = failed_group();
    b.retry(&e1, "Work", AllActions).unwrap();
    assert_eq!(b.in_flight(&e1), names(&["A", "B"]));
    b.done(&e1, "A");
    b.done(&e1, "B");
    b.fail(&e1, "C");
    b.retry(&e1, "Work", FailedActions).unwrap();
    assert_eq!(b.in_flight(&e1), names(&["C"]));
    assert_eq!(b.executions[&e1].attempt, 3);
    // Every attempt keeps its record.
    assert_eq!(b.records.values().filter(|record| record.action == "B").count(), 2);
}

#[test]
fn a_retry_produces_the_artifacts_anew() {
    let mut b = bench(
        pipeline("p")
            .stage("Source", [source("S")])
            .stage("Work", [work("A").input("SOut").output("O"), work("B")])
            .stage("Use", [work("U").input("O")]),
    );
    let e1 = b.start();
    b.done(&e1, "S");
    let first = b.invocation(&e1, "A").output_artifacts[0].key.clone();
    b.done(&e1, "A");
    b.fail(&e1, "B");
    b.retry(&e1, "Work", AllActions).unwrap();
    let second = b.invocation(&e1, "A").output_artifacts[0].key.clone();
    assert_ne!(first, second);
    b.done(&e1, "A");
    b.done(&e1, "B");
    assert_eq!(b.invocation(&e1, "U").input_artifacts[0].key, second);
}

#[test]
fn a_failed_action_may_be_retried_while_others_still_run() {
    let mut b = bench(group_of_two());
    let e1 = b.start();
    b.done(&e1, "S");
    b.fail(&e1, "A");
    b.hush();
    assert!(matches!(b.retry(&e1, "Work", AllActions), Err(Rejection::StageNotRetryable(_))));
    b.retry(&e1, "Work", FailedActions).unwrap();
    assert_eq!(b.happened(), ["e1 RESUMED", "e1 Work RESUMED", "e1 Work/A STARTED"]);
    assert_eq!(b.in_flight(&e1), names(&["A", "B"]));
    b.done(&e1, "B");
    b.done(&e1, "A");
    assert_eq!(b.in_flight(&e1), names(&["C"]));
}

#[test]
fn a_stopped_stage_may_be_retried() {
    let mut b = bench(group_of_two());
    let e1 = b.start();
    b.done(&e1, "S");
    b.stop(&e1, true, Some("enough")).unwrap();
    b.retry(&e1, "Work", FailedActions).unwrap();
    assert_eq!(b.in_flight(&e1), names(&["A", "B"]));
    assert_eq!((b.executions[&e1].stop.clone(), b.executions[&e1].status_summary.clone()), (None, None));
}

#[test]
fn stopped_between_two_groups_the_next_one_starts() {
    let mut b = bench(group_of_two());
    let e1 = b.start();
    b.done(&e1, "S");
    b.stop(&e1, false, None).unwrap();
    b.done(&e1, "A");
    b.done(&e1, "B");
    assert_eq!(b.stage_status(&e1, "Work"), StageStatus::Stopped);
    b.retry(&e1, "Work", FailedActions).unwrap();
    assert_eq!(b.in_flight(&e1), names(&["C"]));
}

#[test]
fn where_every_action_succeeded_only_all_of_them_can_be_run_again() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.stop(&e1, false, None).unwrap();
    b.done(&e1, "S");
    assert!(matches!(b.retry(&e1, "Source", FailedActions), Err(Rejection::StageNotRetryable(_))));
    b.retry(&e1, "Source", AllActions).unwrap();
    assert_eq!(b.in_flight(&e1), names(&["S"]));
}

#[test]
fn the_source_stage_may_be_retried() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.fail(&e1, "S");
    b.retry(&e1, "Source", FailedActions).unwrap();
    b.done(&e1, "S");
    assert_eq!(b.lock("Build"), Some("e1".to_owned()));
}

#[test]
fn refused_once_a_later_execution_entered_the_stage() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.done(&e1, "S");
    let e2 = b.start();
    b.done(&e2, "S");
    b.fail(&e1, "B");
    assert!(matches!(b.retry(&e1, "Build", FailedActions), Err(Rejection::NotLatestPipelineExecution(_))));
    b.fail(&e2, "B");
    assert!(matches!(b.retry(&e1, "Build", FailedActions), Err(Rejection::NotLatestPipelineExecution(_))));
    b.retry(&e2, "Build", FailedActions).unwrap();
}

#[test]
fn the_other_refusals() {
    let (mut b, e1) = failed_group();
    let not_retryable = |refused: Result<Reply, Rejection>, why: &str| match refused {
        Err(Rejection::StageNotRetryable(text)) => assert!(text.contains(why), "{text}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        b.retry(&e1, "Nowhere", FailedActions),
        Err(Rejection::StageNotFound("Stage with name 'Nowhere' does not exist in pipeline with name 'p'".to_owned()))
    );
    assert_eq!(
        b.retry(&ExecutionId::new("nobody"), "Work", FailedActions),
        Err(Rejection::StageNotRetryable(
            "Pipeline Execution with id 'nobody' does not exist in pipeline with name 'p'".to_owned()
        ))
    );
    not_retryable(b.retry(&e1, "Source", AllActions), "its status is Succeeded");
    b.retry(&e1, "Work", FailedActions).unwrap();
    not_retryable(b.retry(&e1, "Work", FailedActions), "none of its actions failed");
    not_retryable(b.retry(&e1, "Work", AllActions), "still in progress");
    b.stop(&e1, false, None).unwrap();
    assert!(matches!(b.retry(&e1, "Work", FailedActions), Err(Rejection::Conflict(_))));
}

#[test]
fn a_changed_structure_a_finished_run_and_a_stage_not_reached_are_refused() {
    let (mut b, e1) = failed_group();
    let e2 = b.start();
    assert!(matches!(b.retry(&e2, "Work", AllActions), Err(Rejection::StageNotRetryable(_))));
    b.update(group_of_two());
    match b.retry(&e1, "Work", FailedActions) {
        Err(Rejection::StageNotRetryable(text)) => assert!(text.contains("structure has changed"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stopped_inbound_execution_cannot_be_retried() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.done(&e1, "S");
    let e2 = b.start();
    b.done(&e2, "S");
    b.stop(&e2, false, None).unwrap();
    assert!(matches!(b.retry(&e2, "Build", AllActions), Err(Rejection::StageNotRetryable(_))));
    assert!(matches!(b.retry(&e2, "Source", AllActions), Err(Rejection::StageNotRetryable(_))));
}

#[test]
fn a_retry_passes_a_closed_door_and_keeps_out_those_who_wait() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.done(&e1, "S");
    b.close("Build");
    let e2 = b.start();
    b.done(&e2, "S");
    b.fail(&e1, "B");
    b.retry(&e1, "Build", FailedActions).unwrap();
    b.reopen("Build");
    assert_eq!((b.lock("Build"), b.waiting("Build")), (Some("e1".to_owned()), vec!["e2".to_owned()]));
}
