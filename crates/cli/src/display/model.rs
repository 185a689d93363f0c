//! What is known of an execution, as a viewer sees it. Built from history entries and log lines only; it decides
//! nothing and asks nobody.

use std::collections::VecDeque;

use towpath_model::catalogue::Category;
use towpath_model::declaration::{ActionDeclaration, ConditionType, PipelineDeclaration, StageDeclaration};
use towpath_model::history::{EventState, HistoryEntry, HistoryEvent};
use towpath_model::ids::ActionName;
use towpath_model::time::Timestamp;

use super::clean;
use crate::limits;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not reached yet.
    Pending,
    /// In front of a stage that is held or closed.
    Waiting,
    Running,
    /// A person has to answer.
    Approval,
    Stopping,
    Succeeded,
    Failed,
    Stopped,
    Abandoned,
    Superseded,
    Cancelled,
    /// Passed by: its entry condition said so.
    Skipped,
}

impl State {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "",
            Self::Waiting => "Waiting",
            Self::Running => "InProgress",
            Self::Approval => "Needs approval",
            Self::Stopping => "Stopping",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Stopped => "Stopped",
            Self::Abandoned => "Abandoned",
            Self::Superseded => "Superseded",
            Self::Cancelled => "Cancelled",
            Self::Skipped => "Skipped",
        }
    }

    pub const fn has_ended(self) -> bool {
        match self {
            Self::Pending | Self::Waiting | Self::Running | Self::Approval | Self::Stopping => false,
            Self::Succeeded
            | Self::Failed
            | Self::Stopped
            | Self::Abandoned
            | Self::Superseded
            | Self::Cancelled
            | Self::Skipped => true,
        }
    }

    const fn of(state: EventState) -> Self {
        match state {
            EventState::Started | EventState::Resumed => Self::Running,
            EventState::Stopping => Self::Stopping,
            EventState::Stopped => Self::Stopped,
            EventState::Succeeded => Self::Succeeded,
            EventState::Failed => Self::Failed,
            EventState::Superseded => Self::Superseded,
            EventState::Canceled => Self::Cancelled,
            EventState::Abandoned => Self::Abandoned,
            EventState::Skipped => Self::Skipped,
        }
    }
}

/// State with the times that belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub state: State,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
}

impl Progress {
    const fn new() -> Self {
        Self { state: State::Pending, started: None, ended: None }
    }

    fn change(&mut self, state: State, at: Timestamp) {
        if state.has_ended() {
            self.ended = Some(at);
        } else if matches!(state, State::Running | State::Approval) && (self.started.is_none() || self.ended.is_some())
        {
            self.started = Some(at);
            self.ended = None;
        }
        self.state = state;
    }

    /// From the start to the end, or to now.
    pub fn span(&self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        Some((self.started?, self.ended.unwrap_or(now)))
    }
}

#[derive(Debug, Clone)]
pub struct Action {
    pub name: String,
    pub category: Category,
    pub provider: String,
    pub progress: Progress,
    pub execution: Option<String>,
    /// Why it failed, in the provider's words.
    pub reason: Option<String>,
    pub log: VecDeque<String>,
}

#[derive(Debug, Clone)]
pub struct Stage {
    pub name: String,
    pub progress: Progress,
    pub actions: Vec<Action>,
}

#[derive(Debug, Clone)]
pub struct Model {
    pub pipeline: String,
    pub execution: String,
    pub progress: Progress,
    /// Why it ended, where history says.
    pub summary: Option<String>,
    pub stages: Vec<Stage>,
    /// Times and ids are shown as placeholders of the same width, so that output is the same every time.
    pub redacted: bool,
}

impl Model {
    pub fn elapsed(&self, from: Timestamp, to: Timestamp) -> String {
        if self.redacted { "-.--s".to_owned() } else { super::elapsed(from, to) }
    }

    pub fn execution_shown(&self) -> &str {
        if self.redacted { "00000000-0000-0000-0000-000000000000" } else { &self.execution }
    }

    pub fn new(declaration: &PipelineDeclaration, execution: &str) -> Self {
        let action = |a: &towpath_model::declaration::ActionDeclaration| Action {
            name: a.name.to_string(),
            category: a.action_type_id.category,
            provider: a.action_type_id.provider.clone(),
            progress: Progress::new(),
            execution: None,
            reason: None,
            log: VecDeque::new(),
        };
        let stages = declaration.stages.iter().map(|s| Stage {
            name: s.name.to_string(),
            progress: Progress::new(),
            actions: rows(s).iter().map(action).collect(),
        });
        Self {
            pipeline: declaration.name.to_string(),
            execution: execution.to_owned(),
            progress: Progress::new(),
            summary: None,
            stages: stages.collect(),
            redacted: false,
        }
    }

    pub fn apply(&mut self, entry: &HistoryEntry) {
        match &entry.event {
            HistoryEvent::Execution { state, summary } => {
                self.progress.change(State::of(*state), entry.time);
                self.summary.clone_from(summary);
            }
            HistoryEvent::Stage { stage, state } => {
                if let Some(stage) = self.stage_mut(stage.as_str()) {
                    stage.progress.change(State::of(*state), entry.time);
                }
            }
            HistoryEvent::Waiting { stage } => {
                if let Some(stage) = self.stage_mut(stage.as_str()) {
                    stage.progress.change(State::Waiting, entry.time);
                }
            }
            HistoryEvent::Action { stage, action, action_execution, state, .. } => {
                self.note(entry, stage, action, action_execution, *state);
            }
            HistoryEvent::Rule { stage, gate, rule, rule_execution, state, .. } => {
                self.note(entry, stage, &rule_row(*gate, rule), rule_execution, *state);
            }
            // Its rules tell the same.
            HistoryEvent::Condition { .. } => {}
        }
    }

