//! What must hold after every write, whatever happened before it. Sees each commit as the store took it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use towpath_model::declaration::{ExecutionMode, PipelineDeclaration};
use towpath_model::effect::{Task, TaskKind, task_id};
use towpath_model::history::HistoryEntry;
use towpath_model::ids::{ActionExecutionId, ExecutionId, PipelineId, TaskId};
use towpath_model::state::{
    ActionAttempt, ActionStatus, Execution, ExecutionStatus, Gate, Position, StageRun, StageStatus, Work,
};
use towpath_store::{Commit, Committed};

use crate::seeded::replay::Replay;

#[derive(Default)]
pub struct Checker {
    pub executions: BTreeMap<ExecutionId, Execution>,
    versions: BTreeMap<String, u64>,
    pub gate: Option<Gate>,
    pub definitions: BTreeMap<(PipelineId, u32), Arc<PipelineDeclaration>>,
    pub tasks: BTreeMap<TaskId, Task>,
    pub replay: Replay,
    pub history: Vec<HistoryEntry>,
    /// Actions whose start was acknowledged, durably.
    acknowledged: BTreeSet<ActionExecutionId>,
    /// Starts in the order in which they were called.
    pub starts: Vec<ActionExecutionId>,
    /// Work that a provider ended, in that order.
    pub ends: Vec<(ExecutionId, ActionExecutionId, bool)>,
    /// Every approval token that was ever open.
    pub tokens: Vec<(ExecutionId, ActionExecutionId)>,
    pub commits: usize,
    /// The first thing that was wrong.
    pub fault: Option<String>,
}

type Check = Result<(), String>;

impl Checker {
    /// A provider's `start` is called now.
    pub fn start_called(&mut self, id: &ActionExecutionId) {
        self.starts.push(id.clone());
        if self.acknowledged.contains(id) {
            self.blame(format!(
                "start of action execution {id} was called again after its acknowledgement was durable"
            ));
        } else if !self.replay.actions.contains_key(id) {
            self.blame(format!("start of action execution {id} was called before the decision was durable"));
        }
    }

    pub fn blame(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }

    pub fn committed(&mut self, commit: &Commit, committed: &Committed) {
        self.commits += 1;
        if let Err(fault) = self.take(commit, committed) {
            self.blame(fault);
        }
    }

    fn take(&mut self, commit: &Commit, committed: &Committed) -> Check {
        self.compared(commit, committed)?;
        if let Some(definition) = &commit.definition {
            let key = (definition.pipeline.clone(), definition.version);
            self.replay.define(&key.0, key.1, &definition.declaration);
            self.definitions.insert(key, Arc::new(definition.declaration.clone()));
        }
        for (at, entry) in commit.history.iter().enumerate() {
            let sequence = committed.first_history_sequence + at as u64;
            let last = self.history.last().map_or(0, |last| last.sequence);
            if sequence != last + 1 {
                return Err(format!("history goes on with {sequence} after {last}"));
            }
            self.replay.listen(entry)?;
            self.history.push(HistoryEntry { sequence, ..entry.clone() });
        }
        for task in commit.tasks_put.iter().chain(&commit.tasks_moved) {
            if task.kind == TaskKind::Start && self.acknowledged.contains(&task.invocation.action_execution_id) {
                return Err(format!("the outbox is to start {} again", task.invocation.action_name));
            }
            if matches!(task.kind, TaskKind::Poll | TaskKind::Await) {
                self.acknowledged.insert(task.invocation.action_execution_id.clone());
            }
            self.tasks.insert(task.id.clone(), task.clone());
        }
        for id in &commit.tasks_done {
            self.tasks.remove(id);
            // An abandoned one was not acknowledged: its start may be on its way.
            let told = self.replay.actions.get(id.as_str()).map(|told| told.status);
            if matches!(told, Some(ActionStatus::Succeeded | ActionStatus::Failed)) {
                self.acknowledged.insert(ActionExecutionId::new(id.as_str()));
            }
        }
        for (execution, _) in &commit.executions {
            let before = self.executions.insert(execution.id.clone(), execution.clone());
            self.changed(before.as_ref(), execution)?;
        }
        if let Some((gate, _)) = &commit.gate {
            self.gate = Some(gate.clone());
        }
        if commit.delete_gate.is_some() {
            self.gate = None;
        }
        for id in &commit.tasks_done {
            let told = self.replay.actions.get(id.as_str());
            if told.is_some_and(|told| told.status == ActionStatus::InProgress) {
                return Err(format!("the outbox forgot {told:?}, which still runs"));
            }
        }
        for record in &commit.actions {
            let told = self.replay.actions.get(&record.attempt.id);
            if told.map(|told| told.status) != Some(record.attempt.status) {
                return Err(format!(
                    "{} is recorded as {:?}, history says {told:?}",
                    record.action, record.attempt.status
                ));
            }
        }
        self.doors()?;
        self.nameable()
    }

