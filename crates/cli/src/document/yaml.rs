//! YAML text to the tree. Anchors and aliases are written out within a limit; custom tags and several documents in one
//! file are refused, since nothing that Towpath reads has a meaning for them, but for CloudFormation's short functions in
//! its templates: `!Ref X` becomes the map `{"Ref": "X"}`, which says the same.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::{Entry, Node, Span, SyntaxError, Value};
use crate::limits;

pub(super) fn too_deep(span: Span) -> SyntaxError {
    SyntaxError {
        span,
        message: format!("values are nested more than {} levels deep", limits::DEPTH_MAX),
        hint: Some("a pipeline needs fewer than ten levels; look for a bracket that is not closed".to_owned()),
    }
}

pub(super) fn too_many(span: Span) -> SyntaxError {
    SyntaxError {
        span,
        message: format!("the file holds more than {} values once its aliases are written out", limits::NODES_MAX),
        hint: None,
    }
}

pub fn parse(text: &str) -> Result<Node, SyntaxError> {
    read(text, false)
}

/// The same, with CloudFormation's short functions.
pub fn parse_template(text: &str) -> Result<Node, SyntaxError> {
    read(text, true)
}

fn read(text: &str, functions: bool) -> Result<Node, SyntaxError> {
    let bytes: Option<Vec<usize>> =
        (!text.is_ascii()).then(|| text.char_indices().map(|(i, _)| i).chain([text.len()]).collect());
    // The scanner counts characters.
    let byte = |index: usize| match &bytes {
        Some(table) => table.get(index).copied().unwrap_or(text.len()),
        None => index.min(text.len()),
    };
    let mut reader = Reader {
        text,
        functions,
        open: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        documents: 0,
        left: limits::NODES_MAX,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|e| {
            let at = byte(e.marker().index());
            SyntaxError {
                span: Span::new(at.min(text.len().saturating_sub(1)), (at + 1).min(text.len())),
                message: format!("not YAML: {}", e.info()),
                hint: None,
            }
        })?;
        reader.take(event, Span::new(byte(span.start.index()), byte(span.end.index())))?;
    }
    reader.root.ok_or_else(|| SyntaxError {
        span: Span::default(),
        message: "the file is empty".to_owned(),
        hint: Some("write a pipeline declaration: name, roleArn, artifactStore and stages".to_owned()),
    })
}

struct Open {
    span: Span,
    anchor: usize,
    /// The function that it is the argument of.
    function: Option<String>,
    contents: Contents,
}

enum Contents {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(String, Span)> },
}

struct Reader<'t> {
    text: &'t str,
    /// Short functions are read.
    functions: bool,
    open: Vec<Open>,
    /// Finished anchored values with the number of values in each.
    anchors: HashMap<usize, (Node, usize)>,
    root: Option<Node>,
    documents: usize,
    left: usize,
}

impl Reader<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), SyntaxError> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(SyntaxError {
                        span,
                        message: "a second YAML document starts here".to_owned(),
                        hint: Some("one file holds one document: remove the `---` line and what follows".to_owned()),
                    });
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let function = self.function(tag.as_deref(), span)?;
                let quoted = style != ScalarStyle::Plain || tag.as_ref().is_some_and(|t| t.suffix == "str");
                // An absent value arrives as `~` with an empty span.
                let value = if quoted {
                    Value::Text(text.into_owned())
                } else if matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                    Value::Null
                } else {
                    Value::Plain(text.into_owned())
                };
                let span = self.trim(span);
                self.finish(call(function, Node { span, value }), anchor, 1)?;
            }
            Event::SequenceStart(anchor, tag) => {
                let function = self.function(tag.as_deref(), span)?;
                self.push(span, anchor, function, Contents::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                let function = self.function(tag.as_deref(), span)?;
                self.push(span, anchor, function, Contents::Map { entries: Vec::new(), key: None })?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let span = self.trim(Span::new(open.span.start, span.end.max(open.span.end)));
                let value = match open.contents {
                    Contents::List(items) => Value::List(items),
                    Contents::Map { entries, .. } => Value::Map(entries),
                };
                self.finish(call(open.function, Node { span, value }), open.anchor, 1)?;
            }
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(SyntaxError {
                        span,
                        message: "this alias stands inside the value it names".to_owned(),
                        hint: Some("write the value out".to_owned()),
                    });
                };
                if self.open.len() + depth(&node) > limits::DEPTH_MAX {
                    return Err(too_deep(span));
                }
                // Problems inside an alias are shown where the anchor stands.
                self.finish(node, 0, size)?;
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn push(
        &mut self,
        span: Span,
        anchor: usize,
        function: Option<String>,
        contents: Contents,
    ) -> Result<(), SyntaxError> {
        if self.open.len() >= limits::DEPTH_MAX {
            return Err(too_deep(span));
        }
        self.open.push(Open { span, anchor, function, contents });
        Ok(())
    }

    /// The function that a tag stands for; other tags are refused.
    fn function(&self, tag: Option<&Tag>, span: Span) -> Result<Option<String>, SyntaxError> {
        let Some(tag) = tag.filter(|t| self.functions && t.handle == "!") else {
            return refuse_tag(tag, span).map(|()| None);
        };
        Ok(Some(match tag.suffix.as_str() {
            name @ ("Ref" | "Condition") => name.to_owned(),
            name => format!("Fn::{name}"),
        }))
    }

    fn finish(&mut self, node: Node, anchor: usize, cost: usize) -> Result<(), SyntaxError> {
        self.left = self.left.checked_sub(cost).ok_or_else(|| too_many(node.span))?;
        if anchor > 0 {
            let size = count(&node);
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut().map(|o| &mut o.contents) {
            None => self.root = Some(node),
            Some(Contents::List(items)) => items.push(node),
            Some(Contents::Map { entries, key }) => {
                if let Some((key, key_span)) = key.take() {
                    entries.push(Entry { key, key_span, node });
                } else {
                    *key = Some((key_text(&node)?, node.span));
                }
            }
        }
        Ok(())
    }

    /// Block values end where the next token starts; the blank space between is not theirs.
    fn trim(&self, span: Span) -> Span {
        let (start, end) = (span.start.min(self.text.len()), span.end.min(self.text.len()));
        if start >= end {
            return Span::new(start, start);
        }
        Span::new(start, start + self.text[start..end].trim_end().len().max(1))
    }
}

