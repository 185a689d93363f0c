//! AWS JSON 1.1 and 1.0: the target header, reading a body into a checked input, writing answers and errors. Routing and the meaning of
//! an operation are the server's.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::WireError;
use crate::generated::SERVICES;
use crate::schema::{Input, Protocol, Schema, Service};
use crate::validate;

pub const CONTENT_TYPE_JSON: &str = "application/x-amz-json-1.1";
const CONTENT_TYPE_JSON_1_0: &str = "application/x-amz-json-1.0";
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// Splits `CodePipeline_20150709.GetPipeline` into its prefix and its operation.
pub fn split_target(value: &str) -> Option<(&str, &str)> {
    value.rsplit_once('.').filter(|(prefix, operation)| !prefix.is_empty() && !operation.is_empty())
}

/// The service of a target prefix.
pub fn service_of_target(prefix: &str) -> Option<&'static Service> {
    SERVICES.iter().copied().find(|service| match service.protocol {
        Protocol::Json10 { target_prefix } | Protocol::Json11 { target_prefix } => target_prefix == prefix,
        Protocol::Query { .. } | Protocol::RestJson { .. } => false,
    })
}

/// Whether a service of this name speaks JSON here.
pub fn serves(name: &str) -> bool {
    let speaks = |service: &&Service| matches!(service.protocol, Protocol::Json10 { .. } | Protocol::Json11 { .. });
    SERVICES.iter().copied().filter(speaks).any(|service| service.name == name)
}

/// Whether a request's content type is that of AWS JSON, in either version, with or without parameters.
pub fn is_content_type(value: &str) -> bool {
    let media_type = value.split(';').next().unwrap_or_default().trim();
    [CONTENT_TYPE_JSON, CONTENT_TYPE_JSON_1_0].iter().any(|known| media_type.eq_ignore_ascii_case(known))
}

/// Reads and checks a request body. Every broken constraint is named in one error.
pub fn decode<T: Input>(body: &[u8]) -> Result<T, WireError> {
    let value = decode_value(T::service(), T::schema(), body)?;
    // The checks above leave nothing that the structure cannot hold.
    serde_json::from_value(value).map_err(|error| WireError::serialization(error.to_string()))
}

/// The same for a schema that is known only at run time: the body as JSON, without members that are null.
pub fn decode_value(service: &Service, schema: &Schema, body: &[u8]) -> Result<Value, WireError> {
    // Clients of operations without input may send nothing at all.
    let mut value = if body.trim_ascii().is_empty() {
        Value::Object(Map::new())
    } else {
        serde_json::from_slice(body)
            .map_err(|error| WireError::serialization(format!("Could not parse request body into json: {error}")))?
    };
    validate::check(service, schema, &mut value)?;
    Ok(value)
}

/// A successful answer.
pub fn respond<T: Serialize>(output: &T, request_id: &str) -> Result<Response<Bytes>, serde_json::Error> {
    Ok(reply(StatusCode::OK, serde_json::to_vec(output)?, request_id))
}

/// The answer of an operation without output: an empty body.
pub fn respond_empty(request_id: &str) -> Response<Bytes> {
    reply(StatusCode::OK, Vec::new(), request_id)
}

/// `{"__type": CODE, "message": TEXT}` with the code in a header as well, which newer SDKs read first.
pub fn respond_error(error: &WireError, request_id: &str) -> Response<Bytes> {
    let mut body = Map::new();
    body.insert("__type".to_owned(), Value::from(error.code.as_ref()));
    if !error.message.is_empty() {
        body.insert("message".to_owned(), Value::from(error.message.as_str()));
    }
    for (name, value) in &error.extra {
        body.insert((*name).to_owned(), Value::from(value.as_str()));
    }
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = reply(status, Value::Object(body).to_string().into_bytes(), request_id);
    if let Ok(code) = HeaderValue::from_str(&error.code) {
        response.headers_mut().insert(ERROR_TYPE, code);
    }
    response
}

/// The same answer in version 1.0 of the protocol.
#[must_use]
pub fn in_version_1_0(mut response: Response<Bytes>) -> Response<Bytes> {
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE_JSON_1_0));
    response
}

