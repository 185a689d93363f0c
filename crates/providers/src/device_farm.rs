//! Test / AWS / DeviceFarm: the app and its tests are uploaded from the input artifact and run on the devices of a pool.
//!
//! Device Farm is in us-west-2 alone. An upload has no token: a start that is repeated uploads again, which costs room and
//! nothing else. A run has none either; it is named after the action execution and looked for before it is scheduled.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_devicefarm::Client;
use aws_sdk_devicefarm::types::{ExecutionResult, ExecutionStatus, Run, UploadStatus};
use aws_smithy_types::byte_stream::ByteStream;
use serde::{Deserialize, Serialize};
use towpath_model::action::{ActionInvocation, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Repeat};
use towpath_model::limits::TIMEOUT_DEFAULT_MINUTES;

use crate::deploys::{self, failed, misconfigured, one_input, recall, refused, remember};
use crate::device_farm_plan::{File, Plan, properties};
use crate::http::{self, Ask};
use crate::limits::{DEVICE_FARM_FILE_BYTES_MAX, DEVICE_FARM_PAGES_MAX};
use crate::problem::{Kind, Problem};
use crate::provider::{Call, Provider};
use crate::realms::Service;
use crate::{artifact_files, links};

const SERVICE: &str = "AWSDeviceFarm";
/// Where Device Farm is.
const REGION: &str = "us-west-2";
const CONTENT_TYPE: &str = "application/octet-stream";

pub struct DeviceFarm {
    entry: ActionTypeEntry,
}

impl Default for DeviceFarm {
    fn default() -> Self {
        Self::new()
    }
}

impl DeviceFarm {
    pub fn new() -> Self {
        Self { entry: entry() }
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Test, Owner::Aws, "DeviceFarm", "1"),
        description: "Runs tests of an app on the devices of an AWS Device Farm pool. App, tests and specification are files \
                      of the input artifact."
            .to_owned(),
        properties: properties(),
        inputs: Bounds::new(1, 1),
        outputs: Bounds::new(0, 0),
        output_variables: Vec::new(),
        default_timeout_minutes: TIMEOUT_DEFAULT_MINUTES,
        timeout_configurable: false,
        v2_only: false,
        repeat: Repeat::Lookup,
        entity_url_template: Some(
            "https://us-west-2.console.aws.amazon.com/devicefarm/home?region=us-west-2#/mobile/projects/{Config:ProjectId}/runs"
                .to_owned(),
        ),
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-DeviceFarm.html"
            .to_owned(),
    }
}

/// What is kept between polls: the uploads until there is a run, then the run alone.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    /// ARNs, in the order of the plan's files.
    uploads: Vec<String>,
    run: Option<String>,
}

/// One action at its project.
struct Work<'a> {
    cx: &'a Call<'a>,
    action: &'a ActionInvocation,
    /// The same where Device Farm is.
    there: ActionInvocation,
    plan: Plan<'a>,
}

/// Sends a request; what is refused ends the action, under the name of the call.
macro_rules! ask {
    ($self:expr, $call:literal, $request:expr) => {
        $request.send().await.map_err(|error| {
            let problem = $self.cx.realm.note(&$self.there, Problem::of(SERVICE, &error));
            refused(Progress::default(), $call, &problem)
        })
    };
}

fn lacking(call: &'static str, what: &str) -> Outcome {
    refused(Progress::default(), call, &Problem::broken(SERVICE, format!("the answer has no {what}")))
}

impl<'a> Work<'a> {
    fn of(cx: &'a Call<'a>, action: &'a ActionInvocation) -> Result<Self, String> {
        let there = ActionInvocation { region: REGION.to_owned(), ..action.clone() };
        Ok(Self { cx, action, there, plan: Plan::read(action)? })
    }

    async fn client(&self, call: &str) -> Result<Client, Outcome> {
        let client = self.cx.realm.device_farm(&self.there).await;
        client.map_err(|problem| refused(Progress::default(), call, &problem))
    }

