//! SigV4 verification: who signed this request, and is it what they signed? Parsing ([`parse`]) and verifying ([`Verifier`]) are
//! apart, because the credential scope routes a request before its key is looked up. Keys, sessions and policies are somebody
//! else's; so are signing requests, chunk signatures, and the clock, which is an argument.

mod canonical;
mod failure;
mod parse;
mod payload;
mod time;
mod verify;

use std::borrow::Cow;

pub use failure::{wrong_region, wrong_service};
pub use parse::{guess, parse};
pub use payload::{HexDigest, Payload, sha256_hex};
pub use verify::{Verifier, signing_key};

use crate::error::Dialect;
use time::AmzDate;

/// `ACCESSKEY/DATE/REGION/SERVICE/aws4_request` as the client states it. Nothing of it is proven before [`Verifier::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope<'r> {
    pub access_key: Cow<'r, str>,
    pub date: Cow<'r, str>,
    pub region: Cow<'r, str>,
    pub service: Cow<'r, str>,
}

/// The authentication that a request carries, taken apart but not yet verified.
#[derive(Clone, Debug)]
pub struct Parsed<'r> {
    pub scope: Scope<'r>,
    /// The session token, where the key is a temporary one.
    pub token: Option<Cow<'r, str>>,
    signed_headers: Cow<'r, str>,
    signature: Cow<'r, str>,
    time: AmzDate,
    form: Form<'r>,
}

#[derive(Clone, Debug)]
enum Form<'r> {
    Header,
    /// In the query string: `X-Amz-Expires` in seconds, and the payload hash where the URL states one.
    Presigned {
        expires: Option<i64>,
        payload_hash: Option<Cow<'r, str>>,
    },
}

impl Parsed<'_> {
    pub fn dialect(&self) -> Dialect {
        Dialect::of(&self.scope.service)
    }

    pub fn is_presigned(&self) -> bool {
        matches!(self.form, Form::Presigned { .. })
    }

    /// When the client says it signed, in epoch seconds.
    pub fn signed_at(&self) -> i64 {
        self.time.epoch
    }

    /// The signature in hex. For S3 it is also the seed of chunk signatures.
    pub fn signature(&self) -> &str {
        &self.signature
    }
}
