//! Execution state as it is stored and decided over: one `Execution` per run, one small `Gate` per pipeline.
//! Only `towpath_engine` changes these values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::action::{ActionInvocation, ArtifactLocation, ErrorDetails, Progress, Revision, SourceRevisionOverride};
use crate::declaration::{ConditionType, ExecutionMode};
use crate::ids::{
    ActionExecutionId, ActionName, ArtifactName, ExecutionId, PipelineId, PipelineName, Scope, StageName,
};
use crate::time::Timestamp;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ExecutionStatus {
    InProgress,
    Stopping,
    Stopped,
    Succeeded,
    Failed,
    Superseded,
    Cancelled,
}

impl ExecutionStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Stopping => "Stopping",
            Self::Stopped => "Stopped",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Superseded => "Superseded",
            Self::Cancelled => "Cancelled",
        }
    }

    /// Nothing happens by itself any more; a retry may still resume Failed and Stopped.
    pub const fn has_ended(self) -> bool {
        match self {
            Self::InProgress | Self::Stopping => false,
            Self::Stopped | Self::Succeeded | Self::Failed | Self::Superseded | Self::Cancelled => true,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StageStatus {
    InProgress,
    Stopping,
    Stopped,
    Succeeded,
    Failed,
    Cancelled,
    Skipped,
}

impl StageStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Stopping => "Stopping",
            Self::Stopped => "Stopped",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
            Self::Skipped => "Skipped",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ActionStatus {
    InProgress,
    Succeeded,
    Failed,
    Abandoned,
}

impl ActionStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Abandoned => "Abandoned",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConditionStatus {
    InProgress,
    Succeeded,
    /// A rule was not met.
    Failed,
    /// A rule could not be evaluated.
    Errored,
    /// The execution ended while its rules still ran.
    Cancelled,
    Abandoned,
    Overridden,
}

impl ConditionStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Errored => "Errored",
            Self::Cancelled => "Cancelled",
            Self::Abandoned => "Abandoned",
            Self::Overridden => "Overridden",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// AWS's trigger type: `CreatePipeline`, `StartPipelineExecution`, ...
    pub kind: String,
    pub detail: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRequest {
    pub reason: Option<String>,
    pub abandon: bool,
    pub requested_by: String,
}

/// Where an execution stands. Stage numbers count the stages of the version it runs, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Position {
    /// Waits in front of the stage (inbound).
    Before(usize),
    /// Entered the stage; stays here after it failed or stopped, for a retry.
    In(usize),
    /// Finished the stage and may not leave it (outbound transition disabled).
    After(usize),
    /// Passed its last stage.
    Done,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecutionKind {
    Standard,
    /// Re-runs one stage with the artifacts and variables of `target`.
    Rollback {
        target: ExecutionId,
        stage: StageName,
    },
}

/// One pipeline execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    pub id: ExecutionId,
    pub pipeline: PipelineId,
    pub scope: Scope,
    pub pipeline_name: PipelineName,
    pub pipeline_version: u32,
    /// Order of starts within the pipeline, from 1; what "newer" means.
    pub sequence: u64,
    pub mode: ExecutionMode,
    pub kind: ExecutionKind,
    pub status: ExecutionStatus,
    pub status_summary: Option<String>,
    /// Grows by one with every retry of any stage.
    pub attempt: u32,
    pub trigger: Trigger,
    pub stop: Option<StopRequest>,
    /// The definition changed under it: it ends Cancelled once nothing runs.
    pub cancelling: bool,
    pub position: Position,
    /// Pipeline-level variables, bound once at start. None when a required one was missing.
    pub variables: Option<BTreeMap<String, String>>,
    pub source_overrides: Vec<SourceRevisionOverride>,
    pub revisions: Vec<Revision>,
    /// Stages entered so far, in order of entry.
    pub stages: Vec<StageRun>,
    /// Newest successful producer's object for every artifact.
    pub artifacts: BTreeMap<ArtifactName, ArtifactLocation>,
    /// Output variables by namespace.
    pub outputs: BTreeMap<String, BTreeMap<String, String>>,
    pub started: Timestamp,
    pub updated: Timestamp,
}

impl Execution {
    pub fn stage_run(&self, name: &str) -> Option<&StageRun> {
        self.stages.iter().find(|s| s.name == *name)
    }

    /// Finds the newest execution of an action or a rule by its id.
    pub fn work_of(&self, id: &ActionExecutionId) -> Option<(&StageRun, Work<'_>, &ActionAttempt)> {
        self.stages.iter().find_map(|stage| {
            let work = stage.work().find(|(_, attempt)| attempt.id == *id);
            work.map(|(work, attempt)| (stage, work, attempt))
        })
    }

    /// Finds the newest attempt of an action by its execution id.
    pub fn attempt_of(&self, id: &ActionExecutionId) -> Option<(&StageRun, &ActionRun, &ActionAttempt)> {
        self.stages.iter().find_map(|stage| {
            stage.actions.iter().find_map(|action| {
                action.latest.as_ref().filter(|a| a.id == *id).map(|attempt| (stage, action, attempt))
            })
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRun {
    pub name: StageName,
    pub status: StageStatus,
    pub actions: Vec<ActionRun>,
    /// The newest evaluation of each gate that was reached, at most one per gate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<ConditionRun>,
    pub manual_retries: u32,
    pub automatic_retries: u32,
    /// `ManualStageRetry` or `AutomatedStageRetry`.
    pub latest_retry_trigger: Option<String>,
    pub entered: Timestamp,
    pub updated: Timestamp,
}

/// Whose execution an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work<'e> {
    Action(&'e ActionName),
    Rule(ConditionType, &'e ActionName),
}

impl Work<'_> {
    /// The gate whose condition a rule belongs to; None for an action.
    pub const fn gate(self) -> Option<ConditionType> {
        match self {
            Self::Action(_) => None,
            Self::Rule(gate, _) => Some(gate),
        }
    }
}

impl StageRun {
    /// The newest executions of the stage's actions and rules.
    pub fn work(&self) -> impl Iterator<Item = (Work<'_>, &ActionAttempt)> {
        let actions = self.actions.iter().filter_map(|a| Some((Work::Action(&a.name), a.latest.as_ref()?)));
        let rules = self.conditions.iter().flat_map(|condition| {
            condition.rules.iter().map(|rule| (Work::Rule(condition.gate, &rule.name), &rule.attempt))
        });
        actions.chain(rules)
    }

    pub fn condition(&self, gate: ConditionType) -> Option<&ConditionRun> {
        self.conditions.iter().find(|run| run.gate == gate)
    }
}

/// One evaluation of a gate's condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionRun {
    pub gate: ConditionType,
    pub status: ConditionStatus,
    pub summary: Option<String>,
    pub last_change: Timestamp,
    pub rules: Vec<RuleRun>,
}

/// One execution of a rule. It has the statuses of an action execution and is run by a provider like one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRun {
    pub name: ActionName,
    pub attempt: ActionAttempt,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionRun {
    pub name: ActionName,
    pub run_order: u32,
    /// The newest attempt; None while it has not started in this stage run.
    pub latest: Option<ActionAttempt>,
}

/// One attempt of one action; older attempts live in the history only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionAttempt {
    pub id: ActionExecutionId,
    pub status: ActionStatus,
    pub started: Timestamp,
    pub last_change: Timestamp,
    pub deadline: Timestamp,
    /// What PutApprovalResult must name; None for anything but an open approval.
    pub token: Option<String>,
    pub progress: Progress,
    pub error: Option<ErrorDetails>,
    /// ARN of the person who answered.
    pub updated_by: Option<String>,
    pub variables: BTreeMap<String, String>,
    /// What the provider was given, while it runs; None when its variables could not be resolved. What it was stays in
    /// the record.
    pub invocation: Option<ActionInvocation>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    pub enabled: bool,
    pub last_changed_by: Option<String>,
    pub last_changed_at: Option<Timestamp>,
    /// Only while disabled.
    pub disabled_reason: Option<String>,
}

impl Default for Transition {
    fn default() -> Self {
        Self { enabled: true, last_changed_by: None, last_changed_at: None, disabled_reason: None }
    }
}

/// What a stage's door knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageGate {
    pub name: StageName,
    /// The execution inside; the stage is locked while it is set.
    pub lock: Option<ExecutionId>,
    /// Waiting inbound executions, oldest first.
    pub waiting: Vec<ExecutionId>,
    pub inbound: Transition,
    pub outbound: Transition,
    /// The last execution that entered.
    pub latest: Option<ExecutionId>,
    /// The last STANDARD execution that succeeded here with its success condition met or overridden: what an automatic
    /// rollback goes back to.
    pub last_success: Option<ExecutionId>,
}

impl StageGate {
    pub fn new(name: StageName) -> Self {
        Self {
            name,
            lock: None,
            waiting: Vec::new(),
            inbound: Transition::default(),
            outbound: Transition::default(),
            latest: None,
            last_success: None,
        }
    }
}

/// The small row per pipeline that executions share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    pub pipeline: PipelineId,
    pub scope: Scope,
    pub name: PipelineName,
    /// Current definition version.
    pub definition_version: u32,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// Sequence the next execution gets.
    pub next_sequence: u64,
    /// One per stage of the current version, in its order.
    pub stages: Vec<StageGate>,
    /// Executions that have not ended (SUPERSEDED and QUEUED), oldest first.
    pub active: Vec<ExecutionId>,
    /// PARALLEL executions that have not ended, as they became active: counted for the cap, found when the pipeline
    /// goes.
    pub parallel: Vec<ExecutionId>,
}

impl Gate {
    pub fn stage(&self, name: &str) -> Option<&StageGate> {
        self.stages.iter().find(|s| s.name == *name)
    }
}
