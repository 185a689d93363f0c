//! Runs in SUPERSEDED mode: the order of events, groups, failures, locks, waiting and superseding.

use towpath_model::catalogue::{Category, Owner};
use towpath_model::event::Rejection;
use towpath_model::state::ExecutionStatus;

use crate::bench::{Open, bench};
use crate::declare::{action, approval, pipeline, source, three_stages, work};

#[test]
fn an_action_of_a_job_worker_is_offered_and_not_started() {
    let farm = action("F", Category::Invoke, Owner::Custom, "Farm");
    let mut b = bench(pipeline("p").stage("Source", [source("S")]).stage("Build", [farm]));
    let e1 = b.start();
    assert!(matches!(b.open[&b.running(&e1, "S")], Open::Start(_)));
    b.done(&e1, "S");
    assert!(matches!(b.open[&b.running(&e1, "F")], Open::Await(_)));
    b.done(&e1, "F");
    assert_eq!(b.status(&e1), ExecutionStatus::Succeeded);
}

#[test]
fn a_plain_run_tells_everything_in_order() {
    let mut b = bench(pipeline("p").stage("Source", [source("S")]).stage("Work", [work("A")]));
    let e1 = b.start();
    assert_eq!(b.happened(), ["e1 STARTED", "e1 Source STARTED", "e1 Source/S STARTED"]);
    b.done(&e1, "S");
    assert_eq!(b.happened(), ["e1 Source/S SUCCEEDED", "e1 Source SUCCEEDED", "e1 Work STARTED", "e1 Work/A STARTED"]);
    b.done(&e1, "A");
    assert_eq!(b.happened(), ["e1 Work/A SUCCEEDED", "e1 Work SUCCEEDED", "e1 SUCCEEDED"]);
    assert_eq!(b.gate.stage("Work").unwrap().last_success.as_ref(), Some(&e1));
    assert_eq!(b.lock("Work"), None);
}

#[test]
fn groups_run_in_order_and_gaps_mean_nothing() {
    let mut b = bench(
        pipeline("p")
            .stage("Source", [source("S")])
            .stage("Work", [work("C").order(7), work("A"), work("B"), work("D").order(3)]),
    );
    let e1 = b.start();
    b.done(&e1, "S");
    assert_eq!(b.in_flight(&e1), ["A".to_owned(), "B".to_owned()].into());
    b.done(&e1, "A");
    assert_eq!(b.in_flight(&e1), ["B".to_owned()].into());
    b.done(&e1, "B");
    assert_eq!(b.in_flight(&e1), ["D".to_owned()].into());
    b.done(&e1, "D");
    assert_eq!(b.in_flight(&e1), ["C".to_owned()].into());
    b.done(&e1, "C");
    assert_eq!(b.status(&e1), ExecutionStatus::Succeeded);
}

#[test]
fn a_failure_lets_the_others_of_its_group_finish_and_starts_no_later_group() {
    let mut b =
        bench(pipeline("p").stage("Source", [source("S")]).stage("Work", [work("A"), work("B"), work("C").order(2)]));
    let e1 = b.start();
    b.done(&e1, "S");
    b.hush();
    b.fail(&e1, "A");
    assert_eq!(b.happened(), ["e1 Work/A FAILED"]);
    assert_eq!(b.status(&e1), ExecutionStatus::InProgress);
    b.done(&e1, "B");
    assert_eq!(b.happened(), ["e1 Work/B SUCCEEDED", "e1 Work FAILED", "e1 FAILED"]);
    assert_eq!(b.error(&e1, "A").message, "it broke");
}

#[test]
fn different_stages_hold_different_executions() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.done(&e1, "S");
    let e2 = b.start();
    assert_eq!((b.lock("Source"), b.lock("Build")), (Some("e2".to_owned()), Some("e1".to_owned())));
    b.done(&e2, "S");
    assert_eq!(b.lock("Source"), None);
    assert_eq!(b.waiting("Build"), ["e2"]);
    b.hush();
    b.done(&e1, "B");
    assert_eq!(
        b.happened(),
        [
            "e1 Build/B SUCCEEDED",
            "e1 Build SUCCEEDED",
            "e1 Deploy STARTED",
            "e1 Deploy/D STARTED",
            "e2 Build STARTED",
            "e2 Build/B STARTED"
        ]
    );
}

#[test]
fn a_newer_arrival_supersedes_the_waiting_one() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.done(&e1, "S");
    let e2 = b.start();
    b.done(&e2, "S");
    let e3 = b.start();
    b.hush();
    b.done(&e3, "S");
    assert_eq!(b.happened(), ["e3 Source/S SUCCEEDED", "e3 Source SUCCEEDED", "e2 SUPERSEDED", "e3 waits at Build"]);
    assert_eq!(b.status(&e2), ExecutionStatus::Superseded);
    assert_eq!(b.waiting("Build"), ["e3"]);
}

