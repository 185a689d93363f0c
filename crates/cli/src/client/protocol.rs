//! AWS's two RPC protocols from the caller's side: JSON 1.1, and Query with XML answers.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;

use super::{Reply, failure, xml};
use crate::host::ApiError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `X-Amz-Target: PREFIX.Operation`, JSON in and out.
    Json { prefix: &'static str },
    /// `Action=Operation&Version=...` in, XML out.
    Query { version: &'static str },
}

/// RFC 3986: what needs no escape.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A Query request: structures are dotted, lists are numbered under `member`, maps under `entry`.
pub fn form(operation: &str, version: &str, input: &Json) -> String {
    let mut body = format!("Action={operation}&Version={version}");
    for (name, value) in input.as_object().into_iter().flatten() {
        member(&mut body, name, value);
    }
    body
}

fn member(body: &mut String, name: &str, value: &Json) {
    match value {
        Json::Null => {}
        Json::Object(members) => members.iter().for_each(|(key, value)| member(body, &format!("{name}.{key}"), value)),
        Json::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                member(body, &format!("{name}.member.{}", at + 1), item);
            }
        }
        Json::String(text) => pair(body, name, text),
        Json::Bool(_) | Json::Number(_) => pair(body, name, &value.to_string()),
    }
}

fn pair(body: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = write!(body, "&{name}={}", utf8_percent_encode(value, FORM));
}

pub fn json_answer(reply: &Reply) -> Result<Json, ApiError> {
    let body = reply.body();
    let parsed = if body.is_empty() { Ok(Json::Object(serde_json::Map::new())) } else { serde_json::from_slice(body) };
    if reply.status().is_success() {
        return parsed.map_err(|error| {
            ApiError::new(failure::UNREADABLE, format!("the answer is not AWS's JSON ({error}): {}", opening(body)))
        });
    }
    let error = parsed.unwrap_or(Json::Null);
    let code = error["__type"].as_str().or_else(|| error["code"].as_str());
    let Some(code) = code else { return Err(foreign(reply)) };
    // A shape's name may have its namespace in front: `com.amazonaws.codepipeline#PipelineNotFoundException`.
    let code = code.rsplit('#').next().unwrap_or(code);
    let message = ["message", "Message"].iter().find_map(|name| error[*name].as_str()).unwrap_or_default();
    Err(ApiError::new(code, message))
}

pub fn query_answer(operation: &str, reply: &Reply) -> Result<Json, ApiError> {
    let text = String::from_utf8_lossy(reply.body());
    let document = xml::read(&text);
    if reply.status().is_success() {
        let document = document
            .map_err(|error| ApiError::new(failure::UNREADABLE, format!("the answer is not AWS's XML: {error}")))?;
        return Ok(document.get(format!("{operation}Result")).cloned().unwrap_or(Json::Null));
    }
    let document = document.unwrap_or(Json::Null);
    let error = &document["Error"];
    match error["Code"].as_str() {
        Some(code) => Err(ApiError::new(code, error["Message"].as_str().unwrap_or_default())),
        None => Err(foreign(reply)),
    }
}

/// An error that no AWS service wrote: a proxy's page, another server on that port.
fn foreign(reply: &Reply) -> ApiError {
    ApiError::new(
        failure::UNREADABLE,
        format!("the answer is no AWS error but HTTP {}: {}", reply.status(), opening(reply.body())),
    )
}

fn opening(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
    let text = crate::display::clean_rows(&text);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    fn reply(status: u16, body: &'static str) -> Reply {
        http::Response::builder().status(status).body(Bytes::from_static(body.as_bytes())).unwrap()
    }

    #[test]
    fn query_requests_are_flattened() {
        let input = json!({"RoleName": "a b", "Tags": [{"Key": "k", "Value": "v&w"}], "Max": 5, "None": null});
        assert_eq!(
            form("CreateRole", "2010-05-08", &input),
            "Action=CreateRole&Version=2010-05-08&RoleName=a%20b&Tags.member.1.Key=k&Tags.member.1.Value=v%26w&Max=5"
        );
    }

    #[test]
    fn errors_of_both_protocols_have_code_and_message() {
        let error = json_answer(&reply(400, r#"{"__type":"com.x#PipelineNotFoundException","message":"gone"}"#));
        assert_eq!(error.unwrap_err(), ApiError::new("PipelineNotFoundException", "gone"));
        let error = query_answer(
            "GetRole",
            &reply(
                404,
                "<ErrorResponse><Error><Code>NoSuchEntity</Code><Message>no role</Message></Error></ErrorResponse>",
            ),
        );
        assert_eq!(error.unwrap_err(), ApiError::new("NoSuchEntity", "no role"));
    }

    #[test]
    fn an_answer_of_somebody_else_is_told_as_such() {
        let error = json_answer(&reply(502, "<html>\n<h1>Bad Gateway</h1>")).unwrap_err();
        assert_eq!(error.code, failure::UNREADABLE);
        assert_eq!(error.message, "the answer is no AWS error but HTTP 502 Bad Gateway: <html> <h1>Bad Gateway</h1>");
        assert_eq!(json_answer(&reply(200, "hello")).unwrap_err().code, failure::UNREADABLE);
        assert_eq!(json_answer(&reply(200, "")).unwrap(), json!({}));
    }

    #[test]
    fn query_answers_are_their_result() {
        let body = "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>1</Account></GetCallerIdentityResult>\
                    <ResponseMetadata/></GetCallerIdentityResponse>";
        let answer = query_answer("GetCallerIdentity", &reply(200, body)).unwrap();
        assert_eq!(answer, json!({"Account": "1"}));
        assert_eq!(query_answer("DeleteRole", &reply(200, "<DeleteRoleResponse/>")).unwrap(), Json::Null);
    }
}
