//! Deploy / OpsWorks: the app's source, deployments found again, where they fail, what is refused, and AWS, which has none
//! any more.

use std::sync::Arc;

use serde_json::json;
use towpath_model::action::{ActionInvocation, Progress};
use towpath_model::catalogue::{Category, Owner};
use towpath_providers::{
    Abroad, Call, Credentials, Endpoints, Realm, RealmKind, RealmSettings, Realms, Service, Staging,
};

use crate::opsworks_peer::{APP, LAYER, OpsWorksPeer, STACK};
use crate::stage::{Stage, artifact, failure, invocation, pending, realm, success, zip_of};

const COMMENT: &str = "CodePipeline: ferry, execution 11111111-1111-4111-8111-111111111111, action execution \
                       22222222-2222-4222-8222-222222222222";

pub fn opsworks(more: &[(&str, &str)]) -> ActionInvocation {
    let mut action = invocation(Category::Deploy, Owner::Aws, "OpsWorks", &[("Stack", STACK), ("App", APP)]);
    action.configuration.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    ActionInvocation { input_artifacts: vec![artifact("bundle", "ferry/bundle/a1B2c3D")], ..action }
}

fn prepared() -> (Stage, OpsWorksPeer) {
    let stage = Stage::new();
    stage.aws.world().s3.put("artifacts", "ferry/bundle/a1B2c3D", &zip_of(&[("app.rb", b"1")]), [].into());
    let peer = OpsWorksPeer::install(&stage);
    (stage, peer)
}

#[tokio::test]
async fn an_app_is_deployed_to_a_layer() {
    let (stage, peer) = prepared();
    let action = opsworks(&[("Layer", LAYER)]);
    let progress = pending(stage.start(&action).await);
    assert_eq!(progress.external_id.as_deref(), Some("d-1"));
    assert_eq!(
        progress.external_url,
        Some(format!("https://console.aws.amazon.com/opsworks/home?region=eu-west-1#/stack/{STACK}/deployments/d-1"))
    );
    assert_eq!(
        peer.stack().sources,
        [json!({"Type": "s3", "Url": "https://s3.fake.test/artifacts/ferry/bundle/a1B2c3D"})]
    );
    assert_eq!(
        peer.stack().asked,
        [
            json!({"StackId": STACK, "AppId": APP, "LayerIds": [LAYER], "Command": {"Name": "deploy"}, "Comment": COMMENT})
        ]
    );
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(
        (progress.summary.as_deref(), progress.percent),
        (Some("The deployment is running on 2 instances."), Some(0))
    );
    peer.stack().end(1, "successful", 0, "2026-10-01T13:43:00+00:00");
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(progress.percent, Some(50));
    let page = stage.provider(&action).logs(&stage.call(), &action, &progress, None).await.unwrap();
    let told: Vec<(String, &str)> = page.lines.iter().map(|line| (line.time.iso8601(), line.text.as_str())).collect();
    let line = "i-2: deploy is successful, exit code 0, log https://logs.test/1";
    assert_eq!(told, [("2026-10-01T13:43:00.000Z".to_owned(), line)]);
    peer.stack().end(0, "successful", 0, "2026-10-01T13:44:00+00:00");
    let next = stage.provider(&action).logs(&stage.call(), &action, &progress, page.next.as_deref()).await.unwrap();
    assert_eq!(next.lines.len(), 1, "what ended since");
    peer.stack().deployments[0]["Status"] = json!("successful");
    let (progress, variables, _) = success(stage.poll(&action, &progress).await);
    assert_eq!(progress.summary.as_deref(), Some("The deployment is successful on 2 instances."));
    assert!(variables.is_empty());
}

#[tokio::test]
async fn a_deployment_whose_start_was_lost_is_found() {
    let (stage, peer) = prepared();
    let action = opsworks(&[]);
    pending(stage.start(&action).await);
    assert_eq!(peer.stack().asked[0].get("LayerIds"), None);
    let progress = pending(stage.poll(&action, &Progress::default()).await);
    assert_eq!(progress.external_id.as_deref(), Some("d-1"));
    assert_eq!(peer.stack().asked.len(), 1);
    assert_eq!(peer.stack().sources.len(), 1);
    let next = ActionInvocation { action_execution_id: "22222222-2222-4222-8222-333333333333".into(), ..action };
    assert_eq!(pending(stage.start(&next).await).external_id.as_deref(), Some("d-2"), "another action's is another");
}

