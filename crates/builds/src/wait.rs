//! Sleeps until something happens in a build's directory: kernel notifications where there are some, else polling that
//! slows down. A wake-up is only a hint. Must not read the files.

use std::path::Path;
use std::time::Duration;

#[cfg(not(target_os = "linux"))]
use crate::limits::POLL_FASTEST;
use crate::limits::{POLL_SLOWEST, WAIT_RECHECK};

pub(crate) struct Watch {
    /// A descriptor of notifications is read like a pipe.
    #[cfg(target_os = "linux")]
    notify: Option<tokio::net::unix::pipe::Receiver>,
    pause: Duration,
}

#[cfg(target_os = "linux")]
fn notifications(dir: &Path) -> Option<tokio::net::unix::pipe::Receiver> {
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok()?;
    // The status is renamed into place, the log is appended to, and the lock file is closed when the runner dies.
    let mask = AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MODIFY
        | AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_CREATE;
    inotify.add_watch(dir, mask).ok()?;
    tokio::net::unix::pipe::Receiver::from_owned_fd_unchecked(inotify.into()).ok()
}

impl Watch {
    /// Must be called before the state it waits on is read.
    #[cfg(target_os = "linux")]
    pub fn new(dir: &Path) -> Self {
        // Without notifications (the user's quota of instances is used up) polling does.
        let notify = notifications(dir);
        Self { notify, pause: crate::limits::POLL_FASTEST }
    }

    #[cfg(not(target_os = "linux"))]
    pub fn new(_dir: &Path) -> Self {
        Self { pause: POLL_FASTEST }
    }

    pub async fn changed(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(notify) = &self.notify {
            // A runner that this process has only just started has no file that its death would close.
            if let Ok(Ok(())) = tokio::time::timeout(WAIT_RECHECK, notify.readable()).await {
                let mut events = [0; 4096];
                while notify.try_read(&mut events).is_ok_and(|count| count > 0) {}
            }
            return;
        }
        let _ = WAIT_RECHECK;
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(POLL_SLOWEST);
    }
}
