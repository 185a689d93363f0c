//! CodeDeploy as far as CodePipeline deploys with it, written from the service's API model: one application with one
//! deployment group, and deployments that stay as they are until a test changes them.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::ecs_peer::tell;
use crate::stage::Stage;
use crate::world::{NOW, Peer, Request, Response, json_error, json_operation};

#[derive(Default)]
pub struct CodeDeploy {
    /// As GetDeployment tells them, with the request's revision.
    pub deployments: Vec<Value>,
    pub registered: Vec<Value>,
    pub stopped: Vec<String>,
    /// As BatchGetDeploymentTargets tells them.
    pub targets: Vec<Value>,
    /// How many more deployments find that another one goes on.
    pub busy: usize,
}

#[derive(Clone, Default)]
pub struct CodeDeployPeer(pub Arc<Mutex<CodeDeploy>>);

impl CodeDeployPeer {
    pub fn install(stage: &Stage) -> Self {
        let peer = Self::default();
        stage.aws.world().peers.insert("codedeploy".to_owned(), Box::new(peer.clone()));
        peer
    }

    pub fn finish(stage: &Stage) {
        tell(stage, "codedeploy", "Finish", &json!({}));
    }

    /// Every deployment has this status and these further members.
    pub fn set(&self, status: &str, more: &Value) {
        for deployment in &mut self.0.lock().unwrap().deployments {
            deployment["status"] = json!(status);
            for (name, value) in more.as_object().unwrap() {
                deployment[name] = value.clone();
            }
        }
    }
}

impl CodeDeploy {
    fn create(&mut self, body: &Value) -> Response {
        if self.busy > 0 {
            self.busy -= 1;
            let text = "The Deployment Group 'canary' already has an active Deployment 'd-OTHER'";
            return json_error(400, "DeploymentLimitExceededException", text);
        }
        let id = format!("d-{:09}", self.deployments.len() + 1);
        #[expect(clippy::cast_precision_loss, reason = "a test's time")]
        let seconds = NOW.millis() as f64 / 1000.0;
        self.deployments.push(json!({"deploymentId": id, "status": "Created", "createTime": seconds,
            "applicationName": body["applicationName"], "deploymentGroupName": body["deploymentGroupName"],
            "description": body["description"], "revision": body["revision"]}));
        Response::ok(json!({"deploymentId": id}).to_string())
    }

    fn find(&self, body: &Value) -> Option<&Value> {
        self.deployments.iter().find(|deployment| deployment["deploymentId"] == body["deploymentId"])
    }
}

impl Peer for CodeDeployPeer {
    fn operation(&self, request: &Request) -> String {
        json_operation(request)
    }

    fn answer(&mut self, request: &Request) -> Response {
        let mut peer = self.0.lock().unwrap();
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let operation = json_operation(request);
        if body["applicationName"].as_str().is_some_and(|name| name != "ferry") {
            let text = format!("No application found for name: {}", body["applicationName"].as_str().unwrap());
            return json_error(400, "ApplicationDoesNotExistException", &text);
        }
        match operation.as_str() {
            "ListDeployments" => {
                assert!(body["createTimeRange"]["start"].as_f64().unwrap() > 1.0, "since the action began: {body}");
                let ids: Vec<&Value> = peer.deployments.iter().map(|deployment| &deployment["deploymentId"]).collect();
                Response::ok(json!({"deployments": ids}).to_string())
            }
            "GetDeployment" => match peer.find(&body) {
                Some(found) => Response::ok(json!({"deploymentInfo": found}).to_string()),
                None => json_error(400, "DeploymentDoesNotExistException", "The deployment could not be found"),
            },
            "RegisterApplicationRevision" => {
                peer.registered.push(body["revision"].clone());
                Response::ok("{}")
            }
            "CreateDeployment" => peer.create(&body),
            "StopDeployment" => {
                let Some(found) = peer.find(&body) else {
                    return json_error(400, "DeploymentDoesNotExistException", "The deployment could not be found");
                };
                if ["Succeeded", "Failed", "Stopped"].iter().any(|status| found["status"] == *status) {
                    let text = "The deployment is already in a terminal state";
                    return json_error(400, "DeploymentAlreadyCompletedException", text);
                }
                let id = body["deploymentId"].as_str().unwrap().to_owned();
                peer.stopped.push(id);
                Response::ok(json!({"status": "Pending"}).to_string())
            }
            "ListDeploymentTargets" => {
                let wanted = body["targetFilters"]["TargetStatus"][0].as_str();
                let of = |target: &&Value| {
                    let inner = target.as_object().unwrap().values().find(|value| value.is_object()).unwrap();
                    wanted.is_none_or(|status| inner["status"] == status)
                };
                let ids: Vec<Value> = peer.targets.iter().filter(of).map(id_of).collect();
                Response::ok(json!({"targetIds": ids}).to_string())
            }
            "BatchGetDeploymentTargets" => {
                let wanted = body["targetIds"].as_array().unwrap();
                assert!(wanted.len() <= 25, "{body}");
                let found: Vec<&Value> = peer.targets.iter().filter(|target| wanted.contains(&id_of(target))).collect();
                Response::ok(json!({"deploymentTargets": found}).to_string())
            }
            "Finish" => {
                for deployment in &mut peer.deployments {
                    deployment["status"] = json!("Succeeded");
                }
                Response::ok("{}")
            }
            other => panic!("the fake CodeDeploy has no {other}"),
        }
    }

    fn effects(&self) -> usize {
        self.0.lock().unwrap().deployments.len()
    }
}

fn id_of(target: &Value) -> Value {
    let inner = target.as_object().unwrap().values().find(|value| value.is_object()).unwrap();
    inner["targetId"].clone()
}
