//! A small signed client of AWS's APIs, for the commands that speak to a Towpath server or to AWS itself. It is a client
//! like any other: it knows endpoints, credentials, signatures and the two protocols, and nothing of pipelines, stores or
//! engines.
//!
//! Why not the SDK's client crates. Where libraries carry the weight they do so here too: `aws-runtime` reads AWS's
//! configuration files, `aws-sigv4` signs, `aws-smithy-http-client` (with rustls) is the network, all of which the providers'
//! own clients had already brought in. What is left of an SDK crate are typed shapes of one service, and those cost more
//! than they give here: the commands hand AWS's own JSON on to scripts (`--format json`), which the SDK's shapes cannot be
//! turned back into, and CodePipeline, CloudWatch Logs and IAM would add crates of 10 to 20 seconds each to the first build.
//! `aws-config` would bring single sign-on and instance roles for 20 seconds and test code in every crate of the SDK; the
//! AWS CLI exports those credentials instead. A call is `call("codepipeline", "ListPipelines", json)`, and whoever wants
//! more (an object of S3, say) signs a request of their own with [`Client::send`].

mod buckets;
pub mod config;
mod credentials;
mod network;
pub(crate) mod protocol;
mod service;
mod xml;

use std::sync::Arc;

use async_trait::async_trait;
use aws_credential_types::Credentials;
use bytes::Bytes;
use serde_json::Value as Json;
use towpath_model::time::{Clock, Timestamp};

pub use self::config::{Connection, Settings, SettingsError};
use self::credentials::{Role, Sts};
use self::network::Network;
pub use self::network::{Reply, Signing, signed};
use self::protocol::Protocol;
use self::service::Service;
use crate::host::{Api, ApiError};
use crate::limits;

/// Codes of failures that happened before AWS could answer; no service has errors of these names.
pub mod failure {
    /// Nobody answers at the endpoint.
    pub const UNREACHABLE: &str = "Unreachable";
    /// There is nothing to sign with.
    pub const NO_CREDENTIALS: &str = "NoCredentials";
    /// An answer that is not AWS's.
    pub const UNREADABLE: &str = "Unreadable";
}

/// One endpoint (or AWS itself), as one caller in one Region.
pub struct Client {
    settings: Settings,
    network: Network,
    clock: Arc<dyn Clock>,
}

impl Client {
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        Self { settings, network: Network::default(), clock }
    }

    /// The same endpoint and Region as somebody else: a job's credentials, an assumed role.
    #[must_use]
    pub fn with_credentials(&self, credentials: Credentials) -> Self {
        Self {
            settings: self.settings.signed_by(credentials),
            network: self.network.clone(),
            clock: Arc::clone(&self.clock),
        }
    }

    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// What requests are signed with now.
    pub async fn credentials(&self) -> Result<Credentials, ApiError> {
        self.settings.credentials.get(self.clock.now(), self).await
    }

    /// Signs a request as `signing` says and sends it once; answers whatever status came back. The request names its
    /// whole URL; [`Settings::endpoint`] has the part before the path.
    pub async fn send(&self, request: http::Request<Bytes>, signing: &Signing<'_>) -> Result<Reply, ApiError> {
        let now = self.clock.now();
        let credentials = self.credentials().await?;
        self.network.send(request, signing, &credentials, now).await
    }

    async fn once(&self, service: &Service, operation: &str, input: &Json) -> Result<Json, ApiError> {
        let endpoint = self.settings.endpoint(service.name);
        let request = service.protocol.request(&endpoint, operation, input)?;
        let region = service.region(&self.settings.region);
        let reply = self.send(request, &Signing::of(service.signing, &region)).await?;
        service.protocol.answer(operation, &reply)
    }
}

#[async_trait]
impl Api for Client {
    /// Repeats what was refused for its pace, and reads that failed on the way.
    async fn call(&self, service: &str, operation: &str, input: Json) -> Result<Json, ApiError> {
        let Some(service) = service::named(service) else {
            return Err(ApiError::new("UnknownService", format!("this client does not know the service `{service}`")));
        };
        let mut attempt = 0;
        loop {
            let error = match self.once(service, operation, &input).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            attempt += 1;
            if attempt == limits::CALL_ATTEMPTS_MAX || !repeatable(operation, &error.code) {
                return Err(error);
            }
            tracing::debug!(operation, code = error.code, attempt, "asked again");
            tokio::time::sleep(limits::CALL_PAUSE * 2_u32.pow(attempt)).await;
        }
    }
}

#[async_trait]
impl Sts for Client {
    async fn assume(&self, role: &Role, with: Credentials, now: Timestamp) -> Result<Json, ApiError> {
        let name = "sts";
        let sts = service::named(name).ok_or_else(|| ApiError::new("UnknownService", name))?;
        let request = sts.protocol.request(&self.settings.endpoint(name), "AssumeRole", &credentials::assumed(role))?;
        let signing = Signing::of(sts.signing, &self.settings.region);
        let reply = self.network.send(request, &signing, &with, now).await?;
        sts.protocol.answer("AssumeRole", &reply)
    }
}

/// A request that was refused for its pace had no effect; one that got no answer may have had one.
fn repeatable(operation: &str, code: &str) -> bool {
    let paced = matches!(
        code,
        "ThrottlingException"
            | "Throttling"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "RequestThrottledException"
            | "SlowDown"
    );
    let reads = ["Get", "List", "BatchGet", "Describe", "Filter"].iter().any(|verb| operation.starts_with(verb));
    let broken =
        matches!(code, "InternalFailure" | "InternalError" | "ServiceUnavailable" | "ServiceUnavailableException")
            || code == failure::UNREADABLE;
    paced || (reads && broken)
}

impl Protocol {
    /// The request of one operation, unsigned.
    fn request(self, endpoint: &str, operation: &str, input: &Json) -> Result<http::Request<Bytes>, ApiError> {
        let (kind, target, body) = match self {
            Self::Json { prefix } => {
                ("application/x-amz-json-1.1", Some(format!("{prefix}.{operation}")), input.to_string())
            }
            Self::Query { version } => {
                ("application/x-www-form-urlencoded; charset=utf-8", None, protocol::form(operation, version, input))
            }
        };
        let mut request = http::Request::post(format!("{}/", endpoint.trim_end_matches('/')))
            .header(http::header::CONTENT_TYPE, kind);
        if let Some(target) = target {
            request = request.header("x-amz-target", target);
        }
        request
            .body(Bytes::from(body))
            .map_err(|error| ApiError::new("InvalidEndpoint", format!("`{endpoint}` is no URL to call: {error}")))
    }

    fn answer(self, operation: &str, reply: &Reply) -> Result<Json, ApiError> {
        match self {
            Self::Json { .. } => protocol::json_answer(reply),
            Self::Query { .. } => protocol::query_answer(operation, reply),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_have_had_an_effect_is_asked_again() {
        assert!(repeatable("ListPipelines", "InternalFailure"));
        assert!(repeatable("RetryStageExecution", "ThrottlingException"));
        assert!(!repeatable("StartPipelineExecution", "InternalFailure"));
        assert!(!repeatable("GetPipeline", "PipelineNotFoundException"));
        assert!(!repeatable("GetPipeline", failure::UNREACHABLE), "nobody is there: say so at once");
    }
}
