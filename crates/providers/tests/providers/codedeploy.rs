//! Deploy / CodeDeploy and CodeDeployToECS: the revisions they deploy, how deployments end, waiting for one's turn.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use towpath_model::action::{ActionInvocation, Outcome, Progress};
use towpath_model::catalogue::{Category, Owner};

use crate::codedeploy_peer::CodeDeployPeer;
use crate::ecs_peer::{EcsPeer, FAMILY};
use crate::stage::{Stage, artifact, failure, invocation, pending, success, zip_of};

const APP_SPEC: &str = "version: 0.0\nResources:\n  - TargetService:\n      Properties:\n        TaskDefinition: \
                        <TASK_DEFINITION>\n";
const TASK_DEFINITION: &str =
    r#"{"family": "web", "fromTheFuture": 1, "containerDefinitions": [{"name": "web", "image": "<IMAGE1_NAME>"}]}"#;

pub fn codedeploy() -> ActionInvocation {
    let configuration = [("ApplicationName", "ferry"), ("DeploymentGroupName", "canary")];
    let action = invocation(Category::Deploy, Owner::Aws, "CodeDeploy", &configuration);
    ActionInvocation { input_artifacts: vec![artifact("bundle", "ferry/bundle/a1B2c3D")], ..action }
}

pub fn prepare_instances(stage: &Stage) {
    CodeDeployPeer::install(stage);
    let zip = zip_of(&[("appspec.yml", b"version: 0.0")]);
    stage.aws.world().s3.put("artifacts", "ferry/bundle/a1B2c3D", &zip, [].into());
}

pub fn blue_green(more: &[(&str, &str)]) -> ActionInvocation {
    let configuration = [
        ("ApplicationName", "ferry"),
        ("DeploymentGroupName", "canary"),
        ("TaskDefinitionTemplateArtifact", "src"),
        ("AppSpecTemplateArtifact", "src"),
        ("Image1ArtifactName", "image"),
        ("Image1ContainerName", "IMAGE1_NAME"),
    ];
    let mut action = invocation(Category::Deploy, Owner::Aws, "CodeDeployToECS", &configuration);
    action.configuration.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    let inputs = vec![artifact("src", "ferry/src/Qm4TzX1"), artifact("image", "ferry/image/a1B2c3D")];
    ActionInvocation { input_artifacts: inputs, ..action }
}

