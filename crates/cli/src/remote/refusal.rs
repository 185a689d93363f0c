//! What went wrong between the command and the API, with what the user can do about it.

use super::{Place, Remote};
use crate::client::failure;
use crate::document::shape::did_you_mean;
use crate::errors::ExpectedError;
use crate::host::ApiError;
use crate::limits;

/// The API's error as it is told: with its code, unless the API never got to speak.
#[derive(Debug, thiserror::Error)]
pub struct Refusal(pub ApiError);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ApiError { code, message } = &self.0;
        let own = [failure::UNREACHABLE, failure::NO_CREDENTIALS, failure::UNREADABLE].contains(&code.as_str());
        match (own, message.as_str()) {
            (true, message) => f.write_str(message),
            (false, "") => f.write_str(code),
            (false, message) => write!(f, "{code}: {message}"),
        }
    }
}

/// Whether the user named something that is not there, or wrote something that AWS does not take.
fn is_usage(code: &str) -> bool {
    code.ends_with("NotFoundException") || code == "ValidationException" || code == failure::NO_CREDENTIALS
}

pub async fn explained(remote: &Remote<'_>, doing: &str, pipeline: Option<&str>, error: ApiError) -> ExpectedError {
    let hint = match (error.code.as_str(), pipeline) {
        ("PipelineNotFoundException", Some(name)) => Some(missing(remote, name).await),
        ("PipelineExecutionNotFoundException", Some(name)) => {
            Some(format!("`{}` lists the executions", remote.place.command(&["history", name])))
        }
        _ => hint(&error, &remote.place),
    };
    refused(doing, error, hint)
}

pub fn refused(doing: &str, error: ApiError, hint: Option<String>) -> ExpectedError {
    let usage = is_usage(&error.code);
    ExpectedError::Refused { doing: doing.to_owned(), source: Refusal(error), hint, usage }
}

/// What can be done about an error that says enough by its code.
pub fn hint(error: &ApiError, place: &Place) -> Option<String> {
    let text = match error.code.as_str() {
        failure::UNREACHABLE if place.local => {
            "start a server with `towpath serve`, or name another with --endpoint-url (`aws` is AWS itself)"
        }
        failure::UNREACHABLE => "check --endpoint-url and the network",
        failure::UNREADABLE => "something else may be listening there: check --endpoint-url",
        failure::NO_CREDENTIALS if place.local => {
            "name the server's data directory with --data-dir, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        }
        failure::NO_CREDENTIALS => "name a profile with --profile, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignatureException"
            if place.local =>
        {
            "the server does not know this key: name its data directory with --data-dir to use the one it wrote"
        }
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch" => "these credentials are not known there: name others with --profile",
        "ExpiredTokenException" | "ExpiredToken" => "the session has ended: sign in again",
        "AccessDeniedException" | "AccessDenied" => "the user or role that signs needs this permission",
        "ThrottlingException" | "TooManyRequestsException" => "wait a little and try again",
        "ConcurrentPipelineExecutionsLimitExceededException" => "wait for an execution to end, or stop one",
        "UnknownOperationException" => "the server is older than this command",
        _ => return None,
    };
    Some(text.to_owned())
}

/// A name that is not there: the nearest that is.
async fn missing(remote: &Remote<'_>, name: &str) -> String {
    let input = serde_json::json!({"maxResults": limits::PAGE_ITEMS});
    let listed = remote.api.call("codepipeline", "ListPipelines", input).await.unwrap_or_default();
    let names: Vec<&str> = super::shape::list(&listed["pipelines"]).filter_map(|p| p["name"].as_str()).collect();
    let region = &remote.place.region;
    match did_you_mean(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => format!("there is no pipeline in {region}"),
        None => format!("`{}` shows the pipelines in {region}", remote.place.command(&["list"])),
    }
}
