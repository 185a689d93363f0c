//! The callers that a signature can stand for.

use std::sync::Arc;

use towpath_model::secret::Secret;
use towpath_model::time::Timestamp;

use super::policy::{Caller, Context};

/// A verified caller.
#[derive(Debug, Clone)]
pub struct Principal {
    /// Twelve digits.
    pub account: String,
    /// The ARN AWS shows: root, or the assumed-role session; a service's name for a service.
    pub arn: String,
    /// `UserId` of GetCallerIdentity.
    pub user_id: String,
    pub kind: PrincipalKind,
}

#[derive(Debug, Clone)]
pub enum PrincipalKind {
    Root,
    User(Arc<UserCaller>),
    AssumedRole(Arc<RoleSession>),
    /// An AWS service acting as itself, such as `codepipeline.amazonaws.com`.
    Service(String),
}

/// A user who signed with an access key of its own, or with the temporary credentials it was given for itself.
#[derive(Debug, Clone)]
pub struct UserCaller {
    pub name: String,
    pub id: String,
    /// The long-term key, where one was used.
    pub access_key: Option<String>,
    pub session: Option<UserSession>,
}

/// What GetSessionToken or GetFederationToken gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSession {
    pub issued: Timestamp,
    pub expires: Timestamp,
    pub federated: Option<Federated>,
}

/// The narrower somebody that a user made for others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Federated {
    pub name: String,
    pub policy: Option<String>,
    pub policy_arns: Vec<String>,
    pub tags: Vec<(String, String)>,
}

/// What a role's session token says.
#[derive(Debug, Clone)]
pub struct RoleSession {
    pub role_name: String,
    /// With the role's path.
    pub role_arn: String,
    pub role_id: String,
    pub session_name: String,
    pub session_policy: Option<String>,
    /// Managed policies that were passed as session policies.
    pub policy_arns: Vec<String>,
    pub issued: Timestamp,
    pub expires: Timestamp,
    pub source_identity: Option<String>,
    /// Session tags, those handed down from an earlier session included.
    pub tags: Vec<(String, String)>,
    /// Keys of the tags that the next session in a chain inherits.
    pub transitive_tags: Vec<String>,
}

/// A caller together with the secret to verify its signature with.
#[derive(Debug, Clone)]
pub struct Signer {
    pub principal: Principal,
    pub secret: Secret,
}

impl Principal {
    pub fn root(account: &str) -> Self {
        Self {
            account: account.to_owned(),
            arn: format!("arn:aws:iam::{account}:root"),
            user_id: account.to_owned(),
            kind: PrincipalKind::Root,
        }
    }

    /// A user, by its ARN with the path.
    pub fn user(account: &str, arn: String, caller: UserCaller) -> Self {
        let federated = caller.session.as_ref().and_then(|session| session.federated.as_ref());
        let (arn, user_id) = match federated {
            Some(federated) => (
                format!("arn:aws:sts::{account}:federated-user/{}", federated.name),
                format!("{account}:{}", federated.name),
            ),
            None => (arn, caller.id.clone()),
        };
        Self { account: account.to_owned(), arn, user_id, kind: PrincipalKind::User(Arc::new(caller)) }
    }

    pub fn service(account: &str, service: &str) -> Self {
        Self {
            account: account.to_owned(),
            arn: service.to_owned(),
            user_id: service.to_owned(),
            kind: PrincipalKind::Service(service.to_owned()),
        }
    }

    pub fn session(account: &str, session: RoleSession) -> Self {
        Self {
            account: account.to_owned(),
            arn: format!("arn:aws:sts::{account}:assumed-role/{}/{}", session.role_name, session.session_name),
            user_id: format!("{}:{}", session.role_id, session.session_name),
            kind: PrincipalKind::AssumedRole(Arc::new(session)),
        }
    }

