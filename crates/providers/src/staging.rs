//! Artifacts across realms: an action whose service reads and writes artifacts by itself, in a realm other than the
//! artifact store's, finds its inputs in that realm's staging bucket and leaves its outputs there. The orchestrator calls
//! every provider through [`start`], [`poll`] and [`stop`]; a provider only says, with [`Provider::artifacts`], who touches
//! them, and is shown the staged places.
//!
//! Staged keys follow from the invocation alone, so whatever process takes the action up finds them again:
//! `towpath/PIPELINE/EXECUTION/ACTION EXECUTION/ARTIFACT`. Both sides are read and written with the pipeline's role.
//! Nothing is removed: what was deployed from a staged object may need it again. A lifecycle rule of the bucket does that
//! (docs/realms.md). Must not know any provider.

use std::collections::HashMap;

use towpath_model::action::{ActionInvocation, ArtifactLocation, ErrorDetails, Outcome, Progress, error_code};

use crate::inputs::{self, copy_inputs};
use crate::objects::{Found, S3, Source, Target};
use crate::problem::{Kind, Problem};
use crate::provider::{Artifacts, Call, Provider};
use crate::session::REVISION_METADATA;

/// What staged keys begin with; a lifecycle rule names it.
pub const PREFIX: &str = "towpath";
/// User metadata of a staged input: the ETag of what it was copied from. A start that is repeated need not copy again.
const COPIED_FROM: &str = "towpath-copied-from";

/// Copies what the action needs to where it runs, and starts it.
pub async fn start(cx: &Call<'_>, provider: &dyn Provider, action: &ActionInvocation) -> Outcome {
    let staged = match Staged::of(cx, provider, action) {
        Ok(staged) => staged,
        Err(error) => return Outcome::failed(&error.code, error.message),
    };
    if let Err(outcome) = copy_inputs(cx, action).await {
        return *outcome;
    }
    let Some(staged) = staged else { return provider.start(cx, action).await };
    if let Err(outcome) = staged.send(cx).await {
        return *outcome;
    }
    let outcome = provider.start(&Staged::call(cx), &staged.shown).await;
    staged.bring_back(cx, outcome).await
}

/// Asks how the action goes on; it has succeeded when its outputs are back.
pub async fn poll(cx: &Call<'_>, provider: &dyn Provider, action: &ActionInvocation, progress: &Progress) -> Outcome {
    match Staged::of(cx, provider, action) {
        Ok(Some(staged)) => {
            let outcome = provider.poll(&Staged::call(cx), &staged.shown, progress).await;
            staged.bring_back(cx, outcome).await
        }
        Ok(None) => provider.poll(cx, action, progress).await,
        Err(error) => Outcome::failed(&error.code, error.message),
    }
}

pub async fn stop(
    cx: &Call<'_>,
    provider: &dyn Provider,
    action: &ActionInvocation,
    progress: &Progress,
) -> Result<(), String> {
    match Staged::of(cx, provider, action) {
        Ok(Some(staged)) => provider.stop(&Staged::call(cx), &staged.shown, progress).await,
        // Without a staging bucket nothing was started that would have to be found there.
        Ok(None) | Err(_) => provider.stop(cx, action, progress).await,
    }
}

/// Copies an input artifact into a bucket of the action's realm, for a provider that reads artifacts by itself and has a
/// service there that wants this one in S3; its key. Repeated it is written again, the same.
pub async fn copied(
    cx: &Call<'_>,
    action: &ActionInvocation,
    artifact: &ArtifactLocation,
    bucket: &str,
) -> Result<String, Box<Outcome>> {
    let home = S3::new(cx.artifacts, action, &artifact.region);
    let there = S3::new(cx.realm, action, &action.region);
    let found = home.look(&artifact.bucket, &artifact.key, None).await;
    let found = found.map_err(|problem| Box::new(inputs::outcome(artifact, &problem)))?;
    let ids = [action.pipeline_name.as_str(), action.execution_id.as_str(), action.action_execution_id.as_str()];
    let key = format!("{PREFIX}/{}/{}.zip", ids.join("/"), artifact.name);
    let target = Target { bucket: bucket.to_owned(), key: key.clone(), ..Target::default() };
    let target = target.encrypted_with(cx.realm.staging().key.as_deref());
    let source = Source { bucket: &artifact.bucket, key: &artifact.key, version_id: None, bytes: found.bytes };
    there.copy(&home, source, &target).await.map_err(|problem| {
        let message = format!(
            "Unable to write the input artifact to the staging bucket '{bucket}' of the realm {}. {}",
            cx.realm.name(),
            problem.detail()
        );
        Box::new(problem.outcome(code(&problem), message))
    })?;
    Ok(key)
}

