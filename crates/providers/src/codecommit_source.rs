//! Source / AWS / CodeCommit: the tip of a branch, or the commit that a start request pins, as a zip of its files or as a
//! reference that builds clone. Branch and commit are asked of the API; the files come over git, because the archive that
//! CodePipeline has CodeCommit upload at AWS has no public API.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_codecommit::types::{Commit, UserInfo};
use towpath_git::{CloneRef, Origin, Remote};
use towpath_model::action::{ActionInvocation, ArtifactLocation, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::TIMEOUT_DEFAULT_MINUTES;

use crate::git::{self, Described, Format, SourceError};
use crate::links;
use crate::problem::{Kind, Problem};
use crate::provider::{Call, Provider, configured};
use crate::realm::RealmKind;
use crate::realms::Service;

const SERVICE: &str = "AWSCodeCommit";

pub struct CodeCommitSource {
    entry: ActionTypeEntry,
}

impl Default for CodeCommitSource {
    fn default() -> Self {
        Self::new()
    }
}

impl CodeCommitSource {
    pub fn new() -> Self {
        Self { entry: entry() }
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Source, Owner::Aws, "CodeCommit", "1"),
        description: "Takes a commit of an AWS CodeCommit repository.".to_owned(),
        properties: vec![
            Property::required("RepositoryName", "Name of the repository."),
            Property::required("BranchName", "Branch whose newest commit is taken."),
            Property::optional(
                "PollForSourceChanges",
                "Look for new commits from time to time; accepted, polls nothing yet.",
            )
            .boolean(),
            Property::optional(
                "OutputArtifactFormat",
                "`CODE_ZIP` (default): the files without git's own. `CODEBUILD_CLONE_REF`: a reference that builds clone with \
                 the whole history; for CodeBuild actions only.",
            )
            .one_of(&Format::VALUES),
        ],
        inputs: Bounds::new(0, 0),
        outputs: Bounds::new(1, 1),
        output_variables: ["AuthorDate", "BranchName", "CommitId", "CommitMessage", "CommitterDate", "RepositoryName"]
            .map(ToOwned::to_owned)
            .to_vec(),
        default_timeout_minutes: TIMEOUT_DEFAULT_MINUTES,
        timeout_configurable: false,
        v2_only: false,
        repeat: Repeat::SameWrite,
        entity_url_template: Some(
            "https://console.aws.amazon.com/codecommit/home#/repository/{Config:RepositoryName}/browse/{Config:BranchName}/--/"
                .to_owned(),
        ),
        execution_url_template: None,
        revision_url_template: Some(
            "https://console.aws.amazon.com/codecommit/home#/repository/{Config:RepositoryName}/commit/{RevisionId}".to_owned(),
        ),
        executor: Executor::Provider,
        artifact_suffix: Some(".zip".to_owned()),
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-CodeCommit.html"
            .to_owned(),
    }
}

/// What the action takes, and as what.
struct Wanted<'a> {
    repository: &'a str,
    branch: &'a str,
    pinned: Option<&'a str>,
    format: Format,
    output: &'a ArtifactLocation,
}

impl<'a> Wanted<'a> {
    fn read(action: &'a ActionInvocation) -> Result<Self, String> {
        let needed = |name: &str| configured(action, name);
        Ok(Self {
            repository: needed("RepositoryName")?,
            branch: needed("BranchName")?,
            pinned: git::pinned_commit(action),
            format: Format::of(action)?,
            output: git::output(action)?,
        })
    }

    fn denied(&self) -> String {
        format!(
            "The service role or action role doesn’t have the permissions required to access the AWS CodeCommit repository \
             named {}. Update the IAM role permissions, and then try again. Error:",
            self.repository
        )
    }

    /// AWS's words for a call that was refused.
    fn outcome(&self, problem: &Problem) -> Outcome {
        let Self { repository, branch, .. } = self;
        let detail = problem.detail();
        let (code, message) = match (problem.kind, problem.code.as_str()) {
            (Kind::AccessDenied, _) => (error_code::PERMISSION_ERROR, format!("{} {detail}", self.denied())),
            (_, "RepositoryDoesNotExistException") => (
                error_code::CONFIGURATION_ERROR,
                format!("The AWS CodeCommit repository named {repository} does not exist. {detail}"),
            ),
            (_, "BranchDoesNotExistException") => (
                error_code::CONFIGURATION_ERROR,
                format!(
                    "The action failed because no branch named {branch} was found in the selected AWS CodeCommit repository \
                     {repository}. Make sure you are using the correct branch name, and then try again. Error: {detail}"
                ),
            ),
            (_, "CommitIdDoesNotExistException" | "CommitDoesNotExistException" | "InvalidCommitIdException") => (
                error_code::CONFIGURATION_ERROR,
                format!(
                    "The action failed because no commit with the ID {} was found in the selected AWS CodeCommit repository \
                     {repository}. Error: {detail}",
                    self.pinned.unwrap_or_default()
                ),
            ),
            _ => (
                error_code::CONFIGURATION_ERROR,
                format!("The AWS CodeCommit repository named {repository} cannot be used. {detail}"),
            ),
        };
        problem.outcome(code, message)
    }
}

/// Whatever ended an action.
enum Trouble {
    Api(Problem),
    Source(SourceError),
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Self::Api(problem)
    }
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

