//! CreatePipeline. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_CreatePipeline.html

use towpath_orchestrator::NewPipeline;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{CreatePipelineInput, CreatePipelineOutput, Operation as Name};

use super::{Call, Operation, Resource, Tagging, convert, errors};

pub struct CreatePipeline;

impl Operation for CreatePipeline {
    type Input = CreatePipelineInput;
    type Output = CreatePipelineOutput;
    const NAME: Name = Name::CreatePipeline;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Pipeline(input.pipeline.name.clone())
    }

    fn tagging(input: &Self::Input) -> Tagging {
        Tagging::of(input.tags.as_deref())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        super::tags::check(input.tags.as_deref().unwrap_or_default())?;
        let declaration = convert::declaration(&input.pipeline)?;
        call.allow_pass_roles(&declaration).await?;
        let created = call
            .orchestrator
            .create_pipeline(NewPipeline {
                scope: call.scope().clone(),
                declaration,
                tags: input.tags.iter().flatten().map(|tag| (tag.key.clone(), tag.value.clone())).collect(),
                created_by: call.caller(),
            })
            .await
            .map_err(errors::wire)?;
        let pipeline = call.shown(&created.declaration).await?;
        Ok(CreatePipelineOutput { pipeline: Some(pipeline), tags: input.tags })
    }
}
