//! A store as a simulated process sees it: every call may take a while, a write may fail, and the process may die just
//! before or just after one. What the store itself does is the wrapped store's business.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use towpath_model::declaration::Definition;
use towpath_model::effect::Task;
use towpath_model::history::{ActionRecord, HistoryEntry};
use towpath_model::ids::{ActionExecutionId, ExecutionId, PipelineId, PipelineName, Scope, TaskId};
use towpath_model::state::{Execution, Gate};
use towpath_model::time::Timestamp;
use towpath_store::{
    ActionFilter, Actions, Commit, Commits, Committed, Cursor, Document, Documents, ExecutionFilter, Executions,
    History, HistoryFilter, Loaded, Nodes, Page, Pipelines, Retention, Scan, Store, StoreError, Tasks, Versioned,
    Write,
};

use super::executor::Virtual;
use crate::runtime::Runtime as _;

/// What becomes of a call on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// It goes on after a while.
    After(Duration),
    /// A write fails, and nothing of it is done.
    Fails,
    /// The process dies here.
    Crash,
}

/// Decides what becomes of each call.
pub trait Interference: Send + Sync {
    /// How long a read takes.
    fn read(&self) -> Duration {
        Duration::ZERO
    }

    /// Before a write.
    fn writing(&self) -> Passage {
        Passage::After(Duration::ZERO)
    }

    /// A change of pipeline state was made. Heard before anything else can happen.
    fn committed(&self, _commit: &Commit, _committed: &Committed) {}

    /// After a write, before its caller hears of it.
    fn written(&self) -> Passage {
        Passage::After(Duration::ZERO)
    }

    /// Whether other processes write to the same store.
    fn is_shared(&self) -> Option<bool> {
        None
    }
}

/// A store that disturbs nothing.
pub(super) struct Undisturbed;

impl Interference for Undisturbed {}

/// The wrapped store.
pub struct Gateway {
    store: Arc<dyn Store>,
    runtime: Virtual,
    interference: Arc<dyn Interference>,
}

impl Gateway {
    pub fn new(store: Arc<dyn Store>, runtime: Virtual, interference: Arc<dyn Interference>) -> Self {
        Self { store, runtime, interference }
    }

    async fn pause(&self, duration: Duration) {
        if !duration.is_zero() {
            self.runtime.sleep(duration).await;
        }
    }

    async fn pass(&self, passage: Passage) -> Result<(), StoreError> {
        match passage {
            Passage::After(duration) => {
                self.pause(duration).await;
                Ok(())
            }
            Passage::Fails => Err(StoreError::Io {
                attempted: "write".to_owned(),
                source: "the simulation made this write fail".into(),
            }),
            Passage::Crash => {
                self.runtime.crash();
                std::future::pending().await
            }
        }
    }
}

/// Reads go straight through, after their pause.
macro_rules! read {
    ($self:ident . $method:ident ( $($argument:ident),* )) => {{
        $self.pause($self.interference.read()).await;
        let _busy = $self.runtime.busy_outside();
        $self.store.$method($($argument),*).await
    }};
}

/// Writes may be interfered with on both sides.
macro_rules! write {
    ($self:ident . $method:ident ( $($argument:ident),* )) => {{
        $self.pass($self.interference.writing()).await?;
        let busy = $self.runtime.busy_outside();
        let answer = $self.store.$method($($argument),*).await;
        drop(busy);
        if answer.is_ok() {
            $self.pass(undone($self.interference.written())).await?;
        }
        answer
    }};
}

/// What is written stays written: it cannot fail any more.
fn undone(passage: Passage) -> Passage {
    match passage {
        Passage::Fails => Passage::After(Duration::ZERO),
        other => other,
    }
}

#[async_trait]
impl Commits for Gateway {
    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        self.pass(self.interference.writing()).await?;
        let busy = self.runtime.busy_outside();
        let committed = self.store.commit(commit.clone()).await?;
        drop(busy);
        self.interference.committed(&commit, &committed);
        self.pass(undone(self.interference.written())).await?;
        Ok(committed)
    }
}

#[async_trait]
impl Documents for Gateway {
    async fn get(&self, collection: &str, partition: &str, key: &str) -> Result<Option<Document>, StoreError> {
        read!(self.get(collection, partition, key))
    }

    async fn scan(&self, collection: &str, partition: &str, scan: Scan) -> Result<Vec<Document>, StoreError> {
        read!(self.scan(collection, partition, scan))
    }

    async fn partitions(&self, collection: &str) -> Result<Vec<String>, StoreError> {
        read!(self.partitions(collection))
    }

