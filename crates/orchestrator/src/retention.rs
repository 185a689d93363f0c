//! History is kept for as long as `[retention]` says (AWS: 12 months) and then pruned, a little at a time. What a
//! pipeline's state still shows, or a rollback may go back to, is kept however old it is.

use std::sync::Arc;

use crate::Orchestrator;
use crate::limits::{PRUNE_EVERY, PRUNE_PAGE};

impl Orchestrator {
    /// Prunes now and then, until this process stops claiming work.
    pub(crate) fn keep_pruning(self: &Arc<Self>) {
        let Some(keep) = self.keep_history else { return };
        let this = Arc::clone(self);
        self.runtime.spawn(Box::pin(async move {
            while !this.is_stopping() {
                let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
                let before = this.clock.now().plus_millis(-keep);
                match this.store.prune(before, PRUNE_PAGE).await {
                    // More may be waiting.
                    Ok(PRUNE_PAGE) => continue,
                    Ok(0) => {}
                    Ok(pruned) => tracing::info!(pruned, "removed executions older than [retention] keeps"),
                    Err(error) => tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "old history is not pruned; trying again later"
                    ),
                }
                this.runtime.sleep(PRUNE_EVERY).await;
            }
        }));
    }
}
