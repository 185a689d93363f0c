//! One decision in the making: the loaded rows, what has been touched so far, and the only functions that change a
//! status. Every change of a status passes `legal` and leaves its line in history, so the two cannot drift apart.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use towpath_model::action::ErrorDetails;
use towpath_model::catalogue::ActionTypes;
use towpath_model::declaration::StageDeclaration;
use towpath_model::declaration::{ActionDeclaration, ConditionType, ExecutionMode, PipelineDeclaration};
use towpath_model::effect::Effect;
use towpath_model::event::Rejection;
use towpath_model::history::{ActionRecord, EventState, HistoryEntry, HistoryEvent};
use towpath_model::ids::{ActionExecutionId, ExecutionId, IdSource, StageName};
use towpath_model::state::StageGate;
use towpath_model::state::{ActionAttempt, ActionStatus, ConditionStatus, Execution, ExecutionStatus, Gate, Position};
use towpath_model::state::{StageRun, StageStatus, Work};
use towpath_model::time::Timestamp;

use crate::action::record;
use crate::legal::{self, Change};
use crate::step::{Context, Decision, Reply, World};

pub(crate) type Result<T = ()> = std::result::Result<T, Rejection>;

pub(crate) fn internal(message: impl Into<String>) -> Rejection {
    Rejection::Internal(message.into())
}

fn check(change: Change) -> Result {
    legal::check(change).map_err(|illegal| internal(illegal.to_string()))
}

pub(crate) struct Turn<'a> {
    pub gate: Gate,
    pub action_types: &'a dyn ActionTypes,
    pub now: Timestamp,
    pub ids: &'a mut dyn IdSource,
    pub effects: Vec<Effect>,
    pub definition: Option<PipelineDeclaration>,
    original_gate: Gate,
    gate_must_hold: bool,
    definitions: BTreeMap<u32, Arc<PipelineDeclaration>>,
    executions: BTreeMap<ExecutionId, Execution>,
    changed: BTreeSet<ExecutionId>,
    attempts: Vec<(ExecutionId, ActionExecutionId)>,
    /// Of attempts that were put away in this decision.
    records: Vec<ActionRecord>,
    history: Vec<HistoryEntry>,
}

impl<'a> Turn<'a> {
    pub fn new(world: World<'a>, cx: &'a mut Context) -> Self {
        Self {
            original_gate: world.gate.clone(),
            gate_must_hold: false,
            gate: world.gate,
            action_types: world.action_types,
            now: cx.now,
            ids: &mut *cx.ids,
            effects: Vec::new(),
            definition: None,
            definitions: world.definitions,
            executions: world.executions,
            changed: BTreeSet::new(),
            attempts: Vec::new(),
            records: Vec::new(),
            history: Vec::new(),
        }
    }

    pub fn into_decision(mut self, reply: Reply) -> Result<Decision> {
        for (execution, attempt) in std::mem::take(&mut self.attempts) {
            self.write_record(&execution, &attempt)?;
        }
        let Self { gate, original_gate, gate_must_hold, mut executions, changed, records, .. } = self;
        Ok(Decision {
            gate: (gate_must_hold || gate != original_gate).then_some(gate),
            executions: changed.iter().filter_map(|id| executions.remove(id)).collect(),
            records,
            history: self.history,
            effects: self.effects,
            definition: self.definition,
            reply,
        })
    }

    /// The record of an attempt as it is now. Once it ended, only the record needs to know what it was given.
    fn write_record(&mut self, id: &ExecutionId, attempt: &ActionExecutionId) -> Result {
        let execution = self.execution(id)?;
        let Some((stage, work, attempt)) = execution.work_of(attempt) else { return Ok(()) };
        let definition = self.definition_of(id)?;
        let declaration = declaration_of(&definition, &stage.name, work)?;
        let written = record::record(execution, &stage.name, work, &declaration, attempt, self.action_types);
        let ended = attempt.status != ActionStatus::InProgress;
        let attempt = attempt.id.clone();
        self.records.push(written);
        if ended && let Some(attempt) = self.find_attempt(id, &attempt)? {
            attempt.invocation = None;
        }
        Ok(())
    }

    /// An attempt that is about to be replaced: what this decision changed of it is written down first.
    pub fn put_away(&mut self, id: &ExecutionId, attempt: &ActionExecutionId) -> Result {
        if let Some(at) = self.attempts.iter().position(|(_, touched)| touched == attempt) {
            self.attempts.swap_remove(at);
            self.write_record(id, attempt)?;
        }
        Ok(())
    }

    // --- rows ---

    pub fn find(&self, id: &ExecutionId) -> Option<&Execution> {
        self.executions.get(id)
    }

    pub fn loaded(&self) -> impl Iterator<Item = &Execution> {
        self.executions.values()
    }

    pub fn execution(&self, id: &ExecutionId) -> Result<&Execution> {
        self.executions.get(id).ok_or_else(|| internal(format!("execution {id} was not loaded")))
    }

