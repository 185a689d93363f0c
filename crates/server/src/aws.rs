//! AWS requests: who is asking (SigV4), which service (credential scope), then that service. S3 verifies its own
//! signatures, because its bodies are streams.

use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use towpath_model::ids::Scope;
use towpath_services::call::{Call, Origin};
use towpath_services::connections::Prefix;
use towpath_services::identity::LookupError;
use towpath_wire::signature::{self, Payload};
use towpath_wire::{Dialect, WireError, json, lambda, query, rest};

use crate::Front;
use crate::front::Peer;
use crate::job_bearer;
use crate::limits::{BODY_BYTES_MAX, CODECOMMIT_BYTES_MAX, REST_BYTES_MAX};

/// Whether a request speaks AWS: signed in its header or its query, or naming an operation.
pub fn is_aws(request: &Request<Body>) -> bool {
    request.headers().contains_key("x-amz-target")
        || request.headers().get(AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"AWS4-HMAC-SHA256"))
        || request.uri().query().is_some_and(|query| query.contains("X-Amz-Signature="))
}

pub async fn handle(front: &Front, request: Request<Body>, peer: Peer) -> Response<Body> {
    // Measures a duration for a metric; decides nothing.
    let begun = Instant::now();
    let request_id = (front.request_ids)();
    let (service, response) = answer(front, request, peer, &request_id).await;
    front.metrics.count(&service, response.status().as_u16(), begun.elapsed());
    response
}

async fn answer(front: &Front, request: Request<Body>, peer: Peer, request_id: &str) -> (String, Response<Body>) {
    let (mut parts, body) = request.into_parts();
    let service = match signature::parse(&parts) {
        Ok(Some(parsed)) => parsed.scope.service.clone().into_owned(),
        found => {
            // Whom the request was for can only be guessed; S3 words such refusals itself.
            let dialect = signature::guess(&parts);
            let error = match found {
                Err(error) => error,
                _ => WireError::missing_authentication(dialect),
            };
            if dialect != Dialect::S3 {
                return ("other".to_owned(), refuse(dialect, &error, request_id).map(Body::from));
            }
            "s3".to_owned()
        }
    };
    if service == "s3" {
        let origin = origin(&parts, peer);
        parts.extensions.insert(origin);
        let response = front.services.s3.handle(Request::from_parts(parts, body)).await;
        return (service, response.map(Body::new));
    }
    let response = match verified(front, parts, body, peer, request_id).await {
        Ok(Caller::Known(call, parts)) => route(front, &service, call, &parts).await,
        Ok(Caller::OfJob(call)) => front.pipelines(call).serve_bearer().await,
        Err(error) => refuse(Dialect::of(&service), &error, request_id),
    };
    (service, response.map(Body::from))
}

/// Who asks for what.
enum Caller {
    /// The holder of a key, whose signature was verified.
    Known(Call, Box<Parts>),
    /// Whoever holds the id of an open job, which is what the call is about.
    OfJob(Call),
}

fn refuse(dialect: Dialect, error: &WireError, request_id: &str) -> Response<Bytes> {
    match dialect {
        Dialect::Query => query::respond_error(None, error, request_id),
        Dialect::Rest => rest::respond_error(error, request_id),
        Dialect::Json | Dialect::S3 => json::respond_error(error, request_id),
    }
}

