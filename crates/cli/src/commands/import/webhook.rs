//! Webhooks of pipelines.

use serde_json::{Value as Json, json};

use super::pipeline::tags;
use super::work::{Call, Work};
use crate::host::{ApiError, Target};
use crate::template::Planned;

pub async fn look(target: &dyn Target, item: &Planned) -> Result<Work, ApiError> {
    let body = &item.body;
    let name = body["webhook"]["name"].as_str().unwrap_or_default();
    let found = find(target, name).await?;
    let mut put = json!({"webhook": body["webhook"]});
    if let Some(tags) = body["tags"].as_array().filter(|t| !t.is_empty() && found.is_none()) {
        put["tags"] = json!(tags);
    }
    let mut calls = Vec::new();
    // A secret is never told, so that it cannot be compared: it is put again.
    let secret = body["webhook"]["authenticationConfiguration"]["SecretToken"].is_string();
    if secret || found.as_ref().is_none_or(|f| f["definition"] != body["webhook"]) {
        calls.push(Call::codepipeline("PutWebhook", put));
    }
    if body["register"] == true && found.is_none() {
        calls.push(Call::codepipeline("RegisterWebhookWithThirdParty", json!({"webhookName": name})));
    }
    let Some(found) = found else { return Ok(Work::create(calls)) };
    if let Some(arn) = found["arn"].as_str() {
        calls.extend(tags(target, body, arn).await?);
    }
    Ok(Work::existing(calls))
}

async fn find(target: &dyn Target, name: &str) -> Result<Option<Json>, ApiError> {
    let mut input = json!({});
    loop {
        let answer = target.call("codepipeline", "ListWebhooks", input.clone()).await?;
        let mut webhooks = answer["webhooks"].as_array().into_iter().flatten();
        if let Some(found) = webhooks.find(|w| w["definition"]["name"] == name) {
            return Ok(Some(found.clone()));
        }
        match answer["NextToken"].as_str() {
            Some(token) => input["NextToken"] = json!(token),
            None => return Ok(None),
        }
    }
}
