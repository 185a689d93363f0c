//! The error that goes back to a client: an AWS code, a text, a status. Here are also the errors that every service can answer,
//! each with the code that its protocol gives it. What a code means for a pipeline is decided elsewhere.

use std::borrow::Cow;

use crate::schema::{Protocol, Service};

/// Which family of front ends answers. It decides the spelling and the status of the errors that all services share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// JSON 1.1: CodePipeline, CodeBuild, Logs, KMS.
    Json,
    /// REST with JSON bodies: Lambda.
    Rest,
    /// Query: IAM, STS, SNS.
    Query,
    S3,
}

impl Dialect {
    /// The dialect of a service name in a credential scope.
    pub fn of(service: &str) -> Self {
        match service {
            "s3" => Self::S3,
            "iam" | "sts" | "sns" => Self::Query,
            "lambda" => Self::Rest,
            _ => Self::Json,
        }
    }

    const fn pick<T: Copy>(self, json: T, query: T, s3: T) -> T {
        match self {
            Self::Json | Self::Rest => json,
            Self::Query => query,
            Self::S3 => s3,
        }
    }
}

/// An error as a client sees it. `message` is for the caller; nothing internal belongs in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct WireError {
    pub code: Cow<'static, str>,
    pub message: String,
    pub status: u16,
    /// Further members of the error's body, in order.
    pub extra: Vec<(&'static str, String)>,
}

impl WireError {
    pub fn new(code: impl Into<Cow<'static, str>>, status: u16, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), status, extra: Vec::new() }
    }

    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.extra.push((name, value.into()));
        self
    }

    /// An error of the service's model, with the status that the model gives it.
    pub fn modeled(service: &Service, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let code = code.into();
        let status = service.status_of(&code);
        Self::new(code, status, message)
    }

    /// A request that breaks a constraint, under the code that the service uses for that.
    pub fn validation(service: &Service, message: impl Into<String>) -> Self {
        Self::new(service.validation_code, 400, message)
    }

    /// A body that cannot be read as the operation's input.
    pub fn serialization(message: impl Into<String>) -> Self {
        Self::new("SerializationException", 400, message)
    }

    /// A JSON request whose target is missing or names nothing. The live front ends answer without a message.
    pub fn unknown_operation() -> Self {
        Self::new("UnknownOperationException", 400, "")
    }

    /// A JSON request that does not say that it is one.
    pub fn unknown_content_type(found: Option<&str>) -> Self {
        let found = found.map_or_else(|| "is missing".to_owned(), |found| format!("is '{found}'"));
        let message = format!("The Content-Type {found}; it must be application/x-amz-json-1.1.");
        Self::new("UnknownOperationException", 400, message)
    }

    /// A Query request for an action that the service does not have.
    pub fn invalid_action(action: &str, version: &str) -> Self {
        Self::new("InvalidAction", 400, format!("Could not find operation {action} for version {version}"))
    }

    /// A Query request that names no action.
    pub fn missing_action() -> Self {
        Self::new("MissingAction", 400, "The request is missing an action parameter: Action is required.")
    }

    /// A Query parameter that does not have the form that its member needs.
    pub fn malformed_input(message: impl Into<String>) -> Self {
        Self::new("MalformedInput", 400, message)
    }

    pub fn missing_authentication(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Json => Self::new("MissingAuthenticationTokenException", 400, "Missing Authentication Token"),
            Dialect::Rest => Self::new("MissingAuthenticationTokenException", 403, "Missing Authentication Token"),
            Dialect::Query => Self::new("MissingAuthenticationToken", 403, "Request is missing Authentication Token"),
            Dialect::S3 => Self::new("AccessDenied", 403, "Access Denied"),
        }
    }

    /// An access key that is unknown, deleted or inactive.
    pub fn unknown_access_key(dialect: Dialect, access_key: &str) -> Self {
        match dialect {
            Dialect::Json => Self::new("UnrecognizedClientException", 400, INVALID_TOKEN),
            Dialect::Rest => Self::new("UnrecognizedClientException", 403, INVALID_TOKEN),
            Dialect::Query => Self::new("InvalidClientTokenId", 403, INVALID_TOKEN),
            Dialect::S3 => {
                let message = "The AWS Access Key Id you provided does not exist in our records.";
                Self::new("InvalidAccessKeyId", 403, message).with("AWSAccessKeyId", access_key)
            }
        }
    }

    /// A session token that is missing, does not belong to the key, or cannot be read.
    pub fn invalid_token(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Json => Self::new("UnrecognizedClientException", 400, INVALID_TOKEN),
            Dialect::Rest => Self::new("UnrecognizedClientException", 403, INVALID_TOKEN),
            Dialect::Query => Self::new("InvalidClientTokenId", 403, INVALID_TOKEN),
            Dialect::S3 => Self::new("InvalidToken", 400, "The provided token is malformed or otherwise invalid."),
        }
    }

    pub fn expired_token(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Json => Self::new("ExpiredTokenException", 400, EXPIRED_TOKEN),
            Dialect::Rest => Self::new("ExpiredTokenException", 403, EXPIRED_TOKEN),
            Dialect::Query => Self::new("ExpiredToken", 403, EXPIRED_TOKEN),
            Dialect::S3 => Self::new("ExpiredToken", 400, "The provided token has expired."),
        }
    }

    /// A policy says no. `message` is the sentence of the policy evaluation; S3 has its own.
    pub fn access_denied(dialect: Dialect, message: impl Into<String>) -> Self {
        let (code, status) = dialect.pick(("AccessDeniedException", 400), ("AccessDenied", 403), ("AccessDenied", 403));
        let status = if dialect == Dialect::Rest { 403 } else { status };
        Self::new(code, status, message)
    }

    pub fn throttling(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Json => Self::new("ThrottlingException", 400, "Rate exceeded"),
            Dialect::Rest => Self::new("TooManyRequestsException", 429, "Rate exceeded"),
            Dialect::Query => Self::new("Throttling", 400, "Rate exceeded"),
            Dialect::S3 => Self::new("SlowDown", 503, "Please reduce your request rate."),
        }
    }

    pub fn request_too_large(dialect: Dialect) -> Self {
        let code = dialect.pick("RequestEntityTooLargeException", "RequestEntityTooLarge", "EntityTooLarge");
        Self::new(code, 413, "The request payload exceeds the maximum allowed size.")
    }

    pub fn request_timeout(dialect: Dialect) -> Self {
        let code = dialect.pick("RequestTimeoutException", "RequestTimeout", "RequestTimeout");
        Self::new(code, 408, "The request was not received in full within the allowed time.")
    }

    /// Bytes that are no HTTP request of this protocol.
    pub fn malformed_http(dialect: Dialect, message: impl Into<String>) -> Self {
        let code = dialect.pick("MalformedHttpRequestException", "MalformedHttpRequest", "InvalidRequest");
        Self::new(code, 400, message)
    }

    /// A fault of ours. The cause goes to the log, never into the answer.
    pub fn internal(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Rest => {
                Self::new("ServiceException", 500, "An error occurred and the request cannot be processed.")
            }
            Dialect::Json | Dialect::Query => Self::new(
                "InternalFailure",
                500,
                "The request processing has failed because of an unknown error, exception or failure.",
            ),
            Dialect::S3 => Self::new("InternalError", 500, "We encountered an internal error. Please try again."),
        }
    }

    /// The server has no room to write down what was asked for. AWS has no word for it; the code is the one of a fault of
    /// ours, the status one that SDKs do not repeat at once, and the message is for whoever runs the server.
    pub fn disk_full(dialect: Dialect) -> Self {
        let message = "No space left on the disk that holds the server's data: nothing was written and nothing is lost. \
                       Free some space there and repeat the request.";
        Self { message: message.to_owned(), status: 507, ..Self::internal(dialect) }
    }

    pub fn unavailable(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Json | Dialect::Query | Dialect::Rest => {
                Self::new("ServiceUnavailable", 503, "The request has failed due to a temporary failure of the server.")
            }
            Dialect::S3 => Self::new("ServiceUnavailable", 503, "Service is unable to handle request."),
        }
    }

    /// Whether the fault is the caller's, as Query answers say in `Type`.
    pub fn is_sender_fault(&self) -> bool {
        self.status < 500
    }
}

