//! The settings of a bucket: versioning, ownership, public access, policy, encryption, notifications; and AWS's answers for
//! those that are never set here.

use std::sync::Arc;

use s3s::dto::{
    BucketVersioningStatus, DeleteBucketOwnershipControlsInput, DeleteBucketOwnershipControlsOutput,
    DeleteBucketPolicyInput, DeleteBucketPolicyOutput, DeletePublicAccessBlockInput, DeletePublicAccessBlockOutput,
    GetBucketAccelerateConfigurationInput, GetBucketAccelerateConfigurationOutput, GetBucketCorsInput,
    GetBucketCorsOutput, GetBucketEncryptionInput, GetBucketEncryptionOutput, GetBucketLifecycleConfigurationInput,
    GetBucketLifecycleConfigurationOutput, GetBucketLoggingInput, GetBucketLoggingOutput,
    GetBucketNotificationConfigurationInput, GetBucketNotificationConfigurationOutput, GetBucketOwnershipControlsInput,
    GetBucketOwnershipControlsOutput, GetBucketPolicyInput, GetBucketPolicyOutput, GetBucketReplicationInput,
    GetBucketReplicationOutput, GetBucketRequestPaymentInput, GetBucketRequestPaymentOutput, GetBucketVersioningInput,
    GetBucketVersioningOutput, GetBucketWebsiteInput, GetBucketWebsiteOutput, GetObjectLockConfigurationInput,
    GetObjectLockConfigurationOutput, GetPublicAccessBlockInput, GetPublicAccessBlockOutput, MFADelete,
    ObjectOwnership, OwnershipControls, OwnershipControlsRule, Payer, PublicAccessBlockConfiguration,
    PutBucketEncryptionInput, PutBucketEncryptionOutput, PutBucketNotificationConfigurationInput,
    PutBucketNotificationConfigurationOutput, PutBucketOwnershipControlsInput, PutBucketOwnershipControlsOutput,
    PutBucketPolicyInput, PutBucketPolicyOutput, PutBucketVersioningInput, PutBucketVersioningOutput,
    PutPublicAccessBlockInput, PutPublicAccessBlockOutput, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
};
use s3s::{S3Request, S3Response, S3Result};

use crate::s3::convert;
use crate::s3::core::Core;
use crate::s3::errors;
use crate::s3::records::{Ownership, PublicAccess, Versioning};

/// Bytes in a bucket policy.
const POLICY_BYTES_MAX: usize = 20 * 1024;

fn no_content<T>(output: T) -> S3Response<T> {
    S3Response::with_status(output, http::StatusCode::NO_CONTENT)
}

// Versioning.

pub(super) async fn get_bucket_versioning(
    core: &Arc<Core>,
    req: S3Request<GetBucketVersioningInput>,
) -> S3Result<S3Response<GetBucketVersioningOutput>> {
    let status = match core.index.bucket(&req.input.bucket).await?.versioning {
        Versioning::Off => None,
        Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
        Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
    };
    let status = status.map(BucketVersioningStatus::from_static);
    Ok(S3Response::new(GetBucketVersioningOutput { mfa_delete: None, status }))
}

pub(super) async fn put_bucket_versioning(
    core: &Arc<Core>,
    req: S3Request<PutBucketVersioningInput>,
) -> S3Result<S3Response<PutBucketVersioningOutput>> {
    let configuration = req.input.versioning_configuration;
    if configuration.mfa_delete.as_ref().is_some_and(|mfa| mfa.as_str() == MFADelete::ENABLED) {
        return Err(errors::not_implemented("MFA delete is not part of the embedded S3."));
    }
    let versioning = match configuration.status.as_ref().map(BucketVersioningStatus::as_str) {
        Some("Enabled") => Versioning::Enabled,
        Some("Suspended") => Versioning::Suspended,
        Some(_) => return Err(errors::malformed_xml()),
        None => {
            return Err(s3s::s3_error!(
                IllegalVersioningConfigurationException,
                "The Versioning element must be specified"
            ));
        }
    };
    core.index
        .update_bucket(&req.input.bucket, |bucket| {
            bucket.versioning = versioning;
            Ok(())
        })
        .await?;
    Ok(S3Response::new(PutBucketVersioningOutput::default()))
}

// Ownership and public access.

