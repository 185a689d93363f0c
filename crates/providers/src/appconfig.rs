//! Deploy / AWS / AppConfig: a file of the input artifact becomes a version of a configuration profile, and that version is
//! deployed to an environment.
//!
//! | The profile's data are | The version is | Found again by |
//! |---|---|---|
//! | `hosted` by AppConfig | CreateHostedConfigurationVersion's number | its label, made of the action execution id |
//! | an object, `s3://BUCKET/KEY` | the object's version | its metadata |
//!
//! A deployment has no token: what was started and not stored is found by the version it deploys. Profiles whose data
//! AppConfig takes from a pipeline of AWS's own (`codepipeline://`), from Systems Manager or from Secrets Manager are refused:
//! AppConfig would not come here for them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_appconfig::Client;
use aws_sdk_appconfig::error::SdkError;
use aws_sdk_appconfig::operation::get_deployment::GetDeploymentOutput;
use aws_sdk_appconfig::operation::start_deployment::StartDeploymentError;
use aws_sdk_appconfig::primitives::Blob;
use aws_sdk_appconfig::types::{
    BadRequestDetails, DeploymentEvent, DeploymentEventType, DeploymentState, InvalidConfigurationDetail,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use towpath_model::action::{ActionInvocation, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::TIMEOUT_DEFAULT_MINUTES;
use towpath_model::time::Timestamp;

use crate::deploys::{failed, given, misconfigured, needed, one_input, recall, refused, remember};
use crate::limits::{APPCONFIG_BYTES_MAX, DEPLOYMENT_PAGES_MAX};
use crate::logs::{self, LogLine, LogPage};
use crate::objects::{S3, Target};
use crate::problem::{Kind, Problem};
use crate::provider::{Call, Provider};
use crate::realms::Service;
use crate::{artifact_files, links};

const SERVICE: &str = "AmazonAppConfig";
const AT_ONCE: &str = "AppConfig.AllAtOnce";
const FEATURE_FLAGS: &str = "AWS.AppConfig.FeatureFlags";
/// User metadata of an object of a profile: the action execution that wrote it.
const WRITTEN_BY: &str = "towpath-action-execution-id";

pub struct AppConfig {
    entry: ActionTypeEntry,
}

impl Default for AppConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl AppConfig {
    pub fn new() -> Self {
        Self { entry: entry() }
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Deploy, Owner::Aws, "AppConfig", "1"),
        description:
            "Deploys a file of the input artifact as the configuration of an AWS AppConfig environment, and waits \
                      until the deployment is over."
                .to_owned(),
        properties: vec![
            Property::required("Application", "Id of the application."),
            Property::required("Environment", "Id of the environment."),
            Property::required(
                "ConfigurationProfile",
                "Id of the configuration profile. Its data are hosted by AppConfig or in an S3 bucket.",
            ),
            Property::required("InputArtifactConfigurationPath", "Path of the configuration in the input artifact."),
            Property::optional(
                "DeploymentStrategy",
                "Id of the deployment strategy, or a predefined one; `AppConfig.AllAtOnce` when absent.",
            ),
        ],
        inputs: Bounds::new(1, 1),
        outputs: Bounds::new(0, 0),
        output_variables: Vec::new(),
        default_timeout_minutes: TIMEOUT_DEFAULT_MINUTES,
        timeout_configurable: false,
        v2_only: false,
        repeat: Repeat::Lookup,
        entity_url_template: Some(
            "https://console.aws.amazon.com/systems-manager/appconfig/applications/{Config:Application}".to_owned(),
        ),
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-AppConfig.html"
            .to_owned(),
    }
}

/// The configuration, read.
struct Plan<'a> {
    application: &'a str,
    environment: &'a str,
    profile: &'a str,
    path: &'a str,
    strategy: &'a str,
}

impl<'a> Plan<'a> {
    fn read(action: &'a ActionInvocation) -> Result<Self, String> {
        Ok(Self {
            application: needed(action, "Application")?,
            environment: needed(action, "Environment")?,
            profile: needed(action, "ConfigurationProfile")?,
            path: needed(action, "InputArtifactConfigurationPath")?,
            strategy: given(action, "DeploymentStrategy").unwrap_or(AT_ONCE),
        })
    }
}

