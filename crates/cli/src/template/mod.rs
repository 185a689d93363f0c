//! CloudFormation templates: read as CloudFormation reads them, their functions resolved, and what they say about
//! pipelines, build projects, roles and buckets turned into the shapes of the API. Pure: no file is opened here, nobody
//! is asked, and nothing is made; every name that a template leaves to CloudFormation is derived from what it stands in.

mod functions;
mod graph;
mod known;
mod mapping;
mod names;
mod parameters;
mod plan;
mod references;
mod resolve;
mod shape;

use std::collections::BTreeMap;

use crate::diagnostics::{Problem, Report, Severity};
use crate::document::shape::did_you_mean;
use crate::document::{Entry, Node, Span, Step, Text, Trail, Value, json, yaml};
use crate::limits;

pub use self::plan::{LeftOut, Plan, Planned, Stack, plan};
pub use self::shape::Kind;

/// What is given from outside: where the template stands and what it asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inputs {
    pub account: String,
    pub region: String,
    /// `NAME`, or `STACK:NAME` where several stacks declare the name.
    pub parameters: BTreeMap<String, String>,
    /// Values for `Fn::ImportValue` by the name of the export.
    pub imports: BTreeMap<String, String>,
    /// Values for references to resources that are not made: `LOGICAL` for `Ref`, `LOGICAL.ATTRIBUTE` for `Fn::GetAtt`.
    pub attributes: BTreeMap<String, String>,
}

/// The sections a template may have; those that are read are named in the code.
const SECTIONS: [&str; 10] = [
    "AWSTemplateFormatVersion",
    "Description",
    "Metadata",
    "Parameters",
    "Rules",
    "Mappings",
    "Conditions",
    "Transform",
    "Resources",
    "Outputs",
];

/// What a resource may say beside its type. Only the first four mean anything here.
const RESOURCE_MEMBERS: [&str; 10] = [
    "Type",
    "Properties",
    "DependsOn",
    "Condition",
    "DeletionPolicy",
    "UpdateReplacePolicy",
    "Metadata",
    "CreationPolicy",
    "UpdatePolicy",
    "DeletionMode",
];

/// Transforms that leave the resources alone that are read here.
const HARMLESS_TRANSFORMS: [&str; 4] = [
    "AWS::LanguageExtensions",
    "AWS::Serverless-2016-10-31",
    "AWS::CodeDeployBlueGreen",
    "AWS::SecretsManager-2020-07-23",
];

/// A template whose outer form is sound.
#[derive(Debug, Clone)]
pub struct Template {
    pub text: Text,
    root: Node,
}

/// One resource as the template declares it.
#[derive(Debug, Clone, Copy)]
pub struct Resource<'t> {
    pub logical: &'t str,
    pub span: Span,
    pub kind: &'t str,
    properties: Option<&'t Node>,
    node: &'t Node,
}

/// Whether a text reads like a template, by its first lines; its short functions (`!Ref`) are not YAML that
/// anybody else reads.
pub fn looks_like_one(text: &str) -> bool {
    text.lines().any(|line| {
        ["AWSTemplateFormatVersion:", "Resources:", "\"AWSTemplateFormatVersion\":"].iter().any(|s| line.starts_with(s))
    })
}

/// Whether a tree is a template: it says so, or it has resources with types.
pub fn is_one(root: &Node) -> bool {
    let typed = |resources: &Node| match &resources.value {
        Value::Map(entries) => {
            entries.iter().any(|r| r.node.get("Type").and_then(Node::text).is_some_and(|t| t.contains("::")))
        }
        _ => false,
    };
    root.get("AWSTemplateFormatVersion").is_some() || root.get("Resources").is_some_and(typed)
}

impl Template {
    /// Reads JSON or YAML, with CloudFormation's short functions.
    pub fn parse(text: Text) -> Result<Self, Report> {
        let json = text.text.trim_start().starts_with('{');
        let parsed = if json { json::parse(&text.text) } else { yaml::parse_template(&text.text) };
        match parsed {
            Ok(root) => Self::of(text, root),
            Err(error) => Err(Report::new(text, vec![Problem::syntax(error)])),
        }
    }

