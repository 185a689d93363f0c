//! Reading: the API's lists page by page, each with a bound.

use serde_json::{Value as Json, json};

use super::{Remote, shape};
use crate::errors::ExpectedError;
use crate::limits;

/// All items of a list, or as many as asked for.
async fn pages(
    remote: &Remote<'_>,
    doing: &str,
    pipeline: Option<&str>,
    operation: &str,
    (mut input, items): (Json, &str),
    most: usize,
) -> Result<Vec<Json>, ExpectedError> {
    let mut read = Vec::new();
    loop {
        let page = (most - read.len()).min(limits::PAGE_ITEMS);
        input["maxResults"] = json!(page);
        let mut answer = remote.call(doing, pipeline, operation, input.clone()).await?;
        if let Json::Array(mut found) = answer[items].take() {
            read.append(&mut found);
        }
        let next = answer["nextToken"].take();
        if next.is_null() || read.len() >= most {
            read.truncate(most);
            return Ok(read);
        }
        input["nextToken"] = next;
    }
}

pub async fn pipelines(remote: &Remote<'_>) -> Result<Vec<Json>, ExpectedError> {
    pages(remote, "list the pipelines", None, "ListPipelines", (json!({}), "pipelines"), limits::PIPELINES_LISTED).await
}

/// Executions, the newest first.
pub async fn executions(remote: &Remote<'_>, pipeline: &str, most: usize) -> Result<Vec<Json>, ExpectedError> {
    let doing = format!("list the executions of `{pipeline}`");
    let input = json!({"pipelineName": pipeline});
    pages(remote, &doing, Some(pipeline), "ListPipelineExecutions", (input, "pipelineExecutionSummaries"), most).await
}

/// Executions that succeeded in a stage, the newest first.
pub async fn succeeded_in(remote: &Remote<'_>, pipeline: &str, stage: &str) -> Result<Vec<Json>, ExpectedError> {
    let doing = format!("list the executions of `{pipeline}` that succeeded in {stage}");
    let input = json!({"pipelineName": pipeline, "filter": {"succeededInStage": {"stageName": stage}}});
    let items = (input, "pipelineExecutionSummaries");
    pages(remote, &doing, Some(pipeline), "ListPipelineExecutions", items, limits::PAGE_ITEMS).await
}

pub async fn state(remote: &Remote<'_>, pipeline: &str) -> Result<Json, ExpectedError> {
    let doing = format!("read the state of `{pipeline}`");
    remote.call(&doing, Some(pipeline), "GetPipelineState", json!({"name": pipeline})).await
}

pub async fn declaration(remote: &Remote<'_>, pipeline: &str) -> Result<Json, ExpectedError> {
    let doing = format!("read the pipeline `{pipeline}`");
    let mut answer = remote.call(&doing, Some(pipeline), "GetPipeline", json!({"name": pipeline})).await?;
    Ok(answer["pipeline"].take())
}

/// Action executions, the newest first: of one execution, or the latest of all.
pub async fn actions(remote: &Remote<'_>, pipeline: &str, execution: Option<&str>) -> Result<Vec<Json>, ExpectedError> {
    let (input, most) = filtered(pipeline, execution);
    let doing = format!("list the action executions of `{pipeline}`");
    let items = (input, "actionExecutionDetails");
    pages(remote, &doing, Some(pipeline), "ListActionExecutions", items, most).await
}

/// Rule executions, the newest first.
pub async fn rules(remote: &Remote<'_>, pipeline: &str, execution: Option<&str>) -> Result<Vec<Json>, ExpectedError> {
    let (input, most) = filtered(pipeline, execution);
    let doing = format!("list the rule executions of `{pipeline}`");
    pages(remote, &doing, Some(pipeline), "ListRuleExecutions", (input, "ruleExecutionDetails"), most).await
}

fn filtered(pipeline: &str, execution: Option<&str>) -> (Json, usize) {
    match execution {
        Some(id) => {
            (json!({"pipelineName": pipeline, "filter": {"pipelineExecutionId": id}}), limits::ACTIONS_OF_ONE_EXECUTION)
        }
        None => (json!({"pipelineName": pipeline}), limits::PAGE_ITEMS),
    }
}

/// One execution's summary. An old one is found by its own operation, which tells a little less.
pub async fn execution(remote: &Remote<'_>, pipeline: &str, id: &str) -> Result<Json, ExpectedError> {
    let newest = executions(remote, pipeline, limits::PAGE_ITEMS).await?;
    if let Some(found) = newest.into_iter().find(|e| e["pipelineExecutionId"] == id) {
        return Ok(found);
    }
    let doing = format!("read the execution {id}");
    let input = json!({"pipelineName": pipeline, "pipelineExecutionId": id});
    let mut answer = remote.call(&doing, Some(pipeline), "GetPipelineExecution", input).await?;
    Ok(answer["pipelineExecution"].take())
}

/// An execution that has not ended.
pub fn is_active(execution: &Json) -> bool {
    matches!(shape::text(execution, "status"), Some("InProgress" | "Stopping"))
}
