//! A file that a person wrote, as a tree of values that remember where they stand. JSON, YAML and TOML become the same
//! tree, so that one strict reader (`shape`) and one kind of message serve them all. Nothing here knows what a
//! pipeline is.

pub mod json;
pub mod shape;
pub mod toml;
pub mod yaml;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::limits;

/// Bytes of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub span: Span,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// A number as it was written.
    Number(String),
    /// Quoted text.
    Text(String),
    /// An unquoted YAML scalar: what is expected in its place decides what it is.
    Plain(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_span: Span,
    pub node: Node,
}

impl Node {
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|e| e.key == key).map(|e| &e.node),
            _ => None,
        }
    }

    /// The text of a string, quoted or plain.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) | Value::Plain(text) => Some(text),
            _ => None,
        }
    }

    /// What the value is, in words a reader of JSON, YAML or TOML knows.
    pub fn kind(&self) -> String {
        match &self.value {
            Value::Null => "nothing (null)".to_owned(),
            Value::Bool(b) => format!("the boolean {b}"),
            Value::Number(n) => format!("the number {}", shorten(n)),
            Value::Text(t) | Value::Plain(t) => format!("the string \"{}\"", shorten(t)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }
}

fn shorten(text: &str) -> String {
    const MAX: usize = 40;
    let text = text.replace(['\n', '\r', '\t'], " ");
    if text.chars().count() > MAX { text.chars().take(MAX).chain("...".chars()).collect() } else { text }
}

/// One step from a value to a value inside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Key(String),
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// `stages[1].actions[0].configuration.ProjectName`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Trail(pub Vec<Step>);

impl Trail {
    #[must_use]
    pub fn then(&self, step: impl Into<Step>) -> Self {
        let mut steps = self.0.clone();
        steps.push(step.into());
        Self(steps)
    }
}

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if i == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

/// The text could not be read as its language at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    pub span: Span,
    pub message: String,
    pub hint: Option<String>,
}

/// Why a file could not even be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read {path}")]
    Io { path: String, source: std::io::Error },
    #[error("{path} is {bytes} bytes long; the limit is {max} bytes", max = limits::FILE_BYTES_MAX)]
    TooLarge { path: String, bytes: u64 },
    #[error("{path} is not UTF-8 text: the byte at position {offset} fits no character")]
    NotUtf8 { path: String, offset: usize },
}

/// A file's text under the name it is shown with.
#[derive(Debug, Clone)]
pub struct Text {
    pub name: String,
    pub text: Arc<str>,
}

impl Text {
    pub fn new(name: impl Into<String>, text: &str) -> Self {
        Self { name: name.into(), text: Arc::from(text.strip_prefix('\u{feff}').unwrap_or(text)) }
    }

    /// Reads a file within the limits. The name shown is the path as the user wrote it.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let shown = path.display().to_string();
        let io = |source| ReadError::Io { path: shown.clone(), source };
        let bytes = std::fs::metadata(path).map_err(io)?.len();
        if bytes > limits::FILE_BYTES_MAX {
            return Err(ReadError::TooLarge { path: shown, bytes });
        }
        let text = String::from_utf8(std::fs::read(path).map_err(io)?)
            .map_err(|e| ReadError::NotUtf8 { path: shown.clone(), offset: e.utf8_error().valid_up_to() })?;
        Ok(Self::new(shown, &text))
    }

    /// Line and column, both from 1; the column counts characters.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// The bytes of the line around an offset.
    pub fn line_span(&self, offset: usize) -> Span {
        let offset = offset.min(self.text.len());
        let bytes = self.text.as_bytes();
        let start = bytes[..offset].iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let end = bytes[offset..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |i| offset + i);
        Span::new(start, end)
    }
}

/// Where to point for a path. A path may name something that is not there (a missing key): then the nearest thing
/// around it. A scalar is shown itself, a map or list by the key it stands under, a list item by its `name`.
pub fn locate(root: &Node, trail: &Trail) -> Span {
    let mut node = root;
    let mut key: Option<Span> = None;
    for step in &trail.0 {
        let next = match (step, &node.value) {
            (Step::Key(k), Value::Map(entries)) => {
                entries.iter().rev().find(|e| e.key == *k).map(|e| (&e.node, Some(e.key_span)))
            }
            (Step::Index(i), Value::List(items)) => items.get(*i).map(|n| (n, None)),
            _ => None,
        };
        let Some((found, at)) = next else { break };
        (node, key) = (found, at);
    }
    match (&node.value, key) {
        (Value::List(_) | Value::Map(_), Some(key)) => key,
        (Value::Map(entries), None) => entries
            .iter()
            .find(|e| e.key == "name" && e.node.text().is_some())
            .map(|e| e.node.span)
            .or_else(|| entries.first().map(|e| e.key_span))
            .unwrap_or(Span::new(node.span.start, (node.span.start + 1).min(node.span.end))),
        (Value::List(_), None) => Span::new(node.span.start, (node.span.start + 1).min(node.span.end)),
        _ => node.span,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let text = Text::new("f", "ab\nçd\n");
        assert_eq!(text.position(0), (1, 1));
        assert_eq!(text.position(3), (2, 1));
        assert_eq!(text.position(5), (2, 2));
        assert_eq!(text.position(4), (2, 1), "inside a character counts as its start");
        assert_eq!(text.position(999), (3, 1));
        assert_eq!(text.line_span(4), Span::new(3, 6));
    }

    #[test]
    fn a_missing_key_is_located_at_what_should_hold_it() {
        let text = r#"{"stages": [{"name": "Source", "actions": []}]}"#;
        let root = json::parse(text).unwrap();
        let at = |steps: Vec<Step>| {
            let span = locate(&root, &Trail(steps));
            &text[span.start..span.end]
        };
        assert_eq!(at(vec!["stages".into(), 0.into()]), "\"Source\"");
        assert_eq!(at(vec!["stages".into(), 0.into(), "actions".into()]), "\"actions\"");
        assert_eq!(at(vec!["stages".into(), 0.into(), "actions".into(), 3.into()]), "\"actions\"");
        assert_eq!(at(vec!["stages".into(), 0.into(), "onFailure".into()]), "\"Source\"");
        assert_eq!(at(vec!["nothing".into()]), "\"stages\"");
    }

    #[test]
    fn trails_print_as_users_write_them() {
        assert_eq!(Trail(vec!["stages".into(), 1.into(), "name".into()]).to_string(), "stages[1].name");
    }
}
