//! What the history says, read by somebody who knows nothing but the history and the definitions: an independent second
//! account of the state, which the API's answers and the stored rows are held against.

use std::collections::BTreeMap;

use towpath_engine::legal::{Change, is_legal};
use towpath_model::declaration::{ConditionType, ExecutionMode, PipelineDeclaration};
use towpath_model::history::{EventState, HistoryEntry, HistoryEvent};
use towpath_model::ids::{ActionExecutionId, ActionName, ExecutionId, PipelineId, StageName};
use towpath_model::state::{ActionStatus, ConditionStatus, ExecutionStatus, StageStatus};
use towpath_model::time::Timestamp;

#[derive(Debug, Clone)]
pub struct ToldExecution {
    pub pipeline: PipelineId,
    pub version: u32,
    pub status: ExecutionStatus,
    pub summary: Option<String>,
    pub attempt: u32,
    /// In order of entry.
    pub stages: Vec<ToldStage>,
    /// The stage it was last said to wait at, unless something else was said since.
    pub waits_at: Option<StageName>,
}

#[derive(Debug, Clone)]
pub struct ToldStage {
    pub name: StageName,
    pub status: StageStatus,
    pub conditions: BTreeMap<ConditionType, ConditionStatus>,
}

#[derive(Debug, Clone)]
pub struct ToldAction {
    pub execution: ExecutionId,
    pub stage: StageName,
    pub name: ActionName,
    pub condition: Option<ConditionType>,
    pub status: ActionStatus,
    pub started: Timestamp,
}

#[derive(Default)]
pub struct Replay {
    pub executions: BTreeMap<ExecutionId, ToldExecution>,
    /// In the order of their starts.
    pub order: Vec<ExecutionId>,
    pub actions: BTreeMap<ActionExecutionId, ToldAction>,
    /// The last execution that entered, of stages that have a door.
    pub latest: BTreeMap<(PipelineId, StageName), ExecutionId>,
    modes: BTreeMap<(PipelineId, u32), ExecutionMode>,
}

impl Replay {
    /// A new version: a stage that it does not have forgets who was in it.
    pub fn define(&mut self, pipeline: &PipelineId, version: u32, declaration: &PipelineDeclaration) {
        self.modes.insert((pipeline.clone(), version), declaration.mode());
        self.latest.retain(|(of, stage), _| of != pipeline || declaration.stage(stage).is_some());
    }

    pub fn is_parallel(&self, execution: &ToldExecution) -> bool {
        self.modes.get(&(execution.pipeline.clone(), execution.version)) == Some(&ExecutionMode::Parallel)
    }

    pub fn name(&self, id: &ExecutionId) -> String {
        let at = self.order.iter().position(|other| other == id);
        at.map_or_else(|| "e?".to_owned(), |at| format!("e{}", at + 1))
    }

