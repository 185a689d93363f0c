//! Users, their keys and their groups.

use aws_sdk_iam::types::StatusType;
use towpath_services::identity::policy::Context;

use crate::loopback::ACCOUNT;
use crate::world::{World, allow, pair, policy, refused, user_arn};

#[tokio::test]
async fn a_user_goes_through_its_whole_life() {
    let world = World::new().await;
    let iam = world.iam(world.root());
    let tag = |key: &str, value: &str| aws_sdk_iam::types::Tag::builder().key(key).value(value).build().expect("a tag");
    let made = iam.create_user().user_name("Ann").path("/team/").tags(tag("Stage", "test")).send().await.expect("made");
    let user = made.user.expect("a user");
    assert_eq!(user.arn, user_arn("team/Ann"));
    assert_eq!((user.user_id.len(), &user.user_id[..4], user.tags().len()), (21, "AIDA", 1));
    assert_eq!(
        refused(iam.create_user().user_name("ANN").send().await),
        pair("EntityAlreadyExists", "User with name ANN already exists.")
    );

    iam.tag_user().user_name("ann").tags(tag("STAGE", "prod")).tags(tag("owner", "me")).send().await.expect("tagged");
    iam.untag_user().user_name("ann").tag_keys("OWNER").send().await.expect("untagged");
    let tags = iam.list_user_tags().user_name("ann").send().await.expect("listed").tags;
    assert_eq!(tags, [tag("STAGE", "prod")]);

    // Renamed and moved: the id, the key, the policies and the groups stay.
    let key = world.key_of("Ann").await;
    world.let_user("Ann", &allow("s3:*", "*")).await;
    let managed = world.managed("Read", &allow("codepipeline:Get*", "*")).await;
    iam.attach_user_policy().user_name("Ann").policy_arn(&managed).send().await.expect("attached");
    iam.create_group().group_name("Devs").send().await.expect("a group");
    iam.add_user_to_group().group_name("devs").user_name("ann").send().await.expect("a member");
    iam.update_user().user_name("ann").new_user_name("Anna").new_path("/").send().await.expect("renamed");
    assert_eq!(
        refused(iam.get_user().user_name("ann").send().await),
        pair("NoSuchEntity", "The user with name ann cannot be found.")
    );
    let renamed = iam.get_user().user_name("anna").send().await.expect("found").user.expect("a user");
    assert_eq!((renamed.arn.as_str(), &renamed.user_id), (user_arn("Anna").as_str(), &user.user_id));
    let who = world.sts(key.clone()).get_caller_identity().send().await.expect("the same key");
    assert_eq!((who.arn(), who.user_id()), (Some(user_arn("Anna").as_str()), Some(user.user_id.as_str())));
    assert_eq!(world.asked(&key, "s3:GetObject", "arn:aws:s3:::b/k", Context::new()).await, "allowed");
    let members = iam.get_group().group_name("DEVS").send().await.expect("a group").users;
    assert_eq!(members.iter().map(|user| user.user_name.as_str()).collect::<Vec<_>>(), ["Anna"]);
    let entities = iam.list_entities_for_policy().policy_arn(&managed).send().await.expect("listed");
    assert_eq!(entities.policy_users()[0].user_name(), Some("Anna"));

    for (last, what) in [
        ("policies", "must detach all policies first."),
        ("inline", "must delete policies first."),
        ("keys", "must delete access keys first."),
        ("groups", "must remove users from group first."),
    ] {
        assert_eq!(
            refused(iam.delete_user().user_name("Anna").send().await),
            pair("DeleteConflict", &format!("Cannot delete entity, {what}"))
        );
        match last {
            "policies" => {
                iam.detach_user_policy().user_name("Anna").policy_arn(&managed).send().await.map(|_| ()).expect(last);
            }
            "inline" => {
                iam.delete_user_policy().user_name("Anna").policy_name("p").send().await.map(|_| ()).expect(last);
            }
            "keys" => {
                let delete = iam.delete_access_key().user_name("Anna").access_key_id(key.access_key_id());
                delete.send().await.map(|_| ()).expect(last);
            }
            _ => {
                let remove = iam.remove_user_from_group().user_name("Anna").group_name("Devs");
                remove.send().await.map(|_| ()).expect(last);
            }
        }
    }
    iam.delete_user().user_name("Anna").send().await.expect("deleted");
    iam.delete_group().group_name("Devs").send().await.expect("deleted");
    assert_eq!(
        refused(world.sts(key).get_caller_identity().send().await),
        pair("InvalidClientTokenId", "The security token included in the request is invalid.")
    );
}

