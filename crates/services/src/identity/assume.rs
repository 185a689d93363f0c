//! Assuming a role: the trust policy's word, the limits of a session, and the credentials. `sts` puts it on the wire;
//! the embedded services and the orchestrator's checks call it directly.

use towpath_model::secret::Secret;
use towpath_model::time::Timestamp;
use towpath_wire::{Dialect, WireError, sts};

use super::holder::{self, Holder as _, RoleRecord, split_arn};
use super::limits::{SESSION_POLICY_CHARS_MAX, SESSION_TAGS_CHARS_MAX};
use super::policy::{Caller, Context, Grant, Kind, Policy, Request, evaluate_resource_policy};
use super::session::TOKEN_CHARS_MAX;
use super::shelf::Loaded;
use super::{Identity, Principal, PrincipalKind, RoleSession};

const ASSUME: &str = "sts:AssumeRole";
const DEFAULT_SECONDS: i32 = 3_600;
const CHAINED_SECONDS_MAX: i32 = 3_600;

/// The members of AssumeRole that mean something here.
#[derive(Debug, Clone, Default)]
pub struct AssumeRequest {
    pub role_arn: String,
    pub session_name: String,
    pub seconds: Option<i32>,
    pub policy: Option<String>,
    /// Managed policies that limit the session together with `policy`.
    pub policy_arns: Vec<String>,
    pub external_id: Option<String>,
    pub source_identity: Option<String>,
    pub tags: Vec<(String, String)>,
    pub transitive_tags: Vec<String>,
}

/// Credentials of a session, and who it is.
#[derive(Debug, Clone)]
pub struct SessionCredentials {
    pub access_key: String,
    pub secret: Secret,
    pub token: Secret,
    pub expires: Timestamp,
    pub principal: Principal,
    /// Percent of the room for session policies and tags that is used; `None` without any.
    pub packed_percent: Option<i32>,
}

impl Identity {
    /// A service assumes a role for itself: what embedded CodeBuild does with a project's service role.
    pub async fn assume_as_service(
        &self,
        service: &str,
        request: AssumeRequest,
        context: Context,
    ) -> Result<SessionCredentials, WireError> {
        self.assume(&Principal::service(&self.account, service), request, context).await
    }

    /// Whether `service` may assume `role_arn` with these condition keys (`aws:SourceArn`, `aws:SourceAccount`), or why
    /// not. Nothing is issued.
    pub async fn test_assume(&self, service: &str, role_arn: &str, context: Context) -> Result<(), WireError> {
        let principal = Principal::service(&self.account, service);
        let request = AssumeRequest { role_arn: role_arn.to_owned(), ..AssumeRequest::default() };
        self.trusted(&principal, &request, context).await.map(|_| ())
    }

