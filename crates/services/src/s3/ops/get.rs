//! GetObject, HeadObject and GetObjectAttributes.

use std::ops::Range as Bytes;
use std::sync::Arc;

use futures::TryStreamExt as _;
use http::{HeaderMap, HeaderValue};
use s3s::dto::{
    Checksum, ChecksumMode, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts,
    GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, ObjectAttributes, ObjectPart, Range,
    StorageClass, StreamingBlob,
};
use s3s::{S3Error, S3Request, S3Response, S3Result};

use crate::s3::auth::Caller;
use crate::s3::blobs;
use crate::s3::body::streamed;
use crate::s3::conditions::ReadCondition;
use crate::s3::convert::{self, etag, set_sum, size, timestamp};
use crate::s3::core::Core;
use crate::s3::errors;
use crate::s3::index::{Found, marker_error};
use crate::s3::records::{Bucket, Version, Versioning};

/// Tries of a read whose object is replaced between its version and its bytes.
const TRIES_MAX: usize = 4;
/// Parts in one page of GetObjectAttributes.
const PARTS_PAGE_MAX: i32 = 1000;

/// A version for a reader who may not be allowed to know that it is missing.
async fn find(
    core: &Core,
    caller: Option<&Caller>,
    name: &str,
    bucket: &Bucket,
    key: &str,
    id: Option<&str>,
) -> S3Result<Version> {
    let error = match core.index.find(name, key, id).await {
        Ok(Found::Object(version)) => return Ok(*version),
        Ok(marker) => marker_error(&marker),
        Err(error) => error,
    };
    Err(core.hide_missing(error, caller, name, bucket).await)
}

/// What part of an object is wanted.
struct Slice {
    bytes: Bytes<u64>,
    /// A part of the object was asked for, even if it is all of it.
    partial: bool,
    parts_count: Option<i32>,
}

fn slice(version: &Version, range: Option<Range>, part: Option<i32>) -> S3Result<Slice> {
    let parts_count = i32::try_from(version.parts.len()).ok().filter(|count| *count > 0);
    match (range, part) {
        (None, None) => Ok(Slice { bytes: 0..version.size, partial: false, parts_count: None }),
        (Some(_), Some(_)) => {
            Err(errors::invalid_request("Cannot specify both Range header and partNumber query parameter"))
        }
        (Some(range), None) => {
            let checked = range.check(version.size).ok().filter(|bytes| !bytes.is_empty());
            let bytes = checked.ok_or_else(|| {
                let mut error = errors::invalid_range();
                let mut headers = HeaderMap::new();
                if let Ok(value) = HeaderValue::from_str(&format!("bytes */{}", version.size)) {
                    headers.insert(http::header::CONTENT_RANGE, value);
                }
                error.set_headers(headers);
                error
            })?;
            Ok(Slice { bytes, partial: true, parts_count: None })
        }
        (None, Some(number)) => {
            if !(1..=crate::s3::uploads::PARTS_MAX).contains(&number) {
                return Err(errors::invalid_argument("Part number must be an integer between 1 and 10000, inclusive"));
            }
            if version.parts.is_empty() {
                return if number == 1 {
                    Ok(Slice { bytes: 0..version.size, partial: version.size > 0, parts_count: None })
                } else {
                    Err(errors::part_number())
                };
            }
            // Parts are counted from one in the object, whatever numbers they were uploaded under.
            let at = usize::try_from(number - 1).unwrap_or(usize::MAX);
            let part = version.parts.get(at).ok_or_else(errors::part_number)?;
            let start: u64 = version.parts[..at].iter().map(|part| part.size).sum();
            Ok(Slice { bytes: start..start + part.size, partial: part.size > 0, parts_count })
        }
    }
}

fn content_range(slice: &Slice, version: &Version) -> Option<String> {
    slice.partial.then(|| format!("bytes {}-{}/{}", slice.bytes.start, slice.bytes.end - 1, version.size))
}

fn refuse_customer_key(algorithm: Option<&str>) -> S3Result<()> {
    if algorithm.is_some() {
        return Err(errors::invalid_request("The encryption parameters are not applicable to this object."));
    }
    Ok(())
}

