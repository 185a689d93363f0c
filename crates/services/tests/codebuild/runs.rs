//! Builds that succeed.

use aws_sdk_codebuild::types::{
    ArtifactNamespace, ArtifactPackaging, ArtifactsType, Build, EnvironmentVariable, ProjectArtifacts, ProjectSource,
    SortOrderType, SourceType,
};

use sha2::Digest as _;

use towpath_services::codebuild::{DefaultSandbox, SandboxPolicy};

use crate::loopback::{ACCOUNT, REGION};
use crate::world::{
    Gate, ROLE, World, environment, inline_source, no_artifacts, pair, phases, problem, refused, s3_source, status,
    unzip,
};

fn to_s3(name: &str, packaging: ArtifactPackaging) -> ProjectArtifacts {
    let artifacts = ProjectArtifacts::builder().r#type(ArtifactsType::S3).location("bkt").path("out").name(name);
    artifacts.packaging(packaging).build().expect("artifacts")
}

pub async fn a_build_goes_from_source_to_artifact() {
    let world = World::new().await;
    let buildspec = r#"
version: 0.2
env:
  variables: {GREETING: spec, KEPT: "yes"}
  exported-variables: [VERSION, AWS_REGION]
phases:
  install: {commands: ["echo id=$CODEBUILD_BUILD_ID number=$CODEBUILD_BUILD_NUMBER initiator=$CODEBUILD_INITIATOR"]}
  build:
    commands:
      - test "$GREETING" = override && test "$KEPT" = yes && test "$AWS_REGION" = us-east-1
      - test -n "$AWS_SESSION_TOKEN" && test "$AWS_ENDPOINT_URL" = http://example.test
      - echo "secret $AWS_SECRET_ACCESS_KEY"
      - mkdir -p dist && tr a-z A-Z < dir/input.txt > dist/output.txt
      - VERSION=1.2.3
artifacts: {base-directory: dist, files: ["**/*"]}
"#;
    world.codebuild.set_endpoint("http://example.test");
    world.put_zip("src.zip", &[("buildspec.yml", buildspec), ("dir/input.txt", "hello\n")], &[]).await;
    world.create("demo", s3_source("bkt/src.zip"), to_s3("app.zip", ArtifactPackaging::Zip)).await;
    let variable = EnvironmentVariable::builder().name("GREETING").value("override").build().expect("a variable");
    let request = world.client().start_build().project_name("demo").environment_variables_override(variable);
    let started = request.send().await.expect("started").build_value.expect("a build");

    assert_eq!(phases(&started), ["SUBMITTED SUCCEEDED []", "QUEUED - []"]);
    assert_eq!(
        (status(&started), started.build_complete(), started.current_phase()),
        ("IN_PROGRESS", false, Some("QUEUED"))
    );
    assert_eq!((started.build_number(), started.initiator()), (Some(1), Some("root")));
    let logs = started.logs().expect("logs");
    assert_eq!(
        logs.deep_link(),
        Some("https://console.aws.amazon.com/cloudwatch/home?region=us-east-1#logEvent:group=null;stream=null")
    );
    assert!(logs.cloud_watch_logs_arn().is_some_and(|arn| arn.ends_with(":log-group:null:log-stream:null")));

    let build = world.finished(&started).await;
    let id = build.id().expect("an id").to_owned();
    let uuid = id.strip_prefix("demo:").expect("the project's name");
    assert_eq!(status(&build), "SUCCEEDED", "{:?}\n{}", phases(&build), world.log(&id).await);
    assert_eq!(
        phases(&build),
        [
            "SUBMITTED SUCCEEDED []",
            "QUEUED SUCCEEDED []",
            "PROVISIONING SUCCEEDED [\"\"]",
            "DOWNLOAD_SOURCE SUCCEEDED [\"\"]",
            "INSTALL SUCCEEDED [\"\"]",
            "PRE_BUILD SUCCEEDED [\"\"]",
            "BUILD SUCCEEDED [\"\"]",
            "POST_BUILD SUCCEEDED [\"\"]",
            "UPLOAD_ARTIFACTS SUCCEEDED [\"\"]",
            "FINALIZING SUCCEEDED [\"\"]",
            "COMPLETED - []",
        ]
    );
    for pair in build.phases().windows(2) {
        assert_eq!(pair[0].end_time(), pair[1].start_time(), "{:?}", pair[1].phase_type());
    }
    assert_eq!(build.phases().last().and_then(|phase| phase.start_time()), build.end_time());
    let exported: Vec<_> = build.exported_environment_variables().iter().map(|v| (v.name(), v.value())).collect();
    assert_eq!(exported, [(Some("VERSION"), Some("1.2.3"))]);
    assert_eq!(build.resolved_source_version(), None);

    let (bytes, metadata) = world.object("out/app.zip").await.expect("the artifact");
    assert_eq!(unzip(&bytes).into_iter().collect::<Vec<_>>(), [("output.txt".to_owned(), "HELLO\n".to_owned())]);
    let artifacts = build.artifacts().expect("artifacts");
    assert_eq!(artifacts.location(), Some("arn:aws:s3:::bkt/out/app.zip"));
    assert_eq!(artifacts.sha256_sum(), Some(hex::encode(sha2::Sha256::digest(&bytes)).as_str()));
    assert_eq!(metadata.get("codebuild-buildarn").map(String::as_str), build.arn());
    assert_eq!(metadata.get("codebuild-content-sha256").map(String::as_str), artifacts.sha256_sum());
    assert_eq!(metadata.get("codebuild-content-md5").map(String::as_str), artifacts.md5_sum());

    let logs = build.logs().expect("logs");
    assert_eq!((logs.group_name(), logs.stream_name()), (Some("/aws/codebuild/demo"), Some(uuid)));
    assert_eq!(
        logs.cloud_watch_logs_arn(),
        Some(format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/codebuild/demo:log-stream:{uuid}").as_str())
    );
    assert!(logs.deep_link().is_some_and(|link| link.ends_with(&format!("log-group/$252Faws$252Fcodebuild$252Fdemo/log-events/{uuid}"))));
    let log = world.log(&id).await;
    assert!(log.contains(&format!("id={id} number=1 initiator=root\n")), "{log}");
    assert!(log.contains("secret ***\n"), "{log}");
    assert!(
        log.ends_with("Phase complete: UPLOAD_ARTIFACTS State: SUCCEEDED\n")
            || log.contains("Phase complete: UPLOAD_ARTIFACTS State: SUCCEEDED"),
        "{log}"
    );
    world.until_clean(&id).await;
}

impl World {
    /// Waits until only the log of a build is left on disk.
    pub async fn until_clean(&self, id: &str) {
        let uuid = id.split(':').nth(1).expect("a uuid").to_owned();
        let project = id.split(':').next().expect("a project").to_owned();
        let root = self.directory.path().join(format!("builds/{ACCOUNT}/{REGION}/{project}/{uuid}"));
        let names = || {
            let mut names: Vec<String> = Vec::new();
            for directory in [root.clone(), root.join("run")] {
                let entries =
                    std::fs::read_dir(&directory).map_or_else(|_| Vec::new(), |entries| entries.flatten().collect());
                names.extend(entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()));
            }
            names.sort();
            names
        };
        let mut changes = self.codebuild.on_change();
        let waiting = async {
            while names() != ["log.jsonl", "run", "started", "status.json"] {
                let _ = tokio::time::timeout(std::time::Duration::from_millis(50), changes.recv()).await;
            }
        };
        assert!(tokio::time::timeout(std::time::Duration::from_secs(30), waiting).await.is_ok(), "{:?}", names());
    }
}

