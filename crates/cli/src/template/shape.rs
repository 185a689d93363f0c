//! From CloudFormation's names and loose types to the API's: each resource type has a table of its properties, and what a
//! table does not have is refused as CloudFormation refuses it. What comes out is a tree again, in which every value
//! still points at its place in the template.

use serde_json::Value as Json;

use super::resolve::{Resolver, function, scalar};
use crate::document::shape::did_you_mean;
use crate::document::{Entry, Node, Span, Value};

/// What is made of a template's resources, in the order in which it is best made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Bucket,
    Role,
    ManagedPolicy,
    Policy,
    BucketPolicy,
    ActionType,
    Project,
    Pipeline,
    Webhook,
}

impl Kind {
    pub fn of(kind: &str) -> Option<Self> {
        const ALL: [Kind; 9] = [
            Kind::Bucket,
            Kind::Role,
            Kind::ManagedPolicy,
            Kind::Policy,
            Kind::BucketPolicy,
            Kind::ActionType,
            Kind::Project,
            Kind::Pipeline,
            Kind::Webhook,
        ];
        ALL.into_iter().find(|known| known.type_name() == kind)
    }

    /// CloudFormation's name.
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::Bucket => "AWS::S3::Bucket",
            Self::Role => "AWS::IAM::Role",
            Self::ManagedPolicy => "AWS::IAM::ManagedPolicy",
            Self::Policy => "AWS::IAM::Policy",
            Self::BucketPolicy => "AWS::S3::BucketPolicy",
            Self::ActionType => "AWS::CodePipeline::CustomActionType",
            Self::Project => "AWS::CodeBuild::Project",
            Self::Pipeline => "AWS::CodePipeline::Pipeline",
            Self::Webhook => "AWS::CodePipeline::Webhook",
        }
    }

    /// In the words of a plan.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Bucket => "bucket",
            Self::Role => "role",
            Self::ManagedPolicy => "managed policy",
            Self::Policy => "role policy",
            Self::BucketPolicy => "bucket policy",
            Self::ActionType => "custom action type",
            Self::Project => "CodeBuild project",
            Self::Pipeline => "pipeline",
            Self::Webhook => "webhook",
        }
    }

    /// What a template is imported for; everything else is made because one of these needs it.
    pub const fn is_root(self) -> bool {
        matches!(self, Self::ActionType | Self::Project | Self::Pipeline | Self::Webhook)
    }
}

