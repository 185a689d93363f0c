//! CreateRole, GetRole, ListRoles, UpdateRole, UpdateRoleDescription, UpdateAssumeRolePolicy, DeleteRole.

use towpath_store::Expect;
use towpath_wire::WireError;
use towpath_wire::iam::{
    CreateRoleRequest, CreateRoleResponse, DeleteRoleRequest, GetRoleRequest, GetRoleResponse, ListRolesRequest,
    ListRolesResponse, Role, RoleLastUsed, UpdateAssumeRolePolicyRequest, UpdateRoleDescriptionRequest,
    UpdateRoleDescriptionResponse, UpdateRoleRequest, UpdateRoleResponse,
};

use super::super::holder::{Grants, Holder, Kind, RoleRecord};
use super::super::keys::LastUse;
use super::super::policy::Context;
use super::super::shelf::{put, remove};
use super::super::{Identity, keys};
use super::users::wire_time;
use super::{
    Answer, boundary, conflict, done, encoded, page_size, quota, refused, request_tags, respond, taken, wire_tags,
};
use crate::call::Call;

const SESSION_SECONDS_DEFAULT: i32 = 3_600;
/// Where AWS keeps the roles that its services made for themselves.
const SERVICE_LINKED: &str = "/aws-service-role/";

/// Roles that are linked to a service change only with it.
pub(super) fn modifiable<R: Holder>(holder: &R) -> Result<(), WireError> {
    if R::KIND == Kind::Role && holder.path().starts_with(SERVICE_LINKED) {
        let text = format!(
            "Cannot perform the operation on the protected role '{}' - this role is only modifiable by AWS",
            holder.name()
        );
        return Err(refused("UnmodifiableEntity", text));
    }
    Ok(())
}

impl Identity {
    pub(super) async fn create_role(&self, call: &Call, input: CreateRoleRequest) -> Answer {
        let role = RoleRecord {
            id: self.unique_id("AROA"),
            name: input.role_name,
            path: input.path.unwrap_or_else(|| "/".to_owned()),
            account: self.account.clone(),
            created: self.ambient.now(),
            trust: input.assume_role_policy_document,
            description: input.description,
            max_session_seconds: input.max_session_duration.unwrap_or(SESSION_SECONDS_DEFAULT),
            tags: super::tags::checked(input.tags.unwrap_or_default())?,
            grants: Grants { boundary: input.permissions_boundary, ..Grants::default() },
        };
        let context = Context::new().with_optional("iam:PermissionsBoundary", role.grants.boundary.clone());
        self.may(call, &role.arn(), request_tags(context, &role.tags)).await?;
        if role.path.starts_with(SERVICE_LINKED) || role.name.starts_with("AWSServiceRoleFor") {
            let text = format!(
                "The path {SERVICE_LINKED} and names that begin with AWSServiceRoleFor are reserved for service-linked \
                 roles. Choose another name or path."
            );
            return Err(refused("InvalidInput", text).into());
        }
        self.check_trust(&role.trust).await?;
        if self.roles.find(&self.account, &role.name).await?.is_some() {
            return Err(taken(Kind::Role, &role.name).into());
        }
        if self.roles.count(&self.account).await? >= Kind::Role.count_max() {
            return Err(quota("RolesPerAccount", Kind::Role.count_max()).into());
        }
        let mut writes = vec![put(&role, Expect::Absent)?];
        if let Some(arn) = &role.grants.boundary {
            writes.extend(self.bind(&role, arn).await?);
        }
        self.commit(writes).await?;
        respond(&CreateRoleResponse { role: wire_role(&role, true, None) }, call)
    }

    pub(super) async fn get_role(&self, call: &Call, input: GetRoleRequest) -> Answer {
        let role = self.named_role(call, &input.role_name).await?;
        let used = keys::last_use(self.documents.as_ref(), &role.record.id).await?;
        respond(&GetRoleResponse { role: wire_role(&role.record, true, used) }, call)
    }

    pub(super) async fn list_roles(&self, call: &Call, input: ListRolesRequest) -> Answer {
        self.may(call, "*", Context::new()).await?;
        let prefix = input.path_prefix.as_deref().unwrap_or("/");
        let (roles, marker) = self.roles.page(&self.account, prefix, input.marker, page_size(input.max_items)).await?;
        let roles = roles.iter().map(|role| wire_role(role, false, None)).collect();
        respond(&ListRolesResponse { is_truncated: Some(marker.is_some()), marker, roles }, call)
    }

    pub(super) async fn update_role(&self, call: &Call, input: UpdateRoleRequest) -> Answer {
        let found = self.named_role(call, &input.role_name).await?;
        modifiable(&found.record)?;
        let mut role = found.record.clone();
        // An absent member goes back to its default, as in IAM.
        role.description = input.description.filter(|text| !text.is_empty());
        role.max_session_seconds = input.max_session_duration.unwrap_or(SESSION_SECONDS_DEFAULT);
        self.commit(vec![put(&role, Expect::Version(found.version))?]).await?;
        respond(&UpdateRoleResponse {}, call)
    }

    pub(super) async fn update_role_description(&self, call: &Call, input: UpdateRoleDescriptionRequest) -> Answer {
        let found = self.named_role(call, &input.role_name).await?;
        let mut role = found.record.clone();
        role.description = Some(input.description).filter(|text| !text.is_empty());
        self.commit(vec![put(&role, Expect::Version(found.version))?]).await?;
        respond(&UpdateRoleDescriptionResponse { role: Some(wire_role(&role, true, None)) }, call)
    }

    pub(super) async fn update_assume_role_policy(&self, call: &Call, input: UpdateAssumeRolePolicyRequest) -> Answer {
        let found = self.named_role(call, &input.role_name).await?;
        modifiable(&found.record)?;
        self.check_trust(&input.policy_document).await?;
        let role = RoleRecord { trust: input.policy_document, ..found.record.clone() };
        self.commit(vec![put(&role, Expect::Version(found.version))?]).await?;
        done(call)
    }

    pub(super) async fn delete_role(&self, call: &Call, input: DeleteRoleRequest) -> Answer {
        let found = self.named_role(call, &input.role_name).await?;
        let role = &found.record;
        modifiable(role)?;
        for (holds, what) in [
            (!role.grants.attached.is_empty(), "must detach all policies first."),
            (!role.grants.policies.is_empty(), "must delete policies first."),
        ] {
            if holds {
                return Err(conflict(&format!("Cannot delete entity, {what}")).into());
            }
        }
        let mut writes = vec![remove(&found)];
        writes.extend(self.unbind(role).await?);
        self.commit(writes).await?;
        done(call)
    }
}

/// A role as answers show it; lists leave boundary, last use and tags out.
fn wire_role(role: &RoleRecord, whole: bool, used: Option<LastUse>) -> Role {
    Role {
        arn: role.arn(),
        assume_role_policy_document: Some(encoded(&role.trust)),
        create_date: wire_time(role.created),
        description: role.description.clone(),
        max_session_duration: Some(role.max_session_seconds),
        path: role.path.clone(),
        permissions_boundary: boundary::shown(role.grants.boundary.as_ref().filter(|_| whole)),
        role_id: role.id.clone(),
        role_last_used: used
            .map(|used| RoleLastUsed { last_used_date: Some(wire_time(used.at)), region: Some(used.region) }),
        role_name: role.name.clone(),
        tags: (whole && !role.tags.is_empty()).then(|| wire_tags(&role.tags)),
    }
}
