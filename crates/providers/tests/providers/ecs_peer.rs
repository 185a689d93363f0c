//! ECS as far as CodePipeline deploys with it, written from the service's API model and its recorded errors: one service of
//! the cluster `harbour`, its task definitions, and rollouts that go on until a test ends them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::stage::Stage;
use crate::world::{NOW, Peer, Request, Response, json_error, json_operation};

pub const FAMILY: &str = "arn:aws:ecs:eu-west-1:111122223333:task-definition/web";

pub struct Ecs {
    /// As DescribeTaskDefinition tells them, by revision.
    pub definitions: BTreeMap<u64, Value>,
    pub service: Value,
    /// UpdateService calls that began a deployment.
    pub updates: Vec<Value>,
    pub stopped: Vec<Value>,
    /// What DescribeServiceDeployments tells of the current one.
    pub service_deployment: Value,
    /// Service deployments that DescribeServiceDeployments was asked for.
    pub asked: Vec<Value>,
    /// Tasks that have stopped.
    pub tasks: Vec<Value>,
    /// Somebody else registers revisions all the time.
    pub contended: bool,
}

#[derive(Clone)]
pub struct EcsPeer(pub Arc<Mutex<Ecs>>);

/// ECS's clock, so much from ours.
#[expect(clippy::cast_precision_loss, reason = "a test's time")]
fn seconds(more: f64) -> f64 {
    NOW.millis() as f64 / 1000.0 + more
}

fn arn(revision: u64) -> String {
    format!("{FAMILY}:{revision}")
}

fn deployment(status: &str, revision: u64, state: &str, made: f64) -> Value {
    json!({"id": format!("ecs-svc/{revision}"), "status": status, "taskDefinition": arn(revision), "desiredCount": 2,
        "runningCount": 0, "pendingCount": 0, "failedTasks": 0, "createdAt": made, "updatedAt": made, "rolloutState": state})
}

impl EcsPeer {
    /// The service runs revision 7, which has two containers and a member that no SDK knows.
    pub fn install(stage: &Stage) -> Self {
        let definition = json!({"taskDefinitionArn": arn(7), "family": "web", "revision": 7, "status": "ACTIVE",
            "registeredAt": 1.5, "registeredBy": "arn:aws:iam::111122223333:root", "compatibilities": ["EC2", "FARGATE"],
            "requiresAttributes": [{"name": "ecs.capability.x"}], "fromTheFuture": {"kept": true},
            "containerDefinitions": [{"name": "web", "image": "web:old", "cpu": 0}, {"name": "proxy", "image": "proxy:1"}]});
        let service = json!({"serviceName": "ferry", "status": "ACTIVE", "desiredCount": 2, "runningCount": 2,
            "pendingCount": 0, "taskDefinition": arn(7), "deployments": [deployment("PRIMARY", 7, "COMPLETED", 1.5)],
            "events": []});
        let ecs = Ecs {
            definitions: BTreeMap::from([(7, definition)]),
            service,
            updates: Vec::new(),
            stopped: Vec::new(),
            service_deployment: Value::Null,
            asked: Vec::new(),
            tasks: Vec::new(),
            contended: false,
        };
        let peer = Self(Arc::new(Mutex::new(ecs)));
        stage.aws.world().peers.insert("ecs".to_owned(), Box::new(peer.clone()));
        peer
    }

    /// The rollout of the newest revision is complete.
    pub fn finish(stage: &Stage) {
        tell(stage, "ecs", "Finish", &json!({}));
    }
}

/// Asks a peer something that only tests ask; the world hands peers out as requests alone.
pub fn tell(stage: &Stage, service: &str, operation: &str, body: &Value) {
    let request = Request {
        service: service.to_owned(),
        region: String::new(),
        access_key: String::new(),
        method: "POST".to_owned(),
        host: String::new(),
        path: "/".to_owned(),
        query: BTreeMap::new(),
        headers: [("x-amz-target".to_owned(), format!("Test.{operation}"))].into(),
        body: body.to_string().into_bytes(),
    };
    stage.aws.world().peers.get_mut(service).unwrap().answer(&request);
}

impl Ecs {
    fn describe_services(&self, body: &Value) -> Response {
        if body["cluster"] != "harbour" {
            return json_error(400, "ClusterNotFoundException", "Cluster not found.");
        }
        if body["services"] != json!(["ferry"]) {
            let failure = json!({"arn": "arn:aws:ecs:eu-west-1:111122223333:service/harbour/x", "reason": "MISSING"});
            return Response::ok(json!({"services": [], "failures": [failure]}).to_string());
        }
        Response::ok(json!({"services": [self.service], "failures": []}).to_string())
    }

