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

/// CodePipeline's bound on an artifact that a CloudFormation action reads.
pub const CLOUDFORMATION_ARTIFACT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The longest template that CloudFormation takes with the request itself; a longer one is fetched from a URL.
pub const TEMPLATE_BODY_BYTES_MAX: usize = 51_200;
/// The longest template of a CloudFormation action.
pub const TEMPLATE_BYTES_MAX: u64 = 1024 * 1024;
/// The longest template of a stack set action.
pub const STACK_SET_TEMPLATE_BYTES_MAX: u64 = 460_800;
/// How long a template's URL is good for: CloudFormation reads it before it answers.
pub const TEMPLATE_URL_SECONDS: u64 = 900;
/// A template configuration, a file that `Fn::GetParam` reads, and lists of parameters and of targets.
pub const TEMPLATE_SETTINGS_BYTES_MAX: u64 = 1024 * 1024;
/// CodePipeline's bound on the JSON text of ParameterOverrides.
pub const PARAMETER_OVERRIDES_BYTES_MAX: usize = 1024;
/// CloudFormation's bound on the names of stacks, change sets and stack sets.
pub const STACK_NAME_CHARS_MAX: usize = 128;
/// Pages of one stack's events that are read at once: a hundred events a page.
pub const STACK_EVENT_PAGES_MAX: usize = 50;
/// How far CloudFormation's clock may be behind ours when events since the action's start are wanted.
pub const STACK_EVENT_MARGIN_MS: i64 = 60_000;
/// Nested stacks in nested stacks, on the way to the resource that failed first.
pub const NESTED_STACKS_DEPTH_MAX: usize = 10;
/// Nested stacks whose events are in an action's log.
pub const NESTED_STACKS_TOLD_MAX: usize = 50;
/// Pages of a stack set's instances or results that are read: a hundred a page.
pub const STACK_INSTANCE_PAGES_MAX: usize = 200;
/// Pages of a stack set operation's results that are counted at every poll; longer ones are not counted.
pub const STACK_SET_PROGRESS_PAGES_MAX: usize = 10;
/// What a summary or a message names of a longer list.
pub const SHOWN_ITEMS_MAX: usize = 10;
/// The longest `DeploymentTimeout` of an ECS action, in minutes, and the one that holds without it.
pub const ECS_MINUTES_MAX: i64 = 60;
/// CodePipeline's bound on an image definitions file.
pub const IMAGE_DEFINITIONS_BYTES_MAX: u64 = 100 * 1024;
/// After an update its deployment may not be among the service's for a moment; then it was replaced.
pub const ECS_SETTLE_MS: i64 = 60_000;
/// Stopped tasks that are looked at for the reason of a failure.
pub const ECS_STOPPED_TASKS_MAX: i32 = 10;
/// Default timeout of both CodeDeploy actions: five days.
pub const TIMEOUT_CODE_DEPLOY_MINUTES: u32 = 5 * 24 * 60;
/// How far AWS's clock may be behind ours when what an action began is looked for.
pub const CLOCKS_DIFFER_MS: i64 = 60_000;
/// Deployments of a group that are looked at for one that a start before this one has made.
pub const DEPLOYMENTS_LOOKED_AT_MAX: usize = 100;
/// Targets of one deployment that are shown in its log.
pub const DEPLOYMENT_TARGETS_MAX: usize = 500;
/// BatchGetDeploymentTargets' own bound.
pub const DEPLOYMENT_TARGETS_AT_ONCE: usize = 25;
/// CodePipeline's bound on the artifact with the task definition or the appspec of a CodeDeployToECS action.
pub const BLUE_GREEN_ARTIFACT_BYTES_MAX: u64 = 3 * 1024 * 1024;
/// Images that a CodeDeployToECS action puts into a task definition.
pub const BLUE_GREEN_IMAGES_MAX: usize = 4;
/// CodePipeline's bound on the instances of one EC2 deploy action.
pub const EC2_TARGETS_MAX: usize = 500;
/// Pages of one list of EC2 or Systems Manager that are read.
pub const EC2_PAGES_MAX: usize = 20;
/// Systems Manager's bound on the instances of one command; also what is asked about at once.
pub const SSM_INSTANCES_AT_ONCE: usize = 50;
/// How long a command may wait for the agent of an instance.
pub const SSM_DELIVERY_SECONDS: i32 = 600;
/// The longest `executionTimeout` that AWS-RunShellScript takes.
pub const SSM_SECONDS_MAX: i64 = 172_800;
/// After it was sent, a command's invocations may be unknown for a moment; then there are none.
pub const EC2_SETTLE_MS: i64 = 120_000;
/// How far back commands are looked for that failed: Systems Manager keeps them for 30 days.
pub const EC2_HISTORY_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// What is kept of the words of one target's failure.
pub const EC2_MESSAGE_CHARS_MAX: usize = 600;
/// Failed targets that an action's error names.
pub const EC2_FAILURES_SHOWN: usize = 5;
/// A spec file, which is kept with the action's progress.
pub const EC2_SPEC_BYTES_MAX: u64 = 16 * 1024;
/// Files and scripts of one spec.
pub const EC2_HOOKS_MAX: usize = 50;
pub const EC2_HOOK_SECONDS_MAX: u32 = 3600;
/// The longest path that Linux takes is 4,096 bytes.
pub const EC2_PATH_CHARS_MAX: usize = 1024;
pub const EC2_TARGET_GROUPS_MAX: usize = 20;
/// How long the URL of the artifact is good that a target is given; its role's session may end it before.
pub const EC2_URL_LIFE: Duration = Duration::from_hours(1);
/// Default timeout of an EKS action, as of everything that AWS runs on its managed compute.
pub const TIMEOUT_EKS_MINUTES: u32 = 55;
/// How long one look at an EKS action waits for its tool to end.
pub const EKS_WAIT: Duration = Duration::from_secs(3);
/// Manifests or values files of one EKS action.
pub const EKS_FILES_MAX: usize = 50;
/// How often, and after what pause, helm is asked again while another helm works on the release.
pub const EKS_BUSY_TRIES: u32 = 20;
pub const EKS_BUSY_PAUSE: Duration = Duration::from_secs(15);
/// What is read of a tool's log at once: less than the 1 MiB that PutLogEvents takes.
pub const EKS_LOG_PIECE_BYTES: u64 = 512 * 1024;
/// Pieces of the log that one look tells of.
pub const EKS_LOG_PIECES_MAX: usize = 8;
/// PutLogEvents' own bounds, and what it counts for each event beside its text.
pub const LOG_BATCH_EVENTS_MAX: usize = 10_000;
pub const LOG_BATCH_BYTES_MAX: usize = 1_048_576;
pub const LOG_EVENT_OVERHEAD_BYTES: usize = 26;
pub const EKS_LINE_CHARS_MAX: usize = 8 * 1024;
/// What an action's error repeats of a tool's last words.
pub const EKS_REASON_CHARS_MAX: usize = 1000;
/// Runs of EKS actions that a process remembers.
pub const EKS_RUNS_KEPT: usize = 256;
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
