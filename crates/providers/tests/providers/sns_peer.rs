//! SNS as far as providers use it: topics that remember what was published.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use crate::world::{Peer, Request, Response, decode, query_error};

/// The topic and all parameters of everything published.
pub type Published = Arc<Mutex<Vec<(String, HashMap<String, String>)>>>;

#[derive(Debug, Default)]
pub struct Sns {
    pub topics: BTreeSet<String>,
    pub published: Published,
}

impl Sns {
    pub fn with(topic: &str) -> Self {
        Self { topics: BTreeSet::from([topic.to_owned()]), ..Self::default() }
    }
}

fn form(request: &Request) -> HashMap<String, String> {
    let body = String::from_utf8(request.body.clone()).unwrap();
    body.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decode(name), decode(value))).collect()
}

impl Peer for Sns {
    fn operation(&self, request: &Request) -> String {
        form(request)["Action"].clone()
    }

    fn answer(&mut self, request: &Request) -> Response {
        let form = form(request);
        assert_eq!(form["Action"], "Publish", "the fake SNS has nothing else");
        let topic = form["TopicArn"].clone();
        if !self.topics.contains(&topic) {
            return query_error(404, "NotFound", "Topic does not exist").header("x-amzn-requestid", "R-1");
        }
        self.published.lock().unwrap().push((topic, form));
        Response::ok("<PublishResponse><PublishResult><MessageId>m-1</MessageId></PublishResult></PublishResponse>")
    }

    fn error(&self, _request: &Request, status: u16, code: &str, text: &str) -> Response {
        let code = if status == 403 { "AuthorizationError" } else { code };
        query_error(status, code, text)
    }

    fn effects(&self) -> usize {
        self.published.lock().unwrap().len()
    }
}
