//! UpdateActionType. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_UpdateActionType.html

use towpath_wire::WireError;
use towpath_wire::codepipeline::{Operation as Name, UpdateActionTypeInput};

use super::{Call, Operation, Resource, errors, get_action_type};

pub struct UpdateActionType;

impl Operation for UpdateActionType {
    type Input = UpdateActionTypeInput;
    type Output = ();
    const NAME: Name = Name::UpdateActionType;
    const EMPTY: bool = true;

    fn resource(input: &Self::Input) -> Resource {
        let id = input.action_type.id.clone();
        Resource::ActionType(id.owner, id.category, id.provider, id.version)
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let partner = get_action_type::partner(input.action_type)?;
        call.orchestrator.update_action_type(call.scope(), partner).await.map_err(errors::wire)
    }
}
