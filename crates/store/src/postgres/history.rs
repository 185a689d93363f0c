//! History entries. Why a follower misses none is told where their numbers are drawn, in `write_batch`.

use async_trait::async_trait;
use tokio_postgres::Row;
use towpath_model::history::HistoryEntry;

use super::{PostgresStore, rows};
use crate::documents::bounded;
use crate::limits::PAGE_MAX;
use crate::reads::{History, HistoryFilter};
use crate::stored::{to_i64, to_u64};
use crate::{StoreError, stored};

/// The entry was encoded before it had a number.
fn entry(row: &Row) -> Result<HistoryEntry, StoreError> {
    let entry: HistoryEntry = stored::decode("history entry", row.get(1))?;
    Ok(HistoryEntry { sequence: to_u64(row.get(0)), ..entry })
}

#[async_trait]
impl History for PostgresStore {
    async fn history(&self, filter: &HistoryFilter, after: u64, limit: usize) -> Result<Vec<HistoryEntry>, StoreError> {
        bounded("history entries in one page", limit, PAGE_MAX)?;
        let (after, limit) = (to_i64(after), rows(limit));
        let found = match filter {
            HistoryFilter::All => {
                let sql = "SELECT sequence, body FROM history WHERE sequence > $1 ORDER BY sequence LIMIT $2";
                self.read(sql, &[&after, &limit]).await?
            }
            HistoryFilter::Pipeline(pipeline) => {
                let sql = "SELECT sequence, body FROM history WHERE pipeline = $3 AND sequence > $1 \
                           ORDER BY sequence LIMIT $2";
                self.read(sql, &[&after, &limit, &pipeline.as_str()]).await?
            }
            HistoryFilter::Execution(execution) => {
                let sql = "SELECT sequence, body FROM history WHERE execution = $3 AND sequence > $1 \
                           ORDER BY sequence LIMIT $2";
                self.read(sql, &[&after, &limit, &execution.as_str()]).await?
            }
        };
        found.iter().map(entry).collect()
    }

    async fn history_end(&self) -> Result<u64, StoreError> {
        let row = self.read_one("SELECT history FROM counters WHERE id = 0", &[]).await?;
        Ok(row.map_or(0, |row| to_u64(row.get(0))))
    }
}
