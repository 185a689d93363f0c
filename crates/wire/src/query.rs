//! AWS's Query protocol: a form with `Action` and `Version` becomes a checked input, answers and errors are XML. Routing and the
//! meaning of an action are the server's.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde_json::{Map, Number, Value};

use crate::error::WireError;
use crate::json::REQUEST_ID;
use crate::schema::{Input, Kind, Output, Protocol, Schema, Service};
use crate::types::Timestamp;
use crate::{validate, xml};

/// More parameters than the largest request of the models needs (lists of 50 tags, documents in one parameter).
const PARAMETERS_MAX: usize = 4096;
/// `Outer.member.1.Inner...`: the models nest no deeper than a third of this.
const DEPTH_MAX: usize = 32;
/// The namespace of faults that no service has claimed.
const FAULT_NAMESPACE: &str = "http://webservices.amazon.com/AWSFault/2005-15-09";

/// A decoded form, as the tree that the dots of its names describe.
#[derive(Debug, Default)]
pub struct Form {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    value: Option<String>,
    children: BTreeMap<String, Node>,
}

impl Form {
    /// Reads `application/x-www-form-urlencoded` parameters: those of the body, and those of the URL for a GET.
    pub fn parse(query: Option<&str>, body: &[u8]) -> Result<Self, WireError> {
        let mut form = Self::default();
        let mut count = 0;
        for part in query.unwrap_or_default().as_bytes().split(|b| *b == b'&').chain(body.split(|b| *b == b'&')) {
            if part.is_empty() {
                continue;
            }
            count += 1;
            if count > PARAMETERS_MAX {
                return Err(WireError::malformed_input(format!(
                    "The request has more than {PARAMETERS_MAX} parameters; send fewer"
                )));
            }
            let mut halves = part.splitn(2, |b| *b == b'=');
            let name = decode_component(halves.next().unwrap_or_default())?;
            let value = decode_component(halves.next().unwrap_or_default())?;
            form.insert(&name, value)?;
        }
        Ok(form)
    }

    fn insert(&mut self, name: &str, value: String) -> Result<(), WireError> {
        let mut node = &mut self.root;
        for (depth, segment) in name.split('.').enumerate() {
            if depth >= DEPTH_MAX {
                return Err(WireError::malformed_input("A parameter name has too many parts"));
            }
            node = node.children.entry(segment.to_owned()).or_default();
        }
        node.value = Some(value);
        Ok(())
    }

    /// The value of a parameter without dots.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.root.children.get(name)?.value.as_deref()
    }

    pub fn action(&self) -> Result<&str, WireError> {
        self.get("Action").filter(|action| !action.is_empty()).ok_or_else(WireError::missing_action)
    }

    pub fn version(&self) -> &str {
        self.get("Version").unwrap_or_default()
    }

    /// The checked input of an action. Every broken constraint is named in one error.
    pub fn decode<T: Input>(&self) -> Result<T, WireError> {
        let mut value = to_value(T::schema(), &self.root)?;
        validate::check(T::service(), T::schema(), &mut value)?;
        serde_json::from_value(value).map_err(|error| WireError::malformed_input(error.to_string()))
    }
}

/// Percent-decoding, with `+` for a space as forms have it.
fn decode_component(raw: &[u8]) -> Result<String, WireError> {
    let spaced: Vec<u8> = raw.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    let bytes: Vec<u8> = percent_encoding::percent_decode(&spaced).collect();
    String::from_utf8(bytes).map_err(|_| WireError::malformed_input("A parameter is not UTF-8"))
}

fn to_value(schema: &Schema, node: &Node) -> Result<Value, WireError> {
    match &schema.kind {
        Kind::Structure(members) => {
            let mut object = Map::new();
            for member in *members {
                if let Some(child) = node.children.get(member.wire_name) {
                    object.insert(member.name.to_owned(), to_value(member.schema, child)?);
                }
            }
            Ok(Value::Object(object))
        }
        Kind::List { member, tag, flattened, .. } => {
            let items = if *flattened { node } else { node.wrapper(tag) };
            items.numbered()?.into_iter().map(|item| to_value(member, item)).collect::<Result<_, _>>().map(Value::Array)
        }
        Kind::Map { value, flattened, .. } => {
            let entries = if *flattened { node } else { node.wrapper("entry") };
            let mut object = Map::new();
            for entry in entries.numbered()? {
                let key = entry
                    .children
                    .get("key")
                    .and_then(|key| key.value.clone())
                    .ok_or_else(|| WireError::malformed_input(format!("An entry of {} has no key", schema.name)))?;
                let inner = entry.children.get("value").map_or(Ok(Value::Null), |inner| to_value(value, inner))?;
                object.insert(key, inner);
            }
            Ok(Value::Object(object))
        }
        _ => {
            let text = node.value.as_deref().filter(|_| node.children.is_empty());
            let text = text.ok_or_else(|| WireError::malformed_input("Unexpected complex element termination"))?;
            scalar(schema, text)
        }
    }
}

