//! The generic durable document store that every embedded service sits on: versioned bodies under
//! (collection, partition, key), ordered bytewise by key, written atomically with expectations.
//!
//! The body is its owner's serialized form; nothing here looks inside it.

use std::future::Future;
use std::ops::Bound;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::{BODY_BYTES_MAX, COMMAND_WRITES_MAX, KEY_BYTES_MAX, PAGE_MAX};
use crate::{StoreError, Versioned};

/// Where a document lives. Documents are ordered bytewise by `key` within (collection, partition).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub collection: String,
    pub partition: String,
    pub key: String,
}

impl Key {
    pub fn new(collection: impl Into<String>, partition: impl Into<String>, key: impl Into<String>) -> Self {
        Self { collection: collection.into(), partition: partition.into(), key: key.into() }
    }
}

/// A stored document. `version` is opaque: it only grows, and never comes back after a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub key: String,
    pub version: u64,
    pub body: Vec<u8>,
}

impl Document {
    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        serde_json::from_slice(&self.body).map_err(|error| StoreError::Corrupt {
            what: format!("the stored document `{}`", self.key),
            reason: error.to_string(),
        })
    }
}

/// What must hold for a write to happen, judged against the state before the whole command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    Any,
    Absent,
    Version(u64),
}

impl Expect {
    /// Whether a document at `found` (none: there is no document) meets the expectation.
    #[must_use]
    pub fn holds(self, found: Option<u64>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => found.is_none(),
            Self::Version(version) => found == Some(version),
        }
    }
}

/// One change. Deleting what is not there is no error unless a version was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    Put { key: Key, body: Vec<u8>, expect: Expect },
    Delete { key: Key, expect: Expect },
}

impl Write {
    /// A put of `value` as JSON.
    pub fn put_json<T: Serialize + ?Sized>(key: Key, value: &T, expect: Expect) -> Result<Self, StoreError> {
        let body = serde_json::to_vec(value).map_err(|source| StoreError::Encode { what: "a document", source })?;
        Ok(Self::Put { key, body, expect })
    }

    #[must_use]
    pub fn delete(key: Key, expect: Expect) -> Self {
        Self::Delete { key, expect }
    }

    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }

    #[must_use]
    pub fn expect(&self) -> Expect {
        match self {
            Self::Put { expect, .. } | Self::Delete { expect, .. } => *expect,
        }
    }
}

/// A range of keys. `reverse` turns the order of the answer, not the meaning of `from` and `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    pub from: Bound<String>,
    pub to: Bound<String>,
    /// At most [`PAGE_MAX`]; more is refused. Page with [`Scan::after`].
    pub limit: usize,
    pub reverse: bool,
}

impl Scan {
    /// Every key, up to [`PAGE_MAX`] of them.
    #[must_use]
    pub fn all() -> Self {
        Self { from: Bound::Unbounded, to: Bound::Unbounded, limit: PAGE_MAX, reverse: false }
    }

    /// Every key that starts with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &str) -> Self {
        let from = if prefix.is_empty() { Bound::Unbounded } else { Bound::Included(prefix.to_owned()) };
        let to = prefix_end(prefix).map_or(Bound::Unbounded, Bound::Excluded);
        Self { from, to, limit: PAGE_MAX, reverse: false }
    }

    /// Only keys past `key`, in the direction of the scan: the next page after one that ended with `key`. Call it after
    /// [`Scan::reversed`].
    #[must_use]
    pub fn after(mut self, key: impl Into<String>) -> Self {
        let bound = Bound::Excluded(key.into());
        if self.reverse {
            self.to = bound;
        } else {
            self.from = bound;
        }
        self
    }

    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    #[must_use]
    pub fn reversed(mut self) -> Self {
        self.reverse = true;
        self
    }

    /// Whether no key can be in the range, which ordered maps refuse to be asked about.
    pub(crate) fn is_empty(&self) -> bool {
        match (&self.from, &self.to) {
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
            (Bound::Included(from), Bound::Included(to)) => from > to,
            (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from >= to,
        }
    }
}

/// The first string past every string with this prefix. UTF-8 sorts by code point, so the last character that can grow
/// grows by one; a prefix made of the last code point alone has no end.
fn prefix_end(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            other => char::from_u32(u32::from(other) + 1),
        };
        if let Some(next) = next {
            end.push(next);
            return Some(end);
        }
    }
    None
}

