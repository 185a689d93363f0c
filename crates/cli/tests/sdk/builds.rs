//! CodeBuild as a pipeline uses it: several inputs and outputs, overrides, failures in AWS's words, stops and retries.

use aws_sdk_codebuild::error::ProvideErrorMetadata as _;
use aws_sdk_codebuild::types::{BuildPhaseType, StatusType};
use aws_sdk_codepipeline::types::{
    ActionExecutionStatus, PipelineDeclaration, PipelineExecutionStatus, StageExecutionStatus, StageRetryMode,
};

use crate::support::{
    ACCOUNT, Action, REGION, STORE, World, codebuild, eventually, pipeline, s3_deploy, s3_source, stage, zip,
};

/// Source and build, and whatever the build made as one object.
fn built(name: &str, build: Action) -> PipelineDeclaration {
    pipeline(
        name,
        vec![
            stage("Source", vec![s3_source("Fetch", "sources", "app.zip").output("App").namespace("Src")]),
            stage("Build", vec![build.input("App")]),
        ],
    )
}

async fn world() -> World {
    let world = World::new().await;
    world.bucket("sources", true).await;
    world.put("sources", "app.zip", zip(&[("app.txt", b"app")])).await;
    world
}

#[tokio::test]
async fn several_inputs_and_outputs() {
    let world = world().await;
    world.bucket("live", false).await;
    let tools = world.put("sources", "tools.zip", zip(&[("tool.sh", b"cat \"$1\" && echo ' tooled'")])).await;
    let spec = r#"version: 0.2
phases:
  build:
    commands:
      - test "$CODEBUILD_SRC_DIR" = "$(pwd)"
      - sh "$CODEBUILD_SRC_DIR_Tools/tool.sh" app.txt > one.txt
      - mkdir -p docs/a && echo "$GREETING from $WHO" > docs/a/two.txt
      - echo "tools at $CODEBUILD_SOURCE_VERSION_Tools"
artifacts:
  secondary-artifacts:
    One:
      files: [one.txt]
    Two:
      base-directory: docs
      files: ['**/*']
"#;
    world
        .project_with("assemble", "{version: 0.2, phases: {build: {commands: [exit 7]}}}", &[("GREETING", "hi")])
        .await;
    let variables = r##"[{"name":"GREETING","value":"hello"},{"name":"WHO","value":"#{codepipeline.PipelineExecutionId} with #{ToolSrc.VersionId}","type":"PLAINTEXT"}]"##;
    let id = world
        .create(pipeline(
            "several",
            vec![
                stage(
                    "Source",
                    vec![
                        s3_source("Tools", "sources", "tools.zip").output("Tools").namespace("ToolSrc"),
                        s3_source("App", "sources", "app.zip").output("App"),
                    ],
                ),
                stage(
                    "Build",
                    vec![
                        codebuild("Assemble", "assemble")
                            .input("Tools")
                            .input("App")
                            .output("One")
                            .output("Two")
                            .set("PrimarySource", "App")
                            .set("BuildspecOverride", spec)
                            .set("EnvironmentVariables", variables),
                    ],
                ),
                stage(
                    "Deploy",
                    vec![
                        s3_deploy("PublishOne", "live").input("One").set("Extract", "true").set("ObjectKey", "one"),
                        s3_deploy("PublishTwo", "live").input("Two").set("Extract", "true").set("ObjectKey", "two"),
                    ],
                ),
            ],
        ))
        .await;
    world.succeeds("several", &id).await;
    assert_eq!(world.keys("live").await, ["one/one.txt", "two/a/two.txt"]);
    assert_eq!(world.text("live", "one/one.txt").await, "app tooled\n");
    assert_eq!(world.text("live", "two/a/two.txt").await, format!("hello from {id} with {tools}\n"));

    let build = world.build_of("several", &id, "Assemble").await;
    let [source] = build.secondary_sources() else { panic!("one secondary source: {build:?}") };
    assert_eq!((source.r#type().as_str(), source.source_identifier()), ("CODEPIPELINE", Some("Tools")));
    let [version] = build.secondary_source_versions() else { panic!("one version: {build:?}") };
    let place = version.source_version();
    assert!(place.starts_with(&format!("arn:aws:s3:::{STORE}/several/Tools/")), "{place}");
    assert!(world.log(&build).await.contains(&format!("tools at {place}")));
    let mut names: Vec<_> = build.secondary_artifacts().iter().map(|a| a.artifact_identifier().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["One", "Two"]);
    assert!(build.secondary_artifacts().iter().all(|a| a.sha256_sum().is_some_and(|sum| sum.len() == 64)));
    assert_eq!(build.source().unwrap().buildspec(), Some(spec));
    assert_eq!(build.build_number(), Some(1));
}

#[tokio::test]
async fn a_failed_build_fails_its_action_in_codebuilds_words() {
    let world = world().await;
    world.project("plain", "").await;
    let cases = [
        (
            "command",
            "{version: 0.2, phases: {pre_build: {commands: [exit 0]}, build: {commands: [exit 3, echo never]}}}",
            "FAILED. Phase: BUILD, Code: COMMAND_EXECUTION_ERROR, Message: Error while executing command: exit 3. \
             Reason: exit status 3",
        ),
        ("version", "{version: 9, phases: {}}", "FAILED. Phase: DOWNLOAD_SOURCE, Code: YAML_FILE_ERROR, Message: "),
        ("path", "ci/missing.yml", "FAILED. Phase: DOWNLOAD_SOURCE, Code: YAML_FILE_ERROR, Message: "),
        (
            "nothing",
            "{version: 0.2, phases: {}, artifacts: {files: [none/*]}}",
            "FAILED. Phase: UPLOAD_ARTIFACTS, Code: CLIENT_ERROR, Message: no matching artifact paths found",
        ),
        (
            "secret",
            "{version: 0.2, env: {secrets-manager: {S: id}}, phases: {}}",
            "FAILED. Phase: DOWNLOAD_SOURCE, Code: Secrets Manager Error Message, Message: ",
        ),
    ];
    for (name, spec, text) in cases {
        let build = codebuild("Compile", "plain").output("Out").set("BuildspecOverride", spec);
        let id = world.create(built(name, build)).await;
        let (code, message) = world.fails(name, &id, "Compile").await;
        assert_eq!(code, "JobFailed");
        let expected = format!("Build terminated with state: {text}");
        if text.ends_with(": ") {
            assert!(message.starts_with(&expected) && message.len() > expected.len(), "{name}: {message}");
        } else {
            assert_eq!(message, expected, "{name}");
        }
        let row = world.row(name, &id, "Compile").await;
        let result = row.output().unwrap().execution_result().unwrap();
        assert_eq!(result.external_execution_summary(), Some(message.as_str()));
        let state = world.action(name, "Build", "Compile").await.latest_execution.unwrap();
        assert_eq!(state.error_details().unwrap().message(), Some(message.as_str()));
        assert_eq!(world.stage(name, "Build").await.latest_execution.unwrap().status(), &StageExecutionStatus::Failed);
    }
    // Nobody named a buildspec, and the source has none.
    let id = world.create(built("default", codebuild("Compile", "plain"))).await;
    let (_, message) = world.fails("default", &id, "Compile").await;
    let text = "Build terminated with state: FAILED. Phase: DOWNLOAD_SOURCE, Code: YAML_FILE_ERROR, Message: YAML file \
                does not exist";
    assert_eq!(message, text);
    // No build at all.
    let id = world.create(built("projectless", codebuild("Compile", "missing"))).await;
    let (code, message) = world.fails("projectless", &id, "Compile").await;
    assert_eq!(code, "JobFailed");
    let text = format!(
        "Error calling startBuild: Project cannot be found: arn:aws:codebuild:{REGION}:{ACCOUNT}:project/missing \
         (Service: AWSCodeBuild; Status Code: 400; Error Code: ResourceNotFoundException; Request ID: "
    );
    assert!(message.starts_with(&text), "{message}");
}

#[tokio::test]
async fn the_buildspec_lies_in_the_source_or_in_a_bucket() {
    let world = world().await;
    let says = |word: &str| format!("version: 0.2\nphases:\n  build:\n    commands: ['echo \"says {word}\"']\n");
    let (default, other, object) = (says("default"), says("other"), says("object"));
    let files: [(&str, &[u8]); 2] = [("buildspec.yml", default.as_bytes()), ("ci/other.yml", other.as_bytes())];
    world.put("sources", "app.zip", zip(&files)).await;
    world.put("sources", "specs/object.yml", object.into_bytes()).await;
    world.project("plain", "").await;
    for (word, given) in
        [("default", ""), ("other", "ci/other.yml"), ("object", "arn:aws:s3:::sources/specs/object.yml")]
    {
        let build = codebuild("Compile", "plain");
        let build = if given.is_empty() { build } else { build.set("BuildspecOverride", given) };
        let id = world.create(built(word, build)).await;
        world.succeeds(word, &id).await;
        let log = world.log(&world.build_of(word, &id, "Compile").await).await;
        assert!(log.contains(&format!("says {word}")), "{log:#?}");
    }
}

#[tokio::test]
async fn a_build_without_an_artifact_fails_its_consumer() {
    let world = world().await;
    world.bucket("live", false).await;
    world.project("silent", "{version: 0.2, phases: {build: {commands: ['true']}}}").await;
    let id = world
        .create(pipeline(
            "silent",
            vec![
                stage("Source", vec![s3_source("Fetch", "sources", "app.zip").output("App")]),
                stage("Build", vec![codebuild("Compile", "silent").input("App").output("Out")]),
                stage("Deploy", vec![s3_deploy("Publish", "live").input("Out").set("Extract", "true")]),
            ],
        ))
        .await;
    let (code, message) = world.fails("silent", &id, "Publish").await;
    assert_eq!(code, "ConfigurationError");
    assert!(message.contains("silent/Out/") && message.contains("does not exist"), "{message}");
    let compiled = world.row("silent", &id, "Compile").await;
    assert_eq!(compiled.status(), Some(&ActionExecutionStatus::Succeeded));
}

#[tokio::test]
async fn a_stopped_build_fails_its_action_and_a_retry_builds_again() {
    let world = world().await;
    let spec = format!(
        "version: 0.2\nphases:\n  build:\n    commands:\n      - touch {}\n      - {}\n      - touch {}\n",
        world.mark("begun").display(),
        world.wait_for("go-on"),
        world.mark("done").display(),
    );
    world.project("slow", &spec).await;
    let id = world.create(built("stopped", codebuild("Compile", "slow"))).await;
    world.marked("begun").await;
    let first = world.external_id("stopped", "Build", "Compile").await;
    world.in_phase(&first, "BUILD").await;
    let stopped = world.builds.stop_build().id(&first).send().await.unwrap().build_value.unwrap();
    assert_eq!(stopped.build_status(), Some(&StatusType::Stopped));
    let (code, message) = world.fails("stopped", &id, "Compile").await;
    assert_eq!((code.as_str(), message.as_str()), ("JobFailed", "Build terminated with state: STOPPED"));
    let build = world.build(&first).await;
    let phase = build.phases().iter().find(|p| p.phase_type() == Some(&BuildPhaseType::Build)).unwrap();
    assert_eq!((phase.phase_status(), phase.contexts().len()), (Some(&StatusType::Stopped), 0));
    let again = world.builds.stop_build().id(&first).send().await.unwrap().build_value.unwrap();
    assert_eq!(again.build_status(), Some(&StatusType::Stopped), "stopping an ended build changes nothing");

    world.make_mark("go-on");
    let retry = world.pipelines.retry_stage_execution().pipeline_name("stopped").stage_name("Build");
    let retry = retry.pipeline_execution_id(&id).retry_mode(StageRetryMode::FailedActions);
    assert_eq!(retry.send().await.unwrap().pipeline_execution_id(), Some(id.as_str()));
    world.succeeds("stopped", &id).await;
    let second = world.build_of("stopped", &id, "Compile").await;
    assert_eq!(second.build_number(), Some(2));
    let rows = world.rows("stopped", &id).await;
    let attempts: Vec<_> = rows.iter().filter(|r| r.action_name() == Some("Compile")).collect();
    assert_eq!(attempts.len(), 2);
    assert_ne!(attempts[0].action_execution_id(), attempts[1].action_execution_id());
    assert_eq!(attempts[1].status(), Some(&ActionExecutionStatus::Failed));
    let metadata = world.stage("stopped", "Build").await.retry_stage_metadata.unwrap();
    assert_eq!(metadata.manual_stage_retry_attempt(), Some(1));
    let listed = world.builds.list_builds_for_project().project_name("slow").send().await.unwrap();
    assert_eq!(listed.ids(), [second.id().unwrap(), first.as_str()]);
}

#[tokio::test]
async fn abandoning_an_execution_ends_its_build() {
    let world = world().await;
    // The command after the wait must never run.
    let spec = format!(
        "version: 0.2\nphases:\n  build:\n    commands:\n      - touch {}\n      - {}\n      - touch {}\n",
        world.mark("begun").display(),
        world.wait_for("go-on"),
        world.mark("done").display(),
    );
    world.project("slow", &spec).await;
    let id = world.create(built("abandoned", codebuild("Compile", "slow"))).await;
    world.marked("begun").await;
    let build = world.external_id("abandoned", "Build", "Compile").await;
    let stop = world.pipelines.stop_pipeline_execution().pipeline_name("abandoned").pipeline_execution_id(&id);
    stop.abandon(true).reason("wrong revision").send().await.unwrap();
    assert_eq!(world.ended("abandoned", &id).await, PipelineExecutionStatus::Stopped);
    let row = world.row("abandoned", &id, "Compile").await;
    assert_eq!(row.status(), Some(&ActionExecutionStatus::Abandoned));
    let status = eventually("the end of the build", async || {
        let build = world.build(&build).await;
        build.build_complete().then(|| build.build_status().cloned())
    })
    .await;
    assert_eq!(status, Some(StatusType::Stopped));
    // The sandbox is gone before the build leaves the list of open ones; only then may the command be let go.
    eventually("the files of the build to go", async || {
        let deleted = world.builds.batch_delete_builds().ids(&build).send().await.unwrap();
        (!deleted.builds_deleted().is_empty()).then_some(())
    })
    .await;
    world.make_mark("go-on");
    assert!(!world.mark("done").exists(), "the build went on");
    let listed = world.pipelines.list_pipeline_executions().pipeline_name("abandoned").send().await.unwrap();
    let [only] = listed.pipeline_execution_summaries() else { panic!("{listed:?}") };
    assert_eq!(only.stop_trigger().unwrap().reason(), Some("wrong revision"));
    assert_eq!(only.status_summary(), Some("wrong revision"));
}

#[tokio::test]
async fn a_stop_that_waits_lets_the_build_end() {
    let world = world().await;
    let spec = format!(
        "version: 0.2\nphases:\n  build:\n    commands:\n      - touch {}\n      - {}\n",
        world.mark("begun").display(),
        world.wait_for("go-on"),
    );
    world.project("slow", &spec).await;
    let id = world.create(built("waited", codebuild("Compile", "slow"))).await;
    world.marked("begun").await;
    let stop = || world.pipelines.stop_pipeline_execution().pipeline_name("waited").pipeline_execution_id(&id);
    stop().send().await.unwrap();
    assert_eq!(world.execution("waited", &id).await.status(), Some(&PipelineExecutionStatus::Stopping));
    let again = stop().send().await.unwrap_err().into_service_error();
    assert!(again.is_duplicated_stop_request_exception(), "{again:?}");
    world.make_mark("go-on");
    assert_eq!(world.ended("waited", &id).await, PipelineExecutionStatus::Stopped);
    let row = world.row("waited", &id, "Compile").await;
    assert_eq!(row.status(), Some(&ActionExecutionStatus::Succeeded));
    let late = stop().abandon(true).send().await.unwrap_err().into_service_error();
    assert!(late.is_pipeline_execution_not_stoppable_exception(), "{late:?}");
}

#[tokio::test]
async fn a_pipelines_project_is_not_started_by_hand() {
    let world = world().await;
    world.project("compile", "{version: 0.2, phases: {}}").await;
    let error = world.builds.start_build().project_name("compile").send().await.unwrap_err().into_service_error();
    assert!(error.is_invalid_input_exception(), "{error:?}");
    assert_eq!(error.message(), Some("ArtifactsOverride must be set when using artifacts type CodePipelines"));
    let got = world.builds.batch_get_projects().names("compile").names("other").send().await.unwrap();
    assert_eq!(got.projects_not_found(), ["other"]);
    let project = &got.projects()[0];
    assert_eq!((project.timeout_in_minutes(), project.queued_timeout_in_minutes()), (Some(60), Some(480)));
    let gone =
        world.builds.batch_get_builds().ids("compile:00000000-0000-4000-8000-000000000000").send().await.unwrap();
    assert_eq!(gone.builds_not_found().len(), 1);
    // A build's own time limit is CodeBuild's: five minutes at least.
    let short = world.builds.update_project().name("compile").timeout_in_minutes(1).send().await.unwrap_err();
    assert!(short.into_service_error().is_invalid_input_exception());
}
