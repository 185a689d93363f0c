//! CodeBuild's errors, in its words where they are known.

use towpath_store::StoreError;
use towpath_wire::codebuild::SERVICE;
use towpath_wire::{Dialect, WireError};

pub(super) fn invalid(message: impl Into<String>) -> WireError {
    WireError::modeled(&SERVICE, "InvalidInputException", message)
}

pub(super) fn not_found(message: impl Into<String>) -> WireError {
    WireError::modeled(&SERVICE, "ResourceNotFoundException", message)
}

pub(super) fn exists(message: impl Into<String>) -> WireError {
    WireError::modeled(&SERVICE, "ResourceAlreadyExistsException", message)
}

pub(super) fn limit(message: impl Into<String>) -> WireError {
    WireError::modeled(&SERVICE, "AccountLimitExceededException", message)
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
pub(super) fn store(error: StoreError) -> WireError {
    tracing::error!(%error, source = ?std::error::Error::source(&error), "CodeBuild's documents cannot be used");
    match error {
        StoreError::DiskFull { .. } => WireError::disk_full(Dialect::Json),
        _ => WireError::internal(Dialect::Json),
    }
}

/// Something that works on AWS and is not in this version: named, with what to do instead.
pub(super) fn unsupported(what: &str, instead: &str) -> WireError {
    invalid(format!("{what} is not supported in this version of Towpath. {instead}"))
}
