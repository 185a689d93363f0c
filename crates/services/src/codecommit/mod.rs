//! CodeCommit: repositories as bare git under the data directory, over the API and over git's own smart HTTP. Names,
//! descriptions and tags are documents; everything inside a repository is git's. Several nodes may share both: git's locks
//! guard refs, compare-and-swap guards documents.
//!
//! No pull requests, no approval rules, no triggers, no comments here. Must not know pipelines: that a caller fetches for
//! one is learned from the name of its session.

mod branches;
mod errors;
mod files;
mod limits;
mod records;
mod repositories;
pub mod smart_http;
mod tags;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use towpath_model::ids::Scope;
use towpath_store::Documents;
use towpath_wire::codecommit::{Operation, SERVICE};
use towpath_wire::schema::Input;
use towpath_wire::{Dialect, WireError, json};

use crate::ambient::Ambient;
use crate::call::{Call, Response};
use crate::git::Door;
use crate::identity::policy::Context;
use crate::identity::{Identity, Refusal};

/// What CodeCommit stands on.
pub struct Parts {
    pub documents: Arc<dyn Documents>,
    pub ambient: Ambient,
    pub identity: Arc<Identity>,
    pub door: Arc<Door>,
    pub data_dir: PathBuf,
    /// Where clients outside reach this server, without a slash at its end.
    pub public_url: String,
    /// The Region that is tried first for a git client's password.
    pub region: String,
}

/// The embedded CodeCommit.
pub struct CodeCommit {
    documents: Arc<dyn Documents>,
    ambient: Ambient,
    identity: Arc<Identity>,
    door: Arc<Door>,
    directory: PathBuf,
    public_url: String,
    region: String,
}

impl CodeCommit {
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { documents, ambient, identity, door, data_dir, public_url, region } = parts;
        let directory = data_dir.join("codecommit");
        let public_url = public_url.trim_end_matches('/').to_owned();
        Arc::new(Self { documents, ambient, identity, door, directory, public_url, region })
    }

    /// Answers one request of the API.
    pub async fn handle(self: &Arc<Self>, call: &Call) -> Response {
        match Box::pin(self.answer(call)).await {
            Ok(Some(value)) => json::respond(&value, &call.request_id).unwrap_or_else(|error| {
                tracing::error!(%error, operation = call.operation, "a CodeCommit answer cannot be written");
                json::respond_error(&WireError::internal(Dialect::Json), &call.request_id)
            }),
            Ok(None) => json::respond_empty(&call.request_id),
            Err(error) => json::respond_error(&error, &call.request_id),
        }
    }

    async fn answer(&self, call: &Call) -> Result<Option<serde_json::Value>, WireError> {
        let operation = Operation::from_name(&call.operation).ok_or_else(|| unknown(&call.operation))?;
        match operation {
            Operation::BatchGetRepositories => value(self.batch_get_repositories(call, input(call)?).await?),
            Operation::CreateBranch => done(self.create_branch(call, input(call)?).await?),
            Operation::CreateCommit => value(self.create_commit(call, input(call)?).await?),
            Operation::CreateRepository => value(self.create_repository(call, input(call)?).await?),
            Operation::DeleteBranch => value(self.delete_branch(call, input(call)?).await?),
            Operation::DeleteRepository => value(self.delete_repository(call, input(call)?).await?),
            Operation::GetBranch => value(self.get_branch(call, input(call)?).await?),
            Operation::GetCommit => value(self.get_commit(call, input(call)?).await?),
            Operation::GetFile => value(self.get_file(call, input(call)?).await?),
            Operation::GetRepository => value(self.get_repository(call, input(call)?).await?),
            Operation::ListBranches => value(self.list_branches(call, input(call)?).await?),
            Operation::ListRepositories => value(self.list_repositories(call, input(call)?).await?),
            Operation::ListTagsForResource => value(self.list_tags_for_resource(call, input(call)?).await?),
            Operation::PutFile => value(self.put_file(call, input(call)?).await?),
            Operation::TagResource => done(self.tag_resource(call, input(call)?).await?),
            Operation::UntagResource => done(self.untag_resource(call, input(call)?).await?),
            Operation::UpdateDefaultBranch => done(self.update_default_branch(call, input(call)?).await?),
            Operation::UpdateRepositoryDescription => {
                done(self.update_repository_description(call, input(call)?).await?)
            }
            Operation::UpdateRepositoryName => done(self.update_repository_name(call, input(call)?).await?),
        }
    }

    /// Whether the caller may do what it asks to a repository.
    async fn may(&self, call: &Call, name: &str) -> Result<(), WireError> {
        self.may_with(call, &records::arn(&call.scope, name), Context::new()).await
    }

    async fn may_with(&self, call: &Call, resource: &str, more: Context) -> Result<(), WireError> {
        let action = format!("codecommit:{}", call.operation);
        let context = call.context().merged(more);
        self.identity.authorize(&call.principal, &action, resource, context).await.map_err(refused)
    }

    /// A file name inside the service's directory that nobody else uses.
    fn scratch(&self) -> PathBuf {
        self.directory.join(format!("index-{}", self.ambient.uuid()))
    }

    /// Where the repositories are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

fn unknown(operation: &str) -> WireError {
    WireError::new(
        "UnknownOperationException",
        400,
        format!(
            "{operation} is not supported in this version of Towpath (see docs/codecommit.md for the operations of {} that are).",
            SERVICE.name
        ),
    )
}

fn input<T: Input>(call: &Call) -> Result<T, WireError> {
    json::decode(&call.body).map_err(errors::of_constraint)
}

fn value<T: serde::Serialize>(output: T) -> Result<Option<serde_json::Value>, WireError> {
    serde_json::to_value(output).map(Some).map_err(|error| {
        tracing::error!(%error, "a CodeCommit answer cannot be made");
        WireError::internal(Dialect::Json)
    })
}

#[expect(clippy::unnecessary_wraps, reason = "beside `value` in one match")]
fn done((): ()) -> Result<Option<serde_json::Value>, WireError> {
    Ok(None)
}

fn refused(refusal: Refusal) -> WireError {
    match refusal {
        Refusal::Denied(denied) => WireError::access_denied(Dialect::Json, denied.to_string()),
        Refusal::Unavailable(error) => errors::store(error),
    }
}

/// Account and Region of a repository of the caller's.
fn scope_of(account: &str, region: &str) -> Scope {
    Scope::new(account, region)
}
