//! CodeCommit's own bounds.

/// Names in one BatchGetRepositories.
pub const BATCH_MAX: usize = 25;
/// Repositories of an account and Region.
pub const REPOSITORIES_MAX: usize = 5_000;
/// Entries of a page of a list.
pub const PAGE: usize = 1_000;
/// Files in one CreateCommit.
pub const FILES_MAX: usize = 100;
/// A file that goes through the API.
pub const FILE_BYTES_MAX: usize = 6 * 1024 * 1024;
/// All files of one CreateCommit.
pub const COMMIT_BYTES_MAX: usize = 20 * 1024 * 1024;
/// A commit's message through the API; an author's name, or address.
pub const MESSAGE_BYTES_MAX: usize = 100 * 1024;
pub const AUTHOR_CHARS_MAX: usize = 256;
pub const NAME_CHARS_MAX: usize = 100;
pub const DESCRIPTION_CHARS_MAX: usize = 1_000;
pub const TAGS_MAX: usize = 50;
pub const TAG_KEY_CHARS_MAX: usize = 128;
pub const TAG_VALUE_CHARS_MAX: usize = 256;
/// Attempts at a record that others change at the same time.
pub const ATTEMPTS_MAX: usize = 16;
