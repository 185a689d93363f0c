//! Every limit of this crate, beside the reason for its size. Must not hold anything but constants.

use std::time::Duration;

/// A buildspec larger than this is refused before it is parsed.
pub const BUILDSPEC_BYTES_MAX: usize = 1024 * 1024;
/// Nesting of a buildspec; a legal one needs six levels.
pub const YAML_DEPTH_MAX: usize = 64;
/// Nodes of a buildspec after its aliases are expanded: what an alias bomb would blow up.
pub const YAML_NODES_MAX: usize = 100_000;
/// One log event; CloudWatch Logs takes 256 KiB with 26 bytes of overhead.
pub const LOG_LINE_BYTES_MAX: usize = 256 * 1024 - 26;
/// Command output kept per build; CodeBuild's own lines are written beyond it.
pub const LOG_OUTPUT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Bytes read from the sandbox at once, and so the largest batch of log lines written at once.
pub const OUTPUT_CHUNK_BYTES: usize = 64 * 1024;
/// Files one artifact may hold.
pub const ARTIFACT_FILES_MAX: usize = 500_000;
/// Directory entries looked at while one glob is expanded.
pub const WALK_ENTRIES_MAX: usize = 2_000_000;
/// Nesting of directories followed while a glob is expanded.
pub const WALK_DEPTH_MAX: usize = 256;
/// One value the shell expanded at the end of a build (artifact name, exported variable).
pub const EXPANDED_BYTES_MAX: u64 = 64 * 1024;
/// Exported variables of one build.
pub const EXPORTED_VARIABLES_MAX: usize = 1_000;
/// Files that may be cached, and their bytes.
pub const CACHE_FILES_MAX: usize = 500_000;
pub const CACHE_BYTES_MAX: u64 = 20 * 1024 * 1024 * 1024;
/// Report groups one buildspec may name (CodeBuild's quota).
pub const REPORT_GROUPS_MAX: usize = 5;
/// Test cases kept of one report (CodeBuild's quota); all are counted.
pub const REPORT_CASES_KEPT_MAX: usize = 500;
/// Test cases counted of one report before the rest of its files is ignored.
pub const REPORT_CASES_READ_MAX: usize = 1_000_000;
pub const REPORT_FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
pub const REPORT_FILES_MAX: usize = 10_000;
pub const REPORT_XML_DEPTH_MAX: usize = 64;
pub const TEST_CASE_NAME_CHARS_MAX: usize = 1_000;
pub const TEST_CASE_MESSAGE_CHARS_MAX: usize = 5_000;
/// How long auto-discovery of reports may look (CodeBuild's own figure).
pub const REPORT_DISCOVERY_MAX: Duration = Duration::from_secs(5);
/// How often a phase is tried again where `on-failure: RETRY` gives no count.
pub const RETRIES_DEFAULT: u32 = 3;
/// The largest n of `RETRY-n`.
pub const RETRIES_MAX: u32 = 100;
/// Compiled size of a `RETRY-regex`.
pub const RETRY_REGEX_BYTES_MAX: usize = 256 * 1024;
/// What a driver without further commands needs to end; looking through all processes costs more.
pub const DISMISSED_GRACE: Duration = Duration::from_millis(50);
/// What a command in flight may do after SIGTERM before it gets SIGKILL.
pub const TERMINATE_GRACE: Duration = Duration::from_secs(2);
/// How long killed processes may take to disappear.
pub const KILL_WAIT: Duration = Duration::from_secs(10);
/// The runner wakes at least this often to look for a request to stop whose signal was lost.
pub const STOP_CHECK: Duration = Duration::from_millis(500);
/// How long the runner waits for its lock, which a reader holds for microseconds at a time.
pub const LOCK_WAIT: Duration = Duration::from_secs(2);
/// Size of request.json, status.json and collected.json when read back.
pub const STATE_FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Polling where the system offers no file notifications.
pub const POLL_FASTEST: Duration = Duration::from_millis(5);
pub const POLL_SLOWEST: Duration = Duration::from_millis(50);
/// A sleeping waiter looks again this often, in case a notification was lost.
pub const WAIT_RECHECK: Duration = Duration::from_secs(5);
