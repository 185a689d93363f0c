//! Permissions are enforced by whoever owns the resource: a role that lacks one fails the action in AWS's words.

use aws_sdk_codepipeline::error::ProvideErrorMetadata as _;
use aws_sdk_codepipeline::types::ActionCategory;

use crate::support::{
    ACCOUNT, BUILD_ROLE, PIPELINE_ROLE, REGION, World, codebuild, pipeline, rehearsal, role_arn, s3_deploy, s3_source,
    stage, zip,
};

const SPEC: &str = "{version: 0.2, phases: {build: {commands: [date > made]}}, artifacts: {files: [made]}}";

async fn world() -> (World, String) {
    let world = World::new().await;
    world.bucket("sources", true).await;
    world.bucket("live", false).await;
    world.put("sources", "app.zip", zip(&[("f", b"x")])).await;
    world.project("compile", SPEC).await;
    let id = world
        .create(pipeline(
            "roles",
            vec![
                stage("Source", vec![s3_source("Fetch", "sources", "app.zip").output("App")]),
                stage("Build", vec![codebuild("Compile", "compile").input("App").output("Built")]),
                stage("Deploy", vec![s3_deploy("Publish", "live").input("Built").set("Extract", "true")]),
            ],
        ))
        .await;
    world.succeeds("roles", &id).await;
    (world, id)
}

#[tokio::test]
async fn every_missing_permission_is_named() {
    let (world, _) = world().await;
    let session = format!("arn:aws:sts::{ACCOUNT}:assumed-role/{PIPELINE_ROLE}/codepipeline@roles");

    world.allow(PIPELINE_ROLE, &["codebuild:*", "s3:PutObject"]).await;
    let id = world.start_execution("roles").await;
    let (code, message) = world.fails("roles", &id, "Fetch").await;
    assert_eq!(code, "PermissionError");
    assert!(
        message.starts_with(
            "The service role or action role doesn’t have the permissions required to access the Amazon S3 bucket named \
             sources. Update the IAM role permissions, and then try again. Error: Amazon S3:AccessDenied:"
        ),
        "{message}"
    );
    assert!(message.contains(&session) && message.contains("s3:GetBucketVersioning"), "{message}");

    world.allow(PIPELINE_ROLE, &["s3:*"]).await;
    let id = world.start_execution("roles").await;
    let (code, message) = world.fails("roles", &id, "Compile").await;
    assert_eq!(code, "JobFailed");
    let refused = format!(
        "Error calling startBuild: User: {session} is not authorized to perform: codebuild:StartBuild on resource: \
         arn:aws:codebuild:{REGION}:{ACCOUNT}:project/compile because no identity-based policy allows the \
         codebuild:StartBuild action (Service: AWSCodeBuild; Status Code: 400; Error Code: AccessDeniedException; \
         Request ID: "
    );
    assert!(message.starts_with(&refused), "{message}");

    world.allow(PIPELINE_ROLE, &["s3:Get*", "s3:PutObjectAcl", "codebuild:*"]).await;
    let id = world.start_execution("roles").await;
    let (code, message) = world.fails("roles", &id, "Fetch").await;
    assert_eq!(code, "PermissionError");
    assert!(message.contains("s3:PutObject"), "{message}");

    // The build's own role lacks what its artifact needs.
    world.allow(PIPELINE_ROLE, &["s3:*", "codebuild:*"]).await;
    world.allow(BUILD_ROLE, &["s3:Get*", "logs:*"]).await;
    let id = world.start_execution("roles").await;
    let (code, message) = world.fails("roles", &id, "Compile").await;
    assert_eq!(code, "JobFailed");
    let begin = "Build terminated with state: FAILED. Phase: UPLOAD_ARTIFACTS, Code: CLIENT_ERROR, Message: ";
    assert!(message.starts_with(begin) && message.contains("s3:PutObject"), "{message}");

    world.allow(BUILD_ROLE, &["s3:PutObject", "logs:*"]).await;
    let id = world.start_execution("roles").await;
    let (_, message) = world.fails("roles", &id, "Compile").await;
    let begin = "Build terminated with state: FAILED. Phase: DOWNLOAD_SOURCE, Code: CLIENT_ERROR, Message: error while \
                 downloading key roles/App/";
    assert!(message.starts_with(begin) && message.contains("s3:GetObject"), "{message}");

    world.allow(BUILD_ROLE, &["s3:*"]).await;
    let id = world.start_execution("roles").await;
    let (_, message) = world.fails("roles", &id, "Compile").await;
    assert!(message.contains("Code: ACCESS_DENIED, Message: Service role"), "{message}");
    assert!(message.contains("does not allow AWS CodeBuild to create Amazon CloudWatch Logs log streams"), "{message}");
}

