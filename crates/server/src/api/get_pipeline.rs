//! GetPipeline. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_GetPipeline.html

use towpath_wire::WireError;
use towpath_wire::codepipeline::{GetPipelineInput, GetPipelineOutput, Operation as Name, PipelineMetadata};

use super::{Call, Operation, Resource, convert, errors};

pub struct GetPipeline;

impl Operation for GetPipeline {
    type Input = GetPipelineInput;
    type Output = GetPipelineOutput;
    const NAME: Name = Name::GetPipeline;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Pipeline(input.name.clone())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let version = input.version.and_then(|v| u32::try_from(v).ok());
        let view = call.orchestrator.pipeline(call.scope(), &input.name, version).await.map_err(errors::wire)?;
        Ok(GetPipelineOutput {
            pipeline: Some(call.shown(&view.declaration).await?),
            metadata: Some(PipelineMetadata {
                pipeline_arn: Some(towpath_model::arn::pipeline(call.scope(), &input.name)),
                created: Some(convert::time(view.created)),
                updated: Some(convert::time(view.updated)),
                polling_disabled_at: None,
            }),
        })
    }
}
