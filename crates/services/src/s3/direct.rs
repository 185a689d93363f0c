//! S3 without HTTP, for the other services of this process: buckets made, objects put from files and read into files, on
//! behalf of an account. The rules are those of the wire; only signatures and identity policies are not asked for.

use std::io;
use std::path::{Path, PathBuf};

use futures::TryStreamExt as _;
use s3s::{S3Error, S3Result};
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::ReaderStream;

use super::blobs;
use super::conditions::WriteCondition;
use super::convert;
use super::digest::Algorithm;
use super::errors;
use super::index::{Found, marker_error};
use super::ingest::{Promise, receive};
use super::listing::Start;
use super::ops::put::{PUT_BYTES_MAX, blank};
use super::records::{Bucket, Headers, Ownership, Version, Versioning};
use super::{S3Service, ops};

/// Bytes read from a file at once.
const READ_BYTES: usize = 256 * 1024;

/// A refusal, as the wire would put it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// Such as `NoSuchKey`.
    pub code: String,
    pub message: String,
}

impl From<S3Error> for Refusal {
    fn from(error: S3Error) -> Self {
        let message = error.message().unwrap_or("The request could not be served.").to_owned();
        Self { code: error.code().as_str().to_owned(), message }
    }
}

/// How [`S3Service::ensure_bucket`] makes a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NewBucket {
    pub versioned: bool,
    /// Ownership `ObjectWriter` and no public access block, so that canned ACLs may be given to objects.
    pub acls: bool,
}

/// What a bucket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketInfo {
    pub account: String,
    pub region: String,
    /// Versioning is on, not suspended.
    pub versioned: bool,
    pub policy: Option<String>,
}

/// What goes with an object put from a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutOptions {
    pub content_type: Option<String>,
    pub cache_control: Option<String>,
    pub content_encoding: Option<String>,
    pub canned_acl: Option<String>,
    pub metadata: Vec<(String, String)>,
}

/// An object, or one version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// `None` where the bucket never had versions.
    pub version_id: Option<String>,
    /// Without quotes.
    pub etag: String,
    pub size: u64,
    pub content_type: Option<String>,
    pub metadata: Vec<(String, String)>,
    pub modified_ms: u64,
}

fn info(version: &Version, versioned: bool) -> ObjectInfo {
    ObjectInfo {
        version_id: versioned.then(|| version.id().to_owned()),
        etag: version.etag.clone(),
        size: version.size,
        content_type: version.headers.content_type.clone(),
        metadata: version.headers.metadata.clone().into_iter().collect(),
        modified_ms: version.modified_ms,
    }
}

impl S3Service {
    /// What a bucket is, whoever owns it; `None` when there is none of this name.
    pub async fn bucket(&self, bucket: &str) -> Result<Option<BucketInfo>, Refusal> {
        let found = self.core.index.find_bucket(bucket).await?;
        Ok(found.map(|found| BucketInfo {
            account: found.value.account,
            region: found.value.region,
            versioned: found.value.versioning == Versioning::Enabled,
            policy: found.value.policy,
        }))
    }

    /// Makes a bucket unless the account has it already; answers whether it was made. What an existing one has is left
    /// alone, but versioning, once asked for, is switched on.
    pub async fn ensure_bucket(
        &self,
        account: &str,
        region: &str,
        bucket: &str,
        new: NewBucket,
    ) -> Result<bool, Refusal> {
        ops::check_bucket_name(bucket)?;
        let index = &self.core.index;
        let mut made = ops::fresh_bucket(account, region, index.now_ms());
        if new.versioned {
            made.versioning = Versioning::Enabled;
        }
        if new.acls {
            made.ownership = Some(Ownership::ObjectWriter);
            made.public_access = None;
        }
        let created = index.create_bucket(bucket, &made, true).await?;
        if !created && new.versioned {
            index
                .update_bucket(bucket, |bucket| {
                    bucket.versioning = Versioning::Enabled;
                    Ok(())
                })
                .await?;
        }
        Ok(created)
    }

    async fn owned(&self, account: &str, bucket: &str) -> S3Result<Bucket> {
        let found = self.core.index.bucket(bucket).await?;
        if found.account == account { Ok(found) } else { Err(errors::access_denied()) }
    }

    async fn version(&self, bucket: &str, key: &str, version_id: Option<&str>) -> S3Result<Version> {
        match self.core.index.find(bucket, key, version_id).await? {
            Found::Object(version) => Ok(*version),
            marker @ Found::Marker { .. } => Err(marker_error(&marker)),
        }
    }

