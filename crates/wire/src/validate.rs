//! Checks a JSON value against a schema. A value of the wrong JSON type ends the request at once with a SerializationException;
//! broken constraints are collected and reported together, in the words of the live services. Only the model's constraints are
//! checked here: whether a pipeline makes sense is not this module's business.

use std::fmt::Write as _;

use base64::Engine as _;
use serde_json::{Map, Value};

use crate::error::WireError;
use crate::schema::{Bounds, Kind, Member, Schema, Service};
use crate::types::Timestamp;

/// Entries that an error text spells out. All are counted; the rest are left out so that a hostile body of a few megabytes
/// cannot ask for an answer of hundreds.
const ENTRIES_MAX: usize = 100;

/// Checks `value` in place: members that are null are dropped, whole numbers written as `5.0` become `5`.
pub fn check(service: &Service, schema: &Schema, value: &mut Value) -> Result<(), WireError> {
    let mut checker =
        Checker { quotes_values: service.quotes_values, path: String::new(), count: 0, text: String::new() };
    checker.visit(schema, value)?;
    if checker.count == 0 {
        return Ok(());
    }
    let noun = if checker.count == 1 { "error" } else { "errors" };
    Err(WireError::validation(service, format!("{} validation {noun} detected: {}", checker.count, checker.text)))
}

struct Checker {
    quotes_values: bool,
    path: String,
    count: usize,
    text: String,
}

impl Checker {
    fn visit(&mut self, schema: &Schema, value: &mut Value) -> Result<(), WireError> {
        match &schema.kind {
            Kind::Structure(members) => self.visit_structure(members, value),
            Kind::List { bounds, member, .. } => self.visit_list(schema, *bounds, member, value),
            Kind::Map { bounds, key, value: inner, .. } => self.visit_map(schema, *bounds, key, inner, value),
            _ => {
                check_type(schema, value)?;
                let mut broken = Vec::new();
                broken_constraints(schema, value, &mut broken);
                for constraint in broken {
                    self.report(schema, Some(value), &constraint);
                }
                Ok(())
            }
        }
    }

    fn visit_structure(&mut self, members: &[Member], value: &mut Value) -> Result<(), WireError> {
        let Value::Object(object) = value else { return Err(cannot_convert(value, "Structure")) };
        for member in members {
            let length = self.enter(member.name);
            match object.get_mut(member.name) {
                None | Some(Value::Null) if member.required => {
                    self.report(member.schema, None, NOT_NULL);
                }
                None | Some(Value::Null) => {}
                Some(inner) => self.visit(member.schema, inner)?,
            }
            self.path.truncate(length);
        }
        drop_nulls(object);
        Ok(())
    }

    fn visit_list(
        &mut self,
        schema: &Schema,
        bounds: Bounds,
        member: &Schema,
        value: &mut Value,
    ) -> Result<(), WireError> {
        let Value::Array(items) = value else { return Err(cannot_convert(value, "List")) };
        let size = items.len();
        if member.is_scalar() {
            // A scalar inside a list is reported at the list, with everything that holds for a member.
            let mut valid = true;
            for item in items.iter_mut() {
                valid &= !item.is_null() && scalar_holds(member, item)?;
            }
            if !valid {
                let constraints = all_constraints(member, items.iter().any(Value::is_null));
                let quotable = if member.sensitive { member } else { schema };
                self.report(quotable, Some(value), &format!("Member must satisfy constraint: [{constraints}]"));
            }
        } else {
            for (index, item) in items.iter_mut().enumerate() {
                let length = self.path.len();
                let _ = write!(self.path, ".{}.member", index + 1);
                if item.is_null() {
                    self.report(member, None, NOT_NULL);
                } else {
                    self.visit(member, item)?;
                }
                self.path.truncate(length);
            }
        }
        self.check_size(schema, bounds, size, value);
        Ok(())
    }

