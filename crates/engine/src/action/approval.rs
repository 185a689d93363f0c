//! PutApprovalResult, and what becomes of an approval nobody may answer any more.

use towpath_model::action::{ErrorDetails, error_code};
use towpath_model::catalogue::ActionTypeEntry;
use towpath_model::declaration::PipelineDeclaration;
use towpath_model::event::Rejection;
use towpath_model::history::EventState;
use towpath_model::ids::{ActionExecutionId, ActionName, ExecutionId, StageName};
use towpath_model::limits;
use towpath_model::state::ActionStatus;

use crate::action::cut;
use crate::stage::progress;
use crate::stage::transition::stage_not_found;
use crate::step::Reply;
use crate::turn::{Result, Turn, find_action, internal};

/// The summary of an approval that was abandoned or outdated.
pub(crate) const CANCELED: &str = "The approval action has been canceled.";

pub(crate) struct Answer<'e> {
    pub stage: &'e StageName,
    pub action: &'e ActionName,
    pub token: &'e str,
    pub approved: bool,
    pub summary: &'e str,
    pub answered_by: &'e str,
}

pub(crate) fn answer(turn: &mut Turn, answer: &Answer) -> Result<Reply> {
    let action = ActionExecutionId::new(answer.token);
    let found = find(turn, answer, &action)?;
    // A PARALLEL execution may still run a stage that the current version no longer has.
    let definition = match &found {
        Some(id) => turn.definition_of(id)?,
        None => turn.current_definition()?,
    };
    check_names(&definition, answer, &turn.gate.name)?;
    let Some(id) = found else {
        return Err(Rejection::InvalidApprovalToken(format!(
            "The token is not valid for action '{}' in stage '{}'. Get the token of the open approval and try again.",
            answer.action, answer.stage
        )));
    };
    check_open(turn, &id, &action)?;
    let declaration = find_action(&definition, answer.stage, answer.action)?;
    let summary_required = declaration.config("IsSummaryRequired").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    if summary_required && answer.summary.trim().is_empty() {
        return Err(Rejection::InvalidApprovalToken(format!(
            "Action '{}' in stage '{}' requires a summary. Provide a summary in the approval result and try again.",
            answer.action, answer.stage
        )));
    }

    let attempt = turn.attempt_mut(&id, &action)?;
    attempt.progress.summary =
        Some(cut(answer.summary, limits::SUMMARY_CHARS_MAX)).filter(|summary| !summary.is_empty());
    attempt.progress.external_id = Some(action.to_string());
    attempt.updated_by = Some(answer.answered_by.to_owned());
    if answer.approved {
        turn.end_action(&id, &action, ActionStatus::Succeeded, EventState::Succeeded, None)?;
    } else {
        // State and history show no error, only the event does.
        let told = ErrorDetails::new(error_code::JOB_FAILED, answer.summary);
        turn.end_action(&id, &action, ActionStatus::Failed, EventState::Failed, Some(told))?;
    }
    progress::advance(turn, &id)?;
    Ok(Reply::ApprovedAt(turn.now))
}

/// The execution with an attempt of that id in that stage and action.
fn find(turn: &Turn, answer: &Answer, action: &ActionExecutionId) -> Result<Option<ExecutionId>> {
    for execution in turn.loaded() {
        if let Some((stage, run, _)) = execution.attempt_of(action)
            && stage.name == *answer.stage
            && run.name == *answer.action
        {
            let definition = turn.definition_of(&execution.id)?;
            let id = &find_action(&definition, answer.stage, answer.action)?.action_type_id;
            let approval = turn.action_types.find(id).is_some_and(ActionTypeEntry::is_approval);
            return Ok(approval.then(|| execution.id.clone()));
        }
    }
    Ok(None)
}

fn check_names(definition: &PipelineDeclaration, answer: &Answer, pipeline: &str) -> Result {
    let Some(stage) = definition.stage(answer.stage) else { return Err(stage_not_found(answer.stage, pipeline)) };
    if stage.action(answer.action).is_none() {
        return Err(Rejection::ActionNotFound(format!(
            "Action with name '{}' does not exist in stage '{}' of pipeline with name '{pipeline}'",
            answer.action, answer.stage
        )));
    }
    Ok(())
}

/// A token is consumed once; one that was withdrawn is dead.
fn check_open(turn: &Turn, id: &ExecutionId, action: &ActionExecutionId) -> Result {
    let (_, _, attempt) =
        turn.execution(id)?.attempt_of(action).ok_or_else(|| internal(format!("{id} has no action {action}")))?;
    if attempt.status == ActionStatus::InProgress {
        return Ok(());
    }
    if attempt.updated_by.is_some() {
        return Err(Rejection::ApprovalAlreadyCompleted(
            "The approval action has already been approved or rejected.".to_owned(),
        ));
    }
    let outdated = turn.execution(id)?.pipeline_version != turn.gate.definition_version;
    Err(Rejection::InvalidApprovalToken(if outdated {
        format!(
            "The pipeline {} has been updated, and the approval request you responded to is now out of date.",
            turn.gate.name
        )
    } else {
        "The approval request you responded to has timed out or was canceled.".to_owned()
    }))
}

/// The definition changed: an open approval ends without an answer. AWS has no status for it; the state shows Failed,
/// the event CANCELED.
pub(crate) fn cancel(turn: &mut Turn, id: &ExecutionId, action: &ActionExecutionId) -> Result {
    turn.attempt_mut(id, action)?.progress.summary = Some(CANCELED.to_owned());
    turn.end_action(id, action, ActionStatus::Failed, EventState::Canceled, None)
}
