//! How many durable transitions a second the SQLite or the PostgreSQL store commits, and how long one takes. A transition is what "one
//! action finished, the next one starts" writes: the execution swapped, two action records, two history entries, one
//! task done and one put, after loading the gate and the execution. Prints one JSON object.
//!
//! `cargo run --release -p towpath-store --example throughput -- DIRECTORY|URL [EXECUTIONS_AT_A_TIME [TRANSITIONS_EACH]]`

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use towpath_model::action::{ActionInvocation, Progress};
use towpath_model::catalogue::{ActionTypeId, Category, Owner};
use towpath_model::declaration::ExecutionMode;
use towpath_model::effect::{Task, TaskKind};
use towpath_model::history::{ActionRecord, EventState, HistoryEntry, HistoryEvent};
use towpath_model::ids::{ActionExecutionId, ExecutionId, PipelineId, Scope};
use towpath_model::state::{
    ActionAttempt, ActionRun, ActionStatus, Execution, ExecutionKind, ExecutionStatus, Gate, Position, StageGate,
    StageRun, StageStatus, Trigger,
};
use towpath_model::time::Timestamp;
use towpath_store::{Commit, PostgresStore, SqliteStore, Store, StoreError, WriteCounters};

const NODE: &str = "bench";
const STAGES: [&str; 3] = ["Source", "Build", "Deploy"];

fn scope() -> Scope {
    Scope::new("123456789012", "us-east-1")
}

fn action_type() -> ActionTypeId {
    ActionTypeId::new(Category::Build, Owner::Custom, "Rehearsal", "1")
}

