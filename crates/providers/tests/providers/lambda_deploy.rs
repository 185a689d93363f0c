//! Deploy / Lambda: uploads, versions, shifts step by step, alarms, and what gives the traffic back.

use std::collections::BTreeMap;
use std::time::Duration;

use towpath_model::action::{ActionInvocation, Outcome, Progress};
use towpath_model::catalogue::{Category, Owner};
use towpath_providers::logs::LogPage;
use towpath_providers::{Abroad, Call, RealmKind, Staging};

use crate::lambda_deploy_peer::LambdaDeployPeer;
use crate::stage::{Stage, artifact, failure, invocation, pending, realm, success};
use crate::world::Aws;

pub fn lambda_deploy(configuration: &[(&str, &str)]) -> ActionInvocation {
    let mut action = invocation(Category::Deploy, Owner::Aws, "Lambda", &[("FunctionName", "ferry-hook")]);
    action.configuration.extend(configuration.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    ActionInvocation { input_artifacts: vec![artifact("bundle", "ferry/bundle/a1B2c3D")], ..action }
}

fn published(configuration: &[(&str, &str)]) -> ActionInvocation {
    ActionInvocation { input_artifacts: Vec::new(), ..lambda_deploy(configuration) }
}

/// A Lambda outside, with a CloudWatch beside it.
fn outside() -> (Stage, LambdaDeployPeer) {
    let stage = Stage::over(&Aws::default(), RealmKind::Other);
    stage.aws.world().s3.bucket("artifacts", true);
    stage.aws.world().s3.put("artifacts", "ferry/bundle/a1B2c3D", b"zip", [].into());
    let peer = LambdaDeployPeer::install(&stage);
    (stage, peer)
}

fn canary(alarms: bool) -> ActionInvocation {
    let mut action = lambda_deploy(&[("FunctionAlias", "live"), ("DeployStrategy", "Canary10Percent5Minutes")]);
    if alarms {
        action.configuration.insert("Alarms".to_owned(), "ferry-errors, ferry-all".to_owned());
    }
    action
}

fn alarm(stage: &Stage, name: &str, state: &str) {
    stage.aws.world().cloudwatch.metric.insert(name.to_owned(), state.to_owned());
}

#[tokio::test]
async fn without_an_alias_a_version_is_published() {
    let stage = Stage::new();
    let peer = LambdaDeployPeer::install(&stage);
    peer.function().updating = 1;
    peer.function().pending = 1;
    let action = lambda_deploy(&[]);
    let progress = pending(stage.start(&action).await);
    let upload = peer.function().uploads[0].clone();
    assert_eq!(
        (upload["S3Bucket"].as_str(), upload["S3Key"].as_str()),
        (Some("artifacts"), Some("ferry/bundle/a1B2c3D"))
    );
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(progress.summary.as_deref(), Some("The code of the function ferry-hook is being updated."));
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(progress.summary.as_deref(), Some("Version 7 of ferry-hook is being made."));
    let (progress, variables, _) = success(stage.poll(&action, &progress).await);
    assert_eq!(variables, BTreeMap::from([("FunctionVersion".to_owned(), "7".to_owned())]));
    assert_eq!(progress.external_id.as_deref(), Some("7"));
    assert_eq!(
        progress.external_url.as_deref(),
        Some("https://console.aws.amazon.com/lambda/home?region=eu-west-1#/functions/ferry-hook/versions/7")
    );
    assert_eq!(progress.summary.as_deref(), Some("Version 7 of ferry-hook is published."));
    assert!(peer.function().history.is_empty());
}

#[tokio::test]
async fn all_at_once_names_the_new_version() {
    let stage = Stage::new();
    let peer = LambdaDeployPeer::install(&stage);
    peer.function().provisioned = vec!["IN_PROGRESS", "READY"];
    let action = lambda_deploy(&[("FunctionAlias", "live")]);
    let progress = pending(stage.start(&action).await);
    assert!(peer.function().history.is_empty(), "no traffic moves before the start is stored");
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(progress.summary.as_deref(), Some("Provisioned concurrency of live is being allocated."));
    let (progress, _, _) = success(stage.poll(&action, &progress).await);
    assert_eq!(progress.summary.as_deref(), Some("live of ferry-hook is version 7."));
    assert_eq!(peer.function().history, ["7"]);

    // The same code again is the same version, and nothing is left to move.
    let again = success(stage.poll(&action, &Progress::default()).await);
    assert_eq!((again.0.external_id.as_deref(), peer.function().history.len()), (Some("7"), 1));
}

#[tokio::test]
async fn a_canary_waits_and_then_takes_everything() {
    let (stage, peer) = outside();
    alarm(&stage, "ferry-errors", "OK");
    stage.aws.world().cloudwatch.composite.insert("ferry-all".to_owned(), "INSUFFICIENT_DATA".to_owned());
    let action = canary(true);
    let progress = pending(stage.start(&action).await);
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(progress.percent, Some(10));
    assert_eq!(
        progress.summary.as_deref(),
        Some("Version 7 has 10 % of the traffic of live; the next step is at 2026-10-01T13:47:12.194Z.")
    );
    let provider = stage.provider(&action);
    let call = stage.call();
    assert_eq!(provider.poll_interval(&call, &action, &progress, 9), Duration::from_secs(15), "alarms are watched");
    assert_eq!(provider.poll_interval(&call, &canary(false), &progress, 9), Duration::from_mins(1));
    stage.clock.advance_minutes(4);
    // The answer of this poll was lost: the one before is what is known.
    let _ = stage.poll(&action, &progress).await;
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(peer.function().history, ["6+7:0.1"], "the step is made once");
    stage.clock.advance_minutes(1);
    let begun = provider.logs(&call, &action, &progress, None).await.unwrap();
    let (progress, variables, _) = success(stage.poll(&action, &progress).await);
    assert_eq!(peer.function().history, ["6+7:0.1", "7"]);
    assert_eq!(variables["FunctionVersion"], "7");
    let texts = |page: &LogPage| -> Vec<String> { page.lines.iter().map(|line| line.text.clone()).collect() };
    let mut told = texts(&begun);
    assert!(told[0].starts_with("The function ferry-hook has new code, of the digest "), "{told:?}");
    told.extend(texts(&provider.logs(&call, &action, &progress, begun.next.as_deref()).await.unwrap()));
    assert_eq!(
        told[1..],
        [
            "Version 7 of ferry-hook is published.",
            "Version 7 has 10 % of the traffic of live.",
            "Version 7 has 100 % of the traffic of live."
        ],
        "each once"
    );
}

#[tokio::test]
async fn a_linear_shift_makes_one_step_for_each_pause() {
    let (stage, peer) = outside();
    let action = published(&[
        ("FunctionAlias", "live"),
        ("PublishedTargetVersion", "3"),
        ("DeployStrategy", "Linear40PercentEvery10Minutes"),
    ]);
    let mut progress = pending(stage.start(&action).await);
    progress = pending(stage.poll(&action, &progress).await);
    // The server was away for an hour: no step is skipped for it.
    stage.clock.advance_minutes(60);
    progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(peer.function().history, ["6+3:0.4", "6+3:0.8"]);
    assert_eq!(progress.percent, Some(80));
    stage.clock.advance_minutes(10);
    success(stage.poll(&action, &progress).await);
    assert_eq!(peer.function().history.last().unwrap(), "3");
    assert!(peer.function().uploads.is_empty(), "its code is there already");
}

#[tokio::test]
async fn an_alarm_gives_the_traffic_back() {
    let (stage, peer) = outside();
    alarm(&stage, "ferry-errors", "OK");
    alarm(&stage, "ferry-all", "OK");
    let action = canary(true);
    let progress = pending(stage.start(&action).await);
    let progress = pending(stage.poll(&action, &progress).await);
    alarm(&stage, "ferry-errors", "ALARM");
    // While Lambda cannot be asked, the decision stands even if the alarm is over.
    stage.aws.world().throttled.insert("lambda:UpdateAlias".to_owned(), 6);
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(progress.summary.as_deref(), Some("The traffic is being given back: Alarm ferry-errors is in ALARM"));
    alarm(&stage, "ferry-errors", "OK");
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!((code.as_str(), message.as_str()), ("JobFailed", "Alarm ferry-errors is in ALARM"));
    assert_eq!(peer.function().history, ["6+7:0.1", "6"]);
}

#[tokio::test]
async fn alarms_are_looked_at_before_any_traffic_moves() {
    for (state, code, text) in [
        (Some("ALARM"), "JobFailed", "Alarm ferry-errors is in ALARM"),
        (None, "ConfigurationError", "The alarm ferry-errors does not exist in Region eu-west-1. Check Alarms."),
    ] {
        let (stage, peer) = outside();
        alarm(&stage, "ferry-all", "OK");
        if let Some(state) = state {
            alarm(&stage, "ferry-errors", state);
        }
        let action = canary(true);
        let progress = pending(stage.start(&action).await);
        assert_eq!(failure(stage.poll(&action, &progress).await), (code.to_owned(), text.to_owned()));
        assert!(peer.function().history.is_empty());
    }
}

#[tokio::test]
async fn an_alias_that_somebody_else_changes_is_left_alone() {
    let (stage, peer) = outside();
    let action = canary(false);
    let progress = pending(stage.start(&action).await);
    let progress = pending(stage.poll(&action, &progress).await);
    peer.function().set("5", BTreeMap::new());
    stage.clock.advance_minutes(5);
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!(code, "JobFailed");
    assert_eq!(
        message,
        "Somebody else changed the alias live of ferry-hook while its traffic was being moved: it names version 5. It is \
         left as it is."
    );
    assert_eq!(stage.stop(&action, &progress).await, Ok(()));
    assert_eq!(peer.function().history, ["6+7:0.1", "5"]);
}

#[tokio::test]
async fn a_stop_gives_the_traffic_back() {
    let (stage, peer) = outside();
    let action = canary(false);
    let started = pending(stage.start(&action).await);
    pending(stage.poll(&action, &started).await);
    // The poll's answer was not stored: the start's alone is known.
    assert_eq!(stage.stop(&action, &started).await, Ok(()));
    assert_eq!(peer.function().history, ["6+7:0.1", "6"]);
    assert_eq!(stage.stop(&action, &started).await, Ok(()));
    assert_eq!(peer.function().history.len(), 2, "there is nothing more to give back");
}

#[tokio::test]
async fn a_permission_that_ends_in_the_middle_gives_the_traffic_back_too() {
    let (stage, peer) = outside();
    alarm(&stage, "ferry-errors", "OK");
    alarm(&stage, "ferry-all", "OK");
    let action = canary(true);
    let progress = pending(stage.start(&action).await);
    let progress = pending(stage.poll(&action, &progress).await);
    stage.aws.world().denied.insert("cloudwatch:DescribeAlarms".to_owned());
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert!(code == "PermissionError" && message.starts_with("Error calling describeAlarms: "), "{code} {message}");
    assert_eq!(peer.function().history, ["6+7:0.1", "6"]);
}

#[tokio::test]
async fn a_busy_function_is_waited_for_an_hour() {
    let stage = Stage::new();
    let peer = LambdaDeployPeer::install(&stage);
    peer.function().busy = 1;
    let action = lambda_deploy(&[]);
    let progress = pending(stage.start(&action).await);
    assert_eq!(progress.summary.as_deref(), Some("The function ferry-hook is being changed."));
    peer.function().updating = 2;
    let progress = pending(stage.poll(&action, &progress).await);
    stage.clock.advance_minutes(60);
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!((code.as_str(), message.as_str()), ("JobTimedOut", "The function ferry-hook was not ready in time."));
}

#[tokio::test]
async fn updates_and_versions_that_fail_say_why() {
    type Fails = fn(&LambdaDeployPeer);
    let failing: [(Fails, &str); 3] = [
        (
            |peer| peer.function().update_fails = true,
            "The update of the function ferry-hook failed: InvalidZipFileException: Could not unzip uploaded file.",
        ),
        (|peer| peer.function().version_fails = true, "Version 7 is Failed: The role was removed."),
        (
            |peer| peer.function().provisioned = vec!["FAILED"],
            "The provisioned concurrency of the alias live could not be allocated: there is no room",
        ),
    ];
    for (fails, text) in failing {
        let stage = Stage::new();
        let peer = LambdaDeployPeer::install(&stage);
        fails(&peer);
        let action = lambda_deploy(&[("FunctionAlias", "live")]);
        let progress = pending(stage.start(&action).await);
        assert_eq!(failure(stage.poll(&action, &progress).await), ("JobFailed".to_owned(), text.to_owned()));
    }
}

#[tokio::test]
async fn what_cannot_be_deployed() {
    let stage = Stage::new();
    let peer = LambdaDeployPeer::install(&stage);
    let without_code = published(&[("FunctionAlias", "live")]);
    for (action, text) in [
        (without_code, "Action Act has neither an input artifact, the new code, nor PublishedTargetVersion"),
        (
            lambda_deploy(&[("PublishedTargetVersion", "3")]),
            "Action Act has both PublishedTargetVersion and an input artifact.",
        ),
        (published(&[("PublishedTargetVersion", "3")]), "Action Act has PublishedTargetVersion and no FunctionAlias"),
        (
            published(&[("PublishedTargetVersion", "$LATEST"), ("FunctionAlias", "live")]),
            "The value of PublishedTargetVersion is '$LATEST'; it must be the number of a published version.",
        ),
        (
            lambda_deploy(&[("DeployStrategy", "Canary10Percent5Minutes")]),
            "The DeployStrategy of action Act moves traffic",
        ),
        (lambda_deploy(&[("Alarms", "a")]), "The Alarms of action Act watch traffic that moves"),
        (
            lambda_deploy(&[("Alarms", "a"), ("FunctionAlias", "live")]),
            "Action Act runs in Towpath's own Lambda, beside which there is no Amazon CloudWatch",
        ),
        (lambda_deploy(&[("Alarms", "1,2,3,4,5,6,7,8,9,10,11")]), "Alarms names 11 alarms; 10 are allowed."),
        (lambda_deploy(&[("DeployStrategy", "Slowly")]), "The value of DeployStrategy is 'Slowly'."),
        (lambda_deploy(&[("FunctionName", "")]), "The configuration of action Act lacks FunctionName."),
        (lambda_deploy(&[("FunctionName", "gone")]), "Error calling updateFunctionCode: Function not found: arn:"),
        (lambda_deploy(&[("FunctionAlias", "none")]), "Error calling getAlias: Cannot find alias arn: ferry-hook:none"),
    ] {
        let (code, message) = failure(stage.start(&action).await);
        assert!(code == "ConfigurationError" && message.starts_with(text), "{code} {message}");
    }
    let action = published(&[("FunctionAlias", "live"), ("PublishedTargetVersion", "9")]);
    let progress = pending(stage.start(&action).await);
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert!(
        code == "ConfigurationError" && message.starts_with("Error calling getFunctionConfiguration: "),
        "{message}"
    );
    peer.function().set("6", [("5".to_owned(), 0.2)].into());
    let (_, message) = failure(stage.start(&lambda_deploy(&[("FunctionAlias", "live")])).await);
    assert!(message.starts_with("The alias live of function ferry-hook divides its traffic"), "{message}");
    peer.function().set("$LATEST", BTreeMap::new());
    let (_, message) = failure(stage.start(&canary(false)).await);
    assert!(message.starts_with("The alias live of function ferry-hook names $LATEST"), "{message}");
}

/// Where the function's realm does not see the artifact store, the code goes in the request or through a bucket there.
#[tokio::test]
async fn code_for_another_realm() {
    let (stage, peer) = outside();
    let home = realm(&stage.aws, RealmKind::Embedded, &stage.clock);
    stage.aws.world().s3.bucket("staging", false);
    let action = lambda_deploy(&[]);
    let staging = Staging { bucket: Some("staging".to_owned()), ..Staging::default() };
    let staged = realm(&stage.aws, RealmKind::Other, &stage.clock).abroad(Abroad { staging, ..Abroad::default() });
    for (there, in_request) in [(&stage.realm, true), (&staged, false)] {
        let call = Call { realm: there, artifacts: &home, ..stage.call() };
        pending(stage.provider(&action).start(&call, &action).await);
        let upload = peer.function().uploads.pop().unwrap();
        if in_request {
            assert_eq!(upload["ZipFile"], "emlw");
        } else {
            let key = format!(
                "towpath/ferry/{}/{}/bundle.zip",
                action.execution_id.as_str(),
                action.action_execution_id.as_str()
            );
            assert_eq!((upload["S3Bucket"].as_str(), upload["S3Key"].as_str()), (Some("staging"), Some(key.as_str())));
            assert_eq!(stage.aws.world().s3.newest("staging", &key).unwrap().bytes, b"zip");
        }
    }
    let large = vec![0; 50 * 1024 * 1024 + 1];
    stage.aws.world().s3.put("artifacts", "ferry/bundle/a1B2c3D", &large, [].into());
    let call = Call { artifacts: &home, ..stage.call() };
    let (code, message) = failure(stage.provider(&action).start(&call, &action).await);
    assert!(
        code == "ConfigurationError" && message.contains("add `staging-bucket = \"...\"` to `[realm.test]`"),
        "{code} {message}"
    );
}

#[tokio::test]
async fn configured_values_are_checked_before_anything_runs() {
    let stage = Stage::new();
    let action = lambda_deploy(&[]);
    let provider = stage.provider(&action);
    assert!(provider.check_value("DeployStrategy", "Canary10Percent5Minute").is_ok());
    assert!(provider.check_value("DeployStrategy", "Canary").is_err());
    assert!(provider.check_value("Alarms", "a, b").is_ok());
    assert!(provider.check_value("PublishedTargetVersion", "live").is_err());
    assert!(matches!(stage.poll(&published(&[]), &Progress::default()).await, Outcome::Failed { .. }));
}
