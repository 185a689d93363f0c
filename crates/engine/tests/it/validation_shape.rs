//! Lengths, patterns, enumerations and sizes: one row per constraint of the wire model.

use std::collections::BTreeMap;

use towpath_engine::ViolationCode::Validation;
use towpath_model::declaration::{
    ActionDeclaration, Blocker, Condition, Conditions, EncryptionKey, EnvironmentVariable, PipelineDeclaration,
};

use crate::declare::{Pipeline, three_stages, work};
use crate::validation_structure::{violations, with_action};

/// The constraint is told among whatever else is wrong.
fn told(pipeline: &Pipeline, path: &str, constraint: &str) {
    let message = format!("1 validation error detected: Value at '{path}' failed to satisfy constraint: {constraint}");
    let found = violations(pipeline);
    let violation = found.iter().find(|violation| violation.message == message);
    assert!(violation.is_some_and(|v| v.code == Validation), "no {message:?} in {found:#?}");
}

fn silent(pipeline: &Pipeline) {
    let found = violations(pipeline);
    assert!(found.iter().all(|violation| violation.code != Validation), "{found:#?}");
}

const LONGER: &str = "Member must have length greater than or equal to";
const SHORTER: &str = "Member must have length less than or equal to";
const NAME: &str = r"Member must satisfy regular expression pattern: [A-Za-z0-9.@\-_]+";

type Change = Box<dyn Fn(&mut PipelineDeclaration)>;

fn change(change: impl Fn(&mut PipelineDeclaration) + 'static) -> Change {
    Box::new(change)
}

#[test]
fn of_the_pipeline() {
    let key = |id: &str, kind: &str| Some(EncryptionKey { id: id.to_owned(), kind: kind.to_owned() });
    let long_key = key(&"k".repeat(401), "KMS");
    let odd_key = key("alias/x", "kms");
    let table: Vec<(Change, &str, String)> = vec![
        (change(|p| p.name = "".into()), "name", format!("{LONGER} 1")),
        (change(|p| p.name = "x".repeat(101).into()), "name", format!("{SHORTER} 100")),
        (change(|p| p.name = "a b".into()), "name", NAME.to_owned()),
        (change(|p| p.name = "a/b".into()), "name", NAME.to_owned()),
        (
            change(|p| p.role_arn = "arn:aws:iam::1:role/x".to_owned()),
            "roleArn",
            r"Member must satisfy regular expression pattern: arn:aws(-[\w]+)*:iam::[0-9]{12}:role/.*".to_owned(),
        ),
        (
            change(|p| p.role_arn = format!("arn:aws:iam::123456789012:role/{}", "x".repeat(1000))),
            "roleArn",
            format!("{SHORTER} 1024"),
        ),
        (
            change(|p| p.artifact_store.as_mut().unwrap().kind = "s3".to_owned()),
            "artifactStore.type",
            "Member must satisfy enum value set: [S3]".to_owned(),
        ),
        (
            change(|p| p.artifact_store.as_mut().unwrap().location = "ab".to_owned()),
            "artifactStore.location",
            format!("{LONGER} 3"),
        ),
        (
            change(|p| p.artifact_store.as_mut().unwrap().location = "bucket/prefix".to_owned()),
            "artifactStore.location",
            r"Member must satisfy regular expression pattern: [a-zA-Z0-9\-\.]+".to_owned(),
        ),
        (
            change(move |p| p.artifact_store.as_mut().unwrap().encryption_key.clone_from(&long_key)),
            "artifactStore.encryptionKey.id",
            format!("{SHORTER} 400"),
        ),
        (
            change(move |p| p.artifact_store.as_mut().unwrap().encryption_key.clone_from(&odd_key)),
            "artifactStore.encryptionKey.type",
            "Member must satisfy enum value set: [KMS]".to_owned(),
        ),
        (
            change(|p| {
                p.artifact_stores = Some(BTreeMap::from([("eu".to_owned(), p.artifact_store.take().unwrap())]));
            }),
            "artifactStores",
            format!("Map keys must satisfy constraint: [{SHORTER} 30, {LONGER} 4]"),
        ),
        (change(|p| p.version = Some(0)), "version", "Member must have value greater than or equal to 1".to_owned()),
        (change(|p| p.triggers = Some(vec![serde_json::Value::Null; 51])), "triggers", format!("{SHORTER} 50")),
        (change(|p| p.stages[1].name = "a b".into()), "stages.2.member.name", NAME.to_owned()),
        (
            change(|p| p.stages[1].blockers = Some(vec![Blocker { name: String::new(), kind: "Schedule".to_owned() }])),
            "stages.2.member.blockers.1.member.name",
            format!("{LONGER} 1"),
        ),
        (
            change(|p| p.stages[1].blockers = Some(vec![Blocker { name: "x".to_owned(), kind: "Other".to_owned() }])),
            "stages.2.member.blockers.1.member.type",
            "Member must satisfy enum value set: [Schedule]".to_owned(),
        ),
        (
            change(|p| p.stages[1].before_entry = Some(Conditions { conditions: Vec::new() })),
            "stages.2.member.beforeEntry.conditions",
            format!("{LONGER} 1"),
        ),
        (
            change(|p| {
                let empty = Condition { result: Some("MAYBE".to_owned()), rules: Some(Vec::new()) };
                p.stages[1].on_success = Some(Conditions { conditions: vec![empty.clone(), empty] });
            }),
            "stages.2.member.onSuccess.conditions.2.member.result",
            "Member must satisfy enum value set: [ROLLBACK, FAIL, RETRY, SKIP]".to_owned(),
        ),
    ];
    for (change, path, constraint) in table {
        told(&three_stages().with(change), &format!("pipeline.{path}"), &constraint);
    }
    silent(&three_stages().with(|p| {
        p.name = "x".repeat(100).into();
        p.role_arn = "arn:aws-us-gov:iam::123456789012:role/path/role".to_owned();
    }));
}

