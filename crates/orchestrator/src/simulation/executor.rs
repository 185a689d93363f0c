//! A runtime on one thread whose time is a number: tasks are polled in an order drawn from a seed, timers fire when
//! nothing else can happen, and everything may be dropped at any moment, as a crash would.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use towpath_model::time::{Clock, Timestamp};

use super::random::Random;
use crate::runtime::{BoxFuture, Runtime};

/// How long an answer from another thread is waited for before the world is called stuck.
const OUTSIDE_ANSWER_MAX: Duration = Duration::from_secs(30);

/// Which tasks may go on. Shared with wakers, which other threads may hold.
#[derive(Default)]
struct Ready {
    tasks: Mutex<Vec<u64>>,
    woken: Condvar,
}

impl Ready {
    fn lock(&self) -> MutexGuard<'_, Vec<u64>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, task: u64) {
        let mut tasks = self.lock();
        if !tasks.contains(&task) {
            tasks.push(task);
        }
        drop(tasks);
        self.woken.notify_all();
    }
}

struct TaskWaker {
    task: u64,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.push(self.task);
    }
}

struct State {
    random: Random,
    tasks: HashMap<u64, BoxFuture>,
    last_task: u64,
    /// Time since the world began; never goes back.
    elapsed: Duration,
    timers: BTreeMap<(Duration, u64), Option<Waker>>,
    last_timer: u64,
}

/// Runtime and clock of a simulated process. Clones share everything.
#[derive(Clone)]
pub struct Virtual(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    ready: Arc<Ready>,
    /// What the wall clock showed at the beginning, with every jump since.
    wall: Mutex<Timestamp>,
    /// Store calls that other threads are busy with.
    outside: AtomicUsize,
    crashed: AtomicBool,
}

