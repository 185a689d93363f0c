//! Which resource refers to which, read off the template without resolving it: what is not made need not be resolvable.
//! From that follow the order in which resources are made, and that they go round in no circle.

use std::collections::{BTreeMap, BTreeSet};

use super::Resource;
use super::references::{Piece, pieces};
use super::resolve::{Resolver, function, scalar};
use super::shape::Kind;
use crate::document::{Node, Value};

/// What a part of a template refers to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Resource(String),
    Export(String),
}

impl<'t> Resolver<'t> {
    /// Every resource and export that a value names. Of Fn::If the branch that holds.
    pub(super) fn targets(&mut self, node: &'t Node) -> BTreeSet<Target> {
        let mut found = BTreeSet::new();
        self.scan(node, &mut found);
        found
    }

    fn scan(&mut self, node: &'t Node, found: &mut BTreeSet<Target>) {
        match &node.value {
            Value::Map(entries) => match function(entries) {
                Some(("Ref", argument)) => self.found(argument.text(), found),
                Some(("Fn::GetAtt", argument)) => match &argument.value {
                    Value::List(items) => self.found(items.first().and_then(Node::text), found),
                    _ => self.found(argument.text().and_then(|t| t.split('.').next()), found),
                },
                Some(("Fn::Sub", argument)) => self.scan_sub(argument, found),
                Some(("Fn::If", Node { value: Value::List(parts), .. })) if parts.len() == 3 => {
                    let holds = match parts[0].text() {
                        Some(name) => self.quietly(|r| r.condition(name, parts[0].span)),
                        None => None,
                    };
                    if holds != Some(false) {
                        self.scan(&parts[1], found);
                    }
                    if holds != Some(true) {
                        self.scan(&parts[2], found);
                    }
                }
                Some(("Fn::ImportValue", argument)) => {
                    let value = self.quietly(|r| r.value(argument)).flatten();
                    found.extend(value.as_ref().and_then(scalar).map(|name| Target::Export(name.to_owned())));
                    self.scan(argument, found);
                }
                _ => entries.iter().for_each(|e| self.scan(&e.node, found)),
            },
            Value::List(items) => items.iter().for_each(|item| self.scan(item, found)),
            _ => {}
        }
    }

    fn scan_sub(&mut self, argument: &'t Node, found: &mut BTreeSet<Target>) {
        let (text, values) = match &argument.value {
            Value::List(items) => (items.first(), items.get(1)),
            _ => (Some(argument), None),
        };
        if let Some(values) = values {
            self.scan(values, found);
        }
        for piece in text.and_then(Node::text).and_then(|t| pieces(t).ok()).into_iter().flatten() {
            if let Piece::Name(name) = piece
                && values.is_none_or(|v| v.get(name).is_none())
            {
                self.found(name.split('.').next(), found);
            }
        }
    }

    fn found(&self, name: Option<&str>, found: &mut BTreeSet<Target>) {
        let resource = name.filter(|name| self.template.resource(name).is_some());
        found.extend(resource.map(|name| Target::Resource(name.to_owned())));
    }

    /// Tries something whose failure is nobody's problem yet.
    pub(super) fn quietly<T, E>(&mut self, attempt: impl FnOnce(&mut Self) -> Result<T, E>) -> Option<T> {
        let known = self.problems.len();
        let result = attempt(self).ok();
        if result.is_none() {
            self.problems.truncate(known);
            self.forget_failures();
        }
        result
    }

    /// The resources whose conditions hold.
    pub(super) fn active(&mut self) -> Vec<Resource<'t>> {
        let template = self.template;
        let holds = |r: &Resource<'t>| match r.condition() {
            Some((name, span)) => self.condition(name, span).unwrap_or(false),
            None => true,
        };
        template.resources().filter(holds).collect()
    }

    /// What each resource needs to be there before it, by reference or by DependsOn.
    pub(super) fn needs(&mut self, active: &[Resource<'t>]) -> BTreeMap<&'t str, BTreeSet<&'t str>> {
        let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for resource in active {
            let mut needed = BTreeSet::new();
            for target in resource.properties().map(|p| self.targets(p)).unwrap_or_default() {
                if let Target::Resource(name) = target {
                    needed.extend(active.iter().find(|r| r.logical == name).map(|r| r.logical));
                }
            }
            for (name, span) in resource.depends_on() {
                if let Some(other) = active.iter().find(|r| r.logical == name) {
                    needed.insert(other.logical);
                } else if self.template.resource(name).is_none() {
                    let message = format!(
                        "Template format error: Unresolved resource dependencies [{name}] in the Resources block of the template"
                    );
                    let _ = self.broken::<()>("unknown-reference", span, message, None);
                }
            }
            needs.insert(resource.logical, needed);
        }
        needs
    }

    /// The resources in the order in which they are made; what goes round in a circle is told.
    pub(super) fn order(
        &mut self,
        active: &[Resource<'t>],
        needs: &BTreeMap<&'t str, BTreeSet<&'t str>>,
    ) -> Vec<Resource<'t>> {
        let mut left: Vec<Resource<'t>> = active.to_vec();
        // A stable sort: what needs nothing of each other stays in the order of kinds, then of the template.
        left.sort_by_key(|r| (Kind::of(r.kind).is_none(), Kind::of(r.kind)));
        let mut ordered: Vec<Resource<'t>> = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let open: BTreeSet<&str> = left.iter().map(|r| r.logical).collect();
            let ready = left.iter().position(|r| needs[r.logical].is_disjoint(&open));
            let Some(ready) = ready else {
                let circle = circle(&left, needs);
                let span = left.iter().find(|r| r.logical == circle[0]).map_or(left[0].span, |r| r.span);
                let message = format!("Circular dependency between resources: [{}]", circle.join(", "));
                let hint = "break the circle, for example with a policy that is a resource of its own".to_owned();
                let _ = self.broken::<()>("cycle", span, message, Some(hint));
                return ordered;
            };
            ordered.push(left.remove(ready));
        }
        ordered
    }
}

/// One circle among resources of which each needs another.
fn circle<'t>(left: &[Resource<'t>], needs: &BTreeMap<&'t str, BTreeSet<&'t str>>) -> Vec<&'t str> {
    let mut path: Vec<&str> = vec![left[0].logical];
    loop {
        let last = path[path.len() - 1];
        let next = needs[last].iter().find(|n| left.iter().any(|r| r.logical == **n)).copied().unwrap_or(last);
        if let Some(at) = path.iter().position(|n| *n == next) {
            let mut circle = path.split_off(at);
            circle.sort_unstable();
            return circle;
        }
        path.push(next);
    }
}