    fn visit_map(
        &mut self,
        schema: &Schema,
        bounds: Bounds,
        key: &Schema,
        inner: &Schema,
        value: &mut Value,
    ) -> Result<(), WireError> {
        let Value::Object(object) = value else { return Err(cannot_convert(value, "Map")) };
        let size = object.len();
        let mut keys_valid = true;
        let mut values_valid = true;
        for (name, item) in object.iter_mut() {
            keys_valid &= key_holds(key, name);
            if inner.is_scalar() {
                values_valid &= !item.is_null() && scalar_holds(inner, item)?;
                continue;
            }
            let length = self.path.len();
            let _ = write!(self.path, ".{name}.member");
            if item.is_null() {
                self.report(inner, None, NOT_NULL);
            } else {
                self.visit(inner, item)?;
            }
            self.path.truncate(length);
        }
        let any_null = object.values().any(Value::is_null);
        if !values_valid {
            let constraints = all_constraints(inner, any_null);
            self.report(schema, Some(value), &format!("Map value must satisfy constraint: [{constraints}]"));
        }
        if !keys_valid {
            let constraints = all_constraints(key, false);
            self.report(schema, Some(value), &format!("Map keys must satisfy constraint: [{constraints}]"));
        }
        self.check_size(schema, bounds, size, value);
        Ok(())
    }

    fn check_size(&mut self, schema: &Schema, bounds: Bounds, size: usize, value: &Value) {
        let mut broken = Vec::new();
        broken_bounds(bounds, i64::try_from(size).unwrap_or(i64::MAX), "length", &mut broken);
        for constraint in broken {
            self.report(schema, Some(value), &constraint);
        }
    }

    /// Appends a member to the path, in lower camel case as the live services print it, and answers how far to cut back.
    fn enter(&mut self, name: &str) -> usize {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        let mut chars = name.chars();
        self.path.extend(chars.next().map(|first| first.to_ascii_lowercase()));
        self.path.push_str(chars.as_str());
        length
    }

    /// `value` is nothing where a required member is missing.
    fn report(&mut self, schema: &Schema, value: Option<&Value>, constraint: &str) {
        self.count += 1;
        if self.count > ENTRIES_MAX {
            return;
        }
        if self.count > 1 {
            self.text.push_str("; ");
        }
        self.text.push_str("Value");
        if self.quotes_values && !schema.sensitive {
            match value.map(quoted) {
                None => self.text.push_str(" null"),
                Some(Some(text)) => {
                    let _ = write!(self.text, " '{text}'");
                }
                Some(None) => {}
            }
        }
        let _ = write!(self.text, " at '{}' failed to satisfy constraint: {constraint}", self.path);
    }
}

const NOT_NULL: &str = "Member must not be null";

/// A value as Java prints it, where that is readable: scalars and lists of scalars.
fn quoted(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(quoted).collect();
            items.map(|items| format!("[{}]", items.join(", ")))
        }
        Value::Null | Value::Object(_) => None,
    }
}

fn drop_nulls(object: &mut Map<String, Value>) {
    if object.values().any(Value::is_null) {
        object.retain(|_, value| !value.is_null());
    }
}

fn cannot_convert(value: &Value, wanted: &str) -> WireError {
    let article = if wanted.starts_with('I') { "an" } else { "a" };
    WireError::serialization(match value {
        Value::Array(_) => "Start of list found where not expected".to_owned(),
        Value::Object(_) => "Start of structure or map found where not expected.".to_owned(),
        Value::String(_) => format!("STRING_VALUE can not be converted to {article} {wanted}"),
        Value::Number(_) => format!("NUMBER_VALUE can not be converted to {article} {wanted}"),
        Value::Bool(true) => format!("TRUE_VALUE can not be converted to {article} {wanted}"),
        Value::Bool(false) => format!("FALSE_VALUE can not be converted to {article} {wanted}"),
        Value::Null => format!("NULL_VALUE can not be converted to {article} {wanted}"),
    })
}

/// The JSON type of a scalar. Whole numbers are brought to their integer form, so that the generated structure can hold them.
fn check_type(schema: &Schema, value: &mut Value) -> Result<(), WireError> {
    let (fits, wanted) = match &schema.kind {
        Kind::String { .. } => (value.is_string(), "String"),
        Kind::Integer(_) => (to_integer(value).is_some_and(|n| i32::try_from(n).is_ok()), "Integer"),
        Kind::Long(_) => (to_integer(value).is_some(), "Long"),
        Kind::Double(_) => (value.is_number(), "Double"),
        Kind::Boolean => (value.is_boolean(), "Boolean"),
        Kind::Timestamp => {
            let fits = match value {
                Value::Number(number) => number.as_f64().and_then(Timestamp::from_seconds).is_some(),
                Value::String(text) => Timestamp::parse_iso(text).is_some(),
                _ => false,
            };
            (fits, "Timestamp")
        }
        Kind::Blob(_) => (value.as_str().is_some_and(|text| decoded_len(text).is_some()), "Blob"),
        Kind::Structure(_) | Kind::List { .. } | Kind::Map { .. } => (true, "Structure"),
    };
    if fits { Ok(()) } else { Err(cannot_convert(value, wanted)) }
}

