//! CodePipeline's API: one file per operation, each a thin turn from a checked request into an orchestrator call.
//! Decoding, authorisation and encoding happen once, here; no operation can forget them.

mod acknowledge_job;
mod acknowledge_third_party_job;
mod authorize;
mod conditions;
mod convert;
mod create_custom_action_type;
mod create_pipeline;
mod delete_custom_action_type;
mod delete_pipeline;
mod delete_webhook;
mod deregister_webhook_with_third_party;
mod disable_stage_transition;
mod enable_stage_transition;
mod errors;
mod get_action_log;
mod get_action_type;
mod get_job_details;
mod get_pipeline;
mod get_pipeline_execution;
mod get_pipeline_state;
mod get_third_party_job_details;
mod list_action_executions;
mod list_action_types;
mod list_deploy_action_execution_targets;
mod list_pipeline_executions;
mod list_pipelines;
mod list_rule_executions;
mod list_rule_types;
mod list_tags_for_resource;
mod list_webhooks;
mod override_stage_condition;
mod poll_for_jobs;
mod poll_for_third_party_jobs;
mod put_action_revision;
mod put_approval_result;
mod put_job_failure_result;
mod put_job_success_result;
mod put_third_party_job_failure_result;
mod put_third_party_job_success_result;
mod put_webhook;
mod register_webhook_with_third_party;
mod retry_stage_execution;
mod rollback_stage;
mod start_pipeline_execution;
mod stop_pipeline_execution;
mod tag_resource;
mod tags;
mod untag_resource;
mod update_action_type;
mod update_pipeline;
mod webhook_item;

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use serde::Serialize;
use towpath_model::declaration::PipelineDeclaration;
use towpath_model::ids::Scope;
use towpath_orchestrator::Orchestrator;
use towpath_services::call::Call as Request;
use towpath_services::identity::Identity;
use towpath_wire::codepipeline::{self as shape, ActionTypeId, Operation as Name};
use towpath_wire::schema::Input;
use towpath_wire::{Dialect, WireError, json};

pub use errors::violation as violation_code;

use authorize::Tagging;

/// One authenticated request to CodePipeline.
pub struct Call {
    pub orchestrator: Arc<Orchestrator>,
    pub identity: Arc<Identity>,
    pub request: Request,
    /// Where clients outside reach this server.
    pub public_url: Arc<str>,
    /// The caller is known by the id of the job that the call is about, and by nothing else.
    pub of_job: bool,
}

/// What an operation is about, for the policy decision.
pub enum Resource {
    Any,
    Pipeline(String),
    Stage(String, String),
    Action(String, String, String),
    /// Owner, category, provider and version.
    ActionType(String, String, String, String),
    Webhook(String),
    /// An ARN as the request names it.
    Named(String),
}

impl Resource {
    fn custom_type(category: &str, provider: &str, version: &str) -> Self {
        Self::ActionType("Custom".to_owned(), category.to_owned(), provider.to_owned(), version.to_owned())
    }

    fn action_type(id: &ActionTypeId) -> Self {
        Self::ActionType(id.owner.clone(), id.category.clone(), id.provider.clone(), id.version.clone())
    }
}

/// One operation of the API.
trait Operation {
    type Input: Input + Send;
    type Output: Serialize;
    const NAME: Name;
    /// The operation has no output shape: its answer is an empty body.
    const EMPTY: bool = false;

    /// What a policy must allow it on.
    fn resource(input: &Self::Input) -> Resource;

    /// Another resource that a policy may name instead, where AWS's pages disagree.
    fn alternative(_: &Self::Input) -> Option<Resource> {
        None
    }

    /// A second resource that must be allowed too.
    fn further(_: &Self::Input) -> Option<Resource> {
        None
    }

    fn tagging(_: &Self::Input) -> Tagging {
        Tagging::Nothing
    }

    fn run(call: &Call, input: Self::Input) -> impl Future<Output = Result<Self::Output, WireError>> + Send;
}

impl Call {
    /// Answers one request, whatever comes of it.
    pub async fn serve(&self) -> Response<Bytes> {
        match self.dispatch(&self.request.operation, &self.request.body).await {
            Ok(response) => response,
            Err(error) => json::respond_error(&error, &self.request.request_id),
        }
    }

    /// Answers one request of whoever holds the id of an open job, which is all that is asked for.
    pub async fn serve_bearer(self) -> Response<Bytes> {
        Self { of_job: true, ..self }.serve().await
    }

