//! Deploy / AWS / CloudFormationStackSet and Deploy / AWS / CloudFormationStackInstances: stacks of one template in many
//! accounts and Regions.
//!
//! | The set | The targets | What happens |
//! |---|---|---|
//! | is not there | none | it is created, without instances |
//! | is not there | some | it is created, then instances of the targets |
//! | is there | none | it is updated with all its instances |
//! | is there | some | instances that are missing are created, then the set and the targets' instances are updated |
//!
//! CloudFormationStackInstances creates the instances that are missing and brings outdated ones up to date; the set stays
//! as it is.

mod log;
mod set;
mod targets;
mod work;

use async_trait::async_trait;
use towpath_model::action::{ActionInvocation, Outcome, Progress};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::TIMEOUT_CLOUDFORMATION_MINUTES;

use crate::cloudformation::{files, plan};
use crate::deploys::misconfigured;
use crate::logs::LogPage;
use crate::problem::Problem;
use crate::provider::{Call, Provider};
use crate::realms::Service;
use work::Work;

const DOCUMENTATION: &str = "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-StackSets.html";
const TARGETS_TEXT: &str = "Account ids, or with `SERVICE_MANAGED` permissions ids of organizational units, separated by commas; \
                            or `Artifact::path`, a JSON array of them in an input artifact.";
const REGIONS_TEXT: &str = "Regions of the stacks, separated by commas, in the order in which they are worked on.";
const PARAMETERS_TEXT: &str = "`ParameterKey=NAME,ParameterValue=VALUE`, several separated by spaces \
                               (`UsePreviousValue=true` in the place of a value keeps it); or `Artifact::path`, a JSON array of \
                               objects with these members.";

/// The set itself.
pub struct StackSets {
    entry: ActionTypeEntry,
}

/// Instances of a set.
pub struct StackInstances {
    entry: ActionTypeEntry,
}

impl Default for StackSets {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for StackInstances {
    fn default() -> Self {
        Self::new()
    }
}

impl StackSets {
    pub fn new() -> Self {
        let mut properties = vec![
            Property::required("StackSetName", "Stack set to create or to update."),
            Property::required("TemplatePath", "`Artifact::path`, the template in an input artifact. Up to 460,800 bytes."),
            Property::optional("Description", "Description of the set."),
            Property::optional(set::PARAMETERS, PARAMETERS_TEXT),
            Property::optional(
                "Capabilities",
                "What the template is acknowledged to do: `CAPABILITY_IAM`, `CAPABILITY_NAMED_IAM`, `CAPABILITY_AUTO_EXPAND`, \
                 separated by commas.",
            ),
            Property::optional(
                "PermissionModel",
                "Who manages the roles in the target accounts: `SELF_MANAGED` (when absent), the user, or `SERVICE_MANAGED`, AWS \
                 Organizations.",
            )
            .one_of(&set::PERMISSION_MODELS),
            Property::optional(
                "AdministrationRoleArn",
                "Role in the administrator's account, `AWSCloudFormationStackSetAdministrationRole` when absent; with \
                 `SELF_MANAGED` permissions.",
            ),
            Property::optional(
                "ExecutionRoleName",
                "Role in the target accounts, `AWSCloudFormationStackSetExecutionRole` when absent; with `SELF_MANAGED` \
                 permissions.",
            ),
            Property::optional(
                set::AUTO_DEPLOYMENT,
                "Whether accounts that join an organizational unit get the stacks by themselves, `Disabled` when absent; with \
                 `SERVICE_MANAGED` permissions. It is changed without DeploymentTargets and Regions.",
            )
            .one_of(&set::AUTO_DEPLOYMENTS),
            Property::optional(targets::TARGETS, TARGETS_TEXT),
            Property::optional(targets::REGIONS, REGIONS_TEXT),
        ];
        properties.extend(targets::properties());
        let description = "Creates or updates an AWS CloudFormation stack set and its stacks in many accounts and Regions, and \
                           waits for the operation's end.";
        Self { entry: entry("CloudFormationStackSet", description, properties, Bounds::new(1, 3)) }
    }
}

impl StackInstances {
    pub fn new() -> Self {
        let mut properties = vec![
            Property::required("StackSetName", "Stack set that is there already."),
            Property::required(targets::TARGETS, TARGETS_TEXT),
            Property::required(targets::REGIONS, REGIONS_TEXT),
            Property::optional("ParameterOverrides", PARAMETERS_TEXT),
        ];
        properties.extend(targets::properties());
        let description = "Creates stacks of an AWS CloudFormation stack set in more accounts and Regions, and waits for the \
                           operation's end. No stack is deleted.";
        Self { entry: entry("CloudFormationStackInstances", description, properties, Bounds::new(0, 2)) }
    }
}

fn entry(provider: &str, description: &str, properties: Vec<Property>, inputs: Bounds) -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Deploy, Owner::Aws, provider, "1"),
        description: description.to_owned(),
        properties,
        inputs,
        outputs: Bounds::new(0, 0),
        output_variables: ["OperationId", "StackSetId"].map(ToOwned::to_owned).to_vec(),
        default_timeout_minutes: TIMEOUT_CLOUDFORMATION_MINUTES,
        timeout_configurable: false,
        v2_only: false,
        repeat: Repeat::Token,
        entity_url_template: Some("https://console.aws.amazon.com/cloudformation/home?#/stacksets".to_owned()),
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: DOCUMENTATION.to_owned(),
    }
}

fn check_value(key: &str, value: &str) -> Result<(), String> {
    match key {
        "TemplatePath" if files::split(value).is_none() => Err(files::must_be_a_file(key)),
        "Capabilities" => plan::capabilities(value).map(drop),
        _ => Ok(()),
    }
}

async fn start(cx: &Call<'_>, action: &ActionInvocation, whole: bool) -> Outcome {
    match Work::new(cx, action, whole) {
        Ok(work) => work.begin().await,
        Err(message) => misconfigured(message),
    }
}

async fn poll(cx: &Call<'_>, action: &ActionInvocation, progress: &Progress, whole: bool) -> Outcome {
    match Work::new(cx, action, whole) {
        Ok(work) => work.go_on(progress).await,
        Err(message) => misconfigured(message),
    }
}

async fn logs(
    cx: &Call<'_>,
    action: &ActionInvocation,
    progress: &Progress,
    token: Option<&str>,
) -> Result<LogPage, Problem> {
    match Work::new(cx, action, true) {
        Ok(work) => work.log(progress, token).await,
        Err(_) => Ok(LogPage::default()),
    }
}

/// The two differ in what they begin alone.
macro_rules! provider {
    ($name:ident, $whole:literal) => {
        #[async_trait]
        impl Provider for $name {
            fn entry(&self) -> &ActionTypeEntry {
                &self.entry
            }

            fn service(&self) -> Option<Service> {
                Some(Service::CloudFormation)
            }

            fn check_value(&self, key: &str, value: &str) -> Result<(), String> {
                check_value(key, value)
            }

            async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
                start(cx, action, $whole).await
            }

            async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome {
                poll(cx, action, progress, $whole).await
            }

            async fn stop(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Result<(), String> {
                Work::new(cx, action, $whole)?.stop(progress).await
            }

            async fn logs(
                &self,
                cx: &Call<'_>,
                action: &ActionInvocation,
                progress: &Progress,
                token: Option<&str>,
            ) -> Result<LogPage, Problem> {
                logs(cx, action, progress, token).await
            }
        }
    };
}

provider!(StackSets, true);
provider!(StackInstances, false);
