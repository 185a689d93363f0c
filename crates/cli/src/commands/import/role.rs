//! Roles with their inline policies, and policies that are put to roles. What a role has beside what the template says is
//! left alone: another stack may have put it there.

use serde_json::{Value as Json, json};

use super::work::{Call, Work, document, same_document, without};
use crate::host::{ApiError, Target};
use crate::template::{Kind, Plan, Planned};

/// IAM's own: an hour.
const SESSION_SECONDS: u64 = 3600;

pub fn is_missing(error: &ApiError) -> bool {
    error.code == "NoSuchEntity" || error.code == "NoSuchEntityException"
}

pub async fn look(target: &dyn Target, plan: &Plan, item: &Planned) -> Result<Work, ApiError> {
    let (body, name) = (&item.body, item.name.as_str());
    let trust = body["AssumeRolePolicyDocument"].to_string();
    let found = match target.call("iam", "GetRole", json!({"RoleName": name})).await {
        Ok(found) => Some(found["Role"].clone()),
        Err(error) if is_missing(&error) => None,
        Err(error) => return Err(error),
    };
    let mut calls = Vec::new();
    match &found {
        None => {
            let mut create = without(body, &["Policies", "ManagedPolicyArns"]);
            create["AssumeRolePolicyDocument"] = json!(trust);
            calls.push(Call::iam("CreateRole", create));
        }
        Some(role) => calls.extend(changes(role, body, name, &trust)),
    }
    for policy in body["Policies"].as_array().into_iter().flatten() {
        let policy_name = policy["PolicyName"].as_str().unwrap_or_default();
        calls.extend(put(target, found.is_some(), name, policy_name, &policy["PolicyDocument"]).await?);
    }
    let mut arns = Vec::new();
    let mut notes = Vec::new();
    for arn in body["ManagedPolicyArns"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        if is_known(target, arn).await? {
            arns.push(arn);
        } else {
            notes.push(format!(
                "{arn} is not attached: the server has no such policy of AWS; write out what is needed of it"
            ));
        }
    }
    calls.extend(attach(target, found.is_some(), name, &arns).await?);
    let Some(role) = found else { return Ok(Work { notes, ..Work::create(calls) }) };
    let mut work = Work { notes, ..Work::existing(calls) };
    let path = body["Path"].as_str().unwrap_or("/");
    if role["Path"].as_str().is_some_and(|p| p != path) {
        work.notes.push(format!("its path stays {}: IAM cannot change it", role["Path"].as_str().unwrap_or("/")));
    }
    work.notes.extend(others(target, plan, item).await?);
    Ok(work)
}

