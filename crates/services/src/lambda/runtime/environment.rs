//! One execution environment: a process under its monitor, its Runtime API, its log. Runs one event at a time and knows
//! nothing of the others.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::api::{Event, Reply, RuntimeApi, Started};
use super::log::RunLog;
use super::memory;
use crate::ambient::Ambient;
use crate::lambda::limits::{KILL_WAIT, MEMORY_CHECK, RESPONSE_BYTES_MAX};

/// What a process is started with.
pub(super) struct Plan {
    /// The monitor, then the function's own program.
    pub command: Vec<String>,
    pub variables: BTreeMap<String, String>,
    pub task_root: PathBuf,
    /// A sandbox stands between the monitor and the program, and tells a signal as an exit code.
    pub enclosed: bool,
    /// A directory of the environment's own, removed with it.
    pub scratch: PathBuf,
    pub log: Option<PathBuf>,
    pub memory_mb: i32,
    pub init_limit: Duration,
}

/// How the process ended, in the words of Lambda's errors.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Life {
    Starting,
    Running(i32),
    /// `exit status 3`, `signal: killed`.
    Ended(String),
}

/// One event's way through.
pub(super) struct Ran {
    pub body: Bytes,
    pub failed: bool,
    pub duration: Duration,
    /// The process cannot take another event.
    pub spent: bool,
    pub status: Option<(&'static str, String)>,
}

pub(in crate::lambda) struct Environment {
    api: RuntimeApi,
    /// Closing it ends the process. None once it is closed.
    lifeline: Mutex<Option<ChildStdin>>,
    life: watch::Receiver<Life>,
    log: Arc<Mutex<RunLog>>,
    output: Arc<std::os::fd::OwnedFd>,
    tasks: [JoinHandle<()>; 2],
    scratch: PathBuf,
    memory_mb: i32,
    pub born: Instant,
    pub init: Duration,
    pub served: u64,
    pub peak_mb: u64,
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.end();
        for task in &self.tasks {
            task.abort();
        }
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}

/// Why a process did not come up.
pub(super) enum Unstarted {
    /// The function's own error, as it is answered.
    Function(Bytes),
    System(io::Error),
}

impl Environment {
    /// The Runtime API has an address before anything is started, because the process is told of it.
    pub async fn start(
        api: RuntimeApi,
        plan: Plan,
        ambient: &Ambient,
        first_id: &str,
        begun: Instant,
    ) -> Result<Self, (Option<Vec<u8>>, Unstarted)> {
        let system = |error| (None, Unstarted::System(error));
        let (output, written) = pipe_pair().map_err(system)?;
        let output = Arc::new(output);
        let log = Arc::new(Mutex::new(RunLog::new(plan.log.as_deref()).map_err(system)?));
        let mut child = spawn(&plan, written).map_err(system)?;
        let (tell, life) = watch::channel(Life::Starting);
        let lifeline = Mutex::new(child.stdin.take());
        let watching = tokio::spawn(watch_monitor(child, tell, plan.enclosed));
        let reading = {
            let (output, log, ambient) = (Arc::clone(&output), Arc::clone(&log), ambient.clone());
            tokio::spawn(async move { Box::pin(read_output(&output, &log, &ambient)).await })
        };
        let mut environment = Self {
            api,
            lifeline,
            life,
            log,
            output,
            tasks: [watching, reading],
            scratch: plan.scratch,
            memory_mb: plan.memory_mb,
            born: begun,
            init: Duration::ZERO,
            served: 0,
            peak_mb: 0,
        };
        let mut life = environment.life.clone();
        let failed = tokio::select! {
            started = environment.api.started() => match started {
                Started::Failed(body) => Some(body),
                Started::Ready | Started::NotYet => None,
            },
            ended = life.wait_for(|life| matches!(life, Life::Ended(_))) => {
                let why = ended.map_or_else(|_| String::new(), |life| why(&life));
                Some(exit_error(first_id, &why))
            },
            // Not ready in time: the rest of the initialisation counts as part of the first event, as on Lambda.
            () = tokio::time::sleep(plan.init_limit) => None,
        };
        environment.init = begun.elapsed();
        if let Some(body) = failed {
            environment.drain(ambient);
            let tail = environment.with_log(RunLog::tail);
            environment.end();
            environment.wait_end().await;
            return Err((Some(tail), Unstarted::Function(body)));
        }
        Ok(environment)
    }