pub(super) async fn get_bucket_ownership_controls(
    core: &Arc<Core>,
    req: S3Request<GetBucketOwnershipControlsInput>,
) -> S3Result<S3Response<GetBucketOwnershipControlsOutput>> {
    let bucket = core.index.bucket(&req.input.bucket).await?;
    let ownership = bucket.ownership.ok_or_else(errors::no_such_ownership)?;
    let rule = OwnershipControlsRule { object_ownership: ObjectOwnership::from_static(ownership.as_str()) };
    let ownership_controls = Some(OwnershipControls { rules: vec![rule] });
    Ok(S3Response::new(GetBucketOwnershipControlsOutput { ownership_controls }))
}

pub(super) async fn put_bucket_ownership_controls(
    core: &Arc<Core>,
    req: S3Request<PutBucketOwnershipControlsInput>,
) -> S3Result<S3Response<PutBucketOwnershipControlsOutput>> {
    let [rule] = &req.input.ownership_controls.rules[..] else { return Err(errors::malformed_xml()) };
    let ownership = Ownership::parse(rule.object_ownership.as_str()).ok_or_else(errors::malformed_xml)?;
    core.index
        .update_bucket(&req.input.bucket, |bucket| {
            if ownership == Ownership::BucketOwnerEnforced && bucket.acl != convert::PRIVATE {
                return Err(errors::bucket_acl_with_ownership());
            }
            bucket.ownership = Some(ownership);
            Ok(())
        })
        .await?;
    Ok(S3Response::new(PutBucketOwnershipControlsOutput::default()))
}

pub(super) async fn delete_bucket_ownership_controls(
    core: &Arc<Core>,
    req: S3Request<DeleteBucketOwnershipControlsInput>,
) -> S3Result<S3Response<DeleteBucketOwnershipControlsOutput>> {
    core.index
        .update_bucket(&req.input.bucket, |bucket| {
            bucket.ownership = None;
            Ok(())
        })
        .await?;
    Ok(no_content(DeleteBucketOwnershipControlsOutput::default()))
}

pub(super) async fn get_public_access_block(
    core: &Arc<Core>,
    req: S3Request<GetPublicAccessBlockInput>,
) -> S3Result<S3Response<GetPublicAccessBlockOutput>> {
    let bucket = core.index.bucket(&req.input.bucket).await?;
    let block = bucket.public_access.ok_or_else(errors::no_public_access_block)?;
    let public_access_block_configuration = Some(PublicAccessBlockConfiguration {
        block_public_acls: Some(block.block_acls),
        block_public_policy: Some(block.block_policy),
        ignore_public_acls: Some(block.ignore_acls),
        restrict_public_buckets: Some(block.restrict_buckets),
    });
    Ok(S3Response::new(GetPublicAccessBlockOutput { public_access_block_configuration }))
}

pub(super) async fn put_public_access_block(
    core: &Arc<Core>,
    req: S3Request<PutPublicAccessBlockInput>,
) -> S3Result<S3Response<PutPublicAccessBlockOutput>> {
    let given = req.input.public_access_block_configuration;
    let block = PublicAccess {
        block_acls: given.block_public_acls.unwrap_or(false),
        ignore_acls: given.ignore_public_acls.unwrap_or(false),
        block_policy: given.block_public_policy.unwrap_or(false),
        restrict_buckets: given.restrict_public_buckets.unwrap_or(false),
    };
    core.index
        .update_bucket(&req.input.bucket, |bucket| {
            bucket.public_access = Some(block);
            Ok(())
        })
        .await?;
    Ok(S3Response::new(PutPublicAccessBlockOutput::default()))
}

pub(super) async fn delete_public_access_block(
    core: &Arc<Core>,
    req: S3Request<DeletePublicAccessBlockInput>,
) -> S3Result<S3Response<DeletePublicAccessBlockOutput>> {
    core.index
        .update_bucket(&req.input.bucket, |bucket| {
            bucket.public_access = None;
            Ok(())
        })
        .await?;
    Ok(no_content(DeletePublicAccessBlockOutput::default()))
}

// Policy.

pub(super) async fn get_bucket_policy(
    core: &Arc<Core>,
    req: S3Request<GetBucketPolicyInput>,
) -> S3Result<S3Response<GetBucketPolicyOutput>> {
    let bucket = core.index.bucket(&req.input.bucket).await?;
    let policy = Some(bucket.policy.ok_or_else(errors::no_such_bucket_policy)?);
    Ok(S3Response::new(GetBucketPolicyOutput { policy }))
}

