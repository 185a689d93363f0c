//! ListDeployActionExecutionTargets. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ListDeployActionExecutionTargets.html

use towpath_orchestrator::CommandError;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{
    ListDeployActionExecutionTargetsInput, ListDeployActionExecutionTargetsOutput, Operation as Name,
};

use super::{Call, Operation, Resource, errors};

pub struct ListDeployActionExecutionTargets;

impl Operation for ListDeployActionExecutionTargets {
    type Input = ListDeployActionExecutionTargetsInput;
    type Output = ListDeployActionExecutionTargetsOutput;
    const NAME: Name = Name::ListDeployActionExecutionTargets;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Pipeline(input.pipeline_name.clone().unwrap_or_else(|| "*".to_owned()))
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        call.orchestrator
            .deploy_action(call.scope(), input.pipeline_name.as_deref(), &input.action_execution_id)
            .await
            .map_err(errors::wire)?;
        if input.next_token.is_some() {
            return Err(errors::wire(CommandError::InvalidNextToken));
        }
        // No provider of this version deploys to targets, so there are none to filter and none to page through.
        Ok(ListDeployActionExecutionTargetsOutput { targets: Some(Vec::new()), next_token: None })
    }
}
