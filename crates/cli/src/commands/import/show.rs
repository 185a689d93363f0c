//! The plan as people read it, and as JSON.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::work::{Change, Work};
use crate::diagnostics::plural;
use crate::template::{Plan, Planned, Stack};

/// What stands where a secret would.
const MASK: &str = "****";

pub struct Shown<'a> {
    pub stacks: &'a [Stack],
    pub plan: &'a Plan,
    pub works: &'a [Work],
    pub account: &'a str,
    pub region: &'a str,
    pub place: &'a str,
}

impl Shown<'_> {
    fn pairs(&self) -> impl Iterator<Item = (&Planned, &Work)> {
        self.plan.items.iter().zip(self.works)
    }

    fn count(&self, change: Change) -> usize {
        self.works.iter().filter(|w| w.change == change).count()
    }

    /// `3 to create, 1 to update, 2 stay as they are`.
    pub fn summary(&self) -> String {
        let parts: Vec<String> =
            [(Change::Create, "to create"), (Change::Update, "to update"), (Change::Keep, "as they are")]
                .into_iter()
                .map(|(change, words)| (self.count(change), words))
                .filter(|(count, _)| *count > 0)
                .map(|(count, words)| format!("{count} {words}"))
                .collect();
        if parts.is_empty() { "nothing to create".to_owned() } else { parts.join(", ") }
    }

    /// Whether there is anything to do.
    pub fn is_done(&self) -> bool {
        self.works.iter().all(|w| w.change == Change::Keep)
    }

    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "Import into {} (account {}, {})", self.place, self.account, self.region);
        for (at, stack) in self.stacks.iter().enumerate() {
            let items: Vec<_> = self.pairs().filter(|(item, _)| item.stack == at).collect();
            let left: Vec<_> = self.plan.left_out.iter().filter(|l| l.stack == at).collect();
            if items.is_empty() && self.stacks.len() > 1 {
                let left = plural(left.len(), "resource");
                let _ = writeln!(out, "\nStack {}: nothing about pipelines, {left} left out", stack.name);
                continue;
            }
            let _ = writeln!(out, "\nStack {} ({})", stack.name, stack.template.text.name);
            let kind = items.iter().map(|(item, _)| item.kind.words().len()).max().unwrap_or(0);
            for (item, work) in items {
                let line = format!("  {}  {:kind$}  {}", work.change.words(), item.kind.words(), item.name);
                let _ = writeln!(out, "{line}");
                for note in item.notes.iter().chain(&work.notes) {
                    let _ = writeln!(out, "          - {note}");
                }
            }
            // By reason: a CDK app leaves out dozens for the same one.
            let mut reasons: Vec<&str> = left.iter().map(|l| l.reason).collect();
            reasons.sort_unstable();
            reasons.dedup();
            for reason in reasons {
                let named: Vec<String> =
                    left.iter().filter(|l| l.reason == reason).map(|l| format!("{} ({})", l.logical, l.kind)).collect();
                let _ = writeln!(out, "  left out: {reason}");
                for name in named {
                    let _ = writeln!(out, "          - {name}");
                }
            }
        }
        let _ = writeln!(out, "\n{}", self.summary());
        self.masked(&out)
    }

    pub fn json(&self, done: bool) -> Json {
        let stack = |at: usize| self.stacks[at].name.as_str();
        let resources: Vec<Json> = self
            .pairs()
            .map(|(item, work)| {
                let notes: Vec<&String> = item.notes.iter().chain(&work.notes).collect();
                json!({
                    "stack": stack(item.stack),
                    "logicalId": item.logical,
                    "type": item.kind.type_name(),
                    "name": item.name,
                    "change": work.change.words(),
                    "calls": work.calls.iter().map(super::work::Call::json).collect::<Vec<_>>(),
                    "notes": notes,
                })
            })
            .collect();
        let left: Vec<Json> = self
            .plan
            .left_out
            .iter()
            .map(|l| json!({"stack": stack(l.stack), "logicalId": l.logical, "type": l.kind, "reason": l.reason}))
            .collect();
        let mut document = json!({
            "account": self.account,
            "region": self.region,
            "resources": resources,
            "leftOut": left,
            "done": done,
        });
        self.mask(&mut document);
        document
    }

    fn masked(&self, text: &str) -> String {
        self.plan.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK))
    }

    /// Secrets in values, wherever they stand; and what every API calls a secret.
    fn mask(&self, value: &mut Json) {
        match value {
            Json::String(text) => *text = self.masked(text),
            Json::Array(items) => items.iter_mut().for_each(|item| self.mask(item)),
            Json::Object(members) => {
                for (key, member) in members {
                    if matches!(key.as_str(), "SecretToken" | "OAuthToken") && member.is_string() {
                        *member = json!(MASK);
                    }
                    self.mask(member);
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }
}
