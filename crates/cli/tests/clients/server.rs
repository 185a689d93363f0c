//! A started `towpath serve`. It ends when it is dropped.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What every server of the scenarios is told: outcomes can be scripted, a limit is low enough to be reached, and builds
/// run wherever the tests run.
pub const CONFIG: &str =
    "[rehearsal]\nenabled = true\n[quotas]\npipelines-per-region = 12\n[sandbox]\nkind = \"host\"\n";

pub struct Server {
    child: Child,
    pub url: String,
    directory: tempfile::TempDir,
}

/// The shipped command, with nobody's own settings.
pub fn towpath() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TOWPATH_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

impl Server {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory for the server");
        let config = directory.path().join("towpath.toml");
        std::fs::write(&config, CONFIG).expect("the configuration is written");
        let log = std::fs::File::create(directory.path().join("server.log")).expect("a file for the log");
        let mut child = towpath()
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(directory.path().join("data"))
            .arg("--config")
            .arg(&config)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("towpath starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output is piped");
        BufReader::new(stdout).read_line(&mut line).expect("its output is text");
        let url = line.trim_end().strip_prefix("towpath: ready at ").map(str::to_owned);
        let server = Self { child, url: url.clone().unwrap_or_default(), directory };
        assert!(url.is_some(), "no ready line but {line:?}\n{}", server.log());
        server
    }

    pub fn credentials(&self) -> PathBuf {
        self.data_dir().join("credentials")
    }

    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("server.log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
