//! Rule / AWS / CloudWatchAlarm: looks at the state of one alarm, and for `WaitTime` minutes at whether it changes.
//!
//! A monitored state is one that `AlarmStates` lists. At `beforeEntry` and `onSuccess` the rule is met by an alarm that is
//! in none of them; at `onFailure` by one that is in one of them (an alarm in ALARM is what a rollback waits for).
//!
//! | Gate | Now in a monitored state | WaitTime | Answer |
//! |---|---|---|---|
//! | beforeEntry, onSuccess | no | any | Succeeded at once |
//! | beforeEntry, onSuccess | yes | not over | Pending: it may leave the state |
//! | beforeEntry, onSuccess | yes | over, or 0 | Failed |
//! | onFailure | yes | any | Succeeded at once |
//! | onFailure | no | not over | Pending: it may enter the state |
//! | onFailure | no | over, or 0 | Failed: the criteria are not met |
//!
//! `WaitTime` counts from the rule's start and is compared with the clock at every poll; nothing is remembered in between.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_cloudwatch::types::AlarmType;
use towpath_model::action::{ActionInvocation, ErrorDetails, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, Property, ValidValues};
use towpath_model::declaration::ConditionType;
use towpath_model::limits::ERROR_MESSAGE_CHARS_MAX;
use towpath_model::time::Timestamp;

use crate::limits::ALARM_WAIT_MINUTES_MAX;
use crate::problem::{Kind, Problem};
use crate::provider::{Call, Provider, interval};
use crate::realms::Service;

const SERVICE: &str = "AmazonCloudWatch";
const STATES: [&str; 3] = ["ALARM", "INSUFFICIENT_DATA", "OK"];
const STATES_DEFAULT: &str = "ALARM";

pub struct CloudWatchAlarm {
    entry: ActionTypeEntry,
}

impl Default for CloudWatchAlarm {
    fn default() -> Self {
        Self::new()
    }
}

impl CloudWatchAlarm {
    pub fn new() -> Self {
        let wait = Property::optional(
            "WaitTime",
            "Minutes to watch the alarm for a change of state before deciding; 0 when absent. At `beforeEntry` and \
             `onSuccess` an alarm in no listed state is not waited for.",
        );
        let properties = vec![
            Property::required("AlarmName", "Metric or composite alarm, in the Region of the rule."),
            Property::optional(
                "AlarmStates",
                "States that count, separated by commas: `ALARM` (when absent), `OK`, `INSUFFICIENT_DATA`. The rule is met \
                 by an alarm in none of them; at `onFailure` by one in one of them.",
            ),
            Property { valid: ValidValues::Integer(0, i64::from(ALARM_WAIT_MINUTES_MAX)), ..wait },
        ];
        Self { entry: super::entry("CloudWatchAlarm", "Looks at the state of an Amazon CloudWatch alarm.", properties) }
    }
}

/// The configuration, read.
struct Watch<'a> {
    name: &'a str,
    states: Vec<&'static str>,
    wait_minutes: u32,
    until: Timestamp,
    /// Met by a monitored state instead of by its absence.
    on_failure: bool,
}

fn states(text: &str) -> Result<Vec<&'static str>, String> {
    text.split(',')
        .map(|wanted| {
            STATES.into_iter().find(|state| *state == wanted.trim()).ok_or_else(|| {
                format!(
                    "The value of AlarmStates, \"{text}\", is not valid: \"{}\" is none of {}.",
                    wanted.trim(),
                    STATES.join(", ")
                )
            })
        })
        .collect()
}

fn wait_minutes(text: &str) -> Result<u32, String> {
    text.trim().parse().ok().filter(|minutes| *minutes <= ALARM_WAIT_MINUTES_MAX).ok_or_else(|| {
        format!(
            "The value of WaitTime, \"{text}\", is not valid: it must be a number of minutes from 0 to \
             {ALARM_WAIT_MINUTES_MAX}."
        )
    })
}

