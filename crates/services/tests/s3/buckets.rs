//! Buckets and their settings.

use aws_sdk_s3::types::*;

use crate::support::*;

#[tokio::test]
async fn buckets_are_made_found_listed_and_removed() {
    let server = Server::start().await;
    let client = server.bucket("first-bucket").await;
    // Its owner may make it again in us-east-1.
    client.create_bucket().bucket("first-bucket").send().await.unwrap();
    let stranger = server.client_of("AKIASTRANGER", "stranger-secret", None);
    assert_eq!(code(stranger.create_bucket().bucket("first-bucket").send().await), "BucketAlreadyExists 409");

    let europe = CreateBucketConfiguration::builder().location_constraint("eu-west-1".into()).build();
    let made = client.create_bucket().bucket("second.bucket").create_bucket_configuration(europe.clone()).send().await;
    assert_eq!(made.unwrap().location(), Some("/second.bucket"));
    let again = client.create_bucket().bucket("second.bucket").create_bucket_configuration(europe).send().await;
    assert_eq!(
        refusal(again),
        "BucketAlreadyOwnedByYou 409: Your previous request to create the named bucket succeeded and you already own it."
    );
    let location = client.get_bucket_location().bucket("second.bucket").send().await.unwrap();
    assert_eq!(location.location_constraint().map(BucketLocationConstraint::as_str), Some("eu-west-1"));
    let location = client.get_bucket_location().bucket("first-bucket").send().await.unwrap();
    assert_eq!(location.location_constraint().map_or("", BucketLocationConstraint::as_str), "");
    let head = client.head_bucket().bucket("second.bucket").send().await.unwrap();
    assert_eq!(head.bucket_region(), Some("eu-west-1"));

    let listed = client.list_buckets().send().await.unwrap();
    let names: Vec<_> = listed.buckets().iter().filter_map(Bucket::name).collect();
    assert_eq!(names, ["first-bucket", "second.bucket"]);
    assert!(listed.buckets()[0].creation_date().is_some());
    assert!(stranger.list_buckets().send().await.unwrap().buckets().is_empty());
    let page = client.list_buckets().max_buckets(1).send().await.unwrap();
    assert_eq!(page.buckets().len(), 1);
    let next = client.list_buckets().max_buckets(1).continuation_token(page.continuation_token().unwrap());
    assert_eq!(next.send().await.unwrap().buckets()[0].name(), Some("second.bucket"));

    put(&client, "first-bucket", "key", "x").await;
    assert_eq!(
        refusal(client.delete_bucket().bucket("first-bucket").send().await),
        "BucketNotEmpty 409: The bucket you tried to delete is not empty"
    );
    client.delete_object().bucket("first-bucket").key("key").send().await.unwrap();
    client.delete_bucket().bucket("first-bucket").send().await.unwrap();
    assert_eq!(code(client.delete_bucket().bucket("first-bucket").send().await), "NoSuchBucket 404");
    let missing = client.head_bucket().bucket("first-bucket").send().await.unwrap_err();
    assert!(missing.into_service_error().is_not_found());
    assert_eq!(
        refusal(client.list_objects_v2().bucket("first-bucket").send().await),
        "NoSuchBucket 404: The specified bucket does not exist"
    );
}

#[tokio::test]
async fn names_and_regions_follow_the_rules() {
    let server = Server::start().await;
    let client = server.client();
    for name in ["Upper-Case", "ab", "under_score", "sthree-abc", "abc-s3alias"] {
        assert_eq!(code(client.create_bucket().bucket(name).send().await), "InvalidBucketName 400", "{name}");
    }
    let home = CreateBucketConfiguration::builder().location_constraint("us-east-1".into()).build();
    let made = client.create_bucket().bucket("a-bucket").create_bucket_configuration(home).send().await;
    assert_eq!(code(made), "InvalidLocationConstraint 400");
    let west = server.client_with("AKIAOWNER", "owner-secret", None, |config| {
        config.region(aws_sdk_s3::config::Region::new("eu-west-1"))
    });
    assert_eq!(code(west.create_bucket().bucket("a-bucket").send().await), "IllegalLocationConstraintException 400");
}