fn reply(status: StatusCode, body: Vec<u8>, request_id: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE_JSON));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::{
        decode, is_content_type, respond, respond_empty, respond_error, serves, service_of_target, split_target,
    };
    use crate::codepipeline::{GetPipelineInput, ListPipelinesInput, StageContext, StageState};
    use crate::error::WireError;

    #[test]
    fn a_target_names_service_and_operation() {
        let (prefix, operation) = split_target("CodePipeline_20150709.GetPipeline").expect("two parts");
        assert_eq!((prefix, operation), ("CodePipeline_20150709", "GetPipeline"));
        assert_eq!(service_of_target(prefix).expect("known").name, "codepipeline");
        assert!(service_of_target("DynamoDB_20120810").is_none());
        assert_eq!(split_target("GetPipeline"), None);
        assert_eq!(split_target("CodePipeline_20150709."), None);
    }

    #[test]
    fn one_content_type_is_json() {
        for good in
            ["application/x-amz-json-1.1", "application/x-amz-json-1.0", "Application/X-Amz-Json-1.1; charset=utf-8"]
        {
            assert!(is_content_type(good), "{good}");
        }
        for bad in ["", "application/json", "text/plain", "application/x-amz-json-1.2", "x application/x-amz-json-1.1"]
        {
            assert!(!is_content_type(bad), "{bad}");
        }
        assert!(serves("codepipeline") && !serves("sts") && !serves("dynamodb"));
    }

    #[test]
    fn a_body_becomes_a_checked_input() {
        let input: GetPipelineInput =
            decode(br#"{"name": "release", "version": null, "colour": "red"}"#).expect("valid");
        assert_eq!(input, GetPipelineInput { name: "release".to_owned(), version: None });
        let input: ListPipelinesInput = decode(b" \n").expect("an empty body is an empty object");
        assert_eq!(input, ListPipelinesInput::default());
    }

    #[test]
    fn a_body_that_is_not_json_is_a_serialization_error() {
        let error = decode::<GetPipelineInput>(b"{\"name\":").expect_err("cut off");
        assert_eq!((error.code.as_ref(), error.status), ("SerializationException", 400));
        assert!(error.message.starts_with("Could not parse request body into json: EOF"), "{}", error.message);
        let deep = format!("{{\"name\":{}", "[".repeat(100_000));
        let error = decode::<GetPipelineInput>(deep.as_bytes()).expect_err("too deep");
        assert!(error.message.contains("recursion limit"), "{}", error.message);
    }

    #[test]
    fn answers_omit_what_is_absent() {
        let output = StageState { stage_name: Some("Build".to_owned()), ..StageState::default() };
        let response = respond(&output, "id-1").expect("serialisable");
        assert_eq!(response.body().as_ref(), br#"{"stageName":"Build"}"#);
        assert_eq!(response.headers()["x-amzn-requestid"], "id-1");
        assert_eq!(response.headers()["content-type"], "application/x-amz-json-1.1");
        assert_eq!(respond(&StageContext::default(), "x").expect("serialisable").body().as_ref(), b"{}");
        assert!(respond_empty("id-2").body().is_empty());
    }

    #[test]
    fn the_older_version_differs_in_its_content_type() {
        let answer = super::in_version_1_0(respond_empty("id"));
        assert_eq!(answer.headers()["content-type"], "application/x-amz-json-1.0");
        let prefix = "com.amazonaws.codeconnections.CodeConnections_20231201";
        assert_eq!(service_of_target(prefix).expect("known").name, "codeconnections");
        assert!(serves("codestar-connections"));
    }

    #[test]
    fn errors_have_a_type_and_a_message() {
        let error = WireError::new("ConflictException", 400, "busy").with("expectedSequenceToken", "7");
        let response = respond_error(&error, "id-3");
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()["x-amzn-errortype"], "ConflictException");
        let body = r#"{"__type":"ConflictException","message":"busy","expectedSequenceToken":"7"}"#;
        assert_eq!(response.body().as_ref(), body.as_bytes());
        let response = respond_error(&WireError::unknown_operation(), "id-4");
        assert_eq!(response.body().as_ref(), br#"{"__type":"UnknownOperationException"}"#);
    }
}
