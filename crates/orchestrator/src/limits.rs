//! Bounds on what the orchestrator does at once, and the quotas that `towpath.toml` may lift.

use std::time::Duration;

/// Provider calls under way at once.
pub const PROVIDER_CALLS_MAX: usize = 256;
/// How often a command is decided again because another writer was first.
pub const CONFLICT_RETRIES_MAX: u32 = 50;
/// Pipelines whose rows are kept in memory between commands.
pub const SLOTS_KEPT_MAX: usize = 20_000;
/// Finished executions a slot keeps beside the running ones.
pub const FINISHED_KEPT_MAX: usize = 16;
/// Pauses after `Unavailable` answers, until the action's timeout.
pub const UNAVAILABLE_BACKOFF_FIRST: Duration = Duration::from_millis(500);
pub const UNAVAILABLE_BACKOFF_MAX: Duration = Duration::from_mins(1);
/// The schedule looks at the clock at least this often.
pub const SCHEDULE_PAUSE_MAX: Duration = Duration::from_mins(1);
/// How often it is looked whether calls under way have ended.
pub const SETTLING: Duration = Duration::from_millis(5);
/// Tries of a best-effort stop.
pub const STOP_TRIES_MAX: u32 = 5;
/// Pause before an answer is offered to the store again after the store failed.
pub const STORE_RETRY: Duration = Duration::from_secs(1);
/// How often it is looked for history that is kept no longer, and how many executions go at once.
pub const PRUNE_EVERY: Duration = Duration::from_hours(1);
pub const PRUNE_PAGE: usize = 500;
/// How often a node says that it is alive, where several share a store.
pub const NODE_HEARTBEAT: Duration = Duration::from_secs(2);
/// After so long without a sign of life a node's work is taken over.
pub const NODE_LEASE: Duration = Duration::from_secs(8);
/// Rows read at once when all pending tasks are loaded at start-up.
pub const TASK_PAGE: usize = 1000;
/// Custom action types read at once.
pub const TYPE_PAGE: usize = 100;
/// Types of partners in one Region of an account.
pub const PARTNER_TYPES_MAX: usize = 200;
/// Resources whose tags are remembered after they were changed.
pub const TAGGED_KEPT_MAX: usize = 10_000;
/// Webhooks read at once.
pub const WEBHOOK_PAGE: usize = 100;
/// Latest executions that are asked whether they have used a revision.
pub const REVISION_EXECUTIONS_MAX: usize = 100;
/// Action executions read at once, and altogether, to find one by its id alone.
pub const ACTION_SEARCH_PAGE: usize = 1000;
pub const ACTION_SEARCH_MAX: usize = 200_000;
/// Jobs one poll gives out at the most, and without a maxBatchSize.
pub const JOBS_PER_POLL_MAX: usize = 50;
/// A job that was given out and not acknowledged is given out again after this.
pub const JOB_LEASE: Duration = Duration::from_mins(1);
/// The first pause before a function is invoked again with its continuation token; each further one is half as long
/// again. AWS's is about half a minute.
pub const CONTINUATION_PAUSE_FIRST: Duration = Duration::from_secs(1);
pub const CONTINUATION_PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether another node was told to continue a function's job.
pub const FUNCTION_JOB_LOOK: Duration = Duration::from_secs(2);
/// How long the end of a job is remembered, for repeated and late results.
pub const JOBS_KEPT: Duration = Duration::from_hours(7 * 24);
/// Long ended jobs that the end of another takes along.
pub const JOBS_PRUNED_AT_ONCE: usize = 4;

/// Quotas that AWS raises on request and `[quotas]` raises here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quotas {
    pub pipelines_per_region: usize,
    pub custom_action_types_per_region: usize,
    pub webhooks_per_region: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            pipelines_per_region: towpath_model::limits::PIPELINES_PER_REGION_MAX,
            custom_action_types_per_region: towpath_model::limits::CUSTOM_ACTION_TYPES_PER_REGION_MAX,
            webhooks_per_region: towpath_model::limits::WEBHOOKS_PER_REGION_MAX,
        }
    }
}
