//! A server on a loopback port, with keys and permissions a test decides, and clients for it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use async_trait::async_trait;
use aws_credential_types::Credentials as ClientCredentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Config, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpListener;
use towpath_services::s3::{
    Authorize, Clock, Credentials, CredentialsError, Denied, Principal, Question, Random, S3Options, S3Service,
};
use towpath_store::{Documents, MemoryStore};

pub const ACCOUNT: &str = "123456789012";
pub const STRANGER: &str = "210987654321";

pub struct Keys(HashMap<&'static str, (&'static str, Option<&'static str>, &'static str)>);

impl Keys {
    fn new() -> Self {
        Self(HashMap::from([
            ("AKIAOWNER", ("owner-secret", None, ACCOUNT)),
            ("AKIASTRANGER", ("stranger-secret", None, STRANGER)),
            ("ASIATEMPORARY", ("temporary-secret", Some("the-token"), ACCOUNT)),
        ]))
    }
}

#[async_trait]
impl Credentials for Keys {
    async fn lookup(&self, access_key: &str, session_token: Option<&str>) -> Result<Principal, CredentialsError> {
        let (secret, token, account) = self.0.get(access_key).ok_or(CredentialsError::UnknownKey)?;
        if session_token == Some("an-ended-token") {
            return Err(CredentialsError::Expired);
        }
        if session_token != *token {
            return Err(CredentialsError::InvalidToken);
        }
        let arn = format!("arn:aws:iam::{account}:root");
        Ok(Principal { account: (*account).to_owned(), arn, secret: (*secret).to_owned(), detail: None })
    }
}

/// Allows everything but the actions it is told to deny, and remembers what it was asked.
#[derive(Default)]
pub struct Rules {
    pub denied: Mutex<Vec<&'static str>>,
    pub asked: Mutex<Vec<(String, String)>>,
}

#[async_trait]
impl Authorize for Rules {
    async fn check(&self, question: Question<'_>) -> Result<(), Denied> {
        self.asked.lock().unwrap().push((question.action.to_owned(), question.resource.to_owned()));
        let refused = |message: String| Err(Denied { message, explicit: false });
        let owner = question.owner;
        let own = question.principal.filter(|principal| owner.is_none_or(|owner| owner == principal.account));
        // These rules speak of the owner alone; what policies say of others is identity's to know.
        let Some(principal) = own else { return refused("Access Denied".to_owned()) };
        if self.denied.lock().unwrap().contains(&question.action) {
            return refused(format!(
                "User: {} is not authorized to perform: {} on resource: \"{}\" because no identity-based policy allows \
                 the {} action",
                principal.arn, question.action, question.resource, question.action
            ));
        }
        Ok(())
    }

    async fn check_policy(&self, _: &str, _: &str) -> Result<(), String> {
        Ok(())
    }
}

pub struct Server {
    pub service: S3Service,
    pub address: SocketAddr,
    pub rules: Arc<Rules>,
    pub documents: Arc<dyn Documents>,
    pub dir: TempDir,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tests are where the clock comes from: clients sign with the real time"
)]
pub fn clock() -> Clock {
    Arc::new(SystemTime::now)
}

pub fn random() -> Random {
    Arc::new(rand::random)
}

pub async fn open(
    dir: &Path,
    documents: Arc<dyn Documents>,
    rules: Arc<Rules>,
    clock: Clock,
    random: Random,
) -> S3Service {
    open_with(dir, false, documents, rules, clock, random).await
}

pub async fn open_with(
    dir: &Path,
    shared: bool,
    documents: Arc<dyn Documents>,
    rules: Arc<Rules>,
    clock: Clock,
    random: Random,
) -> S3Service {
    S3Service::open(S3Options {
        data_dir: dir.to_owned(),
        shared,
        documents,
        clock,
        random,
        credentials: Arc::new(Keys::new()),
        authorize: rules,
        region: "us-east-1".to_owned(),
        domains: vec!["localhost".to_owned()],
    })
    .await
    .unwrap()
}

impl Server {
    pub async fn start() -> Self {
        Self::with(clock(), random()).await
    }

    /// With its files in memory where the system has such a place, for tests that write thousands of them.
    pub async fn quick() -> Self {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self::at(dir.unwrap(), clock(), random()).await
    }

