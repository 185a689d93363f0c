//! Custom action types. AWS has no way to change one: what says something else needs another version.

use serde_json::{Value as Json, json};

use super::work::{Call, LookError, Work, without};
use crate::host::Target;
use crate::template::Planned;

pub async fn look(target: &dyn Target, item: &Planned) -> Result<Work, LookError> {
    let wanted = without(&item.body, &["name"]);
    let mut input = json!({"actionOwnerFilter": "Custom"});
    loop {
        let answer = target.call("codepipeline", "ListActionTypes", input.clone()).await?;
        let mut types = answer["actionTypes"].as_array().into_iter().flatten();
        if let Some(found) = types.find(|t| is(&t["id"], &wanted)) {
            return if says(found, &wanted) {
                Ok(Work::existing(Vec::new()))
            } else {
                Err(LookError::ActionTypeChanged(item.name.clone()))
            };
        }
        match answer["nextToken"].as_str() {
            Some(token) => input["nextToken"] = json!(token),
            None => return Ok(Work::create(vec![Call::codepipeline("CreateCustomActionType", wanted)])),
        }
    }
}

fn is(id: &Json, wanted: &Json) -> bool {
    ["category", "provider", "version"].iter().all(|member| id[member] == wanted[member])
}

/// Whether a type says what is wanted; what is left out is as good as its default.
fn says(found: &Json, wanted: &Json) -> bool {
    let plain = |value: &Json| match value {
        Json::Null => json!([]),
        other => other.clone(),
    };
    let properties = |value: &Json| -> Vec<Json> {
        plain(value)
            .as_array()
            .into_iter()
            .flatten()
            .map(|p| {
                let text = |m: &str, d: &str| json!(p[m].as_str().unwrap_or(d));
                let flag = |m: &str| json!(p[m].as_bool().unwrap_or(false));
                json!([
                    p["name"],
                    flag("key"),
                    flag("required"),
                    flag("secret"),
                    flag("queryable"),
                    text("description", ""),
                    text("type", "String")
                ])
            })
            .collect()
    };
    let settings = |value: &Json| -> Vec<Json> {
        ["entityUrlTemplate", "executionUrlTemplate", "revisionUrlTemplate", "thirdPartyConfigurationUrl"]
            .iter()
            .map(|m| json!(value[m].as_str().unwrap_or_default()))
            .collect()
    };
    properties(&found["actionConfigurationProperties"]) == properties(&wanted["configurationProperties"])
        && settings(&found["settings"]) == settings(&wanted["settings"])
        && found["inputArtifactDetails"] == wanted["inputArtifactDetails"]
        && found["outputArtifactDetails"] == wanted["outputArtifactDetails"]
}
