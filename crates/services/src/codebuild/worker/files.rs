//! A build's files. `run/` is the runner's own directory; everything else is made before it starts and removed after.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use towpath_builds::container_line;
use towpath_model::time::Timestamp;

use super::super::{LOG_FILE, RUN};
use super::Worker;
use crate::logs::lines::StoredLine;

/// Names that stay in `run/` when a build is over: its log, and the mark that forbids a second run.
const KEPT: [&str; 3] = [LOG_FILE, "started", "status.json"];

/// Paths of one build.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub root: PathBuf,
}

impl Worker {
    pub(super) fn files(&self) -> Files {
        let (project, uuid) = super::super::names::split_build_id(&self.id).unwrap_or_default();
        Files { root: self.service.build_dir(&self.scope, project, uuid) }
    }
}

impl Files {
    pub fn run(&self) -> PathBuf {
        self.root.join(RUN)
    }

    pub fn log(&self) -> PathBuf {
        self.run().join(LOG_FILE)
    }

    pub fn request(&self) -> PathBuf {
        self.run().join("request.json")
    }

    /// Where the input of this index is unpacked; 0 is the primary one.
    pub fn source(&self, index: usize) -> PathBuf {
        self.root.join("src").join(format!("{index:02}"))
    }

    pub fn download(&self, index: usize) -> PathBuf {
        self.root.join(format!("download-{index:02}"))
    }

    pub fn package(&self, index: usize) -> PathBuf {
        self.root.join(format!("artifact-{index:02}.zip"))
    }

    /// Makes the private directories, without what an earlier attempt left. Never called once a request was written.
    pub fn begin(&self, sources: usize) -> io::Result<()> {
        let make = |path: &Path| DirBuilder::new().recursive(true).mode(0o700).create(path);
        make(&self.root)?;
        make(&self.run())?;
        remove(&self.root.join("src"))?;
        (0..sources).try_for_each(|index| make(&self.source(index)))
    }

    /// Appends one of CodeBuild's own lines to the log. Called only while no runner writes to it.
    pub fn say(&self, now: Timestamp, text: &str) -> io::Result<()> {
        let time = UNIX_EPOCH + Duration::from_millis(u64::try_from(now.millis()).unwrap_or(0));
        let message = container_line(time, text) + "\n";
        let line = StoredLine { time: now.millis(), message, ingested: None };
        let mut bytes = serde_json::to_vec(&line)?;
        bytes.push(b'\n');
        OpenOptions::new().append(true).create(true).mode(0o600).open(self.log())?.write_all(&bytes)
    }

    /// Removes everything but the log and the mark of the run.
    pub fn finish(&self) -> io::Result<()> {
        for path in entries(&self.root)? {
            if path.file_name().is_some_and(|name| name != RUN) {
                remove(&path)?;
            }
        }
        for path in entries(&self.run())? {
            let kept = path.file_name().is_some_and(|name| KEPT.iter().any(|kept| name == *kept));
            if !kept {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Removes a file, a link or a directory with everything in it, whatever modes a build gave them.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path).or_else(|_| {
            open_up(path)?;
            fs::remove_dir_all(path)
        }),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes every directory below `path` writable for us; a build may have taken that away (Go's module cache does).
fn open_up(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut open = vec![path.to_owned()];
    while let Some(directory) = open.pop() {
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn finishing_keeps_the_log_and_the_mark_only() {
        let directory = tempfile::tempdir().expect("a directory");
        let files = Files { root: directory.path().join("b") };
        files.begin(2).expect("made");
        files.say(Timestamp(0), "hello").expect("said");
        fs::write(files.run().join("started"), "1").expect("written");
        fs::write(files.request(), "{}").expect("written");
        let locked = files.source(1).join("locked");
        fs::create_dir(&locked).expect("made");
        fs::write(locked.join("f"), "x").expect("written");
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).expect("set");
        files.finish().expect("finished");
        let mut left: Vec<_> = entries(&files.run()).expect("listed");
        left.extend(entries(&files.root).expect("listed"));
        let mut names: Vec<_> = left.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["log.jsonl", "run", "started"]);
        let log = fs::read_to_string(files.log()).expect("read");
        assert_eq!(log, "{\"time\":0,\"message\":\"[Container] 1970/01/01 00:00:00.000000 hello\\n\"}\n");
    }
}
