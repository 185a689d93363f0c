//! The static description of a service that the generated modules fill in: constraints of each shape, modeled errors, protocol.
//! Pure data; checking it is `validate`, speaking it is `json` and `query`.

use std::sync::OnceLock;

use regex::Regex;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One AWS service as the protocols see it.
#[derive(Debug)]
pub struct Service {
    /// The service name in a SigV4 credential scope.
    pub name: &'static str,
    pub api_version: &'static str,
    pub protocol: Protocol,
    /// The code under which constraint failures are reported.
    pub validation_code: &'static str,
    /// Whether a constraint failure quotes the offending value, as older front ends do.
    pub quotes_values: bool,
    /// Modeled errors, by code.
    pub errors: &'static [ModeledError],
    /// The request shape of every generated operation that has one.
    pub inputs: &'static [&'static Schema],
}

impl Service {
    /// The status that the model gives an error code; 400 where it says nothing, as on the live services.
    pub fn status_of(&self, code: &str) -> u16 {
        self.errors.iter().find(|error| error.code == code).map_or(400, |error| error.status)
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Protocol {
    /// The older version of the same protocol; only the content type differs.
    Json10 { target_prefix: &'static str },
    /// `X-Amz-Target: PREFIX.Operation` with a JSON body.
    Json11 { target_prefix: &'static str },
    /// `Action=Operation` in a form, answered in XML of that namespace.
    Query { namespace: &'static str },
    /// Method and path name the operation; its input is in path, query, headers and a JSON body.
    RestJson { routes: &'static [Route] },
}

/// One operation of a REST service.
#[derive(Debug)]
pub struct Route {
    pub operation: &'static str,
    pub method: &'static str,
    /// `/2015-03-31/functions/{FunctionName}`.
    pub path: &'static str,
    /// Of an answer that is no error.
    pub status: u16,
    /// The members that are not in the body's JSON.
    pub bindings: &'static [Binding],
}

#[derive(Debug)]
pub struct Binding {
    pub member: &'static str,
    pub place: Place,
    /// The name of the label, the query parameter or the header.
    pub name: &'static str,
    pub schema: &'static Schema,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Path,
    Query,
    Header,
    /// The body as it is.
    Payload,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeledError {
    pub code: &'static str,
    pub status: u16,
}

/// A generated request structure: what `decode` needs to know about it.
pub trait Input: DeserializeOwned {
    fn service() -> &'static Service;
    fn schema() -> &'static Schema;
}

/// A generated answer of the Query protocol: what writing it as XML needs.
pub trait Output: Serialize {
    fn service() -> &'static Service;
    fn schema() -> &'static Schema;
    fn operation() -> &'static str;
}

/// The constraints of one shape.
#[derive(Debug)]
pub struct Schema {
    pub name: &'static str,
    pub sensitive: bool,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    Structure(&'static [Member]),
    List { bounds: Bounds, member: &'static Schema, tag: &'static str, flattened: bool },
    Map { bounds: Bounds, key: &'static Schema, value: &'static Schema, flattened: bool },
    String { bounds: Bounds, pattern: Option<Pattern>, values: &'static [&'static str] },
    Integer(Bounds),
    Long(Bounds),
    Double(Bounds),
    Boolean,
    Timestamp,
    Blob(Bounds),
}

/// Inclusive limits of a length, a size or a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub min: Option<i64>,
    pub max: Option<i64>,
}

impl Bounds {
    pub const NONE: Self = Self { min: None, max: None };

    pub const fn new(min: Option<i64>, max: Option<i64>) -> Self {
        Self { min, max }
    }
}

#[derive(Debug)]
pub struct Member {
    pub name: &'static str,
    /// The name on the Query protocol.
    pub wire_name: &'static str,
    pub required: bool,
    pub schema: &'static Schema,
}

impl Member {
    pub const fn required(name: &'static str, wire_name: &'static str, schema: &'static Schema) -> Self {
        Self { name, wire_name, required: true, schema }
    }

    pub const fn optional(name: &'static str, wire_name: &'static str, schema: &'static Schema) -> Self {
        Self { name, wire_name, required: false, schema }
    }
}

impl Schema {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, sensitive: false, kind }
    }

    pub const fn structure(name: &'static str, members: &'static [Member]) -> Self {
        Self::new(name, Kind::Structure(members))
    }

    pub const fn list(
        name: &'static str,
        bounds: Bounds,
        member: &'static Schema,
        tag: &'static str,
        flattened: bool,
    ) -> Self {
        Self::new(name, Kind::List { bounds, member, tag, flattened })
    }

    pub const fn map(
        name: &'static str,
        bounds: Bounds,
        key: &'static Schema,
        value: &'static Schema,
        flattened: bool,
    ) -> Self {
        Self::new(name, Kind::Map { bounds, key, value, flattened })
    }

    pub const fn string(
        name: &'static str,
        bounds: Bounds,
        pattern: Option<Pattern>,
        values: &'static [&'static str],
    ) -> Self {
        Self::new(name, Kind::String { bounds, pattern, values })
    }

    pub const fn integer(name: &'static str, bounds: Bounds) -> Self {
        Self::new(name, Kind::Integer(bounds))
    }

    pub const fn long(name: &'static str, bounds: Bounds) -> Self {
        Self::new(name, Kind::Long(bounds))
    }

    pub const fn double(name: &'static str, bounds: Bounds) -> Self {
        Self::new(name, Kind::Double(bounds))
    }

    pub const fn boolean(name: &'static str) -> Self {
        Self::new(name, Kind::Boolean)
    }

    pub const fn timestamp(name: &'static str) -> Self {
        Self::new(name, Kind::Timestamp)
    }

    pub const fn blob(name: &'static str, bounds: Bounds) -> Self {
        Self::new(name, Kind::Blob(bounds))
    }

    #[must_use]
    pub const fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// Whether a value of this shape is one scalar, which decides how a list or map of it reports a failure.
    pub fn is_scalar(&self) -> bool {
        !matches!(self.kind, Kind::Structure(_) | Kind::List { .. } | Kind::Map { .. })
    }
}

/// A pattern as the model writes it (Java syntax, matched against the whole value), compiled on first use.
#[derive(Debug)]
pub struct Pattern {
    source: &'static str,
    compiled: OnceLock<Option<Compiled>>,
}

/// What a value must match, and what it must not: a negative look-ahead at the start or look-behind at the end, which
/// `regex` does not have.
#[derive(Debug)]
struct Compiled {
    wanted: Regex,
    unwanted: Option<Regex>,
}

impl Pattern {
    pub const fn new(source: &'static str) -> Self {
        Self { source, compiled: OnceLock::new() }
    }

    /// The pattern's text, as error messages quote it.
    pub fn source(&self) -> &'static str {
        self.source
    }

    /// Whether the whole value matches. A pattern that does not compile would let everything pass; a test over all generated
    /// schemas makes sure that there is none.
    pub fn matches(&self, value: &str) -> bool {
        self.compiled().is_none_or(|compiled| {
            compiled.wanted.is_match(value)
                && compiled.unwanted.as_ref().is_none_or(|unwanted| !unwanted.is_match(value))
        })
    }

    fn compiled(&self) -> Option<&Compiled> {
        // Java's `.` stops at every line terminator, not only at a line feed.
        let build = |pattern: String| regex::RegexBuilder::new(&pattern).crlf(true).build().ok();
        let compile = || {
            let ahead = self.source.strip_prefix("(?!").and_then(|rest| rest.split_once(')'));
            let behind = self.source.strip_suffix(')').and_then(|rest| rest.rsplit_once("(?<!"));
            let (unwanted, wanted) = match (ahead, behind) {
                (Some((unwanted, wanted)), _) => (Some(build(format!(r"\A(?:{})", translate(unwanted)))?), wanted),
                (None, Some((wanted, unwanted))) => (Some(build(format!(r"(?:{})\z", translate(unwanted)))?), wanted),
                (None, None) => (None, self.source),
            };
            Some(Compiled { wanted: build(format!(r"\A(?:{})\z", translate(wanted)))?, unwanted })
        };
        self.compiled.get_or_init(compile).as_ref()
    }
}

/// Java's `\w` and `\d` are ASCII, and the models mean code points where they write five digits after `\u`, which both Java and
/// `regex` read as four and a literal.
fn translate(source: &str) -> String {
    let mut out = String::with_capacity(source.len() + 16);
    let mut chars = source.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('w') => out.push_str("[0-9A-Za-z_]"),
            Some('d') => out.push_str("[0-9]"),
            Some('u') => {
                let mut digits = String::new();
                while digits.len() < 6
                    && let Some(digit) = chars.next_if(char::is_ascii_hexdigit)
                {
                    digits.push(digit);
                }
                out.push_str(r"\x{");
                out.push_str(&digits);
                out.push('}');
            }
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Kind, Pattern, Schema};
    use crate::generated;

    fn patterns(schema: &'static Schema, seen: &mut Vec<&'static str>, out: &mut Vec<&'static Pattern>) {
        if seen.contains(&schema.name) {
            return;
        }
        seen.push(schema.name);
        match &schema.kind {
            Kind::Structure(members) => members.iter().for_each(|member| patterns(member.schema, seen, out)),
            Kind::List { member, .. } => patterns(member, seen, out),
            Kind::Map { key, value, .. } => {
                patterns(key, seen, out);
                patterns(value, seen, out);
            }
            Kind::String { pattern, .. } => out.extend(pattern.as_ref()),
            _ => {}
        }
    }

    #[test]
    fn every_generated_pattern_compiles() {
        let mut found = Vec::new();
        for service in generated::SERVICES {
            let mut seen = Vec::new();
            service.inputs.iter().for_each(|input| patterns(input, &mut seen, &mut found));
        }
        assert!(found.len() > 60, "the walk must reach the patterns, found {}", found.len());
        for pattern in found {
            assert!(pattern.compiled().is_some(), "{} does not compile", pattern.source());
        }
    }

    #[test]
    fn patterns_match_the_whole_value_as_java_does() {
        assert!(Pattern::new(r"[A-Za-z0-9.@\-_]+").matches("a-b_c.d@e"));
        assert!(!Pattern::new(r"[A-Za-z0-9.@\-_]+").matches("a b"));
        assert!(!Pattern::new(r"[\w+=,.@-]+").matches("naïve"), "\\w is ASCII");
        assert!(Pattern::new("AWS|ThirdParty").matches("ThirdParty"));
        assert!(!Pattern::new("AWS|ThirdParty").matches("AWSX"), "an alternative is anchored on both sides");
        assert!(!Pattern::new(".*").matches("a\nb") && !Pattern::new(".*").matches("a\rb"));
        let alias = Pattern::new(r"(?!^[0-9]+$)([a-zA-Z0-9-_]+)");
        assert!(alias.matches("live") && alias.matches("1a") && !alias.matches("12") && !alias.matches("a.b"));
        let dotless = Pattern::new(r"[0-9A-Za-z\.\-_]*(?<!\.)");
        assert!(dotless.matches("a.b") && dotless.matches("") && !dotless.matches("a."));
        let arn = r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+";
        assert!(Pattern::new(arn).matches("arn:aws:iam::123456789012:role/\u{1F980}"));
        assert!(!Pattern::new(arn).matches("\u{1}"));
        assert!(Pattern::new(r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)").matches("/team/"));
        assert!(!Pattern::new(r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)").matches("team/"));
    }
}
