//! `AWS::CodePipeline::Pipeline`, `Webhook` and `CustomActionType`.

use super::super::shape::{Object, Shape, TAG, may, needs};
use super::{Mapping, entry, insert, items, map_node, take};
use crate::document::{Node, Value};

static PIPELINE: Object = Object {
    what: "a pipeline",
    fields: &[
        may("Name", "name", Shape::Text),
        needs("RoleArn", "roleArn", Shape::Text),
        may("ArtifactStore", "artifactStore", Shape::Object(&STORE)),
        may("ArtifactStores", "artifactStores", Shape::List(&Shape::Object(&REGION_STORE))),
        needs("Stages", "stages", Shape::List(&Shape::Object(&STAGE))),
        may("ExecutionMode", "executionMode", Shape::Text),
        may("PipelineType", "pipelineType", Shape::Text),
        may("Variables", "variables", Shape::List(&Shape::Object(&VARIABLE))),
        may("Triggers", "triggers", Shape::List(&Shape::Object(&TRIGGER))),
        may("Tags", "tags", Shape::List(&Shape::Object(&TAG))),
        may("DisableInboundStageTransitions", "disabled", Shape::List(&Shape::Object(&TRANSITION))),
        may("RestartExecutionOnUpdate", "restart", Shape::Flag),
    ],
};

static STORE: Object = Object {
    what: "an artifact store",
    fields: &[
        needs("Type", "type", Shape::Text),
        needs("Location", "location", Shape::Text),
        may("EncryptionKey", "encryptionKey", Shape::Object(&KEY)),
    ],
};

static KEY: Object =
    Object { what: "an encryption key", fields: &[needs("Id", "id", Shape::Text), needs("Type", "type", Shape::Text)] };

static REGION_STORE: Object = Object {
    what: "an artifact store of a Region",
    fields: &[needs("Region", "region", Shape::Text), needs("ArtifactStore", "artifactStore", Shape::Object(&STORE))],
};

static VARIABLE: Object = Object {
    what: "a pipeline variable",
    fields: &[
        needs("Name", "name", Shape::Text),
        may("DefaultValue", "defaultValue", Shape::Text),
        may("Description", "description", Shape::Text),
    ],
};

static TRANSITION: Object = Object {
    what: "a disabled transition",
    fields: &[needs("StageName", "stageName", Shape::Text), needs("Reason", "reason", Shape::Text)],
};

static TRIGGER: Object = Object {
    what: "a trigger",
    fields: &[
        needs("ProviderType", "providerType", Shape::Text),
        may("GitConfiguration", "gitConfiguration", Shape::Object(&GIT)),
    ],
};

static GIT: Object = Object {
    what: "a git configuration",
    fields: &[
        needs("SourceActionName", "sourceActionName", Shape::Text),
        may("Push", "push", Shape::List(&Shape::Object(&PUSH))),
        may("PullRequest", "pullRequest", Shape::List(&Shape::Object(&PULL_REQUEST))),
    ],
};

static PUSH: Object = Object {
    what: "a push filter",
    fields: &[
        may("Tags", "tags", Shape::Object(&PATTERNS)),
        may("Branches", "branches", Shape::Object(&PATTERNS)),
        may("FilePaths", "filePaths", Shape::Object(&PATTERNS)),
    ],
};

static PULL_REQUEST: Object = Object {
    what: "a pull request filter",
    fields: &[
        may("Events", "events", Shape::List(&Shape::Text)),
        may("Branches", "branches", Shape::Object(&PATTERNS)),
        may("FilePaths", "filePaths", Shape::Object(&PATTERNS)),
    ],
};

static PATTERNS: Object = Object {
    what: "a pattern filter",
    fields: &[
        may("Includes", "includes", Shape::List(&Shape::Text)),
        may("Excludes", "excludes", Shape::List(&Shape::Text)),
    ],
};

static STAGE: Object = Object {
    what: "a stage",
    fields: &[
        needs("Name", "name", Shape::Text),
        may("Blockers", "blockers", Shape::List(&Shape::Object(&BLOCKER))),
        needs("Actions", "actions", Shape::List(&Shape::Object(&ACTION))),
        may("BeforeEntry", "beforeEntry", Shape::Object(&CONDITIONS)),
        may("OnSuccess", "onSuccess", Shape::Object(&CONDITIONS)),
        may("OnFailure", "onFailure", Shape::Object(&FAILURE)),
    ],
};

static BLOCKER: Object =
    Object { what: "a blocker", fields: &[needs("Name", "name", Shape::Text), needs("Type", "type", Shape::Text)] };

static CONDITIONS: Object = Object {
    what: "a stage condition",
    fields: &[may("Conditions", "conditions", Shape::List(&Shape::Object(&CONDITION)))],
};

