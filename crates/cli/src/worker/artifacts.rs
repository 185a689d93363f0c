//! A job's artifacts: fetched from S3 and unpacked, packed and put there, with the job's own credentials and nothing more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tokio::io::AsyncWriteExt as _;

use super::job::{Artifact, EncryptionKey, S3Location};
use super::jobs::kind;
use super::work::Taken;
use crate::client::Settings;
use crate::limits;

/// How zips are read and written; `assemble` brings the real way.
#[derive(Clone, Copy)]
pub struct Archives {
    /// Unpacks a zip into a directory.
    pub unpack: fn(&Path, &Path) -> Result<(), String>,
    /// Packs everything in a directory into a new zip; answers how many files that were.
    pub pack: fn(&Path, &Path) -> Result<u64, String>,
}

/// Why artifacts could not be brought or taken away, as a failure of the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub kind: &'static str,
    pub message: String,
}

impl Trouble {
    pub fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// Where objects are, and how archives are made.
#[derive(Clone)]
pub struct Store {
    archives: Archives,
    region: String,
    endpoint: String,
    http: SharedHttpClient,
}

impl Store {
    pub fn new(settings: &Settings, archives: Archives) -> Self {
        let endpoint = settings.endpoint("s3");
        let http = if endpoint.starts_with("http://") {
            Builder::new().build_http()
        } else {
            Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https()
        };
        Self { archives, region: settings.region.clone(), endpoint, http }
    }

    async fn client(&self, taken: &Taken) -> Result<aws_sdk_s3::Client, Trouble> {
        let credentials = taken.credentials().await.map_err(|error| {
            Trouble::new(kind::SYSTEM, format!("There are no credentials for the job's artifacts: {error}"))
        })?;
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .endpoint_url(&self.endpoint)
            // A server's name is seldom one under which every bucket is a name too; AWS takes paths as well.
            .force_path_style(true)
            .credentials_provider(credentials)
            .http_client(self.http.clone())
            .build();
        Ok(aws_sdk_s3::Client::from_conf(config))
    }

    /// Fetches an input artifact into a new file.
    pub async fn fetch(&self, taken: &Taken, artifact: &Artifact, file: &Path) -> Result<(), Trouble> {
        let S3Location { bucket_name, object_key } = &artifact.location.s3;
        let client = self.client(taken).await?;
        let got = client.get_object().bucket(bucket_name).key(object_key).send().await;
        let mut body = got.map_err(|error| refused("fetch the input artifact", &artifact.name, &error))?.body;
        let written = async {
            let mut out = tokio::fs::File::create(file).await?;
            let mut bytes = 0_u64;
            while let Some(chunk) = body.next().await {
                let chunk = chunk.map_err(std::io::Error::other)?;
                bytes = bytes.saturating_add(chunk.len() as u64);
                if bytes > limits::WORKER_ARTIFACT_BYTES_MAX {
                    return Err(std::io::Error::other("it is larger than any artifact may be"));
                }
                out.write_all(&chunk).await?;
            }
            out.flush().await
        };
        written.await.map_err(|error: std::io::Error| {
            Trouble::new(kind::SYSTEM, format!("Cannot fetch the input artifact {}: {error}", artifact.name))
        })
    }

    /// Fetches an input artifact and unpacks it into a new directory.
    pub async fn bring(&self, taken: &Taken, artifact: &Artifact, scratch: &Path, into: &Path) -> Result<(), Trouble> {
        let zip = scratch.join(format!("{}.zip", artifact.name));
        self.fetch(taken, artifact, &zip).await?;
        let (unpack, from, to) = (self.archives.unpack, zip.clone(), into.to_owned());
        let unpacked = blocking(move || {
            std::fs::create_dir_all(&to).map_err(|error| error.to_string())?;
            unpack(&from, &to)
        });
        let unpacked = unpacked.await.map_err(|why| {
            Trouble::new(kind::CONFIGURATION, format!("The input artifact {} cannot be unpacked: {why}", artifact.name))
        });
        let _ = tokio::fs::remove_file(&zip).await;
        unpacked
    }