pub(super) async fn put_bucket_policy(
    core: &Arc<Core>,
    req: S3Request<PutBucketPolicyInput>,
) -> S3Result<S3Response<PutBucketPolicyOutput>> {
    let policy = req.input.policy;
    let public = check_policy(&policy)?;
    let meant = core.authorize.check_policy(&req.input.bucket, &policy).await;
    meant.map_err(errors::malformed_policy)?;
    core.index
        .update_bucket(&req.input.bucket, |bucket| {
            if public && bucket.public_access.is_some_and(|block| block.block_policy) {
                return Err(errors::access_denied());
            }
            bucket.policy = Some(policy.clone());
            Ok(())
        })
        .await?;
    Ok(no_content(PutBucketPolicyOutput::default()))
}

/// Whether a policy that was put lets everybody in; one that cannot be read is taken for one that does.
pub(in crate::s3) fn is_public_policy(text: &str) -> bool {
    check_policy(text).unwrap_or(true)
}

/// Whether a policy has the outer form of one. Answers whether it lets everybody in.
fn check_policy(text: &str) -> S3Result<bool> {
    if text.len() > POLICY_BYTES_MAX {
        return Err(errors::malformed_policy("Policy exceeds the maximum allowed document size."));
    }
    let policy: serde_json::Value = serde_json::from_str(text)
        .map_err(|_| errors::malformed_policy("Policies must be valid JSON and the first byte must be '{'"))?;
    let Some(policy) = policy.as_object() else {
        return Err(errors::malformed_policy("Policies must be valid JSON and the first byte must be '{'"));
    };
    let statements = match policy.get("Statement") {
        None => return Err(errors::malformed_policy("Missing required field Statement")),
        Some(serde_json::Value::Array(statements)) => statements.iter().collect::<Vec<_>>(),
        Some(statement) => vec![statement],
    };
    let everybody = |principal: &serde_json::Value| {
        let star = |value: &serde_json::Value| {
            value == "*" || value.as_array().is_some_and(|values| values.iter().any(|value| value == "*"))
        };
        star(principal) || principal.get("AWS").is_some_and(star)
    };
    let mut public = false;
    for statement in statements {
        for field in ["Effect", "Principal", "Action", "Resource"] {
            let negated = format!("Not{field}");
            if statement.get(field).is_none() && (field == "Effect" || statement.get(&negated).is_none()) {
                return Err(errors::malformed_policy(format!("Missing required field {field}")));
            }
        }
        public |= statement["Effect"] == "Allow"
            && statement.get("Condition").is_none()
            && statement.get("Principal").is_some_and(everybody);
    }
    Ok(public)
}

pub(super) async fn delete_bucket_policy(
    core: &Arc<Core>,
    req: S3Request<DeleteBucketPolicyInput>,
) -> S3Result<S3Response<DeleteBucketPolicyOutput>> {
    core.index
        .update_bucket(&req.input.bucket, |bucket| {
            bucket.policy = None;
            Ok(())
        })
        .await?;
    Ok(no_content(DeleteBucketPolicyOutput::default()))
}

// Encryption.

pub(super) async fn get_bucket_encryption(
    core: &Arc<Core>,
    req: S3Request<GetBucketEncryptionInput>,
) -> S3Result<S3Response<GetBucketEncryptionOutput>> {
    let bucket = core.index.bucket(&req.input.bucket).await?;
    let rule = ServerSideEncryptionRule {
        apply_server_side_encryption_by_default: Some(ServerSideEncryptionByDefault {
            kms_master_key_id: None,
            sse_algorithm: ServerSideEncryption::from_static(ServerSideEncryption::AES256),
        }),
        bucket_key_enabled: Some(bucket.key_reuse),
    };
    let server_side_encryption_configuration = Some(ServerSideEncryptionConfiguration { rules: vec![rule] });
    Ok(S3Response::new(GetBucketEncryptionOutput { server_side_encryption_configuration }))
}

pub(super) async fn put_bucket_encryption(
    core: &Arc<Core>,
    req: S3Request<PutBucketEncryptionInput>,
) -> S3Result<S3Response<PutBucketEncryptionOutput>> {
    let [rule] = &req.input.server_side_encryption_configuration.rules[..] else {
        return Err(errors::malformed_xml());
    };
    if let Some(default) = &rule.apply_server_side_encryption_by_default {
        let key = default.kms_master_key_id.as_deref();
        if convert::encryption(Some(default.sse_algorithm.as_str()), key, None)? {
            return Err(errors::not_implemented(
                "Default encryption with AWS KMS is not available: KMS is not embedded yet. Ask for aws:kms with each object.",
            ));
        }
    }
    let bucket_key = rule.bucket_key_enabled.unwrap_or(false);
    core.index
        .update_bucket(&req.input.bucket, |bucket| {
            bucket.key_reuse = bucket_key;
            Ok(())
        })
        .await?;
    Ok(S3Response::new(PutBucketEncryptionOutput::default()))
}

