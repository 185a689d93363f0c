//! The writers: a few tasks, each with a connection, that take whatever is queued and commit it as one transaction, so
//! that its two round trips and its flush are shared. While one group is being flushed, the next is being read.
//!
//! A group is judged before it writes, so a lost race costs only the command that lost it. When anything else goes wrong
//! the group is tried again, and then each of its commands alone.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use futures::future::BoxFuture;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_postgres::Error;
use tracing::{debug, warn};

use super::errors::{Failure, Named, lost, met_another};
use super::judge::{Batch, Offsets, judge};
use super::read_known::read_known;
use super::session::{Session, Step};
use super::write_batch::{Drawn, Turn, write_batch};
use crate::StoreError;
use crate::documents::Write;
use crate::limits::{
    GROUP_MAX, POSTGRES_RETRY_MS, POSTGRES_RETRY_MS_MAX, POSTGRES_TRIES_MAX, POSTGRES_WRITERS, WRITE_QUEUE_MAX,
};
use crate::nodes::announce;
use crate::prepared::Prepared;
use crate::sqlite::WriteCounters;

/// What a command asks for.
#[derive(Debug)]
pub(super) enum Work {
    Documents(Vec<Write>),
    Commit(Box<Prepared>),
}

/// The numbers a command was given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) version: u64,
    pub(super) first_history_sequence: u64,
}

#[derive(Debug)]
struct Command {
    work: Work,
    reply: oneshot::Sender<Result<Numbers, StoreError>>,
}

/// Hands commands to the writers. Dropping it ends them once the queue is empty.
#[derive(Debug)]
pub(super) struct Writers {
    queue: mpsc::Sender<Command>,
    counted: Arc<std::sync::Mutex<WriteCounters>>,
    _tasks: Vec<JoinHandle<()>>,
}

impl Writers {
    pub(super) fn start(pool: &Pool, named: &Named, channel: &str, committed: &Arc<watch::Sender<u64>>) -> Self {
        let (queue, commands) = mpsc::channel(WRITE_QUEUE_MAX);
        let commands = Arc::new(Mutex::new(commands));
        let counted = Arc::new(std::sync::Mutex::new(WriteCounters::default()));
        let tasks = (0..POSTGRES_WRITERS).map(|_| {
            let writer = Writer {
                pool: pool.clone(),
                named: named.clone(),
                channel: channel.to_owned(),
                committed: Arc::clone(committed),
                counted: Arc::clone(&counted),
                session: None,
                id: None,
                turn: 0,
            };
            tokio::spawn(writer.serve(Arc::clone(&commands)))
        });
        Self { queue, counted: Arc::clone(&counted), _tasks: tasks.collect() }
    }

    pub(super) async fn submit(&self, work: Work) -> Result<Numbers, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(Command { work, reply }).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    pub(super) fn counters(&self) -> WriteCounters {
        *self.counted.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

struct Writer {
    pool: Pool,
    named: Named,
    channel: String,
    committed: Arc<watch::Sender<u64>>,
    counted: Arc<std::sync::Mutex<WriteCounters>>,
    session: Option<Session>,
    /// Its row in `writers`.
    id: Option<i64>,
    /// Commits it tried, each with a number of its own.
    turn: i64,
}

/// Why a group was not committed. Nothing of it was done.
enum Refused {
    /// It met another writer.
    Met(Error),
    /// The connection was lost before the commit could have happened.
    Lost(Error),
    /// The database no longer has this writer's row (it may have been restored); it gets a new one.
    Forgotten,
    Other(Failure),
}

impl Writer {
    async fn serve(mut self, commands: Arc<Mutex<mpsc::Receiver<Command>>>) {
        loop {
            let group = {
                let mut commands = commands.lock().await;
                let Some(first) = commands.recv().await else { break };
                let mut group = vec![first];
                while group.len() < GROUP_MAX
                    && let Ok(next) = commands.try_recv()
                {
                    group.push(next);
                }
                group
            };
            self.commit(group).await;
        }
        debug!("a writer of the store ends");
    }

    /// Commits the commands in one transaction, or one by one if that fails, and answers each of them.
    fn commit(&mut self, group: Vec<Command>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            match self.try_repeatedly(&group).await {
                Ok(results) => {
                    self.count(&results);
                    for (command, result) in group.into_iter().zip(results) {
                        // Nobody listening means the caller was cancelled; what is written stays written.
                        let _ = command.reply.send(result);
                    }
                }
                Err(failure) if group.len() == 1 => {
                    let error = self.named.failed("write to", failure);
                    if let Some(command) = group.into_iter().next() {
                        let _ = command.reply.send(Err(error));
                    }
                }
                Err(failure) => {
                    warn!(
                        ?failure,
                        commands = group.len(),
                        "a group of commands could not be committed; trying each alone"
                    );
                    for command in group {
                        self.commit(vec![command]).await;
                    }
                }
            }
        })
    }

    fn count(&self, results: &[Result<Numbers, StoreError>]) {
        let done = results.iter().filter(|result| result.is_ok()).count() as u64;
        let mut counted = self.counted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        counted.commands += done;
        counted.conflicts += results.len() as u64 - done;
        counted.transactions += u64::from(done > 0);
    }

