//! The strict reader: holds a tree against a declared shape, names every departure with its place and a hint, and
//! hands on what fits as plain JSON. It goes on after a problem, so that all are told at once.

use serde_json::{Map, Value as Json};

use super::{Entry, Node, Span, Trail, Value, locate};
use crate::diagnostics::{Problem, Severity};
use crate::limits;

/// What may stand in one place.
#[derive(Debug)]
pub enum Shape {
    Text,
    /// A whole number within bounds.
    Whole(u32, u32),
    Flag,
    /// Read by somebody else later.
    Any,
    Choice(&'static [&'static str]),
    List(&'static Shape),
    /// A map with keys of the user's choice.
    Map(&'static Shape),
    Object(&'static Object),
    /// Known, but not in this version: the text says what it will be for.
    Later(&'static str),
}

#[derive(Debug)]
pub struct Object {
    /// What it is, with its article: "an action".
    pub what: &'static str,
    pub fields: &'static [Field],
}

#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub shape: Shape,
    pub required: bool,
}

pub const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: true }
}

pub const fn optional(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: false }
}

/// Holds `node` against `shape`. The JSON is what fitted: None where the place itself does not fit.
pub fn check(node: &Node, shape: &Shape, trail: &Trail, problems: &mut Vec<Problem>) -> Option<Json> {
    if problems.len() >= limits::PROBLEMS_MAX {
        return None;
    }
    match shape {
        Shape::Text => match &node.value {
            Value::Text(text) | Value::Plain(text) => Some(Json::String(text.clone())),
            Value::Bool(_) | Value::Number(_) => {
                let written = match &node.value {
                    Value::Bool(b) => b.to_string(),
                    Value::Number(n) => n.clone(),
                    _ => String::new(),
                };
                wrong(node, trail, problems, "a string", Some(format!("put it in quotes: \"{written}\"")))
            }
            _ => wrong(node, trail, problems, "a string", None),
        },
        Shape::Whole(min, max) => whole(node, (*min, *max), trail, problems),
        Shape::Flag => match &node.value {
            Value::Bool(b) => Some(Json::Bool(*b)),
            Value::Plain(p) if p == "true" || p == "false" => Some(Json::Bool(p == "true")),
            Value::Text(t) if t == "true" || t == "false" => {
                wrong(node, trail, problems, "true or false", Some(format!("remove the quotes: {t}")))
            }
            _ => wrong(node, trail, problems, "true or false", None),
        },
        Shape::Any => Some(plain(node)),
        Shape::Choice(choices) => {
            let Some(text) = node.text() else { return wrong(node, trail, problems, "a string", None) };
            if choices.contains(&text) {
                return Some(Json::String(text.to_owned()));
            }
            problems.push(Problem {
                severity: Severity::Error,
                code: "unknown-value".to_owned(),
                trail: trail.clone(),
                span: node.span,
                message: format!("\"{text}\" is not one of {}", list(choices)),
                label: Some("not one of the known values".to_owned()),
                hint: did_you_mean(text, choices.iter().copied()).map(|c| format!("did you mean \"{c}\"?")),
            });
            None
        }
        Shape::List(inner) => {
            let Value::List(items) = &node.value else { return wrong(node, trail, problems, "a list", None) };
            let read: Vec<Option<Json>> =
                items.iter().enumerate().map(|(i, item)| check(item, inner, &trail.then(i), problems)).collect();
            // A list with a hole would move the numbers of what follows.
            read.into_iter().collect::<Option<Vec<_>>>().map(Json::Array)
        }
        Shape::Map(inner) => {
            let Value::Map(entries) = &node.value else { return wrong(node, trail, problems, "a map", None) };
            duplicates(entries, trail, problems);
            let mut read = Map::new();
            for entry in entries {
                if let Some(value) = check(&entry.node, inner, &trail.then(entry.key.as_str()), problems) {
                    read.insert(entry.key.clone(), value);
                }
            }
            Some(Json::Object(read))
        }
        Shape::Object(object) => check_object(node, object, trail, problems),
        Shape::Later(why) => {
            later(why, trail, locate(node, &Trail::default()), problems);
            None
        }
    }
}

