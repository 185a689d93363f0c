//! Deploy / ServiceCatalog: both forms of the configuration, the template's way, versions that cannot be made.

use serde_json::json;
use towpath_model::action::ActionInvocation;
use towpath_model::catalogue::{Category, Owner};
use towpath_providers::{Abroad, Call, RealmKind, Staging};

use crate::service_catalog_peer::ServiceCatalogPeer;
use crate::stage::{Stage, artifact, failure, invocation, pending, realm, success, zip_of};

const SETTINGS: &str = r#"{"SchemaVersion": "1.0", "ProductVersionName": "v4", "ProductVersionDescription": "winter",
    "ProductType": "CLOUD_FORMATION_TEMPLATE", "Properties": {"TemplateFilePath": "/infra/product.json"}}"#;

fn with(configuration: &[(&str, &str)]) -> ActionInvocation {
    ActionInvocation {
        input_artifacts: vec![artifact("bundle", "ferry/bundle/a1B2c3D")],
        ..invocation(Category::Deploy, Owner::Aws, "ServiceCatalog", configuration)
    }
}

pub fn service_catalog() -> ActionInvocation {
    with(&[
        ("ProductId", "prod-abcdefgh12345"),
        ("TemplateFilePath", "infra/product.json"),
        ("ProductVersionName", "v4"),
        ("ProductType", "CLOUD_FORMATION_TEMPLATE"),
        ("ProductVersionDescription", "winter"),
    ])
}

fn by_file() -> ActionInvocation {
    with(&[("ProductId", "prod-abcdefgh12345"), ("ConfigurationFilePath", "product.json")])
}

pub fn with_a_template(stage: &Stage) {
    let zip = zip_of(&[("infra/product.json", b"{}"), ("product.json", SETTINGS.as_bytes()), ("bad.json", b"[]")]);
    stage.aws.world().s3.put("artifacts", "ferry/bundle/a1B2c3D", &zip, [].into());
}

fn prepared() -> (Stage, ServiceCatalogPeer) {
    let stage = Stage::new();
    with_a_template(&stage);
    let peer = ServiceCatalogPeer::install(&stage);
    (stage, peer)
}

#[tokio::test]
async fn both_forms_make_the_same_version() {
    for action in [service_catalog(), by_file()] {
        let (stage, peer) = prepared();
        let progress = pending(stage.start(&action).await);
        assert_eq!(progress.external_id.as_deref(), Some("pa-1"));
        assert_eq!(
            progress.external_url.as_deref(),
            Some(
                "https://console.aws.amazon.com/servicecatalog/home?region=eu-west-1#admin-products/prod-abcdefgh12345"
            )
        );
        let key = "towpath/ferry/22222222-2222-4222-8222-222222222222/product.json";
        let url = format!("https://s3.fake.test/artifacts/{key}");
        assert_eq!(peer.catalog().validated, std::slice::from_ref(&url));
        assert_eq!(stage.aws.world().s3.newest("artifacts", key).unwrap().bytes, b"{}");
        let parameters = json!({"Name": "v4", "Description": "winter", "Type": "CLOUD_FORMATION_TEMPLATE",
            "Info": {"LoadTemplateFromURL": url}, "DisableTemplateValidation": false});
        let mut asked = peer.catalog().made[0].clone();
        // False is what the member is by itself, so the SDK need not send it.
        asked["Parameters"].as_object_mut().unwrap().entry("DisableTemplateValidation").or_insert(json!(false));
        assert_eq!(asked["Parameters"], parameters);
        assert_eq!(asked["IdempotencyToken"], "22222222-2222-4222-8222-222222222222");
        let progress = pending(stage.poll(&action, &progress).await);
        "AVAILABLE".clone_into(&mut peer.catalog().status);
        let (progress, _, _) = success(stage.poll(&action, &progress).await);
        assert_eq!(
            progress.summary.as_deref(),
            Some("The version pa-1 of the product prod-abcdefgh12345 is AVAILABLE.")
        );
    }
}

