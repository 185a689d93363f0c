//! Bounds on what git clients send and on what is done for them.

use std::time::Duration;

/// Exchanges under way at once; others wait their turn.
pub const EXCHANGES_MAX: usize = 64;
/// How long one may take, waiting included.
pub const EXCHANGE_TIME: Duration = Duration::from_hours(1);
/// What a fetch may say: wants and haves.
pub const FETCH_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// What a push may bring, unpacked from its transfer encoding.
pub const PUSH_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// Compressed bytes that are inflated at once: a thousandfold of this is the memory of the worst stream.
pub const INFLATE_BYTES: usize = 4 * 1024;
/// Bytes of an answer handed on at once, and how many such pieces may wait for a slow client.
pub const PIECE_BYTES: usize = 64 * 1024;
pub const PIECES: usize = 4;
/// Longest `Git-Protocol` header that is handed to git.
pub const PROTOCOL_CHARS_MAX: usize = 256;
/// Longest user name: an access key and a session token.
pub const USER_BYTES_MAX: usize = 16 * 1024;
/// Regions that a password is tried for.
pub const REGIONS_MAX: usize = 64;