    /// AssumeRole for any principal.
    pub async fn assume(
        &self,
        principal: &Principal,
        request: AssumeRequest,
        context: Context,
    ) -> Result<SessionCredentials, WireError> {
        let role = self.trusted(principal, &request, context).await?;
        let limit = role.record.max_session_seconds;
        let seconds = request.seconds.unwrap_or(DEFAULT_SECONDS);
        let parent = principal.role_session();
        if principal.is_temporary() && seconds > CHAINED_SECONDS_MAX {
            return Err(invalid(
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
            ));
        }
        if seconds > limit && !matches!(principal.kind, PrincipalKind::Service(_)) {
            return Err(invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role."));
        }
        let tags = inherited_tags(parent, &request.tags)?;
        let account = role.record.account.as_str();
        let packed = self.session_limits(account, request.policy.as_deref(), &request.policy_arns, &tags).await?;

        let now = self.ambient.now();
        let mut transitive_tags = parent.map(|session| session.transitive_tags.clone()).unwrap_or_default();
        transitive_tags.extend(request.transitive_tags);
        let session = RoleSession {
            role_name: role.record.name.clone(),
            role_arn: role.record.arn(),
            role_id: role.record.id.clone(),
            session_name: request.session_name,
            session_policy: request.policy,
            policy_arns: request.policy_arns,
            issued: now,
            expires: now.plus_millis(i64::from(seconds) * 1000),
            source_identity: parent.and_then(|session| session.source_identity.clone()).or(request.source_identity),
            tags,
            transitive_tags,
        };
        let issued = self.seal.issue(&role.record.account, &session, &self.ambient);
        if issued.token.expose().len() > TOKEN_CHARS_MAX {
            return Err(too_large(100));
        }
        Ok(SessionCredentials {
            access_key: issued.key.id,
            secret: issued.key.secret,
            token: issued.token,
            expires: session.expires,
            principal: Principal::session(&role.record.account, session),
            packed_percent: packed,
        })
    }

    /// The role, if it exists and both sides let the principal assume it.
    async fn trusted(
        &self,
        principal: &Principal,
        request: &AssumeRequest,
        context: Context,
    ) -> Result<std::sync::Arc<Loaded<RoleRecord>>, WireError> {
        let role_arn = request.role_arn.as_str();
        if split_arn(role_arn, holder::Kind::Role).is_none() {
            return Err(invalid(format!("{role_arn} is invalid")));
        }
        if matches!(principal.kind, PrincipalKind::Root) {
            return Err(WireError::access_denied(Dialect::Query, "Roles may not be assumed by root accounts."));
        }
        let denied = |action: &str| {
            let text =
                format!("User: {} is not authorized to perform: {action} on resource: {role_arn}", principal.arn);
            WireError::access_denied(Dialect::Query, text)
        };
        // A missing role and a refusing one look the same.
        let role =
            self.roles.load_arn(role_arn).await.map_err(super::iam::store_error)?.ok_or_else(|| denied(ASSUME))?;
        let context = assume_context(request, context);
        let mut actions = vec![ASSUME];
        if !request.tags.is_empty() {
            actions.push("sts:TagSession");
        }
        if request.source_identity.is_some() {
            actions.push("sts:SetSourceIdentity");
        }
        for action in actions {
            if !self.trusts(principal, &role, action, context.clone()).await? {
                return Err(denied(action));
            }
        }
        Ok(role)
    }

    async fn trusts(
        &self,
        principal: &Principal,
        role: &Loaded<RoleRecord>,
        action: &str,
        context: Context,
    ) -> Result<bool, WireError> {
        let held = self.held(principal).await.map_err(super::iam::store_error)?;
        let context = context.merged(held.context(principal, self.ambient.now()));
        let arn = role.record.arn();
        let request = Request { action, resource: &arn, context: &context };
        let caller = principal.as_caller();
        let Some(trust) = &role.trust else { return Ok(false) };
        let grant = evaluate_resource_policy(trust, caller, request);
        if let Caller::Service(_) = caller {
            return Ok(grant == Grant::Direct);
        }
        let same_account = principal.account == role.record.account;
        Ok(match grant {
            Grant::ExplicitDeny | Grant::Silent => false,
            Grant::Direct | Grant::Role if same_account => held.decide(request, grant).is_ok(),
            // Named by its account, or from another account: its own policies must allow as well.
            Grant::Account | Grant::Direct | Grant::Role => held.decide(request, Grant::Account).is_ok(),
        })
    }

    /// Whether session policies can be read and fit, and how much of the room they and the tags take, in percent.
    pub(super) async fn session_limits(
        &self,
        account: &str,
        policy: Option<&str>,
        arns: &[String],
        tags: &[(String, String)],
    ) -> Result<Option<i32>, WireError> {
        let malformed = |text: String| WireError::modeled(&sts::SERVICE, "MalformedPolicyDocument", text);
        if let Some(policy) = policy {
            Policy::parse(policy, Kind::Identity).map_err(|error| malformed(error.0))?;
        }
        for arn in arns {
            let found = self.policies.find(account, arn).await.map_err(super::iam::store_error)?;
            found.ok_or_else(|| malformed(format!("Policy {arn} does not exist or is not attachable.")))?;
        }
        let policies = policy.map_or(0, str::len) + arns.iter().map(String::len).sum::<usize>();
        let tags: usize = tags.iter().map(|(key, value)| key.len() + value.len()).sum();
        let percent = |used: usize, room: usize| (used * 100).div_ceil(room);
        let percent = percent(policies, SESSION_POLICY_CHARS_MAX).max(percent(tags, SESSION_TAGS_CHARS_MAX));
        let percent = i32::try_from(percent).unwrap_or(i32::MAX);
        if percent > 100 {
            return Err(too_large(percent));
        }
        Ok((percent > 0).then_some(percent))
    }
}

fn assume_context(request: &AssumeRequest, context: Context) -> Context {
    let mut context = context
        .with("sts:RoleSessionName", request.session_name.as_str())
        .with_optional("sts:ExternalId", request.external_id.clone())
        .with_optional("sts:SourceIdentity", request.source_identity.clone())
        .with_optional("sts:DurationSeconds", request.seconds.map(|seconds| seconds.to_string()));
    if !request.tags.is_empty() {
        context = context.with_many("aws:TagKeys", request.tags.iter().map(|(key, _)| key.clone()).collect());
        for (key, value) in &request.tags {
            context.set(&format!("aws:RequestTag/{key}"), value.as_str());
        }
    }
    if request.transitive_tags.is_empty() {
        context
    } else {
        context.with_many("sts:TransitiveTagKeys", request.transitive_tags.clone())
    }
}

/// The new session's tags: those handed down cannot be replaced.
pub(super) fn inherited_tags(
    parent: Option<&RoleSession>,
    passed: &[(String, String)],
) -> Result<Vec<(String, String)>, WireError> {
    let mut tags: Vec<(String, String)> = Vec::new();
    if let Some(parent) = parent {
        let handed_down = |key: &str| parent.transitive_tags.iter().any(|known| known.eq_ignore_ascii_case(key));
        tags.extend(parent.tags.iter().filter(|(key, _)| handed_down(key)).cloned());
    }
    for (key, value) in passed {
        if tags.iter().any(|(known, _)| known.eq_ignore_ascii_case(key)) {
            return Err(invalid(format!(
                "Duplicate tag keys found. Tag key {key} is passed twice, or was handed down by the calling session."
            )));
        }
        tags.push((key.clone(), value.clone()));
    }
    Ok(tags)
}

pub(super) fn too_large(percent: i32) -> WireError {
    let text = format!("Packed size of session tags consumes {percent}% of allotted space.");
    WireError::modeled(&sts::SERVICE, "PackedPolicyTooLarge", text)
}

pub(super) fn invalid(message: impl Into<String>) -> WireError {
    WireError::validation(&sts::SERVICE, message)
}