    /// A template from a tree that was parsed already.
    pub fn of(text: Text, root: Node) -> Result<Self, Report> {
        let mut problems = Vec::new();
        outer_form(&root, &mut problems);
        if problems.is_empty() { Ok(Self { text, root }) } else { Err(Report::new(text, problems)) }
    }

    fn section(&self, name: &str) -> &[Entry] {
        match self.root.get(name).map(|n| &n.value) {
            Some(Value::Map(entries)) => entries,
            _ => &[],
        }
    }

    pub fn resources(&self) -> impl Iterator<Item = Resource<'_>> {
        self.section("Resources").iter().map(|entry| Resource {
            logical: &entry.key,
            span: entry.key_span,
            kind: entry.node.get("Type").and_then(Node::text).unwrap_or_default(),
            properties: entry.node.get("Properties"),
            node: &entry.node,
        })
    }

    pub fn resource(&self, logical: &str) -> Option<Resource<'_>> {
        self.resources().find(|r| r.logical == logical)
    }

    /// The names of everything that can be referred to.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.section("Parameters").iter().chain(self.section("Resources")).map(|e| e.key.as_str())
    }

    /// A problem at a place of the text. The trail is found by the place, so that nobody needs to carry it along.
    fn problem(&self, code: &str, span: Span, message: impl Into<String>, hint: Option<String>) -> Problem {
        Problem {
            severity: Severity::Error,
            code: code.to_owned(),
            trail: trail_to(&self.root, span),
            span,
            message: message.into(),
            label: None,
            hint,
        }
    }
}

impl<'t> Resource<'t> {
    pub fn property(&self, name: &str) -> Option<&'t Node> {
        self.properties.and_then(|p| p.get(name))
    }

    pub fn properties(&self) -> Option<&'t Node> {
        self.properties
    }

    fn condition(&self) -> Option<(&'t str, Span)> {
        let node = self.node.get("Condition")?;
        Some((node.text()?, node.span))
    }

    fn depends_on(&self) -> Vec<(&'t str, Span)> {
        let texts = |node: &'t Node| node.text().map(|text| (text, node.span));
        match self.node.get("DependsOn") {
            Some(Node { value: Value::List(items), .. }) => items.iter().filter_map(texts).collect(),
            Some(node) => texts(node).into_iter().collect(),
            None => Vec::new(),
        }
    }
}

/// The path to the innermost value that holds these bytes.
fn trail_to(root: &Node, span: Span) -> Trail {
    let holds = |outer: Span| outer.start <= span.start && span.end <= outer.end;
    let mut steps = Vec::new();
    let mut node = root;
    loop {
        let next = match &node.value {
            Value::Map(entries) => entries
                .iter()
                .find(|e| holds(e.key_span) || holds(e.node.span))
                .map(|e| (Step::Key(e.key.clone()), &e.node)),
            Value::List(items) => {
                items.iter().enumerate().find(|(_, n)| holds(n.span)).map(|(i, n)| (Step::Index(i), n))
            }
            _ => None,
        };
        let Some((step, inner)) = next else { return Trail(steps) };
        steps.push(step);
        node = inner;
    }
}

fn error(root: &Node, code: &str, span: Span, message: String, hint: Option<String>) -> Problem {
    let trail = trail_to(root, span);
    Problem { severity: Severity::Error, code: code.to_owned(), trail, span, message, label: None, hint }
}