#[tokio::test]
async fn a_failure_names_the_instances() {
    let (stage, peer) = prepared();
    let action = opsworks(&[]);
    let progress = pending(stage.start(&action).await);
    {
        let mut stack = peer.stack();
        stack.end(0, "failed", 1, "2026-10-01T13:43:00+00:00");
        stack.end(1, "successful", 0, "2026-10-01T13:43:00+00:00");
        stack.deployments[0]["Status"] = json!("failed");
    }
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("JobFailed", "The deployment d-1 failed. web1: deploy is failed, exit code 1, log https://logs.test/0.")
    );
    stage.aws.world().denied.insert("opsworks:DescribeInstances".to_owned());
    let (_, message) = failure(stage.poll(&action, &progress).await);
    assert!(message.contains(" i-1: deploy is failed"), "{message}");
    peer.stack().deployments.clear();
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!((code.as_str(), message.as_str()), ("JobFailed", "The deployment d-1 does not exist any more."));
}

#[tokio::test]
async fn what_cannot_be_deployed() {
    let (stage, peer) = prepared();
    for (key, value, text) in [
        (
            "App",
            "gone",
            "Error calling describeApps: Unable to find app with ID gone (Service: AWSOpsWorks; Status Code: 400;",
        ),
        ("App", "", "The configuration of action Act lacks App."),
        (
            "Stack",
            "another",
            &format!("The app {APP} is one of the stack {STACK}, not of another. Check Stack and App."),
        ),
    ] {
        let (code, message) = failure(stage.start(&opsworks(&[(key, value)])).await);
        assert!(code == "ConfigurationError" && message.starts_with(text), "{code} {message}");
    }
    assert!(peer.stack().sources.is_empty(), "the app is as it was");
}

#[tokio::test]
async fn a_realm_elsewhere_reads_the_artifact_in_its_own_bucket() {
    let (stage, peer) = prepared();
    stage.aws.world().s3.bucket("staging", false);
    let home = realm(&stage.aws, RealmKind::Embedded, &stage.clock);
    let action = opsworks(&[]);
    let call = Call { artifacts: &home, ..stage.call() };
    let (code, message) = failure(stage.provider(&action).start(&call, &action).await);
    assert_eq!(code, "ConfigurationError");
    assert!(message.contains("Add `staging-bucket = \"...\"` to `[realm.test]` in towpath.toml"), "{message}");
    let staging = Staging { bucket: Some("staging".to_owned()), ..Staging::default() };
    let there = realm(&stage.aws, RealmKind::Other, &stage.clock).abroad(Abroad { staging, ..Abroad::default() });
    let call = Call { realm: &there, artifacts: &home, ..stage.call() };
    pending(stage.provider(&action).start(&call, &action).await);
    let key = "towpath/ferry/11111111-1111-4111-8111-111111111111/22222222-2222-4222-8222-222222222222/bundle.zip";
    assert_eq!(peer.stack().sources[0]["Url"], format!("https://s3.fake.test/staging/{key}"));
    assert!(stage.aws.world().s3.newest("staging", key).is_some());
}

/// AWS has no such service any more: nobody waits for an address that does not exist.
#[tokio::test]
async fn aws_has_none() {
    let (stage, _) = prepared();
    let settings = |kind| RealmSettings {
        name: "aws".to_owned(),
        kind,
        endpoints: Endpoints::default(),
        credentials: Credentials::new("AKIA", "secret", None, None, "test").into(),
        http: stage.aws.http(),
        clock: Arc::clone(&stage.clock) as Arc<dyn towpath_model::time::Clock>,
        console_url: None,
    };
    let aws = Realm::new(settings(RealmKind::Aws));
    let call = Call { realm: &aws, ..stage.call() };
    let action = opsworks(&[]);
    let provider = stage.provider(&action);
    for outcome in [provider.start(&call, &action).await, provider.poll(&call, &action, &Progress::default()).await] {
        let (code, message) = failure(outcome);
        assert!(
            code == "JobFailed" && message.starts_with("AWS OpsWorks Stacks was retired on 2024-05-26. Use "),
            "{message}"
        );
        assert!(message.contains("`providers = [\"OpsWorks\"]`"), "{message}");
    }
    assert!(stage.aws.world().requests.is_empty(), "there is nobody to ask");
    // Nor is it any use to add a realm for AWS, which is what other services are told.
    let realms = Realms::embedded_only(settings(RealmKind::Embedded));
    let error = realms.for_invocation(&action, Some(Service::OpsWorks)).unwrap_err();
    assert!(error.code == "JobFailed" && error.message.starts_with("AWS OpsWorks Stacks was retired on 2024-05-26."));
}
