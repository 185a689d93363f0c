//! DisableStageTransition. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_DisableStageTransition.html

use towpath_wire::WireError;
use towpath_wire::codepipeline::{DisableStageTransitionInput, Operation as Name};

use super::{Call, Operation, Resource, convert, errors};

pub struct DisableStageTransition;

impl Operation for DisableStageTransition {
    type Input = DisableStageTransitionInput;
    type Output = ();
    const NAME: Name = Name::DisableStageTransition;
    const EMPTY: bool = true;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Stage(input.pipeline_name.clone(), input.stage_name.clone())
    }

    fn alternative(input: &Self::Input) -> Option<Resource> {
        Some(Resource::Pipeline(input.pipeline_name.clone()))
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let transition = convert::transition(&input.transition_type);
        let reason = Some(input.reason);
        call.orchestrator
            .change_transition(call.scope(), &input.pipeline_name, &input.stage_name, transition, reason, call.caller())
            .await
            .map_err(errors::wire)
    }
}
