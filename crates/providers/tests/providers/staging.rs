//! Artifacts of an action that runs in another realm: staged there, brought back, and what is said when they cannot be.

use std::collections::BTreeMap;

use serde_json::json;
use towpath_model::action::{ActionInvocation, Outcome, Progress};
use towpath_providers::{Abroad, Call, Realm, RealmKind, Staging, staging};

use crate::stage::{ACTION_ROLE, PIPELINE_ROLE, Stage, artifact, build, failure, pending, realm, s3_source, success};
use crate::world::Aws;

const IN: &str = "towpath/ferry/11111111-1111-4111-8111-111111111111/22222222-2222-4222-8222-222222222222/app_src.zip";
const OUT: &str = "towpath/ferry/11111111-1111-4111-8111-111111111111/22222222-2222-4222-8222-222222222222/bundle";

/// A store at home and a realm of its own world.
struct Two {
    home: Stage,
    away: Aws,
    realm: Realm,
}

impl Two {
    fn new(bucket: Staging) -> Self {
        let home = Stage::new();
        let headers = [("x-amz-meta-codepipeline-revision-id", "rev-7"), ("content-type", "application/zip")];
        let headers: BTreeMap<String, String> = headers.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        home.aws.world().s3.put("artifacts", "ferry/app_src/Qm4TzX1.zip", b"the source", headers);
        let away = Aws::default();
        {
            let mut world = away.world();
            world.s3.bucket("staging", false);
            world.s3.bucket("staging-west", false);
            world.codebuild.projects.push("ferry-build".to_owned());
        }
        let realm = abroad(&away, &home, bucket);
        Self { home, away, realm }
    }

    fn call(&self) -> Call<'_> {
        Call { realm: &self.realm, ..self.home.call() }
    }

    async fn start(&self, action: &ActionInvocation) -> Outcome {
        staging::start(&self.call(), self.home.provider(action), action).await
    }

    async fn poll(&self, action: &ActionInvocation, progress: &Progress) -> Outcome {
        staging::poll(&self.call(), self.home.provider(action), action, progress).await
    }

    /// What a crash leaves: both worlds, and nothing that was remembered.
    fn restarted(self, bucket: Staging) -> Self {
        let home = Stage::over(&self.home.aws, RealmKind::Embedded);
        let realm = abroad(&self.away, &home, bucket);
        Self { home, realm, away: self.away }
    }
}

fn abroad(away: &Aws, home: &Stage, staging: Staging) -> Realm {
    realm(away, RealmKind::Other, &home.clock).abroad(Abroad { staging, ..Abroad::default() })
}

fn one() -> Staging {
    Staging { bucket: Some("staging".to_owned()), ..Staging::default() }
}

fn action() -> ActionInvocation {
    ActionInvocation {
        role_arn: Some(ACTION_ROLE.to_owned()),
        encryption_key: Some("alias/of-the-store".to_owned()),
        ..build()
    }
}

