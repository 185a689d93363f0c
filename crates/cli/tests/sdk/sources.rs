//! The S3 source: which object, which version, and what it says when there is none.

use aws_sdk_codepipeline::error::ProvideErrorMetadata as _;
use aws_sdk_codepipeline::types::{PipelineDeclaration, SourceRevisionOverride, SourceRevisionType};
use aws_sdk_s3::primitives::ByteStream;

use crate::support::{Action, World, pipeline, s3_deploy, s3_source, stage};

fn declared(source: Action) -> PipelineDeclaration {
    let publish = s3_deploy("Publish", "live").input("App").set("Extract", "false").set("ObjectKey", "app");
    pipeline(
        "sourced",
        vec![stage("Source", vec![source.output("App").namespace("Src")]), stage("Deploy", vec![publish])],
    )
}

fn wants(action: &str, kind: SourceRevisionType, value: &str) -> SourceRevisionOverride {
    let wanted = SourceRevisionOverride::builder().action_name(action).revision_type(kind).revision_value(value);
    wanted.build().unwrap()
}

#[tokio::test]
async fn overrides_choose_version_and_key() {
    let world = World::new().await;
    world.bucket("sources", true).await;
    world.bucket("live", false).await;
    let first = world.put("sources", "app", b"first".to_vec()).await;
    let second = world.put("sources", "app", b"second".to_vec()).await;
    let other = world.put("sources", "elsewhere/other", b"other".to_vec()).await;
    let id = world.create(declared(s3_source("Fetch", "sources", "app"))).await;
    world.succeeds("sourced", &id).await;
    assert_eq!(world.text("live", "app").await, "second");
    let revisions = world.execution("sourced", &id).await;
    assert_eq!(revisions.artifact_revisions()[0].revision_id(), Some(second.as_str()));

    let start = |overrides: Vec<SourceRevisionOverride>| {
        world.pipelines.start_pipeline_execution().name("sourced").set_source_revisions(Some(overrides)).send()
    };
    let id = start(vec![wants("Fetch", SourceRevisionType::S3ObjectVersionId, &first)]).await.unwrap();
    let id = id.pipeline_execution_id().unwrap();
    world.succeeds("sourced", id).await;
    assert_eq!(world.text("live", "app").await, "first");
    let listed = world.pipelines.list_pipeline_executions().pipeline_name("sourced").send().await.unwrap();
    let [newest, ..] = listed.pipeline_execution_summaries() else { panic!("{listed:?}") };
    let [revision] = newest.source_revisions() else { panic!("{newest:?}") };
    assert_eq!((revision.action_name(), revision.revision_id()), ("Fetch", Some(first.as_str())));

    // Another key only where the action allows it.
    let other_key = || wants("Fetch", SourceRevisionType::S3ObjectKey, "elsewhere/other");
    let refused = start(vec![other_key()]).await.unwrap_err().into_service_error();
    assert_eq!(refused.code(), Some("ValidationException"));
    assert!(refused.message().unwrap().contains("AllowOverrideForS3ObjectKey"), "{refused:?}");

    let allowed = declared(s3_source("Fetch", "sources", "app").set("AllowOverrideForS3ObjectKey", "true"));
    world.pipelines.update_pipeline().pipeline(allowed).send().await.unwrap();
    let both = vec![other_key(), wants("Fetch", SourceRevisionType::S3ObjectVersionId, &other)];
    let id = start(both).await.unwrap().pipeline_execution_id().unwrap().to_owned();
    world.succeeds("sourced", &id).await;
    assert_eq!(world.text("live", "app").await, "other");
    let fetched = world.row("sourced", &id, "Fetch").await.output.unwrap();
    let variables = fetched.output_variables().unwrap();
    assert_eq!((variables["ObjectKey"].as_str(), variables["VersionId"].as_str()), ("elsewhere/other", other.as_str()));
    assert_eq!(variables["BucketName"], "sources");

    for bad in [
        vec![wants("Nobody", SourceRevisionType::S3ObjectVersionId, &first)],
        vec![wants("Fetch", SourceRevisionType::CommitId, "abc")],
        vec![
            wants("Fetch", SourceRevisionType::S3ObjectVersionId, &first),
            wants("Fetch", SourceRevisionType::S3ObjectVersionId, &second),
        ],
    ] {
        let error = start(bad).await.unwrap_err().into_service_error();
        assert_eq!(error.code(), Some("ValidationException"), "{error:?}");
    }
}

