//! IAM on the wire: users and their keys, groups, roles, policies of all three, managed policies, tags. Each operation
//! checks the caller's own permission first, then that what it names is there. Nothing is changed but by `commit`.

mod absent;
mod account;
mod attached;
mod boundary;
mod groups;
mod inline;
mod keys;
mod members;
mod policies;
mod roles;
mod tags;
mod users;
mod versions;

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use towpath_store::{StoreError, Write};
use towpath_wire::iam::{Operation, SERVICE, Tag};
use towpath_wire::query::{self, Form};
use towpath_wire::schema::Output;
use towpath_wire::{Dialect, WireError};

use super::holder::{GroupRecord, Holder, Kind, RoleRecord, UserRecord};
use super::limits::{ATTEMPTS_MAX, PAGE_DEFAULT, TRUST_CHARS_MAX};
use super::policy::{self, Context, MalformedPolicy, Policy};
use super::shelf::Loaded;
use super::{Identity, Refusal};
use crate::call::{Call, Response};

const UNIQUE_ID_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// What RFC 3986 leaves alone, the form of documents in answers.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why an operation gave no answer.
enum Failure {
    Refused(WireError),
    /// Another node changed what this operation read; it is repeated.
    Conflict,
}

type Answer = Result<Response, Failure>;

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        if error.is_conflict() { Self::Conflict } else { Self::Refused(store_error(error)) }
    }
}

impl Identity {
    /// Answers one IAM request.
    pub async fn handle_iam(&self, call: &Call) -> Response {
        for _ in 0..ATTEMPTS_MAX {
            // Boxed: the future is as large as the largest of all operations.
            match Box::pin(self.iam(call)).await {
                Ok(response) => return response,
                Err(Failure::Conflict) => {}
                Err(Failure::Refused(error)) => return query::respond_error(Some(&SERVICE), &error, &call.request_id),
            }
        }
        let error = refused(
            "ConcurrentModification",
            "The request was rejected because multiple requests to change this object were submitted simultaneously. \
             Wait a few minutes and submit your request again.",
        );
        query::respond_error(Some(&SERVICE), &error, &call.request_id)
    }

