//! Buckets, keys and versions as documents: every change of metadata is made here, atomically, under the rules of
//! versioning. Bytes must be durable before they come here; what a change leaves without an owner is handed back for
//! removal. It must not touch files, and knows nothing of HTTP.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::SystemTime;

use s3s::S3Result;
use tokio::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
use towpath_store::{Documents, DocumentsExt as _, Expect, Key, Scan, StoreError, Versioned, Write};

use super::conditions::WriteCondition;
use super::errors;
use super::records::{
    ALL, BUCKETS, BlobId, Bucket, KEYS, KeyState, NULL, UPLOADS, VERSIONS, Version, Versioning, encode, part_key,
    version_key, version_prefix,
};
use super::{Clock, Random};

/// Tries of a write that others keep overtaking.
const TRIES_MAX: usize = 16;
/// Locks that keys share.
const STRIPES: usize = 64;
/// Buckets of one account.
const BUCKETS_MAX: usize = 10_000;
/// Documents read at once while a partition is emptied.
const EMPTY_PAGE: usize = 500;

pub(super) struct Index {
    docs: Arc<dyn Documents>,
    clock: Clock,
    random: Random,
    /// Held shared while a bucket gains something, alone while a bucket goes.
    gate: RwLock<()>,
    /// Writers of one key take turns, so that they need not repeat each other's work.
    stripes: Vec<Mutex<()>>,
    hasher: RandomState,
}

/// What a write changed.
pub(super) struct Changed {
    pub version: Version,
    /// Whether the bucket tells version ids.
    pub versioned: bool,
    /// Files nothing refers to any more.
    pub displaced: Vec<BlobId>,
}

/// What a deletion did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Deleted {
    /// The version that went, or the marker that came.
    pub version_id: Option<String>,
    /// A marker came, or a marker went.
    pub marker: bool,
    pub displaced: Vec<BlobId>,
}

/// A version that was asked for.
pub(super) enum Found {
    Object(Box<Version>),
    /// The version named, or the latest, is a delete marker.
    Marker {
        version_id: String,
        named: bool,
        modified_ms: u64,
    },
}

pub(super) fn blobs_of(version: &Version) -> Vec<BlobId> {
    version.segments.iter().map(|segment| segment.blob).collect()
}

