//! The server's side of a build: starts the detached runner, finds it again after a restart, follows it, stops it.
//! Everything goes through files, so that nothing is lost when either side is killed. Must not run anything itself.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::files::{BuildDir, read_json, write_json};
use crate::request::BuildRequest;
use crate::status::{Collected, Status};
use crate::wait::Watch;

/// What can go wrong around a build, as opposed to in it.
#[derive(Debug, thiserror::Error)]
pub enum BuildsError {
    #[error("build directory {dir} already has a runner; adopt it instead of starting a second one", dir = dir.display())]
    AlreadyStarted { dir: PathBuf },
    #[error("build directory {dir} holds no build request; it was never spawned", dir = dir.display())]
    NoRequest { dir: PathBuf },
    #[error("cannot {attempt} {path}", path = path.display())]
    Io {
        attempt: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot start the build runner {program}", program = program.display())]
    Runner {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the command of the build runner is empty")]
    NoRunnerCommand,
}

impl BuildsError {
    pub(crate) fn io(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { attempt, path, source }
    }
}

/// How long log lines may gather before a waiter hears of them. A change of status is told at once.
const LOG_SETTLE: Duration = Duration::from_millis(5);

type Result<T> = std::result::Result<T, BuildsError>;

/// Where a build stands, whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// The request is there and no runner has taken it: `spawn` may be called (again).
    NotStarted,
    /// This process has started a runner that has not taken the request yet.
    Starting,
    Running,
    /// `Status::outcome` is set.
    Finished,
    /// A runner had taken it and is gone without an outcome: a FAULT of the build. Call `sweep` and never spawn again.
    Gone,
}

/// What `wait_change` compares with. The default has seen nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    pub status_version: u64,
    pub log_bytes: u64,
    pub liveness: Option<Liveness>,
}

/// One look at a build.
#[derive(Debug, Clone)]
pub struct Observation {
    pub liveness: Liveness,
    pub status: Status,
    /// Hand it to the next `wait_change`.
    pub seen: Seen,
}

/// One log event; `message` ends with a line feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Epoch milliseconds.
    pub time: u64,
    pub message: String,
}

/// A piece of the log and where the next one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    pub lines: Vec<LogLine>,
    pub next: u64,
}

/// A build in its directory.
#[derive(Debug, Clone)]
pub struct Handle {
    dir: BuildDir,
    child: Option<Arc<Mutex<Child>>>,
}

/// Writes the request and starts `runner_command` followed by the build's directory: a program that calls
/// [`crate::runner_main`]. Returns at once. Refused where a runner has ever taken this directory's request.
pub fn spawn(request: &BuildRequest, runner_command: &[String]) -> Result<Handle> {
    let dir = BuildDir::new(&request.dir);
    let (program, arguments) = runner_command.split_first().ok_or(BuildsError::NoRunnerCommand)?;
    DirBuilder::new().recursive(true).mode(0o700).create(&dir.root).map_err(BuildsError::io("create", &dir.root))?;
    if dir.started().exists() {
        return Err(BuildsError::AlreadyStarted { dir: dir.root });
    }
    write_json(&dir.request(), request).map_err(BuildsError::io("write", &dir.request()))?;
    let output = || {
        let path = dir.runner_output();
        OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(BuildsError::io("open", &path))
    };
    let child = Command::new(program)
        .args(arguments)
        .arg(&dir.root)
        .stdin(Stdio::null())
        .stdout(output()?)
        .stderr(output()?)
        .spawn()
        .map_err(|source| BuildsError::Runner { program: PathBuf::from(program), source })?;
    let child = Arc::new(Mutex::new(child));
    reap(Some(&child));
    Ok(Handle { dir, child: Some(child) })
}

impl Handle {
    /// Finds a build that some process spawned, dead or alive.
    pub fn adopt(dir: &Path) -> Result<Self> {
        let dir = BuildDir::new(dir);
        if !dir.request().exists() {
            return Err(BuildsError::NoRequest { dir: dir.root });
        }
        Ok(Self { dir, child: None })
    }

    pub fn dir(&self) -> &Path {
        &self.dir.root
    }

    /// The request as it was spawned.
    pub fn request(&self) -> Result<BuildRequest> {
        let path = self.dir.request();
        read_json(&path)
            .map_err(BuildsError::io("read", &path))?
            .ok_or_else(|| BuildsError::NoRequest { dir: self.dir.root.clone() })
    }

    /// The last written status; the default one before the runner's first.
    pub fn status(&self) -> Result<Status> {
        let path = self.dir.status();
        Ok(read_json(&path).map_err(BuildsError::io("read", &path))?.unwrap_or_default())
    }

