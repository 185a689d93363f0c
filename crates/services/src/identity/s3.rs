//! Answers S3's two questions: who holds an access key, and what a caller may do. S3 brings its own facts (owner,
//! bucket policy, condition keys); the deciding happens in `access`.

use std::sync::Arc;

use async_trait::async_trait;

use super::policy::{Context, Kind, Policy};
use super::{Identity, LookupError, Principal, Refusal};
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

#[async_trait]
impl Authorize for Identity {
    async fn check(&self, question: Question<'_>) -> Result<(), Denied> {
        let denied = || Denied("Access Denied".to_owned());
        // A principal that did not come from here has no permissions here.
        let principal = question.principal.detail.as_ref().and_then(|detail| detail.downcast_ref::<Principal>());
        let principal = principal.ok_or_else(denied)?;
        let mut context = Context::new();
        for (key, value) in question.context {
            context.set(key, value.as_str());
        }
        if let Some(owner) = question.owner {
            context.set("aws:ResourceAccount", owner);
        }
        // S3 refuses a malformed policy when it is put; one that no longer parses must not open anything.
        let policy = question.bucket_policy.map(|text| Policy::parse(text, Kind::Resource)).transpose();
        let policy = policy.map_err(|_| denied())?;
        let answer = self.authorize_with(principal, question.action, question.resource, context, policy.as_ref()).await;
        match answer {
            Ok(()) => Ok(()),
            Err(Refusal::Denied(refused)) => Err(Denied(refused.s3_text())),
            Err(Refusal::Unavailable(error)) => {
                tracing::error!(%error, "permissions cannot be looked up");
                Err(denied())
            }
        }
    }
}
