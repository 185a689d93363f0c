//! Managed policies: their versions, who uses them, what is refused.

use aws_sdk_iam::types::{EntityType, PolicyScopeType};
use towpath_services::identity::policy::Context;

use crate::loopback::ACCOUNT;
use crate::world::{TRUST_PIPELINE, World, allow, deny, pair, policy, refused};

fn decoded(document: Option<&str>) -> String {
    percent_encoding::percent_decode_str(document.expect("a document")).decode_utf8().expect("UTF-8").into_owned()
}

#[tokio::test]
async fn a_managed_policy_and_its_versions() {
    let world = World::new().await;
    let iam = world.iam(world.root());
    let first = policy(&allow("s3:GetObject", "*"));
    let made = iam.create_policy().policy_name("Read").path("/team/").description("reads").policy_document(&first);
    let made = made.send().await.expect("made").policy.expect("a policy");
    let arn = made.arn().expect("an ARN").to_owned();
    assert_eq!(arn, format!("arn:aws:iam::{ACCOUNT}:policy/team/Read"));
    assert_eq!((made.default_version_id(), made.attachment_count(), made.description()), (Some("v1"), Some(0), None));
    let got = iam.get_policy().policy_arn(&arn).send().await.expect("got").policy.expect("a policy");
    assert_eq!((got.description(), got.policy_id()), (Some("reads"), made.policy_id()));
    assert_eq!(
        refused(iam.create_policy().policy_name("READ").policy_document(&first).send().await),
        pair("EntityAlreadyExists", "A policy called READ already exists. Duplicate names are not allowed.")
    );

    let key = world.user("ann").await;
    iam.attach_user_policy().user_name("ann").policy_arn(&arn).send().await.expect("attached");
    iam.attach_user_policy().user_name("ann").policy_arn(&arn).send().await.expect("attached again");
    let may = async |action: &str| world.asked(&key, action, "arn:aws:s3:::b/k", Context::new()).await == "allowed";
    assert!(may("s3:GetObject").await && !may("s3:PutObject").await);

    // A new version counts once it is the default one.
    let second = policy(&allow("s3:PutObject", "*"));
    let version = iam.create_policy_version().policy_arn(&arn).policy_document(&second).send().await.expect("made");
    let version = version.policy_version.expect("a version");
    assert_eq!((version.version_id(), version.is_default_version()), (Some("v2"), false));
    assert!(may("s3:GetObject").await && !may("s3:PutObject").await);
    iam.set_default_policy_version().policy_arn(&arn).version_id("v2").send().await.expect("set");
    assert!(!may("s3:GetObject").await && may("s3:PutObject").await);
    let got = iam.get_policy_version().policy_arn(&arn).version_id("v1").send().await.expect("got");
    assert_eq!(decoded(got.policy_version.expect("a version").document()), first);

    assert_eq!(
        refused(iam.delete_policy_version().policy_arn(&arn).version_id("v2").send().await),
        pair("DeleteConflict", "Cannot delete the default version of a policy.")
    );
    assert_eq!(
        refused(iam.get_policy_version().policy_arn(&arn).version_id("v9").send().await),
        pair("NoSuchEntity", &format!("Policy {arn} version v9 does not exist or is not attachable."))
    );
    for _ in 0..3 {
        iam.create_policy_version().policy_arn(&arn).policy_document(&first).send().await.expect("made");
    }
    assert_eq!(
        refused(iam.create_policy_version().policy_arn(&arn).policy_document(&first).send().await),
        pair(
            "LimitExceeded",
            "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing \
             version."
        )
    );
    let versions = iam.list_policy_versions().policy_arn(&arn).max_items(3).send().await.expect("listed");
    let ids: Vec<_> = versions.versions().iter().filter_map(|version| version.version_id()).collect();
    assert_eq!((ids, versions.is_truncated), (vec!["v5", "v4", "v3"], true));
    let rest = iam.list_policy_versions().policy_arn(&arn).set_marker(versions.marker).send().await.expect("listed");
    assert_eq!(rest.versions().len(), 2);

    assert_eq!(
        refused(iam.delete_policy().policy_arn(&arn).send().await),
        pair("DeleteConflict", "Cannot delete a policy attached to entities.")
    );
    iam.detach_user_policy().user_name("ann").policy_arn(&arn).send().await.expect("detached");
    assert_eq!(
        refused(iam.detach_user_policy().user_name("ann").policy_arn(&arn).send().await),
        pair("NoSuchEntity", &format!("Policy {arn} was not found."))
    );
    assert!(refused(iam.delete_policy().policy_arn(&arn).send().await).1.contains("more than one version"));
    for id in ["v1", "v3", "v4", "v5"] {
        iam.delete_policy_version().policy_arn(&arn).version_id(id).send().await.expect("deleted");
    }
    // A number does not come back.
    let next = iam.create_policy_version().policy_arn(&arn).policy_document(&first).set_as_default(true);
    assert_eq!(next.send().await.expect("made").policy_version.expect("a version").version_id(), Some("v6"));
    iam.delete_policy_version().policy_arn(&arn).version_id("v2").send().await.expect("deleted");
    iam.delete_policy().policy_arn(&arn).send().await.expect("deleted");
    assert_eq!(
        refused(iam.get_policy().policy_arn(&arn).send().await),
        pair("NoSuchEntity", &format!("Policy {arn} was not found."))
    );
    assert_eq!(
        refused(iam.attach_user_policy().user_name("ann").policy_arn(&arn).send().await),
        pair("NoSuchEntity", &format!("Policy {arn} does not exist or is not attachable."))
    );
}

