//! The loop of a worker: poll, acknowledge, hand over, tell the result; as many jobs at once as allowed, until it is told to
//! stop.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::job::Job;
use super::jobs::{Jobs, Outcome, backoff, kind, passing};
use super::log::Log;
use super::work::{Claim, Stop, Taken, Work};
use crate::errors::ExpectedError;
use crate::limits;

pub struct Pool {
    pub jobs: Jobs,
    pub work: Arc<dyn Work>,
    pub log: Log,
    /// Jobs worked on at once.
    pub concurrency: usize,
    /// Between two polls that brought nothing.
    pub pause: Duration,
    /// Ends after so many jobs; None: never by itself.
    pub jobs_max: Option<usize>,
}

/// SIGTERM and Ctrl-C as steps: the first lets what runs come to its end, the next stops it, the last leaves at once.
pub struct Signals {
    /// How long the first step may take.
    pub grace: Duration,
}

impl Signals {
    /// What the pool is told. Listens until the process ends.
    pub fn listen(self, log: Log) -> Result<watch::Receiver<Stop>, ExpectedError> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |e: std::io::Error| ExpectedError::System {
            message: format!("cannot listen for signals: {e}"),
            hint: None,
            usage: false,
        };
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let (send, receive) = watch::channel(Stop::No);
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            };
            next().await;
            log.note(&format!(
                "stopping: no new jobs; what runs may go on for {} seconds (a second signal stops it now)",
                self.grace.as_secs()
            ));
            let _ = send.send(Stop::Soon);
            tokio::select! {
                () = next() => {}
                () = tokio::time::sleep(self.grace) => {}
            }
            let _ = send.send(Stop::Now);
            next().await;
            std::process::exit(i32::from(crate::errors::exit::INTERRUPTED));
        });
        Ok(receive)
    }
}

/// A job that was given to this worker and has no place yet. Its nonce is good until it is given out again.
struct Waiting {
    job: Job,
    since: Instant,
}

/// Jobs that other workers' runs wait for, since when this worker has been given them.
#[derive(Default)]
struct Orphans(HashMap<String, Instant>);

impl Orphans {
    /// Whether the job has been given out for so long that nobody can be waiting for it.
    fn is_forsaken(&mut self, id: &str, now: Instant) -> bool {
        // What was seen long ago was taken by its worker.
        self.0.retain(|_, since| now.duration_since(*since) < limits::WORKER_ORPHAN_AFTER * 4);
        let since = *self.0.entry(id.to_owned()).or_insert(now);
        let forsaken = now.duration_since(since) >= limits::WORKER_ORPHAN_AFTER;
        if forsaken {
            self.0.remove(id);
        }
        forsaken
    }
}

