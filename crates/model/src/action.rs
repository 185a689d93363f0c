//! What a provider is given and what it may answer. AWS shapes and storage stay elsewhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalogue::ActionTypeId;
use crate::declaration::{ConditionType, EnvironmentVariable};
use crate::ids::{ActionExecutionId, ActionName, ArtifactName, ExecutionId, PipelineName, Scope, StageName};
use crate::time::Timestamp;

/// Where an artifact lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactLocation {
    pub name: ArtifactName,
    pub bucket: String,
    pub key: String,
    /// Region of the artifact store the object lies in.
    pub region: String,
    /// Revision of the source this artifact was made from, where it can be traced to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRevisionOverride {
    pub action_name: ActionName,
    pub revision_type: String,
    pub revision_value: String,
}

/// An input artifact that lies in another Region's artifact store and is copied before the action starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactCopy {
    pub from: ArtifactLocation,
    pub to: ArtifactLocation,
}

/// Everything a provider needs to run one action execution or one rule execution. Built by the engine, stored with the
/// task, so a restart starts from the same words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionInvocation {
    pub scope: Scope,
    pub pipeline_name: PipelineName,
    pub pipeline_version: u32,
    pub execution_id: ExecutionId,
    pub stage_name: StageName,
    /// The action's name; a rule's, where `condition` is set.
    pub action_name: ActionName,
    /// The execution id of the action; of the rule, where `condition` is set.
    pub action_execution_id: ActionExecutionId,
    pub action_type: ActionTypeId,
    /// The gate of the stage whose condition the rule belongs to; None for an action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<ConditionType>,
    /// Variables resolved; secrets in clear.
    pub configuration: BTreeMap<String, String>,
    pub region: String,
    pub pipeline_role_arn: String,
    pub role_arn: Option<String>,
    /// Where the action finds its inputs, all in its own Region once `copies` are made.
    pub input_artifacts: Vec<ArtifactLocation>,
    /// What has to be copied into the Region's artifact store before `start`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<ArtifactCopy>,
    pub output_artifacts: Vec<ArtifactLocation>,
    pub encryption_key: Option<String>,
    pub source_overrides: Vec<SourceRevisionOverride>,
    pub commands: Vec<String>,
    pub environment_variables: Vec<EnvironmentVariable>,
    pub output_variables: Vec<String>,
    /// `outputArtifacts[0].files`: what a Commands action puts into its output artifact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output_files: Vec<String>,
    pub started: Timestamp,
    pub deadline: Timestamp,
}

impl ActionInvocation {
    /// The role whose permissions the action runs with.
    pub fn acting_role(&self) -> &str {
        self.role_arn.as_deref().unwrap_or(&self.pipeline_role_arn)
    }

    pub fn config(&self, key: &str) -> Option<&str> {
        self.configuration.get(key).map(String::as_str)
    }

    /// A configuration value read as AWS reads booleans: `true` in any case.
    pub fn config_true(&self, key: &str) -> bool {
        self.config(key).is_some_and(|v| v.eq_ignore_ascii_case("true"))
    }

    pub fn is_cross_region(&self) -> bool {
        self.region != self.scope.region
    }
}

/// What is known of an action's work outside while it runs, kept between polls.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    pub external_id: Option<String>,
    pub external_url: Option<String>,
    pub summary: Option<String>,
    pub percent: Option<u8>,
    pub log_stream_arn: Option<String>,
    /// The provider's own memory between polls.
    pub continuation: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetails {
    pub code: String,
    pub message: String,
}

impl ErrorDetails {
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}

/// A source revision or the revision of another produced artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    pub artifact: ArtifactName,
    pub action: ActionName,
    pub id: String,
    pub change_id: Option<String>,
    pub summary: Option<String>,
    pub url: Option<String>,
    pub created: Option<Timestamp>,
}

/// What a provider answers to `start` and `poll`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Work goes on outside; ask again.
    Pending {
        progress: Progress,
    },
    /// Somebody will report the result (a job worker, a function, a person).
    AwaitingCallback {
        progress: Progress,
    },
    Succeeded {
        progress: Progress,
        variables: BTreeMap<String, String>,
        revisions: Vec<Revision>,
    },
    Failed {
        progress: Progress,
        error: ErrorDetails,
    },
    /// The peer could not be asked; not the user's fault; ask again with backoff.
    Unavailable {
        message: String,
    },
}

impl Outcome {
    pub fn succeeded() -> Self {
        Self::Succeeded { progress: Progress::default(), variables: BTreeMap::new(), revisions: Vec::new() }
    }

    pub fn failed(code: &str, message: impl Into<String>) -> Self {
        Self::Failed { progress: Progress::default(), error: ErrorDetails::new(code, message) }
    }
}

/// Error codes AWS shows in `errorDetails.code`.
pub mod error_code {
    pub const JOB_FAILED: &str = "JobFailed";
    pub const CONFIGURATION_ERROR: &str = "ConfigurationError";
    pub const PERMISSION_ERROR: &str = "PermissionError";
    pub const TIMED_OUT: &str = "JobTimedOut";
    pub const INTERNAL_ERROR: &str = "InternalError";
    /// The words AWS shows when a variable does not exist at run time.
    pub const INVALID_VARIABLES: &str = "ActionConfigurationVariablesNotResolved";
}
