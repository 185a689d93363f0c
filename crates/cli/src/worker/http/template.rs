//! Texts of a service description with `${SCOPE.NAME}` in them, and the values that fill them.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The action's configuration.
    Config,
    /// What the worker was given beside the description.
    Secret,
    /// The job: `pipeline`, `stage`, `action`, `id`, `action-execution-id`.
    Job,
    /// `link`: a link to the first input artifact.
    Input,
    /// A file of the first input artifact, as text.
    File,
    /// A file of the first input artifact in Base64.
    Base64,
    /// What was read from the answer to a request.
    Login,
    Start,
    Poll,
    Verdict,
}

impl Scope {
    const ALL: [(Self, &'static str); 10] = [
        (Self::Config, "config"),
        (Self::Secret, "secret"),
        (Self::Job, "job"),
        (Self::Input, "input"),
        (Self::File, "file"),
        (Self::Base64, "base64"),
        (Self::Login, "login"),
        (Self::Start, "start"),
        (Self::Poll, "poll"),
        (Self::Verdict, "verdict"),
    ];

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(scope, _)| *scope == self).map_or("", |(_, name)| name)
    }

    fn read(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == text).map(|(scope, _)| *scope)
    }
}

/// One `${SCOPE.NAME}` or `${SCOPE.NAME:-instead}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub scope: Scope,
    pub name: String,
    /// What stands for a value that is not there.
    pub instead: Option<String>,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${{{}.{}}}", self.scope.name(), self.name)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(Reference),
}

/// A text that is filled in later.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template(Vec<Piece>);

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                // `$${` is `${` itself.
                plain.push_str(&rest[..at - 1]);
                plain.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            plain.push_str(&rest[..at]);
            let Some((inside, after)) = rest[at + 2..].split_once('}') else {
                return Err(format!(
                    "`{text}` has a `${{` that no `}}` ends; write `$${{` for the characters themselves"
                ));
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Value(reference(inside)?));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Value(reference) => Some(reference),
            Piece::Text(_) => None,
        })
    }

    /// What stands before the first value.
    pub fn beginning(&self) -> &str {
        match self.0.first() {
            Some(Piece::Text(text)) => text,
            _ => "",
        }
    }

    pub fn is_plain(&self) -> bool {
        self.references().next().is_none()
    }

    /// The text with its values, each of them passed through `encode`.
    pub fn filled(&self, values: &Values, encode: impl Fn(&str) -> String) -> Result<String, Missing> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Value(reference) => {
                    let value = values.get(reference.scope, &reference.name).or(reference.instead.as_deref());
                    text.push_str(&encode(value.ok_or_else(|| Missing(reference.clone()))?));
                }
            }
        }
        Ok(text)
    }

    /// The text with its values as they are.
    pub fn text(&self, values: &Values) -> Result<String, Missing> {
        self.filled(values, ToOwned::to_owned)
    }
}

fn reference(inside: &str) -> Result<Reference, String> {
    let (path, instead) = match inside.split_once(":-") {
        Some((path, instead)) => (path, Some(instead.to_owned())),
        None => (inside, None),
    };
    let found = path.split_once('.').filter(|(_, name)| !name.is_empty());
    let scope = found.and_then(|(scope, _)| Scope::read(scope));
    if let (Some(scope), Some((_, name))) = (scope, found) {
        return Ok(Reference { scope, name: name.to_owned(), instead });
    }
    let known: Vec<&str> = Scope::ALL.iter().map(|(_, name)| *name).collect();
    Err(format!("`${{{inside}}}` is no value: write `${{SCOPE.NAME}}`, where SCOPE is one of {}", known.join(", ")))
}

/// A value that a text needs and that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing(pub Reference);

/// What is known while a job runs.
#[derive(Clone, Default)]
pub struct Values(BTreeMap<(Scope, String), String>);

impl Values {
    pub fn put(&mut self, scope: Scope, name: &str, value: impl Into<String>) {
        self.0.insert((scope, name.to_owned()), value.into());
    }

    pub fn put_all(&mut self, scope: Scope, values: impl IntoIterator<Item = (String, String)>) {
        self.0.retain(|(known, _), _| *known != scope);
        self.0.extend(values.into_iter().map(|(name, value)| ((scope, name), value)));
    }

    pub fn get(&self, scope: Scope, name: &str) -> Option<&str> {
        self.0.get(&(scope, name.to_owned())).map(String::as_str)
    }

    pub fn of(&self, scope: Scope) -> BTreeMap<String, String> {
        let found = self.0.iter().filter(|((known, _), _)| *known == scope);
        found.map(|((_, name), value)| (name.clone(), value.clone())).collect()
    }

    /// A text without the values that nobody is to read.
    pub fn without_secrets(&self, text: &str) -> String {
        let hidden = self.0.iter().filter(|((scope, _), _)| matches!(scope, Scope::Secret | Scope::Login));
        hidden.fold(text.to_owned(), |text, (_, secret)| {
            // What is as short as a word would take words with it.
            if secret.len() < 4 { text } else { text.replace(secret.as_str(), "***") }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let mut values = Values::default();
        values.put(Scope::Config, "TestId", "a/b c");
        values.put(Scope::Secret, "token", "hush-hush");
        values
    }

    #[test]
    fn a_text_is_filled() {
        let text = |template: &str| Template::parse(template).unwrap().text(&values());
        assert_eq!(text("plain").unwrap(), "plain");
        assert_eq!(text("x ${config.TestId} y ${secret.token}").unwrap(), "x a/b c y hush-hush");
        assert_eq!(text("${config.Region:-us} $${config.TestId}").unwrap(), "us ${config.TestId}");
        assert_eq!(text("${config.None}").unwrap_err().0.to_string(), "${config.None}");
        let coded = Template::parse("/tests/${config.TestId}").unwrap();
        assert_eq!(coded.filled(&values(), |value| value.replace('/', "%2F")).unwrap(), "/tests/a%2Fb c");
        assert_eq!(coded.beginning(), "/tests/");
    }

    #[test]
    fn what_is_no_template_is_told() {
        for (template, why) in
            [("${config.x", "no `}` ends"), ("${nowhere.x}", "SCOPE"), ("${config.}", "SCOPE"), ("${x}", "SCOPE")]
        {
            let error = Template::parse(template).unwrap_err();
            assert!(error.contains(why), "{template}: {error}");
        }
    }

    #[test]
    fn secrets_are_left_out_of_what_is_told() {
        assert_eq!(values().without_secrets("GET /?key=hush-hush: no"), "GET /?key=***: no");
    }
}
