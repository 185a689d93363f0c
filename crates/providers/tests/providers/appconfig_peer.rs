//! AppConfig as far as a deployment uses it: one application `2s2qv57` with an environment and a profile, in the REST
//! protocol, written from the service's API model. Deployments go on until a test ends them.

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::stage::Stage;
use crate::world::{Peer, Request, Response, json_error};

pub struct Config {
    /// LocationUri and Type of the profile.
    pub location: String,
    pub kind: String,
    /// Label, content type and content of the versions 1, 2, ...
    pub versions: Vec<(String, String, Vec<u8>)>,
    /// As GetDeployment shows them.
    pub deployments: Vec<Value>,
    /// What StartDeployment was asked.
    pub started: Vec<Value>,
    pub stopped: Vec<i64>,
    /// How many more versions and deployments find somebody else's under way.
    pub conflicts: u32,
    /// The validator's findings.
    pub invalid: Option<Value>,
}

#[derive(Clone)]
pub struct AppConfigPeer(Arc<Mutex<Config>>);

impl AppConfigPeer {
    pub fn install(stage: &Stage) -> Self {
        let config = Config {
            location: "hosted".to_owned(),
            kind: "AWS.Freeform".to_owned(),
            versions: Vec::new(),
            deployments: Vec::new(),
            started: Vec::new(),
            stopped: Vec::new(),
            conflicts: 0,
            invalid: None,
        };
        let peer = Self(Arc::new(Mutex::new(config)));
        stage.aws.world().peers.insert("appconfig".to_owned(), Box::new(peer.clone()));
        peer
    }

    pub fn config(&self) -> MutexGuard<'_, Config> {
        self.0.lock().unwrap()
    }
}

fn parts(request: &Request) -> Vec<&str> {
    request.path.trim_matches('/').split('/').collect()
}

impl Config {
    fn create(&mut self, request: &Request) -> Response {
        let label = request.headers["versionlabel"].clone();
        assert!(!label.bytes().all(|byte| byte.is_ascii_digit()), "a label is no number");
        assert!(!self.versions.iter().any(|(known, ..)| *known == label), "a version is made once");
        self.versions.push((label, request.headers["content-type"].clone(), request.body.clone()));
        Response::status(201, request.body.clone())
            .header("version-number", self.versions.len().to_string())
            .header("content-type", "application/octet-stream")
    }

    fn start(&mut self, body: Value) -> Response {
        if let Some(found) = &self.invalid {
            let refusal = json!({"Message": "the configuration is not valid", "Reason": "InvalidConfiguration",
                "Details": {"InvalidConfiguration": [found]}});
            return Response::status(400, refusal.to_string())
                .header("x-amzn-errortype", "BadRequestException")
                .header("x-amzn-requestid", "R-1");
        }
        let number = self.deployments.len() + 1;
        let deployment = json!({"DeploymentNumber": number, "State": "DEPLOYING", "PercentageComplete": 0.0,
            "ConfigurationVersion": body["ConfigurationVersion"], "ConfigurationProfileId": body["ConfigurationProfileId"]});
        self.deployments.push(deployment.clone());
        self.started.push(body);
        Response::status(201, deployment.to_string())
    }

    fn deployment(&mut self, number: &str) -> Option<&mut Value> {
        self.deployments.get_mut(number.parse::<usize>().ok()?.checked_sub(1)?)
    }
}

impl Peer for AppConfigPeer {
    fn operation(&self, request: &Request) -> String {
        let name = match (request.method.as_str(), parts(request).as_slice()) {
            ("GET", ["applications", _, "configurationprofiles", _]) => "GetConfigurationProfile",
            ("GET", ["applications", _, "configurationprofiles", _, "hostedconfigurationversions"]) => {
                "ListHostedConfigurationVersions"
            }
            ("POST", ["applications", _, "configurationprofiles", _, "hostedconfigurationversions"]) => {
                "CreateHostedConfigurationVersion"
            }
            ("GET", ["applications", _, "environments", _, "deployments"]) => "ListDeployments",
            ("POST", ["applications", _, "environments", _, "deployments"]) => "StartDeployment",
            ("GET", ["applications", _, "environments", _, "deployments", _]) => "GetDeployment",
            ("DELETE", ["applications", _, "environments", _, "deployments", _]) => "StopDeployment",
            (method, path) => panic!("the fake AppConfig has no {method} {path:?}"),
        };
        name.to_owned()
    }

    fn answer(&mut self, request: &Request) -> Response {
        let operation = self.operation(request);
        let parts = parts(request);
        let mut config = self.config();
        let missing = |what: &str| json_error(404, "ResourceNotFoundException", &format!("Could not find {what}"));
        if parts[1] != "2s2qv57" {
            return missing("Application");
        }
        let changes = ["CreateHostedConfigurationVersion", "StartDeployment"].contains(&operation.as_str());
        if changes && config.conflicts > 0 {
            config.conflicts -= 1;
            return json_error(409, "ConflictException", "There is a conflicting change under way");
        }
        match operation.as_str() {
            "GetConfigurationProfile" if parts[3] != "PvjrpU1" => missing("ConfigurationProfile"),
            "GetConfigurationProfile" => {
                let profile = json!({"ApplicationId": parts[1], "Id": parts[3], "LocationUri": config.location,
                    "Type": config.kind, "Name": "flags"});
                Response::ok(profile.to_string())
            }
            "ListHostedConfigurationVersions" => {
                let wanted = &request.query["version_label"];
                let items: Vec<Value> = (1..)
                    .zip(&config.versions)
                    .filter(|(_, (label, ..))| label == wanted)
                    .map(|(number, (label, ..))| json!({"VersionNumber": number, "VersionLabel": label}))
                    .collect();
                Response::ok(json!({"Items": items}).to_string())
            }
            "CreateHostedConfigurationVersion" => config.create(request),
            "ListDeployments" => {
                let newest: Vec<&Value> = config.deployments.iter().rev().collect();
                Response::ok(json!({"Items": newest}).to_string())
            }
            "StartDeployment" => config.start(serde_json::from_slice(&request.body).unwrap()),
            "GetDeployment" => match config.deployment(parts[5]) {
                Some(found) => Response::ok(found.to_string()),
                None => missing("Deployment"),
            },
            _ => {
                let Some(found) = config.deployment(parts[5]) else { return missing("Deployment") };
                if found["State"] != "DEPLOYING" {
                    return json_error(400, "BadRequestException", "The deployment is not in progress");
                }
                found["State"] = json!("ROLLED_BACK");
                let number = found["DeploymentNumber"].as_i64().unwrap();
                config.stopped.push(number);
                Response::status(202, json!({"DeploymentNumber": number, "State": "ROLLED_BACK"}).to_string())
            }
        }
    }

    /// Deployments that were begun.
    fn effects(&self) -> usize {
        self.config().started.len()
    }

    fn finish(&mut self) {
        for deployment in &mut self.config().deployments {
            deployment["State"] = json!("COMPLETE");
            deployment["PercentageComplete"] = json!(100.0);
        }
    }
}