impl<'a> Watch<'a> {
    fn read(action: &'a ActionInvocation) -> Result<Self, String> {
        let name = action.config("AlarmName").filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| format!("The configuration of rule {} lacks AlarmName.", action.action_name))?;
        let given = |key: &str| action.config(key).filter(|value| !value.trim().is_empty());
        let wait_minutes = given("WaitTime").map_or(Ok(0), wait_minutes)?;
        Ok(Self {
            name,
            states: states(given("AlarmStates").unwrap_or(STATES_DEFAULT))?,
            wait_minutes,
            until: action.started.plus_minutes(wait_minutes),
            on_failure: action.condition == Some(ConditionType::OnFailure),
        })
    }

    /// One row of the module's table.
    fn decide(&self, state: &str, reason: &str, now: Timestamp) -> Outcome {
        let Self { name, wait_minutes, .. } = self;
        let monitored = self.states.contains(&state);
        let listed = self.states.join(", ");
        let told = |summary: &str| Progress {
            external_id: Some((*name).to_owned()),
            summary: Some(summary.chars().take(ERROR_MESSAGE_CHARS_MAX).collect()),
            ..Progress::default()
        };
        let is = format!("The alarm {name} is in state {state}");
        if monitored == self.on_failure {
            let progress = told(&format!("{is}."));
            return Outcome::Succeeded { progress, variables: BTreeMap::new(), revisions: Vec::new() };
        }
        let (hope, missed) = if monitored {
            (format!("leaves {listed}"), format!("did not leave {listed}"))
        } else {
            (format!("enters {listed}"), format!("did not enter {listed}"))
        };
        if now < self.until {
            let until = self.until.iso8601();
            return Outcome::Pending { progress: told(&format!("{is}. Waiting until {until} whether it {hope}.")) };
        }
        let waited =
            if *wait_minutes > 0 { format!(" and {missed} within {wait_minutes} minutes") } else { String::new() };
        let expected = if monitored { "a state other than " } else { "" };
        let reason = if reason.is_empty() { String::new() } else { format!(" {reason}") };
        let progress = told(&format!("{is}{waited}; {expected}{listed} was expected.{reason}"));
        let message = progress.summary.clone().unwrap_or_default();
        Outcome::Failed { progress, error: ErrorDetails::new(error_code::JOB_FAILED, message) }
    }
}

/// State and reason of an alarm; None where there is no such alarm.
async fn look(cx: &Call<'_>, action: &ActionInvocation, name: &str) -> Result<Option<(String, String)>, Problem> {
    let request = cx
        .realm
        .cloudwatch(action)
        .await?
        .describe_alarms()
        .alarm_names(name)
        // Without both, CloudWatch shows metric alarms alone.
        .alarm_types(AlarmType::MetricAlarm)
        .alarm_types(AlarmType::CompositeAlarm);
    let answer = request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))?;
    let metric = answer.metric_alarms().iter().find(|alarm| alarm.alarm_name() == Some(name));
    let composite = answer.composite_alarms().iter().find(|alarm| alarm.alarm_name() == Some(name));
    let (state, reason) = match (metric, composite) {
        (Some(alarm), _) => (alarm.state_value(), alarm.state_reason()),
        (None, Some(alarm)) => (alarm.state_value(), alarm.state_reason()),
        (None, None) => return Ok(None),
    };
    let state = state.map_or("INSUFFICIENT_DATA", |state| state.as_str());
    Ok(Some((state.to_owned(), reason.unwrap_or_default().to_owned())))
}

async fn evaluate(cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
    let watch = match Watch::read(action) {
        Ok(watch) => watch,
        Err(message) => return Outcome::failed(error_code::CONFIGURATION_ERROR, message),
    };
    match look(cx, action, watch.name).await {
        Ok(Some((state, reason))) => watch.decide(&state, &reason, cx.clock.now()),
        Ok(None) => {
            let message = format!(
                "The alarm {} does not exist in Region {} of realm {}. Check AlarmName and the rule's region.",
                watch.name,
                cx.realm.region(&action.region),
                cx.realm.name()
            );
            Outcome::failed(error_code::CONFIGURATION_ERROR, message)
        }
        Err(problem) => {
            let code = if problem.kind == Kind::AccessDenied {
                error_code::PERMISSION_ERROR
            } else {
                error_code::CONFIGURATION_ERROR
            };
            problem.outcome(code, format!("Error calling describeAlarms: {}", problem.detail()))
        }
    }
}

