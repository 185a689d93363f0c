//! May a principal do this? Root may; a session may what its role's policies and its session policy both allow; a service
//! may what a resource's policy says. An explicit deny anywhere is final.

use towpath_store::StoreError;

use super::policy::{Context, Grant, Kind, Policy, Request, Verdict, evaluate, evaluate_resource_policy};
use super::{Identity, Principal, PrincipalKind};

/// A refusal with the facts that AWS puts into its sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    pub principal: String,
    pub action: String,
    /// `*` for an action without resource types.
    pub resource: String,
    reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    NoIdentityPolicy,
    NoSessionPolicy,
    NoResourcePolicy,
    IdentityDeny,
    SessionDeny,
    ResourceDeny,
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let resource = &self.resource;
        self.write(f, &format_args!("{resource}"))
    }
}

impl std::error::Error for Denied {}

impl Denied {
    /// S3 puts the resource in quotation marks.
    pub fn s3_text(&self) -> String {
        struct Quoted<'a>(&'a Denied);
        impl std::fmt::Display for Quoted<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let resource = &self.0.resource;
                self.0.write(f, &format_args!("\"{resource}\""))
            }
        }
        Quoted(self).to_string()
    }

    fn write(&self, f: &mut std::fmt::Formatter<'_>, resource: &std::fmt::Arguments<'_>) -> std::fmt::Result {
        let Self { principal, action, reason, .. } = self;
        write!(f, "User: {principal} is not authorized to perform: {action} on resource: {resource} ")?;
        match reason {
            Reason::NoIdentityPolicy => write!(f, "because no identity-based policy allows the {action} action"),
            Reason::NoSessionPolicy => write!(f, "because no session policy allows the {action} action"),
            Reason::NoResourcePolicy => write!(f, "because no resource-based policy allows the {action} action"),
            Reason::IdentityDeny => f.write_str("with an explicit deny in an identity-based policy"),
            Reason::SessionDeny => f.write_str("with an explicit deny in a session policy"),
            Reason::ResourceDeny => f.write_str("with an explicit deny in a resource-based policy"),
        }
    }
}

/// Why there is no permission: the policies say no, or they cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("permissions cannot be looked up")]
    Unavailable(#[source] StoreError),
}

impl Identity {
    /// Whether `principal` may perform `action` on `resource` (an ARN, or `*` for an action without resource types).
    /// `context` holds the request's own condition keys; the caller's are added here.
    pub async fn authorize(
        &self,
        principal: &Principal,
        action: &str,
        resource: &str,
        context: Context,
    ) -> Result<(), Refusal> {
        self.authorize_with(principal, action, resource, context, None).await
    }

    /// The same for a resource that carries a policy of its own, such as a bucket.
    pub async fn authorize_with(
        &self,
        principal: &Principal,
        action: &str,
        resource: &str,
        context: Context,
        resource_policy: Option<&Policy>,
    ) -> Result<(), Refusal> {
        let context = context.merged(principal.context(self.ambient.now()));
        let request = Request { action, resource, context: &context };
        let grant = resource_policy
            .map_or(Grant::Silent, |policy| evaluate_resource_policy(policy, principal.as_caller(), request));
        let denied = |reason| {
            Err(Refusal::Denied(Denied {
                principal: principal.arn.clone(),
                action: action.to_owned(),
                resource: resource.to_owned(),
                reason,
            }))
        };
        if grant == Grant::ExplicitDeny {
            return denied(Reason::ResourceDeny);
        }
        let session = match &principal.kind {
            PrincipalKind::Root => return Ok(()),
            PrincipalKind::Service(_) if grant == Grant::Direct => return Ok(()),
            PrincipalKind::Service(_) => return denied(Reason::NoResourcePolicy),
            PrincipalKind::AssumedRole(session) => session,
        };
        let role = self.roles.load(&principal.account, &session.role_name).await.map_err(Refusal::Unavailable)?;
        // A role that was deleted, and one that took its name, give the old session nothing.
        let role = role.filter(|role| role.record.id == session.role_id);
        let by_role = role.map_or(Verdict::Silent, |role| evaluate(&role.policies, request));
        let by_session = match &session.session_policy {
            // It was parsed when the session began; one that does not parse any more allows nothing.
            Some(text) => {
                Policy::parse(text, Kind::Identity).map_or(Verdict::Silent, |policy| evaluate([&policy], request))
            }
            None => Verdict::Allow,
        };
        match (by_role, by_session, grant) {
            (Verdict::ExplicitDeny, ..) => denied(Reason::IdentityDeny),
            (_, Verdict::ExplicitDeny, _) => denied(Reason::SessionDeny),
            (.., Grant::Direct) | (Verdict::Allow, Verdict::Allow, _) | (_, Verdict::Allow, Grant::Role) => Ok(()),
            (Verdict::Allow, ..) | (_, _, Grant::Role) => denied(Reason::NoSessionPolicy),
            (Verdict::Silent, ..) => denied(Reason::NoIdentityPolicy),
        }
    }

    /// `iam:PassRole`: whether the caller may hand `role_arn` to `service`.
    pub async fn authorize_pass_role(
        &self,
        principal: &Principal,
        role_arn: &str,
        service: &str,
        context: Context,
    ) -> Result<(), Refusal> {
        self.authorize(principal, "iam:PassRole", role_arn, context.with("iam:PassedToService", service)).await
    }
}
