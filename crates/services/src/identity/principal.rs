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
    AssumedRole(Arc<RoleSession>),
    /// An AWS service acting as itself, such as `codepipeline.amazonaws.com`.
    Service(String),
}

/// What a session token says.
#[derive(Debug, Clone)]
pub struct RoleSession {
    pub role_name: String,
    /// With the role's path.
    pub role_arn: String,
    pub role_id: String,
    pub session_name: String,
    pub session_policy: Option<String>,
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
            PrincipalKind::Root | PrincipalKind::Service(_) => None,
        }
    }

    /// How policies that name principals see this one.
    pub fn as_caller(&self) -> Caller<'_> {
        match &self.kind {
            PrincipalKind::Service(service) => Caller::Service(service),
            PrincipalKind::Root => {
                Caller::Aws { account: &self.account, arn: &self.arn, role_arn: None, role_id: None }
            }
            PrincipalKind::AssumedRole(session) => Caller::Aws {
                account: &self.account,
                arn: &self.arn,
                role_arn: Some(&session.role_arn),
                role_id: Some(&session.role_id),
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
