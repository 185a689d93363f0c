//! OverrideStageCondition: an execution that a condition holds back goes on all the same (executions.md section 10).

use towpath_model::declaration::ConditionType;
use towpath_model::event::Rejection;
use towpath_model::history::EventState;
use towpath_model::ids::{ExecutionId, StageName};
use towpath_model::state::{ConditionStatus, ExecutionStatus, Position, StageStatus};

use crate::execution::{retry, start};
use crate::stage::transition::stage_not_found;
use crate::stage::{condition, progress};
use crate::step::Reply;
use crate::turn::{Result, Turn};

pub(crate) fn override_condition(
    turn: &mut Turn,
    id: &ExecutionId,
    stage: &StageName,
    gate: ConditionType,
    by: &str,
) -> Result<Reply> {
    check(turn, id, stage, gate)?;
    let summary = Some(format!("Overridden by {by}"));
    condition::end(turn, id, stage, gate, ConditionStatus::Overridden, summary)?;
    let resumes = turn.execution(id)?.status.has_ended();
    if resumes {
        turn.execution_mut(id)?.status_summary = None;
        turn.set_execution(id, ExecutionStatus::InProgress, EventState::Resumed, None)?;
        let place = retry::place_of(turn, id)?;
        retry::take_place(turn, id, stage, place)?;
        if turn.stage_run(id, stage)?.status == StageStatus::Failed {
            turn.set_stage(id, stage, StageStatus::InProgress, EventState::Resumed)?;
        }
    }
    match gate {
        ConditionType::OnSuccess => progress::go_on(turn, id)?,
        ConditionType::BeforeEntry | ConditionType::OnFailure => progress::advance(turn, id)?,
    }
    Ok(Reply::Nothing)
}

fn check(turn: &Turn, id: &ExecutionId, stage: &StageName, gate: ConditionType) -> Result {
    let pipeline = &turn.gate.name;
    let not_overridable = |why: &str| {
        Err(Rejection::ConditionNotOverridable(format!(
            "The {} condition of stage '{stage}' can't be overridden for pipeline execution '{id}': {why}",
            gate.as_str()
        )))
    };
    let Some(of_stage) = turn.stage_gate(stage) else { return Err(stage_not_found(stage, pipeline)) };
    let Some(execution) = turn.find(id) else {
        return not_overridable(&format!("it does not exist in pipeline '{pipeline}'."));
    };
    if gate == ConditionType::OnFailure {
        return not_overridable("a failure condition has nothing to override.");
    }
    let parallel = turn.is_parallel(id)?;
    if !parallel && of_stage.latest.as_ref().is_some_and(|latest| latest != id) {
        return Err(Rejection::NotLatestPipelineExecution(format!(
            "The stage '{stage}' has been entered by a later pipeline execution than '{id}'. Only the latest execution of a \
             stage can have its condition overridden."
        )));
    }
    let run = execution.stage_run(stage).and_then(|run| run.condition(gate));
    let Some(run) = run else { return not_overridable("the condition has not been evaluated.") };
    let in_stage = matches!(execution.position, Position::In(index) if turn.stage_name(id, index)? == *stage);
    if !in_stage {
        return not_overridable("the execution has left the stage.");
    }
    if execution.cancelling || execution.status == ExecutionStatus::Stopping {
        return Err(Rejection::Conflict(format!(
            "Your request cannot be handled because the pipeline execution '{id}' is being stopped."
        )));
    }
    match (run.status, gate) {
        (ConditionStatus::InProgress, _) => {
            let definition = turn.definition_of(id)?;
            let skips = definition
                .stage(stage)
                .and_then(|stage| stage.condition(gate))
                .is_some_and(|condition| condition.result.as_deref() == Some("SKIP"));
            if skips {
                return not_overridable("its result is SKIP.");
            }
        }
        (ConditionStatus::Failed | ConditionStatus::Errored, ConditionType::OnSuccess) => {}
        (
            ConditionStatus::Succeeded
            | ConditionStatus::Failed
            | ConditionStatus::Errored
            | ConditionStatus::Cancelled
            | ConditionStatus::Abandoned
            | ConditionStatus::Overridden,
            _,
        ) => return not_overridable(&format!("its status is {}.", run.status.as_str())),
    }
    if execution.status == ExecutionStatus::Failed {
        if execution.pipeline_version != turn.gate.definition_version {
            return not_overridable("the pipeline structure has changed since this execution.");
        }
        if !parallel && of_stage.lock.is_some() {
            return Err(Rejection::Conflict(format!(
                "Your request cannot be handled because another pipeline execution is in the stage '{stage}'."
            )));
        }
        start::check_cap(&turn.gate, execution.mode)?;
    } else if execution.status != ExecutionStatus::InProgress {
        return not_overridable(&format!("the execution is {}.", execution.status.as_str()));
    }
    Ok(())
}
