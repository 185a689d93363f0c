//! TOML text to the tree.

use toml::de::{DeTable, DeValue};

use super::{Entry, Node, Span, SyntaxError, Value};
use crate::limits;

pub fn parse(text: &str) -> Result<Node, SyntaxError> {
    let table = DeTable::parse(text).map_err(|e| {
        let range = e.span().unwrap_or(0..0);
        SyntaxError {
            span: Span::new(range.start, range.end),
            message: format!("not TOML: {}", e.message().lines().collect::<Vec<_>>().join("; ")),
            hint: None,
        }
    })?;
    let span = table.span();
    let entries = convert_table(table.get_ref(), 0)?;
    Ok(Node { span: Span::new(span.start, span.end), value: Value::Map(entries) })
}

fn convert_table(table: &DeTable<'_>, depth: usize) -> Result<Vec<Entry>, SyntaxError> {
    let mut entries = table
        .iter()
        .map(|(key, value)| {
            let at = key.span();
            let range = value.span();
            let span = Span::new(range.start, range.end);
            Ok(Entry {
                key: key.get_ref().to_string(),
                key_span: Span::new(at.start, at.end),
                node: Node { span, value: convert(value.get_ref(), span, depth + 1)? },
            })
        })
        .collect::<Result<Vec<_>, SyntaxError>>()?;
    entries.sort_by_key(|e| e.key_span.start);
    Ok(entries)
}

fn convert(value: &DeValue<'_>, span: Span, depth: usize) -> Result<Value, SyntaxError> {
    if depth > limits::DEPTH_MAX {
        return Err(super::yaml::too_deep(span));
    }
    Ok(match value {
        DeValue::String(s) => Value::Text(s.to_string()),
        DeValue::Integer(n) => Value::Number(n.to_string()),
        DeValue::Float(n) => Value::Number(n.to_string()),
        DeValue::Boolean(b) => Value::Bool(*b),
        DeValue::Datetime(t) => Value::Number(t.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| {
                    let range = item.span();
                    let span = Span::new(range.start, range.end);
                    Ok(Node { span, value: convert(item.get_ref(), span, depth + 1)? })
                })
                .collect::<Result<_, SyntaxError>>()?,
        ),
        DeValue::Table(table) => Value::Map(convert_table(table, depth)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_stand_in_the_order_of_the_file() {
        let text = "[b]\nx = 1\n[a]\ny = 'z'\n";
        let Value::Map(entries) = parse(text).unwrap().value else { panic!("a map") };
        assert_eq!(entries.iter().map(|e| e.key.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(entries[1].node.get("y").unwrap().text(), Some("z"));
    }

    #[test]
    fn errors_say_where() {
        let error = parse("a = 1\nb = \n").unwrap_err();
        assert!(error.message.starts_with("not TOML: "), "{}", error.message);
        assert!(error.span.start >= 6, "{error:?}");
    }
}
