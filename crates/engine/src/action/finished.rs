//! The provider's last word. A stale one is ignored; an accepted one is recorded and then the stage is asked what
//! comes next. Nothing else moves a pipeline forward.

use std::collections::BTreeMap;

use towpath_model::action::{ErrorDetails, Outcome, Progress, Revision, error_code};
use towpath_model::history::EventState;
use towpath_model::ids::{ActionExecutionId, ExecutionId};
use towpath_model::limits;
use towpath_model::state::{ActionStatus, Work};

use crate::action::{cut, merge, open_attempt};
use crate::artifacts;
use crate::stage::progress;
use crate::step::Reply;
use crate::turn::{Result, Turn, declaration_of, internal};

pub(crate) fn finished(
    turn: &mut Turn,
    id: &ExecutionId,
    action: &ActionExecutionId,
    outcome: &Outcome,
) -> Result<Reply> {
    if open_attempt(turn, id, action).is_none() {
        return Ok(Reply::Nothing);
    }
    match outcome {
        Outcome::Succeeded { progress, variables, revisions } => {
            let bytes: usize = variables.iter().map(|(key, value)| key.len() + value.len()).sum();
            if bytes > limits::OUTPUT_VARIABLES_BYTES_MAX {
                let error = ErrorDetails::new(
                    error_code::CONFIGURATION_ERROR,
                    format!(
                        "The output variables of the action are {bytes} bytes long, which is more than the limit of {} bytes. \
                         Export fewer or shorter variables.",
                        limits::OUTPUT_VARIABLES_BYTES_MAX
                    ),
                );
                fail(turn, id, action, progress, &error)?;
            } else {
                succeed(turn, id, action, progress, variables, revisions)?;
            }
        }
        Outcome::Failed { progress, error } => fail(turn, id, action, progress, error)?,
        Outcome::Pending { .. } | Outcome::AwaitingCallback { .. } | Outcome::Unavailable { .. } => {
            return Err(internal(format!("action execution {action} has not finished: {outcome:?}")));
        }
    }
    progress::advance(turn, id)?;
    Ok(Reply::Nothing)
}

fn succeed(
    turn: &mut Turn,
    id: &ExecutionId,
    action: &ActionExecutionId,
    progress: &Progress,
    variables: &BTreeMap<String, String>,
    revisions: &[Revision],
) -> Result {
    let attempt = turn.attempt_mut(id, action)?;
    merge(&mut attempt.progress, progress);
    attempt.variables.clone_from(variables);
    if let Some(invocation) = &mut attempt.invocation {
        artifacts::trace(&mut invocation.output_artifacts, revisions);
    }
    let outputs = attempt.invocation.as_ref().map(|invocation| invocation.output_artifacts.clone()).unwrap_or_default();
    let definition = turn.definition_of(id)?;
    let (stage, work, _) =
        turn.execution(id)?.work_of(action).ok_or_else(|| internal(format!("{id} has no action {action}")))?;
    if let Work::Rule(..) = work {
        // A rule answers a question and makes nothing.
        return turn.end_action(id, action, ActionStatus::Succeeded, EventState::Succeeded, None);
    }
    let namespace = declaration_of(&definition, &stage.name, work)?.namespace.clone();
    let execution = turn.execution_mut(id)?;
    if let Some(namespace) = namespace {
        execution.outputs.insert(namespace.into_string(), variables.clone());
    }
    for output in outputs {
        execution.artifacts.insert(output.name.clone(), output);
    }
    for revision in revisions {
        execution.revisions.retain(|known| known.artifact != revision.artifact);
        execution.revisions.push(revision.clone());
    }
    turn.end_action(id, action, ActionStatus::Succeeded, EventState::Succeeded, None)
}

/// Also what a timeout does, with its own words.
pub(crate) fn fail(
    turn: &mut Turn,
    id: &ExecutionId,
    action: &ActionExecutionId,
    progress: &Progress,
    error: &ErrorDetails,
) -> Result {
    let error =
        ErrorDetails { code: error.code.clone(), message: cut(&error.message, limits::ERROR_MESSAGE_CHARS_MAX) };
    let attempt = turn.attempt_mut(id, action)?;
    merge(&mut attempt.progress, progress);
    attempt.error = Some(error.clone());
    turn.end_action(id, action, ActionStatus::Failed, EventState::Failed, Some(error))
}
