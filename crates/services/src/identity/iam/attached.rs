//! Attaching managed policies to users, groups and roles, and who has which: Attach, Detach, ListAttached* and
//! ListEntitiesForPolicy.

use towpath_store::Expect;
use towpath_wire::iam::{
    AttachGroupPolicyRequest, AttachRolePolicyRequest, AttachUserPolicyRequest, AttachedPolicy,
    DetachGroupPolicyRequest, DetachRolePolicyRequest, DetachUserPolicyRequest, ListAttachedGroupPoliciesRequest,
    ListAttachedGroupPoliciesResponse, ListAttachedRolePoliciesRequest, ListAttachedRolePoliciesResponse,
    ListAttachedUserPoliciesRequest, ListAttachedUserPoliciesResponse, ListEntitiesForPolicyRequest,
    ListEntitiesForPolicyResponse, PolicyGroup, PolicyRole, PolicyUser,
};

use super::super::Identity;
use super::super::holder::{GroupRecord, Holder, Kind, RoleRecord, UserRecord};
use super::super::limits::ATTACHED_MAX;
use super::super::managed::{self, Managed, Usage, Use};
use super::super::shelf::put;
use super::boundary::bound_of;
use super::{Answer, Failure, done, page, quota, refused, respond};
use crate::call::Call;

type Page = (Option<Vec<AttachedPolicy>>, Option<String>);
type Paging = (Option<String>, Option<String>, Option<i32>);

impl Identity {
    async fn attach<R: Holder>(&self, call: &Call, name: &str, arn: String) -> Answer {
        let context = bound_of::<R>(self, name).await?.with("iam:PolicyARN", arn.as_str());
        let found = self.named::<R>(call, name, context).await?;
        super::roles::modifiable(&found.record)?;
        super::policies::check_arn(&arn)?;
        let policy = self
            .policies
            .find(&self.account, &arn)
            .await?
            .ok_or_else(|| refused("NoSuchEntity", format!("Policy {arn} does not exist or is not attachable.")))?;
        // Attaching again changes nothing.
        if found.record.grants().attached.contains(&arn) {
            return done(call);
        }
        if found.record.grants().attached.len() >= ATTACHED_MAX {
            return Err(quota(&format!("PoliciesPer{}", R::KIND.title()), ATTACHED_MAX).into());
        }
        let mut record = found.record.clone();
        let mut writes = vec![Use::of(Usage::Attached, &record).put(&self.account, &arn)?];
        record.grants_mut().attached.push(arn);
        writes.push(put(&record, Expect::Version(found.version))?);
        if let Managed::Own { mut record, version } = policy {
            record.attached += 1;
            writes.push(managed::put(&record, Expect::Version(version))?);
        }
        self.commit(writes).await?;
        done(call)
    }

    async fn detach<R: Holder>(&self, call: &Call, name: &str, arn: &str) -> Answer {
        let context = bound_of::<R>(self, name).await?.with("iam:PolicyARN", arn);
        let found = self.named::<R>(call, name, context).await?;
        super::roles::modifiable(&found.record)?;
        super::policies::check_arn(arn)?;
        let mut record = found.record.clone();
        let Some(at) = record.grants().attached.iter().position(|attached| attached == arn) else {
            return Err(refused("NoSuchEntity", format!("Policy {arn} was not found.")).into());
        };
        record.grants_mut().attached.remove(at);
        let mut writes = vec![
            put(&record, Expect::Version(found.version))?,
            Use::of(Usage::Attached, &record).remove(&self.account, arn),
        ];
        if let Some(Managed::Own { mut record, version }) = self.policies.find(&self.account, arn).await? {
            record.attached = record.attached.saturating_sub(1);
            writes.push(managed::put(&record, Expect::Version(version))?);
        }
        self.commit(writes).await?;
        done(call)
    }

    async fn list_attached<R: Holder>(
        &self,
        call: &Call,
        name: &str,
        (prefix, marker, max_items): Paging,
    ) -> Result<Page, Failure> {
        let found = self.named::<R>(call, name, super::Context::new()).await?;
        let prefix = prefix.unwrap_or_else(|| "/".to_owned());
        let mut policies = Vec::new();
        for arn in &found.record.grants().attached {
            if let Some(policy) = self.policies.find(&self.account, arn).await?
                && policy.path().starts_with(&prefix)
            {
                policies.push((arn.clone(), policy.name().to_owned()));
            }
        }
        policies.sort();
        let (policies, marker) = page(&policies, |(arn, _)| arn.as_str(), marker.as_deref(), max_items);
        let shown = policies
            .into_iter()
            .map(|(arn, name)| AttachedPolicy { policy_arn: Some(arn), policy_name: Some(name) })
            .collect();
        Ok((Some(shown), marker))
    }

    pub(super) async fn attach_user_policy(&self, call: &Call, input: AttachUserPolicyRequest) -> Answer {
        self.attach::<UserRecord>(call, &input.user_name, input.policy_arn).await
    }

