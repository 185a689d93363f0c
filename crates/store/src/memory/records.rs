//! Action executions, or rule executions: one kind of records in ordered maps.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use towpath_model::history::ActionRecord;
use towpath_model::ids::{ActionExecutionId, ExecutionId, PipelineId};

use crate::reads::{ActionFilter, Cursor, Page, page};

/// The order of records: start time, then row number.
type Started = (i64, u64);

#[derive(Debug, Default)]
pub(super) struct Records {
    rows: HashMap<ActionExecutionId, (Started, ActionRecord)>,
    /// The last row number given out.
    last_row: u64,
    of_pipeline: BTreeMap<PipelineId, BTreeMap<Started, ActionExecutionId>>,
    of_execution: BTreeMap<ExecutionId, BTreeMap<Started, ActionExecutionId>>,
}

impl Records {
    pub(super) fn get(&self, id: &ActionExecutionId) -> Option<&ActionRecord> {
        self.rows.get(id).map(|(_, record)| record)
    }

    pub(super) fn put(&mut self, record: ActionRecord) {
        let id = record.attempt.id.clone();
        let of_pipeline = self.of_pipeline.entry(record.pipeline.clone()).or_default();
        let of_execution = self.of_execution.entry(record.execution.clone()).or_default();
        let row = if let Some((before, _)) = self.rows.get(&id) {
            of_pipeline.remove(before);
            of_execution.remove(before);
            before.1
        } else {
            self.last_row += 1;
            self.last_row
        };
        let started = (record.attempt.started.millis(), row);
        of_pipeline.insert(started, id.clone());
        of_execution.insert(started, id.clone());
        self.rows.insert(id, (started, record));
    }

    pub(super) fn remove_execution(&mut self, execution: &ExecutionId) {
        for (started, id) in self.of_execution.remove(execution).unwrap_or_default() {
            let Some((_, record)) = self.rows.remove(&id) else { continue };
            if let Some(of_pipeline) = self.of_pipeline.get_mut(&record.pipeline) {
                of_pipeline.remove(&started);
                if of_pipeline.is_empty() {
                    self.of_pipeline.remove(&record.pipeline);
                }
            }
        }
    }

    pub(super) fn page(&self, filter: &ActionFilter, after: Option<Cursor>, limit: usize) -> Page<ActionRecord> {
        let (ids, latest_only) = match filter {
            ActionFilter::Pipeline(pipeline) => (self.of_pipeline.get(pipeline), false),
            ActionFilter::Execution(execution) => (self.of_execution.get(execution), false),
            ActionFilter::LatestInExecution(execution) => (self.of_execution.get(execution), true),
        };
        let Some(ids) = ids else { return Page { items: Vec::new(), next: None } };
        let before = after.map_or((i64::MAX, u64::MAX), |cursor| (cursor.major, cursor.minor));
        let found = ids
            .range(..before)
            .rev()
            .filter_map(|(started, id)| Some((*started, &self.rows.get(id)?.1)))
            .filter(|(started, record)| !latest_only || self.is_latest(*started, record))
            .take(limit + 1)
            .map(|((major, minor), record)| (Cursor { major, minor }, record.clone()))
            .collect();
        page(found, limit, |record| record)
    }

    fn is_latest(&self, started: Started, record: &ActionRecord) -> bool {
        let name = |record: &ActionRecord| (record.stage.clone(), record.condition, record.action.clone());
        self.of_execution.get(&record.execution).is_some_and(|ids| {
            ids.range((Bound::Excluded(started), Bound::Unbounded))
                .filter_map(|(_, id)| self.rows.get(id))
                .all(|(_, newer)| name(newer) != name(record))
        })
    }
}
