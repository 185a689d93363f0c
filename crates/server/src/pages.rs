//! What can be read without a signature: a status page, `/health`, `/metrics`. Nothing about any pipeline.

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};

use crate::Front;

const STATUS: &str = concat!(
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Towpath</title>",
    "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:4rem auto;padding:0 1rem}code,pre{background:#f2f2ee;padding:.1em .3em;border-radius:4px}pre{padding:1em;overflow:auto}</style></head>",
    "<body><h1>Towpath ",
    env!("CARGO_PKG_VERSION"),
    "</h1><p>This is a CodePipeline server, and it is up. Point an AWS client at this address:</p>",
    "<pre>export AWS_ENDPOINT_URL=http://127.0.0.1:7400\n",
    "export AWS_SHARED_CREDENTIALS_FILE=DATA_DIR/credentials AWS_DEFAULT_REGION=us-east-1\n",
    "aws codepipeline list-pipelines</pre>",
    "<p><a href=\"/health\">/health</a> answers monitors, <a href=\"/metrics\">/metrics</a> answers Prometheus.</p></body></html>"
);

/// The page, or `None` when the path is none of ours.
pub fn handle(front: &Front, request: &Request<Body>) -> Option<Response<Body>> {
    let path = request.uri().path();
    // A bucket named in the host makes every path an object's.
    if bucket_host(request) {
        return None;
    }
    let (kind, body) = match path {
        "/" | "/console" | "/console/" => ("text/html; charset=utf-8", STATUS.to_owned()),
        "/health" => ("application/json", r#"{"status":"ok"}"#.to_owned()),
        "/metrics" => ("text/plain; version=0.0.4", front.metrics.render(front.orchestrator.tasks_pending())),
        _ if path.starts_with("/console/") || path.starts_with("/webhooks/") => {
            return Some(answer(
                StatusCode::NOT_FOUND,
                "text/plain; charset=utf-8",
                format!("{path} is not in this version of Towpath yet.\n"),
            ));
        }
        _ => return None,
    };
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let text = "Only GET and HEAD are answered here. AWS requests must be signed.\n".to_owned();
        return Some(answer(StatusCode::METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", text));
    }
    Some(answer(StatusCode::OK, kind, body))
}

pub(crate) fn bucket_host(request: &Request<Body>) -> bool {
    let host = request.headers().get(http::header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.ends_with(".localhost")
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}