#[tokio::test]
async fn settings_are_kept_and_told() {
    let server = Server::start().await;
    let client = server.bucket("settings").await;
    let b = "settings";

    let versioning = client.get_bucket_versioning().bucket(b).send().await.unwrap();
    assert_eq!(versioning.status(), None);
    set_versioning(&client, b, "Enabled").await;
    set_versioning(&client, b, "Suspended").await;
    let versioning = client.get_bucket_versioning().bucket(b).send().await.unwrap();
    assert_eq!(versioning.status(), Some(&BucketVersioningStatus::Suspended));

    assert_eq!(
        refusal(client.get_bucket_policy().bucket(b).send().await),
        "NoSuchBucketPolicy 404: The bucket policy does not exist"
    );
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":{"AWS":"210987654321"},
        "Action":"s3:*","Resource":"arn:aws:s3:::settings/*"}]}"#;
    client.put_bucket_policy().bucket(b).policy(policy).send().await.unwrap();
    assert_eq!(client.get_bucket_policy().bucket(b).send().await.unwrap().policy(), Some(policy));
    assert_eq!(code(client.put_bucket_policy().bucket(b).policy("{}").send().await), "MalformedPolicy 400");
    let public = policy.replace("Deny", "Allow").replace("{\"AWS\":\"210987654321\"}", "\"*\"");
    assert_eq!(code(client.put_bucket_policy().bucket(b).policy(public).send().await), "AccessDenied 403");
    client.delete_bucket_policy().bucket(b).send().await.unwrap();
    assert_eq!(code(client.get_bucket_policy().bucket(b).send().await), "NoSuchBucketPolicy 404");

    assert_eq!(code(client.get_bucket_tagging().bucket(b).send().await), "NoSuchTagSet 404");
    let tag = Tag::builder().key("team").value("lock keepers").build().unwrap();
    let tagging = Tagging::builder().tag_set(tag.clone()).build().unwrap();
    client.put_bucket_tagging().bucket(b).tagging(tagging).send().await.unwrap();
    assert_eq!(client.get_bucket_tagging().bucket(b).send().await.unwrap().tag_set(), [tag]);
    client.delete_bucket_tagging().bucket(b).send().await.unwrap();
    assert_eq!(code(client.get_bucket_tagging().bucket(b).send().await), "NoSuchTagSet 404");

    let block = client.get_public_access_block().bucket(b).send().await.unwrap();
    assert_eq!(block.public_access_block_configuration().unwrap().block_public_acls(), Some(true));
    let open = PublicAccessBlockConfiguration::builder().ignore_public_acls(true).build();
    client.put_public_access_block().bucket(b).public_access_block_configuration(open).send().await.unwrap();
    let block = client.get_public_access_block().bucket(b).send().await.unwrap();
    let block = block.public_access_block_configuration().unwrap().clone();
    assert_eq!((block.block_public_acls(), block.ignore_public_acls()), (Some(false), Some(true)));
    client.delete_public_access_block().bucket(b).send().await.unwrap();
    assert_eq!(
        code(client.get_public_access_block().bucket(b).send().await),
        "NoSuchPublicAccessBlockConfiguration 404"
    );

    let controls = client.get_bucket_ownership_controls().bucket(b).send().await.unwrap();
    let rule = controls.ownership_controls().unwrap().rules()[0].clone();
    assert_eq!(rule.object_ownership(), &ObjectOwnership::BucketOwnerEnforced);
    client.delete_bucket_ownership_controls().bucket(b).send().await.unwrap();
    assert_eq!(
        code(client.get_bucket_ownership_controls().bucket(b).send().await),
        "OwnershipControlsNotFoundError 404"
    );
    let rule = OwnershipControlsRule::builder().object_ownership(ObjectOwnership::ObjectWriter).build().unwrap();
    let controls = OwnershipControls::builder().rules(rule).build().unwrap();
    client.put_bucket_ownership_controls().bucket(b).ownership_controls(controls).send().await.unwrap();
    client.put_bucket_acl().bucket(b).acl(BucketCannedAcl::PublicRead).send().await.unwrap();
    let acl = client.get_bucket_acl().bucket(b).send().await.unwrap();
    let permissions: Vec<_> = acl.grants().iter().filter_map(Grant::permission).collect();
    assert_eq!(permissions, [&Permission::FullControl, &Permission::Read]);
    assert_eq!(acl.owner().unwrap().id().unwrap().len(), 64);
    // The grants just told are accepted back as what they are.
    let told =
        AccessControlPolicy::builder().set_grants(Some(acl.grants().to_vec())).owner(acl.owner().unwrap().clone());
    client.put_bucket_acl().bucket(b).access_control_policy(told.build()).send().await.unwrap();
    assert_eq!(client.get_bucket_acl().bucket(b).send().await.unwrap().grants().len(), 2);
}

