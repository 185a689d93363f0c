//! A commit with its rows turned into what the databases store, on the caller's thread, so that a writer only writes.

use towpath_model::state::{Execution, StageStatus};

use crate::commit::Commit;
use crate::{StoreError, stored};

/// A commit with its bodies encoded.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) commit: Commit,
    pub(crate) gate: Option<Vec<u8>>,
    pub(crate) definition: Option<Vec<u8>>,
    pub(crate) executions: Vec<PreparedExecution>,
    pub(crate) actions: Vec<Vec<u8>>,
    pub(crate) history: Vec<Vec<u8>>,
    pub(crate) tasks_put: Vec<Vec<u8>>,
    pub(crate) tasks_moved: Vec<Vec<u8>>,
}

#[derive(Debug)]
pub(crate) struct PreparedExecution {
    pub(crate) body: Vec<u8>,
    pub(crate) succeeded: String,
}

impl Prepared {
    pub(crate) fn new(commit: Commit) -> Result<Self, StoreError> {
        fn all<T: serde::Serialize>(what: &'static str, values: &[T]) -> Result<Vec<Vec<u8>>, StoreError> {
            values.iter().map(|value| stored::encode(what, value)).collect()
        }
        commit.check_limits()?;
        Ok(Self {
            gate: commit.gate.as_ref().map(|(gate, _)| stored::encode("gate", gate)).transpose()?,
            definition: commit.definition.as_ref().map(|value| stored::encode("definition", value)).transpose()?,
            executions: commit
                .executions
                .iter()
                .map(|(execution, _)| {
                    let body = stored::encode("execution", execution)?;
                    Ok(PreparedExecution { body, succeeded: succeeded(execution) })
                })
                .collect::<Result<_, StoreError>>()?,
            actions: all("action execution", &commit.actions)?,
            history: all("history entry", &commit.history)?,
            tasks_put: all("task", &commit.tasks_put)?,
            tasks_moved: all("task", &commit.tasks_moved)?,
            commit,
        })
    }

    /// Once written, its rows can be taken out of it.
    pub(crate) fn commit_mut(&mut self) -> &mut Commit {
        &mut self.commit
    }

    pub(crate) fn history_len(&self) -> u64 {
        self.history.len() as u64
    }
}

/// The stages whose run stands at Succeeded, each on a line. Names have no line breaks.
fn succeeded(execution: &Execution) -> String {
    let mut lines = String::new();
    for run in execution.stages.iter().filter(|run| run.status == StageStatus::Succeeded) {
        lines.push_str(&run.name);
        lines.push('\n');
    }
    lines
}
