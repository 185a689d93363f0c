//! Why identity could not start, and why a key has no holder.

use std::path::PathBuf;

use towpath_store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("could not {attempted} `{}`", path.display())]
    File {
        attempted: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },

    /// The credentials file is there but holds no usable `default` profile.
    #[error(
        "`{}` has no usable [default] profile (aws_access_key_id and aws_secret_access_key): repair it, or remove it to \
         have it written again", path.display()
    )]
    UnreadableCredentials { path: PathBuf },

    /// The credentials file holds another key than the data directory.
    #[error(
        "`{}` holds the key {found}, but this data directory's root user has {expected}: remove the file to have it \
         written again, or start with the data directory it belongs to", path.display()
    )]
    ForeignCredentials { path: PathBuf, found: String, expected: String },

    #[error("could not {attempted}")]
    Store {
        attempted: &'static str,
        #[source]
        source: StoreError,
    },
}

/// Why an access key has no holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    #[error("there is no such access key")]
    UnknownKey,
    #[error("the session token is missing or does not belong to the access key")]
    InvalidToken,
    #[error("the session has ended")]
    Expired,
    /// The reason is in the log.
    #[error("access keys cannot be looked up now")]
    Unavailable,
}
