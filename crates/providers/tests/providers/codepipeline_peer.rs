//! CodePipeline as far as another pipeline uses it: StartPipelineExecution, one execution for each token.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::stage::Stage;
use crate::world::{Peer, Request, Response, json_error, json_operation};

#[derive(Default)]
pub struct CodePipeline {
    /// What each execution was asked for with, by token.
    pub started: BTreeMap<String, Value>,
    /// How many more starts find the pipeline busy.
    pub busy: usize,
}

#[derive(Clone, Default)]
pub struct CodePipelinePeer(pub Arc<Mutex<CodePipeline>>);

impl CodePipelinePeer {
    pub fn install(stage: &Stage) {
        Self::new(stage);
    }

    pub fn new(stage: &Stage) -> Self {
        let peer = Self::default();
        stage.aws.world().peers.insert("codepipeline".to_owned(), Box::new(peer.clone()));
        peer
    }

    pub fn started(&self) -> Vec<Value> {
        self.0.lock().unwrap().started.values().cloned().collect()
    }
}

impl Peer for CodePipelinePeer {
    fn operation(&self, request: &Request) -> String {
        json_operation(request)
    }

    fn answer(&mut self, request: &Request) -> Response {
        let mut service = self.0.lock().unwrap();
        assert_eq!(json_operation(request), "StartPipelineExecution", "the fake CodePipeline has nothing else");
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        if body["name"] != "ferry-prod" {
            let text = "The account with id '111122223333' does not include a pipeline with the name 'nowhere'";
            return json_error(400, "PipelineNotFoundException", text);
        }
        if service.busy > 0 {
            service.busy -= 1;
            let text = "Your request cannot be handled because the pipeline is busy handling ongoing activities. Try again \
                        later.";
            return json_error(400, "ConflictException", text);
        }
        let token = body["clientRequestToken"].as_str().unwrap().to_owned();
        service.started.entry(token.clone()).or_insert(body);
        Response::ok(json!({"pipelineExecutionId": format!("execution-of-{token}")}).to_string())
    }

    fn effects(&self) -> usize {
        self.0.lock().unwrap().started.len()
    }
}
