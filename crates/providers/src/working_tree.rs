//! Stands in for source actions of `towpath run`: the object that `run` made of a directory becomes the artifact, whatever
//! service the action takes its source from otherwise. Actions that no directory stands in for go to the real provider.
//!
//! `run` lays two objects into the action's artifact store: the zip and [`Description`], which says what it is. Nothing
//! else knows of them: the action's type, entry and declaration stay what they are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use towpath_model::action::{ActionInvocation, ArtifactLocation, Outcome, Progress, Revision, error_code};
use towpath_model::catalogue::{ActionTypeEntry, Category, Owner};
use towpath_model::time::Timestamp;

use crate::inputs;
use crate::limits::DESCRIPTION_BYTES_MAX;
use crate::logs::LogPage;
use crate::objects::{S3, Source, StoreError, Target};
use crate::problem::Problem;
use crate::provider::{Artifacts, Call, Provider};
use crate::realms::Service;
use crate::session::REVISION_METADATA;

/// What a directory is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    pub revision: String,
    pub summary: String,
    /// When the commit was made, in milliseconds.
    pub created: Option<i64>,
    /// Output variables of the action's type.
    pub variables: BTreeMap<String, String>,
}

/// Keys of the zip and of its description in the artifact store.
pub fn keys(pipeline: &str, action: &str) -> (String, String) {
    let base = format!("towpath-run/{pipeline}/{action}");
    (format!("{base}.zip"), format!("{base}.json"))
}

/// Whether a directory can stand in for this type of action. An S3 source takes an object that `run` puts where the
/// action looks for it.
pub fn may_stand_in(entry: &ActionTypeEntry) -> bool {
    let id = &entry.id;
    id.category == Category::Source && id.owner != Owner::Custom && id.provider != "S3" && entry.outputs.max > 0
}

/// A source provider, some of whose actions a directory stands in for.
pub struct WorkingTree {
    inner: Box<dyn Provider>,
    actions: BTreeSet<String>,
}

impl WorkingTree {
    pub fn new(inner: Box<dyn Provider>, actions: BTreeSet<String>) -> Self {
        Self { inner, actions }
    }

    fn stands_in(&self, action: &ActionInvocation) -> bool {
        self.actions.contains(action.action_name.as_str())
    }

    async fn take(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        let [output] = action.output_artifacts.as_slice() else {
            let message = format!("Action {} must have exactly one output artifact.", action.action_name);
            return Outcome::failed(error_code::CONFIGURATION_ERROR, message);
        };
        let (zip, json) = keys(&action.pipeline_name, &action.action_name);
        let store = S3::new(cx.artifacts, action, &output.region);
        let missing = |key: &str, problem: &Problem| {
            inputs::outcome(&ArtifactLocation { key: key.to_owned(), ..output.clone() }, problem)
        };
        let found = match store.look(&output.bucket, &zip, None).await {
            Ok(found) => found,
            Err(problem) => return missing(&zip, &problem),
        };
        let description = match read(cx, &store, &output.bucket, &json, action).await {
            Ok(description) => description,
            Err(ReadError::Store(StoreError::S3(problem))) => return missing(&json, &problem),
            Err(error) => {
                let message = format!("s3://{}/{json} does not describe a directory: {error}", output.bucket);
                return Outcome::failed(error_code::INTERNAL_ERROR, message);
            }
        };
        let target = Target {
            bucket: output.bucket.clone(),
            key: output.key.clone(),
            content_type: Some("application/zip".to_owned()),
            metadata: HashMap::from([(REVISION_METADATA.to_owned(), description.revision.clone())]),
            ..Target::default()
        }
        .encrypted_as_artifact(cx.artifacts, action.encryption_key.as_deref());
        let source = Source { bucket: &output.bucket, key: &zip, version_id: None, bytes: found.bytes };
        if let Err(problem) = store.copy(&store, source, &target).await {
            return inputs::outcome(output, &problem);
        }
        let revision = Revision {
            artifact: output.name.clone(),
            action: action.action_name.clone(),
            id: description.revision.clone(),
            change_id: None,
            summary: Some(description.summary.clone()),
            url: None,
            created: description.created.map(Timestamp::from_millis),
        };
        let progress = Progress {
            external_id: Some(description.revision),
            summary: Some(description.summary),
            ..Progress::default()
        };
        Outcome::Succeeded { progress, variables: description.variables, revisions: vec![revision] }
    }
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("it cannot be read")]
    Store(StoreError),
    #[error("it has more than {DESCRIPTION_BYTES_MAX} bytes")]
    TooLarge,
    #[error("{0}")]
    File(#[from] std::io::Error),
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

async fn read(
    cx: &Call<'_>,
    store: &S3<'_>,
    bucket: &str,
    key: &str,
    action: &ActionInvocation,
) -> Result<Description, ReadError> {
    let seen = store.look(bucket, key, None).await.map_err(|problem| ReadError::Store(problem.into()))?;
    if seen.bytes > DESCRIPTION_BYTES_MAX {
        return Err(ReadError::TooLarge);
    }
    let path = cx.scratch.join(format!("{}-tree.json", action.action_execution_id));
    store.fetch(bucket, key, &path).await.map_err(ReadError::Store)?;
    let text = tokio::fs::read(&path).await?;
    tokio::fs::remove_file(&path).await?;
    Ok(serde_json::from_slice(&text)?)
}

#[async_trait]
impl Provider for WorkingTree {
    fn entry(&self) -> &ActionTypeEntry {
        self.inner.entry()
    }

    fn check_value(&self, key: &str, value: &str) -> Result<(), String> {
        self.inner.check_value(key, value)
    }

    fn service(&self) -> Option<Service> {
        self.inner.service()
    }

    /// What a directory stands in for calls nobody.
    fn service_of(&self, action: &ActionInvocation) -> Option<Service> {
        if self.stands_in(action) { None } else { self.inner.service_of(action) }
    }

    fn artifacts(&self) -> Artifacts {
        self.inner.artifacts()
    }

    fn artifacts_of(&self, action: &ActionInvocation) -> Artifacts {
        self.inner.artifacts_of(action)
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        if self.stands_in(action) { self.take(cx, action).await } else { self.inner.start(cx, action).await }
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome {
        if self.stands_in(action) { self.take(cx, action).await } else { self.inner.poll(cx, action, progress).await }
    }

    async fn stop(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Result<(), String> {
        if self.stands_in(action) { Ok(()) } else { self.inner.stop(cx, action, progress).await }
    }

    async fn logs(
        &self,
        cx: &Call<'_>,
        action: &ActionInvocation,
        progress: &Progress,
        token: Option<&str>,
    ) -> Result<LogPage, Problem> {
        self.inner.logs(cx, action, progress, token).await
    }

    fn poll_interval(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress, polls: u32) -> Duration {
        self.inner.poll_interval(cx, action, progress, polls)
    }
}
