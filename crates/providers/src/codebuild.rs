//! Build / AWS / CodeBuild, Test / AWS / CodeBuild and the rule CodeBuild: StartBuild with S3 source and artifact overrides, so that any
//! CodeBuild can be driven, then BatchGetBuilds until the build is over.
//!
//! AWS's own CodePipeline hands CodeBuild sources of type CODEPIPELINE, which nobody else may. The overrides say the same
//! in the public API: the inputs are S3 objects, every output is a zip at exactly its reserved bucket and key. No
//! `sourceVersion` is sent: for an S3 source it is a version id, and artifact keys are written once. An embedded
//! CodeBuild recognises a pipeline by the session name (`session.rs`) and shows such a build as type CODEPIPELINE.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_codebuild::operation::start_build_batch::builders::StartBuildBatchFluentBuilder;
use aws_sdk_codebuild::types::{
    Build, EnvironmentVariable, EnvironmentVariableType, ProjectArtifacts, ProjectSource, SourceType,
};
use serde::Deserialize;
use towpath_model::action::{ActionInvocation, ArtifactLocation, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::{TIMEOUT_BUILD_MINUTES, TIMEOUT_TEST_MINUTES};

use crate::problem::Problem;
use crate::provider::{Artifacts, Call, Provider};
use crate::realms::Service;
use crate::{batches, builds, rules};

pub struct CodeBuild {
    entry: ActionTypeEntry,
}

impl CodeBuild {
    pub const CATEGORIES: [Category; 3] = [Category::Build, Category::Test, Category::Rule];

    pub fn new(category: Category) -> Self {
        Self { entry: entry(category) }
    }
}

fn entry(category: Category) -> ActionTypeEntry {
    let mut properties = vec![
        Property::required("ProjectName", "CodeBuild project to run."),
        Property::optional(
            "PrimarySource",
            "With several inputs: the one that holds the buildspec and becomes CODEBUILD_SRC_DIR.",
        ),
        Property::optional(
            batches::ENABLED,
            "Run a batch build: in a realm elsewhere (AWS); the embedded CodeBuild has none. The project needs a batch \
             configuration with a service role.",
        )
        .boolean(),
        Property::optional(
            "BuildspecOverride",
            "Buildspec, path in the source or S3 ARN to use instead of the project's.",
        ),
        Property::optional(batches::COMBINED, "Batch builds: merge the artifacts into one output.").boolean(),
        Property::optional(
            "EnvironmentVariables",
            "Further variables of the build: a JSON array of `{\"name\", \"value\", \"type\"}`; `type` is `PLAINTEXT` \
                 when absent, `PARAMETER_STORE` or `SECRETS_MANAGER`.",
        )
        .json(),
    ];
    let shared = ActionTypeEntry {
        id: ActionTypeId::new(category, Owner::Aws, "CodeBuild", "1"),
        description: "Runs a build of an AWS CodeBuild project.".to_owned(),
        properties: Vec::new(),
        inputs: Bounds::new(1, 5),
        outputs: Bounds::new(0, 5),
        output_variables: Vec::new(),
        default_timeout_minutes: if category == Category::Test { TIMEOUT_TEST_MINUTES } else { TIMEOUT_BUILD_MINUTES },
        timeout_configurable: false,
        v2_only: false,
        repeat: Repeat::Token,
        entity_url_template: Some(
            "https://console.aws.amazon.com/codebuild/home?#/projects/{Config:ProjectName}/view".to_owned(),
        ),
        execution_url_template: Some(
            "https://console.aws.amazon.com/codebuild/home?#/builds/{ExternalExecutionId}/view/new".to_owned(),
        ),
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-CodeBuild.html"
            .to_owned(),
    };
    if category == Category::Rule {
        properties.retain(|property| property.name != "BuildspecOverride");
        let inputs = shared.inputs;
        let rule =
            rules::entry("CodeBuild", "Runs a build of an AWS CodeBuild project; met when it succeeds.", properties);
        return ActionTypeEntry {
            inputs,
            repeat: shared.repeat,
            entity_url_template: shared.entity_url_template,
            execution_url_template: shared.execution_url_template,
            ..rule
        };
    }
    ActionTypeEntry { properties, ..shared }
}

/// One element of the `EnvironmentVariables` key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Variable {
    name: String,
    value: String,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

/// Reads the `EnvironmentVariables` key. No message repeats a value: it may be a secret that a variable resolved to.
pub fn environment_variables(text: &str) -> Result<Vec<EnvironmentVariable>, String> {
    let wrong = |why: String| format!("The value of EnvironmentVariables is not valid: {why}");
    let items: Vec<serde_json::Value> = serde_json::from_str(text).map_err(|e| {
        wrong(format!(
            "it must be a JSON array of {{\"name\", \"value\", \"type\"}} (line {}, column {})",
            e.line(),
            e.column()
        ))
    })?;
    let read = |(index, item): (usize, serde_json::Value)| {
        let place = index + 1;
        let item: Variable = serde_json::from_value(item).map_err(|_| {
            wrong(format!("item {place} must be an object with the strings name, value and, if any, type"))
        })?;
        if item.name.is_empty() {
            return Err(wrong(format!("item {place} has an empty name")));
        }
        let kind = match item.kind.as_deref() {
            None | Some("PLAINTEXT") => EnvironmentVariableType::Plaintext,
            Some("PARAMETER_STORE") => EnvironmentVariableType::ParameterStore,
            Some("SECRETS_MANAGER") => EnvironmentVariableType::SecretsManager,
            Some(other) => {
                return Err(wrong(format!(
                    "the type of {} is {other:?}; it must be PLAINTEXT, PARAMETER_STORE or SECRETS_MANAGER",
                    item.name
                )));
            }
        };
        EnvironmentVariable::builder()
            .name(item.name)
            .value(item.value)
            .r#type(kind)
            .build()
            .map_err(|e| wrong(e.to_string()))
    };
    items.into_iter().enumerate().map(read).collect()
}

/// The input that holds the buildspec, and the others.
fn inputs(action: &ActionInvocation) -> Result<(&ArtifactLocation, Vec<&ArtifactLocation>), String> {
    let all = &action.input_artifacts;
    let primary = match (action.config("PrimarySource"), all.as_slice()) {
        (_, []) => return Err(format!("Action {} has no input artifact.", action.action_name)),
        (Some(name), _) => all.iter().find(|a| a.name == *name).ok_or_else(|| {
            format!(
                "PrimarySource of action {} is '{name}', which is not one of its input artifacts.",
                action.action_name
            )
        })?,
        (None, [only]) => only,
        (None, _) => {
            return Err(format!(
                "Action {} has several input artifacts. Set PrimarySource to the one that holds the buildspec.",
                action.action_name
            ));
        }
    };
    Ok((primary, all.iter().filter(|a| a.name != primary.name).collect()))
}

/// The overrides of one run.
struct Overrides {
    source: String,
    secondary_sources: Vec<ProjectSource>,
    artifacts: ProjectArtifacts,
    secondary_artifacts: Vec<ProjectArtifacts>,
    variables: Vec<EnvironmentVariable>,
}

impl Overrides {
    fn of(action: &ActionInvocation) -> Result<Self, String> {
        let (primary, others) = inputs(action)?;
        let (artifacts, secondary_artifacts) = match action.output_artifacts.as_slice() {
            [] => (builds::no_artifacts()?, Vec::new()),
            [only] => (builds::s3_artifact(only, None)?, Vec::new()),
            several => {
                let secondary =
                    several.iter().map(|a| builds::s3_artifact(a, Some(&a.name))).collect::<Result<_, _>>()?;
                (builds::no_artifacts()?, secondary)
            }
        };
        Ok(Self {
            source: format!("{}/{}", primary.bucket, primary.key),
            secondary_sources: others.into_iter().map(builds::s3_source).collect::<Result<_, _>>()?,
            artifacts,
            secondary_artifacts,
            variables: action
                .config("EnvironmentVariables")
                .map(environment_variables)
                .transpose()?
                .unwrap_or_default(),
        })
    }

    /// The same for a batch of builds.
    fn of_batch(
        self,
        action: &ActionInvocation,
        request: StartBuildBatchFluentBuilder,
    ) -> StartBuildBatchFluentBuilder {
        request
            .project_name(action.config("ProjectName").unwrap_or_default())
            .source_type_override(SourceType::S3)
            .source_location_override(self.source)
            .set_secondary_sources_override(Some(self.secondary_sources))
            .artifacts_override(self.artifacts)
            .set_secondary_artifacts_override(Some(self.secondary_artifacts))
            .set_environment_variables_override(Some(self.variables).filter(|v| !v.is_empty()))
            .set_buildspec_override(buildspec(action))
            .set_encryption_key_override(action.encryption_key.clone())
    }
}

fn buildspec(action: &ActionInvocation) -> Option<String> {
    action.config("BuildspecOverride").filter(|b| !b.is_empty()).map(ToOwned::to_owned)
}

impl CodeBuild {
    /// A rule has no variables, whatever its build exports.
    fn told(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Succeeded { progress, revisions, .. } if self.entry.id.category == Category::Rule => {
                Outcome::Succeeded { progress, variables: BTreeMap::new(), revisions }
            }
            other => other,
        }
    }

    async fn start_build(cx: &Call<'_>, action: &ActionInvocation, overrides: Overrides) -> Result<Build, Problem> {
        let request = cx
            .realm
            .codebuild(action)
            .await?
            .start_build()
            .project_name(action.config("ProjectName").unwrap_or_default())
            .idempotency_token(builds::token(action))
            .source_type_override(SourceType::S3)
            .source_location_override(overrides.source)
            .set_secondary_sources_override(Some(overrides.secondary_sources))
            .artifacts_override(overrides.artifacts)
            .set_secondary_artifacts_override(Some(overrides.secondary_artifacts))
            .set_environment_variables_override(Some(overrides.variables).filter(|v| !v.is_empty()))
            .set_buildspec_override(buildspec(action))
            .set_encryption_key_override(action.encryption_key.clone());
        let answer =
            request.send().await.map_err(|error| cx.realm.note(action, Problem::of(builds::SERVICE, &error)))?;
        answer.build_value.ok_or_else(|| Problem::broken(builds::SERVICE, "StartBuild answered without a build"))
    }
}

