//! Small translations between the wire's types and what is stored: times, ETags, owners, tags, headers, ACLs, encryption.
//! Pure; refusals are AWS's.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use s3s::S3Result;
use s3s::dto::{ETag, Grant, Grantee, Owner, Permission, ServerSideEncryption, Tag, Timestamp, TimestampFormat, Type};
use sha2::{Digest as _, Sha256};
use towpath_model::arn;

use super::digest::{Algorithm, Sum};
use super::errors;
use super::records::{Bucket, PublicAccess, Tags};

/// Bytes of user metadata, names and values together.
const METADATA_BYTES_MAX: usize = 2048;
const OBJECT_TAGS_MAX: usize = 10;
const BUCKET_TAGS_MAX: usize = 50;
const TAG_KEY_MAX: usize = 128;
const TAG_VALUE_MAX: usize = 256;

pub(super) const STANDARD: &str = "STANDARD";
pub(super) const PRIVATE: &str = "private";
pub(super) const AES256: &str = "AES256";
/// The KMS key that S3 has by itself.
const S3_KEY: &str = "alias/aws/s3";

pub(super) fn timestamp(ms: u64) -> Timestamp {
    Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_millis(ms))
}

pub(super) fn http_date(ms: u64) -> Option<HeaderValue> {
    let mut text = Vec::new();
    timestamp(ms).format(TimestampFormat::HttpDate, &mut text).ok()?;
    HeaderValue::from_bytes(&text).ok()
}

pub(super) fn date_text(time: &Timestamp) -> Option<String> {
    let mut text = Vec::new();
    time.format(TimestampFormat::HttpDate, &mut text).ok()?;
    String::from_utf8(text).ok()
}

pub(super) fn date_parse(text: &str) -> Option<Timestamp> {
    Timestamp::parse(TimestampFormat::HttpDate, text).ok()
}

pub(super) fn etag(value: &str) -> ETag {
    ETag::Strong(value.to_owned())
}

pub(super) fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The canonical user id of an account: 64 hexadecimal digits that say nothing.
pub(super) fn canonical_id(account: &str) -> String {
    hex::encode(Sha256::digest(format!("towpath canonical user {account}")))
}

pub(super) fn owner(account: &str) -> Owner {
    Owner { display_name: None, id: Some(canonical_id(account)) }
}

const URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/');

/// A key as `encoding-type=url` wants it.
pub(super) fn url(text: &str) -> String {
    utf8_percent_encode(text, URL).to_string()
}

// Tags.

pub(super) fn tags_out(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag { key: Some(key.clone()), value: Some(value.clone()) }).collect()
}

fn check_tags(pairs: Vec<(String, String)>, max: usize) -> S3Result<Tags> {
    if pairs.len() > max {
        let what = if max == OBJECT_TAGS_MAX { "Object tags" } else { "Bucket tag count" };
        return Err(errors::bad_request(format!("{what} cannot be greater than {max}")));
    }
    let mut tags = Tags::new();
    for (key, value) in pairs {
        if key.is_empty() || key.chars().count() > TAG_KEY_MAX {
            return Err(errors::invalid_tag("The TagKey you have provided is invalid"));
        }
        if value.chars().count() > TAG_VALUE_MAX {
            return Err(errors::invalid_tag("The TagValue you have provided is invalid"));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(errors::invalid_tag("System tags cannot be added/updated by requester"));
        }
        if tags.insert(key, value).is_some() {
            return Err(errors::invalid_tag("Cannot provide multiple Tags with the same key"));
        }
    }
    Ok(tags)
}

fn tag_pairs(set: Vec<Tag>) -> S3Result<Vec<(String, String)>> {
    let pair = |tag: Tag| Some((tag.key?, tag.value?));
    set.into_iter().map(|tag| pair(tag).ok_or_else(errors::malformed_xml)).collect()
}

pub(super) fn object_tags(set: Vec<Tag>) -> S3Result<Tags> {
    check_tags(tag_pairs(set)?, OBJECT_TAGS_MAX)
}