/// What is kept between polls.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    /// The version to deploy, once it is there.
    version: Option<String>,
    /// The deployment, once it is begun.
    number: Option<i32>,
}

/// Where a profile's data are.
enum Place<'a> {
    Hosted { flags: bool },
    Object { bucket: &'a str, key: &'a str },
}

fn place<'a>(uri: &'a str, kind: Option<&str>, profile: &str) -> Result<Place<'a>, String> {
    if uri == "hosted" {
        return Ok(Place::Hosted { flags: kind == Some(FEATURE_FLAGS) });
    }
    if let Some((bucket, key)) = uri.strip_prefix("s3://").and_then(|rest| rest.split_once('/')) {
        return Ok(Place::Object { bucket, key });
    }
    let why = if uri.starts_with("codepipeline://") {
        "AppConfig would take them from a pipeline of AWS CodePipeline, not from this one"
    } else {
        "a pipeline cannot write them there"
    };
    Err(format!(
        "The data of the configuration profile {profile} are at '{uri}': {why}. Use a profile that is hosted by AppConfig, \
         or one whose data are in an S3 bucket."
    ))
}

/// As AppConfig's console names what it is given.
fn content_type(path: &str, flags: bool) -> &'static str {
    if flags {
        return "application/json";
    }
    let extension = path.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("json") => "application/json",
        Some("yaml" | "yml") => "application/x-yaml",
        _ => "text/plain",
    }
}

/// What a validator of the profile found, where the refusal says so.
fn invalid(details: &[InvalidConfigurationDetail]) -> String {
    let shown = |detail: &InvalidConfigurationDetail| {
        let parts = [&detail.location, &detail.constraint, &detail.reason];
        let parts: Vec<&str> = parts.into_iter().filter_map(Option::as_deref).collect();
        format!(" {}.", parts.join(": ").trim_end_matches('.'))
    };
    details.iter().map(shown).collect()
}

/// One action at its AppConfig.
struct Work<'a> {
    cx: &'a Call<'a>,
    action: &'a ActionInvocation,
    plan: Plan<'a>,
}

/// Sends a request; what is refused ends the action, under the name of the call.
macro_rules! ask {
    ($self:expr, $call:literal, $request:expr) => {
        $request.send().await.map_err(|error| {
            let problem = $self.cx.realm.note($self.action, Problem::of(SERVICE, &error));
            refused(Progress::default(), $call, &problem)
        })
    };
}

