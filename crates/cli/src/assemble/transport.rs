//! Carries the SDK's requests to our own front door without a socket: the same bytes, signed and verified, handed over
//! as a function call.

use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use axum::body::Body;
use bytes::Bytes;
use http::HeaderValue;
use http::header::HOST;
use http_body::{Frame, SizeHint};
use towpath_server::{Front, Peer};

/// The SDK's HTTP client whose network is this process.
#[derive(Clone, Default)]
pub struct InProcess {
    // Weak: the front holds the orchestrator, which holds the clients that hold this.
    front: Arc<OnceLock<Weak<Front>>>,
}

impl InProcess {
    /// Where requests go from now on.
    pub fn connect(&self, front: &Arc<Front>) {
        let _ = self.front.set(Arc::downgrade(front));
    }

    pub fn client(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.clone())
    }
}

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InProcess")
    }
}

impl HttpClient for InProcess {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let front = self.front.get().and_then(Weak::upgrade);
        HttpConnectorFuture::new(async move {
            let Some(front) = front else {
                return Err(ConnectorError::io("the server is not up".into()));
            };
            let mut request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            // The SDK signs the host and leaves the header to the HTTP client.
            if !request.headers().contains_key(HOST)
                && let Some(host) = request.uri().authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok())
            {
                request.headers_mut().insert(HOST, host);
            }
            let response = front.handle(request.map(Body::new), Peer::default()).await;
            HttpResponse::try_from(
                response.map(|body| SdkBody::from_body_1_x(Shareable(sync_wrapper::SyncWrapper::new(body)))),
            )
            .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// The SDK wants bodies that may be shared between threads; nobody reads one from two at once.
struct Shareable(sync_wrapper::SyncWrapper<Body>);

impl http_body::Body for Shareable {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(self.0.get_mut()).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        // The length is in the headers; this only spares an allocation.
        SizeHint::default()
    }
}