    /// Of at most 256 characters, since a pipeline's name has 100.
    fn run_name(&self) -> String {
        format!("{}-{}", self.action.pipeline_name, self.action.action_execution_id)
    }

    /// The project's ARN; which account it is of only Device Farm knows.
    async fn project(&self) -> Result<String, Outcome> {
        let client = self.client("listProjects").await?;
        let ending = format!(":project:{}", self.plan.project);
        let mut token = None;
        for _ in 0..DEVICE_FARM_PAGES_MAX {
            let page = ask!(self, "listProjects", client.list_projects().set_next_token(token))?;
            let arns = page.projects().iter().filter_map(|project| project.arn());
            if let Some(arn) = arns.into_iter().find(|arn| arn.ends_with(&ending)) {
                return Ok(arn.to_owned());
            }
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        Err(misconfigured(format!("There is no Device Farm project {}. Check ProjectId.", self.plan.project)))
    }

    /// The run of an earlier start, if there was one.
    async fn known_run(&self, project: &str) -> Result<Option<String>, Outcome> {
        let client = self.client("listRuns").await?;
        let name = self.run_name();
        let mut token = None;
        for _ in 0..DEVICE_FARM_PAGES_MAX {
            let page = ask!(self, "listRuns", client.list_runs().arn(project).set_next_token(token))?;
            if let Some(run) = page.runs().iter().find(|run| run.name() == Some(name.as_str())) {
                return Ok(run.arn().map(ToOwned::to_owned));
            }
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        Ok(None)
    }

    /// Uploads every file; their ARNs.
    async fn upload(&self, project: &str) -> Result<Vec<String>, Outcome> {
        let artifact = one_input(self.action).map_err(misconfigured)?;
        let mut uploads = Vec::new();
        let files = self.plan.files();
        if files.is_empty() {
            return Ok(uploads);
        }
        let fetched = artifact_files::fetch(self.cx, self.action, artifact).await;
        let zip = fetched.map_err(|trouble| trouble.outcome(artifact))?;
        for file in files {
            let extracted = artifact_files::extract(self.cx, zip.path(), file.path, DEVICE_FARM_FILE_BYTES_MAX).await;
            let extracted = extracted.map_err(|trouble| trouble.outcome(artifact))?;
            uploads.push(self.send(project, file, extracted.path()).await?);
        }
        Ok(uploads)
    }

    async fn send(&self, project: &str, file: &File<'_>, path: &std::path::Path) -> Result<String, Outcome> {
        let name = file.path.rsplit('/').next().unwrap_or(file.path);
        let client = self.client("createUpload").await?;
        let request = client.create_upload().project_arn(project).name(name).r#type(file.kind.clone());
        let made = ask!(self, "createUpload", request.content_type(CONTENT_TYPE))?.upload;
        let (arn, url) = made.map(|upload| (upload.arn, upload.url)).unwrap_or_default();
        let arn = arn.ok_or_else(|| lacking("createUpload", "arn"))?;
        let url = url.ok_or_else(|| lacking("createUpload", "url"))?;
        let local = |error: &dyn std::error::Error| Outcome::Unavailable {
            message: format!("cannot keep {name} while it is uploaded: {error}"),
        };
        let bytes = tokio::fs::metadata(path).await.map_err(|error| local(&error))?.len();
        let body = ByteStream::from_path(path).await.map_err(|error| local(&error))?;
        let headers = vec![("content-type", CONTENT_TYPE.to_owned()), ("content-length", bytes.to_string())];
        let sent =
            http::send(self.cx.realm, SERVICE, Ask { method: "PUT", url: &url, headers, body: body.into_inner() })
                .await;
        let refusal = match sent {
            Ok(answer) if answer.is_good() => return Ok(arn),
            Ok(answer) => answer.problem(SERVICE),
            Err(problem) => problem,
        };
        let message = format!("Unable to upload {name} to Device Farm. {}", refusal.detail());
        Err(refusal.outcome(deploys::code_of(&refusal), message))
    }

    /// Whether Device Farm has taken all uploads in.
    async fn is_taken(&self, uploads: &[String]) -> Result<bool, Outcome> {
        let client = self.client("getUpload").await?;
        for (file, arn) in self.plan.files().into_iter().zip(uploads) {
            let found = ask!(self, "getUpload", client.get_upload().arn(arn))?;
            let found = found.upload.ok_or_else(|| lacking("getUpload", "upload"))?;
            match found.status() {
                Some(UploadStatus::Succeeded) => {}
                Some(UploadStatus::Failed) => {
                    let why = found.message().or(found.metadata()).unwrap_or("Device Farm gives no reason.");
                    let message = format!("Device Farm does not take {} as {}: {why}", file.path, file.kind.as_str());
                    return Err(failed(Progress::default(), error_code::JOB_FAILED, message));
                }
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    async fn schedule(&self, project: &str, uploads: &[String]) -> Result<String, Outcome> {
        let mut arns = uploads.iter().cloned();
        let mut next = |file: &Option<File<'_>>| file.as_ref().and_then(|_| arns.next());
        let (app, package, spec) = (next(&self.plan.app), next(&self.plan.test), next(&self.plan.spec));
        let test = self.plan.test_of(package, spec).map_err(misconfigured)?;
        let request = self.client("scheduleRun").await?.schedule_run().project_arn(project).name(self.run_name());
        let request = request.device_pool_arn(self.plan.pool).set_app_arn(app).test(test);
        let request = request.configuration(self.plan.configuration.clone());
        let answer = ask!(self, "scheduleRun", request.execution_configuration(self.plan.execution.clone()))?;
        answer.run.and_then(|run| run.arn).ok_or_else(|| lacking("scheduleRun", "run"))
    }

    /// Up to a run, which is found or scheduled as soon as everything is there for it.
    async fn begin(&self, mut memory: Memory) -> Result<Outcome, Outcome> {
        let project = self.project().await?;
        if let Some(run) = self.known_run(&project).await? {
            return Ok(self.running(run));
        }
        if memory.uploads.len() != self.plan.files().len() {
            memory.uploads = Box::pin(self.upload(&project)).await?;
        }
        if self.is_taken(&memory.uploads).await? {
            return Ok(self.running(self.schedule(&project, &memory.uploads).await?));
        }
        let progress =
            Progress { summary: Some("Device Farm is taking the uploads in.".to_owned()), ..Progress::default() };
        Ok(Outcome::Pending { progress: remember(progress, &memory) })
    }

    fn running(&self, run: String) -> Outcome {
        let progress = shown(&run, format!("The run {} is scheduled.", self.run_name()));
        Outcome::Pending { progress: remember(progress, &Memory { uploads: Vec::new(), run: Some(run) }) }
    }

    async fn look(&self, arn: &str) -> Result<Outcome, Outcome> {
        let client = self.client("getRun").await?;
        let found = ask!(self, "getRun", client.get_run().arn(arn))?.run.ok_or_else(|| lacking("getRun", "run"))?;
        let status = found.status().map_or("PENDING", ExecutionStatus::as_str);
        let counted = counted(&found);
        if found.status() != Some(&ExecutionStatus::Completed) {
            let progress = shown(arn, format!("The run is {status}{counted}."));
            let progress = Progress { percent: percent(&found), ..progress };
            let memory = Memory { uploads: Vec::new(), run: Some(arn.to_owned()) };
            return Ok(Outcome::Pending { progress: remember(progress, &memory) });
        }
        let result = found.result().map_or("PENDING", ExecutionResult::as_str);
        let progress = shown(arn, format!("The run is {result}{counted}."));
        if let Some(ExecutionResult::Passed | ExecutionResult::Warned) = found.result() {
            return Ok(Outcome::Succeeded { progress, variables: BTreeMap::new(), revisions: Vec::new() });
        }
        let code = found.result_code().map_or_else(String::new, |code| format!(" {}.", code.as_str()));
        let said = found.message().map_or_else(String::new, |text| format!(" {text}"));
        let message = format!("The run {} is {result}{counted}.{code}{said}", self.run_name());
        Ok(failed(progress, error_code::JOB_FAILED, message))
    }

    async fn go_on(&self, memory: Memory) -> Outcome {
        let answered = match &memory.run {
            Some(run) => self.look(run).await,
            None => Box::pin(self.begin(memory)).await,
        };
        answered.unwrap_or_else(|outcome| outcome)
    }

    /// The run that may have to be stopped.
    async fn run(&self, progress: &Progress) -> Result<Option<String>, Outcome> {
        if let Some(Memory { run: Some(run), .. }) = recall(progress) {
            return Ok(Some(run));
        }
        // A start whose answer was lost has scheduled a run of this name.
        let project = self.project().await?;
        self.known_run(&project).await
    }
}

fn counted(run: &Run) -> String {
    let Some(counters) = run.counters() else { return String::new() };
    let total = counters.total().unwrap_or_default();
    let parts = [
        ("passed", counters.passed()),
        ("warned", counters.warned()),
        ("failed", counters.failed()),
        ("errored", counters.errored()),
        ("stopped", counters.stopped()),
        ("skipped", counters.skipped()),
    ];
    let parts = parts.into_iter().filter_map(|(name, count)| Some((name, count.filter(|count| *count > 0)?)));
    let parts: Vec<String> = parts.map(|(name, count)| format!("{name} {count}")).collect();
    if parts.is_empty() { String::new() } else { format!(": {} of {total}", parts.join(", ")) }
}

fn percent(run: &Run) -> Option<u8> {
    let (done, all) = (run.completed_jobs()?, run.total_jobs().filter(|all| *all > 0)?);
    u8::try_from(i64::from(done).clamp(0, i64::from(all)) * 100 / i64::from(all)).ok()
}

#[async_trait]
impl Provider for DeviceFarm {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn service(&self) -> Option<Service> {
        Some(Service::DeviceFarm)
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        match Work::of(cx, action) {
            Ok(work) => work.go_on(Memory::default()).await,
            Err(message) => misconfigured(message),
        }
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome {
        let work = match Work::of(cx, action) {
            Ok(work) => work,
            Err(message) => return misconfigured(message),
        };
        let memory: Memory = recall(progress).unwrap_or_default();
        let had_run = memory.run.is_some();
        match work.go_on(memory).await {
            // It was scheduled, or found, only now; how it is going on is the next question.
            Outcome::Pending { progress } if !had_run && progress.external_id.is_some() => {
                work.go_on(recall(&progress).unwrap_or_default()).await
            }
            other => other,
        }
    }

    async fn stop(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Result<(), String> {
        let Ok(work) = Work::of(cx, action) else { return Ok(()) };
        let run = match work.run(progress).await {
            Ok(Some(run)) => run,
            Ok(None) => return Ok(()),
            // There is no such project, so no run of it.
            Err(Outcome::Failed { error, .. }) if error.code == error_code::CONFIGURATION_ERROR => return Ok(()),
            Err(Outcome::Failed { error, .. }) => return Err(error.message),
            Err(Outcome::Unavailable { message }) => return Err(message),
            Err(_) => return Err("Device Farm gave no answer".to_owned()),
        };
        let client = cx.realm.device_farm(&work.there).await.map_err(|problem| problem.detail())?;
        let answer = client.stop_run().arn(run).send().await;
        match answer.map_err(|error| cx.realm.note(&work.there, Problem::of(SERVICE, &error))) {
            Ok(_) => Ok(()),
            // It is gone, or over.
            Err(problem) if matches!(problem.kind, Kind::NotFound | Kind::Rejected) => Ok(()),
            Err(problem) => Err(format!("Error calling stopRun: {}", problem.detail())),
        }
    }
}

/// What is shown of a run.
fn shown(run: &str, summary: String) -> Progress {
    Progress {
        external_id: Some(run.to_owned()),
        external_url: Some(links::device_farm_run(run)),
        summary: Some(summary),
        ..Progress::default()
    }
}
