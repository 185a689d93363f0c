//! The listings of a bucket: its keys in two forms, its versions, its uploads in progress.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::dto::{
    ChecksumAlgorithm, ChecksumAlgorithmList, ChecksumType, CommonPrefix, DeleteMarkerEntry, EncodingType, Initiator,
    ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectVersionsInput, ListObjectVersionsOutput,
    ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, MultipartUpload, Object,
    ObjectStorageClass, ObjectVersion, ObjectVersionStorageClass, StorageClass,
};
use s3s::{S3Request, S3Response, S3Result};

use crate::s3::convert::{self, etag, owner, size, timestamp};
use crate::s3::core::Core;
use crate::s3::digest::Algorithm;
use crate::s3::errors;
use crate::s3::listing::{Last, Page, Start, Walk, limit, walk};
use crate::s3::records::{KEYS, KeyState, NULL, Summary, UPLOADS, Upload, VERSIONS, Version, encode, version_key};

/// How keys are told: as they are, or encoded for XML.
#[derive(Clone, Copy)]
struct Telling {
    url: bool,
}

impl Telling {
    fn of(encoding: Option<&EncodingType>) -> S3Result<Self> {
        match encoding.map(EncodingType::as_str) {
            None => Ok(Self { url: false }),
            Some(EncodingType::URL) => Ok(Self { url: true }),
            Some(_) => Err(errors::invalid_argument("Invalid Encoding Method specified in Request")),
        }
    }

    fn tell(self, text: impl Into<String>) -> String {
        let text = text.into();
        if self.url { convert::url(&text) } else { text }
    }

    fn prefixes(self, prefixes: Vec<String>) -> Vec<CommonPrefix> {
        prefixes.into_iter().map(|prefix| CommonPrefix { prefix: Some(self.tell(prefix)) }).collect()
    }
}

fn algorithms(algorithm: Option<(Algorithm, bool)>) -> (Option<ChecksumAlgorithmList>, Option<ChecksumType>) {
    match algorithm {
        None => (None, None),
        Some((algorithm, full)) => {
            let kind = if full { ChecksumType::FULL_OBJECT } else { ChecksumType::COMPOSITE };
            (Some(vec![ChecksumAlgorithm::from_static(algorithm.name())]), Some(ChecksumType::from_static(kind)))
        }
    }
}

fn object(telling: Telling, key: String, found: Summary, with_owner: bool) -> Object {
    let (checksum_algorithm, checksum_type) = algorithms(found.algorithm);
    Object {
        checksum_algorithm,
        checksum_type,
        e_tag: Some(etag(&found.etag)),
        key: Some(telling.tell(key)),
        last_modified: Some(timestamp(found.modified_ms)),
        owner: with_owner.then(|| owner(&found.owner)),
        restore_status: None,
        size: Some(size(found.size)),
        storage_class: Some(ObjectStorageClass::from(found.storage_class)),
    }
}

/// The live keys of a bucket, with what a listing tells of each.
pub(in crate::s3) async fn keys(
    core: &Core,
    bucket: &str,
    prefix: &str,
    delimiter: &str,
    start: Start,
    limit: usize,
) -> S3Result<Page<Summary>> {
    core.index.bucket(bucket).await?;
    let request = Walk { collection: KEYS, bucket, prefix, delimiter, start, limit, by_id: false };
    walk(core.index.docs(), &request, |_, document| {
        let state: KeyState = document.json().map_err(errors::store)?;
        Ok(Some(state.latest).filter(|latest| !latest.delete_marker))
    })
    .await
}

fn count(limit: usize) -> Option<i32> {
    i32::try_from(limit).ok()
}

pub(super) async fn list_objects(
    core: &Arc<Core>,
    req: S3Request<ListObjectsInput>,
) -> S3Result<S3Response<ListObjectsOutput>> {
    let input = req.input;
    let telling = Telling::of(input.encoding_type.as_ref())?;
    let limit = limit(input.max_keys, "maxKeys")?;
    let (prefix, delimiter) = (input.prefix.unwrap_or_default(), input.delimiter.unwrap_or_default());
    let marker = input.marker.unwrap_or_default();
    let start = if marker.is_empty() { Start::Beginning } else { Start::Key(marker.clone()) };
    let page = keys(core, &input.bucket, &prefix, &delimiter, start, limit).await?;
    // Without a delimiter the last key is the marker; AWS leaves it to the client to see that.
    let next = page.last.as_ref().filter(|_| page.truncated && !delimiter.is_empty()).map(|last| match last {
        Last::Item { key, .. } => telling.tell(key.as_str()),
        Last::Prefix(prefix) => telling.tell(prefix.as_str()),
    });
    let contents = page.items.into_iter().map(|(key, found)| object(telling, key, found, true));
    let output = ListObjectsOutput {
        contents: Some(contents.collect()),
        common_prefixes: Some(telling.prefixes(page.prefixes)),
        delimiter: (!delimiter.is_empty()).then(|| telling.tell(delimiter)),
        encoding_type: input.encoding_type,
        is_truncated: Some(page.truncated),
        marker: Some(telling.tell(marker)),
        max_keys: count(limit),
        name: Some(input.bucket),
        next_marker: next,
        prefix: Some(telling.tell(prefix)),
        request_charged: None,
    };
    Ok(S3Response::new(output))
}

