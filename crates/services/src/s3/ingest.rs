//! From a body to a durable file: bytes are hashed and written in batches of bounded size while the next batch arrives,
//! and whatever the client promised about them is checked before the file gets its name. It must not touch documents.

use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use s3s::{S3Error, S3Result, StdError, TrailingHeaders};
use tokio::task::{JoinHandle, spawn_blocking};

use super::blobs::{Blob, Blobs, Draft};
use super::digest::{Algorithm, Digests, Hasher, Sum};
use super::errors;
use super::records::BlobId;

/// Bytes gathered before they go to the disk. A body holds at most two such batches in memory.
const BATCH_BYTES: usize = 512 * 1024;
/// Pieces gathered before they go to the disk, for bodies that come byte by byte.
const BATCH_PIECES: usize = 4096;

/// What the client said about a body.
#[derive(Debug, Default, Clone)]
pub(super) struct Promise {
    pub len: Option<u64>,
    pub md5: Option<[u8; 16]>,
    /// A checksum sent as a header.
    pub sum: Option<(Algorithm, String)>,
    /// The algorithm of a checksum that comes as a trailer.
    pub trailer: Option<Algorithm>,
    pub trailing: Option<TrailingHeaders>,
}

impl Promise {
    /// The algorithm of the checksum the client brings.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        self.sum.as_ref().map(|(algorithm, _)| *algorithm).or(self.trailer)
    }

    fn check(&self, found: &Digests) -> S3Result<()> {
        if self.len.is_some_and(|len| len != found.len) {
            return Err(errors::incomplete_body());
        }
        if self.md5.is_some_and(|md5| md5 != found.md5) {
            return Err(errors::md5_mismatch());
        }
        let differs =
            |algorithm, sent: &[u8]| found.sum(algorithm).is_none_or(|computed| computed.value.as_bytes() != sent);
        if let Some((algorithm, value)) = &self.sum
            && differs(*algorithm, value.as_bytes())
        {
            return Err(errors::checksum_mismatch(algorithm.name()));
        }
        if let Some(trailer) = self.trailer {
            let sent = self.trailing.as_ref().and_then(|trailing| {
                trailing.read(|map| map.get(trailer.header()).map(|value| value.as_bytes().to_vec())).flatten()
            });
            let sent = sent.ok_or_else(|| {
                errors::invalid_request(format!(
                    "The body ended without the {} trailer that x-amz-trailer announced.",
                    trailer.header()
                ))
            })?;
            if differs(trailer, &sent) {
                return Err(errors::checksum_mismatch(trailer.name()));
            }
        }
        Ok(())
    }
}

/// A `Content-MD5` header.
pub(super) fn parse_md5(text: &str) -> S3Result<[u8; 16]> {
    let bytes = BASE64.decode(text).map_err(|_| errors::invalid_digest())?;
    bytes.try_into().map_err(|_| errors::invalid_digest())
}

/// A checksum header, judged by its form.
pub(super) fn parse_sum(algorithm: Algorithm, text: &str) -> S3Result<String> {
    let valid = BASE64.decode(text).is_ok_and(|bytes| bytes.len() == algorithm.len());
    if valid {
        Ok(text.to_owned())
    } else {
        Err(errors::invalid_request(format!("Value for {} header is invalid.", algorithm.header())))
    }
}

/// A body that is on disk, as promised.
pub(super) struct Received {
    pub blob: Blob,
    pub len: u64,
    /// Hexadecimal MD5.
    pub etag: String,
    /// The checksum to keep.
    pub sum: Sum,
}

enum Trouble {
    Io(io::Error),
    Refused(S3Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads `body` to its end, and keeps the checksum of algorithm `keep`. `max` bounds it whatever the client promised.
pub(super) async fn receive<S>(
    blobs: &Arc<Blobs>,
    id: BlobId,
    body: S,
    promise: &Promise,
    keep: Algorithm,
    max: u64,
) -> S3Result<Received>
where
    S: Stream<Item = Result<Bytes, StdError>> + Send,
{
    if promise.len.is_some_and(|len| len > max) {
        return Err(errors::too_large());
    }
    let algorithms = [keep, promise.algorithm().unwrap_or(keep)];
    let fail = |trouble: Trouble| match trouble {
        Trouble::Io(error) => errors::io("write", blobs.root(), &error),
        Trouble::Refused(error) => error,
    };
    let start = {
        let blobs = Arc::clone(blobs);
        move || blobs.draft(id, Hasher::new(&algorithms))
    };

    let mut body = std::pin::pin!(body);
    let (mut batch, mut batched, mut total) = (Vec::new(), 0_usize, 0_u64);
    // The batch that is being written while the next one is gathered.
    let mut writing: Option<JoinHandle<io::Result<Draft>>> = None;
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| body_error(&error))?;
        total += piece.len() as u64;
        if total > max {
            return Err(errors::too_large());
        }
        batched += piece.len();
        batch.push(piece);
        if batched >= BATCH_BYTES || batch.len() >= BATCH_PIECES {
            let pieces = std::mem::take(&mut batch);
            batched = 0;
            let draft = settle(writing.take()).await.map_err(fail)?;
            let start = start.clone();
            writing = Some(spawn_blocking(move || {
                let mut draft = draft.map_or_else(start, Ok)?;
                draft.append(&pieces)?;
                Ok(draft)
            }));
        }
    }

