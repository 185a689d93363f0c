//! CodeBuild: what StartBuild is told, and what a build's answer becomes.

use serde_json::json;
use towpath_model::action::Progress;
use towpath_model::catalogue::Category;
use towpath_providers::RealmKind;

use crate::stage::{Stage, artifact, build, failure, pending, success};

#[tokio::test]
async fn one_input_and_one_output_are_overrides_at_exactly_their_keys() {
    let stage = Stage::new();
    let mut action = build();
    let more = [
        ("BuildspecOverride", "ci/build.yml"),
        ("EnvironmentVariables", r#"[{"name":"A","value":"1"},{"name":"B","value":"/b","type":"PARAMETER_STORE"}]"#),
    ];
    action.configuration.extend(more.map(|(k, v)| (k.to_owned(), v.to_owned())));
    action.encryption_key = Some("alias/ferry".to_owned());
    let progress = pending(stage.start(&action).await);
    assert_eq!(progress.external_id.as_deref(), Some("ferry-build:build-1"));
    assert_eq!(
        progress.external_url.as_deref(),
        Some("https://console.aws.amazon.com/codebuild/home?region=eu-west-1#/builds/ferry-build:build-1/view/new")
    );
    assert_eq!(progress.log_stream_arn, None, "there is no stream yet");
    let world = stage.aws.world();
    assert_eq!(
        world.codebuild.started,
        [json!({
            "projectName": "ferry-build",
            "idempotencyToken": "22222222-2222-4222-8222-222222222222",
            "sourceTypeOverride": "S3",
            "sourceLocationOverride": "artifacts/ferry/app_src/Qm4TzX1.zip",
            "secondarySourcesOverride": [],
            "artifactsOverride": {
                "type": "S3", "location": "artifacts", "path": "ferry/bundle", "namespaceType": "NONE",
                "name": "a1B2c3D", "packaging": "ZIP", "overrideArtifactName": false, "encryptionDisabled": false
            },
            "secondaryArtifactsOverride": [],
            "environmentVariablesOverride": [
                {"name": "A", "value": "1", "type": "PLAINTEXT"},
                {"name": "B", "value": "/b", "type": "PARAMETER_STORE"}
            ],
            "buildspecOverride": "ci/build.yml",
            "encryptionKeyOverride": "alias/ferry"
        })]
    );
    assert_eq!(world.codebuild.initiators["ferry-build:build-1"], "codepipeline@ferry");
}

#[tokio::test]
async fn several_inputs_and_outputs_go_by_their_names() {
    let stage = Stage::new();
    let mut action = build();
    action.input_artifacts.push(artifact("tools", "ferry/tools/Zz9"));
    action.output_artifacts.push(artifact("reports", "ferry/reports/Rr8"));
    let (code, message) = failure(stage.start(&action).await);
    assert_eq!(code, "ConfigurationError");
    assert_eq!(
        message,
        "Action Act has several input artifacts. Set PrimarySource to the one that holds the buildspec."
    );
    action.configuration.insert("PrimarySource".to_owned(), "gone".to_owned());
    assert_eq!(
        failure(stage.start(&action).await).1,
        "PrimarySource of action Act is 'gone', which is not one of its input artifacts."
    );
    action.configuration.insert("PrimarySource".to_owned(), "tools".to_owned());
    pending(stage.start(&action).await);
    let world = stage.aws.world();
    let started = &world.codebuild.started[0];
    assert_eq!(started["sourceLocationOverride"], "artifacts/ferry/tools/Zz9");
    assert_eq!(
        started["secondarySourcesOverride"],
        json!([{"type": "S3", "location": "artifacts/ferry/app_src/Qm4TzX1.zip", "sourceIdentifier": "app_src"}])
    );
    assert_eq!(started["artifactsOverride"], json!({"type": "NO_ARTIFACTS"}));
    let secondary = started["secondaryArtifactsOverride"].as_array().unwrap();
    let names: Vec<_> =
        secondary.iter().map(|a| (a["artifactIdentifier"].as_str().unwrap(), a["name"].as_str().unwrap())).collect();
    assert_eq!(names, [("bundle", "a1B2c3D"), ("reports", "Rr8")]);
}

#[tokio::test]
async fn no_output_means_no_artifacts() {
    let stage = Stage::new();
    let mut action = build();
    action.action_type.category = Category::Test;
    action.output_artifacts.clear();
    pending(stage.start(&action).await);
    assert_eq!(stage.aws.world().codebuild.started[0]["artifactsOverride"], json!({"type": "NO_ARTIFACTS"}));
}

#[tokio::test]
async fn a_good_build_hands_on_its_variables_and_its_log() {
    let stage = Stage::new();
    let progress = pending(stage.start(&build()).await);
    let logs = "arn:aws:logs:eu-west-1:111122223333:log-group:/aws/codebuild/ferry-build:log-stream:build-1";
    for value in stage.aws.world().codebuild.builds.values_mut() {
        value["logs"] = json!({"cloudWatchLogsArn": logs});
    }
    let progress = pending(stage.poll(&build(), &progress).await);
    assert_eq!(progress.log_stream_arn.as_deref(), Some(logs));
    let exported = json!({"exportedEnvironmentVariables": [{"name": "TAG", "value": "v7"}, {"name": "EMPTY"}]});
    stage.aws.world().codebuild.finish("SUCCEEDED", &exported);
    let (last, variables, revisions) = success(stage.poll(&build(), &progress).await);
    assert_eq!(last, progress);
    assert_eq!(
        variables.into_iter().collect::<Vec<_>>(),
        [("EMPTY".to_owned(), String::new()), ("TAG".to_owned(), "v7".to_owned())]
    );
    assert!(revisions.is_empty());
}

#[tokio::test]
async fn a_failed_build_names_its_first_failed_phase() {
    let phases = json!({"phases": [
        {"phaseType": "SUBMITTED", "phaseStatus": "SUCCEEDED"},
        {"phaseType": "BUILD", "phaseStatus": "FAILED", "contexts": [{"statusCode": "COMMAND_EXECUTION_ERROR",
            "message": "Error while executing command: exit 1. Reason: exit status 1"}]},
        {"phaseType": "POST_BUILD", "phaseStatus": "FAILED", "contexts": [{"statusCode": "X", "message": "later"}]},
        {"phaseType": "COMPLETED"}
    ]});
    for (state, more, text) in [
        (
            "FAILED",
            phases,
            "Build terminated with state: FAILED. Phase: BUILD, Code: COMMAND_EXECUTION_ERROR, Message: Error while \
             executing command: exit 1. Reason: exit status 1",
        ),
        (
            "STOPPED",
            json!({"phases": [{"phaseType": "BUILD", "phaseStatus": "STOPPED"}]}),
            "Build terminated with state: STOPPED",
        ),
        ("TIMED_OUT", json!({}), "Build terminated with state: TIMED_OUT"),
        ("FAULT", json!({}), "Build terminated with state: FAULT"),
    ] {
        let stage = Stage::new();
        let progress = pending(stage.start(&build()).await);
        stage.aws.world().codebuild.finish(state, &more);
        assert_eq!(failure(stage.poll(&build(), &progress).await), ("JobFailed".to_owned(), text.to_owned()));
    }
}

#[tokio::test]
async fn start_errors_read_as_on_aws() {
    let stage = Stage::new();
    stage.aws.world().codebuild.projects.clear();
    assert_eq!(
        failure(stage.start(&build()).await),
        (
            "JobFailed".to_owned(),
            "Error calling startBuild: Project cannot be found: \
             arn:aws:codebuild:eu-west-1:111122223333:project/ferry-build (Service: AWSCodeBuild; Status Code: 400; Error \
             Code: ResourceNotFoundException; Request ID: R-1)"
                .to_owned()
        )
    );
}

#[tokio::test]
async fn stop_stops_the_build_and_forgives_one_that_is_gone() {
    let stage = Stage::new();
    let progress = pending(stage.start(&build()).await);
    assert_eq!(stage.stop(&build(), &progress).await, Ok(()));
    assert_eq!(stage.aws.world().codebuild.stopped, ["ferry-build:build-1"]);
    stage.aws.world().codebuild.builds.clear();
    assert_eq!(stage.stop(&build(), &progress).await, Ok(()));
    assert_eq!(
        failure(stage.poll(&build(), &progress).await),
        ("JobFailed".to_owned(), "Build ferry-build:build-1 does not exist".to_owned())
    );
    stage.aws.world().denied.insert("codebuild:StopBuild".to_owned());
    let refused = stage.stop(&build(), &progress).await.unwrap_err();
    assert!(refused.starts_with("Error calling stopBuild: User: "), "{refused}");
}

#[tokio::test]
async fn polls_are_quick_where_the_service_is_ours() {
    let interval = |kind: RealmKind, polls: u32| {
        let stage = Stage::over(&Stage::new().aws, kind);
        stage.provider(&build()).poll_interval(&stage.call(), &build(), &Progress::default(), polls).as_millis()
    };
    assert_eq!([0, 1, 2, 20].map(|n| interval(RealmKind::Embedded, n)), [20, 30, 45, 1000]);
    assert_eq!([0, 1, 20].map(|n| interval(RealmKind::Aws, n)), [2000, 3000, 15000]);
}
