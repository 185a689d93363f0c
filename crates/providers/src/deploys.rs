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

/// The same as CodePipeline words it of the services that run what is deployed: a missing permission names the service, and
/// everything else they refuse is about what they were asked for.
pub fn unable(call: &str, problem: &Problem, progress: Progress) -> Outcome {
    let error = format!("Error calling {call}: {}", problem.detail());
    // ECS calls a missing iam:PassRole a ClientException like any other.
    let is_denied = problem.kind == Kind::AccessDenied || problem.message.contains("is not authorized to perform");
    if is_denied && problem.kind != Kind::Transient {
        let service = problem.service.trim_start_matches("Amazon").trim_start_matches("AWS");
        let message = format!("The provided role does not have sufficient permissions to access {service}. {error}");
        return problem.outcome_with(progress, error_code::PERMISSION_ERROR, message);
    }
    problem.outcome_with(progress, error_code::CONFIGURATION_ERROR, error)
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
    fn a_service_that_cannot_be_called_is_named() {
        let said = |kind, code: &str, message: &str| {
            let problem = Problem { kind, code: code.to_owned(), ..Problem::broken("AmazonECS", message) };
            match unable("updateService", &problem, Progress::default()) {
                Outcome::Failed { error, .. } => (error.code, error.message),
                other => panic!("{other:?}"),
            }
        };
        let denied = "User: x is not authorized to perform: iam:PassRole";
        for (kind, code) in [(Kind::AccessDenied, "AccessDeniedException"), (Kind::Rejected, "ClientException")] {
            let text =
                "The provided role does not have sufficient permissions to access ECS. Error calling updateService: ";
            let (class, message) = said(kind, code, denied);
            assert_eq!(class, "PermissionError");
            assert_eq!(message, format!("{text}{denied} (Service: AmazonECS; Error Code: {code})"));
        }
        let (class, message) = said(Kind::Rejected, "ClientException", "Bad.");
        let text = "Error calling updateService: Bad. (Service: AmazonECS; Error Code: ClientException)";
        assert_eq!((class.as_str(), message.as_str()), ("ConfigurationError", text));
        let throttled =
            Problem { code: "ThrottlingException".to_owned(), ..Problem::broken("AmazonECS", "Rate exceeded") };
        let outcome = unable("updateService", &throttled, Progress::default());
        assert!(matches!(outcome, Outcome::Unavailable { .. }), "{outcome:?}");
    }

    #[test]
    fn what_is_remembered_is_recalled() {
        let progress = remember(Progress::default(), &vec![1, 2]);
        assert_eq!(recall::<Vec<u32>>(&progress), Some(vec![1, 2]));
        assert_eq!(recall::<Vec<u32>>(&Progress::default()), None);
        assert_eq!(recall::<u32>(&progress), None);
    }
}
