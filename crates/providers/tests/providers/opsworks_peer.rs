//! OpsWorks Stacks as far as a deployment uses it: one stack with an app, a layer and two instances, in the JSON protocol.
//! Written from the service's API model, which AWS's SDKs carried until it was retired. Deployments go on until a test ends
//! them.

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::stage::Stage;
use crate::world::{Peer, Request, Response, json_error, json_operation};

pub const STACK: &str = "0a1b2c3d-0000-4000-8000-000000000001";
pub const APP: &str = "0a1b2c3d-0000-4000-8000-000000000002";
pub const LAYER: &str = "0a1b2c3d-0000-4000-8000-000000000003";

#[derive(Default)]
pub struct Stack {
    /// What UpdateApp was told of the app's source, in order.
    pub sources: Vec<Value>,
    /// What CreateDeployment was asked.
    pub asked: Vec<Value>,
    /// As DescribeDeployments shows them.
    pub deployments: Vec<Value>,
    /// As DescribeCommands shows them, of every deployment.
    pub commands: Vec<Value>,
}

#[derive(Clone, Default)]
pub struct OpsWorksPeer(Arc<Mutex<Stack>>);

impl OpsWorksPeer {
    pub fn install(stage: &Stage) -> Self {
        let peer = Self::default();
        stage.aws.world().peers.insert("opsworks".to_owned(), Box::new(peer.clone()));
        peer
    }

    pub fn stack(&self) -> MutexGuard<'_, Stack> {
        self.0.lock().unwrap()
    }
}

impl Stack {
    fn deploy(&mut self, body: &Value) -> Response {
        if body["StackId"] != STACK {
            return missing("stack", &body["StackId"]);
        }
        self.asked.push(body.clone());
        let id = format!("d-{}", self.asked.len());
        self.deployments.push(json!({"DeploymentId": id, "StackId": STACK, "AppId": body["AppId"],
            "Comment": body["Comment"], "Command": body["Command"], "Status": "running"}));
        self.commands = ["i-1", "i-2"]
            .map(|instance| {
                json!({"CommandId": format!("c-{instance}"), "InstanceId": instance, "DeploymentId": id, "Type": "deploy",
                       "Status": "pending"})
            })
            .to_vec();
        Response::ok(json!({"DeploymentId": id}).to_string())
    }

    /// The end of one instance's command.
    pub fn end(&mut self, instance: usize, status: &str, code: i32, at: &str) {
        let command = &mut self.commands[instance];
        command["Status"] = json!(status);
        command["ExitCode"] = json!(code);
        command["CompletedAt"] = json!(at);
        command["LogUrl"] = json!(format!("https://logs.test/{instance}"));
    }

    fn of(&self, body: &Value) -> Vec<&Value> {
        let wanted = |deployment: &&Value| match &body["DeploymentIds"] {
            Value::Array(ids) => ids.contains(&deployment["DeploymentId"]),
            _ => deployment["AppId"] == body["AppId"],
        };
        self.deployments.iter().filter(wanted).collect()
    }
}

fn missing(kind: &str, id: &Value) -> Response {
    json_error(400, "ResourceNotFoundException", &format!("Unable to find {kind} with ID {}", id.as_str().unwrap()))
}

impl Peer for OpsWorksPeer {
    fn operation(&self, request: &Request) -> String {
        json_operation(request)
    }

    fn answer(&mut self, request: &Request) -> Response {
        assert!(request.headers["x-amz-target"].starts_with("OpsWorks_20130218."), "as its model says");
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let mut stack = self.stack();
        match json_operation(request).as_str() {
            "DescribeApps" if body["AppIds"] == json!([APP]) => {
                Response::ok(json!({"Apps": [{"AppId": APP, "StackId": STACK, "Type": "other"}]}).to_string())
            }
            "DescribeApps" => missing("app", &body["AppIds"][0]),
            "DescribeDeployments" => Response::ok(json!({"Deployments": stack.of(&body)}).to_string()),
            "UpdateApp" => {
                stack.sources.push(body["AppSource"].clone());
                // It has no output at all.
                Response::ok("")
            }
            "CreateDeployment" => stack.deploy(&body),
            "DescribeCommands" => Response::ok(json!({"Commands": stack.commands}).to_string()),
            "DescribeInstances" => {
                let instances = [
                    json!({"InstanceId": "i-1", "Hostname": "web1"}),
                    json!({"InstanceId": "i-2", "Hostname": "web2"}),
                ];
                Response::ok(json!({"Instances": instances}).to_string())
            }
            other => panic!("the fake OpsWorks has no {other}"),
        }
    }

    fn effects(&self) -> usize {
        self.stack().asked.len()
    }

    fn finish(&mut self) {
        for deployment in &mut self.stack().deployments {
            deployment["Status"] = json!("successful");
        }
    }
}