impl Work<'_> {
    async fn client(&self, call: &str) -> Result<Client, Outcome> {
        let client = self.cx.realm.appconfig(self.action).await;
        client.map_err(|problem| refused(Progress::default(), call, &problem))
    }

    /// Names the version of this action, of the model's characters and never a number.
    fn label(&self) -> String {
        format!("towpath-{}", self.action.action_execution_id)
    }

    /// The version to deploy: found, or made. None where AppConfig is busy with another one.
    async fn version(&self) -> Result<Option<String>, Outcome> {
        let client = self.client("getConfigurationProfile").await?;
        let request = client.get_configuration_profile().application_id(self.plan.application);
        let profile = ask!(self, "getConfigurationProfile", request.configuration_profile_id(self.plan.profile))?;
        let uri = profile.location_uri().unwrap_or("hosted");
        match place(uri, profile.r#type(), self.plan.profile).map_err(misconfigured)? {
            Place::Hosted { flags } => self.hosted(&client, flags).await,
            Place::Object { bucket, key } => self.object(bucket, key).await.map(Some),
        }
    }

    async fn content(&self) -> Result<Vec<u8>, Outcome> {
        let artifact = one_input(self.action).map_err(misconfigured)?;
        let read = artifact_files::read(self.cx, self.action, artifact, self.plan.path, APPCONFIG_BYTES_MAX).await;
        read.map_err(|trouble| trouble.outcome(artifact))
    }

    async fn hosted(&self, client: &Client, flags: bool) -> Result<Option<String>, Outcome> {
        let label = self.label();
        let request = client.list_hosted_configuration_versions().application_id(self.plan.application);
        let request = request.configuration_profile_id(self.plan.profile).version_label(&label);
        let known = ask!(self, "listHostedConfigurationVersions", request)?;
        if let Some(known) = known.items().iter().find(|version| version.version_label() == Some(label.as_str())) {
            return Ok(Some(known.version_number().to_string()));
        }
        let content = self.content().await?;
        let request = client
            .create_hosted_configuration_version()
            .application_id(self.plan.application)
            .configuration_profile_id(self.plan.profile)
            .content(Blob::new(content))
            .content_type(content_type(self.plan.path, flags))
            .description(self.description())
            .version_label(label);
        match request.send().await {
            Ok(made) => Ok(Some(made.version_number().to_string())),
            Err(error) => {
                let problem = self.cx.realm.note(self.action, Problem::of(SERVICE, &error));
                if problem.code.ends_with("ConflictException") {
                    // Somebody else is making one; the next look finds ours, or makes it.
                    return Ok(None);
                }
                Err(refused(Progress::default(), "createHostedConfigurationVersion", &problem))
            }
        }
    }

    async fn object(&self, bucket: &str, key: &str) -> Result<String, Outcome> {
        let store = S3::new(self.cx.realm, self.action, &self.action.region);
        let id = self.action.action_execution_id.as_str();
        let ours = |metadata: &std::collections::HashMap<String, String>| {
            metadata.get(WRITTEN_BY).is_some_and(|writer| writer == id)
        };
        match store.look(bucket, key, None).await {
            Ok(found) if ours(&found.metadata) && found.version_id.is_some() => {}
            // Who may write but not list is told 403 of what is not there; writing says what is really missing.
            Ok(_) => self.write(&store, bucket, key).await?,
            Err(problem) if matches!(problem.kind, Kind::NotFound | Kind::AccessDenied) => {
                self.write(&store, bucket, key).await?;
            }
            Err(problem) => return Err(refused(Progress::default(), "headObject", &problem)),
        }
        let found = store.look(bucket, key, None).await;
        let found = found.map_err(|problem| refused(Progress::default(), "headObject", &problem))?;
        found.version_id.ok_or_else(|| {
            misconfigured(format!(
                "The bucket {bucket} of the configuration profile {} has no versions, and AppConfig deploys a version of an \
                 object. Enable versioning on the bucket.",
                self.plan.profile
            ))
        })
    }

    async fn write(&self, store: &S3<'_>, bucket: &str, key: &str) -> Result<(), Outcome> {
        let content = self.content().await?;
        let target = Target {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            content_type: Some(content_type(self.plan.path, false).to_owned()),
            metadata: [(WRITTEN_BY.to_owned(), self.action.action_execution_id.to_string())].into(),
            ..Target::default()
        };
        let written = store.store(&target, Bytes::from(content)).await;
        written.map_err(|problem| refused(Progress::default(), "putObject", &problem))
    }

    fn description(&self) -> String {
        let Self { action, .. } = self;
        format!("CodePipeline: {}, execution {}", action.pipeline_name, action.execution_id)
    }

    /// The deployment of a version to the environment, the newest if there are several.
    async fn deployment(&self, version: &str) -> Result<Option<i32>, Outcome> {
        let client = self.client("listDeployments").await?;
        let mut token = None;
        for _ in 0..DEPLOYMENT_PAGES_MAX {
            let request = client.list_deployments().application_id(self.plan.application);
            let request = request.environment_id(self.plan.environment).set_next_token(token);
            let page = ask!(self, "listDeployments", request)?;
            let found = page.items().iter().find(|deployment| {
                deployment.configuration_version() == Some(version)
                    && deployment.configuration_profile_id().is_none_or(|profile| profile == self.plan.profile)
            });
            if let Some(found) = found {
                return Ok(Some(found.deployment_number()));
            }
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        Ok(None)
    }

    /// The number of the started deployment. None where the environment has another one under way.
    async fn deploy(&self, version: &str) -> Result<Option<i32>, Outcome> {
        const CALL: &str = "startDeployment";
        let request = self
            .client(CALL)
            .await?
            .start_deployment()
            .application_id(self.plan.application)
            .environment_id(self.plan.environment)
            .configuration_profile_id(self.plan.profile)
            .deployment_strategy_id(self.plan.strategy)
            .configuration_version(version)
            .description(self.description());
        let error = match request.send().await {
            Ok(started) => return Ok(Some(started.deployment_number())),
            Err(error) => error,
        };
        let problem = self.cx.realm.note(self.action, Problem::of(SERVICE, &error));
        if problem.code.ends_with("ConflictException") {
            return Ok(None);
        }
        if let SdkError::ServiceError(context) = &error
            && let StartDeploymentError::BadRequestException(bad) = context.err()
            && let Some(BadRequestDetails::InvalidConfiguration(details)) = bad.details()
        {
            let message = format!("Error calling {CALL}: {}{}", problem.detail(), invalid(details));
            return Err(misconfigured(message));
        }
        Err(refused(Progress::default(), CALL, &problem))
    }

    fn progress(&self, memory: &Memory, summary: String) -> Progress {
        let number = memory.number.map(|number| number.to_string());
        let link = || {
            let Plan { application, environment, .. } = &self.plan;
            links::appconfig_environment(self.cx.realm.region(&self.action.region), application, environment)
        };
        let url = number.as_ref().map(|_| link());
        Progress { external_id: number, external_url: url, summary: Some(summary), ..Progress::default() }
    }

    fn pending(&self, memory: &Memory, summary: String) -> Outcome {
        Outcome::Pending { progress: remember(self.progress(memory, summary), memory) }
    }

    /// Up to a deployment that is begun.
    async fn begin(&self, mut memory: Memory) -> Result<Outcome, Outcome> {
        let Plan { environment, profile, .. } = &self.plan;
        let version = if let Some(version) = &memory.version {
            version.clone()
        } else if let Some(version) = Box::pin(self.version()).await? {
            memory.version.insert(version).clone()
        } else {
            return Ok(self.pending(&memory, format!("Another version of the profile {profile} is being made.")));
        };
        memory.number = match self.deployment(&version).await? {
            Some(number) => Some(number),
            None => self.deploy(&version).await?,
        };
        Ok(match memory.number {
            Some(number) => self.pending(
                &memory,
                format!("Deployment {number} brings version {version} of the profile {profile} to {environment}."),
            ),
            None => self.pending(&memory, format!("Another deployment to the environment {environment} is under way.")),
        })
    }

    async fn look(&self, memory: &Memory, number: i32) -> Result<Outcome, Outcome> {
        let request = self.client("getDeployment").await?.get_deployment().application_id(self.plan.application);
        let request = request.environment_id(self.plan.environment).deployment_number(number);
        let found = ask!(self, "getDeployment", request)?;
        let state = found.state().map_or("DEPLOYING", |state| state.as_str());
        let progress = Progress {
            percent: found.percentage_complete().map(percent),
            ..self.progress(memory, format!("Deployment {number} is {state}."))
        };
        Ok(match found.state() {
            Some(DeploymentState::Complete) => {
                Outcome::Succeeded { progress, variables: BTreeMap::new(), revisions: Vec::new() }
            }
            Some(DeploymentState::RolledBack | DeploymentState::Reverted) => {
                let message = format!("Deployment {number} is {state}.{}", reason(&found));
                failed(progress, error_code::JOB_FAILED, message)
            }
            _ => Outcome::Pending { progress: remember(progress, memory) },
        })
    }

    async fn go_on(&self, memory: Memory) -> Outcome {
        let answered = match memory.number {
            Some(number) => self.look(&memory, number).await,
            None => Box::pin(self.begin(memory)).await,
        };
        answered.unwrap_or_else(|outcome| outcome)
    }
}

