//! The rules that need nothing outside: what they compare, when they open.

use std::time::Duration;

use towpath_model::action::Progress;
use towpath_model::catalogue::{ActionTypeId, ActionTypes as _, Category, Owner};

use crate::stage::{Stage, failure, pending, rule, success};

#[tokio::test]
async fn a_variable_that_is_as_wanted_meets_the_rule() {
    let stage = Stage::new();
    let check = rule(
        "VariableCheck",
        &[("Variable", "release/1.4"), ("Operator", "MATCHES"), ("Value", "^(main|release/.+)$")],
    );
    let (progress, variables, revisions) = success(stage.start(&check).await);
    assert_eq!(
        progress.summary.as_deref(),
        Some("The variable's value \"release/1.4\" matches \"^(main|release/.+)$\" (operator MATCHES).")
    );
    assert!(variables.is_empty() && revisions.is_empty() && stage.aws.world().requests.is_empty());
}

#[tokio::test]
async fn a_variable_that_is_not_says_what_was_compared() {
    let stage = Stage::new();
    for (operator, text) in [
        ("EQ", "The variable's value \"dev\" does not equal \"main\" (operator EQ)."),
        ("CONTAINS", "The variable's value \"dev\" does not contain \"main\" (operator CONTAINS)."),
        ("MATCHES", "The variable's value \"dev\" does not match \"main\" (operator MATCHES)."),
    ] {
        let check = rule("VariableCheck", &[("Variable", "dev"), ("Operator", operator), ("Value", "main")]);
        assert_eq!(failure(stage.start(&check).await), ("JobFailed".to_owned(), text.to_owned()));
    }
    let check = rule("VariableCheck", &[("Variable", "main"), ("Operator", "NE"), ("Value", "main")]);
    assert_eq!(failure(stage.start(&check).await).1, "The variable's value \"main\" equals \"main\" (operator NE).");
}

#[tokio::test]
async fn rules_that_cannot_be_evaluated_are_the_users() {
    let stage = Stage::new();
    for (provider, configuration, text) in [
        ("VariableCheck", vec![("Variable", "a"), ("Operator", "EQ")], "The configuration of rule Rule lacks Value."),
        (
            "VariableCheck",
            vec![("Variable", "a"), ("Operator", "MATCHES"), ("Value", "(a")],
            "The value of Value, \"(a\", is not a valid regular expression: ",
        ),
        ("DeploymentWindow", vec![], "The configuration of rule Rule lacks Cron."),
        (
            "DeploymentWindow",
            vec![("Cron", "* * 25 ? * MON")],
            "The value of Cron is not valid: field 3 (hours), \"25\" at character 5: ",
        ),
        (
            "DeploymentWindow",
            vec![("Cron", "* * 9 ? * MON"), ("TimeZone", "Mars/Olympus")],
            "The value of TimeZone, \"Mars/Olympus\", is not valid: there is no time zone of this name.",
        ),
    ] {
        let (code, message) = failure(stage.start(&rule(provider, &configuration)).await);
        assert_eq!(code, "ConfigurationError");
        assert!(message.starts_with(text), "{message}");
    }
}

#[tokio::test]
async fn a_closed_window_is_waited_for() {
    let stage = Stage::new();
    // The test's clock says Thursday 2026-10-01 13:42:12.194 UTC, 15:42 in Amsterdam.
    let window = rule("DeploymentWindow", &[("Cron", "* 45-59 15 ? * MON-FRI"), ("TimeZone", "Europe/Amsterdam")]);
    let progress = pending(stage.start(&window).await);
    assert_eq!(
        progress.summary.as_deref(),
        Some("Outside the deployment window. It opens next on Thu 2026-10-01 15:45 +02:00 (Europe/Amsterdam).")
    );
    let interval = stage.provider(&window).poll_interval(&stage.call(), &window, &progress, 0);
    assert_eq!(interval, Duration::from_millis(60_000 - 12_194), "the next full minute");
    stage.clock.advance_minutes(2);
    pending(stage.poll(&window, &progress).await);
    stage.clock.advance_minutes(1);
    let (progress, ..) = success(stage.poll(&window, &progress).await);
    assert_eq!(progress.summary.as_deref(), Some("Inside the deployment window (Europe/Amsterdam)."));
    // A clock that is put back finds it closed again.
    stage.clock.advance_minutes(-60);
    pending(stage.poll(&window, &Progress::default()).await);
}

#[tokio::test]
async fn a_window_that_never_opens_again_says_so() {
    let stage = Stage::new();
    let progress = pending(stage.start(&rule("DeploymentWindow", &[("Cron", "* * * * * ? 2020")])).await);
    assert_eq!(
        progress.summary.as_deref(),
        Some("Outside the deployment window, which does not open any more. Change Cron, or override the condition.")
    );
}

#[test]
fn values_can_be_checked_before_anything_runs() {
    let stage = Stage::new();
    let window = ActionTypeId::new(Category::Rule, Owner::Aws, "DeploymentWindow", "1");
    assert_eq!(stage.catalogue.check_value(&window, "Cron", "* * 9-16 ? * MON-FRI"), Ok(()));
    let wrong = stage.catalogue.check_value(&window, "Cron", "9-17").unwrap_err();
    assert!(wrong.starts_with("The value of Cron is not valid: it has 1 fields"), "{wrong}");
    assert!(stage.catalogue.check_value(&window, "TimeZone", "Nowhere").is_err());
    let check = ActionTypeId::new(Category::Rule, Owner::Aws, "VariableCheck", "1");
    assert_eq!(
        stage.catalogue.check_value(&check, "Value", "("),
        Ok(()),
        "whether it is an expression depends on Operator"
    );
}
