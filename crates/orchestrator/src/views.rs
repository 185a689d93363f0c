//! What the API reads: values of the model, paged by keys so that a page stays the same page while rows are added.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use towpath_model::declaration::PipelineDeclaration;
use towpath_model::history::{ActionRecord, HistoryEntry};
use towpath_model::ids::{ExecutionId, PipelineId, PipelineName, Scope};
use towpath_model::state::{Execution, ExecutionKind, Gate};
use towpath_model::time::Timestamp;
use towpath_store::{ActionFilter, Cursor, ExecutionFilter, HistoryFilter};

use crate::Orchestrator;
use crate::commands::not_found;
use crate::error::CommandError;
use crate::limits::CONFLICT_RETRIES_MAX;
use crate::slots::Snapshot;

/// Executions that the stages name: latest entrants and waiting ones.
fn shown_executions(gate: &Gate) -> Vec<ExecutionId> {
    let mut named: Vec<_> = gate.stages.iter().flat_map(|s| s.latest.iter().chain(&s.waiting)).cloned().collect();
    named.sort();
    named.dedup();
    named
}

/// One version of a pipeline.
pub struct PipelineView {
    pub pipeline: PipelineId,
    pub declaration: Arc<PipelineDeclaration>,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// What GetPipelineState is made of.
pub struct PipelineState {
    pub gate: Gate,
    pub declaration: Arc<PipelineDeclaration>,
    /// Executions that the stages name: latest entrants and waiting ones.
    pub executions: Vec<Execution>,
}

pub struct PipelinePage {
    pub gates: Vec<(Gate, Arc<PipelineDeclaration>)>,
    pub next_token: Option<String>,
}

pub struct ExecutionPage {
    pub executions: Vec<Execution>,
    pub next_token: Option<String>,
}

pub struct ActionPage {
    pub records: Vec<ActionRecord>,
    pub next_token: Option<String>,
}

impl Orchestrator {
    /// A version of a pipeline, the current one unless told otherwise.
    pub async fn pipeline(
        &self,
        scope: &Scope,
        name: &str,
        version: Option<u32>,
    ) -> Result<PipelineView, CommandError> {
        let id = self.named(scope, name).await?;
        if let Some(snapshot) = self.snapshot(&id)
            && version.is_none_or(|v| v == snapshot.gate.value.definition_version)
        {
            return Ok(PipelineView {
                pipeline: id,
                declaration: Arc::clone(&snapshot.definition),
                created: snapshot.gate.value.created,
                updated: snapshot.gate.value.updated,
            });
        }
        let gate = self.gate(&id, scope, name).await?;
        let wanted = version.unwrap_or(gate.definition_version);
        let definition = self
            .store
            .definition(&id, wanted)
            .await?
            .ok_or_else(|| CommandError::PipelineVersionNotFound { name: name.to_owned(), version: wanted })?;
        Ok(PipelineView {
            pipeline: id,
            declaration: Arc::new(definition.declaration),
            created: gate.created,
            updated: gate.updated,
        })
    }

    /// What this process last committed: the truth, unless other nodes write to the same store.
    pub(crate) fn snapshot(&self, id: &PipelineId) -> Option<Arc<Snapshot>> {
        if self.store.is_shared() { None } else { self.slots.get(id).snapshot() }
    }

    async fn gate(&self, id: &PipelineId, scope: &Scope, name: &str) -> Result<Gate, CommandError> {
        if let Some(snapshot) = self.snapshot(id) {
            return Ok(snapshot.gate.value.clone());
        }
        Ok(self.store.gate(id).await?.ok_or_else(|| not_found(scope, name))?.value)
    }

