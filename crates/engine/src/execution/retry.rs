//! RetryStageExecution: the same execution goes on in the stage where it failed or was stopped (executions.md
//! section 8).

use towpath_model::declaration::RetryMode;
use towpath_model::event::Rejection;
use towpath_model::history::{EventState, HistoryEvent};
use towpath_model::ids::{ExecutionId, StageName};
use towpath_model::state::{
    ActionAttempt, ActionStatus, ConditionStatus, ExecutionStatus, Position, StageRun, StageStatus,
};

use crate::execution::start;
use crate::stage::transition::stage_not_found;
use crate::stage::{condition, progress};
use crate::step::Reply;
use crate::turn::{Result, Turn};

/// AWS's words for who asked for a retry.
const MANUAL: &str = "ManualStageRetry";
const AUTOMATIC: &str = "AutomatedStageRetry";

pub(crate) fn retry(turn: &mut Turn, id: &ExecutionId, stage: &StageName, mode: RetryMode) -> Result<Reply> {
    check(turn, id, stage, mode)?;
    if turn.execution(id)?.status.has_ended() {
        let place = place_of(turn, id)?;
        resume(turn, id, stage, place)?;
    } else {
        // Others of its group still run: nothing changes its status, but the retry is announced like any other.
        turn.execution_mut(id)?.attempt += 1;
        turn.tell(id, HistoryEvent::Execution { state: EventState::Resumed, summary: None })?;
        turn.tell(id, HistoryEvent::Stage { stage: stage.clone(), state: EventState::Resumed })?;
    }
    let run = turn.stage_run_mut(id, stage)?;
    run.manual_retries += 1;
    run.latest_retry_trigger = Some(MANUAL.to_owned());
    start_over(turn, id, stage, mode)?;
    Ok(Reply::Retried(id.clone()))
}

/// The stage declares one automatic retry, and this failure is the first. The execution keeps its place among the active
/// ones: whoever fails does not know the others.
pub(crate) fn automatic(turn: &mut Turn, id: &ExecutionId, stage: &StageName, mode: RetryMode) -> Result {
    let place = turn.gate.active.iter().position(|active| active == id).unwrap_or_default();
    turn.set_execution(id, ExecutionStatus::Failed, EventState::Failed, None)?;
    resume(turn, id, stage, place)?;
    let run = turn.stage_run_mut(id, stage)?;
    run.automatic_retries += 1;
    run.latest_retry_trigger = Some(AUTOMATIC.to_owned());
    start_over(turn, id, stage, mode)
}

/// The ended execution is under way again and holds its stage; every gate of it will be asked anew.
fn resume(turn: &mut Turn, id: &ExecutionId, stage: &StageName, place: usize) -> Result {
    let execution = turn.execution_mut(id)?;
    execution.attempt += 1;
    execution.stop = None;
    execution.status_summary = None;
    turn.set_execution(id, ExecutionStatus::InProgress, EventState::Resumed, None)?;
    turn.set_stage(id, stage, StageStatus::InProgress, EventState::Resumed)?;
    take_place(turn, id, stage, place)?;
    condition::forget(turn, id, stage)
}

/// Puts away the attempts that are to be made again, and goes on.
fn start_over(turn: &mut Turn, id: &ExecutionId, stage: &StageName, mode: RetryMode) -> Result {
    let again = |attempt: &ActionAttempt| match mode {
        RetryMode::AllActions => true,
        RetryMode::FailedActions => is_unsuccessful(Some(attempt.status)),
    };
    let attempts = turn.stage_run(id, stage)?.actions.iter().filter_map(|action| action.latest.as_ref());
    let put_away: Vec<_> = attempts.filter(|attempt| again(attempt)).map(|attempt| attempt.id.clone()).collect();
    for attempt in &put_away {
        turn.put_away(id, attempt)?;
    }
    for action in &mut turn.stage_run_mut(id, stage)?.actions {
        if action.latest.as_ref().is_some_and(|attempt| put_away.contains(&attempt.id)) {
            action.latest = None;
        }
    }
    progress::advance(turn, id)
}

