//! The AWS policy language: parsing with AWS's words for what is wrong, and evaluation. Pure; must not know roles,
//! storage or time.
//!
//! The `iam-rs` crate was held against AWS's documented logic and not taken: a principal element with two kinds of
//! principal does not parse, `ArnEquals` compares texts instead of globbing components, values of policy variables act as
//! wildcards, an unknown variable becomes the empty text (so that a pattern grows wider), the account principal does not
//! cover the account's roles, `BinaryEquals` ignores case, duplicate keys pass, and a single odd ARN fails the whole
//! evaluation.

mod condition;
mod context;
mod evaluate;
mod json;
mod parse;
mod pattern;

pub use context::{Context, Value};
pub use evaluate::{Caller, Grant, Request, Verdict, evaluate, evaluate_resource_policy};
pub use parse::{Kind, MalformedPolicy};

use condition::Condition;

/// A parsed policy document.
#[derive(Debug, Clone)]
pub struct Policy {
    /// `Version` 2012-10-17: `${...}` is a variable. In older documents it is literal text.
    variables: bool,
    statements: Vec<Statement>,
}

impl Policy {
    /// A policy that says nothing.
    pub fn empty() -> Self {
        Self { variables: false, statements: Vec::new() }
    }

    /// Reads a document of the given kind, or says what is wrong with it in AWS's words.
    pub fn parse(text: &str, kind: Kind) -> Result<Self, MalformedPolicy> {
        parse::parse(text, kind)
    }

    /// Every action that the document names.
    pub fn actions(&self) -> impl Iterator<Item = &str> {
        self.statements.iter().flat_map(|statement| &statement.actions.1).map(String::as_str)
    }

    /// Every resource that the document names.
    pub fn resources(&self) -> impl Iterator<Item = &str> {
        let named = self.statements.iter().filter_map(|statement| statement.resources.as_ref());
        named.flat_map(|(_, resources)| resources).map(String::as_str)
    }

    /// ARNs and account ids that the `AWS` principals of the document name.
    pub fn aws_principals(&self) -> impl Iterator<Item = &str> {
        self.statements.iter().filter_map(|statement| statement.principals.as_ref()).flat_map(|(_, principals)| {
            principals.iter().filter_map(|principal| match principal {
                PrincipalPattern::Aws(text) => Some(text.as_str()),
                _ => None,
            })
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

/// Whether a list names what is covered, or what is not (`NotAction`, `NotResource`, `NotPrincipal`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Covers {
    Listed,
    Unlisted,
}

#[derive(Debug, Clone)]
enum PrincipalPattern {
    Everyone,
    Aws(String),
    Service(String),
    /// A federated or canonical user; no caller here is one.
    Other,
}

#[derive(Debug, Clone)]
struct Statement {
    effect: Effect,
    principals: Option<(Covers, Vec<PrincipalPattern>)>,
    actions: (Covers, Vec<String>),
    /// Absent in role trust policies, whose resource is the role they belong to.
    resources: Option<(Covers, Vec<String>)>,
    conditions: Vec<Condition>,
}
