//! One action execution from its start to its last word, one file per thing that can happen to it.

pub(crate) mod approval;
pub(crate) mod finished;
pub(crate) mod progressed;
pub(crate) mod record;
pub(crate) mod start;
pub(crate) mod timed_out;

use towpath_model::action::Progress;
use towpath_model::ids::{ActionExecutionId, ExecutionId};
use towpath_model::limits;
use towpath_model::state::{ActionAttempt, ActionStatus};

use crate::turn::Turn;

/// AWS's bounds on what a provider may tell.
const EXTERNAL_ID_CHARS_MAX: usize = 1500;
const URL_CHARS_MAX: usize = 2048;
const LOG_STREAM_CHARS_MAX: usize = 250;

/// The attempt an answer is about, if it is still open. Everything else is late, stale or a duplicate, and ignored.
pub(crate) fn open_attempt<'t>(
    turn: &'t Turn,
    execution: &ExecutionId,
    action: &ActionExecutionId,
) -> Option<&'t ActionAttempt> {
    let (_, _, attempt) = turn.find(execution)?.work_of(action)?;
    (attempt.status == ActionStatus::InProgress).then_some(attempt)
}

/// What is newly told replaces what was known; what is not told again stays. The provider's own memory between polls
/// is always the newest one.
pub(crate) fn merge(known: &mut Progress, told: &Progress) {
    let keep = |old: &mut Option<String>, new: &Option<String>, max: usize| {
        if let Some(new) = new {
            *old = Some(cut(new, max));
        }
    };
    keep(&mut known.external_id, &told.external_id, EXTERNAL_ID_CHARS_MAX);
    keep(&mut known.external_url, &told.external_url, URL_CHARS_MAX);
    keep(&mut known.summary, &told.summary, limits::SUMMARY_CHARS_MAX);
    keep(&mut known.log_stream_arn, &told.log_stream_arn, LOG_STREAM_CHARS_MAX);
    if let Some(percent) = told.percent {
        known.percent = Some(percent.min(100));
    }
    known.continuation.clone_from(&told.continuation);
}

/// The text, cut to a number of characters.
pub(crate) fn cut(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}
