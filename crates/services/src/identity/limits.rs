//! Every limit of identity in one place: AWS's default quotas, and the bounds of what is kept in memory.

/// White space in a policy does not count towards its size.
pub(super) const TRUST_CHARS_MAX: usize = 2_048;
pub(super) const MANAGED_CHARS_MAX: usize = 6_144;
pub(super) const TAGS_MAX: usize = 50;
pub(super) const USERS_MAX: usize = 5_000;
pub(super) const GROUPS_MAX: usize = 300;
pub(super) const ROLES_MAX: usize = 1_000;
pub(super) const POLICIES_MAX: usize = 1_500;
pub(super) const KEYS_PER_USER_MAX: usize = 2;
pub(super) const GROUPS_PER_USER_MAX: usize = 10;
pub(super) const ATTACHED_MAX: usize = 10;
pub(super) const VERSIONS_MAX: usize = 5;

pub(super) const PAGE_DEFAULT: usize = 100;
/// Documents read at once while looking for what is under a path.
pub(super) const SCAN_PAGE: usize = 500;

/// Characters of the texts and ARNs of session policies that may be passed together.
pub(super) const SESSION_POLICY_CHARS_MAX: usize = 2_048;
/// Characters of tags that fit into a token beside the largest session policy.
pub(super) const SESSION_TAGS_CHARS_MAX: usize = 2_560;

/// Parsed entities of one kind kept in memory; past it the cache starts anew.
pub(super) const CACHED_MAX: usize = 1_024;
/// Repetitions of an operation that lost a race against another node.
pub(super) const ATTEMPTS_MAX: usize = 16;
/// The use of a key is written down when the last one that was is older than this.
pub(super) const USE_NOTED_MILLIS: i64 = 15 * 60 * 1_000;
/// Keys whose last use is remembered in memory.
pub(super) const USES_MAX: usize = 4_096;
