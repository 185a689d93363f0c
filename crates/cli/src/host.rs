//! What the commands need of a running system. `assemble` implements it over the real one, tests over a script. The
//! commands speak AWS's own API through it and know nothing of stores, engines or servers.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use serde_json::Value;
use towpath_model::history::HistoryEntry;
use towpath_model::time::Timestamp;

/// An error as AWS's API answers it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// AWS's error code: `PipelineNotFoundException`.
    pub code: String,
    pub message: String,
}

impl ApiError {
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// AWS's public API, wherever it is: in this process, at a server, at AWS.
#[async_trait]
pub trait Api: Send + Sync {
    /// One operation, in JSON with AWS's member names. Services: `codepipeline`, `codebuild`, `iam`, `logs`.
    async fn call(&self, service: &str, operation: &str, input: Value) -> Result<Value, ApiError>;
}

/// An API with its buckets, which S3 has no operations for but requests.
#[async_trait]
pub trait Target: Api {
    /// One request about a bucket, or about one of its subresources; answers status and body, whatever the status is.
    async fn bucket(
        &self,
        method: http::Method,
        bucket: &str,
        subresource: &str,
        body: String,
    ) -> Result<(http::StatusCode, String), ApiError>;
}

/// What a directory is that stands in for the service of a source action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    pub revision: String,
    pub summary: String,
    /// When its commit was made, in milliseconds.
    pub created: Option<i64>,
    /// Output variables of the action's type.
    pub variables: BTreeMap<String, String>,
}

/// A running system, spoken to as the root user of its account.
#[async_trait]
pub trait Host: Target {
    /// Creates the bucket unless it is there, and switches versioning on where asked.
    async fn ensure_bucket(&self, bucket: &str, versioned: bool) -> Result<(), ApiError>;
    /// Stores a file as an object; answers its version id.
    async fn put_file(&self, bucket: &str, key: &str, file: &Path) -> Result<String, ApiError>;
    /// Lays a directory's zip, and what it is, where whoever stands in for a source action finds them.
    async fn stand_in(
        &self,
        bucket: &str,
        pipeline: &str,
        action: &str,
        zip: &Path,
        tree: Tree,
    ) -> Result<(), ApiError>;
    /// What happened to an execution after the entry with this sequence number; answers at once.
    async fn history(&self, execution: &str, after: u64) -> Result<Vec<HistoryEntry>, ApiError>;
    /// Resolves when anything was committed since the last call.
    async fn history_changed(&self);
    /// The system's time.
    fn now(&self) -> Timestamp;
    /// Stops claiming work and closes the store.
    async fn shutdown(&self);
}

/// One step of a path into a declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    Key(String),
    Index(usize),
}

impl From<&str> for Segment {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Segment {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// One broken rule of a declaration, as the validation function tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub path: Vec<Segment>,
    /// AWS's error code for it.
    pub code: String,
    pub message: String,
    pub hint: Option<String>,
}
