//! Single files of artifacts: one read out of an input, or one that is a whole output. Says nothing of what the file means.

use std::io::{self, Read as _};
use std::path::Path;

use bytes::Bytes;
use tempfile::NamedTempFile;
use towpath_artifacts::{Archive, Item, Limits, PackError, ReadError, pack};
use towpath_model::action::{ActionInvocation, ArtifactLocation, Outcome, error_code};

use crate::inputs;
use crate::objects::{S3, StoreError, Target};
use crate::problem::{Kind, Problem};
use crate::provider::Call;
use crate::session::REVISION_METADATA;

/// Why a file of an artifact cannot be read or written.
#[derive(Debug)]
pub enum Trouble {
    /// The artifact's object could not be read.
    Input(Problem),
    /// The artifact's object could not be written.
    Output(Problem),
    Archive(ReadError),
    Missing {
        path: String,
    },
    TooLarge {
        path: String,
        max: u64,
    },
    /// Our own disk.
    Local(io::Error),
}

impl Trouble {
    /// What it means for the action, in AWS's words where it has some.
    pub fn outcome(&self, artifact: &ArtifactLocation) -> Outcome {
        let name = &artifact.name;
        let wrong = |message: String| Outcome::failed(error_code::CONFIGURATION_ERROR, message);
        match self {
            Self::Input(problem) => inputs::outcome(artifact, problem),
            Self::Output(problem) => {
                let code = match problem.kind {
                    Kind::AccessDenied => error_code::PERMISSION_ERROR,
                    Kind::NotFound | Kind::Rejected | Kind::Transient | Kind::Session => error_code::JOB_FAILED,
                };
                let unable = "Unable to write the artifact with Amazon S3 object key";
                problem.outcome(
                    code,
                    format!("{unable} '{}' to the bucket '{}'. {}", artifact.key, artifact.bucket, problem.detail()),
                )
            }
            Self::Archive(error) => Outcome::failed(
                error_code::JOB_FAILED,
                format!("The archive is malformed: the artifact {name} cannot be read: {error}."),
            ),
            Self::Missing { path } => wrong(format!("The artifact {name} has no file {path}.")),
            Self::TooLarge { path, max } => {
                wrong(format!("The file {path} of the artifact {name} has more than {max} bytes."))
            }
            Self::Local(error) => {
                Outcome::Unavailable { message: format!("cannot keep the artifact {name} for the moment: {error}") }
            }
        }
    }
}

/// The bytes of the file at `path` in an input artifact, `max` at the most.
pub async fn read(
    cx: &Call<'_>,
    action: &ActionInvocation,
    artifact: &ArtifactLocation,
    path: &str,
    max: u64,
) -> Result<Vec<u8>, Trouble> {
    let zip = fetch(cx, action, artifact).await?;
    let wanted = path.to_owned();
    blocking(move || {
        let mut bytes = Vec::new();
        entry(zip.path(), &wanted, max, &mut bytes)?;
        Ok(bytes)
    })
    .await?
}

/// The zip of an input artifact, on this machine.
pub async fn fetch(
    cx: &Call<'_>,
    action: &ActionInvocation,
    artifact: &ArtifactLocation,
) -> Result<NamedTempFile, Trouble> {
    let zip = tempfile::Builder::new().prefix("input-").tempfile_in(cx.scratch).map_err(Trouble::Local)?;
    let from = S3::new(cx.artifacts, action, &artifact.region);
    from.fetch(&artifact.bucket, &artifact.key, zip.path()).await.map_err(|error| match error {
        StoreError::S3(problem) => Trouble::Input(problem),
        StoreError::Read(error) => Trouble::Local(error),
    })?;
    Ok(zip)
}

/// The file at `path` of a fetched zip, on this machine: one that may be too large for the memory.
pub async fn extract(cx: &Call<'_>, zip: &Path, path: &str, max: u64) -> Result<NamedTempFile, Trouble> {
    let mut file = tempfile::Builder::new().prefix("file-").tempfile_in(cx.scratch).map_err(Trouble::Local)?;
    let (zip, wanted) = (zip.to_path_buf(), path.to_owned());
    blocking(move || {
        entry(&zip, &wanted, max, file.as_file_mut())?;
        Ok(file)
    })
    .await?
}

fn entry(zip: &Path, path: &str, max: u64, to: &mut dyn io::Write) -> Result<(), Trouble> {
    let path = path.trim_start_matches("./");
    let mut archive = Archive::open(zip, &Limits::DEFAULT).map_err(Trouble::Archive)?;
    let entries = archive.entries().clone();
    let found = entries.iter().find(|entry| entry.name == path).and_then(|entry| archive.resolve(entry)).cloned();
    let found = found.ok_or_else(|| Trouble::Missing { path: path.to_owned() })?;
    if found.size > max {
        return Err(Trouble::TooLarge { path: path.to_owned(), max });
    }
    let mut reader = archive.reader(&found).map_err(Trouble::Archive)?;
    io::copy(&mut reader.by_ref().take(max), to)
        .map_err(|source| Trouble::Archive(ReadError::DamagedEntry { entry: path.to_owned(), source }))?;
    Ok(())
}

/// Writes an output artifact that holds one file, with the artifact's revision if it has one. The same bytes make the same
/// object.
pub async fn write_one(
    cx: &Call<'_>,
    action: &ActionInvocation,
    artifact: &ArtifactLocation,
    name: &str,
    bytes: Vec<u8>,
) -> Result<(), Trouble> {
    let directory = tempfile::Builder::new().prefix("output-").tempdir_in(cx.scratch).map_err(Trouble::Local)?;
    let (root, file) = (directory.path().to_path_buf(), name.to_owned());
    let zipped = blocking(move || zip_of(&root, file, &bytes)).await?.map_err(Trouble::Local)?;
    let target = Target { bucket: artifact.bucket.clone(), key: artifact.key.clone(), ..Target::default() };
    let metadata = artifact.revision_id.iter().map(|id| (REVISION_METADATA.to_owned(), id.clone())).collect();
    let target = Target { content_type: Some("application/zip".to_owned()), metadata, ..target }
        .encrypted_as_artifact(cx.artifacts, action.encryption_key.as_deref());
    S3::new(cx.artifacts, action, &artifact.region).store(&target, zipped).await.map_err(Trouble::Output)
}

fn zip_of(root: &Path, name: String, bytes: &[u8]) -> io::Result<Bytes> {
    let content = root.join("content");
    std::fs::create_dir(&content)?;
    let path = content.join(&name);
    std::fs::write(&path, bytes)?;
    let zip = root.join("artifact.zip");
    pack(&content, vec![Item { name, path }], &zip).map_err(|error: PackError| io::Error::other(error))?;
    std::fs::read(&zip).map(Bytes::from)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Trouble> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Trouble::Local(io::Error::other(error)))
}
