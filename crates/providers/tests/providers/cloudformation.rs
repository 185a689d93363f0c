//! Deploy / CloudFormation: what each mode asks for, what comes of it, and what is said when nothing does.

use std::collections::BTreeMap;

use serde_json::json;
use towpath_model::action::{ActionInvocation, Progress};
use towpath_model::catalogue::{Category, Owner};

use crate::cloudformation_peer::{CloudsPeer, Form, pairs};
use crate::conformance::CONFIGURED_SECRET;
use crate::stage::{Stage, artifact, failure, invocation, pending, success, unzipped, zip_of};

pub const CFN_ROLE: &str = "arn:aws:iam::444455556666:role/cfn";
const ID: &str = "22222222-2222-4222-8222-222222222222";
const TEMPLATE: &str = r#"{"Parameters": {"Env": {}, "Bucket": {}, "Key": {}, "Place": {}, "Tag": {}, "Token": {}},
    "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
    "Outputs": {"Url": {"Value": "https://ferry.example/?a=1&b=2"}, "Name": {"Value": "ferry"}}}"#;

/// The action on the stack `ferry`.
pub fn stack(mode: &str, more: &[(&str, &str)]) -> ActionInvocation {
    let configuration = [
        ("ActionMode", mode),
        ("StackName", "ferry"),
        ("RoleArn", CFN_ROLE),
        ("TemplatePath", "bundle::infra/template.json"),
    ];
    let mut action = invocation(Category::Deploy, Owner::Aws, "CloudFormation", &configuration);
    action.configuration.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    ActionInvocation { input_artifacts: vec![artifact("bundle", "ferry/bundle/a1B2c3D")], ..action }
}

/// On the change set `next` of the stack.
pub fn change_set(mode: &str, more: &[(&str, &str)]) -> ActionInvocation {
    let mut action = stack(mode, more);
    action.configuration.insert("ChangeSetName".to_owned(), "next".to_owned());
    action
}

pub fn bundle_with(stage: &Stage, files: &[(&str, &str)]) {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    stage.aws.world().s3.put("artifacts", "ferry/bundle/a1B2c3D", &zip_of(&files), [].into());
}

