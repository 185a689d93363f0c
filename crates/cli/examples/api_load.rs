//! Calls a CodePipeline endpoint over 16 connections as fast as it answers: reads (GetPipeline), small writes
//! (TagResource), creates (CreatePipeline). Every request is signed before the clock starts, so that the client costs
//! little beside the server. Prints one JSON object. `cargo xtask bench` runs it against Towpath and against moto;
//! `cargo run --release -p towpath-cli --example api_load -- HOST:PORT ACCESS_KEY SECRET_KEY [SECONDS]`.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use serde_json::{Value, json};

const CONNECTIONS: usize = 16;
/// Signed creates are kept ready: more than any endpoint takes in the time.
const CREATES_PER_SECOND_MAX: usize = 6_000;
/// Different small writes of one connection, over and over.
const WRITES: usize = 64;
const ROLE: &str = "arn:aws:iam::123456789012:role/bench";
const TRUST: &str = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%7B%22Service%22%3A%22codepipeline.amazonaws.com%22%7D%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%5D%7D";

type Result<T = (), E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[expect(clippy::print_stdout, reason = "the figures are its output")]
fn main() -> Result {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or_else(|| format!("{what} is missing"));
    let (host, access, secret) = (next("HOST:PORT")?, next("ACCESS_KEY")?, next("SECRET_KEY")?);
    let seconds: usize = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let caller = Caller { host, credentials: Credentials::new(access, secret, None, None, "bench") };

    let role = format!("Action=CreateRole&Version=2010-05-08&RoleName=bench&AssumeRolePolicyDocument={TRUST}");
    caller.once(&caller.query("iam", &role)?)?;
    caller.once(&caller.signed("s3", http::Request::put("/bench-artifacts"), Bytes::new())?)?;
    for n in 0..CONNECTIONS {
        caller.once(&caller.json("CreatePipeline", &pipeline(&format!("read-{n}")))?)?;
    }

    let span = Duration::from_secs(seconds as u64);
    let reads = each(|n| Ok(vec![caller.json("GetPipeline", &json!({"name": format!("read-{n}")}))?]))?;
    let reads = caller.rate(&reads, span, Again::Yes)?;
    let writes = each(|n| {
        let arn = format!("arn:aws:codepipeline:us-east-1:123456789012:read-{n}");
        let tag = |value: usize| json!({"resourceArn": arn, "tags": [{"key": "build", "value": value.to_string()}]});
        (0..WRITES).map(|value| caller.json("TagResource", &tag(value))).collect()
    })?;
    let writes = caller.rate(&writes, span, Again::Yes)?;
    let creates = each(|n| {
        let count = seconds * CREATES_PER_SECOND_MAX / CONNECTIONS;
        (0..count).map(|i| caller.json("CreatePipeline", &pipeline(&format!("new-{n}-{i}")))).collect()
    })?;
    let creates = caller.rate(&creates, span, Again::No)?;
    println!("{}", json!({"reads_per_s": reads, "writes_per_s": writes, "creates_per_s": creates}));
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a client signs with the time it is")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Two stages that do nothing, at once.
fn pipeline(name: &str) -> Value {
    let stage = |name: &str, category: &str| {
        let id = json!({"category": category, "owner": "Custom", "provider": "Rehearsal", "version": "1"});
        json!({"name": name, "actions": [{"name": "A", "actionTypeId": id}]})
    };
    json!({"pipeline": {
        "name": name,
        "roleArn": ROLE,
        "artifactStore": {"type": "S3", "location": "bench-artifacts"},
        "stages": [stage("Source", "Source"), stage("Build", "Build")],
    }})
}

/// Whether requests may be sent more than once.
#[derive(Clone, Copy, PartialEq)]
enum Again {
    Yes,
    No,
}

struct Caller {
    host: String,
    credentials: Credentials,
}

impl Caller {
    fn json(&self, operation: &str, body: &Value) -> Result<Vec<u8>> {
        let request = http::Request::post("/")
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("CodePipeline_20150709.{operation}"));
        self.signed("codepipeline", request, Bytes::from(body.to_string()))
    }

    fn query(&self, service: &str, form: &str) -> Result<Vec<u8>> {
        let request = http::Request::post("/").header("content-type", "application/x-www-form-urlencoded");
        self.signed(service, request, Bytes::copy_from_slice(form.as_bytes()))
    }

    /// A request as it goes over the wire.
    fn signed(&self, service: &str, request: http::request::Builder, body: Bytes) -> Result<Vec<u8>> {
        let mut request = request.header("host", &self.host).header("content-length", body.len()).body(body)?;
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name(service)
            .time(now())
            .settings(settings)
            .build()?
            .into();
        let url = format!("http://{}{}", self.host, request.uri());
        let headers: Vec<(String, String)> = request
            .headers()
            .iter()
            .filter(|(name, _)| *name != "content-length")
            .map(|(name, value)| Ok((name.to_string(), value.to_str()?.to_owned())))
            .collect::<Result<_>>()?;
        let signable = SignableRequest::new(
            request.method().as_str(),
            url,
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())),
            SignableBody::Bytes(request.body()),
        )?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        let mut wire = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri()).into_bytes();
        for (name, value) in request.headers() {
            wire.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        wire.extend(b"\r\n");
        wire.extend(request.body());
        Ok(wire)
    }

    fn once(&self, request: &[u8]) -> Result {
        Connection::default().call(&self.host, request)
    }

    /// Answers per second, over all connections together.
    #[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
    fn rate(&self, requests: &[Vec<Vec<u8>>], span: Duration, again: Again) -> Result<f64> {
        let begun = Instant::now();
        let count = std::thread::scope(|scope| {
            let one = |mine: &[Vec<u8>]| -> Result<usize> {
                let mut connection = Connection::default();
                let mut done = 0;
                while begun.elapsed() < span && (again == Again::Yes || done < mine.len()) {
                    connection.call(&self.host, &mine[done % mine.len()])?;
                    done += 1;
                }
                Ok(done)
            };
            let threads: Vec<_> = requests.iter().map(|mine| scope.spawn(move || one(mine))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum::<Result<usize>>()
        })?;
        Ok(count as f64 / begun.elapsed().as_secs_f64())
    }
}