#[derive(Debug)]
pub(super) enum Shape {
    Text,
    Whole,
    Flag,
    /// Any JSON, as it stands: a policy document.
    Any,
    /// A map from names to texts, or the same as JSON text.
    Texts,
    List(&'static Shape),
    Object(&'static Object),
    /// Known, and not made: the reason is told.
    Left(&'static str),
    /// Read by the mapping itself.
    Aside,
}

#[derive(Debug)]
pub(super) struct Object {
    /// What it is, with its article.
    pub what: &'static str,
    pub fields: &'static [Field],
}

#[derive(Debug)]
pub(super) struct Field {
    /// CloudFormation's name.
    pub name: &'static str,
    /// The API's.
    pub member: &'static str,
    pub shape: Shape,
    pub required: bool,
}

pub(super) const fn needs(name: &'static str, member: &'static str, shape: Shape) -> Field {
    Field { name, member, shape, required: true }
}

pub(super) const fn may(name: &'static str, member: &'static str, shape: Shape) -> Field {
    Field { name, member, shape, required: false }
}

/// `Tags` as most of the APIs take them.
pub(super) static TAG: Object =
    Object { what: "a tag", fields: &[needs("Key", "key", Shape::Text), needs("Value", "value", Shape::Text)] };

/// `Tags` as IAM takes them.
pub(super) static IAM_TAG: Object =
    Object { what: "a tag", fields: &[needs("Key", "Key", Shape::Text), needs("Value", "Value", Shape::Text)] };

fn at(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Converts resolved values; problems go to the resolver, what is left out to `notes`.
pub(super) struct Conversion<'r, 't> {
    pub resolver: &'r mut Resolver<'t>,
    pub notes: Vec<String>,
}

impl Conversion<'_, '_> {
    fn wrong(&mut self, node: &Node, path: &str, expected: &str) -> Option<Node> {
        let span = match node.value {
            Value::List(_) | Value::Map(_) => Span::new(node.span.start, (node.span.start + 1).min(node.span.end)),
            _ => node.span,
        };
        let message = format!("`{path}` must be {expected}, not {}", node.kind());
        let _ = self.resolver.broken::<()>("wrong-type", span, message, None);
        None
    }

    pub fn convert(&mut self, node: &Node, shape: &'static Shape, path: &str) -> Option<Node> {
        let span = node.span;
        let made = |value| Some(Node { span, value });
        match shape {
            Shape::Text => match scalar(node) {
                Some(text) => made(Value::Text(text.to_owned())),
                None => self.wrong(node, path, "text"),
            },
            Shape::Whole => match scalar(node).map(str::parse::<i64>) {
                Some(Ok(number)) => made(Value::Number(number.to_string())),
                _ => self.wrong(node, path, "a whole number"),
            },
            Shape::Flag => match scalar(node).map(str::to_ascii_lowercase).as_deref() {
                Some("true") => made(Value::Bool(true)),
                Some("false") => made(Value::Bool(false)),
                _ => self.wrong(node, path, "true or false"),
            },
            Shape::Any => Some(node.clone()),
            Shape::Texts => self.texts(node, path),
            Shape::List(inner) => {
                let Value::List(items) = &node.value else { return self.wrong(node, path, "a list") };
                let items: Vec<Option<Node>> = items
                    .iter()
                    .enumerate()
                    .map(|(i, item)| self.convert(item, inner, &format!("{path}[{i}]")))
                    .collect();
                made(Value::List(items.into_iter().collect::<Option<_>>()?))
            }
            Shape::Object(object) => self.object(node, object, path),
            Shape::Left(_) | Shape::Aside => None,
        }
    }

    /// Holds the names of properties against the table, where their values cannot be known.
    pub fn names(&mut self, node: &Node, object: &'static Object, path: &str) {
        let Value::Map(entries) = &node.value else { return };
        if function(entries).is_some() {
            return;
        }
        for entry in entries {
            match object.fields.iter().find(|f| f.name == entry.key) {
                Some(field) => self.names_inside(&entry.node, &field.shape, &at(path, field.name)),
                None => self.unknown(entry, object, path),
            }
        }
        self.missing(node, entries, object);
    }

    fn names_inside(&mut self, node: &Node, shape: &'static Shape, path: &str) {
        match (shape, &node.value) {
            (Shape::Object(inner), _) => self.names(node, inner, path),
            (Shape::List(inner), Value::List(items)) => {
                for (i, item) in items.iter().enumerate() {
                    self.names_inside(item, inner, &format!("{path}[{i}]"));
                }
            }
            _ => {}
        }
    }

    fn unknown(&mut self, entry: &Entry, object: &Object, path: &str) {
        let near = did_you_mean(&entry.key, object.fields.iter().map(|f| f.name));
        let hint = near.map(|n| format!("did you mean `{n}`?"));
        let message = format!("Encountered unsupported property {}: {} has none", at(path, &entry.key), object.what);
        let _ = self.resolver.broken::<()>("unknown-property", entry.key_span, message, hint);
    }

    /// Tells what is missing; whether nothing is.
    fn missing(&mut self, node: &Node, entries: &[Entry], object: &Object) -> bool {
        let mut whole = true;
        for field in object.fields.iter().filter(|f| f.required && !entries.iter().any(|e| e.key == f.name)) {
            whole = false;
            let span = entries.first().map_or(node.span, |e| e.key_span);
            let message = format!("{} needs the property `{}`", object.what, field.name);
            let _ = self.resolver.broken::<()>("missing-property", span, message, None);
        }
        whole
    }

    /// An object of the table: its properties under the API's names.
    pub fn object(&mut self, node: &Node, object: &'static Object, path: &str) -> Option<Node> {
        let Value::Map(entries) = &node.value else {
            return self.wrong(node, path, &format!("{} (a map)", object.what));
        };
        let at = |name: &str| at(path, name);
        let mut read = Vec::new();
        let mut whole = true;
        for entry in entries {
            let Some(field) = object.fields.iter().find(|f| f.name == entry.key) else {
                self.unknown(entry, object, path);
                continue;
            };
            match &field.shape {
                Shape::Left(why) => self.notes.push(format!("{} is left out: {why}", at(field.name))),
                Shape::Aside => {}
                _ if entry.node.value == Value::Null && !field.required => {}
                shape => match self.convert(&entry.node, shape, &at(field.name)) {
                    Some(node) => {
                        read.push(Entry { key: field.member.to_owned(), key_span: entry.key_span, node });
                    }
                    None => whole = false,
                },
            }
        }
        whole &= self.missing(node, entries, object);
        whole.then_some(Node { span: node.span, value: Value::Map(read) })
    }

    /// CloudFormation takes such a map as JSON, too.
    fn texts(&mut self, node: &Node, path: &str) -> Option<Node> {
        let span = node.span;
        if let Some(text) = node.text() {
            let Ok(Json::Object(members)) = serde_json::from_str::<Json>(text) else {
                return self.wrong(node, path, "a map, or a map as JSON text");
            };
            let text = |value: Json| match value {
                Json::String(text) => text,
                other => other.to_string(),
            };
            let entry =
                |(key, value)| Entry { key, key_span: span, node: Node { span, value: Value::Text(text(value)) } };
            return Some(Node { span, value: Value::Map(members.into_iter().map(entry).collect()) });
        }
        let Value::Map(entries) = &node.value else { return self.wrong(node, path, "a map") };
        let read: Vec<Option<Entry>> = entries
            .iter()
            .map(|entry| {
                let node = self.convert(&entry.node, &Shape::Text, &format!("{path}.{}", entry.key))?;
                Some(Entry { key: entry.key.clone(), key_span: entry.key_span, node })
            })
            .collect();
        Some(Node { span, value: Value::Map(read.into_iter().collect::<Option<_>>()?) })
    }
}
