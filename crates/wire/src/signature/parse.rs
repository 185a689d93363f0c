//! Takes the authentication of a request apart: the `Authorization` header or the presigned query. Proves nothing.

use std::borrow::Cow;
use std::fmt::Write as _;

use http::header::{AUTHORIZATION, CONTENT_TYPE, DATE};
use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::failure;
use super::time::AmzDate;
use super::{Form, Parsed, Scope};
use crate::error::{Dialect, WireError};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SECURITY_TOKEN: &str = "x-amz-security-token";
/// A week, the longest life of a presigned URL.
const EXPIRES_MAX: i64 = 604_800;
/// A signature in hex.
const SIGNATURE_CHARS: usize = 64;

/// The authentication of a request, or nothing where it carries none of AWS's (anonymous, or another scheme such as Basic, which
/// the git and webhook doors know).
pub fn parse(parts: &Parts) -> Result<Option<Parsed<'_>>, WireError> {
    let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let header = header.filter(|value| value.starts_with("AWS"));
    let query = parts.uri.query().filter(|query| is_presigned(query));
    match (header, query) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(failure::two_mechanisms(guess(parts))),
        (Some(header), None) => parse_header(parts, header).map(Some),
        (None, Some(query)) => parse_query(parts, query).map(Some),
    }
}

fn is_presigned(query: &str) -> bool {
    query
        .split('&')
        .any(|part| matches!(part.split('=').next(), Some("X-Amz-Algorithm" | "X-Amz-Credential" | "X-Amz-Signature")))
}

/// The dialect of a request whose credential scope cannot be read.
pub fn guess(parts: &Parts) -> Dialect {
    if parts.headers.contains_key("x-amz-target") {
        return Dialect::Json;
    }
    let form = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if form.is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"))
        || parts.uri.query().is_some_and(|query| query.split('&').any(|part| part.starts_with("Action=")))
    {
        return Dialect::Query;
    }
    Dialect::S3
}

fn parse_header<'r>(parts: &'r Parts, header: &'r str) -> Result<Parsed<'r>, WireError> {
    let dialect = guess(parts);
    let (algorithm, rest) = header.split_once(' ').unwrap_or((header, ""));
    if algorithm != ALGORITHM {
        return Err(failure::unsupported_algorithm(dialect, algorithm));
    }
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for part in rest.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let Some((key, value)) = part.split_once('=') else {
            let message = format!(
                "'{part}' not a valid key=value pair (missing equal-sign) in Authorization header: '{}'.",
                without_signature(header)
            );
            return Err(failure::incomplete(dialect, message));
        };
        match key {
            "Credential" => credential = Some(value),
            "SignedHeaders" => signed_headers = Some(value),
            "Signature" => signature = Some(value),
            // What later versions may add does not change what is signed.
            _ => {}
        }
    }
    let date_header = parts.headers.get("x-amz-date").or_else(|| parts.headers.get(DATE));
    let (Some(credential), Some(signed_headers), Some(signature)) = (credential, signed_headers, signature) else {
        let mut message = String::new();
        for (part, found) in [("Credential", credential), ("Signature", signature), ("SignedHeaders", signed_headers)] {
            if found.is_none() {
                let _ = write!(message, "Authorization header requires '{part}' parameter. ");
            }
        }
        if date_header.is_none() {
            message.push_str("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ");
        }
        let _ = write!(message, "Authorization={}", without_signature(header));
        return Err(failure::incomplete(dialect, message));
    };
    let scope = parse_credential(dialect, &Cow::Borrowed(credential))?;
    let dialect = Dialect::of(&scope.service);
    let time = date_header
        .and_then(|value| value.to_str().ok())
        .and_then(|text| AmzDate::parse_date_header(text.trim()))
        .ok_or_else(|| failure::no_date(dialect))?;
    let token = parts.headers.get(SECURITY_TOKEN).map(|value| value.to_str().unwrap_or_default());
    Ok(Parsed {
        scope,
        token: token.map(Cow::Borrowed),
        signed_headers: Cow::Borrowed(signed_headers),
        signature: Cow::Borrowed(signature),
        time,
        form: Form::Header,
    })
}

/// The header as an error may show it: a signature is a credential for as long as its window is open, whatever the part
/// that carries it is called.
fn without_signature(header: &str) -> String {
    let header = match header.split_once("Signature=") {
        Some((before, after)) => {
            let rest = after.find(',').map_or("", |comma| &after[comma..]);
            format!("{before}Signature=****{rest}")
        }
        None => header.to_owned(),
    };
    let mut shown = String::with_capacity(header.len());
    let mut rest = header.as_str();
    while let Some(start) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let (before, run) = rest.split_at(start);
        let end = run.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(run.len());
        shown.push_str(before);
        shown.push_str(if end >= SIGNATURE_CHARS { "****" } else { &run[..end] });
        rest = &run[end..];
    }
    shown + rest
}

