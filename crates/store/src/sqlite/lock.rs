//! One process per data directory: an exclusive lock on `DIR/lock`, which the operating system frees however the holder
//! ends. The file's text is only there to name the holder to whoever comes second.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::StoreError;

const FILE: &str = "lock";
/// A process id and a command name; more than this was not written by us.
const HOLDER_BYTES_MAX: u64 = 256;

#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    pub(super) fn take(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        let failed =
            |error: std::io::Error| StoreError::io(format!("lock the data directory by `{}`", path.display()), error);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::DirectoryInUse { path: directory.to_owned(), holder: holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let command = std::env::current_exe()
            .ok()
            .and_then(|exe| Some(exe.file_name()?.to_string_lossy().into_owned()))
            .unwrap_or_else(|| "unknown command".to_owned());
        // A full disk must not keep the server from starting and saying so where it matters: the name is a courtesy.
        let named = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "process {} ({command})", std::process::id()));
        if let Err(error) = named {
            tracing::warn!(path = %path.display(), %error, "could not write the holder's name into the lock file");
        }
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(HOLDER_BYTES_MAX).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "another process".to_owned(),
    }
}
