//! Every way in which authentication fails, with the code, status and words of the dialect. Only makes errors; decides nothing.

use crate::error::{Dialect, WireError};

use super::time::{basic, extended};

/// An `Authorization` header or a query that cannot be taken apart.
pub fn incomplete(dialect: Dialect, message: impl Into<String>) -> WireError {
    match dialect {
        Dialect::Json => WireError::new("IncompleteSignatureException", 400, message),
        Dialect::Rest => WireError::new("IncompleteSignatureException", 403, message),
        Dialect::Query => WireError::new("IncompleteSignature", 400, message),
        Dialect::S3 => WireError::new(
            "AuthorizationHeaderMalformed",
            400,
            "The authorization header is malformed; the authorization header requires three components: Credential, \
             SignedHeaders, and Signature.",
        ),
    }
}

/// A credential that does not have its five parts.
pub fn malformed_credential(dialect: Dialect, credential: &str) -> WireError {
    if dialect == Dialect::S3 {
        return WireError::new(
            "AuthorizationHeaderMalformed",
            400,
            "The authorization header is malformed; the Credential is mal-formed; expecting \
             \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".",
        );
    }
    let message = format!(
        "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential}'"
    );
    incomplete(dialect, message)
}

/// The code of a signature that is there but does not hold.
fn invalid(dialect: Dialect, message: impl Into<String>) -> WireError {
    match dialect {
        Dialect::Json => WireError::new("InvalidSignatureException", 400, message),
        Dialect::Rest => WireError::new("InvalidSignatureException", 403, message),
        Dialect::Query | Dialect::S3 => WireError::new("SignatureDoesNotMatch", 403, message),
    }
}

pub fn wrong_terminator(dialect: Dialect, credential: &str) -> WireError {
    match dialect {
        Dialect::S3 => malformed_credential(dialect, credential),
        Dialect::Json | Dialect::Rest | Dialect::Query => {
            invalid(dialect, "Credential should be scoped with a valid terminator: 'aws4_request'")
        }
    }
}

