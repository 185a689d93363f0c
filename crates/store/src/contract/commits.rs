//! The contract of [`crate::Commits`]: all or nothing, compare and swap on every kind of row.

use towpath_model::history::EventState;
use towpath_model::ids::TaskId;
use towpath_model::state::{ExecutionStatus, StageStatus};

use super::fixtures::{action, definition, entry, execution, gate, scope, stage_run, task};
use crate::documents::{Expect, Key, Write};
use crate::{Commit, Committed, HistoryFilter, RequestToken, Row, Scan, Store, StoreError};

fn assert_conflict(result: Result<Committed, StoreError>, row: Row, key: &str) {
    match result {
        Err(StoreError::Conflict { row: found_row, key: found_key }) => {
            assert_eq!((found_row, found_key.as_str()), (row, key));
        }
        other => panic!("expected a conflict on {row} {key}, got {other:?}"),
    }
}

fn token(execution: &str) -> RequestToken {
    RequestToken { pipeline: "p".into(), token: "once".to_owned(), execution: execution.into() }
}

/// One of everything, for a pipeline that does not exist yet.
fn everything() -> Commit {
    let mut first = execution("p", "e1", 1);
    first.stages = vec![stage_run("Source", StageStatus::Succeeded), stage_run("Build", StageStatus::InProgress)];
    Commit {
        gate: Some((gate("p", "app"), None)),
        delete_gate: None,
        definition: Some(definition("p", 1)),
        executions: vec![(first, None)],
        actions: vec![action("e1", "a1", "Compile", 10)],
        history: vec![entry("p", "e1", EventState::Started), entry("p", "e1", EventState::Resumed)],
        tasks_put: vec![task("a1", 10)],
        tasks_moved: Vec::new(),
        tasks_done: vec![TaskId::new("never was")],
        request_token: Some(token("e1")),
        documents: vec![Write::Put { key: Key::new("tags", "p", "k"), body: b"v".to_vec(), expect: Expect::Absent }],
    }
}

/// What a store holds of everything the tests here write, for comparing before and after.
async fn dump(store: &dyn Store) -> String {
    let pipeline = "p".into();
    format!(
        "{:?}",
        (
            store.load(&pipeline, &["e1".into(), "e2".into()]).await.unwrap(),
            store.gates(&scope(), None, 10).await.unwrap(),
            store.definitions(&[(pipeline.clone(), 1), (pipeline.clone(), 2)]).await.unwrap(),
            store.action(&"e1".into(), &"a1".into()).await.unwrap(),
            store.action(&"e2".into(), &"a2".into()).await.unwrap(),
            store.history(&HistoryFilter::All, 0, 100).await.unwrap(),
            store.history_end().await.unwrap(),
            store.tasks(None, 100).await.unwrap(),
            store.execution_of_token(&pipeline, "once").await.unwrap(),
            store.scan("tags", "p", Scan::all()).await.unwrap(),
        )
    )
}

