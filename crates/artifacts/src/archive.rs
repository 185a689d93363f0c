//! An archive, checked whole before anything of it is used: every entry that can be listed here has a safe name, a
//! believable size and no double.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use zip::ZipArchive;
use zip::result::ZipError;

use crate::directory;
use crate::limits::{Limits, NAME_BYTES_MAX};
use crate::names::{NameFault, components, link_stays_inside};
use crate::shared_file::SharedFile;

/// Why an archive is refused. Every text names the entry; none names the file, which is the caller's to name.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("it is not a zip file")]
    NotAZip,
    #[error("it is a damaged zip file: {0}")]
    Damaged(String),
    #[error("the entry {entry:?} is damaged")]
    DamagedEntry { entry: String, source: io::Error },
    #[error("the entry {entry:?} is refused: {fault}")]
    Name { entry: String, fault: NameFault },
    #[error("the entry {entry:?} occurs twice")]
    Duplicate { entry: String },
    #[error("the entry {entry:?} lies beneath {above:?}, which is not a directory")]
    Beneath { entry: String, above: String },
    #[error("the entry {entry:?} is encrypted; pack it without a password")]
    Encrypted { entry: String },
    #[error(
        "the entry {entry:?} is a device, a pipe or a socket; only files, directories and symbolic links are unpacked"
    )]
    Special { entry: String },
    #[error("the entry {entry:?} uses a compression method other than stored and deflate; pack it with deflate")]
    Compression { entry: String },
    #[error("the symbolic link {entry:?} points to {target:?}, outside of the archive")]
    Link { entry: String, target: String },
    #[error("it has {entries} entries, more than the {max} allowed")]
    TooManyEntries { entries: u64, max: u64 },
    #[error("it unpacks to more than the {max} bytes allowed; the entry {entry:?} passes them")]
    TooLarge { entry: String, max: u64 },
    #[error("it unpacks to more than {ratio} times its size, as a zip bomb does; the entry {entry:?} passes that")]
    Bomb { entry: String, ratio: u64 },
    #[error("the entry {entry:?} holds more bytes than it declares")]
    Lies { entry: String },
    #[error("cannot read the zip file")]
    Io(#[source] io::Error),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    File {
        executable: bool,
    },
    Directory,
    /// The target, which stays inside.
    Symlink {
        target: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative, separated by `/`, without `.`, `..` and a slash at either end.
    pub name: String,
    /// Unpacked.
    pub size: u64,
    pub kind: EntryKind,
    index: usize,
}

/// A checked archive. A clone reads the same file at its own position.
#[derive(Clone)]
pub struct Archive {
    zip: ZipArchive<SharedFile>,
    entries: Arc<Vec<Entry>>,
}

const FILE_TYPE: u32 = 0o170_000;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_DIRECTORY: u32 = 0o040_000;
const TYPE_SYMLINK: u32 = 0o120_000;

impl Archive {
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, ReadError> {
        let mut file = SharedFile::new(File::open(path).map_err(ReadError::Io)?).map_err(ReadError::Io)?;
        let length = file.length();
        let promised = directory::promised_entries(&mut file, length).map_err(ReadError::Io)?;
        let promised = promised.ok_or(ReadError::NotAZip)?;
        if promised > limits.entries_max {
            return Err(ReadError::TooManyEntries { entries: promised, max: limits.entries_max });
        }
        let mut zip = ZipArchive::new(file.clone()).map_err(|error| match error {
            ZipError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => ReadError::Io(error),
            error => ReadError::Damaged(error.to_string()),
        })?;
        let entries = zip.len() as u64;
        if entries > limits.entries_max {
            return Err(ReadError::TooManyEntries { entries, max: limits.entries_max });
        }
        let start = zip.central_directory_start();
        if let Some(entry) = directory::duplicate(&mut file, start, zip.len()).map_err(ReadError::Io)? {
            return Err(ReadError::Duplicate { entry });
        }
        let entries = check(&mut zip, length, limits)?;
        Ok(Self { zip, entries: Arc::new(entries) })
    }

    /// In the archive's own order.
    pub fn entries(&self) -> &Arc<Vec<Entry>> {
        &self.entries
    }

    /// The bytes of a file entry. Ends with an error if there are more than declared, or if their checksum is wrong.
    pub fn reader(&mut self, entry: &Entry) -> Result<impl Read + '_, ReadError> {
        let file = self.zip.by_index(entry.index).map_err(|e| of_entry(&entry.name, e))?;
        Ok(Declared { inner: file, left: entry.size })
    }

    /// The file an entry stands for: itself, or what its link leads to inside the archive.
    pub fn resolve<'a>(&'a self, entry: &'a Entry) -> Option<&'a Entry> {
        const HOPS_MAX: usize = 8;
        let mut at = entry;
        for _ in 0..HOPS_MAX {
            match &at.kind {
                EntryKind::File { .. } => return Some(at),
                EntryKind::Directory => return None,
                EntryKind::Symlink { target } => {
                    let mut path: Vec<&str> = at.name.split('/').collect();
                    path.pop();
                    for part in target.split('/') {
                        match part {
                            "" | "." => {}
                            ".." => {
                                path.pop();
                            }
                            name => path.push(name),
                        }
                    }
                    let wanted = path.join("/");
                    at = self.entries.iter().find(|e| e.name == wanted)?;
                }
            }
        }
        None
    }
}