    async fn iam(&self, call: &Call) -> Answer {
        let form = Form::parse(None, &call.body)?;
        let Some(operation) = Operation::from_name(&call.operation) else {
            return Err(WireError::invalid_action(&call.operation, form.version()).into());
        };
        if !self.owns(&call.scope) {
            let text = "The account of the caller is not served here.";
            return Err(WireError::access_denied(Dialect::Query, text).into());
        }
        // Temporary credentials of a user, got without a second factor, are not for IAM.
        if call.principal.user_caller().is_some_and(|caller| caller.session.is_some()) {
            return Err(WireError::invalid_token(Dialect::Query).into());
        }
        match operation {
            Operation::AddUserToGroup => self.add_user_to_group(call, form.decode()?).await,
            Operation::AttachGroupPolicy => self.attach_group_policy(call, form.decode()?).await,
            Operation::AttachRolePolicy => self.attach_role_policy(call, form.decode()?).await,
            Operation::AttachUserPolicy => self.attach_user_policy(call, form.decode()?).await,
            Operation::CreateAccessKey => self.create_access_key(call, form.decode()?).await,
            Operation::CreateGroup => self.create_group(call, form.decode()?).await,
            Operation::CreatePolicy => self.create_policy(call, form.decode()?).await,
            Operation::CreatePolicyVersion => self.create_policy_version(call, form.decode()?).await,
            Operation::CreateRole => self.create_role(call, form.decode()?).await,
            Operation::CreateUser => self.create_user(call, form.decode()?).await,
            Operation::DeleteAccessKey => self.delete_access_key(call, form.decode()?).await,
            Operation::DeleteGroup => self.delete_group(call, form.decode()?).await,
            Operation::DeleteGroupPolicy => self.delete_group_policy(call, form.decode()?).await,
            Operation::DeleteLoginProfile => self.delete_login_profile(call, form.decode()?).await,
            Operation::DeletePolicy => self.delete_policy(call, form.decode()?).await,
            Operation::DeletePolicyVersion => self.delete_policy_version(call, form.decode()?).await,
            Operation::DeleteRole => self.delete_role(call, form.decode()?).await,
            Operation::DeleteRolePermissionsBoundary => self.delete_role_boundary(call, form.decode()?).await,
            Operation::DeleteRolePolicy => self.delete_role_policy(call, form.decode()?).await,
            Operation::DeleteUser => self.delete_user(call, form.decode()?).await,
            Operation::DeleteUserPermissionsBoundary => self.delete_user_boundary(call, form.decode()?).await,
            Operation::DeleteUserPolicy => self.delete_user_policy(call, form.decode()?).await,
            Operation::DetachGroupPolicy => self.detach_group_policy(call, form.decode()?).await,
            Operation::DetachRolePolicy => self.detach_role_policy(call, form.decode()?).await,
            Operation::DetachUserPolicy => self.detach_user_policy(call, form.decode()?).await,
            Operation::GetAccessKeyLastUsed => self.get_access_key_last_used(call, form.decode()?).await,
            Operation::GetAccountSummary => self.get_account_summary(call).await,
            Operation::GetGroup => self.get_group(call, form.decode()?).await,
            Operation::GetGroupPolicy => self.get_group_policy(call, form.decode()?).await,
            Operation::GetLoginProfile => self.get_login_profile(call, form.decode()?).await,
            Operation::GetPolicy => self.get_policy(call, form.decode()?).await,
            Operation::GetPolicyVersion => self.get_policy_version(call, form.decode()?).await,
            Operation::GetRole => self.get_role(call, form.decode()?).await,
            Operation::GetRolePolicy => self.get_role_policy(call, form.decode()?).await,
            Operation::GetUser => self.get_user(call, form.decode()?).await,
            Operation::GetUserPolicy => self.get_user_policy(call, form.decode()?).await,
            Operation::ListAccessKeys => self.list_access_keys(call, form.decode()?).await,
            Operation::ListAccountAliases => self.list_account_aliases(call).await,
            Operation::ListAttachedGroupPolicies => self.list_attached_group_policies(call, form.decode()?).await,
            Operation::ListAttachedRolePolicies => self.list_attached_role_policies(call, form.decode()?).await,
            Operation::ListAttachedUserPolicies => self.list_attached_user_policies(call, form.decode()?).await,
            Operation::ListEntitiesForPolicy => self.list_entities_for_policy(call, form.decode()?).await,
            Operation::ListGroupPolicies => self.list_group_policies(call, form.decode()?).await,
            Operation::ListGroups => self.list_groups(call, form.decode()?).await,
            Operation::ListGroupsForUser => self.list_groups_for_user(call, form.decode()?).await,
            Operation::ListInstanceProfiles => self.list_instance_profiles(call).await,
            Operation::ListInstanceProfilesForRole => self.list_instance_profiles_for_role(call, form.decode()?).await,
            Operation::ListMFADevices => self.list_mfa_devices(call, form.decode()?).await,
            Operation::ListPolicies => self.list_policies(call, form.decode()?).await,
            Operation::ListPolicyTags => self.list_policy_tags(call, form.decode()?).await,
            Operation::ListPolicyVersions => self.list_policy_versions(call, form.decode()?).await,
            Operation::ListRolePolicies => self.list_role_policies(call, form.decode()?).await,
            Operation::ListRoleTags => self.list_role_tags(call, form.decode()?).await,
            Operation::ListRoles => self.list_roles(call, form.decode()?).await,
            Operation::ListSSHPublicKeys => self.list_ssh_public_keys(call, form.decode()?).await,
            Operation::ListServiceSpecificCredentials => {
                self.list_service_specific_credentials(call, form.decode()?).await
            }
            Operation::ListSigningCertificates => self.list_signing_certificates(call, form.decode()?).await,
            Operation::ListUserPolicies => self.list_user_policies(call, form.decode()?).await,
            Operation::ListUserTags => self.list_user_tags(call, form.decode()?).await,
            Operation::ListUsers => self.list_users(call, form.decode()?).await,
            Operation::ListVirtualMFADevices => self.list_virtual_mfa_devices(call).await,
            Operation::PutGroupPolicy => self.put_group_policy(call, form.decode()?).await,
            Operation::PutRolePermissionsBoundary => self.put_role_boundary(call, form.decode()?).await,
            Operation::PutRolePolicy => self.put_role_policy(call, form.decode()?).await,
            Operation::PutUserPermissionsBoundary => self.put_user_boundary(call, form.decode()?).await,
            Operation::PutUserPolicy => self.put_user_policy(call, form.decode()?).await,
            Operation::RemoveRoleFromInstanceProfile => {
                self.remove_role_from_instance_profile(call, form.decode()?).await
            }
            Operation::RemoveUserFromGroup => self.remove_user_from_group(call, form.decode()?).await,
            Operation::SetDefaultPolicyVersion => self.set_default_policy_version(call, form.decode()?).await,
            Operation::TagPolicy => self.tag_policy(call, form.decode()?).await,
            Operation::TagRole => self.tag_role(call, form.decode()?).await,
            Operation::TagUser => self.tag_user(call, form.decode()?).await,
            Operation::UntagPolicy => self.untag_policy(call, form.decode()?).await,
            Operation::UntagRole => self.untag_role(call, form.decode()?).await,
            Operation::UntagUser => self.untag_user(call, form.decode()?).await,
            Operation::UpdateAccessKey => self.update_access_key(call, form.decode()?).await,
            Operation::UpdateAssumeRolePolicy => self.update_assume_role_policy(call, form.decode()?).await,
            Operation::UpdateGroup => self.update_group(call, form.decode()?).await,
            Operation::UpdateRole => self.update_role(call, form.decode()?).await,
            Operation::UpdateRoleDescription => self.update_role_description(call, form.decode()?).await,
            Operation::UpdateUser => self.update_user(call, form.decode()?).await,
        }
    }

