//! The build's own directory: its file names, and how its small documents are written and read. Must not interpret them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::STATE_FILE_BYTES_MAX;

/// Paths inside one build's directory.
#[derive(Debug, Clone)]
pub(crate) struct BuildDir {
    pub root: PathBuf,
}

impl BuildDir {
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }
    pub fn request(&self) -> PathBuf {
        self.root.join("request.json")
    }
    /// Exists from the moment a runner owns the build; holds its process id. Never removed: it is what forbids a second run.
    pub fn started(&self) -> PathBuf {
        self.root.join("started")
    }
    /// Locked for as long as the runner lives.
    pub fn lock(&self) -> PathBuf {
        self.root.join("runner.lock")
    }
    pub fn status(&self) -> PathBuf {
        self.root.join("status.json")
    }
    pub fn collected(&self) -> PathBuf {
        self.root.join("collected.json")
    }
    pub fn log(&self) -> PathBuf {
        self.root.join("log.jsonl")
    }
    /// Exists once somebody wants the build to stop.
    pub fn stop(&self) -> PathBuf {
        self.root.join("stop")
    }
    /// What the runner itself prints: nothing, unless it panics.
    pub fn runner_output(&self) -> PathBuf {
        self.root.join("runner.out")
    }
    /// The command scripts and the environment carried between them.
    pub fn scratch(&self) -> PathBuf {
        self.root.join("tmp")
    }
    /// `/codebuild/readonly` of a sandbox.
    pub fn readonly(&self) -> PathBuf {
        self.root.join("readonly")
    }
    /// `/root` of a bubblewrap sandbox.
    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }
    /// `/tmp` of a bubblewrap sandbox.
    pub fn private_tmp(&self) -> PathBuf {
        self.root.join("private-tmp")
    }
    /// Host side of cached directories a container sees elsewhere.
    pub fn mounts(&self) -> PathBuf {
        self.root.join("mounts")
    }
}

/// Replaces a file in one step, readable by this user only. It survives the death of any process but not a power
/// failure: that ends the runner too, and a build without an outcome is a FAULT.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    fs::rename(&temporary, path)
}

/// Makes the existence of a file durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    write_atomically(path, &serde_json::to_vec(value)?)
}

/// None where there is no such file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if file.metadata()?.len() > STATE_FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("larger than {STATE_FILE_BYTES_MAX} bytes")));
    }
    let mut bytes = Vec::new();
    file.take(STATE_FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}
