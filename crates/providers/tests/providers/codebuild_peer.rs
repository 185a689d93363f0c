//! CodeBuild as far as providers use it: builds that go on until a test ends them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::world::{Request, Response, json_error, json_operation};

#[derive(Debug, Default)]
pub struct CodeBuild {
    pub projects: Vec<String>,
    /// The request of every project that was made.
    pub created: Vec<Value>,
    /// By id, as BatchGetBuilds shows them.
    pub builds: BTreeMap<String, Value>,
    /// Who asked for a build: the name of the session.
    pub initiators: BTreeMap<String, String>,
    /// The request of every build that was really started.
    pub started: Vec<Value>,
    tokens: BTreeMap<String, String>,
    /// By id, as BatchGetBuildBatches shows them.
    pub batches: BTreeMap<String, Value>,
    /// The request of every batch that was really started.
    pub batched: Vec<Value>,
    pub stopped: Vec<String>,
}

impl CodeBuild {
    pub fn finish(&mut self, status: &str, more: &Value) {
        for build in self.builds.values_mut() {
            build["buildStatus"] = json!(status);
            build["buildComplete"] = json!(true);
            for (name, value) in more.as_object().unwrap() {
                build[name] = value.clone();
            }
        }
    }

    pub fn answer(&mut self, request: &Request, session: &str) -> Response {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        match json_operation(request).as_str() {
            "CreateProject" => {
                let name = body["name"].as_str().unwrap();
                if self.projects.iter().any(|p| p == name) {
                    return json_error(
                        400,
                        "ResourceAlreadyExistsException",
                        &format!("Project already exists: {name}"),
                    );
                }
                self.projects.push(name.to_owned());
                self.created.push(body);
                Response::ok("{}")
            }
            "StartBuild" => self.start(&body, session),
            "BatchGetBuilds" => {
                let ids = body["ids"].as_array().unwrap();
                let (found, missing): (Vec<&Value>, Vec<&Value>) =
                    ids.iter().partition(|id| self.builds.contains_key(id.as_str().unwrap()));
                let found: Vec<&Value> = found.into_iter().map(|id| &self.builds[id.as_str().unwrap()]).collect();
                Response::ok(json!({"builds": found, "buildsNotFound": missing}).to_string())
            }
            "StopBuild" => {
                let id = body["id"].as_str().unwrap().to_owned();
                match self.builds.get_mut(&id) {
                    None => json_error(400, "ResourceNotFoundException", &format!("Build {id} does not exist")),
                    Some(build) => {
                        if build["buildComplete"] == json!(false) {
                            build["buildStatus"] = json!("STOPPED");
                            build["buildComplete"] = json!(true);
                            self.stopped.push(id.clone());
                        }
                        Response::ok(json!({"build": self.builds[&id]}).to_string())
                    }
                }
            }
            "StartBuildBatch" => self.start_batch(&body),
            "BatchGetBuildBatches" => {
                let found: Vec<&Value> = body["ids"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter_map(|id| self.batches.get(id.as_str().unwrap()))
                    .collect();
                Response::ok(json!({"buildBatches": found}).to_string())
            }
            "StopBuildBatch" => {
                let id = body["id"].as_str().unwrap().to_owned();
                match self.batches.get_mut(&id) {
                    None => json_error(400, "ResourceNotFoundException", &format!("Build batch {id} does not exist")),
                    Some(batch) => {
                        if batch["complete"] == json!(false) {
                            batch["buildBatchStatus"] = json!("STOPPED");
                            batch["complete"] = json!(true);
                            self.stopped.push(id.clone());
                        }
                        Response::ok(json!({"buildBatch": self.batches[&id]}).to_string())
                    }
                }
            }
            other => panic!("the fake CodeBuild has no {other}"),
        }
    }

    fn start(&mut self, body: &Value, session: &str) -> Response {
        let project = body["projectName"].as_str().unwrap();
        if !self.projects.iter().any(|p| p == project) {
            let arn = format!("arn:aws:codebuild:eu-west-1:111122223333:project/{project}");
            return json_error(400, "ResourceNotFoundException", &format!("Project cannot be found: {arn}"));
        }
        let token = body["idempotencyToken"].as_str().unwrap().to_owned();
        let id =
            self.tokens.entry(token).or_insert_with(|| format!("{project}:build-{}", self.started.len() + 1)).clone();
        if !self.builds.contains_key(&id) {
            self.started.push(body.clone());
            self.initiators.insert(id.clone(), session.to_owned());
            let arn = "arn:aws:logs:eu-west-1:111122223333:log-group:null:log-stream:null";
            let build = json!({"id": id, "buildStatus": "IN_PROGRESS", "buildComplete": false, "currentPhase": "QUEUED",
                "logs": {"cloudWatchLogsArn": arn}});
            self.builds.insert(id.clone(), build);
        }
        Response::ok(json!({"build": self.builds[&id]}).to_string())
    }

    fn start_batch(&mut self, body: &Value) -> Response {
        let project = body["projectName"].as_str().unwrap();
        let token = body["idempotencyToken"].as_str().unwrap().to_owned();
        let next = format!("{project}:batch-{}", self.batched.len() + 1);
        let id = self.tokens.entry(token).or_insert(next).clone();
        if !self.batches.contains_key(&id) {
            self.batched.push(body.clone());
            let arn = format!("arn:aws:codebuild:eu-west-1:111122223333:build-batch/{id}");
            let batch = json!({"id": id, "arn": arn, "buildBatchStatus": "IN_PROGRESS", "complete": false,
                "currentPhase": "SUBMITTED", "buildGroups": []});
            self.batches.insert(id.clone(), batch);
        }
        Response::ok(json!({"buildBatch": self.batches[&id]}).to_string())
    }
}
