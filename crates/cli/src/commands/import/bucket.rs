//! Buckets with their versioning, tags and access rules, and bucket policies.

use std::fmt::Write as _;

use http::{Method, StatusCode};
use serde_json::Value as Json;

use super::work::{Call, LookError, Work, same_document};
use crate::host::{ApiError, Target};
use crate::template::Planned;

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// What a template says of a bucket, each a subresource of its own.
struct Wanted {
    operation: &'static str,
    subresource: &'static str,
    body: String,
}

pub async fn look(target: &dyn Target, item: &Planned, region: &str) -> Result<Work, LookError> {
    let bucket = item.body["bucket"].as_str().unwrap_or_default();
    let (status, answer) = target.bucket(Method::HEAD, bucket, "", String::new()).await?;
    let wanted = wanted(&item.body);
    let put = |w: Wanted| Call::Bucket {
        operation: w.operation,
        bucket: bucket.to_owned(),
        subresource: w.subresource,
        body: w.body,
    };
    match status {
        status if status.is_success() => {
            let mut calls = Vec::new();
            for one in wanted {
                let (_, stored) = target.bucket(Method::GET, bucket, one.subresource, String::new()).await?;
                if leaves(&stored) != leaves(&one.body) {
                    calls.push(put(one));
                }
            }
            Ok(Work::existing(calls))
        }
        StatusCode::NOT_FOUND => {
            // us-east-1 is what S3 takes the absence of a constraint for.
            let body = match region {
                "us-east-1" => String::new(),
                region => {
                    xml("CreateBucketConfiguration", &format!("<LocationConstraint>{region}</LocationConstraint>"))
                }
            };
            let create = Call::Bucket { operation: "CreateBucket", bucket: bucket.to_owned(), subresource: "", body };
            Ok(Work::create(std::iter::once(create).chain(wanted.into_iter().map(put)).collect()))
        }
        StatusCode::FORBIDDEN => Err(LookError::ForeignBucket(bucket.to_owned())),
        status => Err(refusal(status, &answer).into()),
    }
}

fn wanted(body: &Json) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    let mut add = |operation, subresource, body| wanted.push(Wanted { operation, subresource, body });
    if let Some(status) = body["versioning"]["status"].as_str() {
        let status = format!("<Status>{}</Status>", escaped(status));
        add("PutBucketVersioning", "versioning", xml("VersioningConfiguration", &status));
    }
    if let Some(ownership) = body["ownership"]["rules"][0]["objectOwnership"].as_str() {
        let rule = format!("<Rule><ObjectOwnership>{}</ObjectOwnership></Rule>", escaped(ownership));
        add("PutBucketOwnershipControls", "ownershipControls", xml("OwnershipControls", &rule));
    }
    if let Some(flags) = body["publicAccessBlock"].as_object() {
        let mut all = String::new();
        for name in ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"] {
            // Writing to a String cannot fail.
            let _ = write!(all, "<{name}>{}</{name}>", flags.get(name).and_then(Json::as_bool).unwrap_or(false));
        }
        add("PutPublicAccessBlock", "publicAccessBlock", xml("PublicAccessBlockConfiguration", &all));
    }
    if let Some(tags) = body["tags"].as_array().filter(|tags| !tags.is_empty()) {
        let text = |tag: &Json, member: &str| escaped(tag[member].as_str().unwrap_or_default());
        let mut all = String::new();
        for tag in tags {
            // Writing to a String cannot fail.
            let _ = write!(all, "<Tag><Key>{}</Key><Value>{}</Value></Tag>", text(tag, "key"), text(tag, "value"));
        }
        add("PutBucketTagging", "tagging", xml("Tagging", &format!("<TagSet>{all}</TagSet>")));
    }
    wanted
}

pub async fn look_policy(target: &dyn Target, item: &Planned) -> Result<Work, LookError> {
    let bucket = item.body["bucket"].as_str().unwrap_or_default();
    let wanted = &item.body["policy"];
    let (status, stored) = target.bucket(Method::GET, bucket, "policy", String::new()).await?;
    let put = Call::Bucket {
        operation: "PutBucketPolicy",
        bucket: bucket.to_owned(),
        subresource: "policy",
        body: wanted.to_string(),
    };
    Ok(match status {
        status if status.is_success() => {
            let same = serde_json::from_str(&stored).is_ok_and(|stored: Json| same_document(&stored, wanted));
            Work::existing(if same { Vec::new() } else { vec![put] })
        }
        // No bucket yet, or none with a policy.
        StatusCode::NOT_FOUND => Work::create(vec![put]),
        StatusCode::FORBIDDEN => return Err(LookError::ForeignBucket(bucket.to_owned())),
        status => return Err(refusal(status, &stored).into()),
    })
}

/// An answer that is an error, in S3's words.
pub fn refusal(status: StatusCode, body: &str) -> ApiError {
    let found = leaves(body);
    let text = |name: &str| found.iter().find(|(n, _)| n == name).map(|(_, text)| text.clone());
    let code = text("Code").unwrap_or_else(|| status.as_str().to_owned());
    ApiError::new(code, text("Message").unwrap_or_else(|| format!("S3 answered {status}")))
}

fn xml(root: &str, inside: &str) -> String {
    format!("<{root} xmlns=\"{NAMESPACE}\">{inside}</{root}>")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The elements that hold text, in the order of their names; all that S3's configurations differ in.
fn leaves(xml: &str) -> Vec<(String, String)> {
    let mut leaves = Vec::new();
    let mut rest = xml;
    while let Some((_, after)) = rest.split_once('<') {
        rest = after;
        let Some((tag, after)) = after.split_once('>') else { break };
        let name = tag.split_whitespace().next().unwrap_or_default();
        let closing = format!("</{name}>");
        if let Some((text, _)) = after.split_once('<')
            && after[text.len()..].starts_with(&closing)
        {
            let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
            leaves.push((name.to_owned(), text));
        }
    }
    leaves.sort();
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_compared_by_what_they_hold() {
        let ours = xml("Tagging", "<TagSet><Tag><Key>a</Key><Value>x &amp; y</Value></Tag></TagSet>");
        let theirs = "<?xml version=\"1.0\"?><Tagging><TagSet><Tag><Value>x &amp; y</Value><Key>a</Key></Tag></TagSet></Tagging>";
        assert_eq!(leaves(&ours), leaves(theirs));
        assert_eq!(leaves(&ours)[1], ("Value".to_owned(), "x & y".to_owned()));
        assert!(leaves("<VersioningConfiguration/>").is_empty());
    }

    #[test]
    fn refusals_keep_s3s_words() {
        let error =
            refusal(StatusCode::CONFLICT, "<Error><Code>BucketAlreadyExists</Code><Message>no</Message></Error>");
        assert_eq!(error, ApiError::new("BucketAlreadyExists", "no"));
        assert_eq!(refusal(StatusCode::BAD_GATEWAY, "").message, "S3 answered 502 Bad Gateway");
    }
}