    /// Packs a directory and puts it where the output artifact belongs.
    pub async fn deliver(
        &self,
        taken: &Taken,
        artifact: &Artifact,
        from: &Path,
        scratch: &Path,
    ) -> Result<(), Trouble> {
        let zip = scratch.join(format!("{}.out.zip", artifact.name));
        let (pack, directory, out) = (self.archives.pack, from.to_owned(), zip.clone());
        let packed = blocking(move || pack(&directory, &out)).await.map_err(|why| {
            Trouble::new(kind::JOB_FAILED, format!("The output artifact {} cannot be packed: {why}", artifact.name))
        })?;
        if packed == 0 {
            return Err(Trouble::new(
                kind::JOB_FAILED,
                format!("The output artifact {} is empty: nothing was left in its directory.", artifact.name),
            ));
        }
        self.put(taken, artifact, &zip).await
    }

    async fn put(&self, taken: &Taken, artifact: &Artifact, zip: &Path) -> Result<(), Trouble> {
        let S3Location { bucket_name, object_key } = &artifact.location.s3;
        let client = self.client(taken).await?;
        let body = ByteStream::from_path(zip).await.map_err(|error| {
            Trouble::new(kind::SYSTEM, format!("Cannot read the packed output artifact {}: {error}", artifact.name))
        })?;
        // What AWS asks of every worker: the store's key, or S3's own.
        let key = taken.job.data.encryption_key.as_ref().map(|EncryptionKey { id }| id.clone());
        let put = client
            .put_object()
            .bucket(bucket_name)
            .key(object_key)
            .content_type("application/zip")
            .server_side_encryption(ServerSideEncryption::AwsKms)
            .set_ssekms_key_id(key)
            .body(body);
        put.send().await.map(drop).map_err(|error| refused("put the output artifact", &artifact.name, &error))
    }

    /// A link to an input artifact that works for as long as the job's credentials do.
    pub async fn link(&self, taken: &Taken, artifact: &Artifact) -> Result<String, Trouble> {
        let S3Location { bucket_name, object_key } = &artifact.location.s3;
        let client = self.client(taken).await?;
        let config = PresigningConfig::expires_in(LINK_LIFE)
            .map_err(|error| Trouble::new(kind::SYSTEM, format!("Cannot make a link: {error}")))?;
        let link = client.get_object().bucket(bucket_name).key(object_key).presigned(config).await;
        link.map(|request| request.uri().to_owned())
            .map_err(|error| refused("make a link to the input artifact", &artifact.name, &error))
    }
}

const LINK_LIFE: Duration = Duration::from_mins(15);

/// A refusal is the role's doing, anything else the network's.
fn refused<E>(what: &str, artifact: &str, error: &aws_sdk_s3::error::SdkError<E>) -> Trouble
where
    E: std::error::Error + aws_sdk_s3::error::ProvideErrorMetadata + 'static,
{
    let code = aws_sdk_s3::error::ProvideErrorMetadata::code(error).unwrap_or_default();
    let kind = match code {
        "AccessDenied" => kind::PERMISSION,
        "NoSuchKey" | "NoSuchBucket" => kind::CONFIGURATION,
        _ => kind::SYSTEM,
    };
    Trouble::new(kind, format!("Cannot {what} {artifact}: {}", DisplayErrorContext(error)))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}

/// A name as a file name of its own: names of artifacts and actions have nothing else in them.
pub fn safe(name: &str) -> bool {
    !name.is_empty() && name.len() <= 100 && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

/// Directories of a job, all below one.
#[derive(Debug)]
pub struct Places {
    pub root: tempfile::TempDir,
}

impl Places {
    pub fn new(base: &Path) -> Result<Self, Trouble> {
        let made = tempfile::Builder::new().prefix("job-").tempdir_in(base);
        let root = made.map_err(|error| {
            Trouble::new(kind::SYSTEM, format!("Cannot make a directory in {}: {error}", base.display()))
        })?;
        for name in [INPUTS, OUTPUTS, SCRATCH] {
            std::fs::create_dir(root.path().join(name))
                .map_err(|error| Trouble::new(kind::SYSTEM, format!("Cannot make a directory for the job: {error}")))?;
        }
        Ok(Self { root })
    }

    pub fn inputs(&self) -> PathBuf {
        self.root.path().join(INPUTS)
    }

    pub fn outputs(&self) -> PathBuf {
        self.root.path().join(OUTPUTS)
    }

    /// For packed artifacts and files of the worker's own.
    pub fn scratch(&self) -> PathBuf {
        self.root.path().join(SCRATCH)
    }
}

const INPUTS: &str = "inputs";
const OUTPUTS: &str = "outputs";
const SCRATCH: &str = "job";
