//! UpdatePipeline and DeletePipeline under running executions, and the form in which a declaration is stored.

use towpath_engine::{Reply, create, normalise};
use towpath_model::declaration::{ExecutionMode, PipelineType};
use towpath_model::event::{Event, TransitionType};
use towpath_model::ids::{PipelineId, Scope};
use towpath_model::state::{ExecutionStatus, StageStatus};
use towpath_model::time::Timestamp;

use crate::bench::bench;
use crate::declare::{approval, pipeline, source, three_stages, work};
use crate::types::types;

#[test]
fn what_runs_is_cancelled_when_its_actions_have_ended() {
    let mut b =
        bench(pipeline("p").stage("Source", [source("S")]).stage("Work", [work("A"), work("B"), work("C").order(2)]));
    let e1 = b.start();
    b.done(&e1, "S");
    b.update(three_stages());
    assert_eq!(b.gate.definition_version, 2);
    assert_eq!(b.definitions[&2].version, Some(2));
    assert_eq!(b.status(&e1), ExecutionStatus::InProgress);
    b.done(&e1, "A");
    b.hush();
    b.fail(&e1, "B");
    assert_eq!(b.happened(), ["e1 Work/B FAILED", "e1 Work CANCELED", "e1 CANCELED"]);
    assert_eq!((b.status(&e1), b.stage_status(&e1, "Work")), (ExecutionStatus::Cancelled, StageStatus::Cancelled));
}

#[test]
fn what_waits_is_cancelled_at_once() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.done(&e1, "S");
    let e2 = b.start();
    b.done(&e2, "S");
    let e3 = b.start();
    b.hush();
    b.update(three_stages());
    assert_eq!(b.happened(), ["e2 CANCELED"]);
    assert!(b.waiting("Build").is_empty());
    b.done(&e3, "S");
    assert_eq!(b.status(&e3), ExecutionStatus::Cancelled);
    b.done(&e1, "B");
    assert_eq!(b.status(&e1), ExecutionStatus::Cancelled);
}

#[test]
fn a_stage_of_the_same_name_stays_locked_until_the_old_execution_is_gone() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.done(&e1, "S");
    b.update(pipeline("p").stage("Source", [source("S")]).stage("Extra", [work("X")]).stage("Build", [work("B")]));
    let e2 = b.start();
    assert_eq!(b.executions[&e2].pipeline_version, 2);
    b.done(&e2, "S");
    b.done(&e2, "X");
    assert_eq!(b.waiting("Build"), ["e2"]);
    b.done(&e1, "B");
    assert_eq!(b.lock("Build"), Some("e2".to_owned()));
}

#[test]
fn a_stage_that_is_gone_holds_nobody() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.done(&e1, "S");
    b.update(pipeline("p").stage("Source", [source("S")]).stage("Other", [work("O")]));
    let e2 = b.start();
    b.done(&e2, "S");
    assert_eq!(b.lock("Other"), Some("e2".to_owned()));
    b.done(&e1, "B");
    assert_eq!(b.status(&e1), ExecutionStatus::Cancelled);
}

#[test]
fn a_stage_that_comes_back_is_still_locked_by_who_is_in_it() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.done(&e1, "S");
    b.update(pipeline("p").stage("Source", [source("S")]).stage("Other", [work("O")]));
    b.update(three_stages());
    assert_eq!(b.lock("Build"), Some("e1".to_owned()));
    let e2 = b.start();
    b.done(&e2, "S");
    assert_eq!(b.waiting("Build"), ["e2"]);
    b.done(&e1, "B");
    assert_eq!(b.lock("Build"), Some("e2".to_owned()));
}

#[test]
fn transitions_and_state_survive_by_the_name_of_the_stage() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.done(&e1, "S");
    b.done(&e1, "B");
    b.close("Deploy");
    b.close("Build");
    b.done(&e1, "D");
    b.update(pipeline("p").stage("Source", [source("S")]).stage("Compile", [work("B")]).stage("Deploy", [work("D")]));
    assert!(!b.gate.stage("Deploy").unwrap().inbound.enabled);
    assert_eq!(b.gate.stage("Deploy").unwrap().latest.as_ref(), Some(&e1));
    assert!(b.gate.stage("Compile").unwrap().inbound.enabled);
}

