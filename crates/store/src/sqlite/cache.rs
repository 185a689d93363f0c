//! The rows that are asked for again and again (gates, executions that have not ended, definitions), kept as values, so
//! that a command on a running execution reads no database and parses no JSON.
//!
//! Only this process writes the database, and the writer puts what it committed here before it answers anyone, whole
//! groups under one lock; so a row found here is the newest one, and rows found together are of one moment. Gates are
//! also kept when read; a row read before a commit must not be kept after it, which [`Ticket`] sees to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashlink::LruCache;
use towpath_model::declaration::Definition;
use towpath_model::ids::{ExecutionId, PipelineId, PipelineName, Scope};
use towpath_model::state::{Execution, Gate};

use crate::Versioned;
use crate::commit::Commit;
use crate::limits::{CACHED_DEFINITIONS_MAX, CACHED_EXECUTIONS_MAX, CACHED_GATES_MAX};
use crate::reads::Loaded;

#[derive(Debug)]
pub(super) struct Cache {
    enabled: bool,
    rows: Mutex<Rows>,
}

struct Rows {
    /// The version of the latest commit put here.
    committed: u64,
    /// What `committed` was when a gate was last dropped: a gate read before that may be older than the one dropped.
    gate_dropped: u64,
    gates: LruCache<PipelineId, Arc<Versioned<Gate>>>,
    /// May name a pipeline that is gone; the gate decides.
    names: LruCache<(Scope, PipelineName), PipelineId>,
    executions: LruCache<ExecutionId, Arc<Versioned<Execution>>>,
    /// A definition never changes, so one that was read can always be kept.
    definitions: LruCache<(PipelineId, u32), Arc<Definition>>,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("committed", &self.committed).finish_non_exhaustive()
    }
}

/// When a read began; what it finds is only kept if no newer row can have come and gone since.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket(u64);

impl Rows {
    fn put_gate(&mut self, gate: Arc<Versioned<Gate>>) {
        let id = gate.value.pipeline.clone();
        if self.gates.len() == self.gates.capacity() && !self.gates.contains_key(&id) {
            self.gate_dropped = self.committed;
        }
        self.names.insert((gate.value.scope.clone(), gate.value.name.clone()), id.clone());
        self.gates.insert(id, gate);
    }
}

