//! Documents as rows.

use std::ops::Bound;

use async_trait::async_trait;
use tokio_postgres::Row;

use super::keys::{self, Parts, joined, text};
use super::writer::Work;
use super::{PostgresStore, rows};
use crate::StoreError;
use crate::documents::{Document, Documents, Scan, Write, bounded, check_writes};
use crate::limits::PAGE_MAX;
use crate::stored::to_u64;

fn document(row: &Row) -> Result<Document, StoreError> {
    Ok(Document { key: joined(row.get(0), row.get(1))?, version: to_u64(row.get(2)), body: row.get(3) })
}

/// The statement for a range: a fixed text for each shape of bounds and direction, so that it stays prepared. The index
/// is in the order of the heads; the few keys that share one are put in order behind it.
fn scan_sql(scan: &Scan) -> String {
    let from = match scan.from {
        Bound::Included(_) => "AND head >= $3 AND (head, tail) >= ($3, $4)",
        Bound::Excluded(_) => "AND head >= $3 AND (head, tail) > ($3, $4)",
        Bound::Unbounded => "AND $3::bytea IS NOT NULL AND $4::bytea IS NOT NULL",
    };
    let to = match scan.to {
        Bound::Included(_) => "AND head <= $5 AND (head, tail) <= ($5, $6)",
        Bound::Excluded(_) => "AND head <= $5 AND (head, tail) < ($5, $6)",
        Bound::Unbounded => "AND $5::bytea IS NOT NULL AND $6::bytea IS NOT NULL",
    };
    let order = if scan.reverse { "DESC" } else { "ASC" };
    format!(
        "SELECT head, tail, version, body FROM documents WHERE collection = $1 AND partition = $2 {from} {to} \
         ORDER BY head {order}, tail {order} LIMIT $7"
    )
}

fn bound_value(bound: &Bound<String>) -> Parts<'_> {
    match bound {
        Bound::Included(value) | Bound::Excluded(value) => Parts::of(value),
        Bound::Unbounded => Parts::of(""),
    }
}

#[async_trait]
impl Documents for PostgresStore {
    async fn get(&self, collection: &str, partition: &str, key: &str) -> Result<Option<Document>, StoreError> {
        let parts = Parts::of(key);
        let row = self
            .read_one(
                "SELECT head, tail, version, body FROM documents \
                 WHERE collection = $1 AND partition = $2 AND head = $3 AND tail_hash = $4",
                &[&collection.as_bytes(), &partition.as_bytes(), &parts.head, &parts.tail_hash()],
            )
            .await?;
        row.as_ref().map(document).transpose()
    }

    async fn scan(&self, collection: &str, partition: &str, scan: Scan) -> Result<Vec<Document>, StoreError> {
        bounded("documents in one scan", scan.limit, PAGE_MAX)?;
        if scan.is_empty() {
            return Ok(Vec::new());
        }
        let (from, to) = (bound_value(&scan.from), bound_value(&scan.to));
        let found = self
            .read(
                &scan_sql(&scan),
                &[
                    &collection.as_bytes(),
                    &partition.as_bytes(),
                    &from.head,
                    &from.tail,
                    &to.head,
                    &to.tail,
                    &rows(scan.limit),
                ],
            )
            .await?;
        found.iter().map(document).collect()
    }

    async fn partitions(&self, collection: &str) -> Result<Vec<String>, StoreError> {
        // From one partition to the next by index, instead of through every document.
        let found = self
            .read(
                "WITH RECURSIVE found (partition) AS ( \
                   (SELECT partition FROM documents WHERE collection = $1 ORDER BY partition LIMIT 1) \
                   UNION ALL \
                   SELECT next.partition FROM found CROSS JOIN LATERAL ( \
                     SELECT d.partition FROM documents d \
                     WHERE d.collection = $1 AND d.partition > found.partition ORDER BY d.partition LIMIT 1 \
                   ) AS next \
                 ) SELECT partition FROM found",
                &[&collection.as_bytes()],
            )
            .await?;
        found.iter().map(|row| text(row.get(0))).collect()
    }

    async fn write(&self, writes: Vec<Write>) -> Result<u64, StoreError> {
        check_writes(&writes)?;
        keys::check(&writes)?;
        Ok(self.writers.submit(Work::Documents(writes)).await?.version)
    }
}
