//! IAM and STS through the official SDKs: roles and their policies, AWS's refusals, sessions that open exactly what their
//! role and session policy both allow.

mod loopback;

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use loopback::{ACCOUNT, REGION, TestClock};
use tempfile::TempDir;
use towpath_services::identity::policy::Context;
use towpath_services::identity::{CODEBUILD_PRINCIPAL, CODEPIPELINE_PRINCIPAL, Identity, IdentityError, Refusal};
use towpath_store::{Documents, MemoryStore};

const TRUST_PIPELINE: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"Service":"codepipeline.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

struct World {
    directory: TempDir,
    documents: Arc<dyn Documents>,
    clock: Arc<TestClock>,
    identity: Arc<Identity>,
    endpoint: String,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let documents: Arc<dyn Documents> = Arc::new(MemoryStore::new());
        let clock = Arc::new(TestClock::default());
        let identity = Identity::open(Arc::clone(&documents), loopback::ambient(&clock), ACCOUNT, directory.path())
            .await
            .expect("identity opens");
        let identity = Arc::new(identity);
        let served = Arc::clone(&identity);
        let handler: loopback::Handler = Arc::new(move |service, call| {
            let identity = Arc::clone(&served);
            Box::pin(async move {
                match service {
                    "iam" => identity.handle_iam(&call).await,
                    _ => identity.handle_sts(&call).await,
                }
            })
        });
        let endpoint = loopback::serve(Arc::clone(&identity), loopback::ambient(&clock), handler).await;
        Self { directory, documents, clock, identity, endpoint }
    }

    fn root(&self) -> Credentials {
        loopback::credentials(self.identity.root_key(), None)
    }

    fn service(&self) -> Credentials {
        loopback::credentials(self.identity.service_key(CODEPIPELINE_PRINCIPAL).expect("a service key"), None)
    }

    fn iam(&self, credentials: Credentials) -> aws_sdk_iam::Client {
        let config = aws_sdk_iam::Config::builder()
            .behavior_version(aws_sdk_iam::config::BehaviorVersion::latest())
            .region(aws_sdk_iam::config::Region::new(REGION))
            .credentials_provider(credentials)
            .endpoint_url(&self.endpoint)
            .http_client(loopback::http_client())
            .build();
        aws_sdk_iam::Client::from_conf(config)
    }

    fn sts(&self, credentials: Credentials) -> aws_sdk_sts::Client {
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
            .region(aws_sdk_sts::config::Region::new(REGION))
            .credentials_provider(credentials)
            .endpoint_url(&self.endpoint)
            .http_client(loopback::http_client())
            .build();
        aws_sdk_sts::Client::from_conf(config)
    }

    async fn create_role(&self, name: &str, trust: &str) {
        let request = self.iam(self.root()).create_role().role_name(name).assume_role_policy_document(trust);
        request.send().await.expect("a role");
    }

    async fn allow(&self, role: &str, statements: &str) {
        let document = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
        let request =
            self.iam(self.root()).put_role_policy().role_name(role).policy_name("p").policy_document(document);
        request.send().await.expect("a policy");
    }

    async fn session(&self, role: &str, name: &str, policy: Option<&str>) -> Credentials {
        let sts = self.sts(self.service());
        let output =
            sts.assume_role().role_arn(role_arn(role)).role_session_name(name).set_policy(policy.map(str::to_owned));
        from_wire(output.send().await.expect("a session").credentials.expect("credentials"))
    }
}

fn from_wire(credentials: aws_sdk_sts::types::Credentials) -> Credentials {
    let token = Some(credentials.session_token);
    Credentials::new(credentials.access_key_id, credentials.secret_access_key, token, None, "test")
}

