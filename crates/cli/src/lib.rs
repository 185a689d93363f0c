//! The `towpath` command. `assemble` is the one place that wires a running system together; everything else here
//! reads what a person wrote, speaks to the system through `host`, and shows what happens.

pub mod app;
pub mod args;
pub mod assemble;
pub mod buildspec;
pub mod client;
pub mod commands;
pub mod config;
pub mod diagnostics;
pub mod display;
pub mod document;
pub mod env;
pub mod errors;
pub mod file;
pub mod flow;
pub mod host;
pub mod limits;
pub mod remote;
pub mod template;
pub mod terminal;
pub mod worker;
