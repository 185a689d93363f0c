//! Every bound on functions, in one place. AWS's own quotas where it has one.

use std::time::Duration;

pub const NAME_CHARS_MAX: usize = 64;
pub const ZIPPED_BYTES_MAX: u64 = 52_428_800;
pub const UNZIPPED_BYTES_MAX: u64 = 262_144_000;
/// Entries of a code zip.
pub const ZIP_ENTRIES_MAX: u64 = 100_000;
pub const ENVIRONMENT_BYTES_MAX: usize = 4 * 1024;
pub const TIMEOUT_SECONDS_MAX: i32 = 900;
/// A synchronous event; AWS takes 6 MB.
pub const PAYLOAD_BYTES_MAX: usize = 6 * 1024 * 1024;
/// The text of the limit's error names this number.
pub const RESPONSE_BYTES_MAX: usize = 6_291_556;
/// An event of an asynchronous invocation.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;
pub const CLIENT_CONTEXT_BYTES_MAX: usize = 3_583;
/// Of the log, that an invocation answers with LogType Tail.
pub const LOG_TAIL_BYTES: usize = 4 * 1024;
/// A line of a log; a longer one is cut into pieces.
pub const LOG_LINE_BYTES_MAX: usize = 256 * 1024 - 26;
pub const TAGS_MAX: usize = 50;
pub const ALIASES_MAX: usize = 1_000;
pub const POLICY_BYTES_MAX: usize = 20_480;
pub const FUNCTIONS_PER_PAGE: usize = 50;
/// Execution environments of this process at once, so processes; AWS has 1,000 for an account.
pub const CONCURRENT_MAX: usize = 100;
/// What an account may reserve in all, AWS leaves the last 100 to everybody.
pub const UNRESERVED_MIN: i32 = 100;
pub const ACCOUNT_CONCURRENCY: i32 = 1_000;
/// Asynchronous invocations that run at once.
pub const ASYNC_RUNNING_MAX: usize = 32;
/// Events that wait, in all.
pub const ASYNC_QUEUED_MAX: usize = 10_000;
/// Connections to the Runtime API of one process.
pub const RUNTIME_CONNECTIONS_MAX: usize = 16;
/// Extra room for the initialisation of a process before its function's own timeout counts.
pub const INIT_LIMIT: Duration = Duration::from_secs(10);
/// A process that had nothing to do for so long ends.
pub const IDLE_LIMIT: Duration = Duration::from_mins(5);
/// A process lives no longer than this, so that its credentials (two hours) hold for a whole event.
pub const ENVIRONMENT_LIFE: Duration = Duration::from_hours(1);
pub const CREDENTIAL_SECONDS: i32 = 2 * 3_600;
/// How long an ended process has to be reaped.
pub const KILL_WAIT: Duration = Duration::from_secs(5);
/// How often the memory of a running function is looked at.
pub const MEMORY_CHECK: Duration = Duration::from_millis(250);
/// Processes of one function whose memory is counted.
pub const PROCESSES_COUNTED_MAX: usize = 1_024;
/// Files of code that nothing refers to are removed once they are so old.
pub const ORPHAN_AGE: Duration = Duration::from_hours(1);
