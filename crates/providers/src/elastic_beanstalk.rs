//! Deploy / AWS / ElasticBeanstalk: the input artifact becomes a version of an application, and an environment is updated to
//! it. Health does not decide; the environment's version and its events do.
//!
//! The artifact is copied to Elastic Beanstalk's own bucket, because it is read again whenever an instance is added. The
//! version's label is made of the action execution id, so making it again finds it made. UpdateEnvironment has no token: the
//! environment's version says whether it was called. Only an update that was called, not stored, and failed is called again.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_elasticbeanstalk::Client;
use aws_sdk_elasticbeanstalk::operation::RequestId as _;
use aws_sdk_elasticbeanstalk::operation::describe_events::builders::DescribeEventsFluentBuilder;
use aws_sdk_elasticbeanstalk::primitives::DateTime;
use aws_sdk_elasticbeanstalk::types::{
    EnvironmentDescription, EnvironmentStatus, EventDescription, EventSeverity, S3Location,
};
use serde::{Deserialize, Serialize};
use towpath_model::action::{ActionInvocation, ArtifactLocation, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::TIMEOUT_DEFAULT_MINUTES;
use towpath_model::time::Timestamp;

use crate::deploys::{self, failed, misconfigured, needed, one_input, recall, refused, remember};
use crate::limits::{BEANSTALK_BUNDLE_BYTES_MAX, BEANSTALK_EVENTS_MAX, BEANSTALK_SETTLE_MS};
use crate::logs::{self, LogLine, LogPage};
use crate::objects::{S3, Source, Target};
use crate::problem::{Kind, Problem};
use crate::provider::{Call, Provider};
use crate::realms::Service;
use crate::staging::PREFIX;
use crate::{inputs, links};

const SERVICE: &str = "AWSElasticBeanstalk";
/// Events that say how an update has ended, as Elastic Beanstalk words them.
const COMPLETED: &str = "Environment update completed successfully.";
const FAILED: [&str; 3] = [
    "Failed to deploy application.",
    "Failed to deploy configuration.",
    "The environment was reverted to the previous configuration setting.",
];
const WITH_ERRORS: &str = "Update environment operation is complete, but with errors.";

pub struct ElasticBeanstalk {
    entry: ActionTypeEntry,
}

impl Default for ElasticBeanstalk {
    fn default() -> Self {
        Self::new()
    }
}

impl ElasticBeanstalk {
    pub fn new() -> Self {
        Self { entry: entry() }
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Deploy, Owner::Aws, "ElasticBeanstalk", "1"),
        description: "Makes the input artifact a version of an AWS Elastic Beanstalk application and updates an environment \
                      to it."
            .to_owned(),
        properties: vec![
            Property::required("ApplicationName", "Application that gets the version."),
            Property::required("EnvironmentName", "Environment that is updated to it."),
        ],
        inputs: Bounds::new(1, 1),
        outputs: Bounds::new(0, 0),
        output_variables: Vec::new(),
        default_timeout_minutes: TIMEOUT_DEFAULT_MINUTES,
        timeout_configurable: false,
        v2_only: false,
        repeat: Repeat::Lookup,
        entity_url_template: Some(
            "https://console.aws.amazon.com/elasticbeanstalk/home?#/application/overview?applicationName={Config:ApplicationName}"
                .to_owned(),
        ),
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-Beanstalk.html"
            .to_owned(),
    }
}

/// The update that was asked for: what is kept between polls. Nothing of it is known before.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    /// Elastic Beanstalk's id of the request, which its events carry.
    request: Option<String>,
    asked_ms: Option<i64>,
}

/// One action at its environment.
struct Work<'a> {
    cx: &'a Call<'a>,
    action: &'a ActionInvocation,
    application: &'a str,
    environment: &'a str,
}

/// What the environment's events and state say together.
enum Verdict {
    GoesOn,
    Done(String),
    Broken(String),
}

impl<'a> Work<'a> {
    fn of(cx: &'a Call<'a>, action: &'a ActionInvocation) -> Result<Self, String> {
        let (application, environment) = (needed(action, "ApplicationName")?, needed(action, "EnvironmentName")?);
        Ok(Self { cx, action, application, environment })
    }

