//! What providers do with S3 objects: look, copy, fetch, write. Memory stays bounded whatever the size; a copy stays
//! inside S3 where both ends are in one realm. Says nothing to users: callers turn a [`Problem`] into their own words.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    CompletedMultipartUpload, CompletedPart, MetadataDirective, ObjectCannedAcl, ServerSideEncryption,
};
use bytes::{Bytes, BytesMut};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use towpath_model::action::ActionInvocation;
use towpath_model::time::Timestamp;

use crate::http::PATH;
use crate::limits;
use crate::problem::{Kind, Problem};
use crate::raw::regional;
use crate::realm::{Realm, RealmKind};

pub const SERVICE: &str = "Amazon S3";

/// S3 as one action may use it, in one Region of one realm.
#[derive(Clone, Copy)]
pub struct S3<'a> {
    pub realm: &'a Realm,
    pub action: &'a ActionInvocation,
    pub region: &'a str,
}

/// An object as HEAD shows it.
#[derive(Debug, Clone)]
pub struct Found {
    pub etag: Option<String>,
    pub version_id: Option<String>,
    pub bytes: u64,
    pub content_type: Option<String>,
    pub metadata: HashMap<String, String>,
    pub modified: Option<Timestamp>,
}

/// Where an object is for a service that is told its URL.
pub fn address(realm: &Realm, region: &str, bucket: &str, key: &str) -> String {
    let path = utf8_percent_encode(key, PATH);
    match realm.settings.endpoints.of("s3") {
        Some(endpoint) => format!("{}/{bucket}/{path}", endpoint.trim_end_matches('/')),
        // A certificate of AWS's has one label before the service's name.
        None if bucket.contains('.') => format!("{}/{bucket}/{path}", regional("s3", region)),
        None => format!("https://{bucket}.{}/{path}", regional("s3", region).trim_start_matches("https://")),
    }
}

/// The exact object to read.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub bucket: &'a str,
    pub key: &'a str,
    pub version_id: Option<&'a str>,
    pub bytes: u64,
}

/// The object to write, and what it carries.
#[derive(Debug, Clone, Default)]
pub struct Target {
    pub bucket: String,
    pub key: String,
    pub content_type: Option<String>,
    pub cache_control: Option<String>,
    pub acl: Option<ObjectCannedAcl>,
    pub metadata: HashMap<String, String>,
    pub encryption: Option<ServerSideEncryption>,
    pub kms_key: Option<String>,
}

impl Target {
    /// With the encryption of an artifact store: its own key; on AWS else the account's `aws/s3` key, which buckets made
    /// by the console insist on; elsewhere else what the bucket does by itself.
    #[must_use]
    pub fn encrypted_as_artifact(self, realm: &Realm, key: Option<&str>) -> Self {
        let wanted = key.is_some() || realm.kind() == RealmKind::Aws;
        Self { encryption: wanted.then_some(ServerSideEncryption::AwsKms), kms_key: key.map(ToOwned::to_owned), ..self }
    }

    /// With this key; without one the way the bucket does by itself.
    #[must_use]
    pub fn encrypted_with(self, key: Option<&str>) -> Self {
        Self {
            encryption: key.is_some().then_some(ServerSideEncryption::AwsKms),
            kms_key: key.map(ToOwned::to_owned),
            ..self
        }
    }
}

/// Bytes on their way to S3, in pieces of `UPLOAD_PART_BYTES` and a last shorter one.
pub type Pieces = mpsc::Receiver<std::io::Result<Bytes>>;

/// Why bytes could not be stored: S3 said no, or they could not be read.
#[derive(Debug)]
pub enum StoreError {
    S3(Problem),
    Read(std::io::Error),
}

impl From<Problem> for StoreError {
    fn from(problem: Problem) -> Self {
        Self::S3(problem)
    }
}

/// Sends a request and classifies its failure.
macro_rules! send {
    ($self:expr, $request:expr) => {
        $request.await.map_err(|error| $self.problem(&error))
    };
}

