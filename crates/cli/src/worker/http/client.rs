//! The requests of a description, made and sent: who is spoken to and what is said is decided there.

use std::sync::OnceLock;

use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http_body_util::{BodyExt as _, Limited};
use percent_encoding::utf8_percent_encode;
use serde_json::Value as Json;

use super::description::{Basic, Document, Request};
use super::template::{Missing, Template, Values};
use crate::limits;
use crate::worker::wire::{VALUE, connector, innermost};

/// Why a service did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// Nobody there, or it broke off; the same call may work later.
    #[error("no answer: {0}")]
    Unreachable(String),
    #[error("HTTP {status}: {why}")]
    Status { status: u16, why: String },
    #[error("an answer that cannot be read: {0}")]
    Unreadable(String),
    #[error("the request cannot be made: {0}")]
    Unmade(String),
}

impl ServiceError {
    /// Whether the same question may be answered in a while.
    pub const fn passes(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Status { status, .. } => *status >= 500 || *status == 429,
            Self::Unreadable(_) | Self::Unmade(_) => false,
        }
    }

    /// Whether the service has surely done nothing of it, and may another time.
    pub const fn refused_for_now(&self) -> bool {
        matches!(self, Self::Status { status: 429 | 503, .. })
    }

    pub const fn wants_login(&self) -> bool {
        matches!(self, Self::Status { status: 401, .. })
    }
}

fn coded(value: &str) -> String {
    utf8_percent_encode(value, VALUE).to_string()
}

fn quoted(value: &str) -> String {
    // A header has one line.
    value.replace(['\r', '\n'], " ")
}

/// A request with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Made {
    pub fn new(
        request: &Request,
        common: impl IntoIterator<Item = (String, Template)>,
        basic: Option<&Basic>,
        values: &Values,
    ) -> Result<Self, Missing> {
        let mut url = request.url.filled(values, coded)?;
        for (name, value) in &request.query {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.extend([coded(name).as_str(), "=", &coded(&value.text(values)?)]);
        }
        let mut headers: Vec<(String, String)> = Vec::new();
        let (kind, body) = match (&request.json, &request.form, &request.text) {
            (Some(document), _, _) => (Some("application/json"), document.filled(values)?.to_string()),
            (None, Some(form), _) => {
                let pairs: Vec<String> = form
                    .iter()
                    .map(|(name, value)| Ok(format!("{}={}", coded(name), coded(&value.text(values)?))))
                    .collect::<Result<_, Missing>>()?;
                (Some("application/x-www-form-urlencoded"), pairs.join("&"))
            }
            (None, None, Some(text)) => (Some("text/plain; charset=utf-8"), text.text(values)?),
            (None, None, None) => (None, String::new()),
        };
        headers.push((ACCEPT.to_string(), "application/json".to_owned()));
        headers.push((USER_AGENT.to_string(), "towpath-worker".to_owned()));
        headers.extend(kind.map(|kind| (CONTENT_TYPE.to_string(), kind.to_owned())));
        if let Some(basic) = basic {
            let pair = format!("{}:{}", basic.user.text(values)?, basic.password.text(values)?);
            headers.push((AUTHORIZATION.to_string(), format!("Basic {}", STANDARD.encode(pair))));
        }
        let own = request.headers.iter().map(|(name, value)| (name.clone(), value.clone()));
        for (name, value) in common.into_iter().chain(own) {
            let name = name.to_ascii_lowercase();
            let value = value.filled(values, quoted)?;
            headers.retain(|(known, _)| *known != name);
            headers.push((name, value));
        }
        Ok(Self { method: request.method.clone(), url, headers, body: Bytes::from(body) })
    }
}

impl Document {
    pub fn filled(&self, values: &Values) -> Result<Json, Missing> {
        Ok(match self {
            Self::Text(template) => template.text(values)?.into(),
            Self::Fixed(value) => value.clone(),
            Self::List(list) => list.iter().map(|one| one.filled(values)).collect::<Result<Vec<_>, _>>()?.into(),
            Self::Map(members) => {
                let filled = members.iter().map(|(name, one)| Ok((name.clone(), one.filled(values)?)));
                Json::Object(filled.collect::<Result<_, Missing>>()?)
            }
        })
    }
}

/// What a JSON pointer leads to, as text; None where there is nothing.
pub fn read(answer: &Json, pointer: &str) -> Option<String> {
    answer.pointer(pointer).map(|value| match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    })
}

#[derive(Default)]
pub struct Http {
    plain: OnceLock<Connector>,
    tls: OnceLock<Connector>,
}

