//! What actions wrote in a realm elsewhere.

use serde_json::{Value, json};
use towpath_model::action::{ActionInvocation, Progress};
use towpath_model::catalogue::{Category, Owner};
use towpath_model::time::Timestamp;
use towpath_providers::RealmKind;
use towpath_providers::logs::LogPage;

use crate::stage::{Stage, build, invocation};
use crate::world::{Peer, Request, Response, json_error, json_operation};

const ARN: &str = "arn:aws:logs:eu-west-1:111122223333:log-group:/aws/codebuild/ferry-build:log-stream:one";

/// CloudWatch Logs: one stream that gets a line with every look.
struct Logs(Vec<Value>);

impl Peer for Logs {
    fn operation(&self, request: &Request) -> String {
        json_operation(request)
    }

    fn answer(&mut self, request: &Request) -> Response {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let from: usize = body["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
        match json_operation(request).as_str() {
            "GetLogEvents" if body["logStreamName"] != "one" => {
                json_error(400, "ResourceNotFoundException", "The specified log stream does not exist.")
            }
            "GetLogEvents" => {
                assert_eq!(
                    (&body["logGroupName"], &body["startFromHead"]),
                    (&json!("/aws/codebuild/ferry-build"), &json!(true))
                );
                let events = &self.0[from..];
                Response::ok(json!({"events": events, "nextForwardToken": self.0.len().to_string()}).to_string())
            }
            "FilterLogEvents" if body["logGroupName"] != "/aws/lambda/ferry" => {
                json_error(400, "ResourceNotFoundException", "The specified log group does not exist.")
            }
            // One event a page, and none from before the time that is asked for.
            "FilterLogEvents" => {
                let since = body["startTime"].as_i64().unwrap();
                let mut events = self.0.iter().filter(|event| event["timestamp"].as_i64().unwrap() >= since).skip(from);
                let shown: Vec<&Value> = events.by_ref().take(1).collect();
                let next = events.next().map(|_| (from + 1).to_string());
                Response::ok(json!({"events": shown, "nextToken": next}).to_string())
            }
            other => panic!("no {other}"),
        }
    }

    fn effects(&self) -> usize {
        0
    }
}

/// Step Functions: three events in two pages.
struct States;

impl Peer for States {
    fn operation(&self, request: &Request) -> String {
        json_operation(request)
    }

    fn answer(&mut self, request: &Request) -> Response {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let first = json!({"events": [
            {"timestamp": 1_790_862_132.5, "type": "ExecutionStarted", "id": 1},
            {"timestamp": 1_790_862_133, "type": "TaskStateEntered", "id": 2, "stateEnteredEventDetails": {"name": "Deploy"}},
        ], "nextToken": "more"});
        let second = json!({"events": [{"timestamp": 1_790_862_134, "type": "ExecutionFailed", "id": 3,
            "executionFailedEventDetails": {"error": "States.TaskFailed", "cause": "no such bucket"}}]});
        Response::ok(if body["nextToken"] == "more" { second } else { first }.to_string())
    }

