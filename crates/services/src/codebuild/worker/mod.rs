//! The work on one build, from QUEUED to its end. A worker keeps nothing that matters in memory: it loads the record,
//! does the one step that the record's stage names, writes what came of it, and starts over. A step that is repeated
//! after a crash does no harm; a write that loses a race (StopBuild) makes the worker look again.

mod clean;
mod clone;
mod environment;
mod files;
mod follow;
mod prepare;
mod queue;
mod report;
mod share;
mod upload;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio_util::sync::CancellationToken;
use towpath_builds::BuildsError;
use towpath_model::ids::Scope;
use towpath_store::{DocumentsExt as _, Expect, StoreError, Versioned};
use towpath_wire::WireError;
use towpath_wire::codebuild::PhaseContext;

use super::CodeBuild;
use super::names::{build_key, open_key, parse_open_key};
use super::phases::{begin, complete, end};
use super::records::{BuildRecord, Stage};

/// Repetitions of a step that could not be done (a full disk, a store that is away), and the pause between them.
const ATTEMPTS_MAX: u32 = 120;
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked whether stopped builds have let go.
const SETTLING: Duration = Duration::from_millis(5);

/// What became of a step.
enum Next {
    /// Look at the record again.
    Again,
    /// The build needs nothing more.
    Over,
    /// This process is shutting down.
    Leave,
}

