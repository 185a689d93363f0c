//! EnableStageTransition and DisableStageTransition. Disabling interrupts nothing; enabling lets in, or out, at once.

use towpath_model::event::{Rejection, TransitionType};
use towpath_model::ids::StageName;
use towpath_model::state::{Position, Transition};

use crate::stage::{door, progress};
use crate::step::Reply;
use crate::turn::{Result, Turn};

pub(crate) fn change(
    turn: &mut Turn,
    stage: &StageName,
    which: &TransitionType,
    enabled: bool,
    reason: Option<&str>,
    changed_by: &str,
) -> Result<Reply> {
    let changed = Transition {
        enabled,
        last_changed_by: Some(changed_by.to_owned()),
        last_changed_at: Some(turn.now),
        disabled_reason: reason.filter(|_| !enabled).map(str::to_owned),
    };
    let pipeline = turn.gate.name.clone();
    let Some(gate) = turn.stage_gate_mut(stage) else { return Err(stage_not_found(stage, &pipeline)) };
    match which {
        TransitionType::Inbound => gate.inbound = changed,
        TransitionType::Outbound => gate.outbound = changed,
    }
    if enabled {
        match which {
            TransitionType::Inbound => door::open(turn, stage)?,
            TransitionType::Outbound => let_out(turn, stage)?,
        }
    }
    Ok(Reply::Nothing)
}

/// The executions held behind the stage go on, in the order of their starts.
fn let_out(turn: &mut Turn, stage: &StageName) -> Result {
    let mut held = Vec::new();
    for execution in turn.loaded() {
        if let Position::After(index) = execution.position
            && !execution.status.has_ended()
            && turn.stage_name(&execution.id, index)? == *stage
        {
            held.push((execution.sequence, execution.id.clone(), index));
        }
    }
    held.sort();
    for (_, id, index) in held {
        progress::leave(turn, &id, index)?;
    }
    Ok(())
}

pub(crate) fn stage_not_found(stage: &str, pipeline: &str) -> Rejection {
    Rejection::StageNotFound(format!("Stage with name '{stage}' does not exist in pipeline with name '{pipeline}'"))
}