#[tokio::test]
async fn aws_managed_policies_are_there_by_their_arns() {
    let world = World::new().await;
    let iam = world.iam(world.root());
    let admin = "arn:aws:iam::aws:policy/AdministratorAccess";
    let key = world.user("ann").await;
    iam.attach_user_policy().user_name("ann").policy_arn(admin).send().await.expect("attached");
    assert_eq!(world.asked(&key, "codepipeline:StartPipelineExecution", "*", Context::new()).await, "allowed");
    world.iam(key).list_users().send().await.expect("an administrator");
    let got = iam.get_policy().policy_arn(admin).send().await.expect("got").policy.expect("a policy");
    assert_eq!((got.attachment_count(), got.default_version_id()), (Some(1), Some("v1")));
    let version = iam.get_policy_version().policy_arn(admin).version_id("v1").send().await.expect("got");
    let document: serde_json::Value =
        serde_json::from_str(&decoded(version.policy_version.expect("a version").document())).expect("JSON");
    assert_eq!(document["Statement"][0]["Action"], "*");

    let listed = iam.list_policies().scope(PolicyScopeType::Aws).only_attached(true).send().await.expect("listed");
    assert_eq!(listed.policies().iter().filter_map(|policy| policy.arn()).collect::<Vec<_>>(), [admin]);
    assert_eq!(refused(iam.delete_policy().policy_arn(admin).send().await).0, "AccessDenied");
    let unknown = "arn:aws:iam::aws:policy/AWSNoSuchPolicy";
    assert_eq!(
        refused(iam.attach_user_policy().user_name("ann").policy_arn(unknown).send().await),
        pair("NoSuchEntity", &format!("Policy {unknown} does not exist or is not attachable."))
    );

    let approver = world.user("approver").await;
    let arn = "arn:aws:iam::aws:policy/AWSCodePipelineApproverAccess";
    iam.attach_user_policy().user_name("approver").policy_arn(arn).send().await.expect("attached");
    let action = format!("arn:aws:codepipeline:us-east-1:{ACCOUNT}:p/Gate/Ok");
    assert_eq!(world.asked(&approver, "codepipeline:PutApprovalResult", &action, Context::new()).await, "allowed");
    let start = world.asked(&approver, "codepipeline:StartPipelineExecution", &action, Context::new()).await;
    assert!(start.contains("no identity-based policy"), "{start}");
}