    /// As CodePipeline's own labels begin, and the same for every start of the action.
    fn label(&self) -> String {
        format!("code-pipeline-{}-{}", self.action.started.millis(), self.action.action_execution_id)
    }

    async fn client(&self, call: &str) -> Result<Client, Outcome> {
        let client = self.cx.realm.elastic_beanstalk(self.action).await;
        client.map_err(|problem| refused(Progress::default(), call, &problem))
    }

    fn problem<E>(&self, error: &aws_sdk_elasticbeanstalk::error::SdkError<E>) -> Problem
    where
        E: aws_sdk_elasticbeanstalk::error::ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.cx.realm.note(self.action, Problem::of(SERVICE, error))
    }

    async fn look(&self) -> Result<EnvironmentDescription, Outcome> {
        const CALL: &str = "describeEnvironments";
        let request = self.client(CALL).await?.describe_environments().application_name(self.application);
        let answer = request.environment_names(self.environment).include_deleted(false).send().await;
        let answer = answer.map_err(|error| refused(Progress::default(), CALL, &self.problem(&error)))?;
        let named = |found: &EnvironmentDescription| found.environment_name() == Some(self.environment);
        answer.environments.into_iter().flatten().find(named).ok_or_else(|| {
            misconfigured(format!(
                "The application {} has no environment {} in Region {}.",
                self.application,
                self.environment,
                self.cx.realm.region(&self.action.region)
            ))
        })
    }

    /// The artifact where Elastic Beanstalk keeps bundles. The same bytes at the same key, however often.
    async fn bundle(&self, artifact: &ArtifactLocation) -> Result<S3Location, Outcome> {
        const CALL: &str = "createStorageLocation";
        let home = S3::new(self.cx.artifacts, self.action, &artifact.region);
        let found = home.look(&artifact.bucket, &artifact.key, None).await;
        let found = found.map_err(|problem| inputs::outcome(artifact, &problem))?;
        if found.bytes > BEANSTALK_BUNDLE_BYTES_MAX {
            return Err(misconfigured(format!(
                "The artifact {} has {} bytes; Elastic Beanstalk takes {BEANSTALK_BUNDLE_BYTES_MAX} (512 MB) at the most.",
                artifact.name, found.bytes
            )));
        }
        let answer = self.client(CALL).await?.create_storage_location().send().await;
        let answer = answer.map_err(|error| refused(Progress::default(), CALL, &self.problem(&error)))?;
        let bucket = answer.s3_bucket.ok_or_else(|| {
            let problem = Problem::broken(SERVICE, "CreateStorageLocation answered without a bucket");
            refused(Progress::default(), CALL, &problem)
        })?;
        let key = format!("{PREFIX}/{}/{}.zip", self.action.pipeline_name, self.action.action_execution_id);
        let target = Target {
            bucket: bucket.clone(),
            key: key.clone(),
            content_type: Some("application/zip".to_owned()),
            ..Target::default()
        };
        let source = Source { bucket: &artifact.bucket, key: &artifact.key, version_id: None, bytes: found.bytes };
        let there = S3::new(self.cx.realm, self.action, &self.action.region);
        there.copy(&home, source, &target).await.map_err(|problem| {
            let message = format!("Unable to write the artifact to the bucket {bucket}. {}", problem.detail());
            problem.outcome(deploys::code_of(&problem), message)
        })?;
        Ok(S3Location::builder().s3_bucket(bucket).s3_key(key).build())
    }

    async fn make_version(&self, bundle: S3Location) -> Result<(), Outcome> {
        const CALL: &str = "createApplicationVersion";
        let request = self
            .client(CALL)
            .await?
            .create_application_version()
            .application_name(self.application)
            .version_label(self.label())
            .description(format!("CodePipeline: {}", self.action.pipeline_name))
            .source_bundle(bundle)
            .auto_create_application(false)
            .process(false);
        match request.send().await.map_err(|error| self.problem(&error)) {
            Ok(_) => Ok(()),
            Err(problem) if problem.message.contains(&self.label()) && problem.message.contains("already exists") => {
                Ok(())
            }
            Err(problem) => Err(refused(Progress::default(), CALL, &problem)),
        }
    }

    /// Asks for the update; false where the environment has something else to do.
    async fn update(&self, memory: &mut Memory) -> Result<bool, Outcome> {
        const CALL: &str = "updateEnvironment";
        let asked = self.cx.clock.now().millis();
        let request = self.client(CALL).await?.update_environment().application_name(self.application);
        let answer = request.environment_name(self.environment).version_label(self.label()).send().await;
        match answer.map_err(|error| self.problem(&error)) {
            Ok(answer) => {
                memory.request = answer.request_id().map(ToOwned::to_owned);
                memory.asked_ms = Some(asked);
                Ok(true)
            }
            Err(problem)
                if problem.message.contains("Must be Ready") || problem.code.starts_with("OperationInProgress") =>
            {
                Ok(false)
            }
            Err(problem) => Err(refused(Progress::default(), CALL, &problem)),
        }
    }

    fn ask_events(&self, client: &Client, memory: &Memory) -> DescribeEventsFluentBuilder {
        let since = memory.asked_ms.map(|ms| DateTime::from_secs(ms.div_euclid(1000)));
        client
            .describe_events()
            .application_name(self.application)
            .environment_name(self.environment)
            .set_request_id(memory.request.clone())
            .set_start_time(since)
            .max_records(BEANSTALK_EVENTS_MAX)
    }

    /// What the update has said so far, its oldest event first.
    async fn events(&self, memory: &Memory) -> Result<Vec<EventDescription>, Outcome> {
        const CALL: &str = "describeEvents";
        let answer = self.ask_events(&self.client(CALL).await?, memory).send().await;
        let answer = answer.map_err(|error| refused(Progress::default(), CALL, &self.problem(&error)))?;
        let mut events = answer.events.unwrap_or_default();
        events.reverse();
        Ok(events)
    }

    fn progress(&self, found: Option<&EnvironmentDescription>, summary: impl Into<String>) -> Progress {
        let id = found.and_then(EnvironmentDescription::environment_id);
        let region = self.cx.realm.region(&self.action.region);
        Progress {
            external_id: Some(self.label()),
            external_url: id.map(|id| links::beanstalk_environment(region, self.application, id)),
            summary: Some(summary.into()),
            ..Progress::default()
        }
    }

    /// Up to a version that the environment may be updated to.
    async fn begin(&self) -> Result<Outcome, Outcome> {
        let artifact = one_input(self.action).map_err(misconfigured)?;
        let found = self.look().await?;
        let bundle = Box::pin(self.bundle(artifact)).await?;
        self.make_version(bundle).await?;
        let summary = format!("Version {} of {} is made.", self.label(), self.application);
        Ok(Outcome::Pending { progress: remember(self.progress(Some(&found), summary), &Memory::default()) })
    }

    async fn go_on(&self, mut memory: Memory) -> Result<Outcome, Outcome> {
        let mut found = self.look().await?;
        let is_ready = found.status() == Some(&EnvironmentStatus::Ready);
        let is_ours = |found: &EnvironmentDescription| found.version_label().is_some_and(|label| label == self.label());
        if memory.asked_ms.is_none() && is_ready && !is_ours(&found) {
            if !self.update(&mut memory).await? {
                return Ok(self.waiting(&found, &memory));
            }
            found = self.look().await?;
        }
        if memory.asked_ms.is_none() && !is_ready && !is_over(&found) {
            return Ok(self.waiting(&found, &memory));
        }
        // An update that was called and not stored has the label for its proof; its events are those since the action began.
        let known = Memory { asked_ms: memory.asked_ms.or(Some(self.action.started.millis())), ..memory };
        let events = self.events(&known).await?;
        let young = self.cx.clock.now().millis() - known.asked_ms.unwrap_or_default() < BEANSTALK_SETTLE_MS;
        Ok(match judge(&found, &self.label(), &events, young) {
            Verdict::GoesOn => {
                let latest = events.last().and_then(EventDescription::message);
                let summary = latest.unwrap_or("The environment is being updated.");
                Outcome::Pending { progress: remember(self.progress(Some(&found), summary), &known) }
            }
            Verdict::Done(summary) => {
                // The log is asked for when all is over, too.
                let progress = remember(self.progress(Some(&found), summary), &known);
                Outcome::Succeeded { progress, variables: BTreeMap::new(), revisions: Vec::new() }
            }
            Verdict::Broken(message) => {
                let progress = remember(self.progress(Some(&found), ""), &known);
                failed(progress, error_code::JOB_FAILED, message)
            }
        })
    }

    fn waiting(&self, found: &EnvironmentDescription, memory: &Memory) -> Outcome {
        let status = found.status().map_or("busy", EnvironmentStatus::as_str);
        let summary = format!("The environment {} is {status}; it must be Ready to be updated.", self.environment);
        Outcome::Pending { progress: remember(self.progress(Some(found), summary), memory) }
    }
}