pub(super) fn bucket_tags(set: Vec<Tag>) -> S3Result<Tags> {
    check_tags(tag_pairs(set)?, BUCKET_TAGS_MAX)
}

/// The `x-amz-tagging` header: tags as a query string.
pub(super) fn header_tags(header: Option<&str>) -> S3Result<Tags> {
    let wrong = || {
        errors::invalid_argument(
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name \
             duplicates.",
        )
    };
    let decode =
        |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8().map(std::borrow::Cow::into_owned);
    let mut pairs = Vec::new();
    for pair in header.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        pairs.push((decode(key).map_err(|_| wrong())?, decode(value).map_err(|_| wrong())?));
    }
    check_tags(pairs, OBJECT_TAGS_MAX)
}

// Headers.

pub(super) fn metadata(map: Option<s3s::dto::Metadata>) -> S3Result<BTreeMap<String, String>> {
    let map: BTreeMap<String, String> = map.unwrap_or_default().into_iter().collect();
    let bytes: usize = map.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > METADATA_BYTES_MAX { Err(errors::metadata_too_large()) } else { Ok(map) }
}

/// Without the transfer's own `aws-chunked`.
pub(super) fn content_encoding(value: Option<String>) -> Option<String> {
    let value = value?;
    let kept: Vec<_> = value.split(',').map(str::trim).filter(|coding| *coding != "aws-chunked").collect();
    let kept = kept.join(",");
    (!kept.is_empty()).then_some(kept)
}

pub(super) fn storage_class(class: Option<&str>) -> S3Result<String> {
    match class.unwrap_or(STANDARD) {
        class @ (STANDARD
        | "REDUCED_REDUNDANCY"
        | "STANDARD_IA"
        | "ONEZONE_IA"
        | "INTELLIGENT_TIERING"
        | "GLACIER_IR") => Ok(class.to_owned()),
        class @ ("GLACIER" | "DEEP_ARCHIVE") => Err(errors::not_implemented(format!(
            "Storage class {class} needs restore, which is not part of the embedded S3. Use STANDARD."
        ))),
        _ => Err(errors::invalid_storage_class()),
    }
}

/// Whether a request asks for AWS KMS with the key that S3 has there by itself, rather than for S3's own encryption. Every
/// other key is refused until KMS is here.
pub(super) fn encryption(algorithm: Option<&str>, kms_key: Option<&str>, customer: Option<&str>) -> S3Result<bool> {
    if customer.is_some() {
        return Err(errors::not_implemented(
            "Encryption with customer-provided keys (SSE-C) is not part of the embedded S3.",
        ));
    }
    match algorithm {
        None | Some(AES256) if kms_key.is_none() => Ok(false),
        None | Some(AES256) => Err(errors::invalid_argument(
            "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms",
        )),
        Some("aws:kms") if kms_key.is_none_or(|key| key == S3_KEY || key.ends_with(":alias/aws/s3")) => Ok(true),
        Some("aws:kms" | "aws:kms:dsse") => Err(errors::not_implemented(
            "Server-side encryption with KMS keys of your own is not available: KMS is not embedded yet. Use aws:kms without \
             a key, AES256, or leave x-amz-server-side-encryption out.",
        )),
        Some(_) => Err(errors::invalid_argument("The encryption method specified is not supported")),
    }
}

/// What an answer says of an object's encryption: the kind, and the key where there is one to name.
pub(super) fn encrypted(kms: bool, bucket: &Bucket) -> (Option<ServerSideEncryption>, Option<String>) {
    if kms {
        let partition = arn::partition(&bucket.region);
        let key = format!("arn:{partition}:kms:{}:{}:{S3_KEY}", bucket.region, bucket.account);
        (Some(ServerSideEncryption::from_static(ServerSideEncryption::AWS_KMS)), Some(key))
    } else {
        (Some(ServerSideEncryption::from_static(ServerSideEncryption::AES256)), None)
    }
}

// Checksums.

