//! EnableStageTransition. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_EnableStageTransition.html

use towpath_wire::WireError;
use towpath_wire::codepipeline::{EnableStageTransitionInput, Operation as Name};

use super::{Call, Operation, Resource, convert, errors};

pub struct EnableStageTransition;

impl Operation for EnableStageTransition {
    type Input = EnableStageTransitionInput;
    type Output = ();
    const NAME: Name = Name::EnableStageTransition;
    const EMPTY: bool = true;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Stage(input.pipeline_name.clone(), input.stage_name.clone())
    }

    fn alternative(input: &Self::Input) -> Option<Resource> {
        Some(Resource::Pipeline(input.pipeline_name.clone()))
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let transition = convert::transition(&input.transition_type);
        call.orchestrator
            .change_transition(call.scope(), &input.pipeline_name, &input.stage_name, transition, None, call.caller())
            .await
            .map_err(errors::wire)
    }
}
