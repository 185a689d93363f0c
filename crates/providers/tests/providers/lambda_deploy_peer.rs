//! Lambda as far as a deployment uses it: one function with versions and one alias, in the REST protocol, written from the
//! service's API model. It refuses stale revisions, wrong digests and weights of $LATEST, as Lambda does; it runs nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::stage::Stage;
use crate::world::{Peer, Request, Response, json_error};

pub struct Function {
    /// Digest of the code of $LATEST.
    pub code: String,
    /// How it was handed over: the request's body.
    pub uploads: Vec<Value>,
    /// Digests of the versions 1, 2, ...
    pub versions: Vec<String>,
    /// Version that the alias `live` names, and the weights beside it.
    pub alias: String,
    pub weights: BTreeMap<String, f64>,
    /// Everything the alias was set to, as `6` or `6+7:0.1`.
    pub history: Vec<String>,
    revision: u64,
    /// How many more looks see the update, and then the version, in progress.
    pub updating: u32,
    pub pending: u32,
    /// How many more changes find the function busy.
    pub busy: u32,
    /// LastUpdateStatus or State once it is over, where it is not good.
    pub update_fails: bool,
    pub version_fails: bool,
    /// Status of the alias's provisioned concurrency, one for each look; the last stays.
    pub provisioned: Vec<&'static str>,
    made: usize,
}

#[derive(Clone)]
pub struct LambdaDeployPeer(Arc<Mutex<Function>>);

impl LambdaDeployPeer {
    /// The function `ferry-hook` with six versions, and `live` at the last of them.
    pub fn install(stage: &Stage) -> Self {
        let function = Function {
            code: "digest-6".to_owned(),
            uploads: Vec::new(),
            versions: (1..=6).map(|number| format!("digest-{number}")).collect(),
            alias: "6".to_owned(),
            weights: BTreeMap::new(),
            history: Vec::new(),
            revision: 1,
            updating: 0,
            pending: 0,
            busy: 0,
            update_fails: false,
            version_fails: false,
            provisioned: Vec::new(),
            made: 0,
        };
        let peer = Self(Arc::new(Mutex::new(function)));
        stage.aws.world().peers.insert("lambda".to_owned(), Box::new(peer.clone()));
        peer
    }

    pub fn function(&self) -> MutexGuard<'_, Function> {
        self.0.lock().unwrap()
    }
}

fn parts(request: &Request) -> Vec<&str> {
    request.path.trim_matches('/').split('/').skip(1).collect()
}

fn missing(text: &str) -> Response {
    json_error(404, "ResourceNotFoundException", text)
}

fn spend(left: &mut u32) -> bool {
    let any = *left > 0;
    *left = left.saturating_sub(1);
    any
}

impl Function {
    fn shown(&self) -> Response {
        let mut alias = json!({"AliasArn": "arn:aws:lambda:eu-west-1:111122223333:function:ferry-hook:live", "Name": "live",
            "FunctionVersion": self.alias, "Description": "", "RevisionId": self.revision.to_string()});
        if !self.weights.is_empty() {
            alias["RoutingConfig"] = json!({"AdditionalVersionWeights": self.weights});
        }
        Response::ok(alias.to_string())
    }

    /// Somebody sets the alias.
    pub fn set(&mut self, version: &str, weights: BTreeMap<String, f64>) {
        version.clone_into(&mut self.alias);
        self.weights = weights;
        self.revision += 1;
        let beside: Vec<String> = self.weights.iter().map(|(version, weight)| format!("+{version}:{weight}")).collect();
        self.history.push(format!("{version}{}", beside.concat()));
    }

    fn update_alias(&mut self, body: &Value) -> Response {
        if body["RevisionId"].as_str().is_some_and(|given| given != self.revision.to_string()) {
            let text = "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to \
                        retrieve the latest Revision Id";
            return json_error(412, "PreconditionFailedException", text);
        }
        let version = body["FunctionVersion"].as_str().map_or_else(|| self.alias.clone(), ToOwned::to_owned);
        let weights: BTreeMap<String, f64> = match &body["RoutingConfig"]["AdditionalVersionWeights"] {
            Value::Null => self.weights.clone(),
            given => serde_json::from_value(given.clone()).unwrap(),
        };
        let known = |version: &String| {
            version == "$LATEST"
                || version.parse::<usize>().is_ok_and(|number| (1..=self.versions.len()).contains(&number))
        };
        if let Some(unknown) = weights.keys().chain([&version]).find(|version| !known(version)) {
            return missing(&format!("Function not found: ferry-hook:{unknown}"));
        }
        if !weights.is_empty() && (version == "$LATEST" || weights.contains_key(&version)) {
            let text = "$LATEST is not supported for an alias pointing to more than 1 version";
            return json_error(400, "InvalidParameterValueException", text);
        }
        self.set(&version, weights);
        self.shown()
    }

