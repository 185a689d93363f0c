//! The outbox.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row};
use towpath_model::effect::Task;
use towpath_model::ids::TaskId;
use towpath_model::time::Timestamp;

use super::SqliteStore;
use crate::documents::bounded;
use crate::limits::PAGE_MAX;
use crate::reads::Tasks;
use crate::{StoreError, stored};

/// A row of (body, owner, lease_until). A task that was taken over keeps its body: the columns hold.
#[derive(Debug)]
pub(super) struct TaskRow {
    body: Vec<u8>,
    owner: Option<String>,
    lease_until: Option<i64>,
}

pub(super) fn task_row(row: &Row<'_>) -> rusqlite::Result<TaskRow> {
    Ok(TaskRow { body: row.get(0)?, owner: row.get(1)?, lease_until: row.get(2)? })
}

impl TaskRow {
    pub(super) fn decode(self) -> Result<Task, StoreError> {
        let task: Task = stored::decode("task", &self.body)?;
        Ok(Task { owner: self.owner, lease_until: self.lease_until.map(Timestamp::from_millis), ..task })
    }
}

#[async_trait]
impl Tasks for SqliteStore {
    async fn task(&self, task: &TaskId) -> Result<Option<Task>, StoreError> {
        let task = task.clone();
        self.readers
            .run(move |connection| {
                let found = connection
                    .prepare_cached("SELECT body, owner, lease_until FROM tasks WHERE task = ?1")?
                    .query_row((task.as_str(),), task_row)
                    .optional()?;
                Ok(found.map(TaskRow::decode).transpose()?)
            })
            .await
    }

    async fn tasks_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Task>, StoreError> {
        bounded("tasks in one page", limit, PAGE_MAX)?;
        self.readers
            .run(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT body, owner, lease_until FROM tasks WHERE due <= ?1 AND (lease_until IS NULL OR lease_until <= ?1) \
                     ORDER BY due, task LIMIT ?2",
                )?;
                let rows = statement.query_map((now.millis(), limit), task_row)?;
                rows.map(|row| Ok(row?.decode()?)).collect()
            })
            .await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.readers
            .run(|connection| {
                let due: Option<i64> =
                    connection.prepare_cached("SELECT min(due) FROM tasks")?.query_row((), |row| row.get(0))?;
                Ok(due.map(Timestamp::from_millis))
            })
            .await
    }

    async fn tasks(&self, after: Option<&TaskId>, limit: usize) -> Result<Vec<Task>, StoreError> {
        bounded("tasks in one page", limit, PAGE_MAX)?;
        // No id is empty, so every id comes after the empty one.
        let after = after.map(ToString::to_string).unwrap_or_default();
        self.readers
            .run(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT body, owner, lease_until FROM tasks WHERE task > ?1 ORDER BY task LIMIT ?2",
                )?;
                let rows = statement.query_map((after, limit), task_row)?;
                rows.map(|row| Ok(row?.decode()?)).collect()
            })
            .await
    }

    async fn task_count(&self) -> Result<usize, StoreError> {
        self.readers
            .run(|connection| {
                Ok(connection.prepare_cached("SELECT count(*) FROM tasks")?.query_row((), |row| row.get(0))?)
            })
            .await
    }
}
