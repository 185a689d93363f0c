//! CopyObject and UploadPartCopy. Files never change once written, so a copy of bytes is a second name for them; they are
//! only read when a checksum must be computed.

use std::sync::Arc;

use futures::TryStreamExt as _;
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopyPartResult, CopySource, MetadataDirective,
    ObjectCannedACL, ServerSideEncryption, StorageClass, TaggingDirective, UploadPartCopyInput, UploadPartCopyOutput,
};
use s3s::{S3Error, S3Request, S3Response, S3Result};

use crate::s3::blobs::{self, Blob};
use crate::s3::conditions::{ReadCondition, WriteCondition};
use crate::s3::convert::{self, etag, header_tags, object_acl, set_sum, storage_class, timestamp};
use crate::s3::core::{Core, detached};
use crate::s3::digest::{Algorithm, Digests, Hasher, Sum};
use crate::s3::errors;
use crate::s3::index::Found;
use crate::s3::ingest::{Promise, receive};
use crate::s3::records::{Headers, Part, Segment, Version, Versioning};

use super::put::{PUT_BYTES_MAX, blank, check_key, refuse_lock_and_grants};

struct Source {
    bucket: String,
    key: String,
    named: bool,
    version: Version,
    /// The version id to tell, where the source's bucket tells them.
    told: Option<String>,
}

async fn source(core: &Core, source: CopySource, condition: &ReadCondition) -> S3Result<Source> {
    let CopySource::Bucket { bucket, key, version_id } = source else {
        return Err(errors::not_implemented("Access points are not part of the embedded S3."));
    };
    let versioning = core.index.bucket(&bucket).await?.versioning;
    let version = match core.index.find(&bucket, &key, version_id.as_deref()).await? {
        Found::Object(version) => *version,
        Found::Marker { named: false, .. } => return Err(errors::no_such_key()),
        Found::Marker { named: true, .. } => {
            return Err(errors::invalid_request(
                "The source of a copy request may not specifically refer to a delete marker by version id.",
            ));
        }
    };
    condition.check(&version.etag, version.modified_ms, true)?;
    let told = (versioning != Versioning::Off).then(|| version.id().to_owned());
    Ok(Source { bucket: bucket.into(), key: key.into(), named: version_id.is_some(), version, told })
}

/// A source whose bytes cannot be read: most likely deleted since its version was.
fn unreadable(core: &Core, error: &std::io::Error) -> S3Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => errors::no_such_key(),
        _ => errors::io("read", core.blobs.root(), error),
    }
}

/// Reads bytes for their checksums alone.
async fn digest(core: &Core, segments: &[Segment], len: u64, algorithm: Algorithm) -> S3Result<Digests> {
    let failed = |error| unreadable(core, &error);
    let stream = blobs::read(&core.blobs, segments, 0, len).await.map_err(failed)?;
    let hasher = stream
        .try_fold(Hasher::new(&[algorithm]), |mut hasher, piece| async move {
            hasher.update(&piece);
            Ok(hasher)
        })
        .await
        .map_err(failed)?;
    Ok(hasher.finish())
}

/// What a copy's content is known by.
struct Known {
    etag: String,
    sum: Sum,
}

/// The ETag and checksum of a whole copy: the source's where they say the same of it, else computed.
async fn known(core: &Core, version: &Version, asked: Option<Algorithm>) -> S3Result<Known> {
    let kept = version.sum.as_ref().map(|sum| sum.algorithm);
    let algorithm = asked.or(kept).unwrap_or(Algorithm::Crc64Nvme);
    match &version.sum {
        Some(sum) if sum.full && sum.algorithm == algorithm && version.parts.is_empty() => {
            Ok(Known { etag: version.etag.clone(), sum: sum.clone() })
        }
        _ => computed(core, &version.segments, version.size, algorithm).await,
    }
}

async fn computed(core: &Core, segments: &[Segment], len: u64, algorithm: Algorithm) -> S3Result<Known> {
    let digests = digest(core, segments, len, algorithm).await?;
    let sum = digests.sum(algorithm).cloned();
    let missing = || errors::internal("compute a checksum", &std::io::Error::other("it was not asked for"));
    Ok(Known { etag: digests.etag(), sum: sum.ok_or_else(missing)? })
}

