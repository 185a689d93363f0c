//! Deploy / CloudFormation in a realm that does not see the artifact store: artifacts that a stack is told of are staged, and
//! long templates are fetched from a URL.

use serde_json::json;
use towpath_model::action::{ActionInvocation, Outcome};
use towpath_providers::{Abroad, Call, RealmKind, Staging, staging};

use crate::cloudformation::{bundle, bundle_with, requests, stack};
use crate::cloudformation_peer::{CloudsPeer, pairs};
use crate::stage::{ACTION_ROLE, Stage, failure, pending, realm};
use crate::world::Aws;

/// A store at home, and CloudFormation elsewhere.
struct Two {
    home: Stage,
    away: Aws,
    peer: CloudsPeer,
    bucket: Option<String>,
}

impl Two {
    fn new(bucket: Option<&str>) -> Self {
        let (home, away, peer) = (Stage::new(), Aws::default(), CloudsPeer::default());
        away.world().s3.bucket("staging", false);
        away.world().peers.insert("cloudformation".to_owned(), Box::new(peer.clone()));
        Self { home, away, peer, bucket: bucket.map(str::to_owned) }
    }

    async fn start(&self, action: &ActionInvocation) -> Outcome {
        let staging = Staging { bucket: self.bucket.clone(), ..Staging::default() };
        let realm =
            realm(&self.away, RealmKind::Other, &self.home.clock).abroad(Abroad { staging, ..Abroad::default() });
        let call = Call { realm: &realm, ..self.home.call() };
        staging::start(&call, self.home.provider(action), action).await
    }
}

const PLACE: &str = "towpath/ferry/11111111-1111-4111-8111-111111111111/22222222-2222-4222-8222-222222222222/bundle";

#[tokio::test]
async fn artifacts_are_staged_where_a_stack_is_told_of_them() {
    let attribute = json!({"Key": {"Fn::GetArtifactAtt": ["bundle", "ObjectKey"]}}).to_string();
    let two = Two::new(None);
    bundle(&two.home);
    pending(two.start(&stack("CREATE_UPDATE", &[])).await);
    assert!(two.away.world().s3.contents().is_empty(), "a short template is in the request");
    let (_, message) = failure(two.start(&stack("CREATE_UPDATE", &[("ParameterOverrides", &attribute)])).await);
    assert!(message.contains("Add `staging-bucket = \"...\"` to `[realm.test]`"), "{message}");

    let two = Two::new(Some("staging"));
    bundle(&two.home);
    let action = ActionInvocation {
        role_arn: Some(ACTION_ROLE.to_owned()),
        ..stack("CREATE_UPDATE", &[("ParameterOverrides", &attribute)])
    };
    pending(two.start(&action).await);
    let asked = requests(&two.peer, "CreateStack").remove(0);
    assert_eq!(pairs(&asked, "Parameters", "ParameterKey", "ParameterValue").unwrap()["Key"], PLACE);
    assert!(two.away.world().s3.newest("staging", PLACE).is_some(), "and it is there");
}

#[tokio::test]
async fn a_long_template_is_fetched_from_a_url() {
    let long = format!(r#"{{"Metadata": "{}"}}"#, "x".repeat(51_200));
    let two = Two::new(None);
    bundle_with(&two.home, &[("infra/template.json", &long)]);
    let (code, message) = failure(two.start(&stack("CREATE_UPDATE", &[])).await);
    assert!(
        code == "ConfigurationError" && message.contains("has 51216 bytes. CloudFormation takes 51200"),
        "{message}"
    );

    let two = Two::new(Some("staging"));
    bundle_with(&two.home, &[("infra/template.json", &long)]);
    pending(two.start(&stack("CREATE_UPDATE", &[])).await);
    let asked = requests(&two.peer, "CreateStack").remove(0);
    let place = format!("{PLACE}.template");
    let url = &asked["TemplateURL"];
    assert!(url.starts_with(&format!("https://s3.fake.test/staging/{place}?")), "{url}");
    assert!(url.contains("X-Amz-Expires=900") && url.contains("X-Amz-Signature="), "{url}");
    assert!(!asked.contains_key("TemplateBody"));
    assert_eq!(two.away.world().s3.newest("staging", &place).unwrap().bytes, long.as_bytes());

    for (text, told) in [
        (
            format!("{{}}{}", " ".repeat(1024 * 1024)),
            "The file infra/template.json of the artifact bundle has more than 1048576 bytes.",
        ),
        (" \n".to_owned(), "The template infra/template.json of the artifact bundle is empty."),
    ] {
        bundle_with(&two.home, &[("infra/template.json", &text)]);
        let other = ActionInvocation {
            action_execution_id: "33333333-3333-4333-8333-333333333333".into(),
            ..stack("REPLACE_ON_FAILURE", &[("StackName", "other")])
        };
        let (code, message) = failure(two.start(&other).await);
        assert_eq!((code.as_str(), message.as_str()), ("ConfigurationError", told));
    }
}
