//! Deploy / CloudFormation: what is told of a stack while the action works on it, and of one that is left as it is.

use serde_json::json;
use towpath_model::action::ActionInvocation;

use crate::cloudformation::{bundle, bundle_with, change_set, made, requests, stack};
use crate::cloudformation_peer::CloudsPeer;
use crate::stage::{Stage, artifact, failure, pending, success, unzipped};

const THREE: &str =
    "Resources:\n  A: {Type: AWS::SNS::Topic}\n  B: {Type: AWS::SNS::Topic}\n  C: {Type: AWS::SNS::Topic}\n";

#[tokio::test]
async fn how_many_resources_of_a_creation_are_done() {
    let stage = Stage::new();
    bundle_with(&stage, &[("infra/template.json", THREE)]);
    let peer = CloudsPeer::new(&stage);
    let action = stack("CREATE_UPDATE", &[]);
    let progress = pending(stage.start(&action).await);
    let event = |name: &str, status: &str| peer.clouds().event(name, "", "AWS::SNS::Topic", status, "");
    event("A", "CREATE_IN_PROGRESS");
    event("B", "CREATE_IN_PROGRESS");
    event("A", "CREATE_COMPLETE");
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(progress.percent, Some(33));
    event("B", "CREATE_COMPLETE");
    event("C", "CREATE_COMPLETE");
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(progress.percent, Some(99), "the stack itself is not done");

    // Neither a rollback nor a missing permission takes back what was told.
    peer.clouds().end("ROLLBACK_IN_PROGRESS", "");
    let own = peer.clouds().stacks[0].id.clone();
    peer.clouds().event("ferry", &own, "AWS::CloudFormation::Stack", "ROLLBACK_IN_PROGRESS", "");
    event("A", "DELETE_IN_PROGRESS");
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(progress.percent, Some(99));
    stage.aws.world().denied.insert("cloudformation:DescribeStackEvents".to_owned());
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(progress.percent, Some(99));
    stage.aws.world().denied.clear();
    let before = stage.aws.calls("cloudformation:DescribeStackEvents");
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(progress.percent, Some(99));
    assert_eq!(stage.aws.calls("cloudformation:DescribeStackEvents"), before, "who may not is not asked again");
}

