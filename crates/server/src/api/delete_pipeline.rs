//! DeletePipeline. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_DeletePipeline.html

use towpath_wire::WireError;
use towpath_wire::codepipeline::{DeletePipelineInput, Operation as Name};

use super::{Call, Operation, Resource, errors};

pub struct DeletePipeline;

impl Operation for DeletePipeline {
    type Input = DeletePipelineInput;
    type Output = ();
    const NAME: Name = Name::DeletePipeline;
    const EMPTY: bool = true;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Pipeline(input.name.clone())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        call.orchestrator.delete_pipeline(call.scope(), &input.name).await.map_err(errors::wire)
    }
}
