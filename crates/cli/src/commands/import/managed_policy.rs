//! Customer managed policies, in versions as IAM keeps them, and their attachments to roles.

use serde_json::{Value as Json, json};

use super::role::{attach, is_missing};
use super::work::{Call, Work, document, same_document, without};
use crate::host::{ApiError, Target};
use crate::template::Planned;

/// IAM keeps five versions of a policy.
const VERSIONS_MAX: usize = 5;

pub async fn look(target: &dyn Target, item: &Planned) -> Result<Work, ApiError> {
    let body = &item.body;
    let roles: Vec<&str> = body["Roles"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    let (name, path) = (item.name.as_str(), body["Path"].as_str().unwrap_or("/"));
    let found = find(target, name, path).await?;
    let text = body["PolicyDocument"].to_string();
    let mut calls = Vec::new();
    let Some(policy) = found else {
        let mut create = without(body, &["Roles"]);
        create["PolicyDocument"] = json!(text);
        calls.push(Call::iam("CreatePolicy", create));
        // Its ARN follows from its name, as the plan's references to it do.
        let arn = item.reference.clone().unwrap_or_default();
        for role in roles {
            calls.push(Call::iam("AttachRolePolicy", json!({"RoleName": role, "PolicyArn": arn})));
        }
        return Ok(Work::create(calls));
    };
    let arn = policy["Arn"].as_str().unwrap_or_default();
    let default = policy["DefaultVersionId"].as_str().unwrap_or_default();
    let stored = target.call("iam", "GetPolicyVersion", json!({"PolicyArn": arn, "VersionId": default})).await?;
    if !same_document(&document(&stored["PolicyVersion"]["Document"]), &body["PolicyDocument"]) {
        let versions = target.call("iam", "ListPolicyVersions", json!({"PolicyArn": arn})).await?;
        let versions = versions["Versions"].as_array().cloned().unwrap_or_default();
        let old: Vec<&str> =
            versions.iter().filter_map(|v| v["VersionId"].as_str()).filter(|v| *v != default).collect();
        if versions.len() >= VERSIONS_MAX {
            // The oldest makes room; IAM lists the newest first.
            let oldest = old.last().copied().unwrap_or_default();
            calls.push(Call::iam("DeletePolicyVersion", json!({"PolicyArn": arn, "VersionId": oldest})));
        }
        let input = json!({"PolicyArn": arn, "PolicyDocument": text, "SetAsDefault": true});
        calls.push(Call::iam("CreatePolicyVersion", input));
    }
    for role in roles {
        calls.extend(attach(target, true, role, &[arn]).await?);
    }
    Ok(Work::existing(calls))
}

async fn find(target: &dyn Target, name: &str, path: &str) -> Result<Option<Json>, ApiError> {
    let mut input = json!({"Scope": "Local", "PathPrefix": path});
    loop {
        let answer = match target.call("iam", "ListPolicies", input.clone()).await {
            Ok(answer) => answer,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let policies = answer["Policies"].as_array().into_iter().flatten();
        if let Some(found) = policies.into_iter().find(|p| p["PolicyName"] == name) {
            return Ok(Some(found.clone()));
        }
        match answer["Marker"].as_str().filter(|_| answer["IsTruncated"] == "true") {
            Some(marker) => input["Marker"] = json!(marker),
            None => return Ok(None),
        }
    }
}
