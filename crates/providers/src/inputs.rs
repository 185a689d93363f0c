//! Input artifacts: copying those that lie in another Region to where the action runs, and what is said of one that cannot
//! be read. The orchestrator calls [`copy_inputs`] before `start`.

use std::path::Path;

use towpath_git::CloneRef;
use towpath_git::limits::CLONE_REF_BYTES_MAX;
use towpath_model::action::{ActionInvocation, ArtifactLocation, Outcome, error_code};

use crate::objects::{S3, Source, Target};
use crate::problem::{Kind, Problem};
use crate::provider::Call;

/// Makes the copies that an action needs, with the pipeline's role, between the Regions of the artifact stores. Repeated
/// it writes the same bytes to the same keys again.
pub async fn copy_inputs(cx: &Call<'_>, action: &ActionInvocation) -> Result<(), Box<Outcome>> {
    if action.copies.is_empty() {
        return Ok(());
    }
    // The action's own role need not know the other Region's bucket.
    let pipeline = ActionInvocation { role_arn: None, ..action.clone() };
    for copy in &pipeline.copies {
        let (from, to) = (&copy.from, &copy.to);
        let there = S3::new(cx.artifacts, &pipeline, &from.region);
        let here = S3::new(cx.artifacts, &pipeline, &to.region);
        let found = there.look(&from.bucket, &from.key, None).await;
        let found = found.map_err(|problem| Box::new(outcome(from, &problem)))?;
        let source = Source { bucket: &from.bucket, key: &from.key, version_id: None, bytes: found.bytes };
        let target = Target {
            bucket: to.bucket.clone(),
            key: to.key.clone(),
            content_type: found.content_type,
            metadata: found.metadata,
            ..Target::default()
        };
        let target = target.encrypted_as_artifact(cx.artifacts, pipeline.encryption_key.as_deref());
        here.copy(&there, source, &target).await.map_err(|problem| Box::new(outcome(to, &problem)))?;
    }
    Ok(())
}

/// Why an input artifact cannot be used, in AWS's words.
pub fn outcome(artifact: &ArtifactLocation, problem: &Problem) -> Outcome {
    let unable = format!(
        "Unable to access the artifact with Amazon S3 object key '{}' located in the Amazon S3 artifact bucket '{}'.",
        artifact.key, artifact.bucket
    );
    match problem.kind {
        Kind::AccessDenied => problem.outcome(
            error_code::PERMISSION_ERROR,
            format!("{unable} The provided role does not have sufficient permissions. {}", problem.detail()),
        ),
        Kind::NotFound => problem.outcome(
            error_code::CONFIGURATION_ERROR,
            format!("{unable} The object does not exist: the action that should have made it wrote nothing."),
        ),
        Kind::Rejected | Kind::Transient | Kind::Session => {
            problem.outcome(error_code::JOB_FAILED, format!("{unable} {}", problem.detail()))
        }
    }
}

/// Whether a downloaded artifact is no zip but a reference that builds clone.
pub fn is_clone_reference(file: &Path) -> bool {
    let is_small = std::fs::metadata(file).is_ok_and(|found| found.len() <= CLONE_REF_BYTES_MAX);
    is_small && std::fs::read(file).is_ok_and(|bytes| CloneRef::read(&bytes).is_some())
}

/// What that means for an action that needs files.
pub fn clone_reference_outcome(artifact: &ArtifactLocation) -> Outcome {
    Outcome::failed(
        error_code::CONFIGURATION_ERROR,
        format!(
            "The artifact {} is a reference to a repository (OutputArtifactFormat CODEBUILD_CLONE_REF), which CodeBuild \
             actions alone can use. Set OutputArtifactFormat of the source action to CODE_ZIP.",
            artifact.name
        ),
    )
}
