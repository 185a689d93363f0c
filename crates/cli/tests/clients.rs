//! The shipped binary, seen by clients nobody here wrote: boto3, the AWS CLI, and a shell. The Python scenarios are in
//! `tests/clients/`; each is one test here, against a server of its own. `cargo xtask test` brings the Python
//! environment; without it these tests fail and say so.

#[path = "clients/bad_input.rs"]
mod bad_input;
#[path = "clients/commands.rs"]
mod commands;
#[path = "clients/examples.rs"]
mod examples;
#[path = "clients/python.rs"]
mod python;
#[path = "clients/scenarios.rs"]
mod scenarios;
#[path = "clients/server.rs"]
mod server;
