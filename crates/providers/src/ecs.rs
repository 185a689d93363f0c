//! Deploy / AWS / ECS: a rolling update of a service. The task definition that the service runs is registered again with
//! the images of `imagedefinitions.json`, the service is updated to that revision, and its deployment is watched to its
//! end.
//!
//! ECS has no client tokens. A start that is repeated after a crash finds what the first one did: a revision with exactly
//! the wanted content that was registered since the action began is used again, and where the service runs it already,
//! nothing is updated.

use async_trait::async_trait;
use aws_sdk_ecs::types::{Deployment, DeploymentControllerType, DesiredStatus, StopServiceDeploymentStopType};
use serde::Deserialize;
use serde_json::Value;
use towpath_model::action::{ActionInvocation, Outcome, Progress, error_code};
use towpath_model::catalogue::{
    ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat, ValidValues,
};
use towpath_model::limits::TIMEOUT_DEFAULT_MINUTES;

use crate::artifact_files::{self, Trouble};
use crate::deploys::{failed, given, misconfigured, needed, one_input, unable};
use crate::limits::{ECS_MINUTES_MAX, ECS_STOPPED_TASKS_MAX, IMAGE_DEFINITIONS_BYTES_MAX};
use crate::links;
use crate::logs::{self, LogPage};
use crate::problem::{Kind, Problem};
use crate::provider::{Call, Provider};
use crate::realms::Service;
use crate::rollouts::{Rollout, Verdict, begun, events, has_strategy, judge, judge_service_deployment, ours, short};
use crate::task_definitions::{self, SERVICE, TaskDefinition};

const FILE: &str = "imagedefinitions.json";

pub struct Ecs {
    entry: ActionTypeEntry,
}

impl Ecs {
    #[expect(clippy::new_without_default, reason = "a provider is made by the catalogue alone")]
    pub fn new() -> Self {
        Self { entry: entry() }
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Deploy, Owner::Aws, "ECS", "1"),
        description:
            "Updates an Amazon ECS service to new images, in a rolling update, and waits until its deployment is \
                      complete."
                .to_owned(),
        properties: vec![
            Property::required("ClusterName", "Cluster of the service."),
            Property::required("ServiceName", "Service to update. Its deployment controller must be ECS."),
            Property::optional(
                "FileName",
                "Path of the image definitions file in the input artifact; `imagedefinitions.json` when absent.",
            ),
            Property {
                valid: ValidValues::Integer(1, ECS_MINUTES_MAX),
                ..Property::optional(
                    "DeploymentTimeout",
                    "Minutes to wait for the deployment, 1 to 60; 60 when absent.",
                )
            },
        ],
        inputs: Bounds::new(1, 1),
        outputs: Bounds::new(0, 0),
        output_variables: Vec::new(),
        default_timeout_minutes: TIMEOUT_DEFAULT_MINUTES,
        timeout_configurable: false,
        v2_only: false,
        repeat: Repeat::Lookup,
        entity_url_template: Some(
            "https://console.aws.amazon.com/ecs/home?#/clusters/{Config:ClusterName}/services/{Config:ServiceName}"
                .to_owned(),
        ),
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-ECS.html".to_owned(),
    }
}

/// One element of the image definitions file.
#[derive(Debug, Deserialize)]
struct Image {
    name: String,
    #[serde(rename = "imageUri")]
    uri: String,
}

/// What the configuration says.
struct Wanted<'a> {
    cluster: &'a str,
    service: &'a str,
    file: &'a str,
    timeout_ms: i64,
}

