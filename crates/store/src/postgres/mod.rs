//! The store in a PostgreSQL database that several nodes share: a pool of connections for reads, a few writers that
//! group commands into commits, and a connection that hears of other nodes' commits. Nothing is cached: what is read is
//! what is committed.

mod actions;
mod connect;
mod documents;
mod errors;
mod executions;
mod history;
mod judge;
mod keys;
mod listener;
mod nodes;
mod pipelines;
mod read_known;
mod retention;
mod schema;
mod session;
mod tasks;
mod write_batch;
mod writer;

#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use deadpool_postgres::Pool;
use tokio::sync::watch;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use tracing::info;

use crate::StoreError;
use crate::commit::{Commit, Commits, Committed};
use crate::prepared::Prepared;
use crate::retention::Resume;
use crate::sqlite::WriteCounters;
use errors::{Failure, Named};
use listener::Listener;
use writer::{Work, Writers};

/// Durable state in a PostgreSQL database, in the first schema of its search path. Any number of nodes may have it open.
#[derive(Debug)]
pub struct PostgresStore {
    pool: Pool,
    named: Named,
    writers: Writers,
    listener: Listener,
    prune_resume: Resume<String>,
}

impl PostgresStore {
    /// Connects, and brings the schema up to date; nodes that start together wait for each other. The URL is one of
    /// libpq's: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let (config, named) = connect::config(url)?;
        let pool = connect::pool(config.clone(), &named)?;
        if let Some((from, to)) = schema::migrate(&pool, &named).await? {
            info!(database = %named.0, from, to, "store schema brought up to date");
        }
        let row = one(&pool, "SELECT current_schema()::text, version FROM counters WHERE id = 0", &[])
            .await
            .map_err(|failure| named.failed("read from", failure))?;
        let channel = format!("towpath.{}", row.get::<_, String>(0));
        let committed = Arc::new(watch::Sender::new(crate::stored::to_u64(row.get(1))));
        let listener = Listener::start(config, named.clone(), channel.clone(), Arc::clone(&committed));
        let writers = Writers::start(&pool, &named, &channel, &committed);
        Ok(Self { pool, named, writers, listener, prune_resume: Resume::default() })
    }

    /// How many commands were written in how many transactions since the store was opened.
    #[must_use]
    pub fn write_counters(&self) -> WriteCounters {
        self.writers.counters()
    }

    async fn read(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        all(&self.pool, sql, parameters).await.map_err(|failure| self.named.failed("read from", failure))
    }

    async fn read_one(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, StoreError> {
        Ok(self.read(sql, parameters).await?.into_iter().next())
    }

    /// For commands that have no expectations and need no numbers, and are done in one statement.
    async fn execute(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        all(&self.pool, sql, parameters).await.map_err(|failure| self.named.failed("write to", failure))
    }
}

async fn all(pool: &Pool, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Failure> {
    #[cfg(test)]
    plan_tests::ran(sql);
    let client = pool.get().await?;
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, parameters).await?)
}

async fn one(pool: &Pool, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Row, Failure> {
    let client = pool.get().await?;
    Ok(client.query_one(sql, parameters).await?)
}

/// PostgreSQL counts rows in signed numbers.
fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[async_trait]
impl Commits for PostgresStore {
    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        keys::check(&commit.documents)?;
        let prepared = Prepared::new(commit)?;
        let numbers = self.writers.submit(Work::Commit(Box::new(prepared))).await?;
        Ok(Committed { version: numbers.version, first_history_sequence: numbers.first_history_sequence })
    }
}