/// Who rolled back and why, as the deployment's log says; its newest event is first.
fn reason(found: &GetDeploymentOutput) -> String {
    let begun = |kind: Option<&DeploymentEventType>| {
        matches!(kind, Some(DeploymentEventType::RollbackStarted | DeploymentEventType::RevertCompleted))
    };
    let Some(event) = found.event_log().iter().find(|event| begun(event.event_type())) else { return String::new() };
    let by = event.triggered_by().map_or_else(String::new, |by| format!(" Triggered by {}.", by.as_str()));
    let why = event.description().map_or_else(String::new, |why| format!(" {why}"));
    format!("{by}{why}")
}

fn percent(complete: f32) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 100")]
    let percent = complete.clamp(0.0, 100.0) as u8;
    percent
}

#[async_trait]
impl Provider for AppConfig {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn service(&self) -> Option<Service> {
        Some(Service::AppConfig)
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        match Plan::read(action) {
            Ok(plan) => Work { cx, action, plan }.go_on(Memory::default()).await,
            Err(message) => misconfigured(message),
        }
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome {
        let plan = match Plan::read(action) {
            Ok(plan) => plan,
            Err(message) => return misconfigured(message),
        };
        let work = Work { cx, action, plan };
        let known: Option<Memory> = recall(progress);
        let before = known.as_ref().and_then(|memory| memory.number);
        match work.go_on(known.unwrap_or_default()).await {
            // It was begun, or found, only now; how it is going on is the next question.
            Outcome::Pending { progress } if before.is_none() && progress.external_id.is_some() => {
                match recall(&progress) {
                    Some(memory) => work.go_on(memory).await,
                    None => Outcome::Pending { progress },
                }
            }
            other => other,
        }
    }

