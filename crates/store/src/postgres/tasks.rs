//! The outbox.

use async_trait::async_trait;
use tokio_postgres::Row;
use towpath_model::effect::Task;
use towpath_model::ids::TaskId;
use towpath_model::time::Timestamp;

use super::{PostgresStore, rows};
use crate::documents::bounded;
use crate::limits::PAGE_MAX;
use crate::reads::Tasks;
use crate::{StoreError, stored};

/// A row of (body, owner, lease_until). A task that was taken over keeps its body: the columns hold.
pub(super) fn task(row: &Row) -> Result<Task, StoreError> {
    let task: Task = stored::decode("task", row.get(0))?;
    let lease_until: Option<i64> = row.get(2);
    Ok(Task { owner: row.get(1), lease_until: lease_until.map(Timestamp::from_millis), ..task })
}

#[async_trait]
impl Tasks for PostgresStore {
    async fn task(&self, id: &TaskId) -> Result<Option<Task>, StoreError> {
        let sql = "SELECT body, owner, lease_until FROM tasks WHERE task = $1";
        self.read_one(sql, &[&id.as_str()]).await?.as_ref().map(task).transpose()
    }

    async fn tasks_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Task>, StoreError> {
        bounded("tasks in one page", limit, PAGE_MAX)?;
        let found = self
            .read(
                "SELECT body, owner, lease_until FROM tasks \
                 WHERE due <= $1 AND (lease_until IS NULL OR lease_until <= $1) ORDER BY due, task LIMIT $2",
                &[&now.millis(), &rows(limit)],
            )
            .await?;
        found.iter().map(task).collect()
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let row = self.read_one("SELECT due FROM tasks ORDER BY due, task LIMIT 1", &[]).await?;
        Ok(row.map(|row| Timestamp::from_millis(row.get(0))))
    }

    async fn tasks(&self, after: Option<&TaskId>, limit: usize) -> Result<Vec<Task>, StoreError> {
        bounded("tasks in one page", limit, PAGE_MAX)?;
        // No id is empty, so every id comes after the empty one.
        let after = after.map(TaskId::as_str).unwrap_or_default();
        let sql = "SELECT body, owner, lease_until FROM tasks WHERE task > $1 ORDER BY task LIMIT $2";
        self.read(sql, &[&after, &rows(limit)]).await?.iter().map(task).collect()
    }

    async fn task_count(&self) -> Result<usize, StoreError> {
        let row = self.read_one("SELECT count(*) FROM tasks", &[]).await?;
        Ok(row.map_or(0, |row| usize::try_from(row.get::<_, i64>(0)).unwrap_or(0)))
    }
}