#[test]
fn the_same_happens_in_front_of_the_first_stage() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    let e2 = b.start();
    let e3 = b.start();
    assert_eq!(b.status(&e2), ExecutionStatus::Superseded);
    assert_eq!(b.waiting("Source"), ["e3"]);
    b.done(&e1, "S");
    assert_eq!(b.lock("Source"), Some("e3".to_owned()));
    assert_eq!(b.lock("Build"), Some("e1".to_owned()));
    b.done(&e3, "S");
}

#[test]
fn an_execution_inside_a_stage_is_never_superseded() {
    let mut b = bench(pipeline("p").stage("Source", [source("S")]).stage("Gate", [approval("Ok")]));
    let e1 = b.start();
    b.done(&e1, "S");
    for _ in 0..5 {
        let next = b.start();
        b.done(&next, "S");
        assert_eq!(b.status(&e1), ExecutionStatus::InProgress);
        assert_eq!(b.lock("Gate"), Some("e1".to_owned()));
    }
    assert_eq!(b.waiting("Gate"), ["e6"]);
}

#[test]
fn a_failure_frees_the_stage_for_whoever_waits() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.done(&e1, "S");
    let e2 = b.start();
    b.done(&e2, "S");
    b.hush();
    b.fail(&e1, "B");
    assert_eq!(
        b.happened(),
        ["e1 Build/B FAILED", "e1 Build FAILED", "e1 FAILED", "e2 Build STARTED", "e2 Build/B STARTED"]
    );
}

#[test]
fn pipeline_variables_are_bound_once_from_the_request_and_the_defaults() {
    let mut b = bench(three_stages().variable("Target", Some("staging")).variable("Who", Some("ada")));
    let e1 = b.start_with(&[("Target", "live"), ("target", "x"), ("Unknown", "y")], &[]).unwrap();
    let bound = b.executions[&e1].variables.clone().unwrap();
    assert_eq!(bound, [("Target".to_owned(), "live".to_owned()), ("Who".to_owned(), "ada".to_owned())].into());
}

#[test]
fn a_missing_required_variable_creates_a_failed_execution() {
    let mut b = bench(three_stages().variable("A", None).variable("B", Some("b")).variable("C", None));
    let e1 = b.start();
    assert_eq!(b.happened(), ["e1 STARTED", "e1 FAILED (Values for required variables haven't been provided: A,C)"]);
    let execution = &b.executions[&e1];
    assert_eq!(execution.variables, None);
    assert_eq!(execution.status_summary.as_deref(), Some("Values for required variables haven't been provided: A,C"));
    assert!(execution.stages.is_empty());
}

#[test]
fn a_variable_given_twice_is_refused() {
    let mut b = bench(three_stages().variable("A", Some("a")));
    let refused = b.start_with(&[("A", "1"), ("A", "2")], &[]).unwrap_err();
    assert!(matches!(refused, Rejection::Validation(text) if text.ends_with("already in use: A")));
    assert!(b.executions.is_empty());
}

/// Action, type and value of each.
type Overrides = &'static [(&'static str, &'static str, &'static str)];

#[test]
fn source_overrides_are_checked_against_the_sources() {
    let open = source("Keyed").config("AllowOverrideForS3ObjectKey", "TRUE");
    let pipeline = three_stages().with(|p| p.pipeline_type = Some(towpath_model::declaration::PipelineType::V2));
    let mut pipeline = pipeline;
    pipeline.0.stages[0].actions.push(open.0);
    let mut b = bench(pipeline);
    let table: [(Overrides, &str); 5] = [
        (&[("B", "S3_OBJECT_VERSION_ID", "v")], "no source action named 'B'"),
        (&[("Nobody", "S3_OBJECT_VERSION_ID", "v")], "no source action named 'Nobody'"),
        (&[("S", "COMMIT_ID", "c")], "'COMMIT_ID' cannot be used with action 'S'"),
        (&[("S", "S3_OBJECT_KEY", "k")], "unless its configuration sets AllowOverrideForS3ObjectKey"),
        (&[("S", "S3_OBJECT_VERSION_ID", "v"), ("S", "S3_OBJECT_VERSION_ID", "w")], "given more than once"),
    ];
    for (overrides, text) in table {
        let refused = b.start_with(&[], overrides).unwrap_err();
        assert!(matches!(&refused, Rejection::Validation(message) if message.contains(text)), "{refused:?}");
    }
    let both =
        [("Keyed", "S3_OBJECT_KEY", "k"), ("Keyed", "S3_OBJECT_VERSION_ID", "v"), ("S", "S3_OBJECT_VERSION_ID", "w")];
    let e1 = b.start_with(&[], &both).unwrap();
    assert_eq!(b.invocation(&e1, "Keyed").source_overrides.len(), 2);
    assert_eq!(b.invocation(&e1, "S").source_overrides[0].revision_value, "w");
}

#[test]
fn a_v1_pipeline_takes_no_source_overrides() {
    let mut b = bench(three_stages());
    let refused = b.start_with(&[], &[("S", "S3_OBJECT_VERSION_ID", "v")]).unwrap_err();
    assert_eq!(
        refused,
        Rejection::Validation("Source revision overrides can only be used with V2 pipelines.".to_owned())
    );
}
