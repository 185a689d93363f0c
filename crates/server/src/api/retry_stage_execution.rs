//! RetryStageExecution. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_RetryStageExecution.html

use towpath_model::declaration::RetryMode;
use towpath_model::ids::ExecutionId;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{Operation as Name, RetryStageExecutionInput, RetryStageExecutionOutput};

use super::{Call, Operation, Resource, errors};

pub struct RetryStageExecution;

impl Operation for RetryStageExecution {
    type Input = RetryStageExecutionInput;
    type Output = RetryStageExecutionOutput;
    const NAME: Name = Name::RetryStageExecution;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Stage(input.pipeline_name.clone(), input.stage_name.clone())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let id = ExecutionId::new(input.pipeline_execution_id);
        let mode = if input.retry_mode == "ALL_ACTIONS" { RetryMode::AllActions } else { RetryMode::FailedActions };
        call.orchestrator
            .retry_stage(call.scope(), &input.pipeline_name, &input.stage_name, &id, mode)
            .await
            .map_err(errors::wire)?;
        Ok(RetryStageExecutionOutput { pipeline_execution_id: Some(id.into_string()) })
    }
}
