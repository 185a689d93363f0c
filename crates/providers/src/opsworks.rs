//! Deploy / AWS / OpsWorks: the input artifact becomes the source of an app, and the app is deployed to the instances of its
//! stack, or to those of one layer.
//!
//! | Step | Call |
//! |---|---|
//! | is the app one of the stack's | DescribeApps |
//! | its source is the artifact | UpdateApp |
//! | deploy it | CreateDeployment |
//! | wait, and say where it failed | DescribeDeployments, DescribeCommands, DescribeInstances |
//!
//! AWS switched the service off on 26 May 2024, its endpoints too: where nobody else's endpoint is named, the action fails
//! at once and says so. Its calls are signed by hand (`raw.rs`), so that no build pays for an SDK of a service that is gone.
//! CreateDeployment has no token: a deployment is found again by its comment. Nothing ends one.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};
use towpath_model::action::{ActionInvocation, ArtifactLocation, ErrorDetails, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::TIMEOUT_DEFAULT_MINUTES;
use towpath_model::time::Timestamp;

use crate::deploys::{failed, given, misconfigured, needed, one_input, refused};
use crate::limits::SHOWN_ITEMS_MAX;
use crate::links;
use crate::logs::{self, LogLine, LogPage};
use crate::objects::address;
use crate::problem::Problem;
use crate::provider::{Call, Provider};
use crate::raw::RawCall;
use crate::realms::Service;
use crate::staging::copied;

const SERVICE: &str = "AWSOpsWorks";
/// What the target of every call begins with.
const PREFIX: &str = "OpsWorks_20130218";

pub struct OpsWorks {
    entry: ActionTypeEntry,
}

impl Default for OpsWorks {
    fn default() -> Self {
        Self::new()
    }
}

impl OpsWorks {
    pub fn new() -> Self {
        Self { entry: entry() }
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Deploy, Owner::Aws, "OpsWorks", "1"),
        description:
            "Deploys the input artifact as an app of an AWS OpsWorks stack. AWS retired the service on 2024-05-26: \
                      there the action fails."
                .to_owned(),
        properties: vec![
            Property::required("Stack", "Id of the stack."),
            Property::required("App", "Id of the app."),
            Property::optional("Layer", "Id of the layer to deploy to; all instances of the stack when absent."),
        ],
        inputs: Bounds::new(1, 1),
        outputs: Bounds::new(0, 0),
        output_variables: Vec::new(),
        default_timeout_minutes: TIMEOUT_DEFAULT_MINUTES,
        timeout_configurable: false,
        v2_only: false,
        repeat: Repeat::Lookup,
        entity_url_template: Some(
            "https://console.aws.amazon.com/opsworks/home?#/stack/{Config:Stack}/apps/{Config:App}".to_owned(),
        ),
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/reference-action-artifacts.html"
            .to_owned(),
    }
}

/// One action at its app.
struct Work<'a> {
    cx: &'a Call<'a>,
    action: &'a ActionInvocation,
    stack: &'a str,
    app: &'a str,
    layer: Option<&'a str>,
    artifact: &'a ArtifactLocation,
}

/// What one instance was told to do.
struct Command<'a>(&'a Value);

impl<'a> Command<'a> {
    fn text(&self, name: &str) -> &'a str {
        self.0[name].as_str().unwrap_or_default()
    }

    fn is_over(&self) -> bool {
        ["failed", "skipped", "successful"].contains(&self.text("Status"))
    }

    fn has_failed(&self) -> bool {
        self.text("Status") == "failed"
    }

    /// When it ended, in milliseconds.
    fn ended(&self) -> i64 {
        self.text("CompletedAt").parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_millisecond)
    }

    /// How it ended, on an instance of this name.
    fn told(&self, instance: &str) -> String {
        let code = self.0["ExitCode"].as_i64().map_or_else(String::new, |code| format!(", exit code {code}"));
        let log = Some(self.text("LogUrl")).filter(|url| !url.is_empty());
        let log = log.map_or_else(String::new, |url| format!(", log {url}"));
        format!("{instance}: {} is {}{code}{log}", self.text("Type"), self.text("Status"))
    }
}

fn list<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer[name].as_array().map_or(&[], Vec::as_slice)
}

fn percent(commands: &[Value]) -> Option<u8> {
    let over = commands.iter().filter(|command| Command(command).is_over()).count();
    u8::try_from((over * 100).checked_div(commands.len())?).ok()
}

impl<'a> Work<'a> {
    /// Says, too, where there is nobody to ask.
    fn of(cx: &'a Call<'a>, action: &'a ActionInvocation) -> Result<Self, ErrorDetails> {
        if let (Some(gone), None) =
            (Service::OpsWorks.retired(), cx.realm.settings.endpoints.of(Service::OpsWorks.id()))
        {
            return Err(ErrorDetails::new(error_code::JOB_FAILED, gone));
        }
        let read = || {
            Ok(Self {
                cx,
                action,
                stack: needed(action, "Stack")?,
                app: needed(action, "App")?,
                layer: given(action, "Layer"),
                artifact: one_input(action)?,
            })
        };
        read().map_err(|message: String| ErrorDetails::new(error_code::CONFIGURATION_ERROR, message))
    }

