//! The directory of what is only a process's for a moment. Nodes that share a data directory have one each, locked for
//! as long as they live; what a killed one left goes with the next start. Must hold nothing that anybody needs later.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

pub struct Scratch {
    pub path: PathBuf,
    /// Tells the others that somebody lives here. A process that is alone needs none.
    held: Option<File>,
}

impl Scratch {
    /// An empty directory; `node` is this process's name where others may use the data directory too.
    pub fn open(data_dir: &Path, node: Option<&str>) -> io::Result<Self> {
        let all = data_dir.join("scratch");
        let Some(node) = node else {
            removed(&all)?;
            fs::create_dir_all(&all)?;
            return Ok(Self { path: all, held: None });
        };
        fs::create_dir_all(&all)?;
        // One at a time, or a directory that is not locked yet would be taken for a dead node's.
        let turn = File::open(&all)?;
        turn.lock()?;
        for entry in fs::read_dir(&all)? {
            let path = entry?.path();
            if !path.is_dir() || File::open(&path)?.try_lock().is_ok() {
                removed(&path)?;
            }
        }
        let path = all.join(node);
        fs::create_dir(&path)?;
        let held = File::open(&path)?;
        held.lock()?;
        Ok(Self { path, held: Some(held) })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is removed by the next start.
        if self.held.is_some() {
            let _ = removed(&self.path);
        }
    }
}

fn removed(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_nodes_files_stay_and_a_dead_ones_go() {
        let data = tempfile::tempdir().expect("a directory");
        let alive = Scratch::open(data.path(), Some("alive")).expect("opened");
        fs::write(alive.path.join("f"), "x").expect("written");
        let dead = data.path().join("scratch/dead");
        fs::create_dir(&dead).expect("made");
        fs::write(dead.join("f"), "x").expect("written");
        fs::write(data.path().join("scratch/deploy-left"), "x").expect("written");
        let next = Scratch::open(data.path(), Some("next")).expect("opened");
        assert!(alive.path.join("f").exists() && next.path.is_dir());
        assert_eq!(fs::read_dir(data.path().join("scratch")).expect("listed").count(), 2);
        let path = next.path.clone();
        drop(next);
        assert!(!path.exists());
    }

    #[test]
    fn a_process_that_is_alone_starts_with_nothing() {
        let data = tempfile::tempdir().expect("a directory");
        let first = Scratch::open(data.path(), None).expect("opened");
        fs::write(first.path.join("f"), "x").expect("written");
        drop(first);
        let again = Scratch::open(data.path(), None).expect("opened");
        assert_eq!(fs::read_dir(&again.path).expect("listed").count(), 0);
    }
}