/// An action whose artifacts are staged.
struct Staged<'a> {
    /// As the pipeline's own role does the copying: the action's need not know the artifact store.
    pipeline: ActionInvocation,
    bucket: &'a str,
    key: Option<&'a str>,
    /// What the provider is given.
    shown: ActionInvocation,
}

impl<'a> Staged<'a> {
    /// None where there is nothing to stage: the realm has the artifact store itself, the provider touches the artifacts,
    /// or there are none.
    fn of(cx: &Call<'a>, provider: &dyn Provider, action: &ActionInvocation) -> Result<Option<Self>, ErrorDetails> {
        let at_home = std::ptr::eq(cx.realm, cx.artifacts);
        let none = action.input_artifacts.is_empty() && action.output_artifacts.is_empty();
        if at_home || none || provider.artifacts_of(action) == Artifacts::ByProvider {
            return Ok(None);
        }
        let staging = cx.realm.staging();
        let region = cx.realm.region(&action.region);
        let Some(bucket) = staging.bucket(region) else { return Err(without_bucket(cx, action, region)) };
        let place = |artifact: &ArtifactLocation| {
            let ids =
                [action.pipeline_name.as_str(), action.execution_id.as_str(), action.action_execution_id.as_str()];
            // Some services look at the end of the name.
            let suffix = artifact.key.strip_suffix(".zip").map_or("", |_| ".zip");
            ArtifactLocation {
                bucket: bucket.to_owned(),
                key: format!("{PREFIX}/{}/{}{suffix}", ids.join("/"), artifact.name),
                ..artifact.clone()
            }
        };
        let shown = ActionInvocation {
            input_artifacts: action.input_artifacts.iter().map(place).collect(),
            output_artifacts: action.output_artifacts.iter().map(place).collect(),
            copies: Vec::new(),
            // The artifact store's key is of another realm.
            encryption_key: staging.key.clone(),
            ..action.clone()
        };
        let pipeline = ActionInvocation { role_arn: None, ..action.clone() };
        Ok(Some(Self { pipeline, bucket, key: staging.key.as_deref(), shown }))
    }

