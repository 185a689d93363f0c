//! The one writer: a thread that owns the only connection that writes. It takes whatever is queued, runs it in one
//! transaction, commits once, and then answers each command, so that the price of a sync is shared and nothing is
//! acknowledged before it is durable.
//!
//! A command checks all its expectations before its first write, so a lost race leaves nothing behind and needs no
//! savepoint. When anything else goes wrong the whole group is rolled back and each command is tried on its own, so
//! that one too large for the disk does not take its neighbours with it.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;
use rusqlite::hooks::Wal;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, error, warn};

use super::cache::Cache;
use super::commit::Writing;
use super::documents;
use super::errors::Failed;
use super::ids::Ids;
use super::nodes::Claim;
use super::retention::Prune;
use super::tasks::TaskRow;
use crate::StoreError;
use crate::documents::Write;
use crate::limits::{GROUP_MAX, STATEMENTS_MAX, WAL_NUDGE_PAGES, WAL_RESET_PAGES, WRITE_QUEUE_MAX};
use crate::nodes::announce;
use crate::prepared::Prepared;
use crate::stored::{to_i64, to_u64};

/// What the writer did since it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteCounters {
    /// Commands acknowledged as durable.
    pub commands: u64,
    /// Transactions they were committed in.
    pub transactions: u64,
    /// Commands answered with a conflict.
    pub conflicts: u64,
}

#[derive(Debug, Default)]
struct Counted {
    commands: AtomicU64,
    transactions: AtomicU64,
    conflicts: AtomicU64,
}

/// The numbers a command was given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) version: u64,
    pub(super) first_history_sequence: u64,
}

/// What a command asks for.
#[derive(Debug)]
pub(super) enum Work {
    Documents(Vec<Write>),
    Commit(Box<Prepared>),
    Prune(Prune),
    Claim(Claim),
}

/// What a command did.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) numbers: Numbers,
    pub(super) pruned: usize,
    pub(super) claimed: Vec<TaskRow>,
}

#[derive(Debug)]
struct Command {
    work: Work,
    reply: oneshot::Sender<Answer>,
}

#[derive(Debug)]
struct Answer {
    result: Result<Done, StoreError>,
    /// Given back so that the caller's thread frees it, not the writer's.
    _work: Work,
}

#[derive(Debug)]
pub(super) struct Writer {
    /// None only while dropping: closing the channel is what ends the thread.
    queue: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    counted: Arc<Counted>,
    cache: Arc<Cache>,
    committed: watch::Receiver<u64>,
}

impl Writer {
    pub(super) fn start(connection: Connection, path: &Path, cached: bool) -> Result<Self, StoreError> {
        let (queue, commands) = mpsc::channel(WRITE_QUEUE_MAX);
        let counted = Arc::new(Counted::default());
        let worker = Worker::new(connection, path, Arc::clone(&counted), cached)?;
        let cache = Arc::clone(&worker.cache);
        let committed = worker.committed.subscribe();
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || worker.run(commands))
            .map_err(|error| StoreError::io("start the store's writer thread", error))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), counted, cache, committed })
    }

    pub(super) async fn submit(&self, work: Work) -> Result<Done, StoreError> {
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(Command { work, reply }).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?.result
    }

    /// What the writer keeps up to date with its commits.
    pub(super) fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// The version of the latest commit.
    pub(super) fn committed(&self) -> watch::Receiver<u64> {
        self.committed.clone()
    }

    pub(super) fn counters(&self) -> WriteCounters {
        WriteCounters {
            commands: self.counted.commands.load(Ordering::Relaxed),
            transactions: self.counted.transactions.load(Ordering::Relaxed),
            conflicts: self.counted.conflicts.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the store's writer thread panicked");
        }
    }
}

thread_local! {
    /// Pages in the write-ahead log after the latest commit of this thread; only the writer's thread commits.
    static WAL_PAGES: Cell<u32> = const { Cell::new(0) };
}

