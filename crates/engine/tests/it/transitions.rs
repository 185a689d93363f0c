//! Disabled transitions, inbound and outbound.

use towpath_model::event::{Rejection, TransitionType};
use towpath_model::state::{ExecutionStatus, Position};

use crate::bench::{BY, bench};
use crate::declare::three_stages;

#[test]
fn a_closed_door_holds_whoever_comes_and_only_the_newest_enters() {
    let mut b = bench(three_stages());
    b.close("Build");
    let e1 = b.start();
    b.hush();
    b.done(&e1, "S");
    assert_eq!(b.happened(), ["e1 Source/S SUCCEEDED", "e1 Source SUCCEEDED", "e1 waits at Build"]);
    let e2 = b.start();
    b.done(&e2, "S");
    assert_eq!(b.status(&e1), ExecutionStatus::Superseded);
    b.hush();
    b.reopen("Build");
    assert_eq!(b.happened(), ["e2 Build STARTED", "e2 Build/B STARTED"]);
}

#[test]
fn the_first_stage_has_a_door_too() {
    let mut b = bench(three_stages());
    b.close("Source");
    let e1 = b.start();
    assert_eq!(b.waiting("Source"), ["e1"]);
    assert!(b.executions[&e1].stages.is_empty());
    b.reopen("Source");
    assert_eq!(b.lock("Source"), Some("e1".to_owned()));
}

#[test]
fn the_transition_remembers_who_changed_it_when_and_why() {
    let mut b = bench(three_stages());
    assert_eq!(b.gate.stage("Build").unwrap().inbound, towpath_model::state::Transition::default());
    b.close("Build");
    let closed = b.gate.stage("Build").unwrap().inbound.clone();
    assert!(!closed.enabled);
    assert_eq!(closed.disabled_reason.as_deref(), Some("closed"));
    assert_eq!((closed.last_changed_by.as_deref(), closed.last_changed_at), (Some(BY), Some(b.now)));
    b.reopen("Build");
    let open = b.gate.stage("Build").unwrap().inbound.clone();
    assert!(open.enabled && open.disabled_reason.is_none() && open.last_changed_by.is_some());
}

#[test]
fn closing_interrupts_nothing() {
    let mut b = bench(three_stages());
    let e1 = b.start();
    b.done(&e1, "S");
    b.close("Build");
    b.done(&e1, "B");
    assert_eq!(b.lock("Deploy"), Some("e1".to_owned()));
}

#[test]
fn a_closed_exit_keeps_the_execution_and_its_lock() {
    let mut b = bench(three_stages());
    b.transition("Build", TransitionType::Outbound, false).unwrap();
    let e1 = b.start();
    b.done(&e1, "S");
    b.hush();
    b.done(&e1, "B");
    assert_eq!(b.happened(), ["e1 Build/B SUCCEEDED", "e1 Build SUCCEEDED", "e1 waits at Deploy"]);
    assert_eq!(b.executions[&e1].position, Position::After(1));
    assert_eq!(b.lock("Build"), Some("e1".to_owned()));
    let e2 = b.start();
    b.done(&e2, "S");
    assert_eq!(b.waiting("Build"), ["e2"]);
    b.hush();
    b.transition("Build", TransitionType::Outbound, true).unwrap();
    assert_eq!(b.happened(), ["e1 Deploy STARTED", "e1 Deploy/D STARTED", "e2 Build STARTED", "e2 Build/B STARTED"]);
}

#[test]
fn one_held_behind_a_stage_can_be_stopped() {
    let mut b = bench(three_stages());
    b.transition("Build", TransitionType::Outbound, false).unwrap();
    let e1 = b.start();
    b.done(&e1, "S");
    b.done(&e1, "B");
    let e2 = b.start();
    b.done(&e2, "S");
    b.stop(&e1, false, None).unwrap();
    assert_eq!(b.status(&e1), ExecutionStatus::Stopped);
    assert_eq!(b.lock("Build"), Some("e2".to_owned()));
}

#[test]
fn the_exit_of_the_last_stage_holds_nobody() {
    let mut b = bench(three_stages());
    b.transition("Deploy", TransitionType::Outbound, false).unwrap();
    let e1 = b.start();
    b.done(&e1, "S");
    b.done(&e1, "B");
    b.done(&e1, "D");
    assert_eq!(b.status(&e1), ExecutionStatus::Succeeded);
}

#[test]
fn a_stage_that_does_not_exist() {
    let mut b = bench(three_stages());
    let refused = b.transition("Nowhere", TransitionType::Inbound, false);
    assert!(matches!(refused, Err(Rejection::StageNotFound(_))), "{refused:?}");
}
