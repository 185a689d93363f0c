//! Durable state behind narrow traits: documents for the embedded services; pipelines, executions, actions, history and
//! the outbox for the orchestrator. Three backends, memory, SQLite and PostgreSQL, held to one contract suite.
//!
//! This crate stores what others decided. It must not decide anything about a pipeline, must not speak HTTP, and must
//! not read a clock: every time it stores or compares is an argument. Stored shapes carry a format version and stop
//! here.

mod commit;
pub mod documents;
mod error;
pub mod limits;
mod memory;
mod nodes;
mod postgres;
mod prepared;
mod reads;
mod retention;
mod sqlite;
mod stored;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

#[cfg(test)]
mod contract;

pub use commit::{Commit, Commits, Committed, RequestToken};
pub use documents::{Document, Documents, DocumentsExt, Expect, Key, Scan, Write};
pub use error::{Row, StoreError};
pub use memory::MemoryStore;
pub use nodes::Nodes;
pub use postgres::PostgresStore;
pub use reads::{
    ActionFilter, Actions, Cursor, ExecutionFilter, Executions, History, HistoryFilter, InvalidCursor, Loaded, Page,
    Pipelines, Store, Tasks,
};
pub use retention::Retention;
pub use sqlite::{SqliteOptions, SqliteStore, WriteCounters};

/// A stored value together with the version a later write must expect in order to replace exactly it.
///
/// Versions only ever grow, across deletion and re-creation too, so an old version can never match a new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    pub value: T,
    pub version: u64,
}
