//! UntagResource. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_UntagResource.html

use towpath_orchestrator::TagChange;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{Operation as Name, UntagResourceInput, UntagResourceOutput};

use super::{Call, Operation, Resource, Tagging, errors, tags};

pub struct UntagResource;

impl Operation for UntagResource {
    type Input = UntagResourceInput;
    type Output = UntagResourceOutput;
    const NAME: Name = Name::UntagResource;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Named(input.resource_arn.clone())
    }

    fn tagging(input: &Self::Input) -> Tagging {
        Tagging::Takes(input.tag_keys.clone())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        input.tag_keys.iter().try_for_each(|key| tags::check_key(key))?;
        let change = TagChange::Remove(input.tag_keys);
        call.orchestrator.change_tags(call.scope(), &input.resource_arn, change).await.map_err(errors::wire)?;
        Ok(UntagResourceOutput {})
    }
}