pub(super) async fn copy_object(
    core: &Arc<Core>,
    req: S3Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    let input = req.input;
    check_key(&input.key)?;
    let bucket = core.index.bucket(&input.bucket).await?;
    let kms = convert::encryption(
        input.server_side_encryption.as_ref().map(ServerSideEncryption::as_str),
        input.ssekms_key_id.as_deref(),
        input.sse_customer_algorithm.as_deref().or(input.copy_source_sse_customer_algorithm.as_deref()),
    )?;
    refuse_lock_and_grants(
        input.object_lock_mode.is_some()
            || input.object_lock_legal_hold_status.is_some()
            || input.object_lock_retain_until_date.is_some(),
        input.grant_full_control.is_some()
            || input.grant_read.is_some()
            || input.grant_read_acp.is_some()
            || input.grant_write_acp.is_some(),
    )?;
    let condition = ReadCondition {
        matches: input.copy_source_if_match,
        none_match: input.copy_source_if_none_match,
        modified_since: input.copy_source_if_modified_since,
        unmodified_since: input.copy_source_if_unmodified_since,
    };
    let source = source(core, input.copy_source, &condition).await?;
    if source.version.size > PUT_BYTES_MAX {
        return Err(errors::invalid_request(
            "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120",
        ));
    }
    let replace = directive(input.metadata_directive.as_ref().map(MetadataDirective::as_str), "metadata")?;
    let replace_tags = directive(input.tagging_directive.as_ref().map(TaggingDirective::as_str), "tagging")?;
    let itself = source.bucket == input.bucket && source.key == input.key && !source.named;
    if itself
        && !replace
        && !replace_tags
        && input.storage_class.is_none()
        && input.website_redirect_location.is_none()
        && input.server_side_encryption.is_none()
        && input.checksum_algorithm.is_none()
    {
        return Err(errors::invalid_request(
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's \
             metadata, storage class, website redirect location or encryption attributes.",
        ));
    }
    let mut version = blank(&bucket, core.index.now_ms());
    version.headers = if replace {
        Headers {
            content_type: input.content_type,
            cache_control: input.cache_control,
            content_disposition: input.content_disposition,
            content_encoding: convert::content_encoding(input.content_encoding),
            content_language: input.content_language,
            expires: input.expires.as_ref().and_then(convert::date_text),
            redirect: None,
            metadata: convert::metadata(input.metadata)?,
            kms,
        }
    } else {
        source.version.headers.clone()
    };
    // Neither a redirect nor an encryption is ever copied.
    version.headers.kms = kms;
    version.headers.redirect = input.website_redirect_location;
    version.tags = if replace_tags { header_tags(input.tagging.as_deref())? } else { source.version.tags.clone() };
    version.storage_class = storage_class(input.storage_class.as_ref().map(StorageClass::as_str))?;
    version.acl = object_acl(input.acl.as_ref().map(ObjectCannedACL::as_str), &bucket)?;
    let asked = input.checksum_algorithm.as_ref().map(|name| convert::algorithm(name.as_str())).transpose()?;
    let known = known(core, &source.version, asked).await?;
    version.size = source.version.size;
    version.etag = known.etag;
    version.sum = Some(known.sum);
    let (segments, files) = core.link(&source.version.segments).await?;
    version.segments = segments;
    let changed = core.commit(&input.bucket, &input.key, version, files, WriteCondition::default()).await?;
    let version = changed.version;
    let mut result = CopyObjectResult {
        checksum_type: version.sum.as_ref().map(convert::checksum_type),
        e_tag: Some(etag(&version.etag)),
        last_modified: Some(timestamp(version.modified_ms)),
        ..CopyObjectResult::default()
    };
    set_sum!(result, &version.sum);
    let (server_side_encryption, ssekms_key_id) = convert::encrypted(kms, &bucket);
    let output = CopyObjectOutput {
        copy_object_result: Some(result),
        copy_source_version_id: source.told,
        server_side_encryption,
        ssekms_key_id,
        version_id: changed.versioned.then(|| version.id().to_owned()),
        ..CopyObjectOutput::default()
    };
    Ok(S3Response::new(output))
}

/// Whether a directive says to replace.
fn directive(value: Option<&str>, name: &str) -> S3Result<bool> {
    match value {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(_) => Err(errors::invalid_argument(format!("Unknown {name} directive."))),
    }
}

