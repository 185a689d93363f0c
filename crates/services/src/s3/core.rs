//! What every operation works with: the index, the bytes, the clock and the questions to the identity service, with the
//! steps operations share. Steps that must not be half done run in tasks of their own, so that a client that goes away
//! cannot stop them in the middle.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use s3s::{S3Error, S3ErrorCode, S3Result};
use towpath_store::{DocumentsExt as _, Scan, Versioned};

use super::auth::{Authorize, Caller, Denied, Principal, Question, bucket_arn};
use super::blobs::{Blob, Blobs};
use super::conditions::WriteCondition;
use super::errors;
use super::index::{Changed, Index};
use super::records::{ALL, BUCKETS, BlobId, Bucket, PARTS, Part, Segment, UPLOADS, VERSIONS, Version};

/// A file whose entry changed less than this ago may be one that another process is about to refer to.
const OTHERS_AT_WORK: Duration = Duration::from_hours(1);
/// How long the files of what was replaced or deleted stay for those who read them in other processes.
const OTHERS_READING: Duration = Duration::from_mins(15);

/// Files that changed after this are left to the others who use the directory.
pub(super) fn others_since(now: SystemTime, shared: bool) -> Option<SystemTime> {
    shared.then(|| now.checked_sub(OTHERS_AT_WORK).unwrap_or(SystemTime::UNIX_EPOCH))
}

pub(super) struct Core {
    pub index: Index,
    pub blobs: Arc<Blobs>,
    /// Other processes use the documents and the files too.
    pub shared: bool,
    pub authorize: Arc<dyn Authorize>,
    pub region: String,
}

/// Runs a step to its end even when nobody waits for it any more.
pub(super) async fn detached<T: Send + 'static>(
    step: impl Future<Output = S3Result<T>> + Send + 'static,
) -> S3Result<T> {
    tokio::spawn(step).await.map_err(|error| errors::internal("finish a step", &error))?
}

impl Core {
    pub(super) fn blob_id(&self) -> BlobId {
        BlobId(self.index.random())
    }

    pub(super) async fn ask(
        &self,
        principal: &Principal,
        action: &str,
        resource: &str,
        bucket: Option<&Bucket>,
        context: &BTreeMap<&'static str, String>,
    ) -> S3Result<()> {
        let answer = self.judge(Some(principal), action, resource, bucket, context).await;
        answer.map_err(|denied| errors::denied(denied.message))
    }

    /// What the policies say; `principal` is nobody where a request was not signed.
    pub(super) async fn judge(
        &self,
        principal: Option<&Principal>,
        action: &str,
        resource: &str,
        bucket: Option<&Bucket>,
        context: &BTreeMap<&'static str, String>,
    ) -> Result<(), Denied> {
        let question = Question {
            principal,
            action,
            resource,
            owner: bucket.map(|bucket| bucket.account.as_str()),
            bucket_policy: bucket.and_then(|bucket| bucket.policy.as_deref()),
            context,
        };
        self.authorize.check(question).await
    }

    /// A missing key is only told to those who may list the bucket; to others it looks forbidden.
    pub(super) async fn hide_missing(
        &self,
        error: S3Error,
        caller: Option<&Caller>,
        name: &str,
        bucket: &Bucket,
    ) -> S3Error {
        if *error.code() != S3ErrorCode::NoSuchKey {
            return error;
        }
        match caller.and_then(|caller| caller.0.as_deref()) {
            None => errors::access_denied(),
            Some(principal) if principal.account != bucket.account => errors::access_denied(),
            Some(principal) => {
                let asked =
                    self.ask(principal, "s3:ListBucket", &bucket_arn(name), Some(bucket), &BTreeMap::new()).await;
                asked.err().unwrap_or(error)
            }
        }
    }

    /// Gives durable bytes their place as a version of a key.
    pub(super) async fn commit(
        self: &Arc<Self>,
        bucket: &str,
        key: &str,
        version: Version,
        files: Vec<Blob>,
        condition: WriteCondition,
    ) -> S3Result<Changed> {
        let (core, bucket, key) = (Arc::clone(self), bucket.to_owned(), key.to_owned());
        detached(async move {
            let _gate = core.index.gate().await;
            let _turn = core.index.lock(&bucket, &key).await;
            let mut changed = core.index.add(&bucket, &key, version, &condition, &[]).await?;
            files.into_iter().for_each(Blob::keep);
            core.discard(std::mem::take(&mut changed.displaced)).await;
            Ok(changed)
        })
        .await
    }

