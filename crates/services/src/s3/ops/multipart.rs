//! Multipart uploads: begun, filled, listed, completed, aborted. Completing one copies no bytes: the object is made of its
//! parts' files.

use std::sync::Arc;

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, Initiator, ListPartsInput, ListPartsOutput, ObjectCannedACL, Part,
    ServerSideEncryption, StorageClass, UploadPartInput, UploadPartOutput,
};
use s3s::{S3Request, S3Response, S3Result};

use crate::s3::conditions::WriteCondition;
use crate::s3::convert::{self, etag, get_sum, header_tags, object_acl, set_sum, size, storage_class, timestamp};
use crate::s3::core::{Core, detached};
use crate::s3::digest::{self, Algorithm};
use crate::s3::errors;
use crate::s3::index::Found;
use crate::s3::ingest::receive;
use crate::s3::listing;
use crate::s3::records::{self, Headers, PartInfo, Upload, Version, Versioning};
use crate::s3::uploads::PARTS_MAX;

use super::put::{PUT_BYTES_MAX, blank, body, check_key, promise, refuse_lock_and_grants};

/// Every part but the last holds at least this.
const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// An object holds at most this.
const OBJECT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024 * 1024;

pub(super) fn check_number(number: i32) -> S3Result<()> {
    if (1..=PARTS_MAX).contains(&number) {
        Ok(())
    } else {
        Err(errors::invalid_argument("Part number must be an integer between 1 and 10000, inclusive"))
    }
}

/// The algorithm of an upload, and whether its checksum covers the full object.
fn checksum(named: Option<&ChecksumAlgorithm>, kind: Option<&ChecksumType>) -> S3Result<(Algorithm, bool)> {
    let Some(named) = named else {
        if kind.is_some() {
            return Err(errors::invalid_request(
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
            ));
        }
        return Ok((Algorithm::Crc64Nvme, true));
    };
    let algorithm = convert::algorithm(named.as_str())?;
    let mismatch = |kind: &str| {
        errors::invalid_request(format!(
            "The {kind} checksum type cannot be used with the {} checksum algorithm.",
            algorithm.name().to_ascii_lowercase()
        ))
    };
    match kind.map(ChecksumType::as_str) {
        None => Ok((algorithm, algorithm == Algorithm::Crc64Nvme)),
        Some("FULL_OBJECT") if algorithm.combines() => Ok((algorithm, true)),
        Some("COMPOSITE") if algorithm != Algorithm::Crc64Nvme => Ok((algorithm, false)),
        Some(kind @ ("FULL_OBJECT" | "COMPOSITE")) => Err(mismatch(kind)),
        Some(_) => Err(errors::invalid_request("Value for x-amz-checksum-type header is invalid.")),
    }
}

fn named(upload: &Upload) -> (Option<ChecksumAlgorithm>, Option<ChecksumType>) {
    if !upload.algorithm_asked {
        return (None, None);
    }
    let kind = if upload.full { ChecksumType::FULL_OBJECT } else { ChecksumType::COMPOSITE };
    (Some(ChecksumAlgorithm::from_static(upload.algorithm.name())), Some(ChecksumType::from_static(kind)))
}

pub(super) async fn create_multipart_upload(
    core: &Arc<Core>,
    req: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let input = req.input;
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
    let (algorithm, full) = checksum(input.checksum_algorithm.as_ref(), input.checksum_type.as_ref())?;
    let upload = Upload {
        started_ms: core.index.now_ms(),
        initiator: bucket.account.clone(),
        headers: Headers {
            content_type: input.content_type,
            cache_control: input.cache_control,
            content_disposition: input.content_disposition,
            content_encoding: convert::content_encoding(input.content_encoding),
            content_language: input.content_language,
            expires: input.expires.as_ref().and_then(convert::date_text),
            redirect: input.website_redirect_location,
            metadata: convert::metadata(input.metadata)?,
            kms,
        },
        storage_class: storage_class(input.storage_class.as_ref().map(StorageClass::as_str))?,
        acl: object_acl(input.acl.as_ref().map(ObjectCannedACL::as_str), &bucket)?,
        tags: header_tags(input.tagging.as_deref())?,
        algorithm,
        full,
        algorithm_asked: input.checksum_algorithm.is_some(),
    };
    let id = core.index.begin(&input.bucket, &input.key, &upload).await?;
    let (checksum_algorithm, checksum_type) = named(&upload);
    let (server_side_encryption, ssekms_key_id) = convert::encrypted(kms, &bucket);
    let output = CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        checksum_algorithm,
        checksum_type,
        key: Some(input.key),
        server_side_encryption,
        ssekms_key_id,
        upload_id: Some(id),
        ..CreateMultipartUploadOutput::default()
    };
    Ok(S3Response::new(output))
}

