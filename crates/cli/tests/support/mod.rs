//! A scripted host: plays an execution of whatever pipeline it is given, action by action, and remembers every call.
//! It stands for the whole system behind the `Host` trait; the real one is tested end to end elsewhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use tokio::sync::Notify;
use towpath_cli::commands::validate::Validate;
use towpath_cli::config::Config;
use towpath_cli::errors::ExpectedError;
use towpath_cli::flow::ask::{Answer, Asker, Question};
use towpath_cli::flow::{OpenOptions, Opener};
use towpath_cli::host::{Api, ApiError, Host, Target, Tree, Violation};
use towpath_cli::terminal::{Size, Terminal};
use towpath_model::action::{ErrorDetails, Progress};
use towpath_model::catalogue::Category;
use towpath_model::declaration::PipelineDeclaration;
use towpath_model::history::{EventState, HistoryEntry, HistoryEvent};
use towpath_model::ids::{ExecutionId, PipelineId, Scope};
use towpath_model::time::Timestamp;

pub const EXECUTION: &str = "11111111-2222-4333-8444-555555555555";

#[derive(Clone, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Captured {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

pub fn terminal(out: &Captured, live: bool) -> Terminal {
    Terminal {
        out: Box::new(out.clone()),
        err: Box::new(std::io::sink()),
        live,
        can_ask: live,
        colour_out: false,
        colour_err: false,
        size: Size::Fixed { width: 100, height: 40 },
        redacted: false,
    }
}

pub fn no_violations(_: &PipelineDeclaration, _: &str, _: &Config) -> Vec<Violation> {
    Vec::new()
}

pub const VALIDATE: Validate<'static> = &no_violations;

/// How an action ends; those not named succeed at once.
#[derive(Debug, Clone)]
pub enum Ending {
    Fails {
        code: &'static str,
        message: &'static str,
    },
    /// Goes on until the execution is stopped.
    Hangs,
}

#[derive(Default)]
pub struct State {
    pub calls: Vec<String>,
    pub pipeline: Option<PipelineDeclaration>,
    pub roles: Vec<String>,
    pub projects: BTreeMap<String, Json>,
    pub history: Vec<HistoryEntry>,
    pub endings: BTreeMap<&'static str, Ending>,
    /// Log lines of a CodeBuild action.
    pub logs: BTreeMap<&'static str, Vec<&'static str>>,
    open: Option<(usize, usize)>,
    /// Somebody else has disabled the transition into this stage.
    pub closed: Option<&'static str>,
    clock: i64,
    starts: u64,
}

#[derive(Clone, Default)]
pub struct Script {
    pub state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

impl Script {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn calls(&self) -> String {
        self.lock().calls.join("\n")
    }
}

impl State {
    fn add(&mut self, event: HistoryEvent) {
        self.clock += 100;
        let entry = HistoryEntry {
            sequence: self.history.len() as u64 + 1,
            time: Timestamp(1_790_862_000_000 + self.clock),
            pipeline: PipelineId::new("p"),
            scope: Scope::new("123456789012", "us-east-1"),
            pipeline_name: self.pipeline.as_ref().unwrap().name.clone(),
            pipeline_version: 1,
            execution: ExecutionId::new(EXECUTION),
            attempt: 1,
            event,
        };
        self.history.push(entry);
    }

    fn execution(&mut self, state: EventState, summary: Option<&str>) {
        self.add(HistoryEvent::Execution { state, summary: summary.map(str::to_owned) });
    }

    fn action(&mut self, s: usize, a: usize, state: EventState, progress: Progress, error: Option<ErrorDetails>) {
        let stage = &self.pipeline.as_ref().unwrap().stages[s];
        let event = HistoryEvent::Action {
            stage: stage.name.clone(),
            action: stage.actions[a].name.clone(),
            action_execution: format!("action-{s}-{a}").into(),
            action_type: stage.actions[a].action_type_id.clone(),
            region: "us-east-1".into(),
            state,
            progress,
            error,
        };
        self.add(event);
    }

    fn start(&mut self) {
        self.starts += 1;
        self.execution(EventState::Started, None);
        self.play(0);
    }

