//! The schema and how it came to be: a numbered list of migrations, applied in order, each in one transaction with its
//! number. A database with a higher number than the list is refused untouched.
//!
//! To change the schema, append to the list. A migration that was ever released is never edited.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::errors::Failed;
use crate::StoreError;

/// "TWPT": tells a Towpath database from any other SQLite file.
const APPLICATION_ID: i32 = 0x5457_5054;

/// Migration N is the Nth entry, starting at 1.
const MIGRATIONS: &[&str] = &[
    include_str!("schema/0001_documents.sql"),
    include_str!("schema/0002_pipelines.sql"),
    include_str!("schema/0003_rules_retention.sql"),
];

fn supported() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// Applies what is missing. Answers (from, to) when anything was.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<Option<(u32, u32)>, StoreError> {
    let failed = Failed::to("read the schema of", path);
    let number = |name: &str| -> Result<i64, StoreError> {
        connection.pragma_query_value(None, name, |row| row.get(0)).map_err(|error| failed.because(error))
    };
    let application = number("application_id")?;
    let found = u32::try_from(number("user_version")?).unwrap_or(u32::MAX);
    let foreign = if application == 0 && found == 0 {
        // A fresh file, or a stranger's that never set either: only an empty one is ours to fill.
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))
            .map_err(|error| failed.because(error))?;
        tables > 0
    } else {
        application != i64::from(APPLICATION_ID)
    };
    if foreign {
        return Err(StoreError::Corrupt {
            what: format!("the database `{}`", path.display()),
            reason: "it is not a Towpath database".to_owned(),
        });
    }
    if found > supported() {
        return Err(StoreError::NewerSchema { found, supported: supported(), path: path.to_owned() });
    }
    let missing = MIGRATIONS.iter().enumerate().skip(usize::try_from(found).unwrap_or(usize::MAX));
    let failed = Failed::to("bring up to date the schema of", path);
    for (index, migration) in missing {
        let mut apply = || -> rusqlite::Result<()> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute_batch(migration)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", index + 1)?;
            transaction.commit()
        };
        apply().map_err(|error| failed.because(error))?;
    }
    Ok((found < supported()).then(|| (found, supported())))
}