fn is_over(found: &EnvironmentDescription) -> bool {
    matches!(found.status(), Some(EnvironmentStatus::Terminating | EnvironmentStatus::Terminated))
}

fn is_bad(event: &EventDescription) -> bool {
    matches!(event.severity(), Some(EventSeverity::Error | EventSeverity::Fatal))
}

/// The first error and the last word, which name the cause and the consequence.
fn reason(events: &[EventDescription]) -> String {
    let bad: Vec<&str> = events.iter().filter(|event| is_bad(event)).filter_map(EventDescription::message).collect();
    match bad.as_slice() {
        [] => String::new(),
        [only] => format!(" {only}"),
        [first, .., last] => format!(" {first} {last}"),
    }
}

/// `events` are in the order in which they happened; `young` says that the environment may not show the update yet.
fn judge(found: &EnvironmentDescription, label: &str, events: &[EventDescription], young: bool) -> Verdict {
    let name = found.environment_name().unwrap_or_default();
    let said = |what: &str| events.iter().any(|event| event.message() == Some(what));
    let begins = |what: &str| events.iter().any(|event| event.message().is_some_and(|text| text.starts_with(what)));
    let is_ours = found.version_label() == Some(label);
    let is_ready = found.status() == Some(&EnvironmentStatus::Ready);
    let broken = |what: &str| Verdict::Broken(format!("{what}{}", reason(events)));
    if is_over(found) {
        return broken(&format!("The environment {name} is being terminated."));
    }
    if FAILED.iter().any(|what| said(what)) || begins(WITH_ERRORS) {
        return broken(&format!("The update of the environment {name} failed."));
    }
    if is_ours && (said(COMPLETED) || (is_ready && !events.iter().any(is_bad))) {
        let last = events.iter().rev().find_map(EventDescription::message);
        return Verdict::Done(last.unwrap_or("The environment has the version.").to_owned());
    }
    if !is_ready || (young && events.is_empty()) {
        return Verdict::GoesOn;
    }
    if is_ours {
        return broken(&format!("The update of the environment {name} ended with errors."));
    }
    let version = found.version_label().unwrap_or("none");
    broken(&format!("The environment {name} is Ready again with the version {version}: the deployment failed."))
}

