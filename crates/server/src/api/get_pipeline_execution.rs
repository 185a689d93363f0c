//! GetPipelineExecution. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_GetPipelineExecution.html

use towpath_model::ids::ExecutionId;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{
    GetPipelineExecutionInput, GetPipelineExecutionOutput, Operation as Name, PipelineExecution,
    ResolvedPipelineVariable,
};

use super::{Call, Operation, Resource, convert, errors};

pub struct GetPipelineExecution;

impl Operation for GetPipelineExecution {
    type Input = GetPipelineExecutionInput;
    type Output = GetPipelineExecutionOutput;
    const NAME: Name = Name::GetPipelineExecution;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Pipeline(input.pipeline_name.clone())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let id = ExecutionId::new(input.pipeline_execution_id);
        let execution =
            call.orchestrator.execution(call.scope(), &input.pipeline_name, &id).await.map_err(errors::wire)?;
        let (execution_type, rollback_metadata) = convert::rollback(&execution);
        let variables = execution.variables.as_ref().filter(|v| !v.is_empty()).map(|bound| {
            bound
                .iter()
                .map(|(name, value)| ResolvedPipelineVariable {
                    name: Some(name.clone()),
                    resolved_value: Some(value.clone()),
                })
                .collect()
        });
        Ok(GetPipelineExecutionOutput {
            pipeline_execution: Some(PipelineExecution {
                pipeline_name: Some(execution.pipeline_name.to_string()),
                pipeline_version: Some(convert::int(execution.pipeline_version)),
                pipeline_execution_id: Some(execution.id.to_string()),
                status: Some(execution.status.as_str().to_owned()),
                status_summary: execution.status_summary.clone(),
                artifact_revisions: Some(execution.revisions.iter().map(convert::artifact_revision).collect()),
                variables,
                trigger: Some(convert::trigger(&execution)),
                execution_mode: Some(execution.mode.as_str().to_owned()),
                execution_type,
                rollback_metadata,
            }),
        })
    }
}
