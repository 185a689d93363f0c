//! Batch builds: StartBuildBatch with the same overrides as a build, then BatchGetBuildBatches until the batch is over.
//! The embedded CodeBuild has none; a realm elsewhere does. Must not decide what is built.

use std::collections::BTreeMap;

use aws_sdk_codebuild::Client;
use aws_sdk_codebuild::operation::start_build_batch::builders::StartBuildBatchFluentBuilder;
use aws_sdk_codebuild::types::{BuildBatch, BuildGroup, ProjectBuildBatchConfig, StatusType};
use towpath_model::action::{ActionInvocation, ErrorDetails, Outcome, Progress, error_code};
use towpath_model::limits::ERROR_MESSAGE_CHARS_MAX;

use crate::builds::{self, SERVICE};
use crate::links;
use crate::problem::{Kind, Problem};
use crate::provider::Call;
use crate::realm::RealmKind;

/// Configuration key of both kinds of CodeBuild action.
pub const ENABLED: &str = "BatchEnabled";
pub const COMBINED: &str = "CombineArtifacts";

/// Whether the action runs a batch; why it cannot, otherwise.
pub fn wanted(cx: &Call<'_>, action: &ActionInvocation) -> Result<bool, String> {
    if !action.config_true(ENABLED) {
        return if action.config_true(COMBINED) {
            Err(format!("{COMBINED} needs {ENABLED}. Set {ENABLED} to true, or remove {COMBINED}."))
        } else {
            Ok(false)
        };
    }
    if cx.realm.kind() == RealmKind::Embedded {
        return Err(format!(
            "{ENABLED}: the embedded CodeBuild runs no batch builds. Run one CodeBuild action for each build, or let this \
             one run on AWS: `[realm.aws]` with `providers = [\"CodeBuild\"]` and `staging-bucket = \"...\"` in \
             towpath.toml."
        ));
    }
    Ok(true)
}

/// What the batch does with the artifacts of its builds.
pub fn combining(action: &ActionInvocation, request: StartBuildBatchFluentBuilder) -> StartBuildBatchFluentBuilder {
    let combine = action.config_true(COMBINED);
    request.set_build_batch_config_override(
        combine.then(|| ProjectBuildBatchConfig::builder().combine_artifacts(true).build()),
    )
}

/// Sends a start that has its overrides.
pub async fn start(cx: &Call<'_>, action: &ActionInvocation, request: StartBuildBatchFluentBuilder) -> Outcome {
    let answer = combining(action, request).idempotency_token(builds::token(action)).send().await;
    match answer.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error))) {
        Ok(answer) => match answer.build_batch {
            Some(batch) => outcome_of(cx, action, &batch),
            None => not_started(&Problem::broken(SERVICE, "StartBuildBatch answered without a batch")),
        },
        Err(problem) => not_started(&problem),
    }
}

pub fn not_started(problem: &Problem) -> Outcome {
    problem.outcome(error_code::JOB_FAILED, format!("Error calling startBuildBatch: {}", problem.detail()))
}

fn state(group: &BuildGroup) -> Option<&StatusType> {
    group.current_build_summary()?.build_status()
}

/// Which of its builds are over, in percent.
fn percent(batch: &BuildBatch) -> Option<u8> {
    let groups = batch.build_groups();
    let over = groups.iter().filter(|group| state(group).is_some_and(|s| *s != StatusType::InProgress)).count();
    u8::try_from((over * 100).checked_div(groups.len())?).ok()
}

fn progress_of(cx: &Call<'_>, action: &ActionInvocation, batch: &BuildBatch) -> Progress {
    let id = batch.id().unwrap_or_default();
    Progress {
        external_id: Some(id.to_owned()),
        external_url: Some(links::codebuild_batch(cx.realm, &action.region, batch.arn().unwrap_or_default(), id)),
        percent: percent(batch),
        ..Progress::default()
    }
}

/// `Build batch terminated with state: FAILED. ...`: what a phase of the batch says, else which of its builds failed.
fn failure_text(batch: &BuildBatch, state_name: &str) -> String {
    let phase = batch.phases().iter().find(|phase| {
        phase.phase_status().is_some_and(|s| !matches!(s, StatusType::Succeeded | StatusType::InProgress))
            && !phase.contexts().is_empty()
    });
    let failed: Vec<&str> = batch
        .build_groups()
        .iter()
        .filter(|group| state(group).is_some_and(|s| !matches!(s, StatusType::Succeeded | StatusType::InProgress)))
        .filter_map(BuildGroup::identifier)
        .collect();
    let said = phase.and_then(|p| Some((p.phase_type()?.as_str(), p.contexts().first()?)));
    let said = said.map(|(phase, context)| {
        let (code, message) = (context.status_code().unwrap_or_default(), context.message().unwrap_or_default());
        format!("Phase: {phase}, Code: {code}, Message: {message}")
    });
    let builds = (!failed.is_empty()).then(|| format!("Builds that did not succeed: {}", failed.join(", ")));
    let state = format!("Build batch terminated with state: {state_name}");
    let text = [Some(state), said, builds].into_iter().flatten().collect::<Vec<_>>().join(". ");
    text.chars().take(ERROR_MESSAGE_CHARS_MAX).collect()
}

/// What the state of a batch means for its action. A batch exports no variables; its builds do, each its own.
fn outcome_of(cx: &Call<'_>, action: &ActionInvocation, batch: &BuildBatch) -> Outcome {
    let progress = progress_of(cx, action, batch);
    match batch.build_batch_status() {
        None | Some(StatusType::InProgress) => Outcome::Pending { progress },
        Some(StatusType::Succeeded) => {
            Outcome::Succeeded { progress, variables: BTreeMap::new(), revisions: Vec::new() }
        }
        Some(state) => {
            let message = failure_text(batch, state.as_str());
            let progress = Progress { summary: Some(message.clone()), ..progress };
            Outcome::Failed { progress, error: ErrorDetails::new(error_code::JOB_FAILED, message) }
        }
    }
}

/// How the batch of this id is getting on.
pub async fn poll(
    cx: &Call<'_>,
    action: &ActionInvocation,
    client: Result<Client, Problem>,
    id: &str,
    progress: &Progress,
) -> Outcome {
    let found = match client {
        Ok(client) => {
            let answer = client.batch_get_build_batches().ids(id).send().await;
            answer.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))
        }
        Err(problem) => Err(problem),
    };
    match found.map(|answer| answer.build_batches.unwrap_or_default().into_iter().find(|b| b.id() == Some(id))) {
        Ok(Some(batch)) => outcome_of(cx, action, &batch),
        Ok(None) => {
            let message = format!("Build batch {id} does not exist");
            let progress = Progress { summary: Some(message.clone()), ..progress.clone() };
            Outcome::Failed { progress, error: ErrorDetails::new(error_code::JOB_FAILED, message) }
        }
        Err(problem) => problem.outcome_with(
            progress.clone(),
            error_code::JOB_FAILED,
            format!("Error calling batchGetBuildBatches: {}", problem.detail()),
        ),
    }
}

/// Stops the batch and its builds; one that is gone is stopped.
pub async fn stop(
    cx: &Call<'_>,
    action: &ActionInvocation,
    client: Result<Client, Problem>,
    id: &str,
) -> Result<(), String> {
    let client = client.map_err(|problem| problem.detail())?;
    let answer = client.stop_build_batch().id(id).send().await;
    match answer.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error))) {
        Ok(_) => Ok(()),
        Err(problem) if problem.kind == Kind::NotFound => Ok(()),
        Err(problem) => Err(format!("Error calling stopBuildBatch: {}", problem.detail())),
    }
}
