//! What deploy and test providers of several steps have in common: reading settings, keeping in mind between polls how far
//! they are, and what a refused call means. Knows no service.

use serde::Serialize;
use serde::de::DeserializeOwned;
use towpath_model::action::{ActionInvocation, ArtifactLocation, ErrorDetails, Outcome, Progress, error_code};
use towpath_model::limits::ERROR_MESSAGE_CHARS_MAX;

use crate::problem::{Kind, Problem};

/// Codes by which services say that what they were asked for is wrong, beside those that speak of something missing.
const INPUT: &[&str] = &["ArgumentException", "BadRequestException", "InvalidParameter", "Validation"];

/// A setting that is there and not empty.
pub fn given<'a>(action: &'a ActionInvocation, key: &str) -> Option<&'a str> {
    action.config(key).filter(|value| !value.trim().is_empty())
}

/// A setting without which there is nothing to do.
pub fn needed<'a>(action: &'a ActionInvocation, key: &str) -> Result<&'a str, String> {
    given(action, key).ok_or_else(|| format!("The configuration of action {} lacks {key}.", action.action_name))
}

pub fn one_input(action: &ActionInvocation) -> Result<&ArtifactLocation, String> {
    match action.input_artifacts.as_slice() {
        [artifact] => Ok(artifact),
        _ => Err(format!("Action {} must have exactly one input artifact.", action.action_name)),
    }
}

pub fn misconfigured(message: impl Into<String>) -> Outcome {
    failed(Progress::default(), error_code::CONFIGURATION_ERROR, message)
}

/// The end of an action, with the message as its summary too.
pub fn failed(progress: Progress, code: &str, message: impl Into<String>) -> Outcome {
    let message: String = message.into().chars().take(ERROR_MESSAGE_CHARS_MAX).collect();
    let progress = Progress { summary: Some(message.clone()), ..progress };
    Outcome::Failed { progress, error: ErrorDetails::new(code, message) }
}

/// What a refused call means for the action: `call` is the operation, as AWS's Java SDK writes it.
pub fn refused(progress: Progress, call: &str, problem: &Problem) -> Outcome {
    let message = format!("Error calling {call}: {}", problem.detail());
    problem.outcome_with(progress, code_of(problem), message)
}

/// The class of a refusal: what the user has to mend, and where.
pub fn code_of(problem: &Problem) -> &'static str {
    match problem.kind {
        Kind::AccessDenied => error_code::PERMISSION_ERROR,
        Kind::NotFound => error_code::CONFIGURATION_ERROR,
        Kind::Rejected if is_input(&problem.code) => error_code::CONFIGURATION_ERROR,
        Kind::Rejected | Kind::Transient | Kind::Session => error_code::JOB_FAILED,
    }
}

fn is_input(code: &str) -> bool {
    let code = code.rsplit('#').next().unwrap_or(code);
    INPUT.iter().any(|begin| code.starts_with(begin)) || code.contains("DoesNotExist")
}

/// With what the provider has to know at its next poll.
pub fn remember<T: Serialize>(progress: Progress, memory: &T) -> Progress {
    // Memories are plain structures of texts and numbers, which always become JSON.
    Progress { continuation: serde_json::to_string(memory).ok(), ..progress }
}

/// None where nothing was stored: the start's answer was lost, or it never came to one.
pub fn recall<T: DeserializeOwned>(progress: &Progress) -> Option<T> {
    serde_json::from_str(progress.continuation.as_deref()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: Kind, code: &str) -> Problem {
        Problem { kind, code: code.to_owned(), ..Problem::broken("Service", "text") }
    }

    #[test]
    fn refusals_are_told_apart() {
        for (kind, code, class) in [
            (Kind::AccessDenied, "AccessDeniedException", "PermissionError"),
            (Kind::NotFound, "ResourceNotFoundException", "ConfigurationError"),
            (Kind::Rejected, "InvalidParameterValueException", "ConfigurationError"),
            (Kind::Rejected, "ns#ValidationError", "ConfigurationError"),
            (Kind::Rejected, "ApplicationDoesNotExistException", "ConfigurationError"),
            (Kind::Rejected, "CodeStorageExceededException", "JobFailed"),
        ] {
            assert_eq!(code_of(&problem(kind, code)), class, "{code}");
        }
    }

    #[test]
    fn what_is_remembered_is_recalled() {
        let progress = remember(Progress::default(), &vec![1, 2]);
        assert_eq!(recall::<Vec<u32>>(&progress), Some(vec![1, 2]));
        assert_eq!(recall::<Vec<u32>>(&Progress::default()), None);
        assert_eq!(recall::<u32>(&progress), None);
    }
}