#[tokio::test]
async fn a_key_can_be_switched_off_and_on_and_tells_its_last_use() {
    let world = World::new().await;
    let iam = world.iam(world.root());
    let key = world.user("bob").await;
    let used = async || {
        let asked = iam.get_access_key_last_used().access_key_id(key.access_key_id()).send().await.expect("told");
        let last = asked.access_key_last_used.expect("a use");
        (asked.user_name.expect("a user"), last.service_name, last.region, last.last_used_date.is_some())
    };
    let told = |service: &str, region: &str, dated| ("bob".to_owned(), service.to_owned(), region.to_owned(), dated);
    assert_eq!(used().await, told("N/A", "N/A", false));
    world.sts(key.clone()).get_caller_identity().send().await.expect("bob");
    assert_eq!(used().await, told("sts", "us-east-1", true));

    let status = |status: StatusType| {
        let update = iam.update_access_key().user_name("bob").access_key_id(key.access_key_id()).status(status);
        async move { update.send().await.map(|_| ()).expect("updated") }
    };
    status(StatusType::Inactive).await;
    assert_eq!(refused(world.sts(key.clone()).get_caller_identity().send().await).0, "InvalidClientTokenId");
    let listed = iam.list_access_keys().user_name("bob").send().await.expect("listed").access_key_metadata;
    assert_eq!((listed.len(), listed[0].status()), (1, Some(&StatusType::Inactive)));
    status(StatusType::Active).await;
    world.sts(key.clone()).get_caller_identity().send().await.expect("bob again");

    let second = world.key_of("bob").await;
    assert_ne!(second.access_key_id(), key.access_key_id());
    assert_eq!(
        refused(iam.create_access_key().user_name("bob").send().await),
        pair("LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2")
    );
    let missing = format!("AKIA{}", "A".repeat(16));
    assert_eq!(
        refused(iam.delete_access_key().user_name("bob").access_key_id(&missing).send().await),
        pair("NoSuchEntity", &format!("The Access Key with id {missing} cannot be found."))
    );
    // Another's key is as good as none.
    world.user("eve").await;
    let others = iam.delete_access_key().user_name("eve").access_key_id(key.access_key_id());
    assert_eq!(refused(others.send().await).0, "NoSuchEntity");
}

#[tokio::test]
async fn a_user_manages_itself_without_saying_its_name() {
    let world = World::new().await;
    let key = world.user("carl").await;
    world.let_user("carl", &allow("iam:*", &user_arn("${aws:username}"))).await;
    let own = world.iam(key);
    let user = own.get_user().send().await.expect("itself").user.expect("a user");
    assert_eq!(user.user_name, "carl");
    let made = own.create_access_key().send().await.expect("a second key").access_key.expect("a key");
    assert_eq!(own.list_access_keys().send().await.expect("listed").access_key_metadata.len(), 2);
    own.delete_access_key().access_key_id(made.access_key_id).send().await.expect("deleted");
    assert_eq!(
        refused(own.get_user().user_name("dora").send().await),
        pair(
            "AccessDenied",
            &format!(
                "User: {} is not authorized to perform: iam:GetUser on resource: {} because no identity-based policy \
                 allows the iam:GetUser action",
                user_arn("carl"),
                user_arn("dora")
            )
        )
    );
    let root = world.iam(world.root()).get_user().send().await.expect("root").user.expect("a user");
    assert_eq!((root.arn, root.user_id), (format!("arn:aws:iam::{ACCOUNT}:root"), ACCOUNT.to_owned()));
    assert_eq!(
        refused(world.iam(world.root()).create_access_key().send().await),
        pair("ValidationError", "Must specify userName when calling with non-User credentials")
    );
}

