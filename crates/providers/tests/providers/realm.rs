//! A realm: whose credentials sign which call, and how long they are kept.

use towpath_model::action::Outcome;
use towpath_providers::RealmKind;

use crate::stage::{ACTION_ROLE, PIPELINE_ROLE, Stage, build, failure, pending, s3_source, success};
use crate::world::Session;

fn session(role: &str, by: &str) -> Session {
    Session { role: role.to_owned(), name: "codepipeline@ferry".to_owned(), by: by.to_owned() }
}

#[tokio::test]
async fn the_service_assumes_the_pipelines_role_once_for_many_calls() {
    let stage = Stage::new();
    stage.aws.world().s3.put("sources", "web/app.zip", b"x", [].into());
    for _ in 0..3 {
        success(stage.start(&s3_source()).await);
        pending(stage.start(&build()).await);
    }
    let world = stage.aws.world();
    assert_eq!(world.sessions.values().cloned().collect::<Vec<_>>(), [session(PIPELINE_ROLE, "AKIASERVICE")]);
    let others = world.requests.iter().filter(|r| r.service != "sts");
    assert!(others.clone().count() > 5 && others.clone().all(|r| r.access_key == "ASIA1" && r.region == "eu-west-1"));
}

#[tokio::test]
async fn an_actions_own_role_is_assumed_by_the_pipelines() {
    let stage = Stage::new();
    let mut action = build();
    action.role_arn = Some(ACTION_ROLE.to_owned());
    action.region = "us-west-2".to_owned();
    pending(stage.start(&action).await);
    {
        let world = stage.aws.world();
        let sessions: Vec<_> = world.sessions.values().cloned().collect();
        assert_eq!(sessions, [session(PIPELINE_ROLE, "AKIASERVICE"), session(ACTION_ROLE, "ASIA1")]);
        let last = world.requests.last().unwrap();
        assert_eq!((last.access_key.as_str(), last.region.as_str()), ("ASIA2", "us-west-2"));
    }
    action.role_arn = Some(PIPELINE_ROLE.to_owned());
    pending(stage.start(&action).await);
    assert_eq!(stage.aws.world().sessions.len(), 2, "the pipeline's own role is not chained to itself");
}

#[tokio::test]
async fn a_session_is_renewed_before_it_ends() {
    let stage = Stage::new();
    pending(stage.start(&build()).await);
    stage.clock.advance_minutes(54);
    pending(stage.start(&build()).await);
    assert_eq!(stage.aws.world().sessions.len(), 1);
    stage.clock.advance_minutes(1);
    pending(stage.start(&build()).await);
    assert_eq!(stage.aws.world().sessions.len(), 2);
    assert_eq!(stage.aws.world().requests.last().unwrap().access_key, "ASIA2");
}

#[tokio::test]
async fn a_role_that_cannot_be_assumed_says_who_may_not() {
    let stage = Stage::new();
    stage.aws.world().denied.insert("sts:AssumeRole".to_owned());
    let (code, message) = failure(stage.start(&build()).await);
    assert_eq!(code, "PermissionError");
    assert_eq!(
        message,
        format!(
            "CodePipeline is not authorized to perform AssumeRole on role {PIPELINE_ROLE}. User: codepipeline.amazonaws.com \
             is not authorized to perform: sts:AssumeRole (Service: AWSSecurityTokenService; Status Code: 403; Error Code: \
             AccessDenied; Request ID: R-1)"
        )
    );
    stage.aws.world().denied.clear();
    pending(stage.start(&build()).await);
    stage.aws.world().denied.insert("sts:AssumeRole".to_owned());
    let mut action = build();
    action.role_arn = Some(ACTION_ROLE.to_owned());
    let (_, message) = failure(stage.start(&action).await);
    let start = format!("{PIPELINE_ROLE} is not authorized to perform AssumeRole on role {ACTION_ROLE}. User: ");
    assert!(message.starts_with(&start), "{message}");
}

#[tokio::test]
async fn buckets_are_in_the_path_but_on_aws() {
    for (kind, host) in [(RealmKind::Embedded, "s3.fake.test"), (RealmKind::Aws, "sources.s3.fake.test")] {
        let stage = Stage::over(&Stage::new().aws, kind);
        stage.aws.world().s3.put("sources", "web/app.zip", b"x", [].into());
        success(stage.start(&s3_source()).await);
        let world = stage.aws.world();
        let first = world.requests.iter().find(|r| r.service == "s3").unwrap();
        assert_eq!(first.host, host);
    }
}

#[tokio::test]
async fn a_service_that_cannot_be_reached_is_told_with_its_cause() {
    let stage = Stage::new();
    stage.aws.world().unreachable.insert("codebuild:StartBuild".to_owned(), u32::MAX);
    let outcome = stage.start(&build()).await;
    let Outcome::Unavailable { message } = outcome else { panic!("{outcome:?}") };
    assert!(message.contains("connection refused") && message.contains("Service: AWSCodeBuild"), "{message}");
    let attempts = stage.aws.world().requests.iter().filter(|r| r.service == "codebuild").count();
    assert_eq!(attempts, 5);
}