static FAILURE: Object = Object {
    what: "the failure conditions",
    fields: &[
        may("Result", "result", Shape::Text),
        may("RetryConfiguration", "retryConfiguration", Shape::Object(&RETRY)),
        may("Conditions", "conditions", Shape::List(&Shape::Object(&CONDITION))),
    ],
};

static RETRY: Object = Object { what: "a retry configuration", fields: &[may("RetryMode", "retryMode", Shape::Text)] };

static CONDITION: Object = Object {
    what: "a condition",
    fields: &[may("Result", "result", Shape::Text), may("Rules", "rules", Shape::List(&Shape::Object(&RULE)))],
};

static RULE: Object = Object {
    what: "a rule",
    fields: &[
        needs("Name", "name", Shape::Text),
        needs("RuleTypeId", "ruleTypeId", Shape::Object(&RULE_TYPE)),
        may("Configuration", "configuration", Shape::Texts),
        may("Commands", "commands", Shape::List(&Shape::Text)),
        may("InputArtifacts", "inputArtifacts", Shape::List(&Shape::Object(&INPUT))),
        may("RoleArn", "roleArn", Shape::Text),
        may("Region", "region", Shape::Text),
        may("TimeoutInMinutes", "timeoutInMinutes", Shape::Whole),
    ],
};

static RULE_TYPE: Object = Object {
    what: "a rule type",
    fields: &[
        needs("Category", "category", Shape::Text),
        may("Owner", "owner", Shape::Text),
        needs("Provider", "provider", Shape::Text),
        may("Version", "version", Shape::Text),
    ],
};

static ACTION: Object = Object {
    what: "an action",
    fields: &[
        needs("Name", "name", Shape::Text),
        needs("ActionTypeId", "actionTypeId", Shape::Object(&ACTION_TYPE_ID)),
        may("RunOrder", "runOrder", Shape::Whole),
        may("Configuration", "configuration", Shape::Texts),
        may("Commands", "commands", Shape::List(&Shape::Text)),
        may("InputArtifacts", "inputArtifacts", Shape::List(&Shape::Object(&INPUT))),
        may("OutputArtifacts", "outputArtifacts", Shape::List(&Shape::Object(&OUTPUT))),
        may("OutputVariables", "outputVariables", Shape::List(&Shape::Text)),
        may("EnvironmentVariables", "environmentVariables", Shape::List(&Shape::Object(&ENVIRONMENT))),
        may("RoleArn", "roleArn", Shape::Text),
        may("Region", "region", Shape::Text),
        may("Namespace", "namespace", Shape::Text),
        may("TimeoutInMinutes", "timeoutInMinutes", Shape::Whole),
    ],
};

static ACTION_TYPE_ID: Object = Object {
    what: "an action type",
    fields: &[
        needs("Category", "category", Shape::Text),
        needs("Owner", "owner", Shape::Text),
        needs("Provider", "provider", Shape::Text),
        needs("Version", "version", Shape::Text),
    ],
};

static INPUT: Object = Object { what: "an input artifact", fields: &[needs("Name", "name", Shape::Text)] };

static OUTPUT: Object = Object {
    what: "an output artifact",
    fields: &[needs("Name", "name", Shape::Text), may("Files", "files", Shape::List(&Shape::Text))],
};

static ENVIRONMENT: Object = Object {
    what: "an environment variable",
    fields: &[
        needs("Name", "name", Shape::Text),
        needs("Value", "value", Shape::Text),
        may("Type", "type", Shape::Text),
    ],
};

static WEBHOOK: Object = Object {
    what: "a webhook",
    fields: &[
        may("Name", "name", Shape::Text),
        needs("TargetPipeline", "targetPipeline", Shape::Text),
        // CloudFormation asks for the version and does nothing with it.
        may("TargetPipelineVersion", "", Shape::Aside),
        needs("TargetAction", "targetAction", Shape::Text),
        needs("Filters", "filters", Shape::List(&Shape::Object(&FILTER))),
        needs("Authentication", "authentication", Shape::Text),
        needs("AuthenticationConfiguration", "authenticationConfiguration", Shape::Object(&AUTHENTICATION)),
        may("RegisterWithThirdParty", "register", Shape::Flag),
        may("Tags", "tags", Shape::List(&Shape::Object(&TAG))),
    ],
};

static FILTER: Object = Object {
    what: "a webhook filter",
    fields: &[needs("JsonPath", "jsonPath", Shape::Text), may("MatchEquals", "matchEquals", Shape::Text)],
};

static AUTHENTICATION: Object = Object {
    what: "a webhook's authentication",
    fields: &[may("AllowedIPRange", "AllowedIPRange", Shape::Text), may("SecretToken", "SecretToken", Shape::Text)],
};