#[tokio::test]
async fn groups_hand_their_policies_to_their_members() {
    let world = World::new().await;
    let iam = world.iam(world.root());
    let key = world.user("dan").await;
    iam.create_group().group_name("Ops").path("/x/").send().await.expect("a group");
    let put =
        iam.put_group_policy().group_name("ops").policy_name("inline").policy_document(policy(&allow("s3:*", "*")));
    put.send().await.expect("put");
    let managed = world.managed("Logs", &allow("logs:*", "*")).await;
    iam.attach_group_policy().group_name("Ops").policy_arn(&managed).send().await.expect("attached");
    let s3 = async || world.asked(&key, "s3:GetObject", "arn:aws:s3:::b/k", Context::new()).await == "allowed";
    let logs = async || world.asked(&key, "logs:PutLogEvents", "*", Context::new()).await == "allowed";
    assert!(!s3().await && !logs().await);
    iam.add_user_to_group().group_name("Ops").user_name("dan").send().await.expect("added");
    assert!(s3().await && logs().await);
    // A new name changes nothing for the members.
    iam.update_group().group_name("Ops").new_group_name("Operators").new_path("/").send().await.expect("renamed");
    assert!(s3().await && logs().await);
    let groups = iam.list_groups_for_user().user_name("dan").send().await.expect("listed").groups;
    assert_eq!(groups[0].arn, format!("arn:aws:iam::{ACCOUNT}:group/Operators"));
    assert_eq!(
        refused(iam.get_group().group_name("Ops").send().await),
        pair("NoSuchEntity", "The group with name Ops cannot be found.")
    );
    assert_eq!(
        refused(iam.delete_group().group_name("Operators").send().await).1,
        "Cannot delete entity, must detach all policies first."
    );
    iam.detach_group_policy().group_name("Operators").policy_arn(&managed).send().await.expect("detached");
    iam.delete_group_policy().group_name("Operators").policy_name("inline").send().await.expect("deleted");
    assert!(!s3().await && !logs().await);
    assert_eq!(
        refused(iam.delete_group().group_name("Operators").send().await).1,
        "Cannot delete entity, must remove users from group first."
    );
    for index in 0..9 {
        iam.create_group().group_name(format!("g{index}")).send().await.expect("a group");
        iam.add_user_to_group().group_name(format!("g{index}")).user_name("dan").send().await.expect("added");
    }
    iam.create_group().group_name("g9").send().await.expect("a group");
    assert_eq!(
        refused(iam.add_user_to_group().group_name("g9").user_name("dan").send().await),
        pair("LimitExceeded", "Cannot exceed quota for GroupsPerUser: 10")
    );
    let page = iam.list_groups().max_items(4).send().await.expect("a page");
    assert_eq!((page.groups.len(), page.is_truncated), (4, true));
    let rest = iam.list_groups().set_marker(page.marker).send().await.expect("the rest");
    assert_eq!((rest.groups.len(), rest.is_truncated), (7, false));
}

#[tokio::test]
async fn users_are_listed_in_pages_and_under_paths() {
    let world = World::new().await;
    let iam = world.iam(world.root());
    for index in 0..5 {
        let path = if index % 2 == 0 { "/even/" } else { "/odd/" };
        iam.create_user().user_name(format!("u{index}")).path(path).send().await.expect("made");
    }
    let first = iam.list_users().path_prefix("/even/").max_items(2).send().await.expect("a page");
    let names = |users: &[aws_sdk_iam::types::User]| users.iter().map(|u| u.user_name.clone()).collect::<Vec<_>>();
    assert_eq!((names(&first.users), first.is_truncated), (vec!["u0".to_owned(), "u2".to_owned()], true));
    // A user that comes between does not shift the pages.
    iam.create_user().user_name("u1a").path("/even/").send().await.expect("made");
    let rest = iam.list_users().path_prefix("/even/").set_marker(first.marker).send().await.expect("the rest");
    assert_eq!((names(&rest.users), rest.is_truncated), (vec!["u4".to_owned()], false));
    let summary = iam.get_account_summary().send().await.expect("told").summary_map.expect("numbers");
    let users = aws_sdk_iam::types::SummaryKeyType::Users;
    assert_eq!(summary.get(&users), Some(&6));
}
