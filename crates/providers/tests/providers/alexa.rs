//! Deploy / AlexaSkillsKit: signing in, packages, imports and how they end.

use std::sync::Arc;

use serde_json::json;
use towpath_model::action::ActionInvocation;
use towpath_model::catalogue::{Category, Owner};
use towpath_providers::{AwsEnvironment, Endpoints, RealmKind, RealmSettings, Realms, Service};

use crate::alexa_peer::{ACCESS_TOKEN, AlexaPeer, SKILL};
use crate::conformance::CONFIGURED_SECRET;
use crate::stage::{Stage, artifact, failure, invocation, pending, success, unzipped, zip_of};

pub fn alexa() -> ActionInvocation {
    let configuration = [
        ("ClientId", "amzn1.application-oa2-client.ferry"),
        ("ClientSecret", CONFIGURED_SECRET),
        ("RefreshToken", CONFIGURED_SECRET),
        ("SkillId", SKILL),
    ];
    ActionInvocation {
        input_artifacts: vec![artifact("bundle", "ferry/bundle/a1B2c3D")],
        ..invocation(Category::Deploy, Owner::ThirdParty, "AlexaSkillsKit", &configuration)
    }
}

pub fn with_a_skill(stage: &Stage) {
    let files: [(&str, &[u8]); 3] = [
        ("skill.json", br#"{"manifest": {}}"#),
        ("interactionModel/custom/en-US.json", b"{}"),
        ("lambda/index.js", b"code"),
    ];
    stage.aws.world().s3.put("artifacts", "ferry/bundle/a1B2c3D", &zip_of(&files), [].into());
}

fn prepared() -> (Stage, AlexaPeer) {
    let stage = Stage::new();
    with_a_skill(&stage);
    let peer = AlexaPeer::install(&stage);
    (stage, peer)
}

#[tokio::test]
async fn a_skill_package_is_imported() {
    let (stage, peer) = prepared();
    let action = alexa();
    let progress = pending(stage.start(&action).await);
    assert!(peer.alexa().imports.is_empty(), "the start changes nothing");
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(progress.summary.as_deref(), Some("The import of the skill package is IN_PROGRESS."));
    assert_eq!((progress.external_id.clone(), progress.external_url.clone()), (None, None));
    let names: Vec<String> = unzipped(&peer.alexa().imports[0]).into_keys().collect();
    assert_eq!(names, ["interactionModels/custom/en-US.json", "skill.json"]);
    peer.alexa().shown = json!({"status": "SUCCEEDED"});
    success(stage.poll(&action, &progress).await);
    let alexa = peer.alexa();
    assert_eq!(alexa.signed_in.len(), 1, "one token for all of it");
    let form = &alexa.signed_in[0];
    assert_eq!((form["grant_type"].as_str(), form["refresh_token"].as_str()), ("refresh_token", CONFIGURED_SECRET));
}

#[tokio::test]
async fn overrides_win() {
    let (stage, peer) = prepared();
    let over = zip_of(&[("skill.json", br#"{"manifest": {"stage": "live"}}"#)]);
    stage.aws.world().s3.put("artifacts", "ferry/over/Zz", &over, [].into());
    let mut action = alexa();
    action.input_artifacts.push(artifact("over", "ferry/over/Zz"));
    let progress = pending(stage.start(&action).await);
    pending(stage.poll(&action, &progress).await);
    let files = unzipped(&peer.alexa().imports[0]);
    assert_eq!(files["skill.json"], br#"{"manifest":{"stage":"live"}}"#);
}

#[tokio::test]
async fn a_token_is_renewed_and_never_shown() {
    let (stage, peer) = prepared();
    let action = alexa();
    let progress = pending(stage.start(&action).await);
    peer.alexa().unauthorized = 1;
    let outcome = stage.poll(&action, &progress).await;
    assert!(!format!("{outcome:?}").contains(ACCESS_TOKEN));
    let progress = pending(outcome);
    assert_eq!(peer.alexa().signed_in.len(), 2, "the old one was not accepted");
    stage.clock.advance_minutes(56);
    pending(stage.poll(&action, &progress).await);
    assert_eq!(peer.alexa().signed_in.len(), 3, "the old one is about to end");
    peer.alexa().unauthorized = 2;
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert!(code == "PermissionError" && message.contains("Token is invalid/expired"), "{code} {message}");
}

#[tokio::test]
async fn a_skill_that_is_being_changed_is_waited_for() {
    let (stage, peer) = prepared();
    let action = alexa();
    let progress = pending(stage.start(&action).await);
    peer.alexa().conflicts = 1;
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(progress.summary.as_deref(), Some("The skill is being changed; the import waits."));
    pending(stage.poll(&action, &progress).await);
    assert_eq!(peer.alexa().imports.len(), 1);
}

#[tokio::test]
async fn what_goes_wrong() {
    let (stage, peer) = prepared();
    let action = alexa();
    let progress = pending(stage.start(&action).await);
    let polled = pending(stage.poll(&action, &progress).await);
    let resource = json!({"name": "InteractionModel.en-US", "errors": [{"message": "There are no intents."}]});
    peer.alexa().shown = json!({"status": "FAILED", "errors": [], "skill": {"resources": [resource]}});
    let (code, message) = failure(stage.poll(&action, &polled).await);
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("JobFailed", "The import of the skill package is FAILED. InteractionModel.en-US: There are no intents.")
    );

    let mut gone = alexa();
    gone.configuration.insert("SkillId".to_owned(), "gone".to_owned());
    let (code, message) = failure(stage.poll(&gone, &progress).await);
    assert!(code == "ConfigurationError" && message.contains("Skill gone does not exist."), "{code} {message}");

    stage.aws.world().s3.put("artifacts", "ferry/bundle/a1B2c3D", &zip_of(&[("README", b"")]), [].into());
    let (code, message) = failure(stage.start(&action).await);
    assert!(
        code == "ConfigurationError" && message.starts_with("The artifact bundle is no skill: it has no skill.json"),
        "{message}"
    );

    let (stage, peer) = prepared();
    peer.alexa().refuses =
        Some(json!({"error": "invalid_grant", "error_description": "The request has an invalid grant."}));
    let (code, message) = failure(stage.start(&action).await);
    assert_eq!(code, "ConfigurationError");
    assert_eq!(
        message,
        "Login with Amazon does not sign in with ClientId, ClientSecret and RefreshToken: invalid_grant: The request has an \
         invalid grant."
    );
}

#[test]
fn no_realm_is_needed_for_alexa() {
    let stage = Stage::new();
    let http = stage.aws.http();
    let embedded = RealmSettings {
        name: "embedded".to_owned(),
        kind: RealmKind::Embedded,
        endpoints: Endpoints::one("https://fake.test"),
        credentials: towpath_providers::Credentials::new("k", "s", None, None, "test").into(),
        http: stage.aws.http(),
        clock: Arc::clone(&stage.clock) as Arc<dyn towpath_model::time::Clock>,
        console_url: None,
    };
    let realms = Realms::new(embedded, Vec::new(), AwsEnvironment::default(), Box::new(move || http.clone())).unwrap();
    let realm = realms.for_invocation(&alexa(), Some(Service::AlexaSkillsKit)).unwrap();
    assert_eq!((realm.name(), realm.kind()), ("internet", RealmKind::Aws));
}