static ACTION_TYPE: Object = Object {
    what: "a custom action type",
    fields: &[
        needs("Category", "category", Shape::Text),
        needs("Provider", "provider", Shape::Text),
        needs("Version", "version", Shape::Text),
        may("Settings", "settings", Shape::Object(&SETTINGS)),
        may("ConfigurationProperties", "configurationProperties", Shape::List(&Shape::Object(&PROPERTY))),
        needs("InputArtifactDetails", "inputArtifactDetails", Shape::Object(&DETAILS)),
        needs("OutputArtifactDetails", "outputArtifactDetails", Shape::Object(&DETAILS)),
        may("Tags", "tags", Shape::List(&Shape::Object(&TAG))),
    ],
};

static SETTINGS: Object = Object {
    what: "the settings",
    fields: &[
        may("EntityUrlTemplate", "entityUrlTemplate", Shape::Text),
        may("ExecutionUrlTemplate", "executionUrlTemplate", Shape::Text),
        may("RevisionUrlTemplate", "revisionUrlTemplate", Shape::Text),
        may("ThirdPartyConfigurationUrl", "thirdPartyConfigurationUrl", Shape::Text),
    ],
};

static PROPERTY: Object = Object {
    what: "a configuration property",
    fields: &[
        needs("Name", "name", Shape::Text),
        needs("Key", "key", Shape::Flag),
        needs("Required", "required", Shape::Flag),
        needs("Secret", "secret", Shape::Flag),
        may("Queryable", "queryable", Shape::Flag),
        may("Description", "description", Shape::Text),
        may("Type", "type", Shape::Text),
    ],
};

static DETAILS: Object = Object {
    what: "artifact details",
    fields: &[needs("MinimumCount", "minimumCount", Shape::Whole), needs("MaximumCount", "maximumCount", Shape::Whole)],
};

const KEYLESS: &str = "the artifact store's encryption key is left out: there is no KMS here yet";

impl Mapping<'_, '_> {
    /// `{pipeline, tags, disabled, restart}`.
    pub(super) fn pipeline(&mut self) -> Option<Node> {
        let (_, mut pipeline) = self.properties(&PIPELINE)?;
        self.named(&mut pipeline, "name");
        let aside: Vec<_> = ["tags", "disabled", "restart"].iter().filter_map(|m| take(&mut pipeline, m)).collect();
        if let Some(stores) = take(&mut pipeline, "artifactStores") {
            // The API's map from Regions is a list here.
            let stores_map = items(&stores.node).iter().filter_map(|item| {
                let store = item.get("artifactStore")?.clone();
                Some(entry(item.get("region")?.text()?, item.span, store))
            });
            let node = map_node(stores.node.span, stores_map.collect());
            if let Value::Map(entries) = &mut pipeline.value {
                entries.push(entry("artifactStores", stores.key_span, node));
            }
        }
        if self.keyless && drop_keys(&mut pipeline) {
            self.conversion.notes.push(KEYLESS.to_owned());
        }
        let span = self.resource.span;
        let mut whole = vec![entry("pipeline", span, pipeline)];
        whole.extend(aside);
        Some(map_node(span, whole))
    }

    /// `{webhook, tags, register}`.
    pub(super) fn webhook(&mut self) -> Option<Node> {
        let (_, mut webhook) = self.properties(&WEBHOOK)?;
        self.named(&mut webhook, "name");
        let aside: Vec<_> = ["tags", "register"].iter().filter_map(|m| take(&mut webhook, m)).collect();
        let span = self.resource.span;
        let mut whole = vec![entry("webhook", span, webhook)];
        whole.extend(aside);
        Some(map_node(span, whole))
    }

    pub(super) fn action_type(&mut self) -> Option<Node> {
        let (_, mut made) = self.properties(&ACTION_TYPE)?;
        let part = |member: &str| made.get(member).and_then(Node::text).unwrap_or_default();
        // Known by what it is, not by a name.
        self.name = ["category", "provider", "version"].map(part).join("/");
        let name = self.text(&self.name);
        insert(&mut made, "name", name);
        Some(made)
    }
}

/// Takes the keys out of all stores; whether there were any.
fn drop_keys(pipeline: &mut Node) -> bool {
    let Value::Map(entries) = &mut pipeline.value else { return false };
    let mut dropped = false;
    for member in entries {
        match member.key.as_str() {
            "artifactStore" => dropped |= take(&mut member.node, "encryptionKey").is_some(),
            "artifactStores" => {
                let Value::Map(stores) = &mut member.node.value else { continue };
                for store in stores {
                    dropped |= take(&mut store.node, "encryptionKey").is_some();
                }
            }
            _ => {}
        }
    }
    dropped
}
