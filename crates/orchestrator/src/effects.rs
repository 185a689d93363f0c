//! Runs what was committed: calls providers, feeds their answers back as events, and watches deadlines. Every call may
//! happen twice (a crash between call and commit); the provider's entry says why that is safe.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt as _;
use towpath_model::action::{ErrorDetails, Outcome, Progress, error_code};
use towpath_model::effect::{Task, TaskKind};
use towpath_model::event::Event;
use towpath_model::time::Timestamp;
use towpath_providers::{Call, HandedJob, Provider, staging};
use towpath_store::{Commit, StoreError};

use crate::Orchestrator;
use crate::apply::Extra;
use crate::error::CommandError;
use crate::jobs::{CurrentJob, lambda_type, unanswered};
use crate::limits::{
    FUNCTION_JOB_LOOK, PROVIDER_CALLS_MAX, SCHEDULE_PAUSE_MAX, SETTLING, STOP_TRIES_MAX, STORE_RETRY, TASK_PAGE,
    UNAVAILABLE_BACKOFF_FIRST, UNAVAILABLE_BACKOFF_MAX,
};

impl Orchestrator {
    /// Takes up everything the store holds as not acknowledged, then keeps running what falls due until
    /// [`Orchestrator::shutdown`].
    pub async fn resume(self: &Arc<Self>) -> Result<(), CommandError> {
        self.keep_pruning();
        if let Some(node) = self.node.clone() {
            self.join(node).await?;
            let this = Arc::clone(self);
            self.runtime.spawn(Box::pin(async move { this.run_schedule().await }));
            return Ok(());
        }
        let mut after = None;
        loop {
            let page = self.store.tasks(after.as_ref(), TASK_PAGE).await?;
            let full = page.len() == TASK_PAGE;
            after = page.last().map(|t| t.id.clone());
            for mut task in page {
                // A poll's due time was a guess of the last process; ask at once. So it is with a function, which may have
                // been told to go on.
                if task.kind != TaskKind::Await || task.progress.continuation.is_some() {
                    task.due = self.clock.now();
                }
                self.schedule.put(task);
            }
            if !full {
                break;
            }
        }
        let this = Arc::clone(self);
        self.runtime.spawn(Box::pin(async move { this.run_schedule().await }));
        Ok(())
    }

    /// Waits until no provider is being called and nothing is left to be stopped, for `limit` at the most: whoever
    /// abandoned an execution and leaves has then told its work outside to stop.
    pub async fn quiesce(&self, limit: Duration) {
        let settled = async {
            while self.schedule.has_stops() || self.calls.available_permits() < PROVIDER_CALLS_MAX {
                self.runtime.sleep(SETTLING).await;
            }
        };
        let _ = self.within(limit, settled).await;
    }

    /// Stops claiming work. What runs outside goes on and is taken up again by the next start.
    pub fn shutdown(&self) {
        self.stopping.store(true, Ordering::Release);
        self.schedule.nudge();
    }

    /// Something outside changed (a build moved): ask its action now instead of at its next poll.
    pub fn wake_external(&self, external_id: &str) {
        self.schedule.wake_external(external_id, self.clock.now());
    }

    /// Actions that are being run, waited for or stopped.
    pub fn tasks_pending(&self) -> usize {
        self.schedule.len()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Starts freshly committed tasks: those due now at once, the others when they are due.
    pub(crate) fn launch(self: &Arc<Self>, tasks: Vec<Task>) {
        let now = self.clock.now();
        for task in tasks {
            if task.due > now || self.is_stopping() {
                self.schedule.put(task);
            } else {
                self.schedule.put_running(task.clone());
                self.spawn(task, 0);
            }
        }
    }

    async fn run_schedule(self: Arc<Self>) {
        while !self.is_stopping() {
            match self.schedule.take_due(self.clock.now()) {
                Ok((task, polls)) => self.spawn(task, polls),
                Err(next) => {
                    let pause = next.map_or(SCHEDULE_PAUSE_MAX, |due| until(due, self.clock.now()));
                    let _ = self.within(pause.min(SCHEDULE_PAUSE_MAX), self.schedule.changed()).await;
                }
            }
        }
    }

    fn spawn(self: &Arc<Self>, task: Task, polls: u32) {
        let this = Arc::clone(self);
        self.runtime.spawn(Box::pin(async move {
            let Ok(_permit) = Arc::clone(&this.calls).acquire_owned().await else { return };
            this.run(task, polls).await;
        }));
    }

    /// What a future answers, unless it takes longer than `limit`.
    async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        // In a fixed order: which branch is looked at first must not be drawn from the process.
        tokio::select! {
            biased;
            answer = future => Some(answer),
            () = self.runtime.sleep(limit) => None,
        }
    }