    async fn dispatch(&self, operation: &str, body: &[u8]) -> Result<Response<Bytes>, WireError> {
        let Some(name) = Name::from_name(operation) else {
            return match operation {
                get_action_log::NAME => get_action_log::serve(self, body).await,
                _ => Err(WireError::unknown_operation()),
            };
        };
        match name {
            Name::AcknowledgeJob => self.answer::<acknowledge_job::AcknowledgeJob>(body).await,
            Name::AcknowledgeThirdPartyJob => {
                self.answer::<acknowledge_third_party_job::AcknowledgeThirdPartyJob>(body).await
            }
            Name::CreateCustomActionType => {
                self.answer::<create_custom_action_type::CreateCustomActionType>(body).await
            }
            Name::CreatePipeline => self.answer::<create_pipeline::CreatePipeline>(body).await,
            Name::DeleteCustomActionType => {
                self.answer::<delete_custom_action_type::DeleteCustomActionType>(body).await
            }
            Name::DeletePipeline => self.answer::<delete_pipeline::DeletePipeline>(body).await,
            Name::DeleteWebhook => self.answer::<delete_webhook::DeleteWebhook>(body).await,
            Name::DeregisterWebhookWithThirdParty => {
                self.answer::<deregister_webhook_with_third_party::DeregisterWebhookWithThirdParty>(body).await
            }
            Name::DisableStageTransition => self.answer::<disable_stage_transition::DisableStageTransition>(body).await,
            Name::EnableStageTransition => self.answer::<enable_stage_transition::EnableStageTransition>(body).await,
            Name::GetActionType => self.answer::<get_action_type::GetActionType>(body).await,
            Name::GetJobDetails => self.answer::<get_job_details::GetJobDetails>(body).await,
            Name::GetPipeline => self.answer::<get_pipeline::GetPipeline>(body).await,
            Name::GetPipelineExecution => self.answer::<get_pipeline_execution::GetPipelineExecution>(body).await,
            Name::GetPipelineState => self.answer::<get_pipeline_state::GetPipelineState>(body).await,
            Name::GetThirdPartyJobDetails => {
                self.answer::<get_third_party_job_details::GetThirdPartyJobDetails>(body).await
            }
            Name::ListActionExecutions => self.answer::<list_action_executions::ListActionExecutions>(body).await,
            Name::ListActionTypes => self.answer::<list_action_types::ListActionTypes>(body).await,
            Name::ListDeployActionExecutionTargets => {
                self.answer::<list_deploy_action_execution_targets::ListDeployActionExecutionTargets>(body).await
            }
            Name::ListPipelineExecutions => self.answer::<list_pipeline_executions::ListPipelineExecutions>(body).await,
            Name::ListPipelines => self.answer::<list_pipelines::ListPipelines>(body).await,
            Name::ListRuleExecutions => self.answer::<list_rule_executions::ListRuleExecutions>(body).await,
            Name::ListRuleTypes => self.answer::<list_rule_types::ListRuleTypes>(body).await,
            Name::ListTagsForResource => self.answer::<list_tags_for_resource::ListTagsForResource>(body).await,
            Name::ListWebhooks => self.answer::<list_webhooks::ListWebhooks>(body).await,
            Name::OverrideStageCondition => self.answer::<override_stage_condition::OverrideStageCondition>(body).await,
            Name::PollForJobs => self.answer::<poll_for_jobs::PollForJobs>(body).await,
            Name::PollForThirdPartyJobs => self.answer::<poll_for_third_party_jobs::PollForThirdPartyJobs>(body).await,
            Name::PutActionRevision => self.answer::<put_action_revision::PutActionRevision>(body).await,
            Name::PutApprovalResult => self.answer::<put_approval_result::PutApprovalResult>(body).await,
            Name::PutJobFailureResult => self.answer::<put_job_failure_result::PutJobFailureResult>(body).await,
            Name::PutJobSuccessResult => self.answer::<put_job_success_result::PutJobSuccessResult>(body).await,
            Name::PutThirdPartyJobFailureResult => {
                self.answer::<put_third_party_job_failure_result::PutThirdPartyJobFailureResult>(body).await
            }
            Name::PutThirdPartyJobSuccessResult => {
                self.answer::<put_third_party_job_success_result::PutThirdPartyJobSuccessResult>(body).await
            }
            Name::PutWebhook => self.answer::<put_webhook::PutWebhook>(body).await,
            Name::RegisterWebhookWithThirdParty => {
                self.answer::<register_webhook_with_third_party::RegisterWebhookWithThirdParty>(body).await
            }
            Name::RetryStageExecution => self.answer::<retry_stage_execution::RetryStageExecution>(body).await,
            Name::RollbackStage => self.answer::<rollback_stage::RollbackStage>(body).await,
            Name::StartPipelineExecution => self.answer::<start_pipeline_execution::StartPipelineExecution>(body).await,
            Name::StopPipelineExecution => self.answer::<stop_pipeline_execution::StopPipelineExecution>(body).await,
            Name::TagResource => self.answer::<tag_resource::TagResource>(body).await,
            Name::UntagResource => self.answer::<untag_resource::UntagResource>(body).await,
            Name::UpdateActionType => self.answer::<update_action_type::UpdateActionType>(body).await,
            Name::UpdatePipeline => self.answer::<update_pipeline::UpdatePipeline>(body).await,
        }
    }

    async fn answer<O: Operation>(&self, body: &[u8]) -> Result<Response<Bytes>, WireError> {
        let input = json::decode::<O::Input>(body)?;
        self.allow::<O>(&input).await?;
        // Boxed: every caller's future would hold the largest of all operations otherwise.
        let output = Box::pin(O::run(self, input)).await?;
        if O::EMPTY {
            return Ok(json::respond_empty(&self.request.request_id));
        }
        json::respond(&output, &self.request.request_id).map_err(|error| {
            tracing::error!(%error, operation = O::NAME.name(), "an answer could not be encoded");
            WireError::internal(Dialect::Json)
        })
    }

    /// A declaration as it may be shown.
    async fn shown(&self, declaration: &PipelineDeclaration) -> Result<shape::PipelineDeclaration, WireError> {
        let types = self.orchestrator.types_for(self.scope(), [declaration]).await.map_err(errors::wire)?;
        convert::shown(declaration, &types)
    }

    fn scope(&self) -> &Scope {
        &self.request.scope
    }

    fn caller(&self) -> String {
        self.request.principal.arn.clone()
    }
}
