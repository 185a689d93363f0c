//! Login with Amazon and the Skill Management API as far as a deployment uses them: one developer and one skill, written from
//! their public documentation. Imports go on until a test ends them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::stage::Stage;
use crate::world::{Peer, Request, Response, decode};

pub const SKILL: &str = "amzn1.ask.skill.ferry";
pub const ACCESS_TOKEN: &str = "Atza|never-to-be-seen";

#[derive(Default)]
pub struct Alexa {
    /// Forms that asked for a token.
    pub signed_in: Vec<HashMap<String, String>>,
    /// The refusal of Login with Amazon.
    pub refuses: Option<Value>,
    /// How many more requests find the token not accepted.
    pub unauthorized: u32,
    /// How many more imports find the skill being changed.
    pub conflicts: u32,
    /// The zip that was put last.
    pub put: Vec<u8>,
    /// Packages of imports, in order.
    pub imports: Vec<Vec<u8>>,
    /// As the newest import shows itself.
    pub shown: Value,
    at_once: bool,
}

/// Shared by the three hosts, of which one counts.
#[derive(Clone)]
pub struct AlexaPeer {
    alexa: Arc<Mutex<Alexa>>,
    counts: bool,
}

impl AlexaPeer {
    pub fn install(stage: &Stage) -> Self {
        let alexa = Alexa { shown: json!({"status": "IN_PROGRESS"}), ..Alexa::default() };
        let peer = Self { alexa: Arc::new(Mutex::new(alexa)), counts: true };
        for (host, counts) in [("api.amazon.com", false), ("api.amazonalexa.com", true), ("skills.fake.test", false)] {
            stage.aws.world().peers.insert(host.to_owned(), Box::new(Self { counts, ..peer.clone() }));
        }
        peer
    }

    pub fn alexa(&self) -> MutexGuard<'_, Alexa> {
        self.alexa.lock().unwrap()
    }
}

impl Alexa {
    fn sign_in(&mut self, request: &Request) -> Response {
        let body = String::from_utf8(request.body.clone()).unwrap();
        let form = body.split('&').map(|pair| pair.split_once('=').unwrap());
        self.signed_in.push(form.map(|(name, value)| (name.to_owned(), decode(value))).collect());
        match &self.refuses {
            Some(refusal) => Response::status(400, refusal.to_string()),
            None => Response::ok(
                json!({"access_token": ACCESS_TOKEN, "token_type": "bearer", "expires_in": 3600, "refresh_token": "x"})
                    .to_string(),
            ),
        }
    }

    fn import(&mut self, skill: &str, body: &Value) -> Response {
        if skill != SKILL {
            return Response::status(404, json!({"message": format!("Skill {skill} does not exist.")}).to_string());
        }
        if self.conflicts > 0 {
            self.conflicts -= 1;
            return Response::status(409, json!({"message": "The skill is being changed."}).to_string());
        }
        assert_eq!(body["location"], "https://skills.fake.test/package?X-Amz-Signature=s");
        if self.imports.last() == Some(&self.put) && self.at_once {
            self.shown = json!({"status": "SKIPPED"});
        } else {
            self.imports.push(self.put.clone());
            self.shown = json!({"status": if self.at_once { "SUCCEEDED" } else { "IN_PROGRESS" }});
        }
        Response::status(202, "").header("location", "/v1/skills/imports/amzn1.ask-import.1")
    }
}

impl Peer for AlexaPeer {
    fn operation(&self, request: &Request) -> String {
        let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
        let name = match (request.method.as_str(), parts.as_slice()) {
            ("POST", ["auth", "o2", "token"]) => "Token",
            ("POST", ["v1", "skills", "uploads"]) => "CreateUpload",
            ("PUT", ["package"]) => "Put",
            ("POST", ["v1", "skills", _, "imports"]) => "Import",
            ("GET", ["v1", "skills", "imports", "amzn1.ask-import.1"]) => "GetImport",
            (method, path) => panic!("the fake Alexa has no {method} {path:?}"),
        };
        name.to_owned()
    }

    fn answer(&mut self, request: &Request) -> Response {
        let operation = self.operation(request);
        let mut alexa = self.alexa();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match operation.as_str() {
            "Token" => return alexa.sign_in(request),
            "Put" => {
                assert!(!request.headers.contains_key("authorization"), "the place is signed already");
                alexa.put.clone_from(&request.body);
                return Response::ok("");
            }
            _ => {}
        }
        assert_eq!(request.headers["authorization"], ACCESS_TOKEN);
        if alexa.unauthorized > 0 {
            alexa.unauthorized -= 1;
            return Response::status(401, json!({"message": "Token is invalid/expired"}).to_string());
        }
        match operation.as_str() {
            "CreateUpload" => {
                let place =
                    json!({"uploadUrl": "https://skills.fake.test/package?X-Amz-Signature=s", "expiresAt": "later"});
                Response::status(201, place.to_string())
            }
            "Import" => {
                let skill = request.path.split('/').nth(3).unwrap().to_owned();
                alexa.import(&skill, &body)
            }
            _ => Response::ok(alexa.shown.to_string()),
        }
    }

    /// Imports that changed the skill.
    fn effects(&self) -> usize {
        if self.counts { self.alexa().imports.len() } else { 0 }
    }

    fn finish(&mut self) {
        let mut alexa = self.alexa();
        alexa.at_once = true;
        if alexa.shown["status"] == "IN_PROGRESS" && !alexa.imports.is_empty() {
            alexa.shown = json!({"status": "SUCCEEDED"});
        }
    }
}