#[tokio::test]
async fn an_object_may_bring_its_own_summary() {
    let world = World::new().await;
    world.bucket("sources", true).await;
    world.bucket("live", false).await;
    let put = world.s3.put_object().bucket("sources").key("app").body(ByteStream::from_static(b"x"));
    put.metadata("codepipeline-artifact-revision-summary", "release 7").send().await.unwrap();
    let id = world.create(declared(s3_source("Fetch", "sources", "app"))).await;
    world.succeeds("sourced", &id).await;
    let execution = world.execution("sourced", &id).await;
    assert_eq!(execution.artifact_revisions()[0].revision_summary(), Some("release 7"));
    let shown = world.action("sourced", "Source", "Fetch").await;
    assert_eq!(shown.latest_execution().unwrap().summary(), Some("release 7"));
}

#[tokio::test]
async fn an_artifact_store_that_is_not_there_is_named() {
    let world = World::new().await;
    world.bucket("sources", true).await;
    world.put("sources", "app", b"x".to_vec()).await;
    let mut storeless = declared(s3_source("Fetch", "sources", "app"));
    storeless.artifact_store.as_mut().unwrap().location = "no-such-store".to_owned();
    let id = world.create(storeless).await;
    let (code, message) = world.fails("sourced", &id, "Fetch").await;
    assert_eq!(code, "ConfigurationError");
    assert!(message.starts_with("The Amazon S3 bucket named no-such-store does not exist."), "{message}");
}

#[tokio::test]
async fn what_cannot_be_fetched_says_why() {
    let world = World::new().await;
    world.bucket("plain", false).await;
    world.bucket("sources", true).await;
    world.bucket("live", false).await;
    world.put("plain", "app", b"x".to_vec()).await;
    let first = world.create(declared(s3_source("Fetch", "plain", "app"))).await;
    let (code, message) = world.fails("sourced", &first, "Fetch").await;
    assert_eq!(code, "ConfigurationError");
    assert!(message.starts_with("Versioning is not enabled on the Amazon S3 bucket named plain."), "{message}");

    let cases = [
        ("sources", "app", "The object with key 'app' does not exist in the Amazon S3 bucket named sources."),
        ("nowhere", "app", "The Amazon S3 bucket named nowhere does not exist. Error: Amazon S3:NoSuchBucket:"),
    ];
    for (bucket, key, text) in cases {
        world.pipelines.update_pipeline().pipeline(declared(s3_source("Fetch", bucket, key))).send().await.unwrap();
        let id = world.start_execution("sourced").await;
        let (code, message) = world.fails("sourced", &id, "Fetch").await;
        assert_eq!(code, "ConfigurationError");
        assert!(message.starts_with(text), "{message}");
        let state = world.action("sourced", "Source", "Fetch").await.latest_execution.unwrap();
        assert_eq!(state.error_details().unwrap().message(), Some(message.as_str()));
    }

    // A version that never was, and one of another object.
    let version = world.put("sources", "other", b"x".to_vec()).await;
    world.put("sources", "app", b"x".to_vec()).await;
    world.pipelines.update_pipeline().pipeline(declared(s3_source("Fetch", "sources", "app"))).send().await.unwrap();
    for wrong in ["never-was", version.as_str()] {
        let start = world.pipelines.start_pipeline_execution().name("sourced");
        let start = start.source_revisions(wants("Fetch", SourceRevisionType::S3ObjectVersionId, wrong));
        let id = start.send().await.unwrap().pipeline_execution_id().unwrap().to_owned();
        let (code, message) = world.fails("sourced", &id, "Fetch").await;
        assert_eq!(code, "ConfigurationError");
        assert!(message.contains(&format!("version ID '{wrong}'")), "{message}");
    }
}
