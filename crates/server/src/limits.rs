//! Bounds on what comes in.

use std::time::Duration;

/// Largest body of a JSON or Query request. AWS's own front ends take 1 MB; a pipeline of 1,000 actions needs more.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Largest body of a request to Lambda: a zip of 50 MB in base64, and what goes with it.
pub const REST_BYTES_MAX: usize = 70_167_211;
/// Largest body of a request to CodeCommit: a commit of 20 MB in base64, and what goes with it.
pub const CODECOMMIT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Longest wait for the head of a request on an open connection.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections at once.
pub const CONNECTIONS_MAX: usize = 4096;
/// How long connections may finish what they do once the server stops.
pub const DRAIN: Duration = Duration::from_secs(5);
