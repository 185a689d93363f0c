//! What this machine can run builds in, and why not the rest. Must not choose.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{bubblewrap, engine};

/// Whether one kind of sandbox can be used; `detail` is its version or address, or the reason why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Availability {
    pub available: bool,
    pub detail: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    pub bubblewrap: Availability,
    /// `detail` is the engine's address, good for `ContainerSpec::engine`.
    pub engine: Availability,
}

/// Looks once; takes some milliseconds, so ask once per process.
pub fn detect() -> Detected {
    let from = |result: Result<String, String>| match result {
        Ok(detail) => Availability { available: true, detail },
        Err(detail) => Availability { available: false, detail },
    };
    Detected { bubblewrap: from(bubblewrap()), engine: from(engine::find(None)) }
}

fn bubblewrap() -> Result<String, String> {
    if !cfg!(target_os = "linux") {
        return Err("bubblewrap needs Linux".to_owned());
    }
    let program = find_program("bwrap").ok_or("bwrap is not installed; install the bubblewrap package")?;
    let run = |command: &mut Command| {
        command.stdin(Stdio::null()).output().map_err(|error| format!("cannot run {}: {error}", program.display()))
    };
    // A kernel or a container may forbid user namespaces although the program is there.
    let trial = run(Command::new(&program)
        .arg("--unshare-pid")
        .args(bubblewrap::system_arguments())
        .args(["--", "/bin/sh", "-c", ":"]))?;
    if !trial.status.success() {
        let reason = String::from_utf8_lossy(&trial.stderr);
        return Err(format!("bwrap does not work here: {}", reason.lines().next().unwrap_or("no reason given")));
    }
    let version = run(Command::new(&program).arg("--version"))?;
    Ok(String::from_utf8_lossy(&version.stdout).trim().to_owned())
}

pub(super) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_else(|| super::STANDARD_PATH.into());
    env::split_paths(&path).map(|dir| dir.join(name)).find(|candidate| candidate.is_file())
}
