//! JSON text to the tree. Strictly RFC 8259: no comments, no trailing commas.

use jsonc_parser::common::Range;
use jsonc_parser::{CollectOptions, ParseOptions, ast, parse_to_ast};

use super::{Entry, Node, Span, SyntaxError, Value};
use crate::limits;

const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

pub fn parse(text: &str) -> Result<Node, SyntaxError> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &STRICT).map_err(|e| {
        let message = e.kind().to_string();
        SyntaxError { span: span(e.range()), hint: hint(&message), message: format!("not JSON: {}", lower(&message)) }
    })?;
    let Some(root) = parsed.value else {
        return Err(SyntaxError {
            span: Span::default(),
            message: "the file is empty".to_owned(),
            hint: Some("write a pipeline declaration: {\"name\": ..., \"roleArn\": ..., \"stages\": [...]}".to_owned()),
        });
    };
    let mut left = limits::NODES_MAX;
    convert(&root, 0, &mut left)
}

fn hint(message: &str) -> Option<String> {
    let hint = match message {
        m if m.contains("Comments") => "JSON has no comments; remove it, or write the file as YAML",
        m if m.contains("Trailing comma") => "remove the comma before the closing bracket",
        m if m.contains("comma") => "put a comma between two members",
        m if m.contains("Single-quoted") => "use double quotes",
        m if m.contains("Unterminated") => "something opened here is never closed",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn lower(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

fn span(range: Range) -> Span {
    Span::new(range.start, range.end)
}

fn convert(value: &ast::Value<'_>, depth: usize, left: &mut usize) -> Result<Node, SyntaxError> {
    let (range, too) = match value {
        ast::Value::StringLit(v) => (v.range, None),
        ast::Value::NumberLit(v) => (v.range, None),
        ast::Value::BooleanLit(v) => (v.range, None),
        ast::Value::NullKeyword(v) => (v.range, None),
        ast::Value::Object(v) => (v.range, (depth >= limits::DEPTH_MAX).then_some("deep")),
        ast::Value::Array(v) => (v.range, (depth >= limits::DEPTH_MAX).then_some("deep")),
    };
    let span = span(range);
    if too.is_some() {
        return Err(super::yaml::too_deep(span));
    }
    *left = left.checked_sub(1).ok_or_else(|| super::yaml::too_many(span))?;
    let value = match value {
        ast::Value::StringLit(v) => Value::Text(v.value.to_string()),
        ast::Value::NumberLit(v) => Value::Number(v.value.to_owned()),
        ast::Value::BooleanLit(v) => Value::Bool(v.value),
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::Array(v) => {
            Value::List(v.elements.iter().map(|e| convert(e, depth + 1, left)).collect::<Result<_, _>>()?)
        }
        ast::Value::Object(v) => Value::Map(
            v.properties
                .iter()
                .map(|p| {
                    let (key, range) = match &p.name {
                        ast::ObjectPropName::String(s) => (s.value.to_string(), s.range),
                        ast::ObjectPropName::Word(w) => (w.value.to_owned(), w.range),
                    };
                    Ok(Entry {
                        key,
                        key_span: Span::new(range.start, range.end),
                        node: convert(&p.value, depth + 1, left)?,
                    })
                })
                .collect::<Result<_, _>>()?,
        ),
    };
    Ok(Node { span, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_bytes() {
        let text = r#"{"a": [1, true, null, "xé"]}"#;
        let root = parse(text).unwrap();
        let Value::List(items) = &root.get("a").unwrap().value else { panic!("a list") };
        let shown: Vec<&str> = items.iter().map(|n| &text[n.span.start..n.span.end]).collect();
        assert_eq!(shown, ["1", "true", "null", "\"xé\""]);
    }

    #[test]
    fn what_json_forbids_is_refused_with_a_hint() {
        for (text, message) in [
            ("{\"a\": 1,}", "trailing comma"),
            ("{\"a\": 1 /* no */}", "comment"),
            ("{\"a\" 1}", "colon"),
            ("{\"a\": [1, 2}", "unexpected close brace"),
            ("{'a': 1}", "single-quoted"),
            ("", "empty"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.message.to_lowercase().contains(message), "{text}: {}", error.message);
        }
    }

    #[test]
    fn depth_is_bounded() {
        let text = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(parse(&text).unwrap_err().message.contains("64 levels"));
    }
}
