//! The sources that take commits from git hosts: what they answer, and what they store.

use std::collections::BTreeMap;

use towpath_model::action::{SourceRevisionOverride, error_code};
use towpath_providers::RealmKind;

use crate::git_host::{CONNECTION, commit, connection_source, github_source};
use crate::stage::{Stage, failure, success};

fn of(variables: &BTreeMap<String, String>, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| variables[*name].clone()).collect()
}

#[tokio::test]
async fn a_commit_behind_a_connection_is_told_whole() {
    let stage = Stage::new();
    let (progress, variables, revisions) = success(stage.start(&connection_source(&[])).await);
    assert_eq!(progress.external_id.as_deref(), Some(commit()));
    let names = ["AuthorDate", "AuthorEmail", "BranchName", "CommitId", "CommitMessage", "ConnectionArn"];
    let want = ["2017-01-11T20:49:58Z", "ada@example.com", "main", commit(), "Sail", CONNECTION];
    assert_eq!(of(&variables, &names), want);
    assert_eq!(of(&variables, &["FullRepositoryName", "ProviderType"]), ["towline-co/ferry", "GitHub"]);
    let revision = &revisions[0];
    assert_eq!(revision.summary.as_deref(), Some(r#"{"ProviderType":"GitHub","CommitMessage":"Sail"}"#));
    assert_eq!(
        revision.url.as_deref(),
        Some(
            format!(
                "https://eu-west-1.console.aws.amazon.com/codesuite/settings/connections/redirect?connectionArn={CONNECTION}\
                 &referenceType=COMMIT&FullRepositoryId=towline-co/ferry&Commit={}",
                commit()
            )
            .as_str()
        )
    );
}

#[tokio::test]
async fn a_clone_reference_names_and_grants_nothing() {
    let stage = Stage::new();
    let action = connection_source(&[("OutputArtifactFormat", "CODEBUILD_CLONE_REF")]);
    success(stage.start(&action).await);
    let stored = format!("{:?}", stage.aws.world().s3.contents());
    assert!(!stored.contains(crate::world::SECRET));
}

#[tokio::test]
async fn a_pinned_commit_is_taken_and_a_missing_one_named() {
    let stage = Stage::new();
    let pinned = |value: &str| {
        let mut action = connection_source(&[("BranchName", "main")]);
        action.source_overrides.push(SourceRevisionOverride {
            action_name: action.action_name.clone(),
            revision_type: "COMMIT_ID".to_owned(),
            revision_value: value.to_owned(),
        });
        action
    };
    success(stage.start(&pinned(commit())).await);
    let (code, message) = failure(stage.start(&pinned(&"0".repeat(40))).await);
    assert_eq!(code, error_code::CONFIGURATION_ERROR);
    assert!(message.contains("towline-co/ferry"), "{message}");
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let stage = Stage::new();
    let (code, message) = failure(stage.start(&connection_source(&[("BranchName", "x")])).await);
    assert_eq!(code, error_code::CONFIGURATION_ERROR);
    assert_eq!(message, "[GitHub] No Branch [x] found for FullRepositoryName [towline-co/ferry]");
    let (_, message) = failure(stage.start(&connection_source(&[("FullRepositoryId", "towline-co/none")])).await);
    assert!(message.contains("towline-co/none does not exist"), "{message}");
    let (code, message) = failure(stage.start(&connection_source(&[("ConnectionArn", "arn:aws:s3:::x")])).await);
    assert_eq!(code, error_code::CONFIGURATION_ERROR);
    assert!(message.contains("not the ARN of a connection"), "{message}");
    let aws = Stage::over(&stage.aws, RealmKind::Aws);
    let (code, message) = failure(aws.start(&connection_source(&[])).await);
    assert_eq!(code, error_code::CONFIGURATION_ERROR);
    assert!(message.contains("[connections.NAME]"), "{message}");
}

#[tokio::test]
async fn github_says_where_the_commit_is() {
    let stage = Stage::new();
    let (_, variables, revisions) = success(stage.start(&github_source()).await);
    assert_eq!(of(&variables, &["BranchName", "CommitId", "RepositoryName"]), ["main", commit(), "ferry"]);
    let url = format!("{}/towline-co/ferry/commit/{}", crate::git_host::url(), commit());
    assert_eq!(variables["CommitUrl"], url);
    assert_eq!(revisions[0].url, Some(url));
    let mut action = github_source();
    action.configuration.insert("Repo".to_owned(), "../x".to_owned());
    let (code, _) = failure(stage.start(&action).await);
    assert_eq!(code, error_code::CONFIGURATION_ERROR);
}
