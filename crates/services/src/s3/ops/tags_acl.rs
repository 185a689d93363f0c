//! Tags and canned ACLs of buckets and objects.

use std::sync::Arc;

use s3s::dto::{
    AccessControlPolicy, BucketCannedACL, DeleteBucketTaggingInput, DeleteBucketTaggingOutput,
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetBucketAclInput, GetBucketAclOutput, GetBucketTaggingInput,
    GetBucketTaggingOutput, GetObjectAclInput, GetObjectAclOutput, GetObjectTaggingInput, GetObjectTaggingOutput,
    ObjectCannedACL, PutBucketAclInput, PutBucketAclOutput, PutBucketTaggingInput, PutBucketTaggingOutput,
    PutObjectAclInput, PutObjectAclOutput, PutObjectTaggingInput, PutObjectTaggingOutput,
};
use s3s::{S3Request, S3Response, S3Result};

use crate::s3::convert::{self, bucket_acl, bucket_tags, canned, grants, object_acl, object_tags, owner, tags_out};
use crate::s3::core::Core;
use crate::s3::errors;
use crate::s3::index::{Found, marker_error};
use crate::s3::records::{Bucket, Tags, Version, Versioning};

async fn find(core: &Core, bucket: &str, key: &str, id: Option<&str>) -> S3Result<Version> {
    match core.index.find(bucket, key, id).await? {
        Found::Object(version) => Ok(*version),
        marker @ Found::Marker { .. } => Err(marker_error(&marker)),
    }
}

fn told(bucket: &Bucket, version: &Version) -> Option<String> {
    (bucket.versioning != Versioning::Off).then(|| version.id().to_owned())
}

// Buckets.

pub(super) async fn get_bucket_tagging(
    core: &Arc<Core>,
    req: S3Request<GetBucketTaggingInput>,
) -> S3Result<S3Response<GetBucketTaggingOutput>> {
    let tags = core.index.bucket(&req.input.bucket).await?.tags.ok_or_else(errors::no_such_tags)?;
    Ok(S3Response::new(GetBucketTaggingOutput { tag_set: tags_out(&tags) }))
}

pub(super) async fn put_bucket_tagging(
    core: &Arc<Core>,
    req: S3Request<PutBucketTaggingInput>,
) -> S3Result<S3Response<PutBucketTaggingOutput>> {
    let tags = bucket_tags(req.input.tagging.tag_set)?;
    core.index
        .update_bucket(&req.input.bucket, |bucket| {
            bucket.tags = Some(tags.clone());
            Ok(())
        })
        .await?;
    Ok(S3Response::with_status(PutBucketTaggingOutput::default(), http::StatusCode::NO_CONTENT))
}

pub(super) async fn delete_bucket_tagging(
    core: &Arc<Core>,
    req: S3Request<DeleteBucketTaggingInput>,
) -> S3Result<S3Response<DeleteBucketTaggingOutput>> {
    core.index
        .update_bucket(&req.input.bucket, |bucket| {
            bucket.tags = None;
            Ok(())
        })
        .await?;
    Ok(S3Response::with_status(DeleteBucketTaggingOutput::default(), http::StatusCode::NO_CONTENT))
}

pub(super) async fn get_bucket_acl(
    core: &Arc<Core>,
    req: S3Request<GetBucketAclInput>,
) -> S3Result<S3Response<GetBucketAclOutput>> {
    let bucket = core.index.bucket(&req.input.bucket).await?;
    // Switched off, ACLs read as if none were ever set.
    let acl = if bucket.acls_enabled() { bucket.acl.as_str() } else { convert::PRIVATE };
    let output = GetBucketAclOutput { grants: Some(grants(acl, &bucket.account)), owner: Some(owner(&bucket.account)) };
    Ok(S3Response::new(output))
}

/// The ACL a request asks for, by name or as grants.
fn asked(named: Option<&str>, policy: Option<AccessControlPolicy>, by_header: bool, account: &str) -> S3Result<String> {
    if by_header {
        return Err(errors::not_implemented("x-amz-grant-* headers are not part of the embedded S3. Use x-amz-acl."));
    }
    match (named, policy) {
        (Some(_), Some(policy)) if policy.grants.is_some() => {
            Err(s3s::s3_error!(UnexpectedContent, "This request does not support content"))
        }
        (Some(named), _) => Ok(named.to_owned()),
        (None, Some(policy)) => {
            let given = policy.grants.ok_or_else(errors::malformed_acl)?;
            Ok(canned(&given, account)?.to_owned())
        }
        (None, None) => Err(s3s::s3_error!(MissingSecurityHeader, "Your request was missing a required header")),
    }
}

