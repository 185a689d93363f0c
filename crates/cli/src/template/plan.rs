//! From stacks to what is made of them: the pipelines, projects, action types and webhooks of every stack, the roles,
//! policies and buckets that they refer to, in the order in which they are made; and the rest, with the reason why it is
//! left out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value as Json;

use super::graph::Target;
use super::mapping;
use super::resolve::{Broken, Resolver};
use super::shape::Kind;
use super::{Inputs, Resource, Template};
use crate::diagnostics::Report;
use crate::document::shape::{did_you_mean, plain};
use crate::document::{Node, Span, Value};

/// One template under the name of its stack.
#[derive(Debug, Clone)]
pub struct Stack {
    pub name: String,
    pub template: Template,
}

/// One thing to make.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Which of the stacks.
    pub stack: usize,
    pub logical: String,
    pub kind: Kind,
    pub name: String,
    /// What `Ref` of it is.
    pub reference: Option<String>,
    /// In the API's shape; its values point into the template.
    pub node: Node,
    /// The same as JSON.
    pub body: Json,
    /// What of it is not made, and why.
    pub notes: Vec<String>,
    /// Where the template declares it.
    pub span: Span,
}

/// A resource that is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    pub stack: usize,
    pub logical: String,
    pub kind: String,
    pub reason: &'static str,
}

#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub items: Vec<Planned>,
    pub left_out: Vec<LeftOut>,
    /// Texts that must not be printed.
    pub secrets: Vec<String>,
}

impl Plan {
    pub fn pipelines(&self) -> impl Iterator<Item = &Planned> {
        self.items.iter().filter(|item| item.kind == Kind::Pipeline)
    }
}

/// A resource among all stacks.
type Place<'t> = (usize, &'t str);

struct Read<'t> {
    resolver: Resolver<'t>,
    active: Vec<Resource<'t>>,
    needs: BTreeMap<&'t str, BTreeSet<&'t str>>,
    /// What each resource refers to, in its own stack or in another.
    edges: BTreeMap<&'t str, BTreeSet<Place<'t>>>,
    /// What each policy is for: the roles or the bucket that it is put to.
    holders: BTreeMap<&'t str, BTreeSet<Place<'t>>>,
}

/// Plans all stacks together. `Err` holds everything wrong with them.
pub fn plan(stacks: &[Stack], inputs: &Inputs) -> Result<Plan, Vec<Report>> {
    let exports = exports(stacks, inputs);
    let mut read: Vec<Read<'_>> = Vec::new();
    for (at, stack) in stacks.iter().enumerate() {
        let mut resolver = Resolver::new(&stack.template, &stack.name, inputs, &exports.values);
        resolver.check_parameters();
        let active = resolver.active();
        let needs = resolver.needs(&active);
        let (mut edges, mut holders) = (BTreeMap::new(), BTreeMap::new());
        for resource in &active {
            let holder = match Kind::of(resource.kind) {
                Some(Kind::Policy | Kind::ManagedPolicy) => resource.property("Roles"),
                Some(Kind::BucketPolicy) => resource.property("Bucket"),
                _ => None,
            };
            let targets = holder.map(|p| resolver.targets(p)).unwrap_or_default();
            holders.insert(resource.logical, places(at, stack, targets, &exports));
            let targets = resource.properties().map(|p| resolver.targets(p)).unwrap_or_default();
            edges.insert(resource.logical, places(at, stack, targets, &exports));
        }
        read.push(Read { resolver, active, needs, edges, holders });
    }
    unknown_parameters(stacks, inputs, &mut read);
    let wanted = wanted(&read);
    let mut plan = Plan::default();
    for (at, stack) in read.iter_mut().enumerate() {
        let active = std::mem::take(&mut stack.active);
        let needs = std::mem::take(&mut stack.needs);
        // Circles are refused wherever they are; the order is that of what is made.
        let sound = stack.resolver.order(&active, &needs).len() == active.len();
        let made: Vec<Resource<'_>> = active.iter().filter(|r| wanted.contains(&(at, r.logical))).copied().collect();
        let ordered = if sound { stack.resolver.order(&made, &needs) } else { made };
        for resource in &active {
            if !wanted.contains(&(at, resource.logical)) {
                let (logical, kind) = (resource.logical.to_owned(), resource.kind.to_owned());
                plan.left_out.push(LeftOut { stack: at, logical, kind, reason: reason(resource.kind) });
            }
        }
        for resource in ordered {
            let Some(kind) = Kind::of(resource.kind) else { continue };
            let keyless = stack.edges[resource.logical].iter().any(|(other, logical)| {
                stacks[*other].template.resource(logical).is_some_and(|r| r.kind.starts_with("AWS::KMS::"))
            });
            let Some(mapped) = mapping::map(&mut stack.resolver, resource, kind, keyless) else { continue };
            let reference = stack.resolver.known(resource, None, resource.span).ok();
            plan.items.push(Planned {
                stack: at,
                logical: resource.logical.to_owned(),
                kind,
                name: mapped.name,
                reference,
                body: plain(&mapped.node),
                node: mapped.node,
                notes: mapped.notes,
                span: resource.span,
            });
        }
        plan.secrets.append(&mut stack.resolver.secrets);
    }
    let reports: Vec<Report> = read
        .into_iter()
        .filter(|stack| !stack.resolver.problems.is_empty())
        .map(|stack| Report::new(stack.resolver.template.text.clone(), stack.resolver.problems))
        .collect();
    if reports.is_empty() { Ok(plan) } else { Err(reports) }
}

