//! Roles: their life, their pages, IAM's words.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use towpath_services::identity::{Identity, IdentityError};

use crate::loopback::{self, ACCOUNT};
use crate::world::{TRUST_PIPELINE, World, pair, refused, role_arn};

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
        refused(iam.list_saml_providers().send().await),
        pair("InvalidAction", "Could not find operation ListSAMLProviders for version 2010-05-08")
    );
}
