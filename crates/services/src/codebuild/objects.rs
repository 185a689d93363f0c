//! The objects a build reads and writes, with the permissions of its service role. Nothing else of S3.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use crate::identity::policy::{Context, Kind, Policy};
use crate::identity::{Identity, Principal, Refusal};
use crate::s3::{PutOptions, S3Service};

/// A refusal in S3's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ObjectError {
    pub code: String,
    pub message: String,
}

/// What was read or written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectFacts {
    pub version: Option<String>,
    pub metadata: Vec<(String, String)>,
}

/// Where sources come from and artifacts go to.
#[async_trait]
pub trait Objects: Send + Sync {
    /// Reads an object into a new file.
    async fn read(
        &self,
        role: &Principal,
        bucket: &str,
        key: &str,
        version: Option<&str>,
        file: &Path,
    ) -> Result<ObjectFacts, ObjectError>;

    /// Keys below a prefix, `max` at most.
    async fn list(&self, role: &Principal, bucket: &str, prefix: &str, max: usize) -> Result<Vec<String>, ObjectError>;

    /// Writes a file as an object.
    async fn write(
        &self,
        role: &Principal,
        bucket: &str,
        key: &str,
        file: &Path,
        metadata: Vec<(String, String)>,
    ) -> Result<ObjectFacts, ObjectError>;
}

/// The embedded S3.
pub struct EmbeddedObjects {
    s3: S3Service,
    identity: Arc<Identity>,
}

impl EmbeddedObjects {
    pub fn new(s3: S3Service, identity: Arc<Identity>) -> Self {
        Self { s3, identity }
    }

    /// What the role's policies and the bucket's say. A build that is near asks over no network.
    async fn may(&self, role: &Principal, action: &str, bucket: &str, resource: &str) -> Result<(), ObjectError> {
        let found = self.s3.bucket(bucket).await?;
        let policy = found.as_ref().and_then(|found| found.policy.as_deref());
        let policy = policy.map(|text| Policy::parse(text, Kind::Resource)).transpose().map_err(|error| {
            tracing::error!(%error, bucket, "the policy of a bucket cannot be read");
            ObjectError { code: "AccessDenied".to_owned(), message: "Access Denied".to_owned() }
        })?;
        let context = Context::new().with("aws:SecureTransport", "true");
        let owner = found.as_ref().map(|found| found.account.as_str());
        let answer = self.identity.authorize_on(role, action, resource, context, policy.as_ref(), owner).await;
        answer.map_err(|refusal| match refusal {
            Refusal::Denied(denied) => ObjectError { code: "AccessDenied".to_owned(), message: denied.s3_text() },
            Refusal::Unavailable(error) => {
                tracing::error!(%error, "permissions cannot be looked up");
                ObjectError { code: "InternalError".to_owned(), message: "permissions cannot be looked up".to_owned() }
            }
        })
    }
}

impl From<crate::s3::Refusal> for ObjectError {
    fn from(refusal: crate::s3::Refusal) -> Self {
        Self { code: refusal.code, message: refusal.message }
    }
}

fn object_arn(bucket: &str, key: &str) -> String {
    format!("arn:aws:s3:::{bucket}/{key}")
}

#[async_trait]
impl Objects for EmbeddedObjects {
    async fn read(
        &self,
        role: &Principal,
        bucket: &str,
        key: &str,
        version: Option<&str>,
        file: &Path,
    ) -> Result<ObjectFacts, ObjectError> {
        let action = if version.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
        self.may(role, action, bucket, &object_arn(bucket, key)).await?;
        let info = self.s3.read_to_file(&role.account, bucket, key, version, file).await?;
        Ok(ObjectFacts { version: info.version_id, metadata: info.metadata })
    }

    async fn list(&self, role: &Principal, bucket: &str, prefix: &str, max: usize) -> Result<Vec<String>, ObjectError> {
        self.may(role, "s3:ListBucket", bucket, &format!("arn:aws:s3:::{bucket}")).await?;
        Ok(self.s3.keys(&role.account, bucket, prefix, max).await?)
    }

    async fn write(
        &self,
        role: &Principal,
        bucket: &str,
        key: &str,
        file: &Path,
        metadata: Vec<(String, String)>,
    ) -> Result<ObjectFacts, ObjectError> {
        self.may(role, "s3:PutObject", bucket, &object_arn(bucket, key)).await?;
        let options = PutOptions { metadata, ..PutOptions::default() };
        let info = self.s3.put_from_file(&role.account, bucket, key, file, options).await?;
        Ok(ObjectFacts { version: info.version_id, metadata: info.metadata })
    }
}