fn check_object(node: &Node, object: &Object, trail: &Trail, problems: &mut Vec<Problem>) -> Option<Json> {
    let Value::Map(entries) = &node.value else {
        return wrong(node, trail, problems, &format!("{} (a map)", object.what), None);
    };
    duplicates(entries, trail, problems);
    let mut read = Map::new();
    let mut whole = true;
    for entry in entries {
        let at = trail.then(entry.key.as_str());
        match object.fields.iter().find(|f| f.name == entry.key) {
            Some(Field { shape: Shape::Later(why), .. }) => later(why, &at, entry.key_span, problems),
            // `key: null` says the same as leaving the key out.
            Some(field) if entry.node.value == Value::Null && !field.required => {}
            Some(field) => match check(&entry.node, &field.shape, &at, problems) {
                Some(value) => {
                    read.insert(entry.key.clone(), value);
                }
                None => whole = false,
            },
            None => problems.push(Problem {
                severity: Severity::Error,
                code: "unknown-field".to_owned(),
                trail: at,
                span: entry.key_span,
                message: format!("{} has no field `{}`", object.what, entry.key),
                label: Some("unknown field".to_owned()),
                hint: Some(match did_you_mean(&entry.key, object.fields.iter().map(|f| f.name)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!(
                        "{} has {}",
                        object.what,
                        list(&object.fields.iter().map(|f| f.name).collect::<Vec<_>>())
                    ),
                }),
            }),
        }
    }
    for field in object.fields.iter().filter(|f| f.required) {
        if !entries.iter().any(|e| e.key == field.name) {
            whole = false;
            problems.push(Problem {
                severity: Severity::Error,
                code: "missing-field".to_owned(),
                trail: trail.then(field.name),
                span: locate(node, &Trail::default()),
                message: format!("{} needs the field `{}`", object.what, field.name),
                label: Some(format!("`{}` is missing here", field.name)),
                hint: None,
            });
        }
    }
    whole.then_some(Json::Object(read))
}

fn whole(node: &Node, (min, max): (u32, u32), trail: &Trail, problems: &mut Vec<Problem>) -> Option<Json> {
    let expected =
        if max == u32::MAX { "a whole number".to_owned() } else { format!("a whole number from {min} to {max}") };
    match &node.value {
        Value::Number(n) | Value::Plain(n) => match n.parse::<u32>() {
            Ok(number) if (min..=max).contains(&number) => Some(Json::from(number)),
            _ => wrong(node, trail, problems, &expected, None),
        },
        Value::Text(t) if t.parse::<u32>().is_ok() => {
            wrong(node, trail, problems, &expected, Some(format!("remove the quotes: {t}")))
        }
        _ => wrong(node, trail, problems, &expected, None),
    }
}

fn wrong(
    node: &Node,
    trail: &Trail,
    problems: &mut Vec<Problem>,
    expected: &str,
    hint: Option<String>,
) -> Option<Json> {
    let span = match node.value {
        Value::List(_) | Value::Map(_) => Span::new(node.span.start, (node.span.start + 1).min(node.span.end)),
        _ => node.span,
    };
    problems.push(Problem {
        severity: Severity::Error,
        code: "wrong-type".to_owned(),
        trail: trail.clone(),
        span,
        message: format!("`{trail}` must be {expected}, not {}", node.kind()),
        label: Some(format!("expected {expected}")),
        hint,
    });
    None
}

fn later(why: &str, trail: &Trail, span: Span, problems: &mut Vec<Problem>) {
    problems.push(Problem {
        severity: Severity::Error,
        code: "not-in-this-version".to_owned(),
        trail: trail.clone(),
        span,
        message: format!("`{trail}` is not in this version of Towpath yet"),
        label: Some("not in this version".to_owned()),
        hint: Some(why.to_owned()),
    });
}

fn duplicates(entries: &[Entry], trail: &Trail, problems: &mut Vec<Problem>) {
    for (i, entry) in entries.iter().enumerate() {
        if entries[..i].iter().any(|e| e.key == entry.key) {
            problems.push(Problem {
                severity: Severity::Error,
                code: "duplicate-key".to_owned(),
                trail: trail.then(entry.key.as_str()),
                span: entry.key_span,
                message: format!("the key `{}` is given twice", entry.key),
                label: Some("given before".to_owned()),
                hint: Some("keep one of the two".to_owned()),
            });
        }
    }
}

/// The tree as JSON, without a shape to hold it against.
pub fn plain(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(b) => Json::Bool(*b),
        Value::Number(n) => n.parse::<serde_json::Number>().map_or_else(|_| Json::String(n.clone()), Json::Number),
        Value::Text(t) => Json::String(t.clone()),
        Value::Plain(p) => match p.as_str() {
            "true" => Json::Bool(true),
            "false" => Json::Bool(false),
            _ => p.parse::<serde_json::Number>().map_or_else(|_| Json::String(p.clone()), Json::Number),
        },
        Value::List(items) => Json::Array(items.iter().map(plain).collect()),
        Value::Map(entries) => Json::Object(entries.iter().map(|e| (e.key.clone(), plain(&e.node))).collect()),
    }
}

/// The known name that was most likely meant.
pub fn did_you_mean<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    let wanted = fold(given);
    known
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &fold(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().min(given.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn list(names: &[&str]) -> String {
    match names {
        [] => "no fields".to_owned(),
        [one] => format!("`{one}`"),
        [most @ .., last] => {
            format!("{} and `{last}`", most.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_near_and_only_near() {
        let known = ["inputArtifacts", "outputArtifacts", "runOrder", "name"];
        let near = |given| did_you_mean(given, known.iter().copied());
        assert_eq!(near("InputArtifacts"), Some("inputArtifacts"));
        assert_eq!(near("run_order"), Some("runOrder"));
        assert_eq!(near("inputArtefacts"), Some("inputArtifacts"));
        assert_eq!(near("nmae"), Some("name"));
        assert_eq!(near("colour"), None);
    }
}
