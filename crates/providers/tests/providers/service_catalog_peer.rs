//! Service Catalog as far as a deployment uses it: the product `prod-abcdefgh12345`, in the JSON protocol, and CloudFormation
//! that knows whether a template is valid, both written from the services' API models.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::stage::Stage;
use crate::world::{Peer, Request, Response, decode, json_error, json_operation, query_error};

#[derive(Default)]
pub struct Catalog {
    /// Id by client token.
    tokens: BTreeMap<String, String>,
    /// What CreateProvisioningArtifact was asked, each version once.
    pub made: Vec<Value>,
    pub status: String,
    pub deleted: Vec<String>,
    /// The account has no room for another version.
    pub full: bool,
    /// URLs of templates that were checked, and what is wrong with them.
    pub validated: Vec<String>,
    pub invalid: Option<String>,
}

#[derive(Clone)]
pub struct ServiceCatalogPeer(Arc<Mutex<Catalog>>);

struct Templates(ServiceCatalogPeer);

impl ServiceCatalogPeer {
    pub fn install(stage: &Stage) -> Self {
        let peer = Self(Arc::new(Mutex::new(Catalog { status: "CREATING".to_owned(), ..Catalog::default() })));
        let mut world = stage.aws.world();
        world.peers.insert("servicecatalog".to_owned(), Box::new(peer.clone()));
        world.peers.insert("cloudformation".to_owned(), Box::new(Templates(peer.clone())));
        peer
    }

    pub fn catalog(&self) -> MutexGuard<'_, Catalog> {
        self.0.lock().unwrap()
    }
}

impl Catalog {
    fn create(&mut self, body: &Value) -> Response {
        if self.full {
            return json_error(400, "LimitExceededException", "There are too many provisioning artifacts.");
        }
        let next = format!("pa-{}", self.tokens.len() + 1);
        let token = body["IdempotencyToken"].as_str().unwrap().to_owned();
        let made = &mut self.made;
        let id = self.tokens.entry(token).or_insert_with(|| {
            made.push(body.clone());
            next
        });
        let shown =
            json!({"ProvisioningArtifactDetail": {"Id": id, "Name": body["Parameters"]["Name"]}, "Status": "CREATING"});
        Response::ok(shown.to_string())
    }
}

impl Peer for ServiceCatalogPeer {
    fn operation(&self, request: &Request) -> String {
        json_operation(request)
    }

    fn answer(&mut self, request: &Request) -> Response {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let mut catalog = self.catalog();
        if body["ProductId"] != "prod-abcdefgh12345" {
            return json_error(400, "ResourceNotFoundException", &format!("Product {} not found.", body["ProductId"]));
        }
        match json_operation(request).as_str() {
            "ListProvisioningArtifacts" => Response::ok(json!({"ProvisioningArtifactDetails": []}).to_string()),
            "CreateProvisioningArtifact" => catalog.create(&body),
            "DescribeProvisioningArtifact" => {
                let shown = json!({"ProvisioningArtifactDetail": {"Id": body["ProvisioningArtifactId"]}, "Status": catalog.status});
                Response::ok(shown.to_string())
            }
            "DeleteProvisioningArtifact" => {
                catalog.deleted.push(body["ProvisioningArtifactId"].as_str().unwrap().to_owned());
                Response::ok("{}")
            }
            other => panic!("the fake Service Catalog has no {other}"),
        }
    }

    fn effects(&self) -> usize {
        self.catalog().made.len()
    }

    fn finish(&mut self) {
        "AVAILABLE".clone_into(&mut self.catalog().status);
    }
}

impl Peer for Templates {
    fn operation(&self, request: &Request) -> String {
        form(request)["Action"].clone()
    }

    fn answer(&mut self, request: &Request) -> Response {
        let form = form(request);
        assert_eq!(form["Action"], "ValidateTemplate", "the fake CloudFormation has nothing else");
        let mut catalog = self.0.catalog();
        catalog.validated.push(form["TemplateURL"].clone());
        match &catalog.invalid {
            Some(text) => query_error(400, "ValidationError", text),
            None => Response::ok("<ValidateTemplateResponse><ValidateTemplateResult/></ValidateTemplateResponse>"),
        }
    }

    fn error(&self, _: &Request, status: u16, code: &str, text: &str) -> Response {
        query_error(status, code, text)
    }

    fn effects(&self) -> usize {
        0
    }
}

fn form(request: &Request) -> HashMap<String, String> {
    let body = String::from_utf8(request.body.clone()).unwrap();
    body.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decode(name), decode(value))).collect()
}
