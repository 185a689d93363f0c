//! What changed between two looks at a board, for whoever reads lines instead of a screen. Lines for people are plain
//! sentences, lines for programs are the objects of `towpath run --format json`.

use serde_json::{Value as Json, json};
use towpath_model::time::Timestamp;

use super::board::{Board, Execution, Stage};
use crate::display::{clean, clean_rows};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// When it happened, where the API says so.
    pub at: Option<Timestamp>,
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
    let known = |execution: &Execution| {
        before.is_some_and(|b| b.executions.iter().any(|e| e.id == execution.id && e.status == execution.status))
    };
    let changed: Vec<&Execution> = now.executions.iter().filter(|execution| !known(execution)).collect();
    let told = |execution: &&Execution| Event {
        at: if execution.status == "InProgress" { execution.started } else { execution.changed },
        kind: "execution",
        execution: execution.id.clone(),
        status: execution.status.clone(),
        message: execution.summary.clone(),
        ..Event::default()
    };
    // An execution begins before its stages and ends after them.
    let mut events: Vec<Event> = changed.iter().filter(|e| e.is_active()).map(told).collect();
    for stage in &now.stages {
        // What was left in a stage by an execution before those looked at is no news.
        if before.is_none() && !now.executions.iter().any(|e| stage.execution.as_ref() == Some(&e.id)) {
            continue;
        }
        let was = before.and_then(|board| board.stages.iter().find(|s| s.name == stage.name));
        events.extend(of_stage(was, stage));
    }
    events.extend(changed.iter().filter(|e| !e.is_active()).map(told));
    // Where times are equal, the order above stays.
    let last = events.iter().filter_map(|event| event.at).max();
    events.sort_by_key(|event| event.at.or(last));
    events
}

fn of_stage(was: Option<&Stage>, stage: &Stage) -> Vec<Event> {
    let Some(execution) = &stage.execution else { return Vec::new() };
    let about = |kind: &'static str, status: &str| Event {
        kind,
        execution: execution.clone(),
        stage: Some(stage.name.clone()),
        status: status.to_owned(),
        ..Event::default()
    };
    let mut events = Vec::new();
    for action in &stage.actions {
        let (Some(status), Some(id)) = (&action.status, &action.id) else { continue };
        let old = was.and_then(|old| old.actions.iter().find(|a| a.name == action.name));
        if old.is_some_and(|old| old.id.as_ref() == Some(id) && old.status.as_ref() == Some(status)) {
            continue;
        }
        let over = status == "Failed" || status == "Succeeded";
        events.push(Event {
            at: if status == "InProgress" { action.started.or(action.changed) } else { action.changed },
            action: Some(action.name.clone()),
            message: action.message.clone().filter(|_| over),
            asks: action.asks.is_some(),
            ..about("action", status)
        });
    }
    let Some(status) = &stage.status else { return events };
    if !was.is_some_and(|old| old.execution.as_ref() == Some(execution) && old.status.as_ref() == Some(status)) {
        // As an execution: first or last.
        let begins = status == "InProgress";
        let at = if begins {
            stage.actions.iter().filter_map(|a| a.started).min()
        } else {
            stage.actions.iter().filter_map(|a| a.changed).max()
        };
        let event = Event { at, ..about("stage", status) };
        events.insert(if begins { 0 } else { events.len() }, event);
    }
    events
}