#[async_trait]
impl Provider for CodeBuild {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn service(&self) -> Option<Service> {
        Some(Service::CodeBuild)
    }

    /// CodeBuild reads its sources and writes its artifacts itself.
    fn artifacts(&self) -> Artifacts {
        Artifacts::ByService
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        let read = batches::wanted(cx, action).and_then(|batch| Ok((batch, Overrides::of(action)?)));
        let overrides = match read {
            Ok((false, overrides)) => overrides,
            Ok((true, overrides)) => {
                return match cx.realm.codebuild(action).await {
                    Ok(client) => {
                        let request = overrides.of_batch(action, client.start_build_batch());
                        batches::start(cx, action, request).await
                    }
                    Err(problem) => batches::not_started(&problem),
                };
            }
            Err(message) => return Outcome::failed(error_code::CONFIGURATION_ERROR, message),
        };
        let outcome = match Self::start_build(cx, action, overrides).await {
            Ok(build) => builds::outcome_of(cx, action, &build),
            Err(problem) => builds::not_started(&problem),
        };
        self.told(outcome)
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome {
        let Some(id) = progress.external_id.as_deref() else {
            // Nothing is known of the start; the token makes starting again the same build.
            return self.start(cx, action).await;
        };
        let client = cx.realm.codebuild(action).await;
        if action.config_true(batches::ENABLED) {
            return batches::poll(cx, action, client, id, progress).await;
        }
        self.told(builds::poll(cx, action, client, id, progress).await)
    }

    async fn stop(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Result<(), String> {
        let Some(id) = progress.external_id.as_deref() else { return Ok(()) };
        let client = cx.realm.codebuild(action).await;
        if action.config_true(batches::ENABLED) {
            return batches::stop(cx, action, client, id).await;
        }
        builds::stop(cx, action, client, id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_variables_are_read_and_typed() {
        let read = environment_variables(
            r#"[{"name":"A","value":"1"},{"name":"B","value":"/p","type":"PARAMETER_STORE"},{"name":"C","value":"s:k","type":"SECRETS_MANAGER"}]"#,
        )
        .unwrap();
        let kinds: Vec<_> = read.iter().map(|v| (v.name(), v.value(), v.r#type().unwrap().as_str())).collect();
        assert_eq!(kinds, [("A", "1", "PLAINTEXT"), ("B", "/p", "PARAMETER_STORE"), ("C", "s:k", "SECRETS_MANAGER")]);
        assert!(environment_variables("[]").unwrap().is_empty());
    }

    #[test]
    fn refusals_name_the_item_and_never_a_value() {
        for (text, why) in [
            ("hunter2", "it must be a JSON array of {\"name\", \"value\", \"type\"} (line 1, column 1)"),
            (r#"{"name":"hunter2"}"#, "it must be a JSON array of {\"name\", \"value\", \"type\"} (line 1, column 0)"),
            (r#"[{"name":"A"}]"#, "item 1 must be an object with the strings name, value and, if any, type"),
            (r#"[{"name":"A","value":5}]"#, "item 1 must be an object with the strings name, value and, if any, type"),
            (r#"[{"name":"","value":"hunter2"}]"#, "item 1 has an empty name"),
            (
                r#"[{"name":"A","value":"hunter2","type":"SECRET"}]"#,
                "the type of A is \"SECRET\"; it must be PLAINTEXT, PARAMETER_STORE or SECRETS_MANAGER",
            ),
        ] {
            let message = environment_variables(text).unwrap_err();
            assert_eq!(message, format!("The value of EnvironmentVariables is not valid: {why}"), "{text}");
        }
    }
}
