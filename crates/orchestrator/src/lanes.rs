//! The lane of a PARALLEL execution: what concerns it alone is decided over its own row and committed beside whatever
//! the pipeline's other executions do. Only its beginning and its end, which the gate counts, go through the pipeline's
//! slot.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use towpath_model::event::Event;
use towpath_model::ids::{ExecutionId, PipelineId};
use towpath_model::state::{Execution, Gate};
use towpath_store::{Row, StoreError, Versioned};

use crate::Orchestrator;
use crate::apply::{Applied, Decided, Extra, Prepared};
use crate::error::CommandError;
use crate::limits::CONFLICT_RETRIES_MAX;
use crate::slots::{Lane, Loaded, Snapshot};

/// The execution whose action answered.
fn answers_for(event: &Event) -> Option<&ExecutionId> {
    match event {
        Event::ActionProgressed { execution, .. }
        | Event::ActionFinished { execution, .. }
        | Event::ActionTimedOut { execution, .. } => Some(execution),
        Event::ExecutionRequested { .. }
        | Event::RevisionReported { .. }
        | Event::ApprovalAnswered { .. }
        | Event::StopRequested { .. }
        | Event::StageRetryRequested { .. }
        | Event::RollbackRequested { .. }
        | Event::ConditionOverridden { .. }
        | Event::TransitionChanged { .. }
        | Event::DefinitionUpdated { .. }
        | Event::PipelineDeleted => None,
    }
}

impl Orchestrator {
    /// Decides an event of a PARALLEL execution in its lane. None: the gate has a part in it, and it is to be decided
    /// in the pipeline's slot.
    pub(crate) async fn apply_in_lane(
        self: &Arc<Self>,
        pipeline: &PipelineId,
        event: &Event,
        extra: &Extra,
    ) -> Result<Option<Applied>, CommandError> {
        let Some(id) = answers_for(event) else { return Ok(None) };
        let slot = self.slots.get(pipeline);
        let _open = slot.lanes_open.read().await;
        // On a shared store this may be old, and only says whether it is worth asking.
        let Some(mut snapshot) = slot.snapshot().filter(|known| known.gate.value.parallel.contains(id)) else {
            return Ok(None);
        };
        let shared = self.store.is_shared();
        let lane: Arc<Lane> = slot.lane(id);
        let mut row = lane.lock().await;
        let mut fresh = false;
        for _ in 0..CONFLICT_RETRIES_MAX {
            if shared {
                let Some((gate, execution)) = self.of_one_moment(pipeline, id).await? else { return Ok(None) };
                if gate.value.definition_version != snapshot.gate.value.definition_version {
                    return Ok(None);
                }
                snapshot = Arc::new(Snapshot { gate, definition: Arc::clone(&snapshot.definition) });
                *row = Some(execution);
                fresh = true;
            } else if row.is_none() {
                *row = self.store.execution(id).await?;
                fresh = true;
            }
            let Some(known) = row.as_ref() else { return Ok(None) };
            if known.value.pipeline_version != snapshot.gate.value.definition_version {
                return Ok(None);
            }
            let loaded = rows_of(&snapshot, known);
            let Decided { decision, with, now } = self.decide(&loaded, std::slice::from_ref(id), event, extra).await?;
            let own = decision.executions.iter().all(|execution| execution.id == *id);
            if decision.gate.is_some() || decision.definition.is_some() || !own {
                return Ok(None);
            }
            let reply = decision.reply.clone();
            let after = decision.executions.first().cloned();
            let definition_version = snapshot.gate.value.definition_version;
            let prepared = self.prepare(&loaded, decision, false, &with, now);
            // Only what the store holds may be called stale; and only then may what came with the answer be written.
            if !fresh && !prepared.as_ref().is_some_and(|prepared| prepared.changed) {
                *row = None;
                continue;
            }
            let Some(Prepared { commit, tasks, changed }) = prepared else {
                return Ok(Some(Applied { reply, definition_version, changed: false }));
            };
            let done = commit.tasks_done.clone();
            match self.store.commit(commit).await {
                Ok(committed) => {
                    if let Some(value) = after {
                        *row = Some(Versioned { value, version: committed.version });
                    }
                    drop(row);
                    for task in &done {
                        self.schedule.forget(task);
                    }
                    self.announce(&committed);
                    self.launch(tasks);
                    return Ok(Some(Applied { reply, definition_version, changed }));
                }
                Err(StoreError::Conflict { row: Row::Task, .. }) => return Err(CommandError::TaskLost),
                Err(StoreError::Conflict { row: Row::Document, key }) if extra.writes(&key) => {
                    return Err(CommandError::Contention);
                }
                Err(StoreError::Conflict { .. }) => {
                    *row = None;
                    fresh = false;
                }
                Err(error) => {
                    *row = None;
                    return Err(error.into());
                }
            }
        }
        Err(CommandError::Contention)
    }

    /// Gate and execution as they were together, where other nodes write too. The gate is only read: whatever another
    /// node does to it that concerns this execution changes the execution's row as well, and that row's
    /// compare-and-swap tells. None: this execution is not counted as PARALLEL, or not there.
    async fn of_one_moment(
        &self,
        pipeline: &PipelineId,
        id: &ExecutionId,
    ) -> Result<Option<(Versioned<Gate>, Versioned<Execution>)>, CommandError> {
        let found = self.store.load(pipeline, std::slice::from_ref(id)).await?;
        let gate = found.gate.filter(|gate| gate.value.parallel.contains(id));
        let execution = found.executions.into_iter().flatten().find(|row| row.value.pipeline == *pipeline);
        Ok(gate.zip(execution))
    }
}

fn rows_of(snapshot: &Snapshot, known: &Versioned<Execution>) -> Loaded {
    Loaded {
        gate: snapshot.gate.clone(),
        executions: HashMap::from([(known.value.id.clone(), known.clone())]),
        definitions: BTreeMap::from([(snapshot.gate.value.definition_version, Arc::clone(&snapshot.definition))]),
    }
}
