//! What is asked of a request before s3s sees it: one form of authentication, complete, in time by our own clock, over
//! every header that matters; no mechanism that is not embedded. s3s verifies the signature itself afterwards. This module
//! reads a request's head and a time, and must not look anything up.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use percent_encoding::percent_decode_str;
use s3s::S3Result;
use s3s::dto::{Timestamp, TimestampFormat};

use super::errors;

/// How far a client's clock may be off.
const SKEW: Duration = Duration::from_mins(15);
/// The longest life of a presigned URL, in seconds.
const EXPIRES_MAX: u64 = 604_800;
/// The parameters of a presigned URL that are no headers, after `x-amz-`.
const OWN: [&str; 7] = ["algorithm", "credential", "date", "expires", "signedheaders", "signature", "content-sha256"];

/// Authentication as it was claimed, not yet verified.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub access_key: String,
    pub token: Option<String>,
}

/// A request's query, decoded, in order.
pub(super) fn query(parts: &Parts) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| (decode(k), decode(v))).collect()
}

/// Where a request goes: bucket and key, by path or by host.
pub(super) fn locate(parts: &Parts, domains: &[String]) -> (Option<String>, Option<String>) {
    let path = percent_decode_str(parts.uri.path()).decode_utf8_lossy();
    let path = path.strip_prefix('/').unwrap_or(&path);
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let host = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str));
    if let Some(bucket) = host.and_then(|host| host_bucket(host, domains)) {
        return (Some(bucket.to_owned()), some(path));
    }
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    (some(bucket), some(key))
}

/// The bucket in a host name such as `BUCKET.localhost:7400`, or in one of AWS's own: clients that know no other endpoint are
/// led here by their name service or their proxy.
pub(super) fn host_bucket<'a>(host: &'a str, domains: &[String]) -> Option<&'a str> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let ours = || domains.iter().find_map(|domain| name.strip_suffix(domain.as_str())?.strip_suffix('.'));
    let bucket = ours().or_else(|| aws_bucket(name))?;
    (!bucket.is_empty()).then_some(bucket)
}

/// `BUCKET.s3.REGION.amazonaws.com`, without the Region too, and the older `BUCKET.s3-REGION.amazonaws.com`.
fn aws_bucket(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".amazonaws.com").or_else(|| name.strip_suffix(".amazonaws.com.cn"))?;
    let (before, last) = name.rsplit_once('.')?;
    if last == "s3" || last.starts_with("s3-") { Some(before) } else { before.strip_suffix(".s3") }
}

/// Checks everything but the signature. `None`: the request is anonymous.
pub(super) fn check(parts: &mut Parts, now: SystemTime) -> S3Result<Option<Claim>> {
    let query = query(parts);
    let has = |name: &str| query.iter().any(|(key, _)| key == name);
    let authorization = parts.headers.get(http::header::AUTHORIZATION);
    let presigned = has("X-Amz-Signature") || has("X-Amz-Algorithm") || has("X-Amz-Credential");
    let presigned_v2 = has("Signature") || has("AWSAccessKeyId");
    if usize::from(presigned) + usize::from(presigned_v2) + usize::from(authorization.is_some()) > 1 {
        return Err(errors::invalid_argument(
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter \
             or the Authorization header should be specified",
        ));
    }
    if authorization.is_some_and(|value| value.as_bytes().starts_with(b"AWS ")) {
        return Err(errors::invalid_request(
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
        ));
    }
    let content_type = parts.headers.get(http::header::CONTENT_TYPE);
    if parts.method == Method::POST
        && content_type.is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(b"multipart/form-data"))
    {
        return Err(errors::not_implemented(
            "Browser form uploads (POST policies) are not part of the embedded S3. Use PUT, or a presigned PUT URL.",
        ));
    }
    if presigned {
        return presigned_claim(parts, &query, now).map(Some);
    }
    if presigned_v2 {
        return presigned_v2_claim(parts, &query, now).map(Some);
    }
    match authorization {
        None => Ok(None),
        Some(value) => {
            let value = value.to_str().map_err(|_| malformed())?.to_owned();
            header_claim(parts, &value, now).map(Some)
        }
    }
}

