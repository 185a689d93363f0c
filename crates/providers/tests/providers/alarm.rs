//! CloudWatchAlarm: which call it makes, and what states and failures of the call become. The truth table is in its file.

use std::time::Duration;

use towpath_model::action::ActionInvocation;
use towpath_model::declaration::ConditionType;

use crate::stage::{Stage, failure, pending, rule, success};

fn alarm(configuration: &[(&str, &str)]) -> ActionInvocation {
    let mut action = rule("CloudWatchAlarm", &[("AlarmName", "ferry-5xx")]);
    action.configuration.extend(configuration.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    action
}

fn in_state(state: &str) -> Stage {
    let stage = Stage::new();
    set(&stage, state);
    stage
}

fn set(stage: &Stage, state: &str) {
    stage.aws.world().cloudwatch.metric.insert("ferry-5xx".to_owned(), state.to_owned());
}

#[tokio::test]
async fn a_quiet_alarm_opens_the_gate_at_once() {
    let stage = in_state("OK");
    let (progress, ..) = success(stage.start(&alarm(&[("WaitTime", "10")])).await);
    assert_eq!(progress.summary.as_deref(), Some("The alarm ferry-5xx is in state OK."));
    assert_eq!(progress.external_id.as_deref(), Some("ferry-5xx"));
    assert_eq!(stage.aws.operations(), ["sts:AssumeRole", "cloudwatch:DescribeAlarms"]);
}

#[tokio::test]
async fn an_alarm_that_calms_down_in_time_is_waited_for() {
    let stage = in_state("ALARM");
    let action = alarm(&[("WaitTime", "10")]);
    let progress = pending(stage.start(&action).await);
    assert_eq!(
        progress.summary.as_deref(),
        Some("The alarm ferry-5xx is in state ALARM. Waiting until 2026-10-01T13:52:12.194Z whether it leaves ALARM.")
    );
    stage.clock.advance_minutes(9);
    let progress = pending(stage.poll(&action, &progress).await);
    set(&stage, "OK");
    success(stage.poll(&action, &progress).await);
    set(&stage, "ALARM");
    stage.clock.advance_minutes(1);
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!(code, "JobFailed");
    assert!(message.contains("did not leave ALARM within 10 minutes"), "{message}");
}

#[tokio::test]
async fn after_a_failure_the_alarm_is_what_is_waited_for() {
    let stage = in_state("ALARM");
    let after =
        |wait: &str| ActionInvocation { condition: Some(ConditionType::OnFailure), ..alarm(&[("WaitTime", wait)]) };
    success(stage.start(&after("0")).await);
    set(&stage, "OK");
    let (_, message) = failure(stage.start(&after("0")).await);
    assert_eq!(message, "The alarm ferry-5xx is in state OK; ALARM was expected. Threshold Crossed");
    let progress = pending(stage.start(&after("5")).await);
    set(&stage, "ALARM");
    success(stage.poll(&after("5"), &progress).await);
}

#[tokio::test]
async fn composite_alarms_are_alarms() {
    let stage = Stage::new();
    stage.aws.world().cloudwatch.composite.insert("ferry-5xx".to_owned(), "ALARM".to_owned());
    assert_eq!(failure(stage.start(&alarm(&[])).await).0, "JobFailed");
}

#[tokio::test]
async fn an_alarm_that_is_not_there() {
    let stage = Stage::new();
    assert_eq!(
        failure(stage.start(&alarm(&[])).await),
        (
            "ConfigurationError".to_owned(),
            "The alarm ferry-5xx does not exist in Region eu-west-1 of realm test. Check AlarmName and the rule's region."
                .to_owned()
        )
    );
}

#[tokio::test]
async fn a_missing_permission_has_awss_words() {
    let stage = in_state("OK");
    stage.aws.world().denied.insert("cloudwatch:DescribeAlarms".to_owned());
    let (code, message) = failure(stage.start(&alarm(&[])).await);
    assert_eq!(code, "PermissionError");
    assert_eq!(
        message,
        "Error calling describeAlarms: User: arn:aws:iam::111122223333:role/pipeline/codepipeline@ferry is not authorized to \
         perform: cloudwatch:DescribeAlarms (Service: AmazonCloudWatch; Status Code: 403; Error Code: AccessDenied; Request \
         ID: R-1)"
    );
}

#[tokio::test]
async fn configurations_that_cannot_be_used() {
    let stage = in_state("OK");
    for (key, value, text) in [
        ("AlarmName", "", "The configuration of rule Rule lacks AlarmName."),
        ("AlarmStates", "RED", "The value of AlarmStates, \"RED\", is not valid: "),
        (
            "WaitTime",
            "1h",
            "The value of WaitTime, \"1h\", is not valid: it must be a number of minutes from 0 to 86400.",
        ),
    ] {
        let (code, message) = failure(stage.start(&alarm(&[(key, value)])).await);
        assert!(code == "ConfigurationError" && message.starts_with(text), "{message}");
    }
    assert!(stage.aws.world().requests.is_empty(), "nothing was asked");
}

#[tokio::test]
async fn the_last_look_is_when_the_wait_is_over() {
    let stage = in_state("ALARM");
    let action = alarm(&[("WaitTime", "1")]);
    let progress = pending(stage.start(&action).await);
    let interval = |polls| stage.provider(&action).poll_interval(&stage.call(), &action, &progress, polls);
    assert_eq!(interval(0), Duration::from_millis(20));
    stage.clock.set(action.started.plus_millis(59_990));
    assert_eq!(interval(20), Duration::from_millis(10));
}
