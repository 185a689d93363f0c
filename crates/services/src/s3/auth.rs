//! Who may ask S3 for what: the two questions S3 asks the identity service, and the bridge that lets s3s verify
//! signatures with the answer. S3 itself knows no users and no identity policies; what it does decide here is what an
//! ACL or the owner of a bucket decides.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use super::errors;

/// The holder of an access key.
#[derive(Clone)]
pub struct Principal {
    /// Twelve digits.
    pub account: String,
    /// The ARN the caller is known by, for a role session `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`.
    pub arn: String,
    /// The secret access key its signatures are made with.
    pub secret: String,
    /// Whatever the identity service wants to see again in [`Authorize::check`], such as a session's policies.
    pub detail: Option<Arc<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal").field("account", &self.account).field("arn", &self.arn).finish_non_exhaustive()
    }
}

/// Why an access key has no holder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// No such key, or a key that was deleted or made inactive.
    #[error("no such access key")]
    UnknownKey,
    /// A temporary key without its token or with another's, or a token beside a long-term key.
    #[error("the session token does not belong to the access key")]
    InvalidToken,
    /// The session is over.
    #[error("the session has ended")]
    Expired,
    /// The identity service could not answer.
    #[error("credentials cannot be looked up: {0}")]
    Unavailable(String),
}

/// Looks up access keys.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// The holder of `access_key`. A temporary key must be refused without exactly its own `session_token`.
    async fn lookup(&self, access_key: &str, session_token: Option<&str>) -> Result<Principal, CredentialsError>;
}

/// One thing a caller wants to do.
#[derive(Debug)]
pub struct Question<'a> {
    /// `None`: nobody signed the request.
    pub principal: Option<&'a Principal>,
    /// Such as `s3:GetObject`.
    pub action: &'a str,
    /// Such as `arn:aws:s3:::bucket/key`.
    pub resource: &'a str,
    /// The account that owns the bucket; `None` when there is no bucket yet.
    pub owner: Option<&'a str>,
    /// The bucket's policy as it was put, for whoever evaluates it.
    pub bucket_policy: Option<&'a str>,
    /// Condition keys with their values, such as `s3:prefix` or `s3:VersionId`.
    pub context: &'a BTreeMap<&'static str, String>,
}

/// A refusal, in the words the caller gets to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denied {
    pub message: String,
    /// A policy forbids it, so that no ACL can allow it.
    pub explicit: bool,
}

/// Evaluates policies: those of the caller and those of buckets.
#[async_trait]
pub trait Authorize: Send + Sync {
    async fn check(&self, question: Question<'_>) -> Result<(), Denied>;

    /// Whether a text can be the policy of a bucket; `Err` carries what is wrong with it, in AWS's words.
    async fn check_policy(&self, bucket: &str, text: &str) -> Result<(), String>;
}

/// The caller of the request at hand, carried in its extensions. `None`: nobody signed it.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Option<Arc<Principal>>);

tokio::task_local! {
    /// The access key and secret of the request that is being verified.
    pub(super) static VERIFYING: Option<(String, Arc<Principal>)>;
}

/// Gives s3s the secret that was looked up, together with the session token, before s3s saw the request.
pub(super) struct SecretBridge;

#[async_trait]
impl S3Auth for SecretBridge {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let secret = VERIFYING.try_with(|verifying| match verifying {
            Some((key, principal)) if key == access_key => Some(SecretKey::from(principal.secret.as_str())),
            _ => None,
        });
        secret.ok().flatten().ok_or_else(errors::invalid_access_key)
    }
}

pub(super) fn credentials_error(error: &CredentialsError) -> S3Error {
    match error {
        CredentialsError::UnknownKey => errors::invalid_access_key(),
        CredentialsError::InvalidToken => errors::invalid_token(),
        CredentialsError::Expired => errors::expired_token(),
        CredentialsError::Unavailable(_) => {
            tracing::error!(%error, "S3 cannot verify a request");
            s3_error!(ServiceUnavailable, "Service is unable to handle request.")
        }
    }
}

/// The ARN of a bucket.
pub(super) fn bucket_arn(bucket: &str) -> String {
    format!("arn:aws:s3:::{bucket}")
}

/// The ARN of an object.
pub(super) fn object_arn(bucket: &str, key: &str) -> String {
    format!("arn:aws:s3:::{bucket}/{key}")
}