pub async fn builds_are_listed_retried_and_deleted() {
    let world = World::new().await;
    let client = world.client();
    world.project("demo", "version: 0.2\nphases: {build: {commands: [\"echo $WHO\"]}}\n").await;
    let variable = EnvironmentVariable::builder().name("WHO").value("first").build().expect("a variable");
    let request = client.start_build().project_name("demo").environment_variables_override(variable);
    let first = world.finished(&request.send().await.expect("started").build_value.expect("a build")).await;
    world.clock.advance_seconds(1);
    let id = first.id().expect("an id");
    let retried = client.retry_build().id(id).send().await.expect("retried").build_value.expect("a build");
    assert_eq!(retried.build_number(), Some(2));
    let second = world.finished(&retried).await;
    assert!(world.log(second.id().expect("an id")).await.contains("\nfirst\n"), "a retry keeps the overrides");

    let ids = vec![second.id().expect("an id").to_owned(), id.to_owned()];
    assert_eq!(client.list_builds_for_project().project_name("demo").send().await.expect("listed").ids(), ids);
    assert_eq!(client.list_builds().send().await.expect("listed").ids(), ids);
    let ascending = client.list_builds_for_project().project_name("demo").sort_order(SortOrderType::Ascending);
    assert_eq!(ascending.send().await.expect("listed").ids()[0], id);
    assert_eq!(
        refused(client.list_builds_for_project().project_name("none").send().await),
        pair(
            "ResourceNotFoundException",
            &format!("The provided project arn:aws:codebuild:{REGION}:{ACCOUNT}:project/none does not exist")
        )
    );
    let got = client.batch_get_builds().ids(first.arn().expect("an ARN")).ids("demo:gone").send().await.expect("got");
    assert_eq!((got.builds().len(), got.builds_not_found()), (1, &["demo:gone".to_owned()][..]));
    assert_eq!(
        refused(client.batch_get_builds().ids("nonsense").send().await),
        pair("InvalidInputException", "Invalid build ID provided")
    );

    world.until_clean(id).await;
    let deleted = client.batch_delete_builds().ids(id).ids("demo:gone").send().await.expect("deleted");
    assert_eq!(deleted.builds_deleted(), [first.arn().expect("an ARN").to_owned()]);
    assert_eq!(deleted.builds_not_deleted()[0].status_code(), Some("BUILD_NOT_FOUND"));
    assert_eq!(client.list_builds().send().await.expect("listed").ids(), &ids[..1]);
    assert_eq!(world.start("demo").await.build_number(), Some(3), "numbers are not given again");
}

