//! Ready-made job workers for actions of custom and of partners' types: one runs any command (`command`), one drives an
//! HTTP service that a file describes (`http`), one a Jenkins server (`jenkins`).
//!
//! A worker is a client like any other: it polls, acknowledges and answers through the public API and moves artifacts
//! with the credentials of its job. It knows nothing of stores, engines or servers, and works against AWS too.

pub mod args;
mod artifacts;
pub mod command;
pub mod http;
pub mod jenkins;
mod job;
mod jobs;
mod log;
mod pool;
mod wire;
mod work;

pub use artifacts::{Archives, Store};
pub use jobs::{Door, Jobs, Polling};
pub use log::Log;
pub use pool::{Pool, Signals};
pub use work::Work;
