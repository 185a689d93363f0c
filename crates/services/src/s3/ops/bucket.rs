//! Making, finding and removing buckets.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::dto::{
    BucketLocationConstraint, CreateBucketInput, CreateBucketOutput, DeleteBucketInput, DeleteBucketOutput,
    GetBucketLocationInput, GetBucketLocationOutput, HeadBucketInput, HeadBucketOutput, ListBucketsInput,
    ListBucketsOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use crate::s3::auth::Caller;
use crate::s3::convert::{self, bucket_acl, owner, timestamp};
use crate::s3::core::Core;
use crate::s3::errors;
use crate::s3::records::{Bucket, Ownership, PublicAccess, Versioning};

/// The region in which an empty location means itself.
const CLASSIC: &str = "us-east-1";
/// Buckets in one page of ListBuckets.
const PAGE_MAX: i32 = 10_000;

/// Rules for names past those s3s applies to every request.
pub(in crate::s3) fn check_name(name: &str) -> S3Result<()> {
    let reserved = ["sthree-", "amzn-s3-demo-"].iter().any(|prefix| name.starts_with(prefix))
        || ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"].iter().any(|suffix| name.ends_with(suffix));
    if reserved || !s3s::path::check_bucket_name(name) || name.contains(".-") || name.contains("-.") {
        return Err(errors::invalid_bucket_name());
    }
    Ok(())
}

pub(in crate::s3) fn fresh(account: &str, region: &str, now_ms: u64) -> Bucket {
    Bucket {
        account: account.to_owned(),
        region: region.to_owned(),
        created_ms: now_ms,
        versioning: Versioning::Off,
        acl: convert::PRIVATE.to_owned(),
        ownership: Some(Ownership::BucketOwnerEnforced),
        public_access: Some(PublicAccess::BLOCKED),
        policy: None,
        tags: None,
        key_reuse: false,
    }
}

pub(super) async fn create_bucket(
    core: &Arc<Core>,
    req: S3Request<CreateBucketInput>,
) -> S3Result<S3Response<CreateBucketOutput>> {
    let caller = req.extensions.get::<Caller>().and_then(|caller| caller.0.clone());
    let Some(principal) = caller else { return Err(errors::access_denied()) };
    let input = req.input;
    check_name(&input.bucket)?;
    if input.grant_full_control.is_some()
        || input.grant_read.is_some()
        || input.grant_read_acp.is_some()
        || input.grant_write.is_some()
        || input.grant_write_acp.is_some()
    {
        return Err(errors::not_implemented("x-amz-grant-* headers are not part of the embedded S3. Use x-amz-acl."));
    }
    if input.object_lock_enabled_for_bucket == Some(true) {
        return Err(errors::not_implemented("Object Lock is not part of the embedded S3."));
    }
    let configuration = input.create_bucket_configuration.unwrap_or_default();
    if configuration.bucket.is_some() || configuration.location.is_some() {
        return Err(errors::not_implemented("Directory buckets are not part of the embedded S3."));
    }
    let endpoint = req.region.as_ref().map_or(core.region.as_str(), s3s::region::Region::as_str);
    let region = region(endpoint, configuration.location_constraint.as_ref().map(BucketLocationConstraint::as_str))?;
    let mut bucket = fresh(&principal.account, &region, core.index.now_ms());
    if let Some(ownership) = &input.object_ownership {
        let parsed = Ownership::parse(ownership.as_str());
        bucket.ownership =
            Some(parsed.ok_or_else(|| errors::invalid_argument("Invalid x-amz-object-ownership header"))?);
    }
    if let Some(acl) = &input.acl {
        if !bucket.acls_enabled() && acl.as_str() != convert::PRIVATE {
            return Err(errors::bucket_acl_with_ownership());
        }
        bucket.acl = bucket_acl(acl.as_str(), &bucket)?;
    }
    // Only the oldest region lets an owner make a bucket twice.
    core.index.create_bucket(&input.bucket, &bucket, region == CLASSIC).await?;
    let output = CreateBucketOutput { location: Some(format!("/{}", input.bucket)) };
    Ok(S3Response::new(output))
}

/// The region of a new bucket, by the endpoint that was asked and the constraint in the request.
fn region(endpoint: &str, constraint: Option<&str>) -> S3Result<String> {
    let constraint = constraint.filter(|constraint| !constraint.is_empty());
    match constraint {
        None if endpoint == CLASSIC => Ok(CLASSIC.to_owned()),
        None => Err(s3_error!(
            IllegalLocationConstraintException,
            "The unspecified location constraint is incompatible for the region specific endpoint this request was sent \
             to."
        )),
        // AWS wants the constraint left out here.
        Some(CLASSIC) => Err(s3_error!(InvalidLocationConstraint, "The specified location-constraint is not valid")),
        Some(named) => {
            let region = if named == "EU" { "eu-west-1" } else { named };
            let form = region.split('-').count() >= 3
                && region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
            if !form {
                return Err(s3_error!(InvalidLocationConstraint, "The specified location-constraint is not valid"));
            }
            if endpoint != CLASSIC && endpoint != region {
                return Err(s3_error!(
                    IllegalLocationConstraintException,
                    "The {named} location constraint is incompatible for the region specific endpoint this request was \
                     sent to."
                ));
            }
            Ok(region.to_owned())
        }
    }
}