fn check(turn: &Turn, id: &ExecutionId, stage: &StageName, mode: RetryMode) -> Result {
    let pipeline = &turn.gate.name;
    let not_retryable = |why: &str| {
        Err(Rejection::StageNotRetryable(format!(
            "The stage '{stage}' of pipeline execution '{id}' can't be retried: {why}"
        )))
    };
    let Some(gate) = turn.stage_gate(stage) else { return Err(stage_not_found(stage, pipeline)) };
    let Some(execution) = turn.find(id) else {
        // The model of RetryStageExecution lists no error of its own for it.
        return Err(Rejection::StageNotRetryable(format!(
            "Pipeline Execution with id '{id}' does not exist in pipeline with name '{pipeline}'"
        )));
    };
    if execution.pipeline_version != turn.gate.definition_version {
        return not_retryable("the pipeline structure has changed since this execution.");
    }
    if execution.cancelling || execution.status == ExecutionStatus::Stopping {
        return Err(Rejection::Conflict(format!(
            "Your request cannot be handled because the pipeline execution '{id}' is being stopped."
        )));
    }
    let Some(run) = execution.stage_run(stage) else {
        return not_retryable("the execution has not entered the stage.");
    };
    let parallel = turn.is_parallel(id)?;
    if !parallel && gate.latest.as_ref() != Some(id) {
        return Err(Rejection::NotLatestPipelineExecution(format!(
            "The stage '{stage}' has been entered by a later pipeline execution than '{id}'. Only the latest execution of a \
             stage can be retried."
        )));
    }
    if !execution.status.has_ended() && run.status == StageStatus::Failed {
        return not_retryable("its failure condition is still being evaluated.");
    }
    match run.status {
        StageStatus::InProgress if mode == RetryMode::AllActions => {
            return not_retryable(
                "an action of the stage is still in progress. Wait for it, or retry the failed actions only.",
            );
        }
        StageStatus::Failed | StageStatus::Stopped | StageStatus::InProgress => {}
        StageStatus::Stopping | StageStatus::Succeeded | StageStatus::Cancelled | StageStatus::Skipped => {
            return not_retryable(&format!("its status is {}.", run.status.as_str()));
        }
    }
    let in_stage = matches!(execution.position, Position::In(index) if turn.stage_name(id, index)? == *stage);
    if !in_stage {
        return not_retryable("the execution has left the stage.");
    }
    if mode == RetryMode::FailedActions && !has_something_to_retry(run) {
        return not_retryable("none of its actions failed.");
    }
    if execution.status.has_ended() {
        if !parallel && gate.lock.is_some() {
            return Err(Rejection::Conflict(format!(
                "Your request cannot be handled because another pipeline execution is in the stage '{stage}'."
            )));
        }
        start::check_cap(&turn.gate, execution.mode)?;
    }
    Ok(())
}

fn is_unsuccessful(status: Option<ActionStatus>) -> bool {
    matches!(status, Some(ActionStatus::Failed | ActionStatus::Abandoned))
}

/// A failed action; or, where the execution was stopped between two groups, one that never started; or a condition that
/// was not met.
fn has_something_to_retry(run: &StageRun) -> bool {
    let status = |action: &towpath_model::state::ActionRun| action.latest.as_ref().map(|attempt| attempt.status);
    run.actions.iter().any(|action| is_unsuccessful(status(action)))
        || (run.status == StageStatus::Stopped && run.actions.iter().any(|action| action.latest.is_none()))
        || run.conditions.iter().any(|c| matches!(c.status, ConditionStatus::Failed | ConditionStatus::Errored))
}

/// Where an execution belongs among the active ones, in the order of starts.
pub(crate) fn place_of(turn: &Turn, id: &ExecutionId) -> Result<usize> {
    let sequence = turn.execution(id)?.sequence;
    let mut place = 0;
    if !turn.is_parallel(id)? {
        for active in &turn.gate.active {
            place += usize::from(turn.execution(active)?.sequence < sequence);
        }
    }
    Ok(place)
}

/// The retried execution counts as active again and takes the lock of the stage again.
pub(crate) fn take_place(turn: &mut Turn, id: &ExecutionId, stage: &StageName, place: usize) -> Result {
    if turn.is_parallel(id)? {
        turn.gate.parallel.push(id.clone());
        return Ok(());
    }
    turn.gate.active.insert(place, id.clone());
    if let Some(gate) = turn.stage_gate_mut(stage) {
        gate.lock = Some(id.clone());
    }
    Ok(())
}
