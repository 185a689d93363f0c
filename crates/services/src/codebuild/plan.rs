//! What a build reads and writes, worked out from its effective project: S3 inputs, the buildspec's place, the object
//! keys of its artifacts. Pure.

use towpath_builds::request::{BuildspecSource, WantedArtifacts};
use towpath_wire::codebuild::{Project, ProjectArtifacts, ProjectSource, artifacts_type, source_type};

use super::check::is_inline;
use super::effective::secondary_version;

/// An input in S3: a zip, or everything below a folder where `key` ends with `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    /// `None` for the primary source.
    pub identifier: Option<String>,
    pub bucket: String,
    pub key: String,
    pub version: Option<String>,
}

impl Input {
    fn of(source: &ProjectSource, identifier: Option<String>, version: Option<&str>) -> Option<Self> {
        if source.r#type != source_type::S3 {
            return None;
        }
        let location = source.location.as_deref().unwrap_or_default();
        let location = location.strip_prefix("arn:aws:s3:::").unwrap_or(location);
        let (bucket, key) = location.split_once('/')?;
        let version = version.filter(|version| !version.is_empty()).map(str::to_owned);
        Some(Self { identifier, bucket: bucket.to_owned(), key: key.to_owned(), version })
    }

    pub fn is_folder(&self) -> bool {
        self.key.ends_with('/')
    }

    pub fn arn(&self) -> String {
        format!("arn:aws:s3:::{}/{}", self.bucket, self.key)
    }
}

pub(super) fn primary_input(project: &Project) -> Option<Input> {
    Input::of(project.source.as_ref()?, None, project.source_version.as_deref())
}

pub(super) fn secondary_inputs(project: &Project) -> Vec<Input> {
    let of = |source: &ProjectSource| {
        Input::of(source, Some(source.source_identifier.clone()?), secondary_version(project, source))
    };
    project.secondary_sources.iter().flatten().filter_map(of).collect()
}

/// Identifiers become parts of variable names: what a shell cannot have there becomes `_`.
pub(super) fn variable_name(identifier: &str) -> String {
    identifier.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// Where the buildspec is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Buildspec {
    Local(BuildspecSource),
    Object { bucket: String, key: String },
}

pub(super) fn buildspec(project: &Project) -> Buildspec {
    let text = project.source.as_ref().and_then(|source| source.buildspec.as_deref()).unwrap_or_default();
    if let Some((bucket, key)) = text.strip_prefix("arn:aws:s3:::").and_then(|object| object.split_once('/')) {
        return Buildspec::Object { bucket: bucket.to_owned(), key: key.trim().to_owned() };
    }
    Buildspec::Local(if is_inline(text) {
        BuildspecSource::Inline(text.to_owned())
    } else if text.trim().is_empty() {
        BuildspecSource::Default
    } else {
        BuildspecSource::Path(text.trim().to_owned())
    })
}

/// An artifact that goes to S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// `None` for the primary artifact.
    pub identifier: Option<String>,
    pub bucket: String,
    pub zip: bool,
    path: String,
    name: String,
    by_build: bool,
    spec_names_it: bool,
}

impl Target {
    fn of(artifacts: &ProjectArtifacts, identifier: Option<String>) -> Option<Self> {
        if artifacts.r#type != artifacts_type::S3 {
            return None;
        }
        Some(Self {
            identifier,
            bucket: artifacts.location.clone().unwrap_or_default(),
            zip: artifacts.packaging.as_deref() == Some("ZIP"),
            path: artifacts.path.as_deref().unwrap_or_default().trim_matches('/').to_owned(),
            name: artifacts.name.clone().unwrap_or_default(),
            by_build: artifacts.namespace_type.as_deref() == Some("BUILD_ID"),
            spec_names_it: artifacts.override_artifact_name.unwrap_or(false),
        })
    }

    /// The object's key, or the folder's without a slash at its end. `uuid` is the build's; `name` and `prefix` are what
    /// the buildspec says.
    pub fn key(&self, uuid: &str, name: Option<&str>, prefix: Option<&str>) -> String {
        let name = name.filter(|name| self.spec_names_it && !name.is_empty()).unwrap_or(&self.name);
        let prefix = prefix.filter(|prefix| self.by_build && !prefix.is_empty());
        let mut name = name.trim_matches('/').to_owned();
        if prefix.is_some() && self.zip && !name.to_ascii_lowercase().ends_with(".zip") {
            name.push_str(".zip");
        }
        let path = prefix.map_or(self.path.as_str(), |prefix| prefix.trim_matches('/'));
        let parts = [path, if self.by_build { uuid } else { "" }, &name];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
    }

    pub fn arn(&self, key: &str) -> String {
        if key.is_empty() {
            format!("arn:aws:s3:::{}", self.bucket)
        } else {
            format!("arn:aws:s3:::{}/{key}", self.bucket)
        }
    }
}