fn scalar(schema: &Schema, text: &str) -> Result<Value, WireError> {
    let value = match &schema.kind {
        Kind::Integer(_) => text.parse::<i32>().ok().map(Value::from),
        Kind::Long(_) => text.parse::<i64>().ok().map(Value::from),
        Kind::Double(_) => text.parse::<f64>().ok().and_then(Number::from_f64).map(Value::Number),
        Kind::Boolean => match text {
            "true" | "True" | "TRUE" => Some(Value::Bool(true)),
            "false" | "False" | "FALSE" => Some(Value::Bool(false)),
            _ => None,
        },
        Kind::Timestamp => Timestamp::parse_iso(text).map(|_| Value::from(text)),
        _ => Some(Value::from(text)),
    };
    value.ok_or_else(|| WireError::malformed_input(format!("'{text}' is not a valid {}", kind_name(schema))))
}

fn kind_name(schema: &Schema) -> &'static str {
    match schema.kind {
        Kind::Integer(_) => "Integer",
        Kind::Long(_) => "Long",
        Kind::Double(_) => "Double",
        Kind::Boolean => "Boolean",
        Kind::Timestamp => "Timestamp",
        _ => "String",
    }
}

impl Node {
    /// `Tags.member.1` or, as some clients write it, `Tags.1`.
    fn wrapper(&self, tag: &str) -> &Self {
        self.children.get(tag).unwrap_or(self)
    }

    /// The children whose names are numbers, in that order. An empty value stands for an empty list.
    fn numbered(&self) -> Result<Vec<&Self>, WireError> {
        let mut items = Vec::with_capacity(self.children.len());
        for (name, child) in &self.children {
            let index: u32 = name
                .parse()
                .map_err(|_| WireError::malformed_input(format!("'{name}' is not a valid position in a list")))?;
            items.push((index, child));
        }
        items.sort_by_key(|(index, _)| *index);
        Ok(items.into_iter().map(|(_, child)| child).collect())
    }
}

/// `<OpResponse xmlns><OpResult>...</OpResult><ResponseMetadata>...`.
pub fn respond<T: Output>(output: &T, request_id: &str) -> Result<Response<Bytes>, serde_json::Error> {
    let value = serde_json::to_value(output)?;
    let mut result = String::new();
    let wrapper = format!("{}Result", T::operation());
    xml::open(&mut result, &wrapper);
    xml::write_value(&mut result, T::schema(), &value);
    xml::close(&mut result, &wrapper);
    Ok(envelope(T::service(), T::operation(), &result, request_id))
}

/// The answer of an action without a result: metadata only.
pub fn respond_empty(service: &Service, operation: &str, request_id: &str) -> Response<Bytes> {
    envelope(service, operation, "", request_id)
}

fn envelope(service: &Service, operation: &str, result: &str, request_id: &str) -> Response<Bytes> {
    let mut body = format!("<{operation}Response xmlns=\"{}\">{result}<ResponseMetadata>", namespace(Some(service)));
    xml::element(&mut body, "RequestId", request_id);
    body.push_str("</ResponseMetadata>");
    xml::close(&mut body, &format!("{operation}Response"));
    reply(StatusCode::OK, body, request_id)
}

/// The error document. `service` is unknown when the request could not even be routed.
pub fn respond_error(service: Option<&Service>, error: &WireError, request_id: &str) -> Response<Bytes> {
    let mut body = format!("<ErrorResponse xmlns=\"{}\"><Error>", namespace(service));
    xml::element(&mut body, "Type", if error.is_sender_fault() { "Sender" } else { "Receiver" });
    xml::element(&mut body, "Code", &error.code);
    xml::element(&mut body, "Message", &error.message);
    for (name, value) in &error.extra {
        xml::element(&mut body, name, value);
    }
    body.push_str("</Error>");
    xml::element(&mut body, "RequestId", request_id);
    body.push_str("</ErrorResponse>");
    reply(StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body, request_id)
}

