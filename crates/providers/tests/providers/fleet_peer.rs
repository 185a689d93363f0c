//! EC2, Systems Manager and Elastic Load Balancing as far as an EC2 deploy action uses them, written from the services' API
//! models: three instances with the tag `role=web`, commands that go on until a test ends them, one target group.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::ecs_peer::tell;
use crate::stage::Stage;
use crate::world::{NOW, Peer, Request, Response, decode, json_error, json_operation, query_error};

pub const GROUP: &str = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/web/1";

pub struct Fleet {
    pub instances: Vec<String>,
    /// As DescribeInstanceInformation tells of them.
    pub nodes: BTreeMap<String, Value>,
    /// Requests of SendCommand.
    pub sent: Vec<Value>,
    /// As ListCommandInvocations tells them.
    pub invocations: Vec<Value>,
    pub cancelled: Vec<String>,
    /// State by instance and port of the target group.
    pub group: BTreeMap<(String, u16), String>,
    /// What was asked of the target group, in order.
    pub moves: Vec<String>,
}

/// The same fleet behind three doors.
#[derive(Clone)]
pub struct FleetPeer(pub Arc<Mutex<Fleet>>, &'static str);

impl FleetPeer {
    pub fn install(stage: &Stage) -> Self {
        let instances: Vec<String> = ["i-1", "i-2", "i-3"].map(ToOwned::to_owned).into();
        let node = |id: &String| {
            let node = json!({"InstanceId": id, "PingStatus": "Online", "PlatformType": "Linux"});
            (id.clone(), node)
        };
        let fleet = Fleet {
            nodes: instances.iter().map(node).collect(),
            instances,
            sent: Vec::new(),
            invocations: Vec::new(),
            cancelled: Vec::new(),
            group: BTreeMap::new(),
            moves: Vec::new(),
        };
        let fleet = Arc::new(Mutex::new(fleet));
        for service in ["ec2", "ssm", "elasticloadbalancing"] {
            let peer = Box::new(Self(Arc::clone(&fleet), service));
            stage.aws.world().peers.insert(service.to_owned(), peer);
        }
        Self(fleet, "")
    }

    /// Every command is done.
    pub fn finish(stage: &Stage) {
        tell(stage, "ssm", "Finish", &json!({}));
    }

    /// What the commands on these instances come to.
    pub fn end(&self, instances: &[&str], status: &str, output: &str) {
        for invocation in &mut self.0.lock().unwrap().invocations {
            if instances.contains(&invocation["InstanceId"].as_str().unwrap()) && invocation["Status"] == "InProgress" {
                invocation["Status"] = json!(status);
                invocation["StatusDetails"] = json!(status);
                invocation["CommandPlugins"] = json!([{"Name": "aws:runShellScript", "Output": output}]);
            }
        }
    }

    /// Instances of each command, in the order in which they were sent.
    pub fn batches(&self) -> Vec<Vec<String>> {
        let of = |sent: &Value| serde_json::from_value(sent["InstanceIds"].clone()).unwrap();
        self.0.lock().unwrap().sent.iter().map(of).collect()
    }
}

impl Fleet {
    fn ec2(&self, form: &BTreeMap<String, String>) -> Response {
        assert_eq!(form["Action"], "DescribeInstances");
        assert_eq!(
            (form["Filter.2.Name"].as_str(), form["Filter.2.Value.1"].as_str()),
            ("instance-state-name", "running")
        );
        let known = [("tag:role", "web"), ("tag-key", "role")];
        let asked = (form["Filter.1.Name"].as_str(), form["Filter.1.Value.1"].as_str());
        let mut text = String::new();
        // A reservation of its own for each, in pages of two.
        let from: usize = form.get("NextToken").map_or(0, |token| token.parse().unwrap());
        let all: &[String] = if known.contains(&asked) { &self.instances } else { &[] };
        for id in all.iter().skip(from).take(2) {
            let _ =
                write!(text, "<item><instancesSet><item><instanceId>{id}</instanceId></item></instancesSet></item>");
        }
        let next = if all.len() > from + 2 { format!("<nextToken>{}</nextToken>", from + 2) } else { String::new() };
        Response::ok(format!(
            "<DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>R-1</requestId>\
             <reservationSet>{text}</reservationSet>{next}</DescribeInstancesResponse>"
        ))
    }

    fn ssm(&mut self, operation: &str, body: &Value) -> Response {
        match operation {
            "DescribeInstanceInformation" => {
                let filter = &body["Filters"][0];
                let values = filter["Values"].as_array().unwrap();
                let wanted = |id: &String| match filter["Key"].as_str().unwrap() {
                    "InstanceIds" => values.contains(&json!(id)),
                    "tag:role" => *values == [json!("web")],
                    "tag-key" => *values == [json!("role")],
                    other => panic!("no filter {other}"),
                };
                let found: Vec<&Value> = self.nodes.iter().filter(|(id, _)| wanted(id)).map(|(_, node)| node).collect();
                Response::ok(json!({"InstanceInformationList": found}).to_string())
            }
            "SendCommand" => {
                assert_eq!(body["DocumentName"], "AWS-RunShellScript");
                assert!(body["Comment"].as_str().unwrap().len() <= 100);
                let ids = body["InstanceIds"].as_array().unwrap();
                if ids.iter().any(|id| !self.nodes.contains_key(id.as_str().unwrap())) {
                    return json_error(400, "InvalidInstanceId", "Instances not in a valid state for account");
                }
                self.sent.push(body.clone());
                let command = format!("c-{}", self.sent.len());
                #[expect(clippy::cast_precision_loss, reason = "a test's time")]
                let seconds = NOW.millis() as f64 / 1000.0;
                for id in ids {
                    self.invocations.push(json!({"CommandId": command, "InstanceId": id, "Comment": body["Comment"],
                        "DocumentName": "AWS-RunShellScript", "Status": "InProgress", "StatusDetails": "InProgress",
                        "RequestedDateTime": seconds}));
                }
                Response::ok(json!({"Command": {"CommandId": command}}).to_string())
            }
            "ListCommandInvocations" => {
                if body["CommandId"].is_null() {
                    let keys: Vec<&Value> = body["Filters"].as_array().unwrap().iter().map(|f| &f["key"]).collect();
                    assert_eq!(keys, [&json!("InvokedAfter"), &json!("DocumentName")]);
                    let after = body["Filters"][0]["value"].as_str().unwrap();
                    assert!(after.ends_with('Z') && after.len() == 20, "{after}");
                }
                let of = |one: &&Value| body["CommandId"].is_null() || one["CommandId"] == body["CommandId"];
                let found: Vec<&Value> = self.invocations.iter().filter(of).collect();
                Response::ok(json!({"CommandInvocations": found}).to_string())
            }
            "CancelCommand" => {
                self.cancelled.push(body["CommandId"].as_str().unwrap().to_owned());
                Response::ok("{}")
            }
            "Finish" => {
                for invocation in &mut self.invocations {
                    invocation["Status"] = json!("Success");
                }
                Response::ok("{}")
            }
            other => panic!("the fake Systems Manager has no {other}"),
        }
    }

    fn balancer(&mut self, form: &BTreeMap<String, String>) -> Response {
        let operation = form["Action"].as_str();
        let targets = |moves: &mut Vec<String>| {
            let mut found = Vec::new();
            while let Some(id) = form.get(&format!("Targets.member.{}.Id", found.len() + 1)) {
                let port: u16 = form[&format!("Targets.member.{}.Port", found.len() + 1)].parse().unwrap();
                found.push((id.clone(), port));
            }
            let names: Vec<String> = found.iter().map(|(id, port)| format!("{id}:{port}")).collect();
            moves.push(format!("{operation} {}", names.join(" ")));
            found
        };
        let inner = match operation {
            "DescribeTargetGroups" if form["Names.member.1"] != "web" => {
                return query_error(400, "TargetGroupNotFound", "One or more target groups not found");
            }
            "DescribeTargetGroups" => {
                format!("<TargetGroups><member><TargetGroupArn>{GROUP}</TargetGroupArn></member></TargetGroups>")
            }
            "DescribeTargetHealth" => {
                let one = |((id, port), state): (&(String, u16), &String)| {
                    format!(
                        "<member><Target><Id>{id}</Id><Port>{port}</Port></Target><TargetHealth><State>{state}</State>\
                         </TargetHealth></member>"
                    )
                };
                let all: String = self.group.iter().map(one).collect();
                format!("<TargetHealthDescriptions>{all}</TargetHealthDescriptions>")
            }
            "DeregisterTargets" => {
                for target in targets(&mut self.moves) {
                    self.group.insert(target, "draining".to_owned());
                }
                String::new()
            }
            "RegisterTargets" => {
                for target in targets(&mut self.moves) {
                    self.group.insert(target, "initial".to_owned());
                }
                String::new()
            }
            other => panic!("the fake load balancer has no {other}"),
        };
        Response::ok(format!(
            "<{operation}Response xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\"><{operation}Result>\
             {inner}</{operation}Result></{operation}Response>"
        ))
    }
}

fn form(request: &Request) -> BTreeMap<String, String> {
    let body = String::from_utf8(request.body.clone()).unwrap();
    body.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decode(name), decode(value))).collect()
}

impl Peer for FleetPeer {
    fn operation(&self, request: &Request) -> String {
        if self.1 == "ssm" { json_operation(request) } else { form(request)["Action"].clone() }
    }

    fn answer(&mut self, request: &Request) -> Response {
        let mut fleet = self.0.lock().unwrap();
        match self.1 {
            "ec2" => fleet.ec2(&form(request)),
            "ssm" => fleet.ssm(&json_operation(request), &serde_json::from_slice(&request.body).unwrap()),
            _ => fleet.balancer(&form(request)),
        }
    }

    fn error(&self, _request: &Request, status: u16, code: &str, text: &str) -> Response {
        match self.1 {
            "ec2" => Response::status(
                status,
                format!(
                    "<?xml version=\"1.0\"?><Response><Errors><Error><Code>{code}</Code><Message>{text}</Message></Error>\
                     </Errors><RequestID>R-1</RequestID></Response>"
                ),
            ),
            "ssm" => json_error(status, code, text),
            _ => query_error(status, code, text),
        }
    }

    /// Each door's own, so that they are not counted three times.
    fn effects(&self) -> usize {
        if self.1 == "ssm" { self.0.lock().unwrap().sent.len() } else { 0 }
    }
}
