//! The scriptable fake provider, owner Custom, in five categories and as a rule (owner AWS, the only owner rules have): its
//! configuration says how it ends. It ships in the product, switched off, so that pipelines and their conditions can be
//! rehearsed and scenarios are data.
//!
//! It calls no service and writes no object: an output artifact of a rehearsed action has a reserved key and nothing
//! behind it, so a real action that reads it fails with the missing object, as it does after a Lambda action that wrote
//! nothing. Rehearse both ends, or neither. It never sleeps: `Seconds` is a due time that polls compare with the clock,
//! counted from the action's start, so that a repeated start changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use towpath_model::action::{ActionInvocation, Outcome, Progress, Revision, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::{TIMEOUT_CUSTOM_MINUTES, TIMEOUT_DEFAULT_MINUTES};
use towpath_model::time::Timestamp;

use crate::limits::REHEARSAL_SECONDS_MAX;
use crate::provider::{Call, Provider};

/// How often an action without a due time is looked at: `hang` changes by stop or deadline only.
const IDLE_INTERVAL: Duration = Duration::from_mins(1);

pub struct Rehearsal {
    entry: ActionTypeEntry,
}

/// What the configuration asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Succeed,
    Fail,
    Hang,
    Unavailable,
    Await,
}

impl Ending {
    const ALL: [(&'static str, Self); 5] = [
        ("succeed", Self::Succeed),
        ("fail", Self::Fail),
        ("hang", Self::Hang),
        ("unavailable", Self::Unavailable),
        ("await", Self::Await),
    ];
}

/// The configuration, read.
struct Script {
    ending: Ending,
    due: Timestamp,
    variables: BTreeMap<String, String>,
    message: Option<String>,
}

impl Script {
    fn read(action: &ActionInvocation) -> Result<Self, String> {
        let wanted = action.config("Outcome").unwrap_or("succeed");
        let Some((_, ending)) = Ending::ALL.into_iter().find(|(name, _)| *name == wanted) else {
            let names = Ending::ALL.map(|(name, _)| name).join(", ");
            return Err(format!("Rehearsal: Outcome is {wanted:?}; it must be one of {names}"));
        };
        let seconds = match action.config("Seconds") {
            None => 0.0,
            Some(text) => text
                .trim()
                .parse::<f64>()
                .ok()
                .filter(|s| (0.0..=REHEARSAL_SECONDS_MAX).contains(s))
                .ok_or_else(|| format!("Rehearsal: Seconds is {text:?}; it must be a number from 0 to 86400"))?,
        };
        let variables = match action.config("Variables") {
            None => BTreeMap::new(),
            Some(text) => serde_json::from_str(text).map_err(|e| {
                format!("Rehearsal: Variables must be a JSON object of strings, like {{\"Name\": \"value\"}}: {e}")
            })?,
        };
        #[expect(clippy::cast_possible_truncation, reason = "at most 86,400,000 after the range check")]
        let due = action.started.plus_millis((seconds * 1000.0).round() as i64);
        Ok(Self { ending, due, variables, message: action.config("Message").map(ToOwned::to_owned) })
    }
}

impl Rehearsal {
    pub const CATEGORIES: [Category; 6] =
        [Category::Source, Category::Build, Category::Deploy, Category::Test, Category::Invoke, Category::Rule];

    pub fn new(category: Category) -> Self {
        Self { entry: entry(category) }
    }