    async fn call(&self, operation: &'static str, body: &Value) -> Result<Value, Problem> {
        let call = RawCall::json(Service::OpsWorks, SERVICE, PREFIX, operation, body);
        let answer = call.send(self.cx, self.action).await?;
        if answer.is_empty() {
            // An operation without an output.
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer).map_err(|error| {
            Problem::broken(SERVICE, format!("{operation} answered something that is no JSON: {error}"))
        })
    }

    /// The same where a refusal ends the action, under the name that AWS's Java SDK has for the call.
    async fn ask(&self, operation: &'static str, body: &Value) -> Result<Value, Outcome> {
        self.call(operation, body).await.map_err(|problem| {
            let (first, rest) = operation.split_at(1);
            refused(Progress::default(), &format!("{}{rest}", first.to_ascii_lowercase()), &problem)
        })
    }

    /// Names the deployment of this action.
    fn comment(&self) -> String {
        let Self { action, .. } = self;
        format!(
            "CodePipeline: {}, execution {}, action execution {}",
            action.pipeline_name, action.execution_id, action.action_execution_id
        )
    }

    /// The deployment of an earlier start, if there was one.
    async fn known(&self) -> Result<Option<String>, Outcome> {
        let answer = self.ask("DescribeDeployments", &json!({"AppId": self.app})).await?;
        let comment = self.comment();
        let found = list(&answer, "Deployments").iter().find(|deployment| deployment["Comment"] == comment.as_str());
        Ok(found.and_then(|deployment| deployment["DeploymentId"].as_str()).map(ToOwned::to_owned))
    }

    /// An app of another stack would be deployed nowhere.
    async fn check_app(&self) -> Result<(), Outcome> {
        let answer = self.ask("DescribeApps", &json!({"AppIds": [self.app]})).await?;
        match list(&answer, "Apps").iter().find(|app| app["AppId"] == self.app) {
            Some(app) if app["StackId"] == self.stack => Ok(()),
            Some(app) => Err(misconfigured(format!(
                "The app {} is one of the stack {}, not of {}. Check Stack and App.",
                self.app,
                app["StackId"].as_str().unwrap_or("another one"),
                self.stack
            ))),
            None => Err(misconfigured(format!("The stack {} has no app {}. Check App.", self.stack, self.app))),
        }
    }

    /// Where the instances fetch the artifact.
    async fn source(&self) -> Result<String, Outcome> {
        let realm = self.cx.realm;
        if std::ptr::eq(realm, self.cx.artifacts) {
            return Ok(address(realm, &self.artifact.region, &self.artifact.bucket, &self.artifact.key));
        }
        let (name, region) = (realm.name(), realm.region(&self.action.region));
        let Some(bucket) = realm.staging().bucket(region) else {
            return Err(misconfigured(format!(
                "Action {} has to put its artifact where the instances of its stack in the realm {name} can read it. Add \
                 `staging-bucket = \"...\"` to `[realm.{name}]` in towpath.toml, the name of a bucket there.",
                self.action.action_name
            )));
        };
        let key = copied(self.cx, self.action, self.artifact, bucket).await.map_err(|outcome| *outcome)?;
        Ok(address(realm, region, bucket, &key))
    }

    /// The deployment: found, or begun.
    async fn begin(&self) -> Result<String, Outcome> {
        self.check_app().await?;
        if let Some(id) = self.known().await? {
            return Ok(id);
        }
        let url = Box::pin(self.source()).await?;
        self.ask("UpdateApp", &json!({"AppId": self.app, "AppSource": {"Type": "s3", "Url": url}})).await?;
        let mut asked = json!({"StackId": self.stack, "AppId": self.app, "Command": {"Name": "deploy"},
            "Comment": self.comment()});
        if let Some(layer) = self.layer {
            asked["LayerIds"] = json!([layer]);
        }
        let answer = self.ask("CreateDeployment", &asked).await?;
        answer["DeploymentId"].as_str().map(ToOwned::to_owned).ok_or_else(|| {
            let problem = Problem::broken(SERVICE, "CreateDeployment answered without an id");
            refused(Progress::default(), "createDeployment", &problem)
        })
    }

    fn progress(&self, id: &str, summary: impl Into<String>) -> Progress {
        Progress {
            external_id: Some(id.to_owned()),
            external_url: Some(links::opsworks_deployment(self.cx.realm.region(&self.action.region), self.stack, id)),
            summary: Some(summary.into()),
            ..Progress::default()
        }
    }

