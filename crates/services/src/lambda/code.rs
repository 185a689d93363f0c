//! The code of functions: zips as files below the data directory, named by their SHA-256, each with the directory it was
//! unpacked into. Nothing is trusted of what a zip says; `towpath-artifacts` refuses what leaves the directory.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use towpath_artifacts::{Limits, ReadError, UnpackError};
use towpath_wire::WireError;
use towpath_wire::lambda::SERVICE;

use super::Lambda;
use super::errors::{internal, invalid, unsupported};
use super::limits::{ORPHAN_AGE, UNZIPPED_BYTES_MAX, ZIP_ENTRIES_MAX, ZIPPED_BYTES_MAX};
use crate::call::Call;

/// Where a request says its code is.
pub(super) struct Source {
    pub zip: Option<Vec<u8>>,
    pub bucket: Option<String>,
    pub key: Option<String>,
    pub version: Option<String>,
    pub image: Option<String>,
}

/// Code that is in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Code {
    /// Hex of its SHA-256: the name of its files.
    pub name: String,
    pub size: i64,
}

impl Code {
    /// `CodeSha256`.
    pub fn sha256(&self) -> String {
        STANDARD.encode(hex::decode(&self.name).unwrap_or_default())
    }
}

#[derive(Debug, thiserror::Error)]
enum PlaceError {
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Lambda {
    fn code_dir(&self) -> PathBuf {
        self.settings.data_dir.join("lambda").join("code")
    }

    /// The directory that holds the unpacked code.
    pub(super) fn task_root(&self, code: &str) -> PathBuf {
        self.code_dir().join(code)
    }

    pub(super) fn zip_path(&self, code: &str) -> PathBuf {
        self.code_dir().join(format!("{code}.zip"))
    }

    /// Takes code in: reads it from where the request says, checks it, unpacks it. With `dry_run` nothing stays.
    pub(super) async fn take_code(&self, call: &Call, source: Source, dry_run: bool) -> Result<Code, WireError> {
        if source.image.is_some() {
            return Err(unsupported("A container image as code", "Deploy a zip: Code.ZipFile, or S3Bucket and S3Key."));
        }
        let directory = self.code_dir();
        let incoming = directory.join(format!("incoming-{}", self.ambient.uuid()));
        tokio::fs::create_dir_all(&incoming).await.map_err(|error| internal("make the code directory", &error))?;
        let file = incoming.join("code.zip");
        let taken = match (source.zip, source.bucket, source.key) {
            (Some(zip), None, None) => {
                tokio::fs::write(&file, zip).await.map_err(|error| internal("write the code", &error))
            }
            (None, Some(bucket), Some(key)) => {
                let version = source.version.as_deref();
                let read = self.objects.read(&call.principal, &bucket, &key, version, &file).await;
                read.map(|_| ()).map_err(|error| {
                    invalid(format!(
                        "Error occurred while GetObject. S3 Error Code: {}. S3 Error Message: {}",
                        error.code, error.message
                    ))
                })
            }
            _ => Err(invalid("Please provide a source for function code.")),
        };
        let placed = match taken {
            Ok(()) => {
                let incoming = incoming.clone();
                let done = tokio::task::spawn_blocking(move || place(&incoming, &directory, dry_run)).await;
                done.map_err(|error| internal("unpack the code", &error)).and_then(|placed| placed.map_err(refusal))
            }
            Err(error) => Err(error),
        };
        // What is left of it is of no use to anybody.
        let _ = tokio::fs::remove_dir_all(&incoming).await;
        placed
    }

    /// Removes code that no function has, and what a crash left half done. Young files may belong to a request that has
    /// not committed yet.
    pub(super) async fn sweep_code(&self) -> Result<(), WireError> {
        let used = self.codes_in_use().await?;
        let directory = self.code_dir();
        let now = u64::try_from(self.ambient.now().millis()).unwrap_or(0);
        let swept = tokio::task::spawn_blocking(move || sweep(&directory, now, |code| used.contains(code))).await;
        match swept {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(internal("remove old code", &error)),
            Err(error) => Err(internal("remove old code", &error)),
        }
    }
}

fn sweep(directory: &Path, now_ms: u64, used: impl Fn(&str) -> bool) -> io::Result<()> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if used(name.trim_end_matches(".zip")) {
            continue;
        }
        let modified = entry.metadata()?.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        if u128::from(now_ms) < modified.as_millis() + ORPHAN_AGE.as_millis() {
            continue;
        }
        let path = entry.path();
        if path.is_dir() {
            writable(&path);
            std::fs::remove_dir_all(&path)?;
        } else {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Checks and unpacks `incoming/code.zip` and moves both to where code is kept.
fn place(incoming: &Path, directory: &Path, dry_run: bool) -> Result<Code, PlaceError> {
    let zip = incoming.join("code.zip");
    let size = std::fs::metadata(&zip)?.len();
    if size > ZIPPED_BYTES_MAX {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge).into());
    }
    let mut hash = Sha256::new();
    io::copy(&mut std::fs::File::open(&zip)?, &mut Hashing(&mut hash))?;
    let name = hex::encode(hash.finalize());
    let code = Code { name: name.clone(), size: i64::try_from(size).unwrap_or(i64::MAX) };
    let root = directory.join(&name);
    let kept = directory.join(format!("{name}.zip"));
    if root.is_dir() && kept.is_file() {
        // The sweep looks at the age: what is taken again is young again.
        std::fs::File::open(&root)?.set_modified(std::fs::metadata(&zip)?.modified()?)?;
        std::fs::File::open(&kept)?.set_modified(std::fs::metadata(&zip)?.modified()?)?;
        return Ok(code);
    }
    let unpacked = incoming.join("task");
    let limits = Limits { entries_max: ZIP_ENTRIES_MAX, bytes_max: UNZIPPED_BYTES_MAX, ..Limits::DEFAULT };
    towpath_artifacts::unpack(&zip, &unpacked, &limits)?;
    if dry_run {
        return Ok(code);
    }
    std::fs::File::open(&zip)?.sync_all()?;
    // Lambda's task root is read-only, and this one belongs to all processes of all versions with this code.
    read_only(&unpacked)?;
    match std::fs::rename(&unpacked, &root) {
        // Somebody else placed the same code at the same time.
        Err(_) if root.is_dir() => writable(&unpacked),
        renamed => renamed?,
    }
    // The zip comes last: with it, the code is whole.
    std::fs::rename(&zip, &kept)?;
    std::fs::File::open(directory)?.sync_all()?;
    Ok(code)
}

