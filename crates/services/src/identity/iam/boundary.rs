//! Permissions boundaries of users and roles: Put and Delete, and the boundary that a new user or role begins with.

use towpath_store::{Expect, Write};
use towpath_wire::WireError;
use towpath_wire::iam::{
    AttachedPermissionsBoundary, DeleteRolePermissionsBoundaryRequest, DeleteUserPermissionsBoundaryRequest,
    PutRolePermissionsBoundaryRequest, PutUserPermissionsBoundaryRequest, SERVICE,
};

use super::super::Identity;
use super::super::holder::{Holder, RoleRecord, UserRecord};
use super::super::managed::{self, Managed, Usage, Use};
use super::super::policy::Context;
use super::super::shelf::put;
use super::{Answer, Failure, done, no_such, refused};
use crate::call::Call;

/// The boundary that a holder has, as the condition key of operations that change what it may.
pub(super) async fn bound_of<R: Holder>(identity: &Identity, name: &str) -> Result<Context, Failure> {
    let found = R::shelf(identity).find(&identity.account, name).await?;
    let boundary = found.and_then(|found| found.record.grants().boundary.clone());
    Ok(Context::new().with_optional("iam:PermissionsBoundary", boundary))
}

/// The boundary as answers show it.
pub(super) fn shown(boundary: Option<&String>) -> Option<AttachedPermissionsBoundary> {
    boundary.map(|arn| AttachedPermissionsBoundary {
        permissions_boundary_arn: Some(arn.clone()),
        permissions_boundary_type: Some("Policy".to_owned()),
    })
}

impl Identity {
    /// The writes that bound `holder` by a policy, which must be there.
    pub(super) async fn bind<R: Holder>(&self, holder: &R, arn: &str) -> Result<Vec<Write>, Failure> {
        let invalid = || {
            let text = format!("Value ({arn}) for parameter PermissionsBoundary is invalid.");
            WireError::validation(&SERVICE, text)
        };
        let policy = self.policies.find(&self.account, arn).await?.ok_or_else(|| match arn.split(':').nth(5) {
            Some(resource) if resource.starts_with("policy/") => {
                refused("NoSuchEntity", format!("Scope ARN: {arn} does not exist or is not attachable."))
            }
            _ => invalid(),
        })?;
        let mut writes = vec![Use::of(Usage::Boundary, holder).put(&self.account, arn)?];
        if let Managed::Own { mut record, version } = policy {
            record.bounds += 1;
            writes.push(managed::put(&record, Expect::Version(version))?);
        }
        Ok(writes)
    }

    /// The writes that take a holder's boundary away from its policy.
    pub(super) async fn unbind<R: Holder>(&self, holder: &R) -> Result<Vec<Write>, Failure> {
        let Some(arn) = &holder.grants().boundary else { return Ok(Vec::new()) };
        let mut writes = vec![Use::of(Usage::Boundary, holder).remove(&self.account, arn)];
        if let Some(Managed::Own { mut record, version }) = self.policies.find(&self.account, arn).await? {
            record.bounds = record.bounds.saturating_sub(1);
            writes.push(managed::put(&record, Expect::Version(version))?);
        }
        Ok(writes)
    }

    async fn put_boundary<R: Holder>(&self, call: &Call, name: &str, arn: String) -> Answer {
        let context = Context::new().with("iam:PermissionsBoundary", arn.as_str());
        let found = self.named::<R>(call, name, context).await?;
        super::roles::modifiable(&found.record)?;
        if found.record.grants().boundary.as_ref() == Some(&arn) {
            return done(call);
        }
        let mut writes = self.unbind(&found.record).await?;
        writes.extend(self.bind(&found.record, &arn).await?);
        let mut record = found.record.clone();
        record.grants_mut().boundary = Some(arn);
        writes.push(put(&record, Expect::Version(found.version))?);
        self.commit(writes).await?;
        done(call)
    }

    async fn delete_boundary<R: Holder>(&self, call: &Call, name: &str) -> Answer {
        let found = self.named::<R>(call, name, bound_of::<R>(self, name).await?).await?;
        super::roles::modifiable(&found.record)?;
        let mut writes = self.unbind(&found.record).await?;
        if writes.is_empty() {
            let text = format!("{} {name} has no permissions boundary.", R::KIND.title());
            return Err(WireError { message: text, ..no_such(R::KIND, name) }.into());
        }
        let mut record = found.record.clone();
        record.grants_mut().boundary = None;
        writes.push(put(&record, Expect::Version(found.version))?);
        self.commit(writes).await?;
        done(call)
    }

    pub(super) async fn put_user_boundary(&self, call: &Call, input: PutUserPermissionsBoundaryRequest) -> Answer {
        self.put_boundary::<UserRecord>(call, &input.user_name, input.permissions_boundary).await
    }

    pub(super) async fn put_role_boundary(&self, call: &Call, input: PutRolePermissionsBoundaryRequest) -> Answer {
        self.put_boundary::<RoleRecord>(call, &input.role_name, input.permissions_boundary).await
    }

    pub(super) async fn delete_user_boundary(
        &self,
        call: &Call,
        input: DeleteUserPermissionsBoundaryRequest,
    ) -> Answer {
        self.delete_boundary::<UserRecord>(call, &input.user_name).await
    }

    pub(super) async fn delete_role_boundary(
        &self,
        call: &Call,
        input: DeleteRolePermissionsBoundaryRequest,
    ) -> Answer {
        self.delete_boundary::<RoleRecord>(call, &input.role_name).await
    }
}