    /// Nobody overwrites what somebody else wrote in between.
    fn compared(&mut self, commit: &Commit, committed: &Committed) -> Check {
        let mut rows: Vec<(String, Option<u64>)> = Vec::new();
        if let Some((gate, expected)) = &commit.gate {
            rows.push((format!("gate {}", gate.pipeline), *expected));
        }
        rows.extend(commit.executions.iter().map(|(e, expected)| (format!("execution {}", e.id), *expected)));
        for (row, expected) in rows {
            let found = self.versions.insert(row.clone(), committed.version);
            if found != expected {
                return Err(format!("{row} was written over version {found:?}, decided from {expected:?}"));
            }
        }
        Ok(())
    }

    /// What may become of one execution.
    fn changed(&mut self, before: Option<&Execution>, after: &Execution) -> Check {
        let name = self.replay.name(&after.id);
        if let Some(before) = before {
            let (from, to) = (before.status, after.status);
            let legal = match from {
                ExecutionStatus::Superseded | ExecutionStatus::Cancelled | ExecutionStatus::Succeeded => {
                    if before != after {
                        return Err(format!("{name} is {} and changed all the same", from.as_str()));
                    }
                    true
                }
                ExecutionStatus::Stopping => matches!(to, ExecutionStatus::Stopping | ExecutionStatus::Stopped),
                ExecutionStatus::Failed | ExecutionStatus::Stopped | ExecutionStatus::InProgress => true,
            };
            if !legal {
                return Err(format!("{name} went from {} to {}", from.as_str(), to.as_str()));
            }
            for (work, old) in before.stages.iter().flat_map(StageRun::work) {
                let now = after.work_of(&old.id).map(|(_, _, attempt)| attempt);
                if old.status != ActionStatus::InProgress && now.is_some_and(|now| now != old) {
                    return Err(format!("{name}: {work:?} had ended and changed all the same"));
                }
                // It may have ended and been put away by an automatic retry in one decision.
                let ended =
                    self.replay.actions.get(&old.id).is_some_and(|told| told.status != ActionStatus::InProgress);
                if now.is_none() && !ended {
                    return Err(format!("{name}: {work:?} vanished while it ran"));
                }
                let by_provider = old.token.is_none();
                if let Some(now) = now
                    && by_provider
                    && old.status == ActionStatus::InProgress
                    && matches!(now.status, ActionStatus::Succeeded | ActionStatus::Failed)
                {
                    self.ends.push((after.id.clone(), old.id.clone(), now.status == ActionStatus::Succeeded));
                }
            }
        }
        self.told(after, &name)?;
        for (_, attempt) in after.stages.iter().flat_map(StageRun::work) {
            let running = attempt.status == ActionStatus::InProgress;
            if running != self.tasks.contains_key(&task_id(&attempt.id)) {
                return Err(format!("{name}: an action is {:?}, and in the outbox: {}", attempt.status, !running));
            }
            // Its progress was told, so its start was acknowledged, and the outbox must know.
            let acknowledged = attempt.token.is_none() && attempt.progress.external_id.is_some();
            if running && acknowledged {
                self.acknowledged.insert(attempt.id.clone());
                if self.tasks.get(&task_id(&attempt.id)).is_some_and(|task| task.kind == TaskKind::Start) {
                    return Err(format!(
                        "{name}: an action's start was acknowledged, and the outbox would start it again"
                    ));
                }
            }
            if attempt.token.is_some() {
                let token = (after.id.clone(), attempt.id.clone());
                if !self.tokens.contains(&token) {
                    self.tokens.push(token);
                }
            }
        }
        Ok(())
    }