    pub fn role_session(&self) -> Option<&RoleSession> {
        match &self.kind {
            PrincipalKind::AssumedRole(session) => Some(session),
            PrincipalKind::Root | PrincipalKind::User(_) | PrincipalKind::Service(_) => None,
        }
    }

    pub fn user_caller(&self) -> Option<&UserCaller> {
        match &self.kind {
            PrincipalKind::User(caller) => Some(caller),
            PrincipalKind::Root | PrincipalKind::AssumedRole(_) | PrincipalKind::Service(_) => None,
        }
    }

    /// Whether the caller signed with temporary credentials.
    pub fn is_temporary(&self) -> bool {
        match &self.kind {
            PrincipalKind::AssumedRole(_) => true,
            PrincipalKind::User(caller) => caller.session.is_some(),
            PrincipalKind::Root | PrincipalKind::Service(_) => false,
        }
    }

    /// How policies that name principals see this one.
    pub fn as_caller(&self) -> Caller<'_> {
        match &self.kind {
            PrincipalKind::Service(service) => Caller::Service(service),
            PrincipalKind::Root => Caller::Aws { account: &self.account, arn: &self.arn, id: None, role: None },
            PrincipalKind::User(caller) => {
                let own = caller.session.as_ref().is_none_or(|session| session.federated.is_none());
                Caller::Aws {
                    account: &self.account,
                    arn: &self.arn,
                    id: own.then_some(caller.id.as_str()),
                    role: None,
                }
            }
            PrincipalKind::AssumedRole(session) => Caller::Aws {
                account: &self.account,
                arn: &self.arn,
                id: None,
                role: Some((&session.role_arn, &session.role_id)),
            },
        }
    }

    /// The condition keys that describe the caller and the moment.
    pub(super) fn context(&self, now: Timestamp) -> Context {
        let mut context = Context::new()
            .with("aws:CurrentTime", now.iso8601())
            .with("aws:EpochTime", (now.millis() / 1000).to_string())
            .with("aws:ViaAWSService", "false");
        match &self.kind {
            PrincipalKind::Service(service) => {
                context = context
                    .with("aws:PrincipalIsAWSService", "true")
                    .with("aws:PrincipalServiceName", service.as_str())
                    .with_many("aws:PrincipalServiceNamesList", vec![service.clone()]);
            }
            PrincipalKind::Root => {
                context = self.account_context(context, &self.arn, "Account");
            }
            PrincipalKind::User(caller) => {
                let federated = caller.session.as_ref().and_then(|session| session.federated.as_ref());
                context = self.account_context(
                    context,
                    &self.arn,
                    if federated.is_some() { "FederatedUser" } else { "User" },
                );
                if let Some(session) = &caller.session {
                    context = context
                        .with("aws:TokenIssueTime", session.issued.iso8601())
                        .with("aws:MultiFactorAuthPresent", "false");
                }
                match federated {
                    None => context = context.with("aws:username", caller.name.as_str()),
                    Some(federated) => {
                        for (key, value) in &federated.tags {
                            context.set(&format!("aws:PrincipalTag/{key}"), value.as_str());
                        }
                    }
                }
            }
            PrincipalKind::AssumedRole(session) => {
                context = self
                    .account_context(context, &session.role_arn, "AssumedRole")
                    .with("aws:TokenIssueTime", session.issued.iso8601())
                    .with("aws:MultiFactorAuthPresent", "false")
                    .with_optional("aws:SourceIdentity", session.source_identity.clone());
                for (key, value) in &session.tags {
                    context.set(&format!("aws:PrincipalTag/{key}"), value.as_str());
                }
            }
        }
        context
    }

    fn account_context(&self, context: Context, principal_arn: &str, kind: &str) -> Context {
        context
            .with("aws:PrincipalArn", principal_arn)
            .with("aws:PrincipalAccount", self.account.as_str())
            .with("aws:PrincipalType", kind)
            .with("aws:PrincipalIsAWSService", "false")
            .with("aws:userid", self.user_id.as_str())
    }
}
