//! What source providers share that take commits from git: the commit as a zip of its files or as a reference that a build
//! clones, and the words that go with it (revision, output variables, failures). Where the repository is, who may read it
//! and which commit is wanted is each provider's own.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use bytes::Bytes;
use towpath_artifacts::{PackError, pack_directory};
use towpath_git::password::AccessKey;
use towpath_git::{Bounds, CloneRef, Commit, FetchError, GitError, Person, Reason, Remote, fetch};
use towpath_model::action::{
    ActionInvocation, ArtifactLocation, ErrorDetails, Outcome, Progress, Revision, error_code,
};
use towpath_model::limits::SUMMARY_CHARS_MAX;
use towpath_model::secret::Secret;
use towpath_model::time::Timestamp;

use crate::limits::COMMIT_MESSAGE_BYTES_MAX;
use crate::objects::{S3, StoreError, Target};
use crate::problem::Problem;
use crate::provider::Call;
use crate::session::{CLONE_REF_METADATA, REVISION_METADATA};

/// Who follows what becomes of the commits that actions take. It is told before an action has one, so that whatever
/// happens afterwards, a crash among it, finds it following.
#[async_trait]
pub trait CommitFollower: Send + Sync {
    async fn follow(&self);
}

/// Where nobody does.
pub struct Unfollowed;

#[async_trait]
impl CommitFollower for Unfollowed {
    async fn follow(&self) {}
}

/// `OutputArtifactFormat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The files, without git's own.
    Zip,
    /// Where they are, so that a build clones by itself.
    CloneRef,
}

impl Format {
    pub const VALUES: [&'static str; 2] = ["CODE_ZIP", "CODEBUILD_CLONE_REF"];

    pub fn of(action: &ActionInvocation) -> Result<Self, String> {
        match action.config("OutputArtifactFormat").filter(|value| !value.is_empty()) {
            None | Some("CODE_ZIP") => Ok(Self::Zip),
            Some("CODEBUILD_CLONE_REF") => Ok(Self::CloneRef),
            Some(other) => Err(format!(
                "OutputArtifactFormat of action {} is '{other}'. It must be CODE_ZIP or CODEBUILD_CLONE_REF.",
                action.action_name
            )),
        }
    }
}

/// The commit that a start request pins this action to (source revision type `COMMIT_ID`).
pub fn pinned_commit(action: &ActionInvocation) -> Option<&str> {
    let mut overrides = action.source_overrides.iter();
    let found = overrides.find(|o| o.action_name == action.action_name && o.revision_type == "COMMIT_ID");
    found.map(|found| found.revision_value.as_str())
}

/// The one output artifact of a source action.
pub fn output(action: &ActionInvocation) -> Result<&ArtifactLocation, String> {
    match action.output_artifacts.as_slice() {
        [output] => Ok(output),
        _ => Err(format!("Action {} must have exactly one output artifact.", action.action_name)),
    }
}

/// Why an artifact was not made of a commit.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error("the scratch directory cannot be used: {0}")]
    Scratch(#[from] std::io::Error),
    #[error("{}", .0.detail())]
    Store(Problem),
}

impl From<StoreError> for SourceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::S3(problem) => Self::Store(problem),
            StoreError::Read(error) => Self::Scratch(error),
        }
    }
}

/// A failure whose words are the action's summary too.
pub fn failed(code: &str, message: String) -> Outcome {
    let progress = Progress { summary: Some(message.clone()), ..Progress::default() };
    Outcome::Failed { progress, error: ErrorDetails::new(code, message) }
}

/// Git at `url` of a service in this Region, with a password derived from these credentials.
pub fn signed(cx: &Call<'_>, credentials: &Credentials, url: String, region: &str) -> Result<Remote, FetchError> {
    let secret = Secret::new(credentials.secret_access_key());
    let key =
        AccessKey { id: credentials.access_key_id(), secret: &secret, session_token: credentials.session_token() };
    let access = key.access(&url, region, cx.clock.now());
    Remote::new(url, access)
}

impl SourceError {
    /// Failed, or to be tried again. `repository` is how the user calls it; `refused` is what is said where the server
    /// says no, in the provider's words.
    pub fn outcome(&self, repository: &str, refused: &str, output: &ArtifactLocation) -> Outcome {
        match self {
            Self::Store(problem) => problem.outcome(
                error_code::PERMISSION_ERROR,
                format!(
                    "The output artifact cannot be stored in the Amazon S3 bucket named {}. Error: {}",
                    output.bucket,
                    problem.detail()
                ),
            ),
            Self::Fetch(error) => match error.reason() {
                Reason::Unreachable => Outcome::Unavailable { message: error.to_string() },
                Reason::Unauthorized | Reason::Forbidden | Reason::HostKey => {
                    failed(error_code::PERMISSION_ERROR, format!("{refused} {error}"))
                }
                Reason::NoRepository => failed(
                    error_code::CONFIGURATION_ERROR,
                    format!("The repository {repository} does not exist, or the credentials cannot see it. {error}"),
                ),
                Reason::NoRevision => failed(
                    error_code::CONFIGURATION_ERROR,
                    format!("The repository {repository} lacks the wanted revision. {error}"),
                ),
                Reason::TooLarge | Reason::Other => failed(
                    error_code::CONFIGURATION_ERROR,
                    format!("The repository {repository} cannot be fetched. {error}"),
                ),
            },
            Self::Pack(error) => failed(
                error_code::CONFIGURATION_ERROR,
                format!("The files of repository {repository} cannot be packed into an artifact: {error}."),
            ),
            Self::Git(_) | Self::Scratch(_) => Outcome::Unavailable { message: self.to_string() },
        }
    }
}

