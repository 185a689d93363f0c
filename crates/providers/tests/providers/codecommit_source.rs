//! CodeCommit source: a commit as a zip or as a reference, as whom git is asked for it, and each way it can be missing.

use std::collections::BTreeMap;

use towpath_git::password::{CODECOMMIT, Signing, Verdict};
use towpath_model::action::{ActionInvocation, Outcome, SourceRevisionOverride, error_code};
use towpath_model::catalogue::{Category, Owner};
use towpath_model::secret::Secret;
use towpath_model::time::Clock as _;

use crate::codecommit_peer::CodeCommit;
use crate::git_host::{self, REFUSED, REPOSITORY, commit};
use crate::stage::{
    ACTION_ROLE, REGION, Stage, artifact, failure, invocation, s3_deploy, step_functions, success, unzipped,
};
use crate::states_peer::StatesPeer;
use crate::world::{SECRET, decode};

const OUTPUT: &str = "ferry/app-src/Qm4TzX1.zip";

pub fn codecommit_source(more: &[(&str, &str)]) -> ActionInvocation {
    let keys = [("RepositoryName", REPOSITORY), ("BranchName", "main"), ("PollForSourceChanges", "true")];
    let keys: Vec<(&str, &str)> = keys.into_iter().chain(more.iter().copied()).collect();
    ActionInvocation {
        output_artifacts: vec![artifact("app-src", OUTPUT)],
        ..invocation(Category::Source, Owner::Aws, "CodeCommit", &keys)
    }
}

pub fn with_a_repository(stage: &Stage) {
    stage.aws.world().peers.insert("codecommit".to_owned(), Box::new(CodeCommit));
}

fn prepared() -> Stage {
    let stage = Stage::new();
    with_a_repository(&stage);
    stage
}

fn pinned(value: &str) -> ActionInvocation {
    let mut action = codecommit_source(&[]);
    action.source_overrides.push(SourceRevisionOverride {
        action_name: action.action_name.clone(),
        revision_type: "COMMIT_ID".to_owned(),
        revision_value: value.to_owned(),
    });
    action
}

/// What is told of the commit, whatever the artifact is.
fn assert_told(outcome: Outcome, output: &str) {
    let (progress, variables, revisions) = success(outcome);
    let told = [
        ("AuthorDate", "2017-01-11T20:49:58Z"),
        ("BranchName", "main"),
        ("CommitId", commit()),
        ("CommitMessage", "Sail\n\nFar"),
        ("CommitterDate", "2017-01-11T20:50:58Z"),
        ("RepositoryName", REPOSITORY),
    ];
    assert_eq!(variables, BTreeMap::from(told.map(|(key, value)| (key.to_owned(), value.to_owned()))));
    let page = format!(
        "https://console.aws.amazon.com/codecommit/home?region={REGION}#/repository/{REPOSITORY}/commit/{}",
        commit()
    );
    assert_eq!((revisions.len(), revisions[0].id.as_str(), revisions[0].artifact.as_str()), (1, commit(), output));
    assert_eq!((revisions[0].summary.as_deref(), revisions[0].url.as_ref()), (Some("Sail\n\nFar"), Some(&page)));
    assert_eq!(revisions[0].created.unwrap().iso8601(), "2017-01-11T20:50:58.000Z");
    assert_eq!((progress.external_id.as_deref(), progress.external_url), (Some(commit()), Some(page)));
}

#[tokio::test]
async fn the_newest_commit_becomes_a_zip_of_its_files() {
    for format in [&[][..], &[("OutputArtifactFormat", "CODE_ZIP")]] {
        let stage = prepared();
        assert_told(stage.start(&codecommit_source(format)).await, "app-src");
        let world = stage.aws.world();
        let object = world.s3.newest("artifacts", OUTPUT).unwrap();
        assert_eq!(object.headers["x-amz-meta-codepipeline-revision-id"], commit());
        assert_eq!(unzipped(&object.bytes), BTreeMap::from([("index.html".to_owned(), b"<p>".to_vec())]));
    }
}

#[tokio::test]
async fn a_clone_reference_names_the_commit_and_grants_nothing() {
    let stage = prepared();
    assert_told(stage.start(&codecommit_source(&[("OutputArtifactFormat", "CODEBUILD_CLONE_REF")])).await, "app-src");
    let asked = stage.aws.operations();
    assert_eq!(asked, ["sts:AssumeRole", "codecommit:GetBranch", "codecommit:GetCommit", "s3:PutObject"]);
    let world = stage.aws.world();
    let object = world.s3.newest("artifacts", OUTPUT).unwrap();
    assert_eq!(object.headers["content-type"], "application/json");
    let reference: serde_json::Value = serde_json::from_slice(&object.bytes).unwrap();
    let arn = format!("arn:aws:codecommit:{REGION}:111122223333:{REPOSITORY}");
    assert_eq!((&reference["repositoryArn"], &reference["commitId"]), (&arn.into(), &commit().into()));
    assert_eq!((&reference["branch"], &reference["provider"]), (&"main".into(), &"CodeCommit".into()));
    assert!(!String::from_utf8_lossy(&object.bytes).contains(SECRET));
}

