//! What each kind of resource becomes: one file per service. The result is a tree in the API's shape whose values still
//! point into the template, so that whatever is found wrong with it later is shown there.

mod build;
mod identity;
mod pipeline;
mod storage;

use super::Resource;
use super::resolve::Resolver;
use super::shape::{Conversion, Kind, Object};
use crate::document::{Entry, Node, Span, Value};

/// A resource in the API's shape, and what is said beside it.
pub(super) struct Mapped {
    /// What it is called in a plan.
    pub name: String,
    pub node: Node,
    pub notes: Vec<String>,
}

/// One resource's way to the API.
pub(super) struct Mapping<'r, 't> {
    pub conversion: Conversion<'r, 't>,
    pub resource: Resource<'t>,
    /// The name of the resource, the template's or a derived one.
    pub name: String,
    /// The key that encrypts its artifacts is one that is not made.
    pub keyless: bool,
}

/// Maps a resource; `None` where it has problems, which are told.
pub(super) fn map<'t>(
    resolver: &mut Resolver<'t>,
    resource: Resource<'t>,
    kind: Kind,
    keyless: bool,
) -> Option<Mapped> {
    let name = resolver.physical(resource, resource.span).ok()?;
    let mut mapping = Mapping { conversion: Conversion { resolver, notes: Vec::new() }, resource, name, keyless };
    let node = match kind {
        Kind::Bucket => mapping.bucket(),
        Kind::BucketPolicy => mapping.bucket_policy(),
        Kind::Role => mapping.role(),
        Kind::ManagedPolicy => mapping.managed_policy(),
        Kind::Policy => mapping.policy(),
        Kind::ActionType => mapping.action_type(),
        Kind::Project => mapping.project(),
        Kind::Pipeline => mapping.pipeline(),
        Kind::Webhook => mapping.webhook(),
    }?;
    let name = std::mem::take(&mut mapping.name);
    let mut notes = mapping.conversion.notes;
    notes.sort();
    notes.dedup();
    Some(Mapped { name, node, notes })
}

impl Mapping<'_, '_> {
    /// The resolved properties under the API's names.
    fn properties(&mut self, object: &'static Object) -> Option<(Node, Node)> {
        let span = self.resource.span;
        let resolved = match self.resource.properties() {
            Some(node) => {
                let resolved = self.conversion.resolver.value(node);
                if resolved.is_err() {
                    // What is wrong beside it is told all the same.
                    self.conversion.names(node, object, "");
                }
                resolved.ok()?
            }
            None => None,
        };
        let resolved = resolved.unwrap_or(Node { span, value: Value::Map(Vec::new()) });
        let mut made = self.conversion.object(&resolved, object, "")?;
        // An empty map has no place of its own to point at.
        if matches!(&made.value, Value::Map(entries) if entries.is_empty()) {
            made.span = span;
        }
        Some((resolved, made))
    }

    /// A value that the template does not give, at the place of the resource's name.
    fn text(&self, text: &str) -> Node {
        Node { span: self.resource.span, value: Value::Text(text.to_owned()) }
    }

    /// Puts the derived name where the template has none.
    fn named(&self, node: &mut Node, member: &str) {
        if node.get(member).is_none() {
            insert(node, member, self.text(&self.name));
        }
    }
}

fn entry(key: &str, key_span: Span, node: Node) -> Entry {
    Entry { key: key.to_owned(), key_span, node }
}

/// Puts a member first, as one reads it.
fn insert(node: &mut Node, member: &str, value: Node) {
    if let Value::Map(entries) = &mut node.value {
        entries.insert(0, entry(member, value.span, value));
    }
}

fn take(node: &mut Node, member: &str) -> Option<Entry> {
    let Value::Map(entries) = &mut node.value else { return None };
    let at = entries.iter().position(|e| e.key == member)?;
    Some(entries.remove(at))
}

fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        _ => &[],
    }
}

fn map_node(span: Span, entries: Vec<Entry>) -> Node {
    Node { span, value: Value::Map(entries) }
}
