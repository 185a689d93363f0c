//! The contract of [`crate::Retention`]: what goes, what stays, and that nothing of what goes is left.

use towpath_model::declaration::ConditionType;
use towpath_model::history::EventState;
use towpath_model::state::{Execution, ExecutionStatus, Gate, StageStatus};
use towpath_model::time::Timestamp;

use super::fixtures::{action, definition, entry, execution, gate, rule, scope, stage_run};
use crate::{ActionFilter, Commit, ExecutionFilter, HistoryFilter, RequestToken, Store};

/// An execution of `p` that ended at a time.
fn ended(id: &str, sequence: u64, at: i64) -> Execution {
    Execution {
        status: ExecutionStatus::Succeeded,
        updated: Timestamp(at),
        stages: vec![stage_run("Source", StageStatus::Succeeded)],
        ..execution("p", id, sequence)
    }
}

/// Puts it with one record of each kind.
async fn put(store: &dyn Store, execution: Execution) -> u64 {
    let id = execution.id.as_str();
    let pipeline = execution.pipeline.as_str();
    let mut records =
        vec![action(id, &format!("a-{id}"), "A", 10), rule(id, &format!("r-{id}"), "R", ConditionType::OnSuccess, 10)];
    for record in &mut records {
        record.pipeline = pipeline.into();
    }
    let commit = Commit {
        actions: records,
        history: vec![entry(pipeline, id, EventState::Started), entry(pipeline, id, EventState::Succeeded)],
        request_token: Some(RequestToken { pipeline: pipeline.into(), token: format!("t-{id}"), execution: id.into() }),
        executions: vec![(execution, None)],
        ..Commit::default()
    };
    store.commit(commit).await.unwrap().version
}

/// The executions of `p` that are there, oldest first; each must be there whole, and of all others nothing.
async fn left(store: &dyn Store) -> Vec<String> {
    let page = store.execution_page(&"p".into(), &ExecutionFilter::All, None, 100).await.unwrap();
    let mut ids: Vec<String> = page.items.iter().map(|found| found.value.id.to_string()).collect();
    ids.reverse();
    let pipeline = ActionFilter::Pipeline("p".into());
    for page in [store.action_page(&pipeline, None, 100).await, store.rule_page(&pipeline, None, 100).await] {
        let mut of: Vec<_> = page.unwrap().items.iter().map(|record| record.execution.to_string()).collect();
        of.sort();
        let mut sorted = ids.clone();
        sorted.sort();
        assert_eq!(of, sorted);
    }
    let history = store.history(&HistoryFilter::Pipeline("p".into()), 0, 100).await.unwrap();
    assert_eq!(history.len(), 2 * ids.len());
    assert!(history.iter().all(|entry| ids.contains(&entry.execution.to_string())));
    ids
}

async fn prune(store: &dyn Store, before: i64, limit: usize) -> usize {
    store.prune(Timestamp(before), limit).await.unwrap()
}

pub async fn what_ended_long_ago_goes_with_all_its_records(store: &dyn Store) {
    put(store, ended("e1", 1, 100)).await;
    put(store, ended("e2", 2, 200)).await;
    assert_eq!(prune(store, 200, 10).await, 1);
    assert_eq!(left(store).await, ["e2"]);

    let gone = "e1".into();
    assert_eq!(store.execution(&gone).await.unwrap(), None);
    assert_eq!(store.action(&gone, &"a-e1".into()).await.unwrap(), None);
    assert_eq!(store.action(&gone, &"r-e1".into()).await.unwrap(), None);
    assert_eq!(store.history(&HistoryFilter::Execution(gone.clone()), 0, 10).await.unwrap(), []);
    assert_eq!(store.execution_of_token(&"p".into(), "t-e1").await.unwrap(), None);
    assert_eq!(store.execution_of_token(&"p".into(), "t-e2").await.unwrap(), Some("e2".into()));
    let succeeded = ExecutionFilter::SucceededInStage { stage: "Source".into(), pipeline_version: 1 };
    assert_eq!(store.execution_page(&"p".into(), &succeeded, None, 10).await.unwrap().items.len(), 1);
    // The token is free again, and so is everything else.
    put(store, ended("e1", 1, 300)).await;
    assert_eq!(left(store).await, ["e1", "e2"]);
}

pub async fn what_a_gate_names_stays_until_it_no_longer_does(store: &dyn Store) {
    for (sequence, id) in (1..).zip(["free", "locked", "latest", "success", "waiting", "active", "parallel"]) {
        put(store, ended(id, sequence, 100)).await;
    }
    let mut naming = gate("p", "app");
    naming.stages[0].lock = Some("locked".into());
    naming.stages[0].latest = Some("latest".into());
    naming.stages[1].last_success = Some("success".into());
    naming.stages[1].waiting = vec!["other".into(), "waiting".into()];
    naming.active = vec!["active".into()];
    naming.parallel = vec!["parallel".into()];
    let version = store.commit(Commit { gate: Some((naming, None)), ..Commit::default() }).await.unwrap().version;
    assert_eq!(prune(store, 200, 10).await, 1);
    assert_eq!(left(store).await, ["locked", "latest", "success", "waiting", "active", "parallel"]);

    let naming = Gate { parallel: vec!["parallel".into()], ..gate("p", "app") };
    store.commit(Commit { gate: Some((naming, Some(version))), ..Commit::default() }).await.unwrap();
    assert_eq!(prune(store, 200, 10).await, 5);
    assert_eq!(left(store).await, ["parallel"]);
}