/// Fetches exactly one commit and stores its files as the output artifact.
pub async fn zip(
    cx: &Call<'_>,
    action: &ActionInvocation,
    output: &ArtifactLocation,
    remote: &Remote,
    commit_id: &str,
    branch: Option<&str>,
) -> Result<Commit, SourceError> {
    let directory = tempfile::Builder::new().prefix("git-").tempdir_in(cx.scratch)?;
    let (repository, tree) = (directory.path().join("repository.git"), directory.path().join("tree"));
    let bounds = Bounds::default();
    let commit = remote.fetch_commit(&repository, commit_id, branch, &bounds).await?;
    fetch::export(&repository, commit_id, &tree, &bounds).await?;
    let file = directory.path().join("artifact.zip");
    let packed = {
        let file = file.clone();
        tokio::task::spawn_blocking(move || pack_directory(&tree, |_, _| true, &file)).await
    };
    let packed = packed.map_err(std::io::Error::other)??;
    tracing::debug!(commit = commit_id, files = packed.entries, bytes = packed.bytes, "packed a commit");
    let target = target(cx, action, output, commit_id, "application/zip", false);
    S3::new(cx.artifacts, action, &output.region).store_file(&target, &file).await?;
    Ok(commit)
}

/// Stores a reference to a commit as the output artifact.
pub async fn clone_ref(
    cx: &Call<'_>,
    action: &ActionInvocation,
    output: &ArtifactLocation,
    reference: &CloneRef,
) -> Result<(), SourceError> {
    let target = target(cx, action, output, &reference.commit_id, "application/json", true);
    let s3 = S3::new(cx.artifacts, action, &output.region);
    s3.store(&target, Bytes::from(reference.to_json())).await.map_err(SourceError::Store)
}

fn target(
    cx: &Call<'_>,
    action: &ActionInvocation,
    output: &ArtifactLocation,
    revision: &str,
    content_type: &str,
    is_reference: bool,
) -> Target {
    let mut metadata = HashMap::from([(REVISION_METADATA.to_owned(), revision.to_owned())]);
    if is_reference {
        metadata.insert(CLONE_REF_METADATA.to_owned(), "true".to_owned());
    }
    Target {
        bucket: output.bucket.clone(),
        key: output.key.clone(),
        content_type: Some(content_type.to_owned()),
        metadata,
        ..Target::default()
    }
    .encrypted_as_artifact(cx.artifacts, action.encryption_key.as_deref())
}

/// A commit as its revision and its variables tell of it, wherever the words came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    pub id: String,
    pub message: String,
    /// Epoch seconds.
    pub authored: i64,
    pub committed: i64,
}

impl From<&Commit> for Described {
    fn from(commit: &Commit) -> Self {
        Self {
            id: commit.id.clone(),
            message: commit.message.clone(),
            authored: commit.author.seconds,
            committed: commit.committer.seconds,
        }
    }
}

impl Described {
    /// `AuthorDate`, `CommitId`, `CommitMessage`, `CommitterDate`: what every git source has.
    pub fn variables(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("AuthorDate".to_owned(), date(self.authored)),
            ("CommitId".to_owned(), self.id.clone()),
            ("CommitMessage".to_owned(), bounded(&self.message).to_owned()),
            ("CommitterDate".to_owned(), date(self.committed)),
        ])
    }

    /// The revision; its summary is the message.
    pub fn revision(&self, action: &ActionInvocation, output: &ArtifactLocation, url: String) -> Revision {
        Revision {
            artifact: output.name.clone(),
            action: action.action_name.clone(),
            id: self.id.clone(),
            change_id: None,
            summary: Some(self.message.trim_end().chars().take(SUMMARY_CHARS_MAX).collect()),
            url: Some(url),
            created: Some(Timestamp::from_millis(self.committed.saturating_mul(1000))),
        }
    }
}

/// The date of somebody's part in a commit, as in output variables: `2030-01-31T20:22:01Z`.
pub fn date_of(person: &Person) -> String {
    date(person.seconds)
}

fn date(seconds: i64) -> String {
    let text = Timestamp::from_millis(seconds.saturating_mul(1000)).iso8601();
    text.split_once('.').map_or(text.clone(), |(whole, _)| format!("{whole}Z"))
}

/// A commit's message within the bound that CodePipeline has for the variable.
fn bounded(message: &str) -> &str {
    let message = message.trim_end_matches('\n');
    let mut end = message.len().min(COMMIT_MESSAGE_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    &message[..end]
}

/// A source that succeeded.
pub fn succeeded(revision: Revision, variables: BTreeMap<String, String>) -> Outcome {
    let progress = Progress {
        external_id: Some(revision.id.clone()),
        external_url: revision.url.clone(),
        summary: revision.summary.clone(),
        ..Progress::default()
    };
    Outcome::Succeeded { progress, variables, revisions: vec![revision] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_told_in_variables() {
        let commit = Described {
            id: "c".into(),
            message: format!("{}\n", "é".repeat(COMMIT_MESSAGE_BYTES_MAX)),
            authored: 1_484_167_798,
            committed: 0,
        };
        let variables = commit.variables();
        assert_eq!(variables["AuthorDate"], "2017-01-11T20:49:58Z");
        assert_eq!(variables["CommitterDate"], "1970-01-01T00:00:00Z");
        assert!(variables["CommitMessage"].len() <= COMMIT_MESSAGE_BYTES_MAX);
        assert!(variables["CommitMessage"].chars().all(|c| c == 'é'));
    }
}
