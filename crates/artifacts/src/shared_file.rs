//! A file that several readers read at once, each with its own position. `ZipArchive` clones its reader; a plain `File`
//! cannot be cloned without sharing the position.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

const BUFFER_BYTES: usize = 16 * 1024;

pub struct SharedFile {
    file: Arc<File>,
    length: u64,
    position: u64,
    /// Bytes of the file from `buffer_start` on; small reads of the directory are served from here.
    buffer: Vec<u8>,
    buffer_start: u64,
}

impl SharedFile {
    pub fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), length, position: 0, buffer: Vec::new(), buffer_start: 0 })
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// The buffered bytes at the current position.
    fn buffered(&self) -> &[u8] {
        self.position
            .checked_sub(self.buffer_start)
            .and_then(|offset| usize::try_from(offset).ok())
            .and_then(|offset| self.buffer.get(offset..))
            .unwrap_or_default()
    }
}

impl Clone for SharedFile {
    fn clone(&self) -> Self {
        Self {
            file: Arc::clone(&self.file),
            length: self.length,
            position: self.position,
            buffer: Vec::new(),
            buffer_start: 0,
        }
    }
}

impl Read for SharedFile {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.buffered().is_empty() {
            if out.len() >= BUFFER_BYTES {
                let read = self.file.read_at(out, self.position)?;
                self.position += read as u64;
                return Ok(read);
            }
            self.buffer.resize(BUFFER_BYTES, 0);
            let read = self.file.read_at(&mut self.buffer, self.position)?;
            self.buffer.truncate(read);
            self.buffer_start = self.position;
        }
        let ready = self.buffered();
        let take = ready.len().min(out.len());
        out[..take].copy_from_slice(&ready[..take]);
        self.position += take as u64;
        Ok(take)
    }
}

impl Seek for SharedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
