//! The door in front of a stage: who waits, who is superseded, who may enter (executions.md sections 3 to 5).
//! A PARALLEL execution has no lock and no queue, but a disabled transition holds it like any other.

use towpath_model::declaration::ExecutionMode;
use towpath_model::history::{EventState, HistoryEvent};
use towpath_model::ids::{ExecutionId, StageName};
use towpath_model::state::{ActionRun, ExecutionStatus, Position, StageRun, StageStatus};

use crate::stage::progress;
use crate::turn::{Result, Turn, find_stage, internal};

/// The execution comes to the door of a stage: it enters, waits, or is superseded by a newer one that waits there.
pub(crate) fn arrive(turn: &mut Turn, id: &ExecutionId, index: usize) -> Result {
    let stage = turn.stage_name(id, index)?;
    turn.execution_mut(id)?.position = Position::Before(index);
    let parallel = turn.is_parallel(id)?;
    let Some(gate) = turn.stage_gate_mut(&stage) else {
        // A PARALLEL execution of an older version passes a stage that the current one no longer has.
        return if parallel { enter(turn, id, index) } else { Err(internal(format!("no gate for stage {stage}"))) };
    };
    if parallel && gate.inbound.enabled {
        return enter(turn, id, index);
    }
    gate.waiting.push(id.clone());
    if turn.execution(id)?.mode == ExecutionMode::Superseded {
        supersede(turn, &stage)?;
    }
    open(turn, &stage)?;
    if turn.stage_gate(&stage).is_some_and(|gate| gate.waiting.contains(id)) {
        turn.tell(id, HistoryEvent::Waiting { stage })?;
    }
    Ok(())
}

/// One waiting slot: only the most recently started execution keeps it.
fn supersede(turn: &mut Turn, stage: &StageName) -> Result {
    let Some(gate) = turn.stage_gate(stage) else { return Ok(()) };
    let mut live = Vec::new();
    let mut kept = Vec::new();
    for id in gate.waiting.clone() {
        let execution = turn.execution(&id)?;
        if execution.mode == ExecutionMode::Parallel {
            kept.push(id);
        } else if execution.status == ExecutionStatus::InProgress {
            live.push((execution.sequence, id));
        }
    }
    let newest = live.iter().max().cloned();
    for (sequence, id) in live {
        if newest.as_ref().is_none_or(|(latest, _)| *latest != sequence) {
            turn.set_execution(&id, ExecutionStatus::Superseded, EventState::Superseded, None)?;
        }
    }
    kept.extend(newest.map(|(_, id)| id));
    if let Some(gate) = turn.stage_gate_mut(stage) {
        gate.waiting = kept;
    }
    Ok(())
}

/// Lets in whoever may enter now: every PARALLEL execution held by the transition, and of the others the newest
/// (SUPERSEDED) or the head of the queue (QUEUED), if the stage is free. Stopped ones never enter and fall out here.
pub(crate) fn open(turn: &mut Turn, stage: &StageName) -> Result {
    loop {
        let Some(gate) = turn.stage_gate(stage) else { return Ok(()) };
        if !gate.inbound.enabled || gate.waiting.is_empty() {
            return Ok(());
        }
        let locked = gate.lock.is_some();
        let mut next: Option<(u64, ExecutionId, usize)> = None;
        for id in &gate.waiting {
            let execution = turn.execution(id)?;
            let Position::Before(index) = execution.position else {
                return Err(internal(format!("execution {id} waits at {stage} but is not in front of it")));
            };
            if execution.status != ExecutionStatus::InProgress {
                continue;
            }
            let better = match execution.mode {
                ExecutionMode::Parallel => {
                    next = Some((execution.sequence, id.clone(), index));
                    break;
                }
                _ if locked => false,
                ExecutionMode::Superseded => next.as_ref().is_none_or(|(sequence, ..)| execution.sequence > *sequence),
                ExecutionMode::Queued => next.is_none(),
            };
            if better {
                next = Some((execution.sequence, id.clone(), index));
            }
        }
        let Some((_, id, index)) = next else { return Ok(()) };
        forget_ended(turn, stage, &id)?;
        enter(turn, &id, index)?;
    }
}

/// The execution gives up the stage it holds, and the next one may enter. One that holds nothing frees nothing.
pub(crate) fn let_go(turn: &mut Turn, stage: &StageName, id: &ExecutionId) -> Result {
    if turn.release(stage, id) { open(turn, stage) } else { Ok(()) }
}

/// Takes the entering execution out of the waiting line, and with it the stopped ones in front of it.
fn forget_ended(turn: &mut Turn, stage: &StageName, entering: &ExecutionId) -> Result {
    let mut kept = Vec::new();
    let mut passed = false;
    let waiting = turn.stage_gate(stage).map(|gate| gate.waiting.clone()).unwrap_or_default();
    for id in waiting {
        if id == *entering {
            passed = true;
        } else if passed || !turn.execution(&id)?.status.has_ended() {
            kept.push(id);
        }
    }
    if let Some(gate) = turn.stage_gate_mut(stage) {
        gate.waiting = kept;
    }
    Ok(())
}

/// Takes an execution out of the waiting line of whatever stage it waits at.
pub(crate) fn leave_line(turn: &mut Turn, id: &ExecutionId) {
    for gate in &mut turn.gate.stages {
        gate.waiting.retain(|waiting| waiting != id);
    }
}

/// The execution goes in: it takes the lock, its stage run begins, its first group starts.
pub(crate) fn enter(turn: &mut Turn, id: &ExecutionId, index: usize) -> Result {
    let stage = turn.stage_name(id, index)?;
    let definition = turn.definition_of(id)?;
    let declaration = find_stage(&definition, &stage)?;
    if !turn.is_parallel(id)? {
        let gate = turn.stage_gate_mut(&stage).ok_or_else(|| internal(format!("no gate for stage {stage}")))?;
        if let Some(holder) = &gate.lock {
            return Err(internal(format!("stage {stage} is held by {holder}; {id} must not enter it")));
        }
        gate.lock = Some(id.clone());
        gate.latest = Some(id.clone());
    }
    let now = turn.now;
    let execution = turn.execution_mut(id)?;
    execution.position = Position::In(index);
    execution.stages.push(StageRun {
        name: stage.clone(),
        status: StageStatus::InProgress,
        actions: declaration
            .actions
            .iter()
            .map(|action| ActionRun { name: action.name.clone(), run_order: action.run_order, latest: None })
            .collect(),
        conditions: Vec::new(),
        manual_retries: 0,
        automatic_retries: 0,
        latest_retry_trigger: None,
        entered: now,
        updated: now,
    });
    turn.tell(id, HistoryEvent::Stage { stage, state: EventState::Started })?;
    progress::advance(turn, id)
}
