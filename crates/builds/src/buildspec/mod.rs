//! The buildspec, versions 0.1 and 0.2: its types, and `parse`, which reads one as CodeBuild does. What CodeBuild
//! refuses is a [`BuildspecError`] in its words; what it silently ignores is a [`Warning`]. Must not run anything.

mod fields;
mod on_failure;
mod parse;

use serde::{Deserialize, Serialize};

pub use on_failure::{OnFailure, Retry};
pub(crate) use parse::is_variable_name;
pub use parse::parse;

/// A text that is no buildspec. `Display` is the message of CodeBuild's YAML_FILE_ERROR context.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BuildspecError {
    /// 1-based line, where one is to blame. Only some of CodeBuild's messages repeat it.
    pub line: Option<usize>,
    pub message: String,
}

/// Something CodeBuild ignores without a word: most often a misspelt key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

/// A buildspec and what is odd about it.
#[derive(Debug, Clone)]
pub struct Parsed {
    pub buildspec: Buildspec,
    pub warnings: Vec<Warning>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Every command in a shell of its own; `environment_variables` instead of `env`.
    V0_1,
    /// State carries from command to command.
    V0_2,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buildspec {
    pub version: Version,
    pub run_as: Option<String>,
    pub env: Env,
    /// In the order they run; a phase that is not given is absent.
    pub phases: Vec<Phase>,
    pub reports: Vec<Report>,
    pub artifacts: Option<Artifacts>,
    pub cache: Option<Cache>,
}

impl Buildspec {
    pub fn phase(&self, kind: PhaseKind) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.kind == kind)
    }

    /// Whether any command runs as somebody in particular.
    pub fn uses_run_as(&self) -> bool {
        self.run_as.is_some() || self.phases.iter().any(|phase| phase.run_as.is_some())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Env {
    pub shell: Option<String>,
    pub variables: Vec<(String, String)>,
    /// Name, and the name of the parameter.
    pub parameter_store: Vec<(String, String)>,
    /// Name, and `secret-id[:json-key[:version-stage[:version-id]]]`.
    pub secrets_manager: Vec<(String, String)>,
    pub exported_variables: Vec<String>,
    pub git_credential_helper: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhaseKind {
    Install,
    PreBuild,
    Build,
    PostBuild,
}

impl PhaseKind {
    pub const ALL: [Self; 4] = [Self::Install, Self::PreBuild, Self::Build, Self::PostBuild];

    /// The key in a buildspec.
    pub fn key(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::PreBuild => "pre_build",
            Self::Build => "build",
            Self::PostBuild => "post_build",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    pub kind: PhaseKind,
    pub run_as: Option<String>,
    pub on_failure: Option<OnFailure>,
    pub commands: Vec<String>,
    pub finally: Vec<String>,
    /// Only in install.
    pub runtime_versions: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Name or ARN of the group; may hold a `$VARIABLE`.
    pub group: String,
    pub files: Vec<String>,
    /// Upper case.
    pub file_format: String,
    pub base_directory: Option<String>,
    pub discard_paths: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Artifacts {
    /// Absent where only secondary artifacts are declared.
    pub primary: Option<ArtifactSpec>,
    pub secondary: Vec<(String, ArtifactSpec)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArtifactSpec {
    pub files: Vec<String>,
    pub name: Option<String>,
    pub discard_paths: bool,
    pub base_directory: Option<String>,
    pub exclude_paths: Vec<String>,
    pub enable_symlinks: bool,
    pub s3_prefix: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cache {
    pub paths: Vec<String>,
    pub key: Option<String>,
    pub fallback_keys: Vec<String>,
    pub action: CacheAction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheAction {
    #[default]
    Both,
    Restore,
    Save,
}
