//! The operations, one function each, in files by what they are about; this list hands each request of s3s to its function.
//! Every request has passed the gate in `access` before it comes here.

mod bucket;
mod config;
mod copy;
mod delete;
mod get;
mod list;
mod multipart;
pub(super) mod put;
mod tags_acl;

use std::sync::Arc;

use s3s::{S3, S3Request, S3Response, S3Result};

use super::core::Core;

pub(super) struct Ops {
    pub core: Arc<Core>,
}

macro_rules! operations {
    ($($module:ident :: $name:ident ($input:ident) -> $output:ident;)+) => {
        #[async_trait::async_trait]
        impl S3 for Ops {
            $(async fn $name(&self, req: S3Request<s3s::dto::$input>) -> S3Result<S3Response<s3s::dto::$output>> {
                $module::$name(&self.core, req).await
            })+
        }
    };
}

operations! {
    multipart::abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput;
    multipart::complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput;
    copy::copy_object(CopyObjectInput) -> CopyObjectOutput;
    bucket::create_bucket(CreateBucketInput) -> CreateBucketOutput;
    multipart::create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput;
    bucket::delete_bucket(DeleteBucketInput) -> DeleteBucketOutput;
    config::delete_bucket_ownership_controls(DeleteBucketOwnershipControlsInput) -> DeleteBucketOwnershipControlsOutput;
    config::delete_bucket_policy(DeleteBucketPolicyInput) -> DeleteBucketPolicyOutput;
    tags_acl::delete_bucket_tagging(DeleteBucketTaggingInput) -> DeleteBucketTaggingOutput;
    delete::delete_object(DeleteObjectInput) -> DeleteObjectOutput;
    tags_acl::delete_object_tagging(DeleteObjectTaggingInput) -> DeleteObjectTaggingOutput;
    delete::delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput;
    config::delete_public_access_block(DeletePublicAccessBlockInput) -> DeletePublicAccessBlockOutput;
    config::get_bucket_accelerate_configuration(GetBucketAccelerateConfigurationInput)
        -> GetBucketAccelerateConfigurationOutput;
    tags_acl::get_bucket_acl(GetBucketAclInput) -> GetBucketAclOutput;
    config::get_bucket_cors(GetBucketCorsInput) -> GetBucketCorsOutput;
    config::get_bucket_encryption(GetBucketEncryptionInput) -> GetBucketEncryptionOutput;
    config::get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput)
        -> GetBucketLifecycleConfigurationOutput;
    bucket::get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput;
    config::get_bucket_logging(GetBucketLoggingInput) -> GetBucketLoggingOutput;
    config::get_bucket_notification_configuration(GetBucketNotificationConfigurationInput)
        -> GetBucketNotificationConfigurationOutput;
    config::get_bucket_ownership_controls(GetBucketOwnershipControlsInput) -> GetBucketOwnershipControlsOutput;
    config::get_bucket_policy(GetBucketPolicyInput) -> GetBucketPolicyOutput;
    config::get_bucket_replication(GetBucketReplicationInput) -> GetBucketReplicationOutput;
    config::get_bucket_request_payment(GetBucketRequestPaymentInput) -> GetBucketRequestPaymentOutput;
    tags_acl::get_bucket_tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput;
    config::get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput;
    config::get_bucket_website(GetBucketWebsiteInput) -> GetBucketWebsiteOutput;
    get::get_object(GetObjectInput) -> GetObjectOutput;
    tags_acl::get_object_acl(GetObjectAclInput) -> GetObjectAclOutput;
    get::get_object_attributes(GetObjectAttributesInput) -> GetObjectAttributesOutput;
    config::get_object_lock_configuration(GetObjectLockConfigurationInput) -> GetObjectLockConfigurationOutput;
    tags_acl::get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput;
    config::get_public_access_block(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput;
    bucket::head_bucket(HeadBucketInput) -> HeadBucketOutput;
    get::head_object(HeadObjectInput) -> HeadObjectOutput;
    bucket::list_buckets(ListBucketsInput) -> ListBucketsOutput;
    list::list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput;
    list::list_object_versions(ListObjectVersionsInput) -> ListObjectVersionsOutput;
    list::list_objects(ListObjectsInput) -> ListObjectsOutput;
    list::list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output;
    multipart::list_parts(ListPartsInput) -> ListPartsOutput;
    tags_acl::put_bucket_acl(PutBucketAclInput) -> PutBucketAclOutput;
    config::put_bucket_encryption(PutBucketEncryptionInput) -> PutBucketEncryptionOutput;
    config::put_bucket_notification_configuration(PutBucketNotificationConfigurationInput)
        -> PutBucketNotificationConfigurationOutput;
    config::put_bucket_ownership_controls(PutBucketOwnershipControlsInput) -> PutBucketOwnershipControlsOutput;
    config::put_bucket_policy(PutBucketPolicyInput) -> PutBucketPolicyOutput;
    tags_acl::put_bucket_tagging(PutBucketTaggingInput) -> PutBucketTaggingOutput;
    config::put_bucket_versioning(PutBucketVersioningInput) -> PutBucketVersioningOutput;
    put::put_object(PutObjectInput) -> PutObjectOutput;
    tags_acl::put_object_acl(PutObjectAclInput) -> PutObjectAclOutput;
    tags_acl::put_object_tagging(PutObjectTaggingInput) -> PutObjectTaggingOutput;
    config::put_public_access_block(PutPublicAccessBlockInput) -> PutPublicAccessBlockOutput;
    multipart::upload_part(UploadPartInput) -> UploadPartOutput;
    copy::upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput;
}

pub(super) use bucket::{check_name as check_bucket_name, fresh as fresh_bucket};
pub(super) use config::is_public_policy;
pub(super) use delete::delete;
pub(super) use list::keys as list_keys;
