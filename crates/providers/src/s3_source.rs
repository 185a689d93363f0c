//! Source / AWS / S3: copies the newest version of one object, or the version a start request pins, into the artifact
//! store. The bucket must be versioned: the version id is the revision.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use towpath_model::action::{ActionInvocation, ArtifactLocation, Outcome, Progress, Revision, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::{SUMMARY_CHARS_MAX, TIMEOUT_DEFAULT_MINUTES};

use crate::links;
use crate::objects::{Found, S3, Source, Target};
use crate::problem::{Kind, Problem};
use crate::provider::{Call, Provider, configured};
use crate::realms::Service;
use crate::session::REVISION_METADATA;

/// Metadata of the source object that becomes the summary of the revision.
const SUMMARY_METADATA: &str = "codepipeline-artifact-revision-summary";

pub struct S3Source {
    entry: ActionTypeEntry,
}

impl Default for S3Source {
    fn default() -> Self {
        Self::new()
    }
}

impl S3Source {
    pub fn new() -> Self {
        Self { entry: entry() }
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Source, Owner::Aws, "S3", "1"),
        description: "Takes one object of a versioned Amazon S3 bucket, normally a zip.".to_owned(),
        properties: vec![
            Property::required("S3Bucket", "Bucket to watch; versioning must be on."),
            Property::required("S3ObjectKey", "Key of the object."),
            Property::optional(
                "AllowOverrideForS3ObjectKey",
                "A start request may name another key with the source revision type `S3_OBJECT_KEY`.",
            )
            .boolean(),
            Property::optional(
                "PollForSourceChanges",
                "Look for new versions from time to time; accepted, polls nothing yet.",
            )
            .boolean(),
        ],
        inputs: Bounds::new(0, 0),
        outputs: Bounds::new(1, 1),
        output_variables: ["BucketName", "ETag", "ObjectKey", "VersionId"].map(ToOwned::to_owned).to_vec(),
        default_timeout_minutes: TIMEOUT_DEFAULT_MINUTES,
        timeout_configurable: false,
        v2_only: false,
        repeat: Repeat::SameWrite,
        entity_url_template: Some("https://console.aws.amazon.com/s3/home?#".to_owned()),
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: Some(".zip".to_owned()),
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-S3.html".to_owned(),
    }
}

/// Which object the action takes.
struct Wanted<'a> {
    bucket: &'a str,
    key: &'a str,
    version_id: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn read(action: &'a ActionInvocation) -> Result<Self, String> {
        let needed = |name: &str| configured(action, name);
        let wanted = |kind: &str| {
            action
                .source_overrides
                .iter()
                .find(|o| o.action_name == action.action_name && o.revision_type == kind)
                .map(|o| o.revision_value.as_str())
        };
        let configured = needed("S3ObjectKey")?;
        let key = match wanted("S3_OBJECT_KEY") {
            Some(key) if key != configured && !action.config_true("AllowOverrideForS3ObjectKey") => {
                return Err(format!(
                    "The source revision override names the object key '{key}', and action {} does not allow it. Set \
                     AllowOverrideForS3ObjectKey to true, or start the pipeline without the override.",
                    action.action_name
                ));
            }
            Some(key) => key,
            None => configured,
        };
        Ok(Self { bucket: needed("S3Bucket")?, key, version_id: wanted("S3_OBJECT_VERSION_ID") })
    }
}

/// AWS's words for a bucket that cannot be used.
fn bucket_outcome(bucket: &str, region: &str, problem: &Problem) -> Outcome {
    let error = format!("Error: {}:{}:{}", problem.service, problem.code, problem.detail());
    match problem.kind {
        Kind::AccessDenied => problem.outcome(
            error_code::PERMISSION_ERROR,
            format!(
                "The service role or action role doesn’t have the permissions required to access the Amazon S3 bucket \
                 named {bucket}. Update the IAM role permissions, and then try again. {error}"
            ),
        ),
        Kind::NotFound => problem.outcome(
            error_code::CONFIGURATION_ERROR,
            format!("The Amazon S3 bucket named {bucket} does not exist. {error}"),
        ),
        Kind::Rejected | Kind::Transient | Kind::Session => problem.outcome(
            error_code::CONFIGURATION_ERROR,
            format!("The Amazon S3 bucket named {bucket} cannot be used in Region {region}. {error}"),
        ),
    }
}

fn unversioned(bucket: &str) -> Outcome {
    let message = format!(
        "Versioning is not enabled on the Amazon S3 bucket named {bucket}. Enable versioning on the bucket, upload the \
         object again, and then try again."
    );
    Outcome::failed(error_code::CONFIGURATION_ERROR, message)
}

