//! PutActionRevision: what it starts, and what it is refused for.

use std::collections::BTreeMap;

use towpath_engine::Reply;
use towpath_model::action::{Outcome, Progress, Revision};
use towpath_model::declaration::ExecutionMode;
use towpath_model::event::{Event, Rejection, ReportedRevision};
use towpath_model::ids::ExecutionId;
use towpath_model::state::ExecutionStatus;
use towpath_model::time::Timestamp;

use crate::bench::{BY, Bench, bench};
use crate::declare::{pipeline, source, three_stages, work};

fn report(b: &mut Bench, stage: &str, action: &str, id: &str) -> Result<ExecutionId, Rejection> {
    let revision = ReportedRevision { id: id.to_owned(), change_id: format!("{id}-change"), created: Timestamp(7) };
    let event =
        Event::RevisionReported { stage: stage.into(), action: action.into(), revision, reported_by: BY.to_owned() };
    b.apply(&event).map(|reply| match reply {
        Reply::Started(id) => id,
        other => panic!("an execution starts, not {other:?}"),
    })
}

fn ids(b: &Bench, id: &ExecutionId) -> Vec<String> {
    b.executions[id].revisions.iter().map(|revision| revision.id.clone()).collect()
}

#[test]
fn an_execution_starts_and_knows_the_revision() {
    let mut b = bench(pipeline("p").stage("Source", [source("S")]).stage("Work", [work("A")]));
    let e1 = report(&mut b, "Source", "S", "r1").unwrap();
    let execution = &b.executions[&e1];
    assert_eq!((execution.trigger.kind.as_str(), execution.trigger.detail.as_str()), ("PutActionRevision", BY));
    let revision = &execution.revisions[0];
    assert_eq!((revision.action.as_str(), revision.change_id.as_deref()), ("S", Some("r1-change")));
    assert_eq!(revision.created, Some(Timestamp(7)));
    b.done(&e1, "S");
    b.done(&e1, "A");
    assert_eq!(b.status(&e1), ExecutionStatus::Succeeded);
    assert_eq!(ids(&b, &e1), ["r1"], "the action told of no revision of its own");
}

#[test]
fn what_the_action_finds_takes_the_place_of_what_was_told() {
    let mut b = bench(pipeline("p").stage("Source", [source("S")]).stage("Work", [work("A")]));
    let e1 = report(&mut b, "Source", "S", "told").unwrap();
    let found = Revision { id: "found".to_owned(), ..b.executions[&e1].revisions[0].clone() };
    let outcome =
        Outcome::Succeeded { progress: Progress::default(), variables: BTreeMap::new(), revisions: vec![found] };
    let action = b.running(&e1, "S");
    b.apply(&Event::ActionFinished { execution: e1.clone(), action, outcome }).unwrap();
    assert_eq!(ids(&b, &e1), ["found"]);
}

#[test]
fn only_a_source_action_of_the_current_version_has_revisions() {
    let mut b = bench(three_stages());
    let mut refused = |stage: &str, action: &str| report(&mut b, stage, action, "r").unwrap_err();
    assert!(matches!(refused("Nowhere", "S"), Rejection::StageNotFound(text) if text.contains("'Nowhere'")));
    assert!(matches!(refused("Source", "Nobody"), Rejection::ActionNotFound(text) if text.contains("'Nobody'")));
    let work = b.definitions[&1].stages[1].clone();
    let refusal = report(&mut b, &work.name, &work.actions[0].name, "r").unwrap_err();
    assert!(matches!(refusal, Rejection::Validation(text) if text.contains("not a source action")));
    assert!(b.executions.is_empty(), "a refused command changes nothing");
}

#[test]
fn the_cap_holds_for_revisions_too() {
    let mut b =
        bench(pipeline("p").mode(ExecutionMode::Queued).stage("Source", [source("S")]).stage("Work", [work("A")]));
    for _ in 0..50 {
        b.start();
    }
    let refusal = report(&mut b, "Source", "S", "r").unwrap_err();
    assert!(matches!(refusal, Rejection::ConcurrentPipelineExecutionsLimitExceeded(_)), "{refusal:?}");
}