    /// The realm's own S3 is where this action's artifacts are.
    fn call<'b>(cx: &Call<'b>) -> Call<'b> {
        Call { artifacts: cx.realm, ..*cx }
    }

    /// Copies the inputs to where the action runs. Repeated it finds them there.
    async fn send(&self, cx: &Call<'_>) -> Result<(), Box<Outcome>> {
        for (from, to) in self.pipeline.input_artifacts.iter().zip(&self.shown.input_artifacts) {
            let home = S3::new(cx.artifacts, &self.pipeline, &from.region);
            let there = S3::new(cx.realm, &self.pipeline, &to.region);
            let found = home.look(&from.bucket, &from.key, None).await;
            let found = found.map_err(|problem| Box::new(inputs::outcome(from, &problem)))?;
            if self.is_there(&there, to, &found).await.map_err(|problem| self.refused(cx, to, &problem))? {
                continue;
            }
            let mut metadata = found.metadata;
            metadata.extend(found.etag.map(|etag| (COPIED_FROM.to_owned(), etag)));
            let target = Target {
                bucket: to.bucket.clone(),
                key: to.key.clone(),
                content_type: found.content_type,
                metadata,
                ..Target::default()
            };
            let target = target.encrypted_with(self.key);
            let source = Source { bucket: &from.bucket, key: &from.key, version_id: None, bytes: found.bytes };
            there.copy(&home, source, &target).await.map_err(|problem| self.refused(cx, to, &problem))?;
        }
        Ok(())
    }

    async fn is_there(&self, there: &S3<'_>, to: &ArtifactLocation, original: &Found) -> Result<bool, Problem> {
        match there.look(&to.bucket, &to.key, None).await {
            Ok(staged) => Ok(original.etag.is_some()
                && staged.bytes == original.bytes
                && staged.metadata.get(COPIED_FROM) == original.etag.as_ref()),
            // Who may write but not list is told 403 of what is not there; writing says what is really missing.
            Err(problem) => match problem.kind {
                Kind::NotFound | Kind::AccessDenied => Ok(false),
                Kind::Transient | Kind::Session | Kind::Rejected => Err(problem),
            },
        }
    }

    /// The outputs of an action that has succeeded are copied into the artifact store; then it has.
    async fn bring_back(&self, cx: &Call<'_>, outcome: Outcome) -> Outcome {
        let Outcome::Succeeded { progress, .. } = &outcome else { return outcome };
        for (to, from) in self.pipeline.output_artifacts.iter().zip(&self.shown.output_artifacts) {
            if let Err(problem) = self.fetch(cx, from, to).await {
                let message = self.message(cx, "read an output artifact from", from, &problem);
                return problem.outcome_with(progress.clone(), code(&problem), message);
            }
        }
        outcome
    }

    async fn fetch(&self, cx: &Call<'_>, from: &ArtifactLocation, to: &ArtifactLocation) -> Result<(), Problem> {
        let there = S3::new(cx.realm, &self.pipeline, &from.region);
        let home = S3::new(cx.artifacts, &self.pipeline, &to.region);
        let found = match there.look(&from.bucket, &from.key, None).await {
            Ok(found) => found,
            // It wrote none: whoever needs it is told so, as where nothing is staged.
            Err(problem) if problem.kind == Kind::NotFound && problem.code != "NoSuchBucket" => return Ok(()),
            Err(problem) => return Err(problem),
        };
        let mut metadata: HashMap<String, String> = found.metadata;
        let revision = to.revision_id.as_ref().or_else(|| self.pipeline.input_artifacts.first()?.revision_id.as_ref());
        if let Some(revision) = revision {
            metadata.entry(REVISION_METADATA.to_owned()).or_insert_with(|| revision.clone());
        }
        let target = Target {
            bucket: to.bucket.clone(),
            key: to.key.clone(),
            content_type: found.content_type,
            metadata,
            ..Target::default()
        };
        let target = target.encrypted_as_artifact(cx.artifacts, self.pipeline.encryption_key.as_deref());
        let source = Source { bucket: &from.bucket, key: &from.key, version_id: None, bytes: found.bytes };
        home.copy(&there, source, &target).await
    }

    fn refused(&self, cx: &Call<'_>, artifact: &ArtifactLocation, problem: &Problem) -> Box<Outcome> {
        let message = self.message(cx, "write the input artifact to", artifact, problem);
        Box::new(problem.outcome(code(problem), message))
    }

    fn message(&self, cx: &Call<'_>, doing: &str, artifact: &ArtifactLocation, problem: &Problem) -> String {
        format!(
            "Unable to {doing} the staging bucket '{}' of the realm {}, with the key '{}'. {}",
            self.bucket,
            cx.realm.name(),
            artifact.key,
            problem.detail()
        )
    }
}

fn code(problem: &Problem) -> &'static str {
    match problem.kind {
        Kind::AccessDenied => error_code::PERMISSION_ERROR,
        Kind::NotFound | Kind::Rejected | Kind::Transient | Kind::Session => error_code::CONFIGURATION_ERROR,
    }
}

fn without_bucket(cx: &Call<'_>, action: &ActionInvocation, region: &str) -> ErrorDetails {
    let what = if action.condition.is_some() { "Rule" } else { "Action" };
    let realm = cx.realm.name();
    ErrorDetails::new(
        error_code::CONFIGURATION_ERROR,
        format!(
            "{what} {} runs in the realm {realm}, which does not see the pipeline's artifact store, and the realm has no \
             bucket in {region} to copy artifacts to. Add `staging-bucket = \"...\"` to `[realm.{realm}]` in towpath.toml, \
             the name of a bucket there; or one for each Region, `[realm.{realm}.staging-buckets]` and `{region} = \
             \"...\"`.",
            action.action_name
        ),
    )
}
