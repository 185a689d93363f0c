//! What happened, in sentences: the history and the deeds replayed, with the reasons that follow from where everybody
//! stood. It tells; the engine decided.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::catalogue::Category;
use towpath_model::declaration::{ConditionType, ExecutionMode, PipelineDeclaration, RetryMode};
use towpath_model::history::{EventState, HistoryEntry, HistoryEvent};
use towpath_model::ids::{ExecutionId, StageName};
use towpath_model::state::{ConditionStatus, Execution, ExecutionKind};
use towpath_model::time::Timestamp;

use super::moment::Deed;
use super::rehearsed::{Beat, Done, Rehearsed};
use super::words;
use crate::display::model::reason;
use crate::display::style::Style;
use crate::display::{clean, clean_rows};

/// One sentence, or a few that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    pub time: Timestamp,
    pub style: Style,
    pub text: String,
}

/// Everything worth telling, in order.
pub fn tell(rehearsed: &Rehearsed, declaration: &PipelineDeclaration) -> Vec<Sentence> {
    let mut teller = Teller {
        rehearsed,
        declaration,
        inside: BTreeMap::new(),
        before: BTreeMap::new(),
        waiting: BTreeMap::new(),
        closed: BTreeSet::new(),
        asked: None,
        told: Vec::new(),
    };
    for beat in &rehearsed.beats {
        match beat {
            Beat::History(entry) => teller.entry(entry),
            Beat::Done(done) => teller.done(done),
        }
    }
    teller.told.into_iter().filter(|sentence| !sentence.text.is_empty()).collect()
}

struct Teller<'a> {
    rehearsed: &'a Rehearsed,
    declaration: &'a PipelineDeclaration,
    /// The stage an execution is in.
    inside: BTreeMap<ExecutionId, StageName>,
    /// The stage an execution is in front of, though not yet known to wait there.
    before: BTreeMap<ExecutionId, StageName>,
    /// With the number of the sentence that told so.
    waiting: BTreeMap<ExecutionId, (StageName, Timestamp, usize)>,
    /// Closed transitions: the stage, and whether it is the outbound one.
    closed: BTreeSet<(StageName, bool)>,
    /// The last retry or override that somebody asked for: the execution goes on because of it.
    asked: Option<(Timestamp, Option<ExecutionId>)>,
    told: Vec<Sentence>,
}