impl Pool {
    pub async fn run(self, mut stop: watch::Receiver<Stop>) -> Result<(), ExpectedError> {
        let mut running: JoinSet<()> = JoinSet::new();
        let mut backlog: VecDeque<Waiting> = VecDeque::new();
        let mut orphans = Orphans::default();
        let mut failures = 0;
        // Jobs begun, less those that turned out to be another worker's.
        let begun = Arc::new(AtomicUsize::new(0));
        loop {
            let mut stopping = *stop.borrow_and_update();
            let left = self.jobs_max.map(|most| most.saturating_sub(begun.load(Ordering::SeqCst)));
            if left == Some(0) {
                stopping = stopping.max(Stop::Soon);
            }
            self.work.tidy(stopping).await;
            backlog.retain(|waiting| waiting.since.elapsed() < limits::WORKER_BACKLOG_KEPT);
            if stopping != Stop::No && running.is_empty() && self.work.parked() == 0 {
                return Ok(());
            }
            let mut free = self.free(&running).min(left.unwrap_or(usize::MAX));
            while stopping == Stop::No
                && free > 0
                && let Some(waiting) = backlog.pop_front()
            {
                running.spawn(self.attend(waiting.job, &stop, Some(&begun)));
                free -= 1;
            }
            let parked = self.work.parked();
            let mut polled = Ok(Vec::new());
            // A parked run's next job stands behind whatever else waits.
            if parked > 0 {
                polled = self.jobs.poll(limits::WORKER_POLL_MAX).await;
            } else if stopping == Stop::No && free > 0 {
                polled = self.jobs.poll(free).await;
            }
            match polled {
                Ok(jobs) => {
                    failures = 0;
                    for job in jobs {
                        match self.work.claim(&job) {
                            Claim::Ours => {
                                running.spawn(self.attend(job, &stop, None));
                            }
                            Claim::New if stopping == Stop::No && free > 0 => {
                                running.spawn(self.attend(job, &stop, Some(&begun)));
                                free -= 1;
                            }
                            Claim::New => backlog.push_back(Waiting { job, since: Instant::now() }),
                            Claim::Theirs => self.theirs(job, &mut orphans, &mut running, &stop),
                        }
                    }
                }
                // What is wrong with the question stays wrong, unless something runs that may be asked about it again.
                Err(error) if !passing(&error) && running.is_empty() && parked == 0 => {
                    return Err(ExpectedError::api("ask for jobs")(error));
                }
                Err(error) => {
                    failures += 1;
                    self.log.note(&format!("cannot ask for jobs, tries again: {error}"));
                }
            }
            let pause = if failures > 0 { backoff(failures).max(self.pause) } else { self.pause };
            tokio::select! {
                Some(ended) = running.join_next(), if !running.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a job's task broke off");
                    }
                }
                () = tokio::time::sleep(pause) => {}
                changed = stop.changed() => {
                    if changed.is_err() {
                        // Nobody can stop this pool; it is waited for as long as it runs.
                        tokio::time::sleep(pause).await;
                    }
                }
            }
        }
    }

    fn free(&self, running: &JoinSet<()>) -> usize {
        self.concurrency.saturating_sub(running.len()).saturating_sub(self.work.parked())
    }

    /// Another worker's run, which that worker will ask for. A worker that is gone never does; its job ends here.
    fn theirs(&self, job: Job, orphans: &mut Orphans, running: &mut JoinSet<()>, stop: &watch::Receiver<Stop>) {
        if !orphans.is_forsaken(&job.id, Instant::now()) {
            return;
        }
        let (jobs, log) = (self.jobs.clone(), self.log.clone());
        let stop = stop.clone();
        running.spawn(async move {
            let taken = Taken::new(job, jobs.clone(), log, stop);
            if !matches!(jobs.acknowledge(&taken.job).await, Ok(Ok(()))) {
                return;
            }
            let message = "The worker that ran this action is gone: it did not ask for its next job.".to_owned();
            taken.note(&message);
            tell(&jobs, &taken, &Outcome::Failed { kind: kind::SYSTEM, message, external_id: None }).await;
        });
    }

    /// One job, from its acknowledgement to its result.
    fn attend(
        &self,
        job: Job,
        stop: &watch::Receiver<Stop>,
        begun: Option<&Arc<AtomicUsize>>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (jobs, work) = (self.jobs.clone(), Arc::clone(&self.work));
        // A job that some other process began counts there.
        let counted = begun.filter(|_| job.data.continuation_token.is_none()).cloned();
        if let Some(counted) = &counted {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        let not_begun = move || {
            if let Some(counted) = counted {
                counted.fetch_sub(1, Ordering::SeqCst);
            }
        };
        let taken = Taken::new(job, jobs.clone(), self.log.clone(), stop.clone());
        async move {
            match jobs.acknowledge(&taken.job).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => {
                    taken.note(&format!("job {} is not ours: {why}", taken.job.id));
                    not_begun();
                    return;
                }
                Err(error) => {
                    taken.note(&format!("job {} could not be acknowledged: {error}", taken.job.id));
                    not_begun();
                    return;
                }
            }
            if taken.job.data.continuation_token.is_none() {
                taken.note(&format!("job {} begins", taken.job.id));
            }
            match work.run(&taken).await {
                Some(outcome) => tell(&jobs, &taken, &outcome).await,
                None => taken.note("nobody waits for this action any more; what ran was stopped"),
            }
        }
    }
}

