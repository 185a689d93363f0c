//! Executions, and the request tokens that started them.

use std::collections::HashMap;

use async_trait::async_trait;
use tokio_postgres::Row;
use towpath_model::ids::{ExecutionId, PipelineId};
use towpath_model::state::Execution;

use super::pipelines::decode_gate;
use super::{PostgresStore, rows};
use crate::documents::bounded;
use crate::limits::PAGE_MAX;
use crate::reads::{Cursor, ExecutionFilter, Executions, Loaded, Page, page};
use crate::stored::to_u64;
use crate::{StoreError, Versioned, stored};

fn decode(version: i64, body: &[u8]) -> Result<Versioned<Execution>, StoreError> {
    Ok(Versioned { value: stored::decode("execution", body)?, version: to_u64(version) })
}

/// A row of (sequence, version, body).
fn page_row(row: &Row) -> Result<(Cursor, Versioned<Execution>), StoreError> {
    Ok((Cursor { major: row.get(0), minor: 0 }, decode(row.get(1), row.get(2))?))
}

#[async_trait]
impl Executions for PostgresStore {
    async fn load(&self, pipeline: &PipelineId, executions: &[ExecutionId]) -> Result<Loaded, StoreError> {
        bounded("executions in one read", executions.len(), PAGE_MAX)?;
        let ids: Vec<&str> = executions.iter().map(ExecutionId::as_str).collect();
        // One statement sees one moment.
        let found = self
            .read(
                "SELECT NULL::text, version, body FROM gates WHERE pipeline = $1 \
                 UNION ALL SELECT id, version, body FROM executions WHERE id = ANY ($2::text[])",
                &[&pipeline.as_str(), &ids],
            )
            .await?;
        let mut gate = None;
        let mut by_id = HashMap::with_capacity(found.len());
        for row in &found {
            match row.get::<_, Option<&str>>(0) {
                None => gate = Some(decode_gate(row.get(1), row.get(2))?),
                Some(id) => {
                    by_id.insert(id, decode(row.get(1), row.get(2))?);
                }
            }
        }
        Ok(Loaded { gate, executions: ids.iter().map(|id| by_id.get(id).cloned()).collect() })
    }

    async fn execution(&self, execution: &ExecutionId) -> Result<Option<Versioned<Execution>>, StoreError> {
        let row = self.read_one("SELECT version, body FROM executions WHERE id = $1", &[&execution.as_str()]).await?;
        row.map(|row| decode(row.get(0), row.get(1))).transpose()
    }

    async fn execution_page(
        &self,
        pipeline: &PipelineId,
        filter: &ExecutionFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Versioned<Execution>>, StoreError> {
        bounded("executions in one page", limit, PAGE_MAX)?;
        let before = after.map_or(i64::MAX, |cursor| cursor.major);
        let (pipeline, more) = (pipeline.as_str(), rows(limit + 1));
        let found = match filter {
            ExecutionFilter::All => {
                self.read(
                    "SELECT sequence, version, body FROM executions WHERE pipeline = $1 AND sequence < $2 \
                     ORDER BY sequence DESC LIMIT $3",
                    &[&pipeline, &before, &more],
                )
                .await?
            }
            ExecutionFilter::Status(status) => {
                self.read(
                    "SELECT sequence, version, body FROM executions \
                     WHERE pipeline = $1 AND sequence < $2 AND status = $4 ORDER BY sequence DESC LIMIT $3",
                    &[&pipeline, &before, &more, &status.as_str()],
                )
                .await?
            }
            ExecutionFilter::SucceededInStage { stage, pipeline_version } => {
                self.read(
                    "SELECT s.sequence, e.version, e.body FROM stage_successes s CROSS JOIN LATERAL ( \
                       SELECT version, body FROM executions \
                       WHERE executions.pipeline = s.pipeline AND executions.sequence = s.sequence OFFSET 0 \
                     ) AS e WHERE s.pipeline = $1 AND s.stage = $4 AND s.number = $5 AND s.sequence < $2 \
                     ORDER BY s.sequence DESC LIMIT $3",
                    &[&pipeline, &before, &more, &stage.as_str(), &i64::from(*pipeline_version)],
                )
                .await?
            }
        };
        let found = found.iter().map(page_row).collect::<Result<_, _>>()?;
        Ok(page(found, limit, |execution| execution))
    }

    async fn execution_of_token(&self, pipeline: &PipelineId, token: &str) -> Result<Option<ExecutionId>, StoreError> {
        let row = self
            .read_one(
                "SELECT execution FROM request_tokens WHERE pipeline = $1 AND token = $2",
                &[&pipeline.as_str(), &token],
            )
            .await?;
        Ok(row.map(|row| ExecutionId::new(row.get::<_, String>(0))))
    }
}
