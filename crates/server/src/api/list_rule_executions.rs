//! ListRuleExecutions. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ListRuleExecutions.html

use towpath_model::history::ActionRecord;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{
    ListRuleExecutionsInput, ListRuleExecutionsOutput, Operation as Name, RuleExecutionDetail, RuleExecutionInput,
    RuleExecutionOutput, RuleExecutionResult,
};

use super::list_action_executions::{Selection, artifacts, selection};
use super::{Call, Operation, Resource, convert, errors};

pub struct ListRuleExecutions;

impl Operation for ListRuleExecutions {
    type Input = ListRuleExecutionsInput;
    type Output = ListRuleExecutionsOutput;
    const NAME: Name = Name::ListRuleExecutions;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Pipeline(input.pipeline_name.clone())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let (outer, nested) =
            input.filter.map(|f| (f.pipeline_execution_id, f.latest_in_pipeline_execution)).unwrap_or_default();
        let Some(Selection { execution, latest_only }) = selection(call, &input.pipeline_name, outer, nested).await?
        else {
            return Ok(ListRuleExecutionsOutput { rule_execution_details: Some(Vec::new()), next_token: None });
        };
        let page = call
            .orchestrator
            .list_rules(
                call.scope(),
                &input.pipeline_name,
                execution.as_ref(),
                latest_only,
                input.next_token.as_deref(),
                convert::page_size(input.max_results, 100),
            )
            .await
            .map_err(errors::wire)?;
        Ok(ListRuleExecutionsOutput {
            rule_execution_details: Some(page.records.iter().map(detail).collect()),
            next_token: page.next_token,
        })
    }
}

fn detail(record: &ActionRecord) -> RuleExecutionDetail {
    let attempt = &record.attempt;
    let progress = &attempt.progress;
    let result = RuleExecutionResult {
        external_execution_id: progress.external_id.clone(),
        external_execution_summary: progress.summary.clone(),
        external_execution_url: progress.external_url.clone(),
        error_details: attempt.error.as_ref().map(convert::error_details),
    };
    RuleExecutionDetail {
        pipeline_execution_id: Some(record.execution.to_string()),
        rule_execution_id: Some(attempt.id.to_string()),
        pipeline_version: Some(convert::int(record.pipeline_version)),
        stage_name: Some(record.stage.to_string()),
        rule_name: Some(record.action.to_string()),
        start_time: Some(convert::time(attempt.started)),
        last_update_time: Some(convert::time(attempt.last_change)),
        updated_by: attempt.updated_by.clone(),
        status: Some(attempt.status.as_str().to_owned()),
        input: Some(RuleExecutionInput {
            rule_type_id: Some(convert::rule_type(&record.action_type)),
            configuration: Some(record.configuration.clone()),
            resolved_configuration: Some(record.resolved_configuration.clone()),
            role_arn: record.role_arn.clone(),
            region: Some(record.region.clone()),
            input_artifacts: Some(artifacts(attempt.invocation.as_ref().map(|i| i.input_artifacts.as_slice()))),
        }),
        output: Some(RuleExecutionOutput {
            execution_result: (result != RuleExecutionResult::default()).then_some(result),
        }),
    }
}
