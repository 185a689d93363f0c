//! Inline policies of roles: PutRolePolicy, GetRolePolicy, ListRolePolicies, DeleteRolePolicy, and the empty list of
//! managed ones.

use towpath_wire::WireError;
use towpath_wire::iam::{
    DeleteRolePolicyRequest, GetRolePolicyRequest, GetRolePolicyResponse, ListAttachedRolePoliciesRequest,
    ListAttachedRolePoliciesResponse, ListRolePoliciesRequest, ListRolePoliciesResponse, PutRolePolicyRequest, SERVICE,
};

use super::super::policy::{Kind, Policy};
use super::super::{Identity, RoleRecord};
use super::{INLINE_CHARS_MAX, changed, done, encoded, malformed, page, policy_chars, respond};
use crate::call::{Call, Response};

impl Identity {
    pub(super) async fn put_role_policy(
        &self,
        call: &Call,
        input: PutRolePolicyRequest,
    ) -> Result<Response, WireError> {
        self.named_role(call, &input.role_name).await?;
        Policy::parse(&input.policy_document, Kind::Identity).map_err(malformed)?;
        let change = |role: &mut RoleRecord| {
            role.policies.insert(input.policy_name.clone(), input.policy_document.clone());
            if role.policies.values().map(|text| policy_chars(text)).sum::<usize>() > INLINE_CHARS_MAX {
                let text = format!("Maximum policy size of {INLINE_CHARS_MAX} bytes exceeded for role {}", role.name);
                return Err(WireError::modeled(&SERVICE, "LimitExceeded", text));
            }
            Ok(())
        };
        self.roles.change(&self.account, &input.role_name, change).await.map_err(changed(&input.role_name))?;
        Ok(done(call))
    }

    pub(super) async fn get_role_policy(
        &self,
        call: &Call,
        input: GetRolePolicyRequest,
    ) -> Result<Response, WireError> {
        let role = self.named_role(call, &input.role_name).await?;
        let document =
            role.record.policies.get(&input.policy_name).ok_or_else(|| no_such_policy(&input.policy_name))?;
        let output = GetRolePolicyResponse {
            policy_document: encoded(document),
            policy_name: input.policy_name,
            role_name: role.record.name.clone(),
        };
        respond(&output, call)
    }

    pub(super) async fn list_role_policies(
        &self,
        call: &Call,
        input: ListRolePoliciesRequest,
    ) -> Result<Response, WireError> {
        let role = self.named_role(call, &input.role_name).await?;
        let names: Vec<String> = role.record.policies.keys().cloned().collect();
        let (policy_names, marker) = page(&names, String::as_str, input.marker.as_deref(), input.max_items);
        respond(&ListRolePoliciesResponse { is_truncated: Some(marker.is_some()), marker, policy_names }, call)
    }

    pub(super) async fn delete_role_policy(
        &self,
        call: &Call,
        input: DeleteRolePolicyRequest,
    ) -> Result<Response, WireError> {
        self.named_role(call, &input.role_name).await?;
        let change = |role: &mut RoleRecord| match role.policies.remove(&input.policy_name) {
            Some(_) => Ok(()),
            None => Err(no_such_policy(&input.policy_name)),
        };
        self.roles.change(&self.account, &input.role_name, change).await.map_err(changed(&input.role_name))?;
        Ok(done(call))
    }

    /// There are no managed policies; clients ask before they delete a role.
    pub(super) async fn list_attached_role_policies(
        &self,
        call: &Call,
        input: ListAttachedRolePoliciesRequest,
    ) -> Result<Response, WireError> {
        self.named_role(call, &input.role_name).await?;
        let output = ListAttachedRolePoliciesResponse {
            attached_policies: Some(Vec::new()),
            is_truncated: Some(false),
            marker: None,
        };
        respond(&output, call)
    }
}

fn no_such_policy(name: &str) -> WireError {
    WireError::modeled(&SERVICE, "NoSuchEntity", format!("The role policy with name {name} cannot be found."))
}