impl<'a> Wanted<'a> {
    fn read(action: &'a ActionInvocation) -> Result<Self, String> {
        let minutes = given(action, "DeploymentTimeout").map_or(Ok(ECS_MINUTES_MAX), |text| {
            let minutes = text.trim().parse().ok().filter(|minutes| (1..=ECS_MINUTES_MAX).contains(minutes));
            minutes.ok_or_else(|| {
                format!("The value of DeploymentTimeout is '{text}'; it must be a number of minutes from 1 to 60.")
            })
        })?;
        Ok(Self {
            cluster: needed(action, "ClusterName")?,
            service: needed(action, "ServiceName")?,
            file: given(action, "FileName").unwrap_or(FILE),
            timeout_ms: minutes * 60_000,
        })
    }

    fn url(&self, cx: &Call<'_>, action: &ActionInvocation) -> String {
        links::ecs_deployments(cx.realm.region(&action.region), self.cluster, self.service)
    }
}

/// The images of the file, or what fails the action.
async fn images(cx: &Call<'_>, action: &ActionInvocation, file: &str) -> Result<Vec<Image>, Outcome> {
    let artifact = one_input(action).map_err(misconfigured)?;
    let bytes = match artifact_files::read(cx, action, artifact, file, IMAGE_DEFINITIONS_BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(Trouble::Missing { .. }) => {
            return Err(misconfigured(format!(
                "Did not find the image definition file {file} in the input artifacts ZIP file. Verify the file is stored in \
                 your pipeline's Amazon S3 artifact bucket: {} key: {}",
                artifact.bucket, artifact.key
            )));
        }
        Err(trouble) => return Err(trouble.outcome(artifact)),
    };
    let images: Vec<Image> = serde_json::from_slice(&bytes).map_err(|error| {
        misconfigured(format!(
            "The image definition file {file} contains invalid JSON format. It must be an array of {{\"name\", \
             \"imageUri\"}}: {error}"
        ))
    })?;
    if images.is_empty() {
        return Err(misconfigured(format!("The image definition file {file} names no container.")));
    }
    Ok(images)
}

/// Puts the images into the containers of a task definition.
fn replace(document: &mut Value, images: &[Image]) -> Result<(), String> {
    let containers = document["containerDefinitions"].as_array_mut();
    let containers = containers.ok_or("The service's task definition has no containers.")?;
    for image in images {
        let container = containers.iter_mut().find(|container| container["name"] == image.name.as_str());
        let container = container.ok_or_else(|| format!("The AWS ECS container {} does not exist", image.name))?;
        container["image"] = Value::String(image.uri.clone());
    }
    Ok(())
}

/// The service as ECS shows it, or what fails the action.
async fn describe(
    cx: &Call<'_>,
    action: &ActionInvocation,
    wanted: &Wanted<'_>,
    progress: &Progress,
) -> Result<aws_sdk_ecs::types::Service, Outcome> {
    let asked = async {
        let request = cx.realm.ecs(action).await?.describe_services().cluster(wanted.cluster).services(wanted.service);
        request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))
    };
    let answer = asked.await.map_err(|problem| unable("describeServices", &problem, progress.clone()))?;
    let reason = answer.failures().first().and_then(|failure| failure.reason()).unwrap_or("MISSING").to_owned();
    let found = answer.services.unwrap_or_default().into_iter().next();
    found.ok_or_else(|| {
        misconfigured(format!(
            "The Amazon ECS service {} does not exist in the cluster {}: {reason}. Check ServiceName, ClusterName and the \
             action's region.",
            wanted.service, wanted.cluster
        ))
    })
}

fn updatable(service: &aws_sdk_ecs::types::Service, wanted: &Wanted<'_>) -> Result<(), String> {
    let status = service.status().unwrap_or("ACTIVE");
    if status != "ACTIVE" {
        return Err(format!(
            "The Amazon ECS service {} is {status}; only an ACTIVE service can be updated.",
            wanted.service
        ));
    }
    match service.deployment_controller().map(aws_sdk_ecs::types::DeploymentController::r#type) {
        None | Some(DeploymentControllerType::Ecs) => Ok(()),
        Some(DeploymentControllerType::CodeDeploy) => Err(
            "InvalidParameterException: Unable to update task definition on services with a CODE_DEPLOY deployment \
             controller. Use AWS CodeDeploy to trigger a new deployment. In a pipeline that is the action CodeDeployToECS."
                .to_owned(),
        ),
        Some(other) => Err(format!(
            "The Amazon ECS service {} has the deployment controller {}; its task definition cannot be set by this action.",
            wanted.service,
            other.as_str()
        )),
    }
}

