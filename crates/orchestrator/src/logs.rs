//! What an action's work wrote outside, asked of its provider when somebody looks. Nothing is stored and nothing moves.

use towpath_model::ids::{ExecutionId, Scope};
use towpath_providers::Call;
use towpath_providers::logs::LogPage;

use crate::Orchestrator;
use crate::error::CommandError;

/// A page of a log, or why it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionLog {
    Page(LogPage),
    Unreadable(String),
}

impl Orchestrator {
    /// A page of what one action or rule execution wrote.
    pub async fn action_log(
        &self,
        scope: &Scope,
        pipeline: &str,
        execution: &ExecutionId,
        id: &str,
        token: Option<&str>,
    ) -> Result<ActionLog, CommandError> {
        // The execution is one of this pipeline, which the caller may look at.
        self.execution(scope, pipeline, execution).await?;
        let Some(record) = self.store.action(execution, &id.into()).await? else {
            return Err(CommandError::ActionExecutionNotFound(format!(
                "An action execution with the id '{id}' does not exist in execution '{execution}' of the pipeline \
                 '{pipeline}'"
            )));
        };
        let nothing = ActionLog::Page(LogPage::default());
        let attempt = record.attempt;
        let (Some(provider), Some(invocation)) = (self.catalogue.get(&record.action_type), attempt.invocation) else {
            return Ok(nothing);
        };
        let realm = match self.realms.for_invocation(&invocation, provider.service_of(&invocation)) {
            Ok(realm) => realm,
            Err(error) => return Ok(ActionLog::Unreadable(error.message)),
        };
        if std::ptr::eq(realm, self.realms.artifacts()) && !provider.keeps_its_log() {
            return Ok(nothing);
        }
        let artifacts = self.realms.artifacts_for(realm);
        let call = Call { realm, artifacts, clock: &*self.clock, scratch: &self.scratch, job: None };
        Ok(match provider.logs(&call, &invocation, &attempt.progress, token).await {
            Ok(page) => ActionLog::Page(page),
            Err(problem) => ActionLog::Unreadable(problem.detail()),
        })
    }
}
