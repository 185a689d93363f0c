//! IAM on the wire: roles, their trust, inline policies and tags. Each operation checks the caller's own permission on
//! the role first, then that the role is there.

mod policies;
mod roles;
mod tags;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use towpath_store::StoreError;
use towpath_wire::iam::{Operation, SERVICE, Tag};
use towpath_wire::query::{self, Form};
use towpath_wire::schema::Output;
use towpath_wire::{Dialect, WireError};

use super::policy::{Context, Kind, MalformedPolicy, Policy};
use super::role::{Changed, LoadedRole, split_role_arn};
use super::{Identity, Refusal};
use crate::call::{Call, Response};

const PAGE_DEFAULT: usize = 100;
/// White space in a policy does not count towards its size.
const TRUST_CHARS_MAX: usize = 2_048;
const INLINE_CHARS_MAX: usize = 10_240;
const TAGS_MAX: usize = 50;
/// What RFC 3986 leaves alone, the form of documents in answers.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Identity {
    /// Answers one IAM request.
    pub async fn handle_iam(&self, call: &Call) -> Response {
        match self.iam(call).await {
            Ok(response) => response,
            Err(error) => query::respond_error(Some(&SERVICE), &error, &call.request_id),
        }
    }

    async fn iam(&self, call: &Call) -> Result<Response, WireError> {
        let form = Form::parse(None, &call.body)?;
        let Some(operation) = Operation::from_name(&call.operation) else {
            return Err(WireError::invalid_action(&call.operation, form.version()));
        };
        if !self.owns(&call.scope) {
            return Err(WireError::access_denied(Dialect::Query, "The account of the caller is not served here."));
        }
        match operation {
            Operation::CreateRole => self.create_role(call, form.decode()?).await,
            Operation::DeleteRole => self.delete_role(call, form.decode()?).await,
            Operation::DeleteRolePolicy => self.delete_role_policy(call, form.decode()?).await,
            Operation::GetRole => self.get_role(call, form.decode()?).await,
            Operation::GetRolePolicy => self.get_role_policy(call, form.decode()?).await,
            Operation::ListAttachedRolePolicies => self.list_attached_role_policies(call, form.decode()?).await,
            Operation::ListInstanceProfilesForRole => self.list_instance_profiles_for_role(call, form.decode()?).await,
            Operation::ListRolePolicies => self.list_role_policies(call, form.decode()?).await,
            Operation::ListRoleTags => self.list_role_tags(call, form.decode()?).await,
            Operation::ListRoles => self.list_roles(call, form.decode()?).await,
            Operation::PutRolePolicy => self.put_role_policy(call, form.decode()?).await,
            Operation::TagRole => self.tag_role(call, form.decode()?).await,
            Operation::UntagRole => self.untag_role(call, form.decode()?).await,
            Operation::UpdateAssumeRolePolicy => self.update_assume_role_policy(call, form.decode()?).await,
            Operation::UpdateRole => self.update_role(call, form.decode()?).await,
        }
    }

    async fn may(&self, call: &Call, resource: &str, context: Context) -> Result<(), WireError> {
        let action = format!("iam:{}", call.operation);
        let answer = self.authorize(&call.principal, &action, resource, call.context().merged(context)).await;
        answer.map_err(|refusal| match refusal {
            Refusal::Denied(denied) => WireError::access_denied(Dialect::Query, denied.to_string()),
            Refusal::Unavailable(error) => store_error(error),
        })
    }

    /// The role that an operation names, once the caller may do that to it.
    async fn named_role(&self, call: &Call, name: &str) -> Result<std::sync::Arc<LoadedRole>, WireError> {
        let role = self.roles.load(&self.account, name).await.map_err(store_error)?;
        // A caller without permission does not learn whether the role exists.
        let arn = match &role {
            Some(role) => role.record.arn(),
            None => format!("arn:aws:iam::{}:role/{name}", self.account),
        };
        let mut context = Context::new();
        for (key, value) in role.iter().flat_map(|role| &role.record.tags) {
            context.set(&format!("aws:ResourceTag/{key}"), value.as_str());
            context.set(&format!("iam:ResourceTag/{key}"), value.as_str());
        }
        self.may(call, &arn, context).await?;
        role.ok_or_else(|| no_such_role(name))
    }

    /// A trust policy must parse, fit, and name no role of this account that is not there.
    async fn check_trust(&self, text: &str) -> Result<(), WireError> {
        let policy = Policy::parse(text, Kind::Trust).map_err(malformed)?;
        if policy_chars(text) > TRUST_CHARS_MAX {
            let text = format!("Cannot exceed quota for ACLSizePerRole: {TRUST_CHARS_MAX}");
            return Err(WireError::modeled(&SERVICE, "LimitExceeded", text));
        }
        for principal in policy.aws_principals() {
            let Some((account, _)) = split_role_arn(principal) else { continue };
            if account == self.account && self.roles.load_arn(principal).await.map_err(store_error)?.is_none() {
                let text = format!("Invalid principal in policy: \"AWS\":\"{principal}\"");
                return Err(WireError::modeled(&SERVICE, "MalformedPolicyDocument", text));
            }
        }
        Ok(())
    }
}

fn respond<T: Output>(output: &T, call: &Call) -> Result<Response, WireError> {
    query::respond(output, &call.request_id).map_err(|error| {
        tracing::error!(%error, operation = call.operation, "an IAM answer cannot be written");
        WireError::internal(Dialect::Query)
    })
}

fn done(call: &Call) -> Response {
    query::respond_empty(&SERVICE, &call.operation, &call.request_id)
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
pub(super) fn store_error(error: StoreError) -> WireError {
    tracing::error!(%error, source = ?std::error::Error::source(&error), "identity documents cannot be used");
    match error {
        StoreError::DiskFull { .. } => WireError::disk_full(Dialect::Query),
        _ => WireError::internal(Dialect::Query),
    }
}

fn malformed(error: MalformedPolicy) -> WireError {
    WireError::modeled(&SERVICE, "MalformedPolicyDocument", error.0)
}

fn no_such_role(name: &str) -> WireError {
    WireError::modeled(&SERVICE, "NoSuchEntity", format!("The role with name {name} cannot be found."))
}

fn changed(name: &str) -> impl Fn(Changed<WireError>) -> WireError {
    move |failure| match failure {
        Changed::Missing => no_such_role(name),
        Changed::Refused(error) => error,
        Changed::Failed(error) => store_error(error),
    }
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

/// `MaxItems` as a number of items.
fn page_size(max_items: Option<i32>) -> usize {
    max_items.and_then(|items| usize::try_from(items).ok()).unwrap_or(PAGE_DEFAULT)
}

/// One page of items that are all in memory. The marker is the last item's name.
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
