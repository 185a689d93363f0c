//! Reads of pipeline state.

use std::ops::Bound;

use async_trait::async_trait;
use towpath_model::declaration::Definition;
use towpath_model::effect::Task;
use towpath_model::history::{ActionRecord, HistoryEntry};
use towpath_model::ids::{ActionExecutionId, ExecutionId, PipelineId, PipelineName, Scope, TaskId};
use towpath_model::state::{Execution, Gate, StageStatus};
use towpath_model::time::Timestamp;

use super::MemoryStore;
use crate::documents::bounded;
use crate::limits::PAGE_MAX;
use crate::reads::{
    ActionFilter, Actions, Cursor, ExecutionFilter, Executions, History, HistoryFilter, Loaded, Page, Pipelines,
    RecordKind, Tasks, page,
};
use crate::{StoreError, Versioned};

#[async_trait]
impl Pipelines for MemoryStore {
    async fn gate(&self, pipeline: &PipelineId) -> Result<Option<Versioned<Gate>>, StoreError> {
        Ok(self.state().pipelines.gates.get(pipeline).cloned())
    }

    async fn gate_by_name(&self, scope: &Scope, name: &str) -> Result<Option<Versioned<Gate>>, StoreError> {
        let rows = &self.state().pipelines;
        let pipeline = rows.names.get(&(scope.clone(), name.into()));
        Ok(pipeline.and_then(|pipeline| rows.gates.get(pipeline)).cloned())
    }

    async fn gates(
        &self,
        scope: &Scope,
        after: Option<&PipelineName>,
        limit: usize,
    ) -> Result<Vec<Versioned<Gate>>, StoreError> {
        bounded("pipelines in one page", limit, PAGE_MAX)?;
        let rows = &self.state().pipelines;
        let from = (scope.clone(), after.cloned().unwrap_or_default());
        let range = rows.names.range((Bound::Excluded(from), Bound::Unbounded));
        let here = range.take_while(|((of, _), _)| of == scope).take(limit);
        Ok(here.filter_map(|(_, pipeline)| rows.gates.get(pipeline).cloned()).collect())
    }

    async fn gate_count(&self, scope: &Scope) -> Result<usize, StoreError> {
        let rows = &self.state().pipelines;
        let from = (scope.clone(), PipelineName::default());
        Ok(rows.names.range(from..).take_while(|((of, _), _)| of == scope).count())
    }

    async fn definition(&self, pipeline: &PipelineId, version: u32) -> Result<Option<Definition>, StoreError> {
        Ok(self.state().pipelines.definitions.get(&(pipeline.clone(), version)).cloned())
    }

    async fn definitions(&self, wanted: &[(PipelineId, u32)]) -> Result<Vec<Option<Definition>>, StoreError> {
        bounded("definitions in one read", wanted.len(), PAGE_MAX)?;
        let rows = &self.state().pipelines;
        Ok(wanted.iter().map(|key| rows.definitions.get(key).cloned()).collect())
    }
}

fn matches(filter: &ExecutionFilter, execution: &Execution) -> bool {
    match filter {
        ExecutionFilter::All => true,
        ExecutionFilter::Status(status) => execution.status == *status,
        ExecutionFilter::SucceededInStage { stage, pipeline_version } => {
            execution.pipeline_version == *pipeline_version
                && execution.stage_run(stage).is_some_and(|run| run.status == StageStatus::Succeeded)
        }
    }
}

#[async_trait]
impl Executions for MemoryStore {
    async fn load(&self, pipeline: &PipelineId, executions: &[ExecutionId]) -> Result<Loaded, StoreError> {
        bounded("executions in one read", executions.len(), PAGE_MAX)?;
        let rows = &self.state().pipelines;
        Ok(Loaded {
            gate: rows.gates.get(pipeline).cloned(),
            executions: executions.iter().map(|id| rows.executions.get(id).cloned()).collect(),
        })
    }

    async fn execution(&self, execution: &ExecutionId) -> Result<Option<Versioned<Execution>>, StoreError> {
        Ok(self.state().pipelines.executions.get(execution).cloned())
    }

