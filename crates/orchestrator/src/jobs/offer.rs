//! The jobs' part of a decision's commit: what it starts is offered, what it ends is withdrawn.

use std::ops::Bound;

use towpath_engine::Decision;
use towpath_model::action::{ActionInvocation, error_code};
use towpath_model::catalogue::{ActionTypes, Owner};
use towpath_model::effect::Effect;
use towpath_model::history::ActionRecord;
use towpath_model::ids::{ActionExecutionId, IdSource, PipelineId, Scope};
use towpath_model::state::{ActionStatus, Gate};
use towpath_model::time::Timestamp;
use towpath_store::{DocumentsExt as _, Expect, Key, Scan, Write};

use super::record::{
    ENDED, JOBS, JobRecord, JobStatus, OF_ACTION, OpenById, Place, Pointer, at, by_id_key, job_key, line, of_action_key,
};
use crate::Orchestrator;
use crate::action_types::{Types, partition};
use crate::error::CommandError;
use crate::limits::{JOBS_KEPT, JOBS_PRUNED_AT_ONCE};

impl Orchestrator {
    /// The documents that go with the decision. `settled` is the action whose job is being ended by the caller itself.
    pub(crate) async fn job_writes(
        &self,
        gate: &Gate,
        decision: &Decision,
        settled: Option<&ActionExecutionId>,
        types: &Types,
        now: Timestamp,
    ) -> Result<Vec<Write>, CommandError> {
        let mut writes = Vec::new();
        let forgotten = |action: &ActionExecutionId| {
            decision.effects.iter().any(|e| matches!(e, Effect::ForgetAction { action: ended } if ended == action))
        };
        for effect in &decision.effects {
            match effect {
                Effect::OfferJob { invocation } if !forgotten(&invocation.action_execution_id) => {
                    let job = self.ids().uuid();
                    writes.extend(enqueue(
                        invocation,
                        record(&gate.pipeline, invocation, types, job),
                        Expect::Absent,
                        now,
                    )?);
                }
                Effect::StartAction { invocation } if !forgotten(&invocation.action_execution_id) => {
                    if let Some(function) = types.function(invocation) {
                        let job = record(&gate.pipeline, invocation, types, self.ids().uuid());
                        let by_id = self.is_open_by_id(invocation);
                        let job = JobRecord { function: Some(function), by_id, partner: None, ..job };
                        writes.extend(hand(invocation, job, Expect::Absent, now)?);
                    }
                }
                _ => {}
            }
        }
        for record in &decision.records {
            let ended = record.attempt.status != ActionStatus::InProgress;
            if ended && self.has_jobs(&record.action_type) && settled != Some(&record.attempt.id) {
                writes.extend(self.withdraw(&gate.scope, record, now).await?);
            }
        }
        Ok(writes)
    }

    /// The action ended without its job: nobody is to take the job any more.
    async fn withdraw(&self, scope: &Scope, record: &ActionRecord, now: Timestamp) -> Result<Vec<Write>, CommandError> {
        let partition = partition(scope);
        let action = &record.attempt.id;
        let Some(pointer) = self.store.get_json::<Pointer>(OF_ACTION, &partition, action).await? else {
            return Ok(Vec::new());
        };
        let pointed = Write::delete(of_action_key(scope, action), Expect::Version(pointer.version));
        let Some(job) = self.store.get_json::<JobRecord>(JOBS, &partition, &pointer.value.job).await? else {
            return Ok(vec![pointed]);
        };
        let timed_out = record.attempt.error.as_ref().is_some_and(|error| error.code == error_code::TIMED_OUT);
        let status = if timed_out { JobStatus::TimedOut } else { JobStatus::Withdrawn };
        let mut writes = vec![pointed];
        writes.extend(self.end_writes(scope, job.value, job.version, status, None, now).await?);
        Ok(writes)
    }

    /// The newest job of an action that runs; None where its type has no jobs, or when the action has ended.
    pub(super) async fn newest_job(&self, invocation: &ActionInvocation) -> Result<Option<JobRecord>, CommandError> {
        if !self.has_jobs(&invocation.action_type) {
            return Ok(None);
        }
        let partition = partition(&invocation.scope);
        let action = &invocation.action_execution_id;
        let Some(pointer) = self.store.get_json::<Pointer>(OF_ACTION, &partition, action).await? else {
            return Ok(None);
        };
        let job = self.store.get_json::<JobRecord>(JOBS, &partition, &pointer.value.job).await?;
        Ok(job.map(|job| job.value))
    }

