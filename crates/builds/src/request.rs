//! What a build is asked to do: the one document handed from the service to the detached runner. It may hold
//! credentials, so its file is private and its Debug output masks values. Must not hold anything only one process knows.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything a runner needs. `dir` is the build's own directory, made by `spawn`, private to the server's user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRequest {
    /// Version of this document, so that a newer server can adopt an older runner's directory.
    pub format: u32,
    /// Names the build; only used to derive names (`srcN`, the container's name).
    pub build_id: String,
    pub dir: PathBuf,
    pub primary_source: PathBuf,
    pub secondary_sources: Vec<SecondarySource>,
    pub buildspec: BuildspecSource,
    /// Project and override variables, already merged; they beat the buildspec's own.
    pub environment: Vec<EnvironmentVariable>,
    /// `CODEBUILD_*` as the service knows them; the runner adds the ones that depend on the sandbox.
    pub codebuild: BTreeMap<String, String>,
    /// Region, endpoints, credentials of the service role: beaten by every variable a user sets.
    pub base_environment: BTreeMap<String, Secret>,
    pub sandbox: SandboxSpec,
    pub timeout_seconds: u64,
    pub artifacts: WantedArtifacts,
    /// Where `cache.paths` are kept between builds (LOCAL_CUSTOM_CACHE); none: nothing is cached.
    pub local_cache: Option<PathBuf>,
    /// Values shown as `***` in the log and in phase contexts.
    pub masks: Vec<Secret>,
}

/// The `format` this crate writes and reads.
pub const REQUEST_FORMAT: u32 = 1;

/// A string whose Debug output is a mask.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondarySource {
    /// Letters, digits and `_`: it becomes part of variable names.
    pub identifier: String,
    pub dir: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BuildspecSource {
    /// The text itself.
    Inline(String),
    /// A file the project names, relative to the primary source.
    Path(String),
    /// `buildspec.yml` in the root of the primary source.
    Default,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentVariable {
    pub name: String,
    pub value: Secret,
    pub kind: VariableKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum VariableKind {
    Plaintext,
    ParameterStore,
    SecretsManager,
}

/// Which artifacts the service will upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WantedArtifacts {
    None,
    /// The top-level `artifacts`.
    Primary,
    /// `artifacts.secondary-artifacts` of these identifiers and nothing else (a pipeline action with several outputs).
    Secondary(Vec<String>),
    /// The top-level one and these (a project with secondaryArtifacts).
    PrimaryAndSecondary(Vec<String>),
}

/// What the commands run in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxSpec {
    /// Plain processes of the runner's own user. No protection whatsoever: for a developer's own machine.
    Host(HostSpec),
    Bubblewrap(BubblewrapSpec),
    Container(ContainerSpec),
}

/// On the host a build keeps `HOME` and `PATH` of the server's user, so that the tools of that user are found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSpec {
    /// The rest of the server's environment too, except `AWS_*`, `CODEBUILD_*` and `TOWPATH_*`.
    pub inherit_environment: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BubblewrapSpec {
    /// Directories shown read-only beside the system's own (`/usr`, `/etc`, `/opt`, …): toolchains kept elsewhere.
    pub read_only: Vec<PathBuf>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    pub image: String,
    /// `unix:///path` or `tcp://host:port`; none: DOCKER_HOST, CONTAINER_HOST, then the usual sockets.
    pub engine: Option<String>,
    pub privileged: bool,
    /// Network mode; none: `host`, so that a server on loopback can be reached.
    pub network: Option<String>,
    pub registry_credential: Option<RegistryCredential>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryCredential {
    pub username: String,
    pub password: Secret,
}

impl WantedArtifacts {
    pub fn primary(&self) -> bool {
        matches!(self, Self::Primary | Self::PrimaryAndSecondary(_))
    }

    pub fn secondary(&self) -> &[String] {
        match self {
            Self::None | Self::Primary => &[],
            Self::Secondary(ids) | Self::PrimaryAndSecondary(ids) => ids,
        }
    }
}