fn to_integer(value: &mut Value) -> Option<i64> {
    if let Some(number) = value.as_i64() {
        return Some(number);
    }
    let float = value.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9e15)?;
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 53 bits")]
    let number = float as i64;
    *value = Value::from(number);
    Some(number)
}

fn decoded_len(text: &str) -> Option<usize> {
    base64::engine::general_purpose::STANDARD.decode(text).ok().map(|bytes| bytes.len())
}

fn scalar_holds(schema: &Schema, value: &mut Value) -> Result<bool, WireError> {
    check_type(schema, value)?;
    let mut broken = Vec::new();
    broken_constraints(schema, value, &mut broken);
    Ok(broken.is_empty())
}

fn key_holds(schema: &Schema, key: &str) -> bool {
    let mut broken = Vec::new();
    if let Kind::String { .. } = schema.kind {
        broken_string(schema, key, &mut broken);
    }
    broken.is_empty()
}

/// The constraints that a scalar of the right type breaks, each in its own words.
fn broken_constraints(schema: &Schema, value: &Value, broken: &mut Vec<String>) {
    match (&schema.kind, value) {
        (Kind::String { .. }, Value::String(text)) => broken_string(schema, text, broken),
        (Kind::Integer(bounds) | Kind::Long(bounds), Value::Number(number)) => {
            broken_bounds(*bounds, number.as_i64().unwrap_or(i64::MAX), "value", broken);
        }
        (Kind::Double(bounds), Value::Number(number)) => {
            let number = number.as_f64().unwrap_or(f64::MAX);
            #[expect(clippy::cast_precision_loss, reason = "bounds of a model are small")]
            if bounds.max.is_some_and(|max| number > max as f64) {
                broken.extend(bound_text("value", "less", bounds.max));
            } else if bounds.min.is_some_and(|min| number < min as f64) {
                broken.extend(bound_text("value", "greater", bounds.min));
            }
        }
        (Kind::Blob(bounds), Value::String(text)) => {
            let length = decoded_len(text).and_then(|length| i64::try_from(length).ok()).unwrap_or(i64::MAX);
            broken_bounds(*bounds, length, "length", broken);
        }
        _ => {}
    }
}

fn broken_string(schema: &Schema, text: &str, broken: &mut Vec<String>) {
    let Kind::String { bounds, pattern, values } = &schema.kind else { return };
    if *bounds != Bounds::NONE {
        broken_bounds(*bounds, i64::try_from(text.chars().count()).unwrap_or(i64::MAX), "length", broken);
    }
    if let Some(pattern) = pattern.as_ref().filter(|pattern| !pattern.matches(text)) {
        broken.push(pattern_text(pattern.source()));
    }
    if !values.is_empty() && !values.contains(&text) {
        broken.push(values_text(values));
    }
}

fn broken_bounds(bounds: Bounds, number: i64, what: &str, broken: &mut Vec<String>) {
    if bounds.max.is_some_and(|max| number > max) {
        broken.extend(bound_text(what, "less", bounds.max));
    }
    if bounds.min.is_some_and(|min| number < min) {
        broken.extend(bound_text(what, "greater", bounds.min));
    }
}

/// Everything that holds for a scalar, as lists and maps report it: maximum first.
fn all_constraints(schema: &Schema, with_null: bool) -> String {
    let mut all: Vec<String> = Vec::new();
    match &schema.kind {
        Kind::String { bounds, pattern, values } => {
            all.extend(bound_text("length", "less", bounds.max));
            all.extend(bound_text("length", "greater", bounds.min));
            all.extend(pattern.as_ref().map(|pattern| pattern_text(pattern.source())));
            if !values.is_empty() {
                all.push(values_text(values));
            }
        }
        Kind::Integer(bounds) | Kind::Long(bounds) | Kind::Double(bounds) => {
            all.extend(bound_text("value", "less", bounds.max));
            all.extend(bound_text("value", "greater", bounds.min));
        }
        Kind::Blob(bounds) => {
            all.extend(bound_text("length", "less", bounds.max));
            all.extend(bound_text("length", "greater", bounds.min));
        }
        _ => {}
    }
    if with_null {
        all.push(NOT_NULL.to_owned());
    }
    all.join(", ")
}