pub async fn a_commit_is_read_back_whole(store: &dyn Store) {
    let commit = everything();
    let committed = store.commit(commit.clone()).await.unwrap();
    assert_eq!(committed.first_history_sequence, 1);

    let loaded = store.load(&"p".into(), &["e1".into(), "e2".into()]).await.unwrap();
    let stored_gate = loaded.gate.unwrap();
    assert_eq!((Some((stored_gate.value, None)), stored_gate.version), (commit.gate, committed.version));
    let stored_execution = loaded.executions[0].clone().unwrap();
    assert_eq!((&stored_execution.value, stored_execution.version), (&commit.executions[0].0, committed.version));
    assert_eq!(loaded.executions[1], None);
    assert_eq!(store.execution(&"e1".into()).await.unwrap(), Some(stored_execution));
    assert_eq!(store.definition(&"p".into(), 1).await.unwrap(), commit.definition);
    assert_eq!(store.action(&"e1".into(), &"a1".into()).await.unwrap().as_ref(), commit.actions.first());
    assert_eq!(store.action(&"e2".into(), &"a1".into()).await.unwrap(), None);
    assert_eq!(store.task(&"a1".into()).await.unwrap().as_ref(), commit.tasks_put.first());
    assert_eq!(store.execution_of_token(&"p".into(), "once").await.unwrap(), Some("e1".into()));
    assert_eq!(store.get("tags", "p", "k").await.unwrap().unwrap().version, committed.version);
    let history = store.history(&HistoryFilter::All, 0, 10).await.unwrap();
    assert_eq!(history.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(history[1].event, commit.history[1].event);
}

pub async fn absent_rows_are_none(store: &dyn Store) {
    let loaded = store.load(&"p".into(), &["e1".into()]).await.unwrap();
    assert_eq!((loaded.gate, loaded.executions), (None, vec![None]));
    assert_eq!(store.gate(&"p".into()).await.unwrap(), None);
    assert_eq!(store.gate_by_name(&scope(), "app").await.unwrap(), None);
    assert_eq!(store.definition(&"p".into(), 1).await.unwrap(), None);
    assert_eq!(store.execution(&"e1".into()).await.unwrap(), None);
    assert_eq!(store.execution_of_token(&"p".into(), "once").await.unwrap(), None);
    assert_eq!(store.action(&"e1".into(), &"a1".into()).await.unwrap(), None);
    assert_eq!(store.task(&"a1".into()).await.unwrap(), None);
    assert_eq!(store.next_due().await.unwrap(), None);
    assert_eq!(store.history_end().await.unwrap(), 0);
}

/// Each kind of row, in turn, is the one whose expectation fails; nothing else of the commit may be there afterwards.
pub async fn a_conflict_on_any_row_leaves_nothing_behind(store: &dyn Store) {
    let first = store.commit(everything()).await.unwrap();
    let before = dump(store).await;

    // One that would change every row, and succeed.
    let mut valid = everything();
    let mut changed = gate("p", "app");
    changed.next_sequence = 2;
    valid.gate = Some((changed, Some(first.version)));
    valid.definition = Some(definition("p", 2));
    valid.executions[0].1 = Some(first.version);
    valid.executions[0].0.status = ExecutionStatus::Failed;
    valid.executions.push((execution("p", "e2", 2), None));
    valid.actions.push(action("e2", "a2", "Compile", 20));
    valid.tasks_put = vec![task("a2", 20)];
    valid.tasks_moved = vec![task("a1", 99)];
    valid.request_token = None;
    valid.documents = vec![Write::delete(Key::new("tags", "p", "k"), Expect::Version(first.version))];

    let refused = [
        (Row::Gate, "p", {
            let mut c = valid.clone();
            c.gate = Some((gate("p", "app"), Some(first.version + 1)));
            c
        }),
        (Row::Gate, "p", {
            let mut c = valid.clone();
            c.gate = Some((gate("p", "app"), None));
            c
        }),
        (Row::Gate, "q", {
            let mut c = valid.clone();
            c.gate = Some((gate("q", "other"), Some(first.version)));
            c
        }),
        (Row::PipelineName, "app", {
            let mut c = valid.clone();
            c.gate = Some((gate("q", "app"), None));
            c
        }),
        (Row::Gate, "p", {
            let mut c = valid.clone();
            c.delete_gate = Some(("p".into(), first.version + 1));
            c
        }),
        (Row::Gate, "q", {
            let mut c = valid.clone();
            c.delete_gate = Some(("q".into(), first.version));
            c
        }),
        (Row::Definition, "p", {
            let mut c = valid.clone();
            c.definition = Some(definition("p", 1));
            c
        }),
        (Row::Execution, "e1", {
            let mut c = valid.clone();
            c.executions[0].1 = Some(first.version + 1);
            c
        }),
        (Row::Execution, "e1", {
            let mut c = valid.clone();
            c.executions[0].1 = None;
            c
        }),
        (Row::Execution, "e2", {
            let mut c = valid.clone();
            c.executions[1].1 = Some(first.version);
            c
        }),
        (Row::Execution, "e2", {
            let mut c = valid.clone();
            c.executions[1].0.sequence = 1;
            c
        }),
        (Row::RequestToken, "once", {
            let mut c = valid.clone();
            c.request_token = Some(token("e2"));
            c
        }),
        (Row::Task, "gone", {
            let mut c = valid.clone();
            c.tasks_moved.push(task("gone", 1));
            c
        }),
        (Row::Document, "k", {
            let mut c = valid.clone();
            c.documents = vec![Write::delete(Key::new("tags", "p", "k"), Expect::Absent)];
            c
        }),
    ];
    for (row, key, commit) in refused {
        assert_conflict(store.commit(commit).await, row, key);
        assert_eq!(dump(store).await, before, "a conflict on {row} {key} left something behind");
    }

    let second = store.commit(valid).await.unwrap();
    assert!(second.version > first.version);
    assert_eq!(second.first_history_sequence, 3, "a refused commit used up sequence numbers");
    assert_ne!(dump(store).await, before);
    assert_eq!(store.scan("tags", "p", Scan::all()).await.unwrap(), []);
}

pub async fn a_swapped_row_has_the_new_version_only(store: &dyn Store) {
    let first = store.commit(everything()).await.unwrap().version;
    let swap = |status, expected| {
        let mut changed = execution("p", "e1", 1);
        changed.status = status;
        Commit { executions: vec![(changed, Some(expected))], ..Commit::default() }
    };
    let second = store.commit(swap(ExecutionStatus::Stopping, first)).await.unwrap().version;
    assert_conflict(store.commit(swap(ExecutionStatus::Stopped, first)).await, Row::Execution, "e1");
    let found = store.execution(&"e1".into()).await.unwrap().unwrap();
    assert_eq!((found.value.status, found.version), (ExecutionStatus::Stopping, second));
    // The gate was not part of it, and is as it was.
    assert_eq!(store.gate(&"p".into()).await.unwrap().unwrap().version, first);
}

pub async fn a_deleted_pipeline_frees_its_name_and_keeps_its_past(store: &dyn Store) {
    let first = store.commit(everything()).await.unwrap().version;
    let delete = Commit { delete_gate: Some(("p".into(), first)), ..Commit::default() };
    store.commit(delete.clone()).await.unwrap();
    assert_eq!(store.gate_by_name(&scope(), "app").await.unwrap(), None);
    assert_eq!(store.gate_count(&scope()).await.unwrap(), 0);
    assert!(store.execution(&"e1".into()).await.unwrap().is_some());
    assert!(store.definition(&"p".into(), 1).await.unwrap().is_some());
    assert_conflict(store.commit(delete).await, Row::Gate, "p");

    let again = Commit { gate: Some((gate("q", "app"), None)), ..Commit::default() };
    let second = store.commit(again).await.unwrap().version;
    assert!(second > first);
    assert_eq!(store.gate_by_name(&scope(), "app").await.unwrap().unwrap().value.pipeline, "q");
    // Or both in one commit.
    let replaced =
        Commit { gate: Some((gate("r", "app"), None)), delete_gate: Some(("q".into(), second)), ..Commit::default() };
    store.commit(replaced).await.unwrap();
    assert_eq!(store.gate_by_name(&scope(), "app").await.unwrap().unwrap().value.pipeline, "r");
    assert_eq!(store.gate(&"q".into()).await.unwrap(), None);
}

pub async fn racing_commits_have_one_winner(store: &dyn Store) {
    let version = store.commit(everything()).await.unwrap().version;
    let race = |summary: &str| {
        let mut changed = execution("p", "e1", 1);
        changed.status_summary = Some(summary.to_owned());
        store.commit(Commit {
            executions: vec![(changed, Some(version))],
            history: vec![entry("p", "e1", EventState::Failed)],
            ..Commit::default()
        })
    };
    let results: [_; 3] = tokio::join!(race("1"), race("2"), race("3")).into();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(results.iter().filter(|result| matches!(result, Err(error) if error.is_conflict())).count(), 2);
    assert_eq!(store.history_end().await.unwrap(), 3);
}

pub async fn racing_requests_with_one_token_start_one_execution(store: &dyn Store) {
    let start = |id: &'static str, sequence| {
        store.commit(Commit {
            executions: vec![(execution("p", id, sequence), None)],
            request_token: Some(token(id)),
            ..Commit::default()
        })
    };
    let (first, second) = tokio::join!(start("e1", 1), start("e2", 2));
    assert!(first.is_ok() != second.is_ok());
    let winner = if first.is_ok() { "e1" } else { "e2" };
    assert_eq!(store.execution_of_token(&"p".into(), "once").await.unwrap(), Some(winner.into()));
    assert_eq!(store.execution_of_token(&"q".into(), "once").await.unwrap(), None);
}

pub async fn an_empty_commit_is_no_error(store: &dyn Store) {
    let committed = store.commit(Commit::default()).await.unwrap();
    assert_eq!(committed.first_history_sequence, 1);
}

pub async fn too_many_rows_are_refused(store: &dyn Store) {
    let history = vec![entry("p", "e1", EventState::Started); crate::limits::COMMAND_WRITES_MAX + 1];
    let result = store.commit(Commit { history, ..Commit::default() }).await;
    assert!(matches!(result, Err(StoreError::TooLarge { what: "rows in one commit", .. })), "{result:?}");
    assert_eq!(store.history_end().await.unwrap(), 0);
}
