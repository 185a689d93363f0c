//! Device Farm as far as a test uses it: one project, in the JSON protocol, and the place where uploads are put. Written from
//! the service's API model. Runs go on until a test ends them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::stage::Stage;
use crate::world::{Peer, Request, Response, json_error, json_operation};

pub const PROJECT: &str = "arn:aws:devicefarm:us-west-2:111122223333:project:a1b2c3d4-0000-4000-8000-abcdefabcdef";
/// Where uploads are put.
const HOST: &str = "uploads.fake.test";

#[derive(Default)]
pub struct Farm {
    /// What CreateUpload was asked, in order.
    pub uploads: Vec<Value>,
    /// The bytes that were put, by the upload's number.
    pub put: BTreeMap<String, (String, Vec<u8>)>,
    /// How many more looks see an upload in progress, and the refusal of one.
    pub processing: u32,
    pub refused: Option<String>,
    /// What ScheduleRun was asked.
    pub scheduled: Vec<Value>,
    /// As GetRun shows them.
    pub runs: Vec<Value>,
    pub stopped: Vec<String>,
}

#[derive(Clone, Default)]
pub struct DeviceFarmPeer(Arc<Mutex<Farm>>);

/// The place itself, which is asked without a signature.
struct Uploads(DeviceFarmPeer);

impl DeviceFarmPeer {
    pub fn install(stage: &Stage) -> Self {
        let peer = Self::default();
        let mut world = stage.aws.world();
        world.peers.insert("devicefarm".to_owned(), Box::new(peer.clone()));
        world.peers.insert(HOST.to_owned(), Box::new(Uploads(peer.clone())));
        peer
    }

    pub fn farm(&self) -> MutexGuard<'_, Farm> {
        self.0.lock().unwrap()
    }
}

impl Farm {
    fn create_upload(&mut self, body: &Value) -> Response {
        self.uploads.push(body.clone());
        let number = self.uploads.len();
        let upload = json!({"arn": format!("arn:aws:devicefarm:us-west-2:111122223333:upload:{number}"), "status": "INITIALIZED",
            "url": format!("https://{HOST}/{number}/file?X-Amz-Signature=abc%2F"), "name": body["name"]});
        Response::ok(json!({"upload": upload}).to_string())
    }

    fn upload(&mut self, arn: &str) -> Response {
        let number = arn.rsplit(':').next().unwrap();
        let status = match (&self.refused, self.put.contains_key(number)) {
            (_, false) => "INITIALIZED",
            _ if self.processing > 0 => {
                self.processing -= 1;
                "PROCESSING"
            }
            (Some(_), true) => "FAILED",
            (None, true) => "SUCCEEDED",
        };
        let upload = json!({"arn": arn, "status": status, "message": self.refused});
        Response::ok(json!({"upload": upload}).to_string())
    }

    fn schedule(&mut self, body: &Value) -> Response {
        self.scheduled.push(body.clone());
        let arn = format!(
            "arn:aws:devicefarm:us-west-2:111122223333:run:a1b2c3d4-0000-4000-8000-abcdefabcdef/{}",
            self.runs.len() + 1
        );
        let run = json!({"arn": arn, "name": body["name"], "status": "SCHEDULING", "result": "PENDING"});
        self.runs.push(run.clone());
        Response::ok(json!({"run": run}).to_string())
    }

    fn run(&mut self, arn: &str) -> Option<&mut Value> {
        self.runs.iter_mut().find(|run| run["arn"] == arn)
    }
}

impl Peer for DeviceFarmPeer {
    fn operation(&self, request: &Request) -> String {
        json_operation(request)
    }

    fn answer(&mut self, request: &Request) -> Response {
        assert_eq!(request.region, "us-west-2", "Device Farm is nowhere else");
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let arn = body["arn"].as_str().unwrap_or_default();
        let mut farm = self.farm();
        let missing = || json_error(400, "NotFoundException", &format!("No run was found with arn {arn}"));
        match json_operation(request).as_str() {
            "ListProjects" => {
                let other = json!({"arn": "arn:aws:devicefarm:us-west-2:111122223333:project:other"});
                Response::ok(json!({"projects": [other, {"arn": PROJECT}]}).to_string())
            }
            "ListRuns" => Response::ok(json!({"runs": farm.runs}).to_string()),
            "CreateUpload" => farm.create_upload(&body),
            "GetUpload" => farm.upload(arn),
            "ScheduleRun" => farm.schedule(&body),
            "GetRun" => match farm.run(arn) {
                Some(run) => Response::ok(json!({"run": run}).to_string()),
                None => missing(),
            },
            "StopRun" => {
                let Some(run) = farm.run(arn) else { return missing() };
                run["status"] = json!("STOPPING");
                let shown = run.to_string();
                farm.stopped.push(arn.to_owned());
                Response::ok(format!("{{\"run\": {shown}}}"))
            }
            other => panic!("the fake Device Farm has no {other}"),
        }
    }

    fn effects(&self) -> usize {
        self.farm().scheduled.len()
    }

    fn finish(&mut self) {
        for run in &mut self.farm().runs {
            run["status"] = json!("COMPLETED");
            run["result"] = json!("PASSED");
        }
    }
}

impl Peer for Uploads {
    fn operation(&self, request: &Request) -> String {
        request.method.clone()
    }

    fn answer(&mut self, request: &Request) -> Response {
        assert_eq!((request.method.as_str(), request.query["X-Amz-Signature"].as_str()), ("PUT", "abc/"));
        assert_eq!(request.headers["content-length"], request.body.len().to_string());
        let number = request.path.split('/').nth(1).unwrap().to_owned();
        let put = (request.headers["content-type"].clone(), request.body.clone());
        self.0.farm().put.insert(number, put);
        Response::ok("")
    }

    fn effects(&self) -> usize {
        0
    }
}
