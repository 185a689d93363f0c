//! Commands: the project, the build that is asked for, what comes back. The embedded CodeBuild's side of it is tested there.

use serde_json::{Value, json};
use towpath_model::action::ActionInvocation;
use towpath_model::catalogue::Category;
use towpath_model::declaration::EnvironmentVariable;
use towpath_providers::RealmKind;

use crate::stage::{ACTION_ROLE, PIPELINE_ROLE, Stage, artifact, commands, failure, pending, success};

const PROJECT: &str = "codepipeline-commands-ferry-";

fn compute() -> ActionInvocation {
    commands(Category::Compute)
}

fn with(configuration: &[(&str, &str)]) -> ActionInvocation {
    let configuration = configuration.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    ActionInvocation { configuration, ..compute() }
}

fn started(stage: &Stage) -> Value {
    stage.aws.world().codebuild.started.last().unwrap().clone()
}

fn buildspec(stage: &Stage) -> Value {
    serde_json::from_str(started(stage)["buildspecOverride"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_project_is_made_once_and_everything_else_is_an_override() {
    let stage = Stage::new();
    let mut action = compute();
    action.role_arn = Some(ACTION_ROLE.to_owned());
    action.input_artifacts.push(artifact("tools", "ferry/tools/Zz9"));
    action.output_artifacts.push(artifact("dist", "ferry/dist/a1B2c3D"));
    action.output_files = vec!["dist/**/*".to_owned(), "VERSION".to_owned()];
    action.output_variables = vec!["VERSION_ID".to_owned(), "AWS_DEFAULT_REGION".to_owned()];
    pending(stage.start(&action).await);
    let build = started(&stage);
    let project = build["projectName"].as_str().unwrap().to_owned();
    assert!(project.starts_with(PROJECT) && project.len() == PROJECT.len() + 8, "{project}");
    let mut shown = build.clone();
    let spec = shown["buildspecOverride"].take();
    assert_eq!(
        shown,
        json!({
            "projectName": project,
            "idempotencyToken": "22222222-2222-4222-8222-222222222222",
            "sourceTypeOverride": "S3",
            "sourceLocationOverride": "artifacts/ferry/app_src/Qm4TzX1.zip",
            "secondarySourcesOverride":
                [{"type": "S3", "location": "artifacts/ferry/tools/Zz9", "sourceIdentifier": "tools"}],
            "artifactsOverride": {
                "type": "S3", "location": "artifacts", "path": "ferry/dist", "namespaceType": "NONE",
                "name": "a1B2c3D", "packaging": "ZIP", "overrideArtifactName": false, "encryptionDisabled": false
            },
            "secondaryArtifactsOverride": [],
            "environmentVariablesOverride":
                [{"name": "TOKEN", "value": crate::conformance::CONFIGURED_SECRET, "type": "PLAINTEXT"}],
            "environmentTypeOverride": "LINUX_CONTAINER",
            "imageOverride": "aws/codebuild/amazonlinux2-x86_64-standard:5.0",
            "computeTypeOverride": "BUILD_GENERAL1_SMALL",
            "imagePullCredentialsTypeOverride": "CODEBUILD",
            "privilegedModeOverride": false,
            "logsConfigOverride":
                {"cloudWatchLogs": {"status": "ENABLED", "groupName": "/aws/codepipeline/ferry"}},
            "serviceRoleOverride": ACTION_ROLE,
            "timeoutInMinutesOverride": 55,
            "buildspecOverride": null
        })
    );
    let spec: Value = serde_json::from_str(spec.as_str().unwrap()).unwrap();
    assert_eq!(
        spec,
        json!({
            "version": "0.2",
            "env": {"exported-variables": ["VERSION_ID", "CODEPIPELINE_OUTPUT_AWS_DEFAULT_REGION"]},
            "phases": {"build": {"commands": [
                "make dist",
                "export VERSION_ID=$(cat VERSION)",
                "[ -z \"${AWS_DEFAULT_REGION+x}\" ] || export CODEPIPELINE_OUTPUT_AWS_DEFAULT_REGION=\"$AWS_DEFAULT_REGION\""
            ]}},
            "artifacts": {"files": ["dist/**/*", "VERSION"]}
        })
    );
    {
        let world = stage.aws.world();
        assert_eq!(world.codebuild.created.len(), 1);
        let made = &world.codebuild.created[0];
        assert_eq!((&made["name"], &made["serviceRole"]), (&json!(project), &json!(PIPELINE_ROLE)));
        assert_eq!(made["tags"], json!([{"key": "codepipeline:pipeline-name", "value": "ferry"}]));
        // CodePipeline itself asks, once the roles were assumed.
        let asked: Vec<_> =
            world.requests.iter().filter(|r| r.service == "codebuild").map(|r| r.access_key.as_str()).collect();
        assert_eq!(asked, ["AKIASERVICE"; 3]);
        assert_eq!(world.sessions.len(), 2);
    }
    let next = ActionInvocation { action_execution_id: "33333333-3333-4333-8333-333333333333".into(), ..action };
    pending(stage.start(&next).await);
    assert_eq!(stage.aws.world().codebuild.created.len(), 1, "the second run finds it");
    assert_eq!(started(&stage)["projectName"], json!(project));
}

#[tokio::test]
async fn projects_differ_by_pipeline_role_and_network() {
    let project = async |change: fn(&mut ActionInvocation)| {
        let stage = Stage::new();
        let mut action = compute();
        change(&mut action);
        pending(stage.start(&action).await);
        let name = started(&stage)["projectName"].as_str().unwrap().to_owned();
        let made = stage.aws.world().codebuild.created[0].clone();
        (name, made)
    };
    let (plain, _) = project(|_| ()).await;
    assert_eq!(project(|action| action.stage_name = "Other".into()).await.0, plain);
    assert_ne!(project(|action| action.pipeline_role_arn = ACTION_ROLE.to_owned()).await.0, plain);
    let (odd, _) = project(|action| action.pipeline_name = "ferry@home.x".into()).await;
    assert!(odd.starts_with("codepipeline-commands-ferry-home-x-"), "{odd}");
    let (inside, made) = project(|action| {
        let settings = [("VpcId", "vpc-1"), ("Subnets", "subnet-1, subnet-2"), ("SecurityGroupIds", "sg-1")];
        action.configuration = settings.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    })
    .await;
    assert_ne!(inside, plain);
    let vpc = json!({"vpcId": "vpc-1", "subnets": ["subnet-1", "subnet-2"], "securityGroupIds": ["sg-1"]});
    assert_eq!(made["vpcConfig"], vpc);
    let stage = Stage::new();
    let action = ActionInvocation { pipeline_name: "ferry@home".into(), ..compute() };
    pending(stage.start(&action).await);
    assert_eq!(started(&stage)["logsConfigOverride"]["cloudWatchLogs"]["groupName"], "/aws/codepipeline/ferry-home");
}

#[tokio::test]
async fn output_variables_come_back_under_their_own_names() {
    let exported = json!({"exportedEnvironmentVariables": [
        {"name": "VERSION_ID", "value": "1.4"},
        {"name": "CODEPIPELINE_OUTPUT_AWS_DEFAULT_REGION", "value": "eu-west-1"},
        {"name": "OTHER", "value": "x"}
    ]});
    let wanted = ["VERSION_ID", "AWS_DEFAULT_REGION", "NEVER_SET"].map(str::to_owned).to_vec();
    for category in [Category::Compute, Category::Rule] {
        let stage = Stage::new();
        let action = ActionInvocation { output_variables: wanted.clone(), ..commands(category) };
        let progress = pending(stage.start(&action).await);
        assert!(progress.external_id.as_deref().unwrap().starts_with(PROJECT));
        stage.aws.world().codebuild.finish("SUCCEEDED", &exported);
        let (_, variables, _) = success(stage.poll(&action, &progress).await);
        let variables: Vec<_> = variables.into_iter().collect();
        let expected =
            [("AWS_DEFAULT_REGION".to_owned(), "eu-west-1".to_owned()), ("VERSION_ID".to_owned(), "1.4".to_owned())];
        assert_eq!(variables, if category == Category::Rule { vec![] } else { expected.to_vec() });
    }
}

#[tokio::test]
async fn a_command_that_fails_is_named() {
    let stage = Stage::new();
    let progress = pending(stage.start(&compute()).await);
    let phases = json!({"phases": [{"phaseType": "BUILD", "phaseStatus": "FAILED", "contexts": [{
        "statusCode": "COMMAND_EXECUTION_ERROR",
        "message": "Error while executing command: make dist. Reason: exit status 2"}]}]});
    stage.aws.world().codebuild.finish("FAILED", &phases);
    assert_eq!(
        failure(stage.poll(&compute(), &progress).await),
        (
            "JobFailed".to_owned(),
            "Build terminated with state: FAILED. Phase: BUILD, Code: COMMAND_EXECUTION_ERROR, Message: Error while executing \
             command: make dist. Reason: exit status 2"
                .to_owned()
        )
    );
}

#[tokio::test]
async fn the_build_has_as_long_as_the_rule() {
    let stage = Stage::new();
    let mut action = commands(Category::Rule);
    for (minutes, told) in [(5, 5), (20, 20), (1, 5), (600, 55)] {
        action.action_execution_id = format!("run-{minutes}").as_str().into();
        action.deadline = action.started.plus_minutes(minutes);
        pending(stage.start(&action).await);
        assert_eq!(started(&stage)["timeoutInMinutesOverride"], json!(told));
    }
    assert_eq!(buildspec(&stage).get("artifacts"), None);
}

#[tokio::test]
async fn windows_and_secrets_are_for_codebuilds_that_have_them() {
    let windows = [("EnvironmentType", "WINDOWS_SERVER_2022_CONTAINER"), ("ComputeType", "BUILD_GENERAL1_LARGE")];
    let secret = EnvironmentVariable {
        name: "KEY".to_owned(),
        value: "ferry:key".to_owned(),
        kind: Some("SECRETS_MANAGER".to_owned()),
    };
    let there = Stage::over(&Stage::new().aws, RealmKind::Aws);
    let action = ActionInvocation { environment_variables: vec![secret], ..with(&windows) };
    pending(there.start(&action).await);
    let build = started(&there);
    assert_eq!(build["environmentTypeOverride"], "WINDOWS_SERVER_2022_CONTAINER");
    assert_eq!(build["imageOverride"], "aws/codebuild/windows-base:2022-1.0");
    assert_eq!(build["environmentVariablesOverride"][0]["type"], "SECRETS_MANAGER");
    assert_eq!(
        failure(there.start(&with(&windows[..1])).await).1,
        "EnvironmentType WINDOWS_SERVER_2022_CONTAINER does not have BUILD_GENERAL1_SMALL. Set ComputeType to \
         BUILD_GENERAL1_MEDIUM or BUILD_GENERAL1_LARGE."
    );
    let here = Stage::new();
    assert!(failure(here.start(&with(&windows)).await).1.contains("Towpath's own builds run on Linux"));
    let action = ActionInvocation { configuration: [].into(), ..action };
    let (code, message) = failure(here.start(&action).await);
    assert_eq!(code, "ConfigurationError");
    assert!(message.starts_with("The environment variable KEY has the type SECRETS_MANAGER"), "{message}");
}

#[tokio::test]
async fn what_cannot_be_run_is_the_users() {
    let stage = Stage::new();
    let variables = |name: &str| ActionInvocation { output_variables: vec![name.to_owned()], ..compute() };
    let odd = EnvironmentVariable {
        name: "A".to_owned(),
        value: "hunter2".to_owned(),
        kind: Some("PARAMETER_STORE".to_owned()),
    };
    for (action, text) in [
        (ActionInvocation { commands: vec![], ..compute() }, "Act has no commands."),
        (ActionInvocation { input_artifacts: vec![], ..compute() }, "Act has no input artifact."),
        (
            ActionInvocation { output_artifacts: vec![artifact("dist", "k")], ..compute() },
            "The output artifact dist of Act has no files.",
        ),
        (variables("A-B"), "The output variable 'A-B' is no name of an environment variable"),
        (variables("AWS_SESSION_TOKEN"), "The output variable AWS_SESSION_TOKEN is a credential of the build"),
        (
            ActionInvocation { environment_variables: vec![odd], ..compute() },
            "The environment variable A has the type 'PARAMETER_STORE'; it must be PLAINTEXT or SECRETS_MANAGER.",
        ),
        (
            with(&[("ComputeType", "HUGE")]),
            "The value of ComputeType is 'HUGE'; it must be one of BUILD_GENERAL1_SMALL, ",
        ),
        (with(&[("EnvironmentType", "MAC")]), "The value of EnvironmentType is 'MAC'; it must be LINUX_CONTAINER or "),
        (with(&[("VpcId", "vpc-1")]), "VpcId needs both Subnets and SecurityGroupIds."),
        (with(&[("Subnets", "subnet-1")]), "VpcId must be one id when Subnets or SecurityGroupIds are given."),
        (with(&[("VpcId", "mine")]), "The value of VpcId is not valid: 'mine' does not begin with vpc-."),
    ] {
        let (code, message) = failure(stage.start(&action).await);
        assert!(code == "ConfigurationError" && message.starts_with(text), "{message}");
    }
    assert!(stage.aws.world().requests.is_empty(), "nothing was asked");
}

#[tokio::test]
async fn a_role_that_cannot_be_assumed_fails_before_anything_is_built() {
    let stage = Stage::new();
    stage.aws.world().denied.insert("sts:AssumeRole".to_owned());
    let (code, message) = failure(stage.start(&compute()).await);
    assert_eq!(code, "PermissionError");
    assert!(message.starts_with("CodePipeline is not authorized to perform AssumeRole on role "), "{message}");
    assert!(stage.aws.world().codebuild.created.is_empty());
}
