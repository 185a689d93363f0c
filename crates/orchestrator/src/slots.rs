//! The rows of pipelines in memory between commands: a write-through cache, one async lock per pipeline so that commands
//! to one pipeline queue up instead of colliding. The store's compare-and-swap stays the judge; a conflict drops the slot.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use towpath_model::declaration::{ExecutionMode, PipelineDeclaration};
use towpath_model::ids::{ExecutionId, PipelineId, Scope};
use towpath_model::state::{Execution, Gate};
use towpath_store::Versioned;

use crate::limits::{FINISHED_KEPT_MAX, SLOTS_KEPT_MAX};

/// The rows one pipeline's commands decide over.
pub struct Loaded {
    pub gate: Versioned<Gate>,
    pub executions: HashMap<ExecutionId, Versioned<Execution>>,
    pub definitions: BTreeMap<u32, Arc<PipelineDeclaration>>,
}

impl Loaded {
    /// Forgets finished executions that nobody is likely to name next.
    pub fn prune(&mut self) {
        if self.executions.len() <= self.gate.value.active.len() + FINISHED_KEPT_MAX {
            return;
        }
        let gate = &self.gate.value;
        let executions = &mut self.executions;
        executions.retain(|id, row| {
            !row.value.status.has_ended()
                || gate.active.contains(id)
                || gate.stages.iter().any(|s| s.latest.as_ref() == Some(id) || s.waiting.contains(id))
        });
        let kept: Vec<u32> = executions.values().map(|e| e.value.pipeline_version).collect();
        self.definitions.retain(|version, _| *version == gate.definition_version || kept.contains(version));
    }

    /// A PARALLEL execution under way changes in its lane: what is kept of it here may be old.
    pub fn leave_to_lanes(&mut self) {
        self.executions.retain(|_, row| row.value.mode != ExecutionMode::Parallel || row.value.status.has_ended());
    }
}

/// What readers see of a pipeline without waiting for a command under way.
pub struct Snapshot {
    pub gate: Versioned<Gate>,
    pub definition: Arc<PipelineDeclaration>,
}

/// The row of one PARALLEL execution.
pub type Lane = tokio::sync::Mutex<Option<Versioned<Execution>>>;

#[derive(Default)]
pub struct Slot {
    pub rows: tokio::sync::Mutex<Option<Loaded>>,
    pub snapshot: RwLock<Option<Arc<Snapshot>>>,
    /// Held for reading by lanes while they decide and commit, for writing by events that concern every execution.
    pub lanes_open: tokio::sync::RwLock<()>,
    lanes: Mutex<HashMap<ExecutionId, Arc<Lane>>>,
}

impl Slot {
    pub fn lane(&self, execution: &ExecutionId) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lanes.entry(execution.clone()).or_default())
    }

    pub fn close_lane(&self, execution: &ExecutionId) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).remove(execution);
    }

    pub fn publish(&self, snapshot: Option<Snapshot>) {
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = snapshot.map(Arc::new);
    }

    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Default)]
pub struct Slots {
    by_id: Mutex<HashMap<PipelineId, Arc<Slot>>>,
    by_name: RwLock<HashMap<Scope, HashMap<String, PipelineId>>>,
}

impl Slots {
    pub fn get(&self, pipeline: &PipelineId) -> Arc<Slot> {
        let mut slots = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(pipeline) {
            return Arc::clone(slot);
        }
        if slots.len() >= SLOTS_KEPT_MAX {
            // Only slots nobody holds may go: dropping a held one would let two commands decide side by side.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        let slot = Arc::new(Slot::default());
        slots.insert(pipeline.clone(), Arc::clone(&slot));
        slot
    }

    pub fn id_of(&self, scope: &Scope, name: &str) -> Option<PipelineId> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(scope)?.get(name).cloned()
    }

    pub fn remember_name(&self, scope: &Scope, name: &str, pipeline: &PipelineId) {
        let mut names = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        if names.values().map(HashMap::len).sum::<usize>() >= SLOTS_KEPT_MAX {
            names.clear();
        }
        names.entry(scope.clone()).or_default().insert(name.to_owned(), pipeline.clone());
    }

    /// A deleted pipeline: its name is free and its rows are gone.
    pub fn forget(&self, scope: &Scope, name: &str, pipeline: &PipelineId) {
        let mut names = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_scope) = names.get_mut(scope)
            && of_scope.get(name) == Some(pipeline)
        {
            of_scope.remove(name);
        }
        drop(names);
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner).remove(pipeline);
    }
}
