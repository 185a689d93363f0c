//! Packs files into a zip that depends on their names and contents alone: sorted, one fixed time, two file modes. Streams
//! from file to file.
//!
//! What would be refused when unpacked is not packed: a symbolic link that leaves the root is left out and reported,
//! never followed, because whoever made the tree (a build) may not be allowed to read what the link points to.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::limits::{COPY_BUFFER_BYTES, DEFLATE_LEVEL, DEPTH_MAX, PACK_ENTRIES_MAX, ZIP64_FROM_BYTES};
use crate::names::{NameFault, components, link_stays_inside};

/// One thing to pack: the name in the archive and the file or symbolic link it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Relative, separated by `/`.
    pub name: String,
    pub path: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packed {
    pub entries: u64,
    /// Sum of the sizes of the files.
    pub bytes: u64,
    /// Names left out: links that leave the root, devices, pipes, sockets.
    pub skipped: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("cannot read {name:?}")]
    Read { name: String, source: io::Error },
    #[error("cannot write the zip file")]
    Write { source: io::Error },
    #[error("cannot pack {name:?}: {fault}")]
    Name { name: String, fault: NameFault },
    #[error("cannot pack {name:?}: its name is not UTF-8")]
    NotUtf8 { name: String },
    #[error("cannot pack {name:?}: two files would have that name")]
    Duplicate { name: String },
    #[error("cannot pack {name:?}: it lies outside of the directory, behind a symbolic link")]
    Outside { name: String },
    #[error("cannot pack more than {PACK_ENTRIES_MAX} files")]
    TooMany,
}

/// Extensions of files that deflate makes no smaller.
const COMPRESSED: &[&str] = &[
    "7z", "aab", "apk", "avif", "br", "bz2", "crate", "docx", "ear", "egg", "gif", "gz", "heic", "ipa", "jar", "jpeg",
    "jpg", "lz4", "lzma", "m4a", "m4v", "mkv", "mov", "mp3", "mp4", "nupkg", "ogg", "opus", "png", "pptx", "rar",
    "rpm", "tbz2", "tgz", "txz", "war", "webm", "webp", "whl", "woff", "woff2", "xlsx", "xz", "zip", "zst",
];

/// Packs everything below `root` that `keep` says yes to (asked with the relative name and whether it is a directory; a
/// refused directory is not entered).
pub fn pack_directory(root: &Path, keep: impl FnMut(&str, bool) -> bool, out: &Path) -> Result<Packed, PackError> {
    let items = walk(root, keep)?;
    pack(root, items, out)
}

/// Lists what `pack_directory` would pack. Symbolic links are listed, not followed; directories are not listed.
pub fn walk(root: &Path, mut keep: impl FnMut(&str, bool) -> bool) -> Result<Vec<Item>, PackError> {
    let mut items = Vec::new();
    let mut open = vec![(root.to_path_buf(), String::new(), 0)];
    while let Some((directory, prefix, depth)) = open.pop() {
        let failed = |source| PackError::Read { name: prefix.clone(), source };
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(file_name) = entry.file_name().into_string() else {
                return Err(PackError::NotUtf8 { name: format!("{prefix}{}", entry.file_name().to_string_lossy()) });
            };
            let name = format!("{prefix}{file_name}");
            let is_dir = entry.file_type().map_err(failed)?.is_dir();
            if !keep(&name, is_dir) {
                continue;
            }
            if is_dir {
                if depth >= DEPTH_MAX {
                    return Err(PackError::Name { name, fault: NameFault::TooDeep });
                }
                open.push((entry.path(), format!("{name}/"), depth + 1));
            } else {
                items.push(Item { name, path: entry.path() });
            }
            if items.len() > PACK_ENTRIES_MAX {
                return Err(PackError::TooMany);
            }
        }
    }
    items.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(items)
}

/// Packs `items`, all of which must really lie below `root`, into the new file `out`. A failed one is removed.
pub fn pack(root: &Path, items: Vec<Item>, out: &Path) -> Result<Packed, PackError> {
    let packed = write(root, items, out);
    if packed.is_err() {
        // Best effort: the error itself says more than a failed clean-up would.
        let _ = fs::remove_file(out);
    }
    packed
}