impl Teller<'_> {
    fn say(&mut self, time: Timestamp, style: Style, text: impl Into<String>) {
        self.told.push(Sentence { time, style, text: text.into() });
    }

    fn number(&self, id: &ExecutionId) -> u64 {
        self.rehearsed.number(id)
    }

    fn stage_after(&self, stage: &str) -> Option<StageName> {
        let at = self.declaration.stages.iter().position(|s| s.name == *stage)?;
        self.declaration.stages.get(at + 1).map(|s| s.name.clone())
    }

    fn stage_before(&self, stage: &str) -> Option<StageName> {
        let at = self.declaration.stages.iter().position(|s| s.name == *stage)?;
        self.declaration.stages.get(at.checked_sub(1)?).map(|s| s.name.clone())
    }

    // --- deeds ---

    fn done(&mut self, done: &Done) {
        let execution = done.execution.as_ref().map_or(0, |id| self.number(id));
        if let Some(refused) = &done.refused {
            let text = self.rehearsed.numbered(&clean(refused));
            return self.say(done.time, Style::Attention, format!("Refused: {}. {text}", done.option));
        }
        let text = match &done.deed {
            // Their executions tell of themselves.
            Deed::Start | Deed::Rollback { .. } => return,
            Deed::Stop { abandon: false, .. } => {
                format!("Execution {execution} is told to stop: what runs may end, nothing else starts.")
            }
            Deed::Stop { abandon: true, .. } => {
                format!("Execution {execution} is told to stop: what runs is abandoned at once.")
            }
            Deed::Retry { stage, mode } => {
                self.asked = Some((done.time, done.execution.clone()));
                let what = match mode {
                    RetryMode::FailedActions => "what failed runs again",
                    RetryMode::AllActions => "all its actions run again",
                };
                format!("{stage} is retried in execution {execution}: {what}.")
            }
            Deed::Override { stage, gate } => {
                self.asked = Some((done.time, done.execution.clone()));
                let gate = gate.as_str();
                format!("The {gate} condition of {stage} is overridden: execution {execution} goes on.")
            }
            Deed::Transition { stage, outbound, enable } => {
                let key = (StageName::new(stage), *outbound);
                let (way, effect) = if *enable {
                    self.closed.remove(&key);
                    ("enabled", "")
                } else {
                    self.closed.insert(key);
                    ("disabled", if *outbound { ": nobody leaves" } else { ": nobody enters" })
                };
                let which = if *outbound { "out of" } else { "into" };
                format!("The transition {which} {stage} is {way}{effect}.")
            }
            Deed::Update => "The definition is saved again.".to_owned(),
        };
        self.say(done.time, Style::Plain, text);
    }

    // --- history ---

    fn entry(&mut self, entry: &HistoryEntry) {
        let id = &entry.execution;
        match &entry.event {
            HistoryEvent::Execution { state, summary } => self.execution(entry, *state, summary.as_deref()),
            HistoryEvent::Stage { stage, state } => self.stage(entry, stage, *state),
            HistoryEvent::Waiting { stage } => {
                let why = self.why_it_waits(id, stage);
                if !self.is_kept_behind(id, stage) {
                    self.inside.remove(id);
                }
                self.waiting.insert(id.clone(), (stage.clone(), entry.time, self.told.len()));
                let number = self.number(id);
                self.say(entry.time, Style::Attention, format!("Execution {number} waits in front of {stage}: {why}."));
            }
            HistoryEvent::Action { stage, action, action_type, state, .. } => {
                let approval = action_type.category == Category::Approval;
                self.action(entry, &format!("{stage}/{action}"), approval, *state);
            }
            HistoryEvent::Condition { stage, gate, status, summary } => {
                self.condition(entry, stage, *gate, *status, summary.as_deref());
            }
            // Their condition tells of them.
            HistoryEvent::Rule { .. } => {}
        }
    }

    fn execution(&mut self, entry: &HistoryEntry, state: EventState, summary: Option<&str>) {
        let id = &entry.execution;
        let Some(row) = self.rehearsed.execution(id) else { return };
        let number = row.sequence;
        let because = summary.map_or_else(|| ".".to_owned(), |s| format!(": {}", clean(s)));
        match state {
            EventState::Started => {
                self.say(entry.time, Style::Plain, self.start_of(row));
                if let (ExecutionKind::Standard, Some(first)) = (&row.kind, self.declaration.stages.first()) {
                    self.before.insert(id.clone(), first.name.clone());
                }
            }
            EventState::Succeeded => {
                self.inside.remove(id);
                self.before.remove(id);
                let took = words::since(row.started, entry.time);
                self.say(entry.time, Style::Good, format!("Execution {number} succeeds, {took} after its start."));
            }
            EventState::Failed => {
                let place = self.inside.remove(id);
                let place_text = place.as_ref().map_or_else(String::new, |stage| format!(" in {stage}"));
                self.say(entry.time, Style::Bad, format!("Execution {number} fails{place_text}{because}"));
                if let Some(stage) = place {
                    self.missing_rollback(entry.time, row, &stage);
                }
            }
            EventState::Superseded => {
                let waited = self.waiting.remove(id).map(|(stage, ..)| stage);
                if let Some(stage) = waited.or_else(|| self.before.remove(id)) {
                    let newer = self.newest_before(&stage, number);
                    self.say(
                        entry.time,
                        Style::Attention,
                        format!(
                            "Execution {newer} supersedes execution {number} in front of {stage}: of those that wait \
                             there, only the newest is kept."
                        ),
                    );
                }
                self.before.remove(id);
            }
            EventState::Resumed => {
                let asked = self.asked.take().is_some_and(|(time, by)| time == entry.time && by.as_ref() == Some(id));
                if !asked {
                    self.say(
                        entry.time,
                        Style::Plain,
                        format!("Execution {number} goes on by itself: the stage is retried automatically, once."),
                    );
                }
            }
            EventState::Stopped => {
                self.leave(id);
                self.say(entry.time, Style::Attention, format!("Execution {number} is stopped."));
            }
            EventState::Canceled => {
                self.leave(id);
                self.say(
                    entry.time,
                    Style::Attention,
                    format!("Execution {number} is cancelled: the definition changed under it."),
                );
            }
            EventState::Stopping | EventState::Abandoned | EventState::Skipped => {}
        }
    }

    fn leave(&mut self, id: &ExecutionId) {
        self.inside.remove(id);
        self.before.remove(id);
        self.waiting.remove(id);
    }

    fn start_of(&self, row: &Execution) -> String {
        let number = row.sequence;
        match &row.kind {
            ExecutionKind::Standard => format!("Execution {number} starts."),
            ExecutionKind::Rollback { target, stage } => {
                let target = self.number(target);
                let how = if row.trigger.kind == "AutomatedRollback" { " by itself" } else { "" };
                format!(
                    "Execution {number} starts{how}: it rolls {stage} back to execution {target}, with that one's \
                     artifacts and variables."
                )
            }
        }
    }

    /// A declared rollback that finds nothing to go back to is easily overlooked.
    fn missing_rollback(&mut self, time: Timestamp, row: &Execution, stage: &StageName) {
        if !rolls_back(self.declaration, row, stage) {
            return;
        }
        let quoted = format!("\"{}\"", row.id);
        let mut rollbacks = self.rehearsed.executions.iter().filter(|e| e.trigger.kind == "AutomatedRollback");
        if rollbacks.any(|rollback| rollback.trigger.detail.contains(&quoted)) {
            return;
        }
        let text = match row.kind {
            ExecutionKind::Standard => {
                format!("{stage} is not rolled back: no earlier execution succeeded there.")
            }
            ExecutionKind::Rollback { .. } => format!("{stage} stays as it is: a failed rollback rolls nothing back."),
        };
        self.say(time, Style::Attention, text);
    }

    /// Who in front of the stage is newer than that one.
    fn newest_before(&self, stage: &StageName, than: u64) -> u64 {
        let waiting = self.waiting.iter().filter(|(_, (at, ..))| at == stage).map(|(id, _)| id);
        let arriving = self.before.iter().filter(|(_, at)| *at == stage).map(|(id, _)| id);
        waiting.chain(arriving).map(|id| self.number(id)).filter(|n| *n > than).max().unwrap_or_default()
    }

    fn stage(&mut self, entry: &HistoryEntry, stage: &StageName, state: EventState) {
        let id = &entry.execution;
        match state {
            EventState::Started | EventState::Resumed => {
                self.before.remove(id);
                self.inside.insert(id.clone(), stage.clone());
                let number = self.number(id);
                if let Some((_, since, told)) = self.waiting.remove(id) {
                    if since == entry.time {
                        // It was no wait.
                        self.told[told].text.clear();
                        return;
                    }
                    let waited = words::since(since, entry.time);
                    let text = format!("Execution {number} enters {stage} after {waited} in front of it.");
                    self.say(entry.time, Style::Plain, text);
                }
            }
            EventState::Succeeded | EventState::Skipped => {
                if state == EventState::Skipped {
                    let text = format!("Execution {} skips {stage}.", self.number(id));
                    self.say(entry.time, Style::Attention, text);
                }
                if let Some(next) = self.stage_after(stage) {
                    self.before.insert(id.clone(), next);
                }
            }
            EventState::Failed
            | EventState::Stopping
            | EventState::Stopped
            | EventState::Superseded
            | EventState::Canceled
            | EventState::Abandoned => {}
        }
    }

    fn action(&mut self, entry: &HistoryEntry, name: &str, approval: bool, state: EventState) {
        let number = self.number(&entry.execution);
        let why = reason(&entry.event).map(|r| format!(": {}", clean_rows(&r))).unwrap_or_default();
        // The code that every failure of a job has says nothing.
        let why = why.replace(": JobFailed: ", ": ").replace(": JobTimedOut: ", ": ");
        let why = why.trim_end_matches('.');
        let (style, text) = match (state, approval) {
            (EventState::Started, true) => {
                (Style::Attention, format!("Execution {number} waits for somebody to answer {name}."))
            }
            (EventState::Succeeded, true) => (Style::Plain, format!("{name} is approved in execution {number}.")),
            (EventState::Failed, true) if why.contains("did not complete within") => {
                (Style::Bad, format!("Nobody answered {name} in execution {number} in time."))
            }
            (EventState::Failed, true) => (Style::Bad, format!("{name} is rejected in execution {number}.")),
            (EventState::Failed, false) => (Style::Bad, format!("{name} fails in execution {number}{why}.")),
            (EventState::Abandoned, _) => (
                Style::Attention,
                format!("{name} is abandoned in execution {number}; what it began may go on outside."),
            ),
            (EventState::Canceled, _) => (Style::Attention, format!("{name} is cancelled in execution {number}.")),
            (
                EventState::Started
                | EventState::Succeeded
                | EventState::Resumed
                | EventState::Stopping
                | EventState::Stopped
                | EventState::Superseded
                | EventState::Skipped,
                _,
            ) => return,
        };
        self.say(entry.time, style, text);
    }

    fn condition(
        &mut self,
        entry: &HistoryEntry,
        stage: &StageName,
        gate: ConditionType,
        status: ConditionStatus,
        summary: Option<&str>,
    ) {
        let number = self.number(&entry.execution);
        let declared = self.declaration.stage(stage).and_then(|declared| declared.condition(gate));
        let result = declared.and_then(|condition| condition.result.as_deref()).unwrap_or("FAIL");
        let why = summary.map_or_else(String::new, |s| format!(" {}.", clean(s).trim_end_matches('.')));
        if gate == ConditionType::OnSuccess {
            // Until it is answered the execution is still in the stage.
            match (status, self.stage_after(stage)) {
                (ConditionStatus::Succeeded | ConditionStatus::Overridden, Some(next)) => {
                    self.before.insert(entry.execution.clone(), next);
                }
                _ => {
                    self.before.remove(&entry.execution);
                }
            }
        }
        let name = format!("The {} condition of {stage}", gate.as_str());
        match (status, gate) {
            (ConditionStatus::Failed | ConditionStatus::Errored, ConditionType::OnFailure) => {
                let text = format!("{name} is not met in execution {number}: no {result}.{why}");
                self.say(entry.time, Style::Plain, text);
            }
            (ConditionStatus::Failed | ConditionStatus::Errored, _) => {
                let text = format!("{name} is not met in execution {number}: {result}.{why}");
                self.say(entry.time, Style::Attention, text);
            }
            (ConditionStatus::Succeeded, ConditionType::OnFailure) => {
                let text = format!("{name} is met in execution {number}: {result}.");
                self.say(entry.time, Style::Attention, text);
            }
            (
                ConditionStatus::InProgress
                | ConditionStatus::Succeeded
                | ConditionStatus::Cancelled
                | ConditionStatus::Abandoned
                | ConditionStatus::Overridden,
                _,
            ) => {}
        }
    }

    /// The outbound transition of the stage before keeps it in there.
    fn is_kept_behind(&self, id: &ExecutionId, stage: &str) -> bool {
        self.stage_before(stage)
            .is_some_and(|previous| self.inside.get(id) == Some(&previous) && self.closed.contains(&(previous, true)))
    }

    fn why_it_waits(&self, id: &ExecutionId, stage: &StageName) -> String {
        if self.is_kept_behind(id, stage) {
            let previous = self.inside[id].as_str();
            return format!("the transition out of {previous} is disabled, and it still holds that stage");
        }
        if self.closed.contains(&(stage.clone(), false)) {
            return "the transition into it is disabled".to_owned();
        }
        let holders: Vec<u64> =
            self.inside.iter().filter(|(_, at)| *at == stage).map(|(id, _)| self.number(id)).collect();
        let queue = self.waiting.values().filter(|(at, ..)| at == stage).count();
        let holder = match holders.as_slice() {
            [] => "the stage is taken".to_owned(),
            numbers => format!("execution {} is in it", words::list(numbers)),
        };
        match queue {
            0 => holder,
            _ if self.declaration.mode() == ExecutionMode::Superseded => holder,
            1 => format!("{holder}, and one is ahead in the queue"),
            n => format!("{holder}, and {n} are ahead in the queue"),
        }
    }
}

/// Whether this failure is one that the definition answers with a rollback.
fn rolls_back(declaration: &PipelineDeclaration, row: &Execution, stage: &StageName) -> bool {
    let Some(declared) = declaration.stage(stage) else { return false };
    let result = |gate| declared.condition(gate).and_then(|condition| condition.result.as_deref());
    let status = |gate| row.stage_run(stage).and_then(|run| run.condition(gate)).map(|run| run.status);
    let failed = |gate| matches!(status(gate), Some(ConditionStatus::Failed | ConditionStatus::Errored));
    let entered = !failed(ConditionType::BeforeEntry);
    let unaccepted = failed(ConditionType::OnSuccess);
    let plainly = declared.on_failure.as_ref().and_then(|failure| failure.result.as_deref()) == Some("ROLLBACK");
    (entered && plainly && !unaccepted && declared.condition(ConditionType::OnFailure).is_none())
        || (unaccepted && result(ConditionType::OnSuccess) == Some("ROLLBACK"))
        || status(ConditionType::OnFailure) == Some(ConditionStatus::Succeeded)
}
