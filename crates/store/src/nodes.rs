//! What several nodes on one database need of each other: who is alive, whose tasks nobody works on any more, and that
//! somebody committed. On a store of one process the same holds for that process alone.

use async_trait::async_trait;
use tokio::sync::watch;
use towpath_model::effect::Task;
use towpath_model::time::Timestamp;

use crate::StoreError;

#[async_trait]
pub trait Nodes: Send + Sync {
    /// Whether other processes write the same state, so that rows kept in memory may be older than the stored ones. A
    /// commit judges them all the same.
    fn is_shared(&self) -> bool;

    /// Changes after each commit, of this node or of another, to a version at least as high as the commit's. Several
    /// commits may be heard as one, and one may be heard twice.
    fn subscribe(&self) -> watch::Receiver<u64>;

    /// Says that `node` is alive until `lease_until`. The first one comes before the first task that names the node as
    /// its owner; nodes whose lease ran out by `now` are forgotten. The times are the nodes' own, so their clocks have to
    /// agree to within a small part of the lease.
    async fn heartbeat(&self, node: &str, now: Timestamp, lease_until: Timestamp) -> Result<(), StoreError>;

    /// Gives `me` up to `limit` tasks that have no owner, or one that is not alive at `now`, and answers them as they
    /// now are. No task is given to two. Fewer than `limit` means that there was no other that
    /// nobody was just being given. After an error some may have
    /// been given all the same: `Tasks::tasks` shows them, with `me` as their owner.
    async fn claim_orphans(&self, me: &str, now: Timestamp, limit: usize) -> Result<Vec<Task>, StoreError>;

    /// Says that `node` is gone, so that others need not wait for its lease to run out before they take its tasks.
    async fn release(&self, node: &str) -> Result<(), StoreError>;
}

/// Whether a task that belongs to `stored` may be moved by whoever says it belongs to `moved`.
pub(crate) fn may_move(stored: Option<&str>, moved: Option<&str>) -> bool {
    stored.is_none() || stored == moved
}

/// A watch that tells of commits. Only ever grows.
pub(crate) fn announce(watch: &watch::Sender<u64>, version: u64) {
    watch.send_modify(|latest| *latest = version.max(*latest));
}
