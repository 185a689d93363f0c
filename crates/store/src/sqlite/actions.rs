//! Action executions and rule executions: two tables of one shape.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row};
use towpath_model::history::ActionRecord;
use towpath_model::ids::{ActionExecutionId, ExecutionId};

use super::SqliteStore;
use super::ids::Ids;
use crate::documents::bounded;
use crate::limits::PAGE_MAX;
use crate::reads::{ActionFilter, Actions, Cursor, Page, RecordKind, page};
use crate::stored::{to_i64, to_u64};
use crate::{StoreError, stored};

fn decode(body: &[u8]) -> Result<ActionRecord, StoreError> {
    stored::decode("action execution", body)
}

/// The statements on one kind of records.
pub(super) struct Statements {
    find: &'static str,
    body: &'static str,
    replace: &'static str,
    move_start: &'static str,
    insert: &'static str,
    pub(super) delete: &'static str,
    of_pipeline: &'static str,
    of_execution: &'static str,
    latest_of_execution: &'static str,
}

macro_rules! statements {
    ($table:literal, $gate_column:literal, $gate_value:literal, $same_gate:literal) => {
        Statements {
            find: concat!("SELECT id, started FROM ", $table, " WHERE execution = ?1 AND action = ?2"),
            body: concat!(
                "SELECT body FROM ", $table,
                " WHERE execution = (SELECT id FROM ids WHERE text = ?1) AND action = ?2"
            ),
            replace: concat!("UPDATE ", $table, " SET body = ?2 WHERE id = ?1"),
            move_start: concat!("UPDATE ", $table, " SET body = ?2, started = ?3 WHERE id = ?1"),
            insert: concat!(
                "INSERT INTO ", $table, " (pipeline, execution, started, action, stage, name, body", $gate_column, ") \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7", $gate_value, ")"
            ),
            delete: concat!("DELETE FROM ", $table, " WHERE execution = ?1"),
            of_pipeline: concat!(
                "SELECT started, id, body FROM ", $table, " \
                 WHERE pipeline = (SELECT id FROM ids WHERE text = ?1) AND started <= ?2 AND (started < ?2 OR id < ?3) \
                 ORDER BY started DESC, id DESC LIMIT ?4"
            ),
            of_execution: concat!(
                "SELECT started, id, body FROM ", $table, " \
                 WHERE execution = (SELECT id FROM ids WHERE text = ?1) AND started <= ?2 AND (started < ?2 OR id < ?3) \
                 ORDER BY started DESC, id DESC LIMIT ?4"
            ),
            latest_of_execution: concat!(
                "SELECT started, id, body FROM ", $table, " AS candidate \
                 WHERE execution = (SELECT id FROM ids WHERE text = ?1) AND started <= ?2 AND (started < ?2 OR id < ?3) \
                 AND NOT EXISTS ( \
                   SELECT 1 FROM ", $table, " AS newer \
                   WHERE newer.execution = candidate.execution AND newer.started >= candidate.started \
                   AND newer.stage = candidate.stage AND newer.name = candidate.name", $same_gate, " \
                   AND (newer.started > candidate.started OR newer.id > candidate.id) \
                 ) ORDER BY started DESC, id DESC LIMIT ?4"
            ),
        }
    };
}

const ACTIONS: Statements = statements!("actions", "", "", "");
const RULES: Statements = statements!("rules", ", gate", ", ?8", " AND newer.gate = candidate.gate");

impl Statements {
    pub(super) fn of(kind: RecordKind) -> &'static Self {
        match kind {
            RecordKind::Action => &ACTIONS,
            RecordKind::Rule => &RULES,
        }
    }
}

/// Inserts the record, or replaces the one that has its id. A column that is named in an update has its indexes
/// rewritten, so the start is only named when it moves.
pub(super) fn put(connection: &Connection, ids: &mut Ids, record: &ActionRecord, body: &[u8]) -> rusqlite::Result<()> {
    let statements = Statements::of(RecordKind::of(record));
    let execution = ids.find_or_give(connection, &record.execution)?;
    let (action, started) = (record.attempt.id.as_str(), record.attempt.started.millis());
    let found: Option<(i64, i64)> = connection
        .prepare_cached(statements.find)?
        .query_row((execution, action), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match found {
        Some((id, before)) if before == started => {
            connection.prepare_cached(statements.replace)?.execute((id, body))?;
        }
        Some((id, _)) => {
            connection.prepare_cached(statements.move_start)?.execute((id, body, started))?;
        }
        None => {
            let pipeline = ids.find_or_give(connection, &record.pipeline)?;
            let (stage, name) = (record.stage.as_str(), record.action.as_str());
            let mut insert = connection.prepare_cached(statements.insert)?;
            match record.condition {
                None => insert.execute((pipeline, execution, started, action, stage, name, body))?,
                Some(gate) => {
                    insert.execute((pipeline, execution, started, action, stage, name, body, gate.as_str()))?
                }
            };
        }
    }
    Ok(())
}

fn page_row(row: &Row<'_>) -> rusqlite::Result<(Cursor, Vec<u8>)> {
    Ok((Cursor { major: row.get(0)?, minor: to_u64(row.get(1)?) }, row.get(2)?))
}

impl SqliteStore {
    async fn record_page(
        &self,
        kind: RecordKind,
        filter: &ActionFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<ActionRecord>, StoreError> {
        let statements = Statements::of(kind);
        let (sql, of) = match filter {
            ActionFilter::Pipeline(pipeline) => (statements.of_pipeline, pipeline.to_string()),
            ActionFilter::Execution(execution) => (statements.of_execution, execution.to_string()),
            ActionFilter::LatestInExecution(execution) => (statements.latest_of_execution, execution.to_string()),
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
                for kind in RecordKind::ALL {
                    let body: Option<Vec<u8>> = connection
                        .prepare_cached(Statements::of(kind).body)?
                        .query_row((execution.as_str(), action.as_str()), |row| row.get(0))
                        .optional()?;
                    if let Some(body) = body {
                        return Ok(Some(decode(&body)?));
                    }
                }
                Ok(None)
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
        self.record_page(RecordKind::Action, filter, after, limit).await
    }

    async fn rule_page(
        &self,
        filter: &ActionFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<ActionRecord>, StoreError> {
        bounded("rule executions in one page", limit, PAGE_MAX)?;
        self.record_page(RecordKind::Rule, filter, after, limit).await
    }
}
