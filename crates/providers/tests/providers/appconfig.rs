//! Deploy / AppConfig: versions of both kinds of profile, deployments found again, their ends, and what is refused.

use serde_json::json;
use towpath_model::action::ActionInvocation;
use towpath_model::catalogue::{Category, Owner};

use crate::appconfig_peer::AppConfigPeer;
use crate::stage::{Stage, artifact, failure, invocation, pending, success, zip_of};

pub fn appconfig() -> ActionInvocation {
    let configuration = [
        ("Application", "2s2qv57"),
        ("Environment", "9x7nc5e"),
        ("ConfigurationProfile", "PvjrpU1"),
        ("InputArtifactConfigurationPath", "flags/live.json"),
    ];
    ActionInvocation {
        input_artifacts: vec![artifact("bundle", "ferry/bundle/a1B2c3D")],
        ..invocation(Category::Deploy, Owner::Aws, "AppConfig", &configuration)
    }
}

pub fn with_flags(stage: &Stage) {
    let zip = zip_of(&[("flags/live.json", b"{\"beta\": true}")]);
    stage.aws.world().s3.put("artifacts", "ferry/bundle/a1B2c3D", &zip, [].into());
}

fn prepared() -> (Stage, AppConfigPeer) {
    let stage = Stage::new();
    with_flags(&stage);
    let peer = AppConfigPeer::install(&stage);
    (stage, peer)
}

#[tokio::test]
async fn a_hosted_version_is_made_and_deployed() {
    let (stage, peer) = prepared();
    let mut action = appconfig();
    action.configuration.insert("DeploymentStrategy".to_owned(), "AppConfig.Canary10Percent20Minutes".to_owned());
    let progress = pending(stage.start(&action).await);
    assert_eq!(progress.external_id.as_deref(), Some("1"));
    assert_eq!(
        progress.external_url.as_deref(),
        Some(
            "https://console.aws.amazon.com/systems-manager/appconfig/applications/2s2qv57/environments/9x7nc5e?region=eu-west-1"
        )
    );
    let label = "towpath-22222222-2222-4222-8222-222222222222";
    assert_eq!(
        peer.config().versions,
        [(label.to_owned(), "application/json".to_owned(), b"{\"beta\": true}".to_vec())]
    );
    let description = "CodePipeline: ferry, execution 11111111-1111-4111-8111-111111111111";
    assert_eq!(
        peer.config().started,
        [json!({"DeploymentStrategyId": "AppConfig.Canary10Percent20Minutes", "ConfigurationProfileId": "PvjrpU1",
                "ConfigurationVersion": "1", "Description": description})]
    );
    peer.config().deployments[0]["State"] = json!("BAKING");
    peer.config().deployments[0]["PercentageComplete"] = json!(55.5);
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!((progress.summary.as_deref(), progress.percent), (Some("Deployment 1 is BAKING."), Some(55)));
    peer.config().deployments[0]["State"] = json!("COMPLETE");
    let (progress, variables, _) = success(stage.poll(&action, &progress).await);
    assert_eq!((progress.external_id.as_deref(), variables.len()), (Some("1"), 0));
}

#[tokio::test]
async fn an_object_of_a_profile_is_written_once() {
    let (stage, peer) = prepared();
    peer.config().location = "s3://sources/config/live.json".to_owned();
    let action = appconfig();
    let first = stage.start(&action).await;
    let object = stage.aws.world().s3.newest("sources", "config/live.json").unwrap().clone();
    assert_eq!(object.bytes, b"{\"beta\": true}");
    assert_eq!(stage.start(&action).await, first, "nothing is written or deployed twice");
    assert_eq!(stage.aws.calls("s3:PutObject"), 1);
    assert_eq!(peer.config().started.len(), 1);
    let version = peer.config().started[0]["ConfigurationVersion"].clone();
    assert!(version.as_str().is_some_and(|version| !version.is_empty()), "{version}");

    peer.config().location = "s3://site/live.json".to_owned();
    let (code, message) = failure(stage.start(&action).await);
    assert_eq!(code, "ConfigurationError");
    assert!(message.starts_with("The bucket site of the configuration profile PvjrpU1 has no versions"), "{message}");
}

