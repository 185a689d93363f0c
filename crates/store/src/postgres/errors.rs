//! PostgreSQL's errors as [`StoreError`]s.

use std::path::PathBuf;

use deadpool_postgres::PoolError;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::StoreError;

/// Which database, in words that hold no password.
#[derive(Debug, Clone)]
pub(super) struct Named(pub(super) String);

/// Why a statement failed: in the database or on the way to it, or in what a row holds.
#[derive(Debug)]
pub(super) enum Failure {
    Database(Error),
    Pool(PoolError),
    Store(StoreError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => Self::Database(error),
            other => Self::Pool(other),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Named {
    pub(super) fn failed(&self, attempted: &str, failure: impl Into<Failure>) -> StoreError {
        let attempted = format!("{attempted} the database {}", self.0);
        match failure.into() {
            Failure::Store(error) => error,
            Failure::Database(error) if error.code() == Some(&SqlState::DISK_FULL) => {
                StoreError::DiskFull { path: PathBuf::from(&self.0) }
            }
            Failure::Database(error) => StoreError::io(attempted, error),
            Failure::Pool(error) => StoreError::io(attempted, error),
        }
    }
}

/// Whether the same statements may succeed when they are tried again: two writers met, and nothing was done.
pub(super) fn met_another(error: &Error) -> bool {
    [SqlState::UNIQUE_VIOLATION, SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED]
        .iter()
        .any(|code| error.code() == Some(code))
}

/// Whether the connection is of no more use; what it was told last may have been done or not.
pub(super) fn lost(error: &Error) -> bool {
    let ended_by_server = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    match error.code() {
        None => true,
        Some(code) => ended_by_server.contains(code),
    }
}
