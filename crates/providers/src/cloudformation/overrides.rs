//! ParameterOverrides: a JSON object of parameter values, each a text or one of the two functions that CodePipeline itself
//! resolves. Whether a name is a parameter of the template, CloudFormation says. No message repeats a value: it may be one
//! that a variable resolved to.

use std::collections::BTreeMap;

use serde_json::Value;
use towpath_model::action::{ActionInvocation, ArtifactLocation, Outcome};

use super::files::{self, FileOf, Files, wrong};
use crate::limits::{PARAMETER_OVERRIDES_BYTES_MAX, TEMPLATE_SETTINGS_BYTES_MAX};
use crate::provider::Call;

pub const KEY: &str = "ParameterOverrides";
pub const GET_ARTIFACT_ATT: &str = "Fn::GetArtifactAtt";
const GET_PARAM: &str = "Fn::GetParam";
const ATTRIBUTES: [&str; 3] = ["BucketName", "ObjectKey", "URL"];

/// Where a parameter's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    Text(String),
    /// `{"Fn::GetArtifactAtt": ["artifact", "attribute"]}`
    Attribute {
        artifact: String,
        attribute: String,
    },
    /// `{"Fn::GetParam": ["artifact", "file", "key"]}`
    Param {
        artifact: String,
        file: String,
        key: String,
    },
}

/// A parameter's value as JSON writes it: numbers and truth values count as their text.
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Reads the configuration value.
pub fn parse(text: &str) -> Result<BTreeMap<String, Given>, String> {
    if text.len() > PARAMETER_OVERRIDES_BYTES_MAX {
        return Err(format!(
            "The value of {KEY} has {} bytes, and {PARAMETER_OVERRIDES_BYTES_MAX} is the limit. Move parameters to a file \
             of an input artifact and name it in TemplateConfiguration.",
            text.len()
        ));
    }
    let document: Value = serde_json::from_str(text).map_err(|error| {
        format!("The value of {KEY} is no JSON (line {}, column {}).", error.line(), error.column())
    })?;
    let Value::Object(members) = document else {
        return Err(format!("The value of {KEY} must be a JSON object: {{\"parameter\": \"value\"}}."));
    };
    members.into_iter().map(|(name, value)| Ok((name.clone(), given(&name, &value)?))).collect()
}

fn given(name: &str, value: &Value) -> Result<Given, String> {
    if let Some(text) = text_of(value) {
        return Ok(Given::Text(text));
    }
    let wrong = || {
        format!(
            "The parameter {name} in {KEY} must be a text, {{\"{GET_ARTIFACT_ATT}\": [\"artifact\", \"attribute\"]}} or \
             {{\"{GET_PARAM}\": [\"artifact\", \"file.json\", \"key\"]}}."
        )
    };
    let members = value.as_object().filter(|members| members.len() == 1).ok_or_else(wrong)?;
    let (function, arguments) = members.iter().next().ok_or_else(wrong)?;
    let texts: Option<Vec<&str>> = arguments.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
    match (function.as_str(), texts.as_deref()) {
        (GET_ARTIFACT_ATT, Some([artifact, attribute])) if ATTRIBUTES.contains(attribute) => {
            Ok(Given::Attribute { artifact: (*artifact).to_owned(), attribute: (*attribute).to_owned() })
        }
        (GET_ARTIFACT_ATT, Some([_, _])) => Err(format!(
            "The parameter {name} in {KEY} asks {GET_ARTIFACT_ATT} for an attribute that artifacts do not have; they have {}.",
            ATTRIBUTES.join(", ")
        )),
        (GET_PARAM, Some([artifact, file, key])) => {
            Ok(Given::Param { artifact: (*artifact).to_owned(), file: (*file).to_owned(), key: (*key).to_owned() })
        }
        _ => Err(wrong()),
    }
}

