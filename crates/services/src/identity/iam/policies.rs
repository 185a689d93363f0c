//! Managed policies: CreatePolicy, GetPolicy, ListPolicies, DeletePolicy. Versions are next door.

use towpath_store::Expect;
use towpath_wire::WireError;
use towpath_wire::iam::{
    CreatePolicyRequest, CreatePolicyResponse, DeletePolicyRequest, GetPolicyRequest, GetPolicyResponse,
    ListPoliciesRequest, ListPoliciesResponse, Policy as WirePolicy, SERVICE,
};

use super::super::Identity;
use super::super::holder::split_iam_arn;
use super::super::limits::{MANAGED_CHARS_MAX, POLICIES_MAX};
use super::super::managed::{self, AwsPolicy, Managed, PolicyRecord, PolicyVersion, Usage};
use super::super::policy::{self, Context, Policy};
use super::users::wire_time;
use super::{
    Answer, Failure, conflict, done, malformed, page, policy_chars, quota, refused, request_tags, resource_tags,
    respond, wire_tags,
};
use crate::call::Call;

/// An ARN must at least look like one of a policy.
pub(super) fn check_arn(arn: &str) -> Result<(), WireError> {
    match split_iam_arn(arn) {
        Some((_, resource)) if resource.starts_with("policy/") => Ok(()),
        _ => Err(WireError::validation(&SERVICE, format!("ARN {arn} is not valid."))),
    }
}

/// A document of a managed policy must parse and fit.
pub(super) fn check_document(document: &str) -> Result<(), WireError> {
    Policy::parse(document, policy::Kind::Identity).map_err(malformed)?;
    if policy_chars(document) > MANAGED_CHARS_MAX {
        return Err(quota("PolicySize", MANAGED_CHARS_MAX));
    }
    Ok(())
}

impl Identity {
    pub(super) async fn create_policy(&self, call: &Call, input: CreatePolicyRequest) -> Answer {
        let now = self.ambient.now();
        let first = PolicyVersion { number: 1, document: input.policy_document, created: now };
        let policy = PolicyRecord {
            name: input.policy_name,
            path: input.path.unwrap_or_else(|| "/".to_owned()),
            id: self.unique_id("ANPA"),
            account: self.account.clone(),
            created: now,
            updated: now,
            description: input.description.filter(|text| !text.is_empty()),
            tags: super::tags::checked(input.tags.unwrap_or_default())?,
            versions: vec![first],
            default: 1,
            next: 2,
            attached: 0,
            bounds: 0,
        };
        self.may(call, &policy.arn(), request_tags(Context::new(), &policy.tags)).await?;
        check_document(&policy.versions[0].document)?;
        let all = self.policies.all(&self.account).await?;
        if all.iter().any(|known| known.name.eq_ignore_ascii_case(&policy.name)) {
            let text = format!("A policy called {} already exists. Duplicate names are not allowed.", policy.name);
            return Err(refused("EntityAlreadyExists", text).into());
        }
        if all.len() >= POLICIES_MAX {
            return Err(quota("PoliciesPerAccount", POLICIES_MAX).into());
        }
        self.commit(vec![managed::put(&policy, Expect::Absent)?]).await?;
        // The answer tells the tags, but never the description.
        let shown = WirePolicy { description: None, ..own(&policy, true) };
        respond(&CreatePolicyResponse { policy: Some(shown) }, call)
    }

    pub(super) async fn get_policy(&self, call: &Call, input: GetPolicyRequest) -> Answer {
        let policy = match self.named_policy(call, &input.policy_arn).await? {
            Managed::Own { record, .. } => own(&record, true),
            Managed::Aws(policy) => self.aws(policy).await?,
        };
        respond(&GetPolicyResponse { policy: Some(policy) }, call)
    }

