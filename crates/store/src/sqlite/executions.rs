//! Executions, and the request tokens that started them.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, TransactionBehavior};
use towpath_model::ids::{ExecutionId, PipelineId};
use towpath_model::state::Execution;

use super::SqliteStore;
use super::pipelines::{gate, version_and_body};
use super::readers::ReadError;
use crate::documents::bounded;
use crate::limits::PAGE_MAX;
use crate::reads::{Cursor, ExecutionFilter, Executions, Loaded, Page, page};
use crate::stored::to_u64;
use crate::{StoreError, Versioned, stored};

fn decode((version, body): (u64, Vec<u8>)) -> Result<Versioned<Execution>, StoreError> {
    Ok(Versioned { value: stored::decode("execution", &body)?, version })
}

fn execution(connection: &Connection, id: &ExecutionId) -> Result<Option<Versioned<Execution>>, ReadError> {
    let row = connection
        .prepare_cached("SELECT version, body FROM executions WHERE execution = (SELECT id FROM ids WHERE text = ?1)")?
        .query_row((id.as_str(),), version_and_body)
        .optional()?;
    Ok(row.map(decode).transpose()?)
}

type PageRow = (Cursor, (u64, Vec<u8>));

/// A row of (sequence, version, body).
fn page_row(row: &Row<'_>) -> rusqlite::Result<PageRow> {
    Ok((Cursor { major: row.get(0)?, minor: 0 }, (to_u64(row.get(1)?), row.get(2)?)))
}

fn read_page(
    connection: &Connection,
    pipeline: &PipelineId,
    filter: &ExecutionFilter,
    before: i64,
    limit: usize,
) -> rusqlite::Result<Vec<PageRow>> {
    let query = |sql: &str, parameters: &[&dyn ToSql]| -> rusqlite::Result<Vec<_>> {
        connection.prepare_cached(sql)?.query_map(parameters, page_row)?.collect()
    };
    let pipeline = pipeline.as_str();
    match filter {
        ExecutionFilter::All => query(
            "SELECT sequence, version, body FROM executions WHERE pipeline = (SELECT id FROM ids WHERE text = ?1) AND sequence < ?2 \
             ORDER BY sequence DESC LIMIT ?3",
            &[&pipeline, &before, &limit],
        ),
        ExecutionFilter::Status(status) => query(
            "SELECT sequence, version, body FROM executions WHERE pipeline = (SELECT id FROM ids WHERE text = ?1) AND sequence < ?2 AND status = ?4 \
             ORDER BY sequence DESC LIMIT ?3",
            &[&pipeline, &before, &limit, &status.as_str()],
        ),
        // The order of the join is fixed: the successes are few, the executions many.
        ExecutionFilter::SucceededInStage { stage, pipeline_version } => query(
            "SELECT e.sequence, e.version, e.body FROM stage_successes s \
             CROSS JOIN executions e ON e.pipeline = s.pipeline AND e.sequence = s.sequence \
             WHERE s.pipeline = (SELECT id FROM ids WHERE text = ?1) AND s.stage = ?4 AND s.number = ?5 AND s.sequence < ?2 \
             ORDER BY s.sequence DESC LIMIT ?3",
            &[&pipeline, &before, &limit, &stage.as_str(), pipeline_version],
        ),
    }
}

#[async_trait]
impl Executions for SqliteStore {
    async fn load(&self, pipeline: &PipelineId, executions: &[ExecutionId]) -> Result<Loaded, StoreError> {
        bounded("executions in one read", executions.len(), PAGE_MAX)?;
        if let Some(loaded) = self.writer.cache().load(pipeline, executions) {
            return Ok(loaded);
        }
        let (pipeline, executions) = (pipeline.clone(), executions.to_vec());
        self.readers
            .run(move |connection| {
                let snapshot = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
                Ok(Loaded {
                    gate: gate(&snapshot, &pipeline)?,
                    executions: executions.iter().map(|id| execution(&snapshot, id)).collect::<Result<_, _>>()?,
                })
            })
            .await
    }

    async fn execution(&self, id: &ExecutionId) -> Result<Option<Versioned<Execution>>, StoreError> {
        if let Some(found) = self.writer.cache().execution(id) {
            return Ok(Some(Versioned::clone(&found)));
        }
        let id = id.clone();
        self.readers.run(move |connection| execution(connection, &id)).await
    }

    async fn execution_page(
        &self,
        pipeline: &PipelineId,
        filter: &ExecutionFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Versioned<Execution>>, StoreError> {
        bounded("executions in one page", limit, PAGE_MAX)?;
        let (pipeline, filter) = (pipeline.clone(), filter.clone());
        let before = after.map_or(i64::MAX, |cursor| cursor.major);
        self.readers
            .run(move |connection| {
                let rows = read_page(connection, &pipeline, &filter, before, limit + 1)?;
                let Page { items, next } = page(rows, limit, decode);
                Ok(Page { items: items.into_iter().collect::<Result<_, _>>()?, next })
            })
            .await
    }

    async fn execution_of_token(&self, pipeline: &PipelineId, token: &str) -> Result<Option<ExecutionId>, StoreError> {
        let (pipeline, token) = (pipeline.clone(), token.to_owned());
        self.readers
            .run(move |connection| {
                let id: Option<String> = connection
                    .prepare_cached("SELECT execution FROM request_tokens WHERE pipeline = (SELECT id FROM ids WHERE text = ?1) AND token = ?2")?
                    .query_row((pipeline.as_str(), token), |row| row.get(0))
                    .optional()?;
                Ok(id.map(ExecutionId::new))
            })
            .await
    }
}
