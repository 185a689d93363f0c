//! Starting the driver as a child process, and ending every process a build has left: the runner is the reaper of its
//! whole family, whatever sessions its members moved to. Must not know what the driver runs in.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};

use super::{DRIVER, Ending, NO_SANDBOX, Pipes, StartError};
use crate::files::write_atomically;
use crate::limits::{DISMISSED_GRACE, KILL_WAIT, TERMINATE_GRACE};

/// Tells the processes of a build from all others after its runner is gone.
pub(crate) const TAG: &str = "TOWPATH_BUILD_DIR";

/// Puts the driver where the sandbox will see it.
pub(crate) fn write_driver(scratch: &Path) -> Result<(), StartError> {
    let path = scratch.join("driver.sh");
    write_atomically(&path, DRIVER.as_bytes())
        .map_err(|error| StartError::new(NO_SANDBOX, format!("cannot write {}: {error}", path.display())))
}

/// Starts `command`, which ends up running the driver, with an empty environment but for the tag.
pub(crate) fn start(mut command: Command, dir: &Path) -> Result<Pipes, StartError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |error: io::Error| match error.kind() {
        ErrorKind::NotFound => StartError::new(NO_SANDBOX, format!("{program} is not installed")),
        _ => StartError::new(NO_SANDBOX, format!("cannot start {program}: {error}")),
    };
    let (commands_in, commands) = io::pipe().map_err(failed)?;
    let (control, control_out) = io::pipe().map_err(failed)?;
    let (output, output_in) = io::pipe().map_err(failed)?;
    command
        .env_clear()
        .env(TAG, dir)
        .stdin(Stdio::from(commands_in))
        .stdout(Stdio::from(control_out))
        .stderr(Stdio::from(output_in))
        .spawn()
        .map_err(failed)?;
    Ok(Pipes { commands: Some(commands), control, output })
}

/// Ends every descendant. Returns once none is left, or once they have had their time.
pub(crate) fn end_family(how: Ending) {
    let gone = match how {
        Ending::Done => gone_within(DISMISSED_GRACE),
        Ending::Interrupted => {
            signal_family(Signal::SIGTERM);
            gone_within(TERMINATE_GRACE)
        }
        Ending::Abandoned => false,
    };
    if gone {
        return;
    }
    let deadline = Instant::now() + KILL_WAIT;
    while reap() && Instant::now() < deadline {
        signal_family(Signal::SIGKILL);
        gone_within(Duration::from_millis(20));
    }
}

fn gone_within(limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_micros(200);
    while reap() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
    true
}

/// Collects ended children; whether any child is left.
pub(crate) fn reap() -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return true,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

fn signal_family(signal: Signal) {
    for pid in descendants(getpid()) {
        let _ = kill(pid, signal);
    }
}

/// Parents before children. Empty where there is no /proc: then only what the driver's end takes along ends.
fn descendants(of: Pid) -> Vec<Pid> {
    let pairs: Vec<(Pid, Pid)> = processes().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![of];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(pairs.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.remove(0);
    found
}

fn processes() -> impl Iterator<Item = Pid> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .map(Pid::from_raw)
}

fn parent(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything.
    let rest = &stat[stat.rfind(')')? + 1..];
    rest.split_ascii_whitespace().nth(1)?.parse().ok().map(Pid::from_raw)
}

/// Kills the processes of a build whose runner is gone.
pub(crate) fn kill_tagged(dir: &Path) {
    let tag = [TAG.as_bytes(), b"=", dir.as_os_str().as_encoded_bytes()].concat();
    for pid in processes().filter(|pid| *pid != getpid()) {
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { continue };
        if environment.split(|byte| *byte == 0).any(|entry| entry == tag) {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}