#[tokio::test]
async fn how_many_changes_of_a_change_set_are_done() {
    let stage = Stage::new();
    bundle(&stage);
    made(&stage);
    let peer = CloudsPeer::new(&stage);
    bundle_with(&stage, &[("infra/template.json", r#"{"Resources": {"A": {}, "B": {}, "C": {}, "D": {}}}"#)]);
    let prepare = change_set("CHANGE_SET_REPLACE", &[]);
    let progress = pending(stage.start(&prepare).await);
    CloudsPeer::finish(&stage);
    let (progress, ..) = success(stage.poll(&prepare, &progress).await);
    assert_eq!(progress.percent, Some(100));
    let execute = ActionInvocation {
        action_execution_id: "33333333-3333-4333-8333-333333333333".into(),
        ..change_set("CHANGE_SET_EXECUTE", &[])
    };
    let progress = pending(stage.start(&execute).await);
    peer.clouds().event("A", "", "AWS::SNS::Topic", "CREATE_COMPLETE", "");
    let progress = pending(stage.poll(&execute, &progress).await);
    assert_eq!(progress.percent, Some(25));
    CloudsPeer::finish(&stage);
    let (progress, ..) = success(stage.poll(&execute, &progress).await);
    assert_eq!(progress.percent, Some(100));
}

#[tokio::test]
async fn a_change_set_has_the_outputs_of_the_stack_as_it_is() {
    let stage = Stage::new();
    bundle(&stage);
    let peer = CloudsPeer::with_stack(&stage, "CREATE_COMPLETE");
    peer.clouds().stacks[0].made_of.0 = r#"{"Outputs": {"Name": {"Value": "old"}}}"#.to_owned();
    let action = ActionInvocation {
        output_artifacts: vec![artifact("stack", "ferry/stack/Zk81aLw")],
        ..change_set("CHANGE_SET_REPLACE", &[("OutputFileName", "outputs.json")])
    };
    let progress = pending(stage.start(&action).await);
    CloudsPeer::finish(&stage);
    let (_, variables, _) = success(stage.poll(&action, &progress).await);
    assert_eq!(variables.into_iter().collect::<Vec<_>>(), [("Name".to_owned(), "old".to_owned())]);
    let zip = stage.aws.world().s3.newest("artifacts", "ferry/stack/Zk81aLw").unwrap().bytes.clone();
    let written: serde_json::Value = serde_json::from_slice(&unzipped(&zip)["outputs.json"]).unwrap();
    assert_eq!(written, json!({"Name": "old"}));
    // It updates nothing, so there is nothing to cancel.
    peer.clouds().end("UPDATE_IN_PROGRESS", "");
    assert_eq!(stage.stop(&action, &towpath_model::action::Progress::default()).await, Ok(()));
    assert!(requests(&peer, "CancelUpdateStack").is_empty());
}

#[tokio::test]
async fn the_log_of_a_replacement_has_both_stacks() {
    let stage = Stage::new();
    bundle(&stage);
    let peer = CloudsPeer::with_stack(&stage, "ROLLBACK_COMPLETE");
    let action = stack("REPLACE_ON_FAILURE", &[]);
    let mut progress = pending(stage.start(&action).await);
    let read = async |progress: &_, token: Option<&str>| {
        let page = stage.provider(&action).logs(&stage.call(), &action, progress, token).await.unwrap();
        let texts: Vec<String> = page.lines.into_iter().map(|line| line.text).collect();
        (texts, page.next)
    };
    let own = |status: &str| format!("{status} ferry (AWS::CloudFormation::Stack): User Initiated");
    let (lines, token) = read(&progress, None).await;
    assert_eq!(lines, [own("DELETE_IN_PROGRESS")]);
    for _ in 0..2 {
        CloudsPeer::finish(&stage);
        progress = pending(stage.poll(&action, &progress).await);
        progress = pending(stage.poll(&action, &progress).await);
        if peer.clouds().stacks.len() == 2 {
            break;
        }
    }
    let (lines, _) = read(&progress, token.as_deref()).await;
    assert_eq!(lines, [own("CREATE_IN_PROGRESS")], "who reads on sees the new one");
    CloudsPeer::finish(&stage);
    let (progress, ..) = success(stage.poll(&action, &progress).await);
    let (lines, _) = read(&progress, None).await;
    assert_eq!(lines, [own("DELETE_IN_PROGRESS"), own("CREATE_IN_PROGRESS")], "who reads it all afterwards, both");
}

#[tokio::test]
async fn nothing_is_executed_for_a_policy_that_cannot_be_read() {
    let stage = Stage::new();
    made(&stage);
    let peer = CloudsPeer::new(&stage);
    bundle(&stage);
    let prepare = change_set("CHANGE_SET_REPLACE", &[]);
    let progress = pending(stage.start(&prepare).await);
    CloudsPeer::finish(&stage);
    success(stage.poll(&prepare, &progress).await);
    let execute = ActionInvocation {
        action_execution_id: "33333333-3333-4333-8333-333333333333".into(),
        ..change_set("CHANGE_SET_EXECUTE", &[("TemplateConfiguration", "bundle::cfg/gone.json")])
    };
    let (code, message) = failure(stage.start(&execute).await);
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("ConfigurationError", "File [cfg/gone.json] does not exist in artifact [bundle]")
    );
    assert!(requests(&peer, "ExecuteChangeSet").is_empty());
}

#[tokio::test]
async fn what_to_do_about_a_stack_that_cannot_be_updated() {
    for (mode, status, told) in [
        ("CREATE_UPDATE", "ROLLBACK_COMPLETE", "Delete the stack, or use the action mode REPLACE_ON_FAILURE."),
        ("CREATE_UPDATE", "UPDATE_ROLLBACK_FAILED", "Continue the rollback of its update (ContinueUpdateRollback)."),
        (
            "CREATE_UPDATE",
            "REVIEW_IN_PROGRESS",
            "Nothing but change sets has been made of it: execute one, or use the action mode REPLACE_ON_FAILURE.",
        ),
        ("CHANGE_SET_REPLACE", "ROLLBACK_FAILED", "Delete the stack."),
        ("CHANGE_SET_EXECUTE", "DELETE_IN_PROGRESS", "Wait for its end, and make the change set again."),
    ] {
        let stage = Stage::new();
        bundle(&stage);
        CloudsPeer::with_stack(&stage, status);
        let (_, message) = failure(stage.start(&change_set(mode, &[])).await);
        assert!(
            message.ends_with(&format!("is in {status} state and can not be updated. {told}")),
            "{mode}: {message}"
        );
    }
}