pub(super) async fn upload_part_copy(
    core: &Arc<Core>,
    req: S3Request<UploadPartCopyInput>,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    let input = req.input;
    super::multipart::check_number(input.part_number)?;
    let bucket = core.index.bucket(&input.bucket).await?;
    let upload = core.index.upload(&input.bucket, &input.key, &input.upload_id).await?.value;
    convert::encryption(None, None, input.copy_source_sse_customer_algorithm.as_deref())?;
    let condition = ReadCondition {
        matches: input.copy_source_if_match,
        none_match: input.copy_source_if_none_match,
        modified_since: input.copy_source_if_modified_since,
        unmodified_since: input.copy_source_if_unmodified_since,
    };
    let source = source(core, input.copy_source, &condition).await?;
    let (start, end) = range(input.copy_source_range.as_deref(), source.version.size)?;
    let len = end - start;
    if len > PUT_BYTES_MAX {
        return Err(errors::too_large());
    }
    let wanted = blobs::cut(&source.version.segments, start, end);
    let now = core.index.now_ms();
    let (part, files) = if wanted.len() == 1 {
        let known = computed(core, &wanted, len, upload.algorithm).await?;
        let (segments, files) = core.link(&wanted).await?;
        (Part { modified_ms: now, size: len, etag: known.etag, sum: known.sum, segments }, files)
    } else {
        // Written anew, so that a part is one file and an object has no more files than parts.
        let stream = blobs::read(&core.blobs, &wanted, 0, len).await.map_err(|error| unreadable(core, &error))?;
        let promise = Promise { len: Some(len), ..Promise::default() };
        let stream = stream.map_err(Into::into);
        let got = receive(&core.blobs, core.blob_id(), stream, &promise, upload.algorithm, PUT_BYTES_MAX).await?;
        let segments = vec![got.blob.segment()];
        (Part { modified_ms: now, size: len, etag: got.etag, sum: got.sum, segments }, vec![got.blob])
    };
    let mut result = CopyPartResult {
        e_tag: Some(etag(&part.etag)),
        last_modified: Some(timestamp(part.modified_ms)),
        ..CopyPartResult::default()
    };
    if upload.algorithm_asked {
        set_sum!(result, Some(&part.sum));
    }
    keep_part(core, &input.bucket, &input.key, &input.upload_id, input.part_number, part, files).await?;
    let (server_side_encryption, ssekms_key_id) = convert::encrypted(upload.headers.kms, &bucket);
    let output = UploadPartCopyOutput {
        copy_part_result: Some(result),
        copy_source_version_id: source.told,
        server_side_encryption,
        ssekms_key_id,
        ..UploadPartCopyOutput::default()
    };
    Ok(S3Response::new(output))
}

/// Records a part whose bytes are durable.
pub(super) async fn keep_part(
    core: &Arc<Core>,
    bucket: &str,
    key: &str,
    upload: &str,
    number: i32,
    part: Part,
    files: Vec<Blob>,
) -> S3Result<()> {
    let core = Arc::clone(core);
    let (bucket, key, upload) = (bucket.to_owned(), key.to_owned(), upload.to_owned());
    detached(async move {
        let displaced = core.index.put_part(&bucket, &key, &upload, number, &part).await?;
        files.into_iter().for_each(Blob::keep);
        core.discard(displaced).await;
        Ok(())
    })
    .await
}

/// `bytes=first-last`, both given, within the source.
fn range(text: Option<&str>, size: u64) -> S3Result<(u64, u64)> {
    let Some(text) = text else { return Ok((0, size)) };
    let wrong = || {
        errors::invalid_argument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the \
             zero-based offsets of the first and last bytes to copy",
        )
    };
    let (first, last) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')).ok_or_else(wrong)?;
    let digits = |text: &str| {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            text.parse::<u64>().map_err(|_| wrong())
        } else {
            Err(wrong())
        }
    };
    let (first, last) = (digits(first)?, digits(last)?);
    if first > last {
        return Err(wrong());
    }
    if last >= size {
        return Err(errors::invalid_argument(format!(
            "Range specified is not valid for source object of size: {size}"
        )));
    }
    Ok((first, last + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_range_names_both_ends_within_the_source() {
        assert_eq!(range(None, 10).unwrap(), (0, 10));
        assert_eq!(range(Some("bytes=2-9"), 10).unwrap(), (2, 10));
        for wrong in ["2-9", "bytes=2-", "bytes=-9", "bytes=9-2", "bytes=+1-2", "bytes=0-10"] {
            assert_eq!(range(Some(wrong), 10).unwrap_err().code().as_str(), "InvalidArgument", "{wrong}");
        }
    }
}
