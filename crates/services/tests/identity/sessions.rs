//! Sessions of roles: who may begin one, what it may, how long it lives.

use aws_credential_types::Credentials;
use towpath_services::identity::policy::Context;
use towpath_services::identity::{CODEBUILD_PRINCIPAL, CODEPIPELINE_PRINCIPAL, Refusal};

use crate::loopback::{ACCOUNT, REGION};
use crate::world::{TRUST_PIPELINE, World, pair, refused, role_arn};

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