/// The fields GetObject and HeadObject answer alike.
macro_rules! fill {
    ($output:expr, $version:expr, $bucket:expr, $slice:expr, $sums:expr) => {{
        let version: &Version = $version;
        $output.accept_ranges = Some("bytes".to_owned());
        $output.cache_control = version.headers.cache_control.clone();
        $output.content_disposition = version.headers.content_disposition.clone();
        $output.content_encoding = version.headers.content_encoding.clone();
        $output.content_language = version.headers.content_language.clone();
        $output.content_length = Some(size($slice.bytes.end - $slice.bytes.start));
        $output.content_range = content_range($slice, version);
        $output.content_type =
            Some(version.headers.content_type.clone().unwrap_or_else(|| "binary/octet-stream".to_owned()));
        $output.e_tag = Some(etag(&version.etag));
        $output.expires = version.headers.expires.as_deref().and_then(convert::date_parse);
        $output.last_modified = Some(timestamp(version.modified_ms));
        $output.metadata = Some(version.headers.metadata.clone().into_iter().collect());
        $output.parts_count = $slice.parts_count;
        ($output.server_side_encryption, $output.ssekms_key_id) = convert::encrypted(version.headers.kms, $bucket);
        $output.storage_class =
            (version.storage_class != convert::STANDARD).then(|| StorageClass::from(version.storage_class.clone()));
        $output.version_id = ($bucket.versioning != Versioning::Off).then(|| version.id().to_owned());
        $output.website_redirect_location = version.headers.redirect.clone();
        let whole = $slice.bytes == (0..version.size);
        if $sums && whole {
            $output.checksum_type = version.sum.as_ref().map(convert::checksum_type);
            set_sum!($output, &version.sum);
        }
    }};
}

pub(super) async fn get_object(
    core: &Arc<Core>,
    req: S3Request<GetObjectInput>,
) -> S3Result<S3Response<GetObjectOutput>> {
    let caller = req.extensions.get::<Caller>().cloned();
    let input = req.input;
    let bucket = core.index.bucket(&input.bucket).await?;
    refuse_customer_key(input.sse_customer_algorithm.as_deref())?;
    let overrides = input.response_cache_control.is_some()
        || input.response_content_disposition.is_some()
        || input.response_content_encoding.is_some()
        || input.response_content_language.is_some()
        || input.response_content_type.is_some()
        || input.response_expires.is_some();
    if overrides && caller.as_ref().is_none_or(|caller| caller.0.is_none()) {
        return Err(errors::invalid_request(
            "Request specific response headers cannot be used for anonymous GET requests.",
        ));
    }
    let condition = ReadCondition {
        matches: input.if_match,
        none_match: input.if_none_match,
        modified_since: input.if_modified_since,
        unmodified_since: input.if_unmodified_since,
    };
    let sums = input.checksum_mode.as_ref().is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
    for _ in 0..TRIES_MAX {
        let id = input.version_id.as_deref();
        let version = find(core, caller.as_ref(), &input.bucket, &bucket, &input.key, id).await?;
        let check = condition.check(&version.etag, version.modified_ms, false);
        check.map_err(|error| with_validators(error, &version))?;
        let slice = slice(&version, input.range, input.part_number)?;
        let stream = match blobs::read(&core.blobs, &version.segments, slice.bytes.start, slice.bytes.end).await {
            Ok(stream) => stream,
            // Replaced since its version was read: look again.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(errors::io("read", core.blobs.root(), &error)),
        };
        let stream = stream.inspect_err(|error| tracing::error!(%error, "an object could not be read to its end"));
        let mut output = GetObjectOutput {
            body: Some(StreamingBlob::from(streamed(stream.map_err(Into::into)))),
            tag_count: i32::try_from(version.tags.len()).ok().filter(|count| *count > 0),
            ..GetObjectOutput::default()
        };
        fill!(output, &version, &bucket, &slice, sums);
        return Ok(S3Response::new(output));
    }
    Err(errors::internal("read an object", &std::io::Error::other("its bytes are missing")))
}

/// A 304 tells what it is about.
fn with_validators(mut error: S3Error, version: &Version) -> S3Error {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&format!("\"{}\"", version.etag)) {
        headers.insert(http::header::ETAG, value);
    }
    if let Some(value) = convert::http_date(version.modified_ms) {
        headers.insert(http::header::LAST_MODIFIED, value);
    }
    error.set_headers(headers);
    error
}