pub(super) async fn delete_bucket(
    core: &Arc<Core>,
    req: S3Request<DeleteBucketInput>,
) -> S3Result<S3Response<DeleteBucketOutput>> {
    let displaced = core.index.delete_bucket(&req.input.bucket).await?;
    core.discard(displaced).await;
    Ok(S3Response::with_status(DeleteBucketOutput::default(), http::StatusCode::NO_CONTENT))
}

pub(super) async fn head_bucket(
    core: &Arc<Core>,
    req: S3Request<HeadBucketInput>,
) -> S3Result<S3Response<HeadBucketOutput>> {
    let bucket = core.index.bucket(&req.input.bucket).await?;
    let output = HeadBucketOutput { bucket_region: Some(bucket.region), ..HeadBucketOutput::default() };
    Ok(S3Response::new(output))
}

pub(super) async fn get_bucket_location(
    core: &Arc<Core>,
    req: S3Request<GetBucketLocationInput>,
) -> S3Result<S3Response<GetBucketLocationOutput>> {
    let bucket = core.index.bucket(&req.input.bucket).await?;
    let location_constraint = (bucket.region != CLASSIC).then(|| BucketLocationConstraint::from(bucket.region));
    Ok(S3Response::new(GetBucketLocationOutput { location_constraint }))
}

pub(super) async fn list_buckets(
    core: &Arc<Core>,
    req: S3Request<ListBucketsInput>,
) -> S3Result<S3Response<ListBucketsOutput>> {
    let caller = req.extensions.get::<Caller>().and_then(|caller| caller.0.clone());
    let Some(principal) = caller else { return Err(errors::access_denied()) };
    let input = req.input;
    let after = match &input.continuation_token {
        None => String::new(),
        Some(token) => URL_SAFE_NO_PAD
            .decode(token)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| errors::invalid_argument("The continuation token provided is incorrect"))?,
    };
    let limit = match input.max_buckets {
        None => PAGE_MAX,
        Some(limit @ 1..=PAGE_MAX) => limit,
        Some(_) => {
            return Err(errors::invalid_argument("Argument max-buckets must be an integer between 1 and 10000"));
        }
    };
    let prefix = input.prefix.clone().unwrap_or_default();
    let mut matching: Vec<_> = core
        .index
        .buckets_of(&principal.account)
        .await?
        .into_iter()
        .filter(|(name, bucket)| {
            *name > after
                && name.starts_with(&prefix)
                && input.bucket_region.as_ref().is_none_or(|region| *region == bucket.region)
        })
        .collect();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = matching.len() > limit;
    matching.truncate(limit);
    let continuation_token = matching.last().filter(|_| more).map(|(name, _)| URL_SAFE_NO_PAD.encode(name.as_bytes()));
    let paged = input.max_buckets.is_some() || input.continuation_token.is_some();
    let buckets = matching.into_iter().map(|(name, bucket)| s3s::dto::Bucket {
        bucket_region: paged.then_some(bucket.region),
        creation_date: Some(timestamp(bucket.created_ms)),
        name: Some(name),
    });
    let output = ListBucketsOutput {
        buckets: Some(buckets.collect()),
        continuation_token,
        owner: Some(owner(&principal.account)),
        prefix: input.prefix,
    };
    Ok(S3Response::new(output))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_of_a_new_bucket() {
        let code =
            |endpoint, constraint| region(endpoint, constraint).map_err(|error| error.code().as_str().to_owned());
        assert_eq!(code("us-east-1", None), Ok("us-east-1".to_owned()));
        assert_eq!(code("us-east-1", Some("eu-west-1")), Ok("eu-west-1".to_owned()));
        assert_eq!(code("us-east-1", Some("EU")), Ok("eu-west-1".to_owned()));
        assert_eq!(code("eu-west-1", Some("eu-west-1")), Ok("eu-west-1".to_owned()));
        assert_eq!(code("eu-west-1", None), Err("IllegalLocationConstraintException".to_owned()));
        assert_eq!(code("eu-west-1", Some("eu-west-2")), Err("IllegalLocationConstraintException".to_owned()));
        assert_eq!(code("us-east-1", Some("us-east-1")), Err("InvalidLocationConstraint".to_owned()));
        assert_eq!(code("us-east-1", Some("Mars")), Err("InvalidLocationConstraint".to_owned()));
    }

    #[test]
    fn names_follow_awss_rules() {
        for good in ["abc", "my.bucket-1", "0bucket"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["ab", "Abc", "a_b", "a..b", "a.-b", "192.168.0.1", "xn--abc", "abc-s3alias", "sthree-a", "-abc"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
