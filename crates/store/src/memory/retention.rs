//! Deleting what is old enough.

use async_trait::async_trait;
use towpath_model::ids::{ExecutionId, PipelineId};
use towpath_model::time::Timestamp;

use super::MemoryStore;
use super::pipelines::PipelineRows;
use crate::StoreError;
use crate::documents::bounded;
use crate::limits::PAGE_MAX;
use crate::reads::RecordKind;
use crate::retention::{Retention, refers};

impl PipelineRows {
    fn prunable(&self, execution: &ExecutionId) -> bool {
        self.executions.get(execution).is_some_and(|found| {
            self.gates.get(&found.value.pipeline).is_none_or(|gate| !refers(&gate.value, execution))
        })
    }

    fn remove_execution(&mut self, id: &ExecutionId) {
        let Some(found) = self.executions.remove(id) else { return };
        let execution = found.value;
        self.ended.remove(&(execution.updated, id.clone()));
        self.sequences.remove(&(execution.pipeline.clone(), execution.sequence));
        self.tokens.retain(|_, started| started != id);
        for kind in RecordKind::ALL {
            self.records_mut(kind).remove_execution(id);
        }
        let of_pipeline = self.history_of_pipeline.entry(execution.pipeline).or_default();
        for sequence in self.history_of_execution.remove(id).unwrap_or_default() {
            of_pipeline.remove(&sequence);
            self.history.remove(&sequence);
        }
    }

    fn clear_deleted_pipelines(&mut self) {
        let has_executions = |pipeline: &PipelineId| {
            self.sequences.range((pipeline.clone(), 0)..=(pipeline.clone(), u64::MAX)).next().is_some()
        };
        let (kept, cleared) = std::mem::take(&mut self.deleted).into_iter().partition(has_executions);
        self.deleted = kept;
        self.definitions.retain(|(pipeline, _), _| !cleared.contains(pipeline));
        self.history_of_pipeline.retain(|pipeline, _| !cleared.contains(pipeline));
    }
}

#[async_trait]
impl Retention for MemoryStore {
    async fn prune(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        bounded("executions deleted at once", limit, PAGE_MAX)?;
        let rows = &mut self.state().pipelines;
        let old = rows.ended.range(..(before, ExecutionId::default())).map(|(_, id)| id);
        let chosen: Vec<ExecutionId> = old.filter(|id| rows.prunable(id)).take(limit).cloned().collect();
        for id in &chosen {
            rows.remove_execution(id);
        }
        rows.clear_deleted_pipelines();
        Ok(chosen.len())
    }
}