    /// The keys that start with `prefix`, in order, `max` at most.
    pub async fn keys(&self, account: &str, bucket: &str, prefix: &str, max: usize) -> Result<Vec<String>, Refusal> {
        self.owned(account, bucket).await?;
        let page = ops::list_keys(&self.core, bucket, prefix, "", Start::Beginning, max).await?;
        Ok(page.items.into_iter().map(|(key, _)| key).collect())
    }

    /// What HeadObject would tell.
    pub async fn head(
        &self,
        account: &str,
        bucket: &str,
        key: &str,
        version_id: Option<&str>,
    ) -> Result<ObjectInfo, Refusal> {
        let owned = self.owned(account, bucket).await?;
        let version = self.version(bucket, key, version_id).await?;
        Ok(info(&version, owned.versioning != Versioning::Off))
    }

    /// Puts the content of a file, read as it is while this runs.
    pub async fn put_from_file(
        &self,
        account: &str,
        bucket: &str,
        key: &str,
        file: &Path,
        options: PutOptions,
    ) -> Result<ObjectInfo, Refusal> {
        let owned = self.owned(account, bucket).await?;
        if key.is_empty() || key.len() > 1024 {
            return Err(errors::key_too_long().into());
        }
        let opened = tokio::fs::File::open(file).await.map_err(|error| local("open", file, &error))?;
        let mut version = blank(&owned, self.core.index.now_ms());
        version.headers = Headers {
            content_type: options.content_type,
            cache_control: options.cache_control,
            content_encoding: options.content_encoding,
            metadata: convert::metadata(Some(options.metadata.into_iter().collect()))?,
            ..Headers::default()
        };
        version.acl = convert::object_acl(options.canned_acl.as_deref(), &owned)?;
        let stream = ReaderStream::with_capacity(opened, READ_BYTES).map_err(Into::into);
        let promise = Promise::default();
        let id = self.core.blob_id();
        let received = receive(&self.core.blobs, id, stream, &promise, Algorithm::Crc64Nvme, PUT_BYTES_MAX).await?;
        version.size = received.len;
        version.etag = received.etag;
        version.sum = Some(received.sum);
        version.segments = vec![received.blob.segment()];
        let files = vec![received.blob];
        let changed = self.core.commit(bucket, key, version, files, WriteCondition::default()).await?;
        Ok(info(&changed.version, changed.versioned))
    }

    /// Reads an object into a file, which is made or emptied first. A file of a failed read is removed again.
    pub async fn read_to_file(
        &self,
        account: &str,
        bucket: &str,
        key: &str,
        version_id: Option<&str>,
        file: &Path,
    ) -> Result<ObjectInfo, Refusal> {
        let owned = self.owned(account, bucket).await?;
        for _ in 0..4 {
            let version = self.version(bucket, key, version_id).await?;
            let stream = match blobs::read(&self.core.blobs, &version.segments, 0, version.size).await {
                Ok(stream) => stream,
                // Replaced since its version was read: look again.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(errors::io("read", self.core.blobs.root(), &error).into()),
            };
            let mut out = tokio::fs::File::create(file).await.map_err(|error| local("create", file, &error))?;
            let mut stream = std::pin::pin!(stream);
            let copied: io::Result<()> = async {
                while let Some(piece) = stream.try_next().await? {
                    out.write_all(&piece).await?;
                }
                out.flush().await
            }
            .await;
            if let Err(error) = copied {
                let _ = tokio::fs::remove_file(file).await;
                return Err(local("write", file, &error));
            }
            return Ok(info(&version, owned.versioning != Versioning::Off));
        }
        Err(errors::internal("read an object", &io::Error::other("its bytes are missing")).into())
    }

    /// Deletes a key the way its bucket does, or one version for good.
    pub async fn delete(
        &self,
        account: &str,
        bucket: &str,
        key: &str,
        version_id: Option<&str>,
    ) -> Result<(), Refusal> {
        let owned = self.owned(account, bucket).await?;
        ops::delete(&self.core, bucket, &owned, key, version_id, WriteCondition::default()).await?;
        Ok(())
    }

    /// Removes files that no object refers to. Runs by itself after [`S3Service::open`]; answers how many went.
    pub async fn sweep_orphans(&self) -> Result<usize, Refusal> {
        Ok(self.core.sweep().await?)
    }

    /// Where the bytes of objects are.
    pub fn objects_dir(&self) -> PathBuf {
        self.core.blobs.root().to_owned()
    }
}

/// A file of the caller's, not ours.
fn local(attempted: &str, file: &Path, error: &io::Error) -> Refusal {
    Refusal {
        code: "InternalError".to_owned(),
        message: format!("could not {attempted} `{}`: {error}", file.display()),
    }
}
