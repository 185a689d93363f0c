//! Inline policies: Put, Get, List and Delete of user, group and role policies. One implementation, three names.

use towpath_store::Expect;
use towpath_wire::WireError;
use towpath_wire::iam::{
    DeleteGroupPolicyRequest, DeleteRolePolicyRequest, DeleteUserPolicyRequest, GetGroupPolicyRequest,
    GetGroupPolicyResponse, GetRolePolicyRequest, GetRolePolicyResponse, GetUserPolicyRequest, GetUserPolicyResponse,
    ListGroupPoliciesRequest, ListGroupPoliciesResponse, ListRolePoliciesRequest, ListRolePoliciesResponse,
    ListUserPoliciesRequest, ListUserPoliciesResponse, PutGroupPolicyRequest, PutRolePolicyRequest,
    PutUserPolicyRequest,
};

use super::super::Identity;
use super::super::holder::{GroupRecord, Holder, Kind, RoleRecord, UserRecord};
use super::super::policy::{self, Policy};
use super::super::shelf::put;
use super::boundary::bound_of;
use super::{Answer, Failure, done, encoded, malformed, page, policy_chars, refused, respond};
use crate::call::Call;

impl Identity {
    async fn put_inline<R: Holder>(&self, call: &Call, name: &str, policy: String, document: String) -> Answer {
        let found = self.named::<R>(call, name, bound_of::<R>(self, name).await?).await?;
        super::roles::modifiable(&found.record)?;
        Policy::parse(&document, policy::Kind::Identity).map_err(malformed)?;
        let mut record = found.record.clone();
        record.grants_mut().policies.insert(policy, document);
        let most = R::KIND.inline_chars_max();
        if record.grants().policies.values().map(|text| policy_chars(text)).sum::<usize>() > most {
            let text = format!("Maximum policy size of {most} bytes exceeded for {} {}", R::KIND.word(), record.name());
            return Err(refused("LimitExceeded", text).into());
        }
        self.commit(vec![put(&record, Expect::Version(found.version))?]).await?;
        done(call)
    }

    /// The holder's name and the document.
    async fn get_inline<R: Holder>(&self, call: &Call, name: &str, policy: &str) -> Result<(String, String), Failure> {
        let found = self.named::<R>(call, name, super::Context::new()).await?;
        let document = found.record.grants().policies.get(policy).ok_or_else(|| no_such_policy(R::KIND, policy))?;
        Ok((found.record.name().to_owned(), encoded(document)))
    }

    async fn list_inline<R: Holder>(
        &self,
        call: &Call,
        name: &str,
        (marker, max_items): (Option<String>, Option<i32>),
    ) -> Result<(Vec<String>, Option<String>), Failure> {
        let found = self.named::<R>(call, name, super::Context::new()).await?;
        let names: Vec<String> = found.record.grants().policies.keys().cloned().collect();
        Ok(page(&names, String::as_str, marker.as_deref(), max_items))
    }

    async fn delete_inline<R: Holder>(&self, call: &Call, name: &str, policy: &str) -> Answer {
        let found = self.named::<R>(call, name, bound_of::<R>(self, name).await?).await?;
        super::roles::modifiable(&found.record)?;
        let mut record = found.record.clone();
        if record.grants_mut().policies.remove(policy).is_none() {
            return Err(no_such_policy(R::KIND, policy).into());
        }
        self.commit(vec![put(&record, Expect::Version(found.version))?]).await?;
        done(call)
    }

    pub(super) async fn put_user_policy(&self, call: &Call, input: PutUserPolicyRequest) -> Answer {
        self.put_inline::<UserRecord>(call, &input.user_name, input.policy_name, input.policy_document).await
    }

    pub(super) async fn put_group_policy(&self, call: &Call, input: PutGroupPolicyRequest) -> Answer {
        self.put_inline::<GroupRecord>(call, &input.group_name, input.policy_name, input.policy_document).await
    }

    pub(super) async fn put_role_policy(&self, call: &Call, input: PutRolePolicyRequest) -> Answer {
        self.put_inline::<RoleRecord>(call, &input.role_name, input.policy_name, input.policy_document).await
    }

    pub(super) async fn get_user_policy(&self, call: &Call, input: GetUserPolicyRequest) -> Answer {
        let (user_name, policy_document) =
            self.get_inline::<UserRecord>(call, &input.user_name, &input.policy_name).await?;
        respond(&GetUserPolicyResponse { policy_document, policy_name: input.policy_name, user_name }, call)
    }

    pub(super) async fn get_group_policy(&self, call: &Call, input: GetGroupPolicyRequest) -> Answer {
        let (group_name, policy_document) =
            self.get_inline::<GroupRecord>(call, &input.group_name, &input.policy_name).await?;
        respond(&GetGroupPolicyResponse { group_name, policy_document, policy_name: input.policy_name }, call)
    }

    pub(super) async fn get_role_policy(&self, call: &Call, input: GetRolePolicyRequest) -> Answer {
        let (role_name, policy_document) =
            self.get_inline::<RoleRecord>(call, &input.role_name, &input.policy_name).await?;
        respond(&GetRolePolicyResponse { policy_document, policy_name: input.policy_name, role_name }, call)
    }

    pub(super) async fn list_user_policies(&self, call: &Call, input: ListUserPoliciesRequest) -> Answer {
        let paging = (input.marker, input.max_items);
        let (policy_names, marker) = self.list_inline::<UserRecord>(call, &input.user_name, paging).await?;
        respond(&ListUserPoliciesResponse { is_truncated: Some(marker.is_some()), marker, policy_names }, call)
    }

    pub(super) async fn list_group_policies(&self, call: &Call, input: ListGroupPoliciesRequest) -> Answer {
        let paging = (input.marker, input.max_items);
        let (policy_names, marker) = self.list_inline::<GroupRecord>(call, &input.group_name, paging).await?;
        respond(&ListGroupPoliciesResponse { is_truncated: Some(marker.is_some()), marker, policy_names }, call)
    }

    pub(super) async fn list_role_policies(&self, call: &Call, input: ListRolePoliciesRequest) -> Answer {
        let paging = (input.marker, input.max_items);
        let (policy_names, marker) = self.list_inline::<RoleRecord>(call, &input.role_name, paging).await?;
        respond(&ListRolePoliciesResponse { is_truncated: Some(marker.is_some()), marker, policy_names }, call)
    }

    pub(super) async fn delete_user_policy(&self, call: &Call, input: DeleteUserPolicyRequest) -> Answer {
        self.delete_inline::<UserRecord>(call, &input.user_name, &input.policy_name).await
    }

    pub(super) async fn delete_group_policy(&self, call: &Call, input: DeleteGroupPolicyRequest) -> Answer {
        self.delete_inline::<GroupRecord>(call, &input.group_name, &input.policy_name).await
    }

    pub(super) async fn delete_role_policy(&self, call: &Call, input: DeleteRolePolicyRequest) -> Answer {
        self.delete_inline::<RoleRecord>(call, &input.role_name, &input.policy_name).await
    }
}

fn no_such_policy(kind: Kind, name: &str) -> WireError {
    refused("NoSuchEntity", format!("The {} policy with name {name} cannot be found.", kind.word()))
}
