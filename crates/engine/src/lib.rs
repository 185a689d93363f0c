//! The verbs of Towpath: given the state of one pipeline, an event and a time, `step` decides the new state, what is
//! written into history and what the world is asked to do. `validation` decides whether a declaration may run.
//!
//! Nothing here performs I/O, awaits, reads a clock or draws randomness: time and ids come in with `Context`, and the
//! same world, event and context always give the same decision. A refused command changes nothing.

mod action;
mod artifacts;
mod create;
mod execution;
pub mod legal;
mod stage;
mod step;
mod turn;
pub mod validation;
pub mod variables;

pub use create::{create, normalise};
pub use execution::revision::check_source;
pub use execution::start::check_request;
pub use step::{Context, Decision, Reply, World, executions_needed, step};
pub use validation::{PathSegment, Violation, ViolationCode, merge_masked, validate};
