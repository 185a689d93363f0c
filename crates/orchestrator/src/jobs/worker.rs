//! What a job worker asks for: PollForJobs, AcknowledgeJob, GetJobDetails.
//!
//! A job that is given out waits in the queue at a later time: acknowledged, it leaves; never acknowledged, it is given
//! out again when that time has come.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use towpath_model::action::{ActionInvocation, Outcome, error_code};
use towpath_model::catalogue::ActionTypeId;
use towpath_model::event::Event;
use towpath_model::ids::{IdSource as _, Scope};
use towpath_providers::job_credentials::{JobCredentials, job_credentials};
use towpath_providers::problem::{Kind, Problem};
use towpath_store::{DocumentsExt as _, Expect, Scan, StoreError, Versioned, Write};

use super::door::Door;
use super::record::{JOBS, JobRecord, JobStatus, Place, Pointer, QUEUE, job_key, line};
use crate::Orchestrator;
use crate::action_types::partition;
use crate::apply::Extra;
use crate::error::CommandError;
use crate::limits::{JOB_LEASE, JOBS_PER_POLL_MAX};

/// What a worker is told of a job.
pub struct JobDetails {
    pub id: String,
    /// Secrets in clear.
    pub invocation: ActionInvocation,
    pub continuation_token: Option<String>,
    pub credentials: JobCredentials,
}

/// A job that was given out just now.
pub struct Job {
    pub nonce: String,
    pub details: JobDetails,
}

impl Orchestrator {
    /// PollForJobs: the jobs of a type that have waited longest.
    pub async fn poll_for_jobs(
        self: &Arc<Self>,
        scope: &Scope,
        id: &ActionTypeId,
        max: Option<usize>,
        query: &BTreeMap<String, String>,
    ) -> Result<Vec<Job>, CommandError> {
        let entry = self.live_type(scope, id).await?;
        let queryable = entry.properties.iter().find(|property| property.queryable).map(|p| p.name.as_str());
        let line = line(scope, id, queried(queryable, query)?);
        let waiting = self.waiting(&line, max).await?;
        let mut jobs = Vec::with_capacity(waiting.len());
        for (place, id) in waiting {
            jobs.extend(self.dispatch(scope, &id, place).await?);
        }
        Ok(jobs)
    }

    /// The jobs of a line that may be given out now, the longest waiting first.
    pub(super) async fn waiting(&self, line: &str, max: Option<usize>) -> Result<Vec<(Place, String)>, CommandError> {
        let scan = Scan {
            from: Bound::Unbounded,
            to: Bound::Excluded(format!("{:016}", self.clock.now().millis().saturating_add(1))),
            limit: max.unwrap_or(JOBS_PER_POLL_MAX).min(JOBS_PER_POLL_MAX),
            reverse: false,
        };
        let waiting = self.store.scan_json::<Pointer>(QUEUE, line, scan).await?;
        let place = |key| Place { line: line.to_owned(), key };
        Ok(waiting.into_iter().map(|(key, pointer)| (place(key), pointer.value.job)).collect())
    }

    /// Gives one job out, unless somebody else was faster.
    async fn dispatch(self: &Arc<Self>, scope: &Scope, id: &str, place: Place) -> Result<Option<Job>, CommandError> {
        let Some(found) = self.standing(scope, id, &place).await? else { return Ok(None) };
        let Versioned { value: job, version } = found;
        let Some(invocation) = job.invocation.clone() else { return Ok(None) };
        let credentials = match self.job_credentials(&invocation).await {
            Ok(credentials) => credentials,
            Err(problem) => {
                self.fail_without_credentials(&job, &problem).await?;
                return Ok(None);
            }
        };
        let continuation_token = job.continuation_token.clone();
        let Some(nonce) = self.lease(scope, job, version, place).await? else { return Ok(None) };
        let details = JobDetails { id: id.to_owned(), invocation, continuation_token, credentials };
        Ok(Some(Job { nonce, details }))
    }

    /// The job, if that is still its place in the queue.
    pub(super) async fn standing(
        &self,
        scope: &Scope,
        id: &str,
        place: &Place,
    ) -> Result<Option<Versioned<JobRecord>>, CommandError> {
        let found = self.store.get_json::<JobRecord>(JOBS, &partition(scope), id).await?;
        Ok(found.filter(|job| job.value.queued.as_ref() == Some(place)))
    }

