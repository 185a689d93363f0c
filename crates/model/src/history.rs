//! What happened, in order: the only source of the console, the CLI and events out; and one record per action
//! execution, from which ListActionExecutions answers.

use serde::{Deserialize, Serialize};

use crate::action::{ErrorDetails, Progress};
use crate::catalogue::ActionTypeId;
use crate::declaration::ConditionType;
use crate::ids::{ActionExecutionId, ActionName, ExecutionId, Namespace, PipelineId, PipelineName, Scope, StageName};
use crate::state::{ActionAttempt, ConditionStatus};
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// Event states, spelled as EventBridge spells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EventState {
    Started,
    Resumed,
    Stopping,
    Stopped,
    Succeeded,
    Failed,
    Superseded,
    Canceled,
    Abandoned,
    /// Of a stage whose entry condition has the result SKIP. AWS publishes no event for it.
    Skipped,
}

impl EventState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "STARTED",
            Self::Resumed => "RESUMED",
            Self::Stopping => "STOPPING",
            Self::Stopped => "STOPPED",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Superseded => "SUPERSEDED",
            Self::Canceled => "CANCELED",
            Self::Abandoned => "ABANDONED",
            Self::Skipped => "SKIPPED",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HistoryEvent {
    Execution {
        state: EventState,
        summary: Option<String>,
    },
    Stage {
        stage: StageName,
        state: EventState,
    },
    Action {
        stage: StageName,
        action: ActionName,
        action_execution: ActionExecutionId,
        action_type: ActionTypeId,
        region: String,
        state: EventState,
        progress: Progress,
        error: Option<ErrorDetails>,
    },
    /// A condition began or ended. AWS publishes no event for it.
    Condition {
        stage: StageName,
        gate: ConditionType,
        status: ConditionStatus,
        summary: Option<String>,
    },
    /// A rule of a condition began or ended. AWS publishes no event for it.
    Rule {
        stage: StageName,
        gate: ConditionType,
        rule: ActionName,
        rule_execution: ActionExecutionId,
        rule_type: ActionTypeId,
        state: EventState,
        progress: Progress,
        error: Option<ErrorDetails>,
    },
    /// The execution waits in front of a stage.
    Waiting {
        stage: StageName,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Assigned by the store at commit; 0 before.
    pub sequence: u64,
    pub time: Timestamp,
    pub pipeline: PipelineId,
    pub scope: Scope,
    pub pipeline_name: PipelineName,
    pub pipeline_version: u32,
    pub execution: ExecutionId,
    /// Attempt counter of the execution at this moment (executions.md section 14).
    pub attempt: u32,
    pub event: HistoryEvent,
}

/// One action execution as ListActionExecutions shows it, or one rule execution as ListRuleExecutions does; replaced
/// whole at each change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionRecord {
    pub pipeline: PipelineId,
    pub execution: ExecutionId,
    pub pipeline_version: u32,
    pub stage: StageName,
    /// The action's name; the rule's, where `condition` is set.
    pub action: ActionName,
    pub action_type: ActionTypeId,
    /// Set for a rule execution: the gate its condition stands at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<ConditionType>,
    pub namespace: Option<Namespace>,
    pub role_arn: Option<String>,
    pub region: String,
    /// As declared, with `#{}`; secrets masked.
    pub configuration: BTreeMap<String, String>,
    /// Resolved; secrets masked.
    pub resolved_configuration: BTreeMap<String, String>,
    /// The attempt, with its `invocation.configuration` masked like `resolved_configuration`.
    pub attempt: ActionAttempt,
}
