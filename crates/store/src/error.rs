//! What can go wrong in the store. Each message says what happened and what to do next; causes are kept as sources and
//! are not repeated in the text.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

/// The kind of row a command lost a race for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Row {
    Document,
    Gate,
    /// The (scope, name) of a new gate is taken.
    PipelineName,
    Definition,
    Execution,
    Task,
    RequestToken,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Document => "document",
            Self::Gate => "pipeline",
            Self::PipelineName => "pipeline name",
            Self::Definition => "pipeline definition",
            Self::Execution => "execution",
            Self::Task => "task",
            Self::RequestToken => "request token",
        })
    }
}

/// A failed read or write. Whatever the variant, a command that answers with one has changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An expectation did not hold: someone else wrote first.
    #[error("{row} `{key}` is not at the expected version: someone else wrote it first; load it again and repeat")]
    Conflict { row: Row, key: String },

    /// The data directory was written by a newer Towpath.
    #[error(
        "`{}` has schema {found}, this towpath knows up to {supported}: it is a data directory of a newer version; \
         start that version, or choose another --data-dir", path.display()
    )]
    NewerSchema { found: u32, supported: u32, path: PathBuf },

    /// The database was written by a newer Towpath.
    #[error(
        "the database {database} has schema {found}, this towpath knows up to {supported}: it is a database of a newer \
         version; start that version, or choose another --database-url"
    )]
    NewerDatabase { found: u32, supported: u32, database: String },

    /// The database URL cannot be used.
    #[error(
        "the --database-url cannot be used: {reason}; it has the form \
         postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
    )]
    DatabaseUrl { reason: String },

    /// Another live process holds the data directory.
    #[error("`{}` is in use by {holder}: one process per data directory; stop it, or choose another --data-dir", path.display())]
    DirectoryInUse { path: PathBuf, holder: String },

    /// No room for the write. Everything acknowledged before is safe.
    #[error("no space left for `{}`: nothing was written and nothing is lost; free some space and repeat", path.display())]
    DiskFull { path: PathBuf },

    /// What is stored cannot be understood.
    #[error("{what} cannot be read: {reason}; restore the data directory from a backup")]
    Corrupt { what: String, reason: String },

    /// A limit of [`crate::limits`].
    #[error("{what}: {found}, the limit is {limit}")]
    TooLarge { what: &'static str, found: usize, limit: usize },

    /// A value could not be turned into its stored form.
    #[error("{what} cannot be stored")]
    Encode {
        what: &'static str,
        #[source]
        source: serde_json::Error,
    },

    /// The operating system or the database engine failed.
    #[error("could not {attempted}")]
    Io {
        attempted: String,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },

    /// The store was shut down while the command waited.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether loading again and repeating can succeed.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    pub(crate) fn conflict(row: Row, key: &str) -> Self {
        Self::Conflict { row, key: key.to_owned() }
    }

    pub(crate) fn io(attempted: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Io { attempted: attempted.into(), source: Box::new(source) }
    }
}