#[async_trait]
impl Provider for ElasticBeanstalk {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn service(&self) -> Option<Service> {
        Some(Service::ElasticBeanstalk)
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        match Work::of(cx, action) {
            Ok(work) => work.begin().await.unwrap_or_else(|outcome| outcome),
            Err(message) => misconfigured(message),
        }
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome {
        let work = match Work::of(cx, action) {
            Ok(work) => work,
            Err(message) => return misconfigured(message),
        };
        let memory = match recall(progress) {
            Some(memory) => memory,
            // Nothing is known of the start; its version is made again, which finds it made.
            None => match work.begin().await {
                Ok(_) => Memory::default(),
                Err(outcome) => return outcome,
            },
        };
        work.go_on(memory).await.unwrap_or_else(|outcome| outcome)
    }

    /// The events of the update.
    async fn logs(
        &self,
        cx: &Call<'_>,
        action: &ActionInvocation,
        progress: &Progress,
        token: Option<&str>,
    ) -> Result<LogPage, Problem> {
        let (Some(memory), Ok(work)) = (recall::<Memory>(progress), Work::of(cx, action)) else {
            return Ok(LogPage::default());
        };
        if memory.asked_ms.is_none() {
            return Ok(LogPage::default());
        }
        let client = cx.realm.elastic_beanstalk(action).await?;
        let answer = work.ask_events(&client, &memory).send().await.map_err(|error| work.problem(&error))?;
        let line = |event: &EventDescription| LogLine {
            time: Timestamp::from_millis(event.event_date().and_then(|at| at.to_millis().ok()).unwrap_or_default()),
            text: format!(
                "{} {}",
                event.severity().map_or("INFO", EventSeverity::as_str),
                event.message().unwrap_or_default()
            ),
        };
        Ok(logs::rest_of(answer.events().iter().rev().map(line).collect(), token))
    }