    async fn execution_page(
        &self,
        pipeline: &PipelineId,
        filter: &ExecutionFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Versioned<Execution>>, StoreError> {
        bounded("executions in one page", limit, PAGE_MAX)?;
        let rows = &self.state().pipelines;
        let before = after.map_or(u64::MAX, |cursor| u64::try_from(cursor.major).unwrap_or(0));
        let found = rows
            .sequences
            .range((pipeline.clone(), 0)..(pipeline.clone(), before))
            .rev()
            .filter_map(|((_, sequence), id)| {
                let execution = rows.executions.get(id)?;
                let major = i64::try_from(*sequence).unwrap_or(i64::MAX);
                matches(filter, &execution.value).then(|| (Cursor { major, minor: 0 }, execution.clone()))
            })
            .take(limit + 1)
            .collect();
        Ok(page(found, limit, |execution| execution))
    }

    async fn execution_of_token(&self, pipeline: &PipelineId, token: &str) -> Result<Option<ExecutionId>, StoreError> {
        Ok(self.state().pipelines.tokens.get(&(pipeline.clone(), token.to_owned())).cloned())
    }
}

#[async_trait]
impl Actions for MemoryStore {
    async fn action(
        &self,
        execution: &ExecutionId,
        action: &ActionExecutionId,
    ) -> Result<Option<ActionRecord>, StoreError> {
        let rows = &self.state().pipelines;
        let found = RecordKind::ALL.into_iter().find_map(|kind| rows.records(kind).get(action));
        Ok(found.filter(|record| record.execution == *execution).cloned())
    }

    async fn action_page(
        &self,
        filter: &ActionFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<ActionRecord>, StoreError> {
        bounded("action executions in one page", limit, PAGE_MAX)?;
        Ok(self.state().pipelines.actions.page(filter, after, limit))
    }

    async fn rule_page(
        &self,
        filter: &ActionFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<ActionRecord>, StoreError> {
        bounded("rule executions in one page", limit, PAGE_MAX)?;
        Ok(self.state().pipelines.rules.page(filter, after, limit))
    }
}

#[async_trait]
impl History for MemoryStore {
    async fn history(&self, filter: &HistoryFilter, after: u64, limit: usize) -> Result<Vec<HistoryEntry>, StoreError> {
        bounded("history entries in one page", limit, PAGE_MAX)?;
        let rows = &self.state().pipelines;
        let later = (Bound::Excluded(after), Bound::Unbounded);
        let of = match filter {
            HistoryFilter::All => {
                return Ok(rows.history.range(later).take(limit).map(|(_, entry)| entry.clone()).collect());
            }
            HistoryFilter::Pipeline(pipeline) => rows.history_of_pipeline.get(pipeline),
            HistoryFilter::Execution(execution) => rows.history_of_execution.get(execution),
        };
        let sequences = of.into_iter().flat_map(|sequences| sequences.range(later));
        Ok(sequences.take(limit).filter_map(|sequence| rows.history.get(sequence).cloned()).collect())
    }

    async fn history_end(&self) -> Result<u64, StoreError> {
        Ok(self.state().pipelines.history_end)
    }
}

#[async_trait]
impl Tasks for MemoryStore {
    async fn task(&self, task: &TaskId) -> Result<Option<Task>, StoreError> {
        Ok(self.state().pipelines.tasks.get(task).cloned())
    }

    async fn tasks_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Task>, StoreError> {
        bounded("tasks in one page", limit, PAGE_MAX)?;
        let rows = &self.state().pipelines;
        let due = rows.due.iter().take_while(|(due, _)| *due <= now);
        let tasks = due.filter_map(|(_, id)| rows.tasks.get(id));
        let free = tasks.filter(|task| task.lease_until.is_none_or(|until| until <= now));
        Ok(free.take(limit).cloned().collect())
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.state().pipelines.due.first().map(|(due, _)| *due))
    }

    async fn tasks(&self, after: Option<&TaskId>, limit: usize) -> Result<Vec<Task>, StoreError> {
        bounded("tasks in one page", limit, PAGE_MAX)?;
        let rows = &self.state().pipelines;
        let from = Bound::Excluded(after.cloned().unwrap_or_default());
        Ok(rows.tasks.range((from, Bound::Unbounded)).map(|(_, task)| task.clone()).take(limit).collect())
    }

    async fn task_count(&self) -> Result<usize, StoreError> {
        Ok(self.state().pipelines.tasks.len())
    }
}
