//! Deleting what is old enough: executions that ended long ago, with everything recorded about them, and what deleted
//! pipelines left behind. How long anything is kept is the caller's decision; what must stay because a stage still shows
//! it is decided by what the gates say.

use async_trait::async_trait;
use tokio::sync::Mutex;
use towpath_model::ids::ExecutionId;
use towpath_model::state::Gate;
use towpath_model::time::Timestamp;

use crate::StoreError;
use crate::documents::bounded;
use crate::limits::{PAGE_MAX, PRUNE_CHUNK, PRUNE_PAGE};

#[async_trait]
pub trait Retention: Send + Sync {
    /// Deletes up to `limit` executions that ended, last changed before `before` and are named by no gate, those that
    /// ended longest ago first, with their action executions, rule executions, history and request tokens; and the
    /// definitions of deleted pipelines that have no execution left. Answers how many executions it deleted: fewer than
    /// `limit` means that everything there was has been looked at. In small transactions, so that commits are never held
    /// up for long.
    async fn prune(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError>;
}

/// Whether a gate still names the execution, so that GetPipelineState shows it or a rollback may go back to it.
///
/// A gate only ever begins to name an execution in a commit that writes that execution too. One that no gate named and
/// that still has the version it had then is therefore still named by none.
pub(crate) fn refers(gate: &Gate, execution: &ExecutionId) -> bool {
    let is = |named: &Option<ExecutionId>| named.as_ref() == Some(execution);
    gate.stages.iter().any(|stage| {
        is(&stage.lock) || is(&stage.latest) || is(&stage.last_success) || stage.waiting.contains(execution)
    }) || gate.active.contains(execution)
        || gate.parallel.contains(execution)
}

/// An execution that ended, as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Candidate<Id> {
    pub(crate) ended: i64,
    pub(crate) id: Id,
    pub(crate) version: u64,
    pub(crate) referred: bool,
}

/// Where the search goes on. What gates name stays in front of the index for as long as it is named; starting behind it
/// is what keeps a call's work in proportion to what it deletes.
pub(crate) type Resume<Id> = Mutex<Option<(i64, Id)>>;

/// What a backend does for [`prune`].
#[async_trait]
pub(crate) trait Pruner: Sync {
    type Id: Clone + Send + Sync;

    /// The next executions that ended before a time, by (ended, id) from past `after`.
    async fn candidates(
        &self,
        before: Timestamp,
        after: Option<(i64, Self::Id)>,
        limit: usize,
    ) -> Result<Vec<Candidate<Self::Id>>, StoreError>;

    /// Deletes, in one transaction, those that still have the version they were read with. Answers how many had.
    async fn delete(&self, executions: Vec<(Self::Id, u64)>) -> Result<usize, StoreError>;

    /// Deletes what deleted pipelines without executions left, of up to `limit` pipelines.
    async fn clear_deleted_pipelines(&self, limit: usize) -> Result<(), StoreError>;
}

pub(crate) async fn prune<P: Pruner>(
    pruner: &P,
    resume: &Resume<P::Id>,
    before: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    bounded("executions deleted at once", limit, PAGE_MAX)?;
    let mut resume = resume.lock().await;
    let mut deleted = 0;
    while deleted < limit {
        let page = pruner.candidates(before, resume.clone(), PRUNE_PAGE).await?;
        let last = page.len() < PRUNE_PAGE;
        let mut batch = Vec::new();
        for candidate in page {
            *resume = Some((candidate.ended, candidate.id.clone()));
            if !candidate.referred {
                batch.push((candidate.id, candidate.version));
            }
            if batch.len() == PRUNE_CHUNK.min(limit - deleted) {
                deleted += pruner.delete(std::mem::take(&mut batch)).await?;
                if deleted == limit {
                    return Ok(deleted);
                }
            }
        }
        if !batch.is_empty() {
            deleted += pruner.delete(batch).await?;
        }
        if last {
            *resume = None;
            break;
        }
    }
    pruner.clear_deleted_pipelines(limit).await?;
    Ok(deleted)
}