    /// Removes files that lost their owner; those who read them are let finish. A process knows its own readers, of
    /// others' it can only assume that they are done after a while. What is not removed then is swept by a later start.
    pub(super) async fn discard(&self, files: Vec<BlobId>) {
        if self.shared && !files.is_empty() {
            let blobs = Arc::clone(&self.blobs);
            tokio::spawn(async move {
                tokio::time::sleep(OTHERS_READING).await;
                let _ = tokio::task::spawn_blocking(move || blobs.remove(files)).await;
            });
        } else {
            self.remove(files).await;
        }
    }

    async fn remove(&self, files: Vec<BlobId>) {
        if files.is_empty() {
            return;
        }
        let blobs = Arc::clone(&self.blobs);
        let removed = tokio::task::spawn_blocking(move || blobs.remove(files)).await;
        if let Err(error) = removed {
            tracing::warn!(%error, "files without an owner stay until the next start");
        }
    }

    /// The same bytes under new names, which the caller must keep or drop.
    pub(super) async fn link(&self, segments: &[Segment]) -> S3Result<(Vec<Segment>, Vec<Blob>)> {
        let pairs: Vec<_> = segments.iter().map(|segment| (segment.clone(), self.blob_id())).collect();
        let blobs = Arc::clone(&self.blobs);
        let linked = tokio::task::spawn_blocking(move || {
            let mut out = (Vec::with_capacity(pairs.len()), Vec::with_capacity(pairs.len()));
            for (segment, id) in pairs {
                let blob = blobs.link(segment.blob, id)?;
                out.0.push(Segment { blob: id, ..segment });
                out.1.push(blob);
            }
            std::io::Result::Ok(out)
        });
        let linked = linked.await.map_err(|error| errors::internal("copy bytes", &error))?;
        linked.map_err(|error| match error.kind() {
            // Deleted since its version was read.
            std::io::ErrorKind::NotFound => errors::no_such_key(),
            _ => errors::io("copy", self.blobs.root(), &error),
        })
    }

    /// Removes every file and part that nothing refers to: what a crash left between a file and its document. Safe while
    /// requests are served. Answers how many files went.
    pub(super) async fn sweep(&self) -> S3Result<usize> {
        let blobs = Arc::clone(&self.blobs);
        let others = others_since(self.index.now(), self.shared);
        let listed = tokio::task::spawn_blocking(move || blobs.files(others)).await;
        let listed = listed.map_err(|error| errors::internal("list files", &error))?;
        let (mut orphans, in_flight) = listed.map_err(|error| errors::io("list", self.blobs.root(), &error))?;
        orphans.retain(|id| !in_flight.contains(id));
        // The order matters, for completing an upload moves files from parts to a version: what the parts no longer show
        // when they are read, the versions read after them do.
        let partitions = self.index.docs().partitions(PARTS).await.map_err(errors::store)?;
        let names = self.bucket_names().await?;
        let mut uploads = HashSet::new();
        for name in &names {
            self.each::<serde::de::IgnoredAny>(UPLOADS, name, |key, _| {
                uploads.extend(super::records::split_version_key(key).map(|(_, id)| id.to_owned()));
            })
            .await?;
        }
        for upload in partitions {
            if uploads.contains(&upload) {
                self.each::<Part>(PARTS, &upload, |_, part| {
                    for segment in &part.segments {
                        orphans.remove(&segment.blob);
                    }
                })
                .await?;
            } else {
                self.index.drop_parts(&upload).await?;
            }
        }
        for name in &names {
            if orphans.is_empty() {
                break;
            }
            self.each::<Version>(VERSIONS, name, |_, version| {
                for segment in &version.segments {
                    orphans.remove(&segment.blob);
                }
            })
            .await?;
        }
        let count = orphans.len();
        if count > 0 {
            tracing::info!(count, "removing files that no object refers to");
            self.remove(orphans.into_iter().collect()).await;
        }
        Ok(count)
    }

    async fn bucket_names(&self) -> S3Result<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let mut scan = Scan::all().limit(1000);
            if let Some(last) = names.last() {
                scan = scan.after(last.clone());
            }
            let page = self.index.docs().scan(BUCKETS, ALL, scan).await.map_err(errors::store)?;
            if page.is_empty() {
                return Ok(names);
            }
            names.extend(page.into_iter().map(|bucket| bucket.key));
        }
    }

    async fn each<T: serde::de::DeserializeOwned + Send>(
        &self,
        collection: &str,
        partition: &str,
        mut look: impl FnMut(&str, T) + Send,
    ) -> S3Result<()> {
        let mut scan = Scan::all().limit(1000);
        loop {
            let page: Vec<(String, Versioned<T>)> =
                self.index.docs().scan_json(collection, partition, scan.clone()).await.map_err(errors::store)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            scan = scan.after(last.clone());
            for (key, found) in page {
                look(&key, found.value);
            }
        }
    }
}
