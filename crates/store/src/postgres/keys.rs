//! A document's key as columns. PostgreSQL's index takes so many bytes of a key; of a longer one it holds the head, and
//! a hash of the rest that keeps it unique. Head and rest together sort as the key does.

use sha2::{Digest as _, Sha256};

use crate::StoreError;
use crate::documents::{Key, Write, bounded};
use crate::limits::{POSTGRES_KEY_HEAD_BYTES, POSTGRES_PARTITION_BYTES_MAX};

/// A key in two parts.
pub(super) struct Parts<'a> {
    pub(super) head: &'a [u8],
    pub(super) tail: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(super) fn of(key: &'a str) -> Self {
        let (head, tail) = key.as_bytes().split_at(key.len().min(POSTGRES_KEY_HEAD_BYTES));
        Self { head, tail }
    }

    /// Empty where there is no rest.
    pub(super) fn tail_hash(&self) -> Vec<u8> {
        if self.tail.is_empty() { Vec::new() } else { Sha256::digest(self.tail).to_vec() }
    }
}

/// The key again.
pub(super) fn joined(head: &[u8], tail: &[u8]) -> Result<String, StoreError> {
    text([head, tail].concat())
}

pub(super) fn text(bytes: Vec<u8>) -> Result<String, StoreError> {
    String::from_utf8(bytes)
        .map_err(|error| StoreError::Corrupt { what: "a document's key".to_owned(), reason: error.to_string() })
}

pub(super) fn check(writes: &[Write]) -> Result<(), StoreError> {
    for key in writes.iter().map(Write::key) {
        let bytes = key.collection.len() + key.partition.len();
        bounded("bytes in a document's collection and partition", bytes, POSTGRES_PARTITION_BYTES_MAX)?;
    }
    Ok(())
}

/// Keys as columns of parameters.
#[derive(Default)]
pub(super) struct KeyColumns<'a> {
    pub(super) collections: Vec<&'a [u8]>,
    pub(super) partitions: Vec<&'a [u8]>,
    pub(super) heads: Vec<&'a [u8]>,
    pub(super) tails: Vec<&'a [u8]>,
    pub(super) tail_hashes: Vec<Vec<u8>>,
}

impl<'a> KeyColumns<'a> {
    pub(super) fn push(&mut self, key: &'a Key) {
        let parts = Parts::of(&key.key);
        self.collections.push(key.collection.as_bytes());
        self.partitions.push(key.partition.as_bytes());
        self.heads.push(parts.head);
        self.tails.push(parts.tail);
        self.tail_hashes.push(parts.tail_hash());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }
}
