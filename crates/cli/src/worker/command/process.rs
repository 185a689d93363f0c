//! The command as a process: in a group of its own, so that whatever it starts ends with it, its output told line by line.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::log::Log;
use crate::env;
use crate::limits;

/// A running command.
pub struct Process {
    child: Child,
    group: Option<Pid>,
    readers: JoinSet<()>,
    /// When the output of what it left behind is given up; known once it has ended.
    drained_by: Option<Instant>,
    tail: Arc<Mutex<VecDeque<String>>>,
}

impl Process {
    pub fn start(
        argv: &[OsString],
        directory: &Path,
        environment: &[(String, OsString)],
        title: &str,
        log: &Log,
    ) -> std::io::Result<Self> {
        let Some((program, arguments)) = argv.split_first() else {
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "there is no command"));
        };
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(directory)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            // Only the worker itself has to know these.
            .env_remove(env::CLIENT_TOKEN)
            .env_remove(env::JENKINS_TOKEN)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let mut readers = JoinSet::new();
        if let Some(out) = child.stdout.take() {
            readers.spawn(tell(out, title.to_owned(), log.clone(), Arc::clone(&tail)));
        }
        if let Some(err) = child.stderr.take() {
            readers.spawn(tell(err, title.to_owned(), log.clone(), Arc::clone(&tail)));
        }
        Ok(Self { child, group, readers, drained_by: None, tail })
    }

    /// The end of the process, and of what it printed. Whoever gives up waiting may wait again, and misses nothing.
    pub async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        // What it left running in the background may hold its output open for ever.
        let until = *self.drained_by.get_or_insert_with(|| Instant::now() + DRAIN);
        let readers = &mut self.readers;
        if tokio::time::timeout_at(until, async { while readers.join_next().await.is_some() {} }).await.is_err() {
            readers.abort_all();
        }
        Ok(status)
    }

    /// Asks the whole group to end, and makes it end when it does not.
    pub async fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        if tokio::time::timeout(limits::WORKER_KILL_AFTER, self.child.wait()).await.is_err() {
            self.signal(Signal::SIGKILL);
            let _ = self.child.wait().await;
        }
        // Whoever ignored the request while its parent obeyed.
        self.signal(Signal::SIGKILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // The group may be gone; that is what is wanted.
            let _ = killpg(group, signal);
        }
    }

    /// The last lines it printed.
    pub fn tail(&self) -> String {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

const DRAIN: Duration = Duration::from_secs(2);

async fn tell(
    from: impl AsyncRead + Unpin + Send + 'static,
    title: String,
    log: Log,
    tail: Arc<Mutex<VecDeque<String>>>,
) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        // A line without an end is told in pieces.
        let read = (&mut from).take(limits::WORKER_LINE_BYTES_MAX).read_until(b'\n', &mut line).await;
        match read {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                let text = text.trim_end_matches(['\n', '\r']);
                log.line(&title, text);
                let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
                if tail.len() == limits::WORKER_TAIL_LINES {
                    tail.pop_front();
                }
                tail.push_back(crate::display::clean(text).chars().take(limits::WORKER_TAIL_CHARS).collect());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::terminal::Terminal;

    #[tokio::test]
    async fn who_gives_up_waiting_and_waits_again_misses_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        // What it leaves in the background prints after its end.
        let argv = ["sh", "-c", "{ while [ ! -e go ]; do sleep 0.01; done; echo late; } & exit 3"].map(OsString::from);
        let silent = Terminal { out: Box::new(std::io::sink()), err: Box::new(std::io::sink()), ..Terminal::process() };
        let log = Log::new(silent);
        let mut process = Process::start(&argv, directory.path(), &[], "Work", &log).expect("it starts");
        process.child.wait().await.expect("an end");
        assert!(process.wait().now_or_never().is_none(), "its output is still open");
        std::fs::write(directory.path().join("go"), "").expect("a file");
        let status = process.wait().await.expect("an end");
        assert_eq!((status.code(), process.tail().as_str()), (Some(3), "late"));
    }
}