/// Versioned bodies by key.
#[async_trait]
pub trait Documents: Send + Sync {
    async fn get(&self, collection: &str, partition: &str, key: &str) -> Result<Option<Document>, StoreError>;

    /// Documents of a range of keys, in key order.
    async fn scan(&self, collection: &str, partition: &str, scan: Scan) -> Result<Vec<Document>, StoreError>;

    /// The partitions of a collection that hold at least one document, in order.
    async fn partitions(&self, collection: &str) -> Result<Vec<String>, StoreError>;

    /// Makes all the changes or none, durably before it answers. Expectations are judged against the state before the
    /// command; the changes are then made in order. Answers the version that every document put here now has.
    async fn write(&self, writes: Vec<Write>) -> Result<u64, StoreError>;
}

/// Typed conveniences over [`Documents`], for values kept as JSON.
pub trait DocumentsExt: Documents {
    fn get_json<T: DeserializeOwned + Send>(
        &self,
        collection: &str,
        partition: &str,
        key: &str,
    ) -> impl Future<Output = Result<Option<Versioned<T>>, StoreError>> + Send {
        async move {
            match self.get(collection, partition, key).await? {
                Some(document) => Ok(Some(Versioned { value: document.json()?, version: document.version })),
                None => Ok(None),
            }
        }
    }

    /// Keys with their values.
    fn scan_json<T: DeserializeOwned + Send>(
        &self,
        collection: &str,
        partition: &str,
        scan: Scan,
    ) -> impl Future<Output = Result<Vec<(String, Versioned<T>)>, StoreError>> + Send {
        async move {
            let documents = self.scan(collection, partition, scan).await?;
            documents
                .into_iter()
                .map(|document| {
                    let value = document.json()?;
                    Ok((document.key, Versioned { value, version: document.version }))
                })
                .collect()
        }
    }

    /// Answers the new version.
    fn put_json<T: Serialize + Sync + ?Sized>(
        &self,
        key: Key,
        value: &T,
        expect: Expect,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send {
        let write = Write::put_json(key, value, expect);
        async move { self.write(vec![write?]).await }
    }

    fn delete(&self, key: Key, expect: Expect) -> impl Future<Output = Result<(), StoreError>> + Send {
        async move { self.write(vec![Write::Delete { key, expect }]).await.map(|_| ()) }
    }
}

impl<D: Documents + ?Sized> DocumentsExt for D {}

/// Refuses what is past a limit, before it reaches a backend.
pub(crate) fn check_writes(writes: &[Write]) -> Result<(), StoreError> {
    bounded("documents in one write", writes.len(), COMMAND_WRITES_MAX)?;
    for write in writes {
        let key = write.key();
        let longest = key.collection.len().max(key.partition.len()).max(key.key.len());
        bounded("bytes in a document key", longest, KEY_BYTES_MAX)?;
        if let Write::Put { body, .. } = write {
            bounded("bytes in a document", body.len(), BODY_BYTES_MAX)?;
        }
    }
    Ok(())
}

pub(crate) fn bounded(what: &'static str, found: usize, limit: usize) -> Result<(), StoreError> {
    if found > limit { Err(StoreError::TooLarge { what, found, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_end_is_the_next_string_without_the_prefix() {
        assert_eq!(prefix_end("a/"), Some("a0".to_owned()));
        assert_eq!(prefix_end("a\u{10FFFF}"), Some("b".to_owned()));
        assert_eq!(prefix_end("\u{D7FF}"), Some("\u{E000}".to_owned()));
        assert_eq!(prefix_end("\u{10FFFF}"), None);
        assert_eq!(prefix_end(""), None);
    }

    #[test]
    fn only_a_range_without_room_is_empty() {
        let range = |from: Bound<&str>, to: Bound<&str>| {
            Scan { from: from.map(str::to_owned), to: to.map(str::to_owned), limit: 1, reverse: false }.is_empty()
        };
        assert!(!range(Bound::Included("a"), Bound::Included("a")));
        assert!(range(Bound::Excluded("a"), Bound::Included("a")));
        assert!(range(Bound::Included("b"), Bound::Excluded("a")));
        assert!(!range(Bound::Unbounded, Bound::Excluded("")));
    }
}