pub async fn tokens_make_one_build() {
    let world = World::new().await;
    world.project("demo", "version: 0.2\nphases: {build: {commands: [\"true\"]}}\n").await;
    let client = world.client();
    let start = || client.start_build().project_name("demo").idempotency_token("t");
    let first = start().send().await.expect("started").build_value.expect("a build");
    world.finished(&first).await;
    let again = start().send().await.expect("started").build_value.expect("a build");
    assert_eq!(again.id(), first.id());
    assert!(again.build_complete(), "the answer is the build as it is now");
    assert_eq!(refused(start().timeout_in_minutes_override(9).send().await).0, "InvalidInputException");
    world.clock.advance_seconds(301);
    // The signature is the system's time, so only the service's clock has moved.
    let later = start().send().await.expect("started").build_value.expect("a build");
    assert_ne!(later.id(), first.id());
    world.finished(&later).await;
    let both = futures::future::join_all((0..4).map(|_| start().send())).await;
    let ids: std::collections::BTreeSet<_> =
        both.into_iter().map(|output| output.expect("started").build_value.expect("a build").id).collect();
    assert_eq!(ids.len(), 1);
}

pub async fn a_folder_goes_in_and_a_folder_comes_out() {
    let world = World::new().await;
    world.put_text("site/buildspec.yml", "version: 0.2\nphases: {build: {commands: [\"cat a/deep.txt > copy.txt\"]}}\nartifacts: {files: [copy.txt, a/deep.txt]}\n").await;
    world.put_text("site/a/deep.txt", "deep\n").await;
    let mut artifacts = to_s3("site", ArtifactPackaging::None);
    artifacts.namespace_type = Some(ArtifactNamespace::BuildId);
    world.create("demo", s3_source("bkt/site/"), artifacts).await;
    let build = world.finished(&world.start("demo").await).await;
    assert_eq!(status(&build), "SUCCEEDED", "{:?}", phases(&build));
    let uuid = build.id().expect("an id").split(':').nth(1).expect("a uuid");
    assert_eq!(
        build.artifacts().and_then(|a| a.location()),
        Some(format!("arn:aws:s3:::bkt/out/{uuid}/site").as_str())
    );
    assert_eq!(build.artifacts().and_then(|a| a.sha256_sum()), Some(""));
    let text = |key: String| {
        let world = &world;
        async move { String::from_utf8(world.object(&key).await.expect("an object").0).expect("text") }
    };
    assert_eq!(text(format!("out/{uuid}/site/copy.txt")).await, "deep\n");
    assert_eq!(text(format!("out/{uuid}/site/a/deep.txt")).await, "deep\n");
    let (code, message) = refused(world.client().start_build().project_name("demo").source_version("v1").send().await);
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("InvalidInputException", "Source version should be empty for S3 folder source location")
    );
}

