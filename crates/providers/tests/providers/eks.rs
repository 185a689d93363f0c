//! Deploy / EKS: what the tools are given, what they say, and what that means.

use std::time::Duration;

use towpath_model::action::{ActionInvocation, Outcome, Progress};
use towpath_model::catalogue::{Category, Owner};
use towpath_model::declaration::EnvironmentVariable;

use crate::eks_peer::EksPeer;
use crate::stage::{Stage, artifact, failure, invocation, pending, success, zip_of};

pub fn eks_deploy(configuration: &[(&str, &str)]) -> ActionInvocation {
    let mut action = invocation(Category::Deploy, Owner::Aws, "EKS", &[("ClusterName", "harbour")]);
    action.configuration.extend(configuration.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    let tag = EnvironmentVariable { name: "TAG".to_owned(), value: "v2".to_owned(), kind: None };
    ActionInvocation {
        input_artifacts: vec![artifact("bundle", "ferry/bundle/a1B2c3D")],
        environment_variables: vec![tag],
        ..action
    }
}

pub fn manifests() -> ActionInvocation {
    eks_deploy(&[("ManifestFiles", "k8s/web.yaml"), ("Namespace", "ferry")])
}

pub fn prepare(stage: &Stage) {
    EksPeer::install(stage);
    web(stage, "echo deployment/web configured");
}

/// One manifest, which makes `kubectl` run this.
fn web(stage: &Stage, commands: &str) {
    let manifest = format!("# run: {commands}\nimage: web:$TAG\n");
    let zip = zip_of(&[
        ("k8s/web.yaml", manifest.as_bytes()),
        ("k8s/more.yaml", b"# run: echo service/web created\n"),
        ("charts/ferry/Chart.yaml", b"# run: echo Release ${TAG} upgraded\n"),
        ("charts/prod.yaml", b"# run: grep ^tag: charts/prod.yaml\ntag: ${TAG}\n"),
    ]);
    stage.aws.world().s3.put("artifacts", "ferry/bundle/a1B2c3D", &zip, [].into());
}

fn prepared(commands: &str) -> (Stage, EksPeer) {
    let stage = Stage::new();
    let peer = EksPeer::install(&stage);
    web(&stage, commands);
    (stage, peer)
}

/// Polls until there is an answer; each look waits by itself.
async fn ended(stage: &Stage, action: &ActionInvocation, mut progress: Progress) -> Outcome {
    for _ in 0..20 {
        match stage.poll(action, &progress).await {
            Outcome::Pending { progress: next } => progress = next,
            other => return other,
        }
    }
    panic!("it goes on and on: {progress:?}");
}

#[tokio::test]
async fn manifests_are_filled_and_applied_in_their_order() {
    let (stage, peer) = prepared("grep ^image: k8s/web.yaml");
    let action = eks_deploy(&[("ManifestFiles", "k8s/web.yaml, k8s/more.yaml"), ("Namespace", "ferry")]);
    let progress = pending(stage.start(&action).await);
    assert_eq!(progress.external_id.as_deref(), Some("22222222-2222-4222-8222-222222222222"));
    let arn = "arn:aws:logs:eu-west-1:111122223333:log-group:/aws/codepipeline/ferry:log-stream:\
               22222222-2222-4222-8222-222222222222";
    assert_eq!(progress.log_stream_arn.as_deref(), Some(arn));
    let page = "https://console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/\
                $252Faws$252Fcodepipeline$252Fferry/log-events/22222222-2222-4222-8222-222222222222";
    assert_eq!(progress.external_url.as_deref(), Some(page));
    let (progress, variables, _) = success(ended(&stage, &action, progress).await);
    assert_eq!(progress.summary.as_deref(), Some("kubectl deployed to harbour."));
    assert_eq!(variables.into_iter().collect::<Vec<_>>(), [("EKSClusterName".to_owned(), "harbour".to_owned())]);
    assert_eq!(
        peer.lines(),
        [
            "Deploying the artifact bundle to the cluster harbour.",
            "$ kubectl apply --namespace ferry --filename k8s/web.yaml",
            "called: kubectl apply --namespace ferry --filename",
            "image: web:v2",
            "$ kubectl apply --namespace ferry --filename k8s/more.yaml",
            "called: kubectl apply --namespace ferry --filename",
            "service/web created",
        ]
    );
}

#[tokio::test]
async fn a_chart_is_installed_or_upgraded_with_its_values() {
    let (stage, peer) = prepared("");
    let action = eks_deploy(&[
        ("HelmReleaseName", "ferry"),
        ("HelmChartLocation", "charts/ferry"),
        ("HelmValuesFiles", "charts/prod.yaml"),
    ]);
    let progress = pending(stage.start(&action).await);
    success(ended(&stage, &action, progress).await);
    let lines = peer.lines();
    let command = "$ helm upgrade --install ferry charts/ferry --namespace default --wait --values charts/prod.yaml";
    assert_eq!(lines[1], command);
    assert!(lines[2].starts_with("called: helm upgrade --install ferry /"), "{lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("tag: v2"));
}

#[tokio::test]
async fn what_the_tools_say_is_told_with_what_to_do() {
    for (commands, code, text) in [
        (
            "echo 'error: You must be logged in to the server (Unauthorized)' >&2; exit 1",
            "PermissionError",
            "error: You must be logged in to the server (Unauthorized) The role arn:aws:iam::111122223333:role/pipeline needs \
             an access entry of the cluster.",
        ),
        (
            "echo 'Error from server (Forbidden): no' >&2; exit 1",
            "PermissionError",
            "Error from server (Forbidden): no The access entry of the role does not allow it in Kubernetes (RBAC).",
        ),
        (
            "echo 'Unable to connect to the server: dial tcp 10.0.0.1:443: i/o timeout' >&2; exit 1",
            "JobFailed",
            "i/o timeout Towpath's server has to reach the cluster's endpoint; a private one from inside its VPC.",
        ),
        ("echo one; echo; echo two >&2; exit 3", "JobFailed", "failed (exit status: 3): "),
    ] {
        let (stage, _peer) = prepared(commands);
        let action = manifests();
        let progress = pending(stage.start(&action).await);
        let (got, message) = failure(ended(&stage, &action, progress).await);
        assert_eq!(got, code, "{message}");
        assert!(
            message.starts_with("kubectl apply --namespace ferry --filename k8s/web.yaml failed (exit"),
            "{message}"
        );
        assert!(message.contains(text), "{message}");
        if code == "JobFailed" && text.contains("exit status: 3") {
            assert!(message.ends_with("| one | two"), "{message}");
        }
    }
}

#[tokio::test]
async fn a_stop_ends_the_tool() {
    let (stage, _peer) = prepared("exec sleep 60");
    let action = manifests();
    let progress = pending(stage.start(&action).await);
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(stage.stop(&action, &progress).await, Ok(()));
    let (code, message) =
        failure(tokio::time::timeout(Duration::from_secs(30), ended(&stage, &action, progress)).await.unwrap());
    assert_eq!(code, "JobFailed");
    assert!(message.contains("signal: 15"), "{message}");
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_written_later() {
    let (stage, peer) = prepared("echo done");
    let action = manifests();
    let progress = pending(stage.start(&action).await);
    stage.aws.world().throttled.insert("logs:PutLogEvents".to_owned(), u32::MAX);
    let mut outcome = stage.poll(&action, &progress).await;
    for _ in 0..20 {
        if matches!(outcome, Outcome::Unavailable { .. }) {
            break;
        }
        outcome = stage.poll(&action, &progress).await;
    }
    assert!(matches!(outcome, Outcome::Unavailable { .. }), "{outcome:?}");
    stage.aws.world().throttled.clear();
    success(ended(&stage, &action, progress).await);
    assert_eq!(peer.lines().last().map(String::as_str), Some("done"));
}

#[tokio::test]
async fn what_cannot_be_deployed() {
    let (stage, peer) = prepared("");
    for (action, text) in [
        (eks_deploy(&[]), "Act needs HelmReleaseName and HelmChartLocation, or ManifestFiles: one way to deploy."),
        (eks_deploy(&[("HelmReleaseName", "a")]), "Act needs both HelmReleaseName and HelmChartLocation"),
        (
            eks_deploy(&[("ManifestFiles", "a"), ("HelmReleaseName", "a"), ("HelmChartLocation", "b")]),
            "Act has ManifestFiles and keys of Helm. Leave one way to deploy out.",
        ),
        (eks_deploy(&[("ManifestFiles", "../x")]), "The value of ManifestFiles is not valid: '../x' is no path"),
        (eks_deploy(&[("ManifestFiles", "gone.yaml")]), "The artifact has no file gone.yaml."),
        (
            eks_deploy(&[("HelmReleaseName", "a"), ("HelmChartLocation", "k8s")]),
            "The artifact has no chart at k8s: there is no k8s/Chart.yaml.",
        ),
        (
            eks_deploy(&[("ManifestFiles", "a"), ("Namespace", "-n")]),
            "The value of Namespace is '-n'; it must be a name",
        ),
        (
            eks_deploy(&[("ClusterName", "x"), ("ManifestFiles", "k8s/web.yaml")]),
            "Error calling describeCluster: No cluster found for name: x.",
        ),
    ] {
        let (code, message) = failure(stage.start(&action).await);
        assert_eq!(code, "ConfigurationError", "{message}");
        assert!(message.starts_with(text), "{message}");
    }
    peer.0.lock().unwrap().status = "CREATING".to_owned();
    let (_, message) = failure(stage.start(&manifests()).await);
    assert_eq!(message, "The cluster harbour is CREATING; only one that is ACTIVE or UPDATING can be deployed to.");
}