    async fn run(self: &Arc<Self>, mut task: Task, polls: u32) {
        if self.is_stopping() {
            return;
        }
        let job = match self.current_job(&task.invocation).await {
            Ok(job) => job,
            Err(error) => return self.look_again(task, &error),
        };
        if let Some(deadline) = job.as_ref().and_then(|job| job.deadline) {
            task.invocation.deadline = deadline;
        }
        if task.kind == TaskKind::Await && !self.is_to_be_handed(&mut task, job.as_ref()) {
            self.wait(task, job.as_ref(), polls).await;
            return;
        }
        match self.is_still_ours(&task).await {
            Ok(true) => {}
            Ok(false) => {
                self.schedule.forget(&task.id);
                return;
            }
            Err(error) => return self.look_again(task, &error.into()),
        }
        let catalogue = Arc::clone(&self.catalogue);
        let handed = job.as_ref().and_then(|job| job.handed.as_ref());
        // A partner's type has no provider of its own; whoever hands jobs to functions does so for it too.
        let provider = catalogue.get(&task.invocation.action_type);
        let provider = provider.or_else(|| handed.and_then(|_| catalogue.get(&lambda_type())));
        let Some(provider) = provider else {
            let message = format!(
                "The action type {:?} is not in this Towpath's catalogue any more. Update the pipeline.",
                task.invocation.action_type
            );
            self.answer(task, Outcome::failed(error_code::CONFIGURATION_ERROR, message), None, polls).await;
            return;
        };
        match task.kind {
            TaskKind::Stop => self.stop_outside(task, provider).await,
            TaskKind::Start | TaskKind::Poll | TaskKind::Await => {
                let now = self.clock.now();
                if now >= task.invocation.deadline {
                    self.time_out(task).await;
                    return;
                }
                let limit = until(task.invocation.deadline, now);
                // A provider's panic must not take the action with it.
                let call = AssertUnwindSafe(Box::pin(self.call(&task, provider, handed))).catch_unwind();
                match self.within(limit, call).await {
                    Some(Ok(outcome)) => self.answer(task, outcome, Some(provider), polls).await,
                    Some(Err(_)) => {
                        tracing::error!(action = %task.invocation.action_execution_id, "a provider call panicked");
                        let outcome = Outcome::failed(
                            error_code::INTERNAL_ERROR,
                            "Towpath failed while running the action. The server log has the details.",
                        );
                        self.answer(task, outcome, Some(provider), polls).await;
                    }
                    None => self.time_out(task).await,
                }
            }
        }
    }

    /// What the store cannot say now is asked for again soon.
    fn look_again(&self, task: Task, error: &CommandError) {
        tracing::warn!(error = error as &dyn std::error::Error, "what is stored of an action could not be read");
        let now = self.clock.now();
        self.schedule.again(task, now.plus_millis(millis(STORE_RETRY)), now, false);
    }

    /// Whether this node may begin what it put off: meanwhile it may have been taken for dead, and what another node has
    /// taken over is not begun again. A start that follows its decision at once needs no look.
    async fn is_still_ours(&self, task: &Task) -> Result<bool, StoreError> {
        let put_off = task.failures > 0 || task.progress.continuation.is_some();
        if task.kind != TaskKind::Start || !put_off || !self.store.is_shared() {
            return Ok(true);
        }
        let stored = self.store.task(&task.id).await?;
        Ok(stored.is_some_and(|stored| stored.owner == self.node))
    }

    /// Whether a function waits for the job of a task that is otherwise waited for. It is started again with it, as soon
    /// as it may.
    fn is_to_be_handed(&self, task: &mut Task, job: Option<&CurrentJob>) -> bool {
        let now = self.clock.now();
        let waits = job.is_some_and(|job| job.is_waiting(&task.progress));
        if !waits || now >= task.invocation.deadline || job.and_then(|job| job.not_before).is_some_and(|at| at > now) {
            return false;
        }
        task.kind = TaskKind::Start;
        true
    }

    /// Somebody outside answers, a person, a job worker or a function; here is nobody to ask.
    async fn wait(self: &Arc<Self>, task: Task, job: Option<&CurrentJob>, polls: u32) {
        let now = self.clock.now();
        let handed = job.and_then(|job| job.handed.as_ref());
        if let Some(handed) = handed.filter(|_| now >= task.invocation.deadline) {
            let outcome = unanswered(&handed.function, &task.invocation, now);
            self.finish(task, outcome).await;
            return;
        }
        if let Some(next) = job.filter(|job| job.is_waiting(&task.progress)).and_then(|job| job.not_before) {
            self.schedule.again(task, next, now, false);
            return;
        }
        self.answer(task, Outcome::AwaitingCallback { progress: Progress::default() }, None, polls).await;
    }