#[test]
fn of_pipeline_variables() {
    let path = "pipeline.variables.1.member";
    let pattern = r"Member must satisfy regular expression pattern: [A-Za-z0-9@\-_]+";
    told(&three_stages().variable("a.b", None), &format!("{path}.name"), pattern);
    told(&three_stages().variable(&"x".repeat(129), None), &format!("{path}.name"), &format!("{SHORTER} 128"));
    told(&three_stages().variable("a", Some("")), &format!("{path}.defaultValue"), &format!("{LONGER} 1"));
    let described = three_stages().variable("a", None).with(|p| {
        p.variables.as_mut().unwrap()[0].description = Some("x".repeat(201));
    });
    told(&described, &format!("{path}.description"), &format!("{SHORTER} 200"));
    let many = (0..51).fold(three_stages(), |p, i| p.variable(&format!("v{i}"), None));
    told(&many, "pipeline.variables", &format!("{SHORTER} 50"));
    silent(&three_stages().variable(&"x".repeat(128), Some(&"ä".repeat(1000))));
}

#[test]
fn of_actions() {
    type ActionChange = Box<dyn Fn(&mut ActionDeclaration)>;
    fn change(change: impl Fn(&mut ActionDeclaration) + 'static) -> ActionChange {
        Box::new(change)
    }
    let artifact = r"Member must satisfy regular expression pattern: [a-zA-Z0-9_\-]+";
    let kind = "Member must satisfy regular expression pattern: [0-9A-Za-z_-]+";
    let variable = |name: &str, value: &str, kind: Option<&str>| EnvironmentVariable {
        name: name.to_owned(),
        value: value.to_owned(),
        kind: kind.map(str::to_owned),
    };
    let (dashed, empty, odd) =
        (variable("a-b", "v", None), variable("a", "", None), variable("a", "v", Some("SECRET")));
    let table: Vec<(ActionChange, &str, String)> = vec![
        (change(|a| a.name = "a b".into()), "name", NAME.to_owned()),
        (change(|a| a.action_type_id.provider = "x".repeat(36)), "actionTypeId.provider", format!("{SHORTER} 35")),
        (change(|a| a.action_type_id.provider = "a b".to_owned()), "actionTypeId.provider", kind.to_owned()),
        (change(|a| a.action_type_id.version = "x".repeat(10)), "actionTypeId.version", format!("{SHORTER} 9")),
        (change(|a| a.run_order = 0), "runOrder", "Member must have value greater than or equal to 1".to_owned()),
        (change(|a| a.run_order = 1000), "runOrder", "Member must have value less than or equal to 999".to_owned()),
        (
            change(|a| a.configuration = Some(BTreeMap::from([("Text".to_owned(), "x".repeat(1001))]))),
            "configuration",
            format!("Map value must satisfy constraint: [{SHORTER} 1000, {LONGER} 1]"),
        ),
        (
            change(|a| a.configuration = Some(BTreeMap::from([("Text".to_owned(), String::new())]))),
            "configuration",
            format!("Map value must satisfy constraint: [{SHORTER} 1000, {LONGER} 1]"),
        ),
        (
            change(|a| a.configuration = Some(BTreeMap::from([("k".repeat(51), "v".to_owned())]))),
            "configuration",
            format!("Map keys must satisfy constraint: [{SHORTER} 50, {LONGER} 1]"),
        ),
        (change(|a| a.commands = Some(vec!["x".to_owned(); 51])), "commands", format!("{SHORTER} 50")),
        (change(|a| a.commands = Some(vec!["x".repeat(1001)])), "commands.1.member", format!("{SHORTER} 1000")),
        (
            change(|a| a.commands = Some(vec!["a\nb".to_owned()])),
            "commands.1.member",
            "Member must satisfy regular expression pattern: .*".to_owned(),
        ),
        (change(|a| a.input_artifacts[0].name = "a.b".into()), "inputArtifacts.1.member.name", artifact.to_owned()),
        (change(|a| a.output_artifacts[0].name = "a b".into()), "outputArtifacts.1.member.name", artifact.to_owned()),
        (
            change(|a| a.output_artifacts[0].files = Some(Vec::new())),
            "outputArtifacts.1.member.files",
            format!("{LONGER} 1"),
        ),
        (
            change(|a| a.output_artifacts[0].files = Some(vec!["x".repeat(129)])),
            "outputArtifacts.1.member.files.1.member",
            format!("{SHORTER} 128"),
        ),
        (change(|a| a.output_variables = Some(vec!["v".to_owned(); 16])), "outputVariables", format!("{SHORTER} 15")),
        (
            change(|a| a.role_arn = Some("me".to_owned())),
            "roleArn",
            r"Member must satisfy regular expression pattern: arn:aws(-[\w]+)*:iam::[0-9]{12}:role/.*".to_owned(),
        ),
        (change(|a| a.region = Some("eu".to_owned())), "region", format!("{LONGER} 4")),
        (
            change(|a| a.namespace = Some("a.b".into())),
            "namespace",
            r"Member must satisfy regular expression pattern: [A-Za-z0-9@\-_]+".to_owned(),
        ),
        (
            change(|a| a.timeout_in_minutes = Some(4)),
            "timeoutInMinutes",
            "Member must have value greater than or equal to 5".to_owned(),
        ),
        (
            change(|a| a.timeout_in_minutes = Some(86_401)),
            "timeoutInMinutes",
            "Member must have value less than or equal to 86400".to_owned(),
        ),
        (change(|a| a.environment_variables = Some(Vec::new())), "environmentVariables", format!("{LONGER} 1")),
        (
            change(move |a| a.environment_variables = Some(vec![dashed.clone()])),
            "environmentVariables.1.member.name",
            "Member must satisfy regular expression pattern: [A-Za-z0-9_]+".to_owned(),
        ),
        (
            change(move |a| a.environment_variables = Some(vec![empty.clone()])),
            "environmentVariables.1.member.value",
            format!("{LONGER} 1"),
        ),
        (
            change(move |a| a.environment_variables = Some(vec![odd.clone()])),
            "environmentVariables.1.member.type",
            "Member must satisfy enum value set: [PLAINTEXT, SECRETS_MANAGER]".to_owned(),
        ),
    ];
    for (change, path, constraint) in table {
        let action = work("A").input("SOut").output("O").with(change);
        told(&with_action(action), &format!("pipeline.stages.2.member.actions.1.member.{path}"), &constraint);
    }
    silent(&with_action(work("A").order(999).config("Text", &"ä".repeat(1000))));
}
