//! The artifact of a source with OutputArtifactFormat CODEBUILD_CLONE_REF: not the files but where they are. What AWS
//! writes into it is unpublished; this form is Towpath's own. It names, it never grants: whoever clones needs permission
//! of its own, and finds the URL by itself from what is named here.

use serde::{Deserialize, Serialize};

/// What tells such a file from any other JSON.
pub const FORMAT: &str = "towpath-codebuild-clone-ref-1";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CloneRef {
    /// [`FORMAT`].
    pub format: String,
    #[serde(flatten)]
    pub origin: Origin,
    pub branch: String,
    pub commit_id: String,
}

/// Where the repository is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "provider", rename_all_fields = "camelCase")]
pub enum Origin {
    CodeCommit {
        repository_arn: String,
    },
    /// Cloned through the connection, at `/git-http/ACCOUNT/REGION/CONNECTION_ID/FULL_REPOSITORY_ID.git`.
    CodeConnections {
        connection_arn: String,
        full_repository_id: String,
    },
}

impl CloneRef {
    pub fn new(origin: Origin, branch: impl Into<String>, commit_id: impl Into<String>) -> Self {
        Self { format: FORMAT.to_owned(), origin, branch: branch.into(), commit_id: commit_id.into() }
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        // Texts and nothing else: it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a file that may be one.
    pub fn read(text: &[u8]) -> Option<Self> {
        let found: Self = serde_json::from_slice(text).ok()?;
        (found.format == FORMAT && crate::command::is_object_id(&found.commit_id)).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_reads_as_it_was_written() {
        let id = "a".repeat(40);
        let one = CloneRef::new(Origin::CodeCommit { repository_arn: "arn:aws:codecommit:r:1:x".into() }, "main", &id);
        assert_eq!(
            one.to_json(),
            format!(
                r#"{{"format":"{FORMAT}","provider":"CodeCommit","repositoryArn":"arn:aws:codecommit:r:1:x","branch":"main","commitId":"{id}"}}"#
            )
        );
        assert_eq!(CloneRef::read(one.to_json().as_bytes()), Some(one.clone()));
        let two = Origin::CodeConnections { connection_arn: "c".into(), full_repository_id: "o/r".into() };
        let two = CloneRef::new(two, "main", &id);
        assert_eq!(CloneRef::read(two.to_json().as_bytes()), Some(two));
        for bad in
            ["", "PK", "{}", &one.to_json().replace("-1\"", "-2\""), &one.to_json().replace(&id, "--upload-pack=x")]
        {
            assert_eq!(CloneRef::read(bad.as_bytes()), None, "{bad}");
        }
    }
}