impl Http {
    fn connector(&self, url: &str) -> &Connector {
        let tls = url.starts_with("https://");
        let of_its_kind = if tls { &self.tls } else { &self.plain };
        of_its_kind.get_or_init(|| connector(tls))
    }

    /// The JSON of a good answer; null for one without a body.
    pub async fn send(&self, made: &Made) -> Result<Json, ServiceError> {
        let unmade = |error: &dyn std::error::Error| ServiceError::Unmade(error.to_string());
        let mut request = http::Request::builder().method(made.method.as_str()).uri(made.url.as_str());
        for (name, value) in &made.headers {
            request = request.header(name.as_str(), value.as_str());
        }
        let request = request.body(SdkBody::from(made.body.clone())).map_err(|error| unmade(&error))?;
        let request = HttpRequest::try_from(request).map_err(|error| unmade(&error))?;
        let answer = self.connector(&made.url).call(request).await;
        let answer = answer.map_err(|error| ServiceError::Unreachable(innermost(&error)))?;
        let answer = answer.try_into_http1x().map_err(|error| ServiceError::Unreachable(error.to_string()))?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, limits::WORKER_JSON_BYTES_MAX).collect().await;
        let body = body.map_err(|error| ServiceError::Unreadable(error.to_string()))?.to_bytes();
        if !parts.status.is_success() {
            let text = crate::display::clean_rows(&String::from_utf8_lossy(&body));
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let why = words.chars().take(limits::WORKER_TAIL_CHARS).collect();
            return Err(ServiceError::Status { status: parts.status.as_u16(), why });
        }
        if body.is_empty() {
            return Ok(Json::Null);
        }
        serde_json::from_slice(&body).map_err(|error| ServiceError::Unreadable(format!("no JSON: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::template::Scope;
    use super::*;

    fn values() -> Values {
        let mut values = Values::default();
        values.put(Scope::Config, "Id", "a/b c&d");
        values.put(Scope::Secret, "token", "t\r\nX-Evil: 1");
        values
    }

    fn request(text: &str) -> Request {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn values_stay_where_they_belong() {
        let made = request(
            "method = \"POST\"\nurl = \"https://x.example/t/${config.Id}?a=1\"\nquery = { q = \"${config.Id}\" }\n\
             headers = { Token = \"${secret.token}\" }\njson = { id = \"${config.Id}\", n = [1, true] }",
        );
        let made = Made::new(&made, [], None, &values()).unwrap();
        assert_eq!(made.url, "https://x.example/t/a%2Fb%20c%26d?a=1&q=a%2Fb%20c%26d");
        assert_eq!(made.body, r#"{"id":"a/b c&d","n":[1,true]}"#);
        assert!(made.headers.contains(&("token".to_owned(), "t  X-Evil: 1".to_owned())), "{:?}", made.headers);
        let form = request("url = \"http://x.example/\"\nform = { id = \"${config.Id}\" }");
        assert_eq!(Made::new(&form, [], None, &values()).unwrap().body, "id=a%2Fb%20c%26d");
        let missing = request("url = \"http://x.example/${start.run}\"");
        assert_eq!(Made::new(&missing, [], None, &values()).unwrap_err().0.name, "run");
    }

    #[test]
    fn headers_of_the_request_go_before_common_ones() {
        let common = [("Accept".to_owned(), Template::parse("text/plain").unwrap())];
        let own = request("url = \"http://x.example/\"\nheaders = { accept = \"application/vnd.x+json\" }");
        let basic = Basic { user: Template::parse("u").unwrap(), password: Template::parse("p").unwrap() };
        let made = Made::new(&own, common, Some(&basic), &values()).unwrap();
        let of = |wanted: &str| -> Vec<&str> {
            made.headers.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str()).collect()
        };
        assert_eq!(of("accept"), ["application/vnd.x+json"]);
        assert_eq!(of("authorization"), ["Basic dTpw"]);
    }

    #[test]
    fn answers_are_read_by_pointers() {
        let answer = json!({"data": [{"id": 7, "passing": null, "name": "x"}]});
        let of = |pointer: &str| read(&answer, pointer);
        assert_eq!(of("/data/0/id").as_deref(), Some("7"));
        assert_eq!(of("/data/0/passing").as_deref(), Some("null"));
        assert_eq!(of("/data/0/name").as_deref(), Some("x"));
        assert_eq!(of("/data/1/id"), None);
    }

    #[test]
    fn what_may_pass_is_known() {
        let status = |status| ServiceError::Status { status, why: String::new() };
        assert!(status(503).passes() && status(429).refused_for_now() && !status(500).refused_for_now());
        assert!(!status(404).passes() && status(401).wants_login());
    }
}