    /// Runs stage after stage until something does not go on by itself.
    fn play(&mut self, from: usize) {
        let pipeline = self.pipeline.clone().unwrap();
        for (s, stage) in pipeline.stages.iter().enumerate().skip(from) {
            if self.closed == Some(stage.name.as_str()) {
                return self.add(HistoryEvent::Waiting { stage: stage.name.clone() });
            }
            self.add(HistoryEvent::Stage { stage: stage.name.clone(), state: EventState::Started });
            for a in 0..stage.actions.len() {
                self.action(s, a, EventState::Started, Progress::default(), None);
            }
            for (a, action) in stage.actions.iter().enumerate() {
                if action.action_type_id.category == Category::Approval {
                    self.open = Some((s, a));
                    return;
                }
                let mut progress = Progress::default();
                if action.action_type_id.provider == "CodeBuild" {
                    let name = &action.name;
                    progress.external_id = Some(format!("demo:{name}"));
                    progress.log_stream_arn = Some(format!(
                        "arn:aws:logs:us-east-1:123456789012:log-group:/aws/codebuild/demo:log-stream:{name}"
                    ));
                }
                match self.endings.get(action.name.as_str()).cloned() {
                    Some(Ending::Hangs) => return,
                    Some(Ending::Fails { code, message }) => {
                        self.action(s, a, EventState::Failed, progress, Some(ErrorDetails::new(code, message)));
                        return self.fail(s);
                    }
                    None => self.action(s, a, EventState::Succeeded, progress, None),
                }
            }
            self.add(HistoryEvent::Stage { stage: stage.name.clone(), state: EventState::Succeeded });
        }
        self.execution(EventState::Succeeded, None);
    }

    fn fail(&mut self, s: usize) {
        let stage = self.pipeline.as_ref().unwrap().stages[s].name.clone();
        self.add(HistoryEvent::Stage { stage, state: EventState::Failed });
        self.execution(EventState::Failed, None);
    }

    fn stop(&mut self, reason: &str) {
        let running: Vec<(usize, usize)> = self.running();
        self.execution(EventState::Stopping, Some(reason));
        for (s, a) in &running {
            self.action(*s, *a, EventState::Abandoned, Progress::default(), None);
        }
        if let Some((s, _)) = running.first() {
            let stage = self.pipeline.as_ref().unwrap().stages[*s].name.clone();
            self.add(HistoryEvent::Stage { stage, state: EventState::Stopped });
        }
        self.execution(EventState::Stopped, Some(reason));
    }

    fn running(&self) -> Vec<(usize, usize)> {
        let pipeline = self.pipeline.as_ref().unwrap();
        let all =
            pipeline.stages.iter().enumerate().flat_map(|(s, stage)| (0..stage.actions.len()).map(move |a| (s, a)));
        all.filter(|(s, a)| {
            let id = format!("action-{s}-{a}");
            let last = self.history.iter().rev().find_map(|e| match &e.event {
                HistoryEvent::Action { action_execution, state, .. } if **action_execution == *id => Some(*state),
                _ => None,
            });
            last == Some(EventState::Started)
        })
        .collect()
    }

    fn records(&self) -> Json {
        let pipeline = self.pipeline.as_ref().unwrap();
        let mut records = Vec::new();
        for (s, stage) in pipeline.stages.iter().enumerate().rev() {
            for (a, action) in stage.actions.iter().enumerate().rev() {
                let id = format!("action-{s}-{a}");
                let last = self.history.iter().rev().find_map(|e| match &e.event {
                    HistoryEvent::Action { action_execution, state, .. } if **action_execution == *id => Some(*state),
                    _ => None,
                });
                let Some(last) = last else { continue };
                let status = match last {
                    EventState::Started => "InProgress",
                    EventState::Succeeded => "Succeeded",
                    _ => "Failed",
                };
                records.push(json!({
                    "pipelineExecutionId": EXECUTION, "actionExecutionId": id, "stageName": stage.name,
                    "actionName": action.name, "status": status,
                    "input": {"actionTypeId": action.action_type_id, "configuration": action.configuration,
                              "resolvedConfiguration": action.configuration},
                    "output": {"executionResult": {}},
                }));
            }
        }
        json!({"actionExecutionDetails": records})
    }

