//! What the workers take from the system: its clock, a name of their own, and how zips are read and written.

use std::path::Path;
use std::sync::Arc;

use towpath_artifacts::{Limits, pack_directory, unpack};
use towpath_model::ids::IdSource as _;

use super::ambient::{SystemClock, SystemIds};
use crate::commands::worker::Surroundings;
use crate::worker::Archives;

pub fn worker_surroundings() -> Surroundings {
    let archives = Archives { unpack: unpack_zip, pack: pack_zip };
    Surroundings { clock: Arc::new(SystemClock), archives, name: SystemIds::default().uuid() }
}

fn unpack_zip(zip: &Path, into: &Path) -> Result<(), String> {
    unpack(zip, into, &Limits::DEFAULT).map(drop).map_err(|error| chain(&error))
}

fn pack_zip(directory: &Path, out: &Path) -> Result<u64, String> {
    let packed = pack_directory(directory, |_, _| true, out).map_err(|error| chain(&error))?;
    if let Some(skipped) = packed.skipped.first() {
        return Err(format!("{skipped} is no file, or a link that leads out of the directory"));
    }
    Ok(packed.entries)
}

/// The error and everything it came from.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
