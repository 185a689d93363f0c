//! What every provider that deploys with CodeDeploy does with it: creating a deployment, watching it, stopping it, telling
//! why it failed. Must not decide what is deployed: that is each provider's.
//!
//! CodeDeploy has no client tokens. A deployment's description carries the action execution's id, and a start looks for it
//! among the group's deployments of its time before it makes one.

use std::collections::BTreeMap;

use aws_sdk_codedeploy::types::{
    DeploymentInfo, DeploymentStatus, DeploymentTarget, Diagnostics, LifecycleErrorCode, LifecycleEvent,
    LifecycleEventStatus, RevisionLocation, TargetFilterName, TimeRange,
};
use aws_smithy_types::DateTime;
use towpath_model::action::{ActionInvocation, Outcome, Progress, error_code};
use towpath_model::time::Timestamp;

use crate::deploys::{failed, needed, unable};
use crate::limits::{CLOCKS_DIFFER_MS, DEPLOYMENT_TARGETS_AT_ONCE, DEPLOYMENT_TARGETS_MAX, DEPLOYMENTS_LOOKED_AT_MAX};
use crate::links;
use crate::logs::{self, LogLine, LogPage};
use crate::problem::{Kind, Problem};
use crate::provider::Call;

pub const SERVICE: &str = "AmazonCodeDeploy";

/// Where is deployed to.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub application: &'a str,
    pub group: &'a str,
}

impl<'a> Place<'a> {
    pub fn read(action: &'a ActionInvocation) -> Result<Self, String> {
        Ok(Self { application: needed(action, "ApplicationName")?, group: needed(action, "DeploymentGroupName")? })
    }
}

/// What a deployment of this action is called.
fn description(action: &ActionInvocation) -> String {
    format!("{} {}", action.pipeline_name, action.action_execution_id)
}

async fn get(cx: &Call<'_>, action: &ActionInvocation, id: &str) -> Result<DeploymentInfo, Problem> {
    let request = cx.realm.codedeploy(action).await?.get_deployment().deployment_id(id);
    let answer = request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))?;
    answer.deployment_info.ok_or_else(|| Problem::broken(SERVICE, "GetDeployment answered without a deployment"))
}

/// The deployment that a start before this one has made, if there was one.
pub async fn begun(
    cx: &Call<'_>,
    action: &ActionInvocation,
    place: Place<'_>,
) -> Result<Option<DeploymentInfo>, Outcome> {
    let since = DateTime::from_millis(action.started.millis().saturating_sub(CLOCKS_DIFFER_MS));
    let wanted = description(action);
    let (mut token, mut looked) = (None, 0);
    loop {
        let asked = async {
            let request = cx.realm.codedeploy(action).await?.list_deployments().application_name(place.application);
            let request = request.deployment_group_name(place.group).set_next_token(token.take());
            let request = request.create_time_range(TimeRange::builder().start(since).build());
            request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))
        };
        let page = match asked.await {
            Ok(page) => page,
            // CodePipeline's own policies for these actions lack this permission, and most starts are the first.
            Err(problem) if problem.kind == Kind::AccessDenied && problem.assuming.is_none() => return Ok(None),
            Err(problem) => return Err(unable("listDeployments", &problem, Progress::default())),
        };
        for id in page.deployments() {
            let found = get(cx, action, id).await;
            let found = found.map_err(|problem| unable("getDeployment", &problem, Progress::default()))?;
            if found.description() == Some(wanted.as_str()) {
                return Ok(Some(found));
            }
            looked += 1;
        }
        match page.next_token {
            Some(next) if looked < DEPLOYMENTS_LOOKED_AT_MAX => token = Some(next),
            _ => return Ok(None),
        }
    }
}

/// Registers the revision and deploys it.
pub async fn create(cx: &Call<'_>, action: &ActionInvocation, place: Place<'_>, revision: RevisionLocation) -> Outcome {
    let registered = async {
        let request = cx.realm.codedeploy(action).await?.register_application_revision();
        let request = request.application_name(place.application).description(description(action));
        let answer = request.revision(revision.clone()).send().await;
        answer.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))
    };
    if let Err(problem) = registered.await {
        return unable("registerApplicationRevision", &problem, Progress::default());
    }
    let created = async {
        let request = cx.realm.codedeploy(action).await?.create_deployment().application_name(place.application);
        let request = request.deployment_group_name(place.group).description(description(action));
        let answer = request.revision(revision).send().await;
        answer.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))
    };
    match created.await {
        Ok(answer) => match answer.deployment_id {
            Some(id) => Outcome::Pending { progress: told(cx, action, &id, None) },
            None => Outcome::Unavailable { message: "CreateDeployment answered without a deployment".to_owned() },
        },
        // The group has a deployment that goes on; when it has ended, there is room for ours.
        Err(problem) if problem.code.ends_with("DeploymentLimitExceededException") => {
            let summary = format!("Waits for a deployment of the group to end. {}", problem.detail());
            Outcome::Pending { progress: Progress { summary: Some(summary), ..Progress::default() } }
        }
        Err(problem) => unable("createDeployment", &problem, Progress::default()),
    }
}

