//! RollbackStage. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_RollbackStage.html

use towpath_model::ids::ExecutionId;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{Operation as Name, RollbackStageInput, RollbackStageOutput};

use super::{Call, Operation, Resource, errors};

pub struct RollbackStage;

impl Operation for RollbackStage {
    type Input = RollbackStageInput;
    type Output = RollbackStageOutput;
    const NAME: Name = Name::RollbackStage;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Stage(input.pipeline_name.clone(), input.stage_name.clone())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let target = ExecutionId::new(input.target_pipeline_execution_id);
        let id = call
            .orchestrator
            .rollback_stage(call.scope(), &input.pipeline_name, &input.stage_name, &target, call.caller())
            .await
            .map_err(errors::wire)?;
        Ok(RollbackStageOutput { pipeline_execution_id: id.into_string() })
    }
}