/// The requests of every connection.
fn each(of: impl Fn(usize) -> Result<Vec<Vec<u8>>>) -> Result<Vec<Vec<Vec<u8>>>> {
    (0..CONNECTIONS).map(of).collect()
}

/// One connection, opened when it is needed; moto closes it after every answer.
#[derive(Default)]
struct Connection {
    stream: Option<TcpStream>,
    answer: Vec<u8>,
}

impl Connection {
    /// Sends one request and reads its answer, which must be a success.
    fn call(&mut self, host: &str, request: &[u8]) -> Result {
        let mut stream = if let Some(stream) = self.stream.take() {
            stream
        } else {
            let stream = TcpStream::connect(host)?;
            stream.set_nodelay(true)?;
            stream
        };
        stream.write_all(request)?;
        self.answer.clear();
        let mut buffer = [0; 16 * 1024];
        let (head, length) = loop {
            let read = stream.read(&mut buffer)?;
            if read == 0 {
                return Err("the connection was closed before an answer".into());
            }
            self.answer.extend(&buffer[..read]);
            if let Some(end) = self.answer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = std::str::from_utf8(&self.answer[..end])?.to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
                break (end + 4, length.map_or(Ok(0), |text| text.trim().parse::<usize>())?);
            }
        };
        while self.answer.len() < head + length {
            let read = stream.read(&mut buffer)?;
            if read == 0 {
                return Err("the connection was closed in the middle of an answer".into());
            }
            self.answer.extend(&buffer[..read]);
        }
        let status = &self.answer[9..12];
        if status != b"200" {
            return Err(String::from_utf8_lossy(&self.answer).into_owned().into());
        }
        let head = self.answer[..head].to_ascii_lowercase();
        let closes = head.windows(17).any(|text| text == b"connection: close") || head.starts_with(b"http/1.0");
        if !closes {
            self.stream = Some(stream);
        }
        Ok(())
    }
}
