//! Turns a part of a template into plain values: functions are evaluated, references become the names and ARNs of what
//! they name. Every problem is kept with its place, and the work goes on beside it, so that all are told at once.
//! Nothing here grows without a limit: a template of a few lines can describe a text of gigabytes.

use std::collections::BTreeMap;

use super::{Inputs, Template};
use crate::diagnostics::Problem;
use crate::document::shape::did_you_mean;
use crate::document::{Entry, Node, Span, Value};
use crate::limits;

/// The problem has been told already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

/// `None` is `AWS::NoValue`: what holds it leaves it out.
pub type Resolved = Result<Option<Node>, Broken>;

pub struct Resolver<'t> {
    pub template: &'t Template,
    pub inputs: &'t Inputs,
    /// The name of the stack.
    pub stack: &'t str,
    /// What earlier stacks of the same app export.
    pub exports: &'t BTreeMap<String, String>,
    pub problems: Vec<Problem>,
    /// Names and texts of secrets (`NoEcho`), to be masked wherever something is printed.
    pub secrets: Vec<String>,
    pub(super) parameters: BTreeMap<&'t str, Result<Node, Broken>>,
    conditions: BTreeMap<&'t str, Result<bool, Broken>>,
    /// Conditions being evaluated, the innermost last.
    open_conditions: Vec<&'t str>,
    pub(super) names: BTreeMap<&'t str, Result<String, Broken>>,
    /// Resources whose names are being found, the innermost last.
    pub(super) open_names: Vec<&'t str>,
    bytes_left: usize,
    depth: usize,
}

impl<'t> Resolver<'t> {
    pub fn new(
        template: &'t Template,
        stack: &'t str,
        inputs: &'t Inputs,
        exports: &'t BTreeMap<String, String>,
    ) -> Self {
        Self {
            template,
            inputs,
            stack,
            exports,
            problems: Vec::new(),
            secrets: Vec::new(),
            parameters: BTreeMap::new(),
            conditions: BTreeMap::new(),
            open_conditions: Vec::new(),
            names: BTreeMap::new(),
            open_names: Vec::new(),
            bytes_left: limits::TEMPLATE_EXPANDED_BYTES_MAX,
            depth: 0,
        }
    }

    /// Remembers a problem.
    pub(super) fn broken<T>(
        &mut self,
        code: &str,
        span: Span,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Result<T, Broken> {
        if self.problems.len() < limits::PROBLEMS_MAX {
            let problem = self.template.problem(code, span, message, hint);
            self.problems.push(problem);
        }
        Err(Broken)
    }

    /// Everything that is made counts, so that what a few lines blow up to ends somewhere.
    pub(super) fn spend(&mut self, bytes: usize, span: Span) -> Result<(), Broken> {
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => {
                self.bytes_left = left;
                Ok(())
            }
            None if self.bytes_left == 0 => Err(Broken),
            None => {
                self.bytes_left = 0;
                let message = format!(
                    "the template's functions expand to more than {} bytes",
                    limits::TEMPLATE_EXPANDED_BYTES_MAX
                );
                self.broken("too-large", span, message, None)
            }
        }
    }

    pub(super) fn text_node(&mut self, text: String, span: Span) -> Result<Node, Broken> {
        self.spend(text.len() + 1, span)?;
        Ok(Node { span, value: Value::Text(text) })
    }

    /// The plain value of a node.
    pub fn value(&mut self, node: &'t Node) -> Resolved {
        if self.depth >= limits::TEMPLATE_NESTING_MAX {
            let message =
                format!("functions and references lead more than {} levels deep", limits::TEMPLATE_NESTING_MAX);
            return self.broken("too-deep", node.span, message, None);
        }
        self.depth += 1;
        let resolved = self.one(node);
        self.depth -= 1;
        resolved
    }