/// What must hold before anything of a template can be looked at.
fn outer_form(root: &Node, problems: &mut Vec<Problem>) {
    let Value::Map(sections) = &root.value else {
        let message = format!("a template is a map of sections, not {}", root.kind());
        problems.push(error(root, "template-format", root.span, message, None));
        return;
    };
    for section in sections {
        if !SECTIONS.contains(&section.key.as_str()) {
            let message = format!("Invalid template property or properties [{}]", section.key);
            let hint = did_you_mean(&section.key, SECTIONS.iter().copied()).map(|n| format!("did you mean `{n}`?"));
            problems.push(error(root, "template-format", section.key_span, message, hint));
        }
        let max = match section.key.as_str() {
            "Parameters" | "Mappings" | "Outputs" => limits::TEMPLATE_DECLARATIONS_MAX,
            "Resources" | "Conditions" => limits::TEMPLATE_RESOURCES_MAX,
            _ => continue,
        };
        match &section.node.value {
            Value::Map(entries) if entries.len() > max => {
                let message = format!("`{}` has {} entries; the limit is {max}", section.key, entries.len());
                problems.push(error(root, "template-format", section.key_span, message, None));
            }
            Value::Map(entries) => twice(root, entries, problems),
            _ => {
                let message = format!("`{}` must be a map, not {}", section.key, section.node.kind());
                problems.push(error(root, "template-format", section.key_span, message, None));
            }
        }
    }
    twice(root, sections, problems);
    transforms(root, problems);
    match root.get("Resources").map(|n| &n.value) {
        Some(Value::Map(resources)) if !resources.is_empty() => {
            for resource in resources {
                resource_form(root, resource, problems);
            }
        }
        _ => {
            let message = "At least one Resources member must be defined.".to_owned();
            problems.push(error(root, "template-format", Span::new(0, 1.min(root.span.end)), message, None));
        }
    }
}

fn resource_form(root: &Node, resource: &Entry, problems: &mut Vec<Problem>) {
    let Value::Map(members) = &resource.node.value else {
        // `Fn::ForEach::Name` stands where a resource stands, and is a list.
        let expanded = resource.key.starts_with("Fn::");
        let message = if expanded {
            format!("`{}` is expanded by CloudFormation itself and not read here", resource.key)
        } else {
            format!("the resource `{}` must be a map, not {}", resource.key, resource.node.kind())
        };
        let hint = expanded.then(|| PROCESSED.to_owned());
        problems.push(error(root, "template-format", resource.key_span, message, hint));
        return;
    };
    for member in members {
        if !RESOURCE_MEMBERS.contains(&member.key.as_str()) {
            let message = format!("Invalid template resource property '{}'", member.key);
            let near = did_you_mean(&member.key, RESOURCE_MEMBERS.iter().copied());
            let hint = near
                .map(|n| format!("did you mean `{n}`?"))
                .or_else(|| Some("what the resource itself takes stands under `Properties`".to_owned()));
            problems.push(error(root, "template-format", member.key_span, message, hint));
        }
    }
    twice(root, members, problems);
    if resource.node.get("Type").and_then(Node::text).is_none() {
        let message = format!("the resource `{}` has no `Type`", resource.key);
        problems.push(error(root, "template-format", resource.key_span, message, None));
    }
}

const PROCESSED: &str = "import what it becomes: `aws cloudformation get-template --template-stage Processed`";

fn transforms(root: &Node, problems: &mut Vec<Problem>) {
    let Some(transform) = root.get("Transform") else { return };
    let named: Vec<&Node> = match &transform.value {
        Value::List(items) => items.iter().collect(),
        _ => vec![transform],
    };
    for one in named {
        let name = one.text().or_else(|| one.get("Name").and_then(Node::text));
        if !name.is_some_and(|n| HARMLESS_TRANSFORMS.contains(&n)) {
            let message = format!("the transform `{}` is run by CloudFormation itself", name.unwrap_or("?"));
            problems.push(error(root, "template-format", one.span, message, Some(PROCESSED.to_owned())));
        }
    }
}

fn twice(root: &Node, entries: &[Entry], problems: &mut Vec<Problem>) {
    for (i, entry) in entries.iter().enumerate() {
        if entries[..i].iter().any(|e| e.key == entry.key) {
            let message = format!("the key `{}` is given twice", entry.key);
            let hint = Some("keep one of the two".to_owned());
            problems.push(error(root, "duplicate-key", entry.key_span, message, hint));
        }
    }
}

#[cfg(test)]
mod tests;