#[tokio::test]
async fn a_version_that_cannot_be_made_is_deleted() {
    let (stage, peer) = prepared();
    let action = service_catalog();
    let progress = pending(stage.start(&action).await);
    "FAILED".clone_into(&mut peer.catalog().status);
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!(code, "JobFailed");
    assert_eq!(
        message,
        "The version pa-1 of the product prod-abcdefgh12345 is FAILED: Service Catalog could not make it of the template."
    );
    assert_eq!(peer.catalog().deleted, ["pa-1"]);
    stage.aws.world().denied.insert("servicecatalog:DeleteProvisioningArtifact".to_owned());
    let (_, message) = failure(stage.poll(&action, &progress).await);
    assert!(
        message.contains(" It could not be deleted: Error calling deleteProvisioningArtifact: User: "),
        "{message}"
    );
}

#[tokio::test]
async fn a_realm_elsewhere_needs_a_bucket() {
    let (stage, peer) = prepared();
    stage.aws.world().s3.bucket("staging", false);
    let home = realm(&stage.aws, RealmKind::Embedded, &stage.clock);
    let action = service_catalog();
    let call = Call { artifacts: &home, ..stage.call() };
    let (code, message) = failure(stage.provider(&action).start(&call, &action).await);
    assert_eq!(code, "ConfigurationError");
    assert!(message.contains("Add `staging-bucket = \"...\"` to `[realm.test]` in towpath.toml"), "{message}");
    assert!(peer.catalog().made.is_empty());
    let staging = Staging { bucket: Some("staging".to_owned()), ..Staging::default() };
    let there = realm(&stage.aws, RealmKind::Other, &stage.clock).abroad(Abroad { staging, ..Abroad::default() });
    let call = Call { realm: &there, artifacts: &home, ..stage.call() };
    pending(stage.provider(&action).start(&call, &action).await);
    assert!(peer.catalog().validated[0].starts_with("https://s3.fake.test/staging/towpath/ferry/"));
}

#[tokio::test]
async fn what_cannot_be_deployed() {
    let (stage, peer) = prepared();
    let changed = |key: &str, value: &str| {
        let mut action = service_catalog();
        action.configuration.insert(key.to_owned(), value.to_owned());
        action
    };
    let bad_file = with(&[("ProductId", "prod-abcdefgh12345"), ("ConfigurationFilePath", "bad.json")]);
    for (action, text) in [
        (
            changed("ProductId", "prod-gone"),
            "Error calling listProvisioningArtifacts: Product \"prod-gone\" not found.",
        ),
        (changed("TemplateFilePath", "none.json"), "The artifact bundle has no file none.json."),
        (changed("ProductType", "EXTERNAL"), "The ProductType is 'EXTERNAL'; it must be CLOUD_FORMATION_TEMPLATE."),
        (changed("ProductVersionName", ""), "The configuration of action Act lacks ProductVersionName."),
        (
            changed("ConfigurationFilePath", "product.json"),
            "Action Act has both ConfigurationFilePath and TemplateFilePath.",
        ),
        (bad_file, "The configuration file bad.json is not what ServiceCatalog expects: "),
    ] {
        let (code, message) = failure(stage.start(&action).await);
        assert!(code == "ConfigurationError" && message.starts_with(text), "{code} {message}");
    }
    peer.catalog().full = true;
    let (code, message) = failure(stage.start(&service_catalog()).await);
    assert!(code == "JobFailed" && message.contains("too many provisioning artifacts"), "{code} {message}");
    peer.catalog().invalid = Some("Template format error: At least one Resources member must be defined.".to_owned());
    let (code, message) = failure(stage.start(&service_catalog()).await);
    assert_eq!(code, "ConfigurationError");
    assert!(message.starts_with("Error calling validateTemplate: Template format error: "), "{message}");
}
