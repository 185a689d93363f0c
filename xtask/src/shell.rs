//! Running other programs, and saying what went wrong when one fails.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

pub fn say(text: &str) {
    eprintln!("xtask: {text}");
}

pub fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Runs it to a good end; the hint says what to do otherwise.
pub fn must(command: &mut Command, hint: &str) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{program}` ended with {status}: {hint}")),
        Err(error) => Err(format!("`{program}` cannot be started ({error}): {hint}")),
    }
}

/// Runs it in the foreground and passes its exit code on.
pub fn status(command: &mut Command) -> Result<ExitCode, String> {
    let status = command.status().map_err(|error| format!("cannot start: {error}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where cargo puts what it builds.
pub fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}