    pub(super) async fn list_policies(&self, call: &Call, input: ListPoliciesRequest) -> Answer {
        self.may(call, "*", Context::new()).await?;
        let scope = input.scope.as_deref().unwrap_or("All");
        let prefix = input.path_prefix.as_deref().unwrap_or("/");
        let mut policies = Vec::new();
        if scope != "AWS" {
            policies.extend(self.policies.all(&self.account).await?.iter().map(|policy| own(policy, false)));
        }
        if scope != "Local" {
            for policy in AwsPolicy::all() {
                policies.push(self.aws(policy).await?);
            }
        }
        let used = |policy: &WirePolicy| {
            let attached = policy.attachment_count.unwrap_or_default() > 0;
            let bounds = policy.permissions_boundary_usage_count.unwrap_or_default() > 0;
            match input.policy_usage_filter.as_deref() {
                Some("PermissionsPolicy") => attached,
                Some("PermissionsBoundary") => bounds,
                _ => attached || bounds,
            }
        };
        let only = input.only_attached.unwrap_or(false) || input.policy_usage_filter.is_some();
        policies.retain(|policy| {
            policy.path.as_deref().is_some_and(|path| path.starts_with(prefix)) && (!only || used(policy))
        });
        let arn = |policy: &WirePolicy| policy.arn.clone().unwrap_or_default();
        policies.sort_by_key(arn);
        let name = |policy: &WirePolicy| -> String { arn(policy) };
        let keyed: Vec<(String, WirePolicy)> = policies.into_iter().map(|policy| (name(&policy), policy)).collect();
        let (shown, marker) = page(&keyed, |(arn, _)| arn.as_str(), input.marker.as_deref(), input.max_items);
        let policies = shown.into_iter().map(|(_, policy)| policy).collect();
        let output = ListPoliciesResponse { is_truncated: Some(marker.is_some()), marker, policies: Some(policies) };
        respond(&output, call)
    }

    pub(super) async fn delete_policy(&self, call: &Call, input: DeletePolicyRequest) -> Answer {
        let (record, version) = self.own_policy(call, &input.policy_arn).await?;
        if record.attached > 0 || record.bounds > 0 {
            return Err(conflict("Cannot delete a policy attached to entities.").into());
        }
        if record.versions.len() > 1 {
            let text = "This policy has more than one version. Before you delete a policy, you must delete the policy's \
                        versions. The default version is deleted with the policy.";
            return Err(conflict(text).into());
        }
        self.commit(vec![managed::remove(&record, version)]).await?;
        done(call)
    }

    /// The policy that an operation names, once the caller may do that to it.
    pub(super) async fn named_policy(&self, call: &Call, arn: &str) -> Result<Managed, Failure> {
        let found = self.policies.find(&self.account, arn).await?;
        let tags = match &found {
            Some(Managed::Own { record, .. }) => &record.tags[..],
            _ => &[],
        };
        self.may(call, arn, resource_tags(Context::new(), tags)).await?;
        check_arn(arn)?;
        Ok(found.ok_or_else(|| refused("NoSuchEntity", format!("Policy {arn} was not found.")))?)
    }

    /// The same for a change, which AWS's own policies refuse.
    pub(super) async fn own_policy(&self, call: &Call, arn: &str) -> Result<(Box<PolicyRecord>, u64), Failure> {
        match self.named_policy(call, arn).await? {
            Managed::Own { record, version } => Ok((record, version)),
            Managed::Aws(_) => {
                let text = format!("Policy {arn} belongs to AWS and cannot be changed.");
                Err(WireError::access_denied(towpath_wire::Dialect::Query, text).into())
            }
        }
    }

    async fn aws(&self, policy: &'static AwsPolicy) -> Result<WirePolicy, Failure> {
        let uses = self.policies.uses(&self.account, &policy.arn()).await?;
        let count = |usage| i32::try_from(uses.iter().filter(|used| used.usage == usage).count()).unwrap_or(i32::MAX);
        Ok(WirePolicy {
            arn: Some(policy.arn()),
            attachment_count: Some(count(Usage::Attached)),
            create_date: Some(wire_time(policy.created())),
            default_version_id: Some(format!("v{}", policy.version)),
            description: None,
            is_attachable: Some(true),
            path: Some("/".to_owned()),
            permissions_boundary_usage_count: Some(count(Usage::Boundary)),
            policy_id: Some(policy.id()),
            policy_name: Some(policy.name.to_owned()),
            tags: None,
            update_date: Some(wire_time(policy.created())),
        })
    }
}

/// A policy of the account as answers show it; lists leave description and tags out.
fn own(policy: &PolicyRecord, whole: bool) -> WirePolicy {
    let count = |number: usize| Some(i32::try_from(number).unwrap_or(i32::MAX));
    WirePolicy {
        arn: Some(policy.arn()),
        attachment_count: count(policy.attached),
        create_date: Some(wire_time(policy.created)),
        default_version_id: Some(format!("v{}", policy.default)),
        description: policy.description.clone().filter(|_| whole),
        is_attachable: Some(true),
        path: Some(policy.path.clone()),
        permissions_boundary_usage_count: count(policy.bounds),
        policy_id: Some(policy.id.clone()),
        policy_name: Some(policy.name.clone()),
        tags: (whole && !policy.tags.is_empty()).then(|| wire_tags(&policy.tags)),
        update_date: Some(wire_time(policy.updated)),
    }
}
