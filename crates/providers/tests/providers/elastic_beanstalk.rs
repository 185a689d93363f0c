//! Deploy / ElasticBeanstalk: bundles, versions, updates and how they end.

use towpath_model::action::{ActionInvocation, Progress};
use towpath_model::catalogue::{Category, Owner};

use crate::beanstalk_peer::BeanstalkPeer;
use crate::stage::{Stage, artifact, failure, invocation, pending, success};

const LABEL: &str = "code-pipeline-1790862132194-22222222-2222-4222-8222-222222222222";

pub fn elastic_beanstalk() -> ActionInvocation {
    let configuration = [("ApplicationName", "ferry"), ("EnvironmentName", "ferry-prod")];
    ActionInvocation {
        input_artifacts: vec![artifact("bundle", "ferry/bundle/a1B2c3D")],
        ..invocation(Category::Deploy, Owner::Aws, "ElasticBeanstalk", &configuration)
    }
}

fn prepared() -> (Stage, BeanstalkPeer) {
    let stage = Stage::new();
    stage.aws.world().s3.put("artifacts", "ferry/bundle/a1B2c3D", b"zip", [].into());
    let peer = BeanstalkPeer::install(&stage);
    (stage, peer)
}

#[tokio::test]
async fn a_version_is_made_and_deployed() {
    let (stage, peer) = prepared();
    let action = elastic_beanstalk();
    let progress = pending(stage.start(&action).await);
    assert_eq!(progress.external_id.as_deref(), Some(LABEL));
    assert_eq!(
        progress.external_url.as_deref(),
        Some(
            "https://console.aws.amazon.com/elasticbeanstalk/home?region=eu-west-1#/environment/dashboard?applicationName=ferry&environmentId=e-abcdefgh"
        )
    );
    let (bucket, key) = peer.beanstalk().versions[LABEL].clone();
    assert_eq!(bucket, "elasticbeanstalk-eu-west-1-111122223333");
    assert_eq!(key, "towpath/ferry/22222222-2222-4222-8222-222222222222.zip");
    assert_eq!(stage.aws.world().s3.newest(&bucket, &key).unwrap().bytes, b"zip");

    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(progress.summary.as_deref(), Some("Environment update is starting."));
    assert_eq!(peer.beanstalk().updates, [LABEL]);
    peer.beanstalk().complete();
    let (progress, variables, _) = success(stage.poll(&action, &progress).await);
    assert_eq!(progress.summary.as_deref(), Some("Environment update completed successfully."));
    assert!(variables.is_empty());
    let page = stage.provider(&action).logs(&stage.call(), &action, &progress, Some("1")).await.unwrap();
    let texts: Vec<&str> = page.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["INFO Environment update completed successfully."], "what was not told before");
}

#[tokio::test]
async fn an_update_whose_answer_was_lost_is_not_made_twice() {
    let (stage, peer) = prepared();
    let action = elastic_beanstalk();
    let started = pending(stage.start(&action).await);
    pending(stage.poll(&action, &started).await);
    let again = pending(stage.poll(&action, &started).await);
    assert_eq!(
        again.summary.as_deref(),
        Some("The environment ferry-prod is Updating; it must be Ready to be updated.")
    );
    peer.beanstalk().complete();
    success(stage.poll(&action, &started).await);
    assert_eq!(peer.beanstalk().updates.len(), 1);
}

#[tokio::test]
async fn a_busy_environment_is_waited_for() {
    let (stage, peer) = prepared();
    "Updating".clone_into(&mut peer.beanstalk().status);
    let action = elastic_beanstalk();
    let progress = pending(stage.start(&action).await);
    let progress = pending(stage.poll(&action, &progress).await);
    assert!(peer.beanstalk().updates.is_empty());
    "Ready".clone_into(&mut peer.beanstalk().status);
    pending(stage.poll(&action, &progress).await);
    assert_eq!(peer.beanstalk().updates, [LABEL]);
}

#[tokio::test]
async fn a_failed_deployment_names_cause_and_consequence() {
    let (stage, peer) = prepared();
    let action = elastic_beanstalk();
    let progress = pending(stage.start(&action).await);
    let progress = pending(stage.poll(&action, &progress).await);
    {
        let mut beanstalk = peer.beanstalk();
        for (severity, text) in [
            ("ERROR", "Instance deployment failed. For details, see 'eb-engine.log'."),
            ("WARN", "Environment health has transitioned from Ok to Info."),
            ("ERROR", "Failed to deploy application."),
        ] {
            beanstalk.events.push((severity.to_owned(), text.to_owned()));
        }
        "Ready".clone_into(&mut beanstalk.status);
    }
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!(code, "JobFailed");
    assert_eq!(
        message,
        "The update of the environment ferry-prod failed. Instance deployment failed. For details, see 'eb-engine.log'. \
         Failed to deploy application."
    );
}

#[tokio::test]
async fn a_stop_aborts_what_it_began_alone() {
    let (stage, peer) = prepared();
    let action = elastic_beanstalk();
    let progress = pending(stage.start(&action).await);
    "Updating".clone_into(&mut peer.beanstalk().status);
    assert_eq!(stage.stop(&action, &progress).await, Ok(()));
    assert_eq!(peer.beanstalk().aborted, 0, "somebody else's update");
    "Ready".clone_into(&mut peer.beanstalk().status);
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(stage.stop(&action, &progress).await, Ok(()));
    assert_eq!(peer.beanstalk().aborted, 1);
    assert_eq!(stage.stop(&action, &progress).await, Ok(()), "it is being aborted");
    assert_eq!(peer.beanstalk().aborted, 1);
}

#[tokio::test]
async fn what_cannot_be_deployed() {
    let (stage, _) = prepared();
    let with = |key: &str, value: &str| {
        let mut action = elastic_beanstalk();
        action.configuration.insert(key.to_owned(), value.to_owned());
        action
    };
    for (action, text) in [
        (with("ApplicationName", "gone"), "The application gone has no environment ferry-prod in Region eu-west-1."),
        (with("EnvironmentName", "gone"), "The application ferry has no environment gone in Region eu-west-1."),
        (with("EnvironmentName", ""), "The configuration of action Act lacks EnvironmentName."),
        (
            ActionInvocation { input_artifacts: Vec::new(), ..elastic_beanstalk() },
            "Action Act must have exactly one input artifact.",
        ),
    ] {
        let (code, message) = failure(stage.start(&action).await);
        assert_eq!((code.as_str(), message.as_str()), ("ConfigurationError", text));
    }
    let (code, message) = failure(stage.poll(&with("ApplicationName", "gone"), &Progress::default()).await);
    assert!(code == "ConfigurationError" && message.starts_with("The application gone"), "{code} {message}");
}
