//! The shape of a pipeline file: every field of CodePipeline's declaration, with AWS's names. What a value may be
//! beyond its type is decided by validation, not here.

use crate::document::shape::{Object, Shape, optional, required};

/// `{"pipeline": ..., "metadata": ..., "tags": ...}`: what get-pipeline prints and create-pipeline takes.
pub static WRAPPED: Object = Object {
    what: "a pipeline file",
    fields: &[
        required("pipeline", Shape::Object(&PIPELINE)),
        optional("metadata", Shape::Object(&METADATA)),
        optional("tags", Shape::List(&Shape::Object(&TAG))),
    ],
};

static METADATA: Object = Object {
    what: "the metadata",
    fields: &[
        optional("pipelineArn", Shape::Any),
        optional("created", Shape::Any),
        optional("updated", Shape::Any),
        optional("pollingDisabledAt", Shape::Any),
    ],
};

static TAG: Object = Object { what: "a tag", fields: &[required("key", Shape::Text), required("value", Shape::Text)] };

pub static PIPELINE: Object = Object {
    what: "a pipeline",
    fields: &[
        required("name", Shape::Text),
        required("roleArn", Shape::Text),
        optional("artifactStore", Shape::Object(&ARTIFACT_STORE)),
        optional("artifactStores", Shape::Map(&Shape::Object(&ARTIFACT_STORE))),
        required("stages", Shape::List(&Shape::Object(&STAGE))),
        optional("version", Shape::Whole(1, u32::MAX)),
        optional("executionMode", Shape::Choice(&["SUPERSEDED", "QUEUED", "PARALLEL"])),
        optional("pipelineType", Shape::Choice(&["V1", "V2"])),
        optional("variables", Shape::List(&Shape::Object(&VARIABLE))),
        optional("triggers", Shape::List(&Shape::Object(&TRIGGER))),
    ],
};

static ARTIFACT_STORE: Object = Object {
    what: "an artifact store",
    fields: &[
        required("type", Shape::Text),
        required("location", Shape::Text),
        optional("encryptionKey", Shape::Object(&ENCRYPTION_KEY)),
    ],
};

static ENCRYPTION_KEY: Object =
    Object { what: "an encryption key", fields: &[required("id", Shape::Text), required("type", Shape::Text)] };

static VARIABLE: Object = Object {
    what: "a pipeline variable",
    fields: &[
        required("name", Shape::Text),
        optional("defaultValue", Shape::Text),
        optional("description", Shape::Text),
    ],
};

static TRIGGER: Object = Object {
    what: "a trigger",
    fields: &[
        required("providerType", Shape::Choice(&["CodeStarSourceConnection"])),
        required("gitConfiguration", Shape::Object(&GIT_CONFIGURATION)),
    ],
};

static GIT_CONFIGURATION: Object = Object {
    what: "a git configuration",
    fields: &[
        required("sourceActionName", Shape::Text),
        optional("push", Shape::List(&Shape::Object(&PUSH))),
        optional("pullRequest", Shape::List(&Shape::Object(&PULL_REQUEST))),
    ],
};

static PUSH: Object = Object {
    what: "a push filter",
    fields: &[
        optional("tags", Shape::Object(&PATTERNS)),
        optional("branches", Shape::Object(&PATTERNS)),
        optional("filePaths", Shape::Object(&PATTERNS)),
    ],
};

static PULL_REQUEST: Object = Object {
    what: "a pull request filter",
    fields: &[
        optional("events", Shape::List(&Shape::Choice(&["OPEN", "UPDATED", "CLOSED"]))),
        optional("branches", Shape::Object(&PATTERNS)),
        optional("filePaths", Shape::Object(&PATTERNS)),
    ],
};

static PATTERNS: Object = Object {
    what: "a pattern filter",
    fields: &[optional("includes", Shape::List(&Shape::Text)), optional("excludes", Shape::List(&Shape::Text))],
};