    pub fn execution_mut(&mut self, id: &ExecutionId) -> Result<&mut Execution> {
        let execution =
            self.executions.get_mut(id).ok_or_else(|| internal(format!("execution {id} was not loaded")))?;
        execution.updated = self.now;
        self.changed.insert(id.clone());
        Ok(execution)
    }

    pub fn add_execution(&mut self, execution: Execution) {
        self.changed.insert(execution.id.clone());
        self.executions.insert(execution.id.clone(), execution);
    }

    /// The definition version an execution runs.
    pub fn definition_of(&self, id: &ExecutionId) -> Result<Arc<PipelineDeclaration>> {
        self.definition_version(self.execution(id)?.pipeline_version)
    }

    /// The version new executions run.
    pub fn current_definition(&self) -> Result<Arc<PipelineDeclaration>> {
        self.definition_version(self.gate.definition_version)
    }

    fn definition_version(&self, version: u32) -> Result<Arc<PipelineDeclaration>> {
        self.definitions
            .get(&version)
            .cloned()
            .ok_or_else(|| internal(format!("definition version {version} was not loaded")))
    }

    pub fn stage_gate(&self, stage: &str) -> Option<&StageGate> {
        self.gate.stage(stage)
    }

    /// The decision is right only while the gate is as it was read: it is written along even if unchanged, so that who
    /// changed it meanwhile is met as a conflict.
    pub fn needs_gate_unchanged(&mut self) {
        self.gate_must_hold = true;
    }

    pub fn stage_gate_mut(&mut self, stage: &str) -> Option<&mut StageGate> {
        self.gate.stages.iter_mut().find(|s| s.name == *stage)
    }

    /// The stage an execution is in, and its number.
    pub fn current_stage(&self, id: &ExecutionId) -> Result<(usize, StageName)> {
        let Position::In(index) = self.execution(id)?.position else {
            return Err(internal(format!("execution {id} is in no stage")));
        };
        Ok((index, self.stage_name(id, index)?))
    }

    pub fn stage_name(&self, id: &ExecutionId, index: usize) -> Result<StageName> {
        let definition = self.definition_of(id)?;
        let stage =
            definition.stages.get(index).ok_or_else(|| internal(format!("execution {id} has no stage {index}")))?;
        Ok(stage.name.clone())
    }

    pub fn stage_run(&self, id: &ExecutionId, stage: &str) -> Result<&StageRun> {
        self.execution(id)?.stage_run(stage).ok_or_else(|| internal(format!("{id} has not entered stage {stage}")))
    }

    pub fn stage_run_mut(&mut self, id: &ExecutionId, stage: &str) -> Result<&mut StageRun> {
        let now = self.now;
        let execution = self.execution_mut(id)?;
        let run = execution.stages.iter_mut().find(|s| s.name == *stage);
        let run = run.ok_or_else(|| internal(format!("{id} has not entered stage {stage}")))?;
        run.updated = now;
        Ok(run)
    }

    /// Changes an attempt and remembers that its record has to be written again.
    pub fn attempt_mut(&mut self, id: &ExecutionId, action: &ActionExecutionId) -> Result<&mut ActionAttempt> {
        if !self.attempts.iter().any(|(_, touched)| touched == action) {
            self.attempts.push((id.clone(), action.clone()));
        }
        self.find_attempt(id, action)?.ok_or_else(|| internal(format!("{id} has no action execution {action}")))
    }

    fn find_attempt(&mut self, id: &ExecutionId, action: &ActionExecutionId) -> Result<Option<&mut ActionAttempt>> {
        let stages = &mut self.execution_mut(id)?.stages;
        Ok(stages.iter_mut().find_map(|stage| {
            let actions = stage.actions.iter_mut().filter_map(|action| action.latest.as_mut());
            let rules = stage.conditions.iter_mut().flat_map(|c| &mut c.rules).map(|rule| &mut rule.attempt);
            actions.chain(rules).find(|attempt| attempt.id == *action)
        }))
    }

    pub fn is_parallel(&self, id: &ExecutionId) -> Result<bool> {
        Ok(self.execution(id)?.mode == ExecutionMode::Parallel)
    }

    /// Lets go of a stage that the execution holds, and says whether it did hold it: a PARALLEL one never does.
    pub fn release(&mut self, stage: &str, id: &ExecutionId) -> bool {
        match self.stage_gate_mut(stage) {
            Some(gate) if gate.lock.as_ref() == Some(id) => {
                gate.lock = None;
                true
            }
            _ => false,
        }
    }

    // --- statuses ---

    /// Changes the execution's status and says so in history.
    pub fn set_execution(
        &mut self,
        id: &ExecutionId,
        status: ExecutionStatus,
        state: EventState,
        summary: Option<String>,
    ) -> Result {
        let execution = self.execution_mut(id)?;
        check(Change::Execution(execution.status, status))?;
        execution.status = status;
        if summary.is_some() {
            execution.status_summary.clone_from(&summary);
        }
        if status.has_ended() {
            self.gate.active.retain(|active| active != id);
            self.gate.parallel.retain(|active| active != id);
        }
        self.tell(id, HistoryEvent::Execution { state, summary })
    }

