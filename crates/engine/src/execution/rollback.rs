//! RollbackStage and automatic rollback: one stage runs again as it did in an earlier execution, with that one's
//! artifacts, variables and revisions (executions.md section 9).

use towpath_model::declaration::{ConditionType, ExecutionMode, PipelineDeclaration};
use towpath_model::event::Rejection;
use towpath_model::history::{EventState, HistoryEvent};
use towpath_model::ids::{ExecutionId, StageName};
use towpath_model::state::{
    ConditionStatus, Execution, ExecutionKind, ExecutionStatus, Position, StageStatus, Trigger,
};

use crate::execution::start;
use crate::stage::door;
use crate::stage::transition::stage_not_found;
use crate::step::Reply;
use crate::turn::{Result, Turn, internal};

pub(crate) fn request(turn: &mut Turn, stage: &StageName, target: &ExecutionId, by: &str) -> Result<Reply> {
    let definition = turn.current_definition()?;
    check(turn, &definition, stage, target)?;
    let detail = serde_json::json!({ "AwsUserArn": by }).to_string();
    let trigger = Trigger { kind: "ManualRollback".to_owned(), detail };
    let id = begin(turn, target, stage, trigger)?;
    Ok(Reply::RolledBack(id))
}

fn check(turn: &Turn, definition: &PipelineDeclaration, stage: &StageName, target: &ExecutionId) -> Result {
    let pipeline = &turn.gate.name;
    let unable = |why: &str| {
        Err(Rejection::UnableToRollbackStage(format!(
            "Unable to roll back the stage '{stage}' of pipeline '{pipeline}' to pipeline execution '{target}': {why}"
        )))
    };
    let Some(gate) = turn.stage_gate(stage) else { return Err(stage_not_found(stage, pipeline)) };
    let Some(execution) = turn.find(target) else {
        return Err(Rejection::PipelineExecutionNotFound(format!(
            "Pipeline Execution with id '{target}' does not exist in pipeline with name '{pipeline}'"
        )));
    };
    if execution.pipeline_version != turn.gate.definition_version {
        return Err(Rejection::PipelineExecutionOutdated(format!(
            "The pipeline execution '{target}' ran version {} of pipeline '{pipeline}', whose structure has changed since. \
             Choose an execution of version {}.",
            execution.pipeline_version, turn.gate.definition_version
        )));
    }
    if definition.stages.first().is_some_and(|first| first.name == *stage) {
        return unable("a source stage cannot be rolled back.");
    }
    if definition.mode() == ExecutionMode::Parallel {
        return unable("rollback is not available in PARALLEL mode.");
    }
    if !matches!(execution.kind, ExecutionKind::Standard) {
        return unable("it is itself a rollback. Choose a standard execution.");
    }
    if !succeeded_in(execution, stage) {
        return unable("it did not succeed in that stage.");
    }
    if gate.lock.is_some() {
        return unable("another pipeline execution is in the stage. Wait for it, or stop it.");
    }
    start::check_cap(&turn.gate, definition.mode())
}

/// Its actions succeeded there, and nothing was held against that afterwards.
fn succeeded_in(execution: &Execution, stage: &StageName) -> bool {
    execution.stage_run(stage).is_some_and(|run| {
        let accepted = run
            .condition(ConditionType::OnSuccess)
            .is_none_or(|c| matches!(c.status, ConditionStatus::Succeeded | ConditionStatus::Overridden));
        run.status == StageStatus::Succeeded && accepted
    })
}

/// After a failure: back to the newest execution that succeeded in the stage under this version. Without one, the stage
/// just stays failed. A failed rollback rolls nothing back.
pub(crate) fn automatic(turn: &mut Turn, failed: &ExecutionId, stage: &StageName) -> Result {
    if !matches!(turn.execution(failed)?.kind, ExecutionKind::Standard) || turn.is_parallel(failed)? {
        return Ok(());
    }
    let Some(target) = turn.stage_gate(stage).and_then(|gate| gate.last_success.clone()) else { return Ok(()) };
    // Its row may have been pruned from the history since.
    let Some(execution) = turn.find(&target) else { return Ok(()) };
    if target == *failed
        || execution.pipeline_version != turn.gate.definition_version
        || turn.execution(failed)?.pipeline_version != turn.gate.definition_version
        || !succeeded_in(execution, stage)
    {
        return Ok(());
    }
    let detail = serde_json::json!({ "FailedPipelineExecutionId": failed }).to_string();
    begin(turn, &target, stage, Trigger { kind: "AutomatedRollback".to_owned(), detail }).map(drop)
}

/// The new execution goes straight into the stage: a disabled transition is for those who come from the stage before
/// (docs/deviations.md).
fn begin(turn: &mut Turn, target: &ExecutionId, stage: &StageName, trigger: Trigger) -> Result<ExecutionId> {
    let index = turn.gate.stages.iter().position(|gate| gate.name == *stage);
    let index = index.ok_or_else(|| internal(format!("no gate for stage {stage}")))?;
    let id = ExecutionId::new(turn.ids.uuid());
    let sequence = turn.gate.next_sequence;
    turn.gate.next_sequence += 1;
    turn.gate.active.push(id.clone());
    let execution = Execution {
        id: id.clone(),
        sequence,
        kind: ExecutionKind::Rollback { target: target.clone(), stage: stage.clone() },
        status: ExecutionStatus::InProgress,
        status_summary: None,
        attempt: 1,
        trigger,
        stop: None,
        cancelling: false,
        position: Position::Before(index),
        stages: Vec::new(),
        started: turn.now,
        updated: turn.now,
        ..turn.execution(target)?.clone()
    };
    turn.add_execution(execution);
    turn.tell(&id, HistoryEvent::Execution { state: EventState::Started, summary: None })?;
    door::enter(turn, &id, index)?;
    Ok(id)
}
