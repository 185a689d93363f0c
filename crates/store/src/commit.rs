//! Everything one decided command changes, to be made durable at once or not at all.

use async_trait::async_trait;
use towpath_model::declaration::Definition;
use towpath_model::effect::Task;
use towpath_model::history::{ActionRecord, HistoryEntry};
use towpath_model::ids::{ExecutionId, PipelineId, TaskId};
use towpath_model::state::{Execution, Gate};

use crate::StoreError;
use crate::documents::{Write, bounded, check_writes};
use crate::limits::COMMAND_WRITES_MAX;

/// A client's request token and the execution it started. A second commit of the same (pipeline, token) is a conflict
/// on [`crate::Row::RequestToken`]; `Executions::execution_of_token` then names the first one's execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestToken {
    pub pipeline: PipelineId,
    pub token: String,
    pub execution: ExecutionId,
}

/// One atomic change of pipeline state. Where a version is expected, None means that the row must be new. All
/// expectations are judged against the state before the commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// A new gate's (scope, name) must be free, or freed by `delete_gate` in the same commit. A gate is never renamed.
    pub gate: Option<(Gate, Option<u64>)>,
    /// Frees the name. Definitions, executions and history of the pipeline stay readable by its id.
    pub delete_gate: Option<(PipelineId, u64)>,
    /// A new (pipeline, version).
    pub definition: Option<Definition>,
    pub executions: Vec<(Execution, Option<u64>)>,
    /// Inserted, or replaced whole, by action execution id.
    pub actions: Vec<ActionRecord>,
    /// Appended in this order. Their `sequence` is ignored and assigned by the store.
    pub history: Vec<HistoryEntry>,
    /// Inserted, or replaced whole, by task id.
    pub tasks_put: Vec<Task>,
    /// Replaced if still there and not taken over: a task that somebody finished meanwhile is a conflict, so it does
    /// not come back, and so is one that has an owner other than the one named here, so that a node that lost its lease
    /// cannot move it.
    pub tasks_moved: Vec<Task>,
    /// Deleted; one that is gone already is no error.
    pub tasks_done: Vec<TaskId>,
    pub request_token: Option<RequestToken>,
    pub documents: Vec<Write>,
}

impl Commit {
    /// How many rows the commit writes.
    fn rows(&self) -> usize {
        usize::from(self.gate.is_some())
            + usize::from(self.delete_gate.is_some())
            + usize::from(self.definition.is_some())
            + usize::from(self.request_token.is_some())
            + self.executions.len()
            + self.actions.len()
            + self.history.len()
            + self.tasks_put.len()
            + self.tasks_moved.len()
            + self.tasks_done.len()
            + self.documents.len()
    }

    pub(crate) fn check_limits(&self) -> Result<(), StoreError> {
        bounded("rows in one commit", self.rows(), COMMAND_WRITES_MAX)?;
        check_writes(&self.documents)
    }
}

/// What the store assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The version that every gate, execution and document written by the commit now has.
    pub version: u64,
    /// Sequence number of the commit's first history entry; the others follow without gaps. Where the commit had no
    /// entries, the number the next one will have.
    pub first_history_sequence: u64,
}

/// The one way pipeline state changes.
#[async_trait]
pub trait Commits: Send + Sync {
    /// Durable before it answers. An error means that nothing of it was done.
    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError>;
}