#[tokio::test]
async fn a_build_elsewhere_finds_its_input_and_its_output_comes_back() {
    let two = Two::new(one());
    let progress = pending(two.start(&action()).await);
    {
        let world = two.away.world();
        let staged = world.s3.newest("staging", IN).unwrap();
        assert_eq!(staged.bytes, b"the source");
        assert_eq!(staged.headers["x-amz-meta-codepipeline-revision-id"], "rev-7");
        assert!(!staged.headers.contains_key("x-amz-server-side-encryption"), "the bucket's own way");
        let started = &world.codebuild.started[0];
        assert_eq!(started["sourceLocationOverride"], format!("staging/{IN}"));
        let (path, name) = OUT.rsplit_once('/').unwrap();
        let artifacts = &started["artifactsOverride"];
        assert_eq!(
            (&artifacts["location"], &artifacts["path"], &artifacts["name"]),
            (&json!("staging"), &json!(path), &json!(name))
        );
        assert_eq!(started["encryptionKeyOverride"], json!(null), "the store's key is not of that realm");
    }
    // The process ends here; another one goes on.
    let two = two.restarted(one());
    two.away.world().s3.put("staging", OUT, b"the bundle", [].into());
    assert!(matches!(two.poll(&action(), &progress).await, Outcome::Pending { .. }));
    assert!(two.home.aws.world().s3.newest("artifacts", "ferry/bundle/a1B2c3D").is_none(), "not before it has ended");
    two.away
        .world()
        .codebuild
        .finish("SUCCEEDED", &json!({"exportedEnvironmentVariables": [{"name": "TAG", "value": "v7"}]}));
    for _ in 0..2 {
        let (_, variables, _) = success(two.poll(&action(), &progress).await);
        assert_eq!(variables["TAG"], "v7");
        let world = two.home.aws.world();
        let back = world.s3.newest("artifacts", "ferry/bundle/a1B2c3D").unwrap();
        assert_eq!(back.bytes, b"the bundle");
        assert_eq!(back.headers["x-amz-server-side-encryption-aws-kms-key-id"], "alias/of-the-store");
    }
    // The pipeline's role copies, on both sides; the action's builds.
    let roles = |aws: &Aws, service: &str| -> Vec<String> {
        let world = aws.world();
        let of = |r: &&crate::world::Request| r.service == service;
        let mut roles: Vec<_> =
            world.requests.iter().filter(of).map(|r| world.sessions[&r.access_key].role.clone()).collect();
        roles.dedup();
        roles
    };
    assert_eq!(roles(&two.home.aws, "s3"), [PIPELINE_ROLE]);
    assert_eq!(roles(&two.away, "s3"), [PIPELINE_ROLE]);
    assert_eq!(roles(&two.away, "codebuild"), [ACTION_ROLE]);
}

#[tokio::test]
async fn a_repeated_start_copies_once_and_starts_once() {
    let two = Two::new(one());
    let first = two.start(&action()).await;
    let two = two.restarted(one());
    assert_eq!(two.start(&action()).await, first);
    assert_eq!(two.away.calls("s3:PutObject"), 1);
    assert_eq!(two.away.world().codebuild.started.len(), 1);
    // Something else under that key is no copy of the input.
    two.away.world().s3.put("staging", IN, b"10 letters", [].into());
    two.start(&action()).await;
    assert_eq!(two.away.world().s3.newest("staging", IN).unwrap().bytes, b"the source");
}

#[tokio::test]
async fn each_region_may_have_a_bucket_and_the_realm_a_key() {
    let buckets = [("us-west-2".to_owned(), "staging-west".to_owned())].into();
    let staging = Staging { buckets, key: Some("alias/staged".to_owned()), ..one() };
    let two = Two::new(staging);
    pending(two.start(&action()).await);
    let west = ActionInvocation {
        region: "us-west-2".to_owned(),
        action_execution_id: "33333333-3333-4333-8333-333333333333".into(),
        ..action()
    };
    pending(two.start(&west).await);
    let world = two.away.world();
    let staged = world.s3.newest("staging", IN).unwrap();
    assert_eq!(staged.headers["x-amz-server-side-encryption"], "aws:kms");
    assert_eq!(staged.headers["x-amz-server-side-encryption-aws-kms-key-id"], "alias/staged");
    assert_eq!(world.s3.buckets["staging-west"].objects.len(), 1);
    assert_eq!(world.codebuild.started[0]["encryptionKeyOverride"], "alias/staged");
}

#[tokio::test]
async fn without_a_bucket_the_lines_to_add_are_told_and_nothing_is_asked() {
    let two = Two::new(Staging::default());
    let (code, message) = failure(two.start(&action()).await);
    assert_eq!(code, "ConfigurationError");
    assert_eq!(
        message,
        "Action Act runs in the realm test, which does not see the pipeline's artifact store, and the realm has no bucket in \
         eu-west-1 to copy artifacts to. Add `staging-bucket = \"...\"` to `[realm.test]` in towpath.toml, the name of a \
         bucket there; or one for each Region, `[realm.test.staging-buckets]` and `eu-west-1 = \"...\"`."
    );
    assert!(two.away.world().requests.is_empty() && two.home.aws.world().requests.is_empty());
    // It was never begun, so there is nothing to stop.
    let stopped = staging::stop(&two.call(), two.home.provider(&action()), &action(), &Progress::default()).await;
    assert_eq!(stopped, Ok(()));
}

