//! Reads over 100,000 pipelines and 1,000,000 finished executions: `cargo xtask bench --scale`. Arguments: a directory or
//! a `postgresql://` URL, the number of pipelines, the number of executions. Prints one JSON line per fill level, so that
//! one sees whether reads stay flat as history grows.

#[path = "../tests/support/mod.rs"]
#[expect(dead_code, reason = "the benchmark uses its part of the tests' bench")]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use support::{create, ended, orchestrator, scope, three_stages};
use towpath_model::declaration::Definition;
use towpath_model::history::{ActionRecord, HistoryEntry, HistoryEvent};
use towpath_model::ids::{ActionExecutionId, ExecutionId, PipelineId};
use towpath_model::state::{Execution, Gate};
use towpath_orchestrator::Orchestrator;
use towpath_store::{ActionFilter, Commit, HistoryFilter, MemoryStore, PostgresStore, SqliteStore, Store};

/// Commits under way at once while the store is filled.
const WRITERS: usize = 256;
/// Every this many executions one belongs to the pipeline with the long history.
const BUSY_EVERY: u64 = 10;
const READS: usize = 2_000;

/// One finished execution as the engine wrote it, of which the others are copies under other ids.
struct Mould {
    gate: Gate,
    definition: Definition,
    execution: Execution,
    actions: Vec<ActionRecord>,
    history: Vec<HistoryEntry>,
}

async fn mould() -> Mould {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let bench = orchestrator(Arc::clone(&store)).await;
    let id = create(&bench, three_stages("mould")).await;
    let execution = ended(&bench, "mould", &id).await;
    let gate = store.gate(&execution.pipeline).await.expect("read").expect("the gate").value;
    let definition = store.definition(&execution.pipeline, 1).await.expect("read").expect("the definition");
    let actions = store.action_page(&ActionFilter::Execution(id.clone()), None, 100).await.expect("read").items;
    let history = store.history(&HistoryFilter::Execution(id), 0, 100).await.expect("read");
    Mould { gate, definition, execution, actions, history }
}

fn pipeline_id(number: u64) -> PipelineId {
    PipelineId::new(format!("{number:08x}-0000-4000-8000-000000000000"))
}

fn execution_id(number: u64) -> ExecutionId {
    ExecutionId::new(format!("{number:08x}-1111-4111-8111-111111111111"))
}

fn name(number: u64) -> String {
    format!("pipeline-{number:06}")
}

