//! AddPermission, RemovePermission, GetPolicy: the resource policy of a function, one for each qualifier.

use serde_json::{Map, Value, json};
use towpath_wire::WireError;
use towpath_wire::lambda::{
    AddPermissionRequest, AddPermissionResponse, GetPolicyRequest, GetPolicyResponse, RemovePermissionRequest, SERVICE,
};

use super::Lambda;
use super::errors::{conflict, invalid, not_found, stale};
use super::limits::POLICY_BYTES_MAX;
use super::names::{LATEST, parse};
use super::records::ResourcePolicy;
use crate::call::Call;
use crate::identity::policy::{Kind, Policy};

impl Lambda {
    pub(super) async fn add_permission(
        &self,
        call: &Call,
        input: AddPermissionRequest,
    ) -> Result<AddPermissionResponse, WireError> {
        let scope = &call.scope;
        let reference = parse(call, &input.function_name, input.qualifier.as_deref())?;
        let resource = reference.qualified_arn(scope);
        self.may(call, &resource).await?;
        if reference.qualifier.as_deref() == Some(LATEST) {
            return Err(invalid("We currently do not support adding policies for $LATEST."));
        }
        let function = self.function(scope, &reference).await?;
        self.resolve(scope, &reference, &function).await?;
        let statement = statement(&input, &resource)?;
        let text = statement.to_string();
        // What the evaluation cannot read would shut everybody out.
        let whole = ResourcePolicy { revision: String::new(), statements: vec![statement.clone()] };
        Policy::parse(&whole.document(), Kind::Resource)
            .map_err(|_| invalid("The provided principal was invalid. Please check the principal and try again."))?;
        let qualifier = reference.qualifier.clone().unwrap_or_default();
        let revision = self.ambient.uuid();
        self.change(scope, &reference, |function| {
            let policy = function
                .policies
                .entry(qualifier.clone())
                .or_insert_with(|| ResourcePolicy { revision: String::new(), statements: Vec::new() });
            if input.revision_id.as_ref().is_some_and(|given| *given != policy.revision) {
                return Err(stale("GetPolicy"));
            }
            if policy.statements.iter().any(|known| known["Sid"] == input.statement_id.as_str()) {
                return Err(conflict(format!(
                    "The statement id ({}) provided already exists. Please provide a new statement id, or remove the \
                     existing statement.",
                    input.statement_id
                )));
            }
            policy.statements.push(statement.clone());
            policy.revision.clone_from(&revision);
            if policy.document().len() > POLICY_BYTES_MAX {
                let message = format!("The final policy size is bigger than the limit ({POLICY_BYTES_MAX}).");
                return Err(WireError::modeled(&SERVICE, "PolicyLengthExceededException", message));
            }
            Ok(())
        })
        .await?;
        Ok(AddPermissionResponse { statement: Some(text) })
    }

    pub(super) async fn remove_permission(&self, call: &Call, input: RemovePermissionRequest) -> Result<(), WireError> {
        let scope = &call.scope;
        let reference = parse(call, &input.function_name, input.qualifier.as_deref())?;
        let resource = reference.qualified_arn(scope);
        self.may(call, &resource).await?;
        if self.find(scope, &reference.name).await?.is_none() {
            return Err(not_found(format!("No policy found for: {resource}")));
        }
        let qualifier = reference.qualifier.clone().unwrap_or_default();
        let revision = self.ambient.uuid();
        self.change(scope, &reference, |function| {
            let Some(policy) = function.policies.get_mut(&qualifier) else {
                return Err(not_found("No policy is associated with the given resource."));
            };
            if input.revision_id.as_ref().is_some_and(|given| *given != policy.revision) {
                return Err(stale("GetPolicy"));
            }
            let before = policy.statements.len();
            policy.statements.retain(|known| known["Sid"] != input.statement_id.as_str());
            if policy.statements.len() == before {
                let sid = &input.statement_id;
                return Err(not_found(format!("Statement {sid} is not found in resource policy.")));
            }
            policy.revision.clone_from(&revision);
            if policy.statements.is_empty() {
                function.policies.remove(&qualifier);
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn get_policy(
        &self,
        call: &Call,
        input: GetPolicyRequest,
    ) -> Result<GetPolicyResponse, WireError> {
        let scope = &call.scope;
        let reference = parse(call, &input.function_name, input.qualifier.as_deref())?;
        self.may(call, &reference.qualified_arn(scope)).await?;
        let function = self.find(scope, &reference.name).await?.map(|found| found.value);
        let qualifier = reference.qualifier.as_deref().unwrap_or_default();
        let policy = function.as_ref().and_then(|function| function.policies.get(qualifier));
        let policy = policy.ok_or_else(|| not_found("The resource you requested does not exist."))?;
        Ok(GetPolicyResponse { policy: Some(policy.document()), revision_id: Some(policy.revision.clone()) })
    }
}

fn statement(input: &AddPermissionRequest, resource: &str) -> Result<Value, WireError> {
    let principal = match input.principal.as_str() {
        "*" => json!("*"),
        account if account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()) => {
            json!({"AWS": format!("arn:aws:iam::{account}:root")})
        }
        arn if arn.starts_with("arn:") => json!({"AWS": arn}),
        service if service.contains('.') => json!({"Service": service}),
        _ => return Err(invalid("The provided principal was invalid. Please check the principal and try again.")),
    };
    let mut condition: Map<String, Value> = Map::new();
    let mut equals = Map::new();
    for (key, value) in [
        ("AWS:SourceAccount", &input.source_account),
        ("aws:PrincipalOrgID", &input.principal_org_id),
        ("lambda:FunctionUrlAuthType", &input.function_url_auth_type),
        ("lambda:EventSourceToken", &input.event_source_token),
    ] {
        if let Some(value) = value {
            equals.insert(key.to_owned(), json!(value));
        }
    }
    if !equals.is_empty() {
        condition.insert("StringEquals".to_owned(), Value::Object(equals));
    }
    if let Some(arn) = &input.source_arn {
        condition.insert("ArnLike".to_owned(), json!({"AWS:SourceArn": arn}));
    }
    let mut statement = Map::new();
    statement.insert("Sid".to_owned(), json!(input.statement_id));
    statement.insert("Effect".to_owned(), json!("Allow"));
    statement.insert("Principal".to_owned(), principal);
    statement.insert("Action".to_owned(), json!(input.action));
    statement.insert("Resource".to_owned(), json!(resource));
    if !condition.is_empty() {
        statement.insert("Condition".to_owned(), Value::Object(condition));
    }
    Ok(Value::Object(statement))
}