    /// The rows say what the history says.
    fn told(&self, execution: &Execution, name: &str) -> Check {
        let Some(told) = self.replay.executions.get(&execution.id) else {
            return Err(format!("history does not know {name}"));
        };
        if (told.status, &told.summary, told.attempt)
            != (execution.status, &execution.status_summary, execution.attempt)
        {
            return Err(format!(
                "{name} is {} ({:?}) in its attempt {}, history says {} ({:?}) in attempt {}",
                execution.status.as_str(),
                execution.status_summary,
                execution.attempt,
                told.status.as_str(),
                told.summary,
                told.attempt
            ));
        }
        let stages: Vec<_> = execution.stages.iter().map(|run| (&run.name, run.status)).collect();
        let heard: Vec<_> = told.stages.iter().map(|run| (&run.name, run.status)).collect();
        if stages != heard {
            return Err(format!("{name} went through {stages:?}, history says {heard:?}"));
        }
        for (run, told) in execution.stages.iter().zip(&told.stages) {
            let conditions: BTreeMap<_, _> = run.conditions.iter().map(|c| (c.gate, c.status)).collect();
            if conditions != told.conditions {
                return Err(format!(
                    "{name} {}: conditions {conditions:?}, history says {:?}",
                    run.name, told.conditions
                ));
            }
            for (work, attempt) in run.work() {
                let Some(told) = self.replay.actions.get(&attempt.id) else {
                    return Err(format!("{name} {}: history does not know {work:?}", run.name));
                };
                let (condition, action) = match work {
                    Work::Action(action) => (None, action),
                    Work::Rule(gate, rule) => (Some(gate), rule),
                };
                if (told.status, told.condition, &told.name) != (attempt.status, condition, action) {
                    return Err(format!(
                        "{name} {}: {work:?} is {:?}, history says {told:?}",
                        run.name, attempt.status
                    ));
                }
            }
        }
        Ok(())
    }

    fn stage_of(&self, execution: &Execution, index: usize) -> Result<String, String> {
        let key = (execution.pipeline.clone(), execution.pipeline_version);
        let stage = self.definitions.get(&key).and_then(|definition| definition.stages.get(index));
        stage.map(|stage| stage.name.to_string()).ok_or_else(|| format!("there is no stage {index}"))
    }

    /// One execution per locked stage, in it, under way; and nobody in a stage without its lock.
    fn doors(&self) -> Check {
        let Some(gate) = &self.gate else { return Ok(()) };
        for door in &gate.stages {
            let Some(holder) = &door.lock else { continue };
            let name = self.replay.name(holder);
            let Some(execution) = self.executions.get(holder) else {
                return Err(format!("{name} holds {}", door.name));
            };
            let inside = match execution.position {
                Position::In(index) | Position::After(index) => self.stage_of(execution, index)? == door.name.as_str(),
                Position::Before(_) | Position::Done => false,
            };
            if !inside || execution.status.has_ended() || execution.mode == ExecutionMode::Parallel {
                return Err(format!(
                    "{name} is {:?} and {:?}, but holds {}",
                    execution.position, execution.status, door.name
                ));
            }
        }
        let mut inside: BTreeMap<String, &Execution> = BTreeMap::new();
        for execution in self.live(gate) {
            let (Position::In(index) | Position::After(index)) = execution.position else { continue };
            if execution.mode == ExecutionMode::Parallel {
                continue;
            }
            let (stage, name) = (self.stage_of(execution, index)?, self.replay.name(&execution.id));
            let door = gate.stage(&stage);
            if door.is_some_and(|door| door.lock.as_ref() != Some(&execution.id)) {
                return Err(format!("{name} is in {stage} without its lock"));
            }
            if let Some(other) = inside.insert(stage.clone(), execution)
                && door.is_some()
            {
                return Err(format!("{name} and {} are both in {stage}", self.replay.name(&other.id)));
            }
        }
        Ok(())
    }

