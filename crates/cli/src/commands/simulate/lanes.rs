//! Who did what from when to when: one lane per execution, one row per action, rule or wait. Built from the history.

use towpath_model::catalogue::Category;
use towpath_model::declaration::ConditionType;
use towpath_model::history::{EventState, HistoryEntry, HistoryEvent};
use towpath_model::ids::{ActionExecutionId, ExecutionId};
use towpath_model::time::Timestamp;

use super::rehearsed::{Beat, Rehearsed};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Action,
    Approval,
    Rule(ConditionType),
    /// In front of a stage, or behind one that it may not leave.
    Wait,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is not over.
    Open,
    Good,
    Bad,
    /// Abandoned, cancelled, superseded: ended by somebody else.
    Cut,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub from: Timestamp,
    /// The end of the simulation, where it is still open.
    pub to: Timestamp,
    pub end: End,
    id: Option<ActionExecutionId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub stage: String,
    pub name: String,
    pub kind: Kind,
    pub spans: Vec<Span>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    pub execution: ExecutionId,
    pub rows: Vec<Row>,
}

/// In the order of starts; rows in the order in which their stages were reached.
pub fn lanes(rehearsed: &Rehearsed) -> Vec<Lane> {
    let empty =
        |execution: &towpath_model::state::Execution| Lane { execution: execution.id.clone(), rows: Vec::new() };
    let mut lanes: Vec<Lane> = rehearsed.executions.iter().map(empty).collect();
    for beat in &rehearsed.beats {
        if let Beat::History(entry) = beat
            && let Some(lane) = lanes.iter_mut().find(|lane| lane.execution == entry.execution)
        {
            lane.take(entry, rehearsed.end);
        }
    }
    for lane in &mut lanes {
        lane.order();
    }
    lanes
}

impl Lane {
    fn take(&mut self, entry: &HistoryEntry, end: Timestamp) {
        match &entry.event {
            HistoryEvent::Action { stage, action, action_execution, action_type, state, .. } => {
                let approval = action_type.category == Category::Approval;
                let kind = if approval { Kind::Approval } else { Kind::Action };
                self.work((stage, action, kind), action_execution, *state, entry.time, end);
            }
            HistoryEvent::Rule { stage, gate, rule, rule_execution, state, .. } => {
                self.work((stage, rule, Kind::Rule(*gate)), rule_execution, *state, entry.time, end);
            }
            HistoryEvent::Waiting { stage } => {
                self.row(stage, "", Kind::Wait).open(None, entry.time, end);
            }
            HistoryEvent::Stage { stage, state: EventState::Started } => {
                self.end_wait(entry.time, End::Good);
                // The stage's place is that of its beginning, also where nothing in it ever starts.
                self.row(stage, "", Kind::Wait);
            }
            HistoryEvent::Execution { state, .. } => match state {
                EventState::Superseded | EventState::Stopped | EventState::Canceled | EventState::Failed => {
                    self.end_wait(entry.time, End::Cut);
                }
                _ => {}
            },
            HistoryEvent::Stage { .. } | HistoryEvent::Condition { .. } => {}
        }
    }

    fn work(
        &mut self,
        (stage, name, kind): (&str, &str, Kind),
        id: &ActionExecutionId,
        state: EventState,
        time: Timestamp,
        end: Timestamp,
    ) {
        let row = self.row(stage, name, kind);
        match state {
            EventState::Started => row.open(Some(id.clone()), time, end),
            EventState::Succeeded => row.close(Some(id), time, End::Good),
            EventState::Failed => row.close(Some(id), time, End::Bad),
            _ => row.close(Some(id), time, End::Cut),
        }
    }

    fn row(&mut self, stage: &str, name: &str, kind: Kind) -> &mut Row {
        let same = |row: &Row| row.stage == stage && row.name == name && row.kind == kind;
        let at = self.rows.iter().position(same).unwrap_or_else(|| {
            self.rows.push(Row { stage: stage.to_owned(), name: name.to_owned(), kind, spans: Vec::new() });
            self.rows.len() - 1
        });
        &mut self.rows[at]
    }

    fn end_wait(&mut self, time: Timestamp, end: End) {
        for row in self.rows.iter_mut().filter(|row| row.kind == Kind::Wait) {
            row.close(None, time, end);
        }
    }

    /// Rows of one stage stand together; a wait shares the row of what comes first in the stage when it is drawn.
    fn order(&mut self) {
        let mut stages: Vec<String> = Vec::new();
        for row in &self.rows {
            if !stages.contains(&row.stage) {
                stages.push(row.stage.clone());
            }
        }
        self.rows.sort_by_key(|row| stages.iter().position(|stage| *stage == row.stage));
        self.rows.retain(|row| !row.spans.is_empty());
    }
}

impl Row {
    fn open(&mut self, id: Option<ActionExecutionId>, from: Timestamp, to: Timestamp) {
        self.spans.push(Span { from, to, end: End::Open, id });
    }

    fn close(&mut self, id: Option<&ActionExecutionId>, time: Timestamp, end: End) {
        for span in self.spans.iter_mut().filter(|span| span.end == End::Open && span.id.as_ref() == id) {
            span.to = time;
            span.end = end;
        }
    }
}