#[tokio::test]
async fn a_deployment_needs_more_than_the_rest() {
    let (world, _) = world().await;
    world.role("deployer", "codepipeline.amazonaws.com", &["s3:Get*"]).await;
    let trust = serde_json::json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": role_arn(PIPELINE_ROLE)}, "Action": "sts:AssumeRole"}]});
    let publish = || s3_deploy("Publish", "live").input("Built").set("Extract", "true").role("deployer");
    let declared = || {
        pipeline(
            "roles",
            vec![
                stage("Source", vec![s3_source("Fetch", "sources", "app.zip").output("App")]),
                stage("Build", vec![codebuild("Compile", "compile").input("App").output("Built")]),
                stage("Deploy", vec![publish()]),
            ],
        )
    };
    // The action's role must trust the pipeline's, which must be allowed to assume it.
    let refused = world.pipelines.update_pipeline().pipeline(declared()).send().await.unwrap_err().into_service_error();
    assert!(refused.is_invalid_structure_exception(), "{refused:?}");
    let text =
        format!("{} is not authorized to perform AssumeRole on role {}", role_arn(PIPELINE_ROLE), role_arn("deployer"));
    assert_eq!(refused.message(), Some(text.as_str()));
    world
        .iam
        .update_assume_role_policy()
        .role_name("deployer")
        .policy_document(trust.to_string())
        .send()
        .await
        .unwrap();
    world.allow(PIPELINE_ROLE, &["s3:*", "codebuild:*", "sts:AssumeRole"]).await;
    world.pipelines.update_pipeline().pipeline(declared()).send().await.unwrap();

    let id = world.start_execution("roles").await;
    let (code, message) = world.fails("roles", &id, "Publish").await;
    assert_eq!(code, "PermissionError");
    let begin = "You do not have sufficient permissions to call s3.putObject for the deployment bucket, live. Verify \
                 that the policy on the resource allows you to perform this task.";
    assert!(message.starts_with(begin), "{message}");
    let session = format!("arn:aws:sts::{ACCOUNT}:assumed-role/deployer/codepipeline@roles");
    assert!(message.contains(&session), "{message}");

    world.allow("deployer", &["s3:PutObject"]).await;
    let id = world.start_execution("roles").await;
    let (code, message) = world.fails("roles", &id, "Publish").await;
    assert_eq!(code, "PermissionError");
    assert!(message.starts_with("Unable to access the artifact with Amazon S3 object key 'roles/Built/"), "{message}");
    assert!(message.contains("The provided role does not have sufficient permissions."), "{message}");
}

#[tokio::test]
async fn a_pipelines_role_must_be_there_and_trust_codepipeline() {
    let world = World::new().await;
    let create = |role: &str| {
        let mut declared = pipeline(
            "strange",
            vec![
                stage("Source", vec![rehearsal("Fetch", ActionCategory::Source).output("App")]),
                stage("Deploy", vec![rehearsal("Ship", ActionCategory::Deploy).input("App")]),
            ],
        );
        declared.role_arn = role_arn(role);
        world.pipelines.create_pipeline().pipeline(declared).send()
    };
    for role in ["nobody", BUILD_ROLE] {
        let error = create(role).await.unwrap_err().into_service_error();
        assert!(error.is_invalid_structure_exception(), "{error:?}");
        let text = format!("CodePipeline is not authorized to perform AssumeRole on role {}", role_arn(role));
        assert_eq!(error.message(), Some(text.as_str()));
    }
}