fn parse_query<'r>(parts: &'r Parts, query: &'r str) -> Result<Parsed<'r>, WireError> {
    let mut dialect = guess(parts);
    let mut found = Presigned::default();
    for part in query.split('&') {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let slot = match name {
            "X-Amz-Algorithm" => &mut found.algorithm,
            "X-Amz-Credential" => &mut found.credential,
            "X-Amz-Date" => &mut found.date,
            "X-Amz-Expires" => &mut found.expires,
            "X-Amz-SignedHeaders" => &mut found.signed_headers,
            "X-Amz-Signature" => &mut found.signature,
            "X-Amz-Security-Token" => &mut found.token,
            "X-Amz-Content-Sha256" => &mut found.payload_hash,
            _ => continue,
        };
        *slot = Some(percent_decode_str(value).decode_utf8().map_err(|_| failure::query_parameters(dialect))?);
    }
    let algorithm = found.algorithm.ok_or_else(|| failure::query_parameters(dialect))?;
    if algorithm != ALGORITHM {
        return Err(failure::unsupported_algorithm(dialect, &algorithm));
    }
    let credential = found.credential.ok_or_else(|| failure::query_parameters(dialect))?;
    let scope = parse_credential(dialect, &credential)?;
    dialect = Dialect::of(&scope.service);
    let missing = || failure::query_parameters(dialect);
    let time = AmzDate::parse_basic(&found.date.ok_or_else(missing)?).ok_or_else(|| {
        failure::query_error(dialect, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    })?;
    let expires = match found.expires {
        Some(text) => Some(parse_expires(dialect, &text)?),
        None if dialect == Dialect::S3 => return Err(missing()),
        None => None,
    };
    Ok(Parsed {
        scope,
        token: found.token,
        signed_headers: found.signed_headers.ok_or_else(missing)?,
        signature: found.signature.ok_or_else(missing)?,
        time,
        form: Form::Presigned { expires, payload_hash: found.payload_hash },
    })
}

#[derive(Default)]
struct Presigned<'r> {
    algorithm: Option<Cow<'r, str>>,
    credential: Option<Cow<'r, str>>,
    date: Option<Cow<'r, str>>,
    expires: Option<Cow<'r, str>>,
    signed_headers: Option<Cow<'r, str>>,
    signature: Option<Cow<'r, str>>,
    token: Option<Cow<'r, str>>,
    payload_hash: Option<Cow<'r, str>>,
}

fn parse_expires(dialect: Dialect, text: &str) -> Result<i64, WireError> {
    let wrong = |message| failure::query_error(dialect, message);
    let expires: i64 = text.parse().map_err(|_| wrong("X-Amz-Expires should be a number"))?;
    if expires < 0 {
        return Err(wrong("X-Amz-Expires must be non-negative"));
    }
    if expires > EXPIRES_MAX {
        return Err(wrong(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than \
             604800 seconds",
        ));
    }
    Ok(expires)
}

/// Splits from the right into exactly five parts.
fn parse_credential<'r>(dialect: Dialect, credential: &Cow<'r, str>) -> Result<Scope<'r>, WireError> {
    let mut starts = [0; 5];
    let mut slashes = credential.match_indices('/').map(|(at, _)| at);
    for start in starts.iter_mut().skip(1) {
        *start = slashes.next().ok_or_else(|| failure::malformed_credential(dialect, credential))? + 1;
    }
    let extra = slashes.next().is_some();
    let part = |i: usize| {
        let end = starts.get(i + 1).map_or(credential.len(), |next| next - 1);
        (starts[i], end)
    };
    let text = |(from, to): (usize, usize)| &credential[from..to];
    if extra || (0..4).any(|i| text(part(i)).is_empty()) {
        return Err(failure::malformed_credential(dialect, credential));
    }
    if text(part(4)) != "aws4_request" {
        return Err(failure::wrong_terminator(Dialect::of(text(part(3))), credential));
    }
    let take = |range: (usize, usize)| match credential {
        Cow::Borrowed(whole) => Cow::Borrowed(&whole[range.0..range.1]),
        Cow::Owned(whole) => Cow::Owned(whole[range.0..range.1].to_owned()),
    };
    Ok(Scope { access_key: take(part(0)), date: take(part(1)), region: take(part(2)), service: take(part(3)) })
}
