//! The service's errors, in AWS's words where they are known.

use towpath_store::StoreError;
use towpath_wire::codeconnections::SERVICE;
use towpath_wire::{Dialect, WireError};

pub(super) fn not_found() -> WireError {
    let text = "Resource not found. Verify the connection resource ARN and try again.";
    WireError::modeled(&SERVICE, "ResourceNotFoundException", text)
}

pub(super) fn unavailable(message: impl Into<String>) -> WireError {
    WireError::modeled(&SERVICE, "ResourceUnavailableException", message)
}

pub(super) fn conflict() -> WireError {
    WireError::modeled(&SERVICE, "ConflictException", "Two conflicting operations were made on the same resource.")
}

pub(super) fn limit(message: impl Into<String>) -> WireError {
    WireError::modeled(&SERVICE, "LimitExceededException", message)
}

pub(super) fn invalid(message: impl Into<String>) -> WireError {
    WireError::validation(&SERVICE, message)
}

pub(super) fn store(error: &StoreError) -> WireError {
    if error.is_conflict() {
        return conflict();
    }
    tracing::error!(%error, source = ?std::error::Error::source(error), "the documents of connections cannot be used");
    match error {
        StoreError::DiskFull { .. } => WireError::disk_full(Dialect::Json),
        _ => WireError::internal(Dialect::Json),
    }
}

pub(super) fn broken(error: &dyn std::error::Error) -> WireError {
    tracing::error!(%error, "connections cannot answer");
    WireError::internal(Dialect::Json)
}

/// This service's errors spell their text with a capital letter.
pub(super) fn spelled(mut error: WireError) -> WireError {
    let text = std::mem::take(&mut error.message);
    if text.is_empty() { error } else { error.with("Message", text) }
}