    let draft = settle(writing.take()).await.map_err(fail)?;
    let promise = promise.clone();
    let last = spawn_blocking(move || -> Result<Received, Trouble> {
        let mut draft = draft.map_or_else(start, Ok)?;
        draft.append(&batch)?;
        let len = draft.len();
        let digests = draft.digests().ok_or_else(|| io::Error::other("the draft was already finished"))?;
        promise.check(&digests).map_err(Trouble::Refused)?;
        let sum = digests.sum(keep).cloned().ok_or_else(|| io::Error::other("the kept checksum was not computed"))?;
        Ok(Received { blob: draft.finish(len)?, len, etag: digests.etag(), sum })
    });
    last.await.map_err(|error| errors::internal("write a body", &error))?.map_err(fail)
}

/// Waits for the batch before.
async fn settle(writing: Option<JoinHandle<io::Result<Draft>>>) -> Result<Option<Draft>, Trouble> {
    match writing {
        None => Ok(None),
        Some(writing) => Ok(Some(writing.await.map_err(io::Error::other)??)),
    }
}

/// What is wrong with a body that could not be read. s3s keeps the types of its stream errors to itself, so they are told
/// apart by the names they print; the tests send each kind.
pub(super) fn body_error(error: &StdError) -> S3Error {
    let text = error.to_string();
    if text.contains("Sha256Mismatch") {
        errors::sha256_mismatch()
    } else if text.contains("SignatureMismatch") {
        errors::signature_mismatch()
    } else if let Some(at) = text.find(super::chunks::REFUSED) {
        errors::invalid_request(text[at..].to_owned())
    } else if text.contains("FormatError") || text.contains("TooLarge") || text.contains("TooMany") {
        errors::invalid_request("The body is not in valid aws-chunked encoding.")
    } else {
        errors::incomplete_body()
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::super::digest::of;
    use super::*;

    fn pieces(parts: &[&'static [u8]]) -> impl Stream<Item = Result<Bytes, StdError>> + Send + use<> {
        let parts: Vec<_> = parts.iter().map(|part| Ok(Bytes::from_static(part))).collect();
        stream::iter(parts)
    }

    async fn refused(promise: Promise, max: u64) -> String {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Arc::new(Blobs::open(dir.path(), None).unwrap());
        let error =
            receive(&blobs, BlobId(1), pieces(&[b"hello"]), &promise, Algorithm::Crc64Nvme, max).await.err().unwrap();
        let (files, in_flight) = blobs.files(None).unwrap();
        assert!(files.is_empty() && in_flight.is_empty(), "a refused body leaves nothing");
        assert_eq!(std::fs::read_dir(dir.path().join("objects/tmp")).unwrap().count(), 0);
        error.code().as_str().to_owned()
    }

    #[tokio::test]
    async fn broken_promises_leave_nothing() {
        let wrong = of(Algorithm::Crc32, b"other").value;
        assert_eq!(refused(Promise { len: Some(6), ..Promise::default() }, 10).await, "IncompleteBody");
        assert_eq!(refused(Promise { md5: Some([0; 16]), ..Promise::default() }, 10).await, "BadDigest");
        let sum = Some((Algorithm::Crc32, wrong));
        assert_eq!(refused(Promise { sum, ..Promise::default() }, 10).await, "BadDigest");
        let trailer = Some(Algorithm::Crc32);
        assert_eq!(refused(Promise { trailer, ..Promise::default() }, 10).await, "InvalidRequest");
        assert_eq!(refused(Promise::default(), 4).await, "EntityTooLarge");
        assert_eq!(refused(Promise { len: Some(5), ..Promise::default() }, 4).await, "EntityTooLarge");
    }

    #[tokio::test]
    async fn a_full_disk_answers_507_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Arc::new(Blobs::open(dir.path(), None).unwrap());
        let tmp = dir.path().join("objects/tmp").join(BlobId(1).to_string());
        std::os::unix::fs::symlink("/dev/full", &tmp).unwrap();
        let error = receive(&blobs, BlobId(1), pieces(&[b"hello"]), &Promise::default(), Algorithm::Crc32, 10)
            .await
            .err()
            .unwrap();
        assert_eq!(error.status_code().unwrap().as_u16(), 507);
        let text = error.message().unwrap().to_owned();
        assert!(text.contains("No space left") && text.contains("objects"), "{text}");
        assert!(!tmp.exists());
        assert!(blobs.files(None).unwrap().0.is_empty());
    }
}