#[test]
fn a_stopping_execution_still_ends_stopped_without_waiting_for_its_approval() {
    let mut b = bench(pipeline("p").stage("Source", [source("S")]).stage("Gate", [approval("Ok"), work("A")]));
    let e1 = b.start();
    b.done(&e1, "S");
    b.stop(&e1, false, None).unwrap();
    b.hush();
    b.update(three_stages());
    assert_eq!(b.happened(), ["e1 Gate/Ok CANCELED"]);
    b.done(&e1, "A");
    assert_eq!(b.happened(), ["e1 Gate/A SUCCEEDED", "e1 Gate STOPPED", "e1 STOPPED"]);
}

#[test]
fn one_that_is_being_cancelled_can_still_be_abandoned() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.update(three_stages());
    b.stop(&e1, true, None).unwrap();
    assert_eq!(b.status(&e1), ExecutionStatus::Stopped);
    assert_eq!(b.stopped.len(), 1);
}

#[test]
fn one_held_behind_a_stage_is_cancelled_and_lets_go_of_it() {
    let mut b = bench(three_stages());
    b.transition("Build", TransitionType::Outbound, false).unwrap();
    let e1 = b.start();
    b.done(&e1, "S");
    b.done(&e1, "B");
    b.update(three_stages());
    assert_eq!((b.status(&e1), b.lock("Build")), (ExecutionStatus::Cancelled, None));
}

#[test]
fn a_kept_mask_keeps_the_secret() {
    let secret = |value: &str| {
        pipeline("p")
            .stage("Source", [source("S")])
            .stage("Work", [work("A").config("Password", value).config("Text", "t")])
    };
    let mut b = bench(secret("hunter2"));
    b.update(secret("****"));
    let e1 = b.start();
    b.done(&e1, "S");
    assert_eq!(b.invocation(&e1, "A").config("Password"), Some("hunter2"));
}

#[test]
fn deleting_abandons_everything_and_lets_nobody_in() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.done(&e1, "S");
    let e2 = b.start();
    b.done(&e2, "S");
    let e3 = b.start();
    b.hush();
    assert_eq!(b.apply(&Event::PipelineDeleted), Ok(Reply::Nothing));
    for id in [&e1, &e2, &e3] {
        assert_eq!(b.status(id), ExecutionStatus::Stopped);
    }
    assert!(b.open.is_empty());
    assert_eq!(b.stopped.len(), 2);
    assert!(!b.happened().iter().any(|line| line.ends_with("STARTED")));
}

#[test]
fn a_first_gate() {
    let now = Timestamp(5);
    let gate = create(&three_stages().0, Scope::new("123456789012", "eu-west-1"), PipelineId::new("x"), now);
    assert_eq!((gate.definition_version, gate.next_sequence, gate.created), (1, 1, now));
    let names: Vec<_> = gate.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["Source", "Build", "Deploy"]);
}

#[test]
fn the_stored_form_says_version_mode_and_type() {
    let commands = crate::declare::action(
        "C",
        towpath_model::catalogue::Category::Compute,
        towpath_model::catalogue::Owner::Aws,
        "Commands",
    );
    let table = [
        (three_stages(), PipelineType::V1),
        (three_stages().variable("A", None), PipelineType::V2),
        (three_stages().mode(ExecutionMode::Queued), PipelineType::V2),
        (three_stages().stage("Compute", [commands]), PipelineType::V2),
        (three_stages().variable("A", None).v1(), PipelineType::V1),
    ];
    for (declared, kind) in table {
        let stored = normalise(&declared.0, &types(), 4);
        assert_eq!((stored.version, stored.pipeline_type), (Some(4), Some(kind)));
        assert_eq!(stored.execution_mode, Some(declared.0.mode()));
    }
}
