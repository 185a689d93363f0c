//! StopPipelineExecution: stop and wait lets what runs end, stop and abandon ends it at once (executions.md section 7).

use towpath_model::event::Rejection;
use towpath_model::history::EventState;
use towpath_model::ids::{ActionExecutionId, ExecutionId};
use towpath_model::state::{ActionStatus, ConditionStatus, ExecutionStatus, Position, StageStatus, StopRequest};

use crate::action::{approval, timed_out};
use crate::stage::{condition, door, progress};
use crate::step::Reply;
use crate::turn::{Result, Turn};

pub(crate) fn stop(
    turn: &mut Turn,
    id: &ExecutionId,
    abandon: bool,
    reason: Option<&str>,
    requested_by: &str,
) -> Result<Reply> {
    let not_stoppable = || {
        Rejection::PipelineExecutionNotStoppable(format!(
            "The pipeline execution with ID '{id}' in '{}' can't be stopped now. Either it does not exist in the pipeline, \
             or the pipeline execution has no action executions in progress.",
            turn.gate.name
        ))
    };
    let execution = turn.find(id).ok_or_else(not_stoppable)?;
    match execution.status {
        ExecutionStatus::InProgress => {}
        ExecutionStatus::Stopping => {
            if execution.stop.as_ref().is_some_and(|stop| stop.abandon) {
                return Err(not_stoppable());
            }
            if !abandon {
                return Err(Rejection::DuplicatedStopRequest(format!(
                    "The pipeline execution with ID '{id}' in '{}' is already stopping. To end it without waiting for its \
                     actions, stop it again with abandon.",
                    turn.gate.name
                )));
            }
        }
        ExecutionStatus::Stopped
        | ExecutionStatus::Succeeded
        | ExecutionStatus::Failed
        | ExecutionStatus::Superseded
        | ExecutionStatus::Cancelled => return Err(not_stoppable()),
    }
    let earlier = execution.stop.as_ref().and_then(|stop| stop.reason.clone());
    let request =
        StopRequest { reason: reason.map(str::to_owned).or(earlier), abandon, requested_by: requested_by.to_owned() };
    apply(turn, id, request)?;
    Ok(Reply::StopAccepted(id.clone()))
}

/// Also what deleting the pipeline does to what still runs.
pub(crate) fn apply(turn: &mut Turn, id: &ExecutionId, request: StopRequest) -> Result {
    let (abandon, reason) = (request.abandon, request.reason.clone());
    turn.execution_mut(id)?.stop = Some(request);
    turn.set_execution(id, ExecutionStatus::Stopping, EventState::Stopping, reason.clone())?;
    match turn.execution(id)?.position {
        Position::In(index) => {
            let stage = turn.stage_name(id, index)?;
            let ended = if abandon { ConditionStatus::Abandoned } else { ConditionStatus::Cancelled };
            condition::end_all(turn, id, &stage, ended)?;
            if matches!(turn.stage_run(id, &stage)?.status, StageStatus::InProgress | StageStatus::Stopping) {
                turn.set_stage(id, &stage, StageStatus::Stopping, EventState::Stopping)?;
            }
            if abandon {
                for action in in_flight(turn, id)? {
                    abandon_action(turn, id, &action)?;
                }
            }
            progress::advance(turn, id)
        }
        // An inbound execution stays where it waited, and never enters.
        Position::Before(_) | Position::Done => {
            turn.set_execution(id, ExecutionStatus::Stopped, EventState::Stopped, reason)
        }
        // The stage itself succeeded; only its lock was still held.
        Position::After(index) => {
            turn.set_execution(id, ExecutionStatus::Stopped, EventState::Stopped, reason)?;
            let stage = turn.stage_name(id, index)?;
            door::let_go(turn, &stage, id)
        }
    }
}

/// The action executions of an execution that have not ended.
pub(crate) fn in_flight(turn: &Turn, id: &ExecutionId) -> Result<Vec<ActionExecutionId>> {
    let attempts = turn.execution(id)?.stages.iter().flat_map(|s| &s.actions).filter_map(|a| a.latest.as_ref());
    Ok(attempts.filter(|a| a.status == ActionStatus::InProgress).map(|a| a.id.clone()).collect())
}

fn abandon_action(turn: &mut Turn, id: &ExecutionId, action: &ActionExecutionId) -> Result {
    let stop = timed_out::stop_effect(turn, id, action);
    let attempt = turn.attempt_mut(id, action)?;
    if attempt.token.is_some() {
        attempt.progress.summary = Some(approval::CANCELED.to_owned());
    }
    turn.end_action(id, action, ActionStatus::Abandoned, EventState::Abandoned, None)?;
    turn.effects.extend(stop);
    Ok(())
}