fn malformed() -> s3s::S3Error {
    errors::malformed_authorization(
        "the authorization header requires three components: Credential, SignedHeaders, and Signature.",
    )
}

fn header_claim(parts: &Parts, value: &str, now: SystemTime) -> S3Result<Claim> {
    let Some(rest) = value.strip_prefix("AWS4-HMAC-SHA256") else {
        return Err(if value.starts_with("AWS4-ECDSA-P256-SHA256") {
            errors::not_implemented("AWS4-ECDSA-P256-SHA256 (SigV4A) is not supported. Please use AWS4-HMAC-SHA256.")
        } else {
            errors::invalid_argument("Unsupported Authorization Type")
        });
    };
    let fields: Vec<_> = rest.split(',').filter_map(|field| field.trim().split_once('=')).collect();
    let field = |name: &str| fields.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    let (Some(credential), Some(signed), Some(_)) = (field("Credential"), field("SignedHeaders"), field("Signature"))
    else {
        return Err(malformed());
    };
    let scope = scope(credential)?;
    let date = header(parts, "x-amz-date")
        .ok_or_else(|| errors::denied("AWS authentication requires a valid Date or x-amz-date header".to_owned()))?;
    let time = parse_date(&date)
        .ok_or_else(|| errors::denied("AWS authentication requires a valid Date or x-amz-date header".to_owned()))?;
    scope_date(&scope, &date)?;
    if distance(now, time) > SKEW {
        return Err(errors::skewed());
    }
    if !parts.headers.contains_key("x-amz-content-sha256") {
        return Err(errors::invalid_request("Missing required header for this request: x-amz-content-sha256"));
    }
    signed_headers(parts, signed)?;
    Ok(Claim { access_key: scope.access_key, token: header(parts, "x-amz-security-token") })
}

