//! Artifacts as zip files: packed the same way every time, unpacked without trusting a byte of them.
//!
//! Whole files on disk go in and out; memory stays bounded whatever the size. Nothing here knows S3, keys, pipelines or
//! rows, and nothing here is async: callers run it on a blocking thread.

mod archive;
mod directory;
pub mod limits;
mod names;
mod pack;
mod shared_file;
mod unpack;

pub use archive::{Archive, Entry, EntryKind, ReadError, list};
pub use limits::Limits;
pub use pack::{Item, PackError, Packed, pack, pack_directory, walk};
pub use unpack::{UnpackError, Unpacked, unpack};