pub fn prepare_service(stage: &Stage) {
    CodeDeployPeer::install(stage);
    EcsPeer::install(stage);
    templates(stage, TASK_DEFINITION, APP_SPEC);
    image(stage, r#"{"ImageURI": "repo/web@sha256:1"}"#);
}

fn templates(stage: &Stage, task_definition: &str, app_spec: &str) {
    let zip = zip_of(&[("taskdef.json", task_definition.as_bytes()), ("appspec.yaml", app_spec.as_bytes())]);
    stage.aws.world().s3.put("artifacts", "ferry/src/Qm4TzX1", &zip, [].into());
}

fn image(stage: &Stage, text: &str) {
    let zip = zip_of(&[("imageDetail.json", text.as_bytes())]);
    stage.aws.world().s3.put("artifacts", "ferry/image/a1B2c3D", &zip, [].into());
}

fn instances() -> (Stage, CodeDeployPeer) {
    let stage = Stage::new();
    prepare_instances(&stage);
    let peer = CodeDeployPeer::install(&stage);
    (stage, peer)
}

fn service() -> (Stage, CodeDeployPeer, EcsPeer) {
    let stage = Stage::new();
    prepare_service(&stage);
    let (peer, ecs) = (CodeDeployPeer::install(&stage), EcsPeer::install(&stage));
    (stage, peer, ecs)
}

#[tokio::test]
async fn exactly_the_object_that_is_there_is_deployed() {
    let (stage, peer) = instances();
    let action = codedeploy();
    let progress = pending(stage.start(&action).await);
    assert_eq!(progress.external_id.as_deref(), Some("d-000000001"));
    let page = "https://console.aws.amazon.com/codedeploy/home?region=eu-west-1#/deployments/d-000000001";
    assert_eq!(progress.external_url.as_deref(), Some(page));
    let (version, etag) = {
        let found = towpath_providers::objects::S3::new(&stage.realm, &action, "eu-west-1")
            .look("artifacts", "ferry/bundle/a1B2c3D", None)
            .await
            .unwrap();
        (found.version_id, found.etag)
    };
    let location = json!({"bucket": "artifacts", "key": "ferry/bundle/a1B2c3D", "bundleType": "zip", "version": version,
        "eTag": etag});
    let revision = json!({"revisionType": "S3", "s3Location": location});
    {
        let known = peer.0.lock().unwrap();
        assert_eq!(known.registered, std::slice::from_ref(&revision));
        let deployment = &known.deployments[0];
        assert_eq!(deployment["revision"], revision);
        assert_eq!(deployment["description"], "ferry 22222222-2222-4222-8222-222222222222");
    }
    peer.set("InProgress", &json!({"deploymentOverview": {"Succeeded": 1, "InProgress": 1, "Pending": 2}}));
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!((progress.summary.as_deref(), progress.percent), (Some("Deployment InProgress"), Some(25)));
    peer.set("Succeeded", &json!({}));
    let (progress, ..) = success(stage.poll(&action, &progress).await);
    assert_eq!((progress.summary.as_deref(), progress.percent), (Some("Deployment Succeeded"), Some(100)));
}

#[tokio::test]
async fn a_deployment_that_fails_names_the_script_and_its_rollback() {
    let (stage, peer) = instances();
    let action = codedeploy();
    let progress = pending(stage.start(&action).await);
    let error = json!({"code": "HEALTH_CONSTRAINTS", "message": "The overall deployment failed."});
    peer.set("Failed", &json!({"errorInformation": error, "rollbackInfo": {"rollbackDeploymentId": "d-BACK"}}));
    let diagnostics = json!({"errorCode": "ScriptFailed", "scriptName": "hooks/start.sh",
        "message": "Script at specified location: hooks/start.sh failed with exit code 3", "logTail": "[stderr]no port"});
    let event =
        |name: &str, status: &str, at: f64| json!({"lifecycleEventName": name, "status": status, "endTime": at});
    let mut bad = event("ApplicationStart", "Failed", 20.0);
    bad["diagnostics"] = diagnostics;
    let mut good = event("ApplicationStart", "Succeeded", 15.0);
    good["diagnostics"] = json!({"errorCode": "Success", "scriptName": "hooks/start.sh", "message": "Succeeded"});
    let target = |id: &str, status: &str, events: Value| {
        json!({"deploymentTargetType": "InstanceTarget",
            "instanceTarget": {"targetId": id, "status": status, "lifecycleEvents": events}})
    };
    peer.0.lock().unwrap().targets = vec![
        target("i-1", "Succeeded", json!([good])),
        target("i-2", "Failed", json!([event("BeforeInstall", "Succeeded", 10.0), bad])),
    ];
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!(code, "JobFailed");
    assert_eq!(
        message,
        "HEALTH_CONSTRAINTS: The overall deployment failed. [i-2 ApplicationStart ScriptFailed hooks/start.sh: Script at \
         specified location: hooks/start.sh failed with exit code 3] The deployment d-BACK rolls it back."
    );
    let log = stage.provider(&action).logs(&stage.call(), &action, &progress, None).await.unwrap();
    let lines: Vec<&str> = log.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(lines[..2], ["i-2 Succeeded BeforeInstall", "i-1 Succeeded ApplicationStart"]);
    assert!(lines[2].starts_with("i-2 Failed ApplicationStart ScriptFailed"), "{lines:?}");
    assert_eq!(lines[3..], ["i-2 | [stderr]no port"]);
    let more = stage.provider(&action).logs(&stage.call(), &action, &progress, log.next.as_deref()).await.unwrap();
    assert!(more.lines.is_empty());
    // Another target ends at the time of the last one that was told.
    let late = target("i-3", "Succeeded", json!([event("ApplicationStart", "Succeeded", 20.0)]));
    peer.0.lock().unwrap().targets.push(late);
    let more = stage.provider(&action).logs(&stage.call(), &action, &progress, more.next.as_deref()).await.unwrap();
    assert_eq!(more.lines.last().map(|line| line.text.as_str()), Some("i-3 Succeeded ApplicationStart"));
    assert_eq!(more.lines.len(), 1);

    // Its targets are told where they can be asked; the failure is the same without them.
    stage.aws.world().denied.insert("codedeploy:ListDeploymentTargets".to_owned());
    let (_, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!(message, "HEALTH_CONSTRAINTS: The overall deployment failed. The deployment d-BACK rolls it back.");
}

/// CodePipeline's own policies lack the permission to list deployments.
#[tokio::test]
async fn without_a_list_of_deployments_the_artifact_is_deployed_all_the_same() {
    let (stage, _peer) = instances();
    stage.aws.world().denied.insert("codedeploy:ListDeployments".to_owned());
    let progress = pending(stage.start(&codedeploy()).await);
    assert_eq!(progress.external_id.as_deref(), Some("d-000000001"));
}

#[tokio::test]
async fn a_group_that_deploys_already_is_waited_for() {
    let (stage, peer) = instances();
    peer.0.lock().unwrap().busy = 2;
    let action = codedeploy();
    let progress = pending(stage.start(&action).await);
    assert_eq!(progress.external_id, None);
    assert!(progress.summary.as_ref().unwrap().starts_with("Waits for a deployment of the group to end."));
    let progress = pending(stage.poll(&action, &progress).await);
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(progress.external_id.as_deref(), Some("d-000000001"));
}

#[tokio::test]
async fn a_stop_ends_the_deployment_also_where_its_start_was_never_acknowledged() {
    for known in [true, false] {
        let (stage, peer) = instances();
        let action = codedeploy();
        let progress = pending(stage.start(&action).await);
        let progress = if known { progress } else { Progress::default() };
        assert_eq!(stage.stop(&action, &progress).await, Ok(()));
        assert_eq!(peer.0.lock().unwrap().stopped, ["d-000000001"]);
        peer.set("Stopped", &json!({"errorInformation": {"code": "MANUAL_STOP", "message": "Stopped by hand."}}));
        assert_eq!(stage.stop(&action, &progress).await, Ok(()), "one that is over is stopped");
        let (_, message) = failure(stage.poll(&action, &progress).await);
        assert_eq!(message, "MANUAL_STOP: Stopped by hand.");
    }
}

#[tokio::test]
async fn what_is_missing_is_the_users_to_mend() {
    let (stage, _peer) = instances();
    let mut action = codedeploy();
    action.configuration.insert("ApplicationName".to_owned(), "none".to_owned());
    let (code, message) = failure(stage.start(&action).await);
    assert_eq!(code, "ConfigurationError");
    assert!(message.starts_with("Error calling listDeployments: No application found for name: none"), "{message}");
    action.configuration.remove("ApplicationName");
    let (_, message) = failure(stage.start(&action).await);
    assert_eq!(message, "The configuration of action Act lacks ApplicationName.");
    let mut action = codedeploy();
    action.input_artifacts[0].key = "ferry/bundle/gone".to_owned();
    let (code, message) = failure(stage.start(&action).await);
    assert_eq!(code, "ConfigurationError");
    assert!(
        message.starts_with("Unable to access the artifact with Amazon S3 object key 'ferry/bundle/gone'"),
        "{message}"
    );
}

#[tokio::test]
async fn an_ecs_service_gets_a_task_definition_made_of_template_and_image() {
    let (stage, peer, ecs) = service();
    let action = blue_green(&[]);
    let progress = pending(stage.start(&action).await);
    let registered = ecs.0.lock().unwrap().definitions[&8].clone();
    assert_eq!(registered["containerDefinitions"], json!([{"name": "web", "image": "repo/web@sha256:1"}]));
    assert_eq!(registered["fromTheFuture"], 1);
    let content = APP_SPEC.replace("<TASK_DEFINITION>", &format!("{FAMILY}:8"));
    let hash = hex::encode(Sha256::digest(&content));
    let revision = json!({"revisionType": "AppSpecContent", "appSpecContent": {"content": content, "sha256": hash}});
    assert_eq!(peer.0.lock().unwrap().deployments[0]["revision"], revision);
    peer.set("Ready", &json!({}));
    let progress = pending(stage.poll(&action, &progress).await);
    peer.set("Succeeded", &json!({}));
    success(stage.poll(&action, &progress).await);
}

#[tokio::test]
async fn waiting_for_ones_turn_registers_one_revision() {
    let (stage, peer, ecs) = service();
    peer.0.lock().unwrap().busy = 3;
    let action = blue_green(&[]);
    let mut progress = pending(stage.start(&action).await);
    for _ in 0..3 {
        progress = pending(stage.poll(&action, &progress).await);
    }
    assert_eq!(progress.external_id.as_deref(), Some("d-000000001"));
    assert_eq!(ecs.0.lock().unwrap().definitions.len(), 2);
}

#[tokio::test]
async fn templates_that_cannot_be_used() {
    let (stage, _peer, ecs) = service();
    let open = "Exception while trying to read the task definition artifact file from: src. The image of the container web is \
                still <IMAGE1_NAME>.";
    for (action, text) in [
        (
            blue_green(&[("TaskDefinitionTemplateArtifact", "other")]),
            "TaskDefinitionTemplateArtifact of Act is 'other', which",
        ),
        (blue_green(&[("Image2ArtifactName", "image")]), "Act needs both Image2ArtifactName and Image2ContainerName"),
        (
            blue_green(&[("TaskDefinitionTemplatePath", "t.json")]),
            "Exception while trying to read the task definition artifact \
          file from: src. The artifact has no file t.json.",
        ),
        (
            blue_green(&[("AppSpecTemplatePath", "taskdef.json")]),
            "Exception while trying to read the appspec artifact file from: \
          src. The file taskdef.json has no <TASK_DEFINITION>",
        ),
        (blue_green(&[("Image1ContainerName", "IMAGE")]), open),
        (blue_green(&[("DeploymentGroupName", "")]), "The configuration of action Act lacks DeploymentGroupName."),
    ] {
        let (code, message) = failure(stage.start(&action).await);
        assert_eq!(code, "ConfigurationError", "{message}");
        assert!(message.starts_with(text), "{message}");
    }
    image(&stage, "{}");
    let (_, message) = failure(stage.start(&blue_green(&[])).await);
    let text = "Exception while trying to read the image artifact file from: image. The file imageDetail.json has no ImageURI.";
    assert_eq!(message, text);
    // Text that no compression makes smaller.
    let noise: String = (0_u64..120_000).map(|n| hex::encode(Sha256::digest(n.to_be_bytes()))).collect();
    templates(&stage, TASK_DEFINITION, &noise);
    image(&stage, r#"{"ImageURI": "x"}"#);
    let (_, message) = failure(stage.start(&blue_green(&[])).await);
    let text = "Exception while trying to read the task definition artifact file from: src. The artifact has";
    assert!(message.starts_with(text) && message.contains("3 MB are the most"), "{message}");
    assert_eq!(ecs.0.lock().unwrap().definitions.len(), 1, "nothing was registered");
    let outcome = stage.poll(&blue_green(&[]), &Progress::default()).await;
    assert!(matches!(outcome, Outcome::Failed { .. }));
}
