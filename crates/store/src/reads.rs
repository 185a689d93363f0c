//! What can be asked of pipeline state: narrow traits by concern. Every read is served by an index and paged by key, so
//! it stays flat as history grows.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use towpath_model::declaration::Definition;
use towpath_model::effect::Task;
use towpath_model::history::{ActionRecord, HistoryEntry};
use towpath_model::ids::{ActionExecutionId, ExecutionId, PipelineId, PipelineName, Scope, StageName, TaskId};
use towpath_model::state::{Execution, ExecutionStatus, Gate};
use towpath_model::time::Timestamp;

use crate::commit::Commits;
use crate::documents::Documents;
use crate::nodes::Nodes;
use crate::retention::Retention;
use crate::{StoreError, Versioned};

/// Where a page ended. Opaque; its text form fits into a page token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    pub(crate) major: i64,
    pub(crate) minor: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The text is not one a cursor was ever printed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a page cursor")]
pub struct InvalidCursor;

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (major, minor) = text.split_once('.').ok_or(InvalidCursor)?;
        let cursor =
            Self { major: major.parse().map_err(|_| InvalidCursor)?, minor: minor.parse().map_err(|_| InvalidCursor)? };
        // `+1`, `01` and the like parse as well, but were never printed.
        if cursor.to_string() == text { Ok(cursor) } else { Err(InvalidCursor) }
    }
}

/// Some rows, and where to go on if there are more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<Cursor>,
}

/// A gate and some executions as they were at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    pub gate: Option<Versioned<Gate>>,
    /// In the order asked for; None where there is none.
    pub executions: Vec<Option<Versioned<Execution>>>,
}

#[async_trait]
pub trait Pipelines: Send + Sync {
    async fn gate(&self, pipeline: &PipelineId) -> Result<Option<Versioned<Gate>>, StoreError>;

    async fn gate_by_name(&self, scope: &Scope, name: &str) -> Result<Option<Versioned<Gate>>, StoreError>;

    /// Gates of a scope whose name comes after `after`, bytewise by name.
    async fn gates(
        &self,
        scope: &Scope,
        after: Option<&PipelineName>,
        limit: usize,
    ) -> Result<Vec<Versioned<Gate>>, StoreError>;

    async fn gate_count(&self, scope: &Scope) -> Result<usize, StoreError>;

    async fn definition(&self, pipeline: &PipelineId, version: u32) -> Result<Option<Definition>, StoreError>;

    /// Many at once, in the order asked for; None where there is none.
    async fn definitions(&self, wanted: &[(PipelineId, u32)]) -> Result<Vec<Option<Definition>>, StoreError>;
}

/// Which executions of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecutionFilter {
    All,
    Status(ExecutionStatus),
    /// Those of this definition version whose run of the stage stands at Succeeded.
    SucceededInStage {
        stage: StageName,
        pipeline_version: u32,
    },
}

#[async_trait]
pub trait Executions: Send + Sync {
    /// What a command needs to be decided, as of one moment, in one read.
    async fn load(&self, pipeline: &PipelineId, executions: &[ExecutionId]) -> Result<Loaded, StoreError>;

    async fn execution(&self, execution: &ExecutionId) -> Result<Option<Versioned<Execution>>, StoreError>;

    /// Executions of a pipeline, the latest started first; `after` is the `next` of the page before.
    async fn execution_page(
        &self,
        pipeline: &PipelineId,
        filter: &ExecutionFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Versioned<Execution>>, StoreError>;

    /// The execution that this request token started.
    async fn execution_of_token(&self, pipeline: &PipelineId, token: &str) -> Result<Option<ExecutionId>, StoreError>;
}

/// Which action executions, or which rule executions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionFilter {
    Pipeline(PipelineId),
    /// Every attempt.
    Execution(ExecutionId),
    /// Only the newest attempt of each action; of rules, the newest execution of each (stage, gate, rule).
    LatestInExecution(ExecutionId),
}

#[async_trait]
pub trait Actions: Send + Sync {
    /// One action execution or rule execution by its id.
    async fn action(
        &self,
        execution: &ExecutionId,
        action: &ActionExecutionId,
    ) -> Result<Option<ActionRecord>, StoreError>;

    /// Action executions, never those of rules. Newest start time first, among equals the latest recorded first; `after` is the `next` of the page before.
    async fn action_page(
        &self,
        filter: &ActionFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<ActionRecord>, StoreError>;

    /// Rule executions alone: the records with a `condition`. Order and pages as in [`Actions::action_page`].
    async fn rule_page(
        &self,
        filter: &ActionFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<ActionRecord>, StoreError>;
}

/// Whose history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryFilter {
    All,
    Pipeline(PipelineId),
    Execution(ExecutionId),
}

#[async_trait]
pub trait History: Send + Sync {
    /// Entries with a sequence number above `after`, in order.
    async fn history(&self, filter: &HistoryFilter, after: u64, limit: usize) -> Result<Vec<HistoryEntry>, StoreError>;

    /// The highest sequence number given out, 0 for none: what to follow from when only the new is wanted.
    async fn history_end(&self) -> Result<u64, StoreError>;
}

#[async_trait]
pub trait Tasks: Send + Sync {
    async fn task(&self, task: &TaskId) -> Result<Option<Task>, StoreError>;

    /// Tasks due at `now` that nobody holds a lease on, the longest due first.
    async fn tasks_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Task>, StoreError>;

    /// When the next task is due, leased or not.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// All tasks, by id from past `after`.
    async fn tasks(&self, after: Option<&TaskId>, limit: usize) -> Result<Vec<Task>, StoreError>;

    async fn task_count(&self) -> Result<usize, StoreError>;
}

/// Everything, to be held as `Arc<dyn Store>`. Take a narrower trait where one is enough.
pub trait Store: Documents + Commits + Pipelines + Executions + Actions + History + Tasks + Nodes + Retention {}

impl<S> Store for S where
    S: Documents + Commits + Pipelines + Executions + Actions + History + Tasks + Nodes + Retention + ?Sized
{
}

/// The two kinds of records, kept apart so that neither is in the way of a page of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordKind {
    Action,
    Rule,
}

impl RecordKind {
    pub(crate) const ALL: [Self; 2] = [Self::Action, Self::Rule];

    pub(crate) fn of(record: &ActionRecord) -> Self {
        if record.condition.is_some() { Self::Rule } else { Self::Action }
    }
}

/// Makes a page of up to `limit` rows out of up to one more.
pub(crate) fn page<R, T>(mut rows: Vec<(Cursor, R)>, limit: usize, item: impl Fn(R) -> T) -> Page<T> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = if more { rows.last().map(|(cursor, _)| *cursor) } else { None };
    Page { items: rows.into_iter().map(|(_, row)| item(row)).collect(), next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text_and_nothing_else_is_one() {
        for cursor in [Cursor { major: -5, minor: 7 }, Cursor { major: i64::MAX, minor: u64::MAX }] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for text in ["", ".", "1", "1.", "+1.2", "01.2", "1.-2", "1.2.3", "99999999999999999999.1", "a.b"] {
            assert_eq!(text.parse::<Cursor>(), Err(InvalidCursor), "{text}");
        }
    }
}
