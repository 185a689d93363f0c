//! Rule / AWS / VariableCheck: compares a resolved variable with a value. Pure: the same words always give the same answer.
//!
//! MATCHES takes a Java regular expression and means the whole text, as `String.matches` does. The engine underneath is
//! `fancy-regex` (lookaround, backreferences) with a bound on its backtracking; [`from_java`] translates what Java spells
//! or means otherwise.

use async_trait::async_trait;
use fancy_regex::{Regex, RegexBuilder};
use towpath_model::action::{ActionInvocation, ErrorDetails, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, Property};

use crate::limits::{REGEX_BACKTRACKS_MAX, REGEX_BYTES_MAX, SHOWN_VALUE_CHARS_MAX};
use crate::provider::{Call, Provider};

const OPERATORS: [&str; 4] = ["EQ", "NE", "CONTAINS", "MATCHES"];

pub struct VariableCheck {
    entry: ActionTypeEntry,
}

impl Default for VariableCheck {
    fn default() -> Self {
        Self::new()
    }
}

impl VariableCheck {
    pub fn new() -> Self {
        let properties = vec![
            Property::required("Variable", "The variable to check, as `#{namespace.key}`."),
            Property::required(
                "Operator",
                "How to compare: equal, not equal, contains the value, or matches it as a Java regular expression from \
                 beginning to end. Case counts.",
            )
            .one_of(&OPERATORS),
            Property::required("Value", "What the variable is compared with."),
        ];
        Self { entry: super::entry("VariableCheck", "Compares a variable of the pipeline with a value.", properties) }
    }
}

/// Whether the comparison holds; otherwise why it cannot be made.
fn holds(operator: &str, variable: &str, value: &str) -> Result<bool, String> {
    match operator {
        "EQ" => Ok(variable == value),
        "NE" => Ok(variable != value),
        "CONTAINS" => Ok(variable.contains(value)),
        "MATCHES" => whole(value)?.is_match(variable).map_err(|_| {
            format!(
                "The value of Value, \"{}\", takes too many steps to match the variable's value. Write the regular \
                 expression without nested repetitions.",
                shown(value)
            )
        }),
        other => {
            Err(format!("The value of Operator is \"{}\"; it must be one of {}.", shown(other), OPERATORS.join(", ")))
        }
    }
}

/// The expression, bound to the beginning and the end of the text.
fn whole(pattern: &str) -> Result<Regex, String> {
    let wrong = |why: &dyn std::fmt::Display| {
        format!("The value of Value, \"{}\", is not a valid regular expression: {why}", shown(pattern))
    };
    // By itself first: what closes our group must not make an expression valid that is not.
    let translated = from_java(pattern);
    build(&translated).map_err(|error| wrong(&first_line(&error)))?;
    build(&format!(r"\A(?:{translated})\z")).map_err(|error| wrong(&first_line(&error)))
}

fn build(pattern: &str) -> Result<Regex, fancy_regex::Error> {
    RegexBuilder::new(pattern)
        .backtrack_limit(REGEX_BACKTRACKS_MAX)
        .delegate_size_limit(REGEX_BYTES_MAX)
        .delegate_dfa_size_limit(REGEX_BYTES_MAX)
        .build()
}

/// The parsers underneath draw pictures over several lines; the last one says what is wrong.
fn first_line(error: &fancy_regex::Error) -> String {
    let text = error.to_string();
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

/// Rewrites what Java means by `\Q..\E`, `\d`, `\w`, `\s`, `\h` and the POSIX names of `\p{..}`: in Java they are ASCII
/// unless a flag says otherwise.
fn from_java(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let mut chars = escape.chars();
        let (_, name) = (chars.next(), chars.next());
        let Some(name) = name else {
            out.push('\\');
            return out;
        };
        rest = chars.as_str();
        match name {
            'Q' => {
                let (quoted, after) = rest.split_once("\\E").unwrap_or((rest, ""));
                out.push_str(&fancy_regex::escape(quoted));
                rest = after;
            }
            // Outside of a quotation it ends nothing.
            'E' => {}
            'd' => out.push_str("[0-9]"),
            'D' => out.push_str("[^0-9]"),
            'w' => out.push_str("[a-zA-Z_0-9]"),
            'W' => out.push_str("[^a-zA-Z_0-9]"),
            's' => out.push_str("[ \\t\\n\\x0B\\f\\r]"),
            'S' => out.push_str("[^ \\t\\n\\x0B\\f\\r]"),
            'h' => out.push_str("[ \\t\\x{A0}\\x{1680}\\x{180e}\\x{2000}-\\x{200a}\\x{202f}\\x{205f}\\x{3000}]"),
            'p' | 'P' => match rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
                Some((class, after)) if posix(class).is_some() => {
                    let not = if name == 'P' { "^" } else { "" };
                    out.extend(["[[:", not, posix(class).unwrap_or_default(), ":]]"]);
                    rest = after;
                }
                _ => out.extend(['\\', name]),
            },
            other => out.extend(['\\', other]),
        }
    }
    out.push_str(rest);
    out
}

/// Java's name of a POSIX class, in brackets' spelling.
fn posix(class: &str) -> Option<&'static str> {
    Some(match class {
        "Lower" => "lower",
        "Upper" => "upper",
        "ASCII" => "ascii",
        "Alpha" => "alpha",
        "Digit" => "digit",
        "Alnum" => "alnum",
        "Punct" => "punct",
        "Graph" => "graph",
        "Print" => "print",
        "Blank" => "blank",
        "Cntrl" => "cntrl",
        "XDigit" => "xdigit",
        "Space" => "space",
        _ => return None,
    })
}

