//! A small AWS in memory behind the SDK's own HTTP interface: STS, enough of S3 and of CodeBuild, with permissions,
//! throttling and broken connections on demand. It plays the peer of the providers; it shares no code with them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt;
use towpath_model::time::Timestamp;

use crate::{cloudwatch_peer, codebuild_peer, s3_peer};

/// Secret of the realm's own credentials and of every session; must never be seen in an outcome.
pub const SECRET: &str = "correct-horse-battery-staple";
pub const NOW: Timestamp = Timestamp(1_790_862_132_194);

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    pub service: String,
    pub region: String,
    pub access_key: String,
    pub method: String,
    pub host: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Bytes promised by Content-Length when they differ from the body: the connection broke.
    pub promised: Option<u64>,
}

impl Response {
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into(), promised: None }
    }

    pub fn status(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, ..Self::ok(body) }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// A role session that STS gave out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub role: String,
    pub name: String,
    /// Access key of who assumed it.
    pub by: String,
}

/// Another service of the world, by the name that signatures give it: `lambda`, `states`.
pub trait Peer: Send {
    /// The operation a request names, without its service: `Invoke`.
    fn operation(&self, request: &Request) -> String;

    fn answer(&mut self, request: &Request) -> Response;

    /// A refusal in the service's protocol.
    fn error(&self, _request: &Request, status: u16, code: &str, text: &str) -> Response {
        json_error(status, code, text)
    }

    /// How many changes were really made: what a repeated start must not raise.
    fn effects(&self) -> usize;

    /// Lets all work come to a good end.
    fn finish(&mut self) {}
}

/// The operation of a JSON 1.0 or 1.1 request.
pub fn json_operation(request: &Request) -> String {
    request.headers["x-amz-target"].rsplit('.').next().unwrap().to_owned()
}

/// A refusal as JSON and REST-JSON services word it.
pub fn json_error(status: u16, code: &str, text: &str) -> Response {
    Response::status(status, serde_json::json!({"__type": code, "message": text}).to_string())
        .header("x-amzn-errortype", code)
        .header("x-amzn-requestid", "R-1")
}

/// A refusal as Query services word it.
pub fn query_error(status: u16, code: &str, text: &str) -> Response {
    Response::status(
        status,
        format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error>\
             <RequestId>R-1</RequestId></ErrorResponse>"
        ),
    )
}

#[derive(Default)]
pub struct World {
    /// Services that a case brings along.
    pub peers: BTreeMap<String, Box<dyn Peer>>,
    pub s3: s3_peer::S3,
    pub codebuild: codebuild_peer::CodeBuild,
    pub cloudwatch: cloudwatch_peer::CloudWatch,
    pub sessions: BTreeMap<String, Session>,
    /// Operations nobody may call, as `s3:GetObject`.
    pub denied: BTreeSet<String>,
    /// How many more calls of an operation are throttled.
    pub throttled: HashMap<String, u32>,
    /// How many more calls of an operation find the connection closed.
    pub unreachable: HashMap<String, u32>,
    /// Access keys that are not accepted any more.
    pub revoked: BTreeSet<String>,
    /// Every operation that was let through, in order.
    pub log: Vec<String>,
    pub requests: Vec<Request>,
}

#[derive(Clone, Default)]
pub struct Aws(Arc<Mutex<World>>);

impl Aws {
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    pub fn http(&self) -> SharedHttpClient {
        let connector = SharedHttpConnector::new(Connector(self.clone()));
        http_client_fn(move |_, _| connector.clone())
    }

    /// Which operations were called, each once, in order of first call.
    pub fn operations(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        self.world().log.iter().filter(|op| seen.insert((*op).clone())).cloned().collect()
    }

    pub fn calls(&self, operation: &str) -> usize {
        self.world().log.iter().filter(|op| *op == operation).count()
    }
}

struct Connector(Aws);

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let aws = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = read(request).await;
            match aws.world().answer(&request) {
                Some(response) => Ok(write(response)),
                None => Err(ConnectorError::io("connection refused".into())),
            }
        })
    }
}

async fn read(mut request: HttpRequest) -> Request {
    let body = request.take_body().collect().await.unwrap().to_bytes().to_vec();
    let headers: BTreeMap<String, String> =
        request.headers().iter().map(|(k, v)| (k.to_lowercase(), v.to_owned())).collect();
    let uri: http::Uri = request.uri().parse().unwrap();
    // AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, ...
    let credential = headers.get("authorization").and_then(|value| Some(value.split_once("Credential=")?.1));
    // Who signs nothing asks a host, which is then the name of the peer.
    let host = uri.host().unwrap_or_default();
    let unsigned = format!("/-/-/{host}");
    let credential = credential.and_then(|text| text.split(',').next()).unwrap_or(&unsigned);
    let scope: Vec<&str> = credential.split('/').collect();
    let query = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    });
    Request {
        service: scope[3].to_owned(),
        region: scope[2].to_owned(),
        access_key: scope[0].to_owned(),
        method: request.method().to_owned(),
        host: uri.host().unwrap_or_default().to_owned(),
        path: decode(uri.path()),
        query: query.collect(),
        headers,
        body,
    }
}