    /// The deployment's own log.
    async fn logs(
        &self,
        cx: &Call<'_>,
        action: &ActionInvocation,
        progress: &Progress,
        token: Option<&str>,
    ) -> Result<LogPage, Problem> {
        let number = progress.external_id.as_deref().and_then(|number| number.parse().ok());
        let (Some(number), Ok(plan)) = (number, Plan::read(action)) else { return Ok(LogPage::default()) };
        let request = cx.realm.appconfig(action).await?.get_deployment().application_id(plan.application);
        let answer = request.environment_id(plan.environment).deployment_number(number).send().await;
        let found = answer.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))?;
        let line = |event: &DeploymentEvent| LogLine {
            time: Timestamp::from_millis(event.occurred_at().and_then(|at| at.to_millis().ok()).unwrap_or_default()),
            text: format!(
                "{} {}",
                event.event_type().map_or("EVENT", DeploymentEventType::as_str),
                event.description().unwrap_or_default()
            ),
        };
        Ok(logs::rest_of(found.event_log().iter().rev().map(line).collect(), token))
    }

    /// Rolls the deployment back, if it is still under way. Its version stays.
    async fn stop(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Result<(), String> {
        let (Some(Memory { number: Some(number), .. }), Ok(plan)) = (recall(progress), Plan::read(action)) else {
            return Ok(());
        };
        let client = cx.realm.appconfig(action).await.map_err(|problem| problem.detail())?;
        let request = client.stop_deployment().application_id(plan.application).environment_id(plan.environment);
        let answer = request.deployment_number(number).send().await;
        match answer.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error))) {
            Ok(_) => Ok(()),
            // It is over, or gone.
            Err(problem) if problem.kind == Kind::NotFound || problem.code.ends_with("BadRequestException") => Ok(()),
            Err(problem) => Err(format!("Error calling stopDeployment: {}", problem.detail())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_that_a_pipeline_can_write() {
        assert!(matches!(place("hosted", Some(FEATURE_FLAGS), "p"), Ok(Place::Hosted { flags: true })));
        assert!(matches!(place("hosted", Some("AWS.Freeform"), "p"), Ok(Place::Hosted { flags: false })));
        assert!(matches!(
            place("s3://bucket/a/b.json", None, "p"),
            Ok(Place::Object { bucket: "bucket", key: "a/b.json" })
        ));
        for (uri, word) in [("codepipeline://ferry", "not from this one"), ("ssm-parameter://x", "cannot write them")] {
            assert!(place(uri, None, "p").is_err_and(|told| told.contains(word) && told.contains(uri)), "{uri}");
        }
    }

    #[test]
    fn types_by_extension() {
        for (path, flags, kind) in [
            ("a/live.JSON", false, "application/json"),
            ("live.yml", false, "application/x-yaml"),
            ("live.yaml", true, "application/json"),
            ("live", false, "text/plain"),
        ] {
            assert_eq!(content_type(path, flags), kind, "{path}");
        }
    }
}
