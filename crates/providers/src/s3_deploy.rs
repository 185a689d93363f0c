//! Deploy / AWS / S3: writes the input artifact, or every file in it, to a bucket.
//!
//! Nothing is deleted from the bucket, and nothing depends on the moment of the call: `{datetime}` is the action's start
//! and `{uuid}` its action execution id, so that a start repeated after a crash writes the same bytes to the same keys.

use std::io::{self, Read};
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::types::ObjectCannedAcl;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::{Semaphore, mpsc};
use towpath_artifacts::{Archive, Entry, EntryKind, Limits, ReadError};
use towpath_model::action::{ActionInvocation, ArtifactLocation, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::TIMEOUT_S3_DEPLOY_MINUTES;
use towpath_model::time::Timestamp;

use crate::inputs;
use crate::limits;
use crate::links;
use crate::objects::{Pieces, S3, Source, StoreError, Target};
use crate::problem::{Kind, Problem};
use crate::provider::{Call, Provider, configured};
use crate::realm::RealmKind;
use crate::realms::Service;
use crate::session::CLONE_REF_METADATA;

const CANNED_ACLS: [&str; 7] = [
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
];

pub struct S3Deploy {
    entry: ActionTypeEntry,
}

impl Default for S3Deploy {
    fn default() -> Self {
        Self::new()
    }
}

impl S3Deploy {
    pub fn new() -> Self {
        Self { entry: entry() }
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Deploy, Owner::Aws, "S3", "1"),
        description: "Writes the input artifact, or every file in it, to an Amazon S3 bucket.".to_owned(),
        properties: vec![
            Property::required("BucketName", "Bucket to write to."),
            Property::required("Extract", "Write every file of the artifact, or the artifact as one object.").boolean(),
            Property::optional(
                "ObjectKey",
                "Key of the object, required when `Extract` is `false`; else a prefix of the keys. `{datetime}` becomes \
                 the time of the action's start, `{uuid}` an id of its own.",
            ),
            Property::optional("CannedACL", "Canned ACL of every object written.").one_of(&CANNED_ACLS),
            Property::optional("CacheControl", "Cache-Control header of every object written."),
            Property::optional(
                "KMSEncryptionKeyARN",
                "Key that encrypts the objects: an id, an ARN or an alias. The bucket's own encryption when absent. In \
                 Towpath's own S3 it fails the action: there is no AWS KMS beside it.",
            ),
        ],
        inputs: Bounds::new(1, 1),
        outputs: Bounds::new(0, 0),
        output_variables: Vec::new(),
        default_timeout_minutes: TIMEOUT_S3_DEPLOY_MINUTES,
        timeout_configurable: false,
        v2_only: false,
        repeat: Repeat::SameWrite,
        entity_url_template: Some("https://console.aws.amazon.com/s3/buckets/{Config:BucketName}".to_owned()),
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-S3Deploy.html"
            .to_owned(),
    }
}

/// `YYYY-MM-DD_HH-MM-SS` in UTC.
fn datetime(at: Timestamp) -> String {
    let text = at.iso8601();
    let (date, time) = text.split_once('T').unwrap_or((&text, ""));
    format!("{date}_{}", time.chars().take(8).collect::<String>().replace(':', "-"))
}

/// The media type of a file by its extension, as S3 deploy actions guess it: no charset, no look inside.
fn content_type(name: &str) -> String {
    let extension = name.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase());
    match extension.as_deref() {
        // Observed on AWS, unlike what the registry says today.
        Some("js") => "application/x-javascript".to_owned(),
        Some("xml") => "application/xml".to_owned(),
        _ => mime_guess::from_path(name).first_or_octet_stream().essence_str().to_owned(),
    }
}

/// The configuration, read.
struct Plan {
    /// What every written object has in common; its key is filled in for each.
    target: Target,
    extract: bool,
    /// The key, or the prefix without a slash at its end.
    key: String,
}