    async fn may(&self, call: &Call, resource: &str, context: Context) -> Result<(), Failure> {
        let action = format!("iam:{}", call.operation);
        let answer = self.authorize(&call.principal, &action, resource, call.context().merged(context)).await;
        Ok(answer.map_err(|refusal| match refusal {
            Refusal::Denied(denied) => WireError::access_denied(Dialect::Query, denied.to_string()),
            Refusal::Unavailable(error) => store_error(error),
        })?)
    }

    /// The holder that an operation names, once the caller may do that to it. `context` are the condition keys of the
    /// operation.
    async fn named<R: Holder>(&self, call: &Call, name: &str, context: Context) -> Result<Arc<Loaded<R>>, Failure> {
        let found = R::shelf(self).find(&self.account, name).await?;
        // A caller without permission does not learn whether there is one.
        let arn = match &found {
            Some(found) => found.record.arn(),
            None => format!("arn:aws:iam::{}:{}/{name}", self.account, R::KIND.word()),
        };
        let tags = found.as_ref().map_or(&[][..], |found| found.record.tags());
        self.may(call, &arn, resource_tags(context, tags)).await?;
        Ok(found.ok_or_else(|| no_such(R::KIND, name))?)
    }

    async fn named_user(&self, call: &Call, name: &str) -> Result<Arc<Loaded<UserRecord>>, Failure> {
        self.named(call, name, Context::new()).await
    }

    async fn named_group(&self, call: &Call, name: &str) -> Result<Arc<Loaded<GroupRecord>>, Failure> {
        self.named(call, name, Context::new()).await
    }

    async fn named_role(&self, call: &Call, name: &str) -> Result<Arc<Loaded<RoleRecord>>, Failure> {
        self.named(call, name, Context::new()).await
    }

    /// A user's name, or the caller's own where none was given.
    fn or_caller(call: &Call, name: Option<String>) -> Result<String, WireError> {
        let own = || call.principal.user_caller().map(|caller| caller.name.clone());
        let missing =
            || WireError::validation(&SERVICE, "Must specify userName when calling with non-User credentials");
        name.or_else(own).ok_or_else(missing)
    }

    /// Makes all the changes or none.
    async fn commit(&self, writes: Vec<Write>) -> Result<(), Failure> {
        self.documents.write(writes).await?;
        Ok(())
    }

    /// A trust policy must parse, fit, and name nobody of this account who is not there.
    async fn check_trust(&self, text: &str) -> Result<(), Failure> {
        let policy = Policy::parse(text, policy::Kind::Trust).map_err(malformed)?;
        if policy_chars(text) > TRUST_CHARS_MAX {
            return Err(quota("ACLSizePerRole", TRUST_CHARS_MAX).into());
        }
        for principal in policy.aws_principals() {
            if !self.is_there(principal).await? {
                let text = format!("Invalid principal in policy: \"AWS\":\"{principal}\"");
                return Err(refused("MalformedPolicyDocument", text).into());
            }
        }
        Ok(())
    }

