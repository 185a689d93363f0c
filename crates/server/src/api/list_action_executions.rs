//! ListActionExecutions. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ListActionExecutions.html

use towpath_model::action::ArtifactLocation;
use towpath_model::history::ActionRecord;
use towpath_model::ids::ExecutionId;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{
    ActionExecutionDetail, ActionExecutionInput, ActionExecutionOutput, ActionExecutionResult, ArtifactDetail,
    LatestInPipelineExecutionFilter, ListActionExecutionsInput, ListActionExecutionsOutput, Operation as Name,
    S3Location,
};

use super::{Call, Operation, Resource, convert, errors};

pub struct ListActionExecutions;

impl Operation for ListActionExecutions {
    type Input = ListActionExecutionsInput;
    type Output = ListActionExecutionsOutput;
    const NAME: Name = Name::ListActionExecutions;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Pipeline(input.pipeline_name.clone())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let (outer, nested) =
            input.filter.map(|f| (f.pipeline_execution_id, f.latest_in_pipeline_execution)).unwrap_or_default();
        let Some(Selection { execution, latest_only }) = selection(call, &input.pipeline_name, outer, nested).await?
        else {
            return Ok(ListActionExecutionsOutput { action_execution_details: Some(Vec::new()), next_token: None });
        };
        let limit = convert::page_size(input.max_results, 100);
        let page = call
            .orchestrator
            .list_actions(
                call.scope(),
                &input.pipeline_name,
                execution.as_ref(),
                latest_only,
                input.next_token.as_deref(),
                limit,
            )
            .await
            .map_err(errors::wire)?;
        Ok(ListActionExecutionsOutput {
            action_execution_details: Some(page.records.iter().map(detail).collect()),
            next_token: page.next_token,
        })
    }
}

/// Which execution a filter names, and whether only the newest of it is wanted.
pub struct Selection {
    pub execution: Option<ExecutionId>,
    pub latest_only: bool,
}

/// Reads the filter of ListActionExecutions and ListRuleExecutions. The nested selection is intersected with the outer
/// one, whose execution must exist (observed); None: nothing is in both.
pub async fn selection(
    call: &Call,
    pipeline: &str,
    outer: Option<String>,
    nested: Option<LatestInPipelineExecutionFilter>,
) -> Result<Option<Selection>, WireError> {
    let latest_only = nested.as_ref().is_some_and(|n| n.start_time_range == "Latest");
    let nested = nested.map(|n| ExecutionId::new(n.pipeline_execution_id));
    let outer = outer.map(ExecutionId::new);
    if let (Some(outer), Some(nested)) = (&outer, &nested)
        && outer != nested
    {
        call.orchestrator.execution(call.scope(), pipeline, outer).await.map_err(errors::wire)?;
        return Ok(None);
    }
    Ok(Some(Selection { execution: outer.or(nested), latest_only }))
}

fn detail(record: &ActionRecord) -> ActionExecutionDetail {
    let attempt = &record.attempt;
    let invocation = attempt.invocation.as_ref();
    let progress = &attempt.progress;
    let result = ActionExecutionResult {
        external_execution_id: progress.external_id.clone(),
        external_execution_summary: progress.summary.clone(),
        external_execution_url: progress.external_url.clone(),
        error_details: attempt.error.as_ref().map(convert::error_details),
        log_stream_arn: progress.log_stream_arn.clone(),
    };
    ActionExecutionDetail {
        pipeline_execution_id: Some(record.execution.to_string()),
        action_execution_id: Some(attempt.id.to_string()),
        pipeline_version: Some(convert::int(record.pipeline_version)),
        stage_name: Some(record.stage.to_string()),
        action_name: Some(record.action.to_string()),
        start_time: Some(convert::time(attempt.started)),
        last_update_time: Some(convert::time(attempt.last_change)),
        updated_by: attempt.updated_by.clone(),
        status: Some(attempt.status.as_str().to_owned()),
        input: Some(ActionExecutionInput {
            action_type_id: Some(convert::action_type(&record.action_type)),
            configuration: Some(record.configuration.clone()),
            resolved_configuration: Some(record.resolved_configuration.clone()),
            role_arn: record.role_arn.clone(),
            region: Some(record.region.clone()),
            input_artifacts: Some(artifacts(invocation.map(|i| i.input_artifacts.as_slice()))),
            namespace: record.namespace.as_ref().map(ToString::to_string),
        }),
        output: Some(ActionExecutionOutput {
            output_artifacts: Some(artifacts(invocation.map(|i| i.output_artifacts.as_slice()))),
            execution_result: (result != ActionExecutionResult::default()).then_some(result),
            output_variables: Some(attempt.variables.clone()),
        }),
    }
}

pub fn artifacts(locations: Option<&[ArtifactLocation]>) -> Vec<ArtifactDetail> {
    let detail = |location: &ArtifactLocation| ArtifactDetail {
        name: Some(location.name.to_string()),
        s3location: Some(S3Location { bucket: Some(location.bucket.clone()), key: Some(location.key.clone()) }),
    };
    locations.unwrap_or_default().iter().map(detail).collect()
}
