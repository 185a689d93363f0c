//! One process, any number of node names: what the others do is all in these maps.

use async_trait::async_trait;
use tokio::sync::watch;
use towpath_model::effect::Task;
use towpath_model::time::Timestamp;

use super::MemoryStore;
use crate::StoreError;
use crate::documents::bounded;
use crate::limits::PAGE_MAX;
use crate::nodes::Nodes;

#[async_trait]
impl Nodes for MemoryStore {
    fn is_shared(&self) -> bool {
        false
    }

    fn subscribe(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    async fn heartbeat(&self, node: &str, now: Timestamp, lease_until: Timestamp) -> Result<(), StoreError> {
        let nodes = &mut self.state().nodes;
        nodes.insert(node.to_owned(), lease_until);
        nodes.retain(|_, until| *until > now);
        Ok(())
    }

    async fn claim_orphans(&self, me: &str, now: Timestamp, limit: usize) -> Result<Vec<Task>, StoreError> {
        bounded("tasks in one page", limit, PAGE_MAX)?;
        let state = &mut *self.state();
        let nodes = &state.nodes;
        let alive = |owner: &str| owner == me || nodes.get(owner).is_some_and(|until| *until > now);
        let orphans = state.pipelines.tasks.values_mut().filter(|task| !task.owner.as_deref().is_some_and(alive));
        let claimed = orphans.take(limit).map(|task| {
            task.owner = Some(me.to_owned());
            task.lease_until = None;
            task.clone()
        });
        Ok(claimed.collect())
    }

    async fn release(&self, node: &str) -> Result<(), StoreError> {
        self.state().nodes.remove(node);
        Ok(())
    }
}
