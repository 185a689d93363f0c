//! Builds that a pipeline's action starts, in the way the CodeBuild provider does.

use aws_sdk_codebuild::types::{
    ArtifactNamespace, ArtifactPackaging, ArtifactsType, Build, ProjectArtifacts, ProjectSource, SourceType,
};

use crate::world::{World, no_artifacts, phases, problem, s3_source, status, unzip};

fn output(key: &str, identifier: Option<&str>) -> ProjectArtifacts {
    let (path, name) = key.rsplit_once('/').expect("a folder");
    ProjectArtifacts::builder()
        .r#type(ArtifactsType::S3)
        .location("bkt")
        .path(path)
        .namespace_type(ArtifactNamespace::None)
        .name(name)
        .packaging(ArtifactPackaging::Zip)
        .override_artifact_name(false)
        .set_artifact_identifier(identifier.map(str::to_owned))
        .build()
        .expect("artifacts")
}

async fn project(world: &World) -> aws_sdk_codebuild::Client {
    let source = ProjectSource::builder().r#type(SourceType::Codepipeline).build().expect("a source");
    let artifacts = ProjectArtifacts::builder().r#type(ArtifactsType::Codepipeline).build().expect("artifacts");
    world.create("demo", source, artifacts).await;
    world
        .role(
            "pipe",
            r#"{"Service":"codepipeline.amazonaws.com"}"#,
            r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#,
        )
        .await;
    world.pipeline_client("pipe", "codepipeline@ferry").await
}

async fn run(
    world: &World,
    client: &aws_sdk_codebuild::Client,
    secondary: Vec<ProjectSource>,
    primary: ProjectArtifacts,
    others: Vec<ProjectArtifacts>,
) -> Build {
    let request = client
        .start_build()
        .project_name("demo")
        .source_type_override(SourceType::S3)
        .source_location_override("bkt/ferry/SourceArti/abc1234")
        .set_secondary_sources_override(Some(secondary))
        .artifacts_override(primary)
        .set_secondary_artifacts_override(Some(others));
    let started = request.send().await.expect("started").build_value.expect("a build");
    world.finished(&started).await
}