static STAGE: Object = Object {
    what: "a stage",
    fields: &[
        required("name", Shape::Text),
        optional("blockers", Shape::List(&Shape::Object(&BLOCKER))),
        required("actions", Shape::List(&Shape::Object(&ACTION))),
        optional("beforeEntry", Shape::Object(&CONDITIONS)),
        optional("onSuccess", Shape::Object(&CONDITIONS)),
        optional("onFailure", Shape::Object(&FAILURE)),
    ],
};

static BLOCKER: Object =
    Object { what: "a blocker", fields: &[required("name", Shape::Text), required("type", Shape::Text)] };

static CONDITIONS: Object =
    Object { what: "a stage condition", fields: &[required("conditions", Shape::List(&Shape::Object(&CONDITION)))] };

static FAILURE: Object = Object {
    what: "the failure conditions",
    fields: &[
        optional("result", Shape::Text),
        optional("retryConfiguration", Shape::Object(&RETRY)),
        optional("conditions", Shape::List(&Shape::Object(&CONDITION))),
    ],
};

static RETRY: Object = Object {
    what: "a retry configuration",
    fields: &[optional("retryMode", Shape::Choice(&["FAILED_ACTIONS", "ALL_ACTIONS"]))],
};

static CONDITION: Object = Object {
    what: "a condition",
    fields: &[optional("result", Shape::Text), optional("rules", Shape::List(&Shape::Object(&RULE)))],
};

static RULE: Object = Object {
    what: "a rule",
    fields: &[
        required("name", Shape::Text),
        required("ruleTypeId", Shape::Object(&RULE_TYPE)),
        optional("configuration", Shape::Map(&Shape::Text)),
        optional("commands", Shape::List(&Shape::Text)),
        optional("inputArtifacts", Shape::List(&Shape::Object(&INPUT))),
        optional("roleArn", Shape::Text),
        optional("region", Shape::Text),
        optional("timeoutInMinutes", Shape::Whole(0, u32::MAX)),
    ],
};

static RULE_TYPE: Object = Object {
    what: "a rule type",
    fields: &[
        required("category", Shape::Text),
        optional("owner", Shape::Text),
        required("provider", Shape::Text),
        optional("version", Shape::Text),
    ],
};

/// The bounds of numbers are AWS's, told by validation with AWS's words.
static ACTION: Object = Object {
    what: "an action",
    fields: &[
        required("name", Shape::Text),
        required("actionTypeId", Shape::Object(&ACTION_TYPE)),
        optional("runOrder", Shape::Whole(0, u32::MAX)),
        optional("configuration", Shape::Map(&Shape::Text)),
        optional("commands", Shape::List(&Shape::Text)),
        optional("outputArtifacts", Shape::List(&Shape::Object(&OUTPUT))),
        optional("inputArtifacts", Shape::List(&Shape::Object(&INPUT))),
        optional("outputVariables", Shape::List(&Shape::Text)),
        optional("roleArn", Shape::Text),
        optional("region", Shape::Text),
        optional("namespace", Shape::Text),
        optional("timeoutInMinutes", Shape::Whole(0, u32::MAX)),
        optional("environmentVariables", Shape::List(&Shape::Object(&ENVIRONMENT_VARIABLE))),
    ],
};

static ACTION_TYPE: Object = Object {
    what: "an action type",
    fields: &[
        required("category", Shape::Choice(&["Source", "Build", "Deploy", "Test", "Invoke", "Approval", "Compute"])),
        required("owner", Shape::Choice(&["AWS", "ThirdParty", "Custom"])),
        required("provider", Shape::Text),
        required("version", Shape::Text),
    ],
};

static INPUT: Object = Object { what: "an input artifact", fields: &[required("name", Shape::Text)] };

static OUTPUT: Object = Object {
    what: "an output artifact",
    fields: &[required("name", Shape::Text), optional("files", Shape::List(&Shape::Text))],
};

static ENVIRONMENT_VARIABLE: Object = Object {
    what: "an environment variable",
    fields: &[required("name", Shape::Text), required("value", Shape::Text), optional("type", Shape::Text)],
};
