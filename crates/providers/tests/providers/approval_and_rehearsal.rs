//! Manual approval and its notice; and Rehearsal: nothing outside, everything from the configuration and the clock.

use std::time::Duration;

use serde_json::{Value, json};
use towpath_model::action::{ActionInvocation, Outcome, Progress, SourceRevisionOverride};
use towpath_model::catalogue::{Category, Owner};
use towpath_providers::{Call, Credentials, Endpoints, Realm, RealmKind, RealmSettings};

use crate::sns_peer::Sns;
use crate::stage::{Stage, artifact, failure, invocation, pending, success};

const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:ferry-approvals";

/// An approval that tells a topic.
pub fn noticed(more: &[(&str, &str)]) -> ActionInvocation {
    let mut action = invocation(Category::Approval, Owner::Aws, "Manual", &[("NotificationArn", TOPIC)]);
    action.configuration.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    action
}

pub fn with_a_topic(stage: &Stage) {
    stage.aws.world().peers.insert("sns".to_owned(), Box::new(Sns::with(TOPIC)));
}

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
    assert!(entry.properties.iter().all(|property| property.refused.is_none()));
    assert!(stage.aws.world().requests.is_empty(), "without a topic nobody is told");
}

#[tokio::test]
async fn a_topic_is_told_that_an_answer_is_wanted() {
    let stage = Stage::new();
    let sns = Sns::with(TOPIC);
    let published = sns.published.clone();
    stage.aws.world().peers.insert("sns".to_owned(), Box::new(sns));
    let mut action =
        noticed(&[("CustomData", "Check \"staging\"."), ("ExternalEntityLink", "https://stage.example/?a=1&b=2")]);
    action.pipeline_name = "a-pipeline-with-a-name-that-is-long".into();
    action.action_name = "exactly-24-characters-xx".into();
    let outcome = stage.start(&action).await;
    assert_eq!(outcome, Outcome::AwaitingCallback { progress: Progress::default() });

    let published = published.lock().unwrap();
    let [(topic, form)] = published.as_slice() else { panic!("{published:?}") };
    assert_eq!(topic, TOPIC);
    assert_eq!(
        form["Subject"],
        "APPROVAL NEEDED: AWS CodePipeline a-pipeline-with-a-name-t... for action exactly-24-characters-xx"
    );
    assert_eq!(form["MessageStructure"], "json");
    let message: Value = serde_json::from_str(&form["Message"]).unwrap();
    let console = "https://console.aws.amazon.com/codesuite/codepipeline/pipelines/a-pipeline-with-a-name-that-is-long/view\
                   ?region=eu-west-1";
    let token = "22222222-2222-4222-8222-222222222222";
    let review = format!("{console}#/Stage/exactly-24-characters-xx/approve/{token}");
    let document = json!({
        "region": "eu-west-1",
        "consoleLink": console,
        "approval": {
            "pipelineName": "a-pipeline-with-a-name-that-is-long",
            "stageName": "Stage",
            "actionName": "exactly-24-characters-xx",
            "token": token,
            "expires": "2026-10-01T14:42Z",
            "externalEntityLink": "https://stage.example/?a=1&b=2",
            "approvalReviewLink": review,
            "customData": "Check \"staging\".",
        },
    });
    // Byte for byte: the order of the members is AWS's too.
    assert_eq!(message["default"], document.to_string());
    let mail = message["email"].as_str().unwrap();
    for line in
        [&format!("Approve or reject: {review}"), "Deadline: This review request will expire on 2026-10-01T14:42Z"]
    {
        assert!(mail.lines().any(|found| found == line), "{mail}");
    }
}

#[tokio::test]
async fn what_is_not_given_is_null_and_links_go_to_our_own_console() {
    let stage = Stage::new();
    let sns = Sns::with(TOPIC);
    let published = sns.published.clone();
    stage.aws.world().peers.insert("sns".to_owned(), Box::new(sns));
    let ours = Realm::new(RealmSettings {
        name: "embedded".to_owned(),
        kind: RealmKind::Embedded,
        endpoints: Endpoints::one("https://fake.test"),
        credentials: Credentials::new("AKIASERVICE", "s", None, None, "test").into(),
        http: stage.aws.http(),
        clock: stage.clock.clone(),
        console_url: Some("https://towpath.example/console".to_owned()),
    });
    let call = Call { artifacts: &ours, ..stage.call() };
    let action = noticed(&[]);
    stage.provider(&action).start(&call, &action).await;
    let message: Value = serde_json::from_str(&published.lock().unwrap()[0].1["Message"]).unwrap();
    let document: Value = serde_json::from_str(message["default"].as_str().unwrap()).unwrap();
    assert_eq!(document["consoleLink"], "https://towpath.example/console/pipelines/ferry/view?region=eu-west-1");
    assert_eq!(document["approval"]["customData"], Value::Null);
    assert_eq!(document["approval"]["externalEntityLink"], Value::Null);
}

#[tokio::test]
async fn a_topic_that_cannot_be_told_fails_the_approval() {
    let stage = Stage::new();
    stage.aws.world().peers.insert("sns".to_owned(), Box::new(Sns::default()));
    let (code, message) = failure(stage.start(&noticed(&[])).await);
    assert_eq!(code, "ConfigurationError");
    assert_eq!(
        message,
        format!(
            "No Amazon SNS topic with the ARN {TOPIC} was found. Topic does not exist (Service: AmazonSNS; Status Code: 404; \
             Error Code: NotFound; Request ID: R-1)"
        )
    );
    stage.aws.world().denied.insert("sns:Publish".to_owned());
    let (code, message) = failure(stage.start(&noticed(&[])).await);
    assert_eq!(code, "PermissionError");
    let start = "The Pipeline or Action role does not have permission to publish to topics in Amazon SNS.";
    assert!(message.starts_with(start) && message.contains("Error Code: AuthorizationError"), "{message}");
}

#[test]
fn only_the_arn_of_a_topic_is_one() {
    let stage = Stage::new();
    let action = noticed(&[]);
    let check = |value: &str| stage.provider(&action).check_value("NotificationArn", value);
    assert_eq!(check(TOPIC), Ok(()));
    assert_eq!(check("arn:aws-cn:sns:cn-north-1:111122223333:t.fifo"), Ok(()));
    for wrong in
        ["t", "arn:aws:sqs:eu-west-1:111122223333:t", "arn:aws:sns:eu-west-1:1:t", "arn:aws:sns::111122223333:t"]
    {
        assert!(check(wrong).unwrap_err().contains("arn:aws:sns:REGION:ACCOUNT:NAME"), "{wrong}");
    }
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
