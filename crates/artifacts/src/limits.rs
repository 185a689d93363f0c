//! Every bound on artifacts, in one place.

/// What an archive may hold to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub entries_max: u64,
    /// Sum of the unpacked sizes.
    pub bytes_max: u64,
    /// Unpacked bytes per packed byte, looked at only above `ratio_free_bytes`.
    pub ratio_max: u64,
    pub ratio_free_bytes: u64,
}

impl Limits {
    pub const DEFAULT: Self = Self {
        entries_max: 500_000,
        bytes_max: 64 * GIB,
        // Deflate reaches 1032 at most, on nothing but zeros; source code and logs stay below 50.
        ratio_max: 200,
        ratio_free_bytes: GIB / 4,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

const GIB: u64 = 1024 * 1024 * 1024;

/// Longest entry name and longest target of a symbolic link; Linux's PATH_MAX.
pub const NAME_BYTES_MAX: usize = 4096;
/// Directories inside directories.
pub const DEPTH_MAX: usize = 256;
/// Entries that `pack` puts into one archive.
pub const PACK_ENTRIES_MAX: usize = 500_000;

/// Buffer of every copy from file to file.
pub(crate) const COPY_BUFFER_BYTES: usize = 256 * 1024;
/// From this size on an entry gets zip64 fields from the start, as its packed size may pass 4 GiB.
pub(crate) const ZIP64_FROM_BYTES: u64 = 0xF000_0000;
/// Fast rather than small: artifacts live for hours and travel over short distances.
pub(crate) const DEFLATE_LEVEL: i64 = 2;
