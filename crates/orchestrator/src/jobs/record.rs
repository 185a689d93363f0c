//! A job as it is stored, and where.

use serde::{Deserialize, Serialize};
use towpath_model::action::ActionInvocation;
use towpath_model::catalogue::{ActionTypeId, Owner};
use towpath_model::ids::{ActionExecutionId, ExecutionId, PipelineId, Scope};
use towpath_model::limits::TIMEOUT_CUSTOM_MINUTES;
use towpath_model::time::Timestamp;
use towpath_store::Key;

use crate::action_types::partition;

/// Jobs by id.
pub(super) const JOBS: &str = "codepipeline.jobs";
/// Jobs that wait for a worker, per type and value of its queryable property, by the time from which they may be given
/// out. A finished job is not in it, so a poll reads nothing but what it gives out.
pub(super) const QUEUE: &str = "codepipeline.job-queue";
/// Open jobs that their id alone opens, because they were handed to functions whose keys are not known here.
pub(super) const BY_ID: &str = "codepipeline.jobs-by-id";
/// The newest job of every action that runs.
pub(super) const OF_ACTION: &str = "codepipeline.job-of-action";
/// Ended jobs by the time of their end, so that the oldest are found without a search.
pub(super) const ENDED: &str = "codepipeline.jobs-ended";

/// AWS's job statuses, and one of ours for a job whose action ended without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobStatus {
    Queued,
    Dispatched,
    InProgress,
    Succeeded,
    Failed,
    TimedOut,
    /// Its action was abandoned, or its pipeline deleted.
    Withdrawn,
}

impl JobStatus {
    /// AWS has no word for a job that nobody waits for any more.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::Dispatched => "Dispatched",
            Self::InProgress => "InProgress",
            Self::Succeeded => "Succeeded",
            Self::Failed | Self::Withdrawn => "Failed",
            Self::TimedOut => "TimedOut",
        }
    }

    pub(super) const fn has_ended(self) -> bool {
        match self {
            Self::Queued | Self::Dispatched | Self::InProgress => false,
            Self::Succeeded | Self::Failed | Self::TimedOut | Self::Withdrawn => true,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct JobRecord {
    pub id: String,
    pub pipeline: PipelineId,
    pub execution: ExecutionId,
    pub action: ActionExecutionId,
    pub status: JobStatus,
    /// The line it waits in when it waits.
    pub line: String,
    /// Where it stands in the queue, while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<Place>,
    /// What AcknowledgeJob must name; a new one each time the job is given out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continuation_token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_url_template: Option<String>,
    /// The partner whose worker has it; None: a job of a custom action type. Each kind has its own operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner: Option<String>,
    /// How long one job of the action may take, in seconds, where its type says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
    /// When this one has taken that long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// The function that is handed the job; None: it waits for a job worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// When a function may be handed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// How many jobs of the action have gone before it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub continued: u32,
    /// Its id stands for whoever was handed it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_id: bool,
    /// With secrets in clear; gone when the job has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation: Option<ActionInvocation>,
    /// What the worker said, as a digest: enough to know a repeat from another answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Which account and Region a job belongs to that its id alone opens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct OpenById {
    pub scope: Scope,
}

pub(super) fn by_id_key(job: &str) -> Key {
    Key::new(BY_ID, "", job)
}

/// A row of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub line: String,
    /// [`at`] the time from which it may be given out.
    pub key: String,
}

impl Place {
    pub fn new(line: String, from: Timestamp, job: &str) -> Self {
        Self { line, key: at(from, job) }
    }

    pub fn document(&self) -> Key {
        Key::new(QUEUE, self.line.clone(), self.key.clone())
    }
}

impl JobRecord {
    /// A new deadline for a job that is offered now.
    pub fn timed_from(&mut self, now: Timestamp, started: Timestamp) {
        let longest = started.plus_minutes(TIMEOUT_CUSTOM_MINUTES);
        self.deadline =
            self.timeout.map(|seconds| now.plus_millis(i64::from(seconds).saturating_mul(1000)).min(longest));
    }

    /// Takes away what only a running job needs, its secrets above all.
    pub fn ended(mut self, status: JobStatus, result: Option<String>) -> Self {
        self.status = status;
        self.result = result;
        self.queued = None;
        self.nonce = None;
        self.continuation_token = None;
        self.execution_url_template = None;
        self.deadline = None;
        self.function = None;
        self.not_before = None;
        self.by_id = false;
        self.invocation = None;
        self
    }
}

/// The body of a queue entry, of an action's pointer and of an ended job's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pointer {
    pub job: String,
}

pub(super) fn job_key(scope: &Scope, job: &str) -> Key {
    Key::new(JOBS, partition(scope), job)
}

pub(super) fn of_action_key(scope: &Scope, action: &ActionExecutionId) -> Key {
    Key::new(OF_ACTION, partition(scope), action.as_str())
}

/// The line in which jobs of a type wait; those of a type with a queryable property wait apart by its value.
pub(super) fn line(scope: &Scope, id: &ActionTypeId, value: Option<&str>) -> String {
    let line = format!("{}/{}/{}/{}", partition(scope), id.category.as_str(), id.provider, id.version);
    if id.owner == Owner::ThirdParty {
        // A colon occurs in no Region, so a partner's type never shares a line with a custom one of the same name.
        return format!("partner:{line}");
    }
    value.map_or_else(|| line.clone(), |value| format!("{line}/{value}"))
}

/// Keys in the order of time.
pub(super) fn at(time: Timestamp, job: &str) -> String {
    format!("{:016}/{job}", time.millis().max(0))
}