pub async fn secondary_sources_and_artifacts() {
    let world = World::new().await;
    let buildspec = r#"
version: 0.2
phases: {build: {commands: ["cat $CODEBUILD_SRC_DIR_tools/tool.txt > one.txt", "echo two > two.txt"]}}
artifacts:
  files: [one.txt]
  name: named-$CODEBUILD_BUILD_NUMBER
  secondary-artifacts:
    second: {files: [two.txt]}
"#;
    world.put_zip("src.zip", &[("buildspec.yml", buildspec)], &[]).await;
    world.put_zip("tools.zip", &[("tool.txt", "tool\n")], &[]).await;
    let mut tools = s3_source("bkt/tools.zip");
    tools.source_identifier = Some("tools".to_owned());
    let mut primary = to_s3("ignored", ArtifactPackaging::Zip);
    primary.override_artifact_name = Some(true);
    let mut second = to_s3("second.zip", ArtifactPackaging::Zip);
    second.artifact_identifier = Some("second".to_owned());
    let request =
        world.client().create_project().name("demo").source(s3_source("bkt/src.zip")).secondary_sources(tools);
    let request = request.artifacts(primary).secondary_artifacts(second).environment(environment()).service_role(ROLE);
    request.send().await.expect("created");
    let build = world.finished(&world.start("demo").await).await;
    assert_eq!(status(&build), "SUCCEEDED", "{:?}", phases(&build));
    assert_eq!(build.artifacts().and_then(|a| a.location()), Some("arn:aws:s3:::bkt/out/named-1"));
    let second = &build.secondary_artifacts()[0];
    assert_eq!(
        (second.artifact_identifier(), second.location()),
        (Some("second"), Some("arn:aws:s3:::bkt/out/second.zip"))
    );
    let (bytes, _) = world.object("out/named-1").await.expect("an object");
    assert_eq!(unzip(&bytes)["one.txt"], "tool\n");
    let (bytes, _) = world.object("out/second.zip").await.expect("an object");
    assert_eq!(unzip(&bytes)["two.txt"], "two\n");
}

pub async fn a_build_without_source() {
    let world = World::new().await;
    let missing = ProjectSource::builder().r#type(SourceType::NoSource).build().expect("a source");
    let request = world.client().create_project().name("demo").source(missing).artifacts(no_artifacts());
    let (_, message) = refused(request.environment(environment()).service_role(ROLE).send().await);
    assert!(message.contains("must be given inline"), "{message}");
    world
        .create(
            "demo",
            inline_source("version: 0.2\nphases:\n  build:\n    commands: [\"ls -A | wc -l | tr -d ' '\"]\n"),
            no_artifacts(),
        )
        .await;
    let build = world.finished(&world.start("demo").await).await;
    assert_eq!(status(&build), "SUCCEEDED", "{:?}", phases(&build));
    assert!(world.log(build.id().expect("an id")).await.contains("\n0\n"));
    assert_eq!(build.artifacts().and_then(|artifacts| artifacts.location()), Some(""));
}