pub async fn a_pipelines_build_looks_like_codepipelines() {
    let world = World::new().await;
    let client = project(&world).await;
    let buildspec = "version: 0.2\nphases: {build: {commands: [\"echo $CODEBUILD_INITIATOR $CODEBUILD_SOURCE_VERSION $CODEBUILD_RESOLVED_SOURCE_VERSION > o.txt\"]}}\nartifacts: {files: [o.txt]}\n";
    world
        .put_zip("ferry/SourceArti/abc1234", &[("buildspec.yml", buildspec)], &[("codepipeline-revision-id", "rev-7")])
        .await;
    let build = run(&world, &client, vec![], output("ferry/BuildArtif/def5678", None), vec![]).await;
    assert_eq!(status(&build), "SUCCEEDED", "{:?}", phases(&build));
    assert_eq!(build.initiator(), Some("codepipeline/ferry"));
    let source = build.source().expect("a source");
    assert_eq!(
        (source.r#type(), source.location(), source.insecure_ssl()),
        (&SourceType::Codepipeline, None, Some(false))
    );
    assert_eq!(build.source_version(), Some("arn:aws:s3:::bkt/ferry/SourceArti/abc1234"));
    assert_eq!(build.resolved_source_version(), Some("rev-7"));
    let artifacts = build.artifacts().expect("artifacts");
    assert_eq!(artifacts.location(), Some("arn:aws:s3:::bkt/ferry/BuildArtif/def5678"));
    assert_eq!(artifacts.encryption_disabled(), Some(false));
    let (bytes, metadata) = world.object("ferry/BuildArtif/def5678").await.expect("the output");
    assert_eq!(unzip(&bytes)["o.txt"], "codepipeline/ferry arn:aws:s3:::bkt/ferry/SourceArti/abc1234 rev-7\n");
    assert_eq!(metadata.get("codepipeline-revision-id").map(String::as_str), Some("rev-7"), "the revision goes on");

    // By hand the same project cannot be started.
    let by_hand = world.client().start_build().project_name("demo").send().await;
    assert_eq!(
        crate::world::refused(by_hand),
        crate::world::pair(
            "InvalidInputException",
            "ArtifactsOverride must be set when using artifacts type CodePipelines"
        )
    );
}

pub async fn several_inputs_and_outputs() {
    let world = World::new().await;
    let client = project(&world).await;
    let buildspec = r#"
version: 0.2
phases: {build: {commands: ["cat $CODEBUILD_SRC_DIR_Second_In/two.txt > a.txt", "echo b > b.txt"]}}
artifacts:
  secondary-artifacts:
    OutA: {files: [a.txt]}
    OutB: {files: [b.txt]}
    Unused: {files: [none]}
"#;
    world.put_zip("ferry/SourceArti/abc1234", &[("buildspec.yml", buildspec)], &[]).await;
    world.put_zip("ferry/SecondIn/xyz", &[("two.txt", "two\n")], &[]).await;
    let mut second = s3_source("bkt/ferry/SecondIn/xyz");
    second.source_identifier = Some("Second-In".to_owned());
    let outputs = vec![output("ferry/OutA/1", Some("OutA")), output("ferry/OutB/2", Some("OutB"))];
    let build = run(&world, &client, vec![second], no_artifacts(), outputs).await;
    assert_eq!(status(&build), "SUCCEEDED", "{:?}", phases(&build));
    assert_eq!(build.artifacts().and_then(|artifacts| artifacts.location()), Some(""));
    let locations: Vec<_> =
        build.secondary_artifacts().iter().map(|a| (a.artifact_identifier(), a.location())).collect();
    assert_eq!(
        locations,
        [(Some("OutA"), Some("arn:aws:s3:::bkt/ferry/OutA/1")), (Some("OutB"), Some("arn:aws:s3:::bkt/ferry/OutB/2"))]
    );
    assert_eq!(unzip(&world.object("ferry/OutA/1").await.expect("an output").0)["a.txt"], "two\n");
    assert_eq!(unzip(&world.object("ferry/OutB/2").await.expect("an output").0)["b.txt"], "b\n");
    let versions: Vec<_> =
        build.secondary_source_versions().iter().map(|v| (v.source_identifier(), v.source_version())).collect();
    assert_eq!(versions, [("Second-In", "arn:aws:s3:::bkt/ferry/SecondIn/xyz")]);
}

pub async fn an_output_that_the_buildspec_does_not_make() {
    let world = World::new().await;
    let client = project(&world).await;
    let put =
        async |buildspec: &str| world.put_zip("ferry/SourceArti/abc1234", &[("buildspec.yml", buildspec)], &[]).await;
    put("version: 0.2\nphases: {build: {commands: [\"true\"]}}\n").await;
    let build = run(&world, &client, vec![], output("ferry/Out/1", None), vec![]).await;
    assert_eq!(status(&build), "SUCCEEDED", "no artifacts section is no error");
    assert!(world.object("ferry/Out/1").await.is_none());

    put("version: 0.2\nphases: {build: {commands: [\"true\"]}}\nartifacts: {files: [none.txt]}\n").await;
    let build = run(&world, &client, vec![], output("ferry/Out/1", None), vec![]).await;
    assert_eq!(status(&build), "FAILED");
    let expected =
        ("UPLOAD_ARTIFACTS".to_owned(), "CLIENT_ERROR".to_owned(), "no matching artifact paths found".to_owned());
    assert_eq!(problem(&build), expected);
    assert_eq!(
        &phases(&build)[8..],
        ["UPLOAD_ARTIFACTS FAILED [\"CLIENT_ERROR\"]", "FINALIZING SUCCEEDED [\"\"]", "COMPLETED - []"]
    );

    put("version: 0.2\nphases: {build: {commands: [\"true\"]}}\nartifacts: {files: [buildspec.yml]}\n").await;
    let build = run(&world, &client, vec![], no_artifacts(), vec![]).await;
    assert_eq!(status(&build), "SUCCEEDED", "without outputs the section is ignored");
    assert_eq!(build.artifacts().and_then(|artifacts| artifacts.location()), Some(""));
}
