//! The gate in front of every operation: which permission it needs on what, whether a policy or an ACL lets the caller in, and refusal of what is not embedded. It asks; the identity service evaluates.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use s3s::access::{S3Access, S3AccessContext};
use s3s::dto::CopySource;
use s3s::path::S3Path;
use s3s::{S3Result, s3_error};

use super::auth::{self, Caller, Principal, bucket_arn, object_arn};
use super::convert::is_public;
use super::core::Core;
use super::errors;
use super::index::Found;
use super::ops::is_public_policy;
use super::records::Bucket;
use crate::call::Origin;

/// Query parameters that do not turn a plain request into another operation.
const PLAIN: [&str; 13] = [
    "AWSAccessKeyId",
    "Expires",
    "Signature",
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "uploadId",
    "versionId",
    "x-id",
];

pub(super) struct Gate {
    pub core: Arc<Core>,
}

type Context = BTreeMap<&'static str, String>;

#[async_trait]
impl S3Access for Gate {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let caller = cx.extensions_mut().get::<Caller>().cloned().unwrap_or(Caller(None));
        let mut context = origin_context(cx.extensions_mut().get::<Origin>());
        let operation = cx.s3_op().name();
        let query = query(cx.uri());
        guard_subresources(operation, &query)?;
        let named = query.iter().any(|(name, _)| name == "versionId");
        let action = auth::action(operation, named);
        if action.is_none() && operation != "DeleteObjects" {
            return Err(auth::absent(operation));
        }
        let (bucket_name, key) = match cx.s3_path() {
            S3Path::Root => (None, None),
            S3Path::Bucket { bucket } => (Some(bucket.to_string()), None),
            S3Path::Object { bucket, key } => (Some(bucket.to_string()), Some(key.to_string())),
        };
        let header = |name: &str| cx.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let expected_owner = header("x-amz-expected-bucket-owner");
        let source_owner = header("x-amz-source-expected-bucket-owner");
        let source = header("x-amz-copy-source").filter(|_| matches!(operation, "CopyObject" | "UploadPartCopy"));
        let (acl, tagging) = (header("x-amz-acl"), header("x-amz-tagging"));

        let bucket = match &bucket_name {
            Some(name) if operation != "CreateBucket" => {
                self.core.index.find_bucket(name).await?.map(|bucket| bucket.value)
            }
            _ => None,
        };
        if let (Some(expected), Some(bucket)) = (&expected_owner, &bucket)
            && *expected != bucket.account
        {
            return Err(errors::access_denied());
        }

        let name = bucket_name.as_deref().unwrap_or_default();
        context.insert("aws:RequestedRegion", self.core.region.clone());
        for (name, condition) in [
            ("prefix", "s3:prefix"),
            ("delimiter", "s3:delimiter"),
            ("max-keys", "s3:max-keys"),
            ("versionId", "s3:VersionId"),
        ] {
            if let Some(value) = value(&query, name) {
                context.insert(condition, value.to_owned());
            }
        }
        for (name, condition) in HEADER_KEYS {
            if let Some(value) = cx.headers().get(name).and_then(|value| value.to_str().ok()) {
                context.insert(condition, value.to_owned());
            }
        }
        let resource = match (&bucket_name, &key) {
            (None, _) => "*".to_owned(),
            (Some(bucket), None) => bucket_arn(bucket),
            (Some(bucket), Some(key)) => object_arn(bucket, key),
        };
        let mut actions: Vec<&str> = action.into_iter().collect();
        if matches!(operation, "PutObject" | "CopyObject" | "CreateMultipartUpload") {
            actions.extend(acl.is_some().then_some("s3:PutObjectAcl"));
            actions.extend(tagging.is_some().then_some("s3:PutObjectTagging"));
        }
        let principal = caller.0.as_deref();
        let own =
            principal.is_some_and(|principal| bucket.as_ref().is_none_or(|bucket| bucket.account == principal.account));
        if let (true, Some(principal)) = (own, principal) {
            for action in actions {
                self.core.ask(principal, action, &resource, bucket.as_ref(), &context).await?;
            }
        } else {
            let version = value(&query, "versionId");
            let target = bucket.as_ref().map(|bucket| Target { name, bucket, key: key.as_deref(), version });
            self.outside(operation, target, principal, &actions, &context).await?;
        }
        if let Some(source) = source {
            self.check_source(principal, &source, source_owner.as_deref(), &context).await?;
        }
        Ok(())
    }
}