pub async fn logs_are_read_while_the_build_runs() {
    let world = World::new().await;
    let gate = Gate::new(world.directory.path(), "log");
    let buildspec = format!(
        "version: 0.2\nphases:\n  build:\n    commands:\n      - echo before-the-gate\n      - '{}'\n      - echo after-the-gate\n",
        gate.wait()
    );
    world.project("demo", &buildspec).await;
    let build = world.start("demo").await;
    let id = build.id().expect("an id").to_owned();
    let running = world.until(&id, |build| build.current_phase() == Some("BUILD")).await;
    let place = running.logs().expect("logs");
    let (group, stream) = (place.group_name().expect("a group"), place.stream_name().expect("a stream"));
    let logs = world.logs_client();
    let mut token: Option<String> = None;
    let mut seen = String::new();
    let mut changes = world.codebuild.on_change();
    while !seen.contains("\nbefore-the-gate\n") {
        let request = logs.get_log_events().log_group_name(group).log_stream_name(stream).start_from_head(true);
        let page = request.set_next_token(token.clone()).send().await.expect("a page");
        seen.extend(page.events().iter().map(|event| event.message().unwrap_or_default()));
        if page.next_forward_token() == token.as_deref() {
            let _ = tokio::time::timeout(std::time::Duration::from_millis(200), changes.recv()).await;
        }
        token = page.next_forward_token;
    }
    assert!(!seen.contains("\nafter-the-gate\n"));
    gate.open();
    world.finished(&build).await;
    loop {
        let request = logs.get_log_events().log_group_name(group).log_stream_name(stream).start_from_head(true);
        let page = request.set_next_token(token.clone()).send().await.expect("a page");
        seen.extend(page.events().iter().map(|event| event.message().unwrap_or_default()));
        if page.next_forward_token() == token.as_deref() {
            break;
        }
        token = page.next_forward_token;
    }
    assert_eq!(seen, world.log(&id).await, "nothing is missing and nothing comes twice");
    let found = logs
        .filter_log_events()
        .log_group_name(group)
        .filter_pattern("\"after-the-gate\"")
        .send()
        .await
        .expect("found");
    let found: Vec<_> = found.events().iter().map(|event| event.message().unwrap_or_default()).collect();
    assert_eq!(found.iter().filter(|message| **message == "after-the-gate\n").count(), 1, "{found:?}");
    let streams = logs.describe_log_streams().log_group_name(group).send().await.expect("described");
    assert_eq!(streams.log_streams()[0].log_stream_name(), Some(stream));
    assert!(streams.log_streams()[0].last_event_timestamp() >= streams.log_streams()[0].first_event_timestamp());
}

pub async fn reports_are_kept() {
    let world = World::new().await;
    let junit = r#"<testsuite name="suite"><testcase classname="c" name="good" time="0.5"/><testcase classname="c" name="bad" time="0.25"><failure message="m">traceback</failure></testcase></testsuite>"#;
    let buildspec = "version: 0.2\nphases: {build: {commands: [\"true\"]}}\nreports: {unit: {files: [junit.xml]}}\n";
    world.put_zip("src.zip", &[("buildspec.yml", buildspec), ("junit.xml", junit)], &[]).await;
    world.create("demo", s3_source("bkt/src.zip"), no_artifacts()).await;
    let build = world.finished(&world.start("demo").await).await;
    assert_eq!(status(&build), "SUCCEEDED", "{:?}", phases(&build));
    let client = world.client();
    let group = format!("arn:aws:codebuild:{REGION}:{ACCOUNT}:report-group/demo-unit");
    let arns = build.report_arns();
    assert_eq!(arns.len(), 1);
    assert_eq!(client.list_reports().send().await.expect("listed").reports(), arns);
    assert_eq!(client.list_report_groups().send().await.expect("listed").report_groups(), std::slice::from_ref(&group));
    assert_eq!(
        client.list_reports_for_report_group().report_group_arn(&group).send().await.expect("listed").reports(),
        arns
    );
    let got = client.batch_get_reports().report_arns(&arns[0]).send().await.expect("got");
    let report = &got.reports()[0];
    assert_eq!(
        (report.status().map(aws_sdk_codebuild::types::ReportStatusType::as_str), report.name()),
        (Some("FAILED"), Some("demo-unit"))
    );
    assert_eq!(report.execution_id(), build.arn());
    let summary = report.test_summary().expect("a summary");
    assert_eq!(
        (summary.total(), summary.duration_in_nano_seconds(), summary.status_counts().len()),
        (2, 750_000_000, 5)
    );
    assert_eq!((summary.status_counts()["SUCCEEDED"], summary.status_counts()["FAILED"]), (1, 1));
    let cases = client.describe_test_cases().report_arn(&arns[0]).send().await.expect("described");
    let shown: Vec<_> = cases.test_cases().iter().map(|case| (case.name(), case.status(), case.message())).collect();
    assert_eq!(shown, [(Some("bad"), Some("FAILED"), Some("traceback")), (Some("good"), Some("SUCCEEDED"), None)]);
    let groups = client.batch_get_report_groups().report_group_arns(&group).send().await.expect("got");
    assert_eq!(groups.report_groups()[0].name(), Some("demo-unit"));
}

