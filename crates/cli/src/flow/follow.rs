//! Follows one execution to its end, or to where it cannot go on by itself: shows history and logs, answers approvals,
//! passes Ctrl-C on. It wakes when something was committed and, while there is a screen to redraw or a log to read, ten
//! times a second; it never asks in a loop.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tokio::sync::mpsc::Receiver;
use tokio::time::MissedTickBehavior;
use towpath_model::catalogue::Category;
use towpath_model::history::{EventState, HistoryEntry, HistoryEvent};

use super::ask::{Answer, Asker, Question};
use super::logs::{BUILDS, Tail};
use crate::display::model::{State, rule_row};
use crate::display::{Display, LogLine};
use crate::errors::ExpectedError;
use crate::host::{Api, ApiError, Host};
use crate::limits;

/// How approvals are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Approve {
    /// Approve at once.
    All,
    /// Ask on the terminal.
    Ask,
    /// Stop at the gate, print the command that approves, exit 3.
    None,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Ended(State),
    /// It waits for an approval; the text says which.
    Waiting(String),
    /// A transition that somebody disabled is in the way; the text says which.
    Closed(String),
    Interrupted,
}

/// An approval that waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Gate {
    stage: String,
    action: String,
    action_execution: String,
}

pub struct Follow<'a> {
    pub host: &'a dyn Host,
    pub pipeline: &'a str,
    pub display: Display,
    pub approve: Approve,
    pub asker: &'a dyn Asker,
    pub interrupts: &'a mut Receiver<()>,
    /// What the user types to approve later.
    pub approve_command: String,
    /// History up to here was seen.
    pub seen: u64,
    pub tails: Vec<Tail>,
    /// Tails of builds that are over, for the summary.
    pub finished: Vec<Tail>,
    gates: Vec<Gate>,
    interrupted: bool,
    drawn: Option<Instant>,
}

impl<'a> Follow<'a> {
    pub fn new(
        host: &'a dyn Host,
        pipeline: &'a str,
        display: Display,
        approve: Approve,
        asker: &'a dyn Asker,
        interrupts: &'a mut Receiver<()>,
        approve_command: String,
    ) -> Self {
        Self {
            host,
            pipeline,
            display,
            approve,
            asker,
            interrupts,
            approve_command,
            seen: 0,
            tails: Vec::new(),
            finished: Vec::new(),
            gates: Vec::new(),
            interrupted: false,
            drawn: None,
        }
    }

    /// Takes the history so far without telling it: somebody else has watched it.
    pub async fn replay(&mut self) -> Result<(), ExpectedError> {
        let execution = self.display.model.execution.clone();
        loop {
            let entries = self.host.history(&execution, self.seen).await.map_err(ExpectedError::api("read history"))?;
            if entries.is_empty() {
                return Ok(());
            }
            for entry in &entries {
                self.seen = entry.sequence;
                self.note_gates(entry);
                self.display.replay(entry);
            }
        }
    }

