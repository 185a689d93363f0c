//! Source / AWS / CodeStarSourceConnection: a commit of a repository that a connection reaches, as a zip of its files or as
//! a reference that a build clones by itself.
//!
//! The repository is read as anybody reads it, through the service's own git endpoint and with a password derived from the
//! role's credentials: what the role may use is decided there. AWS does not publish that endpoint of its own service for
//! others to use, so the action runs where connections are Towpath's.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use percent_encoding::utf8_percent_encode;
use serde_json::json;
use towpath_git::{Bounds, CloneRef, Commit, Origin, Remote};
use towpath_model::action::{ActionInvocation, ArtifactLocation, Outcome, Progress, error_code};
use towpath_model::catalogue::{
    ActionTypeEntry, ActionTypeId, Bounds as Count, Category, Executor, Owner, Property, Repeat,
};
use towpath_model::limits::{SUMMARY_CHARS_MAX, TIMEOUT_DEFAULT_MINUTES};

use crate::git::{self, CommitFollower, Described, Format, SourceError, failed};
use crate::http::PATH;
use crate::links;
use crate::provider::{Call, Provider, configured};
use crate::realm::RealmKind;
use crate::realms::Service;

/// Who knows what kind of host a connection leads to: the output variable `ProviderType`. GetConnection would say it as
/// well, which a pipeline's role need not be allowed, and which the SDK asks in a protocol that is AWS's alone so far.
#[async_trait]
pub trait ConnectionTypes: Send + Sync {
    async fn provider_type(&self, connection_arn: &str) -> Option<String>;
}

/// Where nobody knows.
pub struct NoTypes;

#[async_trait]
impl ConnectionTypes for NoTypes {
    async fn provider_type(&self, _connection_arn: &str) -> Option<String> {
        None
    }
}

pub struct ConnectionSource {
    entry: ActionTypeEntry,
    types: Arc<dyn ConnectionTypes>,
    follower: Arc<dyn CommitFollower>,
}

impl ConnectionSource {
    pub fn new(types: Arc<dyn ConnectionTypes>, follower: Arc<dyn CommitFollower>) -> Self {
        Self { entry: entry(), types, follower }
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Source, Owner::Aws, "CodeStarSourceConnection", "1"),
        description: "Takes a commit of a repository on GitHub, GitLab, Bitbucket or another git host through a connection."
            .to_owned(),
        properties: vec![
            Property::required("ConnectionArn", "ARN of the connection to the git host."),
            Property::required(
                "FullRepositoryId",
                "`OWNER/REPOSITORY`, `GROUP/SUBGROUP/REPOSITORY`; upper and lower case as on the host.",
            ),
            Property::required("BranchName", "Branch to take, unless a start request names a commit."),
            Property::optional(
                "OutputArtifactFormat",
                "`CODE_ZIP`: the files. `CODEBUILD_CLONE_REF`: a reference that a CodeBuild action clones, history and all.",
            )
            .one_of(&Format::VALUES),
            Property::optional(
                "DetectChanges",
                "Start on new commits; accepted, the git host's events are not received yet.",
            )
            .boolean(),
        ],
        inputs: Count::new(0, 0),
        outputs: Count::new(1, 1),
        output_variables: [
            "AuthorDate",
            "AuthorDisplayName",
            "AuthorEmail",
            "AuthorId",
            "BranchName",
            "CommitId",
            "CommitMessage",
            "ConnectionArn",
            "FullRepositoryName",
            "ProviderType",
        ]
        .map(ToOwned::to_owned)
        .to_vec(),
        default_timeout_minutes: TIMEOUT_DEFAULT_MINUTES,
        timeout_configurable: false,
        v2_only: false,
        // A branch may have moved meanwhile: the artifact and the revision are always written together.
        repeat: Repeat::SameWrite,
        entity_url_template: None,
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: Some(".zip".to_owned()),
        documentation:
            "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-CodestarConnectionSource.html"
                .to_owned(),
    }
}