/// The values, with every function resolved.
pub async fn resolve(
    cx: &Call<'_>,
    action: &ActionInvocation,
    files: &mut Files<'_>,
    overrides: BTreeMap<String, Given>,
) -> Result<BTreeMap<String, String>, Box<Outcome>> {
    let mut resolved = BTreeMap::new();
    for (name, given) in overrides {
        let value = match given {
            Given::Text(text) => text,
            Given::Attribute { artifact, attribute } => {
                let artifact = files::input(action, KEY, &artifact).map_err(wrong)?;
                match attribute.as_str() {
                    "BucketName" => artifact.bucket.clone(),
                    "ObjectKey" => artifact.key.clone(),
                    _ => url(cx, artifact),
                }
            }
            Given::Param { artifact, file, key } => {
                let artifact = files::input(action, KEY, &artifact).map_err(wrong)?;
                param(files, FileOf { artifact, path: &file }, &name, &key).await?
            }
        };
        resolved.insert(name, value);
    }
    Ok(resolved)
}

async fn param(files: &mut Files<'_>, file: FileOf<'_>, name: &str, key: &str) -> Result<String, Box<Outcome>> {
    let document = files.json(file, TEMPLATE_SETTINGS_BYTES_MAX).await?;
    let place = format!("the file {} of the artifact {}", file.path, file.artifact.name);
    let value = document
        .get(key)
        .ok_or_else(|| wrong(format!("{GET_PARAM} of the parameter {name}: {place} has no key {key}.")))?;
    text_of(value)
        .ok_or_else(|| wrong(format!("{GET_PARAM} of the parameter {name}: the value of {key} in {place} is no text.")))
}

/// `https://s3.us-west-2.amazonaws.com/bucket/key`, or the same below the realm's own endpoint.
fn url(cx: &Call<'_>, artifact: &ArtifactLocation) -> String {
    let region = cx.realm.region(&artifact.region);
    let base = match cx.realm.settings.endpoints.of("s3") {
        Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
        None if region.starts_with("cn-") => format!("https://s3.{region}.amazonaws.com.cn"),
        None => format!("https://s3.{region}.amazonaws.com"),
    };
    format!("{base}/{}/{}", artifact.bucket, artifact.key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_functions() {
        let read = parse(
            r#"{"Env": "prod", "Count": 3, "Public": true, "Bucket": {"Fn::GetArtifactAtt": ["app", "BucketName"]},
                "Tag": {"Fn::GetParam": ["app", "meta.json", "tag"]}}"#,
        );
        let text = |text: &str| Given::Text(text.to_owned());
        let of = |s: &str| s.to_owned();
        let want = BTreeMap::from([
            (of("Env"), text("prod")),
            (of("Count"), text("3")),
            (of("Public"), text("true")),
            (of("Bucket"), Given::Attribute { artifact: of("app"), attribute: of("BucketName") }),
            (of("Tag"), Given::Param { artifact: of("app"), file: of("meta.json"), key: of("tag") }),
        ]);
        assert_eq!(read, Ok(want));
    }

    #[test]
    fn what_is_no_override() {
        let long = format!(r#"{{"Name": "{}"}}"#, "n".repeat(PARAMETER_OVERRIDES_BYTES_MAX));
        for (text, told) in [
            ("Env=prod", "is no JSON (line 1, column 1)"),
            ("[]", "must be a JSON object"),
            (r#"{"A": null}"#, "The parameter A in ParameterOverrides must be a text, {\"Fn::GetArtifactAtt\""),
            (r#"{"A": ["x"]}"#, "The parameter A in ParameterOverrides must be a text"),
            (r#"{"A": {"Ref": "B"}}"#, "The parameter A in ParameterOverrides must be a text"),
            (
                r#"{"A": {"Fn::GetParam": ["app", "meta.json"]}}"#,
                "The parameter A in ParameterOverrides must be a text",
            ),
            (r#"{"A": {"Fn::GetArtifactAtt": ["app", "ETag"]}}"#, "they have BucketName, ObjectKey, URL"),
            (long.as_str(), "has 1036 bytes, and 1024 is the limit"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
