//! Documents as rows.

use std::ops::Bound;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::SqliteStore;
use super::writer::Work;
use crate::StoreError;
use crate::documents::{Document, Documents, Expect, Scan, Write, bounded, check_writes};
use crate::error;
use crate::limits::PAGE_MAX;
use crate::stored::{to_i64, to_u64};

/// The first expectation that does not hold, if any. Writes nothing.
pub(super) fn check(connection: &Connection, writes: &[Write]) -> rusqlite::Result<Option<StoreError>> {
    for write in writes {
        if write.expect() == Expect::Any {
            continue;
        }
        let key = write.key();
        let found: Option<i64> = connection
            .prepare_cached("SELECT version FROM documents WHERE collection = ?1 AND partition = ?2 AND key = ?3")?
            .query_row((&key.collection, &key.partition, &key.key), |row| row.get(0))
            .optional()?;
        if !write.expect().holds(found.map(to_u64)) {
            return Ok(Some(StoreError::Conflict { row: error::Row::Document, key: key.key.clone() }));
        }
    }
    Ok(None)
}

/// Makes the changes, unconditionally.
pub(super) fn apply(connection: &Connection, writes: &[Write], version: u64) -> rusqlite::Result<()> {
    for write in writes {
        match write {
            Write::Put { key, body, .. } => {
                connection
                    .prepare_cached(
                        "INSERT INTO documents (collection, partition, key, version, body) VALUES (?1, ?2, ?3, ?4, ?5) \
                         ON CONFLICT (collection, partition, key) \
                         DO UPDATE SET version = excluded.version, body = excluded.body",
                    )?
                    .execute((&key.collection, &key.partition, &key.key, to_i64(version), body))?;
            }
            Write::Delete { key, .. } => {
                connection
                    .prepare_cached("DELETE FROM documents WHERE collection = ?1 AND partition = ?2 AND key = ?3")?
                    .execute((&key.collection, &key.partition, &key.key))?;
            }
        }
    }
    Ok(())
}

fn document(row: &Row<'_>) -> rusqlite::Result<Document> {
    Ok(Document { key: row.get(0)?, version: to_u64(row.get(1)?), body: row.get(2)? })
}

/// The statement for a range: a fixed text for each shape of bounds and direction, so that it stays prepared.
fn scan_sql(scan: &Scan) -> String {
    let from = match scan.from {
        Bound::Included(_) => "AND key >= :from",
        Bound::Excluded(_) => "AND key > :from",
        Bound::Unbounded => "AND :from IS NULL",
    };
    let to = match scan.to {
        Bound::Included(_) => "AND key <= :to",
        Bound::Excluded(_) => "AND key < :to",
        Bound::Unbounded => "AND :to IS NULL",
    };
    let order = if scan.reverse { "DESC" } else { "ASC" };
    format!(
        "SELECT key, version, body FROM documents WHERE collection = :collection AND partition = :partition \
         {from} {to} ORDER BY key {order} LIMIT :limit"
    )
}

fn bound_value(bound: &Bound<String>) -> Option<&str> {
    match bound {
        Bound::Included(value) | Bound::Excluded(value) => Some(value),
        Bound::Unbounded => None,
    }
}

#[async_trait]
impl Documents for SqliteStore {
    async fn get(&self, collection: &str, partition: &str, key: &str) -> Result<Option<Document>, StoreError> {
        let (collection, partition, key) = (collection.to_owned(), partition.to_owned(), key.to_owned());
        self.readers
            .run(move |connection| {
                Ok(connection
                    .prepare_cached(
                        "SELECT key, version, body FROM documents \
                         WHERE collection = ?1 AND partition = ?2 AND key = ?3",
                    )?
                    .query_row((collection, partition, key), document)
                    .optional()?)
            })
            .await
    }

    async fn scan(&self, collection: &str, partition: &str, scan: Scan) -> Result<Vec<Document>, StoreError> {
        bounded("documents in one scan", scan.limit, PAGE_MAX)?;
        let (collection, partition) = (collection.to_owned(), partition.to_owned());
        self.readers
            .run(move |connection| {
                let mut statement = connection.prepare_cached(&scan_sql(&scan))?;
                let limit = i64::try_from(scan.limit).unwrap_or(i64::MAX);
                let rows = statement.query_map(
                    named_params! {
                        ":collection": collection,
                        ":partition": partition,
                        ":from": bound_value(&scan.from),
                        ":to": bound_value(&scan.to),
                        ":limit": limit,
                    },
                    document,
                )?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    async fn partitions(&self, collection: &str) -> Result<Vec<String>, StoreError> {
        let collection = collection.to_owned();
        self.readers
            .run(move |connection| {
                // From one partition to the next by index, instead of through every document.
                let mut statement = connection.prepare_cached(
                    "WITH RECURSIVE found (partition) AS ( \
                       SELECT min(partition) FROM documents WHERE collection = ?1 \
                       UNION ALL \
                       SELECT (SELECT min(partition) FROM documents WHERE collection = ?1 AND partition > found.partition) \
                       FROM found WHERE found.partition IS NOT NULL \
                     ) SELECT partition FROM found WHERE partition IS NOT NULL",
                )?;
                let rows = statement.query_map((collection,), |row| row.get(0))?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<u64, StoreError> {
        check_writes(&writes)?;
        Ok(self.writer.submit(Work::Documents(writes)).await?.numbers.version)
    }
}