/// The revision to deploy, and whether the service runs it already.
async fn revision(
    cx: &Call<'_>,
    action: &ActionInvocation,
    service: &aws_sdk_ecs::types::Service,
    images: &[Image],
) -> Result<(String, bool), Outcome> {
    let asked = |call: &'static str| move |problem: Problem| unable(call, &problem, Progress::default());
    let base = service.task_definition().unwrap_or_default();
    let base = TaskDefinition::describe(cx, action, base).await.map_err(asked("describeTaskDefinition"))?;
    let mut document = base.as_input();
    replace(&mut document, images).map_err(misconfigured)?;
    // What a start before this one has done, if there was one.
    if base.is_since(action.started) {
        if base.as_input() == document {
            return Ok((base.arn().to_owned(), true));
        }
    } else {
        let newest = TaskDefinition::describe(cx, action, base.family()).await;
        let newest = newest.map_err(asked("describeTaskDefinition"))?;
        if newest.revision() > base.revision() && newest.is_since(action.started) && newest.as_input() == document {
            return Ok((newest.arn().to_owned(), false));
        }
    }
    let arn = task_definitions::register(cx, action, &document).await.map_err(asked("registerTaskDefinition"))?;
    Ok((arn, false))
}

/// How far the deployment is, for people.
fn told(
    cx: &Call<'_>,
    action: &ActionInvocation,
    wanted: &Wanted<'_>,
    rollout: &Rollout,
    deployment: Option<&Deployment>,
) -> Progress {
    let summary = deployment.map_or_else(
        || format!("The service is updated to {}.", short(&rollout.revision)),
        |d| format!("{}: {} of {} tasks run.", short(&rollout.revision), d.running_count(), d.desired_count()),
    );
    let percent = deployment.filter(|d| d.desired_count() > 0).map(|d| {
        let share = d.running_count().clamp(0, d.desired_count()) * 100 / d.desired_count();
        u8::try_from(share).unwrap_or(100)
    });
    Progress {
        external_id: deployment.and_then(Deployment::id).map(ToOwned::to_owned),
        external_url: Some(wanted.url(cx, action)),
        summary: Some(summary),
        percent,
        log_stream_arn: None,
        continuation: rollout.remembered(),
    }
}