async fn tell(jobs: &Jobs, taken: &Taken, outcome: &Outcome) {
    match outcome {
        Outcome::Succeeded { .. } => taken.note("succeeded"),
        Outcome::Failed { kind, message, .. } => {
            taken.note(&format!("failed, {kind}: {}", message.lines().next().unwrap_or_default()));
        }
        Outcome::Continued { progress, .. } => {
            if let Some(summary) = &progress.summary {
                taken.note(&format!("goes on: {summary}"));
            }
        }
    }
    if let Err(error) = jobs.put(&taken.job.id, outcome).await {
        taken.note(&format!("the result of job {} was not taken: {error}", taken.job.id));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use serde_json::{Value as Json, json};

    use super::super::job::TypeId;
    use super::super::jobs::{Door, Polling, Progress};
    use super::*;
    use crate::host::{Api, ApiError};
    use crate::terminal::Terminal;

    #[test]
    fn a_job_that_its_worker_never_asks_for_is_forsaken() {
        let (mut orphans, begun) = (Orphans::default(), Instant::now());
        let later = |minutes| begun + Duration::from_mins(minutes);
        assert!(!orphans.is_forsaken("a", begun));
        assert!(!orphans.is_forsaken("a", later(9)));
        assert!(!orphans.is_forsaken("b", later(9)), "each from when it was seen");
        assert!(orphans.is_forsaken("a", later(10)));
        assert!(!orphans.is_forsaken("a", later(11)), "told once");
        assert!(!orphans.is_forsaken("b", later(60)), "seen again after so long, it is a new one");
    }

    /// A queue of jobs, and what is called of it.
    struct Queue {
        waiting: Mutex<Vec<Json>>,
        calls: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl Api for Queue {
        async fn call(&self, _: &str, operation: &str, input: Json) -> Result<Json, ApiError> {
            let id = input["jobId"].as_str().unwrap_or_default();
            self.calls.lock().unwrap().push(format!("{operation} {id}").trim_end().to_owned());
            let mut waiting = self.waiting.lock().unwrap();
            let most = usize::try_from(input["maxBatchSize"].as_u64().unwrap_or(0)).unwrap().min(waiting.len());
            Ok(match operation {
                "PollForJobs" => json!({"jobs": waiting.drain(..most).collect::<Vec<_>>()}),
                "AcknowledgeJob" if id == "taken" => return Err(ApiError::new("InvalidNonceException", "late")),
                "AcknowledgeJob" => json!({"status": "InProgress"}),
                _ => json!({}),
            })
        }
    }

    /// Is done with every job at once.
    struct Done;

    #[async_trait]
    impl Work for Done {
        fn claim(&self, job: &Job) -> Claim {
            if job.data.continuation_token.is_some() { Claim::Theirs } else { Claim::New }
        }

        async fn run(&self, _: &Taken) -> Option<Outcome> {
            Some(Outcome::Succeeded { progress: Progress::default(), variables: BTreeMap::new(), revision: None })
        }
    }

    #[tokio::test]
    async fn it_ends_after_its_jobs_and_leaves_those_of_others() {
        let job = |id: &str| json!({"id": id, "nonce": "n", "data": {}});
        let theirs = json!({"id": "theirs", "nonce": "n", "data": {"continuationToken": "t"}});
        let waiting = vec![theirs, job("taken"), job("a"), job("b"), job("c")];
        let queue = Arc::new(Queue { waiting: Mutex::new(waiting), calls: Mutex::default() });
        let polling = Polling { type_id: TypeId::default(), query: BTreeMap::new(), door: Door::Custom };
        let pool = Pool {
            jobs: Jobs::new(queue.clone(), polling),
            work: Arc::new(Done),
            log: Log::new(Terminal {
                out: Box::new(std::io::sink()),
                err: Box::new(std::io::sink()),
                ..Terminal::process()
            }),
            concurrency: 2,
            pause: Duration::from_millis(1),
            jobs_max: Some(2),
        };
        let (_keep, stop) = watch::channel(Stop::No);
        pool.run(stop).await.unwrap();
        let calls = queue.calls.lock().unwrap();
        let of = |operation: &str| calls.iter().filter(|call| call.starts_with(operation)).cloned().collect::<Vec<_>>();
        let mut told = of("PutJobSuccessResult");
        told.sort();
        assert_eq!(told, ["PutJobSuccessResult a", "PutJobSuccessResult b"]);
        assert!(!of("AcknowledgeJob").contains(&"AcknowledgeJob theirs".to_owned()), "{calls:?}");
        assert_eq!(queue.waiting.lock().unwrap().len(), 1, "the third is left to others");
    }
}
