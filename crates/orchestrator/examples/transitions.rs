//! Measures the engine, the store and the effect runner together, on SQLite with full sync and the Rehearsal provider:
//! how long a transition takes, how many there are per second, how many whole executions. Prints one JSON object.
//! `cargo xtask bench` runs it; `cargo run --release -p towpath-orchestrator --example transitions -- DIR [SECONDS]`.

#[path = "../tests/support/mod.rs"]
#[expect(dead_code, reason = "the benchmark uses its part of the tests' bench")]
mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{action, create, ended, orchestrator, pipeline, start, three_stages};
use towpath_orchestrator::Orchestrator;
use towpath_store::{SqliteStore, Store};

/// Actions one after the other in the chain whose steps are timed.
const CHAIN: u32 = 90;
/// Pipelines that run side by side for the throughput figures.
const PIPELINES: usize = 256;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the figures are its output")]
async fn main() {
    let directory = std::env::args().nth(1).expect("a directory for the data");
    let seconds: u64 = std::env::args().nth(2).map_or(5, |text| text.parse().expect("a number of seconds"));
    let latency = latency(&Path::new(&directory).join("latency")).await;
    let throughput = throughput(&Path::new(&directory).join("throughput"), Duration::from_secs(seconds)).await;
    let mut result = latency;
    result.as_object_mut().expect("an object").extend(throughput.as_object().expect("an object").clone());
    println!("{result}");
}

async fn open(directory: &Path) -> Arc<Orchestrator> {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(directory).expect("the store opens"));
    orchestrator(store).await
}

/// One client, one execution at a time: the time between two commits is the whole way from an action that finished to
/// the next one started, durably (the commit of the one is the commit of the other).
async fn latency(directory: &Path) -> Value {
    let bench = open(directory).await;
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
        for _ in 0..CHAIN {
            commits.changed().await.expect("the orchestrator lives");
            let version = *commits.borrow_and_update();
            let now = Instant::now();
            // Two commits noticed as one say nothing about either.
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
    let bench = open(directory).await;
    for n in 0..PIPELINES {
        let first = create(&bench, three_stages(&format!("p{n}"))).await;
        ended(&bench, &format!("p{n}"), &first).await;
    }
    let done = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let runs: Vec<_> = (0..PIPELINES)
        .map(|n| {
            let (bench, done) = (Arc::clone(&bench), Arc::clone(&done));
            tokio::spawn(async move {
                let name = format!("p{n}");
                while begun.elapsed() < span {
                    let id = start(&bench, &name, None).await;
                    ended(&bench, &name, &id).await;
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