    fn view(&self) -> Json {
        let pipeline = self.pipeline.as_ref().unwrap();
        let stages = pipeline.stages.iter().enumerate().map(|(s, stage)| {
            let actions = stage.actions.iter().enumerate().map(|(a, action)| {
                let mut latest = json!({"actionExecutionId": format!("action-{s}-{a}"), "status": "InProgress"});
                if self.open == Some((s, a)) {
                    latest["token"] = json!("the-token");
                }
                json!({"actionName": action.name, "latestExecution": latest})
            });
            let enabled = self.closed != Some(stage.name.as_str());
            json!({"stageName": stage.name, "actionStates": actions.collect::<Vec<_>>(),
                   "latestExecution": {"pipelineExecutionId": EXECUTION},
                   "inboundTransitionState": {"enabled": enabled, "disabledReason": "freeze"}})
        });
        json!({"stageStates": stages.collect::<Vec<_>>()})
    }

    fn answer(&mut self, operation: &str, input: &Json) -> Result<Json, ApiError> {
        let declared = || serde_json::from_value::<PipelineDeclaration>(input["pipeline"].clone()).unwrap();
        Ok(match operation {
            "GetRole" => {
                let name = input["RoleName"].as_str().unwrap().to_owned();
                if !self.roles.contains(&name) {
                    return Err(ApiError::new("NoSuchEntity", "no such role"));
                }
                json!({})
            }
            "CreateRole" => {
                self.roles.push(input["RoleName"].as_str().unwrap().to_owned());
                json!({})
            }
            "BatchGetProjects" => {
                let names = input["names"].as_array().unwrap();
                let found = names.iter().filter_map(|n| self.projects.get(n.as_str().unwrap()));
                json!({"projects": found.collect::<Vec<_>>()})
            }
            "CreateProject" | "UpdateProject" => {
                self.projects.insert(input["name"].as_str().unwrap().to_owned(), input.clone());
                json!({})
            }
            "GetPipeline" => match &self.pipeline {
                None => return Err(ApiError::new("PipelineNotFoundException", "no such pipeline")),
                Some(pipeline) => json!({"pipeline": pipeline}),
            },
            "CreatePipeline" => {
                self.pipeline = Some(declared());
                self.start();
                json!({})
            }
            "UpdatePipeline" => {
                self.pipeline = Some(declared());
                json!({})
            }
            "StartPipelineExecution" => {
                self.history.clear();
                self.start();
                json!({"pipelineExecutionId": EXECUTION})
            }
            "ListPipelineExecutions" => json!({"pipelineExecutionSummaries": [{"pipelineExecutionId": EXECUTION}]}),
            "ListActionExecutions" if self.pipeline.is_none() => {
                return Err(ApiError::new("PipelineNotFoundException", "no such pipeline"));
            }
            "ListActionExecutions" => self.records(),
            "GetPipelineState" => self.view(),
            "PutApprovalResult" => {
                let (s, a) = self.open.take().expect("an approval is open");
                assert_eq!(input["token"], "the-token");
                let progress =
                    Progress { summary: input["result"]["summary"].as_str().map(str::to_owned), ..Progress::default() };
                if input["result"]["status"] == "Approved" {
                    self.action(s, a, EventState::Succeeded, progress, None);
                    let stage = self.pipeline.as_ref().unwrap().stages[s].name.clone();
                    self.add(HistoryEvent::Stage { stage, state: EventState::Succeeded });
                    self.play(s + 1);
                } else {
                    let error = ErrorDetails::new("JobFailed", "");
                    self.action(s, a, EventState::Failed, progress, Some(error));
                    self.fail(s);
                }
                json!({})
            }
            "StopPipelineExecution" => {
                self.stop(input["reason"].as_str().unwrap());
                json!({})
            }
            "GetLogEvents" => {
                let stream = input["logStreamName"].as_str().unwrap();
                let lines = self.logs.get(stream).cloned().unwrap_or_default();
                let fresh = input["nextToken"].is_null();
                let events: Vec<Json> = lines
                    .iter()
                    .filter(|_| fresh)
                    .map(|l| json!({"timestamp": 1_790_862_000_000_i64 + self.clock, "message": format!("{l}\n")}))
                    .collect();
                json!({"events": events, "nextForwardToken": "f/1"})
            }
            "BatchGetBuilds" => json!({"builds": [{"buildStatus": "STOPPED", "logs": {}}]}),
            _ => json!({}),
        })
    }
}

#[async_trait]
impl Api for Script {
    async fn call(&self, service: &str, operation: &str, input: Json) -> Result<Json, ApiError> {
        let mut state = self.lock();
        // What reads and polls is not part of what a test pins down.
        if !operation.starts_with("Get") && !operation.starts_with("List") && !operation.starts_with("BatchGet") {
            let mut shown = input.clone();
            if let Some(pipeline) = shown.get_mut("pipeline") {
                *pipeline = json!({"variables": pipeline["variables"]});
            }
            state.calls.push(format!("{service} {operation} {shown}"));
        }
        let before = state.history.len();
        let answer = state.answer(operation, &input);
        if state.history.len() != before {
            self.changed.notify_one();
        }
        answer
    }
}

#[async_trait]
impl Target for Script {
    async fn bucket(
        &self,
        method: http::Method,
        bucket: &str,
        subresource: &str,
        _: String,
    ) -> Result<(http::StatusCode, String), ApiError> {
        self.lock().calls.push(format!("{method} {bucket}?{subresource}"));
        let found = if method == http::Method::PUT { http::StatusCode::OK } else { http::StatusCode::NOT_FOUND };
        Ok((found, String::new()))
    }
}

#[async_trait]
impl Host for Script {
    async fn ensure_bucket(&self, bucket: &str, versioned: bool) -> Result<(), ApiError> {
        self.lock().calls.push(format!("bucket {bucket} versioned={versioned}"));
        Ok(())
    }

