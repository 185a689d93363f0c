//! Every bound of this room, in one place.

use std::time::Duration;

/// What a command that answers a question may say.
pub const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What is kept of a command's complaints.
pub const COMPLAINT_BYTES_MAX: usize = 16 * 1024;
/// How long a question about a repository may take.
pub const ANSWER_TIME: Duration = Duration::from_mins(2);
/// How long a fetch or a clone may take: a source action has an hour.
pub const FETCH_TIME: Duration = Duration::from_mins(50);
/// What a fetch may bring, packed.
pub const FETCH_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// What a tree may hold, unpacked: many entries may be one blob.
pub const TREE_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;
/// How often it is looked how much a fetch has brought.
pub const LOOK: Duration = Duration::from_millis(500);
/// A transfer slower than this many bytes a second for so many seconds is given up.
pub const SLOW_BYTES: &str = "100";
pub const SLOW_SECONDS: &str = "60";
/// Refs that a repository is asked for at once.
pub const REFS_MAX: usize = 100_000;
/// A clone reference is a few hundred bytes.
pub const CLONE_REF_BYTES_MAX: u64 = 64 * 1024;
/// Passwords derived from access keys are good for this long, before and after.
pub const PASSWORD_SECONDS: i64 = 15 * 60;
/// Object ids in hex: SHA-1, and SHA-256.
pub const OBJECT_ID_CHARS: [usize; 2] = [40, 64];