#[tokio::test]
async fn conflicts_are_waited_for() {
    let (stage, peer) = prepared();
    let action = appconfig();
    peer.config().conflicts = 1;
    let progress = pending(stage.start(&action).await);
    assert_eq!(progress.summary.as_deref(), Some("Another version of the profile PvjrpU1 is being made."));
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(progress.summary.as_deref(), Some("Deployment 1 is DEPLOYING."));

    let (stage, peer) = prepared();
    peer.config().versions.push(("towpath-22222222-2222-4222-8222-222222222222".to_owned(), String::new(), Vec::new()));
    peer.config().conflicts = 1;
    let progress = pending(stage.start(&action).await);
    assert_eq!(progress.summary.as_deref(), Some("Another deployment to the environment 9x7nc5e is under way."));
    assert_eq!(progress.external_id, None);
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!((progress.external_id.as_deref(), peer.config().versions.len()), (Some("1"), 1));
}

#[tokio::test]
async fn a_rollback_says_who_and_why() {
    let (stage, peer) = prepared();
    let action = appconfig();
    let progress = pending(stage.start(&action).await);
    peer.config().deployments[0]["State"] = json!("ROLLED_BACK");
    peer.config().deployments[0]["EventLog"] = json!([
        {"EventType": "ROLLBACK_COMPLETED", "TriggeredBy": "APPCONFIG", "Description": "done"},
        {"EventType": "ROLLBACK_STARTED", "TriggeredBy": "CLOUDWATCH_ALARM", "Description": "The alarm ferry-5xx went off."},
        {"EventType": "DEPLOYMENT_STARTED", "TriggeredBy": "USER"},
    ]);
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!(code, "JobFailed");
    assert_eq!(message, "Deployment 1 is ROLLED_BACK. Triggered by CLOUDWATCH_ALARM. The alarm ferry-5xx went off.");
    let provider = stage.provider(&action);
    let page = provider.logs(&stage.call(), &action, &progress, None).await.unwrap();
    let texts: Vec<&str> = page.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(
        texts,
        ["DEPLOYMENT_STARTED ", "ROLLBACK_STARTED The alarm ferry-5xx went off.", "ROLLBACK_COMPLETED done"],
        "its log, oldest first"
    );
    let rest = provider.logs(&stage.call(), &action, &progress, page.next.as_deref()).await.unwrap();
    assert_eq!((rest.lines.len(), rest.next.as_deref()), (0, Some("3")));
}

#[tokio::test]
async fn a_stop_rolls_back_what_is_under_way() {
    let (stage, peer) = prepared();
    let action = appconfig();
    let progress = pending(stage.start(&action).await);
    assert_eq!(stage.stop(&action, &progress).await, Ok(()));
    assert_eq!(peer.config().stopped, [1]);
    assert_eq!(stage.stop(&action, &progress).await, Ok(()), "it is over");
    assert_eq!(peer.config().stopped, [1]);
}

#[tokio::test]
async fn what_cannot_be_deployed() {
    let (stage, peer) = prepared();
    let with = |key: &str, value: &str| {
        let mut action = appconfig();
        action.configuration.insert(key.to_owned(), value.to_owned());
        action
    };
    for (action, text) in [
        (with("Application", "gone"), "Error calling getConfigurationProfile: Could not find Application (Service: "),
        (
            with("ConfigurationProfile", "gone"),
            "Error calling getConfigurationProfile: Could not find ConfigurationProfile",
        ),
        (with("InputArtifactConfigurationPath", "none.json"), "The artifact bundle has no file none.json."),
        (with("Environment", " "), "The configuration of action Act lacks Environment."),
        (
            ActionInvocation { input_artifacts: Vec::new(), ..appconfig() },
            "Action Act must have exactly one input artifact.",
        ),
    ] {
        let (code, message) = failure(stage.start(&action).await);
        assert!(code == "ConfigurationError" && message.starts_with(text), "{code} {message}");
    }
    peer.config().invalid =
        Some(json!({"Location": "$.beta", "Constraint": "type", "Reason": "boolean is not string"}));
    let (code, message) = failure(stage.start(&appconfig()).await);
    assert_eq!(code, "ConfigurationError");
    assert!(message.starts_with("Error calling startDeployment: "), "{message}");
    assert!(message.ends_with(" $.beta: type: boolean is not string."), "{message}");
    peer.config().location = "codepipeline://ferry".to_owned();
    let (code, message) = failure(stage.start(&appconfig()).await);
    assert!(code == "ConfigurationError" && message.contains("not from this one"), "{code} {message}");
}
