//! Bounds on everything the command reads or prints, in one place.

/// A pipeline file, `towpath.toml` or buildspec larger than this is refused unread.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// A file, or stdin, that holds a secret.
pub const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;
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
/// A call to a server: how long connecting and answering may take, how large the answer may be, how often it is made, and
/// the first pause between two attempts.
pub const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
pub const ANSWER_TIMEOUT: std::time::Duration = std::time::Duration::from_mins(1);
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Profiles that assume roles with each other's credentials; how long and how much a profile's program may talk.
pub const PROFILES_CHAINED: usize = 5;
pub const CREDENTIAL_PROCESS_TIMEOUT: std::time::Duration = std::time::Duration::from_mins(2);
pub const CREDENTIAL_PROCESS_BYTES: usize = 64 * 1024;
pub const CALL_ATTEMPTS_MAX: u32 = 4;
pub const CALL_PAUSE: std::time::Duration = std::time::Duration::from_millis(150);
/// Items of one page of a list, and how many are read of each list.
pub const PAGE_ITEMS: usize = 100;
pub const PIPELINES_LISTED: usize = 10_000;
pub const EXECUTIONS_SEARCHED: usize = 1_000;
pub const EXECUTIONS_WATCHED: usize = 50;
pub const ACTIONS_OF_ONE_EXECUTION: usize = 5_000;
/// Calls under way at once where one command asks for many pipelines.
pub const CALLS_AT_ONCE: usize = 8;
/// How often a watched pipeline is asked for: a server on this machine, anybody else.
pub const WATCH_PACE_LOCAL: std::time::Duration = std::time::Duration::from_millis(400);
pub const WATCH_PACE: std::time::Duration = std::time::Duration::from_secs(3);
/// CloudFormation's own bounds: resources of a template, and its parameters, mappings and outputs each.
pub const TEMPLATE_RESOURCES_MAX: usize = 500;
pub const TEMPLATE_DECLARATIONS_MAX: usize = 200;
/// What a template's functions may expand to, and how deep functions and references may lead.
pub const TEMPLATE_EXPANDED_BYTES_MAX: usize = 16 * 1024 * 1024;
pub const TEMPLATE_NESTING_MAX: usize = 200;
/// Stacks of one CDK app.
pub const STACKS_MAX: usize = 200;

/// A worker: jobs worked on at once, and jobs asked for at once.
pub const WORKER_CONCURRENCY_MAX: i64 = 50;
pub const WORKER_POLL_MAX: usize = 50;
/// What its times may be set to.
pub const WORKER_PAUSE_MIN: std::time::Duration = std::time::Duration::from_millis(50);
pub const WORKER_PAUSE_MAX: std::time::Duration = std::time::Duration::from_hours(24);
/// Pauses between tries, and how often a result is told until somebody takes it: for about half an hour.
pub const WORKER_RETRY_FIRST: std::time::Duration = std::time::Duration::from_millis(500);
pub const WORKER_RETRY_MAX: std::time::Duration = std::time::Duration::from_secs(30);
pub const WORKER_RESULT_TRIES: u32 = 60;
/// A job that waits in a worker for a place there; servers give it out again after a minute.
pub const WORKER_BACKLOG_KEPT: std::time::Duration = std::time::Duration::from_secs(50);
/// How often it is asked whether a job is still wanted, and how long its keys, good for 15 minutes, are used.
pub const WORKER_WANTED_EVERY: std::time::Duration = std::time::Duration::from_secs(10);
pub const WORKER_KEYS_KEPT: std::time::Duration = std::time::Duration::from_mins(8);
/// How long a running command waits for the next job of its action, and after how long others take its worker for gone.
pub const WORKER_PARKED_KEPT: std::time::Duration = std::time::Duration::from_mins(5);
pub const WORKER_ORPHAN_AFTER: std::time::Duration = std::time::Duration::from_mins(10);
/// How often a command's report is read, and how long its processes have to end when they are asked to.
pub const WORKER_LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(250);
pub const WORKER_KILL_AFTER: std::time::Duration = std::time::Duration::from_secs(10);
/// AWS's bounds on what is told of a job.
pub const SUMMARY_CHARS_MAX: usize = 2_048;
pub const FAILURE_CHARS_MAX: usize = 5_000;
/// Files in which a command tells something.
pub const WORKER_REPORT_BYTES_MAX: u64 = 64 * 1024;
pub const WORKER_VARIABLES_BYTES_MAX: u64 = 128 * 1024;
/// One line of a command's output, and what of its end goes into the message of its failure.
pub const WORKER_LINE_BYTES_MAX: u64 = 64 * 1024;
pub const WORKER_TAIL_LINES: usize = 10;
pub const WORKER_TAIL_CHARS: usize = 300;
/// A packed artifact.
pub const WORKER_ARTIFACT_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;
/// Jenkins: a file sent with a build, an answer, a piece of console output and how large one is that has more behind it.
pub const WORKER_UPLOAD_BYTES_MAX: u64 = 256 * 1024 * 1024;
pub const WORKER_JSON_BYTES_MAX: usize = 16 * 1024 * 1024;
pub const WORKER_CONSOLE_BYTES_MAX: usize = 256 * 1024 * 1024;
pub const WORKER_CONSOLE_PIECE: usize = 64 * 1024;
/// How often a Jenkins build is looked at, and how long a Jenkins that does not answer is waited for.
pub const WORKER_JENKINS_LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(1);
pub const WORKER_JENKINS_PATIENCE: std::time::Duration = std::time::Duration::from_mins(10);

/// HTTP services: how long one that does not answer is waited for, a file sent to it, AWS's bound on continuation tokens,
/// and the file that describes one.
pub const WORKER_HTTP_PATIENCE: std::time::Duration = std::time::Duration::from_mins(10);
pub const WORKER_HTTP_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
pub const CONTINUATION_CHARS_MAX: usize = 2_048;
pub const WORKER_DESCRIPTION_BYTES_MAX: u64 = 256 * 1024;

/// What git is asked of a directory; a status of a large one takes seconds.
pub const GIT_TIMEOUT: std::time::Duration = std::time::Duration::from_mins(1);
/// A clone of one commit with its submodules.
pub const CLONE_TIMEOUT: std::time::Duration = std::time::Duration::from_mins(10);
/// CodePipeline's bound on a commit's message is 100 KB; a character has up to four bytes.
pub const COMMIT_MESSAGE_CHARS_MAX: usize = 25 * 1024;
