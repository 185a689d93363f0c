//! AWS's quotas and Towpath's own bounds, in one place. A `[quotas]` row of `towpath.toml` lifts one that AWS can lift.
//! Source: CodePipeline user guide, "Quotas"; AWS General Reference, "CodePipeline endpoints and quotas".

pub const STAGES_MIN: usize = 2;
pub const STAGES_MAX: usize = 50;
/// The guide says 50, Service Quotas says 100; the wider one is accepted (docs/deviations.md).
pub const ACTIONS_PER_STAGE_MAX: usize = 100;
pub const ACTIONS_PER_PIPELINE_MAX: usize = 1000;
pub const PIPELINES_PER_REGION_MAX: usize = 1000;
pub const CUSTOM_ACTION_TYPES_PER_REGION_MAX: usize = 50;
pub const WEBHOOKS_PER_REGION_MAX: usize = 300;
pub const EXECUTIONS_ACTIVE_MAX: usize = 50;
/// Actions of one PARALLEL execution that run at once.
pub const PARALLEL_ACTIONS_MAX: usize = 5;
pub const OUTPUT_VARIABLES_BYTES_MAX: usize = 122_880;
pub const RESOLVED_CONFIGURATION_BYTES_MAX: usize = 100 * 1024;
pub const TAGS_MAX: usize = 50;
pub const SUMMARY_CHARS_MAX: usize = 2048;
pub const ERROR_MESSAGE_CHARS_MAX: usize = 5000;

/// Characters of the pipeline name and of the artifact name that an artifact key keeps.
pub const ARTIFACT_KEY_PIPELINE_CHARS: usize = 20;
pub const ARTIFACT_KEY_NAME_CHARS: usize = 10;
pub const ARTIFACT_KEY_RANDOM_CHARS: usize = 7;

/// Default timeouts, in minutes.
pub const TIMEOUT_DEFAULT_MINUTES: u32 = 60;
pub const TIMEOUT_APPROVAL_MINUTES: u32 = 7 * 24 * 60;
pub const TIMEOUT_BUILD_MINUTES: u32 = 36 * 60;
pub const TIMEOUT_TEST_MINUTES: u32 = 8 * 60;
pub const TIMEOUT_S3_DEPLOY_MINUTES: u32 = 90;
pub const TIMEOUT_CLOUDFORMATION_MINUTES: u32 = 3 * 24 * 60;
pub const TIMEOUT_CUSTOM_MINUTES: u32 = 24 * 60;
pub const TIMEOUT_STEP_FUNCTIONS_MINUTES: u32 = 7 * 24 * 60;
/// How long a Lambda function may take to answer a job; each continuation has it anew.
pub const LAMBDA_REPLY_SECONDS: u32 = 20 * 60;
