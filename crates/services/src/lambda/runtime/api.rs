//! The Lambda Runtime API of one process, on a loopback port of its own: `next`, `response`, `error`, `init/error`. One event
//! at a time. Knows nothing of functions or of what starts the process.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::lambda::limits::{RESPONSE_BYTES_MAX, RUNTIME_CONNECTIONS_MAX};

const BASE: &str = "/2018-06-01/runtime/";
/// An error's body; more than this is no error report.
const ERROR_BYTES_MAX: usize = 256 * 1024;
const ERROR_TYPE: &str = "lambda-runtime-function-error-type";
const ERROR_BODY: &str = "lambda-runtime-function-error-body";
const RESPONSE_MODE: &str = "lambda-runtime-function-response-mode";

/// One event on its way to the process.
#[derive(Debug)]
pub(super) struct Event {
    pub id: String,
    pub deadline_ms: i64,
    pub arn: String,
    pub body: Bytes,
    /// JSON text.
    pub client_context: Option<String>,
    pub trace: String,
}

/// How the process answered.
#[derive(Debug)]
pub(super) enum Reply {
    Response(Bytes),
    Error(Bytes),
    /// So many bytes, or at least so many.
    TooLarge(usize),
}

#[derive(Debug)]
enum Phase {
    /// Nobody asked for an event yet.
    Init,
    Waiting,
    Busy {
        id: String,
        reply: Option<oneshot::Sender<Reply>>,
    },
}

/// What the process has said of its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Started {
    NotYet,
    Ready,
    /// The body of `init/error`.
    Failed(Bytes),
}

struct Shared {
    phase: Mutex<Phase>,
    started: watch::Sender<Started>,
    events: tokio::sync::Mutex<mpsc::Receiver<(Event, oneshot::Sender<Reply>)>>,
}

/// The server's side; dropping it closes the port.
pub(super) struct RuntimeApi {
    pub address: SocketAddr,
    started: watch::Receiver<Started>,
    events: mpsc::Sender<(Event, oneshot::Sender<Reply>)>,
    serving: JoinHandle<()>,
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl RuntimeApi {
    pub async fn open() -> std::io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let address = listener.local_addr()?;
        let (events, waiting) = mpsc::channel(1);
        let (told, started) = watch::channel(Started::NotYet);
        let shared = Arc::new(Shared {
            phase: Mutex::new(Phase::Init),
            started: told,
            events: tokio::sync::Mutex::new(waiting),
        });
        let serving = tokio::spawn(serve(listener, shared));
        Ok(Self { address, started, events, serving })
    }

    /// Waits until the process asks for its first event, or says why it will not.
    pub async fn started(&self) -> Started {
        let mut started = self.started.clone();
        match started.wait_for(|started| *started != Started::NotYet).await {
            Ok(started) => started.clone(),
            Err(_) => Started::NotYet,
        }
    }

    /// Hands an event to the process; the answer comes through the receiver.
    pub async fn send(&self, event: Event) -> oneshot::Receiver<Reply> {
        let (reply, answer) = oneshot::channel();
        // A channel that is closed drops the sender, which the receiver sees.
        let _ = self.events.send((event, reply)).await;
        answer
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(RUNTIME_CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(answer(&shared, request).await) }
            });
            // A connection that breaks is the process's business.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
}

type Answer = Response<Full<Bytes>>;

async fn answer(shared: &Shared, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let Some(path) = path.strip_prefix(BASE) else { return refuse(404, "NotFound", "There is no such path.") };
    if request.method() == Method::GET && path == "invocation/next" {
        return next(shared).await;
    }
    if request.method() != Method::POST {
        return refuse(404, "NotFound", "There is no such path.");
    }
    if path == "init/error" {
        let Ok(body) = Limited::new(request.into_body(), ERROR_BYTES_MAX).collect().await else {
            return refuse(413, "RequestEntityTooLarge", "The error is too large.");
        };
        if !matches!(*shared.phase.lock().unwrap_or_else(PoisonError::into_inner), Phase::Init) {
            return refuse(403, "InvalidStateTransition", "The runtime is initialised already.");
        }
        shared.started.send_replace(Started::Failed(body.to_bytes()));
        return accepted();
    }
    match path.strip_prefix("invocation/").and_then(|rest| rest.split_once('/')) {
        Some((id, "response")) => {
            let id = id.to_owned();
            response(shared, &id, request).await
        }
        Some((id, "error")) => {
            let id = id.to_owned();
            if let Some(refusal) = refusal(shared, &id) {
                return refusal;
            }
            match Limited::new(request.into_body(), ERROR_BYTES_MAX).collect().await {
                Ok(body) => settle(shared, &id, Reply::Error(body.to_bytes())),
                Err(_) => refuse(413, "RequestEntityTooLarge", "The error is too large."),
            }
        }
        _ => refuse(404, "NotFound", "There is no such path."),
    }
}

