//! The small numbers that pipelines and executions have inside the database.

use hashlink::LruCache;
use rusqlite::{Connection, OptionalExtension};

use crate::limits::CACHED_IDS_MAX;

/// Looks numbers up and gives new ones; belongs to the writer.
pub(super) struct Ids {
    known: LruCache<String, i64>,
}

impl Ids {
    pub(super) fn new() -> Self {
        Self { known: LruCache::new(CACHED_IDS_MAX) }
    }

    /// Forgets what it knows, because a rollback may have taken back numbers it gave.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    pub(super) fn find(&mut self, connection: &Connection, text: &str) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.known.get(text) {
            return Ok(Some(*id));
        }
        let found: Option<i64> = connection
            .prepare_cached("SELECT id FROM ids WHERE text = ?1")?
            .query_row((text,), |row| row.get(0))
            .optional()?;
        if let Some(id) = found {
            self.known.insert(text.to_owned(), id);
        }
        Ok(found)
    }

    /// Takes a number out of use; answers what it stood for.
    pub(super) fn remove(&mut self, connection: &Connection, id: i64) -> rusqlite::Result<Option<String>> {
        let text: Option<String> = connection
            .prepare_cached("DELETE FROM ids WHERE id = ?1 RETURNING text")?
            .query_row((id,), |row| row.get(0))
            .optional()?;
        if let Some(text) = &text {
            self.known.remove(text.as_str());
        }
        Ok(text)
    }

    pub(super) fn find_or_give(&mut self, connection: &Connection, text: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.find(connection, text)? {
            return Ok(id);
        }
        connection.prepare_cached("INSERT INTO ids (text) VALUES (?1)")?.execute((text,))?;
        let id = connection.last_insert_rowid();
        self.known.insert(text.to_owned(), id);
        Ok(id)
    }
}
