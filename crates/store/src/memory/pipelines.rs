//! Pipeline state in ordered maps.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use async_trait::async_trait;
use towpath_model::declaration::Definition;
use towpath_model::effect::Task;
use towpath_model::history::HistoryEntry;
use towpath_model::ids::{ExecutionId, PipelineId, PipelineName, Scope, TaskId};
use towpath_model::state::{Execution, Gate};
use towpath_model::time::Timestamp;

use super::MemoryStore;
use super::records::Records;
use crate::commit::{Commit, Commits, Committed};
use crate::error::Row;
use crate::nodes::{announce, may_move};
use crate::reads::RecordKind;
use crate::{StoreError, Versioned};

#[derive(Debug, Default)]
pub(super) struct PipelineRows {
    pub(super) gates: HashMap<PipelineId, Versioned<Gate>>,
    pub(super) names: BTreeMap<(Scope, PipelineName), PipelineId>,
    pub(super) definitions: HashMap<(PipelineId, u32), Definition>,
    pub(super) executions: HashMap<ExecutionId, Versioned<Execution>>,
    pub(super) sequences: BTreeMap<(PipelineId, u64), ExecutionId>,
    pub(super) tokens: HashMap<(PipelineId, String), ExecutionId>,
    /// Executions that ended, by when they last changed.
    pub(super) ended: BTreeSet<(Timestamp, ExecutionId)>,
    /// Pipelines that were deleted and have left something behind.
    pub(super) deleted: HashSet<PipelineId>,
    pub(super) actions: Records,
    pub(super) rules: Records,
    /// The last sequence number given out.
    pub(super) history_end: u64,
    pub(super) history: BTreeMap<u64, HistoryEntry>,
    pub(super) history_of_pipeline: HashMap<PipelineId, BTreeSet<u64>>,
    pub(super) history_of_execution: HashMap<ExecutionId, BTreeSet<u64>>,
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
        let movable = |task: &Task| {
            self.tasks.get(&task.id).is_some_and(|stored| may_move(stored.owner.as_deref(), task.owner.as_deref()))
        };
        match commit.tasks_moved.iter().find(|task| !movable(task)) {
            Some(task) => Err(StoreError::conflict(Row::Task, &task.id)),
            None => Ok(()),
        }
    }

    pub(super) fn records(&self, kind: RecordKind) -> &Records {
        match kind {
            RecordKind::Action => &self.actions,
            RecordKind::Rule => &self.rules,
        }
    }

    pub(super) fn records_mut(&mut self, kind: RecordKind) -> &mut Records {
        match kind {
            RecordKind::Action => &mut self.actions,
            RecordKind::Rule => &mut self.rules,
        }
    }

    /// Only after [`Self::check`]: this cannot fail.
    fn apply(&mut self, commit: Commit, version: u64) {
        if let Some((pipeline, _)) = commit.delete_gate
            && let Some(gate) = self.gates.remove(&pipeline)
        {
            self.names.remove(&(gate.value.scope, gate.value.name));
            self.deleted.insert(pipeline);
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
            if execution.status.has_ended() {
                self.ended.insert((execution.updated, execution.id.clone()));
            }
            let after = (execution.status.has_ended(), execution.updated);
            if let Some(before) = self.executions.insert(execution.id.clone(), Versioned { value: execution, version })
                && after != (true, before.value.updated)
            {
                self.ended.remove(&(before.value.updated, before.value.id));
            }
        }
        for record in commit.actions {
            self.records_mut(RecordKind::of(&record)).put(record);
        }
        for entry in commit.history {
            self.history_end += 1;
            let sequence = self.history_end;
            self.history_of_pipeline.entry(entry.pipeline.clone()).or_default().insert(sequence);
            self.history_of_execution.entry(entry.execution.clone()).or_default().insert(sequence);
            self.history.insert(sequence, HistoryEntry { sequence, ..entry });
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
        let first_history_sequence = state.pipelines.history_end + 1;
        let mut commit = commit;
        let documents = std::mem::take(&mut commit.documents);
        state.pipelines.apply(commit, version);
        state.documents.apply(documents, version);
        announce(&self.committed, version);
        Ok(Committed { version, first_history_sequence })
    }
}