impl Virtual {
    pub fn new(seed: u64, start: Timestamp) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                random: Random::new(seed),
                tasks: HashMap::new(),
                last_task: 0,
                elapsed: Duration::ZERO,
                timers: BTreeMap::new(),
                last_timer: 0,
            }),
            ready: Arc::default(),
            wall: Mutex::new(start),
            outside: AtomicUsize::new(0),
            crashed: AtomicBool::new(false),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Polls one task that can go on, if there is one.
    pub fn step(&self) -> bool {
        let mut state = self.state();
        let id = {
            let mut ready = self.0.ready.lock();
            if ready.is_empty() {
                return false;
            }
            let at = state.random.index(ready.len());
            ready.swap_remove(at)
        };
        // One that ended meanwhile is nothing to poll, but a step all the same.
        let Some(mut task) = state.tasks.remove(&id) else { return true };
        drop(state);
        let waker = Waker::from(Arc::new(TaskWaker { task: id, ready: Arc::clone(&self.0.ready) }));
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            self.state().tasks.insert(id, task);
        }
        true
    }

    /// Waits for a thread outside, if one is busy for this world: whether there may be something to poll now.
    ///
    /// # Panics
    /// When the answer does not come: a store call that never ends is a fault of the store.
    pub fn wait_outside(&self) -> bool {
        let mut ready = self.0.ready.lock();
        while ready.is_empty() {
            if self.0.outside.load(Ordering::Acquire) == 0 {
                return false;
            }
            let (guard, waited) =
                self.0.ready.woken.wait_timeout(ready, OUTSIDE_ANSWER_MAX).unwrap_or_else(PoisonError::into_inner);
            ready = guard;
            assert!(!waited.timed_out() || !ready.is_empty(), "a store call did not answer");
        }
        true
    }

    /// When the next timer fires, in time since the beginning.
    pub fn next_timer(&self) -> Option<Duration> {
        self.state().timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// Lets time pass up to a moment; timers that fire make their tasks ready.
    pub fn advance_to(&self, moment: Duration) {
        let mut woken = Vec::new();
        let mut state = self.state();
        state.elapsed = state.elapsed.max(moment);
        while let Some(entry) = state.timers.first_entry() {
            if entry.key().0 > moment {
                break;
            }
            woken.extend(entry.remove());
        }
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Runs everything that happens up to a moment, in its order.
    pub fn run_until(&self, moment: Duration) {
        loop {
            while self.step() || self.wait_outside() {
                if self.has_crashed() {
                    return;
                }
            }
            match self.next_timer() {
                Some(next) if next <= moment => self.advance_to(next),
                _ => break,
            }
        }
        self.advance_to(moment);
    }

    /// Time since the beginning, which no jump of the clock changes.
    pub fn elapsed(&self) -> Duration {
        self.state().elapsed
    }

    /// Sets the clock on the wall forward or back.
    pub fn jump(&self, millis: i64) {
        let mut wall = self.0.wall.lock().unwrap_or_else(PoisonError::into_inner);
        *wall = wall.plus_millis(millis);
    }

    /// The process dies here: nothing of it is polled again. Whoever drives the world notices and calls [`Virtual::clear`].
    pub fn crash(&self) {
        self.0.crashed.store(true, Ordering::Release);
    }

    pub fn has_crashed(&self) -> bool {
        self.0.crashed.load(Ordering::Acquire)
    }

    /// Drops everything that runs, and with it what it held; a new process may start.
    pub fn clear(&self) {
        let mut state = self.state();
        let tasks = std::mem::take(&mut state.tasks);
        drop(state);
        // Dropped unlocked: a task that goes may still touch its timers and its channels.
        drop(tasks);
        self.0.ready.lock().clear();
        self.state().timers.clear();
        self.0.crashed.store(false, Ordering::Release);
    }

    /// Another thread is busy for this world until the guard goes.
    pub(super) fn busy_outside(&self) -> BusyOutside {
        self.0.outside.fetch_add(1, Ordering::AcqRel);
        BusyOutside(self.clone())
    }
}

pub(super) struct BusyOutside(Virtual);

impl Drop for BusyOutside {
    fn drop(&mut self) {
        self.0.0.outside.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        let wall = *self.0.wall.lock().unwrap_or_else(PoisonError::into_inner);
        wall.plus_millis(i64::try_from(self.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}

impl Runtime for Virtual {
    fn spawn(&self, task: BoxFuture) {
        let mut state = self.state();
        state.last_task += 1;
        let id = state.last_task;
        state.tasks.insert(id, task);
        drop(state);
        self.0.ready.push(id);
    }

    fn sleep(&self, duration: Duration) -> BoxFuture {
        let mut state = self.state();
        state.last_timer += 1;
        let key = (state.elapsed.saturating_add(duration), state.last_timer);
        Box::pin(Sleep { runtime: self.clone(), key })
    }
}

struct Sleep {
    runtime: Virtual,
    key: (Duration, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.runtime.state();
        if state.elapsed >= self.key.0 {
            return Poll::Ready(());
        }
        state.timers.insert(self.key, Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.runtime.state().timers.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(seed: u64) -> (Virtual, Arc<Mutex<Vec<u64>>>) {
        (Virtual::new(seed, Timestamp(0)), Arc::default())
    }

    #[test]
    fn time_passes_only_when_nothing_else_can_happen_and_wakes_in_order() {
        let (runtime, seen) = world(1);
        for seconds in [30, 10, 20] {
            let (inner, seen) = (runtime.clone(), Arc::clone(&seen));
            runtime.spawn(Box::pin(async move {
                inner.sleep(Duration::from_secs(seconds)).await;
                seen.lock().expect("whole").push(seconds);
            }));
        }
        runtime.run_until(Duration::from_secs(20));
        assert_eq!(*seen.lock().expect("whole"), [10, 20]);
        assert_eq!(runtime.now(), Timestamp(20_000));
        runtime.jump(-5_000);
        runtime.run_until(Duration::from_mins(1));
        assert_eq!(*seen.lock().expect("whole"), [10, 20, 30], "a jump of the clock moves no timer");
        assert_eq!(runtime.now(), Timestamp(55_000));
    }

    #[test]
    fn the_seed_alone_decides_the_order() {
        let order = |seed| {
            let (runtime, seen) = world(seed);
            for task in 0..20 {
                let seen = Arc::clone(&seen);
                runtime.spawn(Box::pin(async move { seen.lock().expect("whole").push(task) }));
            }
            runtime.run_until(Duration::ZERO);
            std::mem::take(&mut *seen.lock().expect("whole"))
        };
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
    }

    #[test]
    fn what_is_cleared_never_goes_on() {
        let (runtime, seen) = world(1);
        let (inner, then) = (runtime.clone(), Arc::clone(&seen));
        runtime.spawn(Box::pin(async move {
            inner.sleep(Duration::from_secs(1)).await;
            then.lock().expect("whole").push(1);
        }));
        runtime.run_until(Duration::ZERO);
        runtime.clear();
        runtime.run_until(Duration::from_mins(1));
        assert!(seen.lock().expect("whole").is_empty());
    }

    #[test]
    fn an_answer_from_another_thread_is_waited_for() {
        let (runtime, seen) = world(1);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let busy = runtime.busy_outside();
        let then = Arc::clone(&seen);
        runtime.spawn(Box::pin(async move {
            let answer = receiver.await.expect("sent");
            drop(busy);
            then.lock().expect("whole").push(answer);
        }));
        let thread = std::thread::spawn(move || sender.send(5));
        runtime.run_until(Duration::ZERO);
        assert_eq!(*seen.lock().expect("whole"), [5]);
        thread.join().expect("no panic").expect("received");
    }
}