    /// Whether a principal that a policy names exists, as far as this account can know.
    pub(in crate::identity) async fn is_there(&self, principal: &str) -> Result<bool, StoreError> {
        let own = |kind| super::holder::split_arn(principal, kind).is_some_and(|(account, _)| account == self.account);
        if own(Kind::Role) {
            return Ok(self.roles.load_arn(principal).await?.is_some());
        }
        if own(Kind::User) {
            return Ok(self.users.load_arn(principal).await?.is_some());
        }
        Ok(true)
    }

    /// A new unique id, which never comes back.
    fn unique_id(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.ambient.text(UNIQUE_ID_ALPHABET, 17))
    }
}

fn respond<T: Output>(output: &T, call: &Call) -> Answer {
    Ok(query::respond(output, &call.request_id).map_err(|error| {
        tracing::error!(%error, operation = call.operation, "an IAM answer cannot be written");
        WireError::internal(Dialect::Query)
    })?)
}

#[expect(clippy::unnecessary_wraps, reason = "the form in which every operation ends")]
fn done(call: &Call) -> Answer {
    Ok(query::respond_empty(&SERVICE, &call.operation, &call.request_id))
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
pub(super) fn store_error(error: StoreError) -> WireError {
    tracing::error!(%error, source = ?std::error::Error::source(&error), "identity documents cannot be used");
    match error {
        StoreError::DiskFull { .. } => WireError::disk_full(Dialect::Query),
        _ => WireError::internal(Dialect::Query),
    }
}

fn refused(code: &'static str, text: impl Into<String>) -> WireError {
    WireError::modeled(&SERVICE, code, text)
}

fn malformed(error: MalformedPolicy) -> WireError {
    refused("MalformedPolicyDocument", error.0)
}

fn no_such(kind: Kind, name: &str) -> WireError {
    refused("NoSuchEntity", format!("The {} with name {name} cannot be found.", kind.word()))
}

fn conflict(text: &str) -> WireError {
    refused("DeleteConflict", text)
}

fn taken(kind: Kind, name: &str) -> WireError {
    refused("EntityAlreadyExists", format!("{} with name {name} already exists.", kind.title()))
}

fn quota(name: &str, most: usize) -> WireError {
    refused("LimitExceeded", format!("Cannot exceed quota for {name}: {most}"))
}

fn policy_chars(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}

fn encoded(document: &str) -> String {
    utf8_percent_encode(document, UNRESERVED).to_string()
}

fn wire_tags(tags: &[(String, String)]) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() }).collect()
}

/// The tags of what an operation is about, as condition keys.
fn resource_tags(mut context: Context, tags: &[(String, String)]) -> Context {
    for (key, value) in tags {
        context.set(&format!("aws:ResourceTag/{key}"), value.as_str());
        context.set(&format!("iam:ResourceTag/{key}"), value.as_str());
    }
    context
}

/// The tags that a request gives, as condition keys.
fn request_tags(mut context: Context, tags: &[(String, String)]) -> Context {
    for (key, value) in tags {
        context.set(&format!("aws:RequestTag/{key}"), value.as_str());
    }
    tag_keys(context, tags.iter().map(|(key, _)| key.clone()).collect())
}

fn tag_keys(context: Context, keys: Vec<String>) -> Context {
    if keys.is_empty() { context } else { context.with_many("aws:TagKeys", keys) }
}

/// `MaxItems` as a number of items.
fn page_size(max_items: Option<i32>) -> usize {
    max_items.and_then(|items| usize::try_from(items).ok()).unwrap_or(PAGE_DEFAULT)
}

/// One page of items that are all in memory, sorted by name. The marker is the last item's name.
fn page<T: Clone>(
    items: &[T],
    name: impl Fn(&T) -> &str,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> (Vec<T>, Option<String>) {
    let start = marker.map_or(0, |marker| items.iter().take_while(|item| name(item) <= marker).count());
    let rest = &items[start..];
    let size = page_size(max_items).min(rest.len());
    let next = (size < rest.len() && size > 0).then(|| name(&rest[size - 1]).to_owned());
    (rest[..size].to_vec(), next)
}
