//! History entries.

use async_trait::async_trait;
use rusqlite::Row;
use towpath_model::history::HistoryEntry;

use super::SqliteStore;
use crate::documents::bounded;
use crate::limits::PAGE_MAX;
use crate::reads::{History, HistoryFilter};
use crate::stored::{to_i64, to_u64};
use crate::{StoreError, stored};

fn sequence_and_body(row: &Row<'_>) -> rusqlite::Result<(u64, Vec<u8>)> {
    Ok((to_u64(row.get(0)?), row.get(1)?))
}

/// The entry was encoded before it had a number.
fn decode((sequence, body): (u64, Vec<u8>)) -> Result<HistoryEntry, StoreError> {
    let entry: HistoryEntry = stored::decode("history entry", &body)?;
    Ok(HistoryEntry { sequence, ..entry })
}

#[async_trait]
impl History for SqliteStore {
    async fn history(&self, filter: &HistoryFilter, after: u64, limit: usize) -> Result<Vec<HistoryEntry>, StoreError> {
        bounded("history entries in one page", limit, PAGE_MAX)?;
        let (sql, of) = match filter {
            HistoryFilter::All => (
                "SELECT sequence, body FROM history WHERE sequence > ?1 AND ?3 IS NULL ORDER BY sequence LIMIT ?2",
                None,
            ),
            HistoryFilter::Pipeline(pipeline) => (
                "SELECT sequence, body FROM history WHERE pipeline = (SELECT id FROM ids WHERE text = ?3) AND sequence > ?1 ORDER BY sequence LIMIT ?2",
                Some(pipeline.to_string()),
            ),
            HistoryFilter::Execution(execution) => (
                "SELECT sequence, body FROM history WHERE execution = (SELECT id FROM ids WHERE text = ?3) AND sequence > ?1 ORDER BY sequence LIMIT ?2",
                Some(execution.to_string()),
            ),
        };
        self.readers
            .run(move |connection| {
                let mut statement = connection.prepare_cached(sql)?;
                let rows = statement.query_map((to_i64(after), limit, of), sequence_and_body)?;
                rows.map(|row| Ok(decode(row?)?)).collect()
            })
            .await
    }

    async fn history_end(&self) -> Result<u64, StoreError> {
        self.readers
            .run(|connection| {
                Ok(connection
                    .prepare_cached("SELECT history FROM counters WHERE id = 0")?
                    .query_row((), |row| Ok(to_u64(row.get(0)?)))?)
            })
            .await
    }
}