pub(super) async fn put_bucket_acl(
    core: &Arc<Core>,
    req: S3Request<PutBucketAclInput>,
) -> S3Result<S3Response<PutBucketAclOutput>> {
    let input = req.input;
    let account = core.index.bucket(&input.bucket).await?.account;
    let by_header = input.grant_full_control.is_some()
        || input.grant_read.is_some()
        || input.grant_read_acp.is_some()
        || input.grant_write.is_some()
        || input.grant_write_acp.is_some();
    let named = input.acl.as_ref().map(BucketCannedACL::as_str);
    let acl = asked(named, input.access_control_policy, by_header, &account)?;
    core.index
        .update_bucket(&input.bucket, |bucket| {
            bucket.acl = bucket_acl(&acl, bucket)?;
            Ok(())
        })
        .await?;
    Ok(S3Response::new(PutBucketAclOutput::default()))
}

// Objects.

pub(super) async fn get_object_tagging(
    core: &Arc<Core>,
    req: S3Request<GetObjectTaggingInput>,
) -> S3Result<S3Response<GetObjectTaggingOutput>> {
    let input = req.input;
    let bucket = core.index.bucket(&input.bucket).await?;
    let version = find(core, &input.bucket, &input.key, input.version_id.as_deref()).await?;
    let output = GetObjectTaggingOutput { tag_set: tags_out(&version.tags), version_id: told(&bucket, &version) };
    Ok(S3Response::new(output))
}

async fn set_tags(core: &Core, name: &str, key: &str, id: Option<&str>, tags: Tags) -> S3Result<Option<String>> {
    let bucket = core.index.bucket(name).await?;
    let changed = core.index.update_version(name, key, id, |version| {
        version.tags = tags.clone();
        Ok(())
    });
    Ok(told(&bucket, &changed.await?))
}

pub(super) async fn put_object_tagging(
    core: &Arc<Core>,
    req: S3Request<PutObjectTaggingInput>,
) -> S3Result<S3Response<PutObjectTaggingOutput>> {
    let input = req.input;
    let tags = object_tags(input.tagging.tag_set)?;
    let version_id = set_tags(core, &input.bucket, &input.key, input.version_id.as_deref(), tags).await?;
    Ok(S3Response::new(PutObjectTaggingOutput { version_id }))
}

pub(super) async fn delete_object_tagging(
    core: &Arc<Core>,
    req: S3Request<DeleteObjectTaggingInput>,
) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
    let input = req.input;
    let version_id = set_tags(core, &input.bucket, &input.key, input.version_id.as_deref(), Tags::new()).await?;
    Ok(S3Response::with_status(DeleteObjectTaggingOutput { version_id }, http::StatusCode::NO_CONTENT))
}

pub(super) async fn get_object_acl(
    core: &Arc<Core>,
    req: S3Request<GetObjectAclInput>,
) -> S3Result<S3Response<GetObjectAclOutput>> {
    let input = req.input;
    let bucket = core.index.bucket(&input.bucket).await?;
    let version = find(core, &input.bucket, &input.key, input.version_id.as_deref()).await?;
    let acl = if bucket.acls_enabled() { version.acl.as_str() } else { convert::PRIVATE };
    let output = GetObjectAclOutput {
        grants: Some(grants(acl, &version.owner)),
        owner: Some(owner(&version.owner)),
        request_charged: None,
    };
    Ok(S3Response::new(output))
}

pub(super) async fn put_object_acl(
    core: &Arc<Core>,
    req: S3Request<PutObjectAclInput>,
) -> S3Result<S3Response<PutObjectAclOutput>> {
    let input = req.input;
    let bucket = core.index.bucket(&input.bucket).await?;
    let by_header = input.grant_full_control.is_some()
        || input.grant_read.is_some()
        || input.grant_read_acp.is_some()
        || input.grant_write.is_some()
        || input.grant_write_acp.is_some();
    let named = input.acl.as_ref().map(ObjectCannedACL::as_str);
    let acl = asked(named, input.access_control_policy, by_header, &bucket.account)?;
    if !bucket.acls_enabled() && acl != "bucket-owner-full-control" {
        return Err(errors::acls_off());
    }
    let acl = object_acl(Some(&acl), &bucket)?;
    core.index
        .update_version(&input.bucket, &input.key, input.version_id.as_deref(), |version| {
            version.acl.clone_from(&acl);
            Ok(())
        })
        .await?;
    Ok(S3Response::new(PutObjectAclOutput::default()))
}