/// Where a listing goes on, opaque to clients: what was told last, and whether it stood for more than itself.
fn token(last: &Last) -> String {
    let text = match last {
        Last::Item { key, .. } => format!("k{key}"),
        Last::Prefix(prefix) => format!("p{prefix}"),
    };
    URL_SAFE_NO_PAD.encode(text)
}

fn from_token(token: &str) -> S3Result<Start> {
    let wrong = || errors::invalid_argument("The continuation token provided is incorrect");
    let text = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
    let text = String::from_utf8(text).map_err(|_| wrong())?;
    match (text.get(..1), text.get(1..)) {
        (Some("k"), Some(key)) => Ok(Start::Document(encode(key))),
        (Some("p"), Some(prefix)) => Ok(Start::Prefix(prefix.to_owned())),
        _ => Err(wrong()),
    }
}

pub(super) async fn list_objects_v2(
    core: &Arc<Core>,
    req: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let input = req.input;
    let telling = Telling::of(input.encoding_type.as_ref())?;
    let limit = limit(input.max_keys, "maxKeys")?;
    let (prefix, delimiter) = (input.prefix.unwrap_or_default(), input.delimiter.unwrap_or_default());
    let start = match (&input.continuation_token, &input.start_after) {
        (Some(token), _) => from_token(token)?,
        (None, Some(after)) if !after.is_empty() => Start::Key(after.clone()),
        (None, _) => Start::Beginning,
    };
    let page = keys(core, &input.bucket, &prefix, &delimiter, start, limit).await?;
    let told = page.items.len() + page.prefixes.len();
    let with_owner = input.fetch_owner.unwrap_or(false);
    let next = page.last.as_ref().filter(|_| page.truncated).map(token);
    let contents = page.items.into_iter().map(|(key, found)| object(telling, key, found, with_owner));
    let output = ListObjectsV2Output {
        contents: Some(contents.collect()),
        common_prefixes: Some(telling.prefixes(page.prefixes)),
        continuation_token: input.continuation_token,
        delimiter: (!delimiter.is_empty()).then(|| telling.tell(delimiter)),
        encoding_type: input.encoding_type,
        is_truncated: Some(page.truncated),
        key_count: count(told),
        max_keys: count(limit),
        name: Some(input.bucket),
        next_continuation_token: next,
        prefix: Some(telling.tell(prefix)),
        request_charged: None,
        start_after: input.start_after.map(|after| telling.tell(after)),
    };
    Ok(S3Response::new(output))
}

pub(super) async fn list_object_versions(
    core: &Arc<Core>,
    req: S3Request<ListObjectVersionsInput>,
) -> S3Result<S3Response<ListObjectVersionsOutput>> {
    let input = req.input;
    let telling = Telling::of(input.encoding_type.as_ref())?;
    let limit = limit(input.max_keys, "max-keys")?;
    let (prefix, delimiter) = (input.prefix.unwrap_or_default(), input.delimiter.unwrap_or_default());
    let name = input.bucket;
    core.index.bucket(&name).await?;
    let key_marker = input.key_marker.unwrap_or_default();
    let id_marker = input.version_id_marker.filter(|id| !id.is_empty());
    let start = match &id_marker {
        None if key_marker.is_empty() => Start::Beginning,
        None => Start::Key(key_marker.clone()),
        Some(_) if key_marker.is_empty() => {
            return Err(errors::invalid_argument("A version-id marker cannot be specified without a key marker."));
        }
        Some(id) => {
            crate::s3::index::check_version_id(id)?;
            let sort = if id == NULL {
                let state = core.index.state(&name, &key_marker).await?;
                state.and_then(|state| state.value.null_sort)
            } else {
                Some(id.clone())
            };
            let sort = sort.ok_or_else(|| errors::invalid_argument("Invalid version id specified"))?;
            Start::Document(version_key(&key_marker, &sort))
        }
    };
    // A page that starts among the versions of a key starts behind its latest.
    let mut before = id_marker.is_some().then(|| key_marker.clone());
    let delimiter_text = delimiter.as_str();
    let request = Walk {
        collection: VERSIONS,
        bucket: &name,
        prefix: &prefix,
        delimiter: delimiter_text,
        start,
        limit,
        by_id: true,
    };
    let page = walk(core.index.docs(), &request, |stored, document| {
        let latest = before.as_deref() != Some(stored);
        before = Some(stored.to_owned());
        let version: Version = document.json().map_err(errors::store)?;
        Ok(Some((version, latest)))
    })
    .await?;
    let next = page.last.clone().filter(|_| page.truncated);
    let mut next_version_id_marker = None;
    let next_key_marker = next.map(|last| match last {
        Last::Prefix(prefix) => telling.tell(prefix),
        Last::Item { key, .. } => {
            next_version_id_marker = page.items.last().map(|(_, (version, _))| version.id().to_owned());
            telling.tell(key)
        }
    });
    let (mut versions, mut delete_markers) = (Vec::new(), Vec::new());
    for (key, (version, latest)) in page.items {
        let (key, is_latest) = (Some(telling.tell(key)), Some(latest));
        let version_id = Some(version.id().to_owned());
        let last_modified = Some(timestamp(version.modified_ms));
        let owner = Some(owner(&version.owner));
        if version.delete_marker {
            delete_markers.push(DeleteMarkerEntry { is_latest, key, last_modified, owner, version_id });
        } else {
            let (checksum_algorithm, checksum_type) = algorithms(version.summary().algorithm);
            versions.push(ObjectVersion {
                checksum_algorithm,
                checksum_type,
                e_tag: Some(etag(&version.etag)),
                is_latest,
                key,
                last_modified,
                owner,
                restore_status: None,
                size: Some(size(version.size)),
                storage_class: Some(ObjectVersionStorageClass::from(version.storage_class)),
                version_id,
            });
        }
    }
    let output = ListObjectVersionsOutput {
        common_prefixes: Some(telling.prefixes(page.prefixes)),
        delete_markers: Some(delete_markers),
        delimiter: (!delimiter.is_empty()).then(|| telling.tell(delimiter)),
        encoding_type: input.encoding_type,
        is_truncated: Some(page.truncated),
        key_marker: Some(telling.tell(key_marker)),
        max_keys: count(limit),
        name: Some(name),
        next_key_marker,
        next_version_id_marker,
        prefix: Some(telling.tell(prefix)),
        request_charged: None,
        version_id_marker: id_marker,
        versions: Some(versions),
    };
    Ok(S3Response::new(output))
}

