//! What a decision asks the world to do, and the outbox row it is stored as until it is done.

use serde::{Deserialize, Serialize};

use crate::action::{ActionInvocation, Progress};
use crate::ids::{ActionExecutionId, ExecutionId, PipelineId, TaskId};
use crate::time::Timestamp;

/// Asked for by the engine, stored with the decision, carried out after the commit, at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Call the provider's `start`.
    StartAction { invocation: Box<ActionInvocation> },
    /// Nothing to start: wait for an answer from outside until the deadline (approvals).
    AwaitAction { invocation: Box<ActionInvocation> },
    /// Offer the action to job workers and wait for their result until the deadline.
    OfferJob { invocation: Box<ActionInvocation> },
    /// Best effort: tell the provider to stop what it can.
    StopAction { invocation: Box<ActionInvocation>, progress: Progress },
    /// The action ended: its start, poll or wait is over.
    ForgetAction { action: ActionExecutionId },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskKind {
    Start,
    Poll,
    /// Only the deadline is watched.
    Await,
    Stop,
}

/// One row of the outbox: an effect that is not acknowledged yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub id: TaskId,
    pub pipeline: PipelineId,
    pub execution: ExecutionId,
    pub kind: TaskKind,
    /// When it wants attention next.
    pub due: Timestamp,
    pub invocation: ActionInvocation,
    pub progress: Progress,
    /// How often it was answered `Unavailable` in a row.
    pub failures: u32,
    /// What the last of these said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// Which node works on it, and until when nobody else may.
    pub owner: Option<String>,
    pub lease_until: Option<Timestamp>,
}

/// The outbox row of an action's start, poll or wait: one per attempt.
pub fn task_id(action: &ActionExecutionId) -> TaskId {
    TaskId::new(action.as_str())
}

/// The outbox row of an action's stop, which outlives the action itself.
pub fn stop_task_id(action: &ActionExecutionId) -> TaskId {
    TaskId::new(format!("{action}/stop"))
}