    async fn look(&self, id: &str) -> Result<Outcome, Outcome> {
        let answer = self.ask("DescribeDeployments", &json!({"DeploymentIds": [id]})).await?;
        let found = list(&answer, "Deployments").iter().find(|deployment| deployment["DeploymentId"] == id);
        let found = found.ok_or_else(|| {
            let progress = self.progress(id, "");
            failed(progress, error_code::JOB_FAILED, format!("The deployment {id} does not exist any more."))
        })?;
        let status = found["Status"].as_str().unwrap_or("running");
        let answer = self.ask("DescribeCommands", &json!({"DeploymentId": id})).await?;
        let commands = list(&answer, "Commands");
        let summary = format!("The deployment is {status} on {} instances.", commands.len());
        let progress = Progress { percent: percent(commands), ..self.progress(id, summary) };
        Ok(match status {
            "successful" => Outcome::Succeeded { progress, variables: BTreeMap::new(), revisions: Vec::new() },
            "failed" => {
                let message = format!("The deployment {id} failed.{}", self.reason(commands).await);
                failed(progress, error_code::JOB_FAILED, message)
            }
            _ => Outcome::Pending { progress },
        })
    }

    /// Where it failed, by the names of the instances where they can be had.
    async fn reason(&self, commands: &[Value]) -> String {
        let bad: Vec<Command<'_>> =
            commands.iter().map(Command).filter(Command::has_failed).take(SHOWN_ITEMS_MAX).collect();
        if bad.is_empty() {
            return " OpsWorks gives no reason.".to_owned();
        }
        let ids: Vec<&str> = bad.iter().map(|command| command.text("InstanceId")).collect();
        let answer = self.call("DescribeInstances", &json!({"InstanceIds": ids})).await.unwrap_or_default();
        let named = |id: &'_ str| {
            let found = list(&answer, "Instances").iter().find(|instance| instance["InstanceId"] == id);
            found.and_then(|instance| instance["Hostname"].as_str()).unwrap_or(id).to_owned()
        };
        let told = bad.iter().map(|command| format!(" {}.", command.told(&named(command.text("InstanceId")))));
        told.collect()
    }
}

#[async_trait]
impl Provider for OpsWorks {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn service(&self) -> Option<Service> {
        Some(Service::OpsWorks)
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        let work = match Work::of(cx, action) {
            Ok(work) => work,
            Err(error) => return failed(Progress::default(), &error.code, error.message),
        };
        match work.begin().await {
            Ok(id) => Outcome::Pending { progress: work.progress(&id, "The deployment is running.") },
            Err(outcome) => outcome,
        }
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome {
        let work = match Work::of(cx, action) {
            Ok(work) => work,
            Err(error) => return failed(Progress::default(), &error.code, error.message),
        };
        let id = match &progress.external_id {
            Some(id) => Ok(id.clone()),
            // Nothing is known of the start; what it began is found.
            None => work.begin().await,
        };
        match id {
            Ok(id) => work.look(&id).await.unwrap_or_else(|outcome| outcome),
            Err(outcome) => outcome,
        }
    }

    /// What the instances were told to do and have done, in the order in which they ended.
    async fn logs(
        &self,
        cx: &Call<'_>,
        action: &ActionInvocation,
        progress: &Progress,
        token: Option<&str>,
    ) -> Result<LogPage, Problem> {
        let (Some(id), Ok(work)) = (&progress.external_id, Work::of(cx, action)) else { return Ok(LogPage::default()) };
        let answer = work.call("DescribeCommands", &json!({"DeploymentId": id})).await?;
        let mut over: Vec<Command<'_>> =
            list(&answer, "Commands").iter().map(Command).filter(Command::is_over).collect();
        over.sort_by_key(|command| (command.ended(), command.text("CommandId")));
        let line = |command: &Command<'_>| LogLine {
            time: Timestamp::from_millis(command.ended()),
            text: command.told(command.text("InstanceId")),
        };
        Ok(logs::rest_of(over.iter().map(line).collect(), token))
    }

    /// OpsWorks ends no deployment.
    async fn stop(&self, _cx: &Call<'_>, _action: &ActionInvocation, _progress: &Progress) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_tells_how_it_ended() {
        let value = json!({"Type": "deploy", "Status": "failed", "ExitCode": 1, "LogUrl": "https://log",
            "CompletedAt": "2013-07-25T18:57:49+00:00"});
        let command = Command(&value);
        assert_eq!(command.told("web1"), "web1: deploy is failed, exit code 1, log https://log");
        assert_eq!((command.ended(), command.is_over(), command.has_failed()), (1_374_778_669_000, true, true));
        let value = json!({"Type": "deploy", "Status": "pending"});
        assert_eq!((Command(&value).is_over(), Command(&value).ended()), (false, 0));
        assert_eq!(Command(&value).told("web1"), "web1: deploy is pending");
    }

    #[test]
    fn percent_counts_instances_that_are_over() {
        let of = |states: &[&str]| percent(&states.iter().map(|state| json!({"Status": state})).collect::<Vec<_>>());
        assert_eq!(of(&["successful", "pending", "skipped"]), Some(66));
        assert_eq!(of(&[]), None);
    }
}
