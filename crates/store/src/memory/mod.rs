//! The store in memory: the same contract as SQLite, for tests, simulation and rehearsals. Nothing survives it.

mod documents;
mod nodes;
mod pipelines;
mod reads;
mod records;
mod retention;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use towpath_model::time::Timestamp;

use documents::DocumentRows;
use pipelines::PipelineRows;

/// Everything behind one lock; a command holds it from its first check to its last write, which makes it atomic.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    committed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// The version the latest successful command gave to what it wrote.
    version: u64,
    documents: DocumentRows,
    pipelines: PipelineRows,
    /// Until when each node is alive.
    nodes: HashMap<String, Timestamp>,
}

impl MemoryStore {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No command panics between its first write and its last, so a poisoned state is still a consistent one.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryStore;

    async fn with_store<F: AsyncFnOnce(&MemoryStore)>(test: F) {
        test(&MemoryStore::new()).await;
    }

    crate::contract::tests!(with_store);
}
