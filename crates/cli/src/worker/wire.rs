//! How workers speak to the services that do their work, over HTTP with and without TLS.

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::HttpConnectorSettings;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

use crate::limits;

/// What is escaped in a value of a path or a query.
pub const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub fn connector(tls: bool) -> Connector {
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(limits::CONNECT_TIMEOUT)
        .read_timeout(limits::ANSWER_TIMEOUT)
        .build();
    let builder = Connector::builder().connector_settings(settings);
    if tls { builder.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build() } else { builder.build_http() }
}

/// Why nobody answered; the outermost text of a connector says only that a request failed.
pub fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
