//! Calls that no SDK crate here makes, signed by hand: EC2's, whose crate is larger than all the others together; those that
//! hand a whole document through (ECS task definitions), of which members unknown to an SDK must survive; those of OpsWorks,
//! which AWS has switched off. They have the realm's credentials, HTTP client, endpoints and retries like every other call.
//! Says nothing of what is asked.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::metadata::{ErrorMetadata, ProvideErrorMetadata};
use aws_smithy_types::timeout::TimeoutConfig;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use towpath_model::action::ActionInvocation;
use towpath_model::time::Timestamp;

use crate::limits;
use crate::problem::Problem;
use crate::provider::Call;
use crate::realms::Service;

/// The protocol of a call, beyond SigV4 over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// `application/x-amz-json-1.1` with a target.
    Json,
    /// A form; answers in XML, refusals as EC2 words them.
    Ec2Query,
}

/// One call as it goes over the wire.
#[derive(Debug, Clone)]
pub struct RawCall {
    /// As AWS names the service in its messages.
    named: &'static str,
    service: Service,
    operation: &'static str,
    protocol: Protocol,
    target: Option<String>,
    body: String,
}

impl RawCall {
    /// A call of a JSON service with a whole document.
    pub fn json(service: Service, named: &'static str, prefix: &str, operation: &'static str, body: &Value) -> Self {
        let target = Some(format!("{prefix}.{operation}"));
        Self { named, service, operation, protocol: Protocol::Json, target, body: body.to_string() }
    }

    /// A call of EC2; names and values are escaped here.
    pub fn ec2(operation: &'static str, version: &str, parameters: &[(String, String)]) -> Self {
        let pairs = [("Action", operation), ("Version", version)].into_iter();
        let pairs = pairs.chain(parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let escaped = |text| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC);
        let form: Vec<String> = pairs.map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
        Self {
            named: "AmazonEC2",
            service: Service::Ec2,
            operation,
            protocol: Protocol::Ec2Query,
            target: None,
            body: form.join("&"),
        }
    }

    /// Sends it as the action's role and gives the body of the answer.
    pub async fn send(self, cx: &Call<'_>, action: &ActionInvocation) -> Result<Bytes, Problem> {
        let realm = cx.realm;
        let region = realm.region(&action.region);
        let own = realm.settings.endpoints.of(self.service.id());
        let endpoint = own.map_or_else(|| regional(self.service.id(), region), ToOwned::to_owned);
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let credentials = realm.credentials(action).await?;
        let request = self.signed(&endpoint, region, &credentials, cx.clock.now())?;
        let protocol = self.protocol;
        let timeouts =
            TimeoutConfig::builder().connect_timeout(limits::CONNECT_TIMEOUT).read_timeout(limits::READ_TIMEOUT);
        let operation = Operation::builder()
            .service_name(self.named)
            .operation_name(self.operation)
            .http_client(realm.settings.http.clone())
            .endpoint_url(&endpoint)
            .no_auth()
            .standard_retry(&realm.retries())
            .retry_classifier(HttpStatusCodeClassifier::default())
            .retry_classifier(TransientErrorClassifier::<Refused>::new())
            .retry_classifier(AwsErrorCodeClassifier::<Refused>::new())
            .timeout_config(timeouts.build())
            .serializer(|signed: Signed| Ok(signed.0))
            .deserializer(move |response: &HttpResponse| answered(protocol, response))
            .build();
        let answer = operation.invoke(Signed(request)).await;
        answer.map_err(|error| realm.note(action, Problem::of(self.named, &error)))
    }

    fn signed(
        &self,
        endpoint: &str,
        region: &str,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<HttpRequest, Problem> {
        let broken = |error: &dyn fmt::Display| {
            Problem::refused(format!("the request {} to {endpoint} cannot be made: {error}", self.operation))
        };
        let kind = match self.protocol {
            Protocol::Json => "application/x-amz-json-1.1",
            Protocol::Ec2Query => "application/x-www-form-urlencoded; charset=utf-8",
        };
        let mut request = http::Request::post(format!("{endpoint}/")).header("content-type", kind);
        if let Some(target) = &self.target {
            request = request.header("x-amz-target", target);
        }
        let mut request = request.body(SdkBody::from(self.body.clone())).map_err(|error| broken(&error))?;
        let signing = Signing { service: self.service.id(), region, credentials, now };
        signing
            .apply(&mut request, self.body.as_bytes(), SigningSettings::default())
            .map_err(|error| broken(&error))?;
        // The endpoint puts scheme and host in front.
        *request.uri_mut() = http::Uri::from_static("/");
        HttpRequest::try_from(request).map_err(|error| broken(&error))
    }
}

/// AWS's own endpoint of a service in a Region.
pub fn regional(service: &str, region: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://{service}.{region}.{domain}")
}

/// Whose signature, for what, when.
#[derive(Clone, Copy)]
pub struct Signing<'a> {
    pub service: &'a str,
    pub region: &'a str,
    pub credentials: &'a Credentials,
    pub now: Timestamp,
}

