//! Lambda's errors, in its words where they are known.

use towpath_store::StoreError;
use towpath_wire::lambda::SERVICE;
use towpath_wire::{Dialect, WireError};

use crate::identity::Refusal;

pub(super) fn invalid(message: impl Into<String>) -> WireError {
    WireError::modeled(&SERVICE, "InvalidParameterValueException", message)
}

pub(super) fn not_found(message: impl Into<String>) -> WireError {
    WireError::modeled(&SERVICE, "ResourceNotFoundException", message)
}

pub(super) fn no_function(arn: &str) -> WireError {
    not_found(format!("Function not found: {arn}"))
}

pub(super) fn conflict(message: impl Into<String>) -> WireError {
    WireError::modeled(&SERVICE, "ResourceConflictException", message)
}

/// `what` is the API that tells the latest revision.
pub(super) fn stale(what: &str) -> WireError {
    let message = format!(
        "The Revision Id provided does not match the latest Revision Id. Call the {what} API to retrieve the latest \
         Revision Id"
    );
    WireError::modeled(&SERVICE, "PreconditionFailedException", message)
}

/// `reason` is one of the model's, such as `ReservedFunctionConcurrentInvocationLimitExceeded`.
pub(super) fn throttled(reason: &str) -> WireError {
    WireError::modeled(&SERVICE, "TooManyRequestsException", "Rate Exceeded.").with("Reason", reason)
}

pub(super) fn invalid_runtime(message: impl Into<String>) -> WireError {
    WireError::modeled(&SERVICE, "InvalidRuntimeException", message)
}

pub(super) fn validation(value: &str, at: &str, constraint: &str) -> WireError {
    let text =
        format!("1 validation error detected: Value '{value}' at '{at}' failed to satisfy constraint: {constraint}");
    WireError::validation(&SERVICE, text)
}

/// Something that works on AWS and is not in this version: named, with what to do instead.
pub(super) fn unsupported(what: &str, instead: &str) -> WireError {
    invalid(format!("{what} is not supported in this version of Towpath. {instead}"))
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
pub(super) fn store(error: StoreError) -> WireError {
    tracing::error!(%error, source = ?std::error::Error::source(&error), "Lambda's documents cannot be used");
    match error {
        StoreError::DiskFull { .. } => WireError::disk_full(Dialect::Rest),
        _ => WireError::internal(Dialect::Rest),
    }
}

/// A fault of ours: the cause goes to the log.
pub(super) fn internal(doing: &str, error: &dyn std::error::Error) -> WireError {
    tracing::error!(%error, "Lambda cannot {doing}");
    WireError::internal(Dialect::Rest)
}

pub(super) fn refused(refusal: Refusal) -> WireError {
    match refusal {
        Refusal::Denied(denied) => WireError::access_denied(Dialect::Rest, denied.to_string()),
        Refusal::Unavailable(error) => store(error),
    }
}