/// What the action takes.
struct Wanted<'a> {
    connection: &'a str,
    repository: &'a str,
    branch: &'a str,
    format: Format,
    output: &'a ArtifactLocation,
    /// Below the endpoint: `/git-http/ACCOUNT/REGION/CONNECTION_ID/FULL_REPOSITORY_ID.git`.
    path: String,
}

impl<'a> Wanted<'a> {
    fn read(action: &'a ActionInvocation) -> Result<Self, String> {
        let needed = |name: &str| configured(action, name);
        let (connection, repository) = (needed("ConnectionArn")?, needed("FullRepositoryId")?);
        let wrong = || {
            format!(
                "ConnectionArn of action {} is '{connection}', which is not the ARN of a connection.",
                action.action_name
            )
        };
        let parts: Vec<&str> = connection.splitn(6, ':').collect();
        let ["arn", _, "codeconnections" | "codestar-connections", region, account, resource] = parts[..] else {
            return Err(wrong());
        };
        let id = resource.strip_prefix("connection/").filter(|id| !id.is_empty()).ok_or_else(wrong)?;
        let path = format!("/git-http/{account}/{region}/{id}/{}.git", utf8_percent_encode(repository, PATH));
        Ok(Self {
            connection,
            repository,
            branch: needed("BranchName")?,
            format: Format::of(action)?,
            output: git::output(action)?,
            path,
        })
    }

    fn region(&self) -> &str {
        self.connection.split(':').nth(3).unwrap_or_default()
    }

    fn no_branch(&self, provider: &str) -> Outcome {
        let Self { branch, repository, .. } = self;
        failed(
            error_code::CONFIGURATION_ERROR,
            format!("[{provider}] No Branch [{branch}] found for FullRepositoryName [{repository}]"),
        )
    }

    /// What the endpoint said in AWS's words, which git hands on behind `remote:`; else git's own words.
    fn refused(&self, error: &SourceError) -> Outcome {
        let told = match error {
            SourceError::Fetch(error) if error.reason() != towpath_git::Reason::Unreachable => told(&error.to_string()),
            _ => None,
        };
        match told {
            Some(text) if text.starts_with("Unable to use Connection") => failed(error_code::PERMISSION_ERROR, text),
            Some(text) => failed(error_code::CONFIGURATION_ERROR, text),
            None => {
                let refused = format!(
                    "Unable to use Connection: {}. The provided role does not have sufficient permissions.",
                    self.connection
                );
                error.outcome(self.repository, &refused, self.output)
            }
        }
    }
}

/// The server's part of a complaint such as `remote: No repository found; fatal: ...`.
fn told(said: &str) -> Option<String> {
    let parts: Vec<&str> = said.split("; ").filter_map(|part| part.strip_prefix("remote: ")).collect();
    Some(parts.join(" ").trim().to_owned()).filter(|text| !text.is_empty())
}

async fn remote(cx: &Call<'_>, action: &ActionInvocation, wanted: &Wanted<'_>) -> Result<Remote, Outcome> {
    let credentials = cx.realm.credentials(action).await.map_err(|problem| {
        let message = problem.detail();
        problem.outcome(error_code::PERMISSION_ERROR, message)
    })?;
    let base = cx.realm.git_url().trim_end_matches('/');
    let url = format!("{base}{}", wanted.path);
    git::signed(cx, &credentials, url, wanted.region()).map_err(|error| wanted.refused(&error.into()))
}