/// What a request is about, for those who do not own it.
#[derive(Clone, Copy)]
struct Target<'a> {
    name: &'a str,
    bucket: &'a Bucket,
    key: Option<&'a str>,
    version: Option<&'a str>,
}

/// Condition keys that are headers of the request.
const HEADER_KEYS: [(&str, &str); 8] = [
    ("x-amz-acl", "s3:x-amz-acl"),
    ("x-amz-content-sha256", "s3:x-amz-content-sha256"),
    ("x-amz-copy-source", "s3:x-amz-copy-source"),
    ("x-amz-metadata-directive", "s3:x-amz-metadata-directive"),
    ("x-amz-server-side-encryption", "s3:x-amz-server-side-encryption"),
    ("x-amz-server-side-encryption-aws-kms-key-id", "s3:x-amz-server-side-encryption-aws-kms-key-id"),
    ("x-amz-storage-class", "s3:x-amz-storage-class"),
    ("x-amz-website-redirect-location", "s3:x-amz-website-redirect-location"),
];

/// Where the request came from, as condition keys.
pub(super) fn origin_context(origin: Option<&Origin>) -> Context {
    let mut context = Context::new();
    let Some(origin) = origin else { return context };
    context.insert("aws:SecureTransport", origin.secure_transport.to_string());
    if let Some(address) = origin.source_ip {
        context.insert("aws:SourceIp", address.to_canonical().to_string());
    }
    if let Some(agent) = &origin.user_agent {
        context.insert("aws:UserAgent", agent.clone());
    }
    context
}

impl Gate {
    async fn check_source(
        &self,
        principal: Option<&Principal>,
        source: &str,
        expected: Option<&str>,
        request: &Context,
    ) -> S3Result<()> {
        let source = CopySource::parse(source).map_err(|_| {
            errors::invalid_argument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
        })?;
        let CopySource::Bucket { bucket: name, key, version_id } = source else {
            return Err(errors::not_implemented("Access points are not part of the embedded S3."));
        };
        let Some(bucket) = self.core.index.find_bucket(&name).await? else { return Err(errors::no_such_bucket()) };
        let bucket = bucket.value;
        if expected.is_some_and(|expected| expected != bucket.account) {
            return Err(errors::access_denied());
        }
        let mut context = request.clone();
        let action = if let Some(id) = version_id.as_deref() {
            context.insert("s3:VersionId", id.into());
            "s3:GetObjectVersion"
        } else {
            "s3:GetObject"
        };
        match principal {
            Some(principal) if principal.account == bucket.account => {
                self.core.ask(principal, action, &object_arn(&name, &key), Some(&bucket), &context).await
            }
            _ => {
                let target = Target { name: &name, bucket: &bucket, key: Some(&key), version: version_id.as_deref() };
                self.outside("GetObject", Some(target), principal, &[action], &context).await
            }
        }
    }