    pub fn listen(&mut self, entry: &HistoryEntry) -> Result<(), String> {
        let id = &entry.execution;
        let name = self.name(id);
        let illegal = |what: String| Err(format!("history tells of {name}: {what}"));
        if let HistoryEvent::Execution { state: EventState::Started, .. } = &entry.event {
            let told = ToldExecution {
                pipeline: entry.pipeline.clone(),
                version: entry.pipeline_version,
                status: ExecutionStatus::InProgress,
                summary: None,
                attempt: entry.attempt,
                stages: Vec::new(),
                waits_at: None,
            };
            self.order.push(id.clone());
            if self.executions.insert(id.clone(), told).is_some() {
                return illegal("it started twice".to_owned());
            }
            return Ok(());
        }
        let parallel = self.executions.get(id).is_some_and(|told| self.is_parallel(told));
        let Some(told) = self.executions.get_mut(id) else { return illegal("something before its start".to_owned()) };
        let retried = entry.attempt > told.attempt;
        if entry.attempt < told.attempt || entry.attempt > told.attempt + 1 {
            return illegal(format!("attempt {} after {}", entry.attempt, told.attempt));
        }
        if retried && !matches!(entry.event, HistoryEvent::Execution { state: EventState::Resumed, .. }) {
            return illegal("a new attempt that no retry announced".to_owned());
        }
        told.attempt = entry.attempt;
        match &entry.event {
            HistoryEvent::Execution { state, summary } => {
                let to = execution_status(*state)?;
                let announced = *state == EventState::Resumed && told.status == ExecutionStatus::InProgress;
                if !announced && !is_legal(Change::Execution(told.status, to)) {
                    return illegal(format!("{:?} -> {to:?}", told.status));
                }
                if retried && !announced {
                    for stage in &mut told.stages {
                        if matches!(stage.status, StageStatus::Failed | StageStatus::Stopped) {
                            stage.conditions.clear();
                        }
                    }
                }
                if *state == EventState::Resumed {
                    told.summary = None;
                } else if summary.is_some() {
                    told.summary.clone_from(summary);
                }
                told.status = to;
                told.waits_at = None;
            }
            HistoryEvent::Waiting { stage } => told.waits_at = Some(stage.clone()),
            HistoryEvent::Stage { stage, state } => {
                told.waits_at = None;
                let to = stage_status(*state)?;
                match told.stages.iter_mut().find(|known| known.name == *stage) {
                    None if *state == EventState::Started => {
                        told.stages.push(ToldStage { name: stage.clone(), status: to, conditions: BTreeMap::new() });
                        if !parallel {
                            self.latest.insert((entry.pipeline.clone(), stage.clone()), id.clone());
                        }
                    }
                    None => return illegal(format!("{stage} {state:?} before it was entered")),
                    Some(known) => {
                        let announced = *state == EventState::Resumed && known.status == StageStatus::InProgress;
                        if !announced && !is_legal(Change::Stage(known.status, to)) {
                            return illegal(format!("{stage} {:?} -> {to:?}", known.status));
                        }
                        known.status = to;
                    }
                }
            }
            HistoryEvent::Condition { stage, gate, status, .. } => {
                let Some(known) = told.stages.iter_mut().find(|known| known.name == *stage) else {
                    return illegal(format!("a condition of {stage}, which it did not enter"));
                };
                let before = known.conditions.insert(*gate, *status);
                let fits = match before {
                    None => *status == ConditionStatus::InProgress,
                    Some(before) => is_legal(Change::Condition(before, *status)),
                };
                if !fits {
                    return illegal(format!("{stage}.{} {before:?} -> {status:?}", gate.as_str()));
                }
            }
            HistoryEvent::Action { stage, action, action_execution, state, .. } => {
                return self.action(entry, stage, action, None, action_execution, *state);
            }
            HistoryEvent::Rule { stage, gate, rule, rule_execution, state, .. } => {
                return self.action(entry, stage, rule, Some(*gate), rule_execution, *state);
            }
        }
        Ok(())
    }

    fn action(
        &mut self,
        entry: &HistoryEntry,
        stage: &StageName,
        name: &ActionName,
        condition: Option<ConditionType>,
        id: &ActionExecutionId,
        state: EventState,
    ) -> Result<(), String> {
        let status = action_status(state)?;
        match self.actions.get_mut(id) {
            None if state == EventState::Started => {
                self.actions.insert(
                    id.clone(),
                    ToldAction {
                        execution: entry.execution.clone(),
                        stage: stage.clone(),
                        name: name.clone(),
                        condition,
                        status,
                        started: entry.time,
                    },
                );
                Ok(())
            }
            Some(known) if is_legal(Change::Action(known.status, status)) => {
                known.status = status;
                Ok(())
            }
            known => {
                Err(format!("history tells of {stage}/{name}: {:?} -> {status:?}", known.map(|known| known.status)))
            }
        }
    }
}

fn execution_status(state: EventState) -> Result<ExecutionStatus, String> {
    Ok(match state {
        EventState::Started | EventState::Resumed => ExecutionStatus::InProgress,
        EventState::Stopping => ExecutionStatus::Stopping,
        EventState::Stopped => ExecutionStatus::Stopped,
        EventState::Succeeded => ExecutionStatus::Succeeded,
        EventState::Failed => ExecutionStatus::Failed,
        EventState::Superseded => ExecutionStatus::Superseded,
        EventState::Canceled => ExecutionStatus::Cancelled,
        EventState::Abandoned | EventState::Skipped => return Err(format!("no execution is {state:?}")),
    })
}

fn stage_status(state: EventState) -> Result<StageStatus, String> {
    Ok(match state {
        EventState::Started | EventState::Resumed => StageStatus::InProgress,
        EventState::Stopping => StageStatus::Stopping,
        EventState::Stopped => StageStatus::Stopped,
        EventState::Succeeded => StageStatus::Succeeded,
        EventState::Failed => StageStatus::Failed,
        EventState::Canceled => StageStatus::Cancelled,
        EventState::Skipped => StageStatus::Skipped,
        EventState::Superseded | EventState::Abandoned => return Err(format!("no stage is {state:?}")),
    })
}

fn action_status(state: EventState) -> Result<ActionStatus, String> {
    Ok(match state {
        EventState::Started => ActionStatus::InProgress,
        EventState::Succeeded => ActionStatus::Succeeded,
        // AWS has no status for a cancelled approval; the state shows Failed.
        EventState::Failed | EventState::Canceled => ActionStatus::Failed,
        EventState::Abandoned => ActionStatus::Abandoned,
        other => return Err(format!("no action is {other:?}")),
    })
}
