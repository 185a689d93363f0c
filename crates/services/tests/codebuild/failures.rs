//! Builds that fail, are stopped, or are refused.

use aws_sdk_codebuild::types::{ArtifactPackaging, ArtifactsType, ProjectArtifacts, ProjectSource, SourceType};

use crate::loopback::{ACCOUNT, REGION};
use crate::world::{Gate, World, no_artifacts, pair, phases, problem, refused, s3_source, status};

fn found(phase: &str, code: &str, message: &str) -> (String, String, String) {
    (phase.to_owned(), code.to_owned(), message.to_owned())
}

pub async fn a_failing_command_fails_the_build() {
    let world = World::new().await;
    world
        .project("demo", "version: 0.2\nphases: {pre_build: {commands: [\"exit 3\"]}, build: {commands: [\"true\"]}}\n")
        .await;
    let build = world.finished(&world.start("demo").await).await;
    assert_eq!(status(&build), "FAILED");
    assert_eq!(
        problem(&build),
        found("PRE_BUILD", "COMMAND_EXECUTION_ERROR", "Error while executing command: exit 3. Reason: exit status 3")
    );
    assert_eq!(
        &phases(&build)[4..],
        [
            "INSTALL SUCCEEDED [\"\"]",
            "PRE_BUILD FAILED [\"COMMAND_EXECUTION_ERROR\"]",
            "FINALIZING SUCCEEDED [\"\"]",
            "COMPLETED - []"
        ]
    );
}

pub async fn missing_and_forbidden_sources() {
    let world = World::new().await;
    world.create("demo", s3_source("bkt/none.zip"), no_artifacts()).await;
    let build = world.finished(&world.start("demo").await).await;
    assert_eq!(status(&build), "FAILED");
    let (phase, code, message) = problem(&build);
    assert_eq!((phase.as_str(), code.as_str()), ("DOWNLOAD_SOURCE", "CLIENT_ERROR"));
    assert_eq!(message, "error while downloading key none.zip, error: NoSuchKey: The specified key does not exist.");

    world.put_text("bad.zip", "this is no zip").await;
    world.create("bad", s3_source("bkt/bad.zip"), no_artifacts()).await;
    let (phase, _, message) = problem(&world.finished(&world.start("bad").await).await);
    assert_eq!(phase, "DOWNLOAD_SOURCE");
    assert!(message.starts_with("error while unpacking key bad.zip: "), "{message}");

    world.put_zip("src.zip", &[("other.yml", "x")], &[]).await;
    world.create("unspecified", s3_source("bkt/src.zip"), no_artifacts()).await;
    let build = world.finished(&world.start("unspecified").await).await;
    assert_eq!(problem(&build), found("DOWNLOAD_SOURCE", "YAML_FILE_ERROR", "YAML file does not exist"));
}

