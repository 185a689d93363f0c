//! The verdict on a parsed request: scope, clock, coverage, signature. Constant time where a difference would tell something; keeps
//! recent signing keys, because deriving one costs four HMACs and clients use the same one all day.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{PoisonError, RwLock};

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::request::Parts;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::canonical;
use super::payload::{CONTENT_SHA256, sha256_hex};
use super::{Form, Parsed, Scope, failure};
use crate::error::{Dialect, WireError};

type HmacSha256 = Hmac<Sha256>;

/// Signing keys that are kept: more than the (key, day, region, service) tuples a busy installation uses in a day. When full, all
/// are forgotten, which costs one derivation each.
const KEYS_MAX: usize = 4096;
/// JSON 1.1 front ends.
const SKEW_JSON_SECONDS: i64 = 5 * 60;
/// S3 and the Query services.
const SKEW_SECONDS: i64 = 15 * 60;
/// The longest life of a presigned URL of a service other than S3.
const PRESIGNED_OTHER_SECONDS: i64 = 15 * 60;

/// Verifies signatures; one per server.
#[derive(Default)]
pub struct Verifier {
    hasher: RandomState,
    keys: RwLock<HashMap<u64, CachedKey>>,
}

struct CachedKey {
    /// Secret, date, region, service: what the hash stands for.
    identity: [String; 4],
    mac: HmacSha256,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier(****)")
    }
}

impl Verifier {
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `secret` signed this request at a time that still counts. `payload_hash` is what [`Parsed::payload`] asks for; the
    /// session token is the caller's to check against the key.
    pub fn verify(
        &self,
        parsed: &Parsed<'_>,
        secret: &str,
        parts: &Parts,
        payload_hash: &str,
        now: i64,
    ) -> Result<(), WireError> {
        parsed.check_time(now)?;
        check_coverage(parsed, parts)?;
        let mac = self.mac(secret, &parsed.scope);
        let mut buffer = Vec::with_capacity(1024);
        let mut text = String::with_capacity(160);
        let mut failure = None;
        for reading in canonical::readings(parsed, parts) {
            canonical::write(&mut buffer, parsed, parts, payload_hash, reading);
            if matches(parsed, &mac, &buffer, &mut text) {
                return Ok(());
            }
            // What is shown is the usual reading.
            failure.get_or_insert_with(|| {
                failure::mismatch(parsed.dialect(), &parsed.scope.access_key, &parsed.signature, &text, &buffer)
            });
        }
        Err(failure.unwrap_or_else(|| WireError::internal(parsed.dialect())))
    }

    fn mac(&self, secret: &str, scope: &Scope<'_>) -> HmacSha256 {
        let identity = [secret, &scope.date, &scope.region, &scope.service];
        let hash = self.hasher.hash_one(identity);
        // A poisoned lock only means that a thread died between two whole states.
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = keys.get(&hash).filter(|cached| cached.identity == identity) {
            return cached.mac.clone();
        }
        drop(keys);
        let mac = hmac(&signing_key(secret, &scope.date, &scope.region, &scope.service));
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KEYS_MAX {
            keys.clear();
        }
        keys.insert(hash, CachedKey { identity: identity.map(str::to_owned), mac: mac.clone() });
        mac
    }
}

impl Parsed<'_> {
    /// Whether the request's time agrees with its scope and with the clock. [`Verifier::verify`] asks this first.
    pub fn check_time(&self, now: i64) -> Result<(), WireError> {
        let dialect = self.dialect();
        if self.scope.date != self.time.day() {
            return Err(failure::wrong_day(dialect, &self.scope.date, self.time.day()));
        }
        let skew = if matches!(dialect, Dialect::Json | Dialect::Rest) { SKEW_JSON_SECONDS } else { SKEW_SECONDS };
        let signed_at = self.time.epoch;
        match (&self.form, dialect) {
            (Form::Header, _) if (now - signed_at).abs() > skew => Err(failure::skewed(dialect, signed_at, now, skew)),
            (Form::Presigned { expires, .. }, Dialect::S3) => {
                let expires = expires.unwrap_or_default();
                if now < signed_at - skew {
                    Err(failure::not_yet_valid(signed_at, expires, now))
                } else if now > signed_at + expires {
                    Err(failure::expired(dialect, signed_at, expires, now))
                } else {
                    Ok(())
                }
            }
            (Form::Presigned { expires, .. }, Dialect::Json | Dialect::Rest | Dialect::Query) => {
                let expires = expires.unwrap_or(skew).min(PRESIGNED_OTHER_SECONDS);
                if now < signed_at - skew {
                    Err(failure::skewed(dialect, signed_at, now, skew))
                } else if now > signed_at + expires {
                    Err(failure::expired(dialect, signed_at, expires, now))
                } else {
                    Ok(())
                }
            }
            (Form::Header, _) => Ok(()),
        }
    }
}

/// The host and every `x-amz-*` header must be covered, or somebody on the way could change what is asked. Two are left out: the
/// payload hash is part of the canonical request anyway, and some clients add the session token after signing.
fn check_coverage(parsed: &Parsed<'_>, parts: &Parts) -> Result<(), WireError> {
    let signed = |wanted: &str| parsed.signed_headers.split(';').any(|name| name == wanted);
    let dialect = parsed.dialect();
    if !signed("host") {
        return Err(failure::header_not_signed(dialect, "host"));
    }
    for name in parts.headers.keys().map(http::HeaderName::as_str).filter(|name| name.starts_with("x-amz-")) {
        let exempt = name == CONTENT_SHA256 || (name == "x-amz-security-token" && dialect != Dialect::S3);
        if !exempt && !signed(name) {
            return Err(failure::header_not_signed(dialect, name));
        }
    }
    Ok(())
}

/// Leaves the string to sign in `text`.
fn matches(parsed: &Parsed<'_>, mac: &HmacSha256, canonical_request: &[u8], text: &mut String) -> bool {
    let Scope { date, region, service, .. } = &parsed.scope;
    let hash = sha256_hex(canonical_request);
    text.clear();
    text.extend(["AWS4-HMAC-SHA256\n", parsed.time.text(), "\n", date, "/", region, "/", service]);
    text.extend(["/aws4_request\n", hash.as_str()]);
    let mut mac = mac.clone();
    mac.update(text.as_bytes());
    let expected = mac.finalize().into_bytes();
    // Lower-case hex only: anything else cannot be what a signer writes.
    let mut provided = [0; 32];
    let lower = !parsed.signature.bytes().any(|b| b.is_ascii_uppercase());
    let readable = lower && hex::decode_to_slice(parsed.signature.as_bytes(), &mut provided).is_ok();
    bool::from(expected.as_slice().ct_eq(&provided)) && readable
}

/// `HMAC(HMAC(HMAC(HMAC("AWS4" + secret, date), region), service), "aws4_request")`.
pub fn signing_key(secret: &str, date: &str, region: &str, service: &str) -> [u8; 32] {
    let first = [b"AWS4", secret.as_bytes()].concat();
    let mut key = sign(&first, date.as_bytes());
    for part in [region, service, "aws4_request"] {
        key = sign(&key, part.as_bytes());
    }
    key
}

fn sign(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = hmac(key);
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn hmac(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"))
}
