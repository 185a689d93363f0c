//! The detached runner: one small program per build that outlives the server. It takes the build once and for all,
//! runs it, and says everything it knows in files. Single-threaded and synchronous, but for a container's streams.
//! Must not speak to the server or to AWS.

mod build;
mod environment;
mod finish;
pub(crate) mod log;
mod mask;
mod script;
mod session;
mod spec;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

pub use log::Clock;

use crate::files::{BuildDir, read_json, sync_dir, write_json};
use crate::limits::LOCK_WAIT;
use crate::request::{BuildRequest, REQUEST_FORMAT};
use crate::status::{Context, Outcome, PhaseRecord, PhaseStatus, PhaseType, Status};
use session::Interrupts;

/// The whole life of a runner, for a program that `spawn` starts with the build's directory as its last argument.
/// `now` is what tells the time (`SystemTime::now`). Exits with success when the build has an outcome, whatever it is,
/// or when another runner has it.
pub fn runner_main(dir: &Path, now: Clock) -> ExitCode {
    match run(&BuildDir::new(dir), now) {
        Ok(()) => ExitCode::SUCCESS,
        // Standard error is the build's runner.out; the server sees a runner that is gone without an outcome.
        Err(error) => {
            let _ = writeln!(io::stderr(), "build runner: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(dir: &BuildDir, now: Clock) -> io::Result<()> {
    let begun = Instant::now();
    // Away from the server's terminal and process group. It fails only where this is a session of its own already.
    let _ = nix::unistd::setsid();
    // Files of a build are for its commands' users too; the build's directory itself is private.
    let Some(_lock) = lock(dir)? else { return Ok(()) };
    let signal = signals()?;
    if !take(dir)? {
        return Ok(());
    }
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    let request: BuildRequest = match read_json(&dir.request()) {
        Ok(Some(request)) => request,
        Ok(None) => return fault(dir, now, "the build request is missing"),
        Err(error) => return fault(dir, now, &format!("the build request cannot be read: {error}")),
    };
    if request.format != REQUEST_FORMAT {
        return fault(
            dir,
            now,
            &format!("the build request has format {} and this runner knows {REQUEST_FORMAT}", request.format),
        );
    }
    let deadline = begun + Duration::from_secs(request.timeout_seconds);
    let interrupts = Interrupts { signal, stop_file: dir.stop(), deadline };
    build::Build::new(&request, dir, now, interrupts)?.run()
}

/// None where another runner has it.
fn lock(dir: &BuildDir) -> io::Result<Option<File>> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(dir.lock())?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::Error(error)) => return Err(error),
            // Somebody asking whether we live holds it for a moment.
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_WAIT && !dir.started().exists() => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(TryLockError::WouldBlock) => return Ok(None),
        }
    }
}

/// Takes the build, for ever: false where it was taken before. Durable before anything runs.
fn take(dir: &BuildDir) -> io::Result<bool> {
    let mut marker = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(dir.started()) {
        Ok(marker) => marker,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error),
    };
    writeln!(marker, "{}", std::process::id())?;
    // Its existence is what must not be forgotten, whatever is in it.
    sync_dir(&dir.root)?;
    Ok(true)
}

/// SIGTERM and SIGINT ask for a stop; the rest of the runner sees them as bytes of a stream.
fn signals() -> io::Result<UnixStream> {
    let (receive, send) = UnixStream::pair()?;
    receive.set_nonblocking(true)?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::low_level::pipe::register(signal, send.try_clone()?)?;
    }
    Ok(receive)
}

/// A build that cannot even be begun.
fn fault(dir: &BuildDir, now: Clock, message: &str) -> io::Result<()> {
    let now = log::epoch_ms(now());
    let phase = PhaseRecord {
        phase_type: PhaseType::Provisioning,
        status: PhaseStatus::Fault,
        start_ms: now,
        end_ms: Some(now),
        duration_seconds: Some(0),
        contexts: vec![Context::new("INTERNAL_ERROR", message)],
    };
    let version = read_json::<Status>(&dir.status()).ok().flatten().unwrap_or_default().version + 1;
    write_json(
        &dir.status(),
        &Status { version, phases: vec![phase], outcome: Some(Outcome::Fault), ..Status::default() },
    )
}
