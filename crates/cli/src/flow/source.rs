//! Makes the object of an S3 source action from a directory: a zip of what git would keep. The same files give the same
//! bytes, whatever the clock says.

use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use tempfile::NamedTempFile;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::limits;

/// Never part of a source, ignored or not.
const LEFT_OUT: [&str; 2] = [".git", ".towpath"];

/// A packed source; the file goes away with it.
#[derive(Debug)]
pub struct Packed {
    pub file: NamedTempFile,
    pub files: usize,
    pub bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{source}")]
    Walk { source: ignore::Error },
    #[error("cannot write the zip: {source}")]
    Write { source: std::io::Error },
    #[error("cannot write the zip: {source}")]
    Zip { source: zip::result::ZipError },
    #[error("the name {} is not UTF-8", path.display())]
    Name { path: PathBuf },
    #[error("{} holds no file that git would keep", path.display())]
    Empty { path: PathBuf },
    #[error("more than {} files; leave some out with .gitignore", limits::SOURCE_FILES_MAX)]
    TooMany,
}

/// Packs a directory. `data` is left out too, wherever it stands; the zip is written into it.
pub fn pack(directory: &Path, data: &Path) -> Result<Packed, PackError> {
    let write = |source| PackError::Write { source };
    let paths = list(directory, data)?;
    let file = NamedTempFile::with_prefix_in("source-", data).map_err(write)?;
    let mut zip = ZipWriter::new(BufWriter::with_capacity(1 << 16, file.reopen().map_err(write)?));
    for (name, path) in &paths {
        add(&mut zip, name, path)?;
    }
    let out = zip.finish().map_err(|source| PackError::Zip { source })?;
    out.into_inner().map_err(|e| write(e.into_error()))?.sync_data().map_err(write)?;
    let bytes = file.as_file().metadata().map_err(write)?.len();
    Ok(Packed { file, files: paths.len(), bytes })
}

/// Files and symbolic links with their names in the zip, in the order of the names.
fn list(directory: &Path, data: &Path) -> Result<Vec<(String, PathBuf)>, PackError> {
    let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    let walk = WalkBuilder::new(directory)
        .hidden(false)
        .ignore(false)
        .require_git(false)
        .follow_links(false)
        .filter_entry(move |entry| {
            let name = entry.file_name().to_string_lossy();
            let is_directory = entry.file_type().is_some_and(|t| t.is_dir());
            let is_data = || is_directory && entry.path().canonicalize().is_ok_and(|p| p == data);
            entry.depth() == 0 || !(LEFT_OUT.contains(&name.as_ref()) || is_data())
        })
        .build();
    let mut paths = Vec::new();
    for entry in walk {
        let entry = entry.map_err(|source| PackError::Walk { source })?;
        if entry.file_type().is_none_or(|t| !t.is_file() && !t.is_symlink()) {
            continue;
        }
        if paths.len() == limits::SOURCE_FILES_MAX {
            return Err(PackError::TooMany);
        }
        let path = entry.into_path();
        let relative = path.strip_prefix(directory).unwrap_or(&path);
        let parts: Option<Vec<&str>> = relative.components().map(|c| c.as_os_str().to_str()).collect();
        let Some(parts) = parts else { return Err(PackError::Name { path: path.clone() }) };
        paths.push((parts.join("/"), path.clone()));
    }
    if paths.is_empty() {
        return Err(PackError::Empty { path: directory.to_owned() });
    }
    paths.sort();
    Ok(paths)
}

fn add<W: Write + std::io::Seek>(zip: &mut ZipWriter<W>, name: &str, path: &Path) -> Result<(), PackError> {
    let read = |source| PackError::Read { path: path.to_owned(), source };
    let packed = |source| PackError::Zip { source };
    let metadata = path.symlink_metadata().map_err(read)?;
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        // The local disk is the only reader: speed matters more than size.
        .compression_level(Some(1))
        .large_file(metadata.len() >= u64::from(u32::MAX))
        .unix_permissions(mode(&metadata));
    if metadata.is_symlink() {
        let target = std::fs::read_link(path).map_err(read)?;
        let target = target.to_str().ok_or_else(|| PackError::Name { path: target.clone() })?;
        return zip.add_symlink(name, target, options).map_err(packed);
    }
    zip.start_file(name, options).map_err(packed)?;
    let mut file = BufReader::with_capacity(1 << 16, std::fs::File::open(path).map_err(read)?);
    std::io::copy(&mut file, zip).map_err(read)?;
    Ok(())
}

/// Only what git keeps: is it a program or not.
#[cfg(unix)]
fn mode(metadata: &std::fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    if metadata.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 }
}

#[cfg(not(unix))]
fn mode(_: &std::fs::Metadata) -> u32 {
    0o644
}

/// `12.3 kB`.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} bytes") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, name: &str, text: &str) {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn names(packed: &Packed) -> Vec<String> {
        let mut zip = zip::ZipArchive::new(packed.file.reopen().unwrap()).unwrap();
        (0..zip.len()).map(|i| zip.by_index(i).unwrap().name().to_owned()).collect()
    }

    #[test]
    fn what_git_ignores_and_our_own_data_stay_out() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("state");
        for (name, text) in [
            (".gitignore", "*.log\nbuild/\n"),
            (".env.sample", "x"),
            ("src/main.c", "x"),
            ("src/debug.log", "x"),
            ("build/out", "x"),
            (".git/HEAD", "x"),
            (".towpath/db", "x"),
            ("sub/.towpath/db", "x"),
            ("state/db", "x"),
        ] {
            write(directory.path(), name, text);
        }
        let packed = pack(directory.path(), &data).unwrap();
        assert_eq!(names(&packed), [".env.sample", ".gitignore", "src/main.c"]);
        assert_eq!(packed.files, 3);
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let data = tempfile::tempdir().unwrap();
        for directory in [one.path(), two.path()] {
            write(directory, "b/x", "hello");
            write(directory, "a", "hello");
        }
        let bytes = |d: &Path| std::fs::read(pack(d, data.path()).unwrap().file.path()).unwrap();
        assert_eq!(bytes(one.path()), bytes(two.path()));
    }

    #[cfg(unix)]
    #[test]
    fn links_and_the_executable_bit_are_kept() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let directory = tempfile::tempdir().unwrap();
        let data = tempfile::tempdir().unwrap();
        write(directory.path(), "run.sh", "x");
        std::fs::set_permissions(directory.path().join("run.sh"), std::fs::Permissions::from_mode(0o700)).unwrap();
        symlink("run.sh", directory.path().join("link")).unwrap();
        let packed = pack(directory.path(), data.path()).unwrap();
        let mut zip = zip::ZipArchive::new(packed.file.reopen().unwrap()).unwrap();
        assert!(zip.by_name("link").unwrap().is_symlink());
        assert_eq!(zip.by_name("run.sh").unwrap().unix_mode().unwrap() & 0o777, 0o755);
    }

    #[test]
    fn an_empty_directory_is_no_source() {
        let directory = tempfile::tempdir().unwrap();
        let data = tempfile::tempdir().unwrap();
        let error = pack(directory.path(), data.path()).unwrap_err();
        assert!(error.to_string().ends_with("holds no file that git would keep"), "{error}");
    }

    #[test]
    fn sizes_for_people() {
        assert_eq!(human_bytes(999), "999 bytes");
        assert_eq!(human_bytes(1_234_567), "1.2 MB");
        assert_eq!(human_bytes(999_960), "1.0 MB");
    }
}