    fn live<'c>(&'c self, gate: &'c Gate) -> impl Iterator<Item = &'c Execution> {
        self.executions.values().filter(|e| e.pipeline == gate.pipeline && !e.status.has_ended())
    }

    /// Every execution ended or waits for something that can be named; and the gate counts those that have not ended.
    fn nameable(&self) -> Check {
        let Some(gate) = &self.gate else {
            let left = self.executions.values().find(|execution| !execution.status.has_ended());
            return match left {
                Some(execution) => Err(format!("{} outlived its pipeline", self.replay.name(&execution.id))),
                None => Ok(()),
            };
        };
        let counted: BTreeSet<_> = gate.active.iter().chain(&gate.parallel).collect();
        let live: BTreeSet<_> = self.live(gate).map(|execution| &execution.id).collect();
        if counted != live || counted.len() != gate.active.len() + gate.parallel.len() {
            return Err(format!("the gate counts {counted:?}, but {live:?} have not ended"));
        }
        for door in &gate.stages {
            let mut superseding = 0;
            for id in &door.waiting {
                let name = self.replay.name(id);
                let execution = self.executions.get(id).ok_or_else(|| format!("{name} waits and does not exist"))?;
                if execution.status.has_ended() {
                    continue;
                }
                superseding += u32::from(execution.mode == ExecutionMode::Superseded);
                let held = !door.inbound.enabled || (door.lock.is_some() && execution.mode != ExecutionMode::Parallel);
                if !held || superseding > 1 {
                    return Err(format!("{name} waits at {}, {superseding} of its kind, held: {held}", door.name));
                }
            }
        }
        for execution in self.live(gate) {
            let name = self.replay.name(&execution.id);
            let running = execution.stages.iter().flat_map(StageRun::work).any(|(_, a)| is_running(a));
            let reason = match execution.position {
                Position::Before(index) => {
                    let stage = self.stage_of(execution, index)?;
                    !running && gate.stage(&stage).is_some_and(|door| door.waiting.contains(&execution.id))
                }
                Position::In(_) => running,
                Position::After(index) => {
                    let stage = self.stage_of(execution, index)?;
                    !running && gate.stage(&stage).is_some_and(|door| !door.outbound.enabled)
                }
                Position::Done => false,
            };
            if !reason {
                return Err(format!("{name} is {:?} and nothing can be named that it waits for", execution.position));
            }
        }
        Ok(())
    }

    /// What a free stage could be rolled back to, so that random rollbacks often hit.
    pub fn rollback_targets(&self) -> Vec<(ExecutionId, String)> {
        let Some(gate) = &self.gate else { return Vec::new() };
        let current = self.executions.values().filter(|execution| {
            execution.pipeline == gate.pipeline && execution.pipeline_version == gate.definition_version
        });
        let targets = current.flat_map(|execution| {
            let free = |name: &str| gate.stages.iter().skip(1).any(|door| door.name == *name && door.lock.is_none());
            let stages = execution.stages.iter().filter(|run| run.status == StageStatus::Succeeded);
            stages.filter(move |run| free(&run.name)).map(|run| (execution.id.clone(), run.name.to_string()))
        });
        targets.collect()
    }

    /// Whether a stage run could be retried, so that random retries often hit.
    pub fn retryable(&self) -> Vec<(ExecutionId, String)> {
        let stages = self.executions.values().flat_map(|execution| {
            let failed =
                execution.stages.iter().filter(|s| matches!(s.status, StageStatus::Failed | StageStatus::Stopped));
            failed.map(|stage| (execution.id.clone(), stage.name.to_string()))
        });
        stages.collect()
    }
}

fn is_running(attempt: &ActionAttempt) -> bool {
    attempt.status == ActionStatus::InProgress
}
