//! Bounds on everything the command reads or prints, in one place.

/// A pipeline file, `towpath.toml` or buildspec larger than this is refused unread.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Nesting of maps and lists in a file.
pub const DEPTH_MAX: usize = 64;
/// Values in one file once YAML aliases are written out: what stops a "billion laughs" file.
pub const NODES_MAX: usize = 100_000;
/// Problems collected from one file, and of those, how many are drawn with their lines.
pub const PROBLEMS_MAX: usize = 1_000;
pub const PROBLEMS_DRAWN_MAX: usize = 100;
/// A problem on a longer line is told without drawing the line.
pub const LINE_DRAWN_BYTES_MAX: usize = 1_000;
/// Lines of a build's log shown under its action while it runs, and after it failed.
pub const LOG_TAIL_LINES: usize = 5;
pub const LOG_TAIL_FAILED_LINES: usize = 20;
/// Redraws of the live tree are at least this far apart.
pub const REDRAW_MS: u64 = 100;
/// How often the log of a running build is asked for.
pub const LOG_POLL_MS: u64 = 100;
/// Log events taken by one GetLogEvents.
pub const LOG_PAGE_EVENTS: u32 = 1_000;
/// Pages of a finished build's log that are read before its result is shown.
pub const LOG_DRAIN_PAGES_MAX: usize = 10_000;
/// How long the first Ctrl-C waits for builds to stop.
pub const STOP_WAIT_MS: u64 = 10_000;
/// Files of one source directory.
pub const SOURCE_FILES_MAX: usize = 200_000;
/// AWS's bound on the summary of an approval.
pub const APPROVAL_SUMMARY_CHARS_MAX: usize = 512;
/// How much virtual time a simulation may take. An approval waits for 60 days at the most.
pub const SIMULATED_MAX: std::time::Duration = std::time::Duration::from_hours(400 * 24);