/// What an archive holds.
pub fn list(path: &Path, limits: &Limits) -> Result<Vec<Entry>, ReadError> {
    Archive::open(path, limits).map(|archive| archive.entries().to_vec())
}

fn of_entry(entry: &str, error: ZipError) -> ReadError {
    let entry = entry.to_owned();
    match error {
        ZipError::UnsupportedArchive(text) if text == ZipError::PASSWORD_REQUIRED => ReadError::Encrypted { entry },
        ZipError::UnsupportedArchive(_) => ReadError::Compression { entry },
        ZipError::Io(source) => ReadError::DamagedEntry { entry, source },
        other => ReadError::DamagedEntry { entry, source: io::Error::other(other) },
    }
}

fn check(zip: &mut ZipArchive<SharedFile>, length: u64, limits: &Limits) -> Result<Vec<Entry>, ReadError> {
    let mut entries = Vec::with_capacity(zip.len());
    let mut total: u64 = 0;
    for index in 0..zip.len() {
        let raw_name = zip.name_for_index(index).unwrap_or_default().to_owned();
        let (mode, size, encrypted, directory) = {
            let raw = zip.by_index_raw(index).map_err(|e| of_entry(&raw_name, e))?;
            (raw.unix_mode().unwrap_or(0), raw.size(), raw.encrypted(), raw.is_dir())
        };
        let parts = components(&raw_name).map_err(|fault| ReadError::Name { entry: raw_name.clone(), fault })?;
        let name = parts.join("/");
        if encrypted {
            return Err(ReadError::Encrypted { entry: name });
        }
        total = total.saturating_add(size);
        if total > limits.bytes_max {
            return Err(ReadError::TooLarge { entry: name, max: limits.bytes_max });
        }
        if total > limits.ratio_free_bytes && total / limits.ratio_max.max(1) > length {
            return Err(ReadError::Bomb { entry: name, ratio: limits.ratio_max });
        }
        let kind = match mode & FILE_TYPE {
            TYPE_SYMLINK => EntryKind::Symlink { target: link_target(zip, index, &name)? },
            TYPE_DIRECTORY => EntryKind::Directory,
            // Archives made elsewhere than on Unix carry no type; a directory's name ends with a slash.
            0 | TYPE_FILE if directory => EntryKind::Directory,
            0 | TYPE_FILE => EntryKind::File { executable: mode & 0o111 != 0 },
            _ => return Err(ReadError::Special { entry: name }),
        };
        entries.push(Entry { name, size, kind, index });
    }
    check_tree(&entries)?;
    Ok(entries)
}

fn link_target(zip: &mut ZipArchive<SharedFile>, index: usize, name: &str) -> Result<String, ReadError> {
    let mut bytes = Vec::new();
    let file = zip.by_index(index).map_err(|e| of_entry(name, e))?;
    file.take(NAME_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| ReadError::DamagedEntry { entry: name.to_owned(), source })?;
    let target = String::from_utf8_lossy(&bytes).into_owned();
    if std::str::from_utf8(&bytes).is_err() || !link_stays_inside(name, &target) {
        return Err(ReadError::Link { entry: name.to_owned(), target });
    }
    Ok(target)
}

/// One name means one thing (`a`, `./a` and `a/` are one name; a directory may be repeated), and only directories
/// have something beneath them.
fn check_tree(entries: &[Entry]) -> Result<(), ReadError> {
    let mut kinds: HashMap<&str, &EntryKind> = HashMap::with_capacity(entries.len());
    for entry in entries {
        match kinds.insert(&entry.name, &entry.kind) {
            Some(EntryKind::Directory) if entry.kind == EntryKind::Directory => {}
            Some(_) => return Err(ReadError::Duplicate { entry: entry.name.clone() }),
            None => {}
        }
    }
    for entry in entries {
        let mut above = entry.name.as_str();
        while let Some((parent, _)) = above.rsplit_once('/') {
            if kinds.get(parent).is_some_and(|kind| **kind != EntryKind::Directory) {
                return Err(ReadError::Beneath { entry: entry.name.clone(), above: parent.to_owned() });
            }
            above = parent;
        }
    }
    Ok(())
}

/// Marks the io::Error of an entry that goes on after its declared size.
#[derive(Debug, thiserror::Error)]
#[error("more bytes than declared")]
pub(crate) struct MoreThanDeclared;

struct Declared<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Declared<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, MoreThanDeclared))?;
        if read == 0 && self.left > 0 && !out.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        Ok(read)
    }
}

/// The refusal behind an error met while reading an entry.
pub(crate) fn of_reading(entry: &str, source: io::Error) -> ReadError {
    let entry = entry.to_owned();
    if source.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<MoreThanDeclared>) {
        return ReadError::Lies { entry };
    }
    ReadError::DamagedEntry { entry, source }
}
