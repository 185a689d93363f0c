//! Asynchronous invocations: one document per event, from before it is answered until the function has run it or it is given
//! up. Nothing waits in memory alone; a process that starts takes up what the last one left. At least once, as on AWS.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, Semaphore};
use towpath_model::ids::Scope;
use towpath_store::{DocumentsExt as _, Expect, Key, Scan};
use towpath_wire::WireError;

use super::Lambda;
use super::errors::{store, throttled};
use super::limits::{ASYNC_QUEUED_MAX, ASYNC_RUNNING_MAX};
use super::names::Reference;
use super::runtime::Job;
use crate::call::Call;

const EVENTS: &str = "lambda.event";
const PARTITION: &str = "queue";
/// AWS keeps an event for six hours.
const AGE_SECONDS: i32 = 21_600;
const RETRIES: i32 = 2;
/// After a throttle or a fault of ours: doubling between these.
const BACKOFF_MS: (i64, i64) = (1_000, 300_000);
/// Servers that share a database look for each other's events so often.
const SHARED_SCAN: Duration = Duration::from_secs(5);
/// Beyond the function's timeout, before another server may take an event over.
const LEASE_SLACK_MS: i64 = 60_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Waiting {
    scope: Scope,
    name: String,
    qualifier: Option<String>,
    request_id: String,
    /// Base64 of the event.
    payload: String,
    queued_ms: i64,
    due_ms: i64,
    /// Runs of the function that ended in an error.
    failures: i32,
    /// Throttles and faults since the last run.
    refusals: u32,
    /// The process that runs it now, and until when nobody else may.
    #[serde(default)]
    holder: Option<(String, i64)>,
}

pub(super) struct Queue {
    /// Known events by the time they are due.
    due: Mutex<BTreeSet<(i64, String)>>,
    running: Mutex<HashSet<String>>,
    changed: Notify,
    places: Arc<Semaphore>,
    /// Tells this process from the ones before it and beside it.
    process: String,
}

impl Queue {
    pub fn new(process: String) -> Self {
        Self {
            due: Mutex::default(),
            running: Mutex::default(),
            changed: Notify::new(),
            places: Arc::new(Semaphore::new(ASYNC_RUNNING_MAX)),
            process,
        }
    }

    fn schedule(&self, due_ms: i64, key: String) {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).insert((due_ms, key));
        self.changed.notify_one();
    }

    /// The next event that is due, or how long until there is one.
    fn next(&self, now_ms: i64) -> Result<String, Option<Duration>> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        match due.first() {
            None => Err(None),
            Some((at, _)) if *at > now_ms => {
                Err(Some(Duration::from_millis(u64::try_from(at - now_ms).unwrap_or(u64::MAX))))
            }
            Some(_) => due.pop_first().map(|(_, key)| key).ok_or(None),
        }
    }

    fn knows(&self, key: &str) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
            || self.due.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|(_, known)| known == key)
    }
}

fn key(id: &str) -> Key {
    Key::new(EVENTS, PARTITION, id)
}

/// What becomes of an event after an attempt.
enum Next {
    Done,
    Again(Waiting),
}

impl Lambda {
    /// Takes an event in, durably.
    pub(super) async fn enqueue(&self, call: &Call, reference: &Reference, payload: Bytes) -> Result<(), WireError> {
        let waiting = self.queue.due.lock().unwrap_or_else(PoisonError::into_inner).len();
        if waiting >= ASYNC_QUEUED_MAX {
            return Err(throttled("CallerRateLimitExceeded"));
        }
        let now = self.ambient.now().millis();
        let event = Waiting {
            scope: call.scope.clone(),
            name: reference.name.clone(),
            qualifier: reference.qualifier.clone(),
            request_id: call.request_id.clone(),
            payload: STANDARD.encode(payload),
            queued_ms: now,
            due_ms: now,
            failures: 0,
            refusals: 0,
            holder: None,
        };
        let id = self.ambient.uuid();
        self.documents.put_json(key(&id), &event, Expect::Absent).await.map_err(store)?;
        self.queue.schedule(now, id);
        Ok(())
    }

    /// Takes up what is written down. Events that another process holds are looked at again when its time is over.
    async fn load_queue(&self) -> Result<(), WireError> {
        let mut after: Option<String> = None;
        loop {
            let mut scan = Scan::all().limit(500);
            if let Some(after) = &after {
                scan = scan.after(after.as_str());
            }
            let found = self.documents.scan_json::<Waiting>(EVENTS, PARTITION, scan).await.map_err(store)?;
            let Some((last, _)) = found.last() else { return Ok(()) };
            after = Some(last.clone());
            for (id, event) in found {
                if self.queue.knows(&id) {
                    continue;
                }
                let held = event.value.holder.filter(|_| self.settings.shared).map_or(0, |(_, until)| until);
                self.queue.schedule(event.value.due_ms.max(held), id);
            }
        }
    }

