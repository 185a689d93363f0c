//! StopPipelineExecution. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_StopPipelineExecution.html

use towpath_model::ids::ExecutionId;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{Operation as Name, StopPipelineExecutionInput, StopPipelineExecutionOutput};

use super::{Call, Operation, Resource, errors};

pub struct StopPipelineExecution;

impl Operation for StopPipelineExecution {
    type Input = StopPipelineExecutionInput;
    type Output = StopPipelineExecutionOutput;
    const NAME: Name = Name::StopPipelineExecution;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Pipeline(input.pipeline_name.clone())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let id = ExecutionId::new(input.pipeline_execution_id);
        call.orchestrator
            .stop_execution(
                call.scope(),
                &input.pipeline_name,
                &id,
                input.abandon.unwrap_or(false),
                input.reason,
                call.caller(),
            )
            .await
            .map_err(errors::wire)?;
        Ok(StopPipelineExecutionOutput { pipeline_execution_id: Some(id.into_string()) })
    }
}
