//! Builds: a buildspec and a directory go in; logs, exit status, exported variables and files come out of a sandbox.
//!
//! The server calls [`spawn`] and follows the build through a [`Handle`]; a detached runner, the same program calling
//! [`runner_main`], does the work and survives the server. The two share nothing but files in the build's directory.
//!
//! Must never contain pipelines, AWS calls, or anything else of ours: sources are there before a build begins, and
//! what it leaves is uploaded by whoever asked for it.

pub mod buildspec;
mod collect;
mod files;
mod handle;
pub mod limits;
pub mod request;
mod runner;
mod sandbox;
pub mod status;
mod wait;
mod yaml;

pub use handle::{BuildsError, Handle, Liveness, LogChunk, LogLine, Observation, Seen, spawn};
pub use request::BuildRequest;
pub use runner::log::container_line;
pub use runner::{Clock, runner_main};
pub use sandbox::{Availability, Detected, Enclosure, detect, is_system};
pub use status::{Collected, Outcome, Status};