/// The checksum fields of a wire type, filled from a stored checksum.
macro_rules! set_sum {
    ($target:expr, $sum:expr) => {
        if let Some(sum) = $sum {
            let value = Some(sum.value.clone());
            match sum.algorithm {
                $crate::s3::digest::Algorithm::Crc32 => $target.checksum_crc32 = value,
                $crate::s3::digest::Algorithm::Crc32c => $target.checksum_crc32c = value,
                $crate::s3::digest::Algorithm::Crc64Nvme => $target.checksum_crc64nvme = value,
                $crate::s3::digest::Algorithm::Sha1 => $target.checksum_sha1 = value,
                $crate::s3::digest::Algorithm::Sha256 => $target.checksum_sha256 = value,
            }
        }
    };
}

/// The one checksum a wire type carries.
macro_rules! get_sum {
    ($source:expr) => {
        $crate::s3::convert::one_sum([
            $source.checksum_crc32.take(),
            $source.checksum_crc32c.take(),
            $source.checksum_crc64nvme.take(),
            $source.checksum_sha1.take(),
            $source.checksum_sha256.take(),
        ])
    };
}

pub(super) use {get_sum, set_sum};

/// In the order of [`Algorithm::ALL`].
pub(super) fn one_sum(values: [Option<String>; 5]) -> S3Result<Option<(Algorithm, String)>> {
    let mut found = None;
    for (algorithm, value) in Algorithm::ALL.into_iter().zip(values) {
        if let Some(value) = value {
            if found.is_some() {
                return Err(errors::invalid_request(
                    "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
                ));
            }
            found = Some((algorithm, value));
        }
    }
    Ok(found)
}

pub(super) fn algorithm(name: &str) -> S3Result<Algorithm> {
    Algorithm::parse(name).ok_or_else(|| {
        errors::invalid_request(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, \
             CRC64NVME, SHA1, SHA256]",
        )
    })
}

pub(super) fn checksum_type(sum: &Sum) -> s3s::dto::ChecksumType {
    s3s::dto::ChecksumType::from(sum.kind().to_owned())
}

// ACLs.

const ALL_USERS: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
const AUTHENTICATED: &str = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";
const LOG_DELIVERY: &str = "http://acs.amazonaws.com/groups/s3/LogDelivery";

const OBJECT_ACLS: [&str; 7] = [
    PRIVATE,
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
];
const BUCKET_ACLS: [&str; 5] =
    [PRIVATE, "public-read", "public-read-write", "authenticated-read", "log-delivery-write"];

/// Whether strangers may read what has this ACL.
pub(super) fn is_public(acl: &str) -> bool {
    matches!(acl, "public-read" | "public-read-write")
}

/// Whether an ACL opens something to more than named accounts.
fn opens(acl: &str) -> bool {
    is_public(acl) || acl == "authenticated-read"
}

/// The ACL a new or changed object gets.
pub(super) fn object_acl(asked: Option<&str>, bucket: &Bucket) -> S3Result<String> {
    let Some(acl) = asked else { return Ok(PRIVATE.to_owned()) };
    if !OBJECT_ACLS.contains(&acl) {
        return Err(errors::invalid_argument(format!("Unknown canned ACL: {acl}")));
    }
    if !bucket.acls_enabled() {
        // Said or not, the bucket's owner owns everything in it.
        return if acl == "bucket-owner-full-control" { Ok(acl.to_owned()) } else { Err(errors::acls_off()) };
    }
    check_block(acl, bucket.public_access)?;
    Ok(acl.to_owned())
}

/// The ACL a bucket gets.
pub(super) fn bucket_acl(asked: &str, bucket: &Bucket) -> S3Result<String> {
    if !BUCKET_ACLS.contains(&asked) {
        return Err(errors::invalid_argument(format!("Unknown canned ACL: {asked}")));
    }
    if !bucket.acls_enabled() {
        return if asked == PRIVATE { Ok(asked.to_owned()) } else { Err(errors::acls_off()) };
    }
    check_block(asked, bucket.public_access)?;
    Ok(asked.to_owned())
}

