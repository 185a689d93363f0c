//! The front doors: AWS requests (verified, then routed by the service in their credential scope), and the few pages
//! that need no signature. Each turns a request into a call of the orchestrator or of an embedded service. No SQL here,
//! and no decisions.

pub mod api;
mod aws;
mod code;
mod front;
mod git_http;
mod job_bearer;
pub mod limits;
pub mod listen;
mod metrics;
mod pages;

pub use front::{Front, Peer, Services};