fn namespace(service: Option<&Service>) -> &'static str {
    match service.map(|service| service.protocol) {
        Some(Protocol::Query { namespace }) => namespace,
        Some(Protocol::Json10 { .. } | Protocol::Json11 { .. } | Protocol::RestJson { .. }) | None => FAULT_NAMESPACE,
    }
}

fn reply(status: StatusCode, body: String, request_id: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::{Form, respond, respond_empty, respond_error};
    use crate::error::WireError;
    use crate::iam::{CreateRoleRequest, GetRoleResponse, Role, Tag, TagRoleRequest, UntagRoleRequest};
    use crate::schema::Input;
    use crate::sts::{AssumeRoleRequest, AssumeRoleResponse, Credentials};
    use crate::types::{Sensitive, Timestamp};
    use crate::{iam, sts};

    fn form(body: &str) -> Form {
        Form::parse(None, body.as_bytes()).expect("a form")
    }

    fn refuse<T: Input + std::fmt::Debug>(body: &str) -> WireError {
        form(body).decode::<T>().expect_err("the form must be refused")
    }

    fn text(response: &http::Response<bytes::Bytes>) -> &str {
        std::str::from_utf8(response.body()).expect("UTF-8")
    }

    #[test]
    fn a_form_becomes_a_checked_input() {
        let form = form(
            "Action=CreateRole&Version=2010-05-08&RoleName=build&AssumeRolePolicyDocument=%7B%22a%22%3A+1%7D\
             &MaxSessionDuration=7200&Tags.member.2.Key=b&Tags.member.2.Value=&Tags.member.1.Key=a%20b&Tags.member.1.Value=x%2By\
             &Unknown.member.1=ignored",
        );
        assert_eq!((form.action().expect("named"), form.version()), ("CreateRole", "2010-05-08"));
        let input: CreateRoleRequest = form.decode().expect("valid");
        assert_eq!(input.assume_role_policy_document, "{\"a\": 1}");
        assert_eq!(input.max_session_duration, Some(7200));
        let tag = |key: &str, value: &str| Tag { key: key.to_owned(), value: value.to_owned() };
        assert_eq!(input.tags, Some(vec![tag("a b", "x+y"), tag("b", "")]));
    }

    #[test]
    fn lists_are_read_in_every_spelling() {
        let keys = |body: &str| form(body).decode::<UntagRoleRequest>().expect("valid").tag_keys;
        assert_eq!(keys("RoleName=r&TagKeys.member.10=c&TagKeys.member.9=b&TagKeys.member.1=a"), ["a", "b", "c"]);
        assert_eq!(keys("RoleName=r&TagKeys.1=a&TagKeys.2=b"), ["a", "b"]);
        assert_eq!(keys("RoleName=r&TagKeys="), Vec::<String>::new());
    }

    #[test]
    fn constraints_are_reported_with_the_value() {
        let error = refuse::<CreateRoleRequest>(&format!("RoleName={}&AssumeRolePolicyDocument=x", "r".repeat(65)));
        assert_eq!((error.code.as_ref(), error.status), ("ValidationError", 400));
        assert_eq!(
            error.message,
            format!(
                "1 validation error detected: Value '{}' at 'roleName' failed to satisfy constraint: Member must have \
                 length less than or equal to 64",
                "r".repeat(65)
            )
        );
        let error = refuse::<TagRoleRequest>("RoleName=r&Tags.member.1.Value=v");
        assert_eq!(
            error.message,
            "1 validation error detected: Value null at 'tags.1.member.key' failed to satisfy constraint: Member must not be null"
        );
        let error = refuse::<AssumeRoleRequest>(
            "RoleArn=arn:aws:iam::123456789012:role/r&RoleSessionName=s1&DurationSeconds=5",
        );
        assert_eq!(
            error.message,
            "1 validation error detected: Value '5' at 'durationSeconds' failed to satisfy constraint: Member must \
             have value greater than or equal to 900"
        );
    }

    #[test]
    fn values_of_the_wrong_form_are_malformed_input() {
        let code = |body: &str| {
            let error = refuse::<CreateRoleRequest>(body);
            (error.code.into_owned(), error.message)
        };
        let malformed = |message: &str| ("MalformedInput".to_owned(), message.to_owned());
        assert_eq!(code("MaxSessionDuration=soon"), malformed("'soon' is not a valid Integer"));
        assert_eq!(code("RoleName.Inner=x"), malformed("Unexpected complex element termination"));
        assert_eq!(code("Tags.member.x.Key=k"), malformed("'x' is not a valid position in a list"));
    }

    #[test]
    fn hostile_forms_are_bounded() {
        let error = Form::parse(None, "a=1&".repeat(5000).as_bytes()).expect_err("too many");
        assert_eq!(error.message, "The request has more than 4096 parameters; send fewer");
        let error = Form::parse(None, format!("{}=1", "a.".repeat(50)).as_bytes()).expect_err("too deep");
        assert_eq!(error.message, "A parameter name has too many parts");
        assert!(Form::parse(None, b"a=%ff").is_err(), "not UTF-8");
        let form = Form::parse(Some("Action=GetRole"), b"").expect("the URL's parameters count");
        assert_eq!(form.action(), Ok("GetRole"));
        assert_eq!(Form::default().action().expect_err("no action").code, "MissingAction");
    }

    #[test]
    fn answers_are_xml_in_the_namespace_of_the_service() {
        let role = Role {
            role_name: "build".to_owned(),
            arn: "arn:aws:iam::123456789012:role/build".to_owned(),
            path: "/".to_owned(),
            role_id: "AROAEXAMPLE".to_owned(),
            create_date: Timestamp::from_millis(1_767_323_045_000),
            description: Some("a < b".to_owned()),
            tags: Some(vec![Tag { key: "k".to_owned(), value: String::new() }]),
            ..Role::default()
        };
        let response = respond(&GetRoleResponse { role }, "id-1").expect("serialisable");
        assert_eq!(response.headers()["content-type"], "text/xml");
        assert_eq!(
            text(&response),
            "<GetRoleResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><GetRoleResult><Role>\
             <Arn>arn:aws:iam::123456789012:role/build</Arn><CreateDate>2026-01-02T03:04:05Z</CreateDate>\
             <Description>a &lt; b</Description><Path>/</Path><RoleId>AROAEXAMPLE</RoleId><RoleName>build</RoleName>\
             <Tags><member><Key>k</Key><Value></Value></member></Tags></Role></GetRoleResult>\
             <ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></GetRoleResponse>"
        );
        let response = respond_empty(&iam::SERVICE, "DeleteRole", "id-2");
        assert_eq!(
            text(&response),
            "<DeleteRoleResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><ResponseMetadata>\
             <RequestId>id-2</RequestId></ResponseMetadata></DeleteRoleResponse>"
        );
    }

    #[test]
    fn credentials_are_sent_but_not_printed() {
        let credentials = Credentials {
            access_key_id: "ASIAEXAMPLE".to_owned(),
            secret_access_key: Sensitive::new("s3cret"),
            session_token: Sensitive::new("t0ken"),
            expiration: Timestamp::from_millis(1_767_323_045_000),
        };
        let output = AssumeRoleResponse { credentials: Some(credentials), ..AssumeRoleResponse::default() };
        let printed = format!("{output:?}");
        assert!(!printed.contains("s3cret") && !printed.contains("t0ken"), "{printed}");
        let response = respond(&output, "id").expect("serialisable");
        assert!(text(&response).contains(
            "<AssumeRoleResult><Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId>\
             <Expiration>2026-01-02T03:04:05Z</Expiration><SecretAccessKey>s3cret</SecretAccessKey>\
             <SessionToken>t0ken</SessionToken></Credentials></AssumeRoleResult>"
        ));
        assert!(
            text(&response).starts_with("<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">")
        );
    }

    #[test]
    fn errors_are_xml() {
        let error = WireError::modeled(&iam::SERVICE, "NoSuchEntity", "The role with name x cannot be found.");
        let response = respond_error(Some(&iam::SERVICE), &error, "id-3");
        assert_eq!(response.status(), 404);
        assert_eq!(
            text(&response),
            "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>Sender</Type>\
             <Code>NoSuchEntity</Code><Message>The role with name x cannot be found.</Message></Error>\
             <RequestId>id-3</RequestId></ErrorResponse>"
        );
        let error = WireError::internal(sts::SERVICE.dialect());
        assert!(text(&respond_error(None, &error, "id")).contains("<Type>Receiver</Type>"));
    }
}
