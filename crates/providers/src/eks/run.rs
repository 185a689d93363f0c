//! Runs of `kubectl` and `helm`: processes of this machine, one after the other, in a directory of their own, with nothing
//! of the server's environment but where programs are and how the network is reached.
//!
//! A run lives as long as this process knows it. After a crash it is begun again: both tools bring a cluster to a state
//! and leave alone what is there already; a process that is still at work from before makes helm wait.

use std::collections::HashMap;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::Notify;

use crate::eks::kube::Access;
use crate::eks::work::Step;
use crate::limits::{EKS_BUSY_PAUSE, EKS_BUSY_TRIES, EKS_LOG_PIECE_BYTES, EKS_REASON_CHARS_MAX, EKS_RUNS_KEPT};

/// What a tool prints while another of its kind works on the release.
const BUSY: &str = "another operation (install/upgrade/rollback) is in progress";
/// Of the server's environment.
const PASSED: [&str; 7] = ["PATH", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"];

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Good,
    /// The command as it is shown, its exit status, and the last it said.
    Failed {
        command: String,
        status: String,
        said: String,
    },
    /// A command could not be begun.
    Broken(String),
}

#[derive(Default)]
struct Known {
    /// The process that runs now; its group has the same number.
    process: Option<i32>,
    stopped: bool,
    end: Option<End>,
    /// How much of the log was read already.
    read: u64,
}

pub struct Run {
    directory: TempDir,
    known: Mutex<Known>,
    ended: Notify,
}

impl Run {
    fn lock(&self) -> MutexGuard<'_, Known> {
        // Whole after every statement that holds the lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    pub fn end(&self) -> Option<End> {
        self.lock().end.clone()
    }

    /// Waits for the end, for `limit` at the most.
    pub async fn wait(&self, limit: Duration) -> Option<End> {
        let ended = self.ended.notified();
        if self.end().is_none() {
            // Woken or not, what counts is looked at below.
            let _ = tokio::time::timeout(limit, ended).await;
        }
        self.end()
    }

    /// What was printed since the last reading, whole lines of it, and how many bytes that is.
    pub fn printed(&self) -> std::io::Result<(String, u64)> {
        let mut known = self.lock();
        let mut file = std::fs::File::open(self.log())?;
        file.seek(SeekFrom::Start(known.read))?;
        let mut bytes = Vec::new();
        file.take(EKS_LOG_PIECE_BYTES).read_to_end(&mut bytes)?;
        let whole = match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => at + 1,
            // A last line without an end, or one that is longer than a piece.
            None if known.end.is_some() || bytes.len() as u64 == EKS_LOG_PIECE_BYTES => bytes.len(),
            None => 0,
        };
        bytes.truncate(whole);
        known.read += whole as u64;
        Ok((String::from_utf8_lossy(&bytes).into_owned(), whole as u64))
    }

    /// Puts back what could not be told.
    pub fn unread(&self, bytes: u64) {
        let mut known = self.lock();
        known.read = known.read.saturating_sub(bytes);
    }

    pub fn stop(&self) {
        let mut known = self.lock();
        known.stopped = true;
        if let Some(process) = known.process {
            // A group that has just ended is as good as one that was told to.
            let _ = killpg(Pid::from_raw(process), Signal::SIGTERM);
        }
    }

    async fn carry_out(&self, access: &Access, tools: &Tools, steps: &[Step]) -> End {
        for step in steps {
            for busy in 0..=EKS_BUSY_TRIES {
                if self.lock().stopped {
                    let said = "The action was stopped.".to_owned();
                    return End::Failed { command: step.shown.clone(), status: "not started".to_owned(), said };
                }
                let (status, said) = match self.command(access, tools, step).await {
                    Ok((None, _)) => break,
                    Ok((Some(status), said)) => (status, said),
                    Err(why) => return End::Broken(why),
                };
                if !said.contains(BUSY) || busy == EKS_BUSY_TRIES {
                    return End::Failed { command: step.shown.clone(), status, said };
                }
                tokio::time::sleep(EKS_BUSY_PAUSE).await;
            }
        }
        End::Good
    }

    /// Runs one command; how it failed, if it did, and the last it said.
    async fn command(&self, access: &Access, tools: &Tools, step: &Step) -> Result<(Option<String>, String), String> {
        let root = self.directory.path();
        let config = root.join("kubeconfig");
        access.write(&config)?;
        let unable = |error: std::io::Error| format!("cannot run {}: {error}", step.tool);
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(self.log()).map_err(unable)?;
        writeln!(log, "$ {}", step.shown).map_err(unable)?;
        let from = log.metadata().map_err(unable)?.len();
        let mut command = Command::new(tools.path(step.tool));
        command
            .args(&step.arguments)
            .current_dir(root.join("artifact"))
            .env_clear()
            .envs(PASSED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .env("HOME", root.join("home"))
            .env("TMPDIR", root.join("home"))
            .env("KUBECONFIG", &config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(unable)?)
            .stderr(log)
            .process_group(0);
        let mut child = command.spawn().map_err(unable)?;
        self.lock().process = child.id().and_then(|id| i32::try_from(id).ok());
        let status = child.wait().await;
        self.lock().process = None;
        let status = status.map_err(unable)?;
        let said = tail(&self.log(), from);
        Ok(((!status.success()).then(|| status.to_string()), said))
    }
}

