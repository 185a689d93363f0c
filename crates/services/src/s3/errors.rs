//! Every refusal of S3 in one place: AWS's codes, statuses and texts. It decides nothing; callers say what happened.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use http::StatusCode;
use s3s::{S3Error, S3ErrorCode, s3_error};
use towpath_store::StoreError;

/// A code s3s has no name for.
fn custom(code: &'static str, status: StatusCode, message: impl Into<Cow<'static, str>>) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
    error.set_status_code(status);
    error
}

/// A code with AWS's fixed text for it.
macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident = $code:ident, $text:literal;)+) => {
        $($(#[$doc])* pub(super) fn $name() -> S3Error { s3_error!($code, $text) })+
    };
}

fixed! {
    access_denied = AccessDenied, "Access Denied";
    acls_off = AccessControlListNotSupported, "The bucket does not allow ACLs";
    bucket_acl_with_ownership = InvalidBucketAclWithObjectOwnership,
        "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting";
    bucket_taken = BucketAlreadyExists, "The requested bucket name is not available. The bucket namespace is shared by \
        all users of the system. Please select a different name and try again.";
    bucket_yours = BucketAlreadyOwnedByYou,
        "Your previous request to create the named bucket succeeded and you already own it.";
    bucket_not_empty = BucketNotEmpty, "The bucket you tried to delete is not empty";
    bucket_not_empty_versions = BucketNotEmpty,
        "The bucket you tried to delete is not empty. You must delete all versions in the bucket.";
    expired_token = ExpiredToken, "The provided token has expired.";
    incomplete_body = IncompleteBody,
        "You did not provide the number of bytes specified by the Content-Length HTTP header";
    invalid_access_key = InvalidAccessKeyId, "The AWS Access Key Id you provided does not exist in our records.";
    invalid_bucket_name = InvalidBucketName, "The specified bucket is not valid.";
    invalid_digest = InvalidDigest, "The Content-MD5 you specified was invalid.";
    invalid_range = InvalidRange, "The requested range is not satisfiable";
    invalid_storage_class = InvalidStorageClass, "The storage class you specified is not valid";
    invalid_token = InvalidToken, "The provided token is malformed or otherwise invalid.";
    key_too_long = KeyTooLongError, "Your key is too long";
    malformed_acl = MalformedACLError,
        "The XML you provided was not well-formed or did not validate against our published schema";
    malformed_xml = MalformedXML,
        "The XML you provided was not well-formed or did not validate against our published schema";
    md5_mismatch = BadDigest, "The Content-MD5 you specified did not match what we received.";
    metadata_too_large = MetadataTooLarge, "Your metadata headers exceed the maximum allowed metadata size";
    method_not_allowed = MethodNotAllowed, "The specified method is not allowed against this resource.";
    missing_length = MissingContentLength, "You must provide the Content-Length HTTP header.";
    no_such_bucket = NoSuchBucket, "The specified bucket does not exist";
    no_such_bucket_policy = NoSuchBucketPolicy, "The bucket policy does not exist";
    no_such_cors = NoSuchCORSConfiguration, "The CORS configuration does not exist";
    no_such_key = NoSuchKey, "The specified key does not exist.";
    no_such_lifecycle = NoSuchLifecycleConfiguration, "The lifecycle configuration does not exist";
    no_such_object_lock = ObjectLockConfigurationNotFoundError,
        "Object Lock configuration does not exist for this bucket";
    no_such_ownership = OwnershipControlsNotFoundError, "The bucket ownership controls were not found";
    no_such_replication = ReplicationConfigurationNotFoundError, "The replication configuration was not found";
    no_such_tags = NoSuchTagSet, "The TagSet does not exist";
    no_such_upload = NoSuchUpload, "The specified upload does not exist. The upload ID may be invalid, or the upload \
        may have been aborted or completed.";
    no_such_version = NoSuchVersion, "The specified version does not exist.";
    no_such_website = NoSuchWebsiteConfiguration, "The specified bucket does not have a website configuration";
    part_missing = InvalidPart, "One or more of the specified parts could not be found.  The part may not have been \
        uploaded, or the specified entity tag may not match the part's entity tag.";
    part_order = InvalidPartOrder, "The list of parts was not in ascending order. Parts must be ordered by part number.";
    part_too_small = EntityTooSmall, "Your proposed upload is smaller than the minimum allowed size";
    precondition_failed = PreconditionFailed, "At least one of the pre-conditions you specified did not hold";
    signature_mismatch = SignatureDoesNotMatch, "The request signature we calculated does not match the signature you \
        provided. Check your key and signing method.";
    too_large = EntityTooLarge, "Your proposed upload exceeds the maximum allowed size";
    too_many_buckets = TooManyBuckets, "You have attempted to create more buckets than allowed";
    write_conflict = ConditionalRequestConflict, "The conditional request cannot succeed due to a conflicting operation \
        against this resource.";
}

pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> S3Error {
    custom("BadRequest", StatusCode::BAD_REQUEST, message)
}

pub(super) fn denied(message: String) -> S3Error {
    S3Error::with_message(S3ErrorCode::AccessDenied, message)
}

pub(super) fn invalid_argument(message: impl Into<Cow<'static, str>>) -> S3Error {
    S3Error::with_message(S3ErrorCode::InvalidArgument, message)
}

pub(super) fn invalid_request(message: impl Into<Cow<'static, str>>) -> S3Error {
    S3Error::with_message(S3ErrorCode::InvalidRequest, message)
}

pub(super) fn invalid_tag(message: impl Into<Cow<'static, str>>) -> S3Error {
    S3Error::with_message(S3ErrorCode::InvalidTag, message)
}

pub(super) fn malformed_policy(message: impl Into<Cow<'static, str>>) -> S3Error {
    S3Error::with_message(S3ErrorCode::MalformedPolicy, message)
}

pub(super) fn malformed_authorization(detail: &str) -> S3Error {
    s3_error!(AuthorizationHeaderMalformed, "The authorization header is malformed; {detail}")
}

pub(super) fn malformed_query(message: &'static str) -> S3Error {
    S3Error::with_message(S3ErrorCode::AuthorizationQueryParametersError, message)
}

pub(super) fn not_implemented(message: impl Into<Cow<'static, str>>) -> S3Error {
    S3Error::with_message(S3ErrorCode::NotImplemented, message)
}

pub(super) fn not_modified() -> S3Error {
    S3ErrorCode::NotModified.into()
}

pub(super) fn no_public_access_block() -> S3Error {
    custom(
        "NoSuchPublicAccessBlockConfiguration",
        StatusCode::NOT_FOUND,
        "The public access block configuration was not found",
    )
}

pub(super) fn part_number() -> S3Error {
    custom("InvalidPartNumber", StatusCode::RANGE_NOT_SATISFIABLE, "The requested partnumber is not satisfiable")
}

pub(super) fn sha256_mismatch() -> S3Error {
    custom(
        "XAmzContentSHA256Mismatch",
        StatusCode::BAD_REQUEST,
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    )
}

pub(super) fn checksum_mismatch(algorithm: &str) -> S3Error {
    s3_error!(BadDigest, "The {algorithm} you specified did not match the calculated checksum.")
}

pub(super) fn skewed() -> S3Error {
    s3_error!(RequestTimeTooSkewed, "The difference between the request time and the current time is too large.")
}

/// Something of ours failed. The client learns that it may try again, the log learns why.
pub(super) fn internal(attempted: &str, cause: &dyn std::error::Error) -> S3Error {
    tracing::error!(attempted, cause = %chain(cause), "S3 failed");
    s3_error!(InternalError, "We encountered an internal error. Please try again.")
}

fn disk_full(place: &str) -> S3Error {
    let mut error = s3_error!(
        InternalError,
        "No space left on the disk that holds {place}: nothing was stored and nothing is lost. Free some space there \
         and repeat the request."
    );
    error.set_status_code(StatusCode::INSUFFICIENT_STORAGE);
    error
}

/// A file could not be written or read.
pub(super) fn io(attempted: &str, path: &Path, cause: &io::Error) -> S3Error {
    if matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        tracing::error!(path = %path.display(), "no space left for objects");
        return disk_full(&path.display().to_string());
    }
    internal(&format!("{attempted} {}", path.display()), cause)
}

pub(super) fn store(error: StoreError) -> S3Error {
    match error {
        StoreError::DiskFull { path } => disk_full(&path.display().to_string()),
        error if error.is_conflict() => {
            s3_error!(
                OperationAborted,
                "A conflicting conditional operation is currently in progress against this \
                resource. Please try again."
            )
        }
        StoreError::Closed => {
            s3_error!(ServiceUnavailable, "The server is shutting down. Please try again.")
        }
        other => internal("use the document store", &other),
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
