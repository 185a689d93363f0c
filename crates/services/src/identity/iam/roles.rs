//! CreateRole, GetRole, ListRoles, UpdateRole, UpdateAssumeRolePolicy, DeleteRole, ListInstanceProfilesForRole.

use towpath_wire::WireError;
use towpath_wire::iam::{
    CreateRoleRequest, CreateRoleResponse, DeleteRoleRequest, GetRoleRequest, GetRoleResponse,
    ListInstanceProfilesForRoleRequest, ListInstanceProfilesForRoleResponse, ListRolesRequest, ListRolesResponse, Role,
    SERVICE, UpdateAssumeRolePolicyRequest, UpdateRoleRequest, UpdateRoleResponse,
};
use towpath_wire::types::Timestamp;

use super::super::policy::Context;
use super::super::{Identity, RoleRecord};
use super::{changed, done, encoded, page_size, respond, store_error, wire_tags};
use crate::call::{Call, Response};

const SESSION_SECONDS_DEFAULT: i32 = 3_600;
const UNIQUE_ID_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Documents read at once while looking for roles under a path.
const SCAN_PAGE: usize = 500;

impl Identity {
    pub(super) async fn create_role(&self, call: &Call, input: CreateRoleRequest) -> Result<Response, WireError> {
        let path = input.path.unwrap_or_else(|| "/".to_owned());
        let tags = super::tags::checked(input.tags.unwrap_or_default())?;
        let role = RoleRecord {
            id: format!("AROA{}", self.ambient.text(UNIQUE_ID_ALPHABET, 17)),
            name: input.role_name,
            path,
            account: self.account.clone(),
            created: self.ambient.now(),
            trust: input.assume_role_policy_document,
            description: input.description,
            max_session_seconds: input.max_session_duration.unwrap_or(SESSION_SECONDS_DEFAULT),
            policies: std::collections::BTreeMap::new(),
            tags,
        };
        let mut context = Context::new();
        for (key, value) in &role.tags {
            context.set(&format!("aws:RequestTag/{key}"), value.as_str());
        }
        if !role.tags.is_empty() {
            context = context.with_many("aws:TagKeys", role.tags.iter().map(|(key, _)| key.clone()).collect());
        }
        self.may(call, &role.arn(), context).await?;
        if input.permissions_boundary.is_some() {
            return Err(WireError::validation(
                &SERVICE,
                "PermissionsBoundary is not supported: this version has no managed policies.",
            ));
        }
        self.check_trust(&role.trust).await?;
        if !self.roles.create(&role).await.map_err(store_error)? {
            let text = format!("Role with name {} already exists.", role.name);
            return Err(WireError::modeled(&SERVICE, "EntityAlreadyExists", text));
        }
        respond(&CreateRoleResponse { role: wire_role(&role, true) }, call)
    }

    pub(super) async fn get_role(&self, call: &Call, input: GetRoleRequest) -> Result<Response, WireError> {
        let role = self.named_role(call, &input.role_name).await?;
        respond(&GetRoleResponse { role: wire_role(&role.record, true) }, call)
    }

    pub(super) async fn list_roles(&self, call: &Call, input: ListRolesRequest) -> Result<Response, WireError> {
        self.may(call, "*", Context::new()).await?;
        let (size, prefix) = (page_size(input.max_items), input.path_prefix.unwrap_or_else(|| "/".to_owned()));
        let (mut roles, mut after, mut marker) = (Vec::new(), input.marker, None);
        // One more than fits says whether there is another page.
        'pages: loop {
            let found = self.roles.page(&self.account, after.as_deref(), SCAN_PAGE).await.map_err(store_error)?;
            let last = found.len() < SCAN_PAGE;
            for (key, role) in found {
                if role.path.starts_with(&prefix) {
                    if roles.len() == size {
                        marker.clone_from(&after);
                        break 'pages;
                    }
                    roles.push(wire_role(&role, false));
                }
                after = Some(key);
            }
            if last {
                break;
            }
        }
        respond(&ListRolesResponse { is_truncated: Some(marker.is_some()), marker, roles }, call)
    }

    pub(super) async fn update_role(&self, call: &Call, input: UpdateRoleRequest) -> Result<Response, WireError> {
        self.named_role(call, &input.role_name).await?;
        let change = |role: &mut RoleRecord| {
            // An absent member goes back to its default, as in IAM.
            role.description = input.description.clone().filter(|text| !text.is_empty());
            role.max_session_seconds = input.max_session_duration.unwrap_or(SESSION_SECONDS_DEFAULT);
            Ok(())
        };
        self.roles.change(&self.account, &input.role_name, change).await.map_err(changed(&input.role_name))?;
        respond(&UpdateRoleResponse {}, call)
    }

    pub(super) async fn update_assume_role_policy(
        &self,
        call: &Call,
        input: UpdateAssumeRolePolicyRequest,
    ) -> Result<Response, WireError> {
        self.named_role(call, &input.role_name).await?;
        self.check_trust(&input.policy_document).await?;
        let change = |role: &mut RoleRecord| {
            role.trust.clone_from(&input.policy_document);
            Ok(())
        };
        self.roles.change(&self.account, &input.role_name, change).await.map_err(changed(&input.role_name))?;
        Ok(done(call))
    }

    pub(super) async fn delete_role(&self, call: &Call, input: DeleteRoleRequest) -> Result<Response, WireError> {
        self.named_role(call, &input.role_name).await?;
        let check = |role: &RoleRecord| {
            if role.policies.is_empty() {
                return Ok(());
            }
            let text = "Cannot delete entity, must delete policies first.";
            Err(WireError::modeled(&SERVICE, "DeleteConflict", text))
        };
        self.roles.remove(&self.account, &input.role_name, check).await.map_err(changed(&input.role_name))?;
        Ok(done(call))
    }

    /// There are no instance profiles; clients ask before they delete a role.
    pub(super) async fn list_instance_profiles_for_role(
        &self,
        call: &Call,
        input: ListInstanceProfilesForRoleRequest,
    ) -> Result<Response, WireError> {
        self.named_role(call, &input.role_name).await?;
        let output = ListInstanceProfilesForRoleResponse {
            instance_profiles: Vec::new(),
            is_truncated: Some(false),
            marker: None,
        };
        respond(&output, call)
    }
}

/// A role as answers show it; lists leave the tags out.
fn wire_role(role: &RoleRecord, with_tags: bool) -> Role {
    Role {
        arn: role.arn(),
        assume_role_policy_document: Some(encoded(&role.trust)),
        create_date: Timestamp::from_millis(role.created.millis()),
        description: role.description.clone(),
        max_session_duration: Some(role.max_session_seconds),
        path: role.path.clone(),
        permissions_boundary: None,
        role_id: role.id.clone(),
        role_last_used: None,
        role_name: role.name.clone(),
        tags: (with_tags && !role.tags.is_empty()).then(|| wire_tags(&role.tags)),
    }
}