    fn describe_definition(&self, body: &Value) -> Response {
        assert_eq!(body["include"], json!(["TAGS"]));
        let name = body["taskDefinition"].as_str().unwrap();
        let wanted = match name.rsplit_once(':') {
            Some((_, revision)) => revision.parse().unwrap(),
            None => *self.definitions.keys().max().unwrap(),
        };
        let Some(found) = self.definitions.get(&wanted) else {
            return json_error(400, "ClientException", "Unable to describe task definition.");
        };
        let tags = json!([{"key": "team", "value": "harbour"}]);
        Response::ok(json!({"taskDefinition": found, "tags": tags}).to_string())
    }

    fn register(&mut self, body: &Value) -> Response {
        for told_only in ["taskDefinitionArn", "revision", "status", "requiresAttributes", "registeredAt"] {
            assert!(body.get(told_only).is_none(), "{told_only} is no member of the request");
        }
        if self.contended {
            let text = "Too many concurrent attempts to create a new revision of the specified family.";
            return json_error(400, "ClientException", text);
        }
        if body["containerDefinitions"].as_array().unwrap().iter().any(|c| c["image"] == "") {
            return json_error(400, "ClientException", "Container.image should not be null or empty.");
        }
        let revision = self.definitions.keys().max().unwrap() + 1;
        let mut definition = body.clone();
        definition.as_object_mut().unwrap().remove("tags");
        for (name, value) in [
            ("taskDefinitionArn", json!(arn(revision))),
            ("revision", json!(revision)),
            ("status", json!("ACTIVE")),
            ("registeredAt", json!(seconds(0.25))),
            ("compatibilities", json!(["EC2"])),
        ] {
            definition[name] = value;
        }
        self.definitions.insert(revision, definition.clone());
        Response::ok(json!({"taskDefinition": definition}).to_string())
    }

    fn update(&mut self, body: &Value) -> Response {
        assert_eq!(body.as_object().unwrap().len(), 3, "cluster, service and task definition, nothing else: {body}");
        let wanted = body["taskDefinition"].as_str().unwrap();
        if self.service["taskDefinition"] != wanted {
            let revision: u64 = wanted.rsplit(':').next().unwrap().parse().unwrap();
            let mut before = self.service["deployments"][0].clone();
            before["status"] = json!("ACTIVE");
            self.service["deployments"] =
                json!([deployment("PRIMARY", revision, "IN_PROGRESS", seconds(-0.5)), before]);
            self.service["taskDefinition"] = json!(wanted);
            self.updates.push(body.clone());
        }
        Response::ok(json!({"service": self.service}).to_string())
    }

    /// The newest revision's deployment is in this state, and the only one where it is complete.
    pub fn roll(&mut self, state: &str) {
        let deployments = self.service["deployments"].as_array_mut().unwrap();
        deployments[0]["rolloutState"] = json!(state);
        if state == "COMPLETED" {
            deployments[0]["runningCount"] = json!(2);
            deployments.truncate(1);
        }
    }
}

impl Peer for EcsPeer {
    fn operation(&self, request: &Request) -> String {
        json_operation(request)
    }

    fn answer(&mut self, request: &Request) -> Response {
        let mut ecs = self.0.lock().unwrap();
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        match json_operation(request).as_str() {
            "DescribeServices" => ecs.describe_services(&body),
            "DescribeTaskDefinition" => ecs.describe_definition(&body),
            "RegisterTaskDefinition" => ecs.register(&body),
            "UpdateService" => ecs.update(&body),
            "DescribeServiceDeployments" => {
                ecs.asked.push(body["serviceDeploymentArns"].clone());
                Response::ok(json!({"serviceDeployments": [ecs.service_deployment]}).to_string())
            }
            "StopServiceDeployment" => {
                ecs.stopped.push(body.clone());
                Response::ok(json!({"serviceDeploymentArn": body["serviceDeploymentArn"]}).to_string())
            }
            "ListTasks" => {
                assert_eq!((&body["serviceName"], &body["desiredStatus"]), (&json!("ferry"), &json!("STOPPED")));
                let arns: Vec<&Value> = ecs.tasks.iter().map(|task| &task["taskArn"]).collect();
                Response::ok(json!({"taskArns": arns}).to_string())
            }
            "DescribeTasks" => Response::ok(json!({"tasks": ecs.tasks, "failures": []}).to_string()),
            "Finish" => {
                ecs.roll("COMPLETED");
                Response::ok("{}")
            }
            other => panic!("the fake ECS has no {other}"),
        }
    }

    fn effects(&self) -> usize {
        self.0.lock().unwrap().updates.len()
    }
}