#[tokio::test]
async fn who_uses_a_policy_is_told_by_kind_and_usage() {
    let world = World::new().await;
    let iam = world.iam(world.root());
    let arn = world.managed("Shared", &allow("s3:*", "*")).await;
    for index in 0..3 {
        iam.create_user().user_name(format!("u{index}")).send().await.expect("made");
        iam.attach_user_policy().user_name(format!("u{index}")).policy_arn(&arn).send().await.expect("attached");
    }
    world.create_role("r", TRUST_PIPELINE).await;
    iam.attach_role_policy().role_name("r").policy_arn(&arn).send().await.expect("attached");
    iam.create_user().user_name("bound").permissions_boundary(&arn).send().await.expect("made");
    let listed = iam.list_attached_role_policies().role_name("r").send().await.expect("listed");
    assert_eq!(listed.attached_policies()[0].policy_name(), Some("Shared"));

    let entities = iam.list_entities_for_policy().policy_arn(&arn).send().await.expect("listed");
    assert_eq!((entities.policy_users().len(), entities.policy_roles().len()), (4, 1));
    let roles = iam.list_entities_for_policy().policy_arn(&arn).entity_filter(EntityType::Role);
    let roles = roles.send().await.expect("listed");
    assert_eq!((roles.policy_users().len(), roles.policy_roles()[0].role_name()), (0, Some("r")));
    let page = iam.list_entities_for_policy().policy_arn(&arn).max_items(3).send().await.expect("listed");
    assert_eq!((page.policy_roles().len(), page.policy_users().len(), page.is_truncated), (1, 2, true));
    let usage = aws_sdk_iam::types::PolicyUsageType::PermissionsBoundary;
    let bounds =
        iam.list_entities_for_policy().policy_arn(&arn).policy_usage_filter(usage).send().await.expect("listed");
    assert_eq!(bounds.policy_users()[0].user_name(), Some("bound"));
    let got = iam.get_policy().policy_arn(&arn).send().await.expect("got").policy.expect("a policy");
    assert_eq!((got.attachment_count(), got.permissions_boundary_usage_count()), (Some(4), Some(1)));

    assert_eq!(
        refused(iam.delete_role().role_name("r").send().await),
        pair("DeleteConflict", "Cannot delete entity, must detach all policies first.")
    );
    iam.detach_role_policy().role_name("r").policy_arn(&arn).send().await.expect("detached");
    iam.delete_role().role_name("r").send().await.expect("deleted");
    iam.delete_user_permissions_boundary().user_name("bound").send().await.expect("deleted");
    iam.delete_user().user_name("bound").send().await.expect("deleted");
    let got = iam.get_policy().policy_arn(&arn).send().await.expect("got").policy.expect("a policy");
    assert_eq!((got.attachment_count(), got.permissions_boundary_usage_count()), (Some(3), Some(0)));
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let world = World::new().await;
    let iam = world.iam(world.root());
    let long = policy(&allow("s3:*", &format!("arn:aws:s3:::{}", "b".repeat(6_100))));
    assert_eq!(
        refused(iam.create_policy().policy_name("long").policy_document(&long).send().await),
        pair("LimitExceeded", "Cannot exceed quota for PolicySize: 6144")
    );
    assert_eq!(
        refused(iam.create_policy().policy_name("bad").policy_document("{}").send().await).0,
        "MalformedPolicyDocument"
    );
    iam.create_user().user_name("ann").send().await.expect("made");
    let inline = policy(&deny("s3:*", &format!("arn:aws:s3:::{}", "b".repeat(2_000))));
    assert_eq!(
        refused(iam.put_user_policy().user_name("ann").policy_name("p").policy_document(inline).send().await),
        pair("LimitExceeded", "Maximum policy size of 2048 bytes exceeded for user ann")
    );
    for index in 0..10 {
        let arn = world.managed(&format!("p{index}"), &allow("s3:*", "*")).await;
        iam.attach_user_policy().user_name("ann").policy_arn(arn).send().await.expect("attached");
    }
    let arn = world.managed("eleventh", &allow("s3:*", "*")).await;
    assert_eq!(
        refused(iam.attach_user_policy().user_name("ann").policy_arn(arn).send().await),
        pair("LimitExceeded", "Cannot exceed quota for PoliciesPerUser: 10")
    );
    assert_eq!(
        refused(
            iam.create_role().role_name("AWSServiceRoleForX").assume_role_policy_document(TRUST_PIPELINE).send().await
        )
        .0,
        "InvalidInput"
    );
    assert_eq!(
        refused(iam.create_user().user_name("x").permissions_boundary("arn:aws:s3:::not-a-policy").send().await),
        pair("ValidationError", "Value (arn:aws:s3:::not-a-policy) for parameter PermissionsBoundary is invalid.")
    );
}
