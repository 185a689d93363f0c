//! What the API tells of a pipeline (or of one of its executions), put together stage by stage. Knows the API's answers,
//! asks nobody, draws nothing.

use serde_json::Value as Json;
use towpath_model::time::Timestamp;

use super::shape::{list, text, time};

/// The answers a board is made of.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    pub declaration: Json,
    pub state: Json,
    /// ListPipelineExecutions, the newest first.
    pub executions: Vec<Json>,
    /// ListActionExecutions, the newest first.
    pub actions: Vec<Json>,
    /// ListRuleExecutions, the newest first; only asked for when one execution is looked at.
    pub rules: Vec<Json>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Board {
    pub pipeline: String,
    pub version: i64,
    pub mode: String,
    /// The execution looked at; None: the pipeline as a whole.
    pub only: Option<String>,
    /// Those that run, the newest first, or the latest where none does; the one looked at.
    pub executions: Vec<Execution>,
    pub stages: Vec<Stage>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    pub id: String,
    pub status: String,
    pub summary: Option<String>,
    pub started: Option<Timestamp>,
    pub changed: Option<Timestamp>,
    pub trigger: Option<String>,
    pub rollback_to: Option<String>,
}

impl Execution {
    pub fn of(answer: &Json) -> Self {
        let owned = |value: Option<&str>| value.map(str::to_owned);
        Self {
            id: text(answer, "pipelineExecutionId").unwrap_or_default().to_owned(),
            status: text(answer, "status").unwrap_or_default().to_owned(),
            summary: owned(text(answer, "statusSummary").or_else(|| text(&answer["stopTrigger"], "reason"))),
            started: time(&answer["startTime"]),
            changed: time(&answer["lastUpdateTime"]),
            trigger: trigger(&answer["trigger"]),
            rollback_to: owned(text(&answer["rollbackMetadata"], "rollbackTargetPipelineExecutionId")),
        }
    }

    pub fn is_active(&self) -> bool {
        matches!(self.status.as_str(), "InProgress" | "Stopping")
    }
}

/// `StartPipelineExecution by root`.
pub fn trigger(trigger: &Json) -> Option<String> {
    let kind = text(trigger, "triggerType")?;
    let by = text(trigger, "triggerDetail").map(who).filter(|by| !by.is_empty());
    Some(by.map_or_else(|| kind.to_owned(), |by| format!("{kind} by {by}")))
}

/// The end of an ARN, which is what tells users and roles apart; anything else as it is.
pub fn who(arn: &str) -> String {
    match arn.strip_prefix("arn:").and_then(|rest| rest.splitn(5, ':').nth(4)) {
        Some(name) => name.to_owned(),
        None => arn.to_owned(),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    pub name: String,
    pub status: Option<String>,
    pub execution: Option<String>,
    /// The transition into it is disabled.
    pub closed: Option<Closed>,
    /// Executions in front of it, the one that enters next first.
    pub waiting: Vec<String>,
    /// Executions that were stopped in front of it: they never enter.
    pub stranded: Vec<String>,
    pub gates: Vec<Gate>,
    pub actions: Vec<Action>,
    /// How often it was retried, by a person and by itself.
    pub retries: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    pub reason: String,
    pub by: Option<String>,
    pub since: Option<Timestamp>,
}

/// A condition of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// `beforeEntry`, `onSuccess`, `onFailure`: as the declaration names it.
    pub kind: &'static str,
    pub status: String,
    pub summary: Option<String>,
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub name: String,
    pub status: String,
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    pub name: String,
    pub provider: String,
    /// The id of its latest execution.
    pub id: Option<String>,
    pub status: Option<String>,
    pub started: Option<Timestamp>,
    pub changed: Option<Timestamp>,
    /// Why it failed, or what its provider says.
    pub message: Option<String>,
    pub revision: Option<String>,
    pub percent: Option<i64>,
    /// It is an approval that waits for somebody.
    pub asks: Option<Question>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub token: String,
    pub note: Option<String>,
    pub link: Option<String>,
}

const GATES: [(&str, &str); 3] = [
    ("beforeEntry", "beforeEntryConditionState"),
    ("onSuccess", "onSuccessConditionState"),
    ("onFailure", "onFailureConditionState"),
];

/// Executions of a PARALLEL pipeline that are shown at once.
pub const PARALLEL_SHOWN: usize = 5;

/// The board of a pipeline. In PARALLEL mode, where executions share no stage, one board for each that runs, or for the
/// latest.
pub fn boards(answers: &Answers, only: Option<&str>) -> Vec<Board> {
    if only.is_some() || !is_parallel(&answers.declaration) {
        return vec![Board::new(answers, only)];
    }
    let shown = in_parallel(&answers.executions);
    match shown.as_slice() {
        [] => vec![Board::new(answers, None)],
        ids => ids.iter().map(|id| Board::new(answers, Some(id))).collect(),
    }
}

pub fn is_parallel(declaration: &Json) -> bool {
    text(declaration, "executionMode") == Some("PARALLEL")
}

