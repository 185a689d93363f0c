//! What is started for a runtime: the interpreter with the official runtime interface client where there is one, else with the
//! small one that is shipped with this program; or the function's own `bootstrap`. Starts nothing but interpreters that are
//! asked what they are.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use towpath_builds::is_system;

use crate::lambda::check::{RuntimeKind, runtime_kind};

const PYTHON: &str = include_str!("bootstrap.py");
/// How long an interpreter may take to tell what it is.
const TRIAL: Duration = Duration::from_secs(10);
const NODE: &str = include_str!("bootstrap.mjs");

/// Which program runs, which a version manager's stand-in only starts, and which directories are its own.
const ASK_PYTHON: &str = "import json, sys; print(json.dumps({'program': sys.executable, 'directories': \
     [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, *sys.path]}))";
const ASK_NODE: &str = "const path = require('path'); const prefix = path.dirname(path.dirname(process.execPath)); \
     console.log(JSON.stringify({program: process.execPath, directories: [prefix]}))";

/// Why a function's process cannot be started.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::lambda) enum LaunchError {
    #[error(
        "the runtime {runtime} needs {wanted} on the PATH of the server; install it, or start the server with a PATH that has it"
    )]
    NoInterpreter { runtime: String, wanted: &'static str },
    #[error("RequestId: {{id}} Error: Couldn't find valid bootstrap(s): [{path}]")]
    NoBootstrap { path: String },
}

/// A function's program, and what it needs of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lambda) struct Program {
    pub words: Vec<String>,
    pub needs: Vec<PathBuf>,
}

/// Where the directories of a function are for its process, and where its code is for the server.
#[derive(Debug, Clone)]
pub(in crate::lambda) struct Places {
    pub code: PathBuf,
    pub task_root: PathBuf,
    pub clients: PathBuf,
    /// None: a directory of the process's own.
    pub tmp: Option<PathBuf>,
    pub enclosed: bool,
}

/// What an interpreter tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Interpreter {
    program: PathBuf,
    directories: Vec<PathBuf>,
}

impl Interpreter {
    fn needs(&self) -> Vec<PathBuf> {
        let mut needs = self.directories.clone();
        // A virtual environment's Python is a link to another one's.
        let mut program = self.program.clone();
        for _ in 0..8 {
            needs.push(program.clone());
            let Ok(target) = std::fs::read_link(&program) else { break };
            program = program.parent().unwrap_or(Path::new("/")).join(target);
        }
        needs
    }
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

/// What a process may be shown of all that it could need: nothing that the system's directories hold anyway, and nothing
/// that holds one of `hidden`, the server's data and the home directory.
pub(super) fn shown(needs: Vec<PathBuf>, hidden: &[PathBuf]) -> Vec<PathBuf> {
    let mut shown: Vec<PathBuf> = needs
        .into_iter()
        .filter(|path| path.is_absolute() && !is_system(path) && path.exists())
        .filter(|path| !hidden.iter().any(|hidden| hidden.starts_with(path)))
        .collect();
    shown.sort();
    // What lies in a directory that is shown is shown.
    let mut outer: Option<PathBuf> = None;
    shown.retain(|path| {
        let new = outer.as_ref().is_none_or(|outer| !path.starts_with(outer));
        if new {
            outer = Some(path.clone());
        }
        new
    });
    shown
}

/// Interpreters that have been asked: a version manager puts programs on the PATH that only say that they are not installed.
#[derive(Default)]
pub(in crate::lambda) struct Interpreters {
    asked: tokio::sync::Mutex<HashMap<PathBuf, Option<Interpreter>>>,
}

impl Interpreters {
    /// The first program of these names on the PATH that runs.
    async fn find(&self, names: &[&str], question: [&str; 2]) -> Option<Interpreter> {
        let path = std::env::var_os("PATH")?;
        let directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
        for name in names {
            for program in directories.iter().map(|directory| directory.join(name)).filter(|path| is_executable(path)) {
                if let Some(found) = self.ask(&program, question).await {
                    return Some(found);
                }
            }
        }
        None
    }

    async fn ask(&self, program: &Path, question: [impl AsRef<OsStr>; 2]) -> Option<Interpreter> {
        let mut asked = self.asked.lock().await;
        if let Some(known) = asked.get(program) {
            return known.clone();
        }
        let run = tokio::process::Command::new(program)
            .args(question)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .output();
        let told = match tokio::time::timeout(TRIAL, run).await {
            Ok(Ok(output)) if output.status.success() => serde_json::from_slice::<Interpreter>(&output.stdout).ok(),
            _ => None,
        };
        let found = told.filter(|found| found.program.is_absolute());
        asked.insert(program.to_owned(), found.clone());
        found
    }

