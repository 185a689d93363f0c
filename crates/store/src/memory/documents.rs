//! Documents in ordered maps.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::MemoryStore;
use crate::StoreError;
use crate::documents::{Document, Documents, Scan, Write, bounded, check_writes};
use crate::error::Row;
use crate::limits::PAGE_MAX;
use crate::nodes::announce;

type Partition = BTreeMap<String, (u64, Vec<u8>)>;

/// collection -> partition -> key -> (version, body). An empty partition is removed.
#[derive(Debug, Default)]
pub(super) struct DocumentRows(BTreeMap<String, BTreeMap<String, Partition>>);

impl DocumentRows {
    fn partition(&self, collection: &str, partition: &str) -> Option<&Partition> {
        self.0.get(collection)?.get(partition)
    }

    pub(super) fn check(&self, writes: &[Write]) -> Result<(), StoreError> {
        for write in writes {
            let key = write.key();
            let found =
                self.partition(&key.collection, &key.partition).and_then(|rows| rows.get(&key.key)).map(|row| row.0);
            if !write.expect().holds(found) {
                return Err(StoreError::Conflict { row: Row::Document, key: key.key.clone() });
            }
        }
        Ok(())
    }

    /// Only after [`Self::check`]: this cannot fail.
    pub(super) fn apply(&mut self, writes: Vec<Write>, version: u64) {
        for write in writes {
            match write {
                Write::Put { key, body, .. } => {
                    let collection = self.0.entry(key.collection).or_default();
                    collection.entry(key.partition).or_default().insert(key.key, (version, body));
                }
                Write::Delete { key, .. } => {
                    let Some(collection) = self.0.get_mut(&key.collection) else { continue };
                    let Some(rows) = collection.get_mut(&key.partition) else { continue };
                    rows.remove(&key.key);
                    if rows.is_empty() {
                        collection.remove(&key.partition);
                    }
                }
            }
        }
    }
}

#[async_trait]
impl Documents for MemoryStore {
    async fn get(&self, collection: &str, partition: &str, key: &str) -> Result<Option<Document>, StoreError> {
        let state = self.state();
        let row = state.documents.partition(collection, partition).and_then(|rows| rows.get(key));
        Ok(row.map(|(version, body)| Document { key: key.to_owned(), version: *version, body: body.clone() }))
    }

    async fn scan(&self, collection: &str, partition: &str, scan: Scan) -> Result<Vec<Document>, StoreError> {
        bounded("documents in one scan", scan.limit, PAGE_MAX)?;
        if scan.is_empty() {
            return Ok(Vec::new());
        }
        let state = self.state();
        let Some(rows) = state.documents.partition(collection, partition) else { return Ok(Vec::new()) };
        let range = rows.range((scan.from, scan.to));
        let document = |(key, (version, body)): (&String, &(u64, Vec<u8>))| Document {
            key: key.clone(),
            version: *version,
            body: body.clone(),
        };
        Ok(if scan.reverse {
            range.rev().take(scan.limit).map(document).collect()
        } else {
            range.take(scan.limit).map(document).collect()
        })
    }

    async fn partitions(&self, collection: &str) -> Result<Vec<String>, StoreError> {
        Ok(self.state().documents.0.get(collection).map(|rows| rows.keys().cloned().collect()).unwrap_or_default())
    }

    async fn write(&self, writes: Vec<Write>) -> Result<u64, StoreError> {
        check_writes(&writes)?;
        let mut state = self.state();
        state.documents.check(&writes)?;
        state.version += 1;
        let version = state.version;
        state.documents.apply(writes, version);
        announce(&self.committed, version);
        Ok(version)
    }
}
