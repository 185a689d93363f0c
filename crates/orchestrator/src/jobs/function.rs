//! Jobs that Lambda functions carry out. A function does not ask for its job: it is handed one (`providers::lambda_invoke`)
//! when its action starts, and the next one each time it asks to be continued. Its answers are those of any job.

use std::time::Duration;

use towpath_model::action::{ActionInvocation, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeId, Category, Owner};
use towpath_model::ids::Scope;
use towpath_model::limits::TIMEOUT_CUSTOM_MINUTES;
use towpath_model::time::Timestamp;
use towpath_providers::{HandedJob, Service};
use towpath_store::DocumentsExt as _;

use super::door::is_job_id;
use super::record::{BY_ID, JobRecord, OpenById, by_id_key};
use crate::Orchestrator;
use crate::error::CommandError;
use crate::limits::{CONTINUATION_PAUSE_FIRST, CONTINUATION_PAUSE_MAX};

/// What the effects need to know of the newest job of an action that runs.
pub(crate) struct CurrentJob {
    /// When the job has taken too long, where its type bounds a single job. An action may outlive that: each continuation
    /// is a job with a time of its own.
    pub deadline: Option<Timestamp>,
    /// What is to be handed over, where a function carries the action out.
    pub handed: Option<HandedJob>,
    pub not_before: Option<Timestamp>,
}

impl CurrentJob {
    fn of(job: JobRecord) -> Self {
        let JobRecord { id, function, continuation_token, deadline, not_before, .. } = job;
        let handed = function.map(|function| HandedJob { id, function, continuation_token });
        Self { deadline, handed, not_before }
    }

    /// Whether a function has yet to be handed it. What was handed over last is in the action's progress.
    pub fn is_waiting(&self, progress: &Progress) -> bool {
        self.handed.as_ref().is_some_and(|job| progress.continuation.as_deref() != Some(job.id.as_str()))
    }
}

/// The type whose provider hands jobs to functions, also those of partners' types.
pub(crate) fn lambda_type() -> ActionTypeId {
    ActionTypeId::new(Category::Invoke, Owner::Aws, "Lambda", "1")
}

/// What a function that does not answer comes to, in AWS's words.
pub(crate) fn unanswered(function: &str, invocation: &ActionInvocation, now: Timestamp) -> Outcome {
    let day = if now >= invocation.started.plus_minutes(TIMEOUT_CUSTOM_MINUTES) {
        " However often it is continued, an action ends after 24 hours."
    } else {
        ""
    };
    Outcome::failed(
        error_code::TIMED_OUT,
        format!(
            "The AWS Lambda function {function} failed to return a result. Check the function to verify that it has \
             permission to call the PutJobSuccessResult action and that it made a call to PutJobSuccessResult.{day}"
        ),
    )
}

/// How long a function waits for its next turn, so that one that asks again at once does not keep everybody busy.
pub(super) fn pause(continued: u32) -> Duration {
    let turns = i32::try_from(continued.saturating_sub(1).min(16)).unwrap_or(16);
    CONTINUATION_PAUSE_FIRST.mul_f64(1.5_f64.powi(turns)).min(CONTINUATION_PAUSE_MAX)
}

impl Orchestrator {
    pub(crate) async fn current_job(&self, invocation: &ActionInvocation) -> Result<Option<CurrentJob>, CommandError> {
        Ok(self.newest_job(invocation).await?.map(CurrentJob::of))
    }

    /// Whether the function runs where the id of its job stands for it.
    pub(super) fn is_open_by_id(&self, invocation: &ActionInvocation) -> bool {
        self.realms.for_invocation(invocation, Some(Service::Lambda)).is_ok_and(|realm| realm.jobs_by_id())
    }

    /// The account and Region of an open job that its id alone opens; None for any other id.
    pub async fn job_open_by_id(&self, id: &str) -> Result<Option<Scope>, CommandError> {
        if !is_job_id(id) {
            return Ok(None);
        }
        let key = by_id_key(id);
        let found = self.store.get_json::<OpenById>(BY_ID, &key.partition, &key.key).await?;
        Ok(found.map(|open| open.value.scope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_awss() {
        assert_eq!(pause(1), Duration::from_secs(1));
        assert_eq!(pause(2), Duration::from_millis(1500));
        assert!(pause(3) < pause(5));
        assert_eq!(pause(12), CONTINUATION_PAUSE_MAX);
        assert_eq!(pause(u32::MAX), CONTINUATION_PAUSE_MAX);
    }
}
