//! Elastic Beanstalk as far as a deployment uses it: the application `ferry` with the environment `ferry-prod`, in the query
//! protocol, written from the service's API model and the texts of its own command line. Updates go on until a test ends them.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::stage::Stage;
use crate::world::{Peer, Request, Response, decode, query_error};

pub struct Beanstalk {
    /// Bucket and key by label.
    pub versions: BTreeMap<String, (String, String)>,
    /// Labels that the environment was to be updated to.
    pub updates: Vec<String>,
    pub status: String,
    pub label: String,
    /// Severity and message, the oldest first.
    pub events: Vec<(String, String)>,
    pub aborted: usize,
    /// An update is over as soon as it is asked for.
    at_once: bool,
}

#[derive(Clone)]
pub struct BeanstalkPeer(Arc<Mutex<Beanstalk>>);

impl BeanstalkPeer {
    pub fn install(stage: &Stage) -> Self {
        let peer = Self(Arc::new(Mutex::new(Beanstalk {
            versions: BTreeMap::new(),
            updates: Vec::new(),
            status: "Ready".to_owned(),
            label: "v6".to_owned(),
            events: Vec::new(),
            aborted: 0,
            at_once: false,
        })));
        let mut world = stage.aws.world();
        world.s3.bucket("elasticbeanstalk-eu-west-1-111122223333", false);
        world.peers.insert("elasticbeanstalk".to_owned(), Box::new(peer.clone()));
        peer
    }

    pub fn beanstalk(&self) -> MutexGuard<'_, Beanstalk> {
        self.0.lock().unwrap()
    }
}

fn form(request: &Request) -> HashMap<String, String> {
    let body = String::from_utf8(request.body.clone()).unwrap();
    body.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decode(name), decode(value))).collect()
}

fn answered(operation: &str, result: &str) -> Response {
    Response::ok(format!(
        "<{operation}Response><{operation}Result>{result}</{operation}Result><ResponseMetadata><RequestId>R-7</RequestId>\
         </ResponseMetadata></{operation}Response>"
    ))
    .header("x-amzn-requestid", "R-7")
}

impl Beanstalk {
    fn shown(&self) -> String {
        format!(
            "<EnvironmentName>ferry-prod</EnvironmentName><EnvironmentId>e-abcdefgh</EnvironmentId>\
             <ApplicationName>ferry</ApplicationName><VersionLabel>{}</VersionLabel><Status>{}</Status>\
             <AbortableOperationInProgress>{}</AbortableOperationInProgress>",
            self.label,
            self.status,
            self.status == "Updating"
        )
    }

    /// Ends an update well.
    pub fn complete(&mut self) {
        if let (Some(label), "Updating") = (self.updates.last(), self.status.as_str()) {
            label.clone_into(&mut self.label);
            "Ready".clone_into(&mut self.status);
            self.events.push(("INFO".to_owned(), "Environment update completed successfully.".to_owned()));
        }
    }

    fn update(&mut self, label: &str) -> Response {
        if self.status != "Ready" {
            let text = "Environment named ferry-prod is in an invalid state for this operation. Must be Ready.";
            return query_error(400, "InvalidParameterValue", text);
        }
        assert!(self.versions.contains_key(label), "a version is made before it is deployed");
        self.updates.push(label.to_owned());
        "Updating".clone_into(&mut self.status);
        self.events.push(("INFO".to_owned(), "Environment update is starting.".to_owned()));
        if self.at_once {
            self.complete();
        }
        answered("UpdateEnvironment", &self.shown())
    }

    fn create(&mut self, form: &HashMap<String, String>) -> Response {
        let label = &form["VersionLabel"];
        if self.versions.contains_key(label) {
            return query_error(400, "InvalidParameterValue", &format!("Application Version {label} already exists."));
        }
        let place = (form["SourceBundle.S3Bucket"].clone(), form["SourceBundle.S3Key"].clone());
        self.versions.insert(label.clone(), place);
        let shown = format!("<ApplicationVersion><VersionLabel>{label}</VersionLabel></ApplicationVersion>");
        answered("CreateApplicationVersion", &shown)
    }
}

impl Peer for BeanstalkPeer {
    fn operation(&self, request: &Request) -> String {
        form(request)["Action"].clone()
    }

    fn answer(&mut self, request: &Request) -> Response {
        let form = form(request);
        let mut beanstalk = self.beanstalk();
        let operation = form["Action"].as_str();
        match operation {
            "CreateStorageLocation" => {
                answered(operation, "<S3Bucket>elasticbeanstalk-eu-west-1-111122223333</S3Bucket>")
            }
            "AbortEnvironmentUpdate" => {
                beanstalk.aborted += 1;
                "Aborting".clone_into(&mut beanstalk.status);
                Response::ok("<AbortEnvironmentUpdateResponse/>")
            }
            _ if form["ApplicationName"] != "ferry" => {
                let text = format!("No Application named '{}' found.", form["ApplicationName"]);
                match operation {
                    "DescribeEnvironments" => answered(operation, "<Environments/>"),
                    _ => query_error(400, "InvalidParameterValue", &text),
                }
            }
            "DescribeEnvironments" => {
                let shown = format!("<Environments><member>{}</member></Environments>", beanstalk.shown());
                answered(operation, &shown)
            }
            "CreateApplicationVersion" => beanstalk.create(&form),
            "UpdateEnvironment" => beanstalk.update(&form["VersionLabel"]),
            "DescribeEvents" => {
                assert!(form.contains_key("StartTime"), "events of earlier updates are not asked for");
                let mut shown = String::from("<Events>");
                for (severity, message) in beanstalk.events.iter().rev() {
                    write!(shown, "<member><Severity>{severity}</Severity><Message>{message}</Message></member>")
                        .unwrap();
                }
                answered(operation, &format!("{shown}</Events>"))
            }
            other => panic!("the fake Elastic Beanstalk has no {other}"),
        }
    }

    fn error(&self, _: &Request, status: u16, code: &str, text: &str) -> Response {
        query_error(status, code, text)
    }

    /// Versions and updates that were made: each action has one of each.
    fn effects(&self) -> usize {
        let beanstalk = self.beanstalk();
        beanstalk.versions.len().max(beanstalk.updates.len())
    }

    fn finish(&mut self) {
        let mut beanstalk = self.beanstalk();
        beanstalk.at_once = true;
        beanstalk.complete();
    }
}
