//! Invoke / StepFunctions: inputs, names, both types of state machine, ends and stops.

use serde_json::json;
use towpath_model::action::{ActionInvocation, Outcome, Progress};
use towpath_model::catalogue::{Category, Owner};

use crate::stage::{MACHINE, Stage, failure, invocation, pending, step_functions, success, zip_of};
use crate::states_peer::StatesPeer;

const EXECUTION: &str =
    "arn:aws:states:eu-west-1:111122223333:execution:ferry:rel-22222222-2222-4222-8222-222222222222";

fn literal(configuration: &[(&str, &str)]) -> ActionInvocation {
    let mut action = invocation(Category::Invoke, Owner::Aws, "StepFunctions", &[("StateMachineArn", MACHINE)]);
    action.configuration.extend(configuration.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    action
}

fn bundle(stage: &Stage, input: &[u8]) {
    let zip = zip_of(&[("flows/start.json", input)]);
    stage.aws.world().s3.put("artifacts", "ferry/bundle/a1B2c3D", &zip, [].into());
}

#[tokio::test]
async fn a_standard_execution_is_waited_for_and_its_output_kept() {
    let stage = Stage::new();
    let peer = StatesPeer::new(&stage, "STANDARD");
    bundle(&stage, br#"{"a": 1}"#);
    let action = step_functions();
    let progress = pending(stage.start(&action).await);
    assert_eq!(progress.external_id.as_deref(), Some(EXECUTION));
    assert_eq!(
        progress.external_url,
        Some(format!("https://console.aws.amazon.com/states/home?region=eu-west-1#/executions/details/{EXECUTION}"))
    );
    let name = "rel-22222222-2222-4222-8222-222222222222";
    assert_eq!(
        peer.0.lock().unwrap().started,
        [json!({"stateMachineArn": MACHINE, "name": name, "input": r#"{"a": 1}"#})]
    );
    assert_eq!(progress.summary, Some(format!("The execution {name} is RUNNING.")));

    let progress = pending(stage.poll(&action, &progress).await);
    StatesPeer::finish(&stage, "SUCCEEDED", &json!({"output": r#"{"b": 2}"#}));
    let (progress, variables, _) = success(stage.poll(&action, &progress).await);
    assert_eq!(progress.external_id.as_deref(), Some(EXECUTION));
    let variables: Vec<_> = variables.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(variables, [("ExecutionArn", EXECUTION), ("StateMachineArn", MACHINE)]);
    let zip = stage.aws.world().s3.newest("artifacts", "ferry/flow/Zk81aLw").unwrap().bytes.clone();
    assert_eq!(zip, zip_of(&[("output.json", br#"{"b": 2}"#)]));
}

#[tokio::test]
async fn an_express_one_is_started_and_left_alone() {
    let stage = Stage::new();
    let peer = StatesPeer::new(&stage, "EXPRESS");
    let action = ActionInvocation { output_artifacts: step_functions().output_artifacts, ..literal(&[]) };
    let (progress, variables, _) = success(stage.start(&action).await);
    assert_eq!(variables.into_iter().collect::<Vec<_>>(), [("StateMachineArn".to_owned(), MACHINE.to_owned())]);
    let id = action.action_execution_id.as_str();
    assert_eq!(progress.external_id, Some(format!("arn:aws:states:eu-west-1:111122223333:express:ferry:{id}:run-1")));
    assert_eq!(peer.0.lock().unwrap().started[0]["input"], "{}", "without Input");
    assert!(stage.aws.world().s3.newest("artifacts", "ferry/flow/Zk81aLw").is_none(), "nothing is written");
    assert_eq!(stage.stop(&action, &progress).await, Ok(()), "nobody can stop it");
}

#[tokio::test]
async fn an_execution_that_is_not_seen_yet_is_waited_for_a_minute() {
    let stage = Stage::new();
    let peer = StatesPeer::new(&stage, "STANDARD");
    let action = literal(&[]);
    let progress = pending(stage.start(&action).await);
    peer.0.lock().unwrap().unseen = 2;
    assert_eq!(pending(stage.poll(&action, &progress).await), progress);
    stage.clock.advance_minutes(1);
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!(code, "ConfigurationError");
    assert!(message.starts_with("Error calling describeExecution: Execution Does Not Exist: 'arn:"), "{message}");
}

#[tokio::test]
async fn executions_that_end_badly() {
    for (status, more, told) in [
        ("FAILED", json!({"error": "Boom", "cause": "no room"}), " Error: Boom. Cause: no room."),
        ("TIMED_OUT", json!({}), ""),
        ("ABORTED", json!({"error": "Stopped"}), " Error: Stopped."),
    ] {
        let stage = Stage::new();
        StatesPeer::install(&stage, "STANDARD");
        let action = literal(&[("ExecutionNamePrefix", "rel")]);
        let progress = pending(stage.start(&action).await);
        StatesPeer::finish(&stage, status, &more);
        let (code, message) = failure(stage.poll(&action, &progress).await);
        assert_eq!((code.as_str(), message), ("JobFailed", format!("The execution {EXECUTION} is {status}.{told}")));
    }
}

#[tokio::test]
async fn a_stop_ends_the_execution_also_where_its_start_was_never_acknowledged() {
    for known in [true, false] {
        let stage = Stage::new();
        let peer = StatesPeer::new(&stage, "STANDARD");
        let action = literal(&[("ExecutionNamePrefix", "rel")]);
        let progress = pending(stage.start(&action).await);
        let progress = if known { progress } else { Progress::default() };
        assert_eq!(stage.stop(&action, &progress).await, Ok(()));
        assert_eq!(peer.0.lock().unwrap().stopped, [EXECUTION]);
    }
}

#[tokio::test]
async fn what_cannot_be_started() {
    let stage = Stage::new();
    let peer = StatesPeer::new(&stage, "STANDARD");
    bundle(&stage, b"\xff");
    let file = |path: &str| {
        let mut action = step_functions();
        action.configuration.insert("Input".to_owned(), path.to_owned());
        action
    };
    let mut without_input = step_functions();
    without_input.input_artifacts.clear();
    for (action, text) in [
        (file("none.json"), "The artifact bundle has no file none.json."),
        (file(""), "Act has the InputType FilePath and no Input. Set Input to the path."),
        (file("flows/start.json"), "The file flows/start.json of the artifact bundle is no UTF-8 text, so no JSON."),
        (without_input, "Act has the InputType FilePath, so it must have exactly one input artifact."),
        (
            literal(&[("Input", "not json")]),
            "Error calling startExecution: Invalid State Machine Execution Input: 'Unrecognized token",
        ),
        (
            literal(&[("StateMachineArn", "arn:aws:states:eu-west-1:111122223333:stateMachine:gone")]),
            "Error calling describeStateMachine: State Machine Does Not Exist: 'arn:",
        ),
        (literal(&[("StateMachineArn", "")]), "The configuration of Act lacks StateMachineArn."),
    ] {
        let (code, message) = failure(stage.start(&action).await);
        assert!(code == "ConfigurationError" && message.starts_with(text), "{code} {message}");
    }
    bundle(&stage, &vec![b' '; 262_145]);
    let (_, message) = failure(stage.start(&file("flows/start.json")).await);
    assert_eq!(message, "The file flows/start.json of the artifact bundle has more than 262144 bytes.");
    peer.0.lock().unwrap().full = true;
    let outcome = stage.start(&literal(&[])).await;
    assert!(matches!(outcome, Outcome::Unavailable { .. }), "there is room again some time: {outcome:?}");
}