pub(super) fn primary_target(project: &Project) -> Option<Target> {
    Target::of(project.artifacts.as_ref()?, None)
}

pub(super) fn secondary_targets(project: &Project) -> Vec<Target> {
    let of = |artifacts: &ProjectArtifacts| Target::of(artifacts, Some(artifacts.artifact_identifier.clone()?));
    project.secondary_artifacts.iter().flatten().filter_map(of).collect()
}

pub(super) fn wanted(project: &Project) -> WantedArtifacts {
    let identifiers: Vec<String> =
        secondary_targets(project).into_iter().filter_map(|target| target.identifier).collect();
    match (primary_target(project).is_some(), identifiers.is_empty()) {
        (false, true) => WantedArtifacts::None,
        (true, true) => WantedArtifacts::Primary,
        (false, false) => WantedArtifacts::Secondary(identifiers),
        (true, false) => WantedArtifacts::PrimaryAndSecondary(identifiers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(change: impl FnOnce(&mut ProjectArtifacts)) -> Target {
        let mut artifacts = ProjectArtifacts {
            r#type: "S3".into(),
            location: Some("b".into()),
            path: Some("P".into()),
            name: Some("N".into()),
            packaging: Some("ZIP".into()),
            ..ProjectArtifacts::default()
        };
        change(&mut artifacts);
        Target::of(&artifacts, None).expect("a target")
    }

    #[test]
    fn keys_follow_the_documented_table() {
        assert_eq!(target(|_| {}).key("id", None, None), "P/N");
        let by_build = |artifacts: &mut ProjectArtifacts| artifacts.namespace_type = Some("BUILD_ID".into());
        assert_eq!(target(by_build).key("id", None, None), "P/id/N");
        let root = target(|artifacts| {
            artifacts.path = None;
            artifacts.name = Some("/".into());
        });
        assert_eq!((root.key("id", None, None).as_str(), root.arn("").as_str()), ("", "arn:aws:s3:::b"));
        let folder = target(|artifacts| {
            by_build(artifacts);
            artifacts.name = Some("/".into());
        });
        assert_eq!(folder.key("id", None, None), "P/id");
        assert_eq!(
            target(|_| {}).key("id", Some("other"), None),
            "P/N",
            "only where the project lets the buildspec name it"
        );
        let named = target(|artifacts| artifacts.override_artifact_name = Some(true));
        assert_eq!(named.key("id", Some("v1/app.zip"), None), "P/v1/app.zip");
        assert_eq!(target(by_build).key("id", None, Some("pre")), "pre/id/N.zip");
        assert_eq!(target(|_| {}).key("id", None, Some("pre")), "P/N");
    }

    #[test]
    fn inputs_and_buildspec_are_told_apart() {
        let project = Project {
            source: Some(ProjectSource {
                r#type: "S3".into(),
                location: Some("b/dir/k.zip".into()),
                buildspec: Some("arn:aws:s3:::specs/ci.yml".into()),
                ..ProjectSource::default()
            }),
            source_version: Some("v7".into()),
            ..Project::default()
        };
        let input = primary_input(&project).expect("an input");
        assert_eq!((input.arn().as_str(), input.version.as_deref()), ("arn:aws:s3:::b/dir/k.zip", Some("v7")));
        assert!(!input.is_folder());
        assert_eq!(buildspec(&project), Buildspec::Object { bucket: "specs".into(), key: "ci.yml".into() });
        assert_eq!(wanted(&project), WantedArtifacts::None);
        assert_eq!(variable_name("my-art.1"), "my_art_1");
    }
}
