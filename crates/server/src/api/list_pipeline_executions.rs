//! ListPipelineExecutions. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ListPipelineExecutions.html

use towpath_model::state::Execution;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{
    ListPipelineExecutionsInput, ListPipelineExecutionsOutput, Operation as Name, PipelineExecutionSummary,
    StopExecutionTrigger,
};

use super::{Call, Operation, Resource, convert, errors};

pub struct ListPipelineExecutions;

impl Operation for ListPipelineExecutions {
    type Input = ListPipelineExecutionsInput;
    type Output = ListPipelineExecutionsOutput;
    const NAME: Name = Name::ListPipelineExecutions;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Pipeline(input.pipeline_name.clone())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let stage = input.filter.and_then(|f| f.succeeded_in_stage).and_then(|s| s.stage_name);
        let limit = convert::page_size(input.max_results, 100);
        let page = call
            .orchestrator
            .list_executions(call.scope(), &input.pipeline_name, stage.as_deref(), input.next_token.as_deref(), limit)
            .await
            .map_err(errors::wire)?;
        Ok(ListPipelineExecutionsOutput {
            pipeline_execution_summaries: Some(page.executions.iter().map(summary).collect()),
            next_token: page.next_token,
        })
    }
}

fn summary(execution: &Execution) -> PipelineExecutionSummary {
    let (execution_type, rollback_metadata) = convert::rollback(execution);
    PipelineExecutionSummary {
        pipeline_execution_id: Some(execution.id.to_string()),
        status: Some(execution.status.as_str().to_owned()),
        status_summary: execution.status_summary.clone(),
        start_time: Some(convert::time(execution.started)),
        last_update_time: Some(convert::time(execution.updated)),
        source_revisions: Some(execution.revisions.iter().map(convert::source_revision).collect()),
        trigger: Some(convert::trigger(execution)),
        stop_trigger: execution.stop.as_ref().map(|stop| StopExecutionTrigger { reason: stop.reason.clone() }),
        execution_mode: Some(execution.mode.as_str().to_owned()),
        execution_type,
        rollback_metadata,
    }
}