    pub async fn with(clock: Clock, random: Random) -> Self {
        Self::at(tempfile::tempdir().unwrap(), clock, random).await
    }

    async fn at(dir: TempDir, clock: Clock, random: Random) -> Self {
        let documents: Arc<dyn Documents> = Arc::new(MemoryStore::new());
        let rules = Arc::new(Rules::default());
        let service = open(dir.path(), Arc::clone(&documents), Arc::clone(&rules), clock, random).await;
        let address = listen(service.clone()).await;
        Self { service, address, rules, documents, dir }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The owner's client.
    pub fn client(&self) -> Client {
        self.client_of("AKIAOWNER", "owner-secret", None)
    }

    pub fn client_of(&self, key: &str, secret: &str, token: Option<&str>) -> Client {
        self.client_with(key, secret, token, |config| config)
    }

    pub fn client_with(
        &self,
        key: &str,
        secret: &str,
        token: Option<&str>,
        change: impl FnOnce(aws_sdk_s3::config::Builder) -> aws_sdk_s3::config::Builder,
    ) -> Client {
        let credentials = ClientCredentials::new(key, secret, token.map(str::to_owned), None, "test");
        let config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .credentials_provider(credentials)
            .endpoint_url(self.url())
            .force_path_style(true)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(RetryConfig::disabled());
        Client::from_conf(change(config).build())
    }

    /// A client and a bucket of its owner.
    pub async fn bucket(&self, name: &str) -> Client {
        let client = self.client();
        client.create_bucket().bucket(name).send().await.unwrap();
        client
    }

    /// The same with versioning on.
    pub async fn versioned(&self, name: &str) -> Client {
        let client = self.bucket(name).await;
        set_versioning(&client, name, "Enabled").await;
        client
    }

    /// Files of bytes under their final names.
    pub fn files(&self) -> usize {
        let shards = std::fs::read_dir(self.dir.path().join("objects")).unwrap().map(Result::unwrap);
        let shards = shards.filter(|shard| shard.file_name() != "tmp");
        shards.map(|shard| std::fs::read_dir(shard.path()).unwrap().count()).sum()
    }

    pub fn drafts(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("objects/tmp")).unwrap().count()
    }

    /// A request as it is, over HTTP without any signature of ours.
    pub async fn raw(&self, request: &str) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub async fn get(&self, path: &str) -> String {
        self.raw(&format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address)).await
    }
}

async fn listen(service: S3Service) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let answer = hyper::service::service_fn(move |request| {
                    let service = service.clone();
                    async move { Ok::<_, std::convert::Infallible>(service.handle(request).await) }
                });
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    address
}

pub async fn set_versioning(client: &Client, bucket: &str, status: &str) {
    let configuration = aws_sdk_s3::types::VersioningConfiguration::builder().status(status.into()).build();
    client.put_bucket_versioning().bucket(bucket).versioning_configuration(configuration).send().await.unwrap();
}

pub async fn put(
    client: &Client,
    bucket: &str,
    key: &str,
    body: &str,
) -> aws_sdk_s3::operation::put_object::PutObjectOutput {
    client.put_object().bucket(bucket).key(key).body(body.as_bytes().to_vec().into()).send().await.unwrap()
}

pub async fn text(client: &Client, bucket: &str, key: &str) -> String {
    let got = client.get_object().bucket(bucket).key(key).send().await.unwrap();
    String::from_utf8(got.body.collect().await.unwrap().to_vec()).unwrap()
}

/// `CODE STATUS: message` of a refusal.
pub fn refusal<T: std::fmt::Debug, E>(result: Result<T, SdkError<E, aws_smithy_runtime_api::http::Response>>) -> String
where
    E: ProvideErrorMetadata + std::fmt::Debug,
{
    let error = result.unwrap_err();
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    match error {
        SdkError::ServiceError(context) => {
            let error = context.err();
            format!("{} {status}: {}", error.code().unwrap_or_default(), error.message().unwrap_or_default())
        }
        other => format!("{other:?}"),
    }
}

/// `CODE STATUS` of a refusal.
pub fn code<T: std::fmt::Debug, E>(result: Result<T, SdkError<E, aws_smithy_runtime_api::http::Response>>) -> String
where
    E: ProvideErrorMetadata + std::fmt::Debug,
{
    refusal(result).split(':').next().unwrap_or_default().to_owned()
}
