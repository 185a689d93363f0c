//! Artifacts as the engine sees them: where an input lies, where an output will lie, and which source revision it was
//! made from. Whether the object is really there is for whoever reads it.

use towpath_model::action::{ArtifactCopy, ArtifactLocation, ErrorDetails, Revision, error_code};
use towpath_model::catalogue::ActionTypeEntry;
use towpath_model::declaration::{ActionDeclaration, ArtifactStore};
use towpath_model::ids::{ArtifactName, IdSource};
use towpath_model::limits;
use towpath_model::state::Execution;

/// The newest successful producer's object for every declared input.
pub(crate) fn inputs(
    declaration: &ActionDeclaration,
    execution: &Execution,
) -> Result<Vec<ArtifactLocation>, ErrorDetails> {
    declaration
        .input_artifacts
        .iter()
        .map(|input| {
            execution.artifacts.get(&input.name).cloned().ok_or_else(|| {
                ErrorDetails::new(
                    error_code::CONFIGURATION_ERROR,
                    format!(
                        "The input artifact '{}' of action '{}' was not produced in this execution.",
                        input.name, declaration.name
                    ),
                )
            })
        })
        .collect()
}

/// Inputs that lie in another Region's store are copied under the same key into the store of the action's Region; the
/// action is given the copies.
pub(crate) fn bring(inputs: &mut [ArtifactLocation], bucket: &str, region: &str) -> Vec<ArtifactCopy> {
    let mut copies = Vec::new();
    for input in inputs {
        if input.region != region {
            let to = ArtifactLocation { bucket: bucket.to_owned(), region: region.to_owned(), ..input.clone() };
            copies.push(ArtifactCopy { from: std::mem::replace(input, to.clone()), to });
        }
    }
    copies
}

/// One new object per declared output, in the store of the action's Region.
pub(crate) fn reserve(
    declaration: &ActionDeclaration,
    entry: &ActionTypeEntry,
    pipeline: &str,
    store: &ArtifactStore,
    region: &str,
    inputs: &[ArtifactLocation],
    ids: &mut dyn IdSource,
) -> Vec<ArtifactLocation> {
    let inherited = inherited_revision(declaration, inputs);
    declaration
        .output_artifacts
        .iter()
        .map(|output| ArtifactLocation {
            name: output.name.clone(),
            bucket: store.location.clone(),
            key: key(pipeline, &output.name, entry.artifact_suffix.as_deref(), ids),
            region: region.to_owned(),
            revision_id: inherited.clone(),
        })
        .collect()
}

/// `<first 20 of the pipeline>/<first 10 of the artifact>/<7 random>`, and the suffix where the type has one.
fn key(pipeline: &str, artifact: &ArtifactName, suffix: Option<&str>, ids: &mut dyn IdSource) -> String {
    let pipeline: String = pipeline.chars().take(limits::ARTIFACT_KEY_PIPELINE_CHARS).collect();
    let artifact: String = artifact.chars().take(limits::ARTIFACT_KEY_NAME_CHARS).collect();
    let random = ids.alphanumeric(limits::ARTIFACT_KEY_RANDOM_CHARS);
    format!("{pipeline}/{artifact}/{random}{}", suffix.unwrap_or_default())
}

/// What is made from inputs carries the revision of its primary one, or of its first.
fn inherited_revision(declaration: &ActionDeclaration, inputs: &[ArtifactLocation]) -> Option<String> {
    let primary = declaration.config("PrimarySource");
    let from = inputs.iter().find(|input| primary == Some(input.name.as_str())).or_else(|| inputs.first());
    from.and_then(|input| input.revision_id.clone())
}

/// Revisions that the provider tells win over inherited ones.
pub(crate) fn trace(outputs: &mut [ArtifactLocation], revisions: &[Revision]) {
    for output in outputs {
        if let Some(revision) = revisions.iter().find(|revision| revision.artifact == output.name) {
            output.revision_id = Some(revision.id.clone());
        }
    }
}