pub fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8().unwrap().into_owned()
}

fn write(response: Response) -> HttpResponse {
    let length = response.promised.unwrap_or(response.body.len() as u64);
    let mut answer = HttpResponse::new(StatusCode::try_from(response.status).unwrap(), SdkBody::from(response.body));
    answer.headers_mut().insert("content-length", length.to_string());
    for (name, value) in response.headers {
        answer.headers_mut().insert(name, value);
    }
    answer
}

impl World {
    fn answer(&mut self, request: &Request) -> Option<Response> {
        self.requests.push(request.clone());
        let operation = match request.service.as_str() {
            "s3" => format!("s3:{}", s3_peer::operation(request)),
            "codebuild" => format!("codebuild:{}", json_operation(request)),
            "monitoring" => format!("cloudwatch:{}", cloudwatch_peer::operation(request)),
            other if self.peers.contains_key(other) => format!("{other}:{}", self.peers[other].operation(request)),
            _ => "sts:AssumeRole".to_owned(),
        };
        if spend(&mut self.unreachable, &operation) {
            return None;
        }
        if spend(&mut self.throttled, &operation) {
            return Some(self.error(request, 503, "SlowDown", "ThrottlingException", "Rate exceeded"));
        }
        if self.revoked.contains(&request.access_key) {
            let text = "The security token included in the request is expired";
            return Some(self.error(request, 400, "ExpiredToken", "ExpiredTokenException", text));
        }
        if self.denied.contains(&operation) {
            let text = format!("User: {} is not authorized to perform: {operation}", self.principal(request));
            return Some(self.error(request, 403, "AccessDenied", "AccessDeniedException", &text));
        }
        self.log.push(operation.clone());
        Some(match request.service.as_str() {
            "s3" => self.s3.answer(request),
            "monitoring" => self.cloudwatch.answer(request),
            "codebuild" => {
                let initiator = self.sessions.get(&request.access_key).map(|s| s.name.clone()).unwrap_or_default();
                self.codebuild.answer(request, &initiator)
            }
            other if self.peers.contains_key(other) => self.peers.get_mut(other).expect("just seen").answer(request),
            _ => self.assume(request),
        })
    }

    fn principal(&self, request: &Request) -> String {
        match self.sessions.get(&request.access_key) {
            Some(session) => format!("{}/{}", session.role, session.name),
            None => "codepipeline.amazonaws.com".to_owned(),
        }
    }

    fn error(&self, request: &Request, status: u16, s3_code: &str, json_code: &str, text: &str) -> Response {
        let response = match request.service.as_str() {
            "s3" => s3_peer::error(request, status, s3_code, text),
            "codebuild" => json_error(400, json_code, text),
            other if self.peers.contains_key(other) => self.peers[other].error(request, status, json_code, text),
            _ => query_error(status, s3_code, text),
        };
        response.header("x-amzn-requestid", "R-1")
    }

    /// Changes made in the services that cases brought along.
    pub fn effects(&self) -> usize {
        self.peers.values().map(|peer| peer.effects()).sum()
    }

    fn assume(&mut self, request: &Request) -> Response {
        let body = String::from_utf8(request.body.clone()).unwrap();
        let form: HashMap<String, String> =
            body.split('&').filter_map(|p| p.split_once('=')).map(|(k, v)| (decode(k), decode(v))).collect();
        let key = format!("ASIA{}", self.sessions.len() + 1);
        let session = Session {
            role: form["RoleArn"].clone(),
            name: form["RoleSessionName"].clone(),
            by: request.access_key.clone(),
        };
        let expires = NOW.plus_minutes(60).iso8601();
        let body = format!(
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{key}</AccessKeyId>\
             <SecretAccessKey>{SECRET}</SecretAccessKey><SessionToken>{SECRET}</SessionToken>\
             <Expiration>{expires}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        );
        self.sessions.insert(key, session);
        Response::ok(body)
    }
}

fn spend(counts: &mut HashMap<String, u32>, operation: &str) -> bool {
    counts.get_mut(operation).filter(|left| **left > 0).map(|left| *left -= 1).is_some()
}
