//! Inside a stage: which group starts next, when the stage is over, and where the execution goes then.

use towpath_model::declaration::ExecutionMode;
use towpath_model::history::{EventState, HistoryEvent};
use towpath_model::ids::{ActionName, ExecutionId, StageName};
use towpath_model::limits;
use towpath_model::state::{ActionStatus, ExecutionKind, ExecutionStatus, Position, StageRun, StageStatus};

use crate::action::start;
use crate::stage::door;
use crate::turn::{Result, Turn};

/// What a stage run asks for, read from its actions alone.
enum Next {
    /// Something of the current group still runs and nothing more may start.
    Wait,
    Start(Vec<ActionName>),
    Complete,
    Failed,
}

/// Asked after every change inside a stage: starts what may start, and ends the stage when nothing runs any more.
pub(crate) fn advance(turn: &mut Turn, id: &ExecutionId) -> Result {
    loop {
        let (index, stage) = turn.current_stage(id)?;
        let execution = turn.execution(id)?;
        let run = turn.stage_run(id, &stage)?;
        let ending = execution.cancelling || execution.status == ExecutionStatus::Stopping;
        if ending {
            return if in_progress(run) == 0 { end_early(turn, id, &stage) } else { Ok(()) };
        }
        match next(run, execution.mode) {
            Next::Wait => return Ok(()),
            Next::Start(actions) => {
                for action in actions {
                    start::start(turn, id, &stage, &action)?;
                }
            }
            Next::Complete => return complete(turn, id, index, &stage),
            Next::Failed => return fail(turn, id, &stage),
        }
    }
}

fn in_progress(run: &StageRun) -> usize {
    run.actions.iter().filter_map(|a| a.latest.as_ref()).filter(|a| a.status == ActionStatus::InProgress).count()
}

fn next(run: &StageRun, mode: ExecutionMode) -> Next {
    let status = |action: &towpath_model::state::ActionRun| action.latest.as_ref().map(|attempt| attempt.status);
    let running = in_progress(run);
    // The others of the group run to their end; what has not started never does.
    if run.actions.iter().any(|a| matches!(status(a), Some(ActionStatus::Failed | ActionStatus::Abandoned))) {
        return if running == 0 { Next::Failed } else { Next::Wait };
    }
    let unfinished = || run.actions.iter().filter(|a| status(a) != Some(ActionStatus::Succeeded));
    let Some(group) = unfinished().map(|a| a.run_order).min() else { return Next::Complete };
    let room = match mode {
        ExecutionMode::Parallel => limits::PARALLEL_ACTIONS_MAX.saturating_sub(running),
        ExecutionMode::Superseded | ExecutionMode::Queued => usize::MAX,
    };
    let pending: Vec<_> = unfinished()
        .filter(|a| a.run_order == group && a.latest.is_none())
        .take(room)
        .map(|a| a.name.clone())
        .collect();
    if pending.is_empty() { Next::Wait } else { Next::Start(pending) }
}

/// Every action succeeded: the execution leaves, unless the outbound transition holds it. Held, it stays in the stage
/// and keeps its lock (docs/deviations.md).
fn complete(turn: &mut Turn, id: &ExecutionId, index: usize, stage: &StageName) -> Result {
    turn.set_stage(id, stage, StageStatus::Succeeded, EventState::Succeeded)?;
    let parallel = turn.is_parallel(id)?;
    let is_last = is_last_stage(turn, id, index)?;
    if let Some(gate) = turn.stage_gate_mut(stage) {
        if !parallel {
            gate.last_success = Some(id.clone());
        }
        if !gate.outbound.enabled && !is_last {
            turn.execution_mut(id)?.position = Position::After(index);
            let next = turn.stage_name(id, index + 1)?;
            return turn.tell(id, HistoryEvent::Waiting { stage: next });
        }
    }
    leave(turn, id, index)
}

fn is_last_stage(turn: &Turn, id: &ExecutionId, index: usize) -> Result<bool> {
    let stages = turn.definition_of(id)?.stages.len();
    Ok(match turn.execution(id)?.kind {
        ExecutionKind::Standard => index + 1 >= stages,
        ExecutionKind::Rollback { .. } => true,
    })
}

/// Out of a stage that succeeded: to the next one, or to the end of the pipeline.
pub(crate) fn leave(turn: &mut Turn, id: &ExecutionId, index: usize) -> Result {
    let stage = turn.stage_name(id, index)?;
    let released = turn.release(&stage, id);
    if is_last_stage(turn, id, index)? {
        turn.execution_mut(id)?.position = Position::Done;
        turn.set_execution(id, ExecutionStatus::Succeeded, EventState::Succeeded, None)?;
    } else {
        door::arrive(turn, id, index + 1)?;
    }
    if released { door::open(turn, &stage) } else { Ok(()) }
}

fn fail(turn: &mut Turn, id: &ExecutionId, stage: &StageName) -> Result {
    turn.set_stage(id, stage, StageStatus::Failed, EventState::Failed)?;
    turn.set_execution(id, ExecutionStatus::Failed, EventState::Failed, None)?;
    door::let_go(turn, stage, id)
}

/// Nothing runs any more in an execution that was told to stop, or whose definition changed. A stop wins.
fn end_early(turn: &mut Turn, id: &ExecutionId, stage: &StageName) -> Result {
    if turn.execution(id)?.status == ExecutionStatus::Stopping {
        turn.set_stage(id, stage, StageStatus::Stopped, EventState::Stopped)?;
        let reason = turn.execution(id)?.stop.as_ref().and_then(|stop| stop.reason.clone());
        turn.set_execution(id, ExecutionStatus::Stopped, EventState::Stopped, reason)?;
    } else {
        turn.set_stage(id, stage, StageStatus::Cancelled, EventState::Canceled)?;
        turn.set_execution(id, ExecutionStatus::Cancelled, EventState::Canceled, None)?;
    }
    door::let_go(turn, stage, id)
}
