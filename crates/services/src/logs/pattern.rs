//! Filter patterns for unstructured events: words and quoted phrases, all of which must occur; `?word` of which one must;
//! `-word` of which none may. Patterns over JSON or fields are refused by name.

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    all: Vec<String>,
    any: Vec<String>,
    none: Vec<String>,
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with('{') || text.starts_with('[') || text.starts_with('%') {
            return Err("Invalid filter pattern: patterns over JSON members, fields and regular expressions are not \
                        supported here. Use words, \"quoted phrases\", ?either ?or, and -without."
                .to_owned());
        }
        let mut pattern = Self::default();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let list = match first {
                '?' => &mut pattern.any,
                '-' => &mut pattern.none,
                _ => &mut pattern.all,
            };
            if matches!(first, '?' | '-') {
                rest = &rest[1..];
            }
            let term = if let Some(quoted) = rest.strip_prefix('"') {
                let (term, after) = unquote(quoted).ok_or("Invalid filter pattern: a quotation mark is not closed")?;
                rest = after;
                term
            } else {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                let term = rest[..end].to_owned();
                rest = &rest[end..];
                term
            };
            if !term.is_empty() {
                list.push(term);
            }
            rest = rest.trim_start();
        }
        Ok(pattern)
    }

    /// Whether an event's message has what the pattern asks for; case matters.
    pub fn matches(&self, message: &str) -> bool {
        self.all.iter().all(|term| message.contains(term.as_str()))
            && (self.any.is_empty() || self.any.iter().any(|term| message.contains(term.as_str())))
            && !self.none.iter().any(|term| message.contains(term.as_str()))
    }
}

/// The text up to the closing quotation mark, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut term = String::new();
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => {
                term.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some((term, &text[at + 1..])),
            _ => term.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_combine_as_documented() {
        let matches = |pattern: &str, message: &str| Pattern::parse(pattern).expect(pattern).matches(message);
        assert!(matches("", "anything"));
        assert!(matches("ERROR failed", "ERROR: it failed"));
        assert!(!matches("ERROR failed", "ERROR: it works"));
        assert!(!matches("error", "ERROR"));
        assert!(matches("\"exit status 1\"", "Reason: exit status 1"));
        assert!(!matches("\"exit status 1\"", "status 1 exit"));
        assert!(matches("?ERROR ?WARN", "WARN: x"));
        assert!(!matches("?ERROR ?WARN", "INFO: x"));
        assert!(!matches("ERROR -ignored", "ERROR ignored"));
        assert!(matches("ERROR -ignored", "ERROR seen"));
        assert!(matches(r#""a \"b\"""#, r#"say a "b" now"#));
    }

    #[test]
    fn other_languages_are_refused() {
        for text in ["{ $.level = \"x\" }", "[ip, user]", "%ERROR%", "\"open"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
