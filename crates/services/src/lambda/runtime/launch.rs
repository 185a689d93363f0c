//! What is started for a runtime: the interpreter with the official runtime interface client where there is one, else with the
//! small one that is shipped with this program; or the function's own `bootstrap`. Starts nothing itself.

use std::io;
use std::path::{Path, PathBuf};

use crate::lambda::check::{RuntimeKind, runtime_kind};

const PYTHON: &str = include_str!("bootstrap.py");
const NODE: &str = include_str!("bootstrap.mjs");

/// Why a function's process cannot be started.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LaunchError {
    #[error(
        "the runtime {runtime} needs {wanted} on the PATH of the server; install it, or start the server with a PATH that has it"
    )]
    NoInterpreter { runtime: String, wanted: &'static str },
    #[error("RequestId: {{id}} Error: Couldn't find valid bootstrap(s): [{path}]")]
    NoBootstrap { path: String },
}

/// Writes the clients of our own where processes find them.
pub(in crate::lambda) fn write_clients(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for (name, text) in [("bootstrap.py", PYTHON), ("bootstrap.mjs", NODE)] {
        let path = directory.join(name);
        if std::fs::read_to_string(&path).is_ok_and(|found| found == text) {
            continue;
        }
        // Another server over the same directory may start a process at this moment.
        let fresh = directory.join(format!(".{name}.{}", std::process::id()));
        std::fs::write(&fresh, text)?;
        std::fs::rename(fresh, path)?;
    }
    Ok(())
}

/// Program and arguments for a runtime.
pub(super) fn command(
    runtime: &str,
    handler: &str,
    task_root: &Path,
    clients: &Path,
) -> Result<Vec<String>, LaunchError> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let missing = |wanted| LaunchError::NoInterpreter { runtime: runtime.to_owned(), wanted };
    match runtime_kind(runtime) {
        Some(RuntimeKind::Python) => {
            // The version that was asked for, or whichever Python 3 there is.
            let python = [runtime, "python3", "python"].into_iter().find_map(find_program);
            let python = python.ok_or_else(|| missing("python3"))?;
            Ok(vec![text(&python), "-u".to_owned(), text(&clients.join("bootstrap.py")), handler.to_owned()])
        }
        Some(RuntimeKind::Node) => {
            let node = find_program("node").or_else(|| find_program("nodejs")).ok_or_else(|| missing("node"))?;
            Ok(vec![text(&node), text(&clients.join("bootstrap.mjs")), handler.to_owned()])
        }
        Some(RuntimeKind::Provided) => {
            let bootstrap = task_root.join("bootstrap");
            if !is_executable(&bootstrap) {
                return Err(LaunchError::NoBootstrap { path: text(&bootstrap) });
            }
            Ok(vec![text(&bootstrap)])
        }
        None => Err(missing("an interpreter that this version of Towpath does not know")),
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|program| is_executable(program))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{LaunchError, command, write_clients};

    #[test]
    fn a_bootstrap_must_be_there_and_executable() {
        let directory = tempfile::tempdir().expect("a directory");
        write_clients(&directory.path().join("clients")).expect("writable");
        let launch = || command("provided.al2023", "x", directory.path(), &directory.path().join("clients"));
        assert!(matches!(launch(), Err(LaunchError::NoBootstrap { .. })));
        let bootstrap = directory.path().join("bootstrap");
        std::fs::write(&bootstrap, "#!/bin/sh\n").expect("written");
        assert!(matches!(launch(), Err(LaunchError::NoBootstrap { .. })), "not executable");
        std::fs::set_permissions(&bootstrap, std::fs::Permissions::from_mode(0o755)).expect("changed");
        assert_eq!(launch().expect("executable"), [bootstrap.to_string_lossy()]);
    }
}
