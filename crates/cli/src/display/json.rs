//! One JSON object a line: `{time, type, executionId, stage, action, state, message}`, every member always there. This
//! is a contract with programs; the events are EventBridge's words. Of a `rule` or a `condition`, which AWS publishes no
//! events for, `action` is `GATE/RULE` or the gate, and the state of a condition is the API's word.

use serde_json::{Value as Json, json};
use towpath_model::history::{HistoryEntry, HistoryEvent};
use towpath_model::time::Timestamp;

use super::model::{reason, rule_row};
use super::{End, LogLine};

#[derive(Default)]
struct Fields<'a> {
    stage: Option<&'a str>,
    action: Option<&'a str>,
    state: Option<&'a str>,
    message: Option<String>,
}

fn line(time: Timestamp, kind: &str, execution: &str, fields: &Fields<'_>) -> String {
    let object: Json = json!({
        "time": time.iso8601(),
        "type": kind,
        "executionId": execution,
        "stage": fields.stage,
        "action": fields.action,
        "state": fields.state,
        "message": fields.message,
    });
    format!("{object}\n")
}

pub fn entry(entry: &HistoryEntry) -> String {
    let execution = entry.execution.as_str();
    let mut gate_and_rule = None;
    let (kind, fields) = match &entry.event {
        HistoryEvent::Execution { state, summary } => {
            ("execution", Fields { state: Some(state.as_str()), message: summary.clone(), ..Fields::default() })
        }
        HistoryEvent::Stage { stage, state } => {
            ("stage", Fields { stage: Some(stage), state: Some(state.as_str()), ..Fields::default() })
        }
        HistoryEvent::Waiting { stage } => {
            ("stage", Fields { stage: Some(stage), state: Some("WAITING"), ..Fields::default() })
        }
        HistoryEvent::Action { stage, action, state, .. } => (
            "action",
            Fields {
                stage: Some(stage),
                action: Some(action),
                state: Some(state.as_str()),
                message: reason(&entry.event),
            },
        ),
        HistoryEvent::Rule { stage, gate, rule, state, .. } => (
            "rule",
            Fields {
                stage: Some(stage),
                action: Some(gate_and_rule.insert(rule_row(*gate, rule))),
                state: Some(state.as_str()),
                message: reason(&entry.event),
            },
        ),
        HistoryEvent::Condition { stage, gate, status, summary } => (
            "condition",
            Fields {
                stage: Some(stage),
                action: Some(gate.as_str()),
                state: Some(status.as_str()),
                message: summary.clone(),
            },
        ),
    };
    line(entry.time, kind, execution, &fields)
}

pub fn log(log: LogLine<'_>, execution: &str) -> String {
    let fields =
        Fields { stage: Some(log.stage), action: Some(log.action), state: None, message: Some(log.message.to_owned()) };
    line(log.time, "log", execution, &fields)
}

pub fn end(end: End<'_>, execution: &str) -> String {
    let fields = Fields { state: Some(end.state), message: end.message.map(str::to_owned), ..Fields::default() };
    line(end.time, "end", execution, &fields)
}