pub(super) async fn upload_part(
    core: &Arc<Core>,
    mut req: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let trailing = req.trailing_headers.take();
    let mut input = req.input;
    check_number(input.part_number)?;
    let bucket = core.index.bucket(&input.bucket).await?;
    let upload = core.index.upload(&input.bucket, &input.key, &input.upload_id).await?.value;
    let sum = get_sum!(input)?;
    let promise = promise(&req.headers, trailing, input.content_length, input.content_md5.as_deref(), sum)?;
    if let Some(brought) = promise.algorithm()
        && upload.algorithm_asked
        && brought != upload.algorithm
    {
        return Err(errors::invalid_request(format!(
            "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
            upload.algorithm.name().to_ascii_lowercase(),
            brought.name().to_ascii_lowercase()
        )));
    }
    let id = core.blob_id();
    let received = receive(&core.blobs, id, body(input.body), &promise, upload.algorithm, PUT_BYTES_MAX).await?;
    let part = records::Part {
        modified_ms: core.index.now_ms(),
        size: received.len,
        etag: received.etag,
        sum: received.sum,
        segments: vec![received.blob.segment()],
    };
    let (server_side_encryption, ssekms_key_id) = convert::encrypted(upload.headers.kms, &bucket);
    let mut output = UploadPartOutput {
        e_tag: Some(etag(&part.etag)),
        server_side_encryption,
        ssekms_key_id,
        ..UploadPartOutput::default()
    };
    if upload.algorithm_asked {
        set_sum!(output, Some(&part.sum));
    }
    let files = vec![received.blob];
    super::copy::keep_part(core, &input.bucket, &input.key, &input.upload_id, input.part_number, part, files).await?;
    Ok(S3Response::new(output))
}

pub(super) async fn complete_multipart_upload(
    core: &Arc<Core>,
    req: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let host = req.headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let input = req.input;
    let bucket = core.index.bucket(&input.bucket).await?;
    let (name, key) = (input.bucket.clone(), input.key.clone());
    let step = {
        let (core, input) = (Arc::clone(core), input);
        async move { complete(&core, input).await }
    };
    let version = detached(step).await?;
    let (server_side_encryption, ssekms_key_id) = convert::encrypted(version.headers.kms, &bucket);
    let mut output = CompleteMultipartUploadOutput {
        checksum_type: version.sum.as_ref().map(convert::checksum_type),
        e_tag: Some(etag(&version.etag)),
        location: Some(format!("http://{host}/{name}/{}", convert::url(&key))),
        server_side_encryption,
        ssekms_key_id,
        version_id: (bucket.versioning != Versioning::Off).then(|| version.id().to_owned()),
        bucket: Some(name),
        key: Some(key),
        ..CompleteMultipartUploadOutput::default()
    };
    set_sum!(output, &version.sum);
    Ok(S3Response::new(output))
}