impl Plan {
    fn read(action: &ActionInvocation, kind: RealmKind) -> Result<Self, String> {
        let bucket = configured(action, "BucketName")?;
        let extract = match action.config("Extract").map(str::to_ascii_lowercase).as_deref() {
            Some("true") => true,
            Some("false") => false,
            other => {
                return Err(format!(
                    "Invalid value for configuration property '{}': 'Extract'. Edit your pipeline and set 'Extract' to \
                     either 'true' or 'false'.",
                    other.unwrap_or_default()
                ));
            }
        };
        let key = action
            .config("ObjectKey")
            .unwrap_or_default()
            .replace("{datetime}", &datetime(action.started))
            .replace("{uuid}", &action.action_execution_id);
        if !extract && key.is_empty() {
            return Err(
                "When the extract feature is disabled, you must provide an object. Edit your pipeline to fix the \
                        configuration."
                    .to_owned(),
            );
        }
        let acl = match action.config("CannedACL").filter(|acl| !acl.is_empty()) {
            None => None,
            Some(acl) if CANNED_ACLS.contains(&acl) => Some(ObjectCannedAcl::from(acl)),
            Some(acl) => {
                return Err(format!("CannedACL is '{acl}'; it must be one of {}.", CANNED_ACLS.join(", ")));
            }
        };
        let kms_key = action.config("KMSEncryptionKeyARN").filter(|key| !key.is_empty());
        if kms_key.is_some() && kind == RealmKind::Embedded {
            return Err(
                "KMSEncryptionKeyARN is not supported by Towpath's own S3: there is no AWS KMS beside it. Remove it, \
                        and the bucket's own encryption is used; or deploy to a realm that has AWS KMS."
                    .to_owned(),
            );
        }
        let target = Target {
            bucket: bucket.to_owned(),
            cache_control: action.config("CacheControl").filter(|c| !c.is_empty()).map(ToOwned::to_owned),
            acl,
            ..Target::default()
        };
        let target = target.encrypted_with(kms_key);
        let key = if extract { key.trim_end_matches('/').to_owned() } else { key };
        Ok(Self { target, extract, key })
    }

    fn target_of(&self, name: &str) -> Target {
        let key = if self.key.is_empty() { name.to_owned() } else { format!("{}/{name}", self.key) };
        Target { key, content_type: Some(content_type(name)), ..self.target.clone() }
    }
}

/// Why a deploy went wrong.
enum Trouble {
    Artifact(Problem),
    /// The artifact holds no files, it says where they are.
    Reference,
    Bucket(Problem),
    Archive(ReadError),
    /// More files than an action deploys.
    TooMany(usize),
    /// Our own disk.
    Local(io::Error),
}

impl Trouble {
    fn outcome(&self, action: &ActionInvocation, plan: &Plan, artifact: &ArtifactLocation) -> Outcome {
        match self {
            Self::Artifact(problem) => inputs::outcome(artifact, problem),
            Self::Reference => inputs::clone_reference_outcome(artifact),
            Self::Bucket(problem) => bucket_outcome(&plan.target.bucket, &action.region, problem),
            Self::Archive(error) => Outcome::failed(
                error_code::JOB_FAILED,
                format!("The archive is malformed: the artifact {} cannot be extracted: {error}.", artifact.name),
            ),
            Self::TooMany(files) => Outcome::failed(
                error_code::CONFIGURATION_ERROR,
                format!(
                    "The artifact {} has {files} files; {} can be extracted by one action.",
                    artifact.name,
                    limits::DEPLOYED_FILES_MAX
                ),
            ),
            Self::Local(error) => Outcome::Unavailable {
                message: format!("cannot keep the artifact {} while it is deployed: {error}", artifact.name),
            },
        }
    }
}

fn bucket_outcome(bucket: &str, region: &str, problem: &Problem) -> Outcome {
    match problem.kind {
        Kind::AccessDenied => problem.outcome(
            error_code::PERMISSION_ERROR,
            format!(
                "You do not have sufficient permissions to call s3.putObject for the deployment bucket, {bucket}. Verify \
                 that the policy on the resource allows you to perform this task. If you choose a canned ACL for your \
                 Amazon S3 deployment action, the policy must include the PutObjectAcl action. If the object already \
                 exists, the policy must also include the PutObjectVersionAcl action. {}",
                problem.detail()
            ),
        ),
        Kind::NotFound if problem.code == "NoSuchBucket" => problem.outcome(
            error_code::CONFIGURATION_ERROR,
            format!("The deployment bucket, {bucket}, does not exist in Region {region}. {}", problem.detail()),
        ),
        Kind::Rejected if problem.code == "AccessControlListNotSupported" => problem.outcome(
            error_code::CONFIGURATION_ERROR,
            format!(
                "The deployment bucket, {bucket}, does not allow ACLs. Remove CannedACL, or set it to \
                 bucket-owner-full-control, or enable ACLs on the bucket. {}",
                problem.detail()
            ),
        ),
        // Also what AWS KMS refuses, which S3 hands on.
        Kind::NotFound | Kind::Rejected | Kind::Transient | Kind::Session => {
            problem.outcome(error_code::CONFIGURATION_ERROR, problem.detail())
        }
    }
}

