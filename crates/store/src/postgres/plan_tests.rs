//! Every statement is served by an index: asks PostgreSQL for the plan of each that the store really runs, and refuses one
//! that walks a table, or an index from end to end. This is what keeps the store flat as history grows.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use towpath_model::state::ExecutionStatus;
use towpath_model::time::Timestamp;

use super::PostgresStore;
use super::connect::PLANS;
use super::session::WRITER_SQL;
use crate::contract::fixtures::scope;
use crate::documents::{Documents, Scan};
use crate::{
    ActionFilter, Actions, Cursor, ExecutionFilter, Executions, History, HistoryFilter, Nodes, Pipelines, Retention,
    Tasks,
};

static RAN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

pub(super) fn ran(sql: &str) {
    RAN.lock().unwrap_or_else(PoisonError::into_inner).insert(sql.to_owned());
}

/// Calls everything once that does not go through the writers.
async fn everything(store: &PostgresStore) {
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
    store.definition(&pipeline, 1).await.unwrap();
    store.definitions(&[(pipeline.clone(), 1)]).await.unwrap();
    store.load(&pipeline, &["e1".into()]).await.unwrap();
    store.execution(&id).await.unwrap();
    let after = Some(Cursor { major: 7, minor: 7 });
    for filter in [
        ExecutionFilter::All,
        ExecutionFilter::Status(ExecutionStatus::Failed),
        ExecutionFilter::SucceededInStage { stage: "Build".into(), pipeline_version: 1 },
    ] {
        store.execution_page(&pipeline, &filter, after, 10).await.unwrap();
    }
    store.execution_of_token(&pipeline, "t").await.unwrap();
    store.action(&id, &"a1".into()).await.unwrap();
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
    // Whether an execution and all that names it is deleted by index is seen without one.
    crate::retention::Pruner::delete(store, vec![("e1".to_owned(), 1)]).await.unwrap();
    store.heartbeat("a", Timestamp(1), Timestamp(2)).await.unwrap();
    store.claim_orphans("a", Timestamp(1), 10).await.unwrap();
    store.release("a").await.unwrap();
}

/// The tables that hold a few rows.
fn may_walk(step: &str) -> bool {
    ["deleted_pipelines", "nodes", "counters"].iter().any(|table| step.contains(table))
}

#[tokio::test]
async fn every_statement_is_served_by_an_index() {
    let Some(url) = crate::testing::postgres_url().await else { return };
    let store = PostgresStore::connect(&url).await.unwrap();
    everything(&store).await;
    let ran: Vec<String> = RAN.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
    assert!(ran.len() >= 35, "only {} statements were seen", ran.len());
    let client = store.pool.get().await.unwrap();
    client.batch_execute(PLANS).await.unwrap();
    let planned = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"];
    let statements = ran.iter().map(String::as_str).chain(WRITER_SQL.iter().copied());
    for sql in statements.filter(|sql| planned.iter().any(|word| sql.starts_with(word))) {
        client.batch_execute(&format!("PREPARE planned AS {sql}")).await.unwrap();
        let row = client
            .query_one("SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'planned'", &[])
            .await
            .unwrap();
        let parameters = vec!["NULL"; usize::try_from(row.get::<_, i32>(0)).unwrap()].join(", ");
        let arguments = if parameters.is_empty() { String::new() } else { format!("({parameters})") };
        let plan = client.query(&format!("EXPLAIN (COSTS off) EXECUTE planned{arguments}"), &[]).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        client.batch_execute("DEALLOCATE planned").await.unwrap();
        let text = plan.join("\n");
        assert!(!plan.iter().any(|step| step.contains("Seq Scan on") && !may_walk(step)), "{sql}\n{text}");
        for (step, below) in plan.iter().zip(plan.iter().skip(1).map(String::as_str).chain([""])) {
            let scans = step.contains("Index Scan") || step.contains("Index Only Scan");
            let walks = scans && !below.contains("Index Cond") && !may_walk(step);
            // These take the first of an index and no more.
            let first = sql.contains("ORDER BY due, task LIMIT 1") || step.contains("tasks_by_owner");
            let counts = sql.starts_with("SELECT count(*)");
            assert!(!walks || first || counts, "{sql}\n{text}");
        }
        let sorts = plan.iter().any(|step| step.trim().trim_start_matches("->").trim() == "Sort");
        let few = sql.contains("execution = $1") || sql.contains("FOR UPDATE") || sql.contains("WITH ORDINALITY");
        assert!(!sorts || few, "{sql}\n{text}");
    }
}
