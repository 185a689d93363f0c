//! Deploy / AWS / CloudFormation: creates, updates, replaces or deletes a stack, or makes or executes a change set of it,
//! and waits for the end.
//!
//! | Module | What |
//! |---|---|
//! | `plan`, `overrides`, `files`, `template` | the configuration, and the files it names |
//! | `deeds` | what each action mode does in each state of the stack |
//! | `work`, `told` | the conversation with CloudFormation, and what is told of it |
//! | `answer` | how a call ends, here and in actions on stack sets |
//! | `events` | the first failure, how much is done, and the lines of the action's log |

pub mod answer;
mod deeds;
mod events;
pub mod files;
mod overrides;
pub mod plan;
pub mod template;
mod told;
mod work;

use async_trait::async_trait;
use towpath_model::action::{ActionInvocation, Outcome, Progress};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::TIMEOUT_CLOUDFORMATION_MINUTES;

use crate::deploys::misconfigured;
use crate::logs::LogPage;
use crate::problem::Problem;
use crate::provider::{Artifacts, Call, Provider};
use crate::realms::Service;
use deeds::Mode;
use told::Memory;
use work::Work;

pub const SERVICE: &str = "AmazonCloudFormation";

pub struct CloudFormation {
    entry: ActionTypeEntry,
}

impl Default for CloudFormation {
    fn default() -> Self {
        Self::new()
    }
}

impl CloudFormation {
    pub fn new() -> Self {
        Self { entry: entry() }
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Deploy, Owner::Aws, "CloudFormation", "1"),
        description: "Creates, updates, replaces or deletes an AWS CloudFormation stack, or creates or executes a change set, \
                      and waits for the end. The stack's outputs are the action's output variables; its events are the \
                      action's log."
            .to_owned(),
        properties: vec![
            Property::required("ActionMode", "What to do with the stack.").one_of(&Mode::ALL.map(|(name, _)| name)),
            Property::required("StackName", "Stack to work on: a letter, then letters, digits and hyphens."),
            Property::optional("ChangeSetName", "Change set, in the modes `CHANGE_SET_REPLACE` and `CHANGE_SET_EXECUTE`."),
            Property::optional(
                "RoleArn",
                "Role that CloudFormation assumes, of the account of the action's role. Required in every mode but \
                 `CHANGE_SET_EXECUTE`.",
            ),
            Property::optional(
                "TemplatePath",
                "`Artifact::path`, the template in an input artifact, in the modes `CREATE_UPDATE`, `REPLACE_ON_FAILURE` and \
                 `CHANGE_SET_REPLACE`. Up to 1 MB.",
            ),
            Property::optional(
                "TemplateConfiguration",
                "`Artifact::path`, a JSON file with `Parameters`, `Tags` and `StackPolicy`, each optional.",
            ),
            Property::optional(
                "Capabilities",
                "What the template is acknowledged to do: `CAPABILITY_IAM`, `CAPABILITY_NAMED_IAM`, `CAPABILITY_AUTO_EXPAND`, \
                 separated by commas.",
            ),
            Property::optional(
                overrides::KEY,
                "Parameters that win over the configuration file's: a JSON object of up to 1,024 bytes. A value is a text, \
                 `{\"Fn::GetArtifactAtt\": [\"Artifact\", \"BucketName\"]}` (or `ObjectKey`, `URL`), or `{\"Fn::GetParam\": \
                 [\"Artifact\", \"file.json\", \"Key\"]}`.",
            )
            .json(),
            Property::optional(
                "OutputFileName",
                "File of the output artifact, if the action has one, with the stack's outputs as a JSON object.",
            ),
        ],
        inputs: Bounds::new(0, 10),
        outputs: Bounds::new(0, 1),
        output_variables: Vec::new(),
        default_timeout_minutes: TIMEOUT_CLOUDFORMATION_MINUTES,
        timeout_configurable: false,
        v2_only: false,
        repeat: Repeat::Token,
        entity_url_template: Some("https://console.aws.amazon.com/cloudformation/home?#/".to_owned()),
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-CloudFormation.html"
            .to_owned(),
    }
}

#[async_trait]
impl Provider for CloudFormation {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn service(&self) -> Option<Service> {
        Some(Service::CloudFormation)
    }

    /// What a stack is told of an artifact's place, it must find there.
    fn artifacts_of(&self, action: &ActionInvocation) -> Artifacts {
        let tells = action.config(overrides::KEY).is_some_and(|text| text.contains(overrides::GET_ARTIFACT_ATT));
        if tells { Artifacts::ByService } else { Artifacts::ByProvider }
    }

    fn check_value(&self, key: &str, value: &str) -> Result<(), String> {
        match key {
            overrides::KEY if !value.trim().is_empty() => overrides::parse(value).map(drop),
            "Capabilities" => plan::capabilities(value).map(drop),
            "TemplatePath" | "TemplateConfiguration" if !value.is_empty() && files::split(value).is_none() => {
                Err(files::must_be_a_file(key))
            }
            _ => Ok(()),
        }
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        match Work::new(cx, action) {
            Ok(work) => work.begin(false).await,
            Err(message) => misconfigured(message),
        }
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome {
        match Work::new(cx, action) {
            Ok(work) => work.go_on(progress).await,
            Err(message) => misconfigured(message),
        }
    }

    async fn stop(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Result<(), String> {
        Work::new(cx, action)?.stop(progress).await
    }

    /// The stack's events.
    async fn logs(
        &self,
        cx: &Call<'_>,
        action: &ActionInvocation,
        progress: &Progress,
        token: Option<&str>,
    ) -> Result<LogPage, Problem> {
        let stack = progress.external_id.as_deref().and_then(|id| id.split_once("stackId=")).map(|(_, stack)| stack);
        let replaced = Memory::of(progress).and_then(|memory| memory.replaced);
        let stacks: Vec<&str> = replaced.as_deref().into_iter().chain(stack).collect();
        events::log(cx, action, &stacks, token).await
    }
}