/// Whether a policy can be attached. Of AWS's own there are more than a server may know.
async fn is_known(target: &dyn Target, arn: &str) -> Result<bool, ApiError> {
    if !arn.contains(":iam::aws:policy/") {
        return Ok(true);
    }
    match target.call("iam", "GetPolicy", json!({"PolicyArn": arn})).await {
        Ok(_) => Ok(true),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the role itself says differently.
fn changes(role: &Json, body: &Json, name: &str, trust: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    if !same_document(&document(&role["AssumeRolePolicyDocument"]), &body["AssumeRolePolicyDocument"]) {
        let input = json!({"RoleName": name, "PolicyDocument": trust});
        calls.push(Call::iam("UpdateAssumeRolePolicy", input));
    }
    let description = body["Description"].as_str().unwrap_or_default();
    let seconds = body["MaxSessionDuration"].as_u64().unwrap_or(SESSION_SECONDS);
    let stored = role["MaxSessionDuration"].as_str().and_then(|s| s.parse().ok()).unwrap_or(SESSION_SECONDS);
    if role["Description"].as_str().unwrap_or_default() != description || stored != seconds {
        let input = json!({"RoleName": name, "Description": description, "MaxSessionDuration": seconds});
        calls.push(Call::iam("UpdateRole", input));
    }
    let boundary = role["PermissionsBoundary"]["PermissionsBoundaryArn"].as_str();
    match (body["PermissionsBoundary"].as_str(), boundary) {
        (Some(wanted), stored) if stored != Some(wanted) => {
            let input = json!({"RoleName": name, "PermissionsBoundary": wanted});
            calls.push(Call::iam("PutRolePermissionsBoundary", input));
        }
        (None, Some(_)) => calls.push(Call::iam("DeleteRolePermissionsBoundary", json!({"RoleName": name}))),
        _ => {}
    }
    let stored = role["Tags"].as_array().cloned().unwrap_or_default();
    let wanted = body["Tags"].as_array().into_iter().flatten();
    let tags: Vec<Json> = wanted.filter(|tag| !stored.contains(tag)).cloned().collect();
    if !tags.is_empty() {
        calls.push(Call::iam("TagRole", json!({"RoleName": name, "Tags": tags})));
    }
    calls
}

/// The call that puts an inline policy, unless the role has it.
async fn put(
    target: &dyn Target,
    there: bool,
    role: &str,
    policy: &str,
    wanted: &Json,
) -> Result<Option<Call>, ApiError> {
    if there {
        let asked = json!({"RoleName": role, "PolicyName": policy});
        match target.call("iam", "GetRolePolicy", asked).await {
            Ok(stored) if same_document(&document(&stored["PolicyDocument"]), wanted) => return Ok(None),
            Ok(_) => {}
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let input = json!({"RoleName": role, "PolicyName": policy, "PolicyDocument": wanted.to_string()});
    Ok(Some(Call::iam("PutRolePolicy", input)))
}

/// The calls that attach managed policies which are not attached.
pub async fn attach(target: &dyn Target, there: bool, role: &str, arns: &[&str]) -> Result<Vec<Call>, ApiError> {
    if arns.is_empty() {
        return Ok(Vec::new());
    }
    let attached = if there {
        match target.call("iam", "ListAttachedRolePolicies", json!({"RoleName": role})).await {
            Ok(answer) => answer["AttachedPolicies"].as_array().cloned().unwrap_or_default(),
            Err(error) if is_missing(&error) => Vec::new(),
            Err(error) => return Err(error),
        }
    } else {
        Vec::new()
    };
    let missing = arns.iter().filter(|arn| !attached.iter().any(|a| a["PolicyArn"] == **arn));
    Ok(missing.map(|arn| Call::iam("AttachRolePolicy", json!({"RoleName": role, "PolicyArn": arn}))).collect())
}

/// Inline policies that the template does not have.
async fn others(target: &dyn Target, plan: &Plan, item: &Planned) -> Result<Option<String>, ApiError> {
    let answer = target.call("iam", "ListRolePolicies", json!({"RoleName": item.name})).await?;
    let own = item.body["Policies"].as_array().into_iter().flatten();
    let puts = plan.items.iter().filter(|other| other.kind == Kind::Policy).filter(|other| {
        other.body["Roles"].as_array().into_iter().flatten().any(|role| role.as_str() == Some(&item.name))
    });
    let known: Vec<&Json> =
        own.map(|policy| &policy["PolicyName"]).chain(puts.map(|other| &other.body["PolicyName"])).collect();
    let names = answer["PolicyNames"].as_array().into_iter().flatten();
    let others: Vec<&str> = names.filter(|name| !known.contains(name)).filter_map(Json::as_str).collect();
    Ok((!others.is_empty()).then(|| format!("keeps policies that the template does not have: {}", others.join(", "))))
}

pub async fn look_policy(target: &dyn Target, item: &Planned) -> Result<Work, ApiError> {
    let name = item.body["PolicyName"].as_str().unwrap_or_default();
    let mut calls = Vec::new();
    let mut roles = 0;
    for role in item.body["Roles"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        roles += 1;
        calls.extend(put(target, true, role, name, &item.body["PolicyDocument"]).await?);
    }
    // A policy is new where no role has had it under its name.
    let mut new = calls.len() == roles;
    if new {
        for role in item.body["Roles"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            let asked = json!({"RoleName": role, "PolicyName": name});
            new &= target.call("iam", "GetRolePolicy", asked).await.is_err();
        }
    }
    Ok(if new { Work::create(calls) } else { Work::existing(calls) })
}