    async fn try_repeatedly(&mut self, group: &[Command]) -> Result<Vec<Result<Numbers, StoreError>>, Failure> {
        let mut tries = 1;
        loop {
            match self.try_once(group).await {
                Ok(results) => return Ok(results),
                Err(Refused::Other(failure)) => return Err(failure),
                Err(Refused::Met(error) | Refused::Lost(error)) if tries >= POSTGRES_TRIES_MAX => {
                    return Err(error.into());
                }
                Err(Refused::Forgotten) if tries >= POSTGRES_TRIES_MAX => return Err(StoreError::Closed.into()),
                Err(Refused::Forgotten) => warn!(tries, "the database has forgotten this writer"),
                Err(Refused::Met(error)) => debug!(%error, tries, "met another writer; trying again"),
                Err(Refused::Lost(error)) => {
                    warn!(%error, tries, "lost the connection to the database; connecting again");
                    pause(tries).await;
                }
            }
            tries += 1;
        }
    }

    async fn try_once(&mut self, group: &[Command]) -> Result<Vec<Result<Numbers, StoreError>>, Refused> {
        let (session, id) = self.session().await.map_err(Refused::Other)?;
        let works = || group.iter().map(|command| &command.work);
        let known = match read_known(&session, id, works()).await {
            Ok(Some(known)) => known,
            Ok(None) => {
                self.id = None;
                self.roll_back(session).await;
                return Err(Refused::Forgotten);
            }
            Err(Failure::Database(error)) => return Err(self.refused(session, error).await),
            Err(failure) => {
                self.roll_back(session).await;
                return Err(Refused::Other(failure));
            }
        };
        let (verdicts, batch) = judge(works(), known);
        if batch.accepted == 0 {
            self.roll_back(session).await;
            return Ok(verdicts.into_iter().map(|verdict| verdict.map(|_| Numbers::NONE)).collect());
        }
        self.turn += 1;
        let turn = Turn { writer: id, number: self.turn, channel: &self.channel };
        let drawn = match write_batch(&session, &batch, &turn).await {
            Ok(drawn) => {
                self.session = Some(session);
                drawn
            }
            Err(error) if lost(&error) => {
                warn!(%error, "lost the connection to the database while committing; asking what became of it");
                session.discard();
                match self.what_became(id, &batch).await {
                    Some(drawn) => drawn,
                    None => return Err(Refused::Lost(error)),
                }
            }
            // The commit behind it has rolled back.
            Err(error) => {
                self.session = Some(session);
                return Err(refusal(error));
            }
        };
        announce(&self.committed, drawn.version + batch.accepted.unsigned_abs());
        Ok(verdicts.into_iter().map(|verdict| verdict.map(|offsets| Numbers::of(drawn, offsets))).collect())
    }

    /// The open session, or a new one, and the row this writer has in the database. Taken out, so that one that was
    /// left in the middle of a transaction is never used again.
    async fn session(&mut self) -> Result<(Session, i64), Failure> {
        let session = match self.session.take() {
            Some(session) => session,
            None => Session::open(&self.pool).await?,
        };
        let id = match self.id {
            Some(id) => id,
            None => session.register().await?,
        };
        self.id = Some(id);
        Ok((session, id))
    }

    async fn refused(&mut self, session: Session, error: Error) -> Refused {
        if lost(&error) {
            session.discard();
            Refused::Lost(error)
        } else {
            self.roll_back(session).await;
            refusal(error)
        }
    }

    async fn roll_back(&mut self, session: Session) {
        let steps = [Step { statement: &session.statements.rollback, parameters: Vec::new() }];
        match session.run(&steps).await {
            Ok(_) => self.session = Some(session),
            Err(_) => session.discard(),
        }
    }

    /// The answer to a commit was lost: was it done? Asks until the database answers, because neither yes nor no would
    /// be true before; the caller waits. The row is locked from the first statement of the transaction on, so it is read
    /// only when the transaction has ended one way or the other.
    async fn what_became(&mut self, id: i64, batch: &Batch<'_>) -> Option<Drawn> {
        let mut tries = 1;
        loop {
            match self.last_turn(id).await {
                Ok(Some((turn, version, history))) if turn == self.turn => {
                    return Some(Drawn::before(version, history, batch.accepted, batch.entries));
                }
                Ok(_) => return None,
                Err(failure) => {
                    warn!(?failure, tries, "the database does not say what became of a commit; asking again");
                }
            }
            pause(tries).await;
            tries = tries.saturating_add(1);
        }
    }

    async fn last_turn(&mut self, id: i64) -> Result<Option<(i64, i64, i64)>, Failure> {
        let session = Session::open(&self.pool).await?;
        let steps = [Step { statement: &session.statements.lock_writer, parameters: vec![&id] }];
        match session.run(&steps).await {
            Ok(answers) => {
                let row = answers.first().and_then(|rows| rows.first());
                let found = row.map(|row| (row.get(0), row.get(1), row.get(2)));
                self.session = Some(session);
                Ok(found)
            }
            Err(error) => {
                session.discard();
                Err(error.into())
            }
        }
    }
}

fn refusal(error: Error) -> Refused {
    if met_another(&error) { Refused::Met(error) } else { Refused::Other(error.into()) }
}

/// The first try after a failure is made at once.
async fn pause(tries: u32) {
    if tries <= 1 {
        return;
    }
    let wait = POSTGRES_RETRY_MS.saturating_mul(1 << tries.min(16)).min(POSTGRES_RETRY_MS_MAX);
    tokio::time::sleep(Duration::from_millis(wait)).await;
}

impl Numbers {
    /// Stands where there is only a refusal.
    const NONE: Self = Self { version: 0, first_history_sequence: 0 };

    fn of(drawn: Drawn, offsets: Offsets) -> Self {
        Self {
            version: drawn.version + offsets.version.unsigned_abs(),
            first_history_sequence: drawn.history + offsets.entries.unsigned_abs() + 1,
        }
    }
}