/// What stacks export to each other.
#[derive(Default)]
struct Exports<'t> {
    values: BTreeMap<String, String>,
    places: BTreeMap<String, BTreeSet<Place<'t>>>,
}

/// The outputs of each stack, where they can be known. The stacks are in the order in which they would be deployed.
fn exports<'t>(stacks: &'t [Stack], inputs: &'t Inputs) -> Exports<'t> {
    let mut exports = Exports::default();
    for (at, stack) in stacks.iter().enumerate() {
        let known = exports.values.clone();
        let mut found = Vec::new();
        let mut resolver = Resolver::new(&stack.template, &stack.name, inputs, &known);
        for (name, value) in exported(&stack.template) {
            // What cannot be known is missed where it is imported.
            let known = resolver.quietly(|r| Ok::<_, Broken>((r.text(name, "a name")?, r.text(value, "an export")?)));
            if let Some((name, text)) = known {
                found.push((name, text, resolver.targets(value)));
            }
        }
        for (name, value, targets) in found {
            let places = places(at, stack, targets, &exports);
            exports.values.insert(name.clone(), value);
            exports.places.insert(name, places);
        }
    }
    exports
}

/// Names and values of the outputs that are exported.
fn exported(template: &Template) -> impl Iterator<Item = (&Node, &Node)> {
    template.section("Outputs").iter().filter_map(|output| {
        let name = output.node.get("Export")?.get("Name")?;
        Some((name, output.node.get("Value")?))
    })
}

fn places<'t>(at: usize, stack: &'t Stack, targets: BTreeSet<Target>, exports: &Exports<'t>) -> BTreeSet<Place<'t>> {
    let mut places = BTreeSet::new();
    for target in targets {
        match target {
            Target::Resource(name) => places.extend(stack.template.resource(&name).map(|r| (at, r.logical))),
            Target::Export(name) => places.extend(exports.places.get(&name).into_iter().flatten().copied()),
        }
    }
    places
}

