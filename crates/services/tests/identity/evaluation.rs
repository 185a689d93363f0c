//! AWS's order of evaluation, for users and for what they become: explicit denies, boundaries, session policies, trust.

use aws_sdk_sts::types::PolicyDescriptorType;
use towpath_services::identity::policy::Context;

use crate::loopback::ACCOUNT;
use crate::world::{World, allow, deny, from_wire, pair, policy, refused, role_arn, user_arn};

const OBJECT: &str = "arn:aws:s3:::b/k";

fn no(who: &str, action: &str, why: &str) -> String {
    format!("User: {who} is not authorized to perform: {action} on resource: {OBJECT} {why}")
}

#[tokio::test]
async fn a_boundary_limits_and_grants_nothing() {
    let world = World::new().await;
    let iam = world.iam(world.root());
    let key = world.user("ann").await;
    let ann = user_arn("ann");
    let bound = world.managed("Bound", &format!("{},{}", allow("s3:Get*", "*"), deny("s3:GetObjectAcl", "*"))).await;
    iam.put_user_permissions_boundary().user_name("ann").permissions_boundary(&bound).send().await.expect("put");
    let ask = async |action: &str| world.asked(&key, action, OBJECT, Context::new()).await;
    assert_eq!(
        ask("s3:GetObject").await,
        no(&ann, "s3:GetObject", "because no identity-based policy allows the s3:GetObject action")
    );
    world.let_user("ann", &allow("s3:*", "*")).await;
    assert_eq!(ask("s3:GetObject").await, "allowed");
    assert_eq!(
        ask("s3:PutObject").await,
        no(&ann, "s3:PutObject", "because no permissions boundary allows the s3:PutObject action")
    );
    assert_eq!(
        ask("s3:GetObjectAcl").await,
        no(&ann, "s3:GetObjectAcl", "with an explicit deny in a permissions boundary")
    );
    let user = iam.get_user().user_name("ann").send().await.expect("got").user.expect("a user");
    let shown = user.permissions_boundary.expect("a boundary");
    assert_eq!(shown.permissions_boundary_arn(), Some(bound.as_str()));
    assert_eq!(
        refused(iam.delete_policy().policy_arn(&bound).send().await),
        pair("DeleteConflict", "Cannot delete a policy attached to entities.")
    );
    // A group's deny counts like the user's own.
    iam.create_group().group_name("g").send().await.expect("made");
    iam.put_group_policy()
        .group_name("g")
        .policy_name("p")
        .policy_document(policy(&deny("s3:GetObject", "*")))
        .send()
        .await
        .expect("put");
    iam.add_user_to_group().group_name("g").user_name("ann").send().await.expect("added");
    assert_eq!(
        ask("s3:GetObject").await,
        no(&ann, "s3:GetObject", "with an explicit deny in an identity-based policy")
    );
    iam.delete_user_permissions_boundary().user_name("ann").send().await.expect("deleted");
    assert_eq!(ask("s3:PutObject").await, "allowed");
}

