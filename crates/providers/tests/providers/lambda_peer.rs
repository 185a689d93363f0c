//! Lambda as far as CodePipeline uses it: functions that take events, in the REST protocol. Written from the service's API
//! model (Invoke with InvocationType Event answers 202 and nothing); it runs no function.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::stage::Stage;
use crate::world::{Peer, Request, Response, json_error};

#[derive(Default)]
pub struct Lambda {
    /// Functions that are being made, which cannot be invoked yet.
    pub pending: BTreeSet<String>,
    pub functions: BTreeSet<String>,
    /// Functions that the service cannot run at all.
    pub unrunnable: BTreeSet<String>,
    /// Function and event of every invocation that was taken.
    pub events: Vec<(String, Value)>,
}

/// The peer, and the same for the test to look into.
#[derive(Clone, Default)]
pub struct LambdaPeer(pub Arc<Mutex<Lambda>>);

impl LambdaPeer {
    pub fn install(stage: &Stage) {
        Self::with(stage, |_| ());
    }

    /// One with the function `ferry-check` and what else the test wants.
    pub fn with(stage: &Stage, change: impl FnOnce(&mut Lambda)) -> Self {
        let peer = Self::default();
        {
            let mut lambda = peer.0.lock().unwrap();
            lambda.functions.insert("ferry-check".to_owned());
            change(&mut lambda);
        }
        stage.aws.world().peers.insert("lambda".to_owned(), Box::new(peer.clone()));
        peer
    }

    pub fn events(&self) -> Vec<(String, Value)> {
        self.0.lock().unwrap().events.clone()
    }
}

impl Peer for LambdaPeer {
    fn operation(&self, _: &Request) -> String {
        "Invoke".to_owned()
    }

    fn answer(&mut self, request: &Request) -> Response {
        let mut lambda = self.0.lock().unwrap();
        let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
        let ["2015-03-31", "functions", function, "invocations"] = parts.as_slice() else {
            panic!("the fake Lambda has no {}", request.path)
        };
        assert_eq!(request.headers["x-amz-invocation-type"], "Event");
        if !lambda.functions.contains(*function) {
            let arn = format!("arn:aws:lambda:eu-west-1:111122223333:function:{function}");
            return json_error(404, "ResourceNotFoundException", &format!("Function not found: {arn}"));
        }
        if lambda.pending.contains(*function) {
            let text = "The operation cannot be performed at this time. The function is currently in the following state: \
                        Pending";
            return json_error(409, "ResourceConflictException", text);
        }
        if lambda.unrunnable.contains(*function) {
            return json_error(502, "InvalidRuntimeException", "no sandbox for functions");
        }
        let event = serde_json::from_slice(&request.body).unwrap();
        lambda.events.push(((*function).to_owned(), event));
        Response::status(202, "")
    }

    /// A function acts once for each job, however often it is told of it.
    fn effects(&self) -> usize {
        let lambda = self.0.lock().unwrap();
        let jobs = lambda.events.iter().map(|(_, event)| event["CodePipeline.job"]["id"].to_string());
        jobs.map(|job| (job, ())).collect::<BTreeMap<_, _>>().len()
    }
}