impl Signing<'_> {
    /// Signs `request` in place, in its headers or in its query as the settings say.
    fn apply<B>(&self, request: &mut http::Request<B>, body: &[u8], settings: SigningSettings) -> Result<(), String> {
        let identity: Identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(self.time())
            .settings(settings)
            .build()
            .map_err(|error| error.to_string())?
            .into();
        let headers: Vec<(String, String)> = request
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect();
        let signable = SignableRequest::new(
            request.method().as_str(),
            request.uri().to_string(),
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())),
            SignableBody::Bytes(body),
        )
        .map_err(|error| error.to_string())?;
        let (instructions, _) = sign(signable, &parameters).map_err(|error| error.to_string())?.into_parts();
        instructions.apply_to_request_http1x(request);
        Ok(())
    }

    fn time(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(u64::try_from(self.now.millis()).unwrap_or_default())
    }

    /// A GET of `url` that anybody can send for as long as `life`, if with this header.
    pub fn presigned(&self, url: &str, header: (&str, &str), life: Duration) -> Result<String, String> {
        let request = http::Request::get(url).header(header.0, header.1).body(());
        let mut request = request.map_err(|error| error.to_string())?;
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(life);
        self.apply(&mut request, b"", settings)?;
        Ok(request.uri().to_string())
    }
}

/// A request that carries its signature; that is not for logs.
struct Signed(HttpRequest);

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signed")
    }
}

/// The service's no.
#[derive(Debug)]
struct Refused(ErrorMetadata);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Refused {}

impl ProvideErrorMetadata for Refused {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

fn answered(protocol: Protocol, response: &HttpResponse) -> Result<Bytes, OrchestratorError<Refused>> {
    let body = response.body().bytes().unwrap_or_default();
    if response.status().is_success() {
        return Ok(Bytes::copy_from_slice(body));
    }
    let refusal = match protocol {
        Protocol::Json => json_refusal(response.headers().get("x-amzn-errortype"), body),
        Protocol::Ec2Query => ec2_refusal(body),
    };
    let (code, message) = refusal.unwrap_or_default();
    let mut meta = ErrorMetadata::builder();
    if !code.is_empty() {
        meta = meta.code(code);
    }
    if !message.is_empty() {
        meta = meta.message(message);
    }
    Err(OrchestratorError::operation(Refused(meta.build())))
}

/// Code and message of a JSON service's refusal; the code without its namespace.
fn json_refusal(header: Option<&str>, body: &[u8]) -> Option<(String, String)> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let code = header.or_else(|| answer["__type"].as_str())?;
    let code = code.split(':').next().unwrap_or(code).rsplit('#').next().unwrap_or(code);
    let message = ["message", "Message"].iter().find_map(|name| answer[*name].as_str()).unwrap_or_default();
    Some((code.to_owned(), message.to_owned()))
}

/// `<Response><Errors><Error><Code/><Message/></Error></Errors></Response>`, which no other service writes.
fn ec2_refusal(body: &[u8]) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "Errors")]
        errors: Errors,
    }
    #[derive(Deserialize)]
    struct Errors {
        #[serde(rename = "Error")]
        all: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        #[serde(rename = "Code")]
        code: String,
        #[serde(rename = "Message", default)]
        message: String,
    }
    let answer: Answer = quick_xml::de::from_reader(body).ok()?;
    let first = answer.errors.all.into_iter().next()?;
    Some((first.code, first.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_escaped() {
        let call = RawCall::ec2("DescribeInstances", "2016-11-15", &[("Filter.1.Name".into(), "tag:a b&c=ü".into())]);
        assert_eq!(
            call.body,
            "Action=DescribeInstances&Version=2016%2D11%2D15&Filter%2E1%2EName=tag%3Aa%20b%26c%3D%C3%BC"
        );
    }

    #[test]
    fn refusals_in_both_protocols() {
        let xml = b"<?xml version=\"1.0\"?><Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>No \
                    &amp; no.</Message></Error></Errors><RequestID>r</RequestID></Response>";
        assert_eq!(ec2_refusal(xml), Some(("UnauthorizedOperation".to_owned(), "No & no.".to_owned())));
        assert_eq!(ec2_refusal(b"<html>no</html>"), None);
        let json = br#"{"__type":"com.amazonaws.ecs#ClientException","Message":"Bad."}"#;
        assert_eq!(json_refusal(None, json), Some(("ClientException".to_owned(), "Bad.".to_owned())));
        let both = json_refusal(Some("ServerException:http://internal/"), b"not json");
        assert_eq!(both, Some(("ServerException".to_owned(), String::new())));
        assert_eq!(json_refusal(None, b""), None);
    }

    #[test]
    fn a_presigned_url_carries_what_was_signed() {
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", Some("a token".to_owned()), None, "test");
        let now = Timestamp::from_millis(1_440_938_160_000);
        let signing = Signing { service: "sts", region: "eu-west-1", credentials: &credentials, now };
        let url = "https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15";
        let url = signing.presigned(url, ("x-k8s-aws-id", "harbour"), Duration::from_mins(1)).unwrap();
        assert!(url.starts_with("https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity&"), "{url}");
        for part in [
            "X-Amz-Expires=60",
            "X-Amz-Date=20150830T123600Z",
            "X-Amz-SignedHeaders=host%3Bx-k8s-aws-id",
            "X-Amz-Security-Token=a%20token",
            "X-Amz-Signature=",
        ] {
            assert!(url.contains(part), "{part} in {url}");
        }
    }
}