    fn outcome(action: &ActionInvocation, now: Timestamp) -> Outcome {
        let script = match Script::read(action) {
            Ok(script) => script,
            Err(message) => return Outcome::failed(error_code::CONFIGURATION_ERROR, message),
        };
        let progress = Progress {
            external_id: Some(format!("rehearsal-{}", action.action_execution_id)),
            summary: script.message.clone(),
            ..Progress::default()
        };
        if now < script.due || script.ending == Ending::Hang {
            return Outcome::Pending { progress };
        }
        match script.ending {
            Ending::Succeed => Outcome::Succeeded {
                progress,
                variables: script.variables,
                revisions: revisions(action, script.message.as_deref()),
            },
            Ending::Fail => {
                let message = script.message.unwrap_or_else(|| "Rehearsed failure".to_owned());
                Outcome::Failed {
                    progress,
                    error: towpath_model::action::ErrorDetails::new(error_code::JOB_FAILED, message),
                }
            }
            Ending::Unavailable => Outcome::Unavailable {
                message: script.message.unwrap_or_else(|| "Rehearsed outage: the service cannot be reached".to_owned()),
            },
            Ending::Await => Outcome::AwaitingCallback { progress },
            Ending::Hang => Outcome::Pending { progress },
        }
    }
}

/// A rehearsed source has a revision as every source has: the overriding one, else the action execution's own id.
fn revisions(action: &ActionInvocation, message: Option<&str>) -> Vec<Revision> {
    if action.action_type.category != Category::Source {
        return Vec::new();
    }
    let wanted = action.source_overrides.iter().find(|o| o.action_name == action.action_name);
    let id = wanted.map_or_else(|| action.action_execution_id.to_string(), |o| o.revision_value.clone());
    action
        .output_artifacts
        .iter()
        .map(|artifact| Revision {
            artifact: artifact.name.clone(),
            action: action.action_name.clone(),
            id: id.clone(),
            change_id: None,
            summary: Some(message.map_or_else(|| format!("Rehearsed revision {id}"), ToOwned::to_owned)),
            url: None,
            created: Some(action.started),
        })
        .collect()
}

fn entry(category: Category) -> ActionTypeEntry {
    let rule = category == Category::Rule;
    let inputs = if category == Category::Source { Bounds::new(0, 0) } else { Bounds::new(0, 5) };
    ActionTypeEntry {
        id: ActionTypeId::new(category, if rule { Owner::Aws } else { Owner::Custom }, "Rehearsal", "1"),
        description: "Ends as its configuration says, without calling anything. For rehearsing pipelines.".to_owned(),
        properties: vec![
            Property::optional(
                "Outcome",
                "How the action ends: `succeed` (when absent), `fail`, `hang` (never ends by itself), `unavailable` \
                 (answers as a service that cannot be reached), `await` (waits for an answer from outside).",
            )
            .one_of(&Ending::ALL.map(|(name, _)| name)),
            Property::optional("Seconds", "How long it takes, a decimal number from 0 (when absent) to 86400."),
            Property::optional("Variables", "Output variables: a JSON object of strings.").json(),
            Property::optional("Message", "Summary of a success or of progress, or the reason of a failure."),
        ],
        inputs,
        outputs: Bounds::new(0, if rule { 0 } else { 5 }),
        output_variables: Vec::new(),
        default_timeout_minutes: if rule { TIMEOUT_DEFAULT_MINUTES } else { TIMEOUT_CUSTOM_MINUTES },
        timeout_configurable: true,
        v2_only: rule,
        repeat: Repeat::Internal,
        entity_url_template: None,
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: String::new(),
    }
}

#[async_trait]
impl Provider for Rehearsal {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        Self::outcome(action, cx.clock.now())
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, _progress: &Progress) -> Outcome {
        Self::outcome(action, cx.clock.now())
    }

    async fn stop(&self, _cx: &Call<'_>, _action: &ActionInvocation, _progress: &Progress) -> Result<(), String> {
        Ok(())
    }

    fn poll_interval(&self, cx: &Call<'_>, action: &ActionInvocation, _progress: &Progress, _polls: u32) -> Duration {
        let left = Script::read(action).map_or(0, |script| script.due.millis() - cx.clock.now().millis());
        u64::try_from(left).ok().filter(|ms| *ms > 0).map_or(IDLE_INTERVAL, Duration::from_millis)
    }
}
