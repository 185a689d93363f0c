//! ListTagsForResource. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ListTagsForResource.html

use towpath_orchestrator::CommandError;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{ListTagsForResourceInput, ListTagsForResourceOutput, Operation as Name};

use super::{Call, Operation, Resource, errors, tags};

pub struct ListTagsForResource;

impl Operation for ListTagsForResource {
    type Input = ListTagsForResourceInput;
    type Output = ListTagsForResourceOutput;
    const NAME: Name = Name::ListTagsForResource;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Named(input.resource_arn.clone())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let found = call.orchestrator.tags(call.scope(), &input.resource_arn).await.map_err(errors::wire)?;
        if input.next_token.is_some() {
            // All tags are in one answer, as on AWS, so no token was ever given out.
            return Err(errors::wire(CommandError::InvalidNextToken));
        }
        Ok(ListTagsForResourceOutput { tags: Some(tags::shown(found)), next_token: None })
    }
}
