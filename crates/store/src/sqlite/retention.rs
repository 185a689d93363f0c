//! Deleting what is old enough: looked for by readers, deleted by the writer in small transactions between commits.

use async_trait::async_trait;
use rusqlite::{Connection, TransactionBehavior};
use towpath_model::ids::{ExecutionId, PipelineId};
use towpath_model::state::Gate;
use towpath_model::time::Timestamp;

use super::SqliteStore;
use super::actions::Statements;
use super::cache::Cache;
use super::ids::Ids;
use super::readers::ReadError;
use super::writer::Work;
use crate::reads::RecordKind;
use crate::retention::{Candidate, Pruner, Retention, prune, refers};
use crate::stored::{to_i64, to_u64};
use crate::{StoreError, stored};

/// What the writer is to delete.
#[derive(Debug)]
pub(super) struct Prune {
    /// Executions by number, with the version they must still have.
    executions: Vec<(i64, u64)>,
    /// Deleted pipelines, if they have no executions.
    pipelines: Vec<i64>,
}

impl Prune {
    /// Answers how many executions were deleted.
    pub(super) fn apply(&self, connection: &Connection, ids: &mut Ids, cache: &Cache) -> rusqlite::Result<usize> {
        let mut deleted = 0;
        for (execution, version) in &self.executions {
            deleted += usize::from(delete_execution(connection, ids, *execution, *version)?);
        }
        for pipeline in &self.pipelines {
            clear_pipeline(connection, ids, cache, *pipeline)?;
        }
        Ok(deleted)
    }
}

fn delete_execution(connection: &Connection, ids: &mut Ids, execution: i64, version: u64) -> rusqlite::Result<bool> {
    let found = connection
        .prepare_cached("DELETE FROM executions WHERE execution = ?1 AND version = ?2 RETURNING pipeline, sequence, succeeded, json_extract(CAST(body AS TEXT), '$.value.pipeline_version')")?
        .query_row((execution, to_i64(version)), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?, row.get::<_, i64>(3)?))
        });
    let (pipeline, sequence, succeeded, number) = match found {
        Ok(found) => found,
        Err(rusqlite::Error::QueryReturnedNoRows) => return Ok(false),
        Err(error) => return Err(error),
    };
    for stage in succeeded.lines() {
        connection
            .prepare_cached(
                "DELETE FROM stage_successes WHERE pipeline = ?1 AND stage = ?2 AND number = ?3 AND sequence = ?4",
            )?
            .execute((pipeline, stage, number, sequence))?;
    }
    for kind in RecordKind::ALL {
        connection.prepare_cached(Statements::of(kind).delete)?.execute((execution,))?;
    }
    for sql in ["DELETE FROM history WHERE execution = ?1", "DELETE FROM request_tokens WHERE number = ?1"] {
        connection.prepare_cached(sql)?.execute((execution,))?;
    }
    ids.remove(connection, execution)?;
    Ok(true)
}

/// An execution takes everything of its own with it, so what is left of its pipeline is definitions.
fn clear_pipeline(connection: &Connection, ids: &mut Ids, cache: &Cache, pipeline: i64) -> rusqlite::Result<()> {
    let in_use = connection
        .prepare_cached(
            "SELECT 1 FROM executions WHERE pipeline = ?1 UNION ALL SELECT 1 FROM gates WHERE pipeline = ?1",
        )?
        .exists((pipeline,))?;
    if in_use {
        return Ok(());
    }
    for sql in ["DELETE FROM definitions WHERE pipeline = ?1", "DELETE FROM deleted_pipelines WHERE pipeline = ?1"] {
        connection.prepare_cached(sql)?.execute((pipeline,))?;
    }
    if let Some(id) = ids.remove(connection, pipeline)? {
        cache.forget_definitions(&PipelineId::new(id));
    }
    Ok(())
}

struct Row {
    ended: i64,
    execution: i64,
    version: u64,
    pipeline: i64,
    id: String,
}

/// The gate a page was judged by last; the executions of a pipeline often follow one another.
struct LastGate {
    pipeline: i64,
    gate: Option<Gate>,
}

fn gate(connection: &Connection, pipeline: i64) -> Result<Option<Gate>, ReadError> {
    let mut statement = connection.prepare_cached("SELECT body FROM gates WHERE pipeline = ?1")?;
    let mut rows = statement.query((pipeline,))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let body: Vec<u8> = row.get(0)?;
    Ok(Some(stored::decode("gate", &body)?))
}

#[async_trait]
impl Pruner for SqliteStore {
    type Id = i64;

    async fn candidates(
        &self,
        before: Timestamp,
        after: Option<(i64, i64)>,
        limit: usize,
    ) -> Result<Vec<Candidate<i64>>, StoreError> {
        let (ended, execution) = after.unwrap_or((i64::MIN, 0));
        self.readers
            .run(move |connection| {
                // The gates must be of the moment the executions are.
                let snapshot = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
                let mut statement = snapshot.prepare_cached(
                    "SELECT ended, execution, version, pipeline, (SELECT text FROM ids WHERE id = execution) \
                     FROM executions WHERE ended IS NOT NULL AND ended < ?1 \
                     AND ended >= ?2 AND (ended > ?2 OR execution > ?3) ORDER BY ended, execution LIMIT ?4",
                )?;
                let rows = statement.query_map((before.millis(), ended, execution, limit), |row| {
                    Ok(Row {
                        ended: row.get(0)?,
                        execution: row.get(1)?,
                        version: to_u64(row.get(2)?),
                        pipeline: row.get(3)?,
                        id: row.get(4)?,
                    })
                })?;
                let mut last: Option<LastGate> = None;
                let mut candidates = Vec::new();
                for row in rows {
                    let row = row?;
                    if last.as_ref().is_none_or(|last| last.pipeline != row.pipeline) {
                        last = Some(LastGate { pipeline: row.pipeline, gate: gate(&snapshot, row.pipeline)? });
                    }
                    let gate = last.as_ref().and_then(|last| last.gate.as_ref());
                    candidates.push(Candidate {
                        ended: row.ended,
                        id: row.execution,
                        version: row.version,
                        referred: gate.is_some_and(|gate| refers(gate, &ExecutionId::new(row.id))),
                    });
                }
                Ok(candidates)
            })
            .await
    }

    async fn delete(&self, executions: Vec<(i64, u64)>) -> Result<usize, StoreError> {
        let prune = Prune { executions, pipelines: Vec::new() };
        Ok(self.writer.submit(Work::Prune(prune)).await?.pruned)
    }

    async fn clear_deleted_pipelines(&self, limit: usize) -> Result<(), StoreError> {
        let pipelines: Vec<i64> = self
            .readers
            .run(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT pipeline FROM deleted_pipelines AS d WHERE pipeline > 0 \
                     AND NOT EXISTS (SELECT 1 FROM executions AS e WHERE e.pipeline = d.pipeline) LIMIT ?1",
                )?;
                let rows = statement.query_map((limit,), |row| row.get(0))?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            })
            .await?;
        if !pipelines.is_empty() {
            self.writer.submit(Work::Prune(Prune { executions: Vec::new(), pipelines })).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Retention for SqliteStore {
    async fn prune(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        prune(self, &self.prune_resume, before, limit).await
    }
}
