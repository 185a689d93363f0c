//! The embedded S3: buckets, versioned objects, multipart uploads, presigned URLs, on the protocol of s3s. Metadata is
//! kept in the document store, bytes in files under the data directory; a file is durable before a document refers to it.
//!
//! S3 verifies who signed a request and asks the identity service what they may do, handing over the bucket's policy; it
//! must not know pipelines, evaluate policies itself, or hold a body in memory. Who does not own a bucket gets in by its
//! policy or by a public canned ACL.

mod access;
mod answer;
mod auth;
mod blobs;
mod body;
mod chunks;
mod conditions;
mod convert;
mod core;
mod digest;
mod direct;
mod errors;
mod index;
mod ingest;
mod listing;
mod ops;
mod preflight;
mod records;
mod uploads;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use bytes::Bytes;
use futures::StreamExt as _;
use http::request::Parts;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::host::{S3Host, VirtualHost};
use s3s::service::S3ServiceBuilder;
use s3s::{HttpResponse, S3Error, S3Result};
use towpath_store::Documents;

pub use auth::{Authorize, Credentials, CredentialsError, Denied, Principal, Question};
pub use body::{Body, BoxError};
pub use direct::{BucketInfo, NewBucket, ObjectInfo, PutOptions, Refusal};

use answer::About;
use auth::{Caller, SecretBridge, VERIFYING};
use body::{Tap, streamed};
use chunks::Rechunked;

/// What time it is.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;
/// A source of 128 random bits.
pub type Random = Arc<dyn Fn() -> u128 + Send + Sync>;

/// Bytes of a request body that is an XML document or a policy.
const DOCUMENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What [`S3Service::open`] needs.
pub struct S3Options {
    /// `objects/` under it is made and used by this service alone, or by those that share it.
    pub data_dir: PathBuf,
    /// Other processes use the same directory and documents.
    pub shared: bool,
    pub documents: Arc<dyn Documents>,
    pub clock: Clock,
    pub random: Random,
    pub credentials: Arc<dyn Credentials>,
    pub authorize: Arc<dyn Authorize>,
    /// The region of requests that name none.
    pub region: String,
    /// Host names under which `BUCKET.NAME` is a bucket, `localhost` among them unless it must not be.
    pub domains: Vec<String>,
}

/// S3 could not be started.
#[derive(Debug, thiserror::Error)]
#[error("could not prepare `{}` for objects: check that it can be written", path.display())]
pub struct OpenError {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// The embedded S3. Cheap to clone.
#[derive(Clone)]
pub struct S3Service {
    core: Arc<core::Core>,
    service: s3s::service::S3Service,
    credentials: Arc<dyn Credentials>,
    domains: Arc<[String]>,
}

impl S3Service {
    /// Opens the data directory and starts to clear away, in the background, what a crash may have left.
    pub async fn open(options: S3Options) -> Result<Self, OpenError> {
        let S3Options { data_dir, shared, documents, clock, random, credentials, authorize, region, domains } = options;
        let dir = data_dir.clone();
        let others = core::others_since(clock(), shared);
        let opened = tokio::task::spawn_blocking(move || blobs::Blobs::open(&dir, others)).await;
        let opened = opened.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        let blobs = opened.map_err(|source| OpenError { path: data_dir.join("objects"), source })?;
        let index = index::Index::new(documents, clock, random);
        let core = Arc::new(core::Core { index, blobs: Arc::new(blobs), shared, authorize, region });
        let mut builder = S3ServiceBuilder::new(ops::Ops { core: Arc::clone(&core) });
        let mut config = S3Config::default();
        // Skew and expiry are judged before s3s, by our clock. s3s judges the expiry of presigned URLs once more, by the
        // machine's; that cannot be told otherwise.
        config.presigned_url_max_skew_time_secs = u32::MAX;
        config.xml_max_body_size = DOCUMENT_BYTES_MAX;
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        builder.set_auth(SecretBridge);
        builder.set_access(access::Gate { core: Arc::clone(&core) });
        let domains: Arc<[String]> = domains.into();
        builder.set_host(Hosts { domains: Arc::clone(&domains) });
        let sweeper = Arc::clone(&core);
        tokio::spawn(async move {
            if let Err(error) = sweeper.sweep().await {
                tracing::warn!(%error, "files without an owner could not be swept; the next start tries again");
            }
        });
        Ok(Self { core, service: builder.build(), credentials, domains })
    }

