//! SQLite's result codes as [`StoreError`]s.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::StoreError;

/// What was attempted on which file, to be completed with why it failed.
#[derive(Debug, Clone)]
pub(super) struct Failed {
    attempted: &'static str,
    path: PathBuf,
}

impl Failed {
    pub(super) fn to(attempted: &'static str, path: &Path) -> Self {
        Self { attempted, path: path.to_owned() }
    }

    pub(super) fn because(&self, error: rusqlite::Error) -> StoreError {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::DiskFull { path: self.path.clone() },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt {
                what: format!("the database `{}`", self.path.display()),
                reason: error.to_string(),
            },
            _ => StoreError::io(format!("{} `{}`", self.attempted, self.path.display()), error),
        }
    }
}