#[async_trait]
impl Provider for CloudWatchAlarm {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn check_value(&self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "AlarmStates" => states(value).map(drop),
            _ => Ok(()),
        }
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        evaluate(cx, action).await
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, _progress: &Progress) -> Outcome {
        evaluate(cx, action).await
    }

    async fn stop(&self, _cx: &Call<'_>, _action: &ActionInvocation, _progress: &Progress) -> Result<(), String> {
        Ok(())
    }

    fn service(&self) -> Option<Service> {
        Some(Service::CloudWatch)
    }

    /// Not past the end of the watch: the last look decides.
    fn poll_interval(&self, cx: &Call<'_>, action: &ActionInvocation, _progress: &Progress, polls: u32) -> Duration {
        let left = Watch::read(action).map_or(0, |watch| watch.until.millis() - cx.clock.now().millis());
        let usual = interval(cx, polls);
        u64::try_from(left).ok().filter(|left| *left > 0).map_or(usual, |left| usual.min(Duration::from_millis(left)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(on_failure: bool, states: &str, wait_minutes: u32) -> Watch<'static> {
        let until = Timestamp(0).plus_minutes(wait_minutes);
        Watch { name: "5xx", states: super::states(states).unwrap(), wait_minutes, until, on_failure }
    }

    fn name(outcome: &Outcome) -> &'static str {
        match outcome {
            Outcome::Succeeded { .. } => "met",
            Outcome::Pending { .. } => "waits",
            Outcome::Failed { .. } => "not met",
            Outcome::AwaitingCallback { .. } | Outcome::Unavailable { .. } => "?",
        }
    }

    #[test]
    fn the_truth_table() {
        // on failure, monitored states, WaitTime, minutes since the start, state now, answer
        for (on_failure, states, wait, minutes, state, answer) in [
            (false, "ALARM", 0, 0, "OK", "met"),
            (false, "ALARM", 10, 0, "OK", "met"),
            (false, "ALARM", 10, 11, "OK", "met"),
            (false, "ALARM", 0, 0, "INSUFFICIENT_DATA", "met"),
            (false, "ALARM", 0, 0, "ALARM", "not met"),
            (false, "ALARM", 10, 0, "ALARM", "waits"),
            (false, "ALARM", 10, 9, "ALARM", "waits"),
            (false, "ALARM", 10, 10, "ALARM", "not met"),
            (false, "ALARM,INSUFFICIENT_DATA", 0, 0, "INSUFFICIENT_DATA", "not met"),
            (false, "OK", 0, 0, "OK", "not met"),
            (false, "OK", 0, 0, "ALARM", "met"),
            (true, "ALARM", 0, 0, "ALARM", "met"),
            (true, "ALARM", 10, 0, "ALARM", "met"),
            (true, "ALARM", 10, 5, "OK", "waits"),
            (true, "ALARM", 10, 10, "OK", "not met"),
            (true, "ALARM", 0, 0, "OK", "not met"),
            (true, "ALARM", 0, 0, "INSUFFICIENT_DATA", "not met"),
            (true, "ALARM, INSUFFICIENT_DATA", 0, 0, "INSUFFICIENT_DATA", "met"),
        ] {
            let outcome = watch(on_failure, states, wait).decide(state, "", Timestamp(0).plus_minutes(minutes));
            assert_eq!(name(&outcome), answer, "{on_failure} {states} {wait} {minutes} {state}");
        }
    }

    #[test]
    fn a_failure_says_what_was_expected_and_why_the_alarm_is_there() {
        let told =
            |watch: Watch<'_>, state: &str| match watch.decide(state, "Threshold Crossed: 5 > 1", Timestamp(600_000)) {
                Outcome::Failed { error, progress } => {
                    assert_eq!(progress.summary.as_deref(), Some(error.message.as_str()));
                    error.message
                }
                other => panic!("{other:?}"),
            };
        assert_eq!(
            told(watch(false, "ALARM", 10), "ALARM"),
            "The alarm 5xx is in state ALARM and did not leave ALARM within 10 minutes; a state other than ALARM was expected. \
             Threshold Crossed: 5 > 1"
        );
        assert_eq!(
            told(watch(true, "ALARM,INSUFFICIENT_DATA", 0), "OK"),
            "The alarm 5xx is in state OK; ALARM, INSUFFICIENT_DATA was expected. Threshold Crossed: 5 > 1"
        );
    }

    #[test]
    fn values_that_mean_nothing_are_named() {
        assert_eq!(states("ALARM, OK"), Ok(vec!["ALARM", "OK"]));
        let message = states("ALARM,RED").unwrap_err();
        assert_eq!(
            message,
            "The value of AlarmStates, \"ALARM,RED\", is not valid: \"RED\" is none of ALARM, INSUFFICIENT_DATA, OK."
        );
        assert!(wait_minutes("-1").is_err() && wait_minutes("soon").is_err() && wait_minutes("86401").is_err());
        assert_eq!(wait_minutes(" 15 "), Ok(15));
    }
}
