//! The one classifier of failed AWS calls: what is transient, what is a missing permission, what is missing, and what
//! the service simply refused. Providers decide over [`Kind`], never over an SDK's error types.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use towpath_model::action::{ErrorDetails, Outcome, Progress, error_code};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Throttled, overloaded, unreachable, timed out: ask again later.
    Transient,
    /// The role session is not accepted any more: open a new one and ask again.
    Session,
    AccessDenied,
    NotFound,
    /// The service understood and said no.
    Rejected,
}

/// A failed call, in AWS's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub kind: Kind,
    /// As AWS names it in its messages: `Amazon S3`, `AWSCodeBuild`, `AWSSecurityTokenService`.
    pub service: &'static str,
    pub code: String,
    pub message: String,
    pub status: u16,
    pub request_id: Option<String>,
    /// Set where the call was AssumeRole: who could not assume which role, whatever the provider was about to do.
    pub assuming: Option<String>,
}

const THROTTLING: &[&str] = &[
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    LIMIT_EXCEEDED,
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "TransactionInProgressException",
];
/// Throttling of most services, and a quota of these: no time helps against it.
const LIMIT_EXCEEDED: &str = "LimitExceededException";
const WITH_QUOTAS: &[&str] = &["AmazonCloudFormation", "AmazonECR", "AmazonECS", "AWSDeviceFarm", "AWSServiceCatalog"];
const TRANSIENT: &[&str] =
    &["InternalError", "InternalFailure", "RequestTimeout", "RequestTimeoutException", "ServiceUnavailable"];
const SESSION: &[&str] = &[
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "RequestExpired",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
];
const ACCESS: &[&str] =
    &["AccessDenied", "AccessDeniedException", "AuthorizationError", "Forbidden", "UnauthorizedOperation"];

impl Problem {
    /// Classifies a failed SDK call; the SDK has already repeated what may be repeated.
    pub fn of<E>(service: &'static str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let (status, header_id) = error.raw_response().map_or((0, None), |r| {
            let id = ["x-amzn-requestid", "x-amz-request-id"].iter().find_map(|name| r.headers().get(*name));
            (r.status().as_u16(), id.map(ToOwned::to_owned))
        });
        if let SdkError::ServiceError(context) = error {
            let meta = context.err().meta();
            let code = meta.code().map_or_else(|| code_of_status(status), ToOwned::to_owned);
            let message = meta.message().map_or_else(|| text_of_status(status, &code), ToOwned::to_owned);
            return Self {
                kind: classify(service, &code, status),
                service,
                code,
                message,
                status,
                request_id: header_id,
                assuming: None,
            };
        }
        // Nothing that AWS said: the request was not built, not delivered or not answered in full.
        let kind = if matches!(error, SdkError::ConstructionFailure(_)) { Kind::Rejected } else { Kind::Transient };
        Self {
            kind,
            service,
            code: "ClientError".to_owned(),
            message: chain(error),
            status,
            request_id: header_id,
            assuming: None,
        }
    }

    /// Nobody was asked: Towpath itself says no.
    pub fn refused(message: impl Into<String>) -> Self {
        Self { kind: Kind::Rejected, ..Self::broken("Towpath", message) }
    }

    /// The exchange itself broke: an answer that stops early or lacks what it must have.
    pub fn broken(service: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Transient,
            service,
            code: "ClientError".to_owned(),
            message: message.into(),
            status: 0,
            request_id: None,
            assuming: None,
        }
    }

    /// There is nobody to call as: what the profile of a realm needs was not to be had.
    pub(crate) fn without_credentials(realm: &str, why: impl Into<String>) -> Self {
        Self {
            kind: Kind::AccessDenied,
            assuming: Some(format!("The realm {realm} has no credentials")),
            ..Self::broken("Towpath", why)
        }
    }

    #[must_use]
    pub(crate) fn assuming(self, who: &str, role: &str) -> Self {
        Self { assuming: Some(format!("{who} is not authorized to perform AssumeRole on role {role}")), ..self }
    }

    /// AWS's own form: `Access Denied (Service: Amazon S3; Status Code: 403; Error Code: AccessDenied; Request ID: X)`.
    pub fn detail(&self) -> String {
        let Self { service, code, message, status, .. } = self;
        if *status == 0 {
            return format!("{message} (Service: {service}; Error Code: {code})");
        }
        let id = self.request_id.as_deref().unwrap_or("null");
        format!("{message} (Service: {service}; Status Code: {status}; Error Code: {code}; Request ID: {id})")
    }

    /// Ours to repeat, or the user's to mend under `code` with `message`.
    pub fn outcome(&self, code: &str, message: impl Into<String>) -> Outcome {
        self.outcome_with(Progress::default(), code, message)
    }

    pub fn outcome_with(&self, progress: Progress, code: &str, message: impl Into<String>) -> Outcome {
        match self.kind {
            Kind::Transient | Kind::Session => Outcome::Unavailable { message: self.detail() },
            Kind::AccessDenied | Kind::NotFound | Kind::Rejected => {
                let (code, message) = match &self.assuming {
                    Some(role) => (error_code::PERMISSION_ERROR, format!("{role}. {}", self.detail())),
                    None => (code, message.into()),
                };
                let progress = Progress { summary: Some(message.clone()), ..progress };
                Outcome::Failed { progress, error: ErrorDetails::new(code, message) }
            }
        }
    }
}

