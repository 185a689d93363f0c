//! The provider acknowledged the start or told of progress. No status changes, so history stays silent.

use towpath_model::action::Progress;
use towpath_model::ids::{ActionExecutionId, ExecutionId};

use crate::action::{merge, open_attempt};
use crate::step::Reply;
use crate::turn::{Result, Turn};

pub(crate) fn progressed(
    turn: &mut Turn,
    id: &ExecutionId,
    action: &ActionExecutionId,
    told: &Progress,
) -> Result<Reply> {
    let Some(attempt) = open_attempt(turn, id, action) else { return Ok(Reply::Nothing) };
    let mut known = attempt.progress.clone();
    merge(&mut known, told);
    if known == attempt.progress {
        // Nothing new was told, but the start was acknowledged: a decision without a change would mean that nobody
        // waits for the action any more.
        turn.execution_mut(id)?;
    } else {
        let now = turn.now;
        let attempt = turn.attempt_mut(id, action)?;
        attempt.progress = known;
        attempt.last_change = now;
    }
    Ok(Reply::Nothing)
}
