//! What CodeBuild keeps. The parts that users see are kept in the shapes of the API, which AWS keeps stable; the rest is
//! ours and carries a format number.

use serde::{Deserialize, Serialize};
use towpath_model::ids::Scope;
use towpath_wire::codebuild::{Build, BuildPhase, Project, Report, ReportGroup, TestCase};

/// The format this version writes. A newer one is refused by the store's schema, never half understood.
pub(super) const FORMAT: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ProjectRecord {
    pub format: u32,
    pub project: Project,
    /// Number of the latest build.
    pub builds: i64,
    /// CodePipeline made it for itself: nobody else may change it or start its builds, which act as a pipeline's role.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_codepipeline: bool,
}

/// How far the work on a build has come. Every step may be repeated after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    Queued,
    /// Role, sources, request of the runner.
    Preparing,
    /// The runner has the build, or is about to.
    Running,
    Uploading,
    /// The build is over for its users; a runner may still have to be stopped and files removed.
    Cleaning,
    Done,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct BuildRecord {
    pub format: u32,
    pub scope: Scope,
    /// As BatchGetBuilds answers it.
    pub build: Build,
    /// The project with all overrides applied: what is built, and what a retry builds again.
    pub effective: Project,
    /// The pipeline whose action started the build.
    #[serde(default)]
    pub pipeline: Option<String>,
    /// The pipeline's role, where CodePipeline itself runs the build: it assumes this one, and with it the build's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_role: Option<String>,
    pub stage: Stage,
    /// Phases up to the start of the runner; its own are joined to them.
    #[serde(default)]
    pub prepared: Vec<BuildPhase>,
    /// Revision of the primary input, handed on to the outputs.
    #[serde(default)]
    pub revision: Option<String>,
}

impl BuildRecord {
    pub fn id(&self) -> &str {
        self.build.id.as_deref().unwrap_or_default()
    }

    pub fn project_name(&self) -> &str {
        self.build.project_name.as_deref().unwrap_or_default()
    }

    /// The uuid of the id.
    pub fn uuid(&self) -> &str {
        super::names::split_build_id(self.id()).map_or("", |(_, uuid)| uuid)
    }

    pub fn is_complete(&self) -> bool {
        self.build.build_complete.unwrap_or(false)
    }
}

/// What stands in the list of open builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum OpenMark {
    /// Several processes share the list; this one has the build, as long as it lives.
    Owned {
        node: String,
        /// Another node has changed the record: its owner is to look at it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        look: bool,
    },
    /// Of a process that has the list to itself: the build's id.
    Alone(String),
}

impl OpenMark {
    pub fn owner(&self) -> Option<&str> {
        match self {
            Self::Owned { node, .. } => Some(node),
            Self::Alone(_) => None,
        }
    }
}

/// The sign of life of a node that shares the open builds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NodeRecord {
    pub until_ms: i64,
}

/// A start that may be asked for again with the same token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TokenRecord {
    pub id: String,
    /// Hash of the input the token came with.
    pub input: String,
    pub until_ms: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ReportGroupRecord {
    pub format: u32,
    pub group: ReportGroup,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ReportRecord {
    pub format: u32,
    pub report: Report,
    pub cases: Vec<TestCase>,
}
