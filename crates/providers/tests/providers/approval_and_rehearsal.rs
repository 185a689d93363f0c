//! Manual approval and Rehearsal: nothing outside, everything from the configuration and the clock.

use std::time::Duration;

use towpath_model::action::{ActionInvocation, Outcome, Progress, SourceRevisionOverride};
use towpath_model::catalogue::{Category, Owner};

use crate::stage::{Stage, artifact, failure, invocation, pending, success};

fn rehearsal(category: Category, configuration: &[(&str, &str)]) -> ActionInvocation {
    invocation(category, Owner::Custom, "Rehearsal", configuration)
}

#[tokio::test]
async fn an_approval_waits_for_somebody() {
    let stage = Stage::new();
    let action = invocation(Category::Approval, Owner::Aws, "Manual", &[]);
    let outcome = stage.start(&action).await;
    assert_eq!(outcome, Outcome::AwaitingCallback { progress: Progress::default() });
    let entry = stage.provider(&action).entry();
    assert!(entry.is_approval() && entry.timeout_configurable);
    let refused: Vec<_> = entry.properties.iter().filter(|p| p.refused.is_some()).map(|p| p.name.as_str()).collect();
    assert_eq!(refused, ["NotificationArn"]);
}

#[tokio::test]
async fn a_rehearsal_succeeds_at_once_with_what_it_is_told() {
    let stage = Stage::new();
    let action = rehearsal(Category::Build, &[("Variables", r#"{"Tag":"v7"}"#), ("Message", "all is well")]);
    let (progress, variables, revisions) = success(stage.start(&action).await);
    assert_eq!(progress.summary.as_deref(), Some("all is well"));
    assert_eq!(progress.external_id.as_deref(), Some("rehearsal-22222222-2222-4222-8222-222222222222"));
    assert_eq!(variables.into_iter().collect::<Vec<_>>(), [("Tag".to_owned(), "v7".to_owned())]);
    assert!(revisions.is_empty());
}

#[tokio::test]
async fn a_rehearsed_source_has_a_revision() {
    let stage = Stage::new();
    let mut action = rehearsal(Category::Source, &[]);
    action.output_artifacts.push(artifact("src", "ferry/src/x"));
    let (_, _, revisions) = success(stage.start(&action).await);
    assert_eq!(revisions.len(), 1);
    assert_eq!(revisions[0].id, "22222222-2222-4222-8222-222222222222");
    action.source_overrides.push(SourceRevisionOverride {
        action_name: "Act".into(),
        revision_type: "COMMIT_ID".to_owned(),
        revision_value: "abc123".to_owned(),
    });
    let (_, _, revisions) = success(stage.start(&action).await);
    assert_eq!(
        (revisions[0].id.as_str(), revisions[0].summary.as_deref()),
        ("abc123", Some("Rehearsed revision abc123"))
    );
    assert!(stage.aws.world().requests.is_empty(), "no object is written");
}

#[tokio::test]
async fn seconds_are_a_due_time_not_a_sleep() {
    let stage = Stage::new();
    let action = rehearsal(Category::Test, &[("Seconds", "90.5"), ("Outcome", "fail"), ("Message", "no luck")]);
    let progress = pending(stage.start(&action).await);
    let interval = stage.provider(&action).poll_interval(&stage.call(), &action, &progress, 0);
    assert_eq!(interval, Duration::from_millis(90_500));
    stage.clock.advance_minutes(1);
    let progress = pending(stage.poll(&action, &progress).await);
    let interval = stage.provider(&action).poll_interval(&stage.call(), &action, &progress, 1);
    assert_eq!(interval, Duration::from_millis(30_500));
    stage.clock.advance_minutes(1);
    assert_eq!(failure(stage.poll(&action, &progress).await), ("JobFailed".to_owned(), "no luck".to_owned()));
}

#[tokio::test]
async fn the_other_endings() {
    let stage = Stage::new();
    let ending = |name: &'static str| rehearsal(Category::Invoke, &[("Outcome", name)]);
    assert_eq!(failure(stage.start(&ending("fail")).await), ("JobFailed".to_owned(), "Rehearsed failure".to_owned()));
    pending(stage.start(&ending("hang")).await);
    stage.clock.advance_minutes(100_000);
    pending(stage.poll(&ending("hang"), &Progress::default()).await);
    assert!(matches!(stage.start(&ending("unavailable")).await, Outcome::Unavailable { .. }));
    assert!(matches!(stage.start(&ending("await")).await, Outcome::AwaitingCallback { .. }));
}

#[tokio::test]
async fn a_script_that_cannot_be_read_is_the_users() {
    let stage = Stage::new();
    for (key, value, text) in [
        (
            "Outcome",
            "explode",
            "Rehearsal: Outcome is \"explode\"; it must be one of succeed, fail, hang, unavailable, await",
        ),
        ("Seconds", "soon", "Rehearsal: Seconds is \"soon\"; it must be a number from 0 to 86400"),
        ("Seconds", "-1", "Rehearsal: Seconds is \"-1\"; it must be a number from 0 to 86400"),
        ("Seconds", "NaN", "Rehearsal: Seconds is \"NaN\"; it must be a number from 0 to 86400"),
        (
            "Variables",
            "[1]",
            "Rehearsal: Variables must be a JSON object of strings, like {\"Name\": \"value\"}: invalid type: sequence, \
             expected a map at line 1 column 0",
        ),
    ] {
        let (code, message) = failure(stage.start(&rehearsal(Category::Deploy, &[(key, value)])).await);
        assert_eq!((code.as_str(), message.as_str()), ("ConfigurationError", text));
    }
}
