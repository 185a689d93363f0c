//! Writes JSON values as the XML of AWS's Query protocol, following a schema. Only text production: no parsing, no protocol.

use serde_json::Value;

use crate::schema::{Kind, Schema};
use crate::types::Timestamp;

/// `<name>text</name>`.
pub fn element(out: &mut String, name: &str, text: &str) {
    open(out, name);
    escape(out, text);
    close(out, name);
}

pub fn open(out: &mut String, name: &str) {
    out.extend(["<", name, ">"]);
}

pub fn close(out: &mut String, name: &str) {
    out.extend(["</", name, ">"]);
}

/// The inside of an element that holds `value`.
pub fn write_value(out: &mut String, schema: &Schema, value: &Value) {
    match (&schema.kind, value) {
        (Kind::Structure(members), Value::Object(object)) => {
            for member in *members {
                let Some(inner) = object.get(member.name).filter(|inner| !inner.is_null()) else { continue };
                if let (Kind::List { member: item, flattened: true, .. }, Value::Array(items)) =
                    (&member.schema.kind, inner)
                {
                    for value in items {
                        write_element(out, member.wire_name, item, value);
                    }
                } else if let (Kind::Map { flattened: true, .. }, Value::Object(_)) = (&member.schema.kind, inner) {
                    write_entries(out, member.wire_name, member.schema, inner);
                } else {
                    write_element(out, member.wire_name, member.schema, inner);
                }
            }
        }
        (Kind::List { member, tag, .. }, Value::Array(items)) => {
            for value in items {
                write_element(out, tag, member, value);
            }
        }
        (Kind::Map { .. }, Value::Object(_)) => write_entries(out, "entry", schema, value),
        (Kind::Timestamp, Value::Number(seconds)) => {
            if let Some(moment) = seconds.as_f64().and_then(Timestamp::from_seconds) {
                out.push_str(&moment.to_iso());
            }
        }
        (_, Value::String(text)) => escape(out, text),
        (_, Value::Bool(flag)) => out.push_str(if *flag { "true" } else { "false" }),
        (_, Value::Number(number)) => out.push_str(&number.to_string()),
        // A value that does not follow its schema cannot come from a generated structure.
        (_, Value::Null | Value::Array(_) | Value::Object(_)) => {}
    }
}

fn write_element(out: &mut String, name: &str, schema: &Schema, value: &Value) {
    open(out, name);
    write_value(out, schema, value);
    close(out, name);
}

fn write_entries(out: &mut String, name: &str, schema: &Schema, value: &Value) {
    let (Kind::Map { key, value: inner, .. }, Value::Object(object)) = (&schema.kind, value) else { return };
    for (entry_key, entry_value) in object {
        open(out, name);
        write_element(out, "key", key, &Value::from(entry_key.as_str()));
        write_element(out, "value", inner, entry_value);
        close(out, name);
    }
}

/// Escapes text. Characters that XML 1.0 cannot carry at all become U+FFFD; a carriage return is kept as a reference, because a
/// parser would turn it into a line feed.
pub fn escape(out: &mut String, text: &str) {
    let escaped = quick_xml::escape::partial_escape(text);
    if !escaped.contains(|c: char| c.is_control() || c == '\u{FFFE}' || c == '\u{FFFF}') {
        out.push_str(&escaped);
        return;
    }
    for c in escaped.chars() {
        match c {
            '\r' => out.push_str("&#xD;"),
            '\t' | '\n' | '\u{7F}'..='\u{9F}' => out.push(c),
            c if c.is_control() || c == '\u{FFFE}' || c == '\u{FFFF}' => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{escape, write_value};
    use crate::schema::{Bounds, Member, Schema};

    static TEXT: Schema = Schema::string("Text", Bounds::NONE, None, &[]);
    static WHEN: Schema = Schema::timestamp("When");
    static FLAG: Schema = Schema::boolean("Flag");
    static LIST: Schema = Schema::list("List", Bounds::NONE, &TEXT, "member", false);
    static FLAT: Schema = Schema::list("Flat", Bounds::NONE, &TEXT, "member", true);
    static MAP: Schema = Schema::map("Map", Bounds::NONE, &TEXT, &TEXT, false);
    static TOP: Schema = Schema::structure(
        "Top",
        &[
            Member::optional("Flag", "Flag", &FLAG),
            Member::optional("Flat", "Flat", &FLAT),
            Member::optional("List", "List", &LIST),
            Member::optional("Map", "Map", &MAP),
            Member::optional("When", "When", &WHEN),
        ],
    );

    #[test]
    fn every_kind_has_its_xml() {
        let value = json!({"List": ["a", "b<"], "Flat": ["x", "y"], "Map": {"k": "v"}, "Flag": true,
            "When": 1_767_323_045.5, "Unknown": 1});
        let mut out = String::new();
        write_value(&mut out, &TOP, &value);
        assert_eq!(
            out,
            "<Flag>true</Flag><Flat>x</Flat><Flat>y</Flat><List><member>a</member><member>b&lt;</member></List>\
             <Map><entry><key>k</key><value>v</value></entry></Map><When>2026-01-02T03:04:05Z</When>"
        );
    }

    #[test]
    fn text_survives_or_is_replaced() {
        let mut out = String::new();
        escape(&mut out, "a&b\r\n\u{1}\u{FFFF}é");
        assert_eq!(out, "a&amp;b&#xD;\n\u{FFFD}\u{FFFD}é");
    }
}