const INVALID_TOKEN: &str = "The security token included in the request is invalid.";
const EXPIRED_TOKEN: &str = "The security token included in the request is expired";

impl Service {
    pub fn dialect(&self) -> Dialect {
        match self.protocol {
            Protocol::Json10 { .. } | Protocol::Json11 { .. } => Dialect::Json,
            Protocol::Query { .. } => Dialect::Query,
            Protocol::RestJson { .. } => Dialect::Rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Dialect, WireError};
    use crate::{codepipeline, iam};

    #[test]
    fn a_modeled_error_has_the_status_of_its_model() {
        let error = WireError::modeled(&iam::SERVICE, "NoSuchEntity", "The role with name x cannot be found.");
        assert_eq!((error.status, error.is_sender_fault()), (404, true));
        let error = WireError::modeled(&codepipeline::SERVICE, "PipelineNotFoundException", "gone");
        assert_eq!(error.status, 400);
        assert_eq!(WireError::modeled(&iam::SERVICE, "ServiceFailure", "").status, 500);
    }

    #[test]
    fn a_full_disk_is_a_fault_of_ours_that_says_what_to_do() {
        let error = WireError::disk_full(Dialect::Json);
        assert_eq!((error.code.as_ref(), error.status), ("InternalFailure", 507));
        assert!(error.message.contains("Free some space"), "{error}");
    }

    #[test]
    fn one_fault_has_the_code_of_its_dialect() {
        let codes = |dialect| WireError::unknown_access_key(dialect, "AKID").code.into_owned();
        assert_eq!(codes(Dialect::of("codepipeline")), "UnrecognizedClientException");
        assert_eq!(codes(Dialect::of("sts")), "InvalidClientTokenId");
        assert_eq!(codes(Dialect::of("s3")), "InvalidAccessKeyId");
    }
}
