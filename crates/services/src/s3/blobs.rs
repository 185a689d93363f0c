//! Bytes on disk: one immutable file for every whole object or part, `objects/<2 hex>/<32 hex>` under the data directory.
//! A file is written under `objects/tmp`, synced, renamed and its directory synced before anything may refer to it, so
//! that a file under its final name is always complete. What nothing refers to is removed by the sweep at start. Where
//! other processes use the directory too, young files are theirs until a document says otherwise.
//!
//! This module knows files only. It must not know objects, versions or documents. Everything that touches the disk here
//! blocks; callers run it where blocking is allowed.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, Stream};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::digest::{Digests, Hasher};
use super::records::{BlobId, Segment};

/// Bytes in one piece of an answer's body.
const READ_BYTES: usize = 256 * 1024;

pub(super) struct Blobs {
    root: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Files that exist, or may, and that no document refers to yet.
    in_flight: HashSet<BlobId>,
    /// How many readers each file has.
    readers: HashMap<BlobId, usize>,
    /// Files to remove once their last reader is gone.
    doomed: HashSet<BlobId>,
}

impl Blobs {
    /// Makes the directories and clears away what was being written when the last process ended; what changed after
    /// `others` may be another process's.
    pub(super) fn open(data_dir: &Path, others: Option<SystemTime>) -> io::Result<Self> {
        let root = data_dir.join("objects");
        let tmp = root.join("tmp");
        fs::create_dir_all(&tmp)?;
        sync_dir(data_dir)?;
        for entry in fs::read_dir(&tmp)? {
            let path = entry?.path();
            if is_settled(&path, others)? {
                gone_is_well(fs::remove_file(path))?;
            }
        }
        Ok(Self { root, state: Mutex::default() })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn path(&self, id: BlobId) -> PathBuf {
        let name = id.to_string();
        self.root.join(&name[..2]).join(name)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The sets stay meaningful whatever a panicking holder was doing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shard directory of `id`, made and synced into its parent when it is new.
    fn shard(&self, id: BlobId) -> io::Result<PathBuf> {
        let shard = self.root.join(&id.to_string()[..2]);
        match fs::create_dir(&shard) {
            Ok(()) => sync_dir(&self.root)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Ok(shard)
    }

    /// Starts a file.
    pub(super) fn draft(self: &Arc<Self>, id: BlobId, hasher: Hasher) -> io::Result<Draft> {
        self.state().in_flight.insert(id);
        let blob = Blob { blobs: Arc::clone(self), id, len: 0, kept: false };
        let tmp = self.root.join("tmp").join(id.to_string());
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&tmp)?;
        Ok(Draft { file, tmp: Some(tmp), hasher: Some(hasher), blob: Some(blob) })
    }

    /// The bytes of `source` under a second name: a link where the file system has them, else a copy.
    pub(super) fn link(self: &Arc<Self>, source: BlobId, id: BlobId) -> io::Result<Blob> {
        let shard = self.shard(id)?;
        self.state().in_flight.insert(id);
        let mut blob = Blob { blobs: Arc::clone(self), id, len: 0, kept: false };
        let (from, to) = (self.path(source), self.path(id));
        if let Err(error) = fs::hard_link(&from, &to) {
            if error.kind() == io::ErrorKind::NotFound {
                return Err(error);
            }
            // Too many links, or a file system without them.
            let tmp = self.root.join("tmp").join(id.to_string());
            let copied =
                fs::copy(&from, &tmp).and_then(|_| File::open(&tmp)?.sync_data()).and_then(|()| fs::rename(&tmp, &to));
            if let Err(error) = copied {
                let _ = fs::remove_file(&tmp);
                return Err(error);
            }
        }
        sync_dir(&shard)?;
        blob.len = fs::metadata(&to)?.len();
        Ok(blob)
    }

    /// Removes files nothing refers to any more, now or when their last reader is done.
    pub(super) fn remove(&self, ids: impl IntoIterator<Item = BlobId>) {
        let mut state = self.state();
        for id in ids {
            if state.readers.contains_key(&id) {
                state.doomed.insert(id);
            } else {
                self.unlink(id);
            }
        }
    }

    /// A file that cannot be removed is only wasted room: the next sweep tries again.
    fn unlink(&self, id: BlobId) {
        if let Err(error) = fs::remove_file(self.path(id))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%id, %error, "a file of bytes could not be removed");
        }
    }

    /// Keeps the files of `segments` from being removed while the pin lives.
    pub(super) fn pin(self: &Arc<Self>, segments: &[Segment]) -> Pin {
        let ids: Vec<_> = segments.iter().map(|segment| segment.blob).collect();
        let mut state = self.state();
        for id in &ids {
            *state.readers.entry(*id).or_default() += 1;
        }
        drop(state);
        Pin { blobs: Arc::clone(self), ids }
    }