pub async fn builds_wait_for_a_slot() {
    let world = World::with(|settings| settings.concurrent_builds = 1).await;
    let gate = Gate::new(world.directory.path(), "slot");
    world
        .project("demo", &format!("version: 0.2\nphases:\n  build:\n    commands:\n      - '{}'\n", gate.wait()))
        .await;
    let first = world.start("demo").await;
    world.until(first.id().expect("an id"), |build| build.current_phase() == Some("BUILD")).await;
    let second = world.start("demo").await;
    let waiting = world.get(second.id().expect("an id")).await;
    assert_eq!(waiting.current_phase(), Some("QUEUED"));
    let limited = world.client().update_project().name("demo").concurrent_build_limit(2).send().await;
    limited.expect("updated");
    let (code, message) = refused(world.client().start_build().project_name("demo").send().await);
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("AccountLimitExceededException", "Cannot have more than 2 active builds for the project demo")
    );
    gate.open();
    let first = world.finished(&first).await;
    let second = world.finished(&second).await;
    let phase = |build: &Build, name: &str| {
        build.phases().iter().find(|p| p.phase_type().is_some_and(|t| t.as_str() == name)).cloned().expect("the phase")
    };
    assert!(phase(&second, "PROVISIONING").start_time() >= first.end_time(), "one after the other");
    assert_eq!((status(&first), status(&second)), ("SUCCEEDED", "SUCCEEDED"));
}

/// Bubblewrap where it works; where it does not, a server must refuse rather than run commands unprotected.
pub async fn a_build_in_a_servers_sandbox() {
    let policy = SandboxPolicy::server(&towpath_builds::detect(), false);
    let default = policy.default.clone();
    let world = World::with(|settings| settings.sandbox = policy.into()).await;
    let buildspec = "version: 0.2\nphases: {build: {commands: [\"pwd && cat dir/input.txt > out.txt\"]}}\nartifacts: {files: [out.txt]}\n";
    world.put_zip("src.zip", &[("buildspec.yml", buildspec), ("dir/input.txt", "hello\n")], &[]).await;
    world.create("demo", s3_source("bkt/src.zip"), to_s3("o.zip", ArtifactPackaging::Zip)).await;
    let build = world.finished(&world.start("demo").await).await;
    match default {
        DefaultSandbox::Bubblewrap => {
            let log = world.log(build.id().expect("an id")).await;
            assert_eq!(status(&build), "SUCCEEDED", "{:?}\n{log}", phases(&build));
            assert!(log.contains("\n/codebuild/output/src"), "{log}");
            assert_eq!(unzip(&world.object("out/o.zip").await.expect("an object").0)["out.txt"], "hello\n");
            world.until_clean(build.id().expect("an id")).await;
        }
        DefaultSandbox::Nothing(reason) => {
            let (phase, _, message) = problem(&build);
            assert_eq!(phase, "PROVISIONING");
            assert!(message.contains(&reason), "{message}");
        }
        other => panic!("a server must not choose {other:?}"),
    }
}