    async fn write(&self, writes: Vec<Write>) -> Result<u64, StoreError> {
        write!(self.write(writes))
    }
}

#[async_trait]
impl Pipelines for Gateway {
    async fn gate(&self, pipeline: &PipelineId) -> Result<Option<Versioned<Gate>>, StoreError> {
        read!(self.gate(pipeline))
    }

    async fn gate_by_name(&self, scope: &Scope, name: &str) -> Result<Option<Versioned<Gate>>, StoreError> {
        read!(self.gate_by_name(scope, name))
    }

    async fn gates(
        &self,
        scope: &Scope,
        after: Option<&PipelineName>,
        limit: usize,
    ) -> Result<Vec<Versioned<Gate>>, StoreError> {
        read!(self.gates(scope, after, limit))
    }

    async fn gate_count(&self, scope: &Scope) -> Result<usize, StoreError> {
        read!(self.gate_count(scope))
    }

    async fn definition(&self, pipeline: &PipelineId, version: u32) -> Result<Option<Definition>, StoreError> {
        read!(self.definition(pipeline, version))
    }

    async fn definitions(&self, wanted: &[(PipelineId, u32)]) -> Result<Vec<Option<Definition>>, StoreError> {
        read!(self.definitions(wanted))
    }
}

#[async_trait]
impl Executions for Gateway {
    async fn load(&self, pipeline: &PipelineId, executions: &[ExecutionId]) -> Result<Loaded, StoreError> {
        read!(self.load(pipeline, executions))
    }

    async fn execution(&self, execution: &ExecutionId) -> Result<Option<Versioned<Execution>>, StoreError> {
        read!(self.execution(execution))
    }

    async fn execution_page(
        &self,
        pipeline: &PipelineId,
        filter: &ExecutionFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Versioned<Execution>>, StoreError> {
        read!(self.execution_page(pipeline, filter, after, limit))
    }

    async fn execution_of_token(&self, pipeline: &PipelineId, token: &str) -> Result<Option<ExecutionId>, StoreError> {
        read!(self.execution_of_token(pipeline, token))
    }
}

#[async_trait]
impl Actions for Gateway {
    async fn action(
        &self,
        execution: &ExecutionId,
        action: &ActionExecutionId,
    ) -> Result<Option<ActionRecord>, StoreError> {
        read!(self.action(execution, action))
    }

    async fn action_page(
        &self,
        filter: &ActionFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<ActionRecord>, StoreError> {
        read!(self.action_page(filter, after, limit))
    }

    async fn rule_page(
        &self,
        filter: &ActionFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<ActionRecord>, StoreError> {
        read!(self.rule_page(filter, after, limit))
    }
}

#[async_trait]
impl History for Gateway {
    async fn history(&self, filter: &HistoryFilter, after: u64, limit: usize) -> Result<Vec<HistoryEntry>, StoreError> {
        read!(self.history(filter, after, limit))
    }

    async fn history_end(&self) -> Result<u64, StoreError> {
        read!(self.history_end())
    }
}

#[async_trait]
impl Tasks for Gateway {
    async fn task(&self, task: &TaskId) -> Result<Option<Task>, StoreError> {
        read!(self.task(task))
    }

    async fn tasks_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Task>, StoreError> {
        read!(self.tasks_due(now, limit))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        read!(self.next_due())
    }

    async fn tasks(&self, after: Option<&TaskId>, limit: usize) -> Result<Vec<Task>, StoreError> {
        read!(self.tasks(after, limit))
    }

    async fn task_count(&self) -> Result<usize, StoreError> {
        read!(self.task_count())
    }
}

#[async_trait]
impl Nodes for Gateway {
    fn is_shared(&self) -> bool {
        self.interference.is_shared().unwrap_or_else(|| self.store.is_shared())
    }

    fn subscribe(&self) -> watch::Receiver<u64> {
        self.store.subscribe()
    }

    async fn heartbeat(&self, node: &str, now: Timestamp, lease_until: Timestamp) -> Result<(), StoreError> {
        write!(self.heartbeat(node, now, lease_until))
    }

    async fn claim_orphans(&self, me: &str, now: Timestamp, limit: usize) -> Result<Vec<Task>, StoreError> {
        write!(self.claim_orphans(me, now, limit))
    }

    async fn release(&self, node: &str) -> Result<(), StoreError> {
        write!(self.release(node))
    }
}

#[async_trait]
impl Retention for Gateway {
    async fn prune(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        write!(self.prune(before, limit))
    }
}