    /// Every file there is, with those that must not be swept because a writer still holds them. In this order, so that
    /// a file written meanwhile is in the second set or already referred to. What changed after `others` may be held by
    /// another process, and is left out.
    pub(super) fn files(&self, others: Option<SystemTime>) -> io::Result<(HashSet<BlobId>, HashSet<BlobId>)> {
        let mut found = HashSet::new();
        for shard in fs::read_dir(&self.root)? {
            let shard = shard?;
            if shard.file_name().len() != 2 {
                continue;
            }
            for file in fs::read_dir(shard.path())? {
                let file = file?;
                if let Some(id) = file.file_name().to_str().and_then(BlobId::parse)
                    && is_settled(&file.path(), others)?
                {
                    found.insert(id);
                }
            }
        }
        let in_flight = self.state().in_flight.clone();
        Ok((found, in_flight))
    }
}

/// Whether no other process can still be at work on a file. The time of the last change of its entry counts: a file that
/// is renamed or linked keeps the time its bytes were written.
fn is_settled(path: &Path, others: Option<SystemTime>) -> io::Result<bool> {
    let Some(others) = others else { return Ok(true) };
    let limit = others.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(u64::try_from(metadata.ctime()).unwrap_or(0) < limit),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn gone_is_well(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A file being written. Dropped before it is finished, it leaves nothing behind.
pub(super) struct Draft {
    file: File,
    tmp: Option<PathBuf>,
    hasher: Option<Hasher>,
    blob: Option<Blob>,
}

impl Draft {
    pub(super) fn append(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        for piece in pieces {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(piece);
            }
            self.file.write_all(piece)?;
        }
        Ok(())
    }

    pub(super) fn len(&self) -> u64 {
        self.hasher.as_ref().map_or(0, Hasher::len)
    }

    /// What was written so far, in full: nothing can be appended after.
    pub(super) fn digests(&mut self) -> Option<Digests> {
        self.hasher.take().map(Hasher::finish)
    }

    /// Makes the file durable under its final name.
    pub(super) fn finish(mut self, len: u64) -> io::Result<Blob> {
        let missing = || io::Error::other("the draft was already finished");
        let mut blob = self.blob.take().ok_or_else(missing)?;
        let tmp = self.tmp.take().ok_or_else(missing)?;
        let renamed = self.file.sync_data().and_then(|()| {
            let shard = blob.blobs.shard(blob.id)?;
            fs::rename(&tmp, blob.blobs.path(blob.id))?;
            sync_dir(&shard)
        });
        if let Err(error) = renamed {
            let _ = fs::remove_file(&tmp);
            return Err(error);
        }
        blob.len = len;
        Ok(blob)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(tmp) = self.tmp.take() {
            let _ = fs::remove_file(tmp);
        }
    }
}

/// A durable file that no document refers to yet. Dropped without [`Blob::keep`], it is removed again.
pub(super) struct Blob {
    blobs: Arc<Blobs>,
    id: BlobId,
    len: u64,
    kept: bool,
}

impl Blob {
    /// The file as a whole.
    pub(super) fn segment(&self) -> Segment {
        Segment { blob: self.id, offset: 0, len: self.len }
    }

    /// A document refers to it now.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        if !self.kept {
            self.blobs.unlink(self.id);
        }
        self.blobs.state().in_flight.remove(&self.id);
    }
}

/// Readers of some files.
pub(super) struct Pin {
    blobs: Arc<Blobs>,
    ids: Vec<BlobId>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut state = self.blobs.state();
        for id in &self.ids {
            if let Some(readers) = state.readers.get_mut(id) {
                *readers -= 1;
                if *readers == 0 {
                    state.readers.remove(id);
                    if state.doomed.remove(id) {
                        self.blobs.unlink(*id);
                    }
                }
            }
        }
    }
}

/// The bytes of `segments` between `start` and `end`, opened far enough to know that they are there.
pub(super) async fn read(
    blobs: &Arc<Blobs>,
    segments: &[Segment],
    start: u64,
    end: u64,
) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static> {
    let wanted = cut(segments, start, end);
    let pin = blobs.pin(&wanted);
    let mut reader = Reader { pin, rest: wanted.into_iter(), open: None };
    reader.advance().await?;
    Ok(stream::try_unfold(reader, |mut reader| async move {
        let piece = reader.piece().await?;
        Ok(piece.map(|piece| (piece, reader)))
    }))
}

/// The parts of `segments` that lie between `start` and `end` of their concatenation.
pub(super) fn cut(segments: &[Segment], start: u64, end: u64) -> Vec<Segment> {
    let mut out = Vec::new();
    let mut at = 0;
    for segment in segments {
        let (from, to) = (start.max(at), end.min(at + segment.len));
        if from < to {
            out.push(Segment { blob: segment.blob, offset: segment.offset + (from - at), len: to - from });
        }
        at += segment.len;
    }
    out
}

