//! The nodes of one process. The directory lock makes it the only one that has the database, so who is alive is kept in
//! memory, and no index says whose a task is, which every commit would have to keep: orphans can only be there after
//! something happened that makes some, and are looked for only then.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::watch;
use towpath_model::effect::Task;
use towpath_model::time::Timestamp;

use super::SqliteStore;
use super::tasks::{TaskRow, task_row};
use super::writer::Work;
use crate::StoreError;
use crate::commit::Commit;
use crate::documents::bounded;
use crate::limits::PAGE_MAX;
use crate::nodes::Nodes;

#[derive(Debug)]
pub(super) struct NodeList(Mutex<Known>);

#[derive(Debug)]
struct Known {
    leases: HashMap<String, Timestamp>,
    /// Counts what may have made orphans: a start, a node that went, a task put without a living owner.
    happened: u64,
    /// What `happened` was before the last look that found all of them.
    looked: u64,
}

impl NodeList {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Known { leases: HashMap::new(), happened: 1, looked: 0 }))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the commit leaves a task that nobody alive owns.
    pub(super) fn has_strangers(&self, commit: &Commit) -> bool {
        let mut owners = commit.tasks_put.iter().chain(&commit.tasks_moved).map(|task| &task.owner).peekable();
        if owners.peek().is_none() {
            return false;
        }
        let known = self.known();
        owners.any(|owner| owner.as_ref().is_none_or(|owner| !known.leases.contains_key(owner)))
    }

    pub(super) fn look_again(&self) {
        self.known().happened += 1;
    }
}

impl Known {
    fn forget_lapsed(&mut self, now: Timestamp) {
        let before = self.leases.len();
        self.leases.retain(|_, until| *until > now);
        if self.leases.len() < before {
            self.happened += 1;
        }
    }
}

/// Gives a node the tasks of nobody alive.
#[derive(Debug)]
pub(super) struct Claim {
    me: String,
    /// A JSON array of the names of the living.
    alive: String,
    limit: usize,
}

impl Claim {
    pub(super) fn apply(&self, connection: &Connection) -> rusqlite::Result<Vec<TaskRow>> {
        connection
            .prepare_cached(
                "UPDATE tasks SET owner = ?1, lease_until = NULL WHERE id IN ( \
                   SELECT id FROM tasks \
                   WHERE owner IS NULL OR owner NOT IN (SELECT value FROM json_each(?2)) ORDER BY id LIMIT ?3 \
                 ) RETURNING body, owner, lease_until",
            )?
            .query_map((&self.me, &self.alive, self.limit), task_row)?
            .collect()
    }
}

#[async_trait]
impl Nodes for SqliteStore {
    fn is_shared(&self) -> bool {
        false
    }

    fn subscribe(&self) -> watch::Receiver<u64> {
        self.writer.committed()
    }

    async fn heartbeat(&self, node: &str, now: Timestamp, lease_until: Timestamp) -> Result<(), StoreError> {
        let mut known = self.nodes.known();
        known.leases.insert(node.to_owned(), lease_until);
        known.forget_lapsed(now);
        Ok(())
    }

    async fn claim_orphans(&self, me: &str, now: Timestamp, limit: usize) -> Result<Vec<Task>, StoreError> {
        bounded("tasks in one page", limit, PAGE_MAX)?;
        let (happened, alive) = {
            let mut known = self.nodes.known();
            known.forget_lapsed(now);
            if known.looked == known.happened {
                return Ok(Vec::new());
            }
            let alive: Vec<&str> = known.leases.keys().map(String::as_str).chain([me]).collect();
            let alive = serde_json::to_string(&alive)
                .map_err(|source| StoreError::Encode { what: "a list of nodes", source })?;
            (known.happened, alive)
        };
        let claim = Claim { me: me.to_owned(), alive, limit };
        let claimed = self.writer.submit(Work::Claim(claim)).await?.claimed;
        if claimed.len() < limit {
            let mut known = self.nodes.known();
            known.looked = known.looked.max(happened);
        }
        claimed.into_iter().map(TaskRow::decode).collect()
    }

    async fn release(&self, node: &str) -> Result<(), StoreError> {
        let mut known = self.nodes.known();
        known.leases.remove(node);
        known.happened += 1;
        Ok(())
    }
}