/// A deployment for people.
fn told(cx: &Call<'_>, action: &ActionInvocation, id: &str, info: Option<&DeploymentInfo>) -> Progress {
    let status = info.and_then(DeploymentInfo::status).map_or("Created", DeploymentStatus::as_str);
    let percent = info.and_then(DeploymentInfo::deployment_overview).and_then(|overview| {
        let done = overview.succeeded() + overview.failed() + overview.skipped();
        let all = done + overview.pending() + overview.in_progress() + overview.ready();
        (all > 0).then(|| u8::try_from(done * 100 / all).unwrap_or(100))
    });
    Progress {
        external_id: Some(id.to_owned()),
        external_url: Some(links::codedeploy_deployment(cx.realm.region(&action.region), id)),
        summary: Some(format!("Deployment {status}")),
        percent,
        ..Progress::default()
    }
}

/// What the state of a deployment means for its action.
pub async fn outcome_of(cx: &Call<'_>, action: &ActionInvocation, info: &DeploymentInfo) -> Outcome {
    let id = info.deployment_id().unwrap_or_default();
    let progress = told(cx, action, id, Some(info));
    match info.status() {
        Some(DeploymentStatus::Succeeded) => {
            let progress = Progress { percent: Some(100), ..progress };
            Outcome::Succeeded { progress, variables: BTreeMap::new(), revisions: Vec::new() }
        }
        Some(status @ (DeploymentStatus::Failed | DeploymentStatus::Stopped)) => {
            let message = reason(cx, action, id, info, status.as_str()).await;
            failed(progress, error_code::JOB_FAILED, message)
        }
        // Ready is a green fleet that waits for somebody to reroute its traffic.
        _ => Outcome::Pending { progress },
    }
}

/// `HEALTH_CONSTRAINTS: The overall deployment failed because ... [i-1 AfterInstall ScriptFailed hooks/start.sh: exit code 3]`.
async fn reason(cx: &Call<'_>, action: &ActionInvocation, id: &str, info: &DeploymentInfo, status: &str) -> String {
    let error = info.error_information();
    let code = error.and_then(|error| error.code()).map_or_else(|| status.to_owned(), ToString::to_string);
    let said = error.and_then(|error| error.message()).map(ToOwned::to_owned);
    let mut message = format!("{code}: {}", said.unwrap_or_else(|| format!("The deployment {id} is {status}.")));
    // Told without it where it cannot be asked: the permission is none that CodePipeline needs.
    let bad = targets(cx, action, id, true).await.unwrap_or_default();
    if let Some((target, event)) = bad.iter().find_map(failed_event) {
        message = format!("{message} [{target} {}]", event_text(event));
    }
    if let Some(rollback) = info.rollback_info().and_then(|rollback| rollback.rollback_deployment_id()) {
        message = format!("{message} The deployment {rollback} rolls it back.");
    }
    message
}

/// Id and events of a target, whatever it is.
fn parts(target: &DeploymentTarget) -> Option<(&str, &[LifecycleEvent])> {
    if let Some(instance) = target.instance_target() {
        return Some((instance.target_id().or(instance.target_arn())?, instance.lifecycle_events()));
    }
    if let Some(service) = target.ecs_target() {
        return Some((service.target_id().or(service.target_arn())?, service.lifecycle_events()));
    }
    if let Some(function) = target.lambda_target() {
        return Some((function.target_id().or(function.target_arn())?, function.lifecycle_events()));
    }
    let stack = target.cloud_formation_target()?;
    Some((stack.target_id()?, stack.lifecycle_events()))
}

fn failed_event(target: &DeploymentTarget) -> Option<(&str, &LifecycleEvent)> {
    let (id, events) = parts(target)?;
    let failed = events.iter().find(|event| event.status() == Some(&LifecycleEventStatus::Failed))?;
    Some((id, failed))
}

/// `AfterInstall ScriptFailed hooks/start.sh: exit code 3`.
fn event_text(event: &LifecycleEvent) -> String {
    let mut text = event.lifecycle_event_name().unwrap_or("Unknown").to_owned();
    let bad = |diagnostics: &&Diagnostics| diagnostics.error_code() != Some(&LifecycleErrorCode::Success);
    if let Some(diagnostics) = event.diagnostics().filter(bad) {
        let code = diagnostics.error_code().map(LifecycleErrorCode::as_str);
        for part in [code, diagnostics.script_name()].into_iter().flatten().filter(|part| !part.is_empty()) {
            text = format!("{text} {part}");
        }
        if let Some(message) = diagnostics.message().filter(|message| !message.is_empty()) {
            text = format!("{text}: {message}");
        }
    }
    text
}

