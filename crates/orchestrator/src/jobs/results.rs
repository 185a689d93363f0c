//! PutJobSuccessResult and PutJobFailureResult. The job's new state and what the engine makes of the result are one
//! commit: whatever crashes, a result is used once or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use towpath_model::action::{ActionInvocation, ErrorDetails, Outcome, Progress, Revision};
use towpath_model::catalogue::Category;
use towpath_model::effect::task_id;
use towpath_model::event::Event;
use towpath_model::ids::{IdSource as _, Scope};
use towpath_model::limits::{OUTPUT_VARIABLES_BYTES_MAX, SUMMARY_CHARS_MAX};
use towpath_model::time::Timestamp;
use towpath_store::{Expect, Versioned, Write};

use super::door::Door;
use super::function::pause;
use super::offer::{enqueue, hand};
use super::record::{JobRecord, JobStatus, of_action_key};
use crate::Orchestrator;
use crate::action_types::filled;
use crate::apply::Extra;
use crate::error::CommandError;
use crate::limits::CONFLICT_RETRIES_MAX;

/// What the worker tells of its own run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct JobProgress {
    pub summary: Option<String>,
    pub external_id: Option<String>,
    pub percent: Option<u8>,
}

/// The revision a source's worker found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobRevision {
    pub id: String,
    pub change_id: String,
    pub created: Option<Timestamp>,
    pub summary: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct JobSuccess {
    pub revision: Option<JobRevision>,
    /// The work goes on in another job, which is given this token.
    pub continuation_token: Option<String>,
    pub progress: JobProgress,
    pub variables: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobFailure {
    /// `JobFailed`, `ConfigurationError`, ...
    pub kind: String,
    pub message: String,
    pub external_id: Option<String>,
}

/// One of the two, as the job's end sees it.
#[derive(Serialize)]
enum JobResult {
    Success(JobSuccess),
    Failure(JobFailure),
}

impl JobResult {
    fn status(&self) -> JobStatus {
        match self {
            Self::Success(_) => JobStatus::Succeeded,
            Self::Failure(_) => JobStatus::Failed,
        }
    }

    /// Equal results have equal digests; the result itself may hold up to 120 KB of variables and is not kept.
    fn digest(&self) -> String {
        // Maps are ordered and nothing in it can fail to serialize; an empty text would only make repeats look equal.
        hex::encode(Sha256::digest(serde_json::to_vec(self).unwrap_or_default()))
    }
}

impl Orchestrator {
    pub async fn put_job_success(
        self: &Arc<Self>,
        scope: &Scope,
        id: &str,
        door: Door<'_>,
        success: JobSuccess,
    ) -> Result<(), CommandError> {
        if success.continuation_token.is_some() && !success.variables.is_empty() {
            return Err(CommandError::Validation(
                "A job can not contain both a continuation token and output variables.".to_owned(),
            ));
        }
        let bytes: usize = success.variables.iter().map(|(key, value)| key.len() + value.len()).sum();
        if bytes > OUTPUT_VARIABLES_BYTES_MAX {
            return Err(CommandError::OutputVariablesSizeExceeded(format!(
                "The output variables are {bytes} bytes long, which is more than the limit of {OUTPUT_VARIABLES_BYTES_MAX} \
                 bytes for an action."
            )));
        }
        self.put_job_result(scope, id, door, &JobResult::Success(success)).await
    }

    pub async fn put_job_failure(
        self: &Arc<Self>,
        scope: &Scope,
        id: &str,
        door: Door<'_>,
        failure: JobFailure,
    ) -> Result<(), CommandError> {
        self.put_job_result(scope, id, door, &JobResult::Failure(failure)).await
    }

    async fn put_job_result(
        self: &Arc<Self>,
        scope: &Scope,
        id: &str,
        door: Door<'_>,
        result: &JobResult,
    ) -> Result<(), CommandError> {
        for _ in 0..CONFLICT_RETRIES_MAX {
            let Versioned { value: job, version } = self.job(scope, id, door).await?;
            if !is_open(&job, result)? {
                return Ok(());
            }
            let Some(invocation) = job.invocation.clone() else { return Ok(()) };
            let pipeline = job.pipeline.clone();
            let event = event(&job, &invocation, result);
            let is_handed = job.function.is_some();
            let documents = self.result_writes(scope, job, version, &invocation, result).await?;
            // A function's next job is handed over; a job worker's waits to be asked for.
            let handed = matches!(event, Event::ActionProgressed { .. }) && is_handed;
            let task = task_id(&invocation.action_execution_id);
            let settled = Some(invocation.action_execution_id);
            match self.apply(&pipeline, event, Extra { documents, settled, ..Extra::default() }).await {
                Ok(_) => {
                    if handed {
                        self.schedule.wake(&task, self.clock.now());
                    }
                    return Ok(());
                }
                // The job changed meanwhile, or its pipeline went: the job itself says what that means.
                Err(CommandError::Contention | CommandError::PipelineNotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(CommandError::Contention)
    }

    async fn result_writes(
        &self,
        scope: &Scope,
        job: JobRecord,
        version: u64,
        invocation: &ActionInvocation,
        result: &JobResult,
    ) -> Result<Vec<Write>, CommandError> {
        let now = self.clock.now();
        let mut writes = match result {
            JobResult::Success(JobSuccess { continuation_token: Some(token), .. }) => {
                let next = JobRecord {
                    id: self.ids().uuid(),
                    status: JobStatus::Queued,
                    queued: None,
                    nonce: None,
                    continuation_token: Some(token.clone()),
                    continued: job.continued.saturating_add(1),
                    ..job.clone()
                };
                if next.function.is_some() {
                    let after = i64::try_from(pause(next.continued).as_millis()).unwrap_or(i64::MAX);
                    hand(invocation, JobRecord { not_before: Some(now.plus_millis(after)), ..next }, Expect::Any, now)?
                } else {
                    enqueue(invocation, next, Expect::Any, now)?
                }
            }
            JobResult::Success(_) | JobResult::Failure(_) => {
                vec![Write::delete(of_action_key(scope, &invocation.action_execution_id), Expect::Any)]
            }
        };
        let ended = self.end_writes(scope, job, version, result.status(), Some(result.digest()), now).await?;
        writes.extend(ended);
        Ok(writes)
    }
}

/// Whether the result is still to be used. A repeat and a late answer are taken without effect (observed).
fn is_open(job: &JobRecord, result: &JobResult) -> Result<bool, CommandError> {
    let id = &job.id;
    let refused = |text: String| Err(CommandError::InvalidJobState(text));
    match job.status {
        JobStatus::InProgress => Ok(true),
        JobStatus::TimedOut | JobStatus::Withdrawn => Ok(false),
        JobStatus::Queued | JobStatus::Dispatched => refused(format!(
            "Job with id {id} has not been acknowledged. Call {} before putting its result.",
            if job.partner.is_some() { "AcknowledgeThirdPartyJob" } else { "AcknowledgeJob" }
        )),
        JobStatus::Succeeded | JobStatus::Failed if job.status != result.status() => {
            refused(format!("Job with id {id} has already terminated"))
        }
        JobStatus::Succeeded | JobStatus::Failed if job.result.as_deref() == Some(result.digest().as_str()) => {
            Ok(false)
        }
        JobStatus::Succeeded | JobStatus::Failed => refused(format!(
            "The status of job with id {id} is already set to the desired value. It cannot be updated with the same status, \
             but different result or output variables."
        )),
    }
}

fn event(job: &JobRecord, invocation: &ActionInvocation, result: &JobResult) -> Event {
    let (execution, action) = (job.execution.clone(), job.action.clone());
    let outcome = match result {
        JobResult::Success(success) => {
            let told = if job.function.is_some() { of_function(success) } else { success.progress.clone() };
            let progress = progress(job, invocation, &told);
            if success.continuation_token.is_some() {
                return Event::ActionProgressed { execution, action, progress };
            }
            Outcome::Succeeded {
                progress,
                variables: success.variables.clone(),
                revisions: revisions(invocation, success.revision.as_ref()),
            }
        }
        JobResult::Failure(failure) => Outcome::Failed {
            progress: progress(
                job,
                invocation,
                &JobProgress {
                    summary: Some(failure.message.chars().take(SUMMARY_CHARS_MAX).collect()),
                    external_id: failure.external_id.clone(),
                    percent: None,
                },
            ),
            error: ErrorDetails::new(&failure.kind, failure.message.clone()),
        },
    };
    Event::ActionFinished { execution, action, outcome }
}

/// What a function tells of itself is shown while it goes on. An action of a function is known by the function's name, and
/// at its end AWS ignores the summary too (observed).
fn of_function(success: &JobSuccess) -> JobProgress {
    let goes_on = success.continuation_token.is_some();
    JobProgress {
        summary: success.progress.summary.clone().filter(|_| goes_on),
        external_id: None,
        percent: success.progress.percent,
    }
}

fn progress(job: &JobRecord, invocation: &ActionInvocation, told: &JobProgress) -> Progress {
    let template = job.execution_url_template.as_deref();
    Progress {
        external_id: told.external_id.clone(),
        external_url: template.and_then(|url| filled(url, &invocation.configuration, told.external_id.as_deref())),
        summary: told.summary.clone(),
        percent: told.percent,
        log_stream_arn: None,
        continuation: None,
    }
}

/// Only a source has a revision to tell; it holds for everything the source made.
fn revisions(invocation: &ActionInvocation, told: Option<&JobRevision>) -> Vec<Revision> {
    let Some(told) = told.filter(|_| invocation.action_type.category == Category::Source) else { return Vec::new() };
    let of = |artifact: &towpath_model::action::ArtifactLocation| Revision {
        artifact: artifact.name.clone(),
        action: invocation.action_name.clone(),
        id: told.id.clone(),
        change_id: Some(told.change_id.clone()),
        summary: told.summary.clone(),
        url: None,
        created: told.created,
    };
    invocation.output_artifacts.iter().map(of).collect()
}