    fn effects(&self) -> usize {
        0
    }
}

const AT: i64 = 1_790_862_132_194;

fn event(text: &str, at: i64) -> Value {
    json!({"timestamp": at, "message": text, "eventId": text})
}

fn lambda() -> ActionInvocation {
    invocation(Category::Invoke, Owner::Aws, "Lambda", &[("FunctionName", "ferry")])
}

fn machine() -> ActionInvocation {
    invocation(Category::Invoke, Owner::Aws, "StepFunctions", &[("StateMachineArn", "arn:m")])
}

fn stage() -> Stage {
    let aws = Stage::new().aws;
    let events = ["one", "two"].map(|text| event(text, AT));
    aws.world().peers.insert("logs".to_owned(), Box::new(Logs(events.into())));
    aws.world().peers.insert("states".to_owned(), Box::new(States));
    Stage::over(&aws, RealmKind::Aws)
}

fn texts(page: &LogPage) -> Vec<&str> {
    page.lines.iter().map(|line| line.text.as_str()).collect()
}

async fn of_build(stage: &Stage, arn: Option<&str>, token: Option<&str>) -> LogPage {
    let action: ActionInvocation = build();
    let progress = Progress { log_stream_arn: arn.map(ToOwned::to_owned), ..Progress::default() };
    stage.provider(&action).logs(&stage.call(), &action, &progress, token).await.unwrap()
}

#[tokio::test]
async fn a_builds_stream_is_read_from_where_the_last_page_ended() {
    let stage = stage();
    let page = of_build(&stage, Some(ARN), None).await;
    assert_eq!((texts(&page), page.next.as_deref()), (vec!["one", "two"], Some("2")));
    assert_eq!(page.lines[0].time.millis(), AT);
    let page = of_build(&stage, Some(ARN), Some("2")).await;
    assert_eq!((texts(&page).len(), page.next.as_deref()), (0, Some("2")));
    let nowhere = ARN.replace("log-stream:one", "log-stream:gone");
    assert_eq!(of_build(&stage, Some(&nowhere), None).await, LogPage::default());
    assert_eq!(of_build(&stage, None, None).await, LogPage::default());
    stage.aws.world().denied.insert("logs:GetLogEvents".to_owned());
    let progress = Progress { log_stream_arn: Some(ARN.to_owned()), ..Progress::default() };
    let problem = stage.provider(&build()).logs(&stage.call(), &build(), &progress, None).await.unwrap_err();
    assert!(problem.detail().contains("is not authorized to perform: logs:GetLogEvents"), "{}", problem.detail());
}

#[tokio::test]
async fn a_functions_group_is_read_from_where_the_last_page_ended() {
    let stage = stage();
    let invoke = ActionInvocation { started: Timestamp::from_millis(AT - 1), ..lambda() };
    let progress = Progress { external_id: Some("ferry:live".to_owned()), ..Progress::default() };
    let read = async |token: Option<&str>| {
        stage.provider(&invoke).logs(&stage.call(), &invoke, &progress, token).await.unwrap()
    };
    let page = read(None).await;
    assert_eq!((texts(&page), page.next.clone()), (vec!["one"], Some(format!("{AT}.1"))));
    let page = read(page.next.as_deref()).await;
    assert_eq!((texts(&page), page.next.clone()), (vec!["two"], Some(format!("{AT}.2"))));
    // More of the same moment, and of a later one.
    let mut events = ["one", "two", "three"].map(|text| event(text, AT)).to_vec();
    events.push(event("four", AT + 5));
    stage.aws.world().peers.insert("logs".to_owned(), Box::new(Logs(events)));
    let page = read(page.next.as_deref()).await;
    assert_eq!((texts(&page), page.next.clone()), (vec!["three"], Some(format!("{AT}.3"))));
    let page = read(page.next.as_deref()).await;
    assert_eq!((texts(&page), page.next.clone()), (vec!["four"], Some(format!("{}.1", AT + 5))));
    let nothing = read(page.next.as_deref()).await;
    assert_eq!((nothing.lines.len(), nothing.next), (0, page.next));
    // A function that has logged nothing yet.
    let gone = Progress { external_id: Some("gone".to_owned()), ..Progress::default() };
    assert_eq!(stage.provider(&invoke).logs(&stage.call(), &invoke, &gone, None).await.unwrap(), LogPage::default());
}

#[tokio::test]
async fn a_state_machines_events_are_lines() {
    let stage = stage();
    let flow = machine();
    let by = |arn: &str| Progress { external_id: Some(arn.to_owned()), ..Progress::default() };
    let read = async |token: Option<&str>| {
        stage.provider(&flow).logs(&stage.call(), &flow, &by("arn:e"), token).await.unwrap()
    };
    let page = read(None).await;
    assert_eq!(
        texts(&page),
        ["ExecutionStarted", "TaskStateEntered Deploy", "ExecutionFailed States.TaskFailed: no such bucket"]
    );
    assert_eq!((page.lines[0].time.millis(), page.next.as_deref()), (1_790_862_132_500, Some("3")));
    assert_eq!(texts(&read(Some("2")).await), ["ExecutionFailed States.TaskFailed: no such bucket"]);
    let nothing = read(Some("3")).await;
    assert_eq!((nothing.lines.len(), nothing.next.as_deref()), (0, Some("3")));
    let express = by("arn:aws:states:eu-west-1:111122223333:express:ferry:x:y");
    assert_eq!(stage.provider(&flow).logs(&stage.call(), &flow, &express, None).await.unwrap(), LogPage::default());
}
