//! What changed between two looks at a board, for whoever reads lines instead of a screen. Lines for people are plain
//! sentences, lines for programs are the objects of `towpath run --format json`.

use serde_json::{Value as Json, json};
use towpath_model::time::Timestamp;

use super::board::Board;
use crate::display::{clean, clean_rows};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `execution`, `stage`, `action`, `end`.
    pub kind: &'static str,
    pub execution: String,
    pub stage: Option<String>,
    pub action: Option<String>,
    /// The API's word: `InProgress`.
    pub status: String,
    pub message: Option<String>,
    /// An approval that waits for somebody.
    pub asks: bool,
}

impl Event {
    pub fn json(&self, time: Timestamp) -> Json {
        json!({
            "time": time.iso8601(),
            "type": self.kind,
            "executionId": self.execution,
            "stage": self.stage,
            "action": self.action,
            "state": published(&self.status),
            "message": self.message,
        })
    }

    pub fn text(&self) -> String {
        let status = if self.asks { "needs approval".to_owned() } else { spoken(&self.status) };
        let subject = match (&self.stage, &self.action) {
            (Some(stage), Some(action)) => format!("{stage}/{action}"),
            (Some(stage), None) => stage.clone(),
            _ => format!("execution {}", self.execution),
        };
        let message = self.message.as_deref().map(|m| format!(": {}", clean_rows(m))).unwrap_or_default();
        clean(&subject) + " " + &status + &message
    }
}

/// The word of AWS's events for the word of its API.
pub fn published(status: &str) -> String {
    match status {
        "InProgress" => "STARTED".to_owned(),
        "Cancelled" => "CANCELED".to_owned(),
        other => other.to_uppercase(),
    }
}

fn spoken(status: &str) -> String {
    match status {
        "InProgress" => "started".to_owned(),
        other => other.to_lowercase(),
    }
}

/// Everything that is different in `now`. Without a board before, everything there is.
pub fn between(before: Option<&Board>, now: &Board) -> Vec<Event> {
    let mut events = Vec::new();
    for execution in &now.executions {
        let known = before
            .into_iter()
            .flat_map(|b| &b.executions)
            .any(|e| e.id == execution.id && e.status == execution.status);
        if !known && execution.is_active() {
            events.push(event("execution", &execution.id, None, None, &execution.status, execution.summary.clone()));
        }
    }
    for stage in &now.stages {
        let old = before.and_then(|board| board.stages.iter().find(|s| s.name == stage.name));
        let Some(execution) = &stage.execution else { continue };
        for action in &stage.actions {
            let (Some(status), Some(id)) = (&action.status, &action.id) else { continue };
            let was = old.and_then(|old| old.actions.iter().find(|a| a.name == action.name));
            if was.is_some_and(|was| was.id.as_ref() == Some(id) && was.status.as_ref() == Some(status)) {
                continue;
            }
            let told = status == "Failed" || status == "Succeeded";
            let message = action.message.clone().filter(|_| told);
            let mut event = event("action", execution, Some(&stage.name), Some(&action.name), status, message);
            event.asks = action.asks.is_some();
            events.push(event);
        }
        let Some(status) = &stage.status else { continue };
        if !old.is_some_and(|old| old.execution.as_ref() == Some(execution) && old.status.as_ref() == Some(status)) {
            let at = match status.as_str() {
                // A stage begins before its actions and ends after them.
                "InProgress" => events.iter().position(|e| e.stage.as_ref() == Some(&stage.name)),
                _ => None,
            };
            let event = event("stage", execution, Some(&stage.name), None, status, None);
            events.insert(at.unwrap_or(events.len()), event);
        }
    }
    for execution in &now.executions {
        let known = before
            .into_iter()
            .flat_map(|b| &b.executions)
            .any(|e| e.id == execution.id && e.status == execution.status);
        if !known && !execution.is_active() {
            events.push(event("execution", &execution.id, None, None, &execution.status, execution.summary.clone()));
        }
    }
    events
}

fn event(
    kind: &'static str,
    execution: &str,
    stage: Option<&str>,
    action: Option<&str>,
    status: &str,
    message: Option<String>,
) -> Event {
    Event {
        kind,
        execution: execution.to_owned(),
        stage: stage.map(str::to_owned),
        action: action.map(str::to_owned),
        status: status.to_owned(),
        message,
        asks: false,
    }
}
