//! Action executions.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row};
use towpath_model::history::ActionRecord;
use towpath_model::ids::{ActionExecutionId, ExecutionId};

use super::SqliteStore;
use super::errors::{to_i64, to_u64};
use crate::documents::bounded;
use crate::limits::PAGE_MAX;
use crate::reads::{ActionFilter, Actions, Cursor, Page, page};
use crate::{StoreError, stored};

fn decode(body: &[u8]) -> Result<ActionRecord, StoreError> {
    stored::decode("action execution", body)
}

const OF_PIPELINE: &str = "SELECT started, id, body FROM actions \
     WHERE pipeline = (SELECT id FROM ids WHERE text = ?1) AND started <= ?2 AND (started < ?2 OR id < ?3) \
     ORDER BY started DESC, id DESC LIMIT ?4";

const OF_EXECUTION: &str = "SELECT started, id, body FROM actions \
     WHERE execution = (SELECT id FROM ids WHERE text = ?1) AND started <= ?2 AND (started < ?2 OR id < ?3) \
     ORDER BY started DESC, id DESC LIMIT ?4";

const LATEST_OF_EXECUTION: &str = "SELECT started, id, body FROM actions AS candidate \
     WHERE execution = (SELECT id FROM ids WHERE text = ?1) AND started <= ?2 AND (started < ?2 OR id < ?3) \
     AND NOT EXISTS ( \
       SELECT 1 FROM actions AS newer \
       WHERE newer.execution = candidate.execution AND newer.started >= candidate.started \
       AND newer.stage = candidate.stage AND newer.name = candidate.name \
       AND (newer.started > candidate.started OR newer.id > candidate.id) \
     ) ORDER BY started DESC, id DESC LIMIT ?4";

fn page_row(row: &Row<'_>) -> rusqlite::Result<(Cursor, Vec<u8>)> {
    Ok((Cursor { major: row.get(0)?, minor: to_u64(row.get(1)?) }, row.get(2)?))
}

#[async_trait]
impl Actions for SqliteStore {
    async fn action(
        &self,
        execution: &ExecutionId,
        action: &ActionExecutionId,
    ) -> Result<Option<ActionRecord>, StoreError> {
        let (execution, action) = (execution.clone(), action.clone());
        self.readers
            .run(move |connection| {
                let body: Option<Vec<u8>> = connection
                    .prepare_cached("SELECT body FROM actions WHERE execution = (SELECT id FROM ids WHERE text = ?1) AND action = ?2")?
                    .query_row((execution.as_str(), action.as_str()), |row| row.get(0))
                    .optional()?;
                Ok(body.as_deref().map(decode).transpose()?)
            })
            .await
    }

    async fn action_page(
        &self,
        filter: &ActionFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<ActionRecord>, StoreError> {
        bounded("action executions in one page", limit, PAGE_MAX)?;
        let (sql, of) = match filter {
            ActionFilter::Pipeline(pipeline) => (OF_PIPELINE, pipeline.to_string()),
            ActionFilter::Execution(execution) => (OF_EXECUTION, execution.to_string()),
            ActionFilter::LatestInExecution(execution) => (LATEST_OF_EXECUTION, execution.to_string()),
        };
        let after = after.unwrap_or(Cursor { major: i64::MAX, minor: u64::MAX });
        self.readers
            .run(move |connection| {
                let mut statement = connection.prepare_cached(sql)?;
                let rows = statement.query_map((of, after.major, to_i64(after.minor), limit + 1), page_row)?;
                let Page { items, next } =
                    page(rows.collect::<rusqlite::Result<_>>()?, limit, |body: Vec<u8>| decode(&body));
                Ok(Page { items: items.into_iter().collect::<Result<_, _>>()?, next })
            })
            .await
    }
}
