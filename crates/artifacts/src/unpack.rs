//! Unpacks an archive into a directory. Nothing is ever written outside of it: names and links are checked before the
//! first write (`archive.rs`), no file replaces another, no directory on the way is a link, and links come last.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::archive::{Archive, EntryKind, ReadError, of_reading};
use crate::limits::{COPY_BUFFER_BYTES, Limits};

#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("cannot write the entry {entry:?}")]
    Write { entry: String, source: io::Error },
    #[error("the entry {entry:?} would be written through {through:?}, which is a link or a file")]
    Through { entry: String, through: String },
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unpacked {
    pub files: u64,
    pub bytes: u64,
}

/// Unpacks `zip` into the directory `dest`, which is made if it is missing. On an error, what was written stays; the
/// caller removes the directory.
pub fn unpack(zip: &Path, dest: &Path, limits: &Limits) -> Result<Unpacked, UnpackError> {
    let mut archive = Archive::open(zip, limits)?;
    fs::create_dir_all(dest).map_err(|e| cannot(".", e))?;
    let mut tree = Tree { root: dest, made: HashSet::new() };
    let mut done = Unpacked::default();
    let mut buffer = vec![0; COPY_BUFFER_BYTES];
    let entries = archive.entries().clone();
    for entry in entries.iter() {
        match &entry.kind {
            EntryKind::Directory => tree.directory(&entry.name, &entry.name)?,
            EntryKind::Symlink { .. } => {}
            EntryKind::File { executable } => {
                let path = tree.place(&entry.name)?;
                let mode = if *executable { 0o755 } else { 0o644 };
                let mut out = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(mode)
                    .open(path)
                    .map_err(|e| cannot(&entry.name, e))?;
                let mut reader = archive.reader(entry)?;
                loop {
                    let read = reader.read(&mut buffer).map_err(|e| of_reading(&entry.name, e))?;
                    if read == 0 {
                        break;
                    }
                    out.write_all(&buffer[..read]).map_err(|e| cannot(&entry.name, e))?;
                    done.bytes += read as u64;
                }
                done.files += 1;
            }
        }
    }
    for entry in entries.iter() {
        if let EntryKind::Symlink { target } = &entry.kind {
            let path = tree.place(&entry.name)?;
            symlink(target, path).map_err(|e| cannot(&entry.name, e))?;
        }
    }
    Ok(done)
}

fn cannot(entry: &str, source: io::Error) -> UnpackError {
    UnpackError::Write { entry: entry.to_owned(), source }
}

/// The directories below the destination that are known to be real ones.
struct Tree<'a> {
    root: &'a Path,
    made: HashSet<String>,
}

impl Tree<'_> {
    /// Makes what is above `name` and answers the path to write.
    fn place(&mut self, name: &str) -> Result<PathBuf, UnpackError> {
        if let Some((parent, _)) = name.rsplit_once('/') {
            self.directory(parent, name)?;
        }
        Ok(self.root.join(name))
    }

    fn directory(&mut self, name: &str, entry: &str) -> Result<(), UnpackError> {
        if self.made.contains(name) {
            return Ok(());
        }
        if let Some((parent, _)) = name.rsplit_once('/') {
            self.directory(parent, entry)?;
        }
        let path = self.root.join(name);
        match DirBuilder::new().mode(0o755).create(&path) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let found = fs::symlink_metadata(&path).map_err(|e| cannot(entry, e))?;
                if !found.is_dir() {
                    return Err(UnpackError::Through { entry: entry.to_owned(), through: name.to_owned() });
                }
            }
            Err(e) => return Err(cannot(entry, e)),
        }
        self.made.insert(name.to_owned());
        Ok(())
    }
}