/// Whether a client can have got this version id from us.
pub(super) fn check_version_id(id: &str) -> S3Result<()> {
    let ours = id == NULL || (id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    if ours { Ok(()) } else { Err(errors::invalid_argument("Invalid version id specified")) }
}

impl Index {
    pub(super) fn new(docs: Arc<dyn Documents>, clock: Clock, random: Random) -> Self {
        let stripes = (0..STRIPES).map(|_| Mutex::new(())).collect();
        Self { docs, clock, random, gate: RwLock::new(()), stripes, hasher: RandomState::new() }
    }

    pub(super) fn docs(&self) -> &dyn Documents {
        &*self.docs
    }

    pub(super) fn random(&self) -> u128 {
        (self.random)()
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    fn now_micros(&self) -> u64 {
        let since = self.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    /// Now, in the whole seconds in which S3 tells times.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_micros() / 1_000_000 * 1000
    }

    /// An id that sorts by the time it was made.
    pub(super) fn upload_id(&self) -> String {
        format!("{:016x}{:016x}", self.now_micros(), low(self.random()))
    }

    pub(super) async fn gate(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().await
    }

    pub(super) async fn lock(&self, bucket: &str, key: &str) -> MutexGuard<'_, ()> {
        let stripe = self.hasher.hash_one((bucket, key)) % STRIPES as u64;
        self.stripes[usize::try_from(stripe).unwrap_or(0)].lock().await
    }

    pub(super) async fn write(&self, writes: Vec<Write>) -> S3Result<()> {
        self.docs.write(writes).await.map_err(errors::store)?;
        Ok(())
    }

    // Buckets.

    pub(super) async fn find_bucket(&self, name: &str) -> S3Result<Option<Versioned<Bucket>>> {
        self.docs.get_json(BUCKETS, ALL, name).await.map_err(errors::store)
    }

    pub(super) async fn bucket(&self, name: &str) -> S3Result<Bucket> {
        self.find_bucket(name).await?.map(|bucket| bucket.value).ok_or_else(errors::no_such_bucket)
    }

    /// Makes a bucket. `Ok(false)`: the same account made it before, where that is no error.
    pub(super) async fn create_bucket(&self, name: &str, bucket: &Bucket, again: bool) -> S3Result<bool> {
        match self.find_bucket(name).await? {
            Some(found) if found.value.account != bucket.account => return Err(errors::bucket_taken()),
            Some(_) if again => return Ok(false),
            Some(_) => return Err(errors::bucket_yours()),
            None => {}
        }
        if self.buckets_of(&bucket.account).await?.len() >= BUCKETS_MAX {
            return Err(errors::too_many_buckets());
        }
        match self.docs.put_json(Key::new(BUCKETS, ALL, name), bucket, Expect::Absent).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_conflict() => Err(errors::bucket_taken()),
            Err(error) => Err(errors::store(error)),
        }
    }

    /// The buckets of an account, in order of name.
    pub(super) async fn buckets_of(&self, account: &str) -> S3Result<Vec<(String, Bucket)>> {
        let mut found = Vec::new();
        let mut scan = Scan::all().limit(1000);
        loop {
            let page: Vec<(String, Versioned<Bucket>)> =
                self.docs.scan_json(BUCKETS, ALL, scan.clone()).await.map_err(errors::store)?;
            let Some((last, _)) = page.last() else { return Ok(found) };
            scan = scan.after(last.clone());
            let owned = page.into_iter().filter(|(_, bucket)| bucket.value.account == account);
            found.extend(owned.map(|(name, bucket)| (name, bucket.value)));
        }
    }

    pub(super) async fn update_bucket(
        &self,
        name: &str,
        change: impl Fn(&mut Bucket) -> S3Result<()> + Send + Sync,
    ) -> S3Result<()> {
        for _ in 0..TRIES_MAX {
            let Some(mut found) = self.find_bucket(name).await? else { return Err(errors::no_such_bucket()) };
            change(&mut found.value)?;
            let expect = Expect::Version(found.version);
            match self.docs.put_json(Key::new(BUCKETS, ALL, name), &found.value, expect).await {
                Err(error) if error.is_conflict() => {}
                other => return other.map(|_| ()).map_err(errors::store),
            }
        }
        Err(errors::write_conflict())
    }

    /// Removes an empty bucket, with the uploads that were never completed. Answers the files of their parts.
    pub(super) async fn delete_bucket(&self, name: &str) -> S3Result<Vec<BlobId>> {
        let _alone = self.gate.write().await;
        let Some(found) = self.find_bucket(name).await? else { return Err(errors::no_such_bucket()) };
        let any = self.docs.scan(VERSIONS, name, Scan::all().limit(1)).await.map_err(errors::store)?;
        if !any.is_empty() {
            return Err(match found.value.versioning {
                Versioning::Off => errors::bucket_not_empty(),
                Versioning::Enabled | Versioning::Suspended => errors::bucket_not_empty_versions(),
            });
        }
        let mut displaced = Vec::new();
        loop {
            let page = self.docs.scan(UPLOADS, name, Scan::all().limit(EMPTY_PAGE)).await.map_err(errors::store)?;
            if page.is_empty() {
                break;
            }
            for upload in page {
                let Some(id) = super::records::split_version_key(&upload.key).map(|(_, id)| id.to_owned()) else {
                    continue;
                };
                self.write(vec![Write::delete(Key::new(UPLOADS, name, upload.key), Expect::Any)]).await?;
                displaced.extend(self.drop_parts(&id).await?.into_iter().flat_map(|(_, blobs)| blobs));
            }
        }
        self.write(vec![Write::delete(Key::new(BUCKETS, ALL, name), Expect::Version(found.version))]).await?;
        Ok(displaced)
    }

    /// Removes the parts of an upload that is gone. Answers each part's number and files.
    pub(super) async fn drop_parts(&self, upload: &str) -> S3Result<Vec<(i32, Vec<BlobId>)>> {
        let mut dropped = Vec::new();
        loop {
            let page = self.parts(upload, 0, EMPTY_PAGE).await?;
            if page.is_empty() {
                return Ok(dropped);
            }
            let deletions = page.iter().map(|(number, _)| {
                Write::delete(Key::new(super::records::PARTS, upload, part_key(*number)), Expect::Any)
            });
            self.write(deletions.collect()).await?;
            let blobs = page
                .into_iter()
                .map(|(number, part)| (number, part.segments.iter().map(|segment| segment.blob).collect::<Vec<_>>()));
            dropped.extend(blobs);
        }
    }

    // Keys and versions.

    pub(super) async fn state(&self, bucket: &str, key: &str) -> S3Result<Option<Versioned<KeyState>>> {
        self.docs.get_json(KEYS, bucket, &encode(key)).await.map_err(errors::store)
    }

    async fn version_at(&self, bucket: &str, key: &str, sort: &str) -> S3Result<Option<Versioned<Version>>> {
        self.docs.get_json(VERSIONS, bucket, &version_key(key, sort)).await.map_err(errors::store)
    }

    /// Where a version id is kept.
    async fn sort_of(&self, bucket: &str, key: &str, id: &str) -> S3Result<Option<String>> {
        check_version_id(id)?;
        if id != NULL {
            return Ok(Some(id.to_owned()));
        }
        Ok(self.state(bucket, key).await?.and_then(|state| state.value.null_sort))
    }

    /// A version by its id, or the latest.
    pub(super) async fn find(&self, bucket: &str, key: &str, id: Option<&str>) -> S3Result<Found> {
        for _ in 0..TRIES_MAX {
            let sort = match id {
                Some(id) => self.sort_of(bucket, key, id).await?.ok_or_else(errors::no_such_version)?,
                None => match self.state(bucket, key).await? {
                    None => return Err(errors::no_such_key()),
                    Some(state) => state.value.latest.sort,
                },
            };
            match self.version_at(bucket, key, &sort).await? {
                Some(found) => {
                    // What was written under an id of its own is not found under `null`, nor the other way round.
                    if id.is_some_and(|id| id != found.value.id()) {
                        return Err(errors::no_such_version());
                    }
                    let version = found.value;
                    return Ok(if version.delete_marker {
                        let (version_id, modified_ms) = (version.id().to_owned(), version.modified_ms);
                        Found::Marker { version_id, named: id.is_some(), modified_ms }
                    } else {
                        Found::Object(Box::new(version))
                    });
                }
                None if id.is_some() => return Err(errors::no_such_version()),
                // The latest changed between the two reads.
                None => {}
            }
        }
        Err(errors::write_conflict())
    }

    /// A place before every version the key has.
    fn next_sort(&self, state: Option<&Versioned<KeyState>>) -> String {
        let newest = state.and_then(|state| state.value.latest.sort.get(..16));
        let newest = newest.and_then(|digits| u64::from_str_radix(digits, 16).ok()).map_or(0, |sort| u64::MAX - sort);
        let sequence = self.now_micros().max(newest.saturating_add(1));
        format!("{:016x}{:016x}", u64::MAX - sequence, low(self.random()))
    }

    /// Adds a version of a key, in the bucket's own way. `make` says what, given whether its id is to be `null`; `also` is
    /// written in the same breath. The caller holds the gate and the key's lock.
    pub(super) async fn add(
        &self,
        bucket: &str,
        key: &str,
        mut version: Version,
        condition: &WriteCondition,
        also: &[Write],
    ) -> S3Result<Changed> {
        for _ in 0..TRIES_MAX {
            let versioning = self.bucket(bucket).await?.versioning;
            let state = self.state(bucket, key).await?;
            condition.check(state.as_ref().map(|state| &state.value.latest))?;
            version.null = versioning != Versioning::Enabled;
            version.sort = self.next_sort(state.as_ref());
            let mut displaced = Vec::new();
            let mut null_sort = state.as_ref().and_then(|state| state.value.null_sort.clone());
            let mut writes = also.to_vec();
            if version.null {
                if let Some(old) = &null_sort
                    && let Some(old) = self.version_at(bucket, key, old).await?
                {
                    displaced = blobs_of(&old.value);
                    let at = Key::new(VERSIONS, bucket, version_key(key, &old.value.sort));
                    writes.push(Write::delete(at, Expect::Version(old.version)));
                }
                null_sort = Some(version.sort.clone());
            }
            let at = Key::new(VERSIONS, bucket, version_key(key, &version.sort));
            writes.push(put(at, &version, Expect::Absent)?);
            let latest = KeyState { latest: version.summary(), null_sort };
            let expect = state.as_ref().map_or(Expect::Absent, |state| Expect::Version(state.version));
            writes.push(put(Key::new(KEYS, bucket, encode(key)), &latest, expect)?);
            match self.docs.write(writes).await {
                Ok(_) => return Ok(Changed { version, versioned: versioning != Versioning::Off, displaced }),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(errors::store(error)),
            }
        }
        Err(errors::write_conflict())
    }

    /// Deletes the way the bucket does: a version for good, or a marker over the latest.
    pub(super) async fn delete(
        &self,
        bucket: &str,
        key: &str,
        id: Option<&str>,
        marker: Version,
        condition: &WriteCondition,
    ) -> S3Result<Deleted> {
        let _gate = self.gate().await;
        let _turn = self.lock(bucket, key).await;
        let versioning = self.bucket(bucket).await?.versioning;
        match id {
            Some(id) => {
                check_version_id(id)?;
                self.delete_version(bucket, key, id, condition).await
            }
            None if versioning == Versioning::Off => {
                let deleted = self.delete_version(bucket, key, NULL, condition).await?;
                Ok(Deleted { version_id: None, marker: false, displaced: deleted.displaced })
            }
            None => {
                let changed = self.add(bucket, key, marker, condition, &[]).await?;
                Ok(Deleted {
                    version_id: Some(changed.version.id().to_owned()),
                    marker: true,
                    displaced: changed.displaced,
                })
            }
        }
    }

    async fn delete_version(&self, bucket: &str, key: &str, id: &str, condition: &WriteCondition) -> S3Result<Deleted> {
        // Deleting what is not there succeeds, as if it had been deleted before.
        let nothing = || Deleted { version_id: Some(id.to_owned()), ..Deleted::default() };
        for _ in 0..TRIES_MAX {
            let state = self.state(bucket, key).await?;
            condition.check(state.as_ref().map(|state| &state.value.latest))?;
            let Some(state) = state else { return Ok(nothing()) };
            let sort = if id == NULL { state.value.null_sort.clone() } else { Some(id.to_owned()) };
            let Some(sort) = sort else { return Ok(nothing()) };
            let Some(found) = self.version_at(bucket, key, &sort).await? else { return Ok(nothing()) };
            if found.value.id() != id {
                return Ok(nothing());
            }
            let at = Key::new(VERSIONS, bucket, version_key(key, &sort));
            let mut writes = vec![Write::delete(at, Expect::Version(found.version))];
            writes.push(self.state_without(bucket, key, &state, &sort).await?);
            match self.docs.write(writes).await {
                Ok(_) => {
                    return Ok(Deleted {
                        version_id: Some(id.to_owned()),
                        marker: found.value.delete_marker,
                        displaced: blobs_of(&found.value),
                    });
                }
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(errors::store(error)),
            }
        }
        Err(errors::write_conflict())
    }

    /// The change to a key's state when the version at `gone` goes.
    async fn state_without(&self, bucket: &str, key: &str, state: &Versioned<KeyState>, gone: &str) -> S3Result<Write> {
        let at = Key::new(KEYS, bucket, encode(key));
        let expect = Expect::Version(state.version);
        let mut next = state.value.clone();
        if next.null_sort.as_deref() == Some(gone) {
            next.null_sort = None;
        }
        if next.latest.sort == gone {
            let scan = Scan::prefix(&version_prefix(key)).limit(2);
            let newest: Vec<(String, Versioned<Version>)> =
                self.docs.scan_json(VERSIONS, bucket, scan).await.map_err(errors::store)?;
            match newest.into_iter().map(|(_, found)| found.value).find(|version| version.sort != gone) {
                None => return Ok(Write::delete(at, expect)),
                Some(version) => next.latest = version.summary(),
            }
        }
        put(at, &next, expect)
    }

    /// Changes what may change of a version after it was written. Answers the version as it now is.
    pub(super) async fn update_version(
        &self,
        bucket: &str,
        key: &str,
        id: Option<&str>,
        change: impl Fn(&mut Version) -> S3Result<()> + Send + Sync,
    ) -> S3Result<Version> {
        let _turn = self.lock(bucket, key).await;
        for _ in 0..TRIES_MAX {
            let found = self.find(bucket, key, id).await?;
            let Found::Object(version) = found else { return Err(marker_error(&found)) };
            let Some(mut found) = self.version_at(bucket, key, &version.sort).await? else { continue };
            change(&mut found.value)?;
            let at = Key::new(VERSIONS, bucket, version_key(key, &version.sort));
            match self.docs.put_json(at, &found.value, Expect::Version(found.version)).await {
                Ok(_) => return Ok(found.value),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(errors::store(error)),
            }
        }
        Err(errors::write_conflict())
    }
}

pub(super) fn put<T: serde::Serialize>(key: Key, value: &T, expect: Expect) -> S3Result<Write> {
    Write::put_json(key, value, expect).map_err(|error: StoreError| errors::store(error))
}

fn low(random: u128) -> u64 {
    u64::try_from(random & u128::from(u64::MAX)).unwrap_or(0)
}

/// The refusal for a read that met a delete marker: the latest is as good as missing, a named one cannot be read.
pub(super) fn marker_error(found: &Found) -> s3s::S3Error {
    let Found::Marker { version_id, named, modified_ms } = found else { return errors::no_such_key() };
    let mut error = if *named { errors::method_not_allowed() } else { errors::no_such_key() };
    let mut headers = http::HeaderMap::new();
    headers.insert("x-amz-delete-marker", http::HeaderValue::from_static("true"));
    if let Ok(id) = http::HeaderValue::from_str(version_id) {
        headers.insert("x-amz-version-id", id);
    }
    if *named {
        headers.insert(http::header::ALLOW, http::HeaderValue::from_static("DELETE"));
        if let Some(date) = super::convert::http_date(*modified_ms) {
            headers.insert(http::header::LAST_MODIFIED, date);
        }
    }
    error.set_headers(headers);
    error
}