    async fn call(&self, task: &Task, provider: &dyn Provider, job: Option<&HandedJob>) -> Outcome {
        let context = match self.call_context(task, provider) {
            Ok(context) => Call { job, ..context },
            Err(error) => return Outcome::failed(&error.code, error.message),
        };
        if task.kind == TaskKind::Start {
            staging::start(&context, provider, &task.invocation).await
        } else {
            staging::poll(&context, provider, &task.invocation, &task.progress).await
        }
    }

    /// Turns an answer into an event, or into another look later.
    async fn answer(self: &Arc<Self>, mut task: Task, outcome: Outcome, provider: Option<&dyn Provider>, polls: u32) {
        let now = self.clock.now();
        match outcome {
            Outcome::Unavailable { message } => {
                task.failures = task.failures.saturating_add(1);
                tracing::warn!(action = %task.invocation.action_execution_id, failures = task.failures, message, "the peer could not be asked");
                task.last_failure = Some(message);
                let pause = millis(backoff(task.failures, &task.invocation.action_execution_id));
                // Nothing but the action's timeout ends this.
                let due = now.plus_millis(pause).min(task.invocation.deadline);
                self.schedule.again(task, due, now, false);
            }
            Outcome::Pending { progress } => {
                let interval = provider.and_then(|provider| {
                    let context = self.call_context(&task, provider).ok()?;
                    Some(provider.poll_interval(&context, &task.invocation, &progress, polls))
                });
                let interval = interval.unwrap_or(Duration::from_secs(1));
                let due = now.plus_millis(millis(interval)).min(task.invocation.deadline);
                let moved = task.kind == TaskKind::Start || progress != task.progress;
                task.kind = TaskKind::Poll;
                task.failures = 0;
                task.last_failure = None;
                task.due = due;
                task.progress = progress;
                if moved {
                    self.progressed(&task, provider).await;
                }
                self.schedule.again(task, due, now, true);
            }
            Outcome::AwaitingCallback { progress } => {
                if now >= task.invocation.deadline {
                    self.time_out(task).await;
                    return;
                }
                if task.kind == TaskKind::Start {
                    task.progress = progress;
                }
                // Any node may be told that a function is to be continued; this one looks.
                let handed = self.store.is_shared() && task.progress.continuation.is_some();
                let look = now.plus_millis(millis(FUNCTION_JOB_LOOK));
                let due = if handed { look.min(task.invocation.deadline) } else { task.invocation.deadline };
                if task.kind == TaskKind::Start {
                    task.kind = TaskKind::Await;
                    task.due = due;
                    self.progressed(&task, provider).await;
                }
                self.schedule.again(task, due, now, false);
            }
            outcome @ (Outcome::Succeeded { .. } | Outcome::Failed { .. }) => self.finish(task, outcome).await,
        }
    }

    /// Makes the acknowledged start (or the progress) durable. An action that was abandoned meanwhile is stopped.
    async fn progressed(self: &Arc<Self>, task: &Task, provider: Option<&dyn Provider>) {
        let event = Event::ActionProgressed {
            execution: task.execution.clone(),
            action: task.invocation.action_execution_id.clone(),
            progress: task.progress.clone(),
        };
        let extra = || Extra { tasks_moved: vec![task.clone()], ..Extra::default() };
        match self.apply_surely(task, event, extra).await {
            Applying::Stale => {
                if let Some(provider) = provider
                    && let Err(error) = self.tell_to_stop(task, provider).await
                {
                    tracing::warn!(action = %task.invocation.action_execution_id, error, "an abandoned action could not be stopped");
                }
                self.drop_task(task).await;
            }
            Applying::Lost => self.schedule.forget(&task.id),
            Applying::Done | Applying::Later => {}
        }
    }

    async fn finish(self: &Arc<Self>, task: Task, outcome: Outcome) {
        let event = Event::ActionFinished {
            execution: task.execution.clone(),
            action: task.invocation.action_execution_id.clone(),
            outcome,
        };
        self.settle(&task, event).await;
    }

    async fn time_out(self: &Arc<Self>, task: Task) {
        let event = Event::ActionTimedOut {
            execution: task.execution.clone(),
            action: task.invocation.action_execution_id.clone(),
            unavailable: task.last_failure.clone(),
        };
        self.settle(&task, event).await;
    }

    async fn settle(self: &Arc<Self>, task: &Task, event: Event) {
        let extra = || Extra { tasks_done: vec![task.id.clone()], ..Extra::default() };
        if self.apply_surely(task, event, extra).await == Applying::Stale {
            self.drop_task(task).await;
        }
        self.schedule.forget(&task.id);
    }