    async fn put_file(&self, bucket: &str, key: &str, file: &Path) -> Result<String, ApiError> {
        let mut zip = zip::ZipArchive::new(std::fs::File::open(file).unwrap()).unwrap();
        let names: Vec<String> = (0..zip.len()).map(|i| zip.by_index(i).unwrap().name().to_owned()).collect();
        self.lock().calls.push(format!("put s3://{bucket}/{key} with {}", names.join(" ")));
        Ok("v1".to_owned())
    }

    async fn stand_in(&self, bucket: &str, _: &str, action: &str, _: &Path, tree: Tree) -> Result<(), ApiError> {
        self.lock().calls.push(format!("stand in {bucket} {action}: {} {:?}", tree.summary, tree.variables));
        Ok(())
    }

    async fn history(&self, _: &str, after: u64) -> Result<Vec<HistoryEntry>, ApiError> {
        Ok(self.lock().history.iter().filter(|e| e.sequence > after).cloned().collect())
    }

    async fn history_changed(&self) {
        self.changed.notified().await;
    }

    fn now(&self) -> Timestamp {
        Timestamp(1_790_862_000_000 + self.lock().clock)
    }

    async fn shutdown(&self) {
        self.lock().calls.push("shutdown".to_owned());
    }
}

#[async_trait]
impl Opener for Script {
    async fn open(&self, options: &OpenOptions) -> Result<Arc<dyn Host>, ExpectedError> {
        self.lock().calls.push(format!("open account={} region={}", options.account, options.region));
        Ok(Arc::new(self.clone()))
    }
}

/// Answers what it was given, or never.
pub struct Scripted(pub Option<Answer>);

#[async_trait]
impl Asker for Scripted {
    async fn ask(&self, question: &Question) -> Option<Answer> {
        assert_eq!(question.custom_data.as_deref(), Some("Ship it?"));
        match &self.0 {
            Some(answer) => Some(answer.clone()),
            None => std::future::pending().await,
        }
    }
}
