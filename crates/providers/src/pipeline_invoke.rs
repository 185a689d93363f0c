//! Invoke / AWS / CodePipeline: starts an execution of another pipeline, with variables and source revisions. Its
//! permission is StartPipelineExecution alone, so it does not wait for what it has started.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_codepipeline::types::{PipelineVariable, SourceRevisionOverride, SourceRevisionType};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use towpath_model::action::{ActionInvocation, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::TIMEOUT_DEFAULT_MINUTES;

use crate::links;
use crate::problem::{Kind, Problem};
use crate::provider::{Call, Provider};
use crate::realms::Service;

const SERVICE: &str = "AWSCodePipeline";
const VARIABLES: &str = "Variables";
const SOURCE_REVISIONS: &str = "SourceRevisions";

pub struct PipelineInvoke {
    entry: ActionTypeEntry,
}

impl Default for PipelineInvoke {
    fn default() -> Self {
        Self::new()
    }
}

impl PipelineInvoke {
    pub fn new() -> Self {
        Self { entry: entry() }
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Invoke, Owner::Aws, "CodePipeline", "1"),
        description: "Starts another pipeline, and does not wait for it.".to_owned(),
        properties: vec![
            Property::required("PipelineName", "Pipeline to start, in the account and Region of the action."),
            Property::optional(
                SOURCE_REVISIONS,
                "Revisions that its source actions are to take: a JSON array of `{\"actionName\", \"revisionType\", \
                 \"revisionValue\"}`.",
            )
            .json(),
            Property::optional(VARIABLES, "Values of its pipeline variables: a JSON array of `{\"name\", \"value\"}`.")
                .json(),
        ],
        inputs: Bounds::new(0, 0),
        outputs: Bounds::new(0, 0),
        output_variables: Vec::new(),
        default_timeout_minutes: TIMEOUT_DEFAULT_MINUTES,
        timeout_configurable: false,
        v2_only: true,
        repeat: Repeat::Token,
        entity_url_template: Some(
            "https://console.aws.amazon.com/codesuite/codepipeline/pipelines/{Config:PipelineName}/view".to_owned(),
        ),
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-PipelineInvoke.html"
            .to_owned(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Variable {
    name: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Pinned {
    action_name: String,
    revision_type: String,
    revision_value: String,
}

/// Reads a key that is a JSON array of objects. No message repeats a value: it may be one that a variable resolved to.
fn items<T: DeserializeOwned>(key: &str, text: &str, members: &str) -> Result<Vec<T>, String> {
    let wrong = |why: String| format!("The value of {key} is not valid: {why}");
    let items: Vec<serde_json::Value> = serde_json::from_str(text).map_err(|e| {
        wrong(format!("it must be a JSON array of {{{members}}} (line {}, column {})", e.line(), e.column()))
    })?;
    let read = |(index, item): (usize, serde_json::Value)| {
        serde_json::from_value(item)
            .map_err(|_| wrong(format!("item {} must be an object with the texts {members}", index + 1)))
    };
    items.into_iter().enumerate().map(read).collect()
}

fn variables(text: &str) -> Result<Vec<PipelineVariable>, String> {
    let given: Vec<Variable> = items(VARIABLES, text, "name, value")?;
    let made = given.into_iter().map(|one| PipelineVariable::builder().name(one.name).value(one.value).build());
    made.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

fn source_revisions(text: &str) -> Result<Vec<SourceRevisionOverride>, String> {
    let given: Vec<Pinned> = items(SOURCE_REVISIONS, text, "actionName, revisionType, revisionValue")?;
    let made = given.into_iter().map(|one| {
        SourceRevisionOverride::builder()
            .action_name(one.action_name)
            .revision_type(SourceRevisionType::from(one.revision_type.as_str()))
            .revision_value(one.revision_value)
            .build()
    });
    made.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// What is asked for.
struct Wanted<'a> {
    pipeline: &'a str,
    variables: Vec<PipelineVariable>,
    revisions: Vec<SourceRevisionOverride>,
}

impl<'a> Wanted<'a> {
    fn read(action: &'a ActionInvocation) -> Result<Self, String> {
        let given = |key: &str| action.config(key).filter(|value| !value.trim().is_empty());
        let pipeline = given("PipelineName");
        Ok(Self {
            pipeline: pipeline
                .ok_or_else(|| format!("The configuration of {} lacks PipelineName.", action.action_name))?,
            variables: given(VARIABLES).map(variables).transpose()?.unwrap_or_default(),
            revisions: given(SOURCE_REVISIONS).map(source_revisions).transpose()?.unwrap_or_default(),
        })
    }

    async fn start(self, cx: &Call<'_>, action: &ActionInvocation) -> Result<String, Problem> {
        let request = cx
            .realm
            .codepipeline(action)
            .await?
            .start_pipeline_execution()
            .name(self.pipeline)
            .client_request_token(action.action_execution_id.as_str())
            .set_variables(Some(self.variables).filter(|list| !list.is_empty()))
            .set_source_revisions(Some(self.revisions).filter(|list| !list.is_empty()));
        let answer = request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))?;
        answer
            .pipeline_execution_id
            .ok_or_else(|| Problem::broken(SERVICE, "StartPipelineExecution answered without an execution"))
    }
}

fn refused(problem: &Problem) -> Outcome {
    let message = format!("Error calling startPipelineExecution: {}", problem.detail());
    match problem.kind {
        Kind::AccessDenied => problem.outcome(error_code::PERMISSION_ERROR, message),
        // AWS's words for a pipeline that is busy: it says to try again later.
        Kind::Rejected if problem.code.ends_with("ConflictException") => Outcome::Unavailable { message },
        Kind::Rejected if problem.code.ends_with("LimitExceededException") => {
            problem.outcome(error_code::JOB_FAILED, message)
        }
        Kind::NotFound | Kind::Rejected | Kind::Transient | Kind::Session => {
            problem.outcome(error_code::CONFIGURATION_ERROR, message)
        }
    }
}

#[async_trait]
impl Provider for PipelineInvoke {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn service(&self) -> Option<Service> {
        Some(Service::CodePipeline)
    }

    fn check_value(&self, key: &str, value: &str) -> Result<(), String> {
        match key {
            VARIABLES => variables(value).map(drop),
            SOURCE_REVISIONS => source_revisions(value).map(drop),
            _ => Ok(()),
        }
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        let wanted = match Wanted::read(action) {
            Ok(wanted) => wanted,
            Err(message) => return Outcome::failed(error_code::CONFIGURATION_ERROR, message),
        };
        let pipeline = wanted.pipeline;
        match wanted.start(cx, action).await {
            Ok(execution) => {
                let progress = Progress {
                    external_url: Some(links::pipeline_execution(cx.realm, &action.region, pipeline, &execution)),
                    summary: Some(format!("Started the execution {execution} of the pipeline {pipeline}.")),
                    external_id: Some(execution),
                    ..Progress::default()
                };
                Outcome::Succeeded { progress, variables: BTreeMap::new(), revisions: Vec::new() }
            }
            Err(problem) => refused(&problem),
        }
    }

    /// Never `Pending`; asked all the same, the token makes starting again the same execution.
    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, _progress: &Progress) -> Outcome {
        self.start(cx, action).await
    }

    /// What was started is another pipeline's; to end it is for whoever may stop that one.
    async fn stop(&self, _cx: &Call<'_>, _action: &ActionInvocation, _progress: &Progress) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_revisions_are_read() {
        let read = variables(r#"[{"name":"Target","value":"prod"}]"#).unwrap();
        assert_eq!((read[0].name(), read[0].value()), ("Target", "prod"));
        let text = r#"[{"actionName":"Src","revisionType":"COMMIT_ID","revisionValue":"abc"}]"#;
        let read = source_revisions(text).unwrap();
        assert_eq!(read[0].revision_type(), &SourceRevisionType::CommitId);
        assert!(variables("[]").unwrap().is_empty());
    }

    #[test]
    fn refusals_name_the_item_and_never_a_value() {
        for (text, why) in [
            ("hunter2", "it must be a JSON array of {name, value} (line 1, column 1)"),
            (r#"{"name":"hunter2"}"#, "it must be a JSON array of {name, value} (line 1, column 0)"),
            (r#"[{"name":"A"}]"#, "item 1 must be an object with the texts name, value"),
            (r#"[{"name":"A","value":5}]"#, "item 1 must be an object with the texts name, value"),
            (r#"[{"name":"A","value":"","more":"hunter2"}]"#, "item 1 must be an object with the texts name, value"),
        ] {
            assert_eq!(variables(text).unwrap_err(), format!("The value of Variables is not valid: {why}"), "{text}");
        }
    }
}