    /// Applies an answer however often the store has to be asked.
    async fn apply_surely(self: &Arc<Self>, task: &Task, event: Event, extra: impl Fn() -> Extra) -> Applying {
        loop {
            match self.apply(&task.pipeline, event.clone(), extra()).await {
                Ok(applied) if applied.changed => return Applying::Done,
                Ok(_) | Err(CommandError::PipelineNotFound { .. }) => return Applying::Stale,
                Err(CommandError::TaskLost) => return Applying::Lost,
                Err(CommandError::Rejected(reason)) => {
                    tracing::error!(%reason, action = %task.invocation.action_execution_id, "the engine refused an action's answer");
                    // A fault of ours: the row stays in the outbox, and the next start asks again.
                    return Applying::Later;
                }
                Err(error) => {
                    if self.is_stopping() {
                        // The row is still in the outbox: the next start asks again.
                        return Applying::Later;
                    }
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "an action's answer is not durable yet; trying again"
                    );
                    self.runtime.sleep(STORE_RETRY).await;
                }
            }
        }
    }

    /// Removes an outbox row that no execution knows any more.
    async fn drop_task(&self, task: &Task) {
        let commit = || Commit { tasks_done: vec![task.id.clone()], ..Commit::default() };
        while let Err(error) = self.store.commit(commit()).await {
            if self.is_stopping() {
                // The next start finds the row and drops it again.
                break;
            }
            tracing::warn!(error = &error as &dyn std::error::Error, "a finished task is still in the outbox");
            self.runtime.sleep(STORE_RETRY).await;
        }
        self.schedule.forget(&task.id);
    }

    async fn stop_outside(self: &Arc<Self>, mut task: Task, provider: &dyn Provider) {
        match self.tell_to_stop(&task, provider).await {
            Ok(()) => self.drop_task(&task).await,
            Err(error) => {
                task.failures += 1;
                tracing::warn!(action = %task.invocation.action_execution_id, error, tries = task.failures, "the action's work could not be stopped");
                if task.failures >= STOP_TRIES_MAX {
                    self.drop_task(&task).await;
                } else {
                    let now = self.clock.now();
                    let due = now.plus_millis(millis(backoff(task.failures, &task.id)));
                    self.schedule.again(task, due, now, false);
                }
            }
        }
    }

    async fn tell_to_stop(&self, task: &Task, provider: &dyn Provider) -> Result<(), String> {
        match self.call_context(task, provider) {
            Ok(context) => staging::stop(&context, provider, &task.invocation, &task.progress).await,
            // What no realm could run was never begun.
            Err(_) => Ok(()),
        }
    }

    /// Where the provider's service is for this action; the words that fail the action where it is nowhere.
    fn call_context(&self, task: &Task, provider: &dyn Provider) -> Result<Call<'_>, ErrorDetails> {
        let realm = self.realms.for_invocation(&task.invocation, provider.service_of(&task.invocation))?;
        let artifacts = self.realms.artifacts_for(realm);
        Ok(Call { realm, artifacts, clock: &*self.clock, scratch: &self.scratch, job: None })
    }
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Applying {
    Done,
    /// Nobody waits for it any more.
    Stale,
    /// Another node has the task.
    Lost,
    /// Towpath stops; the outbox still holds the task.
    Later,
}

fn until(due: Timestamp, now: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(due.millis() - now.millis()).unwrap_or(0))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Exponential, bounded, with a jitter of up to a half that follows from the id and the attempt: many actions do not ask in
/// step, and a simulation replays.
fn backoff(failures: u32, id: &str) -> Duration {
    let whole = UNAVAILABLE_BACKOFF_FIRST.saturating_mul(1 << failures.min(10)).min(UNAVAILABLE_BACKOFF_MAX);
    let spread = id.bytes().fold(failures, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % 50;
    whole.mul_f64(f64::from(100 - spread) / 100.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_are_spread() {
        for failures in 0..40 {
            let whole = UNAVAILABLE_BACKOFF_FIRST.saturating_mul(1 << failures.min(10)).min(UNAVAILABLE_BACKOFF_MAX);
            let pauses: BTreeSet<Duration> =
                (0..100).map(|n| backoff(failures, &format!("11111111-1111-4111-8111-{n:012}"))).collect();
            assert!(pauses.iter().all(|pause| *pause > whole / 2 && *pause <= whole), "{failures}: {pauses:?}");
            assert!(pauses.len() > 20, "{failures}: they ask in step: {pauses:?}");
        }
        // One action's own pauses differ too, once they are as long as they get.
        let late: BTreeSet<Duration> = (20..30).map(|failures| backoff(failures, "1")).collect();
        assert!(late.len() > 5, "{late:?}");
    }
}