fn role_arn(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

/// Code, message and status of a refused call.
fn refused<T: std::fmt::Debug, E, R>(result: Result<T, SdkError<E, R>>) -> (String, String)
where
    E: ProvideErrorMetadata + std::fmt::Debug,
    R: std::fmt::Debug,
{
    let error = result.expect_err("the call must be refused");
    (error.code().unwrap_or_default().to_owned(), error.message().unwrap_or_default().to_owned())
}

fn pair(code: &str, message: &str) -> (String, String) {
    (code.to_owned(), message.to_owned())
}

#[tokio::test]
async fn the_root_key_is_written_once_and_privately() {
    let world = World::new().await;
    let path = world.directory.path().join("credentials");
    let text = std::fs::read_to_string(&path).expect("a credentials file");
    let key = world.identity.root_key();
    assert_eq!(
        text,
        format!("[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n", key.id, key.secret.expose())
    );
    assert_eq!(std::fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o600);
    assert_eq!((key.id.len(), &key.id[..4], key.secret.expose().len()), (20, "AKIA", 40));

    let open = async || {
        Identity::open(Arc::clone(&world.documents), loopback::ambient(&world.clock), ACCOUNT, world.directory.path())
            .await
    };
    assert_eq!(open().await.expect("a second start").root_key().id, key.id);
    std::fs::remove_file(&path).expect("removed");
    assert_eq!(open().await.expect("a third start").root_key().id, key.id);
    assert_eq!(std::fs::read_to_string(&path).expect("written again"), text);

    std::fs::write(&path, "[default]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = x\n").expect("written");
    assert!(matches!(open().await, Err(IdentityError::ForeignCredentials { .. })));
    std::fs::write(&path, "nothing").expect("written");
    assert!(matches!(open().await, Err(IdentityError::UnreadableCredentials { .. })));
}

#[tokio::test]
async fn a_role_goes_through_its_whole_life() {
    let world = World::new().await;
    let iam = world.iam(world.root());
    let created = iam
        .create_role()
        .role_name("Pipeline")
        .path("/team/")
        .description("runs pipelines")
        .max_session_duration(7200)
        .assume_role_policy_document(TRUST_PIPELINE)
        .tags(aws_sdk_iam::types::Tag::builder().key("Stage").value("test").build().expect("a tag"))
        .send()
        .await
        .expect("created");
    let role = created.role.expect("a role");
    assert_eq!(role.arn, format!("arn:aws:iam::{ACCOUNT}:role/team/Pipeline"));
    assert_eq!((role.role_id.len(), &role.role_id[..4]), (21, "AROA"));

    let role = iam.get_role().role_name("pipeline").send().await.expect("found by any case").role.expect("a role");
    assert_eq!((role.role_name.as_str(), role.max_session_duration, role.tags().len()), ("Pipeline", Some(7200), 1));
    let document = role.assume_role_policy_document.expect("a trust policy");
    assert!(document.starts_with("%7B%22Version%22%3A%222012-10-17%22"), "{document}");
    let decoded = percent_encoding::percent_decode_str(&document).decode_utf8().expect("UTF-8").into_owned();
    assert_eq!(decoded, TRUST_PIPELINE);

    let document = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
    iam.put_role_policy().role_name("Pipeline").policy_name("s3").policy_document(document).send().await.expect("put");
    let got = iam.get_role_policy().role_name("Pipeline").policy_name("s3").send().await.expect("got");
    assert_eq!(percent_encoding::percent_decode_str(&got.policy_document).decode_utf8().expect("UTF-8"), document);
    assert_eq!(iam.list_role_policies().role_name("Pipeline").send().await.expect("listed").policy_names, ["s3"]);
    assert!(
        iam.list_attached_role_policies()
            .role_name("Pipeline")
            .send()
            .await
            .expect("listed")
            .attached_policies()
            .is_empty()
    );
    assert!(
        iam.list_instance_profiles_for_role()
            .role_name("Pipeline")
            .send()
            .await
            .expect("listed")
            .instance_profiles
            .is_empty()
    );

    let tag = |key: &str, value: &str| aws_sdk_iam::types::Tag::builder().key(key).value(value).build().expect("a tag");
    iam.tag_role()
        .role_name("Pipeline")
        .tags(tag("STAGE", "prod"))
        .tags(tag("owner", "me"))
        .send()
        .await
        .expect("tagged");
    iam.untag_role().role_name("Pipeline").tag_keys("OWNER").send().await.expect("untagged");
    let tags = iam.list_role_tags().role_name("Pipeline").send().await.expect("listed").tags;
    assert_eq!(tags, [tag("STAGE", "prod")]);

    iam.update_role().role_name("Pipeline").description("new").send().await.expect("updated");
    let role = iam.get_role().role_name("Pipeline").send().await.expect("found").role.expect("a role");
    assert_eq!((role.description.as_deref(), role.max_session_duration), (Some("new"), Some(3600)));

    assert_eq!(
        refused(iam.delete_role().role_name("Pipeline").send().await),
        pair("DeleteConflict", "Cannot delete entity, must delete policies first.")
    );
    iam.delete_role_policy().role_name("Pipeline").policy_name("s3").send().await.expect("deleted");
    iam.delete_role().role_name("Pipeline").send().await.expect("deleted");
    assert_eq!(
        refused(iam.get_role().role_name("Pipeline").send().await),
        pair("NoSuchEntity", "The role with name Pipeline cannot be found.")
    );
}

#[tokio::test]
async fn roles_are_listed_in_pages() {
    let world = World::new().await;
    let iam = world.iam(world.root());
    for index in 0..7 {
        let path = if index % 2 == 0 { "/even/" } else { "/odd/" };
        let request =
            iam.create_role().role_name(format!("r{index}")).path(path).assume_role_policy_document(TRUST_PIPELINE);
        request.send().await.expect("created");
    }
    let mut names = Vec::new();
    let mut marker = None;
    let mut pages = 0;
    loop {
        let page = iam.list_roles().path_prefix("/even/").max_items(3).set_marker(marker).send().await.expect("a page");
        pages += 1;
        names.extend(page.roles.into_iter().map(|role| role.role_name));
        assert_eq!(page.is_truncated, page.marker.is_some());
        marker = page.marker;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!((names.join(" ").as_str(), pages), ("r0 r2 r4 r6", 2));
}

#[tokio::test]
async fn iam_refuses_in_its_own_words() {
    let world = World::new().await;
    let iam = world.iam(world.root());
    world.create_role("taken", TRUST_PIPELINE).await;
    let create = |name: &str, trust: &str| iam.create_role().role_name(name).assume_role_policy_document(trust).send();
    assert_eq!(
        refused(create("TAKEN", TRUST_PIPELINE).await),
        pair("EntityAlreadyExists", "Role with name TAKEN already exists.")
    );
    assert_eq!(refused(create("x", "{").await), pair("MalformedPolicyDocument", "This policy contains invalid Json"));
    let absent = TRUST_PIPELINE
        .replace(r#""Service":"codepipeline.amazonaws.com""#, &format!(r#""AWS":"{}""#, role_arn("gone")));
    assert_eq!(
        refused(create("x", &absent).await),
        pair("MalformedPolicyDocument", &format!("Invalid principal in policy: \"AWS\":\"{}\"", role_arn("gone")))
    );
    let put =
        |document: &str| iam.put_role_policy().role_name("taken").policy_name("p").policy_document(document).send();
    assert_eq!(
        refused(put(r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*"}]}"#).await),
        pair("MalformedPolicyDocument", "Policy statement must contain resources.")
    );
    let many = r#","arn:aws:s3:::a-rather-long-bucket-name-that-fills-the-policy/*""#.repeat(200);
    let large = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"s3:*","Resource":["*"{many}]}}]}}"#
    );
    assert_eq!(
        refused(put(&large).await),
        pair("LimitExceeded", "Maximum policy size of 10240 bytes exceeded for role taken")
    );
    assert_eq!(
        refused(iam.get_role_policy().role_name("taken").policy_name("none").send().await),
        pair("NoSuchEntity", "The role policy with name none cannot be found.")
    );
    let (code, message) = refused(create(&"n".repeat(65), TRUST_PIPELINE).await);
    assert_eq!(code, "ValidationError");
    assert!(
        message.contains("failed to satisfy constraint: Member must have length less than or equal to 64"),
        "{message}"
    );
    assert_eq!(
        refused(iam.list_users().send().await),
        pair("InvalidAction", "Could not find operation ListUsers for version 2010-05-08")
    );
}