    fn note(&mut self, entry: &HistoryEntry, stage: &str, row: &str, execution: &str, state: EventState) {
        let reason = reason(&entry.event);
        let Some(action) = self.action_mut(stage, row) else { return };
        let mut next = State::of(state);
        if next == State::Running && action.category == Category::Approval {
            next = State::Approval;
        }
        if next == State::Running {
            // A new attempt begins with a clean slate.
            action.log.clear();
        }
        action.reason = (next == State::Failed).then_some(reason).flatten();
        action.execution = Some(execution.to_owned());
        action.progress.change(next, entry.time);
    }

    pub fn log(&mut self, stage: &str, action: &str, message: &str) {
        let Some(action) = self.action_mut(stage, action) else { return };
        let Some(line) = worth_a_row(&clean(message)) else { return };
        if action.log.len() == limits::LOG_TAIL_FAILED_LINES {
            action.log.pop_front();
        }
        action.log.push_back(line);
    }

    pub fn stage_mut(&mut self, name: &str) -> Option<&mut Stage> {
        self.stages.iter_mut().find(|s| s.name == name)
    }

    fn action_mut(&mut self, stage: &str, action: &str) -> Option<&mut Action> {
        self.stage_mut(stage)?.actions.iter_mut().find(|a| a.name == action)
    }

    pub fn actions(&self) -> impl Iterator<Item = (&Stage, &Action)> {
        self.stages.iter().flat_map(|s| s.actions.iter().map(move |a| (s, a)))
    }

    /// The first failed action, which is what a person asks for first.
    pub fn failure(&self) -> Option<(&Stage, &Action)> {
        self.actions().find(|(_, a)| a.progress.state == State::Failed)
    }
}

/// How a rule is called in its stage: two gates may have rules of one name.
pub fn rule_row(gate: ConditionType, rule: &str) -> String {
    format!("{}/{rule}", gate.as_str())
}

/// The rows under a stage, in the order in which they come to pass: rules at its entry, actions, the other rules.
fn rows(stage: &StageDeclaration) -> Vec<ActionDeclaration> {
    let rules = |gate: ConditionType| {
        let declared = stage.condition(gate).and_then(|condition| condition.rules.as_deref()).unwrap_or_default();
        declared.iter().map(move |rule| ActionDeclaration {
            name: ActionName::new(rule_row(gate, &rule.name)),
            ..rule.as_action()
        })
    };
    let mut rows: Vec<ActionDeclaration> = rules(ConditionType::BeforeEntry).collect();
    rows.extend(stage.actions.iter().cloned());
    rows.extend(rules(ConditionType::OnSuccess));
    rows.extend(rules(ConditionType::OnFailure));
    rows
}

/// What a log line is worth in the few rows under an action. A build's agent talks of its own steps in between
/// (`[Container] DATE TIME text`), which would push what the commands wrote out of sight; of those, the commands stay and
/// the exit status of one that failed.
fn worth_a_row(line: &str) -> Option<String> {
    let Some(agent) = line.strip_prefix("[Container] ") else {
        return (!line.trim().is_empty()).then(|| line.to_owned());
    };
    let text = agent.splitn(3, ' ').nth(2).unwrap_or(agent);
    if let Some(command) = text.strip_prefix("Running command ") {
        return Some(format!("$ {command}"));
    }
    text.starts_with("Command did not exit successfully").then(|| text.to_owned())
}

/// The words an action's entry carries: the error, else the provider's summary.
pub fn reason(event: &HistoryEvent) -> Option<String> {
    let (HistoryEvent::Action { progress, error, state, .. } | HistoryEvent::Rule { progress, error, state, .. }) =
        event
    else {
        return None;
    };
    let failed = *state == EventState::Failed;
    let error = error.as_ref().filter(|_| failed).map(|e| match e.message.as_str() {
        "" => e.code.clone(),
        message => format!("{}: {message}", e.code),
    });
    // A rejected approval carries the reviewer's words and a bare code.
    let summary = progress.summary.clone().filter(|s| !s.is_empty());
    match (error, summary) {
        (Some(error), Some(summary)) if !error.contains(&summary) && !error.contains(": ") => {
            Some(format!("{error}: {summary}"))
        }
        (Some(error), _) => Some(error),
        (None, summary) => summary,
    }
}

#[cfg(test)]
mod tests {
    use super::worth_a_row;

    #[test]
    fn of_the_agent_only_commands_and_failures_take_a_row() {
        let row = |line| worth_a_row(line);
        assert_eq!(row("collected 3 items").as_deref(), Some("collected 3 items"));
        assert_eq!(row("  "), None);
        assert_eq!(row("[Container] 2026/11/23 01:53:26.641921 Entering phase POST_BUILD"), None);
        assert_eq!(row("[Container] 2026/11/23 01:53:26.64 Running command make -j 2").as_deref(), Some("$ make -j 2"));
        assert_eq!(
            row("[Container] 2026/11/23 01:53:26.64 Command did not exit successfully make exit status 2").as_deref(),
            Some("Command did not exit successfully make exit status 2")
        );
    }
}