/// The executions of a PARALLEL pipeline that are looked at: those that run, else the latest.
pub fn in_parallel(executions: &[Json]) -> Vec<&str> {
    let id = |execution| text(execution, "pipelineExecutionId");
    let running = executions.iter().filter(|e| super::read::is_active(e)).filter_map(id).take(PARALLEL_SHOWN);
    let running: Vec<&str> = running.collect();
    if running.is_empty() { executions.first().and_then(id).into_iter().collect() } else { running }
}

impl Board {
    pub fn new(answers: &Answers, only: Option<&str>) -> Self {
        let declaration = &answers.declaration;
        let stages = list(&declaration["stages"]).map(|declared| stage(answers, declared, only)).collect();
        let all: Vec<Execution> = answers.executions.iter().map(Execution::of).collect();
        let executions: Vec<Execution> = match only {
            Some(id) => all.into_iter().filter(|e| e.id == id).collect(),
            None if all.iter().any(Execution::is_active) => all.into_iter().filter(Execution::is_active).collect(),
            None => all.into_iter().take(1).collect(),
        };
        Self {
            pipeline: text(declaration, "name").unwrap_or_default().to_owned(),
            version: answers.state["pipelineVersion"].as_i64().unwrap_or_default(),
            mode: text(declaration, "executionMode").unwrap_or("SUPERSEDED").to_owned(),
            only: only.map(str::to_owned),
            executions,
            stages,
        }
    }

    /// The words of the command that answers an approval of this board.
    pub fn answer<'a>(&'a self, verb: &'a str, approval: &'a str) -> Vec<&'a str> {
        let mut words = vec![verb, self.pipeline.as_str(), approval];
        // In PARALLEL mode each execution has an approval of its own.
        if let (Some(id), "PARALLEL") = (&self.only, self.mode.as_str()) {
            words.extend(["--execution", super::names::short(id)]);
        }
        words
    }

    /// The approvals that wait, as stage and action.
    pub fn asking(&self) -> impl Iterator<Item = (&Stage, &Action)> {
        let all = self.stages.iter().flat_map(|stage| stage.actions.iter().map(move |action| (stage, action)));
        all.filter(|(_, action)| action.asks.is_some())
    }

    /// Something goes on by itself: an action that is no approval, or a rule.
    pub fn is_moving(&self) -> bool {
        self.stages.iter().any(|stage| {
            let actions = stage.actions.iter().any(|a| a.asks.is_none() && a.status.as_deref() == Some("InProgress"));
            actions || stage.gates.iter().any(|gate| gate.status == "InProgress")
        })
    }

    /// Executions that stand in front of a disabled transition.
    pub fn held(&self) -> impl Iterator<Item = &Stage> {
        self.stages.iter().filter(|stage| stage.closed.is_some() && !stage.waiting.is_empty())
    }
}

fn stage(answers: &Answers, declared: &Json, only: Option<&str>) -> Stage {
    let name = text(declared, "name").unwrap_or_default();
    let state = list(&answers.state["stageStates"]).find(|s| s["stageName"] == name).unwrap_or(&Json::Null);
    let latest = &state["latestExecution"];
    let holds = only.is_none_or(|id| latest["pipelineExecutionId"] == id);
    let inbound = |waits: bool| {
        let fits = move |e: &&Json| matches!(text(e, "status"), Some("Stopped" | "Failed")) != waits;
        let ids = list(&state["inboundExecutions"]).filter(fits).filter_map(|e| text(e, "pipelineExecutionId"));
        ids.filter(|id| only.is_none_or(|only| *id == only)).map(str::to_owned).collect()
    };
    let actions: Vec<Action> = list(&declared["actions"])
        .map(|action| self::action(answers, state, name, action, only.filter(|_| !holds)))
        .collect();
    let metadata = &state["retryStageMetadata"];
    let retries =
        ["autoStageRetryAttempt", "manualStageRetryAttempt"].iter().filter_map(|n| metadata[*n].as_i64()).sum();
    Stage {
        name: name.to_owned(),
        status: if holds { text(latest, "status").map(str::to_owned) } else { derived(&actions) },
        execution: match only {
            Some(id) => (holds || actions.iter().any(|a| a.id.is_some())).then(|| id.to_owned()),
            None => text(latest, "pipelineExecutionId").map(str::to_owned),
        },
        closed: closed(&state["inboundTransitionState"]),
        waiting: inbound(true),
        stranded: inbound(false),
        gates: if holds { gates(state) } else { rules_of(answers, name) },
        actions,
        retries: if holds { retries } else { 0 },
    }
}

fn closed(transition: &Json) -> Option<Closed> {
    (transition["enabled"] == false).then(|| Closed {
        reason: text(transition, "disabledReason").unwrap_or_default().to_owned(),
        by: text(transition, "lastChangedBy").map(who),
        since: time(&transition["lastChangedAt"]),
    })
}