impl Mould {
    /// The commit of one execution, and of its pipeline if it is the first.
    fn commit(&self, pipeline: u64, execution: u64, sequence: u64) -> Commit {
        let (pid, id) = (pipeline_id(pipeline), execution_id(execution));
        let action = |old: &ActionExecutionId| {
            let index = self.actions.iter().position(|record| record.attempt.id == *old).unwrap_or_default();
            ActionExecutionId::new(format!("{execution:08x}-{index:04x}-4222-8222-222222222222"))
        };
        let later = i64::try_from(execution).expect("fits");
        let mut row = self.execution.clone();
        row.id = id.clone();
        row.pipeline = pid.clone();
        row.pipeline_name = name(pipeline).into();
        row.sequence = sequence;
        row.started = row.started.plus_millis(later);
        row.updated = row.updated.plus_millis(later);
        for attempt in row.stages.iter_mut().flat_map(|s| &mut s.actions).filter_map(|a| a.latest.as_mut()) {
            attempt.id = action(&attempt.id);
        }
        let actions = self.actions.iter().cloned().map(|mut record| {
            record.pipeline = pid.clone();
            record.execution = id.clone();
            record.attempt.id = action(&record.attempt.id);
            record.attempt.started = record.attempt.started.plus_millis(later);
            record
        });
        let history = self.history.iter().cloned().map(|mut entry| {
            entry.pipeline = pid.clone();
            entry.pipeline_name = name(pipeline).into();
            entry.execution = id.clone();
            if let HistoryEvent::Action { action_execution, .. } = &mut entry.event {
                *action_execution = action(action_execution);
            }
            entry
        });
        let mut commit = Commit {
            executions: vec![(row, None)],
            actions: actions.collect(),
            history: history.collect(),
            ..Commit::default()
        };
        if sequence == 1 {
            let mut gate = self.gate.clone();
            gate.pipeline = pid.clone();
            gate.name = name(pipeline).into();
            for stage in &mut gate.stages {
                stage.latest = Some(id.clone());
                stage.last_success = Some(id.clone());
            }
            let mut definition = self.definition.clone();
            definition.pipeline = pid;
            definition.declaration.name = name(pipeline).into();
            commit.gate = Some((gate, None));
            commit.definition = Some(definition);
        }
        commit
    }
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the figures are its output")]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |at: usize, default: u64| arguments.get(at).map_or(default, |text| text.parse().expect("a number"));
    let place = arguments.get(1).expect("a directory or a postgresql:// URL for the data");
    let (pipelines, executions) = (number(2, 100_000), number(3, 1_000_000));
    let store: Arc<dyn Store> = if place.starts_with("postgres") {
        Arc::new(PostgresStore::connect(place).await.expect("the database opens"))
    } else {
        Arc::new(SqliteStore::open(std::path::Path::new(place)).expect("the store opens"))
    };
    let mould = Arc::new(mould().await);
    let bench = orchestrator(Arc::clone(&store)).await;
    let mut filled = 0;
    for level in [executions / 100, executions / 10, executions] {
        let began = Instant::now();
        fill(&store, &mould, filled, level, pipelines).await;
        let rate = per_second(level - filled, began.elapsed());
        filled = level;
        let reads = reads(&bench, filled, pipelines).await;
        println!("{}", json!({"executions": filled, "filled_per_s": rate, "read_p99_ms": reads}));
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn per_second(count: u64, elapsed: Duration) -> f64 {
    (count as f64 / elapsed.as_secs_f64()).round()
}

/// Pipeline and sequence of an execution: every tenth belongs to pipeline 0, the others go round.
fn place_of(execution: u64, pipelines: u64) -> (u64, u64) {
    if execution.is_multiple_of(BUSY_EVERY) {
        return (0, execution / BUSY_EVERY + 1);
    }
    let other = execution - execution / BUSY_EVERY - 1;
    (1 + other % (pipelines - 1), other / (pipelines - 1) + 1)
}

async fn fill(store: &Arc<dyn Store>, mould: &Arc<Mould>, from: u64, to: u64, pipelines: u64) {
    let writers = WRITERS as u64;
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let (store, mould) = (Arc::clone(store), Arc::clone(mould));
            tokio::spawn(async move {
                let mut execution = from + writer;
                while execution < to {
                    let (pipeline, sequence) = place_of(execution, pipelines);
                    store.commit(mould.commit(pipeline, execution, sequence)).await.expect("the commit is taken");
                    execution += writers;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("the writer ends");
    }
}

/// The 99th percentile of each read, in milliseconds, over pipelines and pages spread evenly.
async fn reads(bench: &Arc<Orchestrator>, executions: u64, pipelines: u64) -> serde_json::Value {
    let known = (executions - executions / BUSY_EVERY).min(pipelines - 1);
    let some = |i: usize| 1 + (i as u64 * 7919) % known;
    let scope = scope();
    let mut out = serde_json::Map::new();
    let mut deep = None;
    for _ in 0..20 {
        let page = bench.list_executions(&scope, &name(0), None, deep.as_deref(), 100).await.expect("a page");
        deep = page.next_token.or(deep);
    }
    macro_rules! measure {
        ($label:literal, $i:ident => $read:expr) => {{
            let mut times = Vec::with_capacity(READS);
            for $i in 0..READS {
                let began = Instant::now();
                let _ = $read.await.expect($label);
                times.push(began.elapsed().as_secs_f64() * 1000.0);
            }
            times.sort_by(f64::total_cmp);
            out.insert($label.to_owned(), json!((times[READS * 99 / 100] * 1000.0).round() / 1000.0));
        }};
    }
    measure!("GetPipeline", i => bench.pipeline(&scope, &name(some(i)), None));
    measure!("GetPipelineState", i => bench.pipeline_state(&scope, &name(some(i))));
    measure!("ListPipelines", i => bench.list_pipelines(&scope, None, 1 + i % 100));
    measure!("ListPipelineExecutions", i => bench.list_executions(&scope, &name(some(i)), None, None, 100));
    measure!("ListPipelineExecutions, long history", _i => bench.list_executions(&scope, &name(0), None, None, 100));
    measure!("ListPipelineExecutions, page 21", _i => bench.list_executions(&scope, &name(0), None, deep.as_deref(), 100));
    measure!("GetPipelineExecution", i => bench.execution(&scope, &name(0), &execution_id(i as u64 * BUSY_EVERY % executions / BUSY_EVERY * BUSY_EVERY)));
    measure!("ListActionExecutions", i => bench.list_actions(&scope, &name(some(i)), None, false, None, 100));
    measure!("ListActionExecutions, long history", _i => bench.list_actions(&scope, &name(0), None, false, None, 100));
    serde_json::Value::Object(out)
}
