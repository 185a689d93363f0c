//! Deploy / ECS: what is registered and updated, how a rollout ends, and each thing that stands in its way.

use serde_json::json;
use towpath_model::action::{ActionInvocation, Outcome, Progress};
use towpath_model::catalogue::{Category, Owner};

use crate::ecs_peer::{EcsPeer, FAMILY};
use crate::stage::{Stage, artifact, failure, invocation, pending, success, zip_of};
use crate::world::NOW;

pub fn ecs_deploy(configuration: &[(&str, &str)]) -> ActionInvocation {
    let mut action =
        invocation(Category::Deploy, Owner::Aws, "ECS", &[("ClusterName", "harbour"), ("ServiceName", "ferry")]);
    action.configuration.extend(configuration.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    ActionInvocation { input_artifacts: vec![artifact("bundle", "ferry/bundle/a1B2c3D")], ..action }
}

fn bundle(stage: &Stage, file: &str, text: &str) {
    let zip = zip_of(&[(file, text.as_bytes())]);
    stage.aws.world().s3.put("artifacts", "ferry/bundle/a1B2c3D", &zip, [].into());
}

/// The service, and an artifact with one image for it.
pub fn prepare(stage: &Stage) {
    EcsPeer::install(stage);
    bundle(stage, "imagedefinitions.json", r#"[{"name": "web", "imageUri": "web@sha256:1"}]"#);
}

fn prepared() -> (Stage, EcsPeer) {
    let stage = Stage::new();
    prepare(&stage);
    let peer = EcsPeer::install(&stage);
    (stage, peer)
}

#[tokio::test]
async fn the_services_own_task_definition_gets_the_images() {
    let (stage, peer) = prepared();
    let action = ecs_deploy(&[]);
    let progress = pending(stage.start(&action).await);
    assert_eq!(progress.external_id.as_deref(), Some("ecs-svc/8"));
    let page = "https://console.aws.amazon.com/ecs/home?region=eu-west-1#/clusters/harbour/services/ferry/deployments";
    assert_eq!(progress.external_url.as_deref(), Some(page));
    assert_eq!((progress.summary.as_deref(), progress.percent), (Some("web:8: 0 of 2 tasks run."), Some(0)));
    {
        let ecs = peer.0.lock().unwrap();
        let new = &ecs.definitions[&8];
        assert_eq!(new["containerDefinitions"][0], json!({"name": "web", "image": "web@sha256:1", "cpu": 0}));
        assert_eq!(new["containerDefinitions"][1]["image"], "proxy:1", "not listed, so as before");
        assert_eq!(new["fromTheFuture"], json!({"kept": true}), "unknown members survive");
    }
    let progress = pending(stage.poll(&action, &progress).await);
    peer.0.lock().unwrap().roll("COMPLETED");
    let (progress, variables, _) = success(stage.poll(&action, &progress).await);
    assert_eq!((progress.external_id.as_deref(), progress.percent), (Some("ecs-svc/8"), Some(100)));
    assert!(variables.is_empty());
}

#[tokio::test]
async fn tags_go_along_and_equal_images_are_deployed_too() {
    let (stage, peer) = prepared();
    bundle(&stage, "imagedefinitions.json", r#"[{"name": "web", "imageUri": "web:old"}]"#);
    pending(stage.start(&ecs_deploy(&[])).await);
    assert_eq!(peer.0.lock().unwrap().updates.len(), 1);
    let world = stage.aws.world();
    let sent = world
        .requests
        .iter()
        .find(|r| r.headers.get("x-amz-target").is_some_and(|target| target.ends_with(".RegisterTaskDefinition")));
    let body: serde_json::Value = serde_json::from_slice(&sent.unwrap().body).unwrap();
    assert_eq!(body["tags"], json!([{"key": "team", "value": "harbour"}]));
}

#[tokio::test]
async fn a_rollout_that_fails_says_why() {
    let (stage, peer) = prepared();
    let action = ecs_deploy(&[]);
    let progress = pending(stage.start(&action).await);
    {
        let mut ecs = peer.0.lock().unwrap();
        ecs.roll("FAILED");
        ecs.service["deployments"][0]["rolloutStateReason"] =
            json!("ECS deployment circuit breaker: tasks failed to start.");
        ecs.service["events"] = json!([
            {"id": "3", "createdAt": NOW.millis() / 1000, "message": "(service ferry) was unable to place a task."},
            {"id": "2", "createdAt": NOW.millis() / 1000, "message": "(service ferry) has started 2 tasks."},
            {"id": "1", "createdAt": 1.5, "message": "(service ferry) has reached a steady state."}]);
        ecs.tasks.push(json!({"taskArn": "t-1", "taskDefinitionArn": format!("{FAMILY}:8"),
            "stoppedReason": "Essential container in task exited",
            "containers": [{"name": "web", "exitCode": 3, "reason": "OutOfMemoryError"}, {"name": "proxy", "exitCode": 0}]}));
    }
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!(code, "JobFailed");
    assert_eq!(
        message,
        "ECS deployment circuit breaker: tasks failed to start. Last stopped task: Essential container in task exited; \
         container web: exit code 3, OutOfMemoryError. Last event: (service ferry) was unable to place a task."
    );
    let log = stage.provider(&action).logs(&stage.call(), &action, &progress, None).await.unwrap();
    assert_eq!(log.lines.len(), 2, "what was before the update is not its log");
    let more = stage.provider(&action).logs(&stage.call(), &action, &progress, log.next.as_deref()).await.unwrap();
    assert!(more.lines.is_empty() && more.next == log.next);
}

#[tokio::test]
async fn a_rollback_is_a_failure_though_the_service_is_stable() {
    let (stage, peer) = prepared();
    let action = ecs_deploy(&[]);
    let progress = pending(stage.start(&action).await);
    {
        let mut ecs = peer.0.lock().unwrap();
        let mut old = ecs.service["deployments"][1].clone();
        old["status"] = json!("PRIMARY");
        ecs.service["deployments"] = json!([old]);
    }
    let (_, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!(message, "The deployment of web:8 was replaced or rolled back: the service runs web:7.");
}

#[tokio::test]
async fn the_timeout_is_the_configurations() {
    let (stage, _peer) = prepared();
    let action = ecs_deploy(&[("DeploymentTimeout", "15")]);
    let progress = pending(stage.start(&action).await);
    stage.clock.advance_minutes(14);
    let progress = pending(stage.poll(&action, &progress).await);
    stage.clock.advance_minutes(1);
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!(code, "JobFailed");
    let text = "The deployment of web:8 did not complete within 15 minutes (DeploymentTimeout).";
    assert!(message.starts_with(text), "{message}");
}

#[tokio::test]
async fn blue_green_strategies_are_judged_by_their_service_deployment() {
    for (status, end) in [("IN_PROGRESS", "pending"), ("SUCCESSFUL", "good"), ("ROLLBACK_SUCCESSFUL", "bad")] {
        let (stage, peer) = prepared();
        let action = ecs_deploy(&[]);
        let progress = pending(stage.start(&action).await);
        {
            let mut ecs = peer.0.lock().unwrap();
            ecs.service["deployments"][0].as_object_mut().unwrap().remove("rolloutState");
            ecs.service["currentServiceDeployment"] =
                json!("arn:aws:ecs:eu-west-1:1:service-deployment/harbour/ferry/a");
            ecs.service_deployment = json!({"status": status, "rollback": {"reason": "An alarm went off."}});
        }
        match (stage.poll(&action, &progress).await, end) {
            (Outcome::Pending { .. }, "pending") | (Outcome::Succeeded { .. }, "good") => {}
            (Outcome::Failed { error, .. }, "bad") => {
                let text = "The service deployment is ROLLBACK_SUCCESSFUL. An alarm went off.";
                assert!(error.message.starts_with(text), "{}", error.message);
            }
            (other, _) => panic!("{status}: {other:?}"),
        }
    }
}

/// CodePipeline's own policies lack the permission to ask for service deployments.
#[tokio::test]
async fn without_its_service_deployment_a_strategy_is_judged_by_counts() {
    let (stage, peer) = prepared();
    let action = ecs_deploy(&[]);
    let progress = pending(stage.start(&action).await);
    {
        let mut ecs = peer.0.lock().unwrap();
        ecs.service["deployments"][0].as_object_mut().unwrap().remove("rolloutState");
        ecs.service["currentServiceDeployment"] = json!("arn:aws:ecs:eu-west-1:1:service-deployment/harbour/ferry/a");
    }
    stage.aws.world().denied.insert("ecs:DescribeServiceDeployments".to_owned());
    let progress = pending(stage.poll(&action, &progress).await);
    peer.0.lock().unwrap().service["deployments"].as_array_mut().unwrap().truncate(1);
    success(stage.poll(&action, &progress).await);
}

#[tokio::test]
async fn somebody_elses_service_deployment_says_nothing_of_ours() {
    let (stage, peer) = prepared();
    let action = ecs_deploy(&[]);
    let arn = |name: &str| json!(format!("arn:aws:ecs:eu-west-1:1:service-deployment/harbour/ferry/{name}"));
    let progress = pending(stage.start(&action).await);
    {
        let mut ecs = peer.0.lock().unwrap();
        ecs.service["deploymentConfiguration"] = json!({"strategy": "CANARY"});
        ecs.service["currentServiceDeployment"] = arn("ours");
        ecs.service_deployment = json!({"status": "IN_PROGRESS"});
    }
    let progress = pending(stage.poll(&action, &progress).await);
    peer.0.lock().unwrap().service["currentServiceDeployment"] = arn("another");
    pending(stage.poll(&action, &progress).await);
    let asked: Vec<serde_json::Value> = peer.0.lock().unwrap().asked.clone();
    assert_eq!(asked, [json!([arn("ours")]), json!([arn("ours")])]);
}

#[tokio::test]
async fn a_family_that_is_registered_at_the_same_moment_is_asked_again() {
    let (stage, peer) = prepared();
    peer.0.lock().unwrap().contended = true;
    let outcome = stage.start(&ecs_deploy(&[])).await;
    assert!(matches!(outcome, Outcome::Unavailable { .. }), "{outcome:?}");
    peer.0.lock().unwrap().contended = false;
    pending(stage.start(&ecs_deploy(&[])).await);
}

#[tokio::test]
async fn a_stop_ends_the_rollout_where_ecs_tells_of_one() {
    let (stage, peer) = prepared();
    let action = ecs_deploy(&[]);
    let progress = pending(stage.start(&action).await);
    assert_eq!(stage.stop(&action, &progress).await, Ok(()));
    assert!(peer.0.lock().unwrap().stopped.is_empty(), "no service deployment is known");
    let arn = "arn:aws:ecs:eu-west-1:111122223333:service-deployment/harbour/ferry/a";
    peer.0.lock().unwrap().service["currentServiceDeployment"] = json!(arn);
    assert_eq!(stage.stop(&action, &progress).await, Ok(()));
    let stopped = peer.0.lock().unwrap().stopped.clone();
    assert_eq!(stopped, [json!({"serviceDeploymentArn": arn, "stopType": "ROLLBACK"})]);
    peer.0.lock().unwrap().roll("COMPLETED");
    assert_eq!(stage.stop(&action, &progress).await, Ok(()));
    assert_eq!(peer.0.lock().unwrap().stopped.len(), 1, "one that is complete stays");
    assert_eq!(stage.stop(&action, &Progress::default()).await, Ok(()));
}

#[tokio::test]
async fn a_revision_that_an_earlier_start_registered_is_used_again() {
    let (stage, peer) = prepared();
    stage.aws.world().throttled.insert("ecs:UpdateService".to_owned(), u32::MAX);
    let action = ecs_deploy(&[]);
    assert!(matches!(stage.start(&action).await, Outcome::Unavailable { .. }));
    stage.aws.world().throttled.clear();
    pending(stage.start(&action).await);
    let ecs = peer.0.lock().unwrap();
    assert_eq!((ecs.definitions.len(), ecs.updates.len()), (2, 1));
}

#[tokio::test]
async fn what_cannot_be_deployed() {
    let (stage, peer) = prepared();
    let start = async |action: ActionInvocation| failure(stage.start(&action).await);
    for (action, text) in [
        (
            ecs_deploy(&[("FileName", "none.json")]),
            "Did not find the image definition file none.json in the input artifacts \
          ZIP file. Verify the file is stored in your pipeline's Amazon S3 artifact bucket: artifacts key: \
          ferry/bundle/a1B2c3D",
        ),
        (
            ecs_deploy(&[("ServiceName", "x")]),
            "The Amazon ECS service x does not exist in the cluster harbour: MISSING.",
        ),
        (
            ecs_deploy(&[("ClusterName", "x")]),
            "Error calling describeServices: Cluster not found. (Service: AmazonECS;",
        ),
        (ecs_deploy(&[("ServiceName", "")]), "The configuration of action Act lacks ServiceName."),
        (ecs_deploy(&[("DeploymentTimeout", "61")]), "The value of DeploymentTimeout is '61'; it must be a number"),
    ] {
        let (code, message) = start(action).await;
        assert_eq!(code, "ConfigurationError", "{message}");
        assert!(message.starts_with(text), "{message}");
    }
    for (file, text) in [
        ("not json", "The image definition file imagedefinitions.json contains invalid JSON format."),
        (r#"[{"name": "web"}]"#, "The image definition file imagedefinitions.json contains invalid JSON format."),
        ("[]", "The image definition file imagedefinitions.json names no container."),
        (r#"[{"name": "worker", "imageUri": "x"}]"#, "The AWS ECS container worker does not exist"),
        (r#"[{"name": "web", "imageUri": ""}]"#, "Error calling registerTaskDefinition: Container.image should not"),
    ] {
        bundle(&stage, "imagedefinitions.json", file);
        let (code, message) = start(ecs_deploy(&[])).await;
        assert_eq!(code, "ConfigurationError", "{message}");
        assert!(message.starts_with(text), "{message}");
    }
    bundle(&stage, "imagedefinitions.json", &" ".repeat(102_401));
    let (_, message) = start(ecs_deploy(&[])).await;
    assert!(message.ends_with("has more than 102400 bytes."), "{message}");
    prepare_controller(&peer, "CODE_DEPLOY");
    bundle(&stage, "imagedefinitions.json", r#"[{"name": "web", "imageUri": "w"}]"#);
    let (_, message) = start(ecs_deploy(&[])).await;
    let text = "InvalidParameterException: Unable to update task definition on services with a CODE_DEPLOY deployment";
    assert!(message.starts_with(text), "{message}");
    prepare_controller(&peer, "EXTERNAL");
    let (_, message) = start(ecs_deploy(&[])).await;
    assert!(message.contains("has the deployment controller EXTERNAL"), "{message}");
    assert!(peer.0.lock().unwrap().updates.is_empty());
}

fn prepare_controller(peer: &EcsPeer, kind: &str) {
    peer.0.lock().unwrap().service["deploymentController"] = json!({"type": kind});
}
