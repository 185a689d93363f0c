//! What is told of the account as a whole: GetAccountSummary and ListAccountAliases.

use std::collections::BTreeMap;

use towpath_wire::iam::{GetAccountSummaryResponse, ListAccountAliasesResponse};

use super::super::Identity;
use super::super::holder::Kind;
use super::super::limits::{
    ATTACHED_MAX, GROUPS_PER_USER_MAX, KEYS_PER_USER_MAX, MANAGED_CHARS_MAX, POLICIES_MAX, TRUST_CHARS_MAX,
    VERSIONS_MAX,
};
use super::super::policy::Context;
use super::{Answer, respond};
use crate::call::Call;

impl Identity {
    pub(super) async fn get_account_summary(&self, call: &Call) -> Answer {
        self.may(call, "*", Context::new()).await?;
        let policies = self.policies.all(&self.account).await?;
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::from([
            ("AccessKeysPerUserQuota", KEYS_PER_USER_MAX),
            ("AccountAccessKeysPresent", 1),
            ("AccountMFAEnabled", 0),
            ("AssumeRolePolicySizeQuota", TRUST_CHARS_MAX),
            ("AttachedPoliciesPerGroupQuota", ATTACHED_MAX),
            ("AttachedPoliciesPerRoleQuota", ATTACHED_MAX),
            ("AttachedPoliciesPerUserQuota", ATTACHED_MAX),
            ("GroupsPerUserQuota", GROUPS_PER_USER_MAX),
            ("InstanceProfiles", 0),
            ("MFADevices", 0),
            ("MFADevicesInUse", 0),
            ("PoliciesQuota", POLICIES_MAX),
            ("PolicySizeQuota", MANAGED_CHARS_MAX),
            ("Providers", 0),
            ("ServerCertificates", 0),
            ("VersionsPerPolicyQuota", VERSIONS_MAX),
        ]);
        numbers.insert("Users", self.users.count(&self.account).await?);
        numbers.insert("UsersQuota", Kind::User.count_max());
        numbers.insert("UserPolicySizeQuota", Kind::User.inline_chars_max());
        numbers.insert("Groups", self.groups.count(&self.account).await?);
        numbers.insert("GroupsQuota", Kind::Group.count_max());
        numbers.insert("GroupPolicySizeQuota", Kind::Group.inline_chars_max());
        numbers.insert("Roles", self.roles.count(&self.account).await?);
        numbers.insert("RolesQuota", Kind::Role.count_max());
        numbers.insert("RolePolicySizeQuota", Kind::Role.inline_chars_max());
        numbers.insert("Policies", policies.len());
        numbers.insert("PolicyVersionsInUse", policies.iter().map(|policy| policy.versions.len()).sum());
        let summary = numbers
            .into_iter()
            .map(|(key, number)| (key.to_owned(), i32::try_from(number).unwrap_or(i32::MAX)))
            .collect();
        respond(&GetAccountSummaryResponse { summary_map: Some(summary) }, call)
    }

    /// The account has no other name than its number.
    pub(super) async fn list_account_aliases(&self, call: &Call) -> Answer {
        self.may(call, "*", Context::new()).await?;
        let output =
            ListAccountAliasesResponse { account_aliases: Vec::new(), is_truncated: Some(false), marker: None };
        respond(&output, call)
    }
}
