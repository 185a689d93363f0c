//! The nodes on this database, and the tasks of those that are gone.

use async_trait::async_trait;
use tokio::sync::watch;
use towpath_model::effect::Task;
use towpath_model::time::Timestamp;

use super::tasks::task;
use super::{PostgresStore, rows};
use crate::StoreError;
use crate::documents::bounded;
use crate::limits::PAGE_MAX;
use crate::nodes::Nodes;

/// Owners are few and tasks may be many: goes from owner to owner by index, looks up whether each is alive, and takes
/// from those that are not. Another node that claims at the same moment takes other rows.
const CLAIM: &str = "WITH RECURSIVE owners (owner) AS ( \
       (SELECT owner FROM tasks WHERE owner IS NOT NULL ORDER BY owner LIMIT 1) \
       UNION ALL \
       SELECT next.owner FROM owners CROSS JOIN LATERAL ( \
         SELECT t.owner FROM tasks t WHERE t.owner > owners.owner ORDER BY t.owner LIMIT 1 \
       ) AS next \
     ), gone (owner) AS ( \
       SELECT o.owner FROM owners o WHERE o.owner <> $1 \
       AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.node = o.owner AND n.lease_until > $2) \
     ), unowned (task) AS MATERIALIZED ( \
       SELECT task FROM tasks WHERE owner IS NULL LIMIT $3 FOR UPDATE SKIP LOCKED \
     ), left_over (task) AS MATERIALIZED ( \
       SELECT t.task FROM gone CROSS JOIN LATERAL ( \
         SELECT task FROM tasks WHERE tasks.owner = gone.owner LIMIT $3 FOR UPDATE SKIP LOCKED \
       ) AS t LIMIT $3 \
     ) \
     UPDATE tasks SET owner = $1, lease_until = NULL WHERE task = ANY (ARRAY( \
       (SELECT task FROM unowned UNION ALL SELECT task FROM left_over) LIMIT $3 \
     )) RETURNING body, owner, lease_until";

#[async_trait]
impl Nodes for PostgresStore {
    fn is_shared(&self) -> bool {
        true
    }

    fn subscribe(&self) -> watch::Receiver<u64> {
        self.listener.subscribe()
    }

    async fn heartbeat(&self, node: &str, now: Timestamp, lease_until: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "WITH forgotten AS (DELETE FROM nodes WHERE node <> $1 AND lease_until <= $2) \
             INSERT INTO nodes (node, lease_until) VALUES ($1, $3) \
             ON CONFLICT (node) DO UPDATE SET lease_until = excluded.lease_until",
            &[&node, &now.millis(), &lease_until.millis()],
        )
        .await?;
        Ok(())
    }

    async fn claim_orphans(&self, me: &str, now: Timestamp, limit: usize) -> Result<Vec<Task>, StoreError> {
        bounded("tasks in one page", limit, PAGE_MAX)?;
        self.execute(CLAIM, &[&me, &now.millis(), &rows(limit)]).await?.iter().map(task).collect()
    }

    async fn release(&self, node: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM nodes WHERE node = $1", &[&node]).await?;
        Ok(())
    }
}
