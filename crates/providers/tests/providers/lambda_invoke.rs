//! Invoke / Lambda and the rule LambdaInvoke: what a function is told, and what becomes of one that cannot be asked. What
//! its answers mean is proven where the jobs are kept.

use serde_json::json;
use towpath_model::action::{ActionInvocation, Outcome, Progress};
use towpath_model::catalogue::Category;
use towpath_providers::{Call, HandedJob, RealmKind};

use crate::conformance::CONFIGURED_SECRET;
use crate::lambda_peer::LambdaPeer;
use crate::stage::{ACTION_ROLE, Stage, failure, lambda};
use crate::world::SECRET;

fn awaiting(outcome: Outcome) -> Progress {
    match outcome {
        Outcome::AwaitingCallback { progress } => progress,
        other => panic!("expected a function that was asked, got {other:?}"),
    }
}

#[tokio::test]
async fn a_function_is_told_exactly_what_aws_tells_it() {
    let stage = Stage::new();
    let peer = LambdaPeer::with(&stage, |_| ());
    let progress = awaiting(stage.start(&lambda(Category::Invoke)).await);
    assert_eq!(progress.external_id.as_deref(), Some("ferry-check"));
    assert_eq!(
        progress.external_url.as_deref(),
        Some("https://console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logStream:group=/aws/lambda/ferry-check")
    );
    let [(function, event)] = &peer.events()[..] else { panic!("one invocation") };
    assert_eq!(function, "ferry-check");
    // STS tells whole seconds.
    let expires = crate::world::NOW.plus_minutes(60).millis() / 1000 * 1000;
    let location = |key: &str| json!({"type": "S3", "s3Location": {"bucketName": "artifacts", "objectKey": key}});
    let expected = json!({"CodePipeline.job": {
    "id": stage.job.id, "accountId": "111122223333",
    "data": {
        "actionConfiguration": {"configuration": {"FunctionName": "ferry-check", "UserParameters": CONFIGURED_SECRET}},
        "inputArtifacts": [{"name": "bundle", "revision": "rev-7", "location": location("ferry/bundle/a1B2c3D")}],
        "outputArtifacts": [{"name": "report", "revision": null, "location": location("ferry/report/HiJkLmN")}],
        "artifactCredentials": {"accessKeyId": "ASIA1", "secretAccessKey": SECRET, "sessionToken": SECRET,
            "expirationTime": expires},
    }}});
    assert_eq!(*event, expected);
}

#[tokio::test]
async fn its_credentials_are_for_the_artifacts_of_the_job_alone() {
    let stage = Stage::new();
    LambdaPeer::install(&stage);
    awaiting(stage.start(&lambda(Category::Invoke)).await);
    let world = stage.aws.world();
    let body = String::from_utf8(world.requests[0].body.clone()).unwrap();
    let policy = body.split('&').find_map(|pair| pair.strip_prefix("Policy=")).map(crate::world::decode).unwrap();
    for object in ["arn:aws:s3:::artifacts/ferry/bundle/a1B2c3D", "arn:aws:s3:::artifacts/ferry/report/HiJkLmN"] {
        assert!(policy.contains(object), "{policy}");
    }
    assert!(body.contains("DurationSeconds=900"), "{body}");
}

#[tokio::test]
async fn a_continued_function_is_given_its_token_and_the_store_its_key() {
    let stage = Stage::new();
    let peer = LambdaPeer::with(&stage, |_| ());
    let key = "arn:aws:kms:eu-west-1:111122223333:key/abc";
    let action = ActionInvocation { encryption_key: Some(key.to_owned()), ..lambda(Category::Rule) };
    let job = HandedJob { continuation_token: Some("part-2".to_owned()), ..stage.job.clone() };
    let call = Call { job: Some(&job), ..stage.call() };
    let progress = awaiting(stage.provider(&action).start(&call, &action).await);
    assert_eq!(progress.continuation.as_ref(), Some(&job.id), "which job was handed over is remembered");
    let data = &peer.events()[0].1["CodePipeline.job"]["data"];
    assert_eq!(data["continuationToken"], "part-2");
    assert_eq!(data["encryptionKey"], json!({"id": key, "type": "KMS"}));
}

#[tokio::test]
async fn the_function_is_asked_with_the_actions_own_role() {
    let stage = Stage::over(&Stage::new().aws, RealmKind::Aws);
    LambdaPeer::install(&stage);
    let action = ActionInvocation { role_arn: Some(ACTION_ROLE.to_owned()), ..lambda(Category::Invoke) };
    awaiting(stage.start(&action).await);
    let world = stage.aws.world();
    let asked = world.requests.iter().find(|request| request.service == "lambda").unwrap();
    assert_eq!(world.sessions[&asked.access_key].role, ACTION_ROLE);
}

#[tokio::test]
async fn functions_that_cannot_be_asked() {
    let stage = Stage::new();
    LambdaPeer::with(&stage, |lambda| {
        lambda.functions.clear();
        lambda.functions.insert("new".to_owned());
        lambda.pending.insert("new".to_owned());
        lambda.functions.insert("odd".to_owned());
        lambda.unrunnable.insert("odd".to_owned());
    });
    let action = lambda(Category::Invoke);
    assert_eq!(
        failure(stage.start(&action).await),
        ("ConfigurationError".to_owned(), "The AWS Lambda function ferry-check does not exist.".to_owned())
    );
    let job = HandedJob { function: "new".to_owned(), ..stage.job.clone() };
    let outcome = stage.provider(&action).start(&Call { job: Some(&job), ..stage.call() }, &action).await;
    assert!(matches!(outcome, Outcome::Unavailable { .. }), "it is asked again when it is there: {outcome:?}");

    let job = HandedJob { function: "odd".to_owned(), ..stage.job.clone() };
    let outcome = stage.provider(&action).start(&Call { job: Some(&job), ..stage.call() }, &action).await;
    let (code, message) = failure(outcome);
    assert_eq!(code, "ConfigurationError", "it is not asked for ever: {message}");
    assert!(
        message.starts_with("The AWS Lambda function odd could not be invoked: no sandbox for functions"),
        "{message}"
    );

    stage.aws.world().denied.insert("lambda:Invoke".to_owned());
    let (code, message) = failure(stage.start(&action).await);
    assert_eq!(code, "PermissionError");
    assert!(
        message.starts_with(
            "The provided role does not have permissions to perform this action. Underlying error: User: \
             arn:aws:iam::111122223333:role/pipeline/codepipeline@ferry is not authorized to perform: lambda:Invoke"
        ),
        "{message}"
    );
}