#[tokio::test]
async fn encryption_and_notifications_are_honest() {
    let server = Server::start().await;
    let client = server.bucket("honest").await;
    let b = "honest";
    let encryption = client.get_bucket_encryption().bucket(b).send().await.unwrap();
    let rule = encryption.server_side_encryption_configuration().unwrap().rules()[0].clone();
    let default = rule.apply_server_side_encryption_by_default().unwrap();
    assert_eq!(default.sse_algorithm(), &ServerSideEncryption::Aes256);
    let configure = |algorithm| {
        let default = ServerSideEncryptionByDefault::builder().sse_algorithm(algorithm).build().unwrap();
        let rule = ServerSideEncryptionRule::builder().apply_server_side_encryption_by_default(default).build();
        let configuration = ServerSideEncryptionConfiguration::builder().rules(rule).build().unwrap();
        client.put_bucket_encryption().bucket(b).server_side_encryption_configuration(configuration).send()
    };
    configure(ServerSideEncryption::Aes256).await.unwrap();
    assert!(refusal(configure(ServerSideEncryption::AwsKms).await).contains("KMS is not embedded yet"));
    let put = || client.put_object().bucket(b).key("k").server_side_encryption(ServerSideEncryption::AwsKms);
    assert!(
        refusal(put().ssekms_key_id("mine").body(b"x".to_vec().into()).send().await).starts_with("NotImplemented 501")
    );
    put().body(b"x".to_vec().into()).send().await.unwrap();

    let none = client.get_bucket_notification_configuration().bucket(b).send().await.unwrap();
    assert!(none.topic_configurations().is_empty() && none.event_bridge_configuration().is_none());
    let empty = NotificationConfiguration::builder().build();
    client.put_bucket_notification_configuration().bucket(b).notification_configuration(empty).send().await.unwrap();
    let events = NotificationConfiguration::builder()
        .event_bridge_configuration(EventBridgeConfiguration::builder().build())
        .build();
    let refused =
        client.put_bucket_notification_configuration().bucket(b).notification_configuration(events).send().await;
    assert_eq!(code(refused), "NotImplemented 501");

    assert_eq!(code(client.get_bucket_cors().bucket(b).send().await), "NoSuchCORSConfiguration 404");
    assert_eq!(
        code(client.get_bucket_lifecycle_configuration().bucket(b).send().await),
        "NoSuchLifecycleConfiguration 404"
    );
    assert_eq!(code(client.get_bucket_website().bucket(b).send().await), "NoSuchWebsiteConfiguration 404");
    assert_eq!(
        code(client.get_bucket_replication().bucket(b).send().await),
        "ReplicationConfigurationNotFoundError 404"
    );
    assert_eq!(
        code(client.get_object_lock_configuration().bucket(b).send().await),
        "ObjectLockConfigurationNotFoundError 404"
    );
    assert!(client.get_bucket_logging().bucket(b).send().await.unwrap().logging_enabled().is_none());
    assert!(client.get_bucket_accelerate_configuration().bucket(b).send().await.unwrap().status().is_none());
    let payer = client.get_bucket_request_payment().bucket(b).send().await.unwrap();
    assert_eq!(payer.payer(), Some(&Payer::BucketOwner));
    assert_eq!(code(client.get_bucket_policy_status().bucket(b).send().await), "NotImplemented 501");
}

#[tokio::test]
async fn canned_acls_need_a_bucket_that_allows_them() {
    let server = Server::start().await;
    let client = server.bucket("closed").await;
    let public = |bucket: &str| {
        let put = client.put_object().bucket(bucket).key("k").acl(ObjectCannedAcl::PublicRead);
        put.body(b"open".to_vec().into()).send()
    };
    assert_eq!(refusal(public("closed").await), "AccessControlListNotSupported 400: The bucket does not allow ACLs");
    let owner = client.put_object().bucket("closed").key("k").acl(ObjectCannedAcl::BucketOwnerFullControl);
    owner.body(b"x".to_vec().into()).send().await.unwrap();
    let made = client.create_bucket().bucket("with-acl").acl(BucketCannedAcl::PublicRead).send().await;
    assert_eq!(code(made), "InvalidBucketAclWithObjectOwnership 400");

    client.create_bucket().bucket("opened").object_ownership(ObjectOwnership::ObjectWriter).send().await.unwrap();
    assert_eq!(code(public("opened").await), "AccessDenied 403");
    client.delete_public_access_block().bucket("opened").send().await.unwrap();
    public("opened").await.unwrap();
    let acl = client.get_object_acl().bucket("opened").key("k").send().await.unwrap();
    assert_eq!(acl.grants().len(), 2);
    put(&client, "opened", "secret", "closed").await;

    let answer = server.get("/opened/k").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("open"), "{answer}");
    assert!(server.get("/opened/secret").await.contains("<Code>AccessDenied</Code><Message>Access Denied</Message>"));
    assert!(server.get("/opened/missing").await.contains("<Code>AccessDenied</Code>"));
    assert!(server.get("/opened").await.contains("<Code>AccessDenied</Code>"));
    client.put_bucket_acl().bucket("opened").acl(BucketCannedAcl::PublicRead).send().await.unwrap();
    assert!(server.get("/opened?list-type=2").await.contains("<Key>secret</Key>"));
    // What is opened can be closed again without touching each object.
    let ignore = PublicAccessBlockConfiguration::builder().ignore_public_acls(true).build();
    client.put_public_access_block().bucket("opened").public_access_block_configuration(ignore).send().await.unwrap();
    assert!(server.get("/opened/k").await.starts_with("HTTP/1.1 403"));
    client.put_object_acl().bucket("opened").key("k").acl(ObjectCannedAcl::Private).send().await.unwrap();
    assert_eq!(client.get_object_acl().bucket("opened").key("k").send().await.unwrap().grants().len(), 1);
}