/// Why a step could not be done. None of these is the build's own failure.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("the record of the build cannot be read or written")]
    Store(#[from] StoreError),
    #[error("the build's files cannot be used")]
    Files(#[from] std::io::Error),
    #[error("the build's runner cannot be reached")]
    Runner(#[from] BuildsError),
    #[error("{0}")]
    Service(#[from] WireError),
    #[error("a worker thread ended")]
    Thread(#[from] tokio::task::JoinError),
}

/// The record as it was loaded, and the right to replace exactly it.
struct Loaded {
    record: Box<BuildRecord>,
    version: u64,
}

/// How a build's worker is reached.
#[derive(Debug, Clone)]
pub(super) struct Live {
    /// Has it look at the record.
    wake: Arc<Notify>,
    /// Ends it where it stands: the process closes, or the build is another node's now.
    leave: CancellationToken,
}

/// One worker's surroundings.
struct Worker {
    service: Arc<CodeBuild>,
    scope: Scope,
    id: String,
    wake: Arc<Notify>,
    leave: CancellationToken,
    /// The right to run, which is held until nothing of the build runs any more.
    permit: Option<OwnedSemaphorePermit>,
}

impl CodeBuild {
    /// Takes up the work on every build that is not over and that no living node has: call it once, after everything
    /// else has been opened.
    pub async fn resume(self: &Arc<Self>) -> Result<usize, StoreError> {
        if self.settings.node.is_some() {
            return self.join().await;
        }
        let open = self.open_builds().await?;
        self.take_up(open.into_iter().map(|(key, _)| key)).await
    }

    /// Gives each of these open builds a worker. Answers how many there are.
    async fn take_up(self: &Arc<Self>, open: impl IntoIterator<Item = String>) -> Result<usize, StoreError> {
        let open: Vec<_> = open.into_iter().filter_map(|key| parse_open_key(&key)).collect();
        let mut records = Vec::with_capacity(open.len());
        for (scope, id) in open {
            let key = build_key(&scope, &id);
            let found = self.documents.get_json::<BuildRecord>(&key.collection, &key.partition, &key.key).await?;
            match found {
                Some(found) => records.push(found.value),
                None => self.documents.delete(open_key(&scope, &id), Expect::Any).await?,
            }
        }
        // What already runs has its right to run; the others queue up again in their old order.
        records.sort_by_key(|record| (record.stage == Stage::Queued, record.build.start_time));
        let count = records.len();
        for record in records {
            let permit = match record.stage {
                Stage::Queued => None,
                _ => Arc::clone(&self.slots).try_acquire_owned().ok(),
            };
            self.employ(record.scope.clone(), record.id().to_owned(), permit);
        }
        Ok(count)
    }

    /// Waits until every build that is over has let go of its runner, so that whoever stopped a build and leaves leaves
    /// nothing running; for `limit` at the most.
    pub async fn settle(&self, limit: Duration) {
        let _ = tokio::time::timeout(limit, async {
            while self.is_cleaning().await {
                tokio::time::sleep(SETTLING).await;
            }
        })
        .await;
    }

    async fn is_cleaning(&self) -> bool {
        let live: Vec<String> = self.live.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        for (scope, id) in live.iter().filter_map(|key| parse_open_key(key)) {
            // What cannot be read now is taken up by the next start.
            if let Ok(Some(found)) = self.build(&scope, &id).await
                && found.value.stage == Stage::Cleaning
            {
                return true;
            }
        }
        false
    }

    /// Gives a build a worker, unless it has one.
    pub(super) fn employ(self: &Arc<Self>, scope: Scope, id: String, permit: Option<OwnedSemaphorePermit>) {
        let live = Live { wake: Arc::new(Notify::new()), leave: self.closing.child_token() };
        let Live { wake, leave } = live.clone();
        let key = open_key(&scope, &id).key;
        {
            let mut known = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            if self.closing.is_cancelled() || known.contains_key(&key) {
                return;
            }
            known.insert(key.clone(), live);
        }
        let service = Arc::clone(self);
        self.workers.spawn(async move {
            let mut worker = Worker { service: Arc::clone(&service), scope, id, wake, leave, permit };
            Box::pin(worker.work()).await;
            service.live.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        });
    }

    /// Tells a build's worker to look at its record; without one, it gets one, unless other nodes may have it.
    pub(super) fn wake(self: &Arc<Self>, scope: &Scope, id: &str) {
        let found = {
            let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            live.get(&open_key(scope, id).key).cloned()
        };
        match found {
            Some(live) => live.wake.notify_one(),
            None if self.settings.node.is_some() => {}
            None => self.employ(scope.clone(), id.to_owned(), None),
        }
    }
}

impl Worker {
    async fn work(&mut self) {
        let mut failures = 0;
        let leave = self.leave.clone();
        loop {
            // A step that is dropped half way is a step that a crash cut short: whoever has the build next repeats it.
            let stepped = tokio::select! {
                biased;
                () = leave.cancelled() => return,
                stepped = self.step() => stepped,
            };
            match stepped {
                Ok(Next::Again) => failures = 0,
                Ok(Next::Over | Next::Leave) => return,
                Err(error) => {
                    failures += 1;
                    tracing::error!(%error, source = ?std::error::Error::source(&error), build = self.id, failures, "a build cannot go on");
                    if failures >= ATTEMPTS_MAX {
                        if !self.give_up(&error).await {
                            return;
                        }
                        failures = 0;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(PAUSE) => {}
                        () = leave.cancelled() => return,
                    }
                }
            }
        }
    }

    /// Ends a build that cannot go on as a fault, so that nobody waits for it. `false`: it was over already, or not even
    /// that can be written; the record stays as it is and the next start of the process tries again.
    async fn give_up(&mut self, error: &StepError) -> bool {
        match self.load().await {
            Ok(Some(mut loaded)) if !loaded.record.is_complete() => {
                self.fault(&mut loaded, &error.to_string()).await.is_ok()
            }
            _ => false,
        }
    }

    async fn step(&mut self) -> Result<Next, StepError> {
        let Some(loaded) = self.load().await? else { return Ok(Next::Over) };
        match loaded.record.stage {
            Stage::Queued => self.queue(loaded).await,
            Stage::Preparing => self.prepare(loaded).await,
            Stage::Running => self.follow(loaded).await,
            Stage::Uploading => self.upload(loaded).await,
            Stage::Cleaning => self.clean(loaded).await,
            Stage::Done => Ok(Next::Over),
        }
    }

    async fn load(&self) -> Result<Option<Loaded>, StoreError> {
        let key = build_key(&self.scope, &self.id);
        let found = self.service.documents.get_json::<BuildRecord>(&key.collection, &key.partition, &key.key).await?;
        Ok(found.map(|Versioned { value, version }| Loaded { record: Box::new(value), version }))
    }

    /// Writes the record in place of the loaded one. `false`: somebody else was first; look again.
    async fn save(&self, loaded: &mut Loaded) -> Result<bool, StoreError> {
        let key = build_key(&self.scope, &self.id);
        match self.service.documents.put_json(key, &loaded.record, Expect::Version(loaded.version)).await {
            Ok(version) => {
                loaded.version = version;
                self.service.changed(&self.scope, &self.id, loaded.record.is_complete());
                Ok(true)
            }
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The phase under way fails and the build is over, by way of FINALIZING where CodeBuild goes through it.
    async fn fail(&self, mut loaded: Loaded, contexts: Vec<PhaseContext>, finalizing: bool) -> Result<Next, StepError> {
        let now = self.service.ambient.now();
        end(&mut loaded.record.build, "FAILED", Some(contexts), now);
        if finalizing {
            begin(&mut loaded.record.build, "FINALIZING", now);
            super::phases::succeed(&mut loaded.record.build, now);
        }
        complete(&mut loaded.record.build, "FAILED", now);
        loaded.record.stage = Stage::Cleaning;
        self.save(&mut loaded).await?;
        Ok(Next::Again)
    }
}
