//! What runs tasks and waits: an argument like the clock, so that the simulation can own it. Nothing else of the
//! orchestrator may spawn or sleep; tokio's locks, channels and semaphores run on any runtime and are used as they are.

use std::pin::Pin;
use std::time::Duration;

/// A future that somebody else polls.
pub type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

pub trait Runtime: Send + Sync {
    /// Runs the task beside whoever asks.
    fn spawn(&self, task: BoxFuture);

    /// Resolves once so much time has passed, however the clock on the wall was set meanwhile.
    fn sleep(&self, duration: Duration) -> BoxFuture;
}

/// The runtime of a running system.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioRuntime;

impl Runtime for TokioRuntime {
    fn spawn(&self, task: BoxFuture) {
        tokio::spawn(task);
    }

    fn sleep(&self, duration: Duration) -> BoxFuture {
        Box::pin(tokio::time::sleep(duration))
    }
}