    /// Marks the job as given out and answers its new nonce; None: somebody else was faster.
    pub(super) async fn lease(
        &self,
        scope: &Scope,
        mut job: JobRecord,
        version: u64,
        place: Place,
    ) -> Result<Option<String>, CommandError> {
        let nonce = self.ids().uuid();
        let lease = i64::try_from(JOB_LEASE.as_millis()).unwrap_or(i64::MAX);
        let back = Place::new(place.line.clone(), self.clock.now().plus_millis(lease), &job.id);
        job.status = JobStatus::Dispatched;
        job.nonce = Some(nonce.clone());
        job.queued = Some(back.clone());
        let writes = vec![
            Write::put_json(job_key(scope, &job.id), &job, Expect::Version(version))?,
            Write::delete(place.document(), Expect::Any),
            Write::put_json(back.document(), &Pointer { job: job.id.clone() }, Expect::Any)?,
        ];
        match self.store.write(writes).await {
            Ok(_) => Ok(Some(nonce)),
            Err(StoreError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// AcknowledgeJob: the first worker that names the nonce has the job.
    pub async fn acknowledge_job(
        &self,
        scope: &Scope,
        id: &str,
        door: Door<'_>,
        nonce: &str,
    ) -> Result<JobStatus, CommandError> {
        let Versioned { value: mut job, version } = self.job(scope, id, door).await?;
        if job.status.has_ended() {
            return Ok(job.status);
        }
        let invalid = || {
            CommandError::InvalidNonce(format!(
                "The nonce is not the current one of the job with id {id}, or the job has already been acknowledged."
            ))
        };
        if job.status != JobStatus::Dispatched || job.nonce.as_deref() != Some(nonce) {
            return Err(invalid());
        }
        let mut writes: Vec<Write> =
            job.queued.take().iter().map(|place| Write::delete(place.document(), Expect::Any)).collect();
        job.status = JobStatus::InProgress;
        job.nonce = None;
        writes.push(Write::put_json(job_key(scope, id), &job, Expect::Version(version))?);
        match self.store.write(writes).await {
            Ok(_) => Ok(JobStatus::InProgress),
            // Another worker, another poll, or the action's end was first.
            Err(StoreError::Conflict { .. }) => Err(invalid()),
            Err(error) => Err(error.into()),
        }
    }

    /// GetJobDetails, with new credentials. An ended job has none to give.
    pub async fn job_details(self: &Arc<Self>, scope: &Scope, id: &str) -> Result<JobDetails, CommandError> {
        let job = self.job(scope, id, Door::Custom).await?.value;
        let Some(invocation) = job.invocation else { return Err(not_found(id)) };
        let credentials = self.job_credentials(&invocation).await.map_err(|problem| no_credentials(&problem))?;
        Ok(JobDetails { id: id.to_owned(), invocation, continuation_token: job.continuation_token, credentials })
    }

    pub(super) async fn job_credentials(&self, invocation: &ActionInvocation) -> Result<JobCredentials, Problem> {
        job_credentials(self.realms.artifacts(), invocation).await
    }

    /// A role that may not be assumed fails the action, as it fails one that Towpath runs; anything else may pass.
    pub(super) async fn fail_without_credentials(
        self: &Arc<Self>,
        job: &JobRecord,
        problem: &Problem,
    ) -> Result<(), CommandError> {
        if matches!(problem.kind, Kind::Transient | Kind::Session) {
            tracing::warn!(job = %job.id, problem = problem.detail(), "a job waits: there are no credentials for its artifacts");
            return Ok(());
        }
        let message = refusal(problem);
        let event = Event::ActionFinished {
            execution: job.execution.clone(),
            action: job.action.clone(),
            outcome: Outcome::failed(error_code::PERMISSION_ERROR, message),
        };
        match self.apply(&job.pipeline, event, Extra::default()).await {
            Ok(_) | Err(CommandError::PipelineNotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// What the caller of a job's details is told.
pub(super) fn no_credentials(problem: &Problem) -> CommandError {
    match problem.kind {
        Kind::Transient | Kind::Session => CommandError::Unavailable(problem.detail()),
        Kind::AccessDenied | Kind::NotFound | Kind::Rejected => CommandError::NoCredentials(refusal(problem)),
    }
}

fn refusal(problem: &Problem) -> String {
    problem.assuming.clone().unwrap_or_else(|| problem.detail())
}

/// The value that is asked for: exactly the queryable property where the type has one, nothing where it has none.
fn queried<'q>(queryable: Option<&str>, query: &'q BTreeMap<String, String>) -> Result<Option<&'q str>, CommandError> {
    let refused = |text: String| Err(CommandError::Validation(text));
    match queryable {
        Some(name) => match query.get(name) {
            Some(value) if query.len() == 1 => Ok(Some(value)),
            _ => refused(format!("The queryParam must have exactly one entry: the queryable property '{name}'.")),
        },
        None if query.is_empty() => Ok(None),
        None => refused("The queryParam must be empty: the action type has no queryable property.".to_owned()),
    }
}

pub(super) fn not_found(id: &str) -> CommandError {
    CommandError::JobNotFound(format!("Job with id '{id}' does not exist"))
}