#[tokio::test]
async fn a_build_is_its_role_and_may_become_another() {
    let (world, _) = world().await;
    let who = world.sts.get_caller_identity().send().await.unwrap();
    assert_eq!((who.account(), who.arn()), (Some(ACCOUNT), Some(&*format!("arn:aws:iam::{ACCOUNT}:root"))));
    let trust = serde_json::json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": role_arn(BUILD_ROLE)}, "Action": "sts:AssumeRole"}]});
    world.iam.create_role().role_name("reader").assume_role_policy_document(trust.to_string()).send().await.unwrap();
    world.allow("reader", &["codepipeline:Get*", "codepipeline:List*"]).await;
    let by_root = world.sts.assume_role().role_arn(role_arn("reader")).role_session_name("me").send().await;
    let by_root = by_root.unwrap_err().into_service_error();
    assert_eq!(by_root.message(), Some("Roles may not be assumed by root accounts."));

    let keys = world.mark("keys");
    let spec = format!(
        "version: 0.2\nphases:\n  build:\n    commands:\n      - echo \"$AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY \
         $AWS_SESSION_TOKEN\" > {}\n      - echo \"secret is $AWS_SECRET_ACCESS_KEY\"\n",
        keys.display()
    );
    world.project("tell", &spec).await;
    let id = world
        .create(pipeline(
            "watched",
            vec![
                stage("Source", vec![s3_source("Fetch", "sources", "app.zip").output("App")]),
                stage("Build", vec![codebuild("Tell", "tell").input("App")]),
            ],
        ))
        .await;
    world.succeeds("watched", &id).await;
    let build = world.build_of("watched", &id, "Tell").await;
    let told = std::fs::read_to_string(keys).unwrap();
    let told: Vec<&str> = told.split_whitespace().collect();
    let [key, secret, token] = told.as_slice() else { panic!("three words: {told:?}") };
    let log = world.log(&build).await;
    assert!(log.contains(&"secret is ***".to_owned()) && !log.iter().any(|l| l.contains(secret)), "{log:#?}");

    let (_, sts) = world.as_somebody(key, secret, token);
    let uuid = build.id().unwrap().split_once(':').unwrap().1;
    let itself = sts.get_caller_identity().send().await.unwrap().arn.unwrap();
    assert_eq!(itself, format!("arn:aws:sts::{ACCOUNT}:assumed-role/{BUILD_ROLE}/AWSCodeBuild-{uuid}"));
    let assume = || sts.assume_role().role_arn(role_arn("reader")).role_session_name("me").send();
    // A trust policy that names the role's own ARN is enough within one account.
    let session = assume().await.unwrap();
    assert_eq!(session.assumed_role_user().unwrap().arn(), format!("arn:aws:sts::{ACCOUNT}:assumed-role/reader/me"));
    let given = session.credentials().unwrap();
    let (reader, _) = world.as_somebody(given.access_key_id(), given.secret_access_key(), given.session_token());
    reader.get_pipeline().name("watched").send().await.unwrap();
    let refused = reader.start_pipeline_execution().name("watched").send().await.unwrap_err().into_service_error();
    assert_eq!(refused.code(), Some("AccessDeniedException"));
    let text = format!(
        "User: arn:aws:sts::{ACCOUNT}:assumed-role/reader/me is not authorized to perform: \
         codepipeline:StartPipelineExecution on resource: arn:aws:codepipeline:{REGION}:{ACCOUNT}:watched because no \
         identity-based policy allows the codepipeline:StartPipelineExecution action"
    );
    assert_eq!(refused.message(), Some(text.as_str()));
}
