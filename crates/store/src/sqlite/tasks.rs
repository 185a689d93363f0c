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

fn body(row: &Row<'_>) -> rusqlite::Result<Vec<u8>> {
    row.get(0)
}

fn decode(body: &[u8]) -> Result<Task, StoreError> {
    stored::decode("task", body)
}

#[async_trait]
impl Tasks for SqliteStore {
    async fn task(&self, task: &TaskId) -> Result<Option<Task>, StoreError> {
        let task = task.clone();
        self.readers
            .run(move |connection| {
                let found = connection
                    .prepare_cached("SELECT body FROM tasks WHERE task = ?1")?
                    .query_row((task.as_str(),), body)
                    .optional()?;
                Ok(found.as_deref().map(decode).transpose()?)
            })
            .await
    }

    async fn tasks_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Task>, StoreError> {
        bounded("tasks in one page", limit, PAGE_MAX)?;
        self.readers
            .run(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT body FROM tasks WHERE due <= ?1 AND (lease_until IS NULL OR lease_until <= ?1) \
                     ORDER BY due, task LIMIT ?2",
                )?;
                let rows = statement.query_map((now.millis(), limit), body)?;
                rows.map(|row| Ok(decode(&row?)?)).collect()
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
                let mut statement =
                    connection.prepare_cached("SELECT body FROM tasks WHERE task > ?1 ORDER BY task LIMIT ?2")?;
                let rows = statement.query_map((after, limit), body)?;
                rows.map(|row| Ok(decode(&row?)?)).collect()
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
