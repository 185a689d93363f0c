//! The main job through stock clients: source, build, two tests side by side, an approval, a deployment.

use aws_sdk_codebuild::types::{BuildPhaseType, SourceType, StatusType};
use aws_sdk_codepipeline::types::{
    ActionExecutionStatus, ApprovalResult, ApprovalStatus, PipelineExecutionStatus, StageExecutionStatus,
};

use crate::support::{
    ACCOUNT, REGION, STORE, World, approval, codebuild, codebuild_test, eventually, pipeline, s3_deploy, s3_source,
    stage, zip,
};

fn build_spec(world: &World) -> String {
    format!(
        r#"version: 0.2
env:
  exported-variables: [VERSION]
phases:
  build:
    commands:
      - VERSION="1.$CODEBUILD_BUILD_NUMBER"
      - echo "building $REVISION as $CODEBUILD_INITIATOR"
      - echo "resolved $CODEBUILD_RESOLVED_SOURCE_VERSION at $CODEBUILD_SOURCE_VERSION"
      - {}
      - mkdir -p dist/css
      - sed "s/@VERSION@/$VERSION/" index.html > dist/index.html
      - printf 'body {{}}' > dist/css/site.css
artifacts:
  base-directory: dist
  files: ['**/*']
"#,
        world.wait_for("go-on")
    )
}

/// Each test waits for the other to have begun: one after the other they would never end.
fn test_spec(world: &World, own: &str, other: &str) -> String {
    format!(
        r#"version: 0.2
phases:
  build:
    commands:
      - touch {mark}
      - {wait}
      - grep -q "version $VERSION" index.html
      - >-
        printf '<testsuite name="{own}"><testcase name="finds the version" classname="page" time="0.25"/><testcase
        name="is skipped" classname="page"><skipped/></testcase></testsuite>' > junit.xml
reports:
  results:
    files: [junit.xml]
    file-format: JUNITXML
"#,
        mark = world.mark(own).display(),
        wait = world.wait_for(other),
    )
}