pub(super) async fn head_object(
    core: &Arc<Core>,
    req: S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let caller = req.extensions.get::<Caller>().cloned();
    let input = req.input;
    let bucket = core.index.bucket(&input.bucket).await?;
    refuse_customer_key(input.sse_customer_algorithm.as_deref())?;
    let id = input.version_id.as_deref();
    let version = find(core, caller.as_ref(), &input.bucket, &bucket, &input.key, id).await?;
    let condition = ReadCondition {
        matches: input.if_match,
        none_match: input.if_none_match,
        modified_since: input.if_modified_since,
        unmodified_since: input.if_unmodified_since,
    };
    let check = condition.check(&version.etag, version.modified_ms, false);
    check.map_err(|error| with_validators(error, &version))?;
    let slice = slice(&version, input.range, input.part_number)?;
    let sums = input.checksum_mode.as_ref().is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
    let mut output = HeadObjectOutput::default();
    fill!(output, &version, &bucket, &slice, sums);
    let mut response = S3Response::new(output);
    if slice.partial {
        response.status = Some(http::StatusCode::PARTIAL_CONTENT);
    }
    Ok(response)
}

pub(super) async fn get_object_attributes(
    core: &Arc<Core>,
    req: S3Request<GetObjectAttributesInput>,
) -> S3Result<S3Response<GetObjectAttributesOutput>> {
    let caller = req.extensions.get::<Caller>().cloned();
    let input = req.input;
    let bucket = core.index.bucket(&input.bucket).await?;
    let id = input.version_id.as_deref();
    let version = find(core, caller.as_ref(), &input.bucket, &bucket, &input.key, id).await?;
    let mut output = GetObjectAttributesOutput {
        last_modified: Some(timestamp(version.modified_ms)),
        version_id: (bucket.versioning != Versioning::Off).then(|| version.id().to_owned()),
        ..GetObjectAttributesOutput::default()
    };
    for attribute in &input.object_attributes {
        match attribute.as_str() {
            ObjectAttributes::ETAG => output.e_tag = Some(etag(&version.etag)),
            ObjectAttributes::OBJECT_SIZE => output.object_size = Some(size(version.size)),
            ObjectAttributes::STORAGE_CLASS => {
                output.storage_class = Some(StorageClass::from(version.storage_class.clone()));
            }
            ObjectAttributes::CHECKSUM => {
                if let Some(sum) = &version.sum {
                    let checksum_type = Some(convert::checksum_type(sum));
                    let mut checksum = Checksum { checksum_type, ..Checksum::default() };
                    // The number of parts is told elsewhere.
                    let mut sum = sum.clone();
                    sum.value = sum.value.split('-').next().unwrap_or_default().to_owned();
                    set_sum!(checksum, Some(&sum));
                    output.checksum = Some(checksum);
                }
            }
            ObjectAttributes::OBJECT_PARTS if !version.parts.is_empty() => {
                output.object_parts = Some(parts(&version, input.part_number_marker, input.max_parts));
            }
            ObjectAttributes::OBJECT_PARTS => {}
            _ => return Err(errors::invalid_argument("Invalid attribute name specified.")),
        }
    }
    Ok(S3Response::new(output))
}

fn parts(version: &Version, marker: Option<i32>, max: Option<i32>) -> GetObjectAttributesParts {
    let marker = marker.unwrap_or(0);
    let max = max.unwrap_or(PARTS_PAGE_MAX).clamp(0, PARTS_PAGE_MAX);
    let rest: Vec<_> = version.parts.iter().filter(|part| part.number > marker).collect();
    let page: Vec<_> = rest.iter().take(usize::try_from(max).unwrap_or(0)).collect();
    let is_truncated = page.len() < rest.len();
    let next = page.last().map(|part| part.number);
    let parts = page.into_iter().map(|part| {
        let mut out =
            ObjectPart { part_number: Some(part.number), size: Some(size(part.size)), ..ObjectPart::default() };
        set_sum!(out, &part.sum);
        out
    });
    GetObjectAttributesParts {
        is_truncated: Some(is_truncated),
        max_parts: Some(max),
        next_part_number_marker: next.filter(|_| is_truncated),
        part_number_marker: Some(marker),
        parts: Some(parts.collect()),
        total_parts_count: i32::try_from(version.parts.len()).ok(),
    }
}