async fn next(shared: &Shared) -> Answer {
    {
        let mut phase = shared.phase.lock().unwrap_or_else(PoisonError::into_inner);
        match &*phase {
            Phase::Busy { reply: Some(_), .. } => {
                return refuse(403, "InvalidStateTransition", "The invocation before this one is not answered.");
            }
            _ => *phase = Phase::Waiting,
        }
    }
    shared.started.send_if_modified(|started| {
        let first = *started == Started::NotYet;
        if first {
            *started = Started::Ready;
        }
        first
    });
    let Some((event, reply)) = shared.events.lock().await.recv().await else {
        return refuse(500, "InternalServerError", "The server ends.");
    };
    *shared.phase.lock().unwrap_or_else(PoisonError::into_inner) =
        Phase::Busy { id: event.id.clone(), reply: Some(reply) };
    let mut answer = Response::new(Full::new(event.body));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let deadline = event.deadline_ms.to_string();
    let values = [
        ("lambda-runtime-aws-request-id", Some(event.id.as_str())),
        ("lambda-runtime-deadline-ms", Some(deadline.as_str())),
        ("lambda-runtime-invoked-function-arn", Some(event.arn.as_str())),
        ("lambda-runtime-trace-id", Some(event.trace.as_str())),
        ("lambda-runtime-client-context", event.client_context.as_deref()),
    ];
    for (name, value) in values {
        if let Some(value) = value.and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    answer
}

async fn response(shared: &Shared, id: &str, request: Request<Incoming>) -> Answer {
    if let Some(refusal) = refusal(shared, id) {
        return refusal;
    }
    let mode = request.headers().get(RESPONSE_MODE).map(HeaderValue::as_bytes);
    if mode.is_some_and(|mode| mode != b"streaming") {
        return refuse(400, "InvalidFunctionResponseMode", "The response mode is not known.");
    }
    let promised = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if let Some(length) = promised.filter(|length| *length > RESPONSE_BYTES_MAX) {
        return too_large(shared, id, length);
    }
    let collected = match Limited::new(request.into_body(), RESPONSE_BYTES_MAX).collect().await {
        Ok(collected) => collected,
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            return too_large(shared, id, RESPONSE_BYTES_MAX + 1);
        }
        Err(_) => return refuse(400, "TruncatedHTTPRequest", "The response ended before it was complete."),
    };
    // A stream that fails half-way says so in its trailers.
    if let Some(error) = collected.trailers().and_then(streamed_error) {
        return settle(shared, id, Reply::Error(error));
    }
    settle(shared, id, Reply::Response(collected.to_bytes()))
}

fn streamed_error(trailers: &HeaderMap) -> Option<Bytes> {
    trailers.get(ERROR_TYPE)?;
    let body = trailers.get(ERROR_BODY).and_then(|body| STANDARD.decode(body.as_bytes()).ok());
    Some(Bytes::from(body.unwrap_or_default()))
}

fn too_large(shared: &Shared, id: &str, bytes: usize) -> Answer {
    settle(shared, id, Reply::TooLarge(bytes));
    let text = format!("Exceeded maximum allowed payload size ({RESPONSE_BYTES_MAX} bytes).");
    refuse(413, "RequestEntityTooLarge", &text)
}

/// Why no answer to this invocation is taken; None where one is waited for.
fn refusal(shared: &Shared, id: &str) -> Option<Answer> {
    match &*shared.phase.lock().unwrap_or_else(PoisonError::into_inner) {
        Phase::Busy { id: current, reply: Some(_) } if current == id => None,
        Phase::Busy { id: current, reply: None } if current == id => {
            Some(refuse(403, "InvalidStateTransition", "The invocation is answered already."))
        }
        _ => Some(refuse(400, "InvalidRequestID", "Invalid request ID")),
    }
}

fn settle(shared: &Shared, id: &str, reply: Reply) -> Answer {
    let mut phase = shared.phase.lock().unwrap_or_else(PoisonError::into_inner);
    let sender = match &mut *phase {
        Phase::Busy { id: current, reply } if current == id => reply.take(),
        _ => None,
    };
    match sender {
        Some(sender) => {
            // Nobody waits any more: the answer came too late.
            let _ = sender.send(reply);
            accepted()
        }
        None => refuse(400, "InvalidRequestID", "Invalid request ID"),
    }
}

fn accepted() -> Answer {
    json(202, &serde_json::json!({"status": "OK"}))
}

fn refuse(status: u16, kind: &str, message: &str) -> Answer {
    json(status, &serde_json::json!({"errorMessage": message, "errorType": kind}))
}

fn json(status: u16, body: &serde_json::Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