/// What is made: what templates are imported for, and the roles, policies and buckets these lead to.
fn wanted<'t>(stacks: &[Read<'t>]) -> BTreeSet<Place<'t>> {
    let all = || stacks.iter().enumerate().flat_map(|(at, s)| s.active.iter().map(move |r| (at, *r)));
    let kind = |place: &Place<'t>| {
        let resource = stacks[place.0].active.iter().find(|r| r.logical == place.1)?;
        Kind::of(resource.kind)
    };
    let mut wanted: BTreeSet<Place<'t>> = BTreeSet::new();
    let mut open: VecDeque<Place<'t>> =
        all().filter(|(_, r)| Kind::of(r.kind).is_some_and(Kind::is_root)).map(|(at, r)| (at, r.logical)).collect();
    loop {
        while let Some(place) = open.pop_front() {
            let Some(kind) = kind(&place) else { continue };
            if !wanted.insert(place) {
                continue;
            }
            // A bucket's policy names whoever may use it, which makes nobody needed here.
            if kind != Kind::BucketPolicy {
                open.extend(stacks[place.0].edges[place.1].iter().copied());
            }
        }
        // Policies stand beside what they are for, and point at it.
        for (at, resource) in all() {
            let place = (at, resource.logical);
            let holders = &stacks[at].holders[resource.logical];
            if !wanted.contains(&place) && holders.iter().any(|holder| wanted.contains(holder)) {
                open.push_back(place);
            }
        }
        if open.is_empty() {
            return wanted;
        }
    }
}

/// Why a resource is not made.
fn reason(kind: &str) -> &'static str {
    if Kind::of(kind).is_some() {
        return "no pipeline or project refers to it";
    }
    match kind {
        "AWS::KMS::Key" | "AWS::KMS::Alias" => {
            "there is no KMS here yet; artifacts are kept without a key of their own"
        }
        "AWS::Events::Rule" => "there is no EventBridge here yet; start the pipeline yourself",
        "AWS::CDK::Metadata" => "it tells CDK's makers what was used",
        "AWS::CloudFormation::Stack" => "nested stacks are templates of their own; import each by itself",
        "AWS::CodeStarNotifications::NotificationRule"
        | "AWS::SNS::Topic"
        | "AWS::SNS::Subscription"
        | "AWS::SNS::TopicPolicy" => "there are no notifications here yet",
        kind if kind.starts_with("Custom::") || kind == "AWS::CloudFormation::CustomResource" => {
            "custom resources are made by Lambda functions when a stack is deployed"
        }
        _ => "it is no part of a pipeline; references to it get the name or ARN it would have",
    }
}

/// Values for parameters that nobody declares are mistakes.
fn unknown_parameters(stacks: &[Stack], inputs: &Inputs, read: &mut [Read<'_>]) {
    for key in inputs.parameters.keys() {
        let declares = |stack: &Stack| {
            let name = key.strip_prefix(&format!("{}:", stack.name)).unwrap_or(key);
            stack.template.section("Parameters").iter().any(|e| e.key == name)
        };
        if stacks.iter().any(declares) {
            continue;
        }
        let known: Vec<&str> =
            stacks.iter().flat_map(|s| s.template.section("Parameters")).map(|e| e.key.as_str()).collect();
        let near = did_you_mean(key, known.iter().copied());
        let hint = match (near, known.as_slice()) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, []) => "the template declares no parameters".to_owned(),
            (None, known) => format!("the template declares {}", known.join(", ")),
        };
        if let Some(first) = read.first_mut() {
            let section = first.resolver.template.root.get("Parameters").map_or(Span::new(0, 1), |n| n.span);
            let span = Span::new(section.start, (section.start + 1).min(section.end));
            let message = format!("Parameters: [{key}] do not exist in the template");
            let _ = first.resolver.broken::<()>("unknown-parameter", span, message, Some(hint));
        }
    }
}

impl Planned {
    /// A pipeline as a pipeline file has it: `{pipeline, tags}`.
    pub fn declaration(&self) -> Node {
        let Value::Map(members) = &self.node.value else { return self.node.clone() };
        let known = members.iter().filter(|m| m.key == "pipeline" || m.key == "tags");
        Node { span: self.node.span, value: Value::Map(known.cloned().collect()) }
    }
}
