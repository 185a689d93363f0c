//! PutActionRevision: whether a revision of a source action has been told or used before. The engine starts the
//! execution of a new one; that it was told is remembered in the same commit, as a client's token of its own kind.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use towpath_engine::Reply;
use towpath_model::event::{Event, ReportedRevision};
use towpath_model::ids::{ExecutionId, PipelineId, Scope};
use towpath_store::ExecutionFilter;

use crate::Orchestrator;
use crate::apply::Extra;
use crate::commands::name_it;
use crate::error::CommandError;
use crate::limits::REVISION_EXECUTIONS_MAX;

/// PutActionRevision.
pub struct NewRevision {
    pub stage: String,
    pub action: String,
    pub revision: ReportedRevision,
    pub reported_by: String,
}

impl NewRevision {
    /// No client can send a token with a colon in it.
    fn token(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.stage, &self.action, &self.revision.id] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        format!("revision:{}", hex::encode(hash.finalize()))
    }
}

impl Orchestrator {
    /// Whether the revision is new, and the execution it started, now or before.
    pub async fn put_revision(
        self: &Arc<Self>,
        scope: &Scope,
        name: &str,
        new: NewRevision,
    ) -> Result<(bool, ExecutionId), CommandError> {
        let (pipeline, declaration) = self.current(scope, name).await?;
        towpath_engine::check_source(&declaration, &new.stage, &new.action)?;
        if let Some(known) = self.execution_with(&pipeline, &new).await? {
            return Ok((false, known));
        }
        let token = new.token();
        let event = Event::RevisionReported {
            stage: new.stage.into(),
            action: new.action.into(),
            revision: new.revision,
            reported_by: new.reported_by,
        };
        let extra = Extra { request_token: Some(token.clone()), ..Extra::default() };
        match self.apply(&pipeline, event, extra).await {
            Ok(applied) => match applied.reply {
                Reply::Started(id) => Ok((true, id)),
                _ => Err(CommandError::Contention),
            },
            // A racing call told of the same revision first.
            Err(CommandError::Contention) => {
                let known = self.store.execution_of_token(&pipeline, &token).await?;
                known.map(|id| (false, id)).ok_or(CommandError::Contention)
            }
            Err(error) => Err(name_it(error, scope, name)),
        }
    }

    /// The execution that this revision started, or one of the latest that found it by itself.
    async fn execution_with(
        &self,
        pipeline: &PipelineId,
        new: &NewRevision,
    ) -> Result<Option<ExecutionId>, CommandError> {
        if let Some(told) = self.store.execution_of_token(pipeline, &new.token()).await? {
            return Ok(Some(told));
        }
        let latest = self.store.execution_page(pipeline, &ExecutionFilter::All, None, REVISION_EXECUTIONS_MAX).await?;
        let used = latest.items.into_iter().map(|row| row.value).find(|execution| {
            execution.revisions.iter().any(|used| used.action == *new.action && used.id == new.revision.id)
        });
        Ok(used.map(|execution| execution.id))
    }
}

#[cfg(test)]
mod tests {
    use towpath_model::time::Timestamp;

    use super::*;

    #[test]
    fn a_token_is_of_one_revision_of_one_action() {
        let token = |stage: &str, action: &str, id: &str| {
            let revision = ReportedRevision { id: id.to_owned(), change_id: "c".to_owned(), created: Timestamp(0) };
            NewRevision { stage: stage.to_owned(), action: action.to_owned(), revision, reported_by: String::new() }
                .token()
        };
        assert_eq!(token("Source", "Fetch", "1"), token("Source", "Fetch", "1"));
        assert_ne!(token("Source", "Fetch", "1"), token("Source", "Fetch1", ""), "parts do not run into each other");
        assert_ne!(token("Source", "Fetch", "1"), token("Source", "Other", "1"));
    }
}