/// A value in a message: whole, or its beginning.
fn shown(value: &str) -> String {
    match value.char_indices().nth(SHOWN_VALUE_CHARS_MAX) {
        Some((at, _)) => format!("{}...", &value[..at]),
        None => value.to_owned(),
    }
}

fn sentence(operator: &str, holds: bool) -> &'static str {
    match (operator, holds) {
        ("EQ", true) | ("NE", false) => "equals",
        ("EQ" | "NE", _) => "does not equal",
        ("CONTAINS", true) => "contains",
        ("CONTAINS", false) => "does not contain",
        (_, true) => "matches",
        (_, false) => "does not match",
    }
}

fn outcome(action: &ActionInvocation) -> Outcome {
    let mut read = ["Variable", "Operator", "Value"].map(|key| (key, action.config(key)));
    if let Some((key, _)) = read.iter().find(|(_, value)| value.is_none()) {
        let message = format!("The configuration of rule {} lacks {key}.", action.action_name);
        return Outcome::failed(error_code::CONFIGURATION_ERROR, message);
    }
    let [variable, operator, value] = read.each_mut().map(|(_, value)| value.unwrap_or_default());
    match holds(operator, variable, value) {
        Err(message) => Outcome::failed(error_code::CONFIGURATION_ERROR, message),
        Ok(holds) => {
            let summary = format!(
                "The variable's value \"{}\" {} \"{}\" (operator {operator}).",
                shown(variable),
                sentence(operator, holds),
                shown(value)
            );
            let progress = Progress { summary: Some(summary.clone()), ..Progress::default() };
            if holds {
                Outcome::Succeeded { progress, variables: std::collections::BTreeMap::new(), revisions: Vec::new() }
            } else {
                Outcome::Failed { progress, error: ErrorDetails::new(error_code::JOB_FAILED, summary) }
            }
        }
    }
}

#[async_trait]
impl Provider for VariableCheck {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    async fn start(&self, _cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        outcome(action)
    }

    async fn poll(&self, _cx: &Call<'_>, action: &ActionInvocation, _progress: &Progress) -> Outcome {
        outcome(action)
    }

    async fn stop(&self, _cx: &Call<'_>, _action: &ActionInvocation, _progress: &Progress) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        holds("MATCHES", text, pattern).unwrap()
    }

    #[test]
    fn operators_compare_with_case() {
        for (operator, variable, value, expected) in [
            ("EQ", "main", "main", true),
            ("EQ", "main", "Main", false),
            ("EQ", "", "", true),
            ("NE", "main", "dev", true),
            ("NE", "main", "main", false),
            ("CONTAINS", "release/1.4", "release/", true),
            ("CONTAINS", "release/1.4", "Release", false),
            ("CONTAINS", "x", "", true),
        ] {
            assert_eq!(holds(operator, variable, value), Ok(expected), "{variable} {operator} {value}");
        }
    }

    #[test]
    fn expressions_mean_the_whole_text() {
        assert!(matches("^(main|release/.+)$", "release/1.4"));
        assert!(matches("main|dev", "dev") && !matches("main|dev", "develop") && !matches("ain", "main"));
        assert!(!matches("a.c", "a\nc") && matches("(?s)a.c", "a\nc") && !matches("a", "a\n"));
    }

    #[test]
    fn lookaround_and_backreferences_work() {
        assert!(matches(r"(?!wip/).*", "feature/x") && !matches(r"(?!wip/).*", "wip/x"));
        assert!(matches(r"(\w+)-\1", "ab-ab") && !matches(r"(\w+)-\1", "ab-ac"));
        assert!(matches(r"v(?<=v)\d++", "v12") && matches(r"(?<n>a)\k<n>", "aa"));
    }

    #[test]
    fn javas_classes_are_ascii() {
        assert!(matches(r"\d+", "42") && !matches(r"\d+", "٤٢"), "Arabic digits are digits to Unicode alone");
        assert!(matches(r"[\w.]+", "v1.2_x") && !matches(r"\w", "é") && matches(r"\W", "é"));
        assert!(matches(r"[^\d]+", "abc") && !matches(r"[^\d]+", "a1c"));
        assert!(matches(r"\Qa.b*\E\d", "a.b*7") && !matches(r"\Qa.b\E", "axb") && matches(r"\Q(", "("));
        assert!(matches(r"\p{Alpha}\P{Digit}\p{Lu}", "azÄ") && matches(r"a\sb\hc", "a\tb\u{a0}c"));
        assert!(matches(r"\\d", r"\d") && matches("\\u0041", "A"));
    }

    #[test]
    fn expressions_that_are_none_are_named() {
        for (pattern, why) in [("(main", "Opening parenthesis without closing"), ("a)(?:b", ""), ("[a", ""), ("*", "")]
        {
            let message = holds("MATCHES", "main", pattern).unwrap_err();
            let start = format!("The value of Value, \"{pattern}\", is not a valid regular expression: ");
            assert!(message.starts_with(&start) && message.contains(why) && !message.contains('\n'), "{message}");
        }
        let message = holds("LIKE", "a", "b").unwrap_err();
        assert_eq!(message, "The value of Operator is \"LIKE\"; it must be one of EQ, NE, CONTAINS, MATCHES.");
    }

    #[test]
    fn endless_backtracking_ends() {
        let message = holds("MATCHES", &format!("{}!", "a".repeat(60)), r"(a|a)*\1b(?!c)").unwrap_err();
        assert!(message.contains("takes too many steps"), "{message}");
    }

    #[test]
    fn long_values_are_cut_in_messages() {
        assert_eq!(shown(&"ü".repeat(300)), format!("{}...", "ü".repeat(SHOWN_VALUE_CHARS_MAX)));
        assert_eq!(shown("short"), "short");
    }
}