    pub async fn run(&mut self) -> Result<Outcome, ExpectedError> {
        let mut tick = tokio::time::interval(Duration::from_millis(limits::LOG_POLL_MS.min(limits::REDRAW_MS)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.take_history().await?;
            let state = self.display.model.progress.state;
            if state.has_ended() {
                return self.ended(state).await;
            }
            self.read_logs().await;
            if !self.interrupted {
                if let Some(outcome) = self.answer_gates().await? {
                    return Ok(outcome);
                }
                if let Some(outcome) = self.blocked().await {
                    return Ok(outcome);
                }
            }
            self.draw();
            let ticking = self.display.is_live() || !self.tails.is_empty();
            tokio::select! {
                () = self.host.history_changed() => {}
                _ = tick.tick(), if ticking => {}
                Some(()) = self.interrupts.recv() => self.interrupt().await?,
            }
        }
    }

    async fn ended(&mut self, state: State) -> Result<Outcome, ExpectedError> {
        if !self.interrupted {
            return Ok(Outcome::Ended(state));
        }
        // Abandoned actions end at once; their builds stop a moment later, and leaving before would orphan them.
        let deadline = Instant::now() + Duration::from_millis(limits::STOP_WAIT_MS);
        while let Some(tail) = self.finished.iter().chain(&self.tails).next().cloned() {
            if tail.has_stopped(self.host).await || Instant::now() >= deadline {
                self.finished.retain(|t| t.action_execution != tail.action_execution);
                self.tails.retain(|t| t.action_execution != tail.action_execution);
                continue;
            }
            tokio::select! {
                () = self.host.history_changed() => {}
                () = tokio::time::sleep(Duration::from_millis(limits::LOG_POLL_MS)) => {}
            }
        }
        Ok(Outcome::Interrupted)
    }

    // --- history ---

    async fn take_history(&mut self) -> Result<(), ExpectedError> {
        let execution = self.display.model.execution.clone();
        loop {
            let entries = self.host.history(&execution, self.seen).await.map_err(ExpectedError::api("read history"))?;
            if entries.is_empty() {
                return Ok(());
            }
            for entry in &entries {
                self.seen = entry.sequence;
                self.note_gates(entry);
                self.note_builds(entry).await;
                self.display.entry(entry);
            }
        }
    }

    fn note_gates(&mut self, entry: &HistoryEntry) {
        let HistoryEvent::Action { stage, action, action_execution, action_type, state, .. } = &entry.event else {
            return;
        };
        if action_type.category != Category::Approval {
            return;
        }
        self.gates.retain(|g| g.action_execution != **action_execution);
        if *state == EventState::Started {
            self.gates.push(Gate {
                stage: stage.to_string(),
                action: action.to_string(),
                action_execution: action_execution.to_string(),
            });
        }
    }

    /// A build's log is followed from its start; before its end is told, the log is told to its end.
    async fn note_builds(&mut self, entry: &HistoryEntry) {
        let row;
        let (stage, action, action_execution, action_type, state, progress) = match &entry.event {
            HistoryEvent::Action { stage, action, action_execution, action_type, state, progress, .. } => {
                (stage, action.as_str(), action_execution, action_type, state, progress)
            }
            HistoryEvent::Rule { stage, gate, rule, rule_execution, rule_type, state, progress, .. } => {
                row = rule_row(*gate, rule);
                (stage, row.as_str(), rule_execution, rule_type, state, progress)
            }
            _ => return,
        };
        if !BUILDS.contains(&action_type.provider.as_str()) {
            return;
        }
        if *state == EventState::Started {
            self.tails.push(Tail::new(stage, action, action_execution));
        }
        let Some(at) = self.tails.iter().position(|t| t.action_execution == **action_execution) else { return };
        self.tails[at].learn(progress.external_id.as_deref(), progress.log_stream_arn.as_deref());
        if *state != EventState::Started {
            let mut tail = self.tails.remove(at);
            // Once, at the end: another realm is not to be asked ten times a second.
            tail.may_be_elsewhere(self.pipeline, &self.display.model.execution);
            self.find(std::slice::from_mut(&mut tail)).await;
            self.tell(&mut tail, true).await;
            self.finished.push(tail);
        }
    }

    // --- logs ---

    async fn read_logs(&mut self) {
        if self.tails.is_empty() {
            return;
        }
        let mut tails = std::mem::take(&mut self.tails);
        self.find(&mut tails).await;
        for tail in &mut tails {
            self.tell(tail, false).await;
        }
        self.tails = tails;
    }

    async fn tell(&mut self, tail: &mut Tail, all: bool) {
        for line in tail.read(self.host, all).await {
            let line = LogLine { time: line.time, stage: &tail.stage, action: &tail.action, message: &line.text };
            self.display.log(line);
        }
    }

    /// History is silent about progress; the build that an action has started is in its record.
    async fn find(&self, tails: &mut [Tail]) {
        if tails.iter().any(|t| t.stream.is_none() && t.build.is_none()) {
            let mut records = self.records().await.unwrap_or_default();
            records.extend(self.rule_records().await.unwrap_or_default());
            for record in records {
                let result = &record["output"]["executionResult"];
                let id = record["actionExecutionId"].as_str().or_else(|| record["ruleExecutionId"].as_str());
                let id = id.unwrap_or_default();
                if let Some(tail) = tails.iter_mut().find(|t| t.action_execution == id) {
                    tail.learn(result["externalExecutionId"].as_str(), result["logStreamARN"].as_str());
                }
            }
        }
        for tail in tails {
            tail.find_stream(self.host).await;
        }
    }

    /// The newest action executions of this execution.
    pub async fn records(&self) -> Result<Vec<Json>, ApiError> {
        let input = json!({
            "pipelineName": self.pipeline,
            "filter": {"pipelineExecutionId": self.display.model.execution},
        });
        let answer = self.host.call("codepipeline", "ListActionExecutions", input).await?;
        Ok(answer["actionExecutionDetails"].as_array().cloned().unwrap_or_default())
    }

    /// The newest rule executions of this execution.
    async fn rule_records(&self) -> Result<Vec<Json>, ApiError> {
        let input = json!({
            "pipelineName": self.pipeline,
            "filter": {"pipelineExecutionId": self.display.model.execution},
        });
        let answer = self.host.call("codepipeline", "ListRuleExecutions", input).await?;
        Ok(answer["ruleExecutionDetails"].as_array().cloned().unwrap_or_default())
    }

    // --- approvals ---

    async fn answer_gates(&mut self) -> Result<Option<Outcome>, ExpectedError> {
        let Some(gate) = self.gates.first().cloned() else { return Ok(None) };
        let answer = match self.approve {
            Approve::All => Answer { approved: true, summary: "approved by towpath run --approve all".to_owned() },
            Approve::None => {
                // What runs beside the gate runs to its end first.
                let busy = self.display.model.actions().any(|(_, a)| a.progress.state == State::Running);
                return Ok(if busy { None } else { Some(Outcome::Waiting(self.waiting_text().await)) });
            }
            Approve::Ask => {
                let question = self.question(&gate).await;
                self.display.pause(self.host.now());
                let answer = tokio::select! {
                    answer = self.asker.ask(&question) => answer,
                    Some(()) = self.interrupts.recv() => {
                        self.display.resume();
                        // The cursor stands behind the question.
                        self.display.say("\n");
                        self.interrupt().await?;
                        return Ok(None);
                    }
                };
                self.display.resume();
                match answer {
                    Some(answer) => answer,
                    None => return Ok(Some(Outcome::Waiting(self.waiting_text().await))),
                }
            }
        };
        self.gates.retain(|g| *g != gate);
        let token = self.token(&gate).await;
        let input = json!({
            "pipelineName": self.pipeline,
            "stageName": gate.stage,
            "actionName": gate.action,
            "token": token,
            "result": {"status": if answer.approved { "Approved" } else { "Rejected" }, "summary": answer.summary},
        });
        match self.host.call("codepipeline", "PutApprovalResult", input).await {
            Ok(_) => Ok(None),
            // Somebody else was faster, or the approval is over: history says which.
            Err(e)
                if matches!(e.code.as_str(), "ApprovalAlreadyCompletedException" | "InvalidApprovalTokenException") =>
            {
                Ok(None)
            }
            Err(e) => Err(ExpectedError::api(format!("answer the approval {}/{}", gate.stage, gate.action))(e)),
        }
    }

    async fn waiting_text(&self) -> String {
        let mut text = String::new();
        for gate in &self.gates {
            text += &self.question(gate).await.text();
        }
        text
    }

    async fn question(&self, gate: &Gate) -> Question {
        let records = self.records().await.unwrap_or_default();
        let record = records.iter().find(|r| r["actionExecutionId"] == gate.action_execution);
        let config = |key: &str| {
            let input = &record?["input"];
            let text = input["resolvedConfiguration"][key].as_str().or_else(|| input["configuration"][key].as_str());
            text.filter(|t| !t.is_empty()).map(str::to_owned)
        };
        Question {
            stage: gate.stage.clone(),
            action: gate.action.clone(),
            custom_data: config("CustomData"),
            link: config("ExternalEntityLink"),
            summary_required: config("IsSummaryRequired").is_some_and(|v| v.eq_ignore_ascii_case("true")),
        }
    }

    async fn token(&self, gate: &Gate) -> String {
        token(self.host, self.pipeline, &gate.stage, &gate.action, &gate.action_execution).await
    }

    // --- what else holds an execution up ---

    /// Says what the execution waits for, where that is a person: a closed transition, or another execution that holds
    /// the stage and itself waits for approval.
    async fn blocked(&self) -> Option<Outcome> {
        let waiting = self.display.model.stages.iter().find(|s| s.progress.state == State::Waiting)?;
        if self.display.model.actions().any(|(_, a)| a.progress.state == State::Running) {
            return None;
        }
        let state = self.host.call("codepipeline", "GetPipelineState", json!({"name": self.pipeline})).await.ok()?;
        let stages = state["stageStates"].as_array()?;
        let stage = stages.iter().find(|s| s["stageName"] == waiting.name)?;
        let transition = &stage["inboundTransitionState"];
        if transition["enabled"] == false {
            let reason = transition["disabledReason"].as_str().unwrap_or("no reason given");
            return Some(Outcome::Closed(format!("the transition into stage {} is disabled: {reason}", waiting.name)));
        }
        let holder = stage["latestExecution"]["pipelineExecutionId"].as_str()?;
        let open = stage["actionStates"]
            .as_array()?
            .iter()
            .find(|a| a["latestExecution"]["status"] == "InProgress" && a["latestExecution"]["token"].is_string())?;
        (holder != self.display.model.execution).then(|| {
            let action = open["actionName"].as_str().unwrap_or_default();
            let stage = &waiting.name;
            Outcome::Waiting(format!("execution {holder} holds stage {stage} and waits for the approval {action}\n"))
        })
    }

    // --- Ctrl-C ---

    async fn interrupt(&mut self) -> Result<(), ExpectedError> {
        if self.interrupted {
            return Ok(());
        }
        self.interrupted = true;
        self.display.say("stopping the execution and its builds; Ctrl-C again leaves at once\n");
        let input = json!({
            "pipelineName": self.pipeline,
            "pipelineExecutionId": self.display.model.execution,
            "abandon": true,
            "reason": "Ctrl-C in towpath",
        });
        match self.host.call("codepipeline", "StopPipelineExecution", input).await {
            Ok(_) => Ok(()),
            // It ended in the same moment.
            Err(e) if e.code == "PipelineExecutionNotStoppableException" => Ok(()),
            Err(e) => Err(ExpectedError::api("stop the execution")(e)),
        }
    }

    fn draw(&mut self) {
        let due = self.drawn.is_none_or(|at| at.elapsed() >= Duration::from_millis(limits::REDRAW_MS));
        if self.display.is_live() && due {
            self.drawn = Some(Instant::now());
            self.display.tick(self.host.now());
        }
    }
}

/// The token of an open approval: GetPipelineState shows it, except in PARALLEL mode, where it is the action execution's
/// own id.
pub async fn token(api: &dyn Api, pipeline: &str, stage: &str, action: &str, action_execution: &str) -> String {
    let state = api.call("codepipeline", "GetPipelineState", json!({"name": pipeline})).await.unwrap_or_default();
    let stages = state["stageStates"].as_array().into_iter().flatten();
    stages
        .filter(|s| s["stageName"] == stage)
        .flat_map(|s| s["actionStates"].as_array().into_iter().flatten())
        .filter(|a| a["actionName"] == action)
        .map(|a| &a["latestExecution"])
        .filter(|e| e["actionExecutionId"].as_str().is_none_or(|id| id == action_execution))
        .find_map(|e| e["token"].as_str())
        .unwrap_or(action_execution)
        .to_owned()
}