pub async fn a_role_without_permissions() {
    let world = World::new().await;
    let trust = r#"{"Service":"codebuild.amazonaws.com"}"#;
    world.role("silent", trust, r#"{"Effect":"Allow","Action":"s3:*","Resource":"*"}"#).await;
    world.project("demo", "version: 0.2\nphases: {build: {commands: [\"true\"]}}\n").await;
    let client = world.client();
    let start = async |role: &str| {
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/{role}");
        let request = client.start_build().project_name("demo").service_role_override(arn);
        world.finished(&request.send().await.expect("started").build_value.expect("a build")).await
    };
    let build = start("silent").await;
    assert_eq!(status(&build), "FAILED");
    let (phase, code, message) = problem(&build);
    assert_eq!((phase.as_str(), code.as_str()), ("PROVISIONING", "ACCESS_DENIED"));
    assert!(
        message.starts_with(&format!(
            "Service role arn:aws:iam::{ACCOUNT}:role/silent does not allow AWS CodeBuild to create Amazon CloudWatch Logs \
             log streams for build {}. Error message: User: arn:aws:sts::{ACCOUNT}:assumed-role/silent/AWSCodeBuild-",
            build.arn().expect("an ARN")
        )),
        "{message}"
    );
    assert_eq!(phases(&build).last().map(String::as_str), Some("COMPLETED - []"));
    assert_eq!(phases(&build).len(), 4, "PROVISIONING that failed is followed by COMPLETED");
    let logs = build.logs().expect("a place");
    assert_eq!((logs.group_name(), logs.stream_name()), (None, None), "a stream that is not there has no name");

    world.role("blind", trust, r#"{"Effect":"Allow","Action":"logs:*","Resource":"*"}"#).await;
    let (phase, code, message) = problem(&start("blind").await);
    assert_eq!((phase.as_str(), code.as_str()), ("DOWNLOAD_SOURCE", "CLIENT_ERROR"));
    assert!(message.starts_with("error while downloading key src.zip, error: AccessDenied: User: "), "{message}");
    assert!(message.ends_with("because no identity-based policy allows the s3:GetObject action"), "{message}");

    // The upload has its own permission.
    world
        .put_zip(
            "src.zip",
            &[(
                "buildspec.yml",
                "version: 0.2\nphases: {build: {commands: [\"true\"]}}\nartifacts: {files: [buildspec.yml]}\n",
            )],
            &[],
        )
        .await;
    world.role("reader", trust, r#"{"Effect":"Allow","Action":["logs:*","s3:GetObject"],"Resource":"*"}"#).await;
    let out = ProjectArtifacts::builder().r#type(ArtifactsType::S3).location("bkt").name("o.zip");
    let out = out.packaging(ArtifactPackaging::Zip).build().expect("artifacts");
    let request = client.start_build().project_name("demo").artifacts_override(out);
    let request = request.service_role_override(format!("arn:aws:iam::{ACCOUNT}:role/reader"));
    let build = world.finished(&request.send().await.expect("started").build_value.expect("a build")).await;
    let (phase, code, message) = problem(&build);
    assert_eq!((phase.as_str(), code.as_str(), status(&build)), ("UPLOAD_ARTIFACTS", "CLIENT_ERROR", "FAILED"));
    assert!(message.starts_with("Failed to upload artifacts: AccessDenied: User: "), "{message}");
}

pub async fn stopping_a_build() {
    let world = World::new().await;
    let gate = Gate::new(world.directory.path(), "never");
    world
        .project("demo", &format!("version: 0.2\nphases:\n  build:\n    commands:\n      - '{}'\n", gate.wait()))
        .await;
    let build = world.start("demo").await;
    let id = build.id().expect("an id").to_owned();
    world.until(&id, |build| build.current_phase() == Some("BUILD")).await;
    let client = world.client();
    let stopped = client.stop_build().id(&id).send().await.expect("stopped").build_value.expect("a build");
    assert_eq!((status(&stopped), stopped.build_complete()), ("STOPPED", true));
    assert_eq!(&phases(&stopped)[6..], ["BUILD STOPPED []", "COMPLETED - []"]);
    world.until_clean(&id).await;
    let again = client.stop_build().id(&id).send().await.expect("stopped").build_value.expect("a build");
    assert_eq!((status(&again), again.end_time()), ("STOPPED", stopped.end_time()), "a late stop changes nothing");
    assert_eq!(
        refused(client.stop_build().id("demo:none").send().await),
        pair("ResourceNotFoundException", "Build demo:none does not exist")
    );
}

pub async fn stopping_a_queued_build() {
    let world = World::with(|settings| settings.concurrent_builds = 1).await;
    let gate = Gate::new(world.directory.path(), "first");
    world
        .project("demo", &format!("version: 0.2\nphases:\n  build:\n    commands:\n      - '{}'\n", gate.wait()))
        .await;
    let first = world.start("demo").await;
    world.until(first.id().expect("an id"), |build| build.current_phase() == Some("BUILD")).await;
    let second = world.start("demo").await;
    let id = second.id().expect("an id");
    let stopped = world.client().stop_build().id(id).send().await.expect("stopped").build_value.expect("a build");
    assert_eq!(phases(&stopped), ["SUBMITTED SUCCEEDED []", "QUEUED STOPPED []", "COMPLETED - []"]);
    gate.open();
    assert_eq!(status(&world.finished(&first).await), "SUCCEEDED");
    assert_eq!(status(&world.get(id).await), "STOPPED");
    assert!(!world.directory.path().join(format!("builds/{ACCOUNT}/{REGION}/demo/{}/run/started", &id[5..])).exists());
}

pub async fn timeouts() {
    let world = World::with(|settings| settings.concurrent_builds = 1).await;
    let gate = Gate::new(world.directory.path(), "never");
    world
        .project("demo", &format!("version: 0.2\nphases:\n  build:\n    commands:\n      - '{}'\n", gate.wait()))
        .await;
    let first = world.start("demo").await;
    world.until(first.id().expect("an id"), |build| build.current_phase() == Some("BUILD")).await;
    // A queued build whose time has long passed when it is looked at again.
    let request = world.client().start_build().project_name("demo").queued_timeout_in_minutes_override(5);
    let second = request.send().await.expect("started").build_value.expect("a build");
    world.clock.advance_seconds(301);
    world.codebuild.shutdown().await;
    let later =
        World::open(std::sync::Arc::clone(&world.directory), std::sync::Arc::clone(&world.documents), |settings| {
            settings.concurrent_builds = 1;
        })
        .await;
    later.clock.advance_seconds(301);
    assert_eq!(later.codebuild.resume().await.expect("resumed"), 2);
    let second = later.finished(&second).await;
    assert_eq!(status(&second), "FAILED");
    assert_eq!(problem(&second), found("QUEUED", "BUILD_TIMED_OUT", "Build has timed out. "));
    later.client().stop_build().id(first.id().expect("an id")).send().await.expect("stopped");
    later.until_clean(first.id().expect("an id")).await;
}

pub async fn images_that_need_an_engine() {
    let world = World::new().await;
    world.project("demo", "version: 0.2\nphases: {build: {commands: [\"true\"]}}\n").await;
    let request = world.client().start_build().project_name("demo").image_override("python:3.13");
    let build = world.finished(&request.send().await.expect("started").build_value.expect("a build")).await;
    let (phase, code, message) = problem(&build);
    assert_eq!((phase.as_str(), code.as_str()), ("PROVISIONING", "BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE"));
    assert!(
        message.starts_with("Unable to pull customer's container image. image python:3.13 needs a container engine"),
        "{message}"
    );
}

pub async fn starts_that_are_refused() {
    let world = World::new().await;
    let client = world.client();
    assert_eq!(
        refused(client.start_build().project_name("none").send().await),
        pair(
            "ResourceNotFoundException",
            &format!("Project cannot be found: arn:aws:codebuild:{REGION}:{ACCOUNT}:project/none")
        )
    );
    let git = ProjectSource::builder()
        .r#type(SourceType::Github)
        .location("https://github.com/o/r")
        .build()
        .expect("a source");
    world.create("git", git, no_artifacts()).await;
    let (code, message) = refused(client.start_build().project_name("git").send().await);
    assert_eq!(code, "InvalidInputException");
    assert!(
        message.starts_with("Building from source type GITHUB is not supported in this version of Towpath."),
        "{message}"
    );
    assert_eq!(
        refused(client.start_build().project_name("git").timeout_in_minutes_override(1).send().await).0,
        "InvalidInputException"
    );
    let missing = refused(client.retry_build().id("git:none").send().await);
    assert_eq!(missing, pair("ResourceNotFoundException", "Build git:none does not exist"));
}
