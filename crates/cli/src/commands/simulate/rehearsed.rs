//! What a simulation leaves behind: everything that happened and was done, in order, and the rows as they are in the end.

use std::collections::BTreeMap;

use towpath_model::history::HistoryEntry;
use towpath_model::ids::ExecutionId;
use towpath_model::state::{Execution, Gate};
use towpath_model::time::Timestamp;

use super::moment::{Deed, Target};

/// Something that somebody did.
#[derive(Debug, Clone)]
pub struct Done {
    pub time: Timestamp,
    pub deed: Deed,
    pub option: String,
    /// The execution it was done to.
    pub execution: Option<ExecutionId>,
    /// Why it was refused, in the words of the API.
    pub refused: Option<String>,
}

#[derive(Debug, Clone)]
pub enum Beat {
    History(Box<HistoryEntry>),
    Done(Done),
}

#[derive(Debug, Clone)]
pub struct Rehearsed {
    pub start: Timestamp,
    pub end: Timestamp,
    pub beats: Vec<Beat>,
    /// In the order of their starts.
    pub executions: Vec<Execution>,
    pub gate: Gate,
    /// How often everything ran.
    pub ran: BTreeMap<Target, u32>,
    /// Options whose moment never came.
    pub missed: Vec<String>,
}

impl Rehearsed {
    pub fn execution(&self, id: &ExecutionId) -> Option<&Execution> {
        self.executions.iter().find(|execution| execution.id == *id)
    }

    /// What the execution is called: its place in the order of starts.
    pub fn number(&self, id: &ExecutionId) -> u64 {
        self.execution(id).map_or(0, |execution| execution.sequence)
    }

    /// Ids of executions in a message become their numbers.
    pub fn numbered(&self, message: &str) -> String {
        self.executions.iter().fold(message.to_owned(), |text, execution| {
            text.replace(&format!("'{}'", execution.id), &execution.sequence.to_string())
                .replace(execution.id.as_str(), &execution.sequence.to_string())
        })
    }
}
