//! Step Functions as far as CodePipeline uses it, written from the service's API model and its recorded errors: state
//! machines of either type whose executions go on until a test ends them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::stage::{MACHINE, Stage};
use crate::world::{Peer, Request, Response, json_error, json_operation};

#[derive(Default)]
pub struct States {
    /// STANDARD or EXPRESS by ARN.
    pub machines: BTreeMap<String, String>,
    /// As DescribeExecution shows them, by ARN.
    pub executions: BTreeMap<String, Value>,
    /// Requests of executions that were really started.
    pub started: Vec<Value>,
    pub stopped: Vec<String>,
    /// How many more looks do not find a new execution.
    pub unseen: usize,
    /// No execution is started any more.
    pub full: bool,
}

#[derive(Clone, Default)]
pub struct StatesPeer(pub Arc<Mutex<States>>);

impl StatesPeer {
    /// One with the state machine `ferry`.
    pub fn install(stage: &Stage, kind: &str) {
        Self::new(stage, kind);
    }

    pub fn new(stage: &Stage, kind: &str) -> Self {
        let peer = Self::default();
        peer.0.lock().unwrap().machines.insert(MACHINE.to_owned(), kind.to_owned());
        stage.aws.world().peers.insert("states".to_owned(), Box::new(peer.clone()));
        peer
    }

    /// Ends every execution. The world hands a peer out as a request alone, so this is one too.
    pub fn finish(stage: &Stage, status: &str, more: &Value) {
        let body = json!({"status": status, "more": more}).to_string().into_bytes();
        let request = Request {
            service: "states".to_owned(),
            region: String::new(),
            access_key: String::new(),
            method: "POST".to_owned(),
            host: String::new(),
            path: "/".to_owned(),
            query: BTreeMap::new(),
            headers: [("x-amz-target".to_owned(), "Test.Finish".to_owned())].into(),
            body,
        };
        stage.aws.world().peers.get_mut("states").unwrap().answer(&request);
    }
}

impl States {
    fn start(&mut self, body: &Value) -> Response {
        let machine = body["stateMachineArn"].as_str().unwrap();
        let Some(kind) = self.machines.get(machine) else { return missing(machine) };
        if self.full {
            let text = "The maximum number of running executions has been reached.";
            return json_error(400, "ExecutionLimitExceeded", text);
        }
        if serde_json::from_str::<Value>(body["input"].as_str().unwrap()).is_err() {
            let text =
                "Invalid State Machine Execution Input: 'Unrecognized token 'not': was expecting (JSON String, ...)'";
            return json_error(400, "InvalidExecutionInput", text);
        }
        let name = body["name"].as_str().unwrap();
        if kind == "EXPRESS" {
            self.started.push(body.clone());
            let arn = format!("{}:{name}:run-{}", machine.replace("stateMachine", "express"), self.started.len());
            return Response::ok(json!({"executionArn": arn, "startDate": 1.5}).to_string());
        }
        let arn = format!("{}:{name}", machine.replace("stateMachine", "execution"));
        let known =
            self.executions.get(&arn).map(|known| known["status"] == "RUNNING" && known["input"] == body["input"]);
        match known {
            Some(true) => {}
            Some(false) => {
                return json_error(400, "ExecutionAlreadyExists", &format!("Execution Already Exists: '{arn}'"));
            }
            None => {
                self.started.push(body.clone());
                let execution = json!({"executionArn": arn, "stateMachineArn": machine, "name": name, "status": "RUNNING",
                    "startDate": 1.5, "input": body["input"], "inputDetails": {"included": true}});
                self.executions.insert(arn.clone(), execution);
            }
        }
        Response::ok(json!({"executionArn": arn, "startDate": 1.5}).to_string())
    }
}

fn missing(machine: &str) -> Response {
    json_error(400, "StateMachineDoesNotExist", &format!("State Machine Does Not Exist: '{machine}'"))
}

impl Peer for StatesPeer {
    fn operation(&self, request: &Request) -> String {
        json_operation(request)
    }

    fn answer(&mut self, request: &Request) -> Response {
        let mut states = self.0.lock().unwrap();
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let execution = body["executionArn"].as_str().unwrap_or_default().to_owned();
        let absent = || json_error(400, "ExecutionDoesNotExist", &format!("Execution Does Not Exist: '{execution}'"));
        match json_operation(request).as_str() {
            "DescribeStateMachine" => {
                let machine = body["stateMachineArn"].as_str().unwrap();
                let Some(kind) = states.machines.get(machine) else { return missing(machine) };
                let shown = json!({"stateMachineArn": machine, "name": "ferry", "definition": "{}", "type": kind,
                    "roleArn": "arn:aws:iam::111122223333:role/flow", "creationDate": 1.5});
                Response::ok(shown.to_string())
            }
            "StartExecution" => states.start(&body),
            "DescribeExecution" => {
                if states.unseen > 0 {
                    states.unseen -= 1;
                    return absent();
                }
                states.executions.get(&execution).map_or_else(absent, |found| Response::ok(found.to_string()))
            }
            "StopExecution" if execution.contains(":express:") => {
                json_error(400, "InvalidArn", "Invalid Arn: 'Resource type not valid in this context: express'")
            }
            "StopExecution" => {
                let Some(found) = states.executions.get_mut(&execution) else { return absent() };
                if found["status"] == "RUNNING" {
                    found["status"] = json!("ABORTED");
                    found["error"] = body["error"].clone();
                    states.stopped.push(execution.clone());
                }
                Response::ok(json!({"stopDate": 2.5}).to_string())
            }
            "Finish" => {
                for found in states.executions.values_mut() {
                    found["status"] = body["status"].clone();
                    for (name, value) in body["more"].as_object().unwrap() {
                        found[name] = value.clone();
                    }
                }
                Response::ok("{}")
            }
            other => panic!("the fake Step Functions has no {other}"),
        }
    }

    fn effects(&self) -> usize {
        self.0.lock().unwrap().started.len()
    }
}
