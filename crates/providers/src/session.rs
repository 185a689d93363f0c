//! The conventions by which an embedded service recognises that a pipeline is the caller.
//!
//! Every role session a provider opens is named `codepipeline@<pipeline name>`, cut to STS's 64 characters; on AWS that
//! is a session name like any other. An embedded CodeBuild that is called by the principal
//! `arn:aws:sts::<account>:assumed-role/<role>/codepipeline@<pipeline>` sets the build's initiator to
//! `codepipeline/<pipeline>` and reports source and artifacts as type CODEPIPELINE. Of a pipeline's name longer than 51
//! characters it knows the first 51.
//!
//! A project that CodePipeline makes for itself, to run Commands actions in, carries the tag [`PIPELINE_TAG`]: in its
//! builds the caller is `codepipeline.amazonaws.com` itself. Such a build acts as the role that StartBuild overrides; the
//! embedded CodeBuild assumes it with the project's own role, the pipeline's.
//!
//! The revision travels with the object, not with the call: see [`REVISION_METADATA`].

use crate::limits::SESSION_NAME_CHARS_MAX;

/// What the name of a pipeline's role session starts with.
pub const SESSION_PREFIX: &str = "codepipeline@";

/// Tag of a project that CodePipeline made for itself: the pipeline's whole name.
pub const PIPELINE_TAG: &str = "codepipeline:pipeline-name";

/// User metadata key (`x-amz-meta-codepipeline-revision-id`) of an artifact object: the revision of the source it was
/// made from. Source providers write it; whoever makes an artifact out of another hands it on. An embedded CodeBuild
/// takes `resolvedSourceVersion` from the primary input's and writes it to its outputs. AWS ignores it.
pub const REVISION_METADATA: &str = "codepipeline-revision-id";

/// User metadata key of an artifact object that is a clone reference (`OutputArtifactFormat` `CODEBUILD_CLONE_REF`), not
/// a zip: only builds can use it.
pub const CLONE_REF_METADATA: &str = "codepipeline-clone-ref";

/// The name of the role session in which a pipeline's actions run.
pub fn session_name(pipeline: &str) -> String {
    format!("{SESSION_PREFIX}{pipeline}").chars().take(SESSION_NAME_CHARS_MAX).collect()
}

/// The pipeline whose action opened the session of this name, if one did.
pub fn pipeline_of_session(session: &str) -> Option<&str> {
    session.strip_prefix(SESSION_PREFIX).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_names_its_pipeline() {
        assert_eq!(session_name("ferry"), "codepipeline@ferry");
        assert_eq!(pipeline_of_session("codepipeline@ferry"), Some("ferry"));
        assert_eq!(pipeline_of_session("somebody"), None);
        assert_eq!(session_name(&"n".repeat(100)).len(), 64);
    }
}
