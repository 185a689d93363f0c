//! The parameters of a template: the values given, else the defaults, held against what the template asks of them.

use fancy_regex::Regex;

use super::resolve::{Broken, Resolver, scalar};
use crate::document::shape::did_you_mean;
use crate::document::{Entry, Node, Span, Value};

/// Legacy CDK asset parameters have no defaults; `cdk deploy` fills them in, and pipelines do not need them.
const CDK_ASSET: &str = "AssetParameters";

impl<'t> Resolver<'t> {
    /// Says what is wrong with the values given, before anything is resolved: all of them, not only the first.
    pub fn check_parameters(&mut self) {
        let template = self.template;
        for entry in template.section("Parameters") {
            let given = self.given(&entry.key).is_some();
            let kind = entry.node.get("Type").and_then(Node::text).unwrap_or("String");
            // What can only be looked up, and what only CDK fills in, is missed where it is used.
            let later = kind.starts_with("AWS::SSM::") || entry.key.starts_with(CDK_ASSET);
            if given || !later {
                let _ = self.parameter(&entry.key);
            }
        }
    }

    /// The value of a parameter; `None` where there is no parameter of this name.
    pub(super) fn parameter(&mut self, name: &str) -> Option<Result<Node, Broken>> {
        if let Some(known) = self.parameters.get(name) {
            return Some(known.clone());
        }
        let template = self.template;
        let entry = template.section("Parameters").iter().find(|e| e.key == name)?;
        let value = self.read_parameter(entry);
        self.parameters.insert(&entry.key, value.clone());
        Some(value)
    }

    fn given(&self, name: &str) -> Option<&'t str> {
        let own = format!("{}:{name}", self.stack);
        let parameters = &self.inputs.parameters;
        parameters.get(&own).or_else(|| parameters.get(name)).map(String::as_str)
    }

    fn read_parameter(&mut self, entry: &'t Entry) -> Result<Node, Broken> {
        let (name, span) = (entry.key.as_str(), entry.key_span);
        let declared = |member: &str| entry.node.get(member);
        let kind = declared("Type").and_then(Node::text).unwrap_or("String");
        let ssm = kind.strip_prefix("AWS::SSM::Parameter::Value<").and_then(|k| k.strip_suffix('>'));
        let default = declared("Default").and_then(|d| match &d.value {
            Value::Null => Some(""),
            _ => scalar(d),
        });
        let text = match (self.given(name), default, ssm) {
            (Some(given), ..) => given,
            (None, Some(default), None) => default,
            (None, Some(path), Some(_)) => {
                let message =
                    format!("the parameter `{name}` is looked up as `{path}` in Parameter Store, which is not here");
                let hint = format!("give the value itself with `--parameter {name}=VALUE`");
                return self.broken("missing-parameter", span, message, Some(hint));
            }
            (None, None, _) => {
                let hint = format!("give a value with `--parameter {name}=VALUE`");
                return self.broken(
                    "missing-parameter",
                    span,
                    format!("Parameters: [{name}] must have values"),
                    Some(hint),
                );
            }
        };
        if declared("NoEcho").and_then(scalar) == Some("true") && !text.is_empty() {
            self.secrets.push(text.to_owned());
        }
        let kind = ssm.unwrap_or(kind);
        let listed = kind == "CommaDelimitedList" || kind.starts_with("List<");
        let values: Vec<&str> = if listed { text.split(',').map(str::trim).collect() } else { vec![text] };
        let number = kind.trim_start_matches("List<").trim_end_matches('>') == "Number";
        for value in &values {
            if let Err(wrong) = fits(entry, value, number) {
                let explained = declared("ConstraintDescription").and_then(scalar);
                let message = match explained {
                    Some(text) => format!("Parameter {name} failed to satisfy constraint: {text}"),
                    None => wrong,
                };
                let near = did_you_mean(value, allowed(entry).into_iter());
                let hint = near.map(|n| format!("did you mean `{n}`?"));
                return self.broken("bad-parameter", span, message, hint);
            }
        }
        let make = |text: &str| Node {
            span: Span::default(),
            value: if number { Value::Number(text.to_owned()) } else { Value::Text(text.to_owned()) },
        };
        if listed {
            return Ok(Node { span, value: Value::List(values.into_iter().map(make).collect()) });
        }
        Ok(make(text))
    }
}

fn allowed(entry: &Entry) -> Vec<&str> {
    match entry.node.get("AllowedValues").map(|n| &n.value) {
        Some(Value::List(items)) => items.iter().filter_map(scalar).collect(),
        _ => Vec::new(),
    }
}

/// CloudFormation's own constraints, in its words.
fn fits(entry: &Entry, value: &str, number: bool) -> Result<(), String> {
    let name = &entry.key;
    let bound = |member: &str| entry.node.get(member).and_then(scalar).and_then(|t| t.parse::<f64>().ok());
    let allowed = allowed(entry);
    if !allowed.is_empty() && !allowed.contains(&value) {
        return Err(format!("Parameter '{name}' must be one of AllowedValues: {}", allowed.join(", ")));
    }
    if number {
        let Ok(read) = value.parse::<f64>() else { return Err(format!("Parameter '{name}' must be a number.")) };
        if bound("MinValue").is_some_and(|min| read < min) {
            return Err(format!(
                "Parameter '{name}' must be a number not less than {}.",
                bound("MinValue").unwrap_or(0.0)
            ));
        }
        if bound("MaxValue").is_some_and(|max| read > max) {
            let max = bound("MaxValue").unwrap_or(0.0);
            return Err(format!("Parameter '{name}' must be a number not greater than {max}."));
        }
        return Ok(());
    }
    let chars = u32::try_from(value.chars().count()).map_or(f64::MAX, f64::from);
    if bound("MinLength").is_some_and(|min| chars < min) {
        let min = bound("MinLength").unwrap_or(0.0);
        return Err(format!("Parameter '{name}' must contain at least {min} characters"));
    }
    if bound("MaxLength").is_some_and(|max| chars > max) {
        let max = bound("MaxLength").unwrap_or(0.0);
        return Err(format!("Parameter '{name}' must contain at most {max} characters"));
    }
    if let Some(pattern) = entry.node.get("AllowedPattern").and_then(Node::text) {
        // A pattern that only Java reads is not held against the value: the service decides.
        let matches = Regex::new(&format!("^(?:{pattern})$")).ok().and_then(|r| r.is_match(value).ok());
        if matches == Some(false) {
            return Err(format!("Parameter {name} failed to satisfy constraint: must match pattern {pattern}"));
        }
    }
    Ok(())
}
