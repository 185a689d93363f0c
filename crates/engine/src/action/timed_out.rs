//! The action's deadline passed: it fails, and what still runs outside is told to stop.

use towpath_model::action::{ErrorDetails, Progress, error_code};
use towpath_model::effect::Effect;
use towpath_model::ids::{ActionExecutionId, ExecutionId};

use crate::action::{finished, open_attempt};
use crate::stage::progress;
use crate::step::Reply;
use crate::turn::{Result, Turn};

pub(crate) fn timed_out(
    turn: &mut Turn,
    id: &ExecutionId,
    action: &ActionExecutionId,
    unavailable: Option<&str>,
) -> Result<Reply> {
    let Some(attempt) = open_attempt(turn, id, action) else { return Ok(Reply::Nothing) };
    let minutes = (attempt.deadline.millis() - attempt.started.millis()) / 60_000;
    let why = unavailable.map_or_else(String::new, |why| format!(" Asked last, its service was not available: {why}"));
    let message = format!("The action did not complete within {minutes} minutes.{why}");
    let error = ErrorDetails::new(error_code::TIMED_OUT, message);
    // The continuation is the provider's memory; its stop needs it.
    let known = Progress { continuation: attempt.progress.continuation.clone(), ..Progress::default() };
    let stop = stop_effect(turn, id, action);
    finished::fail(turn, id, action, &known, &error)?;
    turn.effects.extend(stop);
    progress::advance(turn, id)?;
    Ok(Reply::Nothing)
}

/// Best effort: an action that was handed to a provider is told to stop. An approval has nothing outside to stop.
pub(crate) fn stop_effect(turn: &Turn, id: &ExecutionId, action: &ActionExecutionId) -> Option<Effect> {
    let attempt = open_attempt(turn, id, action)?;
    if attempt.token.is_some() {
        return None;
    }
    let invocation = Box::new(attempt.invocation.clone()?);
    Some(Effect::StopAction { invocation, progress: attempt.progress.clone() })
}