pub fn bundle(stage: &Stage) {
    let settings = json!({"Parameters": {"Env": "staging", "Token": "of the file"}, "Tags": {"team": "canal"},
        "StackPolicy": {"Statement": []}})
    .to_string();
    bundle_with(
        stage,
        &[
            ("infra/template.json", TEMPLATE),
            ("cfg/staging.json", &settings),
            ("meta.json", r#"{"tag": "v7", "list": []}"#),
        ],
    );
}

/// With an output file, settings of a file and a secret among the overrides.
pub fn create_or_update() -> ActionInvocation {
    let overrides = json!({"Token": CONFIGURED_SECRET}).to_string();
    let configured =
        [("TemplateConfiguration", "bundle::cfg/staging.json"), ("ParameterOverrides", overrides.as_str())];
    let action = stack("CREATE_UPDATE", &[configured[0], configured[1], ("OutputFileName", "outputs.json")]);
    ActionInvocation { output_artifacts: vec![artifact("stack", "ferry/stack/Zk81aLw")], ..action }
}

/// A change set that is there to be executed.
pub fn made(stage: &Stage) {
    bundle(stage);
    let peer = CloudsPeer::with_stack(stage, "CREATE_COMPLETE");
    let mut clouds = peer.clouds();
    let (arn, id) = (clouds.arn("changeSet", "next"), clouds.stacks[0].id.clone());
    let set = crate::cloudformation_peer::ChangeSet {
        arn,
        name: "next".to_owned(),
        stack: id,
        status: "CREATE_COMPLETE".to_owned(),
        execution: "AVAILABLE".to_owned(),
        ..Default::default()
    };
    clouds.change_sets.push(set);
}

pub fn requests(peer: &CloudsPeer, operation: &str) -> Vec<Form> {
    let clouds = peer.clouds();
    clouds.requests.iter().filter(|(name, _)| name == operation).map(|(_, form)| form.clone()).collect()
}

fn begun(peer: &CloudsPeer) -> Vec<String> {
    peer.clouds().begun.clone()
}

#[tokio::test]
async fn a_stack_is_made_of_template_configuration_and_overrides() {
    let stage = Stage::new();
    bundle(&stage);
    let peer = CloudsPeer::new(&stage);
    let overrides = json!({
        "Env": "prod",
        "Bucket": {"Fn::GetArtifactAtt": ["bundle", "BucketName"]},
        "Key": {"Fn::GetArtifactAtt": ["bundle", "ObjectKey"]},
        "Place": {"Fn::GetArtifactAtt": ["bundle", "URL"]},
        "Tag": {"Fn::GetParam": ["bundle", "meta.json", "tag"]},
    });
    let mut action = create_or_update();
    action.configuration.insert("ParameterOverrides".to_owned(), overrides.to_string());
    action.configuration.insert("Capabilities".to_owned(), "CAPABILITY_IAM,CAPABILITY_AUTO_EXPAND".to_owned());

    let progress = pending(stage.start(&action).await);
    let asked = requests(&peer, "CreateStack").remove(0);
    let parameters = pairs(&asked, "Parameters", "ParameterKey", "ParameterValue").unwrap();
    let want = [
        ("Bucket", "artifacts"),
        ("Env", "prod"),
        ("Key", "ferry/bundle/a1B2c3D"),
        ("Place", "https://s3.fake.test/artifacts/ferry/bundle/a1B2c3D"),
        ("Tag", "v7"),
        ("Token", "of the file"),
    ];
    assert_eq!(parameters, want.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    assert_eq!(pairs(&asked, "Tags", "Key", "Value"), Some([("team".to_owned(), "canal".to_owned())].into()));
    assert_eq!((asked["TemplateBody"].as_str(), asked["RoleARN"].as_str()), (TEMPLATE, CFN_ROLE));
    assert_eq!(asked["StackPolicyBody"], r#"{"Statement":[]}"#);
    assert_eq!(asked["Capabilities.member.2"], "CAPABILITY_AUTO_EXPAND");
    assert_eq!(asked["ClientRequestToken"], format!("{ID}-create"));

    let made = peer.clouds().stacks[0].clone();
    let (id, role) = (made.id, made.role);
    assert_eq!(
        (progress.external_id.clone(), role.as_deref()),
        (Some(format!("stack/detail?stackId={id}")), Some(CFN_ROLE))
    );
    let url = format!("https://console.aws.amazon.com/cloudformation/home?region=eu-west-1#/stack/detail?stackId={id}");
    assert_eq!(
        (progress.external_url.as_deref(), progress.summary.as_deref()),
        (Some(url.as_str()), Some("Stack ferry is being created."))
    );

    let progress = pending(stage.poll(&action, &progress).await);
    CloudsPeer::finish(&stage);
    let (progress, variables, _) = success(stage.poll(&action, &progress).await);
    assert_eq!(progress.summary.as_deref(), Some("Stack ferry was created."));
    let outputs = BTreeMap::from([("Name", "ferry"), ("Url", "https://ferry.example/?a=1&b=2")]);
    assert_eq!(variables.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<BTreeMap<_, _>>(), outputs);
    let zip = stage.aws.world().s3.newest("artifacts", "ferry/stack/Zk81aLw").unwrap().bytes.clone();
    let written: serde_json::Value = serde_json::from_slice(&unzipped(&zip)["outputs.json"]).unwrap();
    assert_eq!(written, json!(outputs));
}

#[tokio::test]
async fn an_update_without_changes_is_a_success() {
    let stage = Stage::new();
    bundle(&stage);
    let peer = CloudsPeer::with_stack(&stage, "UPDATE_ROLLBACK_COMPLETE");
    let action = create_or_update();
    let progress = pending(stage.start(&action).await);
    assert_eq!(progress.summary.as_deref(), Some("Stack ferry is being updated."));
    CloudsPeer::finish(&stage);
    let (progress, ..) = success(stage.poll(&action, &progress).await);
    assert_eq!(progress.summary.as_deref(), Some("Stack ferry was updated."));
    // The next execution of the pipeline, with the same files.
    let again = ActionInvocation { action_execution_id: "33333333-3333-4333-8333-333333333333".into(), ..action };
    let (_, variables, _) = success(stage.start(&again).await);
    assert_eq!((variables.len(), begun(&peer)), (2, vec!["UpdateStack".to_owned()]));
}

#[tokio::test]
async fn states_in_which_a_mode_does_nothing() {
    for (mode, status) in [
        ("CREATE_UPDATE", "ROLLBACK_COMPLETE"),
        ("CREATE_UPDATE", "UPDATE_ROLLBACK_FAILED"),
        ("CREATE_UPDATE", "REVIEW_IN_PROGRESS"),
        ("REPLACE_ON_FAILURE", "IMPORT_ROLLBACK_FAILED"),
        ("CHANGE_SET_REPLACE", "ROLLBACK_COMPLETE"),
        ("CHANGE_SET_EXECUTE", "DELETE_FAILED"),
        ("CHANGE_SET_EXECUTE", "DELETE_IN_PROGRESS"),
    ] {
        let stage = Stage::new();
        bundle(&stage);
        let peer = CloudsPeer::with_stack(&stage, status);
        let (code, message) = failure(stage.start(&change_set(mode, &[])).await);
        let id = peer.clouds().stacks[0].id.clone();
        let words = format!("Stack:{id} is in {status} state and can not be updated.");
        assert!(code == "ConfigurationError" && message.starts_with(&words), "{mode} {status}: {code} {message}");
        assert!(begun(&peer).is_empty(), "{mode} {status}");
    }
    let stage = Stage::new();
    CloudsPeer::new(&stage);
    let (progress, variables, _) = success(stage.start(&stack("DELETE_ONLY", &[])).await);
    assert_eq!((progress.external_id, variables.len()), (None, 0), "there is nothing to delete");
}

#[tokio::test]
async fn a_failed_stack_is_replaced() {
    let stage = Stage::new();
    bundle(&stage);
    let peer = CloudsPeer::with_stack(&stage, "ROLLBACK_COMPLETE");
    // What another action left.
    peer.clouds().event("Queue", "", "AWS::SQS::Queue", "CREATE_FAILED", "of the last time");
    let action = stack("REPLACE_ON_FAILURE", &[]);
    let progress = pending(stage.start(&action).await);
    assert_eq!(progress.summary.as_deref(), Some("Stack ferry is being deleted, to be created again."));
    assert_eq!(requests(&peer, "DeleteStack")[0]["RoleARN"], CFN_ROLE);
    let progress = pending(stage.poll(&action, &progress).await);
    CloudsPeer::finish(&stage);
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(begun(&peer), ["DeleteStack", "CreateStack"]);
    CloudsPeer::finish(&stage);
    let (progress, ..) = success(stage.poll(&action, &progress).await);
    assert_eq!(progress.summary.as_deref(), Some("Stack ferry was created."));

    // Nothing is deleted for a template that is not there, and nothing twice by one action.
    let broken = ActionInvocation {
        input_artifacts: action.input_artifacts.clone(),
        ..stack("REPLACE_ON_FAILURE", &[("TemplatePath", "bundle::gone.json")])
    };
    peer.clouds().end("ROLLBACK_COMPLETE", "");
    let other = ActionInvocation { action_execution_id: "33333333-3333-4333-8333-333333333333".into(), ..broken };
    assert_eq!(failure(stage.start(&other).await).1, "File [gone.json] does not exist in artifact [bundle]");
    peer.clouds().event("Queue", "", "AWS::SQS::Queue", "CREATE_FAILED", "no such name");
    assert_eq!(failure(stage.start(&action).await).1, "Queue (AWS::SQS::Queue): no such name");
    assert_eq!(begun(&peer).len(), 2, "its own failed creation is not begun again");
}

#[tokio::test]
async fn the_first_resource_that_failed_is_the_reason() {
    let stage = Stage::new();
    bundle(&stage);
    let peer = CloudsPeer::new(&stage);
    let action = stack("CREATE_UPDATE", &[]);
    let progress = pending(stage.start(&action).await);
    let nested = "arn:aws:cloudformation:eu-west-1:444455556666:stack/ferry-Net/77";
    {
        let mut clouds = peer.clouds();
        clouds.event("Topic", "", "AWS::SNS::Topic", "CREATE_IN_PROGRESS", "");
        clouds.event("Topic", "", "AWS::SNS::Topic", "CREATE_FAILED", "Resource creation cancelled");
        clouds.event(
            "Net",
            nested,
            "AWS::CloudFormation::Stack",
            "CREATE_FAILED",
            "Embedded stack was not successfully created",
        );
        clouds.event("Role", "", "AWS::IAM::Role", "CREATE_FAILED", "a second cause");
        clouds.end("ROLLBACK_IN_PROGRESS", "");
    }
    let progress = pending(stage.poll(&action, &progress).await);
    peer.clouds().end("ROLLBACK_COMPLETE", "The following resource(s) failed to create: [Net, Topic].");
    // The nested stack cannot be read: its own failure is told.
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!(code, "JobFailed");
    assert_eq!(message, "Net (AWS::CloudFormation::Stack): Embedded stack was not successfully created");

    let stack_of_net = crate::cloudformation_peer::Stack {
        id: nested.to_owned(),
        status: "ROLLBACK_COMPLETE".to_owned(),
        ..Default::default()
    };
    peer.clouds().stacks.push(stack_of_net);
    peer.clouds().event("Vpc", "", "AWS::EC2::VPC", "CREATE_FAILED", "The CIDR is taken");
    let (_, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!(message, "Net/Vpc (AWS::EC2::VPC): The CIDR is taken");

    // Without the permission the stack's own words are told, as on AWS.
    stage.aws.world().denied.insert("cloudformation:DescribeStackEvents".to_owned());
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!(code, "JobFailed");
    assert_eq!(
        message,
        "Stack ferry is in ROLLBACK_COMPLETE state: The following resource(s) failed to create: [Net, Topic]."
    );
}

#[tokio::test]
async fn somebody_elses_operation_is_waited_for() {
    for refused in [false, true] {
        let stage = Stage::new();
        bundle(&stage);
        let peer = CloudsPeer::with_stack(&stage, if refused { "CREATE_COMPLETE" } else { "UPDATE_IN_PROGRESS" });
        if refused {
            let text = "Stack:arn is in UPDATE_IN_PROGRESS state and can not be updated.".to_owned();
            peer.clouds().answers.push(("UpdateStack".to_owned(), 400, "ValidationError".to_owned(), text));
        }
        let action = stack("CREATE_UPDATE", &[]);
        let progress = pending(stage.start(&action).await);
        assert_eq!(progress.summary.as_deref(), Some("Another operation on stack ferry goes on; waiting for its end."));
        assert!(begun(&peer).is_empty());
        CloudsPeer::finish(&stage);
        let progress = pending(stage.poll(&action, &progress).await);
        assert_eq!((progress.summary.as_deref(), begun(&peer).len()), (Some("Stack ferry is being updated."), 1));
    }
}

#[tokio::test]
async fn a_change_set_is_made_and_executed() {
    let stage = Stage::new();
    bundle(&stage);
    let peer = CloudsPeer::new(&stage);
    let prepare = change_set("CHANGE_SET_REPLACE", &[("TemplateConfiguration", "bundle::cfg/staging.json")]);
    let progress = pending(stage.start(&prepare).await);
    assert_eq!(progress.summary.as_deref(), Some("Change set next is being created."));
    assert_eq!(requests(&peer, "CreateChangeSet")[0]["ChangeSetType"], "CREATE");
    CloudsPeer::finish(&stage);
    let (progress, variables, _) = success(stage.poll(&prepare, &progress).await);
    let arn = peer.clouds().change_sets[0].arn.clone();
    let id = peer.clouds().stacks[0].id.clone();
    assert_eq!(progress.external_id, Some(format!("changeset/detail?changeSetId={arn}&stackId={id}")));
    assert_eq!((progress.summary.as_deref(), variables.len()), (Some("Change set next was created."), 0));

    let configured = [("TemplateConfiguration", "bundle::cfg/staging.json"), ("OutputFileName", "outputs.json")];
    let execute = ActionInvocation {
        action_execution_id: "33333333-3333-4333-8333-333333333333".into(),
        ..change_set("CHANGE_SET_EXECUTE", &configured)
    };
    let progress = pending(stage.start(&execute).await);
    assert_eq!(progress.summary.as_deref(), Some("Change set next is being executed."));
    CloudsPeer::finish(&stage);
    let (progress, variables, _) = success(stage.poll(&execute, &progress).await);
    assert_eq!((progress.summary.as_deref(), variables.len()), (Some("Stack ferry was created."), 2));
    assert_eq!(peer.clouds().stacks[0].policy.as_deref(), Some(r#"{"Statement":[]}"#), "once it is executed");

    // Again with the same files: an empty set, which is left in place and not executed.
    let prepare = ActionInvocation { action_execution_id: "44444444-4444-4444-8444-444444444444".into(), ..prepare };
    let progress = pending(stage.start(&prepare).await);
    CloudsPeer::finish(&stage);
    let progress = pending(stage.poll(&prepare, &progress).await);
    assert_eq!(begun(&peer)[2..], ["DeleteChangeSet", "CreateChangeSet"], "the old one is replaced");
    CloudsPeer::finish(&stage);
    let (progress, ..) = success(stage.poll(&prepare, &progress).await);
    assert_eq!(progress.summary.as_deref(), Some("Change set next was created with no changes."));
    let execute = ActionInvocation { action_execution_id: "55555555-5555-4555-8555-555555555555".into(), ..execute };
    let (progress, variables, _) = success(stage.start(&execute).await);
    assert_eq!(progress.summary.as_deref(), Some("Change set next was executed with no change."));
    assert_eq!((variables.len(), begun(&peer).len()), (2, 4));
}

#[tokio::test]
async fn change_sets_that_cannot_be_made_or_executed() {
    let stage = Stage::new();
    bundle(&stage);
    let peer = CloudsPeer::with_stack(&stage, "CREATE_COMPLETE");
    let (code, message) = failure(stage.start(&change_set("CHANGE_SET_EXECUTE", &[])).await);
    let words = "ChangeSet [next] does not exist (Service: AmazonCloudFormation; Status Code: 404; Error Code: ChangeSetNotFound";
    assert!(code == "ConfigurationError" && message.starts_with(words), "{code} {message}");

    let prepare = change_set("CHANGE_SET_REPLACE", &[]);
    let progress = pending(stage.start(&prepare).await);
    {
        let mut clouds = peer.clouds();
        let set = &mut clouds.change_sets[0];
        "FAILED".clone_into(&mut set.status);
        "Transform AWS::Serverless-2016-10-31 failed".clone_into(&mut set.reason);
    }
    let (code, message) = failure(stage.poll(&prepare, &progress).await);
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("JobFailed", "Change set next could not be created: Transform AWS::Serverless-2016-10-31 failed")
    );
    let execute = ActionInvocation {
        action_execution_id: "33333333-3333-4333-8333-333333333333".into(),
        ..change_set("CHANGE_SET_EXECUTE", &[])
    };
    let (_, message) = failure(stage.start(&execute).await);
    assert_eq!(message, "Change set next is FAILED: Transform AWS::Serverless-2016-10-31 failed");
    {
        let mut clouds = peer.clouds();
        let set = &mut clouds.change_sets[0];
        "CREATE_COMPLETE".clone_into(&mut set.status);
        "OBSOLETE".clone_into(&mut set.execution);
    }
    let (code, message) = failure(stage.start(&execute).await);
    assert!(code == "JobFailed" && message.contains("Error Code: InvalidChangeSetStatus"), "{code} {message}");
}

#[tokio::test]
async fn what_cloudformation_refuses() {
    let iam = r#"{"Resources": {"Role": {"Type": "AWS::IAM::Role"}}}"#;
    let quota = ("CreateStack", 400, "LimitExceededException", "Stack limit of 2000 reached");
    for (template, overrides, answer, code, told) in [
        (TEMPLATE, r#"{"Enf": "prod"}"#, None, "ConfigurationError", "Parameters: [Enf] do not exist in the template"),
        (iam, "{}", None, "ConfigurationError", "Requires capabilities : [CAPABILITY_NAMED_IAM]"),
        (TEMPLATE, "{}", Some(quota), "JobFailed", "Stack limit of 2000 reached"),
    ] {
        let stage = Stage::new();
        bundle_with(&stage, &[("infra/template.json", template)]);
        let peer = CloudsPeer::new(&stage);
        if let Some((operation, status, code, text)) = answer {
            // As often as the SDK asks.
            let refusal = (operation.to_owned(), status, code.to_owned(), text.to_owned());
            peer.clouds().answers.extend(vec![refusal; 5]);
        }
        let (got, message) = failure(stage.start(&stack("CREATE_UPDATE", &[("ParameterOverrides", overrides)])).await);
        assert!(got == code && message.starts_with(told), "{got} {message}");
        assert!(begun(&peer).is_empty());
    }
}

#[tokio::test]
async fn wrong_configurations_are_told_before_anything_is_asked() {
    let stage = Stage::new();
    bundle(&stage);
    CloudsPeer::new(&stage);
    let without = |key: &str| {
        let mut action = change_set("CHANGE_SET_REPLACE", &[]);
        action.configuration.remove(key);
        action
    };
    let with = |key: &str, value: &str| stack("CREATE_UPDATE", &[(key, value)]);
    for (action, told) in [
        (without("ActionMode"), "The configuration of action Act lacks ActionMode."),
        (without("StackName"), "The configuration of action Act lacks StackName."),
        (
            without("RoleArn"),
            "The configuration of action Act lacks RoleArn, which the action mode CHANGE_SET_REPLACE needs.",
        ),
        (without("TemplatePath"), "The configuration of action Act lacks TemplatePath, which"),
        (without("ChangeSetName"), "The configuration of action Act lacks ChangeSetName, which"),
        (
            with("ActionMode", "create_update"),
            "The value of ActionMode is 'create_update'; it must be one of CHANGE_SET_EXECUTE,",
        ),
        (with("StackName", "ferry_1"), "The value of StackName is 'ferry_1'; it must begin with a letter"),
        (with("TemplatePath", "template.json"), "The value of TemplatePath must be Artifact::path"),
        (
            with("TemplatePath", "app::template.json"),
            "TemplatePath of action Act names the artifact app, which is none of its input artifacts.",
        ),
        (with("Capabilities", "CAPABILITY_ALL"), "Capabilities names 'CAPABILITY_ALL'"),
        (with("ParameterOverrides", "{"), "The value of ParameterOverrides is no JSON"),
        (with("OutputFileName", "a/b.json"), "The value of OutputFileName is 'a/b.json'"),
    ] {
        let (code, message) = failure(stage.start(&action).await);
        assert!(code == "ConfigurationError" && message.starts_with(told), "{code} {message}");
    }
    assert!(stage.aws.operations().is_empty(), "nobody was asked");
    for (overrides, told) in [
        (
            r#"{"Tag": {"Fn::GetParam": ["bundle", "meta.json", "none"]}}"#,
            "Fn::GetParam of the parameter Tag: the file meta.json of the artifact bundle has no key none.",
        ),
        (
            r#"{"Tag": {"Fn::GetParam": ["bundle", "meta.json", "list"]}}"#,
            "Fn::GetParam of the parameter Tag: the value of list in the file meta.json",
        ),
        (
            r#"{"Tag": {"Fn::GetParam": ["bundle", "gone.json", "tag"]}}"#,
            "File [gone.json] does not exist in artifact [bundle]",
        ),
        (
            r#"{"Tag": {"Fn::GetArtifactAtt": ["app", "ObjectKey"]}}"#,
            "ParameterOverrides of action Act names the artifact app",
        ),
    ] {
        let (code, message) = failure(stage.start(&with("ParameterOverrides", overrides)).await);
        assert!(code == "ConfigurationError" && message.starts_with(told), "{code} {message}");
    }
    let provider = stage.provider(&stack("CREATE_UPDATE", &[]));
    for (key, value) in [("ParameterOverrides", "[]"), ("Capabilities", "X"), ("TemplatePath", "template.json")] {
        assert!(provider.check_value(key, value).is_err(), "{key} is told when the pipeline is created");
    }
    assert_eq!(provider.check_value("ParameterOverrides", "{}"), Ok(()));
}

#[tokio::test]
async fn the_log_is_the_operations_events_with_those_of_nested_stacks() {
    let stage = Stage::new();
    bundle(&stage);
    let peer = CloudsPeer::with_stack(&stage, "CREATE_COMPLETE");
    peer.clouds().event("Old", "", "AWS::SQS::Queue", "CREATE_COMPLETE", "");
    let action = stack("CREATE_UPDATE", &[]);
    let progress = pending(stage.start(&action).await);
    let nested = "arn:aws:cloudformation:eu-west-1:444455556666:stack/ferry-Net/77";
    peer.clouds().event("Net", nested, "AWS::CloudFormation::Stack", "UPDATE_IN_PROGRESS", "");
    let inner = crate::cloudformation_peer::Stack { id: nested.to_owned(), ..Default::default() };
    peer.clouds().stacks.insert(0, inner);
    let read = async |token: Option<&str>| {
        stage.provider(&action).logs(&stage.call(), &action, &progress, token).await.unwrap()
    };
    let page = read(None).await;
    let texts: Vec<&str> = page.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "UPDATE_IN_PROGRESS ferry (AWS::CloudFormation::Stack): User Initiated",
            "UPDATE_IN_PROGRESS Net (AWS::CloudFormation::Stack)"
        ]
    );
    let token = page.next.unwrap();
    let nothing = read(Some(&token)).await;
    assert_eq!(
        (nothing.lines.len(), nothing.next.as_deref()),
        (0, Some(token.as_str())),
        "the same token: nothing is new"
    );
    {
        let mut clouds = peer.clouds();
        clouds.event("Net", nested, "AWS::CloudFormation::Stack", "UPDATE_FAILED", "Embedded stack");
        clouds.stacks.swap(0, 1);
        clouds.event("Vpc", "", "AWS::EC2::VPC", "UPDATE_FAILED", "The CIDR is taken");
    }
    let page = read(Some(&token)).await;
    let texts: Vec<&str> = page.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "UPDATE_FAILED Net (AWS::CloudFormation::Stack): Embedded stack",
            "UPDATE_FAILED Net/Vpc (AWS::EC2::VPC): The CIDR is taken"
        ]
    );
    stage.aws.world().denied.insert("cloudformation:DescribeStackEvents".to_owned());
    let problem = stage.provider(&action).logs(&stage.call(), &action, &progress, None).await.unwrap_err();
    assert!(problem.detail().contains("is not authorized to perform"), "{}", problem.detail());
}

#[tokio::test]
async fn a_stop_cancels_the_actions_own_update_alone() {
    for (known, foreign, denied, cancelled) in [
        (true, false, false, 1),
        (false, false, false, 1),
        (true, false, true, 1),
        (true, true, false, 0),
        (false, true, false, 0),
    ] {
        let stage = Stage::new();
        bundle(&stage);
        let peer = CloudsPeer::with_stack(&stage, "CREATE_COMPLETE");
        let action = stack("CREATE_UPDATE", &[]);
        let progress = pending(stage.start(&action).await);
        let progress = if known { progress } else { Progress::default() };
        let other =
            ActionInvocation { action_execution_id: "33333333-3333-4333-8333-333333333333".into(), ..action.clone() };
        if denied {
            stage.aws.world().denied.insert("cloudformation:DescribeStackEvents".to_owned());
        }
        assert_eq!(stage.stop(if foreign { &other } else { &action }, &progress).await, Ok(()));
        assert_eq!(requests(&peer, "CancelUpdateStack").len(), cancelled, "{known} {foreign} {denied}");
    }
    let stage = Stage::new();
    bundle(&stage);
    let peer = CloudsPeer::new(&stage);
    let action = stack("CREATE_UPDATE", &[]);
    let progress = pending(stage.start(&action).await);
    assert_eq!(stage.stop(&action, &progress).await, Ok(()), "a creation goes on");
    assert!(requests(&peer, "CancelUpdateStack").is_empty());
}

#[tokio::test]
async fn a_stack_that_vanishes_is_no_success() {
    let stage = Stage::new();
    bundle(&stage);
    let peer = CloudsPeer::new(&stage);
    let action = stack("CREATE_UPDATE", &[]);
    let progress = pending(stage.start(&action).await);
    peer.clouds().stacks.clear();
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert!(code == "JobFailed" && message.ends_with("it was deleted while the action ran."), "{code} {message}");
    let delete = stack("DELETE_ONLY", &[]);
    let peer = CloudsPeer::with_stack(&stage, "ROLLBACK_COMPLETE");
    let progress = pending(stage.start(&delete).await);
    peer.clouds().end("DELETE_FAILED", "The bucket is not empty");
    let (_, message) = failure(stage.poll(&delete, &progress).await);
    assert_eq!(message, "Stack ferry is in DELETE_FAILED state: The bucket is not empty");
    peer.clouds().stacks.clear();
    let (progress, ..) = success(stage.poll(&delete, &progress).await);
    assert_eq!(progress.summary.as_deref(), Some("Stack ferry was deleted."));
}