    /// What is started for a runtime.
    pub(in crate::lambda) async fn program(
        &self,
        runtime: &str,
        handler: &str,
        places: &Places,
    ) -> Result<Program, LaunchError> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let missing = |wanted| LaunchError::NoInterpreter { runtime: runtime.to_owned(), wanted };
        match runtime_kind(runtime) {
            Some(RuntimeKind::Python) => {
                // The version that was asked for, or whichever Python 3 there is.
                let found = self.find(&[runtime, "python3", "python"], ["-c", ASK_PYTHON]).await;
                let python = found.ok_or_else(|| missing("python3"))?;
                let client = places.clients.join("bootstrap.py");
                let words = vec![text(&python.program), "-u".to_owned(), text(&client), handler.to_owned()];
                Ok(Program { words, needs: python.needs() })
            }
            Some(RuntimeKind::Node) => {
                let found = self.find(&["node", "nodejs"], ["-e", ASK_NODE]).await;
                let node = found.ok_or_else(|| missing("node"))?;
                let client = places.clients.join("bootstrap.mjs");
                Ok(Program { words: vec![text(&node.program), text(&client), handler.to_owned()], needs: node.needs() })
            }
            Some(RuntimeKind::Provided) => {
                let bootstrap = places.task_root.join("bootstrap");
                if !is_executable(&places.code.join("bootstrap")) {
                    return Err(LaunchError::NoBootstrap { path: text(&bootstrap) });
                }
                Ok(Program { words: vec![text(&bootstrap)], needs: Vec::new() })
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
    use std::path::{Path, PathBuf};

    use super::{Interpreters, LaunchError, Places, shown, write_clients};

    #[tokio::test]
    async fn a_program_that_only_says_that_it_is_not_there_is_no_interpreter() {
        let directory = tempfile::tempdir().expect("a directory");
        let interpreters = Interpreters::default();
        let told = r#"{"program": "/lang/bin/python3", "directories": ["/lang"]}"#;
        for (name, script, works) in [
            ("missing", "exit 127".to_owned(), false),
            ("odd", "echo not installed".to_owned(), false),
            ("good", format!("echo '{told}'"), true),
        ] {
            let interpreter = directory.path().join(name);
            std::fs::write(&interpreter, format!("#!/bin/sh\n{script}\n")).expect("written");
            std::fs::set_permissions(&interpreter, std::fs::Permissions::from_mode(0o755)).expect("changed");
            let found = interpreters.ask(&interpreter, ["-c", ""]).await;
            assert_eq!(found.is_some(), works, "{name}");
        }
    }

    #[tokio::test]
    async fn a_bootstrap_must_be_there_and_executable() {
        let directory = tempfile::tempdir().expect("a directory");
        write_clients(&directory.path().join("clients")).expect("writable");
        let interpreters = Interpreters::default();
        let places = Places {
            code: directory.path().to_owned(),
            task_root: "/var/task".into(),
            clients: directory.path().join("clients"),
            tmp: None,
            enclosed: true,
        };
        let launch = || interpreters.program("provided.al2023", "x", &places);
        let missing = LaunchError::NoBootstrap { path: "/var/task/bootstrap".to_owned() };
        assert_eq!(launch().await, Err(missing));
        let bootstrap = directory.path().join("bootstrap");
        std::fs::write(&bootstrap, "#!/bin/sh\n").expect("written");
        assert!(matches!(launch().await, Err(LaunchError::NoBootstrap { .. })), "not executable");
        std::fs::set_permissions(&bootstrap, std::fs::Permissions::from_mode(0o755)).expect("changed");
        assert_eq!(launch().await.expect("executable").words, ["/var/task/bootstrap"]);
    }

    #[test]
    fn nothing_is_shown_that_holds_the_servers_data() {
        let directory = tempfile::tempdir().expect("a directory");
        let of = |name: &str| directory.path().join(name);
        for name in ["home/data", "home/python/lib"] {
            std::fs::create_dir_all(of(name)).expect("made");
        }
        let hidden = [of("home/data"), of("home")];
        let needs = vec![
            of("home/python/lib"),
            of("home"),
            PathBuf::from("/"),
            directory.path().to_owned(),
            of("home/data"),
            of("missing"),
            PathBuf::from("relative"),
            of("home/python"),
            of("home/python"),
            Path::new("/usr/bin").to_owned(),
        ];
        assert_eq!(shown(needs, &hidden), [of("home/python")]);
    }
}
