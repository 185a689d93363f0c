//! The store in one SQLite file: write-ahead log, full sync, one writer thread that groups commands into commits, and a
//! few read-only connections. One process per data directory.

mod actions;
mod cache;
mod commit;
mod documents;
mod errors;
mod executions;
mod history;
mod ids;
mod lock;
mod nodes;
mod pipelines;
mod readers;
mod retention;
mod schema;
mod tasks;
mod writer;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};
use tracing::info;

use crate::StoreError;
use crate::limits::STATEMENTS_MAX;
use crate::retention::Resume;
use errors::Failed;
use lock::DirectoryLock;
use nodes::NodeList;
use readers::Readers;
pub use writer::WriteCounters;
use writer::Writer;

/// The database inside the data directory.
const FILE: &str = "state.db";
const PAGE_BYTES: &str = "8192";

/// How to open a [`SqliteStore`].
#[derive(Debug, Clone, Default)]
pub struct SqliteOptions {
    /// The database refuses to grow past this many pages of 8 KiB, as if the disk were full. None: no limit.
    pub pages_max: Option<u32>,
    /// Answer every read from the database, none from the rows kept in memory.
    pub uncached: bool,
}

/// Durable state in `DIR/state.db`. Dropping it finishes what is queued, closes the file and frees the directory.
#[derive(Debug)]
pub struct SqliteStore {
    // Dropped in this order. The last connection to close moves the log into the database, which a reader cannot do; and
    // the lock goes last.
    readers: Arc<Readers>,
    writer: Writer,
    nodes: NodeList,
    prune_resume: Resume<i64>,
    directory: PathBuf,
    _lock: DirectoryLock,
}

impl SqliteStore {
    /// Opens the data directory, making it when it is not there, and brings its schema up to date. Blocks; it belongs
    /// in start-up.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_with(directory, &SqliteOptions::default())
    }

    pub fn open_with(directory: &Path, options: &SqliteOptions) -> Result<Self, StoreError> {
        std::fs::create_dir_all(directory)
            .map_err(|error| StoreError::io(format!("make the data directory `{}`", directory.display()), error))?;
        let lock = DirectoryLock::take(directory)?;
        let path = directory.join(FILE);
        let mut connection = open_write(&path, options)?;
        let migrated = schema::migrate(&mut connection, &path)?;
        if let Some((from, to)) = migrated {
            info!(path = %path.display(), from, to, "store schema brought up to date");
        }
        let readers = Arc::new(Readers::new(path.clone()));
        let writer = Writer::start(connection, &path, !options.uncached)?;
        Ok(Self {
            writer,
            readers,
            nodes: NodeList::new(),
            prune_resume: Resume::default(),
            directory: directory.to_owned(),
            _lock: lock,
        })
    }

    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// How many commands were written in how many transactions since the store was opened.
    #[must_use]
    pub fn write_counters(&self) -> WriteCounters {
        self.writer.counters()
    }
}

fn open_write(path: &Path, options: &SqliteOptions) -> Result<Connection, StoreError> {
    let failed = Failed::to("open", path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| failed.because(error))?;
    let set =
        |name: &str, value: &str| connection.pragma_update(None, name, value).map_err(|error| failed.because(error));
    set("busy_timeout", "5000")?;
    // Only a new file takes it. Twice the default: half the writes for a commit, and an execution fits into one page.
    set("page_size", PAGE_BYTES)?;
    set("journal_mode", "WAL")?;
    set("synchronous", "FULL")?;
    // Elsewhere these change nothing; on macOS a plain fsync does not reach the platter.
    set("fullfsync", "ON")?;
    set("checkpoint_fullfsync", "ON")?;
    set("temp_store", "MEMORY")?;
    set("cache_size", "-65536")?;
    if let Some(pages) = options.pages_max {
        set("max_page_count", &pages.to_string())?;
    }
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}
