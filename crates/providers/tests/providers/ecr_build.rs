//! Build / ECRBuildAndPublish: what its build is and is not told, what becomes of the password, and what its end means.

use serde_json::{Value, json};
use towpath_model::action::ActionInvocation;
use towpath_model::catalogue::{Category, Owner};

use crate::ecr_peer::{Ecr, EcrPublic, PASSWORD};
use crate::stage::{Stage, artifact, failure, invocation, pending, success, unzipped};

const REGISTRY: &str = "towpath/ferry/22222222-2222-4222-8222-222222222222/registry.zip";

pub fn ecr_build(configuration: &[(&str, &str)]) -> ActionInvocation {
    let mut action = invocation(Category::Build, Owner::Aws, "ECRBuildAndPublish", &[("ECRRepositoryName", "ferry")]);
    action.configuration.extend(configuration.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    ActionInvocation { input_artifacts: vec![artifact("src", "ferry/src/Qm4TzX1.zip")], ..action }
}

pub fn with_a_registry(stage: &Stage) {
    let mut world = stage.aws.world();
    world.peers.insert("ecr".to_owned(), Box::new(Ecr::with("ferry", "latest", "sha256:1")));
    world.peers.insert("ecr-public".to_owned(), Box::new(EcrPublic));
}

fn prepared() -> Stage {
    let stage = Stage::new();
    with_a_registry(&stage);
    stage
}

fn commands(stage: &Stage) -> Vec<String> {
    let world = stage.aws.world();
    let spec = world.codebuild.started[0]["buildspecOverride"].as_str().unwrap();
    let spec: Value = serde_json::from_str(spec).unwrap();
    serde_json::from_value(spec["phases"]["build"]["commands"].clone()).unwrap()
}

fn registry(stage: &Stage) -> String {
    let zip = stage.aws.world().s3.newest("artifacts", REGISTRY).unwrap().bytes.clone();
    String::from_utf8(unzipped(&zip)["registry.env"].clone()).unwrap()
}

#[tokio::test]
async fn an_image_is_built_and_pushed() {
    let stage = prepared();
    let action = ecr_build(&[("DockerFilePath", "it's/docker"), ("ImageTags", "latest, 1.4.2")]);
    let progress = pending(stage.start(&action).await);
    let told = commands(&stage);
    for wanted in [
        r"export DOCKERFILE='it'\''s/docker'",
        r#"docker build --file "$DOCKERFILE" --tag "$REPOSITORY_URI:latest" --tag "$REPOSITORY_URI:1.4.2" ."#,
        r#"docker push "$REPOSITORY_URI:latest""#,
        r#"docker push "$REPOSITORY_URI:1.4.2""#,
    ] {
        assert!(told.iter().any(|command| command == wanted), "{wanted} is not in {told:#?}");
    }
    {
        let world = stage.aws.world();
        let build = world.codebuild.started[0].to_string();
        assert!(!build.contains(PASSWORD), "the password is no setting of the build");
        let second = &world.codebuild.started[0]["secondarySourcesOverride"][0];
        assert_eq!(
            (&second["sourceIdentifier"], &second["location"]),
            (&json!("Registry"), &json!(format!("artifacts/{REGISTRY}")))
        );
    }
    assert_eq!(
        registry(&stage),
        format!(
            "export REPOSITORY_URI='111122223333.dkr.ecr.eu-west-1.amazonaws.com/ferry'\nexport \
             REGISTRY_HOST='111122223333.dkr.ecr.eu-west-1.amazonaws.com'\nexport REGISTRY_USER='AWS'\nexport \
             REGISTRY_PASSWORD='{PASSWORD}'\n"
        )
    );
    let digest = format!("sha256:{}", "a".repeat(64));
    let exported = json!({"exportedEnvironmentVariables": [{"name": "ECRImageDigestId", "value": digest}]});
    stage.aws.world().codebuild.finish("SUCCEEDED", &exported);
    let (progress, variables, _) = success(stage.poll(&action, &progress).await);
    let variables: Vec<_> = variables.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(variables, [("ECRImageDigestId", digest.as_str()), ("ECRRepositoryName", "ferry")]);
    assert_eq!(progress.summary, Some(format!("Pushed ferry:latest, ferry:1.4.2 ({digest}).")));
    assert_eq!(registry(&stage), "\n", "the password is written over");
}

#[tokio::test]
async fn the_public_registry() {
    let stage = prepared();
    pending(stage.start(&ecr_build(&[("RegistryType", "public")])).await);
    let told = registry(&stage);
    assert!(told.contains("REPOSITORY_URI='public.ecr.aws/a1b2c3d4/ferry'\n"), "{told}");
    assert!(told.contains("REGISTRY_HOST='public.ecr.aws'\n"), "{told}");
}

#[tokio::test]
async fn builds_that_fail_say_what_is_lacking() {
    for (status, code, text) in [
        (86, "ConfigurationError", "There is no Docker with a running engine where builds run."),
        (87, "ConfigurationError", "The artifact src has no Dockerfile at '.'. Set DockerFilePath to its directory."),
        (1, "JobFailed", "Build terminated with state: FAILED. Phase: BUILD"),
    ] {
        let stage = prepared();
        let action = ecr_build(&[]);
        let progress = pending(stage.start(&action).await);
        let message = format!("Error while executing command: x. Reason: exit status {status}");
        let phase = json!({"phaseType": "BUILD", "phaseStatus": "FAILED",
            "contexts": [{"statusCode": "COMMAND_EXECUTION_ERROR", "message": message}]});
        stage.aws.world().codebuild.finish("FAILED", &json!({"phases": [phase]}));
        let (told, message) = failure(stage.poll(&action, &progress).await);
        assert!(told == code && message.starts_with(text), "{told} {message}");
        assert_eq!(registry(&stage), "\n");
    }
}

#[tokio::test]
async fn a_stop_ends_the_build_and_the_password() {
    let stage = prepared();
    let action = ecr_build(&[]);
    let progress = pending(stage.start(&action).await);
    assert_eq!(stage.stop(&action, &progress).await, Ok(()));
    assert_eq!(stage.aws.world().codebuild.stopped.len(), 1);
    assert_eq!(registry(&stage), "\n");
}

#[tokio::test]
async fn what_cannot_be_built() {
    let stage = prepared();
    for (action, text) in [
        (
            ecr_build(&[("ECRRepositoryName", "gone")]),
            "Unable to push to the Amazon ECR repository named gone. The repository with name 'gone' does not exist",
        ),
        (
            ecr_build(&[("ECRRepositoryName", "a;b")]),
            "The ECRRepositoryName 'a;b' has characters that no repository has.",
        ),
        (ecr_build(&[("ECRRepositoryName", "")]), "The configuration of action Act lacks ECRRepositoryName."),
        (ecr_build(&[("DockerFilePath", "../x")]), "The DockerFilePath '../x' leads out of the input artifact."),
        (ecr_build(&[("ImageTags", "a b")]), "'a b' in ImageTags is no tag"),
        (
            ecr_build(&[("RegistryType", "secret")]),
            "The value of RegistryType is 'secret'; it must be private or public.",
        ),
        (
            ActionInvocation { input_artifacts: Vec::new(), ..ecr_build(&[]) },
            "Action Act must have exactly one input artifact.",
        ),
    ] {
        let (code, message) = failure(stage.start(&action).await);
        assert!(code == "ConfigurationError" && message.starts_with(text), "{code} {message}");
    }
    assert!(stage.aws.world().codebuild.started.is_empty());
}