    /// Ends a job: it leaves the queue, loses its secrets, and takes some long ended ones along.
    pub(super) async fn end_writes(
        &self,
        scope: &Scope,
        job: JobRecord,
        version: u64,
        status: JobStatus,
        result: Option<String>,
        now: Timestamp,
    ) -> Result<Vec<Write>, CommandError> {
        let partition = partition(scope);
        let pointer = Pointer { job: job.id.clone() };
        let mut writes: Vec<Write> =
            job.queued.iter().map(|place| Write::delete(place.document(), Expect::Any)).collect();
        if job.by_id {
            writes.push(Write::delete(by_id_key(&job.id), Expect::Any));
        }
        let ended = Key::new(ENDED, partition.clone(), at(now, &job.id));
        writes.push(Write::put_json(ended, &pointer, Expect::Any)?);
        let id = job.id.clone();
        writes.push(Write::put_json(job_key(scope, &id), &job.ended(status, result), Expect::Version(version))?);
        let kept = i64::try_from(JOBS_KEPT.as_millis()).unwrap_or(i64::MAX);
        let scan = Scan {
            from: Bound::Unbounded,
            to: Bound::Excluded(at(now.plus_millis(-kept), "")),
            limit: JOBS_PRUNED_AT_ONCE,
            reverse: false,
        };
        for old in self.store.scan(ENDED, &partition, scan).await? {
            let pointer: Pointer = old.json()?;
            writes.push(Write::delete(job_key(scope, &pointer.job), Expect::Any));
            writes.push(Write::delete(Key::new(ENDED, partition.clone(), old.key), Expect::Any));
        }
        Ok(writes)
    }
}

/// A job of an action that starts now.
fn record(pipeline: &PipelineId, invocation: &ActionInvocation, types: &Types, job: String) -> JobRecord {
    let entry = types.find(&invocation.action_type);
    let partner = (invocation.action_type.owner == Owner::ThirdParty).then(|| invocation.action_type.provider.clone());
    // PollForThirdPartyJobs asks for no value.
    let queryable = entry
        .filter(|_| partner.is_none())
        .and_then(|entry| entry.properties.iter().find(|property| property.queryable));
    let value = queryable.and_then(|property| invocation.config(&property.name));
    JobRecord {
        id: job,
        pipeline: pipeline.clone(),
        execution: invocation.execution_id.clone(),
        action: invocation.action_execution_id.clone(),
        status: JobStatus::Queued,
        line: line(&invocation.scope, &invocation.action_type, value),
        queued: None,
        nonce: None,
        continuation_token: None,
        execution_url_template: entry.and_then(|entry| entry.execution_url_template.clone()),
        partner,
        timeout: types.job_timeout(&invocation.action_type),
        deadline: None,
        function: None,
        not_before: None,
        continued: 0,
        by_id: false,
        invocation: Some(invocation.clone()),
        result: None,
    }
}

/// Keeps a new job for the function that carries its action out, as the newest of its action. It waits in no queue.
pub(super) fn hand(
    invocation: &ActionInvocation,
    mut job: JobRecord,
    expect: Expect,
    now: Timestamp,
) -> Result<Vec<Write>, CommandError> {
    let scope = &invocation.scope;
    job.timed_from(job.not_before.unwrap_or(now), invocation.started);
    // Nobody acknowledges it.
    job.status = JobStatus::InProgress;
    let mut writes = vec![
        Write::put_json(job_key(scope, &job.id), &job, Expect::Absent)?,
        Write::put_json(of_action_key(scope, &job.action), &Pointer { job: job.id.clone() }, expect)?,
    ];
    if job.by_id {
        writes.push(Write::put_json(by_id_key(&job.id), &OpenById { scope: scope.clone() }, Expect::Absent)?);
    }
    Ok(writes)
}

/// Puts a new job into the queue, as the newest of its action.
pub(super) fn enqueue(
    invocation: &ActionInvocation,
    mut job: JobRecord,
    expect: Expect,
    now: Timestamp,
) -> Result<Vec<Write>, CommandError> {
    let scope = &invocation.scope;
    job.timed_from(now, invocation.started);
    let pointer = Pointer { job: job.id.clone() };
    let place = Place::new(job.line.clone(), now, &job.id);
    let queue = Write::put_json(place.document(), &pointer, Expect::Any)?;
    let of_action = Write::put_json(of_action_key(scope, &job.action), &pointer, expect)?;
    job.queued = Some(place);
    Ok(vec![Write::put_json(job_key(scope, &job.id), &job, Expect::Absent)?, queue, of_action])
}