#[tokio::test]
async fn callers_are_told_who_they_are() {
    let world = World::new().await;
    world.create_role("dev", TRUST_PIPELINE).await;
    let who = world.sts(world.root()).get_caller_identity().send().await.expect("root");
    assert_eq!(
        (who.user_id(), who.account(), who.arn()),
        (Some(ACCOUNT), Some(ACCOUNT), Some(format!("arn:aws:iam::{ACCOUNT}:root").as_str()))
    );
    let session = world.session("dev", "codepipeline@demo", None).await;
    let who = world.sts(session).get_caller_identity().send().await.expect("a session");
    assert_eq!(who.arn(), Some(format!("arn:aws:sts::{ACCOUNT}:assumed-role/dev/codepipeline@demo").as_str()));
    assert!(who.user_id().is_some_and(|id| id.starts_with("AROA") && id.ends_with(":codepipeline@demo")));
}

#[tokio::test]
async fn bad_credentials_are_refused_as_sts_does() {
    let world = World::new().await;
    let ask = |credentials: Credentials| {
        let sts = world.sts(credentials);
        async move { refused(sts.get_caller_identity().send().await) }
    };
    let invalid = pair("InvalidClientTokenId", "The security token included in the request is invalid.");
    assert_eq!(ask(Credentials::new("AKIANOBODY", "x", None, None, "test")).await, invalid);
    let wrong = Credentials::new(world.identity.root_key().id.clone(), "not the secret", None, None, "test");
    assert_eq!(ask(wrong).await.0, "SignatureDoesNotMatch");

    world.create_role("dev", TRUST_PIPELINE).await;
    let session = world.session("dev", "me", None).await;
    let token = session.session_token().expect("a token").to_owned();
    let with = |token: Option<String>| {
        Credentials::new(session.access_key_id(), session.secret_access_key(), token, None, "test")
    };
    assert_eq!(ask(with(None)).await, invalid);
    assert_eq!(ask(with(Some(token.replacen(&token[8..12], "AAAA", 1)))).await, invalid);
    assert_eq!(ask(with(Some("garbage".to_owned()))).await, invalid);
    let other = world.session("dev", "me", None).await;
    assert_eq!(ask(with(other.session_token().map(str::to_owned))).await, invalid, "another session's token");
    world.clock.advance_seconds(3601);
    assert_eq!(ask(session).await, pair("ExpiredToken", "The security token included in the request is expired"));
}

