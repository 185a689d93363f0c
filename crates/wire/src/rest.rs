//! REST with JSON: which operation a method and a path name, reading path, query, headers and body into one checked input,
//! writing answers and errors. The meaning of an operation is the service's.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::WireError;
use crate::json::REQUEST_ID;
use crate::schema::{Binding, Input, Kind, Place, Protocol, Route, Service};
use crate::validate;

const ERROR_TYPE: &str = "x-amzn-errortype";
const CONTENT_TYPE_JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The operation of a request, and what its path says.
#[derive(Debug)]
pub struct Matched {
    pub route: &'static Route,
    labels: Vec<(&'static str, String)>,
}

/// The operation that a method and a path name.
pub fn find(service: &Service, method: &Method, path: &str) -> Option<Matched> {
    let Protocol::RestJson { routes } = service.protocol else { return None };
    // Old models end some paths with a slash, and so do old clients.
    let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    routes.iter().filter(|route| route.method == method.as_str()).find_map(|route| {
        let wanted: Vec<&'static str> = route.path.trim_end_matches('/').split('/').collect();
        if wanted.len() != segments.len() {
            return None;
        }
        let mut labels = Vec::new();
        for (wanted, found) in wanted.iter().zip(&segments) {
            match wanted.strip_prefix('{').and_then(|label| label.strip_suffix('}')) {
                Some(label) => labels.push((label, percent_decode_str(found).decode_utf8().ok()?.into_owned())),
                None if wanted == found => {}
                None => return None,
            }
        }
        Some(Matched { route, labels })
    })
}

/// Reads and checks a request. Every broken constraint is named in one error. A body that is a payload is left alone.
pub fn decode<T: Input>(matched: &Matched, parts: &Parts, body: &[u8]) -> Result<T, WireError> {
    let bindings = matched.route.bindings;
    let payload = bindings.iter().any(|binding| binding.place == Place::Payload);
    let mut members = if payload || body.trim_ascii().is_empty() {
        Map::new()
    } else {
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => members,
            Ok(_) => return Err(unreadable("Start of structure or map expected")),
            Err(error) => return Err(unreadable(&error.to_string())),
        }
    };
    for binding in bindings {
        // What belongs elsewhere is not taken from the body.
        members.remove(binding.member);
        let found: Vec<String> = match binding.place {
            Place::Payload => continue,
            Place::Path => matched
                .labels
                .iter()
                .filter(|(label, _)| *label == binding.name)
                .map(|(_, value)| value.clone())
                .collect(),
            Place::Query => query_values(parts.uri.query().unwrap_or_default(), binding.name),
            Place::Header => {
                let value = parts.headers.get(binding.name).and_then(|value| value.to_str().ok());
                value.map(str::to_owned).into_iter().collect()
            }
        };
        if let Some(value) = value_of(binding, found)? {
            members.insert(binding.member.to_owned(), value);
        }
    }
    let mut value = Value::Object(members);
    validate::check(T::service(), T::schema(), &mut value)?;
    // The checks above leave nothing that the structure cannot hold.
    serde_json::from_value(value).map_err(|error| unreadable(&error.to_string()))
}

fn unreadable(reason: &str) -> WireError {
    let message = format!("Could not parse request body into json: {reason}");
    WireError::new("InvalidRequestContentException", 400, message)
}

/// Text outside of the body, as the JSON that its member would be in it.
fn value_of(binding: &Binding, mut found: Vec<String>) -> Result<Option<Value>, WireError> {
    if matches!(binding.schema.kind, Kind::List { .. }) {
        return Ok((!found.is_empty()).then(|| Value::from(found)));
    }
    if found.is_empty() {
        return Ok(None);
    }
    let text = found.swap_remove(0);
    Ok(Some(match binding.schema.kind {
        Kind::Integer(_) | Kind::Long(_) => Value::from(
            text.parse::<i64>()
                .map_err(|_| WireError::serialization(format!("'{text}' can not be converted to an Integer")))?,
        ),
        Kind::Boolean => Value::from(text == "true"),
        _ => Value::from(text),
    }))
}

fn query_values(query: &str, name: &str) -> Vec<String> {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    query
        .split('&')
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .filter(|(found, _)| decoded(found) == name)
        .map(|(_, value)| decoded(value))
        .collect()
}

/// A successful answer with the status of its operation.
pub fn respond<T: Serialize>(
    route: &Route,
    output: &T,
    request_id: &str,
) -> Result<Response<Bytes>, serde_json::Error> {
    Ok(reply(route.status, Bytes::from(serde_json::to_vec(output)?), request_id))
}