/// The Region to write to. Who may not ask finds the bucket in the action's Region, or is told by S3 that it is elsewhere.
async fn region_of(cx: &Call<'_>, action: &ActionInvocation, bucket: &str) -> Result<String, Trouble> {
    let usual = || cx.realm.region(&action.region).to_owned();
    // The embedded S3 is asked in any Region.
    if cx.realm.kind() == RealmKind::Embedded {
        return Ok(usual());
    }
    match S3::new(cx.realm, action, &action.region).region_of(bucket).await {
        Ok(region) => Ok(region),
        Err(problem) if problem.kind == Kind::AccessDenied && problem.assuming.is_none() => Ok(usual()),
        Err(problem) => Err(Trouble::Bucket(problem)),
    }
}

/// The whole artifact as one object, without a byte passing through here where both buckets are in one realm.
async fn deploy_whole(
    cx: &Call<'_>,
    action: &ActionInvocation,
    plan: &Plan,
    artifact: &ArtifactLocation,
    region: &str,
) -> Result<(), Trouble> {
    let from = S3::new(cx.artifacts, action, &artifact.region);
    let to = S3::exactly(cx.realm, action, region);
    let found = from.look(&artifact.bucket, &artifact.key, None).await.map_err(Trouble::Artifact)?;
    if found.metadata.contains_key(CLONE_REF_METADATA) {
        return Err(Trouble::Reference);
    }
    let source = Source {
        bucket: &artifact.bucket,
        key: &artifact.key,
        version_id: found.version_id.as_deref(),
        bytes: found.bytes,
    };
    let target = Target {
        key: plan.key.clone(),
        content_type: Some("application/octet-stream".to_owned()),
        ..plan.target.clone()
    };
    to.copy(&from, source, &target).await.map_err(Trouble::Bucket)
}

/// Every file of the artifact as an object, several at once.
async fn deploy_files(
    cx: &Call<'_>,
    action: &ActionInvocation,
    plan: &Plan,
    artifact: &ArtifactLocation,
    region: &str,
) -> Result<(), Trouble> {
    let file = tempfile::Builder::new().prefix("deploy-").tempfile_in(cx.scratch).map_err(Trouble::Local)?;
    let from = S3::new(cx.artifacts, action, &artifact.region);
    from.fetch(&artifact.bucket, &artifact.key, file.path()).await.map_err(|error| match error {
        StoreError::S3(problem) => Trouble::Artifact(problem),
        StoreError::Read(error) => Trouble::Local(error),
    })?;
    let path = file.path().to_path_buf();
    let opened = blocking(move || {
        Archive::open(&path, &Limits::DEFAULT).map_err(|error| {
            if inputs::is_clone_reference(&path) { Trouble::Reference } else { Trouble::Archive(error) }
        })
    });
    let archive = opened.await??;
    let files = archive.entries().iter().filter(|entry| entry.kind != EntryKind::Directory).count();
    if files > limits::DEPLOYED_FILES_MAX {
        return Err(Trouble::TooMany(files));
    }
    let to = S3::exactly(cx.realm, action, region);
    let large = Semaphore::new(limits::LARGE_UPLOADS_AT_ONCE);
    let entries = Arc::clone(archive.entries());
    stream::iter(entries.iter().filter(|entry| entry.kind != EntryKind::Directory))
        .map(Ok)
        .try_for_each_concurrent(limits::UPLOADS_AT_ONCE, |entry| {
            let (archive, large) = (archive.clone(), &large);
            async move {
                let content = archive.resolve(entry).ok_or_else(|| {
                    Trouble::Archive(ReadError::Link { entry: entry.name.clone(), target: "nothing".to_owned() })
                })?;
                let content = content.clone();
                let target = plan.target_of(&entry.name);
                let turn =
                    if content.size > limits::UPLOAD_PART_BYTES as u64 { large.acquire().await.ok() } else { None };
                let stored = to.store_pieces(&target, pieces(archive, content)).await;
                drop(turn);
                stored.map_err(|error| match error {
                    StoreError::S3(problem) => Trouble::Bucket(problem),
                    StoreError::Read(source) => {
                        Trouble::Archive(ReadError::DamagedEntry { entry: entry.name.clone(), source })
                    }
                })
            }
        })
        .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Trouble> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Trouble::Local(io::Error::other(error)))
}