impl<'a> S3<'a> {
    /// In the Region that the realm asks for things of `region`.
    pub fn new(realm: &'a Realm, action: &'a ActionInvocation, region: &'a str) -> Self {
        Self { realm, action, region: realm.region(region) }
    }

    /// In the Region that a bucket is known to be in.
    pub fn exactly(realm: &'a Realm, action: &'a ActionInvocation, region: &'a str) -> Self {
        Self { realm, action, region }
    }

    async fn client(&self) -> Result<Client, Problem> {
        self.realm.s3(self.action, self.region).await
    }

    fn problem<E>(&self, error: &aws_sdk_s3::error::SdkError<E>) -> Problem
    where
        E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.realm.note(self.action, Problem::of(SERVICE, error))
    }

    /// Whether the bucket keeps versions. None where an S3 that is not AWS's agrees and says it in a form that the SDK
    /// cannot read (moto names the element otherwise): then an object's version id tells.
    pub async fn is_versioned(&self, bucket: &str) -> Result<Option<bool>, Problem> {
        match send!(self, self.client().await?.get_bucket_versioning().bucket(bucket).send()) {
            Ok(answer) => Ok(Some(answer.status() == Some(&aws_sdk_s3::types::BucketVersioningStatus::Enabled))),
            Err(problem) if problem.status == 200 && self.realm.kind() == RealmKind::Other => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    /// The Region a bucket is in.
    pub async fn region_of(&self, bucket: &str) -> Result<String, Problem> {
        let answer = send!(self, self.client().await?.get_bucket_location().bucket(bucket).send())?;
        let name = answer.location_constraint().map(aws_sdk_s3::types::BucketLocationConstraint::as_str);
        Ok(match name.unwrap_or_default() {
            // Two Regions are older than this answer.
            "" => "us-east-1",
            "EU" => "eu-west-1",
            name => name,
        }
        .to_owned())
    }

    /// Looks at one object. A HEAD answer has no body, so a refused one is asked again as GET for S3's own words.
    pub async fn look(&self, bucket: &str, key: &str, version_id: Option<&str>) -> Result<Found, Problem> {
        let client = self.client().await?;
        let head = client.head_object().bucket(bucket).key(key).set_version_id(version_id.map(ToOwned::to_owned));
        let problem = match send!(self, head.send()) {
            Ok(head) => {
                return Ok(Found {
                    etag: head.e_tag().map(|tag| tag.trim_matches('"').to_owned()),
                    version_id: head.version_id().map(ToOwned::to_owned),
                    bytes: u64::try_from(head.content_length().unwrap_or(0)).unwrap_or(0),
                    content_type: head.content_type().map(ToOwned::to_owned),
                    metadata: head.metadata().cloned().unwrap_or_default(),
                    modified: head.last_modified().and_then(|t| t.to_millis().ok()).map(Timestamp::from_millis),
                });
            }
            Err(problem) => problem,
        };
        if matches!(problem.kind, Kind::Transient | Kind::Session) {
            return Err(problem);
        }
        let get = client.get_object().bucket(bucket).key(key).set_version_id(version_id.map(ToOwned::to_owned));
        Err(send!(self, get.send()).err().unwrap_or(problem))
    }

    /// Fetches a whole object into the file at `path`, going on where a broken connection left off.
    pub async fn fetch(&self, bucket: &str, key: &str, path: &Path) -> Result<u64, StoreError> {
        let mut file = tokio::fs::File::create(path).await.map_err(StoreError::Read)?;
        file.set_max_buf_size(1024 * 1024);
        let (mut written, mut etag, mut attempt): (u64, Option<String>, u32) = (0, None, 0);
        loop {
            let request = self.client().await?.get_object().bucket(bucket).key(key).set_if_match(etag.clone());
            let request = if written > 0 { request.range(format!("bytes={written}-")) } else { request };
            let mut answer = send!(self, request.send())?;
            etag = answer.e_tag.take();
            let whole = written + u64::try_from(answer.content_length().unwrap_or(0)).unwrap_or(0);
            let broken = loop {
                match answer.body.next().await {
                    Some(Ok(bytes)) => {
                        written += bytes.len() as u64;
                        file.write_all(&bytes).await.map_err(StoreError::Read)?;
                    }
                    Some(Err(error)) => break Some(error.to_string()),
                    None if written < whole => break Some("the answer ended early".to_owned()),
                    None => break None,
                }
            };
            match broken {
                None => break,
                Some(why) if attempt + 1 >= limits::ATTEMPTS_MAX => {
                    return Err(Problem::broken(SERVICE, format!("reading s3://{bucket}/{key}: {why}")).into());
                }
                Some(_) => attempt += 1,
            }
        }
        file.flush().await.map_err(StoreError::Read)?;
        Ok(written)
    }

    /// Copies an object that `from` can read to `target` here.
    pub async fn copy(&self, from: &S3<'_>, source: Source<'_>, target: &Target) -> Result<(), Problem> {
        if !std::ptr::eq(from.realm, self.realm) {
            return self.copy_through(from, source, target).await;
        }
        if source.bytes > limits::COPY_WHOLE_BYTES_MAX {
            return self.copy_in_parts(source, target).await;
        }
        let request = self
            .client()
            .await?
            .copy_object()
            .copy_source(copy_source(&source))
            .bucket(&target.bucket)
            .key(&target.key)
            .metadata_directive(MetadataDirective::Replace)
            .set_content_type(target.content_type.clone())
            .set_cache_control(target.cache_control.clone())
            .set_acl(target.acl.clone())
            .set_metadata(some(&target.metadata))
            .set_server_side_encryption(target.encryption.clone())
            .set_ssekms_key_id(target.kms_key.clone());
        send!(self, request.send()).map(drop)
    }

    async fn copy_in_parts(&self, source: Source<'_>, target: &Target) -> Result<(), Problem> {
        let upload = self.begin(target).await?;
        let mut parts = Vec::new();
        let mut start = 0;
        while start < source.bytes {
            let end = (start + limits::COPY_PART_BYTES).min(source.bytes);
            let number = part_number(parts.len());
            let copied = async {
                let request = self
                    .client()
                    .await?
                    .upload_part_copy()
                    .copy_source(copy_source(&source))
                    .copy_source_range(format!("bytes={start}-{}", end - 1))
                    .bucket(&target.bucket)
                    .key(&target.key)
                    .upload_id(&upload)
                    .part_number(number);
                send!(self, request.send())
            };
            match copied.await {
                Ok(answer) => {
                    let tag = answer.copy_part_result().and_then(|r| r.e_tag()).map(ToOwned::to_owned);
                    parts.push(CompletedPart::builder().part_number(number).set_e_tag(tag).build());
                }
                Err(problem) => {
                    self.abort(target, &upload).await;
                    return Err(problem);
                }
            }
            start = end;
        }
        self.complete(target, &upload, parts).await
    }

    /// Between realms the bytes pass through here, a part at a time.
    async fn copy_through(&self, from: &S3<'_>, source: Source<'_>, target: &Target) -> Result<(), Problem> {
        let request = from
            .client()
            .await?
            .get_object()
            .bucket(source.bucket)
            .key(source.key)
            .set_version_id(source.version_id.map(ToOwned::to_owned));
        let mut body = request.send().await.map_err(|error| from.problem(&error))?.body;
        let (sender, receiver) = mpsc::channel(1);
        let expected = source.bytes;
        tokio::spawn(async move {
            let mut piece = BytesMut::with_capacity(limits::UPLOAD_PART_BYTES);
            let mut seen = 0;
            while let Some(next) = body.next().await {
                let mut bytes = match next {
                    Ok(bytes) => bytes,
                    Err(error) => {
                        // A closed channel means that the upload failed first; its error is the one that counts.
                        let _ = sender.send(Err(std::io::Error::other(error))).await;
                        return;
                    }
                };
                seen += bytes.len() as u64;
                while !bytes.is_empty() {
                    let take = bytes.len().min(limits::UPLOAD_PART_BYTES - piece.len());
                    piece.extend_from_slice(&bytes.split_to(take));
                    if piece.len() == limits::UPLOAD_PART_BYTES {
                        let full = std::mem::take(&mut piece).freeze();
                        if sender.send(Ok(full)).await.is_err() {
                            return;
                        }
                    }
                }
            }
            let last = if seen == expected {
                Ok(piece.freeze())
            } else {
                Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))
            };
            let _ = sender.send(last).await;
        });
        match self.store_pieces(target, receiver).await {
            Ok(()) => Ok(()),
            Err(StoreError::S3(problem)) => Err(problem),
            Err(StoreError::Read(error)) => {
                Err(Problem::broken(SERVICE, format!("reading s3://{}/{}: {error}", source.bucket, source.key)))
            }
        }
    }

    /// Writes an object from pieces: at once if there is one, else as a multipart upload.
    pub async fn store_pieces(&self, target: &Target, mut pieces: Pieces) -> Result<(), StoreError> {
        let first = pieces.recv().await.transpose().map_err(StoreError::Read)?.unwrap_or_default();
        if first.len() < limits::UPLOAD_PART_BYTES {
            return Ok(self.store(target, first).await?);
        }
        let upload = self.begin(target).await?;
        let stored = self.store_parts(target, &upload, first, pieces).await;
        match stored {
            Ok(parts) => Ok(self.complete(target, &upload, parts).await?),
            Err(error) => {
                self.abort(target, &upload).await;
                Err(error)
            }
        }
    }

    /// Writes a file as an object.
    pub async fn store_file(&self, target: &Target, path: &Path) -> Result<(), StoreError> {
        let mut file = tokio::fs::File::open(path).await.map_err(StoreError::Read)?.into_std().await;
        let (sender, receiver) = mpsc::channel(1);
        tokio::task::spawn_blocking(move || {
            loop {
                let mut piece = Vec::new();
                let read = file.by_ref().take(limits::UPLOAD_PART_BYTES as u64).read_to_end(&mut piece);
                let last = piece.len() < limits::UPLOAD_PART_BYTES;
                // A closed channel means that the upload failed first; its error is the one that counts.
                if sender.blocking_send(read.map(|_| Bytes::from(piece))).is_err() || last {
                    return;
                }
            }
        });
        self.store_pieces(target, receiver).await
    }

    async fn store_parts(
        &self,
        target: &Target,
        upload: &str,
        first: Bytes,
        mut pieces: Pieces,
    ) -> Result<Vec<CompletedPart>, StoreError> {
        let mut parts = Vec::new();
        let mut piece = first;
        loop {
            let number = part_number(parts.len());
            let request = self
                .client()
                .await?
                .upload_part()
                .bucket(&target.bucket)
                .key(&target.key)
                .upload_id(upload)
                .part_number(number)
                .body(ByteStream::from(piece));
            let answer = if self.realm.kind() == RealmKind::Embedded {
                send!(self, request.customize().disable_payload_signing().send())
            } else {
                send!(self, request.send())
            }?;
            parts.push(CompletedPart::builder().part_number(number).set_e_tag(answer.e_tag).build());
            match pieces.recv().await {
                Some(Ok(next)) if next.is_empty() => return Ok(parts),
                Some(Ok(next)) => piece = next,
                Some(Err(error)) => return Err(StoreError::Read(error)),
                None => return Ok(parts),
            }
        }
    }

    /// Writes a small object at once.
    pub async fn store(&self, target: &Target, bytes: Bytes) -> Result<(), Problem> {
        let request = self
            .client()
            .await?
            .put_object()
            .bucket(&target.bucket)
            .key(&target.key)
            .set_content_type(target.content_type.clone())
            .set_cache_control(target.cache_control.clone())
            .set_acl(target.acl.clone())
            .set_metadata(some(&target.metadata))
            .set_server_side_encryption(target.encryption.clone())
            .set_ssekms_key_id(target.kms_key.clone())
            .body(ByteStream::from(bytes));
        // In one process nobody can change the bytes on the way; hashing them twice is all that signing would add.
        if self.realm.kind() == RealmKind::Embedded {
            return send!(self, request.customize().disable_payload_signing().send()).map(drop);
        }
        send!(self, request.send()).map(drop)
    }

    /// A URL that whoever has it reads the object with, until `seconds` after `now`.
    pub async fn presigned(&self, bucket: &str, key: &str, now: Timestamp, seconds: u64) -> Result<String, Problem> {
        let start = UNIX_EPOCH + Duration::from_millis(u64::try_from(now.millis()).unwrap_or_default());
        let config = PresigningConfig::builder().start_time(start).expires_in(Duration::from_secs(seconds)).build();
        let config = config.map_err(|error| Problem::refused(format!("a URL cannot be signed: {error}")))?;
        let request = self.client().await?.get_object().bucket(bucket).key(key);
        let signed = send!(self, request.presigned(config))?;
        Ok(signed.uri().to_owned())
    }

    async fn begin(&self, target: &Target) -> Result<String, Problem> {
        let request = self
            .client()
            .await?
            .create_multipart_upload()
            .bucket(&target.bucket)
            .key(&target.key)
            .set_content_type(target.content_type.clone())
            .set_cache_control(target.cache_control.clone())
            .set_acl(target.acl.clone())
            .set_metadata(some(&target.metadata))
            .set_server_side_encryption(target.encryption.clone())
            .set_ssekms_key_id(target.kms_key.clone());
        let answer = send!(self, request.send())?;
        answer
            .upload_id
            .ok_or_else(|| Problem::broken(SERVICE, "CreateMultipartUpload answered without an id".to_owned()))
    }

    async fn complete(&self, target: &Target, upload: &str, parts: Vec<CompletedPart>) -> Result<(), Problem> {
        let request = self
            .client()
            .await?
            .complete_multipart_upload()
            .bucket(&target.bucket)
            .key(&target.key)
            .upload_id(upload)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build());
        send!(self, request.send()).map(drop)
    }

    /// Best effort: what is left of a failed upload costs room, not correctness.
    async fn abort(&self, target: &Target, upload: &str) {
        if let Ok(client) = self.client().await {
            let request = client.abort_multipart_upload().bucket(&target.bucket).key(&target.key).upload_id(upload);
            if let Err(problem) = send!(self, request.send()) {
                tracing::warn!(
                    bucket = target.bucket,
                    key = target.key,
                    error = problem.detail(),
                    "upload not aborted"
                );
            }
        }
    }
}

fn part_number(done: usize) -> i32 {
    // At most PARTS_MAX parts are ever made: sizes are bounded before.
    i32::try_from(done + 1).unwrap_or(i32::MAX)
}

fn some(metadata: &HashMap<String, String>) -> Option<HashMap<String, String>> {
    (!metadata.is_empty()).then(|| metadata.clone())
}

fn copy_source(source: &Source<'_>) -> String {
    let path = format!("{}/{}", source.bucket, source.key);
    let path = utf8_percent_encode(&path, PATH).to_string();
    match source.version_id {
        Some(version) => format!("{path}?versionId={}", utf8_percent_encode(version, NON_ALPHANUMERIC)),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_sources_are_escaped_paths() {
        let source = Source { bucket: "b-1", key: "a dir/ü+?.zip", version_id: Some("v.1"), bytes: 1 };
        assert_eq!(copy_source(&source), "b-1/a%20dir/%C3%BC%2B%3F.zip?versionId=v%2E1");
        assert_eq!(copy_source(&Source { version_id: None, ..source }), "b-1/a%20dir/%C3%BC%2B%3F.zip");
    }
}