/// Status and body as an operation chose them itself.
pub fn reply(status: u16, body: Bytes, request_id: &str) -> Response<Bytes> {
    let has_body = !body.is_empty();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if has_body {
        headers.insert(CONTENT_TYPE, CONTENT_TYPE_JSON);
    }
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// `{"Type": "User", "message": TEXT}` with the code in a header. Lambda writes `Message` where its model does.
pub fn respond_error(error: &WireError, request_id: &str) -> Response<Bytes> {
    let mut body = Map::new();
    if error.code != "ValidationException" && error.code != "AccessDeniedException" {
        body.insert("Type".to_owned(), Value::from(if error.is_sender_fault() { "User" } else { "Server" }));
    }
    let key = match error.code.as_ref() {
        "ResourceNotFoundException" | "ServiceException" | "AccessDeniedException" => "Message",
        _ => "message",
    };
    if !error.message.is_empty() {
        body.insert(key.to_owned(), Value::from(error.message.as_str()));
    }
    for (name, value) in &error.extra {
        body.insert((*name).to_owned(), Value::from(value.as_str()));
    }
    let mut response = reply(error.status, Bytes::from(Value::Object(body).to_string()), request_id);
    if let Ok(code) = HeaderValue::from_str(&error.code) {
        response.headers_mut().insert(ERROR_TYPE, code);
    }
    response
}

#[cfg(test)]
mod tests {
    use http::request::Parts;
    use http::{Method, Request};

    use super::{decode, find, respond_error};
    use crate::error::WireError;
    use crate::lambda::{CreateAliasRequest, InvocationRequest, ListFunctionsRequest, SERVICE, UntagResourceRequest};

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn method_and_path_name_the_operation() {
        let operation = |method: Method, path: &str| find(&SERVICE, &method, path).map(|found| found.route.operation);
        assert_eq!(operation(Method::GET, "/2015-03-31/functions"), Some("ListFunctions"));
        assert_eq!(operation(Method::GET, "/2015-03-31/functions/"), Some("ListFunctions"));
        assert_eq!(operation(Method::POST, "/2015-03-31/functions"), Some("CreateFunction"));
        assert_eq!(operation(Method::GET, "/2015-03-31/functions/f"), Some("GetFunction"));
        assert_eq!(operation(Method::GET, "/2015-03-31/functions/f/aliases/live"), Some("GetAlias"));
        assert_eq!(operation(Method::PATCH, "/2015-03-31/functions/f"), None);
        assert_eq!(operation(Method::GET, "/2015-03-31/functions/f/unknown"), None);
    }

    #[test]
    fn path_query_headers_and_body_are_one_input() {
        let parts = parts(
            "POST",
            "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af/invocations?Qualifier=live",
            &[("x-amz-invocation-type", "Event")],
        );
        let matched = find(&SERVICE, &parts.method, parts.uri.path()).expect("Invoke");
        let input: InvocationRequest = decode(&matched, &parts, b"not json at all").expect("the payload is not read");
        assert_eq!(input.function_name, "arn:aws:lambda:us-east-1:123456789012:function:f");
        assert_eq!((input.qualifier.as_deref(), input.invocation_type.as_deref()), (Some("live"), Some("Event")));

        let parts = self::parts("POST", "/2015-03-31/functions/f/aliases", &[]);
        let matched = find(&SERVICE, &parts.method, parts.uri.path()).expect("CreateAlias");
        let body = br#"{"Name": "live", "FunctionVersion": "1", "FunctionName": "other"}"#;
        let input: CreateAliasRequest = decode(&matched, &parts, body).expect("valid");
        assert_eq!((input.function_name.as_str(), input.name.as_str()), ("f", "live"), "the path names the function");
    }

    #[test]
    fn a_query_has_numbers_and_lists() {
        let list = parts("GET", "/2015-03-31/functions?MaxItems=7&Marker=a%2Bb", &[]);
        let matched = find(&SERVICE, &list.method, list.uri.path()).expect("ListFunctions");
        let input: ListFunctionsRequest = decode(&matched, &list, b"").expect("valid");
        assert_eq!((input.max_items, input.marker.as_deref()), (Some(7), Some("a+b")));
        let wrong = parts("GET", "/2015-03-31/functions?MaxItems=many", &[]);
        let error = decode::<ListFunctionsRequest>(&matched, &wrong, b"").expect_err("no number");
        assert_eq!(error.code, "SerializationException");

        let arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af";
        let untag = parts("DELETE", &format!("/2017-03-31/tags/{arn}?tagKeys=a&tagKeys=b"), &[]);
        let matched = find(&SERVICE, &untag.method, untag.uri.path()).expect("UntagResource");
        let input: UntagResourceRequest = decode(&matched, &untag, b"").expect("valid");
        assert_eq!(input.tag_keys, ["a", "b"]);
    }

    #[test]
    fn broken_constraints_are_named_in_lambdas_words() {
        let parts = parts("POST", "/2015-03-31/functions/f/aliases", &[]);
        let matched = find(&SERVICE, &parts.method, parts.uri.path()).expect("CreateAlias");
        let error = decode::<CreateAliasRequest>(&matched, &parts, br#"{"Name": "12", "FunctionVersion": "1"}"#)
            .expect_err("an alias is no number");
        assert_eq!((error.code.as_ref(), error.status), ("ValidationException", 400));
        assert_eq!(
            error.message,
            "1 validation error detected: Value '12' at 'name' failed to satisfy constraint: Member must satisfy \
             regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)"
        );
        let error = decode::<CreateAliasRequest>(&matched, &parts, b"{").expect_err("no JSON");
        assert_eq!(error.code, "InvalidRequestContentException");
    }

    #[test]
    fn an_error_has_its_code_in_a_header() {
        let error = WireError::modeled(&SERVICE, "ResourceNotFoundException", "Function not found: f");
        let response = respond_error(&error, "id");
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()["x-amzn-errortype"], "ResourceNotFoundException");
        assert_eq!(response.body().as_ref(), br#"{"Type":"User","Message":"Function not found: f"}"#);
    }
}