#[tokio::test]
async fn source_build_tests_approval_deployment() {
    let world = World::new().await;
    world.bucket("sources", true).await;
    world.bucket("live", false).await;
    let revision = world.put("sources", "app.zip", zip(&[("index.html", b"<p>version @VERSION@</p>")])).await;
    world.project("compile", &build_spec(&world)).await;
    world.project("unit", &test_spec(&world, "unit-runs", "pages-run")).await;
    world.project("pages", &test_spec(&world, "pages-run", "unit-runs")).await;

    let version = r##"[{"name":"VERSION","value":"#{Built.VERSION}"}]"##;
    let id = world
        .create(pipeline(
            "main-job",
            vec![
                stage("Source", vec![s3_source("Fetch", "sources", "app.zip").output("App").namespace("Fetched")]),
                stage(
                    "Build",
                    vec![
                        codebuild("Compile", "compile")
                            .input("App")
                            .output("Bundle")
                            .namespace("Built")
                            .set("EnvironmentVariables", r##"[{"name":"REVISION","value":"#{Fetched.VersionId}"}]"##),
                    ],
                ),
                stage(
                    "Test",
                    vec![
                        codebuild_test("Unit", "unit").input("Bundle").set("EnvironmentVariables", version),
                        codebuild_test("Pages", "pages").input("Bundle").set("EnvironmentVariables", version),
                    ],
                ),
                stage("Approve", vec![approval("SignOff").set("CustomData", "Ship #{Built.VERSION}?")]),
                stage(
                    "Deploy",
                    vec![s3_deploy("Publish", "live").input("Bundle").set("Extract", "true").set("ObjectKey", "site")],
                ),
            ],
        ))
        .await;

    // The build is held up by its own command: what it has said so far can be read.
    let build_id = world.external_id("main-job", "Build", "Compile").await;
    let said = format!("building {revision} as codepipeline/main-job");
    eventually("the build's words", async || {
        world.log(&world.build(&build_id).await).await.contains(&said).then_some(())
    })
    .await;
    let running = world.in_phase(&build_id, "BUILD").await;
    assert_eq!(running.build_status(), Some(&StatusType::InProgress));
    assert!(!running.build_complete());
    let compile = world.action("main-job", "Build", "Compile").await.latest_execution.unwrap();
    assert_eq!(compile.status(), Some(&ActionExecutionStatus::InProgress));
    world.make_mark("go-on");

    let token = world.token("main-job", "Approve", "SignOff").await;
    assert_eq!(world.execution("main-job", &id).await.status(), Some(&PipelineExecutionStatus::InProgress));
    assert_eq!(world.keys("live").await, Vec::<String>::new(), "nothing is deployed before somebody says so");
    let yes = ApprovalResult::builder().status(ApprovalStatus::Approved).summary("looks right").build().unwrap();
    let approve = world.pipelines.put_approval_result().pipeline_name("main-job").stage_name("Approve");
    let approved = approve.action_name("SignOff").token(token).result(yes).send().await.unwrap();
    assert!(approved.approved_at().is_some());
    world.succeeds("main-job", &id).await;

    assert_eq!(world.keys("live").await, ["site/css/site.css", "site/index.html"]);
    assert_eq!(world.text("live", "site/index.html").await, "<p>version 1.1</p>");
    check_build(&world, &build_id, &revision).await;
    check_reports(&world, &id).await;
    check_state(&world, &id, &build_id, &revision).await;
    check_history(&world, &id, &build_id, &revision).await;
}

async fn check_build(world: &World, build_id: &str, revision: &str) {
    let build = world.build(build_id).await;
    assert_eq!(build.build_status(), Some(&StatusType::Succeeded));
    assert_eq!((build.initiator(), build.build_number()), (Some("codepipeline/main-job"), Some(1)));
    assert_eq!(build.source().unwrap().r#type(), &SourceType::Codepipeline);
    assert_eq!(build.resolved_source_version(), Some(revision));
    let source = build.source_version().unwrap();
    let key = source.strip_prefix(&format!("arn:aws:s3:::{STORE}/main-job/App/")).unwrap();
    assert!(key.len() == 11 && key.strip_suffix(".zip").is_some(), "seven characters and the suffix: {source}");

    let phases = build.phases();
    let names: Vec<&str> = phases.iter().map(|p| p.phase_type().unwrap().as_str()).collect();
    assert_eq!(
        names,
        [
            "SUBMITTED",
            "QUEUED",
            "PROVISIONING",
            "DOWNLOAD_SOURCE",
            "INSTALL",
            "PRE_BUILD",
            "BUILD",
            "POST_BUILD",
            "UPLOAD_ARTIFACTS",
            "FINALIZING",
            "COMPLETED"
        ]
    );
    for phase in phases {
        let name = phase.phase_type().unwrap();
        let contexts: Vec<_> = phase.contexts().iter().map(|c| (c.status_code(), c.message())).collect();
        if *name == BuildPhaseType::Completed {
            assert_eq!((phase.phase_status(), phase.end_time()), (None, None));
            continue;
        }
        assert_eq!(phase.phase_status(), Some(&StatusType::Succeeded), "{name:?}");
        assert!(phase.duration_in_seconds().is_some() && phase.end_time().is_some(), "{name:?}");
        let quiet = matches!(name, BuildPhaseType::Submitted | BuildPhaseType::Queued);
        assert_eq!(contexts, if quiet { vec![] } else { vec![(Some(""), Some(""))] }, "{name:?}");
    }

    let exported: Vec<_> =
        build.exported_environment_variables().iter().map(|v| (v.name().unwrap(), v.value().unwrap())).collect();
    assert_eq!(exported, [("VERSION", "1.1")]);
    let artifacts = build.artifacts().unwrap();
    let location = artifacts.location().unwrap().strip_prefix(&format!("arn:aws:s3:::{STORE}/")).unwrap().to_owned();
    assert!(location.starts_with("main-job/Bundle/"), "{location}");
    let stored = world.s3.head_object().bucket(STORE).key(&location).send().await.unwrap();
    assert_eq!(stored.metadata().unwrap()["codebuild-buildarn"], build.arn().unwrap());
    assert_eq!(artifacts.sha256_sum().map(str::len), Some(64));

    let uuid = build_id.split_once(':').unwrap().1;
    let logs = build.logs().unwrap();
    assert_eq!((logs.group_name(), logs.stream_name()), (Some("/aws/codebuild/compile"), Some(uuid)));
    assert_eq!(
        logs.cloud_watch_logs_arn(),
        Some(&*format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/codebuild/compile:log-stream:{uuid}"))
    );
    let log = world.log(&build).await;
    for line in [
        format!("building {revision} as codepipeline/main-job"),
        format!("resolved {revision} at arn:aws:s3:::{STORE}/{}", source.split_once('/').unwrap().1),
    ] {
        assert!(log.contains(&line), "no {line:?} in {log:#?}");
    }
    for part in ["Entering phase BUILD", "Phase complete: BUILD State: SUCCEEDED", "Running command mkdir -p dist/css"]
    {
        assert!(log.iter().any(|l| l.starts_with("[Container] ") && l.ends_with(part)), "no {part:?} in {log:#?}");
    }
    let found = world.logs.filter_log_events().log_group_name("/aws/codebuild/compile").filter_pattern("building");
    let found = found.send().await.unwrap();
    assert!(found.events().iter().any(|e| e.log_stream_name() == Some(uuid)), "{found:?}");
}

async fn check_reports(world: &World, id: &str) {
    let build = world.build_of("main-job", id, "Unit").await;
    let [report] = build.report_arns() else { panic!("one report: {build:?}") };
    assert!(report.starts_with(&format!("arn:aws:codebuild:{REGION}:{ACCOUNT}:report/unit-results:")), "{report}");
    let got = world.builds.batch_get_reports().report_arns(report).send().await.unwrap();
    let [shown] = got.reports() else { panic!("one report: {got:?}") };
    assert_eq!(shown.execution_id(), build.arn());
    let summary = shown.test_summary().unwrap();
    assert_eq!((summary.total(), summary.duration_in_nano_seconds()), (2, 250_000_000));
    assert_eq!((summary.status_counts()["SUCCEEDED"], summary.status_counts()["SKIPPED"]), (1, 1));
    let cases = world.builds.describe_test_cases().report_arn(report).send().await.unwrap();
    let mut cases: Vec<_> = cases.test_cases().iter().map(|c| (c.name().unwrap(), c.status().unwrap())).collect();
    cases.sort_unstable();
    assert_eq!(cases, [("finds the version", "SUCCEEDED"), ("is skipped", "SKIPPED")]);
    // The revision travels through the bundle that the first build made.
    let source = world.build_of("main-job", id, "Compile").await;
    assert_eq!(build.resolved_source_version(), source.resolved_source_version());
    assert_eq!(build.artifacts().unwrap().location(), Some(""));
}

async fn check_state(world: &World, id: &str, build_id: &str, revision: &str) {
    for name in ["Source", "Build", "Test", "Approve", "Deploy"] {
        let stage = world.stage("main-job", name).await;
        let latest = stage.latest_execution().unwrap();
        assert_eq!((latest.pipeline_execution_id(), latest.status()), (id, &StageExecutionStatus::Succeeded), "{name}");
        for action in stage.action_states() {
            let latest = action.latest_execution().unwrap();
            assert_eq!(latest.status(), Some(&ActionExecutionStatus::Succeeded), "{action:?}");
            assert!(latest.last_status_change().is_some() && latest.action_execution_id().is_some());
        }
    }
    let fetch = world.action("main-job", "Source", "Fetch").await;
    assert_eq!(fetch.current_revision().unwrap().revision_id(), revision);
    let compile = world.action("main-job", "Build", "Compile").await.latest_execution.unwrap();
    assert_eq!(compile.external_execution_id(), Some(build_id));
    assert!(compile.external_execution_url().unwrap().contains(build_id), "{compile:?}");
    let stream = world.build(build_id).await.logs().unwrap().cloud_watch_logs_arn().map(str::to_owned);
    assert_eq!(compile.log_stream_arn().map(str::to_owned), stream);
    let sign_off = world.action("main-job", "Approve", "SignOff").await.latest_execution.unwrap();
    let root = format!("arn:aws:iam::{ACCOUNT}:root");
    assert_eq!((sign_off.summary(), sign_off.last_updated_by()), (Some("looks right"), Some(root.as_str())));
    assert_eq!(sign_off.token(), None);
}

async fn check_history(world: &World, id: &str, build_id: &str, revision: &str) {
    let execution = world.execution("main-job", id).await;
    assert_eq!(execution.pipeline_version(), Some(1));
    let [artifact] = execution.artifact_revisions() else { panic!("one revision: {execution:?}") };
    assert_eq!((artifact.name(), artifact.revision_id()), (Some("App"), Some(revision)));
    let summary = format!("Amazon S3 version id: {revision}");
    assert_eq!(artifact.revision_summary(), Some(summary.as_str()));

    let mut names: Vec<String> =
        world.rows("main-job", id).await.iter().map(|r| r.action_name().unwrap().to_owned()).collect();
    assert_eq!((names.first().map(String::as_str), names.last().map(String::as_str)), (Some("Publish"), Some("Fetch")));
    names.sort();
    assert_eq!(names, ["Compile", "Fetch", "Pages", "Publish", "SignOff", "Unit"]);

    let fetch = world.row("main-job", id, "Fetch").await.output.unwrap();
    let variables = fetch.output_variables().unwrap();
    assert_eq!((variables["VersionId"].as_str(), variables["ObjectKey"].as_str()), (revision, "app.zip"));
    let compile = world.row("main-job", id, "Compile").await;
    let (input, output) = (compile.input().unwrap(), compile.output().unwrap());
    assert_eq!(
        input.configuration().unwrap()["EnvironmentVariables"],
        r##"[{"name":"REVISION","value":"#{Fetched.VersionId}"}]"##
    );
    assert_eq!(
        input.resolved_configuration().unwrap()["EnvironmentVariables"],
        format!(r#"[{{"name":"REVISION","value":"{revision}"}}]"#)
    );
    assert_eq!(output.execution_result().unwrap().external_execution_id(), Some(build_id));
    assert_eq!(output.output_variables().unwrap()["VERSION"], "1.1");
    let [bundle] = output.output_artifacts() else { panic!("one output: {output:?}") };
    let place = bundle.s3_location().unwrap();
    let location = format!("arn:aws:s3:::{}/{}", place.bucket().unwrap(), place.key().unwrap());
    assert_eq!(world.build(build_id).await.artifacts().unwrap().location(), Some(location.as_str()));
    let sign_off = world.row("main-job", id, "SignOff").await;
    assert_eq!(sign_off.input().unwrap().resolved_configuration().unwrap()["CustomData"], "Ship 1.1?");
    assert_eq!(sign_off.updated_by(), Some(&*format!("arn:aws:iam::{ACCOUNT}:root")));
}

#[tokio::test]
async fn the_servers_own_sandbox_does_the_job_too() {
    // Without a configuration a server's builds run behind bubblewrap, where there is one.
    let world = World::with("").await;
    world.bucket("sources", true).await;
    world.put("sources", "app.zip", zip(&[("name", b"ferry")])).await;
    let spec = "{version: 0.2, phases: {build: {commands: ['test ! -e \"$CODEBUILD_SRC_DIR/../../../credentials\"', \
                'echo \"hello $(cat name)\" > greeting']}}, artifacts: {files: [greeting]}}";
    world.project("greet", spec).await;
    world.bucket("live", false).await;
    let id = world
        .create(pipeline(
            "boxed",
            vec![
                stage("Source", vec![s3_source("Fetch", "sources", "app.zip").output("App")]),
                stage("Build", vec![codebuild("Greet", "greet").input("App").output("Greeting")]),
                stage("Deploy", vec![s3_deploy("Publish", "live").input("Greeting").set("Extract", "true")]),
            ],
        ))
        .await;
    world.succeeds("boxed", &id).await;
    assert_eq!(world.text("live", "greeting").await, "hello ferry\n");
}
