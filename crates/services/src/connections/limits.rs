//! Bounds of what comes from outside. The first two are AWS's quotas.

use std::time::Duration;

pub const CONNECTIONS_MAX: usize = 250;
pub const HOSTS_MAX: usize = 50;
pub const TAGS_MAX: usize = 50;
pub const PAGE_MAX: usize = 100;
pub const URL_BYTES_MAX: usize = 512;
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
pub const USERNAME_BYTES_MAX: usize = 256;
pub const KEY_BYTES_MAX: usize = 32 * 1024;
pub const KNOWN_HOSTS_BYTES_MAX: usize = 64 * 1024;
pub const REPOSITORY_BYTES_MAX: usize = 512;
/// How long one fetch from a git host may take.
pub const FETCH_TIME_MAX: Duration = Duration::from_mins(20);
/// How long after its first request a git client's conversation may go on without the host being asked again.
pub const CONVERSATION: Duration = Duration::from_mins(5);
/// Fetches from git hosts that run at once.
pub const FETCHES_MAX: usize = 4;
