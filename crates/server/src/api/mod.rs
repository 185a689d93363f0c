//! CodePipeline's API: one file per operation, each a thin turn from a checked request into an orchestrator call.
//! Decoding, authorisation and encoding happen once, here; no operation can forget them.

mod convert;
mod create_pipeline;
mod delete_pipeline;
mod disable_stage_transition;
mod enable_stage_transition;
mod errors;
mod get_pipeline;
mod get_pipeline_execution;
mod get_pipeline_state;
mod list_action_executions;
mod list_action_types;
mod list_pipeline_executions;
mod list_pipelines;
mod put_approval_result;
mod retry_stage_execution;
mod start_pipeline_execution;
mod stop_pipeline_execution;
mod tags;
mod update_pipeline;

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use serde::Serialize;
use towpath_model::arn;
use towpath_model::declaration::PipelineDeclaration;
use towpath_model::ids::Scope;
use towpath_orchestrator::Orchestrator;
use towpath_services::call::Call as Request;
use towpath_services::identity::{CODEPIPELINE_PRINCIPAL, Identity, Refusal};
use towpath_wire::codepipeline::Operation as Name;
use towpath_wire::schema::Input;
use towpath_wire::{Dialect, WireError, json};

pub use errors::violation as violation_code;

/// One authenticated request to CodePipeline.
pub struct Call {
    pub orchestrator: Arc<Orchestrator>,
    pub identity: Arc<Identity>,
    pub request: Request,
}

/// What an operation is about, for the policy decision.
pub enum Resource {
    Any,
    Pipeline(String),
    Stage(String, String),
    Action(String, String, String),
}

/// One operation of the API.
trait Operation {
    type Input: Input + Send;
    type Output: Serialize;
    const NAME: Name;
    /// The operation has no output shape: its answer is an empty body.
    const EMPTY: bool = false;

    fn resource(input: &Self::Input) -> Resource;

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

    async fn dispatch(&self, operation: &str, body: &[u8]) -> Result<Response<Bytes>, WireError> {
        let Some(name) = Name::from_name(operation) else { return Err(WireError::unknown_operation()) };
        match name {
            Name::CreatePipeline => self.answer::<create_pipeline::CreatePipeline>(body).await,
            Name::DeletePipeline => self.answer::<delete_pipeline::DeletePipeline>(body).await,
            Name::DisableStageTransition => self.answer::<disable_stage_transition::DisableStageTransition>(body).await,
            Name::EnableStageTransition => self.answer::<enable_stage_transition::EnableStageTransition>(body).await,
            Name::GetPipeline => self.answer::<get_pipeline::GetPipeline>(body).await,
            Name::GetPipelineExecution => self.answer::<get_pipeline_execution::GetPipelineExecution>(body).await,
            Name::GetPipelineState => self.answer::<get_pipeline_state::GetPipelineState>(body).await,
            Name::ListActionExecutions => self.answer::<list_action_executions::ListActionExecutions>(body).await,
            Name::ListActionTypes => self.answer::<list_action_types::ListActionTypes>(body).await,
            Name::ListPipelineExecutions => self.answer::<list_pipeline_executions::ListPipelineExecutions>(body).await,
            Name::ListPipelines => self.answer::<list_pipelines::ListPipelines>(body).await,
            Name::PutApprovalResult => self.answer::<put_approval_result::PutApprovalResult>(body).await,
            Name::RetryStageExecution => self.answer::<retry_stage_execution::RetryStageExecution>(body).await,
            Name::StartPipelineExecution => self.answer::<start_pipeline_execution::StartPipelineExecution>(body).await,
            Name::StopPipelineExecution => self.answer::<stop_pipeline_execution::StopPipelineExecution>(body).await,
            Name::UpdatePipeline => self.answer::<update_pipeline::UpdatePipeline>(body).await,
            later => Err(not_here_yet(later)),
        }
    }

    async fn answer<O: Operation>(&self, body: &[u8]) -> Result<Response<Bytes>, WireError> {
        let input = json::decode::<O::Input>(body)?;
        self.allow(O::NAME, &O::resource(&input)).await?;
        let output = O::run(self, input).await?;
        if O::EMPTY {
            return Ok(json::respond_empty(&self.request.request_id));
        }
        json::respond(&output, &self.request.request_id).map_err(|error| {
            tracing::error!(%error, operation = O::NAME.name(), "an answer could not be encoded");
            WireError::internal(Dialect::Json)
        })
    }

    /// IAM's decision, before anything of the pipeline is looked at.
    async fn allow(&self, operation: Name, resource: &Resource) -> Result<(), WireError> {
        let action = format!("codepipeline:{}", operation.name());
        let arn = match resource {
            Resource::Any => "*".to_owned(),
            Resource::Pipeline(name) => arn::pipeline(self.scope(), name),
            Resource::Stage(name, stage) => arn::stage(self.scope(), name, stage),
            Resource::Action(name, stage, action) => arn::action(self.scope(), name, stage, action),
        };
        self.identity.authorize(&self.request.principal, &action, &arn, self.request.context()).await.map_err(refused)
    }

    /// `iam:PassRole` on every role that a declaration hands to CodePipeline.
    async fn allow_pass_roles(&self, declaration: &PipelineDeclaration) -> Result<(), WireError> {
        let actions = declaration.stages.iter().flat_map(|s| &s.actions).filter_map(|a| a.role_arn.as_deref());
        for role in std::iter::once(declaration.role_arn.as_str()).chain(actions) {
            let context = self.request.context();
            self.identity
                .authorize_pass_role(&self.request.principal, role, CODEPIPELINE_PRINCIPAL, context)
                .await
                .map_err(refused)?;
        }
        Ok(())
    }

    fn scope(&self) -> &Scope {
        &self.request.scope
    }

    fn caller(&self) -> String {
        self.request.principal.arn.clone()
    }
}

fn refused(refusal: Refusal) -> WireError {
    match refusal {
        Refusal::Denied(denied) => WireError::access_denied(Dialect::Json, denied.to_string()),
        Refusal::Unavailable(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "permissions could not be looked up");
            WireError::internal(Dialect::Json)
        }
    }
}

/// An operation of the model that has no room here yet. Honest, and listed in docs/deviations.md.
fn not_here_yet(operation: Name) -> WireError {
    WireError::new(
        "UnknownOperationException",
        400,
        format!(
            "{} is not in this version of Towpath yet. docs/deviations.md lists the operations that are.",
            operation.name()
        ),
    )
}
