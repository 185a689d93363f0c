//! Which status may follow which: the one table that every status change passes (executions.md section 2).
//! It must never grow a wildcard: a new status has to be weighed against every other.

use towpath_model::state::{ActionStatus, ConditionStatus, ExecutionStatus, StageStatus};

/// One status change, of whatever it is that changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Execution(ExecutionStatus, ExecutionStatus),
    Stage(StageStatus, StageStatus),
    Action(ActionStatus, ActionStatus),
    Condition(ConditionStatus, ConditionStatus),
}

/// A status change that must never happen: a fault of the engine, not of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("illegal status change {0:?}; please report this as a bug of Towpath")]
pub struct IllegalChange(pub Change);

pub fn check(change: Change) -> Result<(), IllegalChange> {
    if is_legal(change) { Ok(()) } else { Err(IllegalChange(change)) }
}

pub const fn is_legal(change: Change) -> bool {
    use ActionStatus as A;
    use ConditionStatus as C;
    use ExecutionStatus as E;
    use StageStatus as S;
    match change {
        Change::Execution(
            E::InProgress,
            E::Succeeded | E::Failed | E::Stopping | E::Superseded | E::Cancelled,
        )
        // A second stop, with abandon, keeps it Stopping.
        | Change::Execution(E::Stopping, E::Stopped | E::Stopping)
        // Retry.
        | Change::Execution(E::Failed | E::Stopped, E::InProgress)
        | Change::Stage(
            S::InProgress,
            S::Succeeded | S::Failed | S::Stopping | S::Cancelled | S::Skipped,
        )
        | Change::Stage(S::Stopping, S::Stopped | S::Stopping)
        // Retry.
        | Change::Stage(S::Failed | S::Stopped, S::InProgress)
        // A success condition with result FAIL.
        | Change::Stage(S::Succeeded, S::Failed)
        | Change::Action(A::InProgress, A::Succeeded | A::Failed | A::Abandoned)
        | Change::Condition(
            C::InProgress,
            C::Succeeded | C::Failed | C::Errored | C::Cancelled | C::Abandoned | C::Overridden,
        )
        // An override after the condition held the execution back.
        | Change::Condition(C::Failed | C::Errored, C::Overridden) => true,

        Change::Execution(E::InProgress, E::InProgress | E::Stopped)
        | Change::Execution(
            E::Stopping,
            E::InProgress | E::Succeeded | E::Failed | E::Superseded | E::Cancelled,
        )
        | Change::Execution(
            E::Failed | E::Stopped,
            E::Stopping | E::Stopped | E::Succeeded | E::Failed | E::Superseded | E::Cancelled,
        )
        | Change::Execution(
            E::Succeeded | E::Superseded | E::Cancelled,
            E::InProgress
            | E::Stopping
            | E::Stopped
            | E::Succeeded
            | E::Failed
            | E::Superseded
            | E::Cancelled,
        )
        | Change::Stage(S::InProgress, S::InProgress | S::Stopped)
        | Change::Stage(
            S::Stopping,
            S::InProgress | S::Succeeded | S::Failed | S::Cancelled | S::Skipped,
        )
        | Change::Stage(
            S::Failed | S::Stopped,
            S::Stopping | S::Stopped | S::Succeeded | S::Failed | S::Cancelled | S::Skipped,
        )
        | Change::Stage(
            S::Succeeded,
            S::InProgress | S::Stopping | S::Stopped | S::Succeeded | S::Cancelled | S::Skipped,
        )
        | Change::Stage(
            S::Cancelled | S::Skipped,
            S::InProgress
            | S::Stopping
            | S::Stopped
            | S::Succeeded
            | S::Failed
            | S::Cancelled
            | S::Skipped,
        )
        | Change::Condition(C::InProgress, C::InProgress)
        | Change::Condition(
            C::Failed | C::Errored,
            C::InProgress | C::Succeeded | C::Failed | C::Errored | C::Cancelled | C::Abandoned,
        )
        | Change::Condition(
            C::Succeeded | C::Cancelled | C::Abandoned | C::Overridden,
            C::InProgress
            | C::Succeeded
            | C::Failed
            | C::Errored
            | C::Cancelled
            | C::Abandoned
            | C::Overridden,
        )
        | Change::Action(A::InProgress, A::InProgress)
        | Change::Action(
            A::Succeeded | A::Failed | A::Abandoned,
            A::InProgress | A::Succeeded | A::Failed | A::Abandoned,
        ) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_statuses_stay() {
        for to in [ExecutionStatus::InProgress, ExecutionStatus::Failed, ExecutionStatus::Stopped] {
            for from in [ExecutionStatus::Succeeded, ExecutionStatus::Superseded, ExecutionStatus::Cancelled] {
                assert!(!is_legal(Change::Execution(from, to)), "{from:?} -> {to:?}");
            }
        }
    }

    #[test]
    fn stop_passes_through_stopping() {
        assert!(!is_legal(Change::Execution(ExecutionStatus::InProgress, ExecutionStatus::Stopped)));
        assert!(is_legal(Change::Execution(ExecutionStatus::InProgress, ExecutionStatus::Stopping)));
        assert!(is_legal(Change::Execution(ExecutionStatus::Stopping, ExecutionStatus::Stopped)));
    }

    #[test]
    fn an_illegal_change_names_both_statuses() {
        let error = check(Change::Action(ActionStatus::Failed, ActionStatus::Succeeded)).unwrap_err();
        assert!(error.to_string().contains("Action(Failed, Succeeded)"), "{error}");
    }
}
