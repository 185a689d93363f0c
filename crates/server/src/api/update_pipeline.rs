//! UpdatePipeline. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_UpdatePipeline.html

use towpath_wire::WireError;
use towpath_wire::codepipeline::{Operation as Name, UpdatePipelineInput, UpdatePipelineOutput};

use super::{Call, Operation, Resource, convert, errors};

pub struct UpdatePipeline;

impl Operation for UpdatePipeline {
    type Input = UpdatePipelineInput;
    type Output = UpdatePipelineOutput;
    const NAME: Name = Name::UpdatePipeline;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Pipeline(input.pipeline.name.clone())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let declaration = convert::declaration(&input.pipeline)?;
        call.allow_pass_roles(&declaration).await?;
        let updated = call.orchestrator.update_pipeline(call.scope(), declaration).await.map_err(errors::wire)?;
        Ok(UpdatePipelineOutput { pipeline: Some(call.shown(&updated).await?) })
    }
}
