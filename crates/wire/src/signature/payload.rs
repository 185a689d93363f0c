//! Which payload hash a request was signed with: the hash of its body, or what S3's `x-amz-content-sha256` literally says.

use std::borrow::Cow;

use http::request::Parts;
use sha2::{Digest as _, Sha256};

use super::{Form, Parsed};
use crate::error::{Dialect, WireError};

pub(super) const CONTENT_SHA256: &str = "x-amz-content-sha256";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// What to give [`super::Verifier::verify`] as the payload hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload<'r> {
    /// The hash of the body, which the server computes ([`sha256_hex`]).
    Body,
    /// This text. Where it is 64 hex digits, whoever reads the body must compare (XAmzContentSHA256Mismatch); where it begins
    /// with `STREAMING-`, the body is aws-chunked.
    Literal(Cow<'r, str>),
}

impl<'r> Parsed<'r> {
    /// Services other than S3 always hash the body, whatever a header claims: the client put the same hash in its canonical
    /// request, so a claim that is not true fails the signature.
    pub fn payload(&self, parts: &'r Parts) -> Result<Payload<'r>, WireError> {
        if self.dialect() != Dialect::S3 {
            return Ok(Payload::Body);
        }
        if let Form::Presigned { payload_hash, .. } = &self.form {
            return Ok(Payload::Literal(payload_hash.clone().unwrap_or(Cow::Borrowed(UNSIGNED))));
        }
        let Some(value) = parts.headers.get(CONTENT_SHA256) else {
            let message = "Missing required header for this request: x-amz-content-sha256";
            return Err(WireError::new("InvalidRequest", 400, message));
        };
        let value = value.to_str().unwrap_or_default();
        match value {
            UNSIGNED
            | "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
            | "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
            | "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Ok(Payload::Literal(Cow::Borrowed(value))),
            _ if is_hex_digest(value) => Ok(Payload::Literal(Cow::Borrowed(value))),
            _ => Err(WireError::new("InvalidArgument", 400, WRONG_CONTENT_SHA256)
                .with("ArgumentName", CONTENT_SHA256)
                .with("ArgumentValue", value)),
        }
    }
}

/// S3's own sentence without the SigV4A modes, which nobody here can verify.
const WRONG_CONTENT_SHA256: &str = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
    STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.";

fn is_hex_digest(value: &str) -> bool {
    value.len() == 64 && value.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A SHA-256 in lower-case hex, without a heap allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HexDigest([u8; 64]);

impl HexDigest {
    pub fn as_str(&self) -> &str {
        // `encode_to_slice` writes only ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::ops::Deref for HexDigest {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl std::fmt::Debug for HexDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self)
    }
}

pub fn sha256_hex(bytes: &[u8]) -> HexDigest {
    let mut out = [b'0'; 64];
    // The slice has twice the length of the digest, so this cannot fail.
    let written = hex::encode_to_slice(Sha256::digest(bytes), &mut out);
    debug_assert!(written.is_ok());
    HexDigest(out)
}

#[cfg(test)]
mod tests {
    use super::sha256_hex;

    #[test]
    fn the_hash_of_nothing_is_the_documented_one() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256_hex(b"").as_str(), empty);
    }
}
