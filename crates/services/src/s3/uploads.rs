//! Multipart uploads as documents: begun, filled part by part, completed into a version or abandoned. It must not touch
//! files; what loses its owner is handed back for removal.

use s3s::S3Result;
use towpath_store::{DocumentsExt as _, Expect, Key, Scan, Versioned, Write};

use super::conditions::WriteCondition;
use super::errors;
use super::index::{Changed, Index, put};
use super::records::{BlobId, PARTS, Part, UPLOADS, Upload, Version, part_key, version_key};

/// Part numbers run from 1 to this.
pub(super) const PARTS_MAX: i32 = 10_000;

impl Index {
    pub(super) async fn begin(&self, bucket: &str, key: &str, upload: &Upload) -> S3Result<String> {
        let _gate = self.gate().await;
        self.bucket(bucket).await?;
        let id = self.upload_id();
        let at = Key::new(UPLOADS, bucket, version_key(key, &id));
        self.write(vec![put(at, upload, Expect::Absent)?]).await?;
        Ok(id)
    }

    pub(super) async fn upload(&self, bucket: &str, key: &str, id: &str) -> S3Result<Versioned<Upload>> {
        // An id of another form cannot be ours, and must not become part of a document key.
        if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(errors::no_such_upload());
        }
        let found = self.docs().get_json(UPLOADS, bucket, &version_key(key, id)).await.map_err(errors::store)?;
        found.ok_or_else(errors::no_such_upload)
    }

    /// The parts after `after`, in order of number.
    pub(super) async fn parts(&self, upload: &str, after: i32, limit: usize) -> S3Result<Vec<(i32, Part)>> {
        let scan = Scan::all().limit(limit).after(part_key(after));
        let page: Vec<(String, Versioned<Part>)> =
            self.docs().scan_json(PARTS, upload, scan).await.map_err(errors::store)?;
        Ok(page.into_iter().filter_map(|(key, part)| Some((key.parse().ok()?, part.value))).collect())
    }

    /// Every part of an upload.
    pub(super) async fn all_parts(&self, upload: &str) -> S3Result<Vec<(i32, Part)>> {
        let mut all: Vec<(i32, Part)> = Vec::new();
        loop {
            let after = all.last().map_or(0, |(number, _)| *number);
            let page = self.parts(upload, after, 1000).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// Records a part over any earlier one of its number. Answers the files of that one.
    pub(super) async fn put_part(
        &self,
        bucket: &str,
        key: &str,
        upload: &str,
        number: i32,
        part: &Part,
    ) -> S3Result<Vec<BlobId>> {
        let _turn = self.lock(bucket, key).await;
        // Completed or aborted while the bytes were on their way?
        self.upload(bucket, key, upload).await?;
        let old: Option<Versioned<Part>> =
            self.docs().get_json(PARTS, upload, &part_key(number)).await.map_err(errors::store)?;
        let expect = old.as_ref().map_or(Expect::Absent, |old| Expect::Version(old.version));
        self.write(vec![put(Key::new(PARTS, upload, part_key(number)), part, expect)?]).await?;
        Ok(old.map_or(Vec::new(), |old| old.value.segments.iter().map(|segment| segment.blob).collect()))
    }

    /// Turns an upload into a version in one step, then forgets its parts. The caller holds the key's lock.
    pub(super) async fn complete(
        &self,
        bucket: &str,
        key: &str,
        upload: (&str, u64),
        version: Version,
        condition: &WriteCondition,
    ) -> S3Result<Changed> {
        let (id, revision) = upload;
        let used: std::collections::HashSet<_> = super::index::blobs_of(&version).into_iter().collect();
        let gone = Write::delete(Key::new(UPLOADS, bucket, version_key(key, id)), Expect::Version(revision));
        let mut changed = self.add(bucket, key, version, condition, &[gone]).await?;
        // The object is whole from here on. Parts left behind by a crash now are swept at the next start.
        let unused = self.drop_parts(id).await?.into_iter().flat_map(|(_, blobs)| blobs);
        changed.displaced.extend(unused.filter(|blob| !used.contains(blob)));
        Ok(changed)
    }

    pub(super) async fn abort(&self, bucket: &str, key: &str, id: &str) -> S3Result<Vec<BlobId>> {
        let _turn = self.lock(bucket, key).await;
        let found = self.upload(bucket, key, id).await?;
        let at = Key::new(UPLOADS, bucket, version_key(key, id));
        self.write(vec![Write::delete(at, Expect::Version(found.version))]).await?;
        Ok(self.drop_parts(id).await?.into_iter().flat_map(|(_, blobs)| blobs).collect())
    }
}
