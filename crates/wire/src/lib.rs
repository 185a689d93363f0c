//! AWS protocols: shapes, constraints and errors generated from `models/*.json`; SigV4 verification; JSON 1.1 and Query/XML.
//! Knows how AWS speaks and nothing of what is said: no domain rules, no I/O, no clock, none of our other crates.
//!
//! A request passes [`signature`] (who is asking), then [`json`], [`query`] or [`rest`] (decode, then every constraint of the model at
//! once through [`validate`]); an answer or a [`WireError`] goes back through the same protocol module.

pub mod error;
pub mod generated;
pub mod json;
pub mod query;
pub mod rest;
pub mod s3;
pub mod schema;
pub mod signature;
pub mod types;
pub mod validate;
mod xml;

pub use error::{Dialect, WireError};
pub use generated::{
    codebuild, codecommit, codeconnections, codepipeline, codestar_connections, iam, lambda, logs, sts,
};
