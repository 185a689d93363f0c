//! Projects and permissions.

use aws_sdk_codebuild::types::{
    ArtifactsType, EnvironmentVariable, EnvironmentVariableType, ProjectArtifacts, ProjectSource,
    ProjectVisibilityType, SourceType, Tag,
};

use crate::loopback::{ACCOUNT, REGION};
use crate::world::{ROLE, World, environment, no_artifacts, pair, refused, s3_source};

fn arn(name: &str) -> String {
    format!("arn:aws:codebuild:{REGION}:{ACCOUNT}:project/{name}")
}

pub async fn projects_are_answered_with_their_defaults() {
    let world = World::new().await;
    let client = world.client();
    let variable = |name: &str| EnvironmentVariable::builder().name(name).value("v").build().expect("a variable");
    let mut wanted = environment();
    wanted.environment_variables = Some(vec![variable("Z"), variable("A")]);
    let source =
        ProjectSource::builder().r#type(SourceType::Codepipeline).buildspec("ci.yml").build().expect("a source");
    let artifacts = ProjectArtifacts::builder().r#type(ArtifactsType::Codepipeline).build().expect("artifacts");
    let request = client.create_project().name("demo").source(source.clone()).artifacts(artifacts.clone());
    let created = request.environment(wanted).service_role(ROLE).tags(Tag::builder().key("k").value("v").build());
    let project = created.send().await.expect("created").project.expect("a project");
    assert_eq!(project.arn(), Some(arn("demo").as_str()));
    assert_eq!((project.timeout_in_minutes(), project.queued_timeout_in_minutes()), (Some(60), Some(480)));
    assert_eq!(project.encryption_key(), Some(format!("arn:aws:kms:{REGION}:{ACCOUNT}:alias/aws/s3").as_str()));
    assert_eq!(project.created(), project.last_modified());
    assert!(project.secondary_sources.as_ref().is_some_and(Vec::is_empty));
    assert!(project.secondary_artifacts.as_ref().is_some_and(Vec::is_empty));
    assert_eq!(project.cache().map(|cache| cache.r#type().as_str()), Some("NO_CACHE"));
    assert_eq!(project.badge().map(aws_sdk_codebuild::types::ProjectBadge::badge_enabled), Some(false));
    assert_eq!(project.project_visibility(), Some(&ProjectVisibilityType::Private));
    assert!(project.logs_config().is_none() && project.vpc_config().is_none());
    let shown = project.environment().expect("an environment");
    assert_eq!(
        shown.image_pull_credentials_type().map(aws_sdk_codebuild::types::ImagePullCredentialsType::as_str),
        Some("CODEBUILD")
    );
    assert_eq!(shown.privileged_mode(), Some(false));
    let names: Vec<_> = shown.environment_variables().iter().map(|v| (v.name(), v.r#type().cloned())).collect();
    assert_eq!(
        names,
        [("Z", Some(EnvironmentVariableType::Plaintext)), ("A", Some(EnvironmentVariableType::Plaintext))]
    );
    let shown = project.artifacts().expect("artifacts");
    assert_eq!(
        (
            shown.name(),
            shown.packaging().map(aws_sdk_codebuild::types::ArtifactPackaging::as_str),
            shown.namespace_type()
        ),
        (Some("demo"), Some("NONE"), None)
    );
    assert_eq!(shown.encryption_disabled(), Some(false));
    assert_eq!(project.source().and_then(ProjectSource::insecure_ssl), Some(false));

    let request = client.create_project().name("demo").source(source).artifacts(artifacts);
    assert_eq!(
        refused(request.environment(environment()).service_role(ROLE).send().await),
        pair("ResourceAlreadyExistsException", &format!("Project already exists: {}", arn("demo")))
    );
    let request = client.create_project().name("plain").source(s3_source("bkt/k")).artifacts(no_artifacts());
    let plain = request
        .environment(environment())
        .service_role(ROLE)
        .send()
        .await
        .expect("created")
        .project
        .expect("a project");
    assert_eq!(plain.artifacts(), Some(&no_artifacts()), "NO_ARTIFACTS stays bare");
    let request = client.create_project().name("other").source(s3_source("bkt/k")).artifacts(no_artifacts());
    let role = "arn:aws:iam::123456789012:role/none";
    assert_eq!(
        refused(request.environment(environment()).service_role(role).send().await),
        pair("InvalidInputException", &format!("CodeBuild is not authorized to perform: sts:AssumeRole on {role}"))
    );
    let request = client.create_project().name("other").source(s3_source("bkt/k")).artifacts(no_artifacts());
    assert_eq!(
        refused(request.environment(environment()).service_role("arn:aws:iam::210987654321:role/x").send().await),
        pair("InvalidInputException", "Invalid service role: Service role account ID does not match caller's account")
    );
}

pub async fn projects_are_updated_member_by_member() {
    let world = World::new().await;
    let client = world.client();
    let request =
        client.create_project().name("demo").source(s3_source("bkt/k")).artifacts(no_artifacts()).description("d");
    let request = request.environment(environment()).service_role(ROLE).concurrent_build_limit(3);
    let before = request.send().await.expect("created").project.expect("a project");
    world.clock.advance_seconds(5);
    let updated = client.update_project().name(arn("demo")).timeout_in_minutes(7).concurrent_build_limit(-1);
    let after = updated
        .tags(Tag::builder().key("a").value("b").build())
        .send()
        .await
        .expect("updated")
        .project
        .expect("a project");
    assert_eq!((after.timeout_in_minutes(), after.description()), (Some(7), Some("d")));
    assert_eq!((before.concurrent_build_limit(), after.concurrent_build_limit()), (Some(3), None));
    assert_eq!(after.source(), before.source());
    assert_eq!(after.tags().len(), 1);
    assert!(after.last_modified() > before.last_modified() && after.created() == before.created());
    assert_eq!(
        refused(client.update_project().name("none").send().await),
        pair("ResourceNotFoundException", &format!("Project cannot be found: {}", arn("none")))
    );
    let pipeline = ProjectSource::builder().r#type(SourceType::Codepipeline).build().expect("a source");
    assert_eq!(
        refused(client.update_project().name("demo").source(pipeline).send().await).1,
        "Invalid input: when using CodePipeline both sourceType, and artifactType must be set to: CODEPIPELINE"
    );
}

pub async fn projects_are_listed_and_deleted() {
    let world = World::new().await;
    let client = world.client();
    assert!(client.list_projects().send().await.expect("listed").projects().is_empty());
    for index in 0..103 {
        world.create(&format!("p{index:03}"), s3_source("bkt/k"), no_artifacts()).await;
    }
    let first = client.list_projects().send().await.expect("listed");
    assert_eq!((first.projects().len(), first.projects()[0].as_str()), (100, "p000"));
    let rest = client.list_projects().next_token(first.next_token().expect("more")).send().await.expect("listed");
    assert_eq!(
        (rest.projects(), rest.next_token()),
        (&["p100".to_owned(), "p101".to_owned(), "p102".to_owned()][..], None)
    );
    let last = client.list_projects().sort_order(aws_sdk_codebuild::types::SortOrderType::Descending);
    assert_eq!(last.send().await.expect("listed").projects()[0], "p102");

    let got = client.batch_get_projects().names(arn("p001")).names("p002").names("none").send().await.expect("got");
    let names: Vec<_> = got.projects().iter().map(|project| project.name().unwrap_or_default()).collect();
    assert_eq!((names, got.projects_not_found()), (vec!["p001", "p002"], &["none".to_owned()][..]));

    client.delete_project().name(arn("p001")).send().await.expect("deleted");
    client.delete_project().name("never-was").send().await.expect("no error");
    let got = client.batch_get_projects().names("p001").send().await.expect("got");
    assert!(got.projects().is_empty());
    assert_eq!(refused(client.list_projects().next_token("garbage!").send().await).0, "InvalidInputException");
}

pub async fn callers_need_permission() {
    let world = World::new().await;
    world.create("demo", s3_source("bkt/k"), no_artifacts()).await;
    world
        .role(
            "narrow",
            r#"{"Service":"codepipeline.amazonaws.com"}"#,
            r#"{"Effect":"Allow","Action":"codebuild:BatchGetProjects","Resource":"*"}"#,
        )
        .await;
    let client = world.pipeline_client("narrow", "someone").await;
    client.batch_get_projects().names("demo").send().await.expect("allowed");
    assert_eq!(
        refused(client.start_build().project_name("demo").send().await),
        pair(
            "AccessDeniedException",
            &format!(
                "User: arn:aws:sts::{ACCOUNT}:assumed-role/narrow/someone is not authorized to perform: \
                 codebuild:StartBuild on resource: {} because no identity-based policy allows the codebuild:StartBuild action",
                arn("demo")
            )
        )
    );
    // Creating a project takes the right to pass its role.
    world
        .role(
            "maker",
            r#"{"Service":"codepipeline.amazonaws.com"}"#,
            r#"{"Effect":"Allow","Action":"codebuild:*","Resource":"*"}"#,
        )
        .await;
    let client = world.pipeline_client("maker", "someone").await;
    let request = client.create_project().name("new").source(s3_source("bkt/k")).artifacts(no_artifacts());
    let (code, message) = refused(request.environment(environment()).service_role(ROLE).send().await);
    assert_eq!(code, "AccessDeniedException");
    assert!(message.contains(&format!("iam:PassRole on resource: {ROLE}")), "{message}");
}

pub async fn operations_that_are_not_here_say_so() {
    let world = World::new().await;
    let (code, message) = refused(world.client().list_fleets().send().await);
    assert_eq!(code, "InvalidInputException");
    assert!(message.starts_with("ListFleets is not supported in this version of Towpath"), "{message}");
}
