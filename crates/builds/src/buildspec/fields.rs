//! Typed access to the keys of one mapping, noting the keys nobody asked for. Must not know any key by name.

use super::{BuildspecError, Warning};
use crate::yaml::{Node, Value};

pub(super) type Result<T> = std::result::Result<T, BuildspecError>;

/// One mapping; `name` is its path, as messages show it.
pub(super) struct Fields<'a> {
    pub name: String,
    pub line: usize,
    entries: &'a [(Node, Node)],
    taken: Vec<&'static str>,
}

pub(super) fn error<T>(line: usize, message: impl Into<String>) -> Result<T> {
    Err(BuildspecError { line: Some(line), message: message.into() })
}

impl<'a> Fields<'a> {
    /// A null node is an empty mapping.
    pub fn of(node: &'a Node, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            _ if node.is_null() => &[],
            _ => {
                return error(
                    node.line,
                    format!("Expected {name} to be a map: found {} instead at line {}", node.kind(), node.line),
                );
            }
        };
        Ok(Self { name, line: node.line, entries, taken: Vec::new() })
    }

    /// The value of a key; an empty one counts as absent.
    pub fn get(&mut self, key: &'static str) -> Option<&'a Node> {
        self.taken.push(key);
        self.raw(key).filter(|node| !node.is_null())
    }

    pub fn has(&self, key: &str) -> bool {
        self.raw(key).is_some()
    }

    fn raw(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value)
    }

    pub fn entries(&self) -> &'a [(Node, Node)] {
        self.entries
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    pub fn string(&mut self, key: &'static str) -> Result<Option<String>> {
        let path = self.path(key);
        self.get(key).map(|node| text(node, &path)).transpose()
    }

    /// CodeBuild's words for true and false.
    pub fn flag(&mut self, key: &'static str) -> Result<bool> {
        let path = self.path(key);
        let Some(node) = self.get(key) else { return Ok(false) };
        match text(node, &path)?.to_ascii_lowercase().as_str() {
            "yes" | "true" | "on" => Ok(true),
            "no" | "false" | "off" => Ok(false),
            other => error(
                node.line,
                format!("Expected {path} to be yes or no: found {other} instead at line {}", node.line),
            ),
        }
    }

    /// A list of strings; one string is a list of one.
    pub fn strings(&mut self, key: &'static str) -> Result<Vec<String>> {
        let path = self.path(key);
        let Some(node) = self.get(key) else { return Ok(Vec::new()) };
        strings(node, &path, &path)
    }

    /// A map of names to scalars.
    pub fn pairs(&mut self, key: &'static str) -> Result<Vec<(String, String)>> {
        let path = self.path(key);
        let Some(node) = self.get(key) else { return Ok(Vec::new()) };
        let fields = Fields::of(node, path.clone())?;
        fields
            .entries()
            .iter()
            .map(|(name, value)| {
                let name = name.text().unwrap_or_default().to_owned();
                let value = if value.is_null() { String::new() } else { text(value, &format!("{path}.{name}"))? };
                Ok((name, value))
            })
            .collect()
    }

    /// Call last: every key nobody asked for becomes a warning.
    pub fn finish(self, warnings: &mut Vec<Warning>) {
        for (key, _) in self.entries {
            let name = key.text().unwrap_or_default();
            if !self.taken.contains(&name) {
                let hint =
                    closest(name, &self.taken).map(|other| format!("; did you mean {other}?")).unwrap_or_default();
                warnings.push(Warning {
                    line: key.line,
                    column: key.column,
                    message: format!("unknown key {} is ignored{hint}", self.path(name)),
                });
            }
        }
    }
}

pub(super) fn text(node: &Node, path: &str) -> Result<String> {
    match node.text() {
        Some(text) => Ok(text.to_owned()),
        None => error(node.line, wrong_type(path, node)),
    }
}

/// `item` is what CodeBuild calls the entries in its message.
pub(super) fn strings(node: &Node, path: &str, item: &str) -> Result<Vec<String>> {
    match &node.value {
        Value::Scalar { text, .. } => Ok(vec![text.clone()]),
        Value::List(items) => items
            .iter()
            .enumerate()
            .map(|(index, node)| match node.text() {
                Some(text) => Ok(text.to_owned()),
                None => error(node.line, wrong_type(&format!("{item}[{index}]"), node)),
            })
            .collect(),
        Value::Map(_) => {
            error(node.line, format!("Expected {path} to be a list: found subkeys instead at line {}", node.line))
        }
    }
}

/// CodeBuild's own sentence, which counts the line before as the key's.
fn wrong_type(what: &str, node: &Node) -> String {
    format!(
        "Expected {what} to be of string type: found {} instead at line {}, value of the key tag on line {} might be empty",
        node.kind(),
        node.line,
        node.line.saturating_sub(1)
    )
}

/// The known key that differs least, if it differs little.
fn closest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = |text: &str| text.replace('_', "-").to_ascii_lowercase();
    known
        .iter()
        .map(|key| (distance(&plain(name), &plain(key)), *key))
        .filter(|(distance, key)| *distance <= 2 && *distance < key.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, key)| key)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let next = (diagonal + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}