async fn complete(core: &Arc<Core>, mut input: CompleteMultipartUploadInput) -> S3Result<Version> {
    let (name, key, id) = (&input.bucket, &input.key, &input.upload_id);
    let _gate = core.index.gate().await;
    let bucket = core.index.bucket(name).await?;
    let _turn = core.index.lock(name, key).await;
    let upload = match core.index.upload(name, key, id).await {
        Ok(upload) => upload,
        Err(error) => {
            // Told again because the first answer was lost on its way?
            return match core.index.find(name, key, None).await {
                Ok(Found::Object(version)) if version.upload.as_ref() == Some(id) => Ok(*version),
                _ => Err(error),
            };
        }
    };
    let revision = upload.version;
    let upload = upload.value;
    let wanted = input.multipart_upload.take().and_then(|upload| upload.parts).unwrap_or_default();
    if wanted.is_empty() {
        return Err(errors::malformed_xml());
    }
    let stored: std::collections::BTreeMap<i32, records::Part> = core.index.all_parts(id).await?.into_iter().collect();
    let mut version = blank(&bucket, core.index.now_ms());
    let mut before = 0;
    let mut chosen = Vec::with_capacity(wanted.len());
    for mut part in wanted {
        let number = part.part_number.ok_or_else(errors::malformed_xml)?;
        check_number(number)?;
        if number <= before {
            return Err(errors::part_order());
        }
        before = number;
        let found = stored.get(&number).ok_or_else(errors::part_missing)?;
        let named = part.e_tag.as_ref().ok_or_else(errors::malformed_xml)?;
        if named.value() != found.etag {
            return Err(errors::part_missing());
        }
        if let Some((algorithm, value)) = get_sum!(part)?
            && (algorithm != found.sum.algorithm || value != found.sum.value)
        {
            return Err(errors::part_missing());
        }
        chosen.push((number, found));
    }
    let small = |(_, part): &(i32, &records::Part)| part.size < PART_BYTES_MIN;
    if chosen[..chosen.len() - 1].iter().any(small) {
        return Err(errors::part_too_small());
    }
    version.size = chosen.iter().map(|(_, part)| part.size).sum();
    if version.size > OBJECT_BYTES_MAX {
        return Err(errors::too_large());
    }
    if input.mpu_object_size.is_some_and(|asked| u64::try_from(asked) != Ok(version.size)) {
        return Err(errors::invalid_request(
            "The provided 'x-amz-mp-object-size' header value does not match what was computed.",
        ));
    }
    let sums: Vec<_> = chosen.iter().map(|(_, part)| (part.sum.value.as_str(), part.size)).collect();
    let sum = digest::of_parts(upload.algorithm, upload.full, &sums).ok_or_else(errors::part_missing)?;
    if let Some(kind) = &input.checksum_type
        && kind.as_str() != sum.kind()
    {
        return Err(errors::invalid_request(format!(
            "The upload was created using the {} checksum mode. The complete request must use the same checksum mode.",
            sum.kind()
        )));
    }
    if let Some((algorithm, value)) = get_sum!(input)? {
        let told = value.split('-').next().unwrap_or_default();
        let computed = sum.value.split('-').next().unwrap_or_default();
        if algorithm != sum.algorithm || told != computed {
            return Err(errors::checksum_mismatch(algorithm.name()));
        }
    }
    version.etag = digest::multipart_etag(chosen.iter().map(|(_, part)| part.etag.as_str()));
    version.segments = chosen.iter().flat_map(|(_, part)| part.segments.clone()).collect();
    version.parts = chosen
        .iter()
        .map(|(number, part)| PartInfo {
            number: *number,
            size: part.size,
            sum: upload.algorithm_asked.then(|| part.sum.clone()),
        })
        .collect();
    version.sum = Some(sum);
    version.headers = upload.headers;
    version.storage_class = upload.storage_class;
    version.acl = upload.acl;
    version.tags = upload.tags;
    version.upload = Some(id.clone());
    let condition = WriteCondition::of_write(input.if_match.take(), input.if_none_match.take())?;
    let changed = core.index.complete(name, key, (id, revision), version, &condition).await?;
    core.discard(changed.displaced).await;
    Ok(changed.version)
}

pub(super) async fn abort_multipart_upload(
    core: &Arc<Core>,
    req: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let input = req.input;
    core.index.bucket(&input.bucket).await?;
    let core = Arc::clone(core);
    detached(async move {
        let displaced = core.index.abort(&input.bucket, &input.key, &input.upload_id).await?;
        core.discard(displaced).await;
        Ok(())
    })
    .await?;
    Ok(S3Response::with_status(AbortMultipartUploadOutput::default(), http::StatusCode::NO_CONTENT))
}

pub(super) async fn list_parts(
    core: &Arc<Core>,
    req: S3Request<ListPartsInput>,
) -> S3Result<S3Response<ListPartsOutput>> {
    let input = req.input;
    core.index.bucket(&input.bucket).await?;
    let upload = core.index.upload(&input.bucket, &input.key, &input.upload_id).await?.value;
    let limit = listing::limit(input.max_parts, "max-parts")?;
    let marker = input.part_number_marker.unwrap_or(0);
    let mut page = core.index.parts(&input.upload_id, marker.clamp(0, PARTS_MAX), limit + 1).await?;
    let is_truncated = page.len() > limit;
    page.truncate(limit);
    let next = page.last().map(|(number, _)| *number);
    let (checksum_algorithm, checksum_type) = named(&upload);
    let parts = page.into_iter().map(|(number, part)| {
        let mut out = Part {
            e_tag: Some(etag(&part.etag)),
            last_modified: Some(timestamp(part.modified_ms)),
            part_number: Some(number),
            size: Some(size(part.size)),
            ..Part::default()
        };
        if upload.algorithm_asked {
            set_sum!(out, Some(&part.sum));
        }
        out
    });
    let who = convert::owner(&upload.initiator);
    let output = ListPartsOutput {
        bucket: Some(input.bucket),
        checksum_algorithm,
        checksum_type,
        initiator: Some(Initiator { display_name: None, id: who.id.clone() }),
        is_truncated: Some(is_truncated),
        key: Some(input.key),
        max_parts: i32::try_from(limit).ok(),
        next_part_number_marker: next.filter(|_| is_truncated),
        owner: Some(who),
        part_number_marker: Some(marker),
        parts: Some(parts.collect()),
        storage_class: Some(StorageClass::from(upload.storage_class.clone())),
        upload_id: Some(input.upload_id),
        ..ListPartsOutput::default()
    };
    Ok(S3Response::new(output))
}
