//! The commands of the API, each a thin turn from a request into an event. Whatever AWS checks against other resources
//! (names, roles, quotas) is checked here; whatever can be decided from the pipeline alone is the engine's.

use std::sync::Arc;

use towpath_model::action::SourceRevisionOverride;
use towpath_model::arn::Resource;
use towpath_model::catalogue::{ActionTypeId, ActionTypes as _};
use towpath_model::declaration::{ConditionType, Definition, PipelineDeclaration, RetryMode};
use towpath_model::event::{Event, TransitionType};
use towpath_model::ids::{ExecutionId, IdSource, PipelineId, Scope};
use towpath_model::state::Trigger;
use towpath_model::time::Timestamp;
use towpath_providers::{Provider, Taken};
use towpath_store::StoreError;

use crate::action_types::Types;
use crate::apply::Extra;
use crate::error::CommandError;
use crate::tags::{delete_tags, put_tags};
use crate::{Orchestrator, Reply, Violation};

pub struct NewPipeline {
    pub scope: Scope,
    pub declaration: PipelineDeclaration,
    pub tags: Vec<(String, String)>,
    pub created_by: String,
}

pub struct Created {
    pub declaration: PipelineDeclaration,
    pub execution: Option<ExecutionId>,
}

pub struct StartRequest {
    pub trigger: Trigger,
    pub variables: Vec<(String, String)>,
    pub source_overrides: Vec<SourceRevisionOverride>,
    pub client_request_token: Option<String>,
}

impl Orchestrator {
    /// Every rule the declaration breaks; the same function serves the API, `run` and `validate`.
    pub fn validate(&self, declaration: &PipelineDeclaration, region: &str) -> Vec<Violation> {
        towpath_engine::validation::validate(declaration, region, &*self.catalogue, None)
    }

    pub async fn create_pipeline(self: &Arc<Self>, new: NewPipeline) -> Result<Created, CommandError> {
        let NewPipeline { scope, declaration, tags, created_by } = new;
        let name = declaration.name.clone();
        let in_use = || CommandError::PipelineNameInUse { account: scope.account.clone(), name: name.to_string() };
        if self.store.gate_by_name(&scope, &name).await?.is_some() {
            return Err(in_use());
        }
        self.check_roles(&scope, &declaration).await?;
        let types = self.types_to_validate(&scope, &declaration).await?;
        let violations = towpath_engine::validation::validate(&declaration, &scope.region, &types, None);
        if !violations.is_empty() {
            return Err(CommandError::Invalid(violations));
        }
        let quota = self.quotas.pipelines_per_region;
        if self.store.gate_count(&scope).await? >= quota {
            return Err(CommandError::LimitExceeded(format!(
                "The number of pipelines in the account '{}' in region '{}' has reached its limit of {quota}. Delete pipelines you no longer need, or raise `pipelines-per-region` under [quotas] in towpath.toml.",
                scope.account, scope.region
            )));
        }
        let now = self.clock.now();
        let pipeline = PipelineId::new(self.ids().uuid());
        let declaration = towpath_engine::normalise(&declaration, &types, 1);
        let gate = towpath_engine::create(&declaration, scope.clone(), pipeline.clone(), now);
        let definition = Definition { pipeline, version: 1, created: now, declaration: declaration.clone() };
        let event = Event::ExecutionRequested {
            trigger: Trigger { kind: "CreatePipeline".to_owned(), detail: created_by },
            variables: Vec::new(),
            source_overrides: Vec::new(),
        };
        let documents = vec![put_tags(&scope, &Resource::Pipeline(name.to_string()), &tags)?];
        match self.insert(gate, definition, &event, documents).await {
            Ok(applied) => Ok(Created {
                declaration,
                execution: match applied.reply {
                    Reply::Started(id) => Some(id),
                    _ => None,
                },
            }),
            // Somebody else created the name between the look and the commit.
            Err(CommandError::Store(StoreError::Conflict { .. })) => Err(in_use()),
            Err(error) => Err(error),
        }
    }

    /// UpdatePipeline: the new version as GetPipeline shows it.
    pub async fn update_pipeline(
        self: &Arc<Self>,
        scope: &Scope,
        declaration: PipelineDeclaration,
    ) -> Result<PipelineDeclaration, CommandError> {
        let (pipeline, previous) = self.current(scope, &declaration.name).await?;
        self.check_roles(scope, &declaration).await?;
        let types = self.types_to_validate(scope, &declaration).await?;
        let violations = towpath_engine::validation::validate(&declaration, &scope.region, &types, Some(&previous));
        if !violations.is_empty() {
            return Err(CommandError::Invalid(violations));
        }
        let declaration = towpath_engine::validation::merge_masked(&declaration, &previous, &types);
        let event = Event::DefinitionUpdated { declaration: Box::new(declaration.clone()) };
        let applied = self.apply(&pipeline, event, Extra::default()).await?;
        Ok(towpath_engine::normalise(&declaration, &types, applied.definition_version))
    }

