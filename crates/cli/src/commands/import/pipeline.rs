//! Pipelines, their tags and the transitions that a template wants closed.

use serde_json::{Value as Json, json};
use towpath_model::declaration::PipelineDeclaration;

use super::work::{Call, Work};
use crate::flow::prepare::same;
use crate::host::{ApiError, Target};
use crate::template::Planned;

pub async fn look(target: &dyn Target, item: &Planned, region: &str) -> Result<Work, ApiError> {
    let body = &item.body;
    let name = body["pipeline"]["name"].as_str().unwrap_or_default();
    let found = match target.call("codepipeline", "GetPipeline", json!({"name": name})).await {
        Ok(found) => found,
        Err(error) if error.code == "PipelineNotFoundException" => {
            let mut input = json!({"pipeline": body["pipeline"]});
            if let Some(tags) = body["tags"].as_array().filter(|t| !t.is_empty()) {
                input["tags"] = json!(tags);
            }
            let create = Call::codepipeline("CreatePipeline", input);
            return Ok(Work::create(std::iter::once(create).chain(closings(body, name, &Json::Null)).collect()));
        }
        Err(error) => return Err(error),
    };
    let mut calls = Vec::new();
    let read = |value: &Json| serde_json::from_value::<PipelineDeclaration>(value.clone()).ok();
    let (stored, wanted) = (read(&found["pipeline"]), read(&body["pipeline"]));
    let unchanged = stored.zip(wanted).is_some_and(|(stored, wanted)| same(&stored, &wanted, region));
    if !unchanged {
        calls.push(Call::codepipeline("UpdatePipeline", json!({"pipeline": body["pipeline"]})));
        if body["restart"] == true {
            calls.push(Call::codepipeline("StartPipelineExecution", json!({"name": name})));
        }
    }
    if let Some(arn) = found["metadata"]["pipelineArn"].as_str() {
        calls.extend(tags(target, body, arn).await?);
    }
    if body["disabled"].as_array().is_some_and(|d| !d.is_empty()) {
        let state = target.call("codepipeline", "GetPipelineState", json!({"name": name})).await?;
        calls.extend(closings(body, name, &state));
    }
    Ok(Work::existing(calls))
}

/// The calls that close transitions which are open.
fn closings(body: &Json, name: &str, state: &Json) -> Vec<Call> {
    let closed = |stage: &str| {
        let mut states = state["stageStates"].as_array().into_iter().flatten();
        states.any(|s| s["stageName"] == stage && s["inboundTransitionState"]["enabled"] == false)
    };
    let wanted = body["disabled"].as_array().into_iter().flatten();
    wanted
        .filter(|transition| !closed(transition["stageName"].as_str().unwrap_or_default()))
        .map(|transition| {
            Call::codepipeline(
                "DisableStageTransition",
                json!({
                    "pipelineName": name,
                    "stageName": transition["stageName"],
                    "transitionType": "Inbound",
                    "reason": transition["reason"],
                }),
            )
        })
        .collect()
}

/// The calls that make the tags those of the template; AWS's own stay.
pub async fn tags(target: &dyn Target, body: &Json, arn: &str) -> Result<Vec<Call>, ApiError> {
    let answer = match target.call("codepipeline", "ListTagsForResource", json!({"resourceArn": arn})).await {
        Ok(answer) => answer,
        Err(error) => return Err(error),
    };
    let stored = answer["tags"].as_array().cloned().unwrap_or_default();
    let wanted = body["tags"].as_array().cloned().unwrap_or_default();
    let new: Vec<&Json> = wanted.iter().filter(|tag| !stored.contains(tag)).collect();
    let gone: Vec<&Json> = stored
        .iter()
        .map(|tag| &tag["key"])
        .filter(|key| !wanted.iter().any(|tag| tag["key"] == **key))
        .filter(|key| !key.as_str().is_some_and(|k| k.starts_with("aws:")))
        .collect();
    let mut calls = Vec::new();
    if !new.is_empty() {
        calls.push(Call::codepipeline("TagResource", json!({"resourceArn": arn, "tags": new})));
    }
    if !gone.is_empty() {
        calls.push(Call::codepipeline("UntagResource", json!({"resourceArn": arn, "tagKeys": gone})));
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_open_transitions_are_closed() {
        let body = json!({"disabled": [{"stageName": "A", "reason": "r"}, {"stageName": "B", "reason": "r"}]});
        let state = json!({"stageStates": [
            {"stageName": "A", "inboundTransitionState": {"enabled": false}},
            {"stageName": "B", "inboundTransitionState": {"enabled": true}},
        ]});
        let calls = closings(&body, "p", &state);
        assert_eq!(calls.len(), 1);
        let Call::Service { input, .. } = &calls[0] else { panic!("a call") };
        assert_eq!(input["stageName"], "B");
    }
}
