//! YAML text into a tree that remembers lines, with limits on size, depth and alias expansion. Scalars stay the text
//! that was written (`1.0` stays `1.0`), as CodeBuild's own reader has it. Must not know what a buildspec is.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};

use crate::limits::{BUILDSPEC_BYTES_MAX, YAML_DEPTH_MAX, YAML_NODES_MAX};

/// Why a text is not a YAML document we read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at line {line}")]
pub struct YamlError {
    /// 1-based line.
    pub line: usize,
    /// The parser's words.
    pub message: String,
}

/// One node and the 1-based line and column where it starts.
#[derive(Debug, Clone)]
pub struct Node {
    pub line: usize,
    pub column: usize,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub enum Value {
    /// `plain` tells `true` from `"true"`, and an empty value from `""`.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// In the order written. A key that is not a scalar is refused while reading.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// An absent value, `~` or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    /// What kind of thing this is, in words for a message.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "an empty value",
            Value::Scalar { .. } => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "subkeys",
        }
    }
}

/// Reads one document. An empty text is a null node.
pub fn read(text: &str) -> Result<Node, YamlError> {
    if text.len() > BUILDSPEC_BYTES_MAX {
        return Err(YamlError {
            line: 1,
            message: format!("the file has {} bytes and the limit is {BUILDSPEC_BYTES_MAX}", text.len()),
        });
    }
    let mut reader = Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    let mut root = None;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            other if root.is_none() => root = Some(reader.node(other, span, 0)?),
            _ => return Err(error(span, "expected a single document")),
        }
    }
    Ok(root.unwrap_or(Node { line: 1, column: 1, value: Value::Scalar { text: String::new(), plain: true } }))
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), YamlError> {
        match self.parser.next_event() {
            None => Ok((Event::StreamEnd, Span::default())),
            Some(Ok(next)) => Ok(next),
            Some(Err(scan)) => Err(YamlError { line: scan.marker().line(), message: scan.info().to_owned() }),
        }
    }

    fn count(&mut self, more: usize, span: Span) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > YAML_NODES_MAX {
            return Err(error(span, &format!("more than {YAML_NODES_MAX} values once aliases are expanded")));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, YamlError> {
        if depth > YAML_DEPTH_MAX {
            return Err(error(span, &format!("nested deeper than {YAML_DEPTH_MAX} levels")));
        }
        let before = self.nodes;
        self.count(1, span)?;
        let (value, anchor) = match event {
            Event::Alias(id) => {
                let Some((node, size)) = self.anchors.get(&id).cloned() else {
                    return Err(error(span, "an alias to an anchor that is not complete"));
                };
                self.count(size, span)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, _tag) => {
                (Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain }, anchor)
            }
            Event::SequenceStart(anchor, _tag) => (Value::List(self.list(depth)?), anchor),
            Event::MappingStart(anchor, _tag) => (Value::Map(self.map(depth)?), anchor),
            _ => return Err(error(span, "unexpected end of the document")),
        };
        let node = Node { line: span.start.line(), column: span.start.col() + 1, value };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, YamlError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Node, Node)>, YamlError> {
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let mut merged: Vec<(Node, Node)> = Vec::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => break,
                (event, span) => self.node(event, span, depth + 1)?,
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            let Value::Scalar { text, plain } = &key.value else {
                return Err(YamlError { line: key.line, message: "a key must be a string".to_owned() });
            };
            if *plain && text == "<<" {
                merge(value, &mut merged)?;
            } else if entries.iter().any(|(other, _)| other.text() == Some(text)) {
                return Err(YamlError { line: key.line, message: format!("key \"{text}\" already set in map") });
            } else {
                entries.push((key, value));
            }
        }
        for (key, value) in merged {
            if !entries.iter().any(|(other, _)| other.text() == key.text()) {
                entries.push((key, value));
            }
        }
        Ok(entries)
    }
}

/// YAML 1.1's `<<`, which Go's reader (CodeBuild's) still honours.
fn merge(value: Node, into: &mut Vec<(Node, Node)>) -> Result<(), YamlError> {
    match value.value {
        Value::Map(entries) => into.extend(entries),
        Value::List(items) => {
            for item in items {
                merge(item, into)?;
            }
        }
        Value::Scalar { .. } => {
            return Err(YamlError {
                line: value.line,
                message: "map merge requires map or sequence of maps as the value".to_owned(),
            });
        }
    }
    Ok(())
}

fn error(span: Span, message: &str) -> YamlError {
    YamlError { line: span.start.line(), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(node: &Node) -> &[(Node, Node)] {
        match &node.value {
            Value::Map(entries) => entries,
            other => panic!("not a map: {other:?}"),
        }
    }

    #[test]
    fn keeps_lines_and_the_text_of_numbers() {
        let node = read("version: 0.20\nenv:\n  variables:\n    A: 010\n    B: \"true\"\n    C:\n").unwrap();
        let top = map(&node);
        assert_eq!(top[0].1.text(), Some("0.20"));
        let variables = map(&map(&top[1].1)[0].1);
        assert_eq!(variables[0].1.text(), Some("010"));
        assert_eq!(variables[0].0.line, 4);
        assert!(matches!(variables[1].1.value, Value::Scalar { plain: false, .. }));
        assert!(variables[2].1.is_null());
    }

    #[test]
    fn follows_aliases_and_merge_keys() {
        let node = read("a: &x\n  one: 1\n  two: 2\nb:\n  <<: *x\n  two: 3\n").unwrap();
        let b = map(&map(&node)[1].1);
        let pairs: Vec<_> = b.iter().map(|(k, v)| (k.text().unwrap(), v.text().unwrap())).collect();
        assert_eq!(pairs, [("two", "3"), ("one", "1")]);
    }

    #[test]
    fn refuses_an_alias_bomb() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..9 {
            let p = n - 1;
            let aliases = format!("*a{p}, ").repeat(10);
            text = format!("{text}a{n}: &a{n} [{aliases}]\n");
        }
        let error = read(&text).unwrap_err();
        assert!(error.message.starts_with("more than 100000 values"), "{error}");
    }

    #[test]
    fn refuses_depth_size_duplicates_and_second_documents() {
        let deep = format!("{}x{}", "[".repeat(80), "]".repeat(80));
        assert!(read(&deep).unwrap_err().message.starts_with("nested deeper than 64"));
        let big = format!("a: {}", "x".repeat(BUILDSPEC_BYTES_MAX));
        assert!(read(&big).unwrap_err().message.contains("the limit is 1048576"));
        let twice = read("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!(twice.to_string(), "key \"a\" already set in map at line 3");
        assert_eq!(read("a: 1\n---\nb: 2\n").unwrap_err().message, "expected a single document");
        assert!(read("").unwrap().is_null());
    }

    #[test]
    fn says_where_the_text_stops_being_yaml() {
        let error = read("version: 0.2\nphases: build: x\n").unwrap_err();
        assert_eq!(error.to_string(), "mapping values are not allowed in this context at line 2");
    }
}