    /// What anybody may do who does not own the bucket: what its policy allows, or a public canned ACL opens to readers.
    async fn outside(
        &self,
        operation: &str,
        target: Option<Target<'_>>,
        principal: Option<&Principal>,
        actions: &[&str],
        context: &Context,
    ) -> S3Result<()> {
        let Some(target @ Target { name, bucket, key, version }) = target else { return Err(errors::access_denied()) };
        // It asks for each key by itself, and nobody in particular may not.
        if actions.is_empty() {
            return if principal.is_some() { Ok(()) } else { Err(errors::access_denied()) };
        }
        if self.policy_allows(target, principal, actions, context).await? {
            return Ok(());
        }
        let open = bucket.honours_public_acls()
            && match (operation, key) {
                ("GetObject" | "HeadObject", Some(key)) => match self.core.index.find(name, key, version).await {
                    Ok(Found::Object(version)) => is_public(&version.acl),
                    Ok(Found::Marker { .. }) | Err(_) => false,
                },
                ("HeadBucket" | "ListObjects" | "ListObjectsV2" | "ListObjectVersions" | "ListMultipartUploads", _) => {
                    is_public(&bucket.acl)
                }
                _ => false,
            };
        if open { Ok(()) } else { Err(errors::access_denied()) }
    }

    /// Whether a bucket's policy lets somebody else do all of this. What it forbids is refused at once.
    async fn policy_allows(
        &self,
        target: Target<'_>,
        principal: Option<&Principal>,
        actions: &[&str],
        context: &Context,
    ) -> S3Result<bool> {
        let Target { name, bucket, key, .. } = target;
        let Some(policy) = &bucket.policy else { return Ok(false) };
        let resource = key.map_or_else(|| bucket_arn(name), |key| object_arn(name, key));
        let mut allowed = true;
        for action in actions {
            match self.core.judge(principal, action, &resource, Some(bucket), context).await {
                Ok(()) => {}
                Err(denied) if denied.explicit => return Err(errors::access_denied()),
                Err(_) => allowed = false,
            }
        }
        // A block of public access makes a policy that is public one for the account alone.
        let blocked = bucket.public_access.is_some_and(|block| block.restrict_buckets) && is_public_policy(policy);
        Ok(allowed && !blocked)
    }
}

fn query(uri: &http::Uri) -> Vec<(String, String)> {
    let decode =
        |text: &str| percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| (decode(k), decode(v))).collect()
}

fn value<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// s3s takes a request with a subresource it does not know for the plain one: `PUT /bucket?new-thing` would make a bucket,
/// `DELETE /bucket?new-thing` remove it.
fn guard_subresources(operation: &str, query: &[(String, String)]) -> S3Result<()> {
    let plain = matches!(
        operation,
        "CreateBucket"
            | "DeleteBucket"
            | "HeadBucket"
            | "PutObject"
            | "CopyObject"
            | "DeleteObject"
            | "GetObject"
            | "HeadObject"
    );
    if !plain {
        return Ok(());
    }
    let strange = query.iter().map(|(name, _)| name.as_str()).find(|name| {
        let lower = name.to_ascii_lowercase();
        !PLAIN.contains(name) && !lower.starts_with("x-amz-")
    });
    match strange {
        // Marks that clients and caches add carry a value; subresources do not.
        Some(name) if matches!(operation, "GetObject" | "HeadObject") && value(query, name) != Some("") => Ok(()),
        Some(name) => Err(s3_error!(NotImplemented, "The subresource `{name}` is not part of the embedded S3.")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(operation: &str, uri: &str) -> bool {
        guard_subresources(operation, &query(&uri.parse().unwrap())).is_ok()
    }

    #[test]
    fn an_unknown_subresource_is_not_the_plain_request() {
        assert!(!guard("CreateBucket", "/b?metadataConfiguration"));
        assert!(!guard("DeleteBucket", "/b?metadataConfiguration"));
        assert!(!guard("CreateBucket", "/b?location"));
        assert!(!guard("PutObject", "/b/k?renameObject"));
        assert!(!guard("GetObject", "/b/k?somethingNew"));
        assert!(guard("GetObject", "/b/k?response-content-type=a&cache=1&X-Amz-Date=1"));
        assert!(guard("PutObject", "/b/k?x-id=PutObject"));
        assert!(guard("DeleteObject", "/b/k?versionId=null"));
    }
}
