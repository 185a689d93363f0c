//! ListDeployActionExecutionTargets: what a deploy action deploys to, one by one. A provider that does so says it from the
//! progress that is stored; the record that has it is looked for here.

use towpath_model::catalogue::Category;
use towpath_model::history::ActionRecord;
use towpath_model::ids::{PipelineId, Scope};
use towpath_providers::DeployTarget;
use towpath_store::ActionFilter;

use crate::Orchestrator;
use crate::error::CommandError;
use crate::limits::{ACTION_SEARCH_MAX, ACTION_SEARCH_PAGE};
use crate::views::{opened, sealed};

pub struct TargetPage {
    pub targets: Vec<DeployTarget>,
    pub next_token: Option<String>,
}

impl Orchestrator {
    /// A page of the targets of a deploy action's execution. Each of `filters` is a list of statuses, of which a target has
    /// one.
    pub async fn deploy_targets(
        &self,
        scope: &Scope,
        pipeline: Option<&str>,
        id: &str,
        filters: &[Vec<String>],
        (limit, token): (usize, Option<&str>),
    ) -> Result<TargetPage, CommandError> {
        let record = self.deploy_action(scope, pipeline, id).await?;
        let query = format!("targets {id} {filters:?}");
        let from = match token {
            Some(token) => opened(&query, token)?.parse().map_err(|_| CommandError::InvalidNextToken)?,
            None => 0,
        };
        let attempt = &record.attempt;
        let told = self.catalogue.get(&record.action_type).zip(attempt.invocation.as_ref());
        let mut all = told.map(|(provider, invocation)| provider.targets(invocation, &attempt.progress));
        let all = all.get_or_insert_default();
        let is = |target: &DeployTarget, status: &String| status.eq_ignore_ascii_case(target.status);
        all.retain(|target| filters.iter().all(|statuses| statuses.iter().any(|status| is(target, status))));
        let rest = all.split_off(from.min(all.len()));
        let next_token = (rest.len() > limit).then(|| sealed(&query, &(from + limit).to_string()));
        Ok(TargetPage { targets: rest.into_iter().take(limit).collect(), next_token })
    }

    /// The deploy action's execution with this id, in the pipeline, or in any where none is named. The id alone is no
    /// index of the history (the rows of one execution lie together), so it is looked for from the newest on.
    async fn deploy_action(
        &self,
        scope: &Scope,
        pipeline: Option<&str>,
        id: &str,
    ) -> Result<ActionRecord, CommandError> {
        if let Some(name) = pipeline {
            let pipeline = self.named(scope, name).await?;
            let found = self.search(&pipeline, id, &mut { usize::MAX }).await?;
            return found.ok_or_else(|| {
                CommandError::ActionExecutionNotFound(format!(
                    "A deploy action execution with the id '{id}' does not exist in pipeline with name '{name}'"
                ))
            });
        }
        let mut left = ACTION_SEARCH_MAX;
        let mut after = None;
        loop {
            let gates = self.store.gates(scope, after.as_ref(), ACTION_SEARCH_PAGE).await?;
            for gate in &gates {
                if let Some(found) = self.search(&gate.value.pipeline, id, &mut left).await? {
                    return Ok(found);
                }
                if left == 0 {
                    return Err(CommandError::Validation(
                        "The account has too many action executions to find one by its id alone. Name the pipeline in \
                         pipelineName."
                            .to_owned(),
                    ));
                }
            }
            match gates.last() {
                Some(last) => after = Some(last.value.name.clone()),
                None => {
                    return Err(CommandError::ActionExecutionNotFound(format!(
                        "A deploy action execution with the id '{id}' does not exist"
                    )));
                }
            }
        }
    }

    /// Looks through a pipeline's history as long as `left` rows allow.
    async fn search(
        &self,
        pipeline: &PipelineId,
        id: &str,
        left: &mut usize,
    ) -> Result<Option<ActionRecord>, CommandError> {
        let filter = ActionFilter::Pipeline(pipeline.clone());
        let mut after = None;
        while *left > 0 {
            let page = self.store.action_page(&filter, after, ACTION_SEARCH_PAGE.min(*left)).await?;
            *left -= page.items.len().min(*left);
            let found = page.items.into_iter().find(|record| record.attempt.id == *id);
            if let Some(found) = found {
                return Ok(Some(found).filter(|record| record.action_type.category == Category::Deploy));
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        Ok(None)
    }
}