    pub(super) async fn attach_group_policy(&self, call: &Call, input: AttachGroupPolicyRequest) -> Answer {
        self.attach::<GroupRecord>(call, &input.group_name, input.policy_arn).await
    }

    pub(super) async fn attach_role_policy(&self, call: &Call, input: AttachRolePolicyRequest) -> Answer {
        self.attach::<RoleRecord>(call, &input.role_name, input.policy_arn).await
    }

    pub(super) async fn detach_user_policy(&self, call: &Call, input: DetachUserPolicyRequest) -> Answer {
        self.detach::<UserRecord>(call, &input.user_name, &input.policy_arn).await
    }

    pub(super) async fn detach_group_policy(&self, call: &Call, input: DetachGroupPolicyRequest) -> Answer {
        self.detach::<GroupRecord>(call, &input.group_name, &input.policy_arn).await
    }

    pub(super) async fn detach_role_policy(&self, call: &Call, input: DetachRolePolicyRequest) -> Answer {
        self.detach::<RoleRecord>(call, &input.role_name, &input.policy_arn).await
    }

    pub(super) async fn list_attached_user_policies(
        &self,
        call: &Call,
        input: ListAttachedUserPoliciesRequest,
    ) -> Answer {
        let paging = (input.path_prefix, input.marker, input.max_items);
        let (attached_policies, marker) = self.list_attached::<UserRecord>(call, &input.user_name, paging).await?;
        let is_truncated = Some(marker.is_some());
        respond(&ListAttachedUserPoliciesResponse { attached_policies, is_truncated, marker }, call)
    }

    pub(super) async fn list_attached_group_policies(
        &self,
        call: &Call,
        input: ListAttachedGroupPoliciesRequest,
    ) -> Answer {
        let paging = (input.path_prefix, input.marker, input.max_items);
        let (attached_policies, marker) = self.list_attached::<GroupRecord>(call, &input.group_name, paging).await?;
        let is_truncated = Some(marker.is_some());
        respond(&ListAttachedGroupPoliciesResponse { attached_policies, is_truncated, marker }, call)
    }

    pub(super) async fn list_attached_role_policies(
        &self,
        call: &Call,
        input: ListAttachedRolePoliciesRequest,
    ) -> Answer {
        let paging = (input.path_prefix, input.marker, input.max_items);
        let (attached_policies, marker) = self.list_attached::<RoleRecord>(call, &input.role_name, paging).await?;
        let is_truncated = Some(marker.is_some());
        respond(&ListAttachedRolePoliciesResponse { attached_policies, is_truncated, marker }, call)
    }

    pub(super) async fn list_entities_for_policy(&self, call: &Call, input: ListEntitiesForPolicyRequest) -> Answer {
        let policy = self.named_policy(call, &input.policy_arn).await?;
        let prefix = input.path_prefix.as_deref().unwrap_or("/");
        let filter = input.entity_filter.as_deref();
        let wanted = |used: &Use| {
            let kind = match filter {
                Some("User") => used.kind == Kind::User,
                Some("Group") => used.kind == Kind::Group,
                Some("Role") => used.kind == Kind::Role,
                // Policies of this account, or of AWS: a use is a use.
                _ => true,
            };
            let usage = match input.policy_usage_filter.as_deref() {
                Some("PermissionsPolicy") => used.usage == Usage::Attached,
                Some("PermissionsBoundary") => used.usage == Usage::Boundary,
                _ => true,
            };
            kind && usage && used.path.starts_with(prefix)
        };
        let mut uses = self.policies.uses(&self.account, &policy.arn()).await?;
        uses.retain(wanted);
        // A holder that is bounded by a policy and has it attached too is named once.
        let mut named: Vec<(String, Use)> =
            uses.into_iter().map(|used| (format!("{}/{}", used.kind.word(), used.name), used)).collect();
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        named.dedup_by(|(a, _), (b, _)| a == b);
        let (named, marker) = page(&named, |(key, _)| key.as_str(), input.marker.as_deref(), input.max_items);
        let mut output =
            ListEntitiesForPolicyResponse { is_truncated: Some(marker.is_some()), marker, ..Default::default() };
        let (mut groups, mut roles, mut users) = (Vec::new(), Vec::new(), Vec::new());
        for (_, Use { kind, name, id, .. }) in named {
            let (name, id) = (Some(name), Some(id));
            match kind {
                Kind::Group => groups.push(PolicyGroup { group_id: id, group_name: name }),
                Kind::Role => roles.push(PolicyRole { role_id: id, role_name: name }),
                Kind::User => users.push(PolicyUser { user_id: id, user_name: name }),
            }
        }
        output.policy_groups = Some(groups);
        output.policy_roles = Some(roles);
        output.policy_users = Some(users);
        respond(&output, call)
    }
}
