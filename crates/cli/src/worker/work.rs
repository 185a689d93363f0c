//! What a worker does with a job, as the pool that polls for jobs sees it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_credential_types::Credentials;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::job::Job;
use super::jobs::{Jobs, Outcome};
use super::log::Log;
use crate::host::ApiError;
use crate::limits;

/// How far the end of the worker has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not at all.
    No,
    /// No new jobs; those that run may end.
    Soon,
    /// What still runs is stopped.
    Now,
}

/// Whose a polled job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Work to begin.
    New,
    /// The continuation of something that runs in this process.
    Ours,
    /// The continuation of something that runs in another worker's process.
    Theirs,
}

#[async_trait]
pub trait Work: Send + Sync {
    /// Whose the job is, before it is acknowledged.
    fn claim(&self, _job: &Job) -> Claim {
        Claim::New
    }

    /// How many runs wait here for their next job.
    fn parked(&self) -> usize {
        0
    }

    /// Ends runs whose next job has not come for too long.
    async fn tidy(&self, _stop: Stop) {}

    /// Carries an acknowledged job out. None: there is nobody left to tell.
    async fn run(&self, taken: &Taken) -> Option<Outcome>;
}

/// An acknowledged job, and what its work may ask meanwhile.
pub struct Taken {
    pub job: Job,
    pub log: Log,
    jobs: Jobs,
    stop: watch::Receiver<Stop>,
    keys: Mutex<Kept>,
}

struct Kept {
    job: Job,
    since: Instant,
}

impl Taken {
    pub fn new(job: Job, jobs: Jobs, log: Log, stop: watch::Receiver<Stop>) -> Arc<Self> {
        let keys = Mutex::new(Kept { job: job.clone(), since: Instant::now() });
        Arc::new(Self { job, log, jobs, stop, keys })
    }

    pub fn line(&self, text: &str) {
        self.log.line(&self.job.title(), text);
    }

    pub fn note(&self, text: &str) {
        self.log.note(&format!("{}: {text}", self.job.title()));
    }

    pub fn stop(&self) -> Stop {
        *self.stop.borrow()
    }

    /// Resolves when what runs is to be stopped.
    pub async fn stopped(&self) {
        let mut stop = self.stop.clone();
        if stop.wait_for(|stop| *stop == Stop::Now).await.is_err() {
            // Nobody is left who could stop it.
            std::future::pending::<()>().await;
        }
    }

    /// Resolves when nobody waits for the job any more: its action was abandoned or ran out of time.
    pub async fn unwanted(&self) {
        loop {
            tokio::time::sleep(limits::WORKER_WANTED_EVERY).await;
            match self.jobs.details(&self.job.id).await {
                Ok(None) => return,
                Ok(Some(job)) => *self.keys.lock().await = Kept { job, since: Instant::now() },
                Err(error) => tracing::debug!(%error, "whether a job is still wanted is not known"),
            }
        }
    }

    /// Credentials for the job's artifacts that are good for a while.
    pub async fn credentials(&self) -> Result<Credentials, ApiError> {
        const GOOD_FOR: Duration = limits::WORKER_KEYS_KEPT;
        let mut kept = self.keys.lock().await;
        if (kept.since.elapsed() > GOOD_FOR || kept.job.data.artifact_credentials.is_none())
            && let Some(job) = self.jobs.details(&self.job.id).await?
        {
            *kept = Kept { job, since: Instant::now() };
        }
        let keys = kept.job.data.artifact_credentials.as_ref();
        keys.map(super::job::Keys::credentials)
            .ok_or_else(|| ApiError::new("NoCredentials", "the job brought no credentials for its artifacts"))
    }
}
