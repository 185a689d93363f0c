//! Builds that CodePipeline runs as itself, in projects of its own: what the Commands provider asks for.

use aws_sdk_codebuild::Client;
use aws_sdk_codebuild::operation::start_build::builders::StartBuildFluentBuilder;
use aws_sdk_codebuild::types::{Build, CloudWatchLogsConfig, LogsConfig, LogsConfigStatusType, SourceType, Tag};
use towpath_services::identity::CODEPIPELINE_PRINCIPAL;

use crate::loopback::{self, ACCOUNT};
use crate::world::{World, environment, inline_source, no_artifacts, phases, problem, refused, status, unzip};

const PROJECT: &str = "codepipeline-commands-ferry-0a1b2c3d";
const TRUST: &str = r#"{"Service":"codepipeline.amazonaws.com"}"#;
const LOGS: &str =
    r#"{"Effect":"Allow","Action":["logs:CreateLogGroup","logs:CreateLogStream","logs:PutLogEvents"],"Resource":"*"}"#;
const ARTIFACTS: &str = r#"{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"*"}"#;

fn arn(role: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{role}")
}

/// CodePipeline as itself.
fn service(world: &World) -> Client {
    let key = world.identity.service_key(CODEPIPELINE_PRINCIPAL).expect("a service key");
    world.client_as(loopback::credentials(key, None))
}