fn classify(service: &str, code: &str, status: u16) -> Kind {
    // A code may carry its Smithy namespace.
    let code = code.rsplit('#').next().unwrap_or(code);
    if code == LIMIT_EXCEEDED && WITH_QUOTAS.contains(&service) {
        Kind::Rejected
    } else if THROTTLING.contains(&code) || TRANSIENT.contains(&code) || status >= 500 || status == 429 {
        Kind::Transient
    } else if SESSION.contains(&code) {
        Kind::Session
    } else if ACCESS.contains(&code) || status == 403 {
        Kind::AccessDenied
    } else if status == 404 || code.starts_with("NoSuch") || code.contains("NotFound") {
        Kind::NotFound
    } else {
        Kind::Rejected
    }
}

/// HEAD answers have no body, hence no code.
fn code_of_status(status: u16) -> String {
    match status {
        403 => "AccessDenied".to_owned(),
        404 => "NotFound".to_owned(),
        301 => "PermanentRedirect".to_owned(),
        429 | 503 => "ServiceUnavailable".to_owned(),
        _ => format!("HTTP{status}"),
    }
}

fn text_of_status(status: u16, code: &str) -> String {
    match status {
        403 => "Access Denied".to_owned(),
        404 => "Not Found".to_owned(),
        _ => code.to_owned(),
    }
}

/// The whole chain of causes on one line; an SDK's outermost text alone says "dispatch failure".
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_statuses_have_one_reading() {
        for (code, status, kind) in [
            ("ThrottlingException", 400, Kind::Transient),
            ("SlowDown", 503, Kind::Transient),
            ("Whatever", 500, Kind::Transient),
            ("ExpiredToken", 400, Kind::Session),
            ("InvalidClientTokenId", 403, Kind::Session),
            ("AccessDenied", 403, Kind::AccessDenied),
            ("AccessDeniedException", 400, Kind::AccessDenied),
            ("SignatureDoesNotMatch", 403, Kind::AccessDenied),
            ("NoSuchKey", 404, Kind::NotFound),
            ("com.amazonaws.codebuild#ResourceNotFoundException", 400, Kind::NotFound),
            ("InvalidInputException", 400, Kind::Rejected),
            ("AccountLimitExceededException", 400, Kind::Rejected),
        ] {
            assert_eq!(classify("AWSCodeBuild", code, status), kind, "{code} {status}");
        }
    }

    #[test]
    fn a_quota_is_no_throttling() {
        for service in WITH_QUOTAS {
            assert_eq!(classify(service, "LimitExceededException", 400), Kind::Rejected, "{service}");
            assert_eq!(classify(service, "ThrottlingException", 400), Kind::Transient, "{service}");
        }
        assert_eq!(classify("AWSCodePipeline", "LimitExceededException", 400), Kind::Transient);
    }

    #[test]
    fn details_read_as_the_java_sdk_wrote_them() {
        let problem = Problem {
            kind: Kind::AccessDenied,
            service: "Amazon S3",
            code: "AccessDenied".to_owned(),
            message: "Access Denied".to_owned(),
            status: 403,
            request_id: Some("R1".to_owned()),
            assuming: None,
        };
        assert_eq!(
            problem.detail(),
            "Access Denied (Service: Amazon S3; Status Code: 403; Error Code: AccessDenied; Request ID: R1)"
        );
    }
}