    /// Serves one request. Never fails: what goes wrong is an answer.
    pub async fn handle<B>(&self, request: http::Request<B>) -> http::Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = request.into_parts();
        let tap = Tap::new(body);
        let waits = parts.headers.get(http::header::EXPECT).is_some_and(|value| value.as_bytes() == b"100-continue");
        let (bucket, key) = preflight::locate(&parts, &self.domains);
        let random = self.core.index.random().to_be_bytes();
        let mut about = About {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            bucket,
            key,
            access_key: None,
            request_id: hex::encode_upper(&random[..8]),
            host_id: base64::engine::general_purpose::STANDARD.encode(random),
        };
        let served = self.serve(parts, tap.clone(), &mut about).await;
        let response = served.unwrap_or_else(|error| {
            error.to_http_response().unwrap_or_else(|_| {
                let mut response = HttpResponse::new(s3s::Body::empty());
                *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
                response
            })
        });
        let mut response = answer::finish(response, &about).await;
        // Who waited for a go-ahead and got an answer instead cannot go on over this connection: its next request would be
        // taken for the body, and botocore takes the answer to that for this one.
        if waits && !tap.had_go_ahead() {
            response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
        }
        if response.status().is_client_error() || response.status().is_server_error() {
            tap.drain(waits).await;
        }
        response
    }

    async fn serve(&self, mut parts: Parts, tap: Tap, about: &mut About) -> S3Result<HttpResponse> {
        let claim = preflight::check(&mut parts, self.core.index.now())?;
        let verifying = match claim {
            None => None,
            Some(claim) => {
                about.access_key = Some(claim.access_key.clone());
                let found = self.credentials.lookup(&claim.access_key, claim.token.as_deref()).await;
                let principal = Arc::new(found.map_err(|error| auth::credentials_error(&error))?);
                Some((claim.access_key, principal))
            }
        };
        parts.extensions.insert(Caller(verifying.as_ref().map(|(_, principal)| Arc::clone(principal))));
        let body = self.body(&parts, tap, about.key.as_deref()).await?;
        let request = http::Request::from_parts(parts, body);
        let answered = VERIFYING.scope(verifying, self.service.call(request)).await;
        answered.map_err(|error| {
            let cause: BoxError = error.into();
            errors::internal("answer a request", &*cause)
        })
    }

    /// The body as s3s gets it: documents whole and checked, chunks cut to a bearable size.
    async fn body(&self, parts: &Parts, tap: Tap, key: Option<&str>) -> S3Result<s3s::Body> {
        let payload = preflight::payload(parts);
        if let Some(streaming) = payload.strip_prefix("STREAMING-") {
            return Ok(streamed(Rechunked::new(tap, !streaming.starts_with("UNSIGNED-"))));
        }
        if !preflight::has_document(parts, key, &preflight::query(parts)) {
            return Ok(s3s::Body::http_body_unsync(tap));
        }
        let bytes = document(tap).await?;
        check_document(parts, &payload, &bytes)?;
        Ok(s3s::Body::from(bytes))
    }
}

async fn document(mut tap: Tap) -> S3Result<Bytes> {
    let mut bytes = Vec::new();
    while let Some(piece) = tap.next().await {
        let piece = piece.map_err(|_| errors::incomplete_body())?;
        if bytes.len() + piece.len() > DOCUMENT_BYTES_MAX {
            return Err(s3s::s3_error!(MaxMessageLengthExceeded, "Your request was too big."));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

/// What a request promises about a document in its body.
fn check_document(parts: &Parts, payload: &str, bytes: &[u8]) -> S3Result<()> {
    use sha2::Digest as _;
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let claimed = payload.len() == 64;
    if claimed && !hex::encode(sha2::Sha256::digest(bytes)).eq_ignore_ascii_case(payload) {
        return Err(errors::sha256_mismatch());
    }
    if let Some(md5) = text("content-md5")
        && ingest::parse_md5(md5)? != digest::md5_of(bytes)
    {
        return Err(errors::md5_mismatch());
    }
    // CompleteMultipartUpload names the checksum of the object in the same headers.
    let completes =
        parts.method == http::Method::POST && parts.uri.query().is_some_and(|query| query.contains("uploadId="));
    if completes {
        return Ok(());
    }
    for algorithm in digest::Algorithm::ALL {
        if let Some(sum) = text(algorithm.header())
            && ingest::parse_sum(algorithm, sum)? != digest::of(algorithm, bytes).value
        {
            return Err(errors::checksum_mismatch(algorithm.name()));
        }
    }
    Ok(())
}

/// `BUCKET.localhost` is a bucket; any other host is the service itself.
struct Hosts {
    domains: Arc<[String]>,
}

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> Result<VirtualHost<'a>, S3Error> {
        let found = VirtualHost::new(host);
        Ok(match preflight::host_bucket(host, &self.domains) {
            Some(bucket) => found.with_bucket(bucket),
            None => found,
        })
    }
}