/// A project of CodePipeline for the role `pipe`.
async fn project(world: &World, statements: &str) -> Client {
    world.role("pipe", TRUST, statements).await;
    let client = service(world);
    let request = client
        .create_project()
        .name(PROJECT)
        .source(inline_source(r#"{"version": "0.2", "phases": {"build": {"commands": ["true"]}}}"#))
        .artifacts(no_artifacts())
        .environment(environment())
        .service_role(arn("pipe"))
        .tags(Tag::builder().key("codepipeline:pipeline-name").value("ferry").build());
    request.send().await.expect("a project");
    world.put_zip("ferry/SourceArti/abc1234", &[("VERSION", "1.4\n")], &[("codepipeline-revision-id", "rev-7")]).await;
    client
}

fn start(client: &Client, role: &str, buildspec: &str) -> StartBuildFluentBuilder {
    let group = CloudWatchLogsConfig::builder()
        .status(LogsConfigStatusType::Enabled)
        .group_name("/aws/codepipeline/ferry")
        .build()
        .expect("a group");
    client
        .start_build()
        .project_name(PROJECT)
        .source_type_override(SourceType::S3)
        .source_location_override("bkt/ferry/SourceArti/abc1234")
        .artifacts_override(no_artifacts())
        .buildspec_override(buildspec)
        .logs_config_override(LogsConfig::builder().cloud_watch_logs(group).build())
        .service_role_override(arn(role))
        .timeout_in_minutes_override(55)
}

async fn run(world: &World, request: StartBuildFluentBuilder) -> Build {
    let started = request.send().await.expect("started").build_value.expect("a build");
    world.finished(&started).await
}

pub async fn codepipeline_runs_a_build_as_the_pipelines_role() {
    let world = World::new().await;
    let client = project(&world, &format!("{LOGS},{ARTIFACTS}")).await;
    let buildspec = serde_json::json!({
        "version": "0.2",
        "env": {"exported-variables": ["VERSION_ID", "CODEPIPELINE_OUTPUT_AWS_DEFAULT_REGION", "UNSET"]},
        "phases": {"build": {"commands": [
            "cd /tmp",
            "export HERE=\"$PWD\"",
            "cd \"$CODEBUILD_SRC_DIR\"",
            "export VERSION_ID=\"$(cat VERSION)\"",
            "echo \"$HERE $CODEBUILD_INITIATOR $CODEBUILD_RESOLVED_SOURCE_VERSION\" > o.txt",
            "[ -z \"${AWS_DEFAULT_REGION+x}\" ] || export CODEPIPELINE_OUTPUT_AWS_DEFAULT_REGION=\"$AWS_DEFAULT_REGION\""
        ]}},
        "artifacts": {"files": ["o.txt"]}
    });
    let output = aws_sdk_codebuild::types::ProjectArtifacts::builder()
        .r#type(aws_sdk_codebuild::types::ArtifactsType::S3)
        .location("bkt")
        .path("ferry/dist")
        .name("def5678")
        .packaging(aws_sdk_codebuild::types::ArtifactPackaging::Zip);
    let request = start(&client, "pipe", &buildspec.to_string()).artifacts_override(output.build().expect("artifacts"));
    let build = run(&world, request).await;
    assert_eq!(
        status(&build),
        "SUCCEEDED",
        "{:?}\n{}",
        phases(&build),
        world.log(build.id().unwrap_or_default()).await
    );
    assert_eq!(build.initiator(), Some("codepipeline/ferry"));
    assert_eq!(build.source().map(|source| source.r#type().as_str()), Some("CODEPIPELINE"));
    let group = build.logs().and_then(|logs| logs.group_name());
    assert_eq!(group, Some("/aws/codepipeline/ferry"));
    let exported: Vec<_> = build.exported_environment_variables().iter().map(|v| (v.name(), v.value())).collect();
    assert_eq!(
        exported,
        [
            (Some("VERSION_ID"), Some("1.4")),
            (Some("CODEPIPELINE_OUTPUT_AWS_DEFAULT_REGION"), Some(crate::loopback::REGION))
        ]
    );
    let (bytes, _) = world.object("ferry/dist/def5678").await.expect("the output");
    assert_eq!(unzip(&bytes)["o.txt"], "/tmp codepipeline/ferry rev-7\n");
}

const NOTHING: &str = r#"{"version": "0.2", "phases": {"build": {"commands": ["true"]}}}"#;

pub async fn an_actions_role_is_reached_through_the_pipelines() {
    let world = World::new().await;
    let own = format!(r#"{{"AWS":"{}"}}"#, arn("pipe"));
    world.role("other", TRUST, LOGS).await;
    let assume = format!(r#"{{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"{}"}}"#, arn("deployer"));
    let client = project(&world, &assume).await;
    world.role("deployer", &own, &format!("{LOGS},{ARTIFACTS}")).await;
    let build = run(&world, start(&client, "deployer", NOTHING)).await;
    assert_eq!(status(&build), "SUCCEEDED", "the pipeline's role alone may not even write logs: {:?}", phases(&build));
    assert_eq!(build.service_role(), Some(arn("deployer").as_str()));

    // A role that trusts CodePipeline and not the pipeline's role is not reached.
    let build = run(&world, start(&client, "other", NOTHING)).await;
    assert_eq!(
        problem(&build),
        (
            "PROVISIONING".to_owned(),
            "ACCESS_DENIED".to_owned(),
            format!("CodePipeline is not authorized to perform: sts:AssumeRole on {}", arn("other"))
        )
    );
}

pub async fn the_role_needs_its_logs_and_nothing_of_codebuild() {
    let world = World::new().await;
    let client = project(&world, ARTIFACTS).await;
    let build = run(&world, start(&client, "pipe", NOTHING)).await;
    let (phase, code, message) = problem(&build);
    assert_eq!((phase.as_str(), code.as_str()), ("PROVISIONING", "ACCESS_DENIED"));
    assert!(message.contains("logs:CreateLogStream") || message.contains("logs:CreateLogGroup"), "{message}");
}

pub async fn one_sides_projects_are_not_the_others() {
    let world = World::new().await;
    let client = project(&world, &format!("{LOGS},{ARTIFACTS}")).await;
    let build = run(&world, start(&client, "pipe", NOTHING)).await;
    let belongs = format!(
        "Project {PROJECT} belongs to CodePipeline, which runs Commands actions in it. Retry the stage of the pipeline \
         instead"
    );
    let told = ("InvalidInputException".to_owned(), belongs);
    let user = world.client();
    assert_eq!(refused(user.start_build().project_name(PROJECT).send().await), told);
    assert_eq!(refused(user.update_project().name(PROJECT).description("mine").send().await), told);
    assert_eq!(refused(user.retry_build().id(build.id().unwrap_or_default()).send().await), told);
    assert!(user.batch_get_builds().ids(build.id().unwrap_or_default()).send().await.is_ok(), "it may be seen");

    // Nor does CodePipeline act in a project that somebody else prepared under its name.
    user.delete_project().name(PROJECT).send().await.expect("deleted");
    world.create(PROJECT, inline_source(NOTHING), no_artifacts()).await;
    let (code, message) = refused(start(&client, "pipe", NOTHING).send().await);
    assert_eq!(code, "InvalidInputException");
    assert!(message.starts_with(&format!("Project {PROJECT} was not made by CodePipeline")), "{message}");
}