/// The targets of a deployment, all or those that failed.
async fn targets(
    cx: &Call<'_>,
    action: &ActionInvocation,
    id: &str,
    failed: bool,
) -> Result<Vec<DeploymentTarget>, Problem> {
    let client = cx.realm.codedeploy(action).await?;
    let (mut ids, mut token): (Vec<String>, Option<String>) = (Vec::new(), None);
    loop {
        let mut request = client.list_deployment_targets().deployment_id(id).set_next_token(token.take());
        if failed {
            request = request.target_filters(TargetFilterName::TargetStatus, vec!["Failed".to_owned()]);
        }
        let page = request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)));
        let page = match page {
            Ok(page) => page,
            Err(problem) if problem.code.ends_with("DeploymentNotStartedException") => return Ok(Vec::new()),
            Err(problem) => return Err(problem),
        };
        ids.extend(page.target_ids.unwrap_or_default());
        match page.next_token {
            Some(next) if ids.len() < DEPLOYMENT_TARGETS_MAX => token = Some(next),
            _ => break,
        }
    }
    ids.truncate(DEPLOYMENT_TARGETS_MAX);
    let mut found = Vec::new();
    for some in ids.chunks(DEPLOYMENT_TARGETS_AT_ONCE) {
        let request = client.batch_get_deployment_targets().deployment_id(id).set_target_ids(Some(some.to_vec()));
        let answer = request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))?;
        found.extend(answer.deployment_targets.unwrap_or_default());
    }
    Ok(found)
}

/// How the deployment of this id is getting on.
pub async fn poll(cx: &Call<'_>, action: &ActionInvocation, id: &str, progress: &Progress) -> Outcome {
    match get(cx, action, id).await {
        Ok(info) => outcome_of(cx, action, &info).await,
        Err(problem) => unable("getDeployment", &problem, progress.clone()),
    }
}

/// Stops the deployment; one that is over is stopped. The group's own settings say whether it is rolled back.
pub async fn stop(cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Result<(), String> {
    let id = match (&progress.external_id, Place::read(action)) {
        (Some(id), _) => id.clone(),
        (None, Err(_)) => return Ok(()),
        // A start whose answer was lost may have made one.
        (None, Ok(place)) => match begun(cx, action, place).await {
            Ok(Some(info)) => info.deployment_id.unwrap_or_default(),
            Err(Outcome::Failed { error, .. }) => return Err(error.message),
            Err(Outcome::Unavailable { message }) => return Err(message),
            Ok(None) | Err(_) => return Ok(()),
        },
    };
    let asked = async {
        let request = cx.realm.codedeploy(action).await?.stop_deployment().deployment_id(&id);
        request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))
    };
    match asked.await {
        Ok(_) => Ok(()),
        Err(problem)
            if ["DeploymentAlreadyCompletedException", "DeploymentDoesNotExistException"]
                .iter()
                .any(|code| problem.code.ends_with(code)) =>
        {
            Ok(())
        }
        Err(problem) => Err(format!("Error calling stopDeployment: {}", problem.detail())),
    }
}

/// The lifecycle events of all targets, by the time they ended.
pub async fn logs(
    cx: &Call<'_>,
    action: &ActionInvocation,
    progress: &Progress,
    token: Option<&str>,
) -> Result<LogPage, Problem> {
    let Some(id) = progress.external_id.as_deref() else { return Ok(LogPage::default()) };
    let targets = targets(cx, action, id, false).await?;
    let mut lines: Vec<LogLine> = Vec::new();
    for (target, event) in targets.iter().filter_map(parts).flat_map(|(id, events)| events.iter().map(move |e| (id, e)))
    {
        let Some(millis) = event.end_time().and_then(|time| time.to_millis().ok()) else { continue };
        let time = Timestamp::from_millis(millis);
        let status = event.status().map_or("Unknown", LifecycleEventStatus::as_str);
        lines.push(LogLine { time, text: format!("{target} {status} {}", event_text(event)) });
        let tail = event.diagnostics().and_then(|diagnostics| diagnostics.log_tail()).unwrap_or_default();
        lines.extend(tail.lines().map(|line| LogLine { time, text: format!("{target} | {line}") }));
    }
    lines.sort_by_key(|line| line.time.millis());
    Ok(logs::after(lines, token))
}