pub async fn what_runs_or_ended_lately_stays(store: &dyn Store) {
    let mut running = ended("e1", 1, 10);
    running.status = ExecutionStatus::InProgress;
    put(store, running).await;
    let mut stopping = ended("e2", 2, 10);
    stopping.status = ExecutionStatus::Stopping;
    put(store, stopping).await;
    put(store, ended("e3", 3, 100)).await;
    assert_eq!(prune(store, 100, 10).await, 0);
    assert_eq!(left(store).await, ["e1", "e2", "e3"]);
    assert_eq!(prune(store, 101, 10).await, 1);
    assert_eq!(left(store).await, ["e1", "e2"]);
}

pub async fn the_oldest_go_first_and_the_limit_is_kept(store: &dyn Store) {
    for (id, sequence, at) in [("e1", 1, 30), ("e2", 2, 10), ("e3", 3, 20), ("e4", 4, 20)] {
        put(store, ended(id, sequence, at)).await;
    }
    assert_eq!(prune(store, 100, 0).await, 0);
    assert_eq!(prune(store, 100, 1).await, 1);
    assert_eq!(left(store).await, ["e1", "e3", "e4"]);
    assert_eq!(prune(store, 100, 2).await, 2);
    assert_eq!(left(store).await, ["e1"]);
    assert_eq!(prune(store, 100, 2).await, 1);
    assert_eq!(left(store).await, [""; 0]);
}

/// More than one page of what stays, and what goes on both sides of it.
pub async fn much_that_stays_does_not_hide_what_goes(store: &dyn Store) {
    let many = u64::try_from(crate::limits::PRUNE_PAGE).unwrap() + 5;
    let mut naming = gate("p", "app");
    let mut executions = vec![(ended("first", 1, 1), None)];
    for n in 0..many {
        let id = format!("stays-{n}");
        naming.parallel.push(id.as_str().into());
        executions.push((ended(&id, 10 + n, 2), None));
    }
    executions.push((ended("last", 10 + many, 3), None));
    store.commit(Commit { gate: Some((naming, None)), executions, ..Commit::default() }).await.unwrap();
    assert_eq!(prune(store, 100, 1).await, 1);
    assert_eq!(prune(store, 100, 1).await, 1);
    assert_eq!(prune(store, 100, 1).await, 0);
    for gone in ["first", "last"] {
        assert_eq!(store.execution(&gone.into()).await.unwrap(), None);
    }
    let page = store.execution_page(&"p".into(), &ExecutionFilter::All, None, 1_000).await.unwrap();
    assert_eq!(page.items.len() as u64, many);
}

pub async fn a_retried_execution_is_judged_by_its_new_end(store: &dyn Store) {
    let version = put(store, ended("e1", 1, 10)).await;
    let change = async |status, at, expected| {
        let changed = Execution { status, ..ended("e1", 1, at) };
        let commit = Commit { executions: vec![(changed, Some(expected))], ..Commit::default() };
        store.commit(commit).await.unwrap().version
    };
    let version = change(ExecutionStatus::InProgress, 20, version).await;
    assert_eq!(prune(store, 100, 10).await, 0);
    let version = change(ExecutionStatus::Failed, 50, version).await;
    assert_eq!(prune(store, 50, 10).await, 0);
    // Changed after its end.
    change(ExecutionStatus::Failed, 60, version).await;
    assert_eq!(prune(store, 60, 10).await, 0);
    assert_eq!(left(store).await, ["e1"]);
    assert_eq!(prune(store, 61, 10).await, 1);
    assert_eq!(left(store).await, [""; 0]);
}

pub async fn a_deleted_pipeline_goes_with_its_last_execution(store: &dyn Store) {
    let mut deleted = Vec::new();
    for pipeline in ["p", "q", "kept"] {
        let commit = Commit {
            gate: Some((gate(pipeline, pipeline), None)),
            definition: Some(definition(pipeline, 1)),
            ..Commit::default()
        };
        deleted.push((pipeline, store.commit(commit).await.unwrap().version));
    }
    put(store, ended("e1", 1, 10)).await;
    put(store, ended("e2", 2, 20)).await;
    for (pipeline, version) in &deleted[..2] {
        let commit = Commit { delete_gate: Some(((*pipeline).into(), *version)), ..Commit::default() };
        store.commit(commit).await.unwrap();
    }
    assert_eq!(prune(store, 15, 10).await, 1);
    let definitions = async || {
        let wanted = ["p", "q", "kept"].map(|pipeline| (pipeline.into(), 1));
        store.definitions(&wanted).await.unwrap().iter().map(Option::is_some).collect::<Vec<_>>()
    };
    assert_eq!(definitions().await, [true, false, true]);
    assert!(store.definition(&"p".into(), 1).await.unwrap().is_some());
    assert_eq!(prune(store, 100, 10).await, 1);
    assert_eq!(definitions().await, [false, false, true]);
    assert_eq!(store.definition(&"p".into(), 1).await.unwrap(), None);
    assert_eq!(left(store).await, [""; 0]);
    assert_eq!(store.gate_count(&scope()).await.unwrap(), 1);
}

pub async fn numbers_go_on_after_everything_was_deleted(store: &dyn Store) {
    let before = put(store, ended("e1", 1, 10)).await;
    assert_eq!(prune(store, 100, 10).await, 1);
    assert_eq!(store.history_end().await.unwrap(), 2);
    let commit = Commit { history: vec![entry("p", "e2", EventState::Started)], ..Commit::default() };
    let after = store.commit(commit).await.unwrap();
    assert!(after.version > before);
    assert_eq!(after.first_history_sequence, 3);
    let history = store.history(&HistoryFilter::All, 0, 10).await.unwrap();
    assert_eq!(history.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [3]);
}
