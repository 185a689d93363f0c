//! What the actions on stacks and those on stack sets have in common: how a call of theirs ends before its time.

use std::collections::BTreeMap;

use towpath_model::action::{Outcome, Progress, error_code};

use crate::problem::{Kind, Problem};

/// Why a call ends before its time.
pub enum Halt {
    Problem(Box<Problem>),
    Ended(Box<Outcome>),
}

impl From<Problem> for Halt {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<Box<Outcome>> for Halt {
    fn from(outcome: Box<Outcome>) -> Self {
        Self::Ended(outcome)
    }
}

pub type Answer = Result<Outcome, Halt>;

/// Codes on the wire end in `Exception` or do not, whatever the model calls them.
pub fn is_code(problem: &Problem, codes: &[&str]) -> bool {
    codes.iter().any(|code| problem.code.trim_end_matches("Exception") == *code)
}

/// The class of a refusal: what CloudFormation will not do whatever it is told, and what the user has to mend.
pub fn class_of(problem: &Problem) -> &'static str {
    match problem.kind {
        Kind::AccessDenied => error_code::PERMISSION_ERROR,
        Kind::Rejected if is_code(problem, &["InvalidChangeSetStatus", "InvalidOperation", "LimitExceeded"]) => {
            error_code::JOB_FAILED
        }
        Kind::NotFound | Kind::Rejected | Kind::Transient | Kind::Session => error_code::CONFIGURATION_ERROR,
    }
}

/// The end of an action, all of whose work is done.
pub fn succeeded(progress: Progress, variables: BTreeMap<String, String>) -> Outcome {
    let progress = Progress { percent: Some(100), ..progress };
    Outcome::Succeeded { progress, variables, revisions: Vec::new() }
}

/// How much of something is done. All of it is said by its success alone.
pub fn percent(done: usize, all: usize) -> Option<u8> {
    let part = done.saturating_mul(100).checked_div(all)?;
    u8::try_from(part.min(99)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_never_the_whole() {
        assert_eq!(percent(0, 0), None);
        assert_eq!(
            [percent(0, 3), percent(1, 3), percent(3, 3), percent(9, 3)],
            [Some(0), Some(33), Some(99), Some(99)]
        );
    }
}