#[tokio::test]
async fn what_cannot_be_staged_is_said_with_the_bucket_and_the_realm() {
    let two = Two::new(Staging { bucket: Some("gone".to_owned()), ..Staging::default() });
    let (code, message) = failure(two.start(&action()).await);
    assert_eq!(code, "ConfigurationError");
    assert!(
        message.starts_with(&format!(
            "Unable to write the input artifact to the staging bucket 'gone' of the realm test, with the key '{IN}'. The \
             specified bucket does not exist"
        )),
        "{message}"
    );
    for operation in ["s3:PutObject"] {
        let two = Two::new(one());
        two.away.world().denied.insert(operation.to_owned());
        let (code, message) = failure(two.start(&action()).await);
        assert_eq!(code, "PermissionError");
        assert!(message.contains("is not authorized to perform: s3:PutObject"), "{message}");
        let two = Two::new(one());
        two.away.world().throttled.insert(operation.to_owned(), u32::MAX);
        let outcome = two.start(&action()).await;
        assert!(matches!(outcome, Outcome::Unavailable { .. }), "{outcome:?}");
    }
    let two = Two::new(one());
    two.home.aws.world().s3.buckets.get_mut("artifacts").unwrap().objects.clear();
    let (code, message) = failure(two.start(&action()).await);
    assert_eq!(code, "ConfigurationError");
    assert!(message.contains("The object does not exist"), "{message}");
    assert!(two.away.world().codebuild.started.is_empty());
}

#[tokio::test]
async fn an_output_that_cannot_come_back_is_no_success() {
    let two = Two::new(one());
    let progress = pending(two.start(&action()).await);
    two.away.world().s3.put("staging", OUT, b"the bundle", [].into());
    two.away.world().codebuild.finish("SUCCEEDED", &json!({}));
    two.home.aws.world().throttled.insert("s3:PutObject".to_owned(), 6);
    let outcome = two.poll(&action(), &progress).await;
    assert!(matches!(outcome, Outcome::Unavailable { .. }), "asked again later: {outcome:?}");
    success(two.poll(&action(), &progress).await);
    two.away.world().denied.extend(["s3:HeadObject".to_owned(), "s3:GetObject".to_owned()]);
    let Outcome::Failed { progress: last, error } = two.poll(&action(), &progress).await else { panic!("no failure") };
    assert_eq!(error.code, "PermissionError");
    assert!(
        error.message.starts_with("Unable to read an output artifact from the staging bucket 'staging' of the realm")
    );
    assert_eq!(last.external_id, progress.external_id, "the build is still shown");
}

#[tokio::test]
async fn a_build_that_failed_or_wrote_nothing_brings_nothing_back() {
    let two = Two::new(one());
    let progress = pending(two.start(&action()).await);
    two.away.world().codebuild.finish("SUCCEEDED", &json!({}));
    success(two.poll(&action(), &progress).await);
    assert!(two.home.aws.world().s3.newest("artifacts", "ferry/bundle/a1B2c3D").is_none());
    two.away.world().s3.put("staging", OUT, b"half", [].into());
    two.away.world().codebuild.finish("FAILED", &json!({}));
    failure(two.poll(&action(), &progress).await);
    assert!(two.home.aws.world().s3.newest("artifacts", "ferry/bundle/a1B2c3D").is_none());
}

#[tokio::test]
async fn nothing_is_staged_where_the_provider_copies_by_itself_or_nothing_is_handed_on() {
    let two = Two::new(Staging::default());
    two.away.world().s3.bucket("sources", true);
    two.away.world().s3.put("sources", "web/app.zip", b"zip", [].into());
    success(two.start(&s3_source()).await);
    assert!(two.home.aws.world().s3.newest("artifacts", "ferry/app-src/Qm4TzX1.zip").is_some());
    let mut bare = action();
    bare.output_artifacts.clear();
    bare.input_artifacts.clear();
    let (_, message) = failure(two.start(&bare).await);
    assert_eq!(message, "Action Act has no input artifact.", "the provider's own words");
    // At home there is nothing to stage either.
    let home = Stage::new();
    let mut at_home = build();
    at_home.input_artifacts = vec![artifact("app_src", "ferry/app_src/Qm4TzX1.zip")];
    pending(staging::start(&home.call(), home.provider(&at_home), &at_home).await);
    assert!(home.aws.world().requests.iter().all(|r| r.service != "s3"));
}
