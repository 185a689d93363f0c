//! Pipeline state in ordered maps.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use towpath_model::declaration::Definition;
use towpath_model::effect::Task;
use towpath_model::history::{ActionRecord, HistoryEntry};
use towpath_model::ids::{ActionExecutionId, ExecutionId, PipelineId, PipelineName, Scope, TaskId};
use towpath_model::state::{Execution, Gate};
use towpath_model::time::Timestamp;

use super::MemoryStore;
use crate::commit::{Commit, Commits, Committed};
use crate::error::Row;
use crate::{StoreError, Versioned};

/// The order of action executions: start time, then row number.
pub(super) type Started = (i64, u64);

#[derive(Debug, Default)]
pub(super) struct PipelineRows {
    pub(super) gates: HashMap<PipelineId, Versioned<Gate>>,
    pub(super) names: BTreeMap<(Scope, PipelineName), PipelineId>,
    pub(super) definitions: HashMap<(PipelineId, u32), Definition>,
    pub(super) executions: HashMap<ExecutionId, Versioned<Execution>>,
    pub(super) sequences: BTreeMap<(PipelineId, u64), ExecutionId>,
    pub(super) tokens: HashMap<(PipelineId, String), ExecutionId>,
    pub(super) actions: HashMap<ActionExecutionId, (Started, ActionRecord)>,
    pub(super) actions_of_pipeline: BTreeMap<PipelineId, BTreeMap<Started, ActionExecutionId>>,
    pub(super) actions_of_execution: BTreeMap<ExecutionId, BTreeMap<Started, ActionExecutionId>>,
    /// Entry N is at N - 1.
    pub(super) history: Vec<HistoryEntry>,
    pub(super) history_of_pipeline: HashMap<PipelineId, Vec<u64>>,
    pub(super) history_of_execution: HashMap<ExecutionId, Vec<u64>>,
    pub(super) tasks: BTreeMap<TaskId, Task>,
    pub(super) due: BTreeSet<(Timestamp, TaskId)>,
}

impl PipelineRows {
    fn check(&self, commit: &Commit) -> Result<(), StoreError> {
        let gate_version = |pipeline: &PipelineId| self.gates.get(pipeline).map(|gate| gate.version);
        if let Some((gate, expected)) = &commit.gate {
            if gate_version(&gate.pipeline) != *expected {
                return Err(StoreError::conflict(Row::Gate, &gate.pipeline));
            }
            if expected.is_none() {
                let holder = self.names.get(&(gate.scope.clone(), gate.name.clone()));
                let freed = commit.delete_gate.as_ref().map(|(pipeline, _)| pipeline);
                if holder.is_some() && holder != freed {
                    return Err(StoreError::conflict(Row::PipelineName, &gate.name));
                }
            }
        }
        if let Some((pipeline, expected)) = &commit.delete_gate
            && gate_version(pipeline) != Some(*expected)
        {
            return Err(StoreError::conflict(Row::Gate, pipeline));
        }
        if let Some(definition) = &commit.definition
            && self.definitions.contains_key(&(definition.pipeline.clone(), definition.version))
        {
            return Err(StoreError::conflict(Row::Definition, &definition.pipeline));
        }
        for (execution, expected) in &commit.executions {
            let found = self.executions.get(&execution.id).map(|found| found.version);
            let sequence_taken =
                expected.is_none() && self.sequences.contains_key(&(execution.pipeline.clone(), execution.sequence));
            if found != *expected || sequence_taken {
                return Err(StoreError::conflict(Row::Execution, &execution.id));
            }
        }
        if let Some(token) = &commit.request_token
            && self.tokens.contains_key(&(token.pipeline.clone(), token.token.clone()))
        {
            return Err(StoreError::conflict(Row::RequestToken, &token.token));
        }
        match commit.tasks_moved.iter().find(|task| !self.tasks.contains_key(&task.id)) {
            Some(task) => Err(StoreError::conflict(Row::Task, &task.id)),
            None => Ok(()),
        }
    }

    /// Only after [`Self::check`]: this cannot fail.
    fn apply(&mut self, commit: Commit, version: u64) {
        if let Some((pipeline, _)) = commit.delete_gate
            && let Some(gate) = self.gates.remove(&pipeline)
        {
            self.names.remove(&(gate.value.scope, gate.value.name));
        }
        if let Some((gate, _)) = commit.gate {
            self.names.insert((gate.scope.clone(), gate.name.clone()), gate.pipeline.clone());
            self.gates.insert(gate.pipeline.clone(), Versioned { value: gate, version });
        }
        if let Some(definition) = commit.definition {
            self.definitions.insert((definition.pipeline.clone(), definition.version), definition);
        }
        for (execution, _) in commit.executions {
            self.sequences.insert((execution.pipeline.clone(), execution.sequence), execution.id.clone());
            self.executions.insert(execution.id.clone(), Versioned { value: execution, version });
        }
        for record in commit.actions {
            self.put_action(record);
        }
        for entry in commit.history {
            let sequence = self.history.len() as u64 + 1;
            self.history_of_pipeline.entry(entry.pipeline.clone()).or_default().push(sequence);
            self.history_of_execution.entry(entry.execution.clone()).or_default().push(sequence);
            self.history.push(HistoryEntry { sequence, ..entry });
        }
        for task in commit.tasks_put.into_iter().chain(commit.tasks_moved) {
            self.due.insert((task.due, task.id.clone()));
            let (id, due) = (task.id.clone(), task.due);
            if let Some(before) = self.tasks.insert(id, task)
                && before.due != due
            {
                self.due.remove(&(before.due, before.id));
            }
        }
        for task in commit.tasks_done {
            if let Some(done) = self.tasks.remove(&task) {
                self.due.remove(&(done.due, task));
            }
        }
        if let Some(token) = commit.request_token {
            self.tokens.insert((token.pipeline, token.token), token.execution);
        }
    }

    fn put_action(&mut self, record: ActionRecord) {
        let id = record.attempt.id.clone();
        let of_pipeline = self.actions_of_pipeline.entry(record.pipeline.clone()).or_default();
        let of_execution = self.actions_of_execution.entry(record.execution.clone()).or_default();
        let row = match self.actions.get(&id) {
            Some((before, _)) => {
                of_pipeline.remove(before);
                of_execution.remove(before);
                before.1
            }
            None => self.actions.len() as u64 + 1,
        };
        let started = (record.attempt.started.millis(), row);
        of_pipeline.insert(started, id.clone());
        of_execution.insert(started, id.clone());
        self.actions.insert(id, (started, record));
    }
}

#[async_trait]
impl Commits for MemoryStore {
    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        commit.check_limits()?;
        let mut state = self.state();
        state.pipelines.check(&commit)?;
        state.documents.check(&commit.documents)?;
        state.version += 1;
        let version = state.version;
        let first_history_sequence = state.pipelines.history.len() as u64 + 1;
        let mut commit = commit;
        let documents = std::mem::take(&mut commit.documents);
        state.pipelines.apply(commit, version);
        state.documents.apply(documents, version);
        Ok(Committed { version, first_history_sequence })
    }
}
