//! Every read is served by an index: asks SQLite for the plan of each statement the reads really run, and refuses a plan
//! that walks a table or sorts. This is what keeps reads flat as history grows.

use std::sync::{Mutex, PoisonError};

use rusqlite::trace::{TraceEvent, TraceEventCodes};
use towpath_model::state::ExecutionStatus;
use towpath_model::time::Timestamp;

use super::{SqliteOptions, SqliteStore};
use crate::contract::fixtures::{execution, gate, scope};
use crate::documents::{Documents, Expect, Key, Scan, Write};
use crate::{
    ActionFilter, Actions, Commit, Commits, Cursor, ExecutionFilter, Executions, History, HistoryFilter, Pipelines,
    RequestToken, Retention, Tasks,
};

static RAN: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn record(event: TraceEvent<'_>) {
    if let TraceEvent::Stmt(statement, _) = event {
        let sql = statement.expanded_sql().expect("a statement has a text");
        RAN.lock().unwrap_or_else(PoisonError::into_inner).push(sql);
    }
}

/// Calls every read once.
async fn every_read(store: &SqliteStore) {
    let (pipeline, id) = ("p".into(), "e1".into());
    store.get("c", "p", "k").await.unwrap();
    for scan in [Scan::all(), Scan::prefix("a"), Scan::all().reversed().after("x"), Scan::all().after("x")] {
        store.scan("c", "p", scan).await.unwrap();
    }
    store.partitions("c").await.unwrap();
    store.gate(&pipeline).await.unwrap();
    store.gate_by_name(&scope(), "app").await.unwrap();
    store.gates(&scope(), Some(&"a".into()), 10).await.unwrap();
    store.gate_count(&scope()).await.unwrap();
    store.definitions(&[(pipeline.clone(), 1)]).await.unwrap();
    store.load(&pipeline, &["e1".into()]).await.unwrap();
    let after = Some(Cursor { major: 7, minor: 7 });
    for filter in [
        ExecutionFilter::All,
        ExecutionFilter::Status(ExecutionStatus::Failed),
        ExecutionFilter::SucceededInStage { stage: "Build".into(), pipeline_version: 1 },
    ] {
        store.execution_page(&pipeline, &filter, after, 10).await.unwrap();
    }
    store.execution_of_token(&pipeline, "t").await.unwrap();
    store.action(&"e1".into(), &"a1".into()).await.unwrap();
    for filter in [
        ActionFilter::Pipeline(pipeline.clone()),
        ActionFilter::Execution("e1".into()),
        ActionFilter::LatestInExecution(id),
    ] {
        store.action_page(&filter, after, 10).await.unwrap();
        store.rule_page(&filter, after, 10).await.unwrap();
    }
    for filter in [HistoryFilter::All, HistoryFilter::Pipeline(pipeline), HistoryFilter::Execution("e1".into())] {
        store.history(&filter, 3, 10).await.unwrap();
    }
    store.history_end().await.unwrap();
    store.task(&"a1".into()).await.unwrap();
    store.tasks_due(Timestamp(1), 10).await.unwrap();
    store.next_due().await.unwrap();
    store.tasks(Some(&"a".into()), 10).await.unwrap();
    store.prune(Timestamp(1), 10).await.unwrap();
}

#[tokio::test]
async fn every_read_is_served_by_an_index() {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions { uncached: true, ..SqliteOptions::default() };
    let store = SqliteStore::open_with(directory.path(), &options).unwrap();
    store
        .commit(Commit {
            gate: Some((gate("p", "app"), None)),
            executions: vec![(execution("p", "e1", 1), None)],
            request_token: Some(RequestToken { pipeline: "p".into(), token: "t".to_owned(), execution: "e1".into() }),
            documents: vec![Write::Put { key: Key::new("c", "p", "k"), body: Vec::new(), expect: Expect::Any }],
            ..Commit::default()
        })
        .await
        .unwrap();
    // The first read opens a connection, and one that reads alone keeps getting that one back.
    store.history_end().await.unwrap();
    for connection in store.readers.idle.lock().unwrap().iter_mut() {
        connection.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(record));
    }
    every_read(&store).await;

    let ran = std::mem::take(&mut *RAN.lock().unwrap());
    let reads: Vec<_> = ran.iter().filter(|sql| !sql.starts_with("BEGIN") && !sql.starts_with("ROLLBACK")).collect();
    assert!(reads.len() >= 25, "only {} statements were seen", reads.len());
    let connection = rusqlite::Connection::open(directory.path().join(super::FILE)).unwrap();
    for sql in reads {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let plan = statement.query_map((), |row| row.get::<_, String>(3)).unwrap();
        let plan: Vec<String> = plan.collect::<Result<_, _>>().unwrap();
        assert!(plan.iter().any(|step| step.starts_with("SEARCH")), "{sql}\n{plan:#?}");
        for step in &plan {
            // `found` is the list of partitions itself; a constant row is none of ours.
            let walks = step.starts_with("SCAN") && step != "SCAN found" && step != "SCAN CONSTANT ROW";
            assert!(!walks && !step.contains("TEMP B-TREE"), "{sql}\n{plan:#?}");
        }
    }
}
