//! The schema and how it came to be: a numbered list of migrations, applied in order in one transaction under a lock, so
//! that nodes that start together wait for the first. A database with a higher number than the list is refused
//! untouched.
//!
//! To change the schema, append to the list. A migration that was ever released is never edited.

use deadpool_postgres::Pool;

use super::errors::{Failure, Named};
use crate::StoreError;

/// Migration N is the Nth entry, starting at 1.
const MIGRATIONS: &[&str] = &[include_str!("schema/0001_towpath.sql")];

/// "TWPT": the first half of the lock's key; the second is the schema's.
const LOCK: i32 = 0x5457_5054;

fn supported() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// Applies what is missing. Answers (from, to) when anything was.
pub(super) async fn migrate(pool: &Pool, named: &Named) -> Result<Option<(u32, u32)>, StoreError> {
    migrate_steps(pool, named).await.map_err(|failure| named.failed("bring up to date the schema of", failure))
}

async fn migrate_steps(pool: &Pool, named: &Named) -> Result<Option<(u32, u32)>, Failure> {
    let mut connection = pool.get().await?;
    let transaction = connection.transaction().await?;
    // Neither a large table nor another node's migration is cut short.
    transaction.batch_execute("SET LOCAL statement_timeout = 0").await?;
    let schema: Option<String> = transaction.query_one("SELECT current_schema()::text", &[]).await?.get(0);
    let Some(schema) = schema else {
        let reason = "its search_path names no schema that exists".to_owned();
        return Err(StoreError::DatabaseUrl { reason }.into());
    };
    transaction.execute("SELECT pg_advisory_xact_lock($1, hashtext($2))", &[&LOCK, &schema]).await?;
    transaction.batch_execute("CREATE TABLE IF NOT EXISTS towpath_schema (number BIGINT PRIMARY KEY)").await?;
    let found: i64 = transaction.query_one("SELECT coalesce(max(number), 0) FROM towpath_schema", &[]).await?.get(0);
    let found = u32::try_from(found).unwrap_or(u32::MAX);
    if found > supported() {
        return Err(StoreError::NewerDatabase { found, supported: supported(), database: named.0.clone() }.into());
    }
    for (number, migration) in (1_i64..).zip(MIGRATIONS).skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        transaction.batch_execute(migration).await?;
        transaction.execute("INSERT INTO towpath_schema (number) VALUES ($1)", &[&number]).await?;
    }
    transaction.commit().await?;
    Ok((found < supported()).then(|| (found, supported())))
}
