//! Inside a stage: which gate is asked, which group starts next, when the stage is over, and where the execution goes
//! then.

use towpath_model::declaration::{ConditionType, ExecutionMode, RetryMode};
use towpath_model::history::{EventState, HistoryEvent};
use towpath_model::ids::{ActionName, ExecutionId, StageName};
use towpath_model::limits;
use towpath_model::state::{ActionStatus, ExecutionKind, ExecutionStatus, Position, StageRun, StageStatus, Work};

use crate::action::start;
use crate::execution::{retry, rollback};
use crate::stage::condition::{self, Verdict};
use crate::stage::door;
use crate::turn::{Result, Turn, find_stage, internal};

/// What a stage run asks for, read from its actions alone.
enum Next {
    /// Something of the current group still runs and nothing more may start.
    Wait,
    Start(Vec<ActionName>),
    Complete,
    Failed,
}

/// Asked after every change inside a stage: asks the gates, starts what may start, and ends the stage when nothing runs
/// any more.
pub(crate) fn advance(turn: &mut Turn, id: &ExecutionId) -> Result {
    let (index, stage) = turn.current_stage(id)?;
    loop {
        let execution = turn.execution(id)?;
        let run = turn.stage_run(id, &stage)?;
        if execution.cancelling || execution.status == ExecutionStatus::Stopping {
            return if in_progress(run) == 0 { end_early(turn, id, &stage) } else { Ok(()) };
        }
        match condition::evaluate(turn, id, &stage, ConditionType::BeforeEntry)? {
            Verdict::None | Verdict::Met => {}
            Verdict::Pending => return Ok(()),
            Verdict::NotMet => return refuse_entry(turn, id, index, &stage),
        }
        match next(turn.stage_run(id, &stage)?, turn.execution(id)?.mode) {
            Next::Wait => return Ok(()),
            Next::Start(actions) => {
                for action in actions {
                    start::start(turn, id, &stage, Work::Action(&action))?;
                }
            }
            Next::Complete => return actions_succeeded(turn, id, index, &stage),
            Next::Failed => return action_failed(turn, id, &stage),
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

/// The result a gate's condition declares for when it holds the execution back.
fn result_of(turn: &Turn, id: &ExecutionId, stage: &StageName, gate: ConditionType) -> Result<String> {
    let definition = turn.definition_of(id)?;
    let condition = find_stage(&definition, stage)?.condition(gate);
    Ok(condition.and_then(|condition| condition.result.clone()).unwrap_or_default())
}

/// The entry condition is not met: the actions do not run.
fn refuse_entry(turn: &mut Turn, id: &ExecutionId, index: usize, stage: &StageName) -> Result {
    if result_of(turn, id, stage, ConditionType::BeforeEntry)? == "SKIP" {
        turn.set_stage(id, stage, StageStatus::Skipped, EventState::Skipped)?;
        return depart(turn, id, index, stage);
    }
    turn.set_stage(id, stage, StageStatus::Failed, EventState::Failed)?;
    fail(turn, id, stage)
}

/// Every action succeeded. The stage counts as succeeded while its success condition is still being asked; it keeps its
/// lock until that is answered.
pub(crate) fn actions_succeeded(turn: &mut Turn, id: &ExecutionId, index: usize, stage: &StageName) -> Result {
    if turn.stage_run(id, stage)?.status == StageStatus::InProgress {
        turn.set_stage(id, stage, StageStatus::Succeeded, EventState::Succeeded)?;
    }
    match condition::evaluate(turn, id, stage, ConditionType::OnSuccess)? {
        Verdict::Pending => return Ok(()),
        Verdict::NotMet => {
            if result_of(turn, id, stage, ConditionType::OnSuccess)? == "ROLLBACK" {
                return fail_and_roll_back(turn, id, stage);
            }
            turn.set_stage(id, stage, StageStatus::Failed, EventState::Failed)?;
            return fail(turn, id, stage);
        }
        Verdict::None | Verdict::Met => {}
    }
    let standard = matches!(turn.execution(id)?.kind, ExecutionKind::Standard);
    if standard
        && !turn.is_parallel(id)?
        && let Some(gate) = turn.stage_gate_mut(stage)
    {
        gate.last_success = Some(id.clone());
    }
    depart(turn, id, index, stage)
}

/// The execution leaves, unless the outbound transition holds it. Held, it stays in the stage and keeps its lock
/// (docs/deviations.md).
fn depart(turn: &mut Turn, id: &ExecutionId, index: usize, stage: &StageName) -> Result {
    let is_last = is_last_stage(turn, id, index)?;
    if turn.stage_gate(stage).is_some_and(|gate| !gate.outbound.enabled) && !is_last {
        turn.execution_mut(id)?.position = Position::After(index);
        // Whoever enables the transition meanwhile would not find this execution behind it, and leave it there for ever.
        turn.needs_gate_unchanged();
        let next = turn.stage_name(id, index + 1)?;
        return turn.tell(id, HistoryEvent::Waiting { stage: next });
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

/// Out of a stage that is over: to the next one, or to the end of the pipeline.
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

/// An action failed and nothing of the stage runs any more: what the stage declares for that (executions.md sections 8
/// to 10).
fn action_failed(turn: &mut Turn, id: &ExecutionId, stage: &StageName) -> Result {
    if turn.stage_run(id, stage)?.status == StageStatus::InProgress {
        turn.set_stage(id, stage, StageStatus::Failed, EventState::Failed)?;
    }
    let definition = turn.definition_of(id)?;
    let declared = find_stage(&definition, stage)?.on_failure.as_ref();
    match declared.and_then(|failure| failure.result.as_deref()) {
        Some("RETRY") if turn.stage_run(id, stage)?.automatic_retries == 0 => {
            let configured = declared.and_then(|failure| failure.retry_configuration.as_ref()?.retry_mode);
            return retry::automatic(turn, id, stage, configured.unwrap_or(RetryMode::FailedActions));
        }
        Some("ROLLBACK") => return fail_and_roll_back(turn, id, stage),
        _ => {}
    }
    match condition::evaluate(turn, id, stage, ConditionType::OnFailure)? {
        Verdict::Pending => Ok(()),
        // The criteria are met: the declared result follows, which can only be ROLLBACK.
        Verdict::Met => fail_and_roll_back(turn, id, stage),
        Verdict::None | Verdict::NotMet => fail(turn, id, stage),
    }
}

fn fail(turn: &mut Turn, id: &ExecutionId, stage: &StageName) -> Result {
    turn.set_execution(id, ExecutionStatus::Failed, EventState::Failed, None)?;
    door::let_go(turn, stage, id)
}

/// The rollback takes the stage before anybody who waits in front of it.
fn fail_and_roll_back(turn: &mut Turn, id: &ExecutionId, stage: &StageName) -> Result {
    turn.set_execution(id, ExecutionStatus::Failed, EventState::Failed, None)?;
    let released = turn.release(stage, id);
    rollback::automatic(turn, id, stage)?;
    if released { door::open(turn, stage) } else { Ok(()) }
}

/// Nothing runs any more in an execution that was told to stop, or whose definition changed. A stop wins. A stage that
/// was over already, with only a condition still being asked, stays what it was.
fn end_early(turn: &mut Turn, id: &ExecutionId, stage: &StageName) -> Result {
    let status = turn.stage_run(id, stage)?.status;
    if turn.execution(id)?.status == ExecutionStatus::Stopping {
        if status == StageStatus::Stopping {
            turn.set_stage(id, stage, StageStatus::Stopped, EventState::Stopped)?;
        }
        let reason = turn.execution(id)?.stop.as_ref().and_then(|stop| stop.reason.clone());
        turn.set_execution(id, ExecutionStatus::Stopped, EventState::Stopped, reason)?;
    } else {
        if status == StageStatus::InProgress {
            turn.set_stage(id, stage, StageStatus::Cancelled, EventState::Canceled)?;
        }
        turn.set_execution(id, ExecutionStatus::Cancelled, EventState::Canceled, None)?;
    }
    door::let_go(turn, stage, id)
}

/// The execution had been held back by a condition that is overridden now: it goes on where it stands.
pub(crate) fn go_on(turn: &mut Turn, id: &ExecutionId) -> Result {
    let Position::In(index) = turn.execution(id)?.position else {
        return Err(internal(format!("execution {id} is in no stage")));
    };
    let stage = turn.stage_name(id, index)?;
    actions_succeeded(turn, id, index, &stage)
}
