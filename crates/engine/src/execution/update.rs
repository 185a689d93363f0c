//! UpdatePipeline: the gate moves to the new version. What waits is Cancelled at once, what runs is Cancelled when its
//! actions have ended, PARALLEL executions go on with their own version (api.md section 8).

use towpath_model::declaration::{ExecutionMode, PipelineDeclaration};
use towpath_model::history::EventState;
use towpath_model::state::{ConditionStatus, ExecutionStatus, Position, StageGate};

use crate::action::{approval, open_attempt};
use crate::create::normalise;
use crate::execution::stop::in_flight;
use crate::stage::{condition, door, progress};
use crate::step::Reply;
use crate::turn::{Result, Turn, internal};
use crate::validation::merge_masked;

pub(crate) fn update(turn: &mut Turn, declaration: &PipelineDeclaration) -> Result<Reply> {
    let old = turn.current_definition()?;
    let version = turn.gate.definition_version + 1;
    let declaration = normalise(&merge_masked(declaration, &old, turn.action_types), turn.action_types, version);
    turn.gate.definition_version = version;
    turn.gate.updated = turn.now;
    turn.gate.name = declaration.name.clone();

    // Nobody may enter while the doors are being moved.
    let waiting_in_parallel = empty_the_lines(turn)?;
    rebuild_gates(turn, &declaration)?;
    turn.definition = Some(declaration);

    for id in turn.gate.active.clone() {
        match turn.execution(&id)?.status {
            ExecutionStatus::InProgress | ExecutionStatus::Stopping => {}
            other => return Err(internal(format!("execution {id} is {} but counted as active", other.as_str()))),
        }
        let stopping = turn.execution(&id)?.status == ExecutionStatus::Stopping;
        match turn.execution(&id)?.position {
            Position::In(index) => {
                turn.execution_mut(&id)?.cancelling = !stopping;
                let stage = turn.stage_name(&id, index)?;
                condition::end_all(turn, &id, &stage, ConditionStatus::Cancelled)?;
                for action in in_flight(turn, &id)? {
                    if open_attempt(turn, &id, &action).is_some_and(|attempt| attempt.token.is_some()) {
                        approval::cancel(turn, &id, &action)?;
                    }
                }
                progress::advance(turn, &id)?;
            }
            position @ (Position::Before(_) | Position::After(_) | Position::Done) => {
                turn.set_execution(&id, ExecutionStatus::Cancelled, EventState::Canceled, None)?;
                if let Position::After(index) = position {
                    let stage = turn.stage_name(&id, index)?;
                    turn.release(&stage, &id);
                }
            }
        }
    }
    for (id, index) in waiting_in_parallel {
        door::arrive(turn, &id, index)?;
    }
    // Whom the exit of a stage held goes on when that stage is gone.
    for id in turn.gate.parallel.clone() {
        if let Position::After(index) = turn.execution(&id)?.position
            && turn.stage_gate(&turn.stage_name(&id, index)?).is_none()
        {
            progress::leave(turn, &id, index)?;
        }
    }
    Ok(Reply::Nothing)
}

/// Takes everybody out of the waiting lines; the PARALLEL ones come back to the new doors.
fn empty_the_lines(turn: &mut Turn) -> Result<Vec<(towpath_model::ids::ExecutionId, usize)>> {
    let mut parallel = Vec::new();
    let lines: Vec<_> = turn.gate.stages.iter_mut().flat_map(|gate| std::mem::take(&mut gate.waiting)).collect();
    for id in lines {
        let execution = turn.execution(&id)?;
        if execution.mode == ExecutionMode::Parallel
            && !execution.status.has_ended()
            && let Position::Before(index) = execution.position
        {
            parallel.push((id, index));
        }
    }
    Ok(parallel)
}

/// A stage keeps its lock, its transitions and its state by its name; a renamed one starts anew. One that comes back
/// while an execution of an older version is still in it is locked by that one again.
fn rebuild_gates(turn: &mut Turn, declaration: &PipelineDeclaration) -> Result {
    let mut old = std::mem::take(&mut turn.gate.stages);
    turn.gate.stages = declaration
        .stages
        .iter()
        .map(|stage| match old.iter().position(|gate| gate.name == stage.name) {
            Some(at) => old.swap_remove(at),
            None => StageGate::new(stage.name.clone()),
        })
        .collect();
    for id in turn.gate.active.clone() {
        let (Position::In(index) | Position::After(index)) = turn.execution(&id)?.position else { continue };
        let stage = turn.stage_name(&id, index)?;
        if let Some(gate) = turn.stage_gate_mut(&stage) {
            gate.lock = Some(id);
        }
    }
    Ok(())
}
