//! The rules of stage conditions, one file each. A rule is a provider like any other: its entry has category Rule, and the
//! invocation says at which gate it stands. What a gate does with the answer is the engine's.

pub mod cloudwatch_alarm;
pub mod cron;
pub mod deployment_window;
pub mod time_zone;
pub mod variable_check;

use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::TIMEOUT_DEFAULT_MINUTES;

/// Rules whose answer may let an execution skip its stage: those that read a value, not the state of something outside.
/// `Rehearsal` stands in for any rule.
const MAY_SKIP: [&str; 3] = ["LambdaInvoke", "Rehearsal", "VariableCheck"];

/// Whether a `beforeEntry` condition with a rule of this type may have the result SKIP.
pub fn may_skip(id: &ActionTypeId) -> bool {
    id.category == Category::Rule && MAY_SKIP.contains(&id.provider.as_str())
}

/// What all entries of rules have in common.
pub(crate) fn entry(provider: &str, description: &str, properties: Vec<Property>) -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Rule, Owner::Aws, provider, "1"),
        description: description.to_owned(),
        properties,
        inputs: Bounds::new(0, 0),
        outputs: Bounds::new(0, 0),
        output_variables: Vec::new(),
        default_timeout_minutes: TIMEOUT_DEFAULT_MINUTES,
        timeout_configurable: true,
        v2_only: true,
        repeat: Repeat::Internal,
        entity_url_template: None,
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: format!(
            "https://docs.aws.amazon.com/codepipeline/latest/userguide/rule-reference-{provider}.html"
        ),
    }
}