#[tokio::test]
async fn a_user_assumes_a_role_that_trusts_it() {
    let world = World::new().await;
    let key = world.user("ann").await;
    let sts = world.sts(key.clone());
    let trust = |principal: &str, extra: &str| {
        policy(&format!(
            r#"{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":["sts:AssumeRole","sts:TagSession"]{extra}}}"#
        ))
    };
    // Named itself, it needs no permission of its own; a session policy may take from the role, never add.
    world.create_role("named", &trust(&user_arn("ann"), "")).await;
    world.allow("named", &format!("{},{}", allow("s3:*", "*"), allow("sts:AssumeRole", "*"))).await;
    let read = PolicyDescriptorType::builder().arn("arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess").build();
    let assumed = sts.assume_role().role_arn(role_arn("named")).role_session_name("me").policy_arns(read.clone());
    let assumed = assumed.send().await.expect("a session");
    let session = from_wire(assumed.credentials.expect("credentials"));
    let me = format!("arn:aws:sts::{ACCOUNT}:assumed-role/named/me");
    let ask = async |action: &str| world.asked(&session, action, OBJECT, Context::new()).await;
    assert_eq!(ask("s3:GetObject").await, "allowed");
    assert_eq!(
        ask("s3:PutObject").await,
        no(&me, "s3:PutObject", "because no session policy allows the s3:PutObject action")
    );
    assert!(ask("logs:GetLogEvents").await.contains("no identity-based policy"));

    // Trusted through its account, it needs a permission; a deny always counts.
    world.create_role("delegated", &trust(ACCOUNT, "")).await;
    let denied = |role: &str| {
        let text = format!(
            "User: {} is not authorized to perform: sts:AssumeRole on resource: {}",
            user_arn("ann"),
            role_arn(role)
        );
        pair("AccessDenied", &text)
    };
    let assume = |role: &str| sts.assume_role().role_arn(role_arn(role)).role_session_name("me");
    assert_eq!(refused(assume("delegated").send().await), denied("delegated"));
    world.let_user("ann", &allow("sts:AssumeRole", &role_arn("delegated"))).await;
    assume("delegated").send().await.expect("allowed now");
    world.let_user("ann", &deny("sts:*", "*")).await;
    assert_eq!(refused(assume("delegated").send().await), denied("delegated"));
    assert_eq!(refused(assume("named").send().await), denied("named"));
    world.let_user("ann", &allow("s3:*", "*")).await;

    // The confused-deputy guard of third parties.
    let guard = r#","Condition":{"StringEquals":{"sts:ExternalId":"ticket-1"}}"#;
    world.create_role("guarded", &trust(&user_arn("ann"), guard)).await;
    assert_eq!(refused(assume("guarded").send().await), denied("guarded"));
    assert_eq!(refused(assume("guarded").external_id("ticket-2").send().await), denied("guarded"));
    assume("guarded").external_id("ticket-1").send().await.expect("the right ticket");

    // Session tags are conditions' and are handed down.
    let tag = aws_sdk_sts::types::Tag::builder().key("team").value("locks").build().expect("a tag");
    let tagged = assume("named").tags(tag).transitive_tag_keys("team").send().await.expect("tagged");
    let session = from_wire(tagged.credentials.expect("credentials"));
    world
        .allow("named", r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:PrincipalTag/team}/*"}"#)
        .await;
    let ask =
        async |key: &str| world.asked(&session, "s3:GetObject", &format!("arn:aws:s3:::b/{key}"), Context::new()).await;
    assert_eq!(ask("locks/1").await, "allowed");
    assert!(ask("gates/1").await.contains("no identity-based policy"));

    let limits = assume("named").duration_seconds(3_601).send().await;
    assert_eq!(
        refused(limits),
        pair("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
    );
    let unknown = PolicyDescriptorType::builder().arn("arn:aws:iam::aws:policy/AWSNoSuchPolicy").build();
    assert_eq!(refused(assume("named").policy_arns(unknown).send().await).0, "MalformedPolicyDocument");
}

#[tokio::test]
async fn temporary_credentials_of_a_user_are_the_user_but_for_iam() {
    let world = World::new().await;
    let key = world.user("ann").await;
    world.let_user("ann", &allow("*", "*")).await;
    let given = world.sts(key.clone()).get_session_token().duration_seconds(900).send().await.expect("given");
    let session = from_wire(given.credentials.expect("credentials"));
    let who = world.sts(session.clone()).get_caller_identity().send().await.expect("ann");
    assert_eq!(who.arn(), Some(user_arn("ann").as_str()));
    assert_eq!(world.asked(&session, "s3:GetObject", OBJECT, Context::new()).await, "allowed");
    assert_eq!(refused(world.iam(session.clone()).list_users().send().await).0, "InvalidClientTokenId");
    assert_eq!(
        refused(world.sts(session.clone()).get_session_token().send().await),
        pair("AccessDenied", "Cannot call GetSessionToken with session credentials")
    );
    world.clock.advance_seconds(901);
    assert_eq!(refused(world.sts(session).get_caller_identity().send().await).0, "ExpiredToken");
}

#[tokio::test]
async fn a_federated_user_may_what_its_maker_and_the_policy_both_allow() {
    let world = World::new().await;
    let key = world.user("maker").await;
    world.let_user("maker", &format!("{},{}", allow("s3:*", "*"), allow("sts:GetFederationToken", "*"))).await;
    let sts = world.sts(key);
    let made =
        sts.get_federation_token().name("guest").policy(policy(&allow("s3:Get*", "*"))).send().await.expect("made");
    let guest = from_wire(made.credentials.expect("credentials"));
    let arn = format!("arn:aws:sts::{ACCOUNT}:federated-user/guest");
    let who = world.sts(guest.clone()).get_caller_identity().send().await.expect("guest");
    assert_eq!((who.arn(), who.user_id()), (Some(arn.as_str()), Some(format!("{ACCOUNT}:guest").as_str())));
    assert_eq!(world.asked(&guest, "s3:GetObject", OBJECT, Context::new()).await, "allowed");
    assert_eq!(
        world.asked(&guest, "s3:PutObject", OBJECT, Context::new()).await,
        no(&arn, "s3:PutObject", "because no session policy allows the s3:PutObject action")
    );
    let bare = sts.get_federation_token().name("bare").send().await.expect("made");
    let bare = from_wire(bare.credentials.expect("credentials"));
    assert!(world.asked(&bare, "s3:GetObject", OBJECT, Context::new()).await.contains("no session policy"));
    assert_eq!(
        refused(world.sts(guest).get_federation_token().name("more").send().await),
        pair("AccessDenied", "Cannot call GetFederationToken with session credentials")
    );
}