    /// Whether a runner holds this build now.
    pub fn is_alive(&self) -> Result<bool> {
        let path = self.dir.lock();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(BuildsError::io("open", &path)(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(BuildsError::io("lock", &path)(error)),
        }
    }

    /// Liveness, status and log length at one moment.
    pub fn observe(&self) -> Result<Observation> {
        let mut status = self.status()?;
        let liveness = if status.outcome.is_some() {
            Liveness::Finished
        } else if self.is_alive()? {
            Liveness::Running
        } else {
            let starting = self.child_runs();
            if self.dir.started().exists() {
                // It may have been taken, or finished, since the first look.
                let alive = self.is_alive()?;
                status = self.status()?;
                match (&status.outcome, alive) {
                    (Some(_), _) => Liveness::Finished,
                    (None, true) => Liveness::Running,
                    (None, false) => Liveness::Gone,
                }
            } else if starting {
                Liveness::Starting
            } else {
                Liveness::NotStarted
            }
        };
        let log_bytes = fs::metadata(self.dir.log()).map_or(0, |metadata| metadata.len());
        let seen = Seen { status_version: status.version, log_bytes, liveness: Some(liveness) };
        Ok(Observation { liveness, status, seen })
    }

    /// Returns as soon as status, log or liveness differ from `last`; at once if they already do.
    pub async fn wait_change(&self, last: Seen) -> Result<Observation> {
        let mut watch = Watch::new(&self.dir.root);
        loop {
            reap(None);
            let observation = self.observe()?;
            if observation.status.version != last.status_version || Some(observation.liveness) != last.liveness {
                return Ok(observation);
            }
            if observation.seen != last {
                // Log lines come in bursts: one answer for all of them.
                tokio::time::sleep(LOG_SETTLE).await;
                return self.observe();
            }
            watch.changed().await;
        }
    }

    /// What there is to upload, once `Status::upload_artifacts` is set.
    pub fn collected(&self) -> Result<Collected> {
        let path = self.dir.collected();
        Ok(read_json(&path).map_err(BuildsError::io("read", &path))?.unwrap_or_default())
    }

    /// Whole lines from a byte position on, as many as fit about `bytes_max` (at least one).
    pub fn read_log(&self, from: u64, bytes_max: usize) -> Result<LogChunk> {
        let path = self.dir.log();
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(LogChunk { lines: Vec::new(), next: from });
            }
            Err(error) => return Err(BuildsError::io("open", &path)(error)),
        };
        // Six bytes of JSON for one of the log is the worst that escaping does.
        let longest = crate::limits::LOG_LINE_BYTES_MAX * 6 + 64;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from)).map_err(BuildsError::io("read", &path))?;
        let limit = bytes_max.max(longest) as u64;
        file.take(limit).read_to_end(&mut bytes).map_err(BuildsError::io("read", &path))?;
        let mut lines = Vec::new();
        let mut used = 0;
        while let Some(end) = bytes[used..].iter().position(|byte| *byte == b'\n') {
            if used > 0 && used + end + 1 > bytes_max {
                break;
            }
            // A disk that was full for a moment leaves half a line behind.
            lines.extend(serde_json::from_slice::<LogLine>(&bytes[used..used + end]).ok());
            used += end + 1;
        }
        Ok(LogChunk { lines, next: from + used as u64 })
    }

    /// Asks for the build to stop. Durable: a runner that starts later sees it too. Harmless when repeated or late.
    pub fn stop(&self) -> Result<()> {
        let path = self.dir.stop();
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(BuildsError::io("write", &path))?;
        let pid = fs::read_to_string(self.dir.started()).ok().and_then(|text| text.trim().parse::<i32>().ok());
        // The lock tells that the process id still belongs to the runner, and its command line that the runner is one
        // of this machine. A signal that comes to nothing is no loss: the runner looks for the file as well.
        if let Some(pid) = pid.filter(|pid| *pid > 1)
            && self.is_alive()?
            && is_runner_of(pid, &self.dir.root)
        {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        Ok(())
    }

    /// Ends whatever a runner that is gone has left behind: processes and container. Does nothing while it lives.
    pub async fn sweep(&self) -> Result<()> {
        if self.is_alive()? {
            return Ok(());
        }
        crate::sandbox::processes::kill_tagged(&self.dir.root);
        let request = self.request()?;
        crate::sandbox::container::remove_leftover(&request).await;
        Ok(())
    }

    fn child_runs(&self) -> bool {
        self.child
            .as_ref()
            .is_some_and(|child| matches!(child.lock().unwrap_or_else(PoisonError::into_inner).try_wait(), Ok(None)))
    }
}

/// Whether the process is one that was started for this directory. On a directory that machines share, another machine's
/// number may be anybody's here. Where there is no /proc, only one machine is known.
fn is_runner_of(pid: i32, dir: &Path) -> bool {
    match fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(line) => line.split(|byte| *byte == 0).any(|argument| argument == dir.as_os_str().as_encoded_bytes()),
        Err(_) => !Path::new("/proc/self/cmdline").exists(),
    }
}

/// Runners this process started, so that none stays a zombie once it has ended.
static CHILDREN: Mutex<Vec<Arc<Mutex<Child>>>> = Mutex::new(Vec::new());

fn reap(new: Option<&Arc<Mutex<Child>>>) {
    let mut children = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner);
    children.retain(|child| matches!(child.lock().unwrap_or_else(PoisonError::into_inner).try_wait(), Ok(None)));
    children.extend(new.cloned());
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};

    use super::*;

    #[test]
    fn only_a_runner_of_this_directory_is_signalled() {
        let root = tempfile::tempdir().unwrap();
        let mut stranger = Command::new("sleep").arg("600").spawn().unwrap();
        let dir = BuildDir::new(root.path());
        fs::write(dir.started(), stranger.id().to_string()).unwrap();
        let lock = File::create(dir.lock()).unwrap();
        lock.lock().unwrap();
        let handle = Handle { dir, child: None };
        assert!(handle.is_alive().unwrap());
        handle.stop().unwrap();
        assert!(root.path().join("stop").exists());
        let pid = i32::try_from(stranger.id()).unwrap();
        assert!(!is_runner_of(pid, root.path()));
        assert_eq!(stranger.try_wait().unwrap(), None, "a process of that number that is not the runner");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        // A shell that waits without a child of its own; only once it speaks is its command line what it was given.
        let mut runner = Command::new("sh")
            .args(["-c", "echo here; read line", "sh"])
            .arg(root.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut spoken = String::new();
        BufReader::new(runner.stdout.take().unwrap()).read_line(&mut spoken).unwrap();
        assert!(is_runner_of(i32::try_from(runner.id()).unwrap(), root.path()));
        runner.kill().unwrap();
        runner.wait().unwrap();
    }
}