fn write(root: &Path, items: Vec<Item>, out: &Path) -> Result<Packed, PackError> {
    let sorted = sort(items)?;
    let mut inside = Inside::new(root)?;
    let writing = |source| PackError::Write { source };
    let mut zip = ZipWriter::new(BufWriter::with_capacity(COPY_BUFFER_BYTES, File::create(out).map_err(writing)?));
    let mut packed = Packed::default();
    let mut buffer = vec![0; COPY_BUFFER_BYTES];
    for (name, path) in sorted {
        let reading = |source| PackError::Read { name: name.clone(), source };
        inside.check(&name, &path)?;
        let found = fs::symlink_metadata(&path).map_err(reading)?;
        let options = SimpleFileOptions::default().last_modified_time(DateTime::default());
        if found.is_symlink() {
            let target = fs::read_link(&path).map_err(reading)?;
            match target.to_str().filter(|target| link_stays_inside(&name, target)) {
                Some(target) => {
                    zip.add_symlink(&name, target, options).map_err(|e| writing(e.into()))?;
                    packed.entries += 1;
                }
                None => packed.skipped.push(name),
            }
            continue;
        }
        if !found.is_file() {
            packed.skipped.push(name);
            continue;
        }
        let mode = if found.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
        let options = options.unix_permissions(mode).large_file(found.len() >= ZIP64_FROM_BYTES);
        let options = if is_compressed(&name) || found.len() == 0 {
            options.compression_method(CompressionMethod::Stored)
        } else {
            options.compression_method(CompressionMethod::Deflated).compression_level(Some(DEFLATE_LEVEL))
        };
        let mut file = File::open(&path).map_err(reading)?;
        zip.start_file(&name, options).map_err(|e| writing(e.into()))?;
        loop {
            let read = file.read(&mut buffer).map_err(reading)?;
            if read == 0 {
                break;
            }
            zip.write_all(&buffer[..read]).map_err(writing)?;
            packed.bytes += read as u64;
        }
        packed.entries += 1;
    }
    let writer = zip.finish().map_err(|e| writing(e.into()))?;
    writer.into_inner().map_err(|e| writing(e.into_error()))?;
    Ok(packed)
}

fn sort(items: Vec<Item>) -> Result<BTreeMap<String, PathBuf>, PackError> {
    if items.len() > PACK_ENTRIES_MAX {
        return Err(PackError::TooMany);
    }
    let mut sorted = BTreeMap::new();
    for item in items {
        let name = match components(&item.name) {
            Ok(parts) => parts.join("/"),
            Err(fault) => return Err(PackError::Name { name: item.name, fault }),
        };
        if sorted.insert(name.clone(), item.path).is_some() {
            return Err(PackError::Duplicate { name });
        }
    }
    Ok(sorted)
}

/// Where the directories of packed files really are; each is looked up once.
struct Inside {
    root: PathBuf,
    known: HashMap<PathBuf, bool>,
}

impl Inside {
    fn new(root: &Path) -> Result<Self, PackError> {
        let root = root.canonicalize().map_err(|source| PackError::Read { name: ".".to_owned(), source })?;
        Ok(Self { root, known: HashMap::new() })
    }

    fn check(&mut self, name: &str, path: &Path) -> Result<(), PackError> {
        let parent = path.parent().unwrap_or(path);
        let inside = if let Some(inside) = self.known.get(parent) {
            *inside
        } else {
            let real = parent.canonicalize().map_err(|source| PackError::Read { name: name.to_owned(), source })?;
            let inside = real.starts_with(&self.root);
            self.known.insert(parent.to_path_buf(), inside);
            inside
        };
        if inside { Ok(()) } else { Err(PackError::Outside { name: name.to_owned() }) }
    }
}

fn is_compressed(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    extension.is_some_and(|e| COMPRESSED.binary_search(&e.as_str()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_extensions_can_be_searched() {
        assert!(COMPRESSED.is_sorted());
        assert!(is_compressed("dist/app.WHL"));
        assert!(!is_compressed("src/main.rs"));
    }
}