pub fn wrong_day(dialect: Dialect, scope_day: &str, request_day: &str) -> WireError {
    match dialect {
        Dialect::S3 => WireError::new(
            "AuthorizationHeaderMalformed",
            400,
            format!(
                "The authorization header is malformed; Invalid credential date \"{scope_day}\". This date is not the \
                 same as X-Amz-Date: \"{request_day}\"."
            ),
        ),
        Dialect::Json | Dialect::Rest | Dialect::Query => {
            invalid(dialect, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP")
        }
    }
}

/// A scope for another region than the one that answers. For servers that do not serve every region.
pub fn wrong_region(dialect: Dialect, region: &str, expected: &str) -> WireError {
    match dialect {
        Dialect::S3 => WireError::new(
            "AuthorizationHeaderMalformed",
            400,
            format!("The authorization header is malformed; the region '{region}' is wrong; expecting '{expected}'"),
        )
        .with("Region", expected),
        Dialect::Json | Dialect::Rest | Dialect::Query => {
            invalid(dialect, format!("Credential should be scoped to a valid region, not '{region}'. "))
        }
    }
}

/// A scope for another service than the one that was asked.
pub fn wrong_service(dialect: Dialect, service: &str, expected: &str) -> WireError {
    match dialect {
        Dialect::S3 => WireError::new(
            "AuthorizationHeaderMalformed",
            400,
            format!(
                "The authorization header is malformed; incorrect service \"{service}\". This endpoint belongs to \
                 \"{expected}\"."
            ),
        ),
        Dialect::Json | Dialect::Rest | Dialect::Query => {
            invalid(dialect, format!("Credential should be scoped to correct service: '{expected}'. "))
        }
    }
}

/// No `x-amz-date` and no `Date`, or one that is no time.
pub fn no_date(dialect: Dialect) -> WireError {
    match dialect {
        Dialect::S3 => {
            WireError::new("AccessDenied", 403, "AWS authentication requires a valid Date or x-amz-date header")
        }
        Dialect::Json | Dialect::Rest | Dialect::Query => incomplete(
            dialect,
            "Date must be in ISO-8601 'basic format'. Authorization header requires existence of either a 'X-Amz-Date' \
             or a 'Date' header.",
        ),
    }
}

pub fn two_mechanisms(dialect: Dialect) -> WireError {
    let message = "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string \
                   parameter or the Authorization header should be specified";
    match dialect {
        Dialect::S3 => WireError::new("InvalidArgument", 400, message),
        Dialect::Json | Dialect::Rest | Dialect::Query => incomplete(dialect, message),
    }
}

/// Signature Version 2, and SigV4A, whose keys are not ours to verify.
pub fn unsupported_algorithm(dialect: Dialect, algorithm: &str) -> WireError {
    match dialect {
        Dialect::S3 => WireError::new(
            "InvalidRequest",
            400,
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
        ),
        Dialect::Json | Dialect::Rest | Dialect::Query => incomplete(
            dialect,
            format!("Unsupported AWS 'algorithm': '{algorithm}', only AWS4-HMAC-SHA256 is accepted."),
        ),
    }
}

pub fn query_parameters(dialect: Dialect) -> WireError {
    let message = "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, \
                   X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.";
    query_error(dialect, message)
}

pub fn query_error(dialect: Dialect, message: &str) -> WireError {
    match dialect {
        Dialect::S3 => WireError::new("AuthorizationQueryParametersError", 400, message),
        Dialect::Json | Dialect::Rest | Dialect::Query => incomplete(dialect, message),
    }
}

/// A header that must be covered by the signature and is not.
pub fn header_not_signed(dialect: Dialect, name: &str) -> WireError {
    match dialect {
        Dialect::S3 => {
            WireError::new("AccessDenied", 403, "There were headers present in the request which were not signed")
                .with("HeadersNotSigned", name)
        }
        Dialect::Json | Dialect::Rest | Dialect::Query => {
            let name = if name == "host" { "Host' or ':authority" } else { name };
            invalid(dialect, format!("'{name}' must be a 'SignedHeader' in the AWS Authorization."))
        }
    }
}

/// The clock of the client is wrong, or the request was kept too long.
pub fn skewed(dialect: Dialect, signed_at: i64, now: i64, window: i64) -> WireError {
    if dialect == Dialect::S3 {
        let message = "The difference between the request time and the current time is too large.";
        return WireError::new("RequestTimeTooSkewed", 403, message)
            .with("RequestTime", basic(signed_at))
            .with("ServerTime", extended(now))
            .with("MaxAllowedSkewMilliseconds", (window * 1000).to_string());
    }
    let (sent, clock, minutes) = (basic(signed_at), basic(now), window / 60);
    let message = if signed_at < now {
        format!("Signature expired: {sent} is now earlier than {} ({clock} - {minutes} min.)", basic(now - window))
    } else {
        format!(
            "Signature not yet current: {sent} is still later than {} ({clock} + {minutes} min.)",
            basic(now + window)
        )
    };
    invalid(dialect, message)
}

/// A presigned URL past its life.
pub fn expired(dialect: Dialect, signed_at: i64, expires: i64, now: i64) -> WireError {
    if dialect != Dialect::S3 {
        let message = format!(
            "Signature expired: {} is now earlier than {} ({} - {} min.)",
            basic(signed_at),
            basic(now - expires),
            basic(now),
            expires / 60
        );
        return invalid(dialect, message);
    }
    WireError::new("AccessDenied", 403, "Request has expired")
        .with("X-Amz-Expires", expires.to_string())
        .with("Expires", extended(signed_at + expires))
        .with("ServerTime", extended(now))
}

/// A presigned URL of S3 that begins to hold later.
pub fn not_yet_valid(signed_at: i64, expires: i64, now: i64) -> WireError {
    WireError::new("AccessDenied", 403, "Request is not yet valid")
        .with("X-Amz-Date", (signed_at * 1000).to_string())
        .with("Expires", extended(signed_at + expires))
        .with("ServerTime", extended(now))
}

/// The signature is not the one that the key makes. S3 shows what it computed from, as the live service does, because that is how
/// people find what their client got wrong; nothing in it is secret.
pub fn mismatch(
    dialect: Dialect,
    access_key: &str,
    signature: &str,
    string_to_sign: &str,
    canonical_request: &[u8],
) -> WireError {
    if dialect != Dialect::S3 {
        return invalid(
            dialect,
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
             Key and signing method. Consult the service documentation for details.",
        );
    }
    let message = "The request signature we calculated does not match the signature you provided. Check your key and \
                   signing method.";
    invalid(dialect, message)
        .with("AWSAccessKeyId", access_key)
        .with("StringToSign", string_to_sign)
        .with("SignatureProvided", signature)
        .with("StringToSignBytes", spaced_hex(string_to_sign.as_bytes()))
        .with("CanonicalRequest", String::from_utf8_lossy(canonical_request))
        .with("CanonicalRequestBytes", spaced_hex(canonical_request))
}

fn spaced_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| hex::encode([*byte])).collect::<Vec<_>>().join(" ")
}