fn bound_text(what: &str, side: &str, bound: Option<i64>) -> Option<String> {
    bound.map(|bound| format!("Member must have {what} {side} than or equal to {bound}"))
}

fn pattern_text(source: &str) -> String {
    format!("Member must satisfy regular expression pattern: {source}")
}

fn values_text(values: &[&str]) -> String {
    format!("Member must satisfy enum value set: [{}]", values.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::error::WireError;
    use crate::json::decode;
    use crate::schema::Input;
    use crate::{codebuild, codepipeline, logs};

    fn refuse<T: Input>(body: &Value) -> WireError {
        match decode::<T>(body.to_string().as_bytes()) {
            Ok(_) => panic!("the body must be refused: {body}"),
            Err(error) => error,
        }
    }

    fn pipeline() -> Value {
        let action = |name: &str, category: &str| {
            json!({"name": name, "actionTypeId":
                {"category": category, "owner": "Custom", "provider": "Rehearsal", "version": "1"}})
        };
        json!({"pipeline": {
            "name": "release", "roleArn": "arn:aws:iam::123456789012:role/pipeline",
            "artifactStore": {"type": "S3", "location": "artifacts"},
            "stages": [{"name": "Source", "actions": [action("Get", "Source")]},
                       {"name": "Build", "actions": [action("Make", "Build")]}]
        }})
    }

    #[test]
    fn a_whole_pipeline_passes() {
        let input: codepipeline::CreatePipelineInput =
            decode(pipeline().to_string().as_bytes()).expect("a valid pipeline");
        assert_eq!(input.pipeline.stages[1].actions[0].action_type_id.category, "Build");
    }

    #[test]
    fn all_violations_are_reported_at_once_with_one_based_paths() {
        let mut body = pipeline();
        body["pipeline"]["stages"][1]["actions"][0]["runOrder"] = json!(1000);
        body["pipeline"]["name"] = json!("a b");
        body["pipeline"]["artifactStore"]["encryptionKey"] = json!({"id": "x", "type": "KMZ"});
        body["pipeline"].as_object_mut().expect("an object").remove("roleArn");
        let error = refuse::<codepipeline::CreatePipelineInput>(&body);
        assert_eq!((error.code.as_ref(), error.status), ("ValidationException", 400));
        assert_eq!(
            error.message,
            "4 validation errors detected: \
             Value at 'pipeline.artifactStore.encryptionKey.type' failed to satisfy constraint: Member must satisfy enum value set: [KMS]; \
             Value at 'pipeline.name' failed to satisfy constraint: Member must satisfy regular expression pattern: [A-Za-z0-9.@\\-_]+; \
             Value at 'pipeline.roleArn' failed to satisfy constraint: Member must not be null; \
             Value at 'pipeline.stages.2.member.actions.1.member.runOrder' failed to satisfy constraint: Member must have value less than or equal to 999"
        );
    }

    #[test]
    fn a_configuration_value_has_the_limit_of_the_live_service() {
        let mut body = pipeline();
        body["pipeline"]["stages"][0]["actions"][0]["configuration"] = json!({"Key": "x".repeat(50_000)});
        assert!(decode::<codepipeline::CreatePipelineInput>(body.to_string().as_bytes()).is_ok());
        body["pipeline"]["stages"][0]["actions"][0]["configuration"] = json!({"Key": "", "": "ok"});
        let error = refuse::<codepipeline::CreatePipelineInput>(&body);
        let at = "Value at 'pipeline.stages.1.member.actions.1.member.configuration' failed to satisfy constraint:";
        assert_eq!(
            error.message,
            format!(
                "2 validation errors detected: {at} Map value must satisfy constraint: [Member must have length less \
                 than or equal to 50000, Member must have length greater than or equal to 1]; {at} Map keys must \
                 satisfy constraint: [Member must have length less than or equal to 50, Member must have length \
                 greater than or equal to 1]"
            )
        );
    }

    #[test]
    fn structures_inside_maps_are_checked_under_their_key() {
        let mut body = pipeline();
        body["pipeline"]["artifactStores"] = json!({"eu-west-1": {"type": "S3"}});
        assert_eq!(
            refuse::<codepipeline::CreatePipelineInput>(&body).message,
            "1 validation error detected: Value at 'pipeline.artifactStores.eu-west-1.member.location' failed to \
             satisfy constraint: Member must not be null"
        );
    }

    #[test]
    fn start_accepts_an_empty_list_of_variables() {
        let body = br#"{"name": "release", "variables": []}"#;
        let input: codepipeline::StartPipelineExecutionInput = decode(body).expect("the live service accepts it");
        assert_eq!(input.variables, Some(Vec::new()));
    }

    #[test]
    fn codebuild_reports_the_same_under_its_own_code() {
        let error = refuse::<codebuild::BatchGetBuildsInput>(&json!({"ids": [""]}));
        assert_eq!(error.code, "InvalidInputException");
        assert_eq!(
            error.message,
            "1 validation error detected: Value at 'ids' failed to satisfy constraint: Member must satisfy \
             constraint: [Member must have length greater than or equal to 1]"
        );
        let error = refuse::<codebuild::BatchGetBuildsInput>(&json!({"ids": []}));
        assert!(
            error
                .message
                .ends_with("at 'ids' failed to satisfy constraint: Member must have length greater than or equal to 1")
        );
    }

    #[test]
    fn logs_quote_the_value() {
        let error = refuse::<logs::CreateLogGroupRequest>(&json!({"logGroupName": "a b"}));
        assert_eq!(error.code, "InvalidParameterException");
        assert_eq!(
            error.message,
            "1 validation error detected: Value 'a b' at 'logGroupName' failed to satisfy constraint: Member must \
             satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+"
        );
        assert_eq!(
            refuse::<logs::CreateLogGroupRequest>(&json!({})).message,
            "1 validation error detected: Value null at 'logGroupName' failed to satisfy constraint: Member must not be null"
        );
    }

    #[test]
    fn wrong_json_types_are_serialization_errors() {
        type Get = codepipeline::GetPipelineInput;
        let text = |body: Value| {
            let error = refuse::<Get>(&body);
            assert_eq!((error.code.as_ref(), error.status), ("SerializationException", 400));
            error.message
        };
        assert_eq!(text(json!({"name": 1})), "NUMBER_VALUE can not be converted to a String");
        assert_eq!(text(json!({"name": ["a"]})), "Start of list found where not expected");
        assert_eq!(text(json!({"name": {}})), "Start of structure or map found where not expected.");
        assert_eq!(text(json!({"name": "a", "version": "1"})), "STRING_VALUE can not be converted to an Integer");
        assert_eq!(text(json!({"name": "a", "version": 1.5})), "NUMBER_VALUE can not be converted to an Integer");
        assert_eq!(
            text(json!({"name": "a", "version": 9_000_000_000_i64})),
            "NUMBER_VALUE can not be converted to an Integer"
        );
        assert_eq!(text(json!([])), "Start of list found where not expected");
        let input: Get = decode(br#"{"name": "a", "version": 5.0}"#).expect("a whole number");
        assert_eq!(input.version, Some(5));
    }

    #[test]
    fn null_entries_of_lists_are_missing_members() {
        let mut body = pipeline();
        body["pipeline"]["stages"][0] = Value::Null;
        assert_eq!(
            refuse::<codepipeline::CreatePipelineInput>(&body).message,
            "1 validation error detected: Value at 'pipeline.stages.1.member' failed to satisfy constraint: Member must not be null"
        );
    }

    #[test]
    fn lengths_count_characters() {
        let tag = |value: String| json!({"resourceArn": "arn:aws:codepipeline:us-east-1:123456789012:release", "tags": [{"key": "k", "value": value}]});
        let fits = tag("é".repeat(256)).to_string();
        assert!(decode::<codepipeline::TagResourceInput>(fits.as_bytes()).is_ok());
        assert_eq!(
            refuse::<codepipeline::TagResourceInput>(&tag("é".repeat(257))).message,
            "1 validation error detected: Value at 'tags.1.member.value' failed to satisfy constraint: Member must \
             have length less than or equal to 256"
        );
    }

    #[test]
    fn a_hostile_body_gets_a_bounded_answer() {
        let mut body = pipeline();
        body["pipeline"]["stages"] = Value::Array(vec![json!({}); 5000]);
        let error = refuse::<codepipeline::CreatePipelineInput>(&body);
        assert!(error.message.starts_with("10000 validation errors detected: "), "{}", &error.message[..60]);
        assert!(error.message.len() < 20_000, "{} bytes", error.message.len());
    }
}