    fn one(&mut self, node: &'t Node) -> Resolved {
        match &node.value {
            Value::Map(entries) => {
                if let Some((name, argument)) = function(entries) {
                    return self.function(name, argument, node.span);
                }
                let mut read = Vec::with_capacity(entries.len());
                let mut whole = true;
                for entry in entries {
                    self.spend(entry.key.len() + 1, entry.key_span)?;
                    match self.value(&entry.node) {
                        Ok(Some(node)) => read.push(Entry { key: entry.key.clone(), key_span: entry.key_span, node }),
                        Ok(None) => {}
                        Err(Broken) => whole = false,
                    }
                }
                whole.then_some(Some(Node { span: node.span, value: Value::Map(read) })).ok_or(Broken)
            }
            Value::List(items) => {
                let mut read = Vec::with_capacity(items.len());
                let mut whole = true;
                for item in items {
                    match self.value(item) {
                        Ok(item) => read.extend(item),
                        Err(Broken) => whole = false,
                    }
                }
                whole.then_some(Some(Node { span: node.span, value: Value::List(read) })).ok_or(Broken)
            }
            Value::Text(text) | Value::Plain(text) => {
                self.spend(text.len() + 1, node.span)?;
                self.refuse_dynamic(text, node.span)?;
                Ok(Some(node.clone()))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(Some(node.clone())),
        }
    }

    /// `{{resolve:ssm:...}}` asks a service when the stack is made.
    pub(super) fn refuse_dynamic(&mut self, text: &str, span: Span) -> Result<(), Broken> {
        let Some(at) = text.find("{{resolve:") else { return Ok(()) };
        let reference: String = text[at..].chars().take_while(|c| *c != '}').chain("}}".chars()).collect();
        let message = format!("`{reference}` asks a service that Towpath does not have yet");
        let hint = "make it a parameter of the template and give its value with `--parameter NAME=VALUE`";
        self.broken("dynamic-reference", span, message, Some(hint.to_owned()))
    }

    /// A value that must be there.
    pub(super) fn required(&mut self, node: &'t Node, what: &str) -> Result<Node, Broken> {
        match self.value(node)? {
            Some(value) => Ok(value),
            None => self.broken("bad-function", node.span, format!("{what} must not be AWS::NoValue"), None),
        }
    }

    /// A value that must be text, or a number or boolean that stands for its text.
    pub(super) fn text(&mut self, node: &'t Node, what: &str) -> Result<String, Broken> {
        let value = self.required(node, what)?;
        match scalar(&value) {
            Some(text) => Ok(text.to_owned()),
            None => self.broken("bad-function", node.span, format!("{what} must be text, not {}", value.kind()), None),
        }
    }

    /// A value that must be a list.
    pub(super) fn list(&mut self, node: &'t Node, what: &str) -> Result<Vec<Node>, Broken> {
        let value = self.required(node, what)?;
        let kind = value.kind();
        match value.value {
            Value::List(items) => Ok(items),
            _ => self.broken("bad-function", node.span, format!("{what} must be a list, not {kind}"), None),
        }
    }

    /// Whether a condition of the template holds.
    pub fn condition(&mut self, name: &str, span: Span) -> Result<bool, Broken> {
        let template = self.template;
        let conditions = template.section("Conditions");
        let Some(entry) = conditions.iter().find(|e| e.key == name) else {
            let near = did_you_mean(name, conditions.iter().map(|e| e.key.as_str()));
            let hint = near.map(|n| format!("did you mean `{n}`?"));
            return self.broken("unknown-condition", span, format!("there is no condition `{name}`"), hint);
        };
        if let Some(known) = self.conditions.get(entry.key.as_str()) {
            return *known;
        }
        if self.open_conditions.contains(&entry.key.as_str()) {
            let circle = self.open_conditions.iter().chain([&entry.key.as_str()]).copied().collect::<Vec<_>>();
            let message = format!("Circular dependencies for conditions: {}", circle.join(" -> "));
            return self.broken("cycle", span, message, None);
        }
        self.open_conditions.push(&entry.key);
        let holds = self.test(&entry.node);
        self.open_conditions.pop();
        self.conditions.insert(&entry.key, holds);
        holds
    }

    /// What failed unheard is asked again when it matters, and told then.
    pub(super) fn forget_failures(&mut self) {
        self.parameters.retain(|_, value| value.is_ok());
        self.conditions.retain(|_, holds| holds.is_ok());
        self.names.retain(|_, name| name.is_ok());
    }

    /// Whether conditions are being evaluated, where resources may not be asked.
    pub(super) fn in_condition(&self) -> bool {
        !self.open_conditions.is_empty()
    }

    /// A condition's own functions.
    fn test(&mut self, node: &'t Node) -> Result<bool, Broken> {
        let Value::Map(entries) = &node.value else {
            return self.broken(
                "bad-condition",
                node.span,
                format!("a condition is a function, not {}", node.kind()),
                Some("use Fn::Equals, Fn::And, Fn::Or, Fn::Not or Condition".to_owned()),
            );
        };
        let [entry] = entries.as_slice() else {
            return self.broken("bad-condition", node.span, "a condition is one function", None);
        };
        let argument = &entry.node;
        match entry.key.as_str() {
            "Condition" => match argument.text() {
                Some(name) => self.condition(name, argument.span),
                None => self.broken("bad-condition", argument.span, "`Condition` takes the name of a condition", None),
            },
            "Fn::Equals" => {
                let Value::List(sides) = &argument.value else {
                    return self.broken("bad-condition", argument.span, "Fn::Equals takes a list of two values", None);
                };
                let [left, right] = sides.as_slice() else {
                    return self.broken("bad-condition", argument.span, "Fn::Equals takes a list of two values", None);
                };
                let (left, right) = (self.value(left), self.value(right));
                Ok(same(left?.as_ref(), right?.as_ref()))
            }
            "Fn::Not" => match &argument.value {
                Value::List(tests) if tests.len() == 1 => Ok(!self.test(&tests[0])?),
                _ => self.broken("bad-condition", argument.span, "Fn::Not takes a list of one condition", None),
            },
            name @ ("Fn::And" | "Fn::Or") => {
                let Value::List(tests) = &argument.value else {
                    let message = format!("{name} takes a list of conditions");
                    return self.broken("bad-condition", argument.span, message, None);
                };
                if !(2..=10).contains(&tests.len()) {
                    let message = format!("{name} takes 2 to 10 conditions, not {}", tests.len());
                    return self.broken("bad-condition", argument.span, message, None);
                }
                let results: Vec<_> = tests.iter().map(|test| self.test(test)).collect();
                let results = results.into_iter().collect::<Result<Vec<bool>, Broken>>()?;
                Ok(if name == "Fn::And" { results.iter().all(|r| *r) } else { results.iter().any(|r| *r) })
            }
            other => {
                let known = ["Fn::Equals", "Fn::And", "Fn::Or", "Fn::Not", "Condition"];
                let hint = did_you_mean(other, known.into_iter()).map(|n| format!("did you mean `{n}`?"));
                self.broken("bad-condition", entry.key_span, format!("`{other}` is no condition"), hint)
            }
        }
    }
}

/// A function stands alone in its map.
pub(super) fn function(entries: &[Entry]) -> Option<(&str, &Node)> {
    let [entry] = entries else { return None };
    let known = entry.key == "Ref" || entry.key.starts_with("Fn::");
    known.then_some((entry.key.as_str(), &entry.node))
}

/// The text of anything that is one value.
pub(super) fn scalar(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) | Value::Plain(text) | Value::Number(text) => Some(text),
        Value::Bool(true) => Some("true"),
        Value::Bool(false) => Some("false"),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}

/// Values are compared by what they say, not by how they are written.
fn same(left: Option<&Node>, right: Option<&Node>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => match (scalar(left), scalar(right), &left.value, &right.value) {
            (Some(l), Some(r), ..) => l == r,
            (None, None, Value::List(l), Value::List(r)) => {
                l.len() == r.len() && l.iter().zip(r).all(|(l, r)| same(Some(l), Some(r)))
            }
            (None, None, Value::Map(l), Value::Map(r)) => {
                let find = |entry: &Entry| r.iter().find(|e| e.key == entry.key).map(|e| &e.node);
                l.len() == r.len() && l.iter().all(|e| same(Some(&e.node), find(e)))
            }
            (None, None, Value::Null, Value::Null) => true,
            _ => false,
        },
        (None, None) => true,
        _ => false,
    }
}
