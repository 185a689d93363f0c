//! DeleteCustomActionType. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_DeleteCustomActionType.html

use towpath_model::catalogue::{ActionTypeId, Owner};
use towpath_wire::WireError;
use towpath_wire::codepipeline::{DeleteCustomActionTypeInput, Operation as Name};

use super::{Call, Operation, Resource, convert, errors};

pub struct DeleteCustomActionType;

impl Operation for DeleteCustomActionType {
    type Input = DeleteCustomActionTypeInput;
    type Output = ();
    const NAME: Name = Name::DeleteCustomActionType;
    const EMPTY: bool = true;

    fn resource(input: &Self::Input) -> Resource {
        Resource::custom_type(&input.category, &input.provider, &input.version)
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let id = ActionTypeId {
            category: convert::category(&input.category)?,
            owner: Owner::Custom,
            provider: input.provider,
            version: input.version,
        };
        call.orchestrator.delete_action_type(call.scope(), &id).await.map_err(errors::wire)
    }
}
