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
            let mut answer_lost = false;
            while !this.is_stopping() {
                this.runtime.sleep(NODE_HEARTBEAT).await;
                if this.is_stopping() {
                    break;
                }
                let took_part = async {
                    this.take_part(&node).await?;
                    // What was claimed by a call whose answer was lost is this node's, and nobody else looks at it.
                    if answer_lost { this.pick_up_own(&node).await } else { Ok(()) }
                };
                let took_part = took_part.await;
                answer_lost = took_part.is_err();
                if let Err(error) = took_part {
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
                // A poll's due time was a guess of the node that is gone; ask at once, and whether a function goes on too.
                if task.kind != TaskKind::Await || task.progress.continuation.is_some() {
                    task.due = now;
                }
                self.schedule.put(task);
            }
            if !full {
                return Ok(());
            }
        }
    }

    /// Schedules every task of this node that it does not know of.
    async fn pick_up_own(self: &Arc<Self>, node: &str) -> Result<(), CommandError> {
        let mut after = None;
        loop {
            let page = self.store.tasks(after.as_ref(), TASK_PAGE).await?;
            let full = page.len() == TASK_PAGE;
            after = page.last().map(|task| task.id.clone());
            for task in page {
                if task.owner.as_deref() == Some(node) && !self.schedule.has(&task.id) {
                    self.schedule.put(task);
                }
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
