//! PutObject, and what other writers of objects share with it: the promises a request makes about its body, and the
//! headers that stay with the object.

use std::sync::Arc;

use http::HeaderMap;
use s3s::dto::{ObjectCannedACL, PutObjectInput, PutObjectOutput, ServerSideEncryption, StorageClass, StreamingBlob};
use s3s::{S3Request, S3Response, S3Result, TrailingHeaders};

use crate::s3::conditions::WriteCondition;
use crate::s3::convert::{self, etag, get_sum, header_tags, object_acl, set_sum, storage_class};
use crate::s3::core::Core;
use crate::s3::digest::Algorithm;
use crate::s3::errors;
use crate::s3::ingest::{Promise, parse_md5, parse_sum, receive};
use crate::s3::records::{Bucket, Headers, Version};

/// The most one PUT, one part or one copy may carry.
pub(in crate::s3) const PUT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;

/// What the headers of a request with a body promise about it.
pub(super) fn promise(
    headers: &HeaderMap,
    trailing: Option<TrailingHeaders>,
    length: Option<i64>,
    md5: Option<&str>,
    sum: Option<(Algorithm, String)>,
) -> S3Result<Promise> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // A chunked body tells its own length beside, and need not tell that of the chunks.
    let decoded = text("x-amz-decoded-content-length").and_then(|length| length.parse().ok());
    let len = decoded.or(length).ok_or_else(errors::missing_length)?;
    let len = u64::try_from(len).map_err(|_| errors::invalid_argument("Content-Length must not be negative"))?;
    let mut trailer = None;
    for name in text("x-amz-trailer").unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let known = Algorithm::ALL.into_iter().find(|algorithm| algorithm.header().eq_ignore_ascii_case(name));
        let known = known.ok_or_else(|| {
            errors::invalid_request("The value specified in the x-amz-trailer header is not supported")
        })?;
        if trailer.replace(known).is_some() || sum.is_some() {
            return Err(errors::invalid_request(
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
            ));
        }
    }
    let sum = match sum {
        Some((algorithm, value)) => Some((algorithm, parse_sum(algorithm, &value)?)),
        None => None,
    };
    if let Some(named) = text("x-amz-sdk-checksum-algorithm") {
        let named = convert::algorithm(named)?;
        match sum.as_ref().map(|(algorithm, _)| *algorithm).or(trailer) {
            None => {
                return Err(errors::invalid_request(
                    "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer \
                     headers were found.",
                ));
            }
            Some(sent) if sent != named => {
                return Err(errors::invalid_request("Value for x-amz-sdk-checksum-algorithm header is invalid."));
            }
            Some(_) => {}
        }
    }
    let md5 = md5.map(parse_md5).transpose()?;
    Ok(Promise { len: Some(len), md5, sum, trailer, trailing })
}

/// A body, also where a request has none.
pub(super) fn body(body: Option<StreamingBlob>) -> StreamingBlob {
    body.unwrap_or_else(|| StreamingBlob::from(s3s::Body::empty()))
}

/// Refuses what objects cannot have here.
pub(super) fn refuse_lock_and_grants(lock: bool, grants: bool) -> S3Result<()> {
    if lock {
        return Err(errors::invalid_request("Bucket is missing Object Lock Configuration"));
    }
    if grants {
        return Err(errors::not_implemented("x-amz-grant-* headers are not part of the embedded S3. Use x-amz-acl."));
    }
    Ok(())
}

pub(super) fn check_key(key: &str) -> S3Result<()> {
    if key.len() > 1024 { Err(errors::key_too_long()) } else { Ok(()) }
}

/// A version before its bytes are known.
pub(in crate::s3) fn blank(bucket: &Bucket, now_ms: u64) -> Version {
    Version {
        sort: String::new(),
        null: false,
        delete_marker: false,
        modified_ms: now_ms,
        size: 0,
        etag: String::new(),
        sum: None,
        segments: Vec::new(),
        parts: Vec::new(),
        headers: Headers::default(),
        storage_class: convert::STANDARD.to_owned(),
        acl: convert::PRIVATE.to_owned(),
        owner: bucket.account.clone(),
        tags: convert::header_tags(None).unwrap_or_default(),
        upload: None,
    }
}

pub(super) async fn put_object(
    core: &Arc<Core>,
    mut req: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let trailing = req.trailing_headers.take();
    let mut input = req.input;
    check_key(&input.key)?;
    let bucket = core.index.bucket(&input.bucket).await?;
    let kms = convert::encryption(
        input.server_side_encryption.as_ref().map(ServerSideEncryption::as_str),
        input.ssekms_key_id.as_deref(),
        input.sse_customer_algorithm.as_deref(),
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
    if input.write_offset_bytes.is_some() {
        return Err(errors::not_implemented("Appending to objects is not part of the embedded S3."));
    }
    let sum = get_sum!(input)?;
    let promise = promise(&req.headers, trailing, input.content_length, input.content_md5.as_deref(), sum)?;
    let mut version = blank(&bucket, core.index.now_ms());
    version.headers = Headers {
        content_type: input.content_type,
        cache_control: input.cache_control,
        content_disposition: input.content_disposition,
        content_encoding: convert::content_encoding(input.content_encoding),
        content_language: input.content_language,
        expires: input.expires.as_ref().and_then(convert::date_text),
        redirect: input.website_redirect_location,
        metadata: convert::metadata(input.metadata)?,
        kms,
    };
    version.storage_class = storage_class(input.storage_class.as_ref().map(StorageClass::as_str))?;
    version.acl = object_acl(input.acl.as_ref().map(ObjectCannedACL::as_str), &bucket)?;
    version.tags = header_tags(input.tagging.as_deref())?;
    let condition = WriteCondition::of_write(input.if_match, input.if_none_match)?;
    // A body that would be refused at its end need not be read.
    let state = core.index.state(&input.bucket, &input.key).await?;
    condition.check(state.as_ref().map(|state| &state.value.latest))?;

    let keep = promise.algorithm().unwrap_or(Algorithm::Crc64Nvme);
    let received = receive(&core.blobs, core.blob_id(), body(input.body), &promise, keep, PUT_BYTES_MAX).await?;
    version.size = received.len;
    version.etag = received.etag;
    version.sum = Some(received.sum);
    version.segments = vec![received.blob.segment()];
    let changed = core.commit(&input.bucket, &input.key, version, vec![received.blob], condition).await?;
    let version = changed.version;
    let (server_side_encryption, ssekms_key_id) = convert::encrypted(kms, &bucket);
    let mut output = PutObjectOutput {
        checksum_type: version.sum.as_ref().map(convert::checksum_type),
        e_tag: Some(etag(&version.etag)),
        server_side_encryption,
        ssekms_key_id,
        version_id: (changed.versioned).then(|| version.id().to_owned()),
        ..PutObjectOutput::default()
    };
    set_sum!(output, &version.sum);
    Ok(S3Response::new(output))
}