#[tokio::test]
async fn only_trusted_callers_assume_a_role() {
    let world = World::new().await;
    world.create_role("pipeline", TRUST_PIPELINE).await;
    world.create_role("build", &TRUST_PIPELINE.replace("codepipeline", "codebuild")).await;
    let assume = async |credentials: Credentials, role: &str| {
        let sts = world.sts(credentials);
        refused(sts.assume_role().role_arn(role_arn(role)).role_session_name("me").send().await)
    };
    assert_eq!(
        assume(world.root(), "pipeline").await,
        pair("AccessDenied", "Roles may not be assumed by root accounts.")
    );
    let denied = |role: &str| {
        pair(
            "AccessDenied",
            &format!(
                "User: codepipeline.amazonaws.com is not authorized to perform: sts:AssumeRole on resource: {}",
                role_arn(role)
            ),
        )
    };
    assert_eq!(assume(world.service(), "build").await, denied("build"));
    assert_eq!(assume(world.service(), "missing").await, denied("missing"), "a missing role looks the same");

    // A session may go on to a role that trusts its account only if its own policies let it.
    let account = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{ACCOUNT}"}},"Action":"sts:AssumeRole"}}]}}"#
    );
    world.create_role("deploy", &account).await;
    let session = world.session("pipeline", "me", None).await;
    assert_eq!(assume(session.clone(), "deploy").await.0, "AccessDenied");
    world
        .allow(
            "pipeline",
            &format!(r#"{{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"{}"}}"#, role_arn("deploy")),
        )
        .await;
    let sts = world.sts(session.clone());
    sts.assume_role().role_arn(role_arn("deploy")).role_session_name("me").send().await.expect("chained");
    assert_eq!(
        refused(
            sts.assume_role().role_arn(role_arn("deploy")).role_session_name("me").duration_seconds(3601).send().await
        ),
        pair(
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
        )
    );
    // Named itself, it needs no permission of its own.
    let named = account.replace(&format!("\"{ACCOUNT}\""), &format!("\"{}\"", role_arn("pipeline")));
    world.create_role("named", &named).await;
    sts.assume_role().role_arn(role_arn("named")).role_session_name("me").send().await.expect("trusted by name");
}

