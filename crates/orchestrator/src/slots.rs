//! The rows of pipelines in memory between commands: a write-through cache, one async lock per pipeline so that commands
//! to one pipeline queue up instead of colliding. The store's compare-and-swap stays the judge; a conflict drops the slot.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use towpath_model::declaration::PipelineDeclaration;
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
}

/// What readers see of a pipeline without waiting for a command under way.
pub struct Snapshot {
    pub gate: Gate,
    pub definition: Arc<PipelineDeclaration>,
}

#[derive(Default)]
pub struct Slot {
    pub rows: tokio::sync::Mutex<Option<Loaded>>,
    pub snapshot: RwLock<Option<Arc<Snapshot>>>,
}

impl Slot {
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