/// Reads the body within its limit, verifies the signature over it, and says who asks for what.
async fn verified(front: &Front, parts: Parts, body: Body, peer: Peer, request_id: &str) -> Result<Caller, WireError> {
    let parsed = signature::parse(&parts)?.ok_or_else(|| WireError::missing_authentication(Dialect::Json))?;
    let dialect = parsed.dialect();
    let most = match parsed.scope.service.as_ref() {
        "codecommit" => CODECOMMIT_BYTES_MAX,
        _ if dialect == Dialect::Rest => REST_BYTES_MAX,
        _ => BODY_BYTES_MAX,
    };
    let body = match Limited::new(body, most).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
            return Err(WireError::request_too_large(dialect));
        }
        Err(_) => return Err(WireError::malformed_http(dialect, "The request body ended before it was complete.")),
    };
    let access_key = &parsed.scope.access_key;
    let signer = front.services.identity.lookup(access_key, parsed.token.as_deref()).await;
    let signer = match signer {
        Ok(signer) => signer,
        Err(error) => {
            if let Some(call) = job_bearer::call(front, &parts, &parsed, &body, peer, request_id).await {
                return Ok(Caller::OfJob(call));
            }
            return Err(match error {
                LookupError::UnknownKey => WireError::unknown_access_key(dialect, access_key),
                LookupError::InvalidToken => WireError::invalid_token(dialect),
                LookupError::Expired => WireError::expired_token(dialect),
                LookupError::Unavailable => WireError::unavailable(dialect),
            });
        }
    };
    let hash = match parsed.payload(&parts)? {
        Payload::Body => signature::sha256_hex(&body).as_str().to_owned(),
        Payload::Literal(text) => text.into_owned(),
    };
    let now = front.clock.now().millis() / 1000;
    front.verifier.verify(&parsed, signer.secret.expose(), &parts, &hash, now)?;
    front.services.identity.used(&signer.principal, &parsed.scope.service, &parsed.scope.region).await;
    let operation = operation(&parts, dialect, &parsed.scope.service, &body)?;
    let origin = origin(&parts, peer);
    let call = Call {
        scope: Scope::new(signer.principal.account.clone(), parsed.scope.region.clone()),
        principal: signer.principal,
        operation,
        body,
        request_id: request_id.to_owned(),
        origin,
    };
    Ok(Caller::Known(call, Box::new(parts)))
}

/// Where a request came from. What never leaves this machine is as safe from listeners as TLS is: a request over
/// loopback, or from a part of this process, which has no address.
pub fn origin(parts: &Parts, peer: Peer) -> Origin {
    let text = |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    Origin {
        source_ip: peer.ip,
        secure_transport: peer.tls || peer.ip.is_none_or(|address| address.to_canonical().is_loopback()),
        user_agent: text(USER_AGENT.as_str()),
        source_arn: text("x-amz-source-arn"),
        source_account: text("x-amz-source-account"),
    }
}

/// The operation that a request names. A JSON request has one form only; what has another is not taken for it, because a
/// page in somebody's browser can send the other forms without asking.
pub fn operation(parts: &Parts, dialect: Dialect, service: &str, body: &[u8]) -> Result<String, WireError> {
    if dialect == Dialect::Query {
        return Ok(query::Form::parse(parts.uri.query(), body)?.action()?.to_owned());
    }
    if dialect == Dialect::Rest {
        let found = rest::find(&lambda::SERVICE, &parts.method, parts.uri.path());
        return found.map(|found| found.route.operation.to_owned()).ok_or_else(|| {
            let message = format!("Towpath does not serve {} {} of Lambda.", parts.method, parts.uri.path());
            WireError::new("UnknownOperationException", 404, message)
        });
    }
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if parts.method != Method::POST {
        return Err(WireError::unknown_operation());
    }
    let content_type = text(CONTENT_TYPE.as_str());
    if !content_type.is_some_and(json::is_content_type) {
        return Err(WireError::unknown_content_type(content_type));
    }
    let (prefix, operation) =
        text("x-amz-target").and_then(json::split_target).ok_or_else(WireError::unknown_operation)?;
    let named = json::service_of_target(prefix).map(|named| named.name);
    // A service that is not served at all is told so by name, later.
    if named != Some(service) && json::serves(service) {
        return Err(WireError::unknown_operation());
    }
    Ok(operation.to_owned())
}

async fn route(front: &Front, service: &str, call: Call, parts: &Parts) -> Response<Bytes> {
    match service {
        "codepipeline" => front.pipelines(call).serve().await,
        "codebuild" => front.services.codebuild.handle(&call).await,
        "codecommit" => front.services.codecommit.handle(&call).await,
        "codeconnections" => front.services.connections.handle(Prefix::CodeConnections, &call).await,
        "codestar-connections" => front.services.connections.handle(Prefix::CodeStar, &call).await,
        "iam" => front.services.identity.handle_iam(&call).await,
        "lambda" => front.services.lambda.handle(&call, parts).await,
        "logs" => front.services.logs.handle(&call).await,
        "sts" => front.services.identity.handle_sts(&call).await,
        other => {
            let error = WireError::new(
                "UnknownOperationException",
                400,
                format!(
                    "Towpath does not serve the AWS service '{other}'. It serves codebuild, codecommit, codeconnections, codepipeline, codestar-connections, iam, lambda, logs, s3 and sts; point AWS_ENDPOINT_URL_{} elsewhere.",
                    other.to_uppercase().replace('-', "_")
                ),
            );
            json::respond_error(&error, &call.request_id)
        }
    }
}