#[tokio::test]
async fn the_confused_deputy_conditions_of_a_trust_policy_hold() {
    let world = World::new().await;
    let trust = TRUST_PIPELINE.replace(
        r#""Action":"sts:AssumeRole""#,
        &format!(
            r#""Action":"sts:AssumeRole","Condition":{{"StringEquals":{{"aws:SourceAccount":"{ACCOUNT}"}},
            "ArnLike":{{"aws:SourceArn":"arn:aws:codepipeline:{REGION}:{ACCOUNT}:*"}}}}"#
        ),
    );
    world.create_role("guarded", &trust).await;
    let source = |arn: &str| Context::new().with("aws:SourceAccount", ACCOUNT).with("aws:SourceArn", arn);
    let test = async |service: &str, context: Context| {
        world.identity.test_assume(service, &role_arn("guarded"), context).await
    };
    let arn = format!("arn:aws:codepipeline:{REGION}:{ACCOUNT}:demo");
    assert!(test(CODEPIPELINE_PRINCIPAL, source(&arn)).await.is_ok());
    assert!(test(CODEPIPELINE_PRINCIPAL, Context::new()).await.is_err());
    assert!(test(CODEPIPELINE_PRINCIPAL, source("arn:aws:codepipeline:eu-west-1:210987654321:demo")).await.is_err());
    assert!(test(CODEBUILD_PRINCIPAL, source(&arn)).await.is_err());
}

