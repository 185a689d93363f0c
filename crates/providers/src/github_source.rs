//! Source / ThirdParty / GitHub, version 1: a commit of a GitHub repository, read over HTTPS with an OAuth token that the
//! pipeline's own definition carries. Its host may be another GitHub, by action: GitHub Enterprise Server.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use towpath_git::{Access, Remote};
use towpath_model::action::{ActionInvocation, ArtifactLocation, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::TIMEOUT_DEFAULT_MINUTES;
use towpath_model::secret::Secret;

use crate::git::{self, CommitFollower, Described, SourceError};
use crate::provider::{Call, Provider, configured};

pub const HOST: &str = "https://github.com";
/// The user that goes with a token; GitHub looks at the token alone.
const USER: &str = "x-access-token";

pub struct GitHubSource {
    entry: ActionTypeEntry,
    /// Other hosts than GitHub, by the action's name.
    hosts: BTreeMap<String, String>,
    follower: Arc<dyn CommitFollower>,
}

impl GitHubSource {
    pub fn new(hosts: BTreeMap<String, String>, follower: Arc<dyn CommitFollower>) -> Self {
        Self { entry: entry(), hosts, follower }
    }

    fn wanted<'a>(&'a self, action: &'a ActionInvocation) -> Result<Wanted<'a>, String> {
        let needed = |name: &str| configured(action, name);
        let named = |name: &str| {
            needed(name).and_then(|value| {
                let plain = !value.starts_with(['-', '.'])
                    && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
                if plain {
                    Ok(value)
                } else {
                    Err(format!(
                        "{name} of action {} is '{value}', which no {} on GitHub is called.",
                        action.action_name,
                        name.to_lowercase()
                    ))
                }
            })
        };
        let host = self.hosts.get(action.action_name.as_str()).map_or(HOST, |url| url.trim_end_matches('/'));
        Ok(Wanted {
            host,
            owner: named("Owner")?,
            repo: named("Repo")?,
            branch: needed("Branch")?,
            token: Secret::new(needed("OAuthToken")?),
            output: git::output(action)?,
        })
    }
}

struct Wanted<'a> {
    host: &'a str,
    owner: &'a str,
    repo: &'a str,
    branch: &'a str,
    token: Secret,
    output: &'a ArtifactLocation,
}

impl Wanted<'_> {
    fn page(&self) -> String {
        format!("{}/{}/{}", self.host, self.owner, self.repo)
    }

    fn refused(&self, error: &SourceError) -> Outcome {
        let text = format!(
            "Could not access the GitHub repository: \"{}/{}\". The access token might be invalid or has been revoked, or \
             lacks the scope repo. Edit the action to use a valid token.",
            self.owner, self.repo
        );
        error.outcome(&format!("{}/{}", self.owner, self.repo), &text, self.output)
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Source, Owner::ThirdParty, "GitHub", "1"),
        description: "Takes a commit of a GitHub repository with an OAuth token (version 1 of the action).".to_owned(),
        properties: vec![
            Property::required("Owner", "User or organization that the repository belongs to."),
            Property::required("Repo", "Name of the repository."),
            Property::required("Branch", "Branch to take, unless a start request names a commit."),
            Property::required("OAuthToken", "Token with the scopes `repo` and `admin:repo_hook`.").secret(),
            Property::optional(
                "PollForSourceChanges",
                "Look for new commits from time to time; accepted, polls nothing yet.",
            )
            .boolean(),
        ],
        inputs: Bounds::new(0, 0),
        outputs: Bounds::new(1, 1),
        output_variables: [
            "AuthorDate",
            "BranchName",
            "CommitId",
            "CommitMessage",
            "CommitUrl",
            "CommitterDate",
            "RepositoryName",
        ]
        .map(ToOwned::to_owned)
        .to_vec(),
        default_timeout_minutes: TIMEOUT_DEFAULT_MINUTES,
        timeout_configurable: false,
        v2_only: false,
        repeat: Repeat::SameWrite,
        entity_url_template: Some("https://github.com/{Config:Owner}/{Config:Repo}/tree/{Config:Branch}".to_owned()),
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: Some(".zip".to_owned()),
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/appendix-github-oauth.html"
            .to_owned(),
    }
}

#[async_trait]
impl Provider for GitHubSource {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        let wanted = match self.wanted(action) {
            Ok(wanted) => wanted,
            Err(message) => return Outcome::failed(error_code::CONFIGURATION_ERROR, message),
        };
        let access = Access::Basic { user: USER.to_owned(), password: wanted.token.clone() };
        let remote = match Remote::new(format!("{}.git", wanted.page()), access) {
            Ok(remote) => remote,
            Err(error) => return wanted.refused(&error.into()),
        };
        let id = match git::pinned_commit(action) {
            Some(id) => Some(id.to_owned()),
            None => match remote.resolve(&format!("refs/heads/{}", wanted.branch)).await {
                Ok(found) => found,
                Err(error) => return wanted.refused(&error.into()),
            },
        };
        let Some(id) = id else {
            let message = format!(
                "The branch {} does not exist in the GitHub repository {}/{}.",
                wanted.branch, wanted.owner, wanted.repo
            );
            return git::failed(error_code::CONFIGURATION_ERROR, message);
        };
        self.follower.follow().await;
        let commit = match git::zip(cx, action, wanted.output, &remote, &id, Some(wanted.branch)).await {
            Ok(commit) => commit,
            Err(error) => return wanted.refused(&error),
        };
        let described = Described::from(&commit);
        let url = format!("{}/commit/{}", wanted.page(), commit.id);
        let mut variables = described.variables();
        variables.extend([
            ("BranchName".to_owned(), wanted.branch.to_owned()),
            ("CommitUrl".to_owned(), url.clone()),
            ("RepositoryName".to_owned(), wanted.repo.to_owned()),
        ]);
        git::succeeded(described.revision(action, wanted.output, url), variables)
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