/// The status of a stage that another execution has entered since: what its actions come to.
fn derived(actions: &[Action]) -> Option<String> {
    let any = |status: &str| actions.iter().any(|a| a.status.as_deref() == Some(status));
    let all = actions.iter().all(|a| a.status.as_deref() == Some("Succeeded"));
    let status = match () {
        () if any("InProgress") => "InProgress",
        () if any("Failed") => "Failed",
        () if any("Abandoned") => "Stopped",
        () if all && !actions.is_empty() => "Succeeded",
        () if any("Succeeded") => "Stopped",
        () => return None,
    };
    Some(status.to_owned())
}

/// `of` names the execution to read from the records, where the pipeline's state tells of another.
fn action(answers: &Answers, state: &Json, stage: &str, declared: &Json, of: Option<&str>) -> Action {
    let name = text(declared, "name").unwrap_or_default();
    let id = &declared["actionTypeId"];
    let shown = list(&state["actionStates"]).find(|a| a["actionName"] == name).unwrap_or(&Json::Null);
    let latest = if of.is_some() { &Json::Null } else { &shown["latestExecution"] };
    let record = answers.actions.iter().find(|record| {
        record["stageName"] == stage
            && record["actionName"] == name
            && match of {
                Some(of) => record["pipelineExecutionId"] == of,
                None => {
                    !latest["actionExecutionId"].is_null() && record["actionExecutionId"] == latest["actionExecutionId"]
                }
            }
    });
    let record = record.unwrap_or(&Json::Null);
    let result = &record["output"]["executionResult"];
    let status = text(latest, "status").or_else(|| text(record, "status"));
    let attempt = text(latest, "actionExecutionId").or_else(|| text(record, "actionExecutionId"));
    let open = status == Some("InProgress") && id["category"] == "Approval";
    let resolved = &record["input"]["resolvedConfiguration"];
    let config = if resolved.is_object() { resolved } else { &declared["configuration"] };
    let owned = |value: Option<&str>| value.map(str::to_owned);
    Action {
        name: name.to_owned(),
        provider: text(id, "provider").unwrap_or_default().to_owned(),
        id: owned(attempt),
        status: owned(status),
        started: time(&record["startTime"]),
        changed: time(&latest["lastStatusChange"]).or_else(|| time(&record["lastUpdateTime"])),
        message: message(latest, "summary").or_else(|| message(result, "externalExecutionSummary")),
        revision: owned(text(&shown["currentRevision"], "revisionId")).filter(|_| of.is_none()),
        percent: latest["percentComplete"].as_i64(),
        asks: open.then(|| Question {
            // In PARALLEL mode the action execution's own id is the token.
            token: text(latest, "token").or(attempt).unwrap_or_default().to_owned(),
            note: owned(text(config, "CustomData")),
            link: owned(text(config, "ExternalEntityLink")),
        }),
    }
}

/// The error where there is one, else the provider's words.
pub fn message(result: &Json, summary: &str) -> Option<String> {
    let error = &result["errorDetails"];
    match (text(error, "code"), text(error, "message"), text(result, summary)) {
        (Some(code), Some(message), _) => Some(format!("{code}: {message}")),
        (Some(code), None, Some(summary)) => Some(format!("{code}: {summary}")),
        (Some(word), None, None) | (None, Some(word), _) | (None, None, Some(word)) => Some(word.to_owned()),
        (None, None, None) => None,
    }
}

fn gates(state: &Json) -> Vec<Gate> {
    let gate = |(kind, member): &(&'static str, &str)| {
        let gate = &state[*member];
        let status = text(&gate["latestExecution"], "status")?.to_owned();
        let rules = list(&gate["conditionStates"]).flat_map(|condition| list(&condition["ruleStates"]));
        let rules = rules.map(|rule| Rule {
            name: text(rule, "ruleName").unwrap_or_default().to_owned(),
            status: text(&rule["latestExecution"], "status").unwrap_or_default().to_owned(),
            reason: message(&rule["latestExecution"], "summary"),
        });
        Some(Gate {
            kind,
            status,
            summary: text(&gate["latestExecution"], "summary").map(str::to_owned),
            rules: rules.collect(),
        })
    };
    GATES.iter().filter_map(gate).collect()
}

/// The rules that an execution ran in a stage, where the state tells of another: records do not say of which condition.
fn rules_of(answers: &Answers, stage: &str) -> Vec<Gate> {
    let mut rules: Vec<Rule> = Vec::new();
    for record in answers.rules.iter().filter(|record| record["stageName"] == stage) {
        let name = text(record, "ruleName").unwrap_or_default();
        if rules.iter().all(|rule| rule.name != name) {
            rules.push(Rule {
                name: name.to_owned(),
                status: text(record, "status").unwrap_or_default().to_owned(),
                reason: message(&record["output"]["executionResult"], "externalExecutionSummary"),
            });
        }
    }
    rules.reverse();
    let status = |word: &str| rules.iter().any(|rule| rule.status == word);
    let status = if status("InProgress") {
        "InProgress"
    } else if status("Failed") {
        "Failed"
    } else {
        "Succeeded"
    };
    if rules.is_empty() {
        Vec::new()
    } else {
        vec![Gate { kind: "rules", status: status.to_owned(), summary: None, rules }]
    }
}