    fn publish(&mut self, body: &Value) -> Response {
        if body["CodeSha256"].as_str().is_some_and(|given| given != self.code) {
            let text = format!("CodeSHA256 is different from current CodeSHA256 in $LATEST ({})", self.code);
            return json_error(400, "InvalidParameterValueException", &text);
        }
        if self.versions.last() != Some(&self.code) {
            self.versions.push(self.code.clone());
            self.made += 1;
        }
        Response::status(201, json!({"Version": self.versions.len().to_string(), "CodeSha256": self.code}).to_string())
    }

    fn configuration(&mut self, qualifier: Option<&str>) -> Response {
        let Some(version) = qualifier else {
            let mut shown = json!({"FunctionName": "ferry-hook", "Version": "$LATEST", "State": "Active",
                "LastUpdateStatus": "Successful"});
            if spend(&mut self.updating) {
                shown["LastUpdateStatus"] = json!("InProgress");
            } else if self.update_fails {
                shown["LastUpdateStatus"] = json!("Failed");
                shown["LastUpdateStatusReasonCode"] = json!("InvalidZipFileException");
                shown["LastUpdateStatusReason"] = json!("Could not unzip uploaded file.");
            }
            return Response::ok(shown.to_string());
        };
        if version.parse::<usize>().is_ok_and(|number| number == 0 || number > self.versions.len()) {
            return missing(&format!(
                "Function not found: arn:aws:lambda:eu-west-1:111122223333:function:ferry-hook:{version}"
            ));
        }
        let mut shown = json!({"FunctionName": "ferry-hook", "Version": version, "State": "Active"});
        if spend(&mut self.pending) {
            shown["State"] = json!("Pending");
        } else if self.version_fails {
            shown["State"] = json!("Failed");
            shown["StateReason"] = json!("The role was removed.");
        }
        Response::ok(shown.to_string())
    }
}

impl Peer for LambdaDeployPeer {
    fn operation(&self, request: &Request) -> String {
        let name = match (request.method.as_str(), parts(request).as_slice()) {
            ("GET", ["functions", _, "aliases", _]) => "GetAlias",
            ("PUT", ["functions", _, "aliases", _]) => "UpdateAlias",
            ("PUT", ["functions", _, "code"]) => "UpdateFunctionCode",
            ("GET", ["functions", _, "configuration"]) => "GetFunctionConfiguration",
            ("POST", ["functions", _, "versions"]) => "PublishVersion",
            ("GET", ["functions", _, "provisioned-concurrency"]) => "GetProvisionedConcurrencyConfig",
            (method, path) => panic!("the fake Lambda has no {method} {path:?}"),
        };
        name.to_owned()
    }

    fn answer(&mut self, request: &Request) -> Response {
        let operation = self.operation(request);
        let mut function = self.function();
        let parts = parts(request);
        if parts[1] != "ferry-hook" {
            return missing(&format!(
                "Function not found: arn:aws:lambda:eu-west-1:111122223333:function:{}",
                parts[1]
            ));
        }
        let changes = ["UpdateAlias", "UpdateFunctionCode", "PublishVersion"].contains(&operation.as_str());
        if changes && spend(&mut function.busy) {
            let text =
                "The operation cannot be performed at this time. An update is in progress for resource: ferry-hook";
            return json_error(409, "ResourceConflictException", text);
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match operation.as_str() {
            "GetAlias" | "UpdateAlias" if parts[3] != "live" => missing("Cannot find alias arn: ferry-hook:none"),
            "GetAlias" => function.shown(),
            "UpdateAlias" => function.update_alias(&body),
            "UpdateFunctionCode" => {
                let code = [&body["S3Key"], &body["ZipFile"]].into_iter().find_map(Value::as_str).unwrap();
                function.code = format!("digest-of-{}", code.rsplit('/').next().unwrap());
                function.uploads.push(body.clone());
                Response::ok(json!({"CodeSha256": function.code, "LastUpdateStatus": "InProgress"}).to_string())
            }
            "GetFunctionConfiguration" => function.configuration(request.query.get("Qualifier").map(String::as_str)),
            "PublishVersion" => function.publish(&body),
            _ => match function.provisioned.as_slice() {
                [] => json_error(
                    404,
                    "ProvisionedConcurrencyConfigNotFoundException",
                    "No Provisioned Concurrency Config found for this function",
                ),
                [status, rest @ ..] => {
                    let shown = json!({"Status": status, "StatusReason": "there is no room"});
                    if !rest.is_empty() {
                        function.provisioned.remove(0);
                    }
                    Response::ok(shown.to_string())
                }
            },
        }
    }

    /// Versions that were made.
    fn effects(&self) -> usize {
        self.function().made
    }
}
