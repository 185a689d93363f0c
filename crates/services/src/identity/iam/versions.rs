//! Versions of managed policies: CreatePolicyVersion, GetPolicyVersion, ListPolicyVersions, SetDefaultPolicyVersion,
//! DeletePolicyVersion.

use towpath_store::Expect;
use towpath_wire::WireError;
use towpath_wire::iam::{
    CreatePolicyVersionRequest, CreatePolicyVersionResponse, DeletePolicyVersionRequest, GetPolicyVersionRequest,
    GetPolicyVersionResponse, ListPolicyVersionsRequest, ListPolicyVersionsResponse, PolicyVersion as WireVersion,
    SetDefaultPolicyVersionRequest,
};

use super::super::Identity;
use super::super::limits::VERSIONS_MAX;
use super::super::managed::{self, Managed, PolicyRecord, PolicyVersion};
use super::policies::check_document;
use super::users::wire_time;
use super::{Answer, conflict, done, encoded, page, refused, respond};
use crate::call::Call;

impl Identity {
    pub(super) async fn create_policy_version(&self, call: &Call, input: CreatePolicyVersionRequest) -> Answer {
        let (mut record, version) = self.own_policy(call, &input.policy_arn).await?;
        check_document(&input.policy_document)?;
        if record.versions.len() >= VERSIONS_MAX {
            let text = format!(
                "A managed policy can have up to {VERSIONS_MAX} versions. Before you create a new version, you must \
                 delete an existing version."
            );
            return Err(refused("LimitExceeded", text).into());
        }
        let now = self.ambient.now();
        let number = record.next;
        record.versions.push(PolicyVersion { number, document: input.policy_document, created: now });
        record.next += 1;
        record.updated = now;
        if input.set_as_default == Some(true) {
            record.default = number;
        }
        self.commit(vec![managed::put(&record, Expect::Version(version))?]).await?;
        let made = record.version(number).map(|made| shown(made, record.default, false));
        respond(&CreatePolicyVersionResponse { policy_version: made }, call)
    }

    pub(super) async fn get_policy_version(&self, call: &Call, input: GetPolicyVersionRequest) -> Answer {
        let policy_version = match self.named_policy(call, &input.policy_arn).await? {
            Managed::Own { record, .. } => shown(named(&record, &input.version_id)?, record.default, true),
            Managed::Aws(policy) if input.version_id == format!("v{}", policy.version) => WireVersion {
                create_date: Some(wire_time(policy.created())),
                document: Some(encoded(policy.document.trim_end())),
                is_default_version: Some(true),
                version_id: Some(input.version_id),
            },
            Managed::Aws(policy) => return Err(no_such_version(&policy.arn(), &input.version_id).into()),
        };
        respond(&GetPolicyVersionResponse { policy_version: Some(policy_version) }, call)
    }

    pub(super) async fn list_policy_versions(&self, call: &Call, input: ListPolicyVersionsRequest) -> Answer {
        let versions: Vec<WireVersion> = match self.named_policy(call, &input.policy_arn).await? {
            // The newest is told first.
            Managed::Own { record, .. } => {
                record.versions.iter().rev().map(|version| shown(version, record.default, false)).collect()
            }
            Managed::Aws(policy) => vec![WireVersion {
                create_date: Some(wire_time(policy.created())),
                document: None,
                is_default_version: Some(true),
                version_id: Some(format!("v{}", policy.version)),
            }],
        };
        // A policy has five at most; their place in that order is the marker.
        let keyed: Vec<(String, WireVersion)> =
            versions.into_iter().enumerate().map(|(at, version)| (at.to_string(), version)).collect();
        let (shown, marker) = page(&keyed, |(at, _)| at.as_str(), input.marker.as_deref(), input.max_items);
        let versions = Some(shown.into_iter().map(|(_, version)| version).collect());
        respond(&ListPolicyVersionsResponse { is_truncated: Some(marker.is_some()), marker, versions }, call)
    }

    pub(super) async fn set_default_policy_version(
        &self,
        call: &Call,
        input: SetDefaultPolicyVersionRequest,
    ) -> Answer {
        let (mut record, version) = self.own_policy(call, &input.policy_arn).await?;
        record.default = named(&record, &input.version_id)?.number;
        record.updated = self.ambient.now();
        self.commit(vec![managed::put(&record, Expect::Version(version))?]).await?;
        done(call)
    }

    pub(super) async fn delete_policy_version(&self, call: &Call, input: DeletePolicyVersionRequest) -> Answer {
        let (mut record, version) = self.own_policy(call, &input.policy_arn).await?;
        let number = named(&record, &input.version_id)?.number;
        if number == record.default {
            return Err(conflict("Cannot delete the default version of a policy.").into());
        }
        record.versions.retain(|version| version.number != number);
        record.updated = self.ambient.now();
        self.commit(vec![managed::put(&record, Expect::Version(version))?]).await?;
        done(call)
    }
}

fn named<'p>(policy: &'p PolicyRecord, id: &str) -> Result<&'p PolicyVersion, WireError> {
    let number = id.strip_prefix('v').and_then(|number| number.parse().ok());
    number.and_then(|number| policy.version(number)).ok_or_else(|| no_such_version(&policy.arn(), id))
}

fn no_such_version(arn: &str, id: &str) -> WireError {
    refused("NoSuchEntity", format!("Policy {arn} version {id} does not exist or is not attachable."))
}

fn shown(version: &PolicyVersion, default: u32, whole: bool) -> WireVersion {
    WireVersion {
        create_date: Some(wire_time(version.created)),
        document: whole.then(|| encoded(&version.document)),
        is_default_version: Some(version.number == default),
        version_id: Some(format!("v{}", version.number)),
    }
}
