//! What is started for a runtime: the interpreter with the official runtime interface client where there is one, else with the
//! small one that is shipped with this program; or the function's own `bootstrap`. Starts nothing itself.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::lambda::check::{RuntimeKind, runtime_kind};

const PYTHON: &str = include_str!("bootstrap.py");
/// How long an interpreter may take to tell its version.
const TRIAL: Duration = Duration::from_secs(10);
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

/// Interpreters that have been tried: a version manager puts programs on the PATH that only say that they are not installed.
#[derive(Default)]
pub(in crate::lambda) struct Interpreters {
    tried: tokio::sync::Mutex<HashMap<PathBuf, bool>>,
}

impl Interpreters {
    /// The first program of these names on the PATH that runs.
    async fn find(&self, names: &[&str]) -> Option<PathBuf> {
        let path = std::env::var_os("PATH")?;
        let directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
        for name in names {
            for program in directories.iter().map(|directory| directory.join(name)).filter(|path| is_executable(path)) {
                if self.works(&program).await {
                    return Some(program);
                }
            }
        }
        None
    }

    async fn works(&self, program: &Path) -> bool {
        let mut tried = self.tried.lock().await;
        if let Some(works) = tried.get(program) {
            return *works;
        }
        let run = tokio::process::Command::new(program)
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .status();
        let works = matches!(tokio::time::timeout(TRIAL, run).await, Ok(Ok(status)) if status.success());
        tried.insert(program.to_owned(), works);
        works
    }

    /// Program and arguments for a runtime.
    pub(super) async fn command(
        &self,
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
                let python = self.find(&[runtime, "python3", "python"]).await.ok_or_else(|| missing("python3"))?;
                Ok(vec![text(&python), "-u".to_owned(), text(&clients.join("bootstrap.py")), handler.to_owned()])
            }
            Some(RuntimeKind::Node) => {
                let node = self.find(&["node", "nodejs"]).await.ok_or_else(|| missing("node"))?;
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
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{Interpreters, LaunchError, write_clients};

    #[tokio::test]
    async fn a_program_that_only_says_that_it_is_not_there_is_no_interpreter() {
        let directory = tempfile::tempdir().expect("a directory");
        let program = directory.path().join("python3");
        let interpreters = Interpreters::default();
        for (exit, works) in [(127, false), (0, true)] {
            let interpreter = program.with_extension(exit.to_string());
            std::fs::write(&interpreter, format!("#!/bin/sh\nexit {exit}\n")).expect("written");
            std::fs::set_permissions(&interpreter, std::fs::Permissions::from_mode(0o755)).expect("changed");
            assert_eq!(interpreters.works(&interpreter).await, works, "exit {exit}");
        }
    }

    #[tokio::test]
    async fn a_bootstrap_must_be_there_and_executable() {
        let directory = tempfile::tempdir().expect("a directory");
        write_clients(&directory.path().join("clients")).expect("writable");
        let (interpreters, clients) = (Interpreters::default(), directory.path().join("clients"));
        let launch = || interpreters.command("provided.al2023", "x", directory.path(), &clients);
        assert!(matches!(launch().await, Err(LaunchError::NoBootstrap { .. })));
        let bootstrap = directory.path().join("bootstrap");
        std::fs::write(&bootstrap, "#!/bin/sh\n").expect("written");
        assert!(matches!(launch().await, Err(LaunchError::NoBootstrap { .. })), "not executable");
        std::fs::set_permissions(&bootstrap, std::fs::Permissions::from_mode(0o755)).expect("changed");
        assert_eq!(launch().await.expect("executable"), [bootstrap.to_string_lossy()]);
    }
}
