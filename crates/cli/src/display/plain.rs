//! One line per event and log line, for logs of other tools and for people without a terminal.

use towpath_model::catalogue::Category;
use towpath_model::history::{EventState, HistoryEntry, HistoryEvent};

use super::model::{Model, reason, rule_row};
use super::{LogLine, clean, clean_rows};

pub fn entry(entry: &HistoryEntry, model: &Model) -> String {
    let text = match &entry.event {
        HistoryEvent::Execution { state, summary } => {
            let summary = summary.as_deref().map(|s| format!(": {s}")).unwrap_or_default();
            format!("execution {} {}{summary}", model.execution_shown(), word(*state))
        }
        HistoryEvent::Stage { stage, state } => format!("{stage} {}", word(*state)),
        HistoryEvent::Waiting { stage } => format!("{stage} waiting: the stage is held or closed"),
        HistoryEvent::Action { stage, action, state, action_type, .. } => {
            let reason = reason(&entry.event).map(|r| format!(": {}", clean_rows(&r))).unwrap_or_default();
            let word = match (*state, action_type.category) {
                (EventState::Started, Category::Approval) => "needs approval",
                (state, _) => word(state),
            };
            format!("{stage}/{action} {word}{reason}")
        }
        HistoryEvent::Rule { stage, gate, rule, state, .. } => {
            let reason = reason(&entry.event).map(|r| format!(": {}", clean_rows(&r))).unwrap_or_default();
            format!("{stage}/{} {}{reason}", rule_row(*gate, rule), word(*state))
        }
        HistoryEvent::Condition { stage, gate, status, .. } => {
            format!("{stage} {} condition {}", gate.as_str(), status.as_str())
        }
    };
    let time = stamp(entry.time, model);
    text.lines().fold(String::new(), |out, line| out + &time + "  " + line + "\n")
}

/// Blank lines part blocks on a log page; between lines of several builds they part nothing.
pub fn log(line: LogLine<'_>, model: &Model) -> String {
    let message = clean(line.message);
    if message.trim().is_empty() {
        return String::new();
    }
    let time = stamp(line.time, model);
    format!("{time}  {}/{} | {}\n", line.stage, line.action, message)
}

fn stamp(time: towpath_model::time::Timestamp, model: &Model) -> String {
    let from = model.progress.started.unwrap_or(time);
    format!("{:>8}", model.elapsed(from, time))
}

const fn word(state: EventState) -> &'static str {
    match state {
        EventState::Started => "started",
        EventState::Resumed => "resumed",
        EventState::Stopping => "stopping",
        EventState::Stopped => "stopped",
        EventState::Succeeded => "succeeded",
        EventState::Failed => "failed",
        EventState::Superseded => "superseded",
        EventState::Canceled => "canceled",
        EventState::Abandoned => "abandoned",
        EventState::Skipped => "skipped",
    }
}