#[expect(clippy::unnecessary_wraps, reason = "the signature is SQLite's")]
fn count_wal_pages(_wal: &Wal, pages: std::ffi::c_int) -> rusqlite::Result<()> {
    WAL_PAGES.set(u32::try_from(pages).unwrap_or(0));
    Ok(())
}

/// The last numbers given out; kept in the `counters` row and moved with each commit.
#[derive(Debug, Clone, Copy)]
struct Last {
    version: u64,
    history: u64,
}

struct Worker {
    connection: Connection,
    failed: Failed,
    last: Last,
    ids: Ids,
    counted: Arc<Counted>,
    cache: Arc<Cache>,
    committed: watch::Sender<u64>,
    checkpointer: Checkpointer,
}

impl Worker {
    fn new(connection: Connection, path: &Path, counted: Arc<Counted>, cached: bool) -> Result<Self, StoreError> {
        let failed = Failed::to("write to", path);
        let last = connection
            .query_row("SELECT version, history FROM counters WHERE id = 0", (), |row| {
                Ok(Last { version: to_u64(row.get(0)?), history: to_u64(row.get(1)?) })
            })
            .map_err(|error| failed.because(error))?;
        // This takes the place of SQLite's own checkpoint, which runs inside the commit it delays.
        connection.wal_hook(Some(count_wal_pages));
        let checkpointer = Checkpointer::start(path)?;
        let cache = Arc::new(Cache::new(last.version, cached));
        let committed = watch::Sender::new(last.version);
        Ok(Self { connection, failed, last, ids: Ids::new(), counted, cache, committed, checkpointer })
    }

    fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(first) = commands.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP_MAX
                && let Ok(next) = commands.try_recv()
            {
                group.push(next);
            }
            self.commit(group);
            self.checkpointer.after_commit(&self.connection, WAL_PAGES.get());
        }
        debug!("the store's writer ends");
    }

    /// Runs the commands in one transaction, or one by one if that fails, and answers each of them.
    fn commit(&mut self, mut group: Vec<Command>) {
        match self.transaction(&group) {
            Ok(results) => {
                self.counted.transactions.fetch_add(1, Ordering::Relaxed);
                let commits = group.iter_mut().zip(&results).filter_map(|(command, result)| {
                    let Work::Commit(prepared) = &mut command.work else { return None };
                    Some((prepared.commit_mut(), result.as_ref().ok()?.numbers.version))
                });
                self.cache.put(commits);
                announce(&self.committed, self.last.version);
                for (command, result) in group.into_iter().zip(results) {
                    self.answer(command, result);
                }
            }
            Err(error) if group.len() == 1 => {
                if let Some(command) = group.into_iter().next() {
                    self.answer(command, Err(self.failed.because(error)));
                }
            }
            Err(error) => {
                warn!(%error, commands = group.len(), "a group of commands could not be committed; trying each alone");
                for command in group {
                    self.commit(vec![command]);
                }
            }
        }
    }

    fn answer(&self, command: Command, result: Result<Done, StoreError>) {
        let counter = match &result {
            Ok(_) => Some(&self.counted.commands),
            Err(StoreError::Conflict { .. }) => Some(&self.counted.conflicts),
            Err(_) => None,
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        // Nobody listening means the caller was cancelled; what is written stays written.
        let _ = command.reply.send(Answer { result, _work: command.work });
    }

    /// One transaction around the group. The outer error means that nothing of it was committed.
    fn transaction(&mut self, group: &[Command]) -> rusqlite::Result<Vec<Result<Done, StoreError>>> {
        let before = self.last;
        let results = self.transaction_steps(group);
        if results.is_err() {
            self.last = before;
            self.ids.forget();
            // After some errors SQLite has rolled back by itself.
            if !self.connection.is_autocommit()
                && let Err(error) = self.connection.execute_batch("ROLLBACK")
            {
                error!(%error, "could not roll back");
            }
        }
        results
    }

    fn transaction_steps(&mut self, group: &[Command]) -> rusqlite::Result<Vec<Result<Done, StoreError>>> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
        let mut results = Vec::with_capacity(group.len());
        for command in group {
            results.push(self.apply(&command.work)?);
        }
        self.connection
            .prepare_cached("UPDATE counters SET version = ?1, history = ?2 WHERE id = 0")?
            .execute((to_i64(self.last.version), to_i64(self.last.history)))?;
        self.connection.prepare_cached("COMMIT")?.execute(())?;
        Ok(results)
    }

    /// The inner error is the command's own, found before it wrote anything.
    fn apply(&mut self, work: &Work) -> rusqlite::Result<Result<Done, StoreError>> {
        let numbers = Numbers { version: self.last.version + 1, first_history_sequence: self.last.history + 1 };
        let mut done = Done { numbers, pruned: 0, claimed: Vec::new() };
        let entries = match work {
            Work::Documents(writes) => {
                if let Some(conflict) = documents::check(&self.connection, writes)? {
                    return Ok(Err(conflict));
                }
                documents::apply(&self.connection, writes, numbers.version)?;
                0
            }
            Work::Commit(prepared) => {
                let mut writing = Writing { connection: &self.connection, ids: &mut self.ids, prepared };
                let checked = match writing.check()? {
                    Ok(checked) => checked,
                    Err(conflict) => return Ok(Err(conflict)),
                };
                writing.apply(&checked, numbers)?;
                prepared.history_len()
            }
            // These change nothing that has a version.
            Work::Prune(prune) => {
                done.pruned = prune.apply(&self.connection, &mut self.ids, &self.cache)?;
                return Ok(Ok(done));
            }
            Work::Claim(claim) => {
                done.claimed = claim.apply(&self.connection)?;
                return Ok(Ok(done));
            }
        };
        self.last = Last { version: numbers.version, history: self.last.history + entries };
        Ok(Ok(done))
    }
}