fn check_block(acl: &str, block: Option<PublicAccess>) -> S3Result<()> {
    if opens(acl) && block.is_some_and(|block| block.block_acls) { Err(errors::access_denied()) } else { Ok(()) }
}

fn to_group(uri: &str, permission: &'static str) -> Grant {
    Grant {
        grantee: Some(Grantee {
            display_name: None,
            email_address: None,
            id: None,
            type_: Type::from_static(Type::GROUP),
            uri: Some(uri.to_owned()),
        }),
        permission: Some(Permission::from_static(permission)),
    }
}

/// What a canned ACL grants.
pub(super) fn grants(acl: &str, owner: &str) -> Vec<Grant> {
    let mut grants = vec![Grant {
        grantee: Some(Grantee {
            display_name: None,
            email_address: None,
            id: Some(canonical_id(owner)),
            type_: Type::from_static(Type::CANONICAL_USER),
            uri: None,
        }),
        permission: Some(Permission::from_static(Permission::FULL_CONTROL)),
    }];
    match acl {
        "public-read" => grants.push(to_group(ALL_USERS, Permission::READ)),
        "public-read-write" => {
            grants.push(to_group(ALL_USERS, Permission::READ));
            grants.push(to_group(ALL_USERS, Permission::WRITE));
        }
        "authenticated-read" => grants.push(to_group(AUTHENTICATED, Permission::READ)),
        "log-delivery-write" => {
            grants.push(to_group(LOG_DELIVERY, Permission::WRITE));
            grants.push(to_group(LOG_DELIVERY, Permission::READ_ACP));
        }
        _ => {}
    }
    grants
}

/// The canned ACL that says what a list of grants says, where there is one.
pub(super) fn canned(given: &[Grant], owner: &str) -> S3Result<&'static str> {
    let flat = |grants: &[Grant]| {
        let mut flat: Vec<_> = grants
            .iter()
            .map(|grant| {
                let grantee = grant.grantee.as_ref();
                let who = grantee.and_then(|grantee| grantee.uri.clone().or_else(|| grantee.id.clone()));
                (who.unwrap_or_default(), grant.permission.as_ref().map_or("", Permission::as_str).to_owned())
            })
            .collect();
        flat.sort();
        flat
    };
    let wanted = flat(given);
    let known = [PRIVATE, "public-read", "public-read-write", "authenticated-read", "log-delivery-write"];
    known.into_iter().find(|acl| flat(&grants(acl, owner)) == wanted).ok_or_else(|| {
        errors::not_implemented(
            "The embedded S3 keeps canned ACLs only: these grants are not those of private, public-read, \
             public-read-write, authenticated-read or log-delivery-write.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_in_a_header_are_a_query_string() {
        let tags = header_tags(Some("a=1&b%20c=x+y&d")).unwrap();
        let pairs: Vec<_> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(pairs, ["a=1", "b c=x y", "d="]);
        let code = |header: &str| header_tags(Some(header)).unwrap_err().code().as_str().to_owned();
        assert_eq!(code("a=1&a=2"), "InvalidTag");
        assert_eq!(code("aws:x=1"), "InvalidTag");
        assert_eq!(code(&format!("{}=1", "k".repeat(129))), "InvalidTag");
        assert_eq!(code(&(0..11).map(|n| format!("k{n}=")).collect::<Vec<_>>().join("&")), "BadRequest");
    }

    #[test]
    fn the_grants_of_a_canned_acl_are_that_acl() {
        for acl in BUCKET_ACLS {
            assert_eq!(canned(&grants(acl, "1"), "1").unwrap(), acl);
        }
        assert_eq!(canned(&grants(PRIVATE, "2"), "1").unwrap_err().code().as_str(), "NotImplemented");
    }

    #[test]
    fn aws_chunked_is_not_an_encoding_of_the_object() {
        assert_eq!(content_encoding(Some("aws-chunked".to_owned())), None);
        assert_eq!(content_encoding(Some("aws-chunked, gzip".to_owned())), Some("gzip".to_owned()));
    }
}