/// Epoch seconds of `1484167798 -0800`.
fn seconds(person: Option<&UserInfo>) -> i64 {
    let date = person.and_then(UserInfo::date).unwrap_or_default();
    date.split(' ').next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0)
}

fn described(id: &str, commit: &Commit) -> Described {
    Described {
        id: id.to_owned(),
        message: commit.message().unwrap_or_default().to_owned(),
        authored: seconds(commit.author()),
        committed: seconds(commit.committer()),
    }
}

impl CodeCommitSource {
    async fn take(cx: &Call<'_>, action: &ActionInvocation, wanted: &Wanted<'_>) -> Result<Outcome, Trouble> {
        let note = |problem| cx.realm.note(action, problem);
        let client = cx.realm.codecommit(action).await?;
        let id = if let Some(id) = wanted.pinned {
            id.to_owned()
        } else {
            let request = client.get_branch().repository_name(wanted.repository).branch_name(wanted.branch);
            let answer = request.send().await.map_err(|error| note(Problem::of(SERVICE, &error)))?;
            let id = answer.branch.and_then(|branch| branch.commit_id);
            id.ok_or_else(|| Problem::broken(SERVICE, "GetBranch answered without a commit"))?
        };
        let request = client.get_commit().repository_name(wanted.repository).commit_id(&id);
        let answer = request.send().await.map_err(|error| note(Problem::of(SERVICE, &error)))?;
        let commit = answer.commit.as_ref().map(|commit| described(&id, commit));
        let commit = commit.ok_or_else(|| Problem::broken(SERVICE, "GetCommit answered without a commit"))?;
        match wanted.format {
            Format::CloneRef => {
                let account = action.acting_role().split(':').nth(4).unwrap_or(&action.scope.account);
                let region = cx.realm.region(&action.region);
                let repository_arn = format!("arn:aws:codecommit:{region}:{account}:{}", wanted.repository);
                let reference = CloneRef::new(Origin::CodeCommit { repository_arn }, wanted.branch, &id);
                git::clone_ref(cx, action, wanted.output, &reference).await?;
            }
            Format::Zip => {
                let remote = Self::remote(cx, action, wanted).await?;
                git::zip(cx, action, wanted.output, &remote, &id, Some(wanted.branch)).await?;
            }
        }
        let url = links::codecommit_commit(cx.realm, &action.region, wanted.repository, &id);
        let mut variables = commit.variables();
        variables.extend(BTreeMap::from([
            ("BranchName".to_owned(), wanted.branch.to_owned()),
            ("RepositoryName".to_owned(), wanted.repository.to_owned()),
        ]));
        Ok(git::succeeded(commit.revision(action, wanted.output, url), variables))
    }

    /// The repository over git, with a password derived from the acting role's credentials.
    async fn remote(cx: &Call<'_>, action: &ActionInvocation, wanted: &Wanted<'_>) -> Result<Remote, Trouble> {
        let path = format!("/v1/repos/{}", wanted.repository);
        let region = cx.realm.region(&action.region);
        let url = match cx.realm.git_endpoint() {
            Some(near) => format!("{}{path}", near.trim_end_matches('/')),
            None => Self::clone_url(cx, action, wanted, region).await?,
        };
        let credentials = cx.realm.credentials(action).await?;
        Ok(git::signed(cx, &credentials, url, region).map_err(SourceError::Fetch)?)
    }

    /// What GetRepository says; a role that may not ask is given AWS's own form.
    async fn clone_url(
        cx: &Call<'_>,
        action: &ActionInvocation,
        wanted: &Wanted<'_>,
        region: &str,
    ) -> Result<String, Problem> {
        let client = cx.realm.codecommit(action).await?;
        let answer = client.get_repository().repository_name(wanted.repository).send().await;
        match answer.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error))) {
            Ok(answer) => {
                let url = answer.repository_metadata.and_then(|metadata| metadata.clone_url_http);
                url.ok_or_else(|| Problem::broken(SERVICE, "GetRepository answered without a clone URL"))
            }
            Err(problem) if problem.kind == Kind::AccessDenied && cx.realm.kind() == RealmKind::Aws => {
                let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
                Ok(format!("https://git-codecommit.{region}.{domain}/v1/repos/{}", wanted.repository))
            }
            Err(problem) => Err(problem),
        }
    }
}

#[async_trait]
impl Provider for CodeCommitSource {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn service(&self) -> Option<Service> {
        Some(Service::CodeCommit)
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        let wanted = match Wanted::read(action) {
            Ok(wanted) => wanted,
            Err(message) => return Outcome::failed(error_code::CONFIGURATION_ERROR, message),
        };
        match Self::take(cx, action, &wanted).await {
            Ok(outcome) => outcome,
            Err(Trouble::Api(problem)) => wanted.outcome(&problem),
            Err(Trouble::Source(error)) => error.outcome(wanted.repository, &wanted.denied(), wanted.output),
        }
    }

    /// Never `Pending`; asked all the same, it does the work again.
    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, _progress: &Progress) -> Outcome {
        self.start(cx, action).await
    }

    /// The work is done when `start` answers; there is nothing to end.
    async fn stop(&self, _cx: &Call<'_>, _action: &ActionInvocation, _progress: &Progress) -> Result<(), String> {
        Ok(())
    }
}