struct Reader {
    pin: Pin,
    rest: std::vec::IntoIter<Segment>,
    open: Option<(tokio::fs::File, u64)>,
}

impl Reader {
    /// Opens the next segment; leaves `open` empty when there is none.
    async fn advance(&mut self) -> io::Result<()> {
        self.open = None;
        if let Some(segment) = self.rest.next() {
            let mut file = tokio::fs::File::open(self.pin.blobs.path(segment.blob)).await?;
            if segment.offset > 0 {
                file.seek(io::SeekFrom::Start(segment.offset)).await?;
            }
            self.open = Some((file, segment.len));
        }
        Ok(())
    }

    async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let Some((file, left)) = &mut self.open else { return Ok(None) };
            if *left == 0 {
                self.advance().await?;
                continue;
            }
            let want = usize::try_from(*left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
            let mut buffer = BytesMut::with_capacity(want);
            let read = (&mut *file).take(want as u64).read_buf(&mut buffer).await?;
            if read == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a file of bytes is shorter than recorded"));
            }
            *left -= read as u64;
            return Ok(Some(buffer.freeze()));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt as _;

    use super::super::digest::Algorithm;
    use super::*;

    fn blobs() -> (tempfile::TempDir, Arc<Blobs>) {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Arc::new(Blobs::open(dir.path(), None).unwrap());
        (dir, blobs)
    }

    fn put(blobs: &Arc<Blobs>, id: u128, bytes: &'static [u8]) -> Segment {
        let mut draft = blobs.draft(BlobId(id), Hasher::new(&[Algorithm::Crc32])).unwrap();
        draft.append(&[Bytes::from_static(bytes)]).unwrap();
        let blob = draft.finish(bytes.len() as u64).unwrap();
        let segment = blob.segment();
        blob.keep();
        segment
    }

    async fn all(blobs: &Arc<Blobs>, segments: &[Segment], start: u64, end: u64) -> Vec<u8> {
        let pieces: Vec<Bytes> = read(blobs, segments, start, end).await.unwrap().try_collect().await.unwrap();
        pieces.concat()
    }

    #[tokio::test]
    async fn ranges_run_across_segments() {
        let (_dir, blobs) = blobs();
        let mut segments = vec![put(&blobs, 1, b"hello "), put(&blobs, 2, b"wide world")];
        segments[1].offset = 5;
        segments[1].len = 5;
        assert_eq!(all(&blobs, &segments, 0, 11).await, b"hello world");
        assert_eq!(all(&blobs, &segments, 4, 8).await, b"o wo");
        assert_eq!(all(&blobs, &segments, 6, 6).await, b"");
    }

    #[test]
    fn nothing_stays_of_a_draft_or_blob_that_was_dropped() {
        let (dir, blobs) = blobs();
        let mut draft = blobs.draft(BlobId(3), Hasher::new(&[Algorithm::Crc32])).unwrap();
        draft.append(&[Bytes::from_static(b"x")]).unwrap();
        assert!(dir.path().join("objects/tmp").join(BlobId(3).to_string()).exists());
        drop(draft);
        let finished = blobs.draft(BlobId(4), Hasher::new(&[Algorithm::Crc32])).unwrap().finish(0).unwrap();
        assert!(blobs.path(BlobId(4)).exists());
        assert_eq!(blobs.files(None).unwrap().1.len(), 1);
        drop(finished);
        assert!(!blobs.path(BlobId(4)).exists());
        assert_eq!(fs::read_dir(dir.path().join("objects/tmp")).unwrap().count(), 0);
        assert_eq!(blobs.files(None).unwrap(), (HashSet::new(), HashSet::new()));
    }

    #[tokio::test]
    async fn a_removed_file_lives_until_its_last_reader_is_done() {
        let (_dir, blobs) = blobs();
        let segments = vec![put(&blobs, 5, b"one"), put(&blobs, 6, b"two")];
        let stream = read(&blobs, &segments, 0, 6).await.unwrap();
        blobs.remove([BlobId(5), BlobId(6)]);
        let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
        assert_eq!(pieces.concat(), b"onetwo");
        assert!(!blobs.path(BlobId(5)).exists() && !blobs.path(BlobId(6)).exists());
        assert_eq!(read(&blobs, &segments, 0, 6).await.err().unwrap().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_link_outlives_its_source() {
        let (_dir, blobs) = blobs();
        put(&blobs, 7, b"linked");
        let copy = blobs.link(BlobId(7), BlobId(8)).unwrap();
        assert_eq!(copy.segment(), Segment { blob: BlobId(8), offset: 0, len: 6 });
        copy.keep();
        blobs.remove([BlobId(7)]);
        assert_eq!(fs::read(blobs.path(BlobId(8))).unwrap(), b"linked");
        assert_eq!(blobs.link(BlobId(9), BlobId(10)).err().unwrap().kind(), io::ErrorKind::NotFound);
    }
}