    pub async fn list_pipelines(
        &self,
        scope: &Scope,
        after: Option<&str>,
        limit: usize,
    ) -> Result<PipelinePage, CommandError> {
        let query = format!("pipelines {} {}", scope.account, scope.region);
        let after = after.map(|token| opened(&query, token)).transpose()?;
        let mut gates = self.store.gates(scope, after.as_deref().map(PipelineName::from).as_ref(), limit + 1).await?;
        let next_token = page_end(&mut gates, limit, |gate| sealed(&query, &gate.value.name));
        let mut page = Vec::with_capacity(gates.len());
        for gate in gates {
            let view = self.pipeline(scope, &gate.value.name, None).await;
            match view {
                Ok(view) => page.push((gate.value, view.declaration)),
                // Deleted since the page was read.
                Err(CommandError::PipelineNotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(PipelinePage { gates: page, next_token })
    }

    /// Gate and executions as they were at one moment: read one after the other they would show what never was, such as
    /// a superseded execution that waits.
    pub async fn pipeline_state(&self, scope: &Scope, name: &str) -> Result<PipelineState, CommandError> {
        let id = self.named(scope, name).await?;
        let mut gate = self.gate(&id, scope, name).await?;
        let mut executions = Vec::new();
        for _ in 0..CONFLICT_RETRIES_MAX {
            let wanted = shown_executions(&gate);
            let found = self.store.load(&id, &wanted).await?;
            gate = found.gate.ok_or_else(|| not_found(scope, name))?.value;
            executions = found.executions.into_iter().flatten().map(|row| row.value).collect();
            // A command in between may have brought others; whoever is still missing in the end is left out.
            if shown_executions(&gate).iter().all(|shown| wanted.contains(shown)) {
                break;
            }
        }
        let declaration = self.pipeline(scope, name, Some(gate.definition_version)).await?.declaration;
        Ok(PipelineState { gate, declaration, executions })
    }

    pub async fn execution(&self, scope: &Scope, name: &str, id: &ExecutionId) -> Result<Execution, CommandError> {
        let pipeline = self.named(scope, name).await?;
        let row = self.store.execution(id).await?.filter(|row| row.value.pipeline == pipeline);
        row.map(|row| row.value).ok_or_else(|| CommandError::PipelineExecutionNotFound {
            execution: id.to_string(),
            pipeline: name.to_owned(),
        })
    }

    /// Newest first. `succeeded_in` keeps executions of the current version that succeeded in that stage.
    pub async fn list_executions(
        &self,
        scope: &Scope,
        name: &str,
        succeeded_in: Option<&str>,
        token: Option<&str>,
        limit: usize,
    ) -> Result<ExecutionPage, CommandError> {
        let view = self.pipeline(scope, name, None).await?;
        let filter = match succeeded_in {
            None => ExecutionFilter::All,
            Some(stage) => ExecutionFilter::SucceededInStage {
                stage: stage.into(),
                pipeline_version: view.declaration.version.unwrap_or(1),
            },
        };
        let query = format!("executions {} {}", view.pipeline, succeeded_in.unwrap_or_default());
        let page = self.store.execution_page(&view.pipeline, &filter, cursor(&query, token)?, limit).await?;
        let mut executions: Vec<Execution> = page.items.into_iter().map(|row| row.value).collect();
        // Only standard executions are rollback targets.
        executions.retain(|e| succeeded_in.is_none() || matches!(e.kind, ExecutionKind::Standard));
        Ok(ExecutionPage { executions, next_token: page.next.map(|c| sealed(&query, &c.to_string())) })
    }

    /// Newest start first; of one execution, or of all.
    pub async fn list_actions(
        &self,
        scope: &Scope,
        name: &str,
        execution: Option<&ExecutionId>,
        latest_only: bool,
        token: Option<&str>,
        limit: usize,
    ) -> Result<ActionPage, CommandError> {
        let (query, filter) = self.records_of("actions", scope, name, execution, latest_only).await?;
        let page = self.store.action_page(&filter, cursor(&query, token)?, limit).await?;
        Ok(ActionPage { records: page.items, next_token: page.next.map(|c| sealed(&query, &c.to_string())) })
    }

    /// Executions of rules, newest start first; of one execution, or of all.
    pub async fn list_rules(
        &self,
        scope: &Scope,
        name: &str,
        execution: Option<&ExecutionId>,
        latest_only: bool,
        token: Option<&str>,
        limit: usize,
    ) -> Result<ActionPage, CommandError> {
        let (query, filter) = self.records_of("rules", scope, name, execution, latest_only).await?;
        let page = self.store.rule_page(&filter, cursor(&query, token)?, limit).await?;
        Ok(ActionPage { records: page.items, next_token: page.next.map(|c| sealed(&query, &c.to_string())) })
    }

    /// What page tokens of this query are bound to, and which records it asks for. The execution must exist.
    async fn records_of(
        &self,
        what: &str,
        scope: &Scope,
        name: &str,
        execution: Option<&ExecutionId>,
        latest_only: bool,
    ) -> Result<(String, ActionFilter), CommandError> {
        let pipeline = self.named(scope, name).await?;
        if let Some(id) = execution {
            self.execution(scope, name, id).await?;
        }
        let query = format!("{what} {pipeline} {} {latest_only}", execution.map_or("", |id| id.as_str()));
        let filter = match execution {
            None => ActionFilter::Pipeline(pipeline),
            Some(id) if latest_only => ActionFilter::LatestInExecution(id.clone()),
            Some(id) => ActionFilter::Execution(id.clone()),
        };
        Ok((query, filter))
    }

    /// What happened to one execution after a point of its history.
    pub async fn history(
        &self,
        execution: &ExecutionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, CommandError> {
        Ok(self.store.history(&HistoryFilter::Execution(execution.clone()), after, limit).await?)
    }
}

fn cursor(query: &str, token: Option<&str>) -> Result<Option<Cursor>, CommandError> {
    token.map(|token| opened(query, token)?.parse().map_err(|_| CommandError::InvalidNextToken)).transpose()
}

/// A place in the rows of one query, as clients carry it. It holds nothing that its owner has not been shown, so it is
/// bound to its query, not secret.
pub(crate) fn sealed(query: &str, place: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{query}\n{place}"))
}

/// The place; a token of another query, or none of ours, is refused.
pub(crate) fn opened(query: &str, token: &str) -> Result<String, CommandError> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| CommandError::InvalidNextToken)?;
    let text = String::from_utf8(bytes).map_err(|_| CommandError::InvalidNextToken)?;
    let place = text.strip_prefix(query).and_then(|rest| rest.strip_prefix('\n'));
    place.map(str::to_owned).ok_or(CommandError::InvalidNextToken)
}

/// Cuts the page to its limit; the token is the key of its last row when more follow.
pub(crate) fn page_end<T>(rows: &mut Vec<T>, limit: usize, key: impl Fn(&T) -> String) -> Option<String> {
    if rows.len() <= limit {
        return None;
    }
    rows.truncate(limit);
    rows.last().map(key)
}

#[cfg(test)]
mod tests {
    use super::{opened, sealed};

    #[test]
    fn a_token_is_good_for_its_query_alone() {
        let token = sealed("executions p ", "7.1");
        assert_eq!(opened("executions p ", &token).ok().as_deref(), Some("7.1"));
        for (query, token) in [("executions q ", token.as_str()), ("executions", &token), ("executions p ", "made-up")]
        {
            assert!(opened(query, token).is_err(), "{query:?} {token:?}");
        }
    }
}
