//! Every bound this crate keeps, in one place.

use std::time::Duration;

/// Attempts the SDK makes for one call before the provider answers `Unavailable`.
pub const ATTEMPTS_MAX: u32 = 5;
/// First pause between two attempts; the SDK adds jitter and doubles it.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(100);
pub const BACKOFF_MAX: Duration = Duration::from_secs(5);
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Silence after a control call was sent.
pub const READ_TIMEOUT: Duration = Duration::from_mins(1);
/// Silence after an S3 call was sent: a server-side copy of 5 GB answers only when it is done.
pub const S3_READ_TIMEOUT: Duration = Duration::from_mins(15);

/// A role session is renewed when it has less than this left, so that no call starts with credentials about to end.
pub const SESSION_MARGIN_MS: i64 = 5 * 60 * 1000;
/// Role sessions and clients a realm remembers.
pub const SESSIONS_MAX: usize = 1024;
/// STS's bound on `RoleSessionName`.
pub const SESSION_NAME_CHARS_MAX: usize = 64;

/// CopyObject's own limit; larger objects are copied in parts.
pub const COPY_WHOLE_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
/// A part of a server-side copy of a larger object.
pub const COPY_PART_BYTES: u64 = 1024 * 1024 * 1024;
/// A part of an upload. The parts an action holds in memory at once are bounded by this and the two counts below.
pub const UPLOAD_PART_BYTES: usize = 8 * 1024 * 1024;
/// Files uploaded at once by one deploy.
pub const UPLOADS_AT_ONCE: usize = 8;
/// Files of more than one part uploaded at once by one deploy.
pub const LARGE_UPLOADS_AT_ONCE: usize = 2;
/// S3's bound on the parts of one upload.
pub const PARTS_MAX: u64 = 10_000;

/// CodeBuild's bound on `idempotencyToken`.
pub const IDEMPOTENCY_TOKEN_CHARS_MAX: usize = 64;
/// The longest `Seconds` of a rehearsed action: one day.
pub const REHEARSAL_SECONDS_MAX: f64 = 86_400.0;

/// Steps back that a regular expression may take over one text.
pub const REGEX_BACKTRACKS_MAX: usize = 1_000_000;
/// Memory of a compiled regular expression.
pub const REGEX_BYTES_MAX: usize = 1024 * 1024;
/// What a message repeats of a configured or resolved value.
pub const SHOWN_VALUE_CHARS_MAX: usize = 200;
/// A cron expression; the longest useful one has a few lists.
pub const CRON_CHARS_MAX: usize = 1000;
/// How far ahead the next opening of a window is looked for: past every leap day on a given weekday.
pub const CRON_YEARS_AHEAD: i16 = 50;
/// Names of time zones are shorter.
pub const TIME_ZONE_CHARS_MAX: usize = 64;
/// How often a closed deployment window is looked at.
pub const WINDOW_INTERVAL_MAX: Duration = Duration::from_mins(1);
/// The longest `WaitTime` of an alarm rule, in minutes: the longest timeout a rule may have.
pub const ALARM_WAIT_MINUTES_MAX: u32 = 86_400;
/// How long commands may run: the quota of the Commands action and rule.
pub const COMMANDS_MINUTES: u32 = 55;
/// CodeBuild's shortest timeout.
pub const COMMANDS_MINUTES_MIN: u32 = 5;
/// Characters of the pipeline's name in the name of the project that runs its commands.
pub const COMMANDS_PROJECT_PIPELINE_CHARS: usize = 100;
/// CodePipeline's bound on the output variable `CommitMessage`.
pub const COMMIT_MESSAGE_BYTES_MAX: usize = 100 * 1024;
/// What the subject of an approval's notice shows of a name; with both names it has SNS's 100 characters.
pub const NOTICE_NAME_CHARS_MAX: usize = 24;
/// Components of one ScanSbom request.
pub const SCAN_COMPONENTS_MAX: usize = 2000;
/// The longest list of components that is read; a larger tree is no source of one pipeline.
pub const SBOM_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// What `towpath run` says of a directory: mostly a commit's message.
pub const DESCRIPTION_BYTES_MAX: u64 = 1024 * 1024;
/// Events of one page of a log.
pub const LOG_PAGE_EVENTS: i32 = 1000;
/// Pages of a Step Functions execution's history, which ends at 25,000 events.
pub const HISTORY_PAGES_MAX: usize = 26;

/// Life of a job's credentials: the shortest that STS gives.
pub const JOB_CREDENTIALS_SECONDS: i32 = 900;
/// The longest input that Step Functions takes.
pub const STEP_FUNCTIONS_INPUT_BYTES_MAX: u64 = 262_144;
/// After its start an execution may be unknown to DescribeExecution for a moment; then it is not there.
pub const STEP_FUNCTIONS_SETTLE_MS: i64 = 60_000;

/// Longest shift of a function's traffic, in minutes: two days, as the Lambda action's page says.
pub const LAMBDA_SHIFT_MINUTES_MAX: u32 = 2 * 24 * 60;
/// Alarms that a shift may watch.
pub const LAMBDA_ALARMS_MAX: usize = 10;
/// How often a shift without alarms is looked at.
pub const LAMBDA_LOOK_INTERVAL_MAX: Duration = Duration::from_mins(1);
/// The largest zip that Lambda takes in a request; a larger one must lie in an S3 bucket.
pub const LAMBDA_ZIP_BYTES_MAX: u64 = 50 * 1024 * 1024;
/// AppConfig's own bound on a configuration, where an account has the largest.
pub const APPCONFIG_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Pages of a list of deployments that are looked through for one that was started and not stored.
pub const DEPLOYMENT_PAGES_MAX: usize = 10;
/// The largest artifact that an Elastic Beanstalk deployment takes.
pub const BEANSTALK_BUNDLE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// After UpdateEnvironment an environment may seem Ready, with its old version, for a moment.
pub const BEANSTALK_SETTLE_MS: i64 = 60_000;
/// The largest template of a Service Catalog product, which is CloudFormation's for a template in S3.
pub const PRODUCT_TEMPLATE_BYTES_MAX: u64 = 1024 * 1024;
/// The settings file of a Service Catalog deployment has a handful of lines.
pub const PRODUCT_SETTINGS_BYTES_MAX: u64 = 64 * 1024;
/// The longest answer to a plain HTTP request; what is asked for are documents of a few members.
pub const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What a message repeats of a refusal that is no AWS error.
pub const REFUSAL_CHARS_MAX: usize = 1000;
/// The largest app that Device Farm takes.
pub const DEVICE_FARM_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Pages of projects and runs that are looked through.
pub const DEVICE_FARM_PAGES_MAX: usize = 20;
/// Files that one S3 deployment extracts.
pub const DEPLOYED_FILES_MAX: usize = 100_000;
/// Tags that one image is pushed with, and the characters of one, which is Docker's bound.
pub const IMAGE_TAGS_MAX: usize = 50;
pub const IMAGE_TAG_CHARS_MAX: usize = 128;
/// The largest skill package that is imported.
pub const ALEXA_PACKAGE_BYTES_MAX: u64 = 100 * 1024 * 1024;
/// Developers whose access tokens are remembered.
pub const ALEXA_TOKENS_MAX: usize = 256;
/// Events of an update that are asked for at once, which is Elastic Beanstalk's bound.
pub const BEANSTALK_EVENTS_MAX: i32 = 1000;