/// Why tasks of the new revision stopped, if that can be asked; the failure is told without it otherwise.
async fn stopped_task(cx: &Call<'_>, action: &ActionInvocation, wanted: &Wanted<'_>, revision: &str) -> Option<String> {
    let client = cx.realm.ecs(action).await.ok()?;
    let request = client.list_tasks().cluster(wanted.cluster).service_name(wanted.service);
    let listed = request.desired_status(DesiredStatus::Stopped).max_results(ECS_STOPPED_TASKS_MAX).send().await.ok()?;
    let arns = listed.task_arns.filter(|arns| !arns.is_empty())?;
    let tasks = client.describe_tasks().cluster(wanted.cluster).set_tasks(Some(arns)).send().await.ok()?;
    let task = tasks.tasks().iter().find(|task| task.task_definition_arn() == Some(revision))?;
    let containers = task.containers().iter().filter_map(|container| {
        let name = container.name().unwrap_or_default();
        let exit = container.exit_code().filter(|code| *code != 0).map(|code| format!("exit code {code}"));
        let why: Vec<String> = exit.into_iter().chain(container.reason().map(ToOwned::to_owned)).collect();
        (!why.is_empty()).then(|| format!("container {name}: {}", why.join(", ")))
    });
    let all: Vec<String> = task.stopped_reason().map(ToOwned::to_owned).into_iter().chain(containers).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

async fn ended_badly(
    cx: &Call<'_>,
    action: &ActionInvocation,
    wanted: &Wanted<'_>,
    rollout: &Rollout,
    service: &aws_sdk_ecs::types::Service,
    why: String,
) -> Outcome {
    let deployment = ours(service, rollout, None);
    let mut message = why;
    if let Some(task) = stopped_task(cx, action, wanted, &rollout.revision).await {
        message = format!("{message} Last stopped task: {task}.");
    }
    if let Some(event) = events(service, begun(service, rollout)).last() {
        message = format!("{message} Last event: {}", event.text);
    }
    let progress = Progress { percent: None, ..told(cx, action, wanted, rollout, deployment) };
    failed(progress, error_code::JOB_FAILED, message)
}

/// How the rollout stands: by the service, or by its service deployment where there is a strategy.
async fn verdict(
    cx: &Call<'_>,
    action: &ActionInvocation,
    service: &aws_sdk_ecs::types::Service,
    rollout: &Rollout,
    id: Option<&str>,
) -> Result<Verdict, Problem> {
    let seen = judge(service, rollout, id, cx.clock.now());
    let Some(arn) = rollout.own.as_ref().filter(|_| has_strategy(service, ours(service, rollout, id))) else {
        return Ok(seen);
    };
    let asked = async {
        let request = cx.realm.ecs(action).await?.describe_service_deployments().service_deployment_arns(arn);
        request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))
    };
    match asked.await {
        Ok(answer) => Ok(answer.service_deployments().first().map_or(seen, judge_service_deployment)),
        // CodePipeline's own policies lack this permission; the counts of the service's deployments have to do.
        Err(problem) if problem.kind == Kind::AccessDenied => Ok(seen),
        Err(problem) => Err(problem),
    }
}

async fn look(
    cx: &Call<'_>,
    action: &ActionInvocation,
    wanted: &Wanted<'_>,
    rollout: &Rollout,
    progress: &Progress,
) -> Outcome {
    let service = match describe(cx, action, wanted, progress).await {
        Ok(service) => service,
        Err(outcome) => return outcome,
    };
    let rollout = &rollout.clone().seen(&service);
    let (id, now) = (progress.external_id.as_deref(), cx.clock.now());
    let verdict = match verdict(cx, action, &service, rollout, id).await {
        Ok(verdict) => verdict,
        Err(problem) => return unable("describeServiceDeployments", &problem, progress.clone()),
    };
    let told = told(cx, action, wanted, rollout, ours(&service, rollout, id));
    let told = Progress { external_id: told.external_id.or_else(|| progress.external_id.clone()), ..told };
    match verdict {
        Verdict::Done => Outcome::Succeeded {
            progress: Progress { percent: Some(100), ..told },
            variables: std::collections::BTreeMap::new(),
            revisions: Vec::new(),
        },
        Verdict::Bad(why) => ended_badly(cx, action, wanted, rollout, &service, why).await,
        Verdict::Goes if now.millis().saturating_sub(rollout.since) >= wanted.timeout_ms => {
            let why = format!(
                "The deployment of {} did not complete within {} minutes (DeploymentTimeout). The service is left as it is.",
                short(&rollout.revision),
                wanted.timeout_ms / 60_000
            );
            ended_badly(cx, action, wanted, rollout, &service, why).await
        }
        Verdict::Goes => Outcome::Pending { progress: told },
    }
}

