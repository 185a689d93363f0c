//! One signed request over HTTP or TLS. Knows nothing of what is asked.

use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{HttpConnector as _, HttpConnectorSettings};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use towpath_model::time::Timestamp;

use super::failure;
use crate::host::ApiError;
use crate::limits;

/// How a request is signed.
#[derive(Debug, Clone, Copy)]
pub struct Signing<'a> {
    pub service: &'a str,
    pub region: &'a str,
}

impl<'a> Signing<'a> {
    pub const fn of(service: &'a str, region: &'a str) -> Self {
        Self { service, region }
    }

    /// S3 takes paths as they are and wants the hash of the body in a header.
    fn settings(self) -> SigningSettings {
        let mut settings = SigningSettings::default();
        if self.service == "s3" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        settings
    }
}

/// What came back, whatever its status.
pub type Reply = http::Response<Bytes>;

/// Connections, kept between requests. Made when first needed: TLS reads the system's certificates.
#[derive(Clone, Default)]
pub(super) struct Network {
    plain: Arc<OnceLock<Connector>>,
    tls: Arc<OnceLock<Connector>>,
}

impl Network {
    fn connector(&self, tls: bool) -> &Connector {
        let builder = || {
            let settings = HttpConnectorSettings::builder()
                .connect_timeout(limits::CONNECT_TIMEOUT)
                .read_timeout(limits::ANSWER_TIMEOUT)
                .build();
            Connector::builder().connector_settings(settings)
        };
        if tls {
            self.tls.get_or_init(|| {
                let builder = builder().proxy_config(ProxyConfig::from_env());
                builder.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build()
            })
        } else {
            self.plain.get_or_init(|| builder().build_http())
        }
    }

    pub async fn send(
        &self,
        mut request: http::Request<Bytes>,
        signing: &Signing<'_>,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<Reply, ApiError> {
        let url = request.uri().to_string();
        if let Some(authority) = request.uri().authority() {
            let host = http::HeaderValue::from_str(authority.as_str()).map_err(|error| unsignable(&error))?;
            request.headers_mut().insert(http::header::HOST, host);
        }
        signed(&mut request, *signing, credentials, now)?;
        let tls = request.uri().scheme() == Some(&http::uri::Scheme::HTTPS);
        let request = HttpRequest::try_from(request.map(SdkBody::from)).map_err(|error| unsignable(&error))?;
        let response = self.connector(tls).call(request).await.map_err(|error| unreachable(&url, &error))?;
        let response = response.try_into_http1x().map_err(|error| unreadable(&url, &error))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, limits::ANSWER_BYTES_MAX).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                let most = limits::ANSWER_BYTES_MAX / (1024 * 1024);
                return ApiError::new(failure::UNREADABLE, format!("the answer of {url} is larger than {most} MiB"));
            }
            unreadable(&url, &*error)
        })?;
        Ok(http::Response::from_parts(parts, body.to_bytes()))
    }
}

/// Signs a request in place.
pub fn signed(
    request: &mut http::Request<Bytes>,
    signing: Signing<'_>,
    credentials: &Credentials,
    now: Timestamp,
) -> Result<(), ApiError> {
    let identity = credentials.clone().into();
    let time = UNIX_EPOCH + Duration::from_millis(u64::try_from(now.millis()).unwrap_or_default());
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(signing.region)
        .name(signing.service)
        .time(time)
        .settings(signing.settings())
        .build()
        .map_err(|error| unsignable(&error))?
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
        SignableBody::Bytes(request.body()),
    )
    .map_err(|error| unsignable(&error))?;
    let (instructions, _) = sign(signable, &parameters).map_err(|error| unsignable(&error))?.into_parts();
    instructions.apply_to_request_http1x(request);
    Ok(())
}

fn unsignable(error: &dyn Error) -> ApiError {
    ApiError::new("Unsignable", format!("the request cannot be signed: {}", innermost(error)))
}

fn unreachable(url: &str, error: &dyn Error) -> ApiError {
    ApiError::new(failure::UNREACHABLE, format!("no answer from {url}: {}", innermost(error)))
}

fn unreadable(url: &str, error: &dyn Error) -> ApiError {
    ApiError::new(failure::UNREADABLE, format!("the answer of {url} broke off: {}", innermost(error)))
}

/// What it comes down to: the layers above say "dispatch failure" and the like.
pub(super) fn innermost(error: &dyn Error) -> String {
    let mut innermost = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        innermost = cause.to_string();
        source = cause.source();
    }
    innermost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_of_aws_documentation() {
        // The request of "Signature Version 4: examples of the complete signing process".
        let mut request = http::Request::get("https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08")
            .header("host", "iam.amazonaws.com")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(Bytes::new())
            .unwrap();
        let key = Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None, None, "test");
        signed(&mut request, Signing::of("iam", "us-east-1"), &key, Timestamp(1_440_938_160_000)).unwrap();
        let header = request.headers()["authorization"].to_str().unwrap();
        assert!(
            header.ends_with("Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"),
            "{header}"
        );
        assert_eq!(request.headers()["x-amz-date"], "20150830T123600Z");
    }

    #[test]
    fn requests_of_s3_carry_the_hash_of_their_body() {
        let mut request = http::Request::put("http://127.0.0.1:7400/bucket/a%20key")
            .header("host", "127.0.0.1:7400")
            .body(Bytes::from_static(b"text"))
            .unwrap();
        let key = Credentials::new("AKID", "secret", Some("token".into()), None, "test");
        signed(&mut request, Signing::of("s3", "us-east-1"), &key, Timestamp(1_440_938_160_000)).unwrap();
        assert_eq!(
            request.headers()["x-amz-content-sha256"],
            "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"
        );
        assert_eq!(request.headers()["x-amz-security-token"], "token");
    }
}