impl Cache {
    /// `committed` is the version of the last commit in the database.
    pub(super) fn new(committed: u64, enabled: bool) -> Self {
        let rows = Mutex::new(Rows {
            committed,
            gate_dropped: 0,
            gates: LruCache::new(CACHED_GATES_MAX),
            names: LruCache::new(CACHED_GATES_MAX),
            executions: LruCache::new(CACHED_EXECUTIONS_MAX),
            definitions: LruCache::new(CACHED_DEFINITIONS_MAX),
        });
        Self { enabled, rows }
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the commits of one transaction, each with its version, oldest first. Takes the rows out of them.
    pub(super) fn put<'a>(&self, commits: impl Iterator<Item = (&'a mut Commit, u64)>) {
        if !self.enabled {
            return;
        }
        let mut rows = self.rows();
        for (commit, version) in commits {
            rows.committed = version;
            if let Some((pipeline, _)) = &commit.delete_gate {
                rows.gates.remove(pipeline);
                rows.gate_dropped = version;
            }
            if let Some((gate, _)) = commit.gate.take() {
                rows.put_gate(Arc::new(Versioned { value: gate, version }));
            }
            if let Some(definition) = commit.definition.take() {
                let key = (definition.pipeline.clone(), definition.version);
                rows.definitions.insert(key, Arc::new(definition));
            }
            for (execution, _) in std::mem::take(&mut commit.executions) {
                if execution.status.has_ended() {
                    rows.executions.remove(&execution.id);
                } else {
                    let id = execution.id.clone();
                    rows.executions.insert(id, Arc::new(Versioned { value: execution, version }));
                }
            }
        }
    }

    pub(super) fn gate(&self, pipeline: &PipelineId) -> Result<Arc<Versioned<Gate>>, Ticket> {
        let mut rows = self.rows();
        let found = rows.gates.get(pipeline).cloned();
        found.ok_or(Ticket(rows.committed))
    }

    pub(super) fn gate_by_name(&self, scope: &Scope, name: &str) -> Result<Arc<Versioned<Gate>>, Ticket> {
        let key = (scope.clone(), PipelineName::from(name));
        let mut rows = self.rows();
        let pipeline = rows.names.get(&key).cloned();
        let found = pipeline.and_then(|pipeline| rows.gates.get(&pipeline).cloned());
        found.ok_or(Ticket(rows.committed))
    }

    /// Keeps a gate that was read from the database after the ticket was drawn.
    pub(super) fn keep_gate(&self, ticket: Ticket, gate: &Versioned<Gate>) {
        let gate = Arc::new(gate.clone());
        let mut rows = self.rows();
        // Not over one that a commit put here meanwhile, and not if one may have been put and dropped meanwhile.
        if self.enabled && rows.gate_dropped <= ticket.0 && !rows.gates.contains_key(&gate.value.pipeline) {
            rows.put_gate(gate);
        }
    }

    /// All of it as of one moment, or None if any of it is not here.
    pub(super) fn load(&self, pipeline: &PipelineId, executions: &[ExecutionId]) -> Option<Loaded> {
        let (gate, executions) = {
            let mut rows = self.rows();
            let gate = rows.gates.get(pipeline).cloned()?;
            let executions: Option<Vec<_>> = executions.iter().map(|id| rows.executions.get(id).cloned()).collect();
            (gate, executions?)
        };
        // The copies are made after the lock is given back.
        Some(Loaded {
            gate: Some(Versioned::clone(&gate)),
            executions: executions.iter().map(|execution| Some(Versioned::clone(execution))).collect(),
        })
    }

    pub(super) fn execution(&self, execution: &ExecutionId) -> Option<Arc<Versioned<Execution>>> {
        self.rows().executions.get(execution).cloned()
    }

    pub(super) fn definition(&self, pipeline: &PipelineId, version: u32) -> Option<Arc<Definition>> {
        self.rows().definitions.get(&(pipeline.clone(), version)).cloned()
    }

    pub(super) fn forget_definitions(&self, pipeline: &PipelineId) {
        let mut rows = self.rows();
        let gone: Vec<_> =
            rows.definitions.iter().map(|(key, _)| key).filter(|(of, _)| of == pipeline).cloned().collect();
        for key in gone {
            rows.definitions.remove(&key);
        }
    }

    pub(super) fn keep_definition(&self, definition: &Definition) {
        if self.enabled {
            let key = (definition.pipeline.clone(), definition.version);
            self.rows().definitions.insert(key, Arc::new(definition.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use towpath_model::state::ExecutionStatus;

    use super::*;
    use crate::contract::fixtures::{execution, gate, scope};

    fn put(cache: &Cache, version: u64, mut commit: Commit) {
        cache.put(std::iter::once((&mut commit, version)));
    }

    fn with_gate(pipeline: &str) -> Commit {
        Commit { gate: Some((gate(pipeline, pipeline), None)), ..Commit::default() }
    }

    fn read(pipeline: &str, version: u64) -> Versioned<Gate> {
        Versioned { value: gate(pipeline, pipeline), version }
    }

    #[test]
    fn a_gate_read_before_a_commit_does_not_replace_what_it_committed() {
        let cache = Cache::new(5, true);
        let ticket = cache.gate(&"p".into()).unwrap_err();
        put(&cache, 6, with_gate("p"));
        cache.keep_gate(ticket, &read("p", 5));
        assert_eq!(cache.gate(&"p".into()).unwrap().version, 6);
    }

    #[test]
    fn a_gate_read_before_its_deletion_is_not_kept() {
        let cache = Cache::new(5, true);
        let ticket = cache.gate_by_name(&scope(), "p").unwrap_err();
        put(&cache, 6, Commit { delete_gate: Some(("p".into(), 5)), ..Commit::default() });
        cache.keep_gate(ticket, &read("p", 5));
        assert!(cache.gate(&"p".into()).is_err());
    }

    #[test]
    fn a_gate_read_before_one_that_was_put_and_evicted_is_not_kept() {
        let cache = Cache::new(5, true);
        let ticket = cache.gate(&"p".into()).unwrap_err();
        put(&cache, 6, with_gate("p"));
        for version in 7..=7 + CACHED_GATES_MAX as u64 {
            put(&cache, version, with_gate(&format!("p{version}")));
        }
        let later = cache.gate(&"p".into()).unwrap_err();
        cache.keep_gate(ticket, &read("p", 5));
        assert!(cache.gate(&"p".into()).is_err());
        cache.keep_gate(later, &read("p", 6));
        assert_eq!(cache.gate(&"p".into()).unwrap().version, 6);
    }

    #[test]
    fn a_gate_that_was_read_is_found_by_id_and_name() {
        let cache = Cache::new(5, true);
        let ticket = cache.gate(&"p".into()).unwrap_err();
        cache.keep_gate(ticket, &read("p", 3));
        assert_eq!(cache.gate(&"p".into()).unwrap().version, 3);
        assert_eq!(cache.gate_by_name(&scope(), "p").unwrap().version, 3);
    }

    #[test]
    fn only_executions_that_have_not_ended_are_kept() {
        let cache = Cache::new(0, true);
        let mut commit = with_gate("p");
        commit.executions = vec![(execution("p", "e1", 1), None), (execution("p", "e2", 2), None)];
        put(&cache, 1, commit);
        assert_eq!(cache.load(&"p".into(), &["e2".into(), "e1".into()]).unwrap().executions.len(), 2);
        let mut ended = execution("p", "e1", 1);
        ended.status = ExecutionStatus::Succeeded;
        put(&cache, 2, Commit { executions: vec![(ended, Some(1))], ..Commit::default() });
        assert!(cache.execution(&"e1".into()).is_none());
        assert!(cache.load(&"p".into(), &["e1".into()]).is_none());
        assert_eq!(cache.execution(&"e2".into()).unwrap().version, 1);
    }
}