#[tokio::test]
async fn a_clone_reference_is_for_builds_only() {
    let stage = prepared();
    let mut source = codecommit_source(&[("OutputArtifactFormat", "CODEBUILD_CLONE_REF")]);
    source.output_artifacts = vec![artifact("bundle", "ferry/bundle/a1B2c3D")];
    assert_told(stage.start(&source).await, "bundle");
    StatesPeer::install(&stage, "STANDARD");
    for action in [
        s3_deploy(&[("Extract", "true")]),
        s3_deploy(&[("Extract", "false"), ("ObjectKey", "app.zip")]),
        step_functions(),
    ] {
        let (code, message) = failure(stage.start(&action).await);
        assert_eq!(code, error_code::CONFIGURATION_ERROR);
        assert_eq!(
            message,
            "The artifact bundle is a reference to a repository (OutputArtifactFormat CODEBUILD_CLONE_REF), which CodeBuild \
             actions alone can use. Set OutputArtifactFormat of the source action to CODE_ZIP."
        );
    }
    assert!(stage.aws.world().s3.buckets["site"].objects.is_empty());
}

#[tokio::test]
async fn git_is_asked_with_a_password_of_the_acting_role() {
    let stage = prepared();
    let mut action = codecommit_source(&[]);
    action.role_arn = Some(ACTION_ROLE.to_owned());
    assert_told(stage.start(&action).await, "app-src");
    let path = format!("/v1/repos/{REPOSITORY}");
    let (user, password) = git_host::seen(&path).pop().expect("git was asked with credentials");
    // The key of the session that the action's role gave, and its token.
    let (key, token) = user.split_once('%').expect("a session's key");
    assert_eq!(decode(token), SECRET);
    assert_eq!(stage.aws.world().sessions[key].role, ACTION_ROLE);
    let secret = Secret::new(SECRET);
    let signing = Signing { secret: &secret, region: REGION, service: CODECOMMIT, host: "127.0.0.1", path: &path };
    assert_eq!(signing.verify(&password, stage.clock.now()), Verdict::Good);
}

#[tokio::test]
async fn a_pinned_commit_goes_before_the_branch() {
    let stage = prepared();
    assert_told(stage.start(&pinned(commit())).await, "app-src");
    assert_eq!(stage.aws.calls("codecommit:GetBranch"), 0);
    let missing = "0".repeat(40);
    let (code, message) = failure(stage.start(&pinned(&missing)).await);
    assert_eq!(code, error_code::CONFIGURATION_ERROR);
    assert_eq!(
        message,
        format!(
            "The action failed because no commit with the ID {missing} was found in the selected AWS CodeCommit repository \
             {REPOSITORY}. Error: Commit {missing} does not exist (Service: AWSCodeCommit; Status Code: 400; Error Code: \
             CommitIdDoesNotExistException; Request ID: R-1)"
        )
    );
    // Known to the API, gone when git is asked.
    let (code, message) = failure(stage.start(&pinned(&"9".repeat(40))).await);
    assert_eq!(code, error_code::CONFIGURATION_ERROR);
    assert!(message.starts_with(&format!("The repository {REPOSITORY} lacks the wanted revision.")), "{message}");
}

#[tokio::test]
async fn each_way_it_can_be_missing_or_wrong() {
    let stage = prepared();
    for (more, want) in [
        (("RepositoryName", ""), "The configuration of action Act lacks RepositoryName."),
        (("BranchName", ""), "The configuration of action Act lacks BranchName."),
        (
            ("OutputArtifactFormat", "TAR"),
            "OutputArtifactFormat of action Act is 'TAR'. It must be CODE_ZIP or CODEBUILD_CLONE_REF.",
        ),
        (
            ("RepositoryName", "nowhere"),
            "The AWS CodeCommit repository named nowhere does not exist. nowhere does not exist (Service: AWSCodeCommit; \
             Status Code: 400; Error Code: RepositoryDoesNotExistException; Request ID: R-1)",
        ),
        (
            ("BranchName", "next"),
            "The action failed because no branch named next was found in the selected AWS CodeCommit repository ferry. Make \
             sure you are using the correct branch name, and then try again. Error: Branch next does not exist (Service: \
             AWSCodeCommit; Status Code: 400; Error Code: BranchDoesNotExistException; Request ID: R-1)",
        ),
        (
            ("RepositoryName", "a/b"),
            "The AWS CodeCommit repository named a/b cannot be used. The repository name is not valid. (Service: \
             AWSCodeCommit; Status Code: 400; Error Code: InvalidRepositoryNameException; Request ID: R-1)",
        ),
    ] {
        let (code, message) = failure(stage.start(&codecommit_source(&[more])).await);
        assert_eq!((code.as_str(), message.as_str()), (error_code::CONFIGURATION_ERROR, want));
    }
    let mut action = codecommit_source(&[]);
    action.output_artifacts.clear();
    let (code, message) = failure(stage.start(&action).await);
    assert_eq!(code, error_code::CONFIGURATION_ERROR);
    assert_eq!(message, "Action Act must have exactly one output artifact.");
}

#[tokio::test]
async fn a_role_that_may_ask_the_api_and_not_git_is_told_so() {
    let stage = prepared();
    let (code, message) = failure(stage.start(&codecommit_source(&[("RepositoryName", REFUSED)])).await);
    assert_eq!(code, error_code::PERMISSION_ERROR);
    let start = format!(
        "The service role or action role doesn’t have the permissions required to access the AWS CodeCommit repository named \
         {REFUSED}. Update the IAM role permissions, and then try again. Error:"
    );
    assert!(message.starts_with(&start) && message.contains("403"), "{message}");
    assert!(!message.contains(SECRET), "{message}");
}
