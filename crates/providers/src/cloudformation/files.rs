//! Files of input artifacts, as CloudFormation actions name them: `Artifact::path/in/the/artifact`. Each artifact is fetched
//! once in a call, however many of its files are read.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tempfile::NamedTempFile;
use towpath_model::action::{ActionInvocation, ArtifactLocation, Outcome};

use crate::artifact_files::{self, Trouble};
use crate::deploys;
use crate::limits::CLOUDFORMATION_ARTIFACT_BYTES_MAX;
use crate::objects::S3;
use crate::provider::Call;

/// One file of an input artifact.
#[derive(Debug, Clone, Copy)]
pub struct FileOf<'a> {
    pub artifact: &'a ArtifactLocation,
    pub path: &'a str,
}

/// `Artifact` and `path` of `Artifact::path`.
pub fn split(text: &str) -> Option<(&str, &str)> {
    text.split_once("::").filter(|(artifact, path)| !artifact.is_empty() && !path.is_empty())
}

/// The input artifact of this name, which `key` of the configuration wants.
pub fn input<'a>(action: &'a ActionInvocation, key: &str, name: &str) -> Result<&'a ArtifactLocation, String> {
    action.input_artifacts.iter().find(|artifact| artifact.name.as_str() == name).ok_or_else(|| {
        format!(
            "{key} of action {} names the artifact {name}, which is none of its input artifacts. Add {name} to the action's \
             inputArtifacts.",
            action.action_name
        )
    })
}

impl<'a> FileOf<'a> {
    /// What the value of `key` names.
    pub fn read(action: &'a ActionInvocation, key: &str, text: &'a str) -> Result<Self, String> {
        let (name, path) = split(text).ok_or_else(|| must_be_a_file(key))?;
        Ok(Self { artifact: input(action, key, name)?, path })
    }
}

pub fn must_be_a_file(key: &str) -> String {
    format!("The value of {key} must be Artifact::path, an input artifact's name and the path of a file in it.")
}

/// The input artifacts of one call.
pub struct Files<'a> {
    cx: &'a Call<'a>,
    action: &'a ActionInvocation,
    fetched: BTreeMap<String, NamedTempFile>,
}

impl<'a> Files<'a> {
    pub fn new(cx: &'a Call<'a>, action: &'a ActionInvocation) -> Self {
        Self { cx, action, fetched: BTreeMap::new() }
    }

    /// The bytes of a file, `max` at the most.
    pub async fn bytes(&mut self, file: FileOf<'_>, max: u64) -> Result<Vec<u8>, Box<Outcome>> {
        let told = |trouble: Trouble| told(file, &trouble);
        let zip = self.zip(file.artifact).await?;
        let extracted = artifact_files::extract(self.cx, &zip, file.path, max).await.map_err(told)?;
        tokio::fs::read(extracted.path()).await.map_err(|error| told(Trouble::Local(error)))
    }

    /// The artifact on this machine.
    async fn zip(&mut self, artifact: &ArtifactLocation) -> Result<PathBuf, Box<Outcome>> {
        let name = artifact.name.as_str();
        if let Some(zip) = self.fetched.get(name) {
            return Ok(zip.path().to_path_buf());
        }
        let told = |trouble: Trouble| Box::new(trouble.outcome(artifact));
        let store = S3::new(self.cx.artifacts, self.action, &artifact.region);
        let found = store.look(&artifact.bucket, &artifact.key, None).await;
        let found = found.map_err(|problem| told(Trouble::Input(problem)))?;
        if found.bytes > CLOUDFORMATION_ARTIFACT_BYTES_MAX {
            return Err(wrong(format!(
                "The artifact {name} has {} bytes; {CLOUDFORMATION_ARTIFACT_BYTES_MAX} is the limit of a CloudFormation action.",
                found.bytes
            )));
        }
        let zip = artifact_files::fetch(self.cx, self.action, artifact).await.map_err(told)?;
        let path = zip.path().to_path_buf();
        self.fetched.insert(name.to_owned(), zip);
        Ok(path)
    }

    pub async fn text(&mut self, file: FileOf<'_>, max: u64) -> Result<String, Box<Outcome>> {
        let bytes = self.bytes(file, max).await?;
        String::from_utf8(bytes).map_err(|_| {
            wrong(format!("The file {} of the artifact {} is no UTF-8 text.", file.path, file.artifact.name))
        })
    }

    /// A file that is a JSON document.
    pub async fn json(&mut self, file: FileOf<'_>, max: u64) -> Result<serde_json::Value, Box<Outcome>> {
        let bytes = self.bytes(file, max).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            wrong(format!(
                "The file {} of the artifact {} is no JSON (line {}, column {}).",
                file.path,
                file.artifact.name,
                error.line(),
                error.column()
            ))
        })
    }
}

/// The user's to mend.
pub fn wrong(message: impl Into<String>) -> Box<Outcome> {
    Box::new(deploys::misconfigured(message))
}

fn told(file: FileOf<'_>, trouble: &Trouble) -> Box<Outcome> {
    match trouble {
        Trouble::Missing { path } => {
            wrong(format!("File [{path}] does not exist in artifact [{}]", file.artifact.name))
        }
        other => Box::new(other.outcome(file.artifact)),
    }
}