/// A function's argument as the function's long form.
fn call(function: Option<String>, argument: Node) -> Node {
    let Some(key) = function else { return argument };
    let span = argument.span;
    Node { span, value: Value::Map(vec![Entry { key, key_span: span, node: argument }]) }
}

fn key_text(node: &Node) -> Result<String, SyntaxError> {
    match &node.value {
        Value::Plain(t) if t == "<<" => Err(SyntaxError {
            span: node.span,
            message: "merge keys (`<<`) are not part of YAML 1.2".to_owned(),
            hint: Some("write the members out, or use an alias for the whole value".to_owned()),
        }),
        Value::Text(t) | Value::Plain(t) => Ok(t.clone()),
        _ => Err(SyntaxError {
            span: node.span,
            message: format!("a key must be a string, this is {}", node.kind()),
            hint: None,
        }),
    }
}

/// Core tags (`!!str`) are YAML's own; anything else is somebody's extension.
fn refuse_tag(tag: Option<&Tag>, span: Span) -> Result<(), SyntaxError> {
    let Some(tag) = tag.filter(|t| !t.is_yaml_core_schema()) else { return Ok(()) };
    let cloudformation = ["Ref", "Sub", "GetAtt", "Join", "If", "FindInMap", "ImportValue", "Select", "Split"];
    let hint = if cloudformation.contains(&tag.suffix.as_str()) {
        "this is a CloudFormation function; `towpath` reads it in CloudFormation templates only"
    } else {
        "remove the tag"
    };
    Err(SyntaxError { span, message: format!("the tag `{tag}` has no meaning here"), hint: Some(hint.to_owned()) })
}

fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(items) => items.iter().map(count).sum(),
        Value::Map(entries) => entries.iter().map(|e| count(&e.node)).sum(),
        _ => 0,
    }
}

fn depth(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|e| depth(&e.node)).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_keep_their_style_and_bytes() {
        let text = "é: 'quoted'\nb: plain # note\nc:\n  - 1\n  - ~\nd:\n";
        let root = parse(text).unwrap();
        assert_eq!(root.get("é").unwrap().value, Value::Text("quoted".into()));
        let b = root.get("b").unwrap();
        assert_eq!((&b.value, &text[b.span.start..b.span.end]), (&Value::Plain("plain".into()), "plain"));
        let Value::List(items) = &root.get("c").unwrap().value else { panic!("a list") };
        assert_eq!(items[0].value, Value::Plain("1".into()));
        assert_eq!(items[1].value, Value::Null);
        assert_eq!(root.get("d").unwrap().value, Value::Null);
    }

    #[test]
    fn short_functions_become_long_ones() {
        let root =
            parse_template("a: !Ref X\nb: !Join [',', [1, !GetAtt R.Arn]]\nc: !If\n  - Is\n  - !Sub 'x'\n  - ~\n")
                .unwrap();
        assert_eq!(root.get("a").unwrap().get("Ref").unwrap().text(), Some("X"));
        let join = root.get("b").unwrap().get("Fn::Join").unwrap();
        let Value::List(parts) = &join.value else { panic!("a list") };
        let Value::List(items) = &parts[1].value else { panic!("a list") };
        assert_eq!(items[1].get("Fn::GetAtt").unwrap().text(), Some("R.Arn"));
        assert!(root.get("c").unwrap().get("Fn::If").is_some());
        assert!(parse("a: !Ref X\n").is_err());
    }

    #[test]
    fn aliases_are_written_out() {
        let root = parse("a: &x {k: v}\nb: *x\n").unwrap();
        assert_eq!(root.get("a").unwrap(), root.get("b").unwrap());
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..9 {
            let items = vec![format!("*a{}", i - 1); 10].join(", ");
            text = format!("{text}a{i}: &a{i} [{items}]\n");
        }
        assert!(parse(&text).unwrap_err().message.contains("100000 values"));
    }

    #[test]
    fn depth_is_bounded() {
        let text = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(parse(&text).unwrap_err().message.contains("64 levels"));
    }

    #[test]
    fn what_has_no_meaning_here_is_refused() {
        for (text, message) in [
            ("a: 1\n---\nb: 2\n", "second YAML document"),
            ("a: !Ref Bucket\n", "the tag `!Ref`"),
            ("a: &x {b: *x}\n", "inside the value"),
            ("? [a]\n: b\n", "a key must be a string"),
            ("a: &x {k: v}\nb:\n  <<: *x\n", "merge keys"),
            ("a: [1, 2\n", "not YAML"),
            ("# nothing\n", "empty"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.message.contains(message), "{text}: {}", error.message);
        }
    }
}
