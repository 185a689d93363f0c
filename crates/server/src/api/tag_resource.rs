//! TagResource. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_TagResource.html

use towpath_orchestrator::TagChange;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{Operation as Name, TagResourceInput, TagResourceOutput};

use super::{Call, Operation, Resource, Tagging, errors, tags};

pub struct TagResource;

impl Operation for TagResource {
    type Input = TagResourceInput;
    type Output = TagResourceOutput;
    const NAME: Name = Name::TagResource;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Named(input.resource_arn.clone())
    }

    fn tagging(input: &Self::Input) -> Tagging {
        Tagging::of(Some(&input.tags))
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        tags::check(&input.tags)?;
        let change = TagChange::Set(tags::pairs(input.tags));
        call.orchestrator.change_tags(call.scope(), &input.resource_arn, change).await.map_err(errors::wire)?;
        Ok(TagResourceOutput {})
    }
}