#[async_trait]
impl Provider for Ecs {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn service(&self) -> Option<Service> {
        Some(Service::Ecs)
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        let wanted = match Wanted::read(action) {
            Ok(wanted) => wanted,
            Err(message) => return misconfigured(message),
        };
        let images = match images(cx, action, wanted.file).await {
            Ok(images) => images,
            Err(outcome) => return outcome,
        };
        let service = match describe(cx, action, &wanted, &Progress::default()).await {
            Ok(service) => service,
            Err(outcome) => return outcome,
        };
        if let Err(message) = updatable(&service, &wanted) {
            return misconfigured(message);
        }
        let (revision, runs) = match revision(cx, action, &service, &images).await {
            Ok(found) => found,
            Err(outcome) => return outcome,
        };
        let before = service.current_service_deployment().filter(|_| !runs).map(ToOwned::to_owned);
        let rollout = Rollout { revision, since: cx.clock.now().millis(), before, own: None };
        let updated = if runs {
            service
        } else {
            let asked = async {
                let request = cx.realm.ecs(action).await?.update_service().cluster(wanted.cluster);
                let request = request.service(wanted.service).task_definition(&rollout.revision);
                request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))
            };
            match asked.await {
                Ok(answer) => answer.service.unwrap_or(service),
                Err(problem) => return unable("updateService", &problem, Progress::default()),
            }
        };
        let rollout = rollout.seen(&updated);
        let deployment = ours(&updated, &rollout, None);
        Outcome::Pending { progress: told(cx, action, &wanted, &rollout, deployment) }
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome {
        let Some(rollout) = Rollout::of(progress) else {
            // Nothing is known of the start; starting again finds what it did.
            return match self.start(cx, action).await {
                Outcome::Pending { progress } if Rollout::of(&progress).is_some() => {
                    self.poll(cx, action, &progress).await
                }
                other => other,
            };
        };
        match Wanted::read(action) {
            Ok(wanted) => look(cx, action, &wanted, &rollout, progress).await,
            Err(message) => misconfigured(message),
        }
    }

    /// Ends the rollout, which takes the service back to what ran before; one that is over stays as it is.
    async fn stop(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Result<(), String> {
        let (Some(rollout), Ok(wanted)) = (Rollout::of(progress), Wanted::read(action)) else { return Ok(()) };
        let service = match describe(cx, action, &wanted, progress).await {
            Ok(service) => service,
            Err(Outcome::Failed { error, .. }) => return Err(error.message),
            Err(Outcome::Unavailable { message }) => return Err(message),
            Err(_) => return Ok(()),
        };
        let rollout = rollout.seen(&service);
        let stands = verdict(cx, action, &service, &rollout, progress.external_id.as_deref()).await;
        let goes =
            stands.map_err(|problem| format!("Error calling describeServiceDeployments: {}", problem.detail()))?;
        let Some(arn) = rollout.own.filter(|_| goes == Verdict::Goes) else { return Ok(()) };
        let asked = async {
            let request = cx.realm.ecs(action).await?.stop_service_deployment().service_deployment_arn(arn);
            let request = request.stop_type(StopServiceDeploymentStopType::Rollback);
            request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))
        };
        match asked.await {
            Ok(_) => Ok(()),
            // It ended meanwhile.
            Err(problem) if problem.code.contains("ConflictException") || problem.code.contains("NotFound") => Ok(()),
            Err(problem) => Err(format!("Error calling stopServiceDeployment: {}", problem.detail())),
        }
    }

    /// The service's events since the update, as far as ECS keeps them.
    async fn logs(
        &self,
        cx: &Call<'_>,
        action: &ActionInvocation,
        progress: &Progress,
        token: Option<&str>,
    ) -> Result<LogPage, Problem> {
        let Ok(wanted) = Wanted::read(action) else { return Ok(LogPage::default()) };
        let request = cx.realm.ecs(action).await?.describe_services().cluster(wanted.cluster).services(wanted.service);
        let answer = request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))?;
        let lines = answer.services().first().map(|service| {
            let rollout = Rollout::of(progress);
            events(service, rollout.map_or(action.started.millis(), |rollout| begun(service, &rollout)))
        });
        Ok(logs::after(lines.unwrap_or_default(), token))
    }
}