/// The last lines of a log from `from` on, on one line.
fn tail(log: &Path, from: u64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(EKS_LOG_PIECE_BYTES))))?;
        let mut bytes = Vec::new();
        file.take(EKS_LOG_PIECE_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(3)..].join(" | ");
    let skipped = last.chars().count().saturating_sub(EKS_REASON_CHARS_MAX);
    last.chars().skip(skipped).collect()
}

/// Where `kubectl` and `helm` are; by themselves on the server's PATH.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    directory: Option<PathBuf>,
}

impl Tools {
    /// Both in this directory.
    pub fn at(directory: PathBuf) -> Self {
        Self { directory: Some(directory) }
    }

    fn path(&self, tool: &str) -> PathBuf {
        self.directory.as_ref().map_or_else(|| PathBuf::from(tool), |directory| directory.join(tool))
    }

    pub fn has(&self, tool: &str) -> bool {
        if let Some(directory) = &self.directory {
            return directory.join(tool).is_file();
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|directory| directory.join(tool).is_file())
    }
}

/// The runs of this process, by their action executions.
#[derive(Default)]
pub struct Runs(Mutex<HashMap<String, Arc<Run>>>);

impl Runs {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Run>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, id: &str) -> Option<Arc<Run>> {
        self.lock().get(id).cloned()
    }

    /// Begins one, unless it has been begun. `directory` has the artifact, and a place for a HOME.
    pub fn begin(&self, id: &str, directory: TempDir, access: Access, tools: Tools, steps: Vec<Step>) -> Arc<Run> {
        let mut runs = self.lock();
        if let Some(run) = runs.get(id) {
            return Arc::clone(run);
        }
        // Ended ones are kept as long as somebody may ask for their end again.
        while runs.len() >= EKS_RUNS_KEPT {
            let ended = runs.iter().find(|(_, run)| run.end().is_some()).map(|(id, _)| id.clone());
            let Some(ended) = ended else { break };
            runs.remove(&ended);
        }
        let run = Arc::new(Run { directory, known: Mutex::default(), ended: Notify::new() });
        runs.insert(id.to_owned(), Arc::clone(&run));
        let working = Arc::clone(&run);
        tokio::spawn(async move {
            let end = working.carry_out(&access, &tools, &steps).await;
            // Nobody needs its credentials and files any more; the log may be told yet.
            let root = working.directory.path().to_path_buf();
            let removed = tokio::task::spawn_blocking(move || {
                let _ = std::fs::remove_file(root.join("kubeconfig"));
                for directory in ["artifact", "home"] {
                    let _ = std::fs::remove_dir_all(root.join(directory));
                }
            });
            let _ = removed.await;
            working.lock().end = Some(end);
            working.ended.notify_waiters();
        });
        run
    }
}
