//! Measures the engine, the store and the effect runner together, on SQLite with full sync and the Rehearsal provider:
//! how long a transition takes, how many there are per second, how many whole executions. Prints one JSON object.
//! `cargo xtask bench` runs it; `cargo run --release -p towpath-orchestrator --example transitions -- DIR [SECONDS]`.

#[path = "../tests/support/mod.rs"]
#[expect(dead_code, reason = "the benchmark uses its part of the tests' bench")]
mod support;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mimalloc::MiMalloc;
use serde_json::{Value, json};
use support::{action, create, ended, orchestrator, pipeline, start, three_stages};
use tokio::sync::{Notify, watch};
use towpath_model::history::{EventState, HistoryEvent};
use towpath_model::ids::ExecutionId;
use towpath_orchestrator::Orchestrator;
use towpath_store::{HistoryFilter, PostgresStore, SqliteStore, Store};

/// The allocator of the shipped binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Actions one after the other in the chain whose steps are timed.
const CHAIN: u32 = 90;
/// Pipelines that run side by side for the throughput figures.
const PIPELINES: usize = 256;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the figures are its output")]
async fn main() {
    let directory = std::env::args().nth(1).expect("a directory for the data");
    let seconds: u64 = std::env::args().nth(2).map_or(5, |text| text.parse().expect("a number of seconds"));
    // One schema holds both parts: their pipelines have other names.
    let part = |name: &str| {
        let place = Path::new(&directory);
        if directory.starts_with("postgres") { place.to_owned() } else { place.join(name) }
    };
    let latency = latency(&part("latency")).await;
    let throughput = throughput(&part("throughput"), Duration::from_secs(seconds)).await;
    let mut result = latency;
    result.as_object_mut().expect("an object").extend(throughput.as_object().expect("an object").clone());
    println!("{result}");
}

async fn open(place: &Path) -> (Arc<Orchestrator>, Arc<dyn Store>) {
    let url = place.to_str().filter(|place| place.starts_with("postgres"));
    let store: Arc<dyn Store> = if let Some(url) = url {
        Arc::new(PostgresStore::connect(url).await.expect("the database opens"))
    } else {
        std::fs::create_dir_all(place).expect("the directory is made");
        Arc::new(SqliteStore::open(place).expect("the store opens"))
    };
    (orchestrator(Arc::clone(&store)).await, store)
}

/// Tells of the end of executions: one reader of the history for all who wait, so that waiting costs next to nothing
/// beside what is measured.
#[derive(Default)]
struct Ends(Mutex<HashMap<ExecutionId, Arc<Notify>>>);

impl Ends {
    /// Notified when the execution ends, or at once if it has ended already.
    fn of(&self, execution: &ExecutionId) -> Arc<Notify> {
        Arc::clone(self.0.lock().expect("no panic").entry(execution.clone()).or_default())
    }

    async fn follow(&self, store: &dyn Store, mut commits: watch::Receiver<u64>) {
        let mut seen = store.history_end().await.expect("the history is read");
        loop {
            let entries = store.history(&HistoryFilter::All, seen, 1000).await.expect("the history is read");
            for entry in &entries {
                seen = entry.sequence;
                let HistoryEvent::Execution { state: EventState::Succeeded, .. } = entry.event else { continue };
                self.of(&entry.execution).notify_one();
            }
            if entries.is_empty() && commits.changed().await.is_err() {
                return;
            }
        }
    }
}

/// One client, one execution at a time: the time between two commits is the whole way from an action that finished to
/// the next one started, durably (the commit of the one is the commit of the other).
async fn latency(directory: &Path) -> Value {
    let (bench, _store) = open(directory).await;
    let chain: Vec<Value> = (1..=CHAIN).map(|n| action(&format!("A{n}"), "Build", n, &json!({}))).collect();
    let declaration = pipeline("chain", &[("Source", vec![action("S", "Source", 1, &json!({}))]), ("Run", chain)]);
    let first = create(&bench, declaration).await;
    ended(&bench, "chain", &first).await;
    let mut steps = Vec::new();
    for _ in 0..20 {
        let mut commits = bench.subscribe();
        commits.borrow_and_update();
        let id = start(&bench, "chain", None).await;
        let mut last: Option<Instant> = None;
        let mut seen = *commits.borrow_and_update();
        let enough = seen + u64::from(CHAIN);
        while seen < enough {
            commits.changed().await.expect("the orchestrator lives");
            let version = *commits.borrow_and_update();
            let now = Instant::now();
            // Two commits noticed as one say nothing about either, and leave one fewer to wait for.
            if version == seen + 1
                && let Some(last) = last
            {
                steps.push(now - last);
            }
            (seen, last) = (version, Some(now));
        }
        ended(&bench, "chain", &id).await;
    }
    steps.sort();
    let at = |percent: usize| steps[(steps.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    json!({"transition_p50_ms": at(50), "transition_p99_ms": at(99), "transitions_timed": steps.len()})
}

/// Many pipelines, each starting its next execution when the last one ended.
async fn throughput(directory: &Path, span: Duration) -> Value {
    let (bench, store) = open(directory).await;
    let ends = Arc::new(Ends::default());
    let (follower, commits) = (Arc::clone(&ends), bench.subscribe());
    tokio::spawn(async move { follower.follow(&*store, commits).await });
    for n in 0..PIPELINES {
        let first = create(&bench, three_stages(&format!("p{n}"))).await;
        ended(&bench, &format!("p{n}"), &first).await;
    }
    let done = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let runs: Vec<_> = (0..PIPELINES)
        .map(|n| {
            let (bench, done, ends) = (Arc::clone(&bench), Arc::clone(&done), Arc::clone(&ends));
            tokio::spawn(async move {
                let name = format!("p{n}");
                while begun.elapsed() < span {
                    let id = start(&bench, &name, None).await;
                    ends.of(&id).notified().await;
                    ends.0.lock().expect("no panic").remove(&id);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for run in runs {
        run.await.expect("no panic");
    }
    let seconds = begun.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
    let executions = done.load(Ordering::Relaxed) as f64 / seconds;
    // Execution and three stages and three actions, each started and ended, is what a run of this pipeline records.
    json!({"executions_per_s": executions, "transitions_per_s": executions * 14.0})
}
