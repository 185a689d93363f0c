//! What can happen to a pipeline: commands from the API and answers from providers. The engine takes one at a time.

use crate::action::{Outcome, Progress, SourceRevisionOverride};
use crate::declaration::{ConditionType, PipelineDeclaration, RetryMode};
use crate::ids::{ActionExecutionId, ActionName, ExecutionId, StageName};
use crate::state::Trigger;
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransitionType {
    Inbound,
    Outbound,
}

/// A revision as PutActionRevision tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedRevision {
    pub id: String,
    pub change_id: String,
    pub created: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// StartPipelineExecution, CreatePipeline's first run, a trigger.
    ExecutionRequested {
        trigger: Trigger,
        variables: Vec<(String, String)>,
        source_overrides: Vec<SourceRevisionOverride>,
    },
    /// PutActionRevision: somebody tells of a new revision of a source action, which starts an execution.
    RevisionReported {
        stage: StageName,
        action: ActionName,
        revision: ReportedRevision,
        reported_by: String,
    },
    /// The provider acknowledged the start or told of progress; the work goes on.
    ActionProgressed {
        execution: ExecutionId,
        action: ActionExecutionId,
        progress: Progress,
    },
    /// The provider's last word. `Outcome::Pending` and `Unavailable` never arrive here.
    ActionFinished {
        execution: ExecutionId,
        action: ActionExecutionId,
        outcome: Outcome,
    },
    /// The action's deadline passed.
    ActionTimedOut {
        execution: ExecutionId,
        action: ActionExecutionId,
        /// Why its peer could not be asked, if that was so until the end.
        unavailable: Option<String>,
    },
    ApprovalAnswered {
        stage: StageName,
        action: ActionName,
        token: String,
        approved: bool,
        summary: String,
        answered_by: String,
    },
    StopRequested {
        execution: ExecutionId,
        abandon: bool,
        reason: Option<String>,
        requested_by: String,
    },
    StageRetryRequested {
        execution: ExecutionId,
        stage: StageName,
        mode: RetryMode,
    },
    /// RollbackStage: the stage runs again as it did in the target.
    RollbackRequested {
        stage: StageName,
        target: ExecutionId,
        requested_by: String,
    },
    /// OverrideStageCondition.
    ConditionOverridden {
        execution: ExecutionId,
        stage: StageName,
        gate: ConditionType,
        overridden_by: String,
    },
    TransitionChanged {
        stage: StageName,
        transition: TransitionType,
        enabled: bool,
        reason: Option<String>,
        changed_by: String,
    },
    /// UpdatePipeline: the gate moves to the new version, running executions end as AWS ends them.
    DefinitionUpdated {
        declaration: Box<PipelineDeclaration>,
    },
    /// DeletePipeline: nothing new starts; what runs is abandoned.
    PipelineDeleted,
}

/// Why the engine refuses a command. Each maps to one AWS error code at the edge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("{0}")]
    Validation(String),
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    StageNotFound(String),
    #[error("{0}")]
    ActionNotFound(String),
    #[error("{0}")]
    PipelineExecutionNotFound(String),
    #[error("{0}")]
    PipelineExecutionNotStoppable(String),
    #[error("{0}")]
    DuplicatedStopRequest(String),
    #[error("{0}")]
    InvalidApprovalToken(String),
    #[error("{0}")]
    ApprovalAlreadyCompleted(String),
    #[error("{0}")]
    StageNotRetryable(String),
    #[error("{0}")]
    NotLatestPipelineExecution(String),
    #[error("{0}")]
    ConcurrentPipelineExecutionsLimitExceeded(String),
    #[error("{0}")]
    UnableToRollbackStage(String),
    #[error("{0}")]
    PipelineExecutionOutdated(String),
    #[error("{0}")]
    ConditionNotOverridable(String),
    /// Ours, not the caller's: a row the decision needs was not loaded, or a status change that must never happen was
    /// asked for. Nothing is changed; the edge answers InternalFailure.
    #[error("internal failure: {0}")]
    Internal(String),
}
