//! Action executions and rule executions: two tables of one shape.

use async_trait::async_trait;
use tokio_postgres::Row;
use towpath_model::history::ActionRecord;
use towpath_model::ids::{ActionExecutionId, ExecutionId};

use super::{PostgresStore, rows};
use crate::documents::bounded;
use crate::limits::PAGE_MAX;
use crate::reads::{ActionFilter, Actions, Cursor, Page, RecordKind, page};
use crate::stored::{to_i64, to_u64};
use crate::{StoreError, stored};

fn decode(body: &[u8]) -> Result<ActionRecord, StoreError> {
    stored::decode("action execution", body)
}

/// A row of (started, id, body).
fn page_row(row: &Row) -> Result<(Cursor, ActionRecord), StoreError> {
    Ok((Cursor { major: row.get(0), minor: to_u64(row.get(1)) }, decode(row.get(2))?))
}

struct Statements {
    of_pipeline: &'static str,
    of_execution: &'static str,
    latest_of_execution: &'static str,
}

macro_rules! statements {
    ($table:literal) => {
        Statements {
            of_pipeline: concat!(
                "SELECT started, id, body FROM ",
                $table,
                " WHERE pipeline = $1 AND (started, id) < ($2, $3) \
                 ORDER BY started DESC, id DESC LIMIT $4"
            ),
            // An execution's records lie together and are few: they are put in order when they are asked for.
            of_execution: concat!(
                "SELECT started, id, body FROM ",
                $table,
                " WHERE execution = $1 AND (started, id) < ($2, $3) \
                 ORDER BY started DESC, id DESC LIMIT $4"
            ),
            latest_of_execution: concat!(
                "SELECT started, id, body FROM ( \
                   SELECT DISTINCT ON (stage, gate, name) started, id, body FROM ",
                $table,
                " WHERE execution = $1 \
                   ORDER BY stage, gate, name, started DESC, id DESC \
                 ) AS latest WHERE (started, id) < ($2, $3) ORDER BY started DESC, id DESC LIMIT $4"
            ),
        }
    };
}

const ACTIONS: Statements = statements!("actions");
const RULES: Statements = statements!("rules");

impl PostgresStore {
    async fn record_page(
        &self,
        kind: RecordKind,
        filter: &ActionFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<ActionRecord>, StoreError> {
        let statements = match kind {
            RecordKind::Action => &ACTIONS,
            RecordKind::Rule => &RULES,
        };
        let (sql, of) = match filter {
            ActionFilter::Pipeline(pipeline) => (statements.of_pipeline, pipeline.as_str()),
            ActionFilter::Execution(execution) => (statements.of_execution, execution.as_str()),
            ActionFilter::LatestInExecution(execution) => (statements.latest_of_execution, execution.as_str()),
        };
        let after = after.unwrap_or(Cursor { major: i64::MAX, minor: u64::MAX });
        let found = self.read(sql, &[&of, &after.major, &to_i64(after.minor), &rows(limit + 1)]).await?;
        let found = found.iter().map(page_row).collect::<Result<_, _>>()?;
        Ok(page(found, limit, |record| record))
    }
}

#[async_trait]
impl Actions for PostgresStore {
    async fn action(
        &self,
        execution: &ExecutionId,
        action: &ActionExecutionId,
    ) -> Result<Option<ActionRecord>, StoreError> {
        let row = self
            .read_one(
                "SELECT body FROM actions WHERE execution = $1 AND action = $2 \
                 UNION ALL SELECT body FROM rules WHERE execution = $1 AND action = $2",
                &[&execution.as_str(), &action.as_str()],
            )
            .await?;
        row.map(|row| decode(row.get(0))).transpose()
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