    /// Changes the status of a stage run and says so in history.
    pub fn set_stage(&mut self, id: &ExecutionId, stage: &StageName, status: StageStatus, state: EventState) -> Result {
        let run = self.stage_run_mut(id, stage)?;
        check(Change::Stage(run.status, status))?;
        run.status = status;
        self.tell(id, HistoryEvent::Stage { stage: stage.clone(), state })
    }

    /// Changes the status of a stage's condition and says so in history.
    pub fn set_condition(
        &mut self,
        id: &ExecutionId,
        stage: &StageName,
        gate: ConditionType,
        status: ConditionStatus,
        summary: Option<String>,
    ) -> Result {
        let now = self.now;
        let run = self.stage_run_mut(id, stage)?;
        let condition = run.conditions.iter_mut().find(|condition| condition.gate == gate);
        let condition = condition.ok_or_else(|| internal(format!("{id} evaluates no {} of {stage}", gate.as_str())))?;
        check(Change::Condition(condition.status, status))?;
        condition.status = status;
        condition.last_change = now;
        condition.summary.clone_from(&summary);
        self.tell(id, HistoryEvent::Condition { stage: stage.clone(), gate, status, summary })
    }

    /// Ends an attempt: its start, poll or wait is over, and history says so. `told` is the error that the event
    /// carries, which is not always the one the state shows.
    pub fn end_action(
        &mut self,
        id: &ExecutionId,
        action: &ActionExecutionId,
        status: ActionStatus,
        state: EventState,
        told: Option<ErrorDetails>,
    ) -> Result {
        let now = self.now;
        let attempt = self.attempt_mut(id, action)?;
        check(Change::Action(attempt.status, status))?;
        attempt.status = status;
        attempt.last_change = now;
        attempt.token = None;
        self.effects.push(Effect::ForgetAction { action: action.clone() });
        self.tell_action(id, action, state, told)
    }

    pub fn tell_action(
        &mut self,
        id: &ExecutionId,
        action: &ActionExecutionId,
        state: EventState,
        error: Option<ErrorDetails>,
    ) -> Result {
        let execution = self.execution(id)?;
        let (stage, work, attempt) =
            execution.work_of(action).ok_or_else(|| internal(format!("{id} has no action execution {action}")))?;
        let definition = self.definition_of(id)?;
        let declaration = declaration_of(&definition, &stage.name, work)?;
        let (stage, progress) = (stage.name.clone(), attempt.progress.clone());
        let event = match work {
            Work::Action(name) => HistoryEvent::Action {
                stage,
                action: name.clone(),
                action_execution: action.clone(),
                action_type: declaration.action_type_id.clone(),
                region: declaration.region.clone().unwrap_or_else(|| execution.scope.region.clone()),
                state,
                progress,
                error,
            },
            Work::Rule(gate, name) => HistoryEvent::Rule {
                stage,
                gate,
                rule: name.clone(),
                rule_execution: action.clone(),
                rule_type: declaration.action_type_id.clone(),
                state,
                progress,
                error,
            },
        };
        self.tell(id, event)
    }

    /// Writes a line of history about an execution.
    pub fn tell(&mut self, id: &ExecutionId, event: HistoryEvent) -> Result {
        let execution = self.execution(id)?;
        let entry = HistoryEntry {
            sequence: 0,
            time: self.now,
            pipeline: execution.pipeline.clone(),
            scope: execution.scope.clone(),
            pipeline_name: execution.pipeline_name.clone(),
            pipeline_version: execution.pipeline_version,
            execution: id.clone(),
            attempt: execution.attempt,
            event,
        };
        self.history.push(entry);
        Ok(())
    }
}

pub(crate) fn find_stage<'d>(definition: &'d PipelineDeclaration, stage: &str) -> Result<&'d StageDeclaration> {
    definition.stage(stage).ok_or_else(|| internal(format!("stage {stage} is not in the definition")))
}

/// What an attempt was declared as; a rule is read as the action it is run like.
pub(crate) fn declaration_of<'d>(
    definition: &'d PipelineDeclaration,
    stage: &str,
    work: Work,
) -> Result<Cow<'d, ActionDeclaration>> {
    match work {
        Work::Action(name) => Ok(Cow::Borrowed(find_action(definition, stage, name)?)),
        Work::Rule(gate, name) => {
            let condition = find_stage(definition, stage)?.condition(gate);
            let rule = condition.and_then(|condition| condition.rule(name));
            let rule =
                rule.ok_or_else(|| internal(format!("rule {name} is not in stage {stage} of the definition")))?;
            Ok(Cow::Owned(rule.as_action()))
        }
    }
}

pub(crate) fn find_action<'d>(
    definition: &'d PipelineDeclaration,
    stage: &str,
    action: &str,
) -> Result<&'d ActionDeclaration> {
    find_stage(definition, stage)?
        .action(action)
        .ok_or_else(|| internal(format!("action {action} is not in stage {stage} of the definition")))
}
