//! StartPipelineExecution. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_StartPipelineExecution.html

use towpath_model::action::SourceRevisionOverride;
use towpath_model::state::Trigger;
use towpath_orchestrator::StartRequest;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{Operation as Name, StartPipelineExecutionInput, StartPipelineExecutionOutput};

use super::{Call, Operation, Resource, errors};

pub struct StartPipelineExecution;

impl Operation for StartPipelineExecution {
    type Input = StartPipelineExecutionInput;
    type Output = StartPipelineExecutionOutput;
    const NAME: Name = Name::StartPipelineExecution;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Pipeline(input.name.clone())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let request = StartRequest {
            trigger: Trigger { kind: "StartPipelineExecution".to_owned(), detail: call.caller() },
            variables: input.variables.into_iter().flatten().map(|v| (v.name, v.value)).collect(),
            source_overrides: input
                .source_revisions
                .into_iter()
                .flatten()
                .map(|r| SourceRevisionOverride {
                    action_name: r.action_name.into(),
                    revision_type: r.revision_type,
                    revision_value: r.revision_value,
                })
                .collect(),
            client_request_token: input.client_request_token,
        };
        let id = call.orchestrator.start_execution(call.scope(), &input.name, request).await.map_err(errors::wire)?;
        Ok(StartPipelineExecutionOutput { pipeline_execution_id: Some(id.into_string()) })
    }
}
