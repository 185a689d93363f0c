//! Several nodes on one store: each says that it is alive, and takes over what the dead left in the outbox. Which node
//! runs what is decided by the store's rows alone; nothing here knows another node's address.

use std::sync::Arc;

use towpath_model::effect::TaskKind;

use crate::Orchestrator;
use crate::error::CommandError;
use crate::limits::{NODE_HEARTBEAT, NODE_LEASE, TASK_PAGE};

impl Orchestrator {
    /// Shares the store's work from now on: what has no living owner is this node's at once.
    pub(crate) async fn join(self: &Arc<Self>, node: String) -> Result<(), CommandError> {
        self.take_part(&node).await?;
        let this = Arc::clone(self);
        self.runtime.spawn(Box::pin(async move {
            while !this.is_stopping() {
                this.runtime.sleep(NODE_HEARTBEAT).await;
                if this.is_stopping() {
                    break;
                }
                if let Err(error) = this.take_part(&node).await {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "this node cannot say that it is alive; another may take its work over"
                    );
                }
            }
        }));
        Ok(())
    }

    /// A sign of life, and whatever the dead left behind.
    async fn take_part(self: &Arc<Self>, node: &str) -> Result<(), CommandError> {
        let now = self.clock.now();
        let lease = i64::try_from(NODE_LEASE.as_millis()).unwrap_or(i64::MAX);
        self.store.heartbeat(node, now, now.plus_millis(lease)).await?;
        loop {
            let orphans = self.store.claim_orphans(node, now, TASK_PAGE).await?;
            let full = orphans.len() == TASK_PAGE;
            if !orphans.is_empty() {
                tracing::info!(tasks = orphans.len(), "took over work that no living node has");
            }
            for mut task in orphans {
                // A poll's due time was a guess of the node that is gone; ask at once.
                if task.kind != TaskKind::Await {
                    task.due = now;
                }
                self.schedule.put(task);
            }
            if !full {
                return Ok(());
            }
        }
    }

    /// Lets the other nodes take over at once what this one leaves.
    pub async fn leave(&self) {
        if let Some(node) = &self.node
            && let Err(error) = self.store.release(node).await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the other nodes take over when this one's lease has run out"
            );
        }
    }
}