    /// Aborts the update while the environment can. The version stays.
    async fn stop(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Result<(), String> {
        let asked = recall::<Memory>(progress).is_some_and(|memory| memory.asked_ms.is_some());
        let Some(work) = Work::of(cx, action).ok().filter(|_| asked) else { return Ok(()) };
        let found = match work.look().await {
            Ok(found) => found,
            Err(Outcome::Unavailable { message }) => return Err(message),
            // The environment is gone.
            Err(Outcome::Failed { error, .. }) if error.code == error_code::CONFIGURATION_ERROR => return Ok(()),
            Err(Outcome::Failed { error, .. }) => return Err(error.message),
            Err(_) => return Ok(()),
        };
        if found.abortable_operation_in_progress() != Some(true) {
            return Ok(());
        }
        let client = cx.realm.elastic_beanstalk(action).await.map_err(|problem| problem.detail())?;
        let answer = client.abort_environment_update().environment_name(work.environment).send().await;
        match answer.map_err(|error| work.problem(&error)) {
            Ok(_) => Ok(()),
            // It ended in between.
            Err(problem) if matches!(problem.kind, Kind::NotFound | Kind::Rejected) => Ok(()),
            Err(problem) => Err(format!("Error calling abortEnvironmentUpdate: {}", problem.detail())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(status: &str, version: &str) -> EnvironmentDescription {
        let builder = EnvironmentDescription::builder().environment_name("prod").version_label(version);
        builder.status(EnvironmentStatus::from(status)).build()
    }

    fn event(severity: &str, message: &str) -> EventDescription {
        EventDescription::builder().severity(EventSeverity::from(severity)).message(message).build()
    }

    fn verdict(status: &str, version: &str, events: &[EventDescription], young: bool) -> String {
        match judge(&environment(status, version), "v7", events, young) {
            Verdict::GoesOn => "goes on".to_owned(),
            Verdict::Done(text) => format!("done: {text}"),
            Verdict::Broken(text) => format!("broken: {text}"),
        }
    }

    #[test]
    fn version_and_events_decide() {
        let begun = event("INFO", "Environment update is starting.");
        let completed = event("INFO", COMPLETED);
        let wrong = event("ERROR", "Your WAR file is corrupt.");
        let gave_up = event("ERROR", "Failed to deploy application.");
        let errors =
            event("ERROR", "Update environment operation is complete, but with errors. For more information, see.");
        for (status, version, events, young, told) in [
            ("Updating", "v6", vec![], true, "goes on"),
            ("Updating", "v7", vec![begun.clone()], false, "goes on"),
            ("Ready", "v6", vec![], true, "goes on"),
            (
                "Ready",
                "v7",
                vec![begun.clone(), completed.clone()],
                false,
                "done: Environment update completed successfully.",
            ),
            ("Updating", "v7", vec![completed.clone()], false, "done: Environment update completed successfully."),
            ("Ready", "v7", vec![], false, "done: The environment has the version."),
            (
                "Ready",
                "v6",
                vec![begun.clone()],
                false,
                "broken: The environment prod is Ready again with the version v6: the deployment failed.",
            ),
            (
                "Updating",
                "v6",
                vec![begun.clone(), wrong.clone(), gave_up],
                false,
                "broken: The update of the environment prod failed. Your WAR file is corrupt. Failed to deploy application.",
            ),
            (
                "Ready",
                "v7",
                vec![begun.clone(), errors],
                false,
                "broken: The update of the environment prod failed. Update environment operation is complete, but with \
                 errors. For more information, see.",
            ),
            (
                "Ready",
                "v7",
                vec![begun, wrong],
                false,
                "broken: The update of the environment prod ended with errors. Your WAR file is corrupt.",
            ),
            ("Terminating", "v7", vec![], false, "broken: The environment prod is being terminated."),
        ] {
            assert_eq!(verdict(status, version, &events, young), told, "{status} {version}");
        }
    }
}
