//! What is due when: the in-memory view of the outbox. The store's rows are the truth; this is rebuilt from them at
//! start-up, and losing it costs nothing but a second look.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use towpath_model::effect::{Task, TaskKind};
use towpath_model::ids::TaskId;
use towpath_model::time::Timestamp;

pub struct Entry {
    pub task: Task,
    /// Polls so far, for the provider's interval.
    pub polls: u32,
    /// A call is under way; a wake-up now is remembered for afterwards.
    pub running: bool,
    pub woken: bool,
}

#[derive(Default)]
struct Inner {
    entries: HashMap<TaskId, Entry>,
    due: BinaryHeap<Reverse<(Timestamp, TaskId)>>,
}

#[derive(Default)]
pub struct Schedule {
    inner: Mutex<Inner>,
    changed: Notify,
}

impl Schedule {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a task in, due when it says.
    pub fn put(&self, task: Task) {
        let mut inner = self.lock();
        let (due, id) = (task.due, task.id.clone());
        inner.entries.insert(id.clone(), Entry { task, polls: 0, running: false, woken: false });
        inner.due.push(Reverse((due, id)));
        drop(inner);
        self.changed.notify_one();
    }

    /// Takes a task in as already running.
    pub fn put_running(&self, task: Task) {
        let id = task.id.clone();
        self.lock().entries.insert(id, Entry { task, polls: 0, running: true, woken: false });
    }

    pub fn has(&self, id: &TaskId) -> bool {
        self.lock().entries.contains_key(id)
    }

    pub fn forget(&self, id: &TaskId) {
        self.lock().entries.remove(id);
    }

    /// The call is over; look again at `due` with the task as it is now. A wake-up during the call makes it due `now`.
    pub fn again(&self, task: Task, due: Timestamp, now: Timestamp, polled: bool) {
        let mut inner = self.lock();
        let id = task.id.clone();
        let Some(entry) = inner.entries.get_mut(&id) else { return };
        entry.task = task;
        entry.running = false;
        entry.polls = entry.polls.saturating_add(u32::from(polled));
        let due = if std::mem::take(&mut entry.woken) { now } else { due };
        inner.due.push(Reverse((due, id)));
        drop(inner);
        self.changed.notify_one();
    }

    /// Something was stored for this task: it is due at `at`, whenever it would have been by itself.
    pub fn wake(&self, id: &TaskId, at: Timestamp) {
        let mut inner = self.lock();
        let Some(entry) = inner.entries.get_mut(id) else { return };
        if entry.running {
            entry.woken = true;
        } else {
            inner.due.push(Reverse((at, id.clone())));
        }
        drop(inner);
        self.changed.notify_one();
    }

    /// Something outside changed: every task with this external id is due now.
    pub fn wake_external(&self, external_id: &str, now: Timestamp) {
        let mut inner = self.lock();
        let mut woken = Vec::new();
        for (id, entry) in &mut inner.entries {
            if entry.task.progress.external_id.as_deref() == Some(external_id) || entry.running {
                if entry.running {
                    entry.woken = true;
                } else {
                    woken.push(id.clone());
                }
            }
        }
        for id in woken {
            inner.due.push(Reverse((now, id)));
        }
        drop(inner);
        self.changed.notify_one();
    }

    /// Takes the next due task, marked running, with its count of polls; or says when the next one is due.
    pub fn take_due(&self, now: Timestamp) -> Result<(Task, u32), Option<Timestamp>> {
        let mut inner = self.lock();
        loop {
            let Some(Reverse((due, _))) = inner.due.peek() else { return Err(None) };
            if *due > now {
                return Err(Some(*due));
            }
            let Some(Reverse((_, id))) = inner.due.pop() else { return Err(None) };
            if let Some(entry) = inner.entries.get_mut(&id)
                && !entry.running
            {
                entry.running = true;
                return Ok((entry.task.clone(), entry.polls));
            }
        }
    }

    /// Lets whoever waits for a change look again.
    pub fn nudge(&self) {
        self.changed.notify_one();
    }

    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether some action's work is still to be stopped.
    pub fn has_stops(&self) -> bool {
        self.lock().entries.values().any(|entry| entry.task.kind == TaskKind::Stop)
    }

    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }
}