/// Reads an entry on a blocking thread, one piece ahead of the upload.
fn pieces(mut archive: Archive, entry: Entry) -> Pieces {
    let (sender, receiver) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || {
        let mut reader = match archive.reader(&entry) {
            Ok(reader) => reader,
            Err(error) => {
                // A closed channel means that the upload failed first; its error is the one that counts.
                let _ = sender.blocking_send(Err(io::Error::other(error)));
                return;
            }
        };
        loop {
            let room = usize::try_from(entry.size).unwrap_or(usize::MAX).min(limits::UPLOAD_PART_BYTES);
            let mut piece = Vec::with_capacity(room);
            let read = reader.by_ref().take(limits::UPLOAD_PART_BYTES as u64).read_to_end(&mut piece);
            let last = piece.len() < limits::UPLOAD_PART_BYTES;
            if sender.blocking_send(read.map(|_| Bytes::from(piece))).is_err() || last {
                return;
            }
        }
    });
    receiver
}

#[async_trait]
impl Provider for S3Deploy {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn service(&self) -> Option<Service> {
        Some(Service::S3)
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        let plan = match Plan::read(action, cx.realm.kind()) {
            Ok(plan) => plan,
            Err(message) => return Outcome::failed(error_code::CONFIGURATION_ERROR, message),
        };
        let [artifact] = action.input_artifacts.as_slice() else {
            let message = format!("Action {} must have exactly one input artifact.", action.action_name);
            return Outcome::failed(error_code::CONFIGURATION_ERROR, message);
        };
        let deployed = match region_of(cx, action, &plan.target.bucket).await {
            Ok(region) if plan.extract => deploy_files(cx, action, &plan, artifact, &region).await.map(|()| region),
            Ok(region) => deploy_whole(cx, action, &plan, artifact, &region).await.map(|()| region),
            Err(trouble) => Err(trouble),
        };
        match deployed {
            Ok(region) => {
                // Of an object its folder is shown.
                let folder =
                    if plan.extract { Some(plan.key.as_str()) } else { plan.key.rsplit_once('/').map(|(f, _)| f) };
                let url = links::s3_objects(cx.realm, &region, &plan.target.bucket, folder.unwrap_or_default());
                let place = [plan.target.bucket.as_str(), plan.key.as_str()];
                let place = if plan.key.is_empty() { place[0].to_owned() } else { place.join("/") };
                let progress = Progress {
                    external_id: Some(place),
                    external_url: Some(url),
                    summary: Some("Deployment Succeeded".to_owned()),
                    ..Progress::default()
                };
                Outcome::Succeeded { progress, variables: std::collections::BTreeMap::new(), revisions: Vec::new() }
            }
            Err(trouble) => trouble.outcome(action, &plan, artifact),
        }
    }

    /// Never `Pending`; asked all the same, it does the work again.
    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, _progress: &Progress) -> Outcome {
        self.start(cx, action).await
    }

    /// The work is the call of `start` itself: it ends when that is dropped. Objects already written stay, as on AWS.
    async fn stop(&self, _cx: &Call<'_>, _action: &ActionInvocation, _progress: &Progress) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_the_actions_own() {
        assert_eq!(datetime(Timestamp(1_790_862_132_194)), "2026-10-01_13-42-12");
    }

    #[test]
    fn media_types_by_extension() {
        for (name, kind) in [
            ("index.html", "text/html"),
            ("a/b/APP.JS", "application/x-javascript"),
            ("style.css", "text/css"),
            ("logo.svg", "image/svg+xml"),
            ("data.json", "application/json"),
            ("feed.xml", "application/xml"),
            ("notes.txt", "text/plain"),
            ("a.jpg", "image/jpeg"),
            ("LICENSE", "application/octet-stream"),
            (".bashrc-unknown", "application/octet-stream"),
        ] {
            assert_eq!(content_type(name), kind, "{name}");
        }
    }
}
