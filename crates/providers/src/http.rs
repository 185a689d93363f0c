//! Plain HTTP requests, for what is no API of an SDK: places that a service has signed in advance, and APIs of others. They
//! go through the HTTP client of a realm, are repeated as the SDKs repeat theirs, and what they answer is bounded. Never
//! logs a request: addresses and headers may hold secrets.

use std::collections::BTreeMap;
use std::mem;

use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime_api::client::interceptors::context::{Error, Output};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::ser_de::DeserializeResponse;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::timeout::TimeoutConfig;
use http_body_util::{BodyExt as _, Limited};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

use crate::limits;
use crate::problem::{Kind, Problem, chain};
use crate::realm::Realm;

/// What is escaped in one part of a path, and in a path whose parts stay apart.
pub const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
pub const PATH: &AsciiSet = &SEGMENT.remove(b'/');

/// Statuses that a later try may not get.
const BUSY: [u16; 5] = [429, 500, 502, 503, 504];

/// One request. The body must be one that can be sent again.
pub struct Ask<'a> {
    pub method: &'static str,
    pub url: &'a str,
    pub headers: Vec<(&'static str, String)>,
    pub body: SdkBody,
}

/// An answer that is final, a good one or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// By name in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What a refusal means, in the peer's own words as far as they are few.
    pub fn problem(&self, service: &'static str) -> Problem {
        let text = String::from_utf8_lossy(&self.body);
        let text: String = text.trim().chars().take(limits::REFUSAL_CHARS_MAX).collect();
        let id = ["x-amzn-requestid", "x-amz-request-id"].iter().find_map(|name| self.headers.get(*name)).cloned();
        Problem {
            kind: match self.status {
                401 | 403 => Kind::AccessDenied,
                404 => Kind::NotFound,
                _ => Kind::Rejected,
            },
            service,
            code: format!("HTTP{}", self.status),
            message: if text.is_empty() { format!("HTTP status {}", self.status) } else { text },
            status: self.status,
            request_id: id,
            assuming: None,
        }
    }
}

/// What is read of a response before its body.
#[derive(Debug)]
struct Begun {
    status: u16,
    headers: BTreeMap<String, String>,
    body: SdkBody,
}

#[derive(Debug, thiserror::Error)]
#[error("HTTP status {0}")]
struct Busy(u16);

#[derive(Debug)]
struct Reader;

impl DeserializeResponse for Reader {
    fn deserialize_streaming_with_config(
        &self,
        response: &mut HttpResponse,
        _: &ConfigBag,
    ) -> Option<Result<Output, OrchestratorError<Error>>> {
        let status = response.status().as_u16();
        if status >= 500 || BUSY.contains(&status) {
            return Some(Err(OrchestratorError::operation(Error::erase(Busy(status)))));
        }
        let headers = response.headers().iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        let headers = headers.collect();
        let body = mem::replace(response.body_mut(), SdkBody::taken());
        Some(Ok(Output::erase(Begun { status, headers, body })))
    }

    fn deserialize_nonstreaming_with_config(
        &self,
        response: &HttpResponse,
        _: &ConfigBag,
    ) -> Result<Output, OrchestratorError<Error>> {
        // Every answer is taken above, before its body is read.
        Err(OrchestratorError::operation(Error::erase(Busy(response.status().as_u16()))))
    }
}

/// Sends a request of `service`, a name for messages. Only what may pass by itself is an error: everything else was
/// answered.
pub async fn send(realm: &Realm, service: &'static str, ask: Ask<'_>) -> Result<Answer, Problem> {
    let wrong = |why: String| Problem { kind: Kind::Rejected, ..Problem::broken(service, why) };
    // The path begins at the first slash behind the host's name.
    let host = ask.url.find("://").map(|at| at + 3).ok_or_else(|| wrong("an address without a host".to_owned()))?;
    let path = ask.url[host..].find(['/', '?']).map_or(ask.url.len(), |at| host + at);
    let (base, path) = ask.url.split_at(path);
    let mut request = HttpRequest::new(ask.body);
    request.set_method(ask.method).map_err(|error| wrong(error.to_string()))?;
    request
        .set_uri(if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
        .map_err(|error| wrong(error.to_string()))?;
    for (name, value) in ask.headers {
        request.headers_mut().try_insert(name, value).map_err(|error| wrong(error.to_string()))?;
    }
    let timeouts =
        TimeoutConfig::builder().connect_timeout(limits::CONNECT_TIMEOUT).read_timeout(limits::S3_READ_TIMEOUT);
    let operation = Operation::builder()
        .service_name(service)
        .operation_name("send")
        .http_client(realm.settings.http.clone())
        .endpoint_url(base)
        .no_auth()
        .standard_retry(&realm.retries())
        .retry_classifier(HttpStatusCodeClassifier::new_from_codes(BUSY.to_vec()))
        .retry_classifier(TransientErrorClassifier::<Busy>::new())
        .timeout_config(timeouts.build())
        .serializer(|request: HttpRequest| Ok(request))
        .deserializer_impl::<Begun, Busy>(Reader)
        .build();
    let begun = Box::pin(operation.invoke(request)).await.map_err(|error| match &error {
        SdkError::ServiceError(context) => {
            let Busy(status) = context.err();
            let told = Problem::broken(service, format!("HTTP status {status}"));
            Problem { code: format!("HTTP{status}"), status: *status, ..told }
        }
        other => Problem::broken(service, chain(other)),
    })?;
    let body = Limited::new(begun.body, limits::ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| Problem::broken(service, format!("the answer cannot be read: {error}")))?;
    Ok(Answer { status: begun.status, headers: begun.headers, body: body.to_bytes().to_vec() })
}
