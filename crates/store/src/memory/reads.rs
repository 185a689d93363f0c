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
use super::pipelines::{PipelineRows, Started};
use crate::documents::bounded;
use crate::limits::PAGE_MAX;
use crate::reads::{
    ActionFilter, Actions, Cursor, ExecutionFilter, Executions, History, HistoryFilter, Loaded, Page, Pipelines, Tasks,
    page,
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

fn is_latest(rows: &PipelineRows, started: Started, record: &ActionRecord) -> bool {
    rows.actions_of_execution.get(&record.execution).is_some_and(|ids| {
        ids.range((Bound::Excluded(started), Bound::Unbounded))
            .filter_map(|(_, id)| rows.actions.get(id))
            .all(|(_, newer)| newer.stage != record.stage || newer.action != record.action)
    })
}

#[async_trait]
impl Actions for MemoryStore {
    async fn action(
        &self,
        execution: &ExecutionId,
        action: &ActionExecutionId,
    ) -> Result<Option<ActionRecord>, StoreError> {
        let rows = &self.state().pipelines;
        let found = rows.actions.get(action).map(|(_, record)| record);
        Ok(found.filter(|record| record.execution == *execution).cloned())
    }

    async fn action_page(
        &self,
        filter: &ActionFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<ActionRecord>, StoreError> {
        bounded("action executions in one page", limit, PAGE_MAX)?;
        let rows = &self.state().pipelines;
        let (ids, latest_only) = match filter {
            ActionFilter::Pipeline(pipeline) => (rows.actions_of_pipeline.get(pipeline), false),
            ActionFilter::Execution(execution) => (rows.actions_of_execution.get(execution), false),
            ActionFilter::LatestInExecution(execution) => (rows.actions_of_execution.get(execution), true),
        };
        let Some(ids) = ids else { return Ok(Page { items: Vec::new(), next: None }) };
        let before = after.map_or((i64::MAX, u64::MAX), |cursor| (cursor.major, cursor.minor));
        let found = ids
            .range(..before)
            .rev()
            .filter_map(|(started, id)| Some((*started, &rows.actions.get(id)?.1)))
            .filter(|(started, record)| !latest_only || is_latest(rows, *started, record))
            .take(limit + 1)
            .map(|((major, minor), record)| (Cursor { major, minor }, record.clone()))
            .collect();
        Ok(page(found, limit, |record| record))
    }
}

#[async_trait]
impl History for MemoryStore {
    async fn history(&self, filter: &HistoryFilter, after: u64, limit: usize) -> Result<Vec<HistoryEntry>, StoreError> {
        bounded("history entries in one page", limit, PAGE_MAX)?;
        let rows = &self.state().pipelines;
        let entry = |sequence: u64| rows.history.get(usize::try_from(sequence - 1).ok()?).cloned();
        let of = match filter {
            HistoryFilter::All => {
                let sequences = after.saturating_add(1)..=rows.history.len() as u64;
                return Ok(sequences.take(limit).filter_map(entry).collect());
            }
            HistoryFilter::Pipeline(pipeline) => rows.history_of_pipeline.get(pipeline),
            HistoryFilter::Execution(execution) => rows.history_of_execution.get(execution),
        };
        let sequences = of.map(Vec::as_slice).unwrap_or_default();
        let start = sequences.partition_point(|sequence| *sequence <= after);
        Ok(sequences[start..].iter().take(limit).copied().filter_map(entry).collect())
    }

    async fn history_end(&self) -> Result<u64, StoreError> {
        Ok(self.state().pipelines.history.len() as u64)
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
