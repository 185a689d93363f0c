//! The process that stands between the server and a function's: it starts the function in a process group of its own, tells
//! the server its id and its end, and ends the whole group as soon as the server closes the pipe, which a server that was
//! killed does too. Runs in the shipped program (`towpath function-runner`); no threads of an async runtime, no files.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitCode, Stdio};

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Lambda's own limit of open files.
const FILES_MAX: u64 = 1_024;

/// Runs `command` to its end. Its output goes to this process's standard error; standard output tells the server.
pub fn main(command: &[String]) -> ExitCode {
    let Some((program, arguments)) = command.split_first() else { return ExitCode::from(2) };
    // Where a limit cannot be set, the function runs without it.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let _ = setrlimit(Resource::RLIMIT_NOFILE, FILES_MAX, FILES_MAX);
    let output = match io::stderr().as_fd().try_clone_to_owned() {
        Ok(output) => output,
        Err(error) => return failed(&error),
    };
    let started = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(Stdio::inherit())
        .process_group(0)
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return failed(&error),
    };
    let Ok(group) = i32::try_from(child.id()).map(Pid::from_raw) else { return ExitCode::FAILURE };
    tell(&format!("pid {group}"));
    std::thread::spawn(move || {
        // Nothing is ever sent: the end of the pipe is the message.
        let _ = io::copy(&mut io::stdin().lock().take(u64::MAX), &mut io::sink());
        let _ = killpg(group, Signal::SIGKILL);
    });
    let ended = child.wait();
    // What the function left behind goes with it.
    let _ = killpg(group, Signal::SIGKILL);
    match ended {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => tell(&format!("exit {code}")),
            (None, Some(signal)) => tell(&format!("signal {signal}")),
            (None, None) => tell("exit 255"),
        },
        Err(error) => return failed(&error),
    }
    ExitCode::SUCCESS
}

fn failed(error: &io::Error) -> ExitCode {
    tell(&format!("failed {error}"));
    ExitCode::FAILURE
}

fn tell(line: &str) {
    let mut out = io::stdout().lock();
    // A server that is gone hears nothing.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