// Notifications.

pub(super) async fn get_bucket_notification_configuration(
    core: &Arc<Core>,
    req: S3Request<GetBucketNotificationConfigurationInput>,
) -> S3Result<S3Response<GetBucketNotificationConfigurationOutput>> {
    core.index.bucket(&req.input.bucket).await?;
    Ok(S3Response::new(GetBucketNotificationConfigurationOutput::default()))
}

pub(super) async fn put_bucket_notification_configuration(
    core: &Arc<Core>,
    req: S3Request<PutBucketNotificationConfigurationInput>,
) -> S3Result<S3Response<PutBucketNotificationConfigurationOutput>> {
    core.index.bucket(&req.input.bucket).await?;
    let asked = req.input.notification_configuration;
    let filled = asked.event_bridge_configuration.is_some()
        || asked.lambda_function_configurations.is_some_and(|list| !list.is_empty())
        || asked.queue_configurations.is_some_and(|list| !list.is_empty())
        || asked.topic_configurations.is_some_and(|list| !list.is_empty());
    if filled {
        return Err(errors::not_implemented(
            "Bucket notifications are not part of the embedded S3 yet: only an empty configuration is accepted.",
        ));
    }
    Ok(S3Response::new(PutBucketNotificationConfigurationOutput::default()))
}

// What is never set.

macro_rules! never_set {
    ($($name:ident($input:ident) -> $output:ident, $error:ident;)+) => {
        $(pub(super) async fn $name(core: &Arc<Core>, req: S3Request<$input>) -> S3Result<S3Response<$output>> {
            core.index.bucket(&req.input.bucket).await?;
            Err(errors::$error())
        })+
    };
}

never_set! {
    get_bucket_cors(GetBucketCorsInput) -> GetBucketCorsOutput, no_such_cors;
    get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput)
        -> GetBucketLifecycleConfigurationOutput, no_such_lifecycle;
    get_bucket_replication(GetBucketReplicationInput) -> GetBucketReplicationOutput, no_such_replication;
    get_bucket_website(GetBucketWebsiteInput) -> GetBucketWebsiteOutput, no_such_website;
    get_object_lock_configuration(GetObjectLockConfigurationInput)
        -> GetObjectLockConfigurationOutput, no_such_object_lock;
}

pub(super) async fn get_bucket_accelerate_configuration(
    core: &Arc<Core>,
    req: S3Request<GetBucketAccelerateConfigurationInput>,
) -> S3Result<S3Response<GetBucketAccelerateConfigurationOutput>> {
    core.index.bucket(&req.input.bucket).await?;
    Ok(S3Response::new(GetBucketAccelerateConfigurationOutput::default()))
}

pub(super) async fn get_bucket_logging(
    core: &Arc<Core>,
    req: S3Request<GetBucketLoggingInput>,
) -> S3Result<S3Response<GetBucketLoggingOutput>> {
    core.index.bucket(&req.input.bucket).await?;
    Ok(S3Response::new(GetBucketLoggingOutput::default()))
}

pub(super) async fn get_bucket_request_payment(
    core: &Arc<Core>,
    req: S3Request<GetBucketRequestPaymentInput>,
) -> S3Result<S3Response<GetBucketRequestPaymentOutput>> {
    core.index.bucket(&req.input.bucket).await?;
    let payer = Some(Payer::from_static(Payer::BUCKET_OWNER));
    Ok(S3Response::new(GetBucketRequestPaymentOutput { payer }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_needs_its_outer_form() {
        let text = |policy: &str| check_policy(policy).unwrap_err().message().unwrap_or_default().to_owned();
        assert!(text("x").contains("valid JSON"));
        assert!(text("[]").contains("valid JSON"));
        assert_eq!(text("{}"), "Missing required field Statement");
        assert_eq!(text(r#"{"Statement":[{"Effect":"Allow"}]}"#), "Missing required field Principal");
        let policy = |principal: &str, extra: &str| {
            format!(
                r#"{{"Statement":{{"Effect":"Allow","Principal":{principal},"Action":"s3:*","Resource":"*"{extra}}}}}"#
            )
        };
        assert!(check_policy(&policy(r#""*""#, "")).unwrap());
        assert!(check_policy(&policy(r#"{"AWS":["*"]}"#, "")).unwrap());
        assert!(!check_policy(&policy(r#""*""#, r#","Condition":{}"#)).unwrap());
        assert!(!check_policy(&policy(r#"{"AWS":"123456789012"}"#, "")).unwrap());
    }
}