fn presigned_claim(parts: &mut Parts, query: &[(String, String)], now: SystemTime) -> S3Result<Claim> {
    let field = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let (Some(algorithm), Some(credential), Some(date), Some(expires), Some(signed), Some(_)) = (
        field("X-Amz-Algorithm"),
        field("X-Amz-Credential"),
        field("X-Amz-Date"),
        field("X-Amz-Expires"),
        field("X-Amz-SignedHeaders"),
        field("X-Amz-Signature"),
    ) else {
        return Err(errors::malformed_query(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, \
             X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
        ));
    };
    if algorithm != "AWS4-HMAC-SHA256" {
        return Err(errors::malformed_query("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\""));
    }
    let scope = scope(credential)?;
    let time = parse_date(date).ok_or_else(|| {
        errors::malformed_query("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    })?;
    scope_date(&scope, date)?;
    let seconds = match expires.parse::<i64>() {
        Err(_) => return Err(errors::malformed_query("X-Amz-Expires should be a number")),
        Ok(seconds) => {
            u64::try_from(seconds).map_err(|_| errors::malformed_query("X-Amz-Expires must be non-negative"))?
        }
    };
    if seconds > EXPIRES_MAX {
        return Err(errors::malformed_query(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than \
             604800 seconds",
        ));
    }
    if time > now + SKEW {
        return Err(errors::denied("Request is not yet valid".to_owned()));
    }
    if now > time + Duration::from_secs(seconds) {
        return Err(errors::denied("Request has expired".to_owned()));
    }
    signed_headers(parts, signed)?;
    let token = field("X-Amz-Security-Token").map(str::to_owned);
    let claim = Claim { access_key: scope.access_key, token: token.or_else(|| header(parts, "x-amz-security-token")) };
    headers_from(parts, query);
    Ok(claim)
}

/// A URL signed the old way, which boto3 still does unless it is told otherwise. Its signature covers every x-amz header.
fn presigned_v2_claim(parts: &mut Parts, query: &[(String, String)], now: SystemTime) -> S3Result<Claim> {
    let field = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let (Some(access_key), Some(expires), Some(_)) = (field("AWSAccessKeyId"), field("Expires"), field("Signature"))
    else {
        return Err(errors::denied(
            "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters".to_owned(),
        ));
    };
    let expires =
        expires.parse().ok().and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    let Some(expires) = expires else {
        return Err(errors::denied(format!(
            "Invalid date (should be seconds since epoch): {}",
            field("Expires").unwrap_or_default()
        )));
    };
    if now > expires {
        return Err(errors::denied("Request has expired".to_owned()));
    }
    headers_from(parts, query);
    Ok(Claim { access_key: access_key.to_owned(), token: header(parts, "x-amz-security-token") })
}

/// Signers may move any x-amz header into the query, where it is signed too; it counts as the header it was.
fn headers_from(parts: &mut Parts, query: &[(String, String)]) {
    for (name, value) in query {
        let name = name.to_ascii_lowercase();
        if let Some(rest) = name.strip_prefix("x-amz-")
            && !OWN.contains(&rest)
            && !parts.headers.contains_key(name.as_str())
            && let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value))
        {
            parts.headers.insert(name, value);
        }
    }
}

struct Scope {
    access_key: String,
    date: String,
}

fn scope(credential: &str) -> S3Result<Scope> {
    let fields: Vec<_> = credential.rsplitn(5, '/').collect();
    let [terminator, service, _region, date, access_key] = fields[..] else {
        return Err(errors::malformed_authorization(
            "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".",
        ));
    };
    if terminator != "aws4_request" || access_key.is_empty() {
        return Err(errors::malformed_authorization(
            "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".",
        ));
    }
    if service != "s3" {
        return Err(errors::malformed_authorization(&format!(
            "incorrect service \"{service}\". This endpoint belongs to \"s3\"."
        )));
    }
    Ok(Scope { access_key: access_key.to_owned(), date: date.to_owned() })
}

fn scope_date(scope: &Scope, date: &str) -> S3Result<()> {
    if date.get(..8) == Some(scope.date.as_str()) {
        return Ok(());
    }
    Err(errors::malformed_authorization(&format!(
        "Invalid credential date \"{}\". This date is not the same as X-Amz-Date: \"{}\".",
        scope.date,
        date.get(..8).unwrap_or(date)
    )))
}

/// Every header that changes what a request does must be signed, and what is signed must be there.
fn signed_headers(parts: &Parts, signed: &str) -> S3Result<()> {
    let signed: Vec<_> = signed.split(';').collect();
    if !signed.contains(&"host") {
        return Err(errors::denied("There were headers present in the request which were not signed".to_owned()));
    }
    for name in parts.headers.keys() {
        let name = name.as_str();
        // Clients add these two after signing: one is verified against the body, the other against its key.
        let exempt = ["x-amz-content-sha256", "x-amz-security-token"].contains(&name);
        if name.starts_with("x-amz-") && !exempt && !signed.contains(&name) {
            return Err(errors::denied("There were headers present in the request which were not signed".to_owned()));
        }
    }
    for name in signed {
        let there = parts.headers.contains_key(name) || (name == "host" && parts.uri.authority().is_some());
        if !there {
            return Err(errors::signature_mismatch());
        }
    }
    Ok(())
}

fn header(parts: &Parts, name: &str) -> Option<String> {
    parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn distance(a: SystemTime, b: SystemTime) -> Duration {
    a.duration_since(b).unwrap_or_else(|error| error.duration())
}

/// `20150830T123600Z`.
fn parse_date(text: &str) -> Option<SystemTime> {
    let bytes = text.as_bytes();
    let digits = bytes.iter().enumerate().all(|(at, byte)| match at {
        8 => *byte == b'T',
        15 => *byte == b'Z',
        _ => byte.is_ascii_digit(),
    });
    if bytes.len() != 16 || !digits {
        return None;
    }
    let rfc3339 =
        format!("{}-{}-{}T{}:{}:{}Z", &text[..4], &text[4..6], &text[6..8], &text[9..11], &text[11..13], &text[13..15]);
    let time = Timestamp::parse(TimestampFormat::DateTime, &rfc3339).ok()?;
    to_system(&time)
}

/// A time of s3s as a system time.
pub(super) fn to_system(time: &Timestamp) -> Option<SystemTime> {
    let mut text = Vec::new();
    time.format(TimestampFormat::EpochSeconds, &mut text).ok()?;
    let seconds = String::from_utf8(text).ok()?;
    let whole = seconds.split('.').next()?.parse::<i64>().ok()?;
    if whole >= 0 {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(whole.unsigned_abs()))
    } else {
        SystemTime::UNIX_EPOCH.checked_sub(Duration::from_secs(whole.unsigned_abs()))
    }
}

/// Whether the body of a request is a document rather than an object's bytes.
pub(super) fn has_document(parts: &Parts, key: Option<&str>, query: &[(String, String)]) -> bool {
    const OF_OBJECTS: [&str; 4] = ["acl", "tagging", "legal-hold", "retention"];
    match parts.method {
        Method::POST => true,
        Method::PUT => key.is_none() || query.iter().any(|(name, _)| OF_OBJECTS.contains(&name.as_str())),
        _ => false,
    }
}

/// The payload mode a request declares.
pub(super) fn payload(parts: &Parts) -> Cow<'_, str> {
    parts
        .headers
        .get("x-amz-content-sha256")
        .map_or(Cow::Borrowed(""), |value| String::from_utf8_lossy(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "20260102T030405Z";

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045)
    }

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().uri(uri).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn authorization(credential: &str, signed: &str) -> String {
        format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature=00")
    }

    fn refusal(parts: &mut Parts, now: SystemTime) -> String {
        let error = check(parts, now).unwrap_err();
        format!("{}: {}", error.code().as_str(), error.message().unwrap_or_default())
    }

    #[test]
    fn dates_are_read_in_one_form() {
        assert_eq!(parse_date(DATE), Some(now()));
        for wrong in ["", "20260102", "20260102T030405", "20261302T030405Z", "2026-102T030405Z", "20260102T0304é5Z"] {
            assert_eq!(parse_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_header_is_checked_piece_by_piece() {
        let scope = "AKID/20260102/us-east-1/s3/aws4_request";
        let with = |authorization: &str, extra: &[(&str, &str)]| {
            let mut headers = vec![
                ("authorization", authorization),
                ("x-amz-date", DATE),
                ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
            ];
            headers.extend_from_slice(extra);
            parts("/b/k", &headers)
        };
        let good = authorization(scope, "host;x-amz-content-sha256;x-amz-date");
        let claim = check(&mut with(&good, &[("x-amz-security-token", "T")]), now()).unwrap().unwrap();
        assert_eq!(claim, Claim { access_key: "AKID".to_owned(), token: Some("T".to_owned()) });
        assert!(
            refusal(&mut with(&good, &[]), now() + Duration::from_secs(901)).starts_with("RequestTimeTooSkewed: The")
        );
        assert!(check(&mut with(&good, &[]), now() - Duration::from_mins(15)).is_ok());
        assert_eq!(
            refusal(&mut with(&good, &[("x-amz-acl", "public-read")]), now()),
            "AccessDenied: There were headers present in the request which were not signed"
        );
        assert!(refusal(&mut with(&authorization(scope, "x-amz-date"), &[]), now()).contains("not signed"));
        assert!(
            refusal(&mut with(&authorization(scope, "host;x-amz-date;x-amz-acl"), &[]), now())
                .starts_with("SignatureDoesNotMatch")
        );
        let other = authorization("AKID/20260102/us-east-1/sts/aws4_request", "host");
        assert!(refusal(&mut with(&other, &[]), now()).contains("incorrect service \"sts\""));
        let other = authorization("AKID/20260101/us-east-1/s3/aws4_request", "host");
        assert!(refusal(&mut with(&other, &[]), now()).contains("Invalid credential date \"20260101\""));
        assert!(refusal(&mut with("AWS4-HMAC-SHA256 Credential=x", &[]), now()).contains("three components"));
        assert!(refusal(&mut with("AWS AKID:sig", &[]), now()).contains("Please use AWS4-HMAC-SHA256"));
    }

    #[test]
    fn a_presigned_url_lives_as_long_as_it_says() {
        let url = |expires: &str| {
            format!(
                "/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20260102%2Fus-east-1%2Fs3%2Faws4_request\
                 &X-Amz-Date={DATE}&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host&X-Amz-Signature=00&x-amz-acl=private"
            )
        };
        let mut parts_ok = parts(&url("60"), &[]);
        assert!(check(&mut parts_ok, now() + Duration::from_mins(1)).unwrap().is_some());
        assert_eq!(parts_ok.headers["x-amz-acl"], "private");
        let at = |expires: &str, now| refusal(&mut parts(&url(expires), &[]), now);
        assert_eq!(at("60", now() + Duration::from_secs(61)), "AccessDenied: Request has expired");
        assert_eq!(at("60", now() - Duration::from_secs(901)), "AccessDenied: Request is not yet valid");
        assert!(at("604801", now()).starts_with("AuthorizationQueryParametersError: X-Amz-Expires must be less"));
        assert!(at("-1", now()).contains("must be non-negative"));
        assert!(at("x", now()).contains("should be a number"));
        let mut both = parts(&url("60"), &[("authorization", "AWS4-HMAC-SHA256 x")]);
        assert!(refusal(&mut both, now()).starts_with("InvalidArgument: Only one auth mechanism"));
    }

    #[test]
    fn the_old_form_is_a_key_and_a_moment() {
        let moment = now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let url =
            |expires: &str| format!("/b/k?AWSAccessKeyId=AKID&Signature=c2ln&x-amz-security-token=T&Expires={expires}");
        let mut old = parts(&url(&moment.to_string()), &[]);
        let claim = check(&mut old, now()).unwrap().unwrap();
        assert_eq!(claim, Claim { access_key: "AKID".to_owned(), token: Some("T".to_owned()) });
        let at = |uri: &str| refusal(&mut parts(uri, &[]), now());
        assert_eq!(at(&url(&(moment - 1).to_string())), "AccessDenied: Request has expired");
        assert!(at(&url("soon")).starts_with("AccessDenied: Invalid date"));
        assert!(at("/b/k?Signature=c2ln").contains("requires the Signature, Expires and AWSAccessKeyId"));
    }

    #[test]
    fn a_bucket_is_in_the_path_or_in_the_host() {
        let domains = vec!["localhost".to_owned()];
        let at = |host: &str, uri: &str| {
            let mut parts = parts(uri, &[]);
            parts.headers.insert("host", host.parse().unwrap());
            locate(&parts, &domains)
        };
        let both = (Some("b.c".to_owned()), Some("k/l m".to_owned()));
        assert_eq!(at("localhost:7400", "/b.c/k/l%20m"), both);
        assert_eq!(at("b.c.localhost:7400", "/k/l%20m"), both);
        assert_eq!(at("b.c.localhost", "/k/l%20m"), both);
        assert_eq!(at("127.0.0.1:7400", "/b"), (Some("b".to_owned()), None));
        assert_eq!(at("notlocalhost", "/"), (None, None));
        for host in ["b.c.s3.us-east-1.amazonaws.com", "b.c.s3.amazonaws.com:443", "b.c.s3-eu-west-1.amazonaws.com"] {
            assert_eq!(at(host, "/k/l%20m"), both, "{host}");
        }
        for host in ["s3.us-east-1.amazonaws.com", "s3.amazonaws.com", "s3.cn-north-1.amazonaws.com.cn"] {
            assert_eq!(at(host, "/b.c/k/l%20m"), both, "{host}");
        }
    }
}