/// Spread like random ids, so that indexes are written where they would be.
fn id(kind: u64, number: u64) -> String {
    let mixed = (kind << 48 | number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("{:08x}-{:04x}-4000-8000-{number:012x}", mixed >> 32, mixed >> 16 & 0xffff)
}

fn gate(pipeline: &PipelineId) -> Gate {
    Gate {
        pipeline: pipeline.clone(),
        scope: scope(),
        name: pipeline.as_str().into(),
        definition_version: 1,
        created: Timestamp(0),
        updated: Timestamp(0),
        next_sequence: 2,
        stages: STAGES.iter().map(|name| StageGate::new((*name).into())).collect(),
        active: Vec::new(),
        parallel: Vec::new(),
    }
}

fn execution(pipeline: &PipelineId, id: &ExecutionId) -> Execution {
    Execution {
        id: id.clone(),
        pipeline: pipeline.clone(),
        scope: scope(),
        pipeline_name: pipeline.as_str().into(),
        pipeline_version: 1,
        sequence: 1,
        mode: ExecutionMode::Superseded,
        kind: ExecutionKind::Standard,
        status: ExecutionStatus::InProgress,
        status_summary: None,
        attempt: 1,
        trigger: Trigger { kind: "StartPipelineExecution".to_owned(), detail: "arn:aws:iam::1:root".to_owned() },
        stop: None,
        cancelling: false,
        position: Position::In(0),
        variables: Some(BTreeMap::new()),
        source_overrides: Vec::new(),
        revisions: Vec::new(),
        stages: STAGES
            .iter()
            .map(|name| StageRun {
                name: (*name).into(),
                status: StageStatus::InProgress,
                actions: Vec::new(),
                conditions: Vec::new(),
                manual_retries: 0,
                automatic_retries: 0,
                latest_retry_trigger: None,
                entered: Timestamp(0),
                updated: Timestamp(0),
            })
            .collect(),
        artifacts: BTreeMap::new(),
        outputs: BTreeMap::new(),
        started: Timestamp(0),
        updated: Timestamp(0),
    }
}

fn invocation(execution: &Execution, action: &ActionExecutionId) -> ActionInvocation {
    ActionInvocation {
        scope: scope(),
        pipeline_name: execution.pipeline_name.clone(),
        pipeline_version: 1,
        execution_id: execution.id.clone(),
        stage_name: "Build".into(),
        action_name: "Compile".into(),
        action_execution_id: action.clone(),
        action_type: action_type(),
        condition: None,
        configuration: BTreeMap::from([("Outcome".to_owned(), "Succeeded".to_owned())]),
        region: "us-east-1".to_owned(),
        pipeline_role_arn: "arn:aws:iam::123456789012:role/pipeline".to_owned(),
        role_arn: None,
        input_artifacts: Vec::new(),
        copies: Vec::new(),
        output_artifacts: Vec::new(),
        output_files: Vec::new(),
        encryption_key: None,
        source_overrides: Vec::new(),
        commands: Vec::new(),
        environment_variables: Vec::new(),
        output_variables: Vec::new(),
        started: Timestamp(0),
        deadline: Timestamp(0),
    }
}

fn attempt(execution: &Execution, action: &ActionExecutionId, status: ActionStatus, at: i64) -> ActionAttempt {
    ActionAttempt {
        id: action.clone(),
        status,
        started: Timestamp(at),
        last_change: Timestamp(at),
        deadline: Timestamp(at + 3_600_000),
        token: None,
        progress: Progress::default(),
        error: None,
        updated_by: None,
        variables: BTreeMap::new(),
        invocation: Some(invocation(execution, action)),
    }
}

fn record(execution: &Execution, attempt: ActionAttempt) -> ActionRecord {
    ActionRecord {
        pipeline: execution.pipeline.clone(),
        execution: execution.id.clone(),
        pipeline_version: 1,
        stage: "Build".into(),
        action: "Compile".into(),
        action_type: action_type(),
        condition: None,
        namespace: None,
        role_arn: None,
        region: "us-east-1".to_owned(),
        configuration: BTreeMap::new(),
        resolved_configuration: BTreeMap::new(),
        attempt,
    }
}

fn entry(execution: &Execution, action: &ActionExecutionId, state: EventState) -> HistoryEntry {
    HistoryEntry {
        sequence: 0,
        time: Timestamp(0),
        pipeline: execution.pipeline.clone(),
        scope: scope(),
        pipeline_name: execution.pipeline_name.clone(),
        pipeline_version: 1,
        execution: execution.id.clone(),
        attempt: 1,
        event: HistoryEvent::Action {
            stage: "Build".into(),
            action: "Compile".into(),
            action_execution: action.clone(),
            action_type: action_type(),
            region: "us-east-1".to_owned(),
            state,
            progress: Progress::default(),
            error: None,
        },
    }
}

/// One execution's life; answers how long each transition took, load and commit.
async fn run(store: Arc<dyn Store>, number: u64, transitions: u64) -> Result<Vec<Duration>, StoreError> {
    let pipeline = PipelineId::new(id(1, number));
    let execution_id = ExecutionId::new(id(2, number));
    let start = Commit {
        gate: Some((gate(&pipeline), None)),
        executions: vec![(execution(&pipeline, &execution_id), None)],
        ..Commit::default()
    };
    store.commit(start).await?;
    let mut took = Vec::new();
    let action_id = |n: u64| ActionExecutionId::new(id(3, number * transitions + n));
    for n in 0..transitions {
        let began = Instant::now();
        let loaded = store.load(&pipeline, std::slice::from_ref(&execution_id)).await?;
        let Some(Some(mut found)) = loaded.executions.into_iter().next() else { break };
        let (done, next) = (action_id(n), action_id(n + 1));
        let at = i64::try_from(n).unwrap_or(0);
        let finished = attempt(&found.value, &done, ActionStatus::Succeeded, at);
        let started = attempt(&found.value, &next, ActionStatus::InProgress, at + 1);
        let stage = usize::try_from(n).unwrap_or(0) % STAGES.len();
        let run = ActionRun { name: "Compile".into(), run_order: 1, latest: Some(started.clone()) };
        found.value.stages[stage].actions = vec![run];
        let commit = Commit {
            history: vec![
                entry(&found.value, &done, EventState::Succeeded),
                entry(&found.value, &next, EventState::Started),
            ],
            tasks_put: vec![Task {
                id: next.as_str().into(),
                pipeline: pipeline.clone(),
                execution: execution_id.clone(),
                kind: TaskKind::Start,
                due: Timestamp(at),
                invocation: invocation(&found.value, &next),
                progress: Progress::default(),
                failures: 0,
                last_failure: None,
                owner: Some(NODE.to_owned()),
                lease_until: None,
            }],
            tasks_done: vec![done.as_str().into()],
            actions: vec![record(&found.value, finished), record(&found.value, started)],
            executions: vec![(found.value, Some(found.version))],
            ..Commit::default()
        };
        store.commit(commit).await?;
        took.push(began.elapsed());
    }
    Ok(took)
}

/// A store, and how to ask it for its counters.
type Opened = (Arc<dyn Store>, Box<dyn Fn() -> WriteCounters>);

async fn open(place: &str) -> Result<Opened, StoreError> {
    if place.contains("://") {
        let store = Arc::new(PostgresStore::connect(place).await?);
        Ok((store.clone(), Box::new(move || store.write_counters())))
    } else {
        let store = Arc::new(SqliteStore::open(Path::new(place))?);
        Ok((store.clone(), Box::new(move || store.write_counters())))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: throughput DIRECTORY|URL [EXECUTIONS_AT_A_TIME [TRANSITIONS_EACH]]";
    let place = arguments.next().ok_or(usage)?;
    let executions: u64 = arguments.next().map_or(Ok(256), |text| text.parse())?;
    let transitions: u64 = arguments.next().map_or(Ok(200), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (store, counters) = runtime.block_on(open(&place))?;
    runtime.block_on(store.heartbeat(NODE, Timestamp(0), Timestamp(i64::MAX)))?;
    let began = Instant::now();
    let mut took = runtime.block_on(async {
        let runs: Vec<_> = (0..executions).map(|n| tokio::spawn(run(Arc::clone(&store), n, transitions))).collect();
        let mut took = Vec::new();
        for run in runs {
            took.extend(run.await??);
        }
        Ok::<_, Box<dyn std::error::Error>>(took)
    })?;
    let seconds = began.elapsed().as_secs_f64();
    took.sort_unstable();
    let counters = counters();
    let percentile = |percent: usize| took.get(took.len() * percent / 100).map_or(0, Duration::as_micros);
    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark")]
    let (per_second, group) =
        (took.len() as f64 / seconds, counters.commands as f64 / counters.transactions.max(1) as f64);
    writeln!(
        std::io::stdout(),
        "{{\"at_a_time\":{executions},\"transitions\":{},\"per_second\":{per_second:.0},\"p50_us\":{},\"p99_us\":{},\
         \"commits_per_transaction\":{group:.1}}}",
        took.len(),
        percentile(50),
        percentile(99),
    )?;
    Ok(())
}