fn object_outcome(wanted: &Wanted<'_>, region: &str, problem: &Problem) -> Outcome {
    let Wanted { bucket, key, version_id } = wanted;
    match problem.kind {
        Kind::NotFound if problem.code == "NoSuchBucket" => bucket_outcome(bucket, region, problem),
        Kind::NotFound => {
            let version = version_id.map_or_else(String::new, |v| format!(" and version ID '{v}'"));
            problem.outcome(
                error_code::CONFIGURATION_ERROR,
                format!("The object with key '{key}'{version} does not exist in the Amazon S3 bucket named {bucket}."),
            )
        }
        Kind::AccessDenied => problem.outcome(
            error_code::PERMISSION_ERROR,
            format!(
                "The object with key '{key}' returned a Forbidden error. Update the IAM role permissions, and then try \
                 again. Error: {}:{}:{}",
                problem.service,
                problem.code,
                problem.detail()
            ),
        ),
        // S3 answers 400 to a version id that it never made.
        Kind::Rejected if version_id.is_some() => problem.outcome(
            error_code::CONFIGURATION_ERROR,
            format!(
                "The object with key '{key}' has no version ID '{}'. {}",
                version_id.unwrap_or_default(),
                problem.detail()
            ),
        ),
        Kind::Rejected | Kind::Transient | Kind::Session => bucket_outcome(bucket, region, problem),
    }
}

fn revision(
    cx: &Call<'_>,
    action: &ActionInvocation,
    output: &ArtifactLocation,
    found: &Found,
    bucket: &str,
) -> Revision {
    let id = found.version_id.clone().unwrap_or_default();
    let summary = match found.metadata.get(SUMMARY_METADATA).filter(|text| !text.is_empty()) {
        Some(text) => text.chars().take(SUMMARY_CHARS_MAX).collect(),
        None => format!("Amazon S3 version id: {id}"),
    };
    Revision {
        artifact: output.name.clone(),
        action: action.action_name.clone(),
        id,
        change_id: None,
        summary: Some(summary),
        url: Some(links::s3_bucket(cx.realm, &action.region, bucket)),
        created: found.modified,
    }
}

#[async_trait]
impl Provider for S3Source {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn service(&self) -> Option<Service> {
        Some(Service::S3)
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        let wanted = match Wanted::read(action) {
            Ok(wanted) => wanted,
            Err(message) => return Outcome::failed(error_code::CONFIGURATION_ERROR, message),
        };
        let [output] = action.output_artifacts.as_slice() else {
            let message = format!("Action {} must have exactly one output artifact.", action.action_name);
            return Outcome::failed(error_code::CONFIGURATION_ERROR, message);
        };
        let Wanted { bucket, key, version_id } = wanted;
        let from = S3::new(cx.realm, action, &action.region);
        let versioned = match from.is_versioned(bucket).await {
            Ok(Some(false)) => return unversioned(bucket),
            Ok(versioned) => versioned,
            Err(problem) => return bucket_outcome(bucket, &action.region, &problem),
        };
        let found = match from.look(bucket, key, version_id).await {
            Ok(found) => found,
            Err(problem) => return object_outcome(&wanted, &action.region, &problem),
        };
        if versioned.is_none() && found.version_id.as_deref().is_none_or(|id| id == "null") {
            return unversioned(bucket);
        }
        let revision = revision(cx, action, output, &found, bucket);
        let mut metadata = HashMap::from([(REVISION_METADATA.to_owned(), revision.id.clone())]);
        if let Some(summary) = found.metadata.get(SUMMARY_METADATA) {
            metadata.insert(SUMMARY_METADATA.to_owned(), summary.clone());
        }
        let target = Target {
            bucket: output.bucket.clone(),
            key: output.key.clone(),
            content_type: found.content_type.clone(),
            metadata,
            ..Target::default()
        }
        .encrypted_as_artifact(cx.artifacts, action.encryption_key.as_deref());
        // The exact version that was looked at, whatever has been uploaded since.
        let source = Source { bucket, key, version_id: found.version_id.as_deref(), bytes: found.bytes };
        let to = S3::new(cx.artifacts, action, &output.region);
        if let Err(problem) = to.copy(&from, source, &target).await {
            return bucket_outcome(&output.bucket, &output.region, &problem);
        }
        let variables = BTreeMap::from([
            ("BucketName".to_owned(), bucket.to_owned()),
            ("ETag".to_owned(), found.etag.unwrap_or_default()),
            ("ObjectKey".to_owned(), key.to_owned()),
            ("VersionId".to_owned(), revision.id.clone()),
        ]);
        let progress = Progress {
            external_id: Some(revision.id.clone()).filter(|id| !id.is_empty()),
            external_url: revision.url.clone(),
            summary: revision.summary.clone(),
            ..Progress::default()
        };
        Outcome::Succeeded { progress, variables, revisions: vec![revision] }
    }

    /// Never `Pending`; asked all the same, it does the work again.
    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, _progress: &Progress) -> Outcome {
        self.start(cx, action).await
    }

    /// The copy is one call of the service; there is nothing to end.
    async fn stop(&self, _cx: &Call<'_>, _action: &ActionInvocation, _progress: &Progress) -> Result<(), String> {
        Ok(())
    }
}