fn read_only(directory: &Path) -> io::Result<()> {
    for_each_directory(directory, &mut |path| {
        use std::os::unix::fs::PermissionsExt as _;
        // The outermost one must stay ours to rename.
        let mode = if path == directory { 0o755 } else { 0o555 };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    })
}

/// Directories can be removed again. What fails here fails again, loudly, in the removal.
fn writable(directory: &Path) {
    let _ = for_each_directory(directory, &mut |path| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
    });
}

fn for_each_directory(directory: &Path, act: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    act(directory)?;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            for_each_directory(&entry.path(), act)?;
        }
    }
    Ok(())
}

/// Hands what is written on to a hash.
struct Hashing<'a>(&'a mut Sha256);

impl io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn refusal(error: PlaceError) -> WireError {
    match error {
        PlaceError::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => WireError::modeled(
            &SERVICE,
            "RequestEntityTooLargeException",
            format!("Zipped size must be smaller than {ZIPPED_BYTES_MAX} bytes"),
        ),
        PlaceError::Unpack(UnpackError::Read(ReadError::TooLarge { .. })) => {
            invalid(format!("Unzipped size must be smaller than {UNZIPPED_BYTES_MAX} bytes"))
        }
        PlaceError::Unpack(UnpackError::Read(ReadError::Io(error))) | PlaceError::Io(error) => {
            internal("keep the code", &error)
        }
        PlaceError::Unpack(UnpackError::Write { entry, source })
            if source.kind() == io::ErrorKind::StorageFull || source.kind() == io::ErrorKind::PermissionDenied =>
        {
            tracing::error!(entry, error = %source, "code cannot be unpacked");
            internal("unpack the code", &source)
        }
        // Lambda says no more than this; what is wrong with the zip is for whoever reads the log.
        PlaceError::Unpack(error) => {
            tracing::warn!(%error, "a zip was refused as code");
            invalid("Could not unzip uploaded file. Please check your file, then try to upload again.")
        }
    }
}
