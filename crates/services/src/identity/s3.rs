//! Answers S3's two questions: who holds an access key, and what a caller may do. S3 brings its own facts (owner,
//! bucket policy, condition keys); the deciding happens in `access`.

use std::sync::Arc;

use async_trait::async_trait;

use super::policy::{Context, Grant, Kind, Policy};
use super::{Identity, LookupError, Principal, PrincipalKind, Refusal};
use crate::s3::{Authorize, Credentials, CredentialsError, Denied, Principal as S3Principal, Question};

#[async_trait]
impl Credentials for Identity {
    async fn lookup(&self, access_key: &str, session_token: Option<&str>) -> Result<S3Principal, CredentialsError> {
        let signer = Self::lookup(self, access_key, session_token).await.map_err(|error| match error {
            LookupError::UnknownKey => CredentialsError::UnknownKey,
            LookupError::InvalidToken => CredentialsError::InvalidToken,
            LookupError::Expired => CredentialsError::Expired,
            LookupError::Unavailable => CredentialsError::Unavailable(error.to_string()),
        })?;
        Ok(S3Principal::from(&signer))
    }
}

impl From<&super::Signer> for S3Principal {
    fn from(signer: &super::Signer) -> Self {
        Self {
            account: signer.principal.account.clone(),
            arn: signer.principal.arn.clone(),
            secret: signer.secret.expose().to_owned(),
            detail: Some(Arc::new(signer.principal.clone())),
        }
    }
}

/// What the owner's root user may always do to a bucket's policy, so that nobody can lock it out.
const NEVER_LOCKED: [&str; 3] = ["s3:DeleteBucketPolicy", "s3:GetBucketPolicy", "s3:PutBucketPolicy"];

fn silent(message: String) -> Denied {
    Denied { message, explicit: false }
}

#[async_trait]
impl Authorize for Identity {
    async fn check(&self, question: Question<'_>) -> Result<(), Denied> {
        let denied = || silent("Access Denied".to_owned());
        let mut context = Context::new();
        for (key, value) in question.context {
            context.set(key, value.as_str());
        }
        if let Some(owner) = question.owner {
            context.set("aws:ResourceAccount", owner);
        }
        // S3 refuses a malformed policy when it is put; one that no longer parses must not open anything.
        let policy = question.bucket_policy.map(|text| Policy::parse(text, Kind::Resource)).transpose();
        let mut policy = policy.map_err(|_| denied())?;
        let Some(principal) = question.principal else {
            let policy = policy.ok_or_else(denied)?;
            return match self.authorize_anonymous(question.action, question.resource, context, &policy) {
                Grant::Direct => Ok(()),
                grant => Err(Denied { explicit: grant == Grant::ExplicitDeny, ..denied() }),
            };
        };
        // A principal that did not come from here has no permissions here.
        let principal = principal.detail.as_ref().and_then(|detail| detail.downcast_ref::<Principal>());
        let principal = principal.ok_or_else(denied)?;
        let region = question.context.get("aws:RequestedRegion").map_or("", String::as_str);
        self.used(principal, "s3", region).await;
        let own = question.owner.is_none_or(|owner| owner == principal.account);
        if own && matches!(principal.kind, PrincipalKind::Root) && NEVER_LOCKED.contains(&question.action) {
            policy = None;
        }
        let (action, resource) = (question.action, question.resource);
        let answer = self.authorize_on(principal, action, resource, context, policy.as_ref(), question.owner).await;
        match answer {
            Ok(()) => Ok(()),
            Err(Refusal::Denied(refused)) => {
                // Other accounts are told nothing.
                let message = if own { refused.s3_text() } else { denied().message };
                Err(Denied { message, explicit: refused.is_explicit() })
            }
            Err(Refusal::Unavailable(error)) => {
                tracing::error!(%error, "permissions cannot be looked up");
                Err(denied())
            }
        }
    }

    async fn check_policy(&self, bucket: &str, text: &str) -> Result<(), String> {
        let policy = Policy::parse(text, Kind::Resource).map_err(|error| error.0)?;
        if policy.actions().any(|action| action != "*" && !action.to_ascii_lowercase().starts_with("s3:")) {
            return Err("Policy has invalid action".to_owned());
        }
        let arn = format!("arn:aws:s3:::{bucket}");
        let inside = |resource: &str| {
            let partition_free = resource.splitn(3, ':').nth(2).map(|rest| format!("arn:aws:{rest}"));
            let named = partition_free.as_deref().and_then(|resource| resource.strip_prefix(arn.as_str()));
            named.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest.starts_with('*'))
        };
        if !policy.resources().all(inside) {
            return Err("Policy has invalid resource".to_owned());
        }
        for principal in policy.aws_principals() {
            match self.is_there(principal).await {
                Ok(true) => {}
                Ok(false) => return Err("Invalid principal in policy".to_owned()),
                Err(error) => {
                    tracing::error!(%error, "principals cannot be looked up");
                    return Err("The principals of the policy cannot be looked up now. Try again.".to_owned());
                }
            }
        }
        Ok(())
    }
}
