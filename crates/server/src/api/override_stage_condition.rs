//! OverrideStageCondition. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_OverrideStageCondition.html

use towpath_model::declaration::ConditionType;
use towpath_model::ids::ExecutionId;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{Operation as Name, OverrideStageConditionInput, condition_type};

use super::{Call, Operation, Resource, errors};

pub struct OverrideStageCondition;

impl Operation for OverrideStageCondition {
    type Input = OverrideStageConditionInput;
    type Output = ();
    const NAME: Name = Name::OverrideStageCondition;
    const EMPTY: bool = true;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Stage(input.pipeline_name.clone(), input.stage_name.clone())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let id = ExecutionId::new(input.pipeline_execution_id);
        let gate = if input.condition_type == condition_type::ON_SUCCESS {
            ConditionType::OnSuccess
        } else {
            ConditionType::BeforeEntry
        };
        call.orchestrator
            .override_condition(call.scope(), &input.pipeline_name, &input.stage_name, &id, gate, call.caller())
            .await
            .map_err(errors::wire)
    }
}