/// The commit, with its artifact stored.
async fn taken(
    cx: &Call<'_>,
    action: &ActionInvocation,
    wanted: &Wanted<'_>,
    remote: &Remote,
    id: &str,
) -> Result<Commit, SourceError> {
    let branch = Some(wanted.branch);
    if wanted.format == Format::Zip {
        return git::zip(cx, action, wanted.output, remote, id, branch).await;
    }
    let directory = tempfile::Builder::new().prefix("git-").tempdir_in(cx.scratch)?;
    let commit = remote.fetch_commit(&directory.path().join("r.git"), id, branch, &Bounds::default()).await?;
    let origin = Origin::CodeConnections {
        connection_arn: wanted.connection.to_owned(),
        full_repository_id: wanted.repository.to_owned(),
    };
    git::clone_ref(cx, action, wanted.output, &CloneRef::new(origin, wanted.branch, &commit.id)).await?;
    Ok(commit)
}

#[async_trait]
impl Provider for ConnectionSource {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn service(&self) -> Option<Service> {
        Some(Service::CodeConnections)
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        let wanted = match Wanted::read(action) {
            Ok(wanted) => wanted,
            Err(message) => return Outcome::failed(error_code::CONFIGURATION_ERROR, message),
        };
        if cx.realm.kind() == RealmKind::Aws {
            return failed(
                error_code::CONFIGURATION_ERROR,
                format!(
                    "Action {} runs in the realm {}, and AWS serves repositories through a connection to its own services \
                     alone. Let the action run in Towpath's own services with a connection of [connections.NAME] in \
                     towpath.toml, whose arn may be that of the connection on AWS.",
                    action.action_name,
                    cx.realm.name()
                ),
            );
        }
        let remote = match remote(cx, action, &wanted).await {
            Ok(remote) => remote,
            Err(outcome) => return outcome,
        };
        let id = match git::pinned_commit(action) {
            Some(id) => Some(id.to_owned()),
            None => match remote.resolve(&format!("refs/heads/{}", wanted.branch)).await {
                Ok(found) => found,
                Err(error) => return wanted.refused(&error.into()),
            },
        };
        // The role was just allowed to use the connection.
        let provider = self.types.provider_type(wanted.connection).await.unwrap_or_default();
        let Some(id) = id else { return wanted.no_branch(&provider) };
        self.follower.follow().await;
        let commit = match taken(cx, action, &wanted, &remote, &id).await {
            Ok(commit) => commit,
            Err(error) => return wanted.refused(&error),
        };
        let described = Described::from(&commit);
        let url = links::connection_commit(cx.realm, wanted.region(), wanted.connection, wanted.repository, &commit.id);
        let mut revision = described.revision(action, wanted.output, url);
        let message: String = commit.message.trim_end().chars().take(SUMMARY_CHARS_MAX / 2).collect();
        revision.summary = Some(json!({"ProviderType": provider, "CommitMessage": message}).to_string());
        let mut variables: BTreeMap<String, String> = described.variables();
        variables.remove("CommitterDate");
        variables.extend([
            ("AuthorDisplayName".to_owned(), commit.author.name.clone()),
            ("AuthorEmail".to_owned(), commit.author.email.clone()),
            // git knows no account of the host; the address is what identifies an author there.
            ("AuthorId".to_owned(), commit.author.email),
            ("BranchName".to_owned(), wanted.branch.to_owned()),
            ("ConnectionArn".to_owned(), wanted.connection.to_owned()),
            ("FullRepositoryName".to_owned(), wanted.repository.to_owned()),
            ("ProviderType".to_owned(), provider),
        ]);
        git::succeeded(revision, variables)
    }

    /// Never `Pending`; asked all the same, it does the work again.
    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, _progress: &Progress) -> Outcome {
        self.start(cx, action).await
    }

    /// The fetch ends with the call; there is nothing to end.
    async fn stop(&self, _cx: &Call<'_>, _action: &ActionInvocation, _progress: &Progress) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoints_words_are_told_from_gits() {
        let said = "remote: Connection arn:x is not available; fatal: unable to access 'u': error: 403";
        assert_eq!(told(said).as_deref(), Some("Connection arn:x is not available"));
        assert_eq!(told("fatal: Authentication failed for 'u'"), None);
    }
}
