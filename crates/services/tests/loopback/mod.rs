//! A front door on loopback for tests: verifies signatures as the server does and hands calls to the services.

#![expect(dead_code, reason = "each test binary uses its own part")]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_credential_types::Credentials;
use aws_smithy_http_client::Builder;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use towpath_model::ids::{IdSource, Scope};
use towpath_model::time::{Clock, Timestamp};
use towpath_services::ambient::Ambient;
use towpath_services::call::{Call, Origin, Response};
use towpath_services::identity::{AccessKey, Identity, LookupError};
use towpath_wire::signature::{Verifier, parse, sha256_hex};
use towpath_wire::{Dialect, WireError, json, query};

pub const ACCOUNT: &str = "123456789012";
pub const REGION: &str = "us-east-1";

/// The system's clock, which a test may move.
#[derive(Default)]
pub struct TestClock(AtomicI64);

impl TestClock {
    pub fn advance_seconds(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }
}

#[expect(clippy::disallowed_methods, reason = "the SDK signs with the system's time; so the test's clock starts there")]
fn system_millis() -> i64 {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(elapsed.as_millis()).expect("before year 292277026")
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(system_millis() + self.0.load(Ordering::SeqCst))
    }
}

pub struct RandomIds;

impl IdSource for RandomIds {
    fn bits(&mut self) -> u128 {
        rand::random()
    }
}

pub fn ambient(clock: &Arc<TestClock>) -> Ambient {
    Ambient::new(Arc::clone(clock) as Arc<dyn Clock>, RandomIds)
}

/// Answers a call to the named service.
pub type Handler = Arc<dyn Fn(&'static str, Call) -> Pin<Box<dyn Future<Output = Response> + Send>> + Send + Sync>;

/// Serves until the test's runtime ends; answers the endpoint URL.
pub async fn serve(identity: Arc<Identity>, ambient: Ambient, handler: Handler) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let verifier = Arc::new(Verifier::new());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (identity, ambient, handler) = (Arc::clone(&identity), ambient.clone(), Arc::clone(&handler));
            let verifier = Arc::clone(&verifier);
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let (identity, ambient, handler) = (Arc::clone(&identity), ambient.clone(), Arc::clone(&handler));
                    let verifier = Arc::clone(&verifier);
                    async move {
                        let response = answer(&identity, &ambient, &handler, &verifier, request).await;
                        Ok::<_, std::convert::Infallible>(response.map(Full::new))
                    }
                });
                // A client that hangs up ends its connection, not the test.
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    endpoint
}

async fn answer(
    identity: &Identity,
    ambient: &Ambient,
    handler: &Handler,
    verifier: &Verifier,
    request: http::Request<Incoming>,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let request_id = ambient.uuid();
    let result: Result<(&'static str, Call), (Dialect, WireError)> = async {
        let parsed = parse(&parts).map_err(|error| (Dialect::Json, error))?;
        let parsed = parsed.ok_or((Dialect::Json, WireError::missing_authentication(Dialect::Json)))?;
        let dialect = parsed.dialect();
        let signer = identity.lookup(&parsed.scope.access_key, parsed.token.as_deref()).await.map_err(|error| {
            let error = match error {
                LookupError::UnknownKey => WireError::unknown_access_key(dialect, &parsed.scope.access_key),
                LookupError::InvalidToken => WireError::invalid_token(dialect),
                LookupError::Expired => WireError::expired_token(dialect),
                LookupError::Unavailable => WireError::unavailable(dialect),
            };
            (dialect, error)
        })?;
        let hash = sha256_hex(&body);
        verifier
            .verify(&parsed, signer.secret.expose(), &parts, &hash, system_millis() / 1000)
            .map_err(|error| (dialect, error))?;
        identity.used(&signer.principal, &parsed.scope.service, &parsed.scope.region).await;
        let service = match parsed.scope.service.as_ref() {
            "iam" => "iam",
            "sts" => "sts",
            "codebuild" => "codebuild",
            "logs" => "logs",
            other => panic!("the test door does not know {other}"),
        };
        let operation = if dialect == Dialect::Query {
            let form = query::Form::parse(None, &body).map_err(|error| (dialect, error))?;
            form.action().map_err(|error| (dialect, error))?.to_owned()
        } else {
            let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
            json::split_target(target).expect("a target").1.to_owned()
        };
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let call = Call {
            scope: Scope::new(signer.principal.account.clone(), parsed.scope.region.as_ref()),
            principal: signer.principal,
            operation,
            body: body.clone(),
            request_id: request_id.clone(),
            origin: Origin {
                source_ip: Some([127, 0, 0, 1].into()),
                secure_transport: false,
                user_agent: header("user-agent"),
                source_arn: header("x-amz-source-arn"),
                source_account: header("x-amz-source-account"),
            },
        };
        Ok((service, call))
    }
    .await;
    match result {
        Ok((service, call)) => handler(service, call).await,
        Err((Dialect::Query, error)) => query::respond_error(None, &error, &request_id),
        Err((_, error)) => json::respond_error(&error, &request_id),
    }
}

pub fn http_client() -> SharedHttpClient {
    Builder::new().build_http()
}

pub fn credentials(key: &AccessKey, token: Option<&str>) -> Credentials {
    Credentials::new(key.id.clone(), key.secret.expose(), token.map(str::to_owned), None, "test")
}

/// The bytes of a body, for messages of failed assertions.
pub fn text(body: &Bytes) -> String {
    String::from_utf8_lossy(body).into_owned()
}