#[tokio::test]
async fn a_session_may_do_what_role_and_session_policy_both_allow() {
    let world = World::new().await;
    world.create_role("dev", TRUST_PIPELINE).await;
    world
        .allow(
            "dev",
            r#"{"Effect":"Allow","Action":["s3:Get*","s3:PutObject"],"Resource":"arn:aws:s3:::b/*"},
               {"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::b/secret/*"}"#,
        )
        .await;
    let session_policy =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#;
    let check = async |credentials: &Credentials, action: &str, resource: &str| {
        let signer =
            world.identity.lookup(credentials.access_key_id(), credentials.session_token()).await.expect("a holder");
        match world.identity.authorize(&signer.principal, action, resource, Context::new()).await {
            Ok(()) => "allowed".to_owned(),
            Err(Refusal::Denied(denied)) => denied.to_string(),
            Err(Refusal::Unavailable(error)) => panic!("{error}"),
        }
    };
    let wide = world.session("dev", "me", None).await;
    let narrow = world.session("dev", "me", Some(session_policy)).await;
    let user = format!("User: arn:aws:sts::{ACCOUNT}:assumed-role/dev/me is not authorized to perform:");
    assert_eq!(check(&wide, "s3:GetObject", "arn:aws:s3:::b/k").await, "allowed");
    assert_eq!(check(&wide, "s3:PutObject", "arn:aws:s3:::b/k").await, "allowed");
    assert_eq!(
        check(&wide, "s3:GetObject", "arn:aws:s3:::other/k").await,
        format!(
            "{user} s3:GetObject on resource: arn:aws:s3:::other/k because no identity-based policy allows the s3:GetObject action"
        )
    );
    assert_eq!(
        check(&wide, "s3:GetObject", "arn:aws:s3:::b/secret/k").await,
        format!(
            "{user} s3:GetObject on resource: arn:aws:s3:::b/secret/k with an explicit deny in an identity-based policy"
        )
    );
    assert_eq!(check(&narrow, "s3:GetObject", "arn:aws:s3:::b/k").await, "allowed");
    assert_eq!(
        check(&narrow, "s3:PutObject", "arn:aws:s3:::b/k").await,
        format!(
            "{user} s3:PutObject on resource: arn:aws:s3:::b/k because no session policy allows the s3:PutObject action"
        )
    );

    // The same on the wire: IAM asks before it answers, and tells nobody whether a role exists.
    let iam = world.iam(wide.clone());
    assert_eq!(
        refused(iam.get_role().role_name("missing").send().await),
        pair(
            "AccessDenied",
            &format!(
                "{user} iam:GetRole on resource: {} because no identity-based policy allows the iam:GetRole action",
                role_arn("missing")
            )
        )
    );

    // Taking the policy away works at once; so does a new role of the same name.
    world.iam(world.root()).delete_role_policy().role_name("dev").policy_name("p").send().await.expect("deleted");
    assert!(check(&wide, "s3:GetObject", "arn:aws:s3:::b/k").await.contains("no identity-based policy"));
    world.iam(world.root()).delete_role().role_name("dev").send().await.expect("deleted");
    world.create_role("dev", TRUST_PIPELINE).await;
    world.allow("dev", r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#).await;
    assert!(check(&wide, "s3:GetObject", "arn:aws:s3:::b/k").await.contains("no identity-based policy"));
    assert_eq!(check(&world.session("dev", "me", None).await, "s3:GetObject", "arn:aws:s3:::b/k").await, "allowed");
}

#[tokio::test]
async fn session_limits_are_the_roles_and_the_callers() {
    let world = World::new().await;
    world.create_role("dev", TRUST_PIPELINE).await;
    let sts = world.sts(world.service());
    let assume = || sts.assume_role().role_arn(role_arn("dev")).role_session_name("me");
    // Services are not bound by the role's MaxSessionDuration.
    assume().duration_seconds(43_200).send().await.expect("twelve hours");
    assert_eq!(refused(assume().duration_seconds(899).send().await).0, "ValidationError");
    assert_eq!(
        refused(assume().policy("{}").send().await),
        pair("MalformedPolicyDocument", "Syntax errors in policy.")
    );
    let resource = format!("arn:aws:s3:::{}", "b".repeat(2_000));
    let large = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"s3:*","Resource":"{resource}"}}]}}"#
    );
    assert_eq!(refused(assume().policy(large).send().await).0, "PackedPolicyTooLarge");
    let small = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
    let output = assume().policy(small).send().await.expect("a session");
    assert_eq!(output.assumed_role_user.expect("a user").arn(), format!("arn:aws:sts::{ACCOUNT}:assumed-role/dev/me"));
    assert_eq!(
        refused(sts.assume_role().role_arn("arn:aws:s3:::not-a-role-at-all").role_session_name("me").send().await),
        pair("ValidationError", "arn:aws:s3:::not-a-role-at-all is invalid")
    );
}