/// Moves the write-ahead log into the database off the writer's path: a thread with its own connection does the bulk
/// while commits go on; the writer itself only does the short rest that lets the log start over.
struct Checkpointer {
    /// None only while dropping: closing the channel is what ends the thread.
    nudge: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    nudged_at_pages: u32,
}

const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

impl Checkpointer {
    fn start(path: &Path) -> Result<Self, StoreError> {
        let failed = Failed::to("open", path);
        let connection = Connection::open(path).map_err(|error| failed.because(error))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        let (nudge, nudges) = sync_channel::<()>(1);
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || {
                while nudges.recv().is_ok() {
                    checkpoint(&connection);
                }
            })
            .map_err(|error| StoreError::io("start the store's checkpoint thread", error))?;
        Ok(Self { nudge: Some(nudge), thread: Some(thread), nudged_at_pages: 0 })
    }

    fn after_commit(&mut self, connection: &Connection, pages: u32) {
        if pages < self.nudged_at_pages {
            self.nudged_at_pages = 0; // The log has started over.
        }
        if pages < self.nudged_at_pages.saturating_add(WAL_NUDGE_PAGES) {
            return;
        }
        self.nudged_at_pages = pages;
        if pages >= WAL_RESET_PAGES {
            checkpoint(connection);
        } else if let Some(nudge) = &self.nudge {
            // A full channel means that a nudge already waits.
            let _ = nudge.try_send(());
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        drop(self.nudge.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the store's checkpoint thread panicked");
        }
    }
}

/// A checkpoint that cannot be done now is done later: until then everything stays in the log, which is durable too.
fn checkpoint(connection: &Connection) {
    match connection.query_row(CHECKPOINT, (), |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))) {
        Ok((log_pages, moved_pages)) => debug!(log_pages, moved_pages, "checkpoint"),
        Err(error) => warn!(%error, "the write-ahead log could not be moved into the database; it grows until it can"),
    }
}