    pub fn with_log<T>(&self, act: impl FnOnce(&mut RunLog) -> T) -> T {
        act(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn is_alive(&self) -> bool {
        !matches!(*self.life.borrow(), Life::Ended(_))
    }

    /// Runs one event to its answer, its end, its time or its memory.
    pub async fn run(&mut self, event: Event, timeout: Duration, ambient: &Ambient) -> Ran {
        let begun = Instant::now();
        let id = event.id.clone();
        let mut life = self.life.clone();
        let deadline = tokio::time::sleep(timeout);
        tokio::pin!(deadline);
        let mut memory = tokio::time::interval(MEMORY_CHECK);
        let answer = self.api.send(event).await;
        tokio::pin!(answer);
        let ran = loop {
            tokio::select! {
                biased;
                reply = &mut answer => break match reply {
                    Ok(Reply::Response(body)) => Ran { body, failed: false, duration: begun.elapsed(), spent: false, status: None },
                    Ok(Reply::Error(body)) => {
                        let kind = error_type(&body);
                        Ran { body, failed: true, duration: begun.elapsed(), spent: false, status: Some(("error", kind)) }
                    }
                    Ok(Reply::TooLarge(bytes)) => {
                        // A client whose answer is refused ends, AWS's own does; it gets no further event.
                        self.end();
                        let kind = "Function.ResponseSizeTooLarge";
                        let text = format!(
                            "Response payload size ({bytes} bytes) exceeded maximum allowed payload size \
                             ({RESPONSE_BYTES_MAX} bytes)."
                        );
                        Ran { body: error(kind, &text), failed: true, duration: begun.elapsed(), spent: true, status: Some(("error", kind.to_owned())) }
                    }
                    Err(_) => Ran { body: exit_error(&id, ""), failed: true, duration: begun.elapsed(), spent: true, status: Some(("error", "Runtime.ExitError".to_owned())) },
                },
                ended = life.wait_for(|life| matches!(life, Life::Ended(_))) => {
                    let why = ended.map_or_else(|_| String::new(), |life| why(&life));
                    break Ran { body: exit_error(&id, &why), failed: true, duration: begun.elapsed(), spent: true, status: Some(("error", "Runtime.ExitError".to_owned())) };
                },
                () = &mut deadline => {
                    self.end();
                    let seconds = timeout.as_secs_f64();
                    let text = format!("RequestId: {id} Error: Task timed out after {seconds:.2} seconds");
                    break Ran { body: error("Sandbox.Timedout", &text), failed: true, duration: timeout, spent: true, status: Some(("timeout", String::new())) };
                },
                _ = memory.tick() => {
                    let Some(used) = self.memory() else { continue };
                    self.peak_mb = self.peak_mb.max(used);
                    if used > u64::try_from(self.memory_mb).unwrap_or(u64::MAX) {
                        self.end();
                        let text = format!("RequestId: {id} Error: Runtime exited with error: signal: killed");
                        let kind = "Runtime.OutOfMemory";
                        break Ran { body: error(kind, &text), failed: true, duration: begun.elapsed(), spent: true, status: Some(("error", kind.to_owned())) };
                    }
                },
            }
        };
        if ran.spent {
            self.wait_end().await;
        } else if let Some(used) = self.memory() {
            self.peak_mb = self.peak_mb.max(used);
        }
        self.drain(ambient);
        self.served += 1;
        ran
    }

    fn memory(&self) -> Option<u64> {
        let Life::Running(pid) = *self.life.borrow() else { return None };
        memory::megabytes(pid)
    }

    /// Takes what the process has printed up to now into the log.
    fn drain(&self, ambient: &Ambient) {
        let mut buffer = [0; 16 * 1024];
        // The pipe does not block: nothing there means that everything printed before is taken. Both readers read under
        // the log's lock, so that no piece overtakes another.
        self.with_log(|log| {
            while let Ok(read @ 1..) = nix::unistd::read(self.output.as_fd(), &mut buffer) {
                log.output(&buffer[..read], ambient.now());
            }
        });
    }

    /// Tells the monitor to end the process and all it started.
    pub fn end(&self) {
        drop(self.lifeline.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    async fn wait_end(&self) {
        let mut life = self.life.clone();
        let ended = life.wait_for(|life| matches!(life, Life::Ended(_)));
        if tokio::time::timeout(KILL_WAIT, ended).await.is_err() {
            tracing::warn!("the process of a function does not end");
        }
    }
}

fn why(life: &Life) -> String {
    match life {
        Life::Ended(why) => why.clone(),
        Life::Starting | Life::Running(_) => String::new(),
    }
}

fn error(kind: &str, message: &str) -> Bytes {
    Bytes::from(serde_json::json!({"errorType": kind, "errorMessage": message}).to_string())
}

fn exit_error(id: &str, why: &str) -> Bytes {
    let text = match why {
        "" | "exit status 0" => format!("RequestId: {id} Error: Runtime exited without providing a reason"),
        why => format!("RequestId: {id} Error: Runtime exited with error: {why}"),
    };
    error("Runtime.ExitError", &text)
}

/// The type that an error's body names.
fn error_type(body: &[u8]) -> String {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let kind = parsed.as_ref().and_then(|error| error["errorType"].as_str());
    kind.unwrap_or("Runtime.Unknown").chars().take(200).collect()
}

/// A pipe whose reading end does not block.
fn pipe_pair() -> io::Result<(std::os::fd::OwnedFd, std::os::fd::OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
    Ok((reader.into(), writer.into()))
}

fn spawn(plan: &Plan, output: std::os::fd::OwnedFd) -> io::Result<Child> {
    let (program, arguments) =
        plan.command.split_first().ok_or_else(|| io::Error::other("there is no program to start"))?;
    tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(&plan.variables)
        .current_dir(Path::new(&plan.task_root))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::from(output))
        // A Ctrl-C in the server's terminal is the server's to handle.
        .process_group(0)
        .spawn()
}

fn signalled(number: i32) -> String {
    use nix::sys::signal::Signal;
    match Signal::try_from(number) {
        Ok(Signal::SIGKILL) => "signal: killed".to_owned(),
        Ok(Signal::SIGSEGV) => "signal: segmentation fault".to_owned(),
        Ok(Signal::SIGTERM) => "signal: terminated".to_owned(),
        Ok(Signal::SIGABRT) => "signal: aborted".to_owned(),
        Ok(other) => format!("signal: {}", other.as_str()),
        Err(_) => format!("signal: {number}"),
    }
}

/// Reads what the monitor tells until it is gone.
async fn watch_monitor(mut child: Child, tell: watch::Sender<Life>, enclosed: bool) {
    if let Some(stdout) = child.stdout.take() {
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            match line.split_once(' ') {
                Some(("pid", pid)) => {
                    tell.send_replace(Life::Running(pid.parse().unwrap_or(0)));
                }
                Some(("exit", code)) => {
                    // A sandbox tells of a signal as a shell does.
                    let signal = code.parse().ok().filter(|code| enclosed && (129..=192).contains(code));
                    let why = signal.map_or_else(|| format!("exit status {code}"), |code: i32| signalled(code - 128));
                    tell.send_replace(Life::Ended(why));
                }
                Some(("signal", number)) => {
                    tell.send_replace(Life::Ended(signalled(number.parse().unwrap_or(0))));
                }
                Some(("failed", reason)) => {
                    tell.send_replace(Life::Ended(reason.to_owned()));
                }
                _ => {}
            }
        }
    }
    let _ = child.wait().await;
    tell.send_if_modified(|life| {
        let unknown = !matches!(life, Life::Ended(_));
        if unknown {
            *life = Life::Ended("signal: killed".to_owned());
        }
        unknown
    });
}

async fn read_output(output: &std::os::fd::OwnedFd, log: &Mutex<RunLog>, ambient: &Ambient) {
    let Ok(copy) = output.try_clone() else { return };
    let Ok(receiver) = pipe::Receiver::from_owned_fd(copy) else { return };
    let mut buffer = [0; 16 * 1024];
    while receiver.readable().await.is_ok() {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        match receiver.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => log.output(&buffer[..read], ambient.now()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
