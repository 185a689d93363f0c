//! ListDeployActionExecutionTargets. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ListDeployActionExecutionTargets.html

use towpath_wire::WireError;
use towpath_wire::codepipeline::{
    DeployActionExecutionTarget, DeployTargetEvent, DeployTargetEventContext, ListDeployActionExecutionTargetsInput,
    ListDeployActionExecutionTargetsOutput, Operation as Name,
};

use super::{Call, Operation, Resource, convert, errors};

pub struct ListDeployActionExecutionTargets;

impl Operation for ListDeployActionExecutionTargets {
    type Input = ListDeployActionExecutionTargetsInput;
    type Output = ListDeployActionExecutionTargetsOutput;
    const NAME: Name = Name::ListDeployActionExecutionTargets;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Pipeline(input.pipeline_name.clone().unwrap_or_else(|| "*".to_owned()))
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        // TARGET_STATUS is the only filter that the model has.
        let filters = input.filters.unwrap_or_default().into_iter().map(|filter| filter.values.unwrap_or_default());
        let filters: Vec<Vec<String>> = filters.collect();
        let place = (convert::page_size(input.max_results, 100), input.next_token.as_deref());
        let page = call
            .orchestrator
            .deploy_targets(call.scope(), input.pipeline_name.as_deref(), &input.action_execution_id, &filters, place)
            .await
            .map_err(errors::wire)?;
        let targets = page.targets.into_iter().map(|target| DeployActionExecutionTarget {
            target_id: Some(target.id),
            target_type: Some(target.kind),
            status: Some(target.status.to_owned()),
            start_time: target.started.map(convert::time),
            end_time: target.ended.map(convert::time),
            events: Some(
                target
                    .events
                    .into_iter()
                    .map(|event| DeployTargetEvent {
                        name: Some(event.name.to_owned()),
                        status: Some(event.status.to_owned()),
                        start_time: event.started.map(convert::time),
                        end_time: event.ended.map(convert::time),
                        context: (event.command.is_some() || event.message.is_some()).then_some(
                            DeployTargetEventContext { ssm_command_id: event.command, message: event.message },
                        ),
                    })
                    .collect(),
            ),
        });
        Ok(ListDeployActionExecutionTargetsOutput { targets: Some(targets.collect()), next_token: page.next_token })
    }
}
