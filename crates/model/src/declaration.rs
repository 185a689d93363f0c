//! The pipeline declaration: CodePipeline's own JSON, field for field. Parsing is lenient here; the file reader and the
//! wire each decide how strict they are, and `towpath_engine::validation` decides whether it may run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalogue::{ActionTypeId, Category, Owner};
use crate::ids::{ActionName, ArtifactName, Namespace, PipelineName, StageName};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PipelineDeclaration {
    pub name: PipelineName,
    pub role_arn: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_store: Option<ArtifactStore>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_stores: Option<BTreeMap<String, ArtifactStore>>,
    pub stages: Vec<StageDeclaration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_mode: Option<ExecutionMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_type: Option<PipelineType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variables: Option<Vec<PipelineVariable>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triggers: Option<Vec<serde_json::Value>>,
}

impl PipelineDeclaration {
    pub fn mode(&self) -> ExecutionMode {
        self.execution_mode.unwrap_or_default()
    }

    pub fn stage(&self, name: &str) -> Option<&StageDeclaration> {
        self.stages.iter().find(|s| s.name == *name)
    }

    pub fn declared_variables(&self) -> &[PipelineVariable] {
        self.variables.as_deref().unwrap_or_default()
    }

    /// The roles that its actions and rules name for themselves.
    pub fn own_roles(&self) -> impl Iterator<Item = &str> {
        let actions =
            self.stages.iter().flat_map(|stage| &stage.actions).filter_map(|action| action.role_arn.as_deref());
        let conditions =
            self.stages.iter().flat_map(|s| ConditionType::ALL.into_iter().filter_map(|gate| s.condition(gate)));
        let rules = conditions.flat_map(|condition| condition.rules.iter().flatten());
        actions.chain(rules.filter_map(|rule| rule.role_arn.as_deref()))
    }

    /// The artifact store for a Region: the single one, or the Region's row.
    pub fn store_for(&self, region: &str) -> Option<&ArtifactStore> {
        match (&self.artifact_store, &self.artifact_stores) {
            (Some(store), _) => Some(store),
            (None, Some(stores)) => stores.get(region),
            (None, None) => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ExecutionMode {
    #[default]
    Superseded,
    Queued,
    Parallel,
}

impl ExecutionMode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Superseded => "SUPERSEDED",
            Self::Queued => "QUEUED",
            Self::Parallel => "PARALLEL",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PipelineType {
    V1,
    V2,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactStore {
    #[serde(rename = "type")]
    pub kind: String,
    pub location: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_key: Option<EncryptionKey>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncryptionKey {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PipelineVariable {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageDeclaration {
    pub name: StageName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blockers: Option<Vec<Blocker>>,
    pub actions: Vec<ActionDeclaration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_entry: Option<Conditions>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_success: Option<Conditions>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<FailureConditions>,
}

impl StageDeclaration {
    pub fn action(&self, name: &str) -> Option<&ActionDeclaration> {
        self.actions.iter().find(|a| a.name == *name)
    }
}

/// Which gate of a stage a condition stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConditionType {
    BeforeEntry,
    OnSuccess,
    OnFailure,
}

impl ConditionType {
    pub const ALL: [Self; 3] = [Self::BeforeEntry, Self::OnSuccess, Self::OnFailure];

    /// The member of the stage declaration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BeforeEntry => "beforeEntry",
            Self::OnSuccess => "onSuccess",
            Self::OnFailure => "onFailure",
        }
    }
}

impl StageDeclaration {
    /// The condition of a gate; AWS allows one.
    pub fn condition(&self, gate: ConditionType) -> Option<&Condition> {
        let conditions = match gate {
            ConditionType::BeforeEntry => &self.before_entry.as_ref()?.conditions,
            ConditionType::OnSuccess => &self.on_success.as_ref()?.conditions,
            ConditionType::OnFailure => self.on_failure.as_ref()?.conditions.as_ref()?,
        };
        conditions.first()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocker {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    pub conditions: Vec<Condition>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureConditions {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_configuration: Option<RetryConfiguration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryConfiguration {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_mode: Option<RetryMode>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RetryMode {
    FailedActions,
    AllActions,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<RuleDeclaration>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleDeclaration {
    pub name: String,
    pub rule_type_id: RuleTypeId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_artifacts: Option<Vec<InputArtifact>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_in_minutes: Option<u32>,
}

impl RuleDeclaration {
    /// The rule as the action it is run and checked like: one without outputs, of category Rule.
    pub fn as_action(&self) -> ActionDeclaration {
        ActionDeclaration {
            name: ActionName::new(&self.name),
            action_type_id: self.rule_type_id.entry_id(),
            run_order: 1,
            configuration: self.configuration.clone(),
            commands: self.commands.clone(),
            output_artifacts: Vec::new(),
            input_artifacts: self.input_artifacts.clone().unwrap_or_default(),
            output_variables: None,
            role_arn: self.role_arn.clone(),
            region: self.region.clone(),
            namespace: None,
            timeout_in_minutes: self.timeout_in_minutes,
            environment_variables: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleTypeId {
    pub category: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    pub provider: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl RuleTypeId {
    /// The id its entry is found by: the owner is AWS and the version 1 where they are left out.
    pub fn entry_id(&self) -> ActionTypeId {
        ActionTypeId {
            category: Category::Rule,
            owner: Owner::Aws,
            provider: self.provider.clone(),
            version: self.version.clone().unwrap_or_else(|| "1".to_owned()),
        }
    }
}

impl Condition {
    pub fn rule(&self, name: &str) -> Option<&RuleDeclaration> {
        self.rules.as_ref()?.iter().find(|rule| rule.name == name)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionDeclaration {
    pub name: ActionName,
    pub action_type_id: ActionTypeId,
    #[serde(default = "one")]
    pub run_order: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands: Option<Vec<String>>,
    #[serde(default)]
    pub output_artifacts: Vec<OutputArtifact>,
    #[serde(default)]
    pub input_artifacts: Vec<InputArtifact>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_variables: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_in_minutes: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_variables: Option<Vec<EnvironmentVariable>>,
}

const fn one() -> u32 {
    1
}

impl ActionDeclaration {
    pub fn config(&self, key: &str) -> Option<&str> {
        self.configuration.as_ref()?.get(key).map(String::as_str)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputArtifact {
    pub name: ArtifactName,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputArtifact {
    pub name: ArtifactName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentVariable {
    pub name: String,
    pub value: String,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// One stored version of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    pub pipeline: crate::ids::PipelineId,
    pub version: u32,
    pub created: crate::time::Timestamp,
    pub declaration: PipelineDeclaration,
}