    /// Runs events as they fall due, until the service closes.
    pub(super) async fn work_queue(self: Arc<Self>) {
        loop {
            if let Err(error) = self.load_queue().await {
                tracing::warn!(%error, "the events of functions cannot be read; trying again");
                tokio::time::sleep(SHARED_SCAN).await;
                continue;
            }
            break;
        }
        let mut scan = tokio::time::interval(SHARED_SCAN);
        loop {
            let wait = match self.queue.next(self.ambient.now().millis()) {
                Ok(id) => {
                    let Ok(place) = Arc::clone(&self.queue.places).acquire_owned().await else { return };
                    self.queue.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
                    let lambda = Arc::clone(&self);
                    self.work.spawn(async move {
                        lambda.attempt(&id).await;
                        lambda.queue.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                        drop(place);
                    });
                    continue;
                }
                Err(wait) => wait.unwrap_or(Duration::from_hours(1)),
            };
            tokio::select! {
                () = self.queue.changed.notified() => {}
                () = tokio::time::sleep(wait) => {}
                _ = scan.tick(), if self.settings.shared => {
                    if let Err(error) = self.load_queue().await {
                        tracing::warn!(%error, "the events of functions cannot be read");
                    }
                }
                () = self.closing.cancelled() => return,
            }
        }
    }

    async fn attempt(self: &Arc<Self>, id: &str) {
        match self.try_event(id).await {
            Ok(()) => {}
            Err(error) => {
                // It is written down; a moment later is as good.
                tracing::warn!(%error, "an event of a function cannot be handled now");
                self.queue.schedule(self.ambient.now().millis() + BACKOFF_MS.0, id.to_owned());
            }
        }
    }

    async fn try_event(self: &Arc<Self>, id: &str) -> Result<(), WireError> {
        let found = self.documents.get_json::<Waiting>(EVENTS, PARTITION, id).await.map_err(store)?;
        let Some(found) = found else { return Ok(()) };
        let mut event = found.value;
        let now = self.ambient.now().millis();
        if let Some((holder, until)) = &event.holder
            && self.settings.shared
            && *holder != self.queue.process
            && *until > now
        {
            self.queue.schedule(*until, id.to_owned());
            return Ok(());
        }
        if event.due_ms > now {
            self.queue.schedule(event.due_ms, id.to_owned());
            return Ok(());
        }
        let reference = Reference { name: event.name.clone(), qualifier: event.qualifier.clone() };
        let Some(function) = self.find(&event.scope, &event.name).await?.map(|found| found.value) else {
            tracing::warn!(function = event.name, "an event is dropped: its function was deleted");
            return self.forget(id).await;
        };
        let config = function.event_configs.get(event.qualifier.as_deref().unwrap_or_default()).cloned();
        let config = config.unwrap_or_default();
        let age = i64::from(config.age_seconds.unwrap_or(AGE_SECONDS)) * 1000;
        if now - event.queued_ms > age {
            tracing::warn!(function = event.name, request = event.request_id, "an event is given up: EventAgeExceeded");
            return self.forget(id).await;
        }
        let version = match self.pick_in(&event.scope, &reference, &function).await {
            Ok(version) => version,
            Err(error) if error.code == "ResourceNotFoundException" => {
                tracing::warn!(function = event.name, %error, "an event is dropped: its version or alias is gone");
                return self.forget(id).await;
            }
            Err(error) => return Err(error),
        };
        let lease = now + i64::from(version.timeout_seconds()) * 1000 + LEASE_SLACK_MS;
        event.holder = Some((self.queue.process.clone(), lease));
        match self.documents.put_json(key(id), &event, Expect::Version(found.version)).await {
            Ok(_) => {}
            // Somebody else has it.
            Err(error) if error.is_conflict() => return Ok(()),
            Err(error) => return Err(store(error)),
        }
        let job = Job {
            scope: event.scope.clone(),
            name: event.name.clone(),
            arn: reference.qualified_arn(&event.scope),
            version,
            reserved: function.reserved,
            request_id: event.request_id.clone(),
            payload: Bytes::from(STANDARD.decode(&event.payload).unwrap_or_default()),
            client_context: None,
        };
        let ran = self.run(job).await;
        let retries = config.retries.unwrap_or(RETRIES);
        match self.judge(event, ran, retries) {
            Next::Done => self.forget(id).await,
            Next::Again(event) => {
                self.documents.put_json(key(id), &event, Expect::Any).await.map_err(store)?;
                self.queue.schedule(event.due_ms, id.to_owned());
                Ok(())
            }
        }
    }

    fn judge(&self, mut event: Waiting, ran: Result<super::runtime::Outcome, WireError>, retries: i32) -> Next {
        let now = self.ambient.now().millis();
        event.holder = None;
        match ran {
            Ok(outcome) if !outcome.failed => Next::Done,
            Ok(_) => {
                event.failures += 1;
                event.refusals = 0;
                if event.failures > retries {
                    let (function, request) = (&event.name, &event.request_id);
                    tracing::warn!(function, request, "an event is given up: RetriesExhausted");
                    return Next::Done;
                }
                let delays = &self.settings.retry_delays;
                let which = usize::try_from(event.failures - 1).unwrap_or(0).min(delays.len() - 1);
                event.due_ms = now + i64::try_from(delays[which].as_millis()).unwrap_or(i64::MAX);
                Next::Again(event)
            }
            Err(error) => {
                tracing::debug!(function = event.name, %error, "an event goes back to the queue");
                let pause = BACKOFF_MS.0.saturating_mul(1 << event.refusals.min(16)).min(BACKOFF_MS.1);
                event.refusals += 1;
                event.due_ms = now + pause;
                Next::Again(event)
            }
        }
    }

    async fn forget(&self, id: &str) -> Result<(), WireError> {
        self.documents.delete(key(id), Expect::Any).await.map_err(store)
    }
}
