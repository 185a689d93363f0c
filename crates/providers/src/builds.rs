//! What every provider that runs builds does with CodeBuild: inputs and outputs as S3 overrides, the state of a build as
//! an outcome, polling and stopping. Must not decide what is built: that is each provider's.

use std::collections::BTreeMap;

use aws_sdk_codebuild::Client;
use aws_sdk_codebuild::types::{
    ArtifactNamespace, ArtifactPackaging, ArtifactsType, Build, ProjectArtifacts, ProjectSource, SourceType, StatusType,
};
use towpath_model::action::{ActionInvocation, ArtifactLocation, ErrorDetails, Outcome, Progress, error_code};
use towpath_model::limits::ERROR_MESSAGE_CHARS_MAX;

use crate::limits::IDEMPOTENCY_TOKEN_CHARS_MAX;
use crate::links;
use crate::problem::{Kind, Problem};
use crate::provider::Call;

pub const SERVICE: &str = "AWSCodeBuild";

/// The token that makes a repeated start of an action the same build.
pub fn token(action: &ActionInvocation) -> String {
    action.action_execution_id.chars().take(IDEMPOTENCY_TOKEN_CHARS_MAX).collect()
}

/// An input in S3, under the name of its artifact.
pub fn s3_source(artifact: &ArtifactLocation) -> Result<ProjectSource, String> {
    ProjectSource::builder()
        .r#type(SourceType::S3)
        .location(format!("{}/{}", artifact.bucket, artifact.key))
        .source_identifier(artifact.name.as_str())
        .build()
        .map_err(|e| e.to_string())
}

/// A zip at exactly the reserved key: CodeBuild writes `path/name`, and nothing may change the name.
pub fn s3_artifact(artifact: &ArtifactLocation, identifier: Option<&str>) -> Result<ProjectArtifacts, String> {
    let (path, name) = artifact.key.rsplit_once('/').unwrap_or(("", &artifact.key));
    ProjectArtifacts::builder()
        .r#type(ArtifactsType::S3)
        .location(&artifact.bucket)
        .path(path)
        .namespace_type(ArtifactNamespace::None)
        .name(name)
        .packaging(ArtifactPackaging::Zip)
        .override_artifact_name(false)
        .encryption_disabled(false)
        .set_artifact_identifier(identifier.map(ToOwned::to_owned))
        .build()
        .map_err(|e| e.to_string())
}

pub fn no_artifacts() -> Result<ProjectArtifacts, String> {
    ProjectArtifacts::builder().r#type(ArtifactsType::NoArtifacts).build().map_err(|e| e.to_string())
}

fn progress_of(cx: &Call<'_>, action: &ActionInvocation, build: &Build) -> Progress {
    let id = build.id().unwrap_or_default();
    let logs = build.logs().and_then(|logs| logs.cloud_watch_logs_arn());
    Progress {
        external_id: Some(id.to_owned()),
        external_url: Some(links::codebuild_build(cx.realm, &action.region, id)),
        // Before the stream exists CodeBuild names the group and the stream `null`.
        log_stream_arn: logs.filter(|arn| !arn.contains(":log-group:null:")).map(ToOwned::to_owned),
        ..Progress::default()
    }
}

/// `Build terminated with state: FAILED. Phase: BUILD, Code: COMMAND_EXECUTION_ERROR, Message: ...`; of several failed
/// phases the first, of one without a context the state alone.
fn failure_text(build: &Build, state: &str) -> String {
    let phase = build.phases().iter().find(|phase| {
        phase.phase_status().is_some_and(|s| !matches!(s, StatusType::Succeeded | StatusType::InProgress))
            && !phase.contexts().is_empty()
    });
    let text = match phase.and_then(|phase| Some((phase.phase_type()?.as_str(), phase.contexts().first()?))) {
        Some((phase, context)) => format!(
            "Build terminated with state: {state}. Phase: {phase}, Code: {}, Message: {}",
            context.status_code().unwrap_or_default(),
            context.message().unwrap_or_default()
        ),
        None => format!("Build terminated with state: {state}"),
    };
    text.chars().take(ERROR_MESSAGE_CHARS_MAX).collect()
}

/// What the state of a build means for its action.
pub fn outcome_of(cx: &Call<'_>, action: &ActionInvocation, build: &Build) -> Outcome {
    let progress = progress_of(cx, action, build);
    match build.build_status() {
        None | Some(StatusType::InProgress) => Outcome::Pending { progress },
        Some(StatusType::Succeeded) => {
            let exported = build.exported_environment_variables().iter();
            let variables: BTreeMap<String, String> = exported
                .filter_map(|v| Some((v.name()?.to_owned(), v.value().unwrap_or_default().to_owned())))
                .collect();
            Outcome::Succeeded { progress, variables, revisions: Vec::new() }
        }
        Some(state) => {
            let message = failure_text(build, state.as_str());
            let progress = Progress { summary: Some(message.clone()), ..progress };
            Outcome::Failed { progress, error: ErrorDetails::new(error_code::JOB_FAILED, message) }
        }
    }
}

async fn find(cx: &Call<'_>, action: &ActionInvocation, client: &Client, id: &str) -> Result<Option<Build>, Problem> {
    let answer = client.batch_get_builds().ids(id).send().await;
    let answer = answer.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))?;
    Ok(answer.builds.and_then(|builds| builds.into_iter().find(|b| b.id() == Some(id))))
}

/// How the build of this id is getting on.
pub async fn poll(
    cx: &Call<'_>,
    action: &ActionInvocation,
    client: Result<Client, Problem>,
    id: &str,
    progress: &Progress,
) -> Outcome {
    let found = match client {
        Ok(client) => find(cx, action, &client, id).await,
        Err(problem) => Err(problem),
    };
    match found {
        Ok(Some(build)) => outcome_of(cx, action, &build),
        Ok(None) => {
            let message = format!("Build {id} does not exist");
            let progress = Progress { summary: Some(message.clone()), ..progress.clone() };
            Outcome::Failed { progress, error: ErrorDetails::new(error_code::JOB_FAILED, message) }
        }
        Err(problem) => problem.outcome_with(
            progress.clone(),
            error_code::JOB_FAILED,
            format!("Error calling batchGetBuilds: {}", problem.detail()),
        ),
    }
}

/// What a start that was refused means for its action.
pub fn not_started(problem: &Problem) -> Outcome {
    problem.outcome(error_code::JOB_FAILED, format!("Error calling startBuild: {}", problem.detail()))
}

/// Stops the build; one that is gone is stopped.
pub async fn stop(
    cx: &Call<'_>,
    action: &ActionInvocation,
    client: Result<Client, Problem>,
    id: &str,
) -> Result<(), String> {
    let client = client.map_err(|problem| problem.detail())?;
    let answer = client.stop_build().id(id).send().await;
    match answer.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error))) {
        Ok(_) => Ok(()),
        Err(problem) if problem.kind == Kind::NotFound => Ok(()),
        Err(problem) => Err(format!("Error calling stopBuild: {}", problem.detail())),
    }
}