/// The permission an operation of s3s needs on its own resource; `None` when the operation decides for itself. `version`
/// says whether a version id was named.
pub(super) fn action(operation: &str, version: bool) -> Option<&'static str> {
    Some(match (operation, version) {
        ("AbortMultipartUpload", _) => "s3:AbortMultipartUpload",
        (
            "CompleteMultipartUpload"
            | "CopyObject"
            | "CreateMultipartUpload"
            | "PutObject"
            | "UploadPart"
            | "UploadPartCopy",
            _,
        ) => "s3:PutObject",
        ("CreateBucket", _) => "s3:CreateBucket",
        ("DeleteBucket", _) => "s3:DeleteBucket",
        ("DeleteBucketOwnershipControls" | "PutBucketOwnershipControls", _) => "s3:PutBucketOwnershipControls",
        ("DeleteBucketPolicy", _) => "s3:DeleteBucketPolicy",
        ("DeleteBucketTagging" | "PutBucketTagging", _) => "s3:PutBucketTagging",
        ("DeleteObject", false) => "s3:DeleteObject",
        ("DeleteObject", true) => "s3:DeleteObjectVersion",
        ("DeleteObjectTagging", false) => "s3:DeleteObjectTagging",
        ("DeleteObjectTagging", true) => "s3:DeleteObjectVersionTagging",
        ("DeletePublicAccessBlock" | "PutPublicAccessBlock", _) => "s3:PutBucketPublicAccessBlock",
        ("GetBucketAccelerateConfiguration", _) => "s3:GetAccelerateConfiguration",
        ("GetBucketAcl", _) => "s3:GetBucketAcl",
        ("GetBucketCors", _) => "s3:GetBucketCORS",
        ("GetBucketEncryption", _) => "s3:GetEncryptionConfiguration",
        ("GetBucketLifecycleConfiguration", _) => "s3:GetLifecycleConfiguration",
        ("GetBucketLocation", _) => "s3:GetBucketLocation",
        ("GetBucketLogging", _) => "s3:GetBucketLogging",
        ("GetBucketNotificationConfiguration", _) => "s3:GetBucketNotification",
        ("GetBucketOwnershipControls", _) => "s3:GetBucketOwnershipControls",
        ("GetBucketPolicy", _) => "s3:GetBucketPolicy",
        ("GetBucketReplication", _) => "s3:GetReplicationConfiguration",
        ("GetBucketRequestPayment", _) => "s3:GetBucketRequestPayment",
        ("GetBucketTagging", _) => "s3:GetBucketTagging",
        ("GetBucketVersioning", _) => "s3:GetBucketVersioning",
        ("GetBucketWebsite", _) => "s3:GetBucketWebsite",
        ("GetObject" | "HeadObject" | "GetObjectAttributes", false) => "s3:GetObject",
        ("GetObject" | "HeadObject" | "GetObjectAttributes", true) => "s3:GetObjectVersion",
        ("GetObjectAcl", false) => "s3:GetObjectAcl",
        ("GetObjectAcl", true) => "s3:GetObjectVersionAcl",
        ("GetObjectLockConfiguration", _) => "s3:GetBucketObjectLockConfiguration",
        ("GetObjectTagging", false) => "s3:GetObjectTagging",
        ("GetObjectTagging", true) => "s3:GetObjectVersionTagging",
        ("GetPublicAccessBlock", _) => "s3:GetBucketPublicAccessBlock",
        ("HeadBucket" | "ListObjects" | "ListObjectsV2", _) => "s3:ListBucket",
        ("ListBuckets", _) => "s3:ListAllMyBuckets",
        ("ListMultipartUploads", _) => "s3:ListBucketMultipartUploads",
        ("ListObjectVersions", _) => "s3:ListBucketVersions",
        ("ListParts", _) => "s3:ListMultipartUploadParts",
        ("PutBucketAcl", _) => "s3:PutBucketAcl",
        ("PutBucketEncryption", _) => "s3:PutEncryptionConfiguration",
        ("PutBucketNotificationConfiguration", _) => "s3:PutBucketNotification",
        ("PutBucketPolicy", _) => "s3:PutBucketPolicy",
        ("PutBucketVersioning", _) => "s3:PutBucketVersioning",
        ("PutObjectAcl", false) => "s3:PutObjectAcl",
        ("PutObjectAcl", true) => "s3:PutObjectVersionAcl",
        ("PutObjectTagging", false) => "s3:PutObjectTagging",
        ("PutObjectTagging", true) => "s3:PutObjectVersionTagging",
        _ => return None,
    })
}

/// Operations that are not here, refused by name before anything else is asked.
pub(super) fn absent(operation: &str) -> S3Error {
    S3Error::with_message(S3ErrorCode::NotImplemented, format!("{operation} is not part of the embedded S3."))
}