    /// DeletePipeline. A name that is not there is no error, as on AWS.
    pub async fn delete_pipeline(self: &Arc<Self>, scope: &Scope, name: &str) -> Result<(), CommandError> {
        let Some(pipeline) = self.find(scope, name).await? else { return Ok(()) };
        let documents = vec![delete_tags(scope, &Resource::Pipeline(name.to_owned()))];
        match self.apply(&pipeline, Event::PipelineDeleted, Extra { documents, ..Extra::default() }).await {
            Ok(_) | Err(CommandError::PipelineNotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub async fn start_execution(
        self: &Arc<Self>,
        scope: &Scope,
        name: &str,
        request: StartRequest,
    ) -> Result<ExecutionId, CommandError> {
        let pipeline = self.named(scope, name).await?;
        if let Some(token) = &request.client_request_token
            && let Some(earlier) = self.store.execution_of_token(&pipeline, token).await?
        {
            // A repeated token answers for any request but a malformed one (observed).
            let view = self.pipeline(scope, name, None).await?;
            towpath_engine::check_request(&view.declaration, &request.variables, &request.source_overrides)?;
            return Ok(earlier);
        }
        let event = Event::ExecutionRequested {
            trigger: request.trigger,
            variables: request.variables,
            source_overrides: request.source_overrides,
        };
        let extra = Extra { request_token: request.client_request_token.clone(), ..Extra::default() };
        match self.apply(&pipeline, event, extra).await {
            Ok(applied) => match applied.reply {
                Reply::Started(id) => Ok(id),
                _ => Err(CommandError::Contention),
            },
            // A racing call with the same token was first: its execution is the answer.
            Err(CommandError::Contention) if request.client_request_token.is_some() => {
                let token = request.client_request_token.as_deref().unwrap_or_default();
                self.store.execution_of_token(&pipeline, token).await?.ok_or(CommandError::Contention)
            }
            Err(error) => Err(name_it(error, scope, name)),
        }
    }

    pub async fn stop_execution(
        self: &Arc<Self>,
        scope: &Scope,
        name: &str,
        execution: &ExecutionId,
        abandon: bool,
        reason: Option<String>,
        requested_by: String,
    ) -> Result<(), CommandError> {
        let event = Event::StopRequested { execution: execution.clone(), abandon, reason, requested_by };
        self.command(scope, name, event).await.map(drop)
    }

    pub async fn retry_stage(
        self: &Arc<Self>,
        scope: &Scope,
        name: &str,
        stage: &str,
        execution: &ExecutionId,
        mode: RetryMode,
    ) -> Result<(), CommandError> {
        let event = Event::StageRetryRequested { execution: execution.clone(), stage: stage.into(), mode };
        self.command(scope, name, event).await.map(drop)
    }

    /// RollbackStage: the new execution.
    pub async fn rollback_stage(
        self: &Arc<Self>,
        scope: &Scope,
        name: &str,
        stage: &str,
        target: &ExecutionId,
        requested_by: String,
    ) -> Result<ExecutionId, CommandError> {
        let event = Event::RollbackRequested { stage: stage.into(), target: target.clone(), requested_by };
        match self.command(scope, name, event).await? {
            Reply::RolledBack(id) => Ok(id),
            _ => Err(CommandError::Contention),
        }
    }

    /// OverrideStageCondition.
    pub async fn override_condition(
        self: &Arc<Self>,
        scope: &Scope,
        name: &str,
        stage: &str,
        execution: &ExecutionId,
        gate: ConditionType,
        overridden_by: String,
    ) -> Result<(), CommandError> {
        let (execution, stage) = (execution.clone(), stage.into());
        let event = Event::ConditionOverridden { execution, stage, gate, overridden_by };
        self.command(scope, name, event).await.map(drop)
    }

    pub async fn change_transition(
        self: &Arc<Self>,
        scope: &Scope,
        name: &str,
        stage: &str,
        transition: TransitionType,
        disable_with: Option<String>,
        changed_by: String,
    ) -> Result<(), CommandError> {
        let event = Event::TransitionChanged {
            stage: stage.into(),
            transition,
            enabled: disable_with.is_none(),
            reason: disable_with,
            changed_by,
        };
        self.command(scope, name, event).await.map(drop)
    }

    /// PutApprovalResult: the time the answer was taken.
    pub async fn put_approval_result(
        self: &Arc<Self>,
        scope: &Scope,
        name: &str,
        answer: Event,
    ) -> Result<Timestamp, CommandError> {
        match self.command(scope, name, answer).await? {
            Reply::ApprovedAt(time) => Ok(time),
            _ => Ok(self.clock.now()),
        }
    }

    async fn command(self: &Arc<Self>, scope: &Scope, name: &str, event: Event) -> Result<Reply, CommandError> {
        let pipeline = self.named(scope, name).await?;
        let applied = self.apply(&pipeline, event, Extra::default()).await;
        applied.map(|a| a.reply).map_err(|error| name_it(error, scope, name))
    }

    pub(crate) async fn find(&self, scope: &Scope, name: &str) -> Result<Option<PipelineId>, CommandError> {
        // Another node may have deleted the pipeline and made it anew.
        if !self.store.is_shared()
            && let Some(id) = self.slots.id_of(scope, name)
        {
            return Ok(Some(id));
        }
        let Some(gate) = self.store.gate_by_name(scope, name).await? else { return Ok(None) };
        self.slots.remember_name(scope, name, &gate.value.pipeline);
        Ok(Some(gate.value.pipeline))
    }

    pub(crate) async fn named(&self, scope: &Scope, name: &str) -> Result<PipelineId, CommandError> {
        self.find(scope, name).await?.ok_or_else(|| not_found(scope, name))
    }

    pub(crate) async fn current(
        &self,
        scope: &Scope,
        name: &str,
    ) -> Result<(PipelineId, PipelineDeclaration), CommandError> {
        let view = self.pipeline(scope, name, None).await?;
        Ok((view.pipeline, view.declaration.as_ref().clone()))
    }

    /// What the declaration names; every type of the scope where it names one that is not there, to tell what is.
    async fn types_to_validate(&self, scope: &Scope, declaration: &PipelineDeclaration) -> Result<Types, CommandError> {
        let types = self.types_for(scope, [declaration]).await?;
        let mut actions = declaration.stages.iter().flat_map(|stage| &stage.actions);
        if actions.all(|action| types.find(&action.action_type_id).is_some()) {
            return Ok(types);
        }
        self.types_of_scope(scope).await
    }

    async fn check_roles(&self, scope: &Scope, declaration: &PipelineDeclaration) -> Result<(), CommandError> {
        let mut action_roles: Vec<String> = self.roles_here(scope, declaration);
        action_roles.sort();
        action_roles.dedup();
        self.roles
            .test_assume(scope, &declaration.name, &declaration.role_arn, &action_roles)
            .await
            .map_err(CommandError::Role)
    }

    /// The roles that actions and rules name for themselves and use here. One that acts in another realm is that realm's, of
    /// another account maybe; its STS is asked when it acts.
    fn roles_here(&self, scope: &Scope, declaration: &PipelineDeclaration) -> Vec<String> {
        let here = |id: &ActionTypeId, role: Option<&str>, region: Option<&str>| {
            let what = Taken { provider: &id.provider, role: role?, region: region.unwrap_or(&scope.region) };
            let service = self.catalogue.get(id).and_then(Provider::service);
            self.realms.is_here(&what, service).then(|| what.role.to_owned())
        };
        let actions = declaration.stages.iter().flat_map(|stage| &stage.actions);
        let actions = actions.filter_map(|a| here(&a.action_type_id, a.role_arn.as_deref(), a.region.as_deref()));
        let conditions = declaration
            .stages
            .iter()
            .flat_map(|stage| ConditionType::ALL.into_iter().filter_map(move |gate| stage.condition(gate)));
        let rules = conditions.flat_map(|condition| condition.rules.iter().flatten());
        let rules = rules.filter_map(|r| here(&r.rule_type_id.entry_id(), r.role_arn.as_deref(), r.region.as_deref()));
        actions.chain(rules).collect()
    }
}

/// A pipeline that vanished while the command was under way is reported by its name.
pub(crate) fn name_it(error: CommandError, scope: &Scope, name: &str) -> CommandError {
    match error {
        CommandError::PipelineNotFound { .. } => not_found(scope, name),
        other => other,
    }
}

pub(crate) fn not_found(scope: &Scope, name: &str) -> CommandError {
    CommandError::PipelineNotFound { account: scope.account.clone(), name: name.to_owned() }
}