pub(super) async fn list_multipart_uploads(
    core: &Arc<Core>,
    req: S3Request<ListMultipartUploadsInput>,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    let input = req.input;
    let telling = Telling::of(input.encoding_type.as_ref())?;
    let limit = limit(input.max_uploads, "max-uploads")?;
    let (prefix, delimiter) = (input.prefix.unwrap_or_default(), input.delimiter.unwrap_or_default());
    let name = input.bucket;
    core.index.bucket(&name).await?;
    let key_marker = input.key_marker.unwrap_or_default();
    // Ignored without a key marker, as AWS says.
    let id_marker = input.upload_id_marker.filter(|id| !id.is_empty() && !key_marker.is_empty());
    let start = match &id_marker {
        None if key_marker.is_empty() => Start::Beginning,
        None => Start::Key(key_marker.clone()),
        Some(id) => Start::Document(version_key(&key_marker, id)),
    };
    let delimiter_text = delimiter.as_str();
    let request = Walk {
        collection: UPLOADS,
        bucket: &name,
        prefix: &prefix,
        delimiter: delimiter_text,
        start,
        limit,
        by_id: true,
    };
    let page = walk(core.index.docs(), &request, |_, document| {
        let upload: Upload = document.json().map_err(errors::store)?;
        let id = crate::s3::records::split_version_key(&document.key).map(|(_, id)| id.to_owned());
        Ok(id.map(|id| (id, upload)))
    })
    .await?;
    let (mut next_key_marker, mut next_upload_id_marker) = (None, None);
    match page.last.filter(|_| page.truncated) {
        None => {}
        Some(Last::Prefix(prefix)) => next_key_marker = Some(telling.tell(prefix)),
        Some(Last::Item { key, id }) => {
            next_key_marker = Some(telling.tell(key));
            next_upload_id_marker = Some(id);
        }
    }
    let uploads = page.items.into_iter().map(|(key, (id, upload))| {
        let who = owner(&upload.initiator);
        let (algorithm, kind) =
            if upload.algorithm_asked { algorithms(Some((upload.algorithm, upload.full))) } else { (None, None) };
        MultipartUpload {
            checksum_algorithm: algorithm.and_then(|mut list| list.pop()),
            checksum_type: kind,
            initiated: Some(timestamp(upload.started_ms)),
            initiator: Some(Initiator { display_name: None, id: who.id.clone() }),
            key: Some(telling.tell(key)),
            owner: Some(who),
            storage_class: Some(StorageClass::from(upload.storage_class)),
            upload_id: Some(id),
        }
    });
    let output = ListMultipartUploadsOutput {
        uploads: Some(uploads.collect()),
        bucket: Some(name),
        common_prefixes: Some(telling.prefixes(page.prefixes)),
        delimiter: (!delimiter.is_empty()).then(|| telling.tell(delimiter)),
        encoding_type: input.encoding_type,
        is_truncated: Some(page.truncated),
        key_marker: Some(telling.tell(key_marker)),
        max_uploads: count(limit),
        next_key_marker,
        next_upload_id_marker,
        prefix: Some(telling.tell(prefix)),
        request_charged: None,
        upload_id_marker: id_marker,
    };
    Ok(S3Response::new(output))
}
