//! DeleteObject and DeleteObjects.

use std::sync::Arc;

use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETagCondition, Error,
};
use s3s::{S3Request, S3Response, S3Result};

use crate::call::Origin;
use crate::s3::access::origin_context;
use crate::s3::auth::{Caller, object_arn};
use crate::s3::conditions::WriteCondition;
use crate::s3::core::{Core, detached};
use crate::s3::errors;
use crate::s3::index::Deleted;
use crate::s3::records::Bucket;

/// Keys in one DeleteObjects.
const KEYS_MAX: usize = 1000;

/// Deletes one key or version, to the end.
pub(in crate::s3) async fn delete(
    core: &Arc<Core>,
    name: &str,
    bucket: &Bucket,
    key: &str,
    id: Option<&str>,
    condition: WriteCondition,
) -> S3Result<Deleted> {
    let mut marker = super::put::blank(bucket, core.index.now_ms());
    marker.delete_marker = true;
    let (core, name, key) = (Arc::clone(core), name.to_owned(), key.to_owned());
    let id = id.map(str::to_owned);
    detached(async move {
        let mut deleted = core.index.delete(&name, &key, id.as_deref(), marker, &condition).await?;
        core.discard(std::mem::take(&mut deleted.displaced)).await;
        Ok(deleted)
    })
    .await
}

fn condition(etag: Option<ETagCondition>) -> WriteCondition {
    WriteCondition { if_match: etag, if_none_match: None }
}

pub(super) async fn delete_object(
    core: &Arc<Core>,
    req: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let input = req.input;
    if input.if_match_size.is_some() || input.if_match_last_modified_time.is_some() {
        return Err(errors::not_implemented("Of the conditions of a deletion, the embedded S3 has If-Match only."));
    }
    let bucket = core.index.bucket(&input.bucket).await?;
    let id = input.version_id.as_deref();
    let deleted = delete(core, &input.bucket, &bucket, &input.key, id, condition(input.if_match)).await?;
    let output = DeleteObjectOutput {
        delete_marker: deleted.marker.then_some(true),
        request_charged: None,
        version_id: deleted.version_id,
    };
    Ok(S3Response::with_status(output, http::StatusCode::NO_CONTENT))
}

pub(super) async fn delete_objects(
    core: &Arc<Core>,
    req: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    let caller = req.extensions.get::<Caller>().and_then(|caller| caller.0.clone());
    let Some(principal) = caller else { return Err(errors::access_denied()) };
    let origin = origin_context(req.extensions.get::<Origin>());
    let input = req.input;
    if input.delete.objects.is_empty() || input.delete.objects.len() > KEYS_MAX {
        return Err(errors::malformed_xml());
    }
    let bucket = core.index.bucket(&input.bucket).await?;
    let quiet = input.delete.quiet.unwrap_or(false);
    let (mut deleted, mut failed) = (Vec::new(), Vec::new());
    for object in input.delete.objects {
        let outcome = async {
            if object.size.is_some() || object.last_modified_time.is_some() {
                return Err(errors::not_implemented("Of the conditions of a deletion, the embedded S3 has ETag only."));
            }
            super::put::check_key(&object.key)?;
            let mut context = origin.clone();
            let action = if let Some(id) = &object.version_id {
                context.insert("s3:VersionId", id.clone());
                "s3:DeleteObjectVersion"
            } else {
                "s3:DeleteObject"
            };
            let resource = object_arn(&input.bucket, &object.key);
            core.ask(&principal, action, &resource, Some(&bucket), &context).await?;
            let etag = object.e_tag.clone().map(ETagCondition::ETag);
            let id = object.version_id.as_deref();
            delete(core, &input.bucket, &bucket, &object.key, id, condition(etag)).await
        }
        .await;
        match outcome {
            Ok(_) if quiet => {}
            Ok(done) => {
                let marker_id = done.marker.then(|| done.version_id.clone()).flatten();
                deleted.push(DeletedObject {
                    delete_marker: done.marker.then_some(true),
                    delete_marker_version_id: marker_id,
                    key: Some(object.key),
                    version_id: object.version_id,
                });
            }
            Err(error) => failed.push(Error {
                code: Some(error.code().as_str().to_owned()),
                key: Some(object.key),
                message: error.message().map(str::to_owned),
                version_id: object.version_id,
            }),
        }
    }
    let output = DeleteObjectsOutput { deleted: Some(deleted), errors: Some(failed), request_charged: None };
    Ok(S3Response::new(output))
}
