//! May a principal do this? Root may; a user or a session may what its policies, its boundary and its session policies all
//! allow; a service may what a resource's policy says; nobody at all what it says of everyone. An explicit deny anywhere
//! is final.

use towpath_store::StoreError;

use super::policy::{Caller, Context, Grant, Policy, Request, evaluate_resource_policy};
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
pub(super) enum Reason {
    NoIdentityPolicy,
    NoBoundary,
    NoSessionPolicy,
    NoResourcePolicy,
    IdentityDeny,
    BoundaryDeny,
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
    /// A policy forbids it, which nothing else can allow.
    pub fn is_explicit(&self) -> bool {
        matches!(self.reason, Reason::IdentityDeny | Reason::BoundaryDeny | Reason::SessionDeny | Reason::ResourceDeny)
    }

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
            Reason::NoBoundary => write!(f, "because no permissions boundary allows the {action} action"),
            Reason::NoSessionPolicy => write!(f, "because no session policy allows the {action} action"),
            Reason::NoResourcePolicy => write!(f, "because no resource-based policy allows the {action} action"),
            Reason::IdentityDeny => f.write_str("with an explicit deny in an identity-based policy"),
            Reason::BoundaryDeny => f.write_str("with an explicit deny in a permissions boundary"),
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
        self.authorize_on(principal, action, resource, context, None, None).await
    }

    /// The same for a resource that carries a policy of its own, such as a bucket; `owner` is the account it belongs to,
    /// the caller's own where none is named.
    pub async fn authorize_on(
        &self,
        principal: &Principal,
        action: &str,
        resource: &str,
        context: Context,
        resource_policy: Option<&Policy>,
        owner: Option<&str>,
    ) -> Result<(), Refusal> {
        let held = self.held(principal).await.map_err(Refusal::Unavailable)?;
        let context = context.merged(held.context(principal, self.ambient.now()));
        let request = Request { action, resource, context: &context };
        let grant = resource_policy
            .map_or(Grant::Silent, |policy| evaluate_resource_policy(policy, principal.as_caller(), request));
        let foreign = owner.is_some_and(|owner| owner != principal.account);
        let decided = match &principal.kind {
            _ if grant == Grant::ExplicitDeny => Err(Reason::ResourceDeny),
            // The owner's side must let another account in, and that account its own.
            PrincipalKind::Root | PrincipalKind::User(_) | PrincipalKind::AssumedRole(_)
                if foreign && grant == Grant::Silent =>
            {
                Err(Reason::NoResourcePolicy)
            }
            PrincipalKind::User(_) | PrincipalKind::AssumedRole(_) if foreign => held.decide(request, Grant::Account),
            PrincipalKind::Root => Ok(()),
            PrincipalKind::Service(_) if grant == Grant::Direct => Ok(()),
            PrincipalKind::Service(_) => Err(Reason::NoResourcePolicy),
            PrincipalKind::User(_) | PrincipalKind::AssumedRole(_) => held.decide(request, grant),
        };
        decided.map_err(|reason| {
            Refusal::Denied(Denied {
                principal: principal.arn.clone(),
                action: action.to_owned(),
                resource: resource.to_owned(),
                reason,
            })
        })
    }

    /// What a resource's policy says to a caller who did not sign: everyone may, or may not.
    pub fn authorize_anonymous(&self, action: &str, resource: &str, context: Context, policy: &Policy) -> Grant {
        let now = self.ambient.now();
        let context = context
            .with("aws:PrincipalType", "Anonymous")
            .with("aws:userid", "anonymous")
            .with("aws:CurrentTime", now.iso8601())
            .with("aws:EpochTime", (now.millis() / 1000).to_string())
            .with("aws:ViaAWSService", "false");
        let request = Request { action, resource, context: &context };
        evaluate_resource_policy(policy, Caller::Anonymous, request)
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
