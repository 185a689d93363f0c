//! Globs, policy variables, and ARN and action matching. The text that a variable stands for is literal: a `*` in it
//! matches only a `*`.

use super::Context;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Exactly(char),
    AnyOne,
    AnyRun,
}

/// A pattern with its variables replaced; `None` when a variable has no value, in which case nothing matches it.
#[derive(Debug, Clone)]
pub struct Glob(Option<Vec<Token>>);

impl Glob {
    /// Expands `pattern`; `variables` is the request's context where the policy's version makes `${...}` a variable.
    pub fn new(pattern: &str, variables: Option<&Context>) -> Self {
        let mut tokens = Vec::with_capacity(pattern.len());
        let mut rest = pattern;
        while let Some(next) = rest.chars().next() {
            if let Some(context) = variables
                && let Some(inner) = rest.strip_prefix("${")
                && let Some(end) = inner.find('}')
            {
                let Some(text) = variable(&inner[..end], context) else { return Self(None) };
                tokens.extend(text.chars().map(Token::Exactly));
                rest = &inner[end + 1..];
                continue;
            }
            tokens.push(match next {
                '*' => Token::AnyRun,
                '?' => Token::AnyOne,
                other => Token::Exactly(other),
            });
            rest = &rest[next.len_utf8()..];
        }
        Self(Some(tokens))
    }

    /// The same pattern without wildcards: what `StringEquals` compares.
    pub fn literal(pattern: &str, variables: Option<&Context>) -> Option<String> {
        let mut text = String::with_capacity(pattern.len());
        let mut rest = pattern;
        while let Some(next) = rest.chars().next() {
            if let Some(context) = variables
                && let Some(inner) = rest.strip_prefix("${")
                && let Some(end) = inner.find('}')
            {
                text.push_str(&variable(&inner[..end], context)?);
                rest = &inner[end + 1..];
                continue;
            }
            text.push(next);
            rest = &rest[next.len_utf8()..];
        }
        Some(text)
    }

    /// Linear in practice: only the last `*` is ever tried again.
    pub fn matches(&self, text: &str) -> bool {
        let Some(tokens) = &self.0 else { return false };
        let text: Vec<char> = text.chars().collect();
        let (mut at_token, mut at_text) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while at_text < text.len() {
            match tokens.get(at_token) {
                Some(Token::AnyRun) => {
                    retry = Some((at_token, at_text));
                    at_token += 1;
                }
                Some(Token::AnyOne) => {
                    at_token += 1;
                    at_text += 1;
                }
                Some(Token::Exactly(expected)) if *expected == text[at_text] => {
                    at_token += 1;
                    at_text += 1;
                }
                _ => {
                    let Some((star, from)) = retry else { return false };
                    retry = Some((star, from + 1));
                    at_token = star + 1;
                    at_text = from + 1;
                }
            }
        }
        tokens[at_token..].iter().all(|token| *token == Token::AnyRun)
    }
}

/// The text of `${inner}`: a literal (`*`, `?`, `$`), a single-valued key, or its default in single quotes.
fn variable(inner: &str, context: &Context) -> Option<String> {
    if matches!(inner, "*" | "?" | "$") {
        return Some(inner.to_owned());
    }
    let (key, default) = match inner.split_once(',') {
        Some((key, default)) => {
            let default = default.trim().strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
            (key, Some(default?))
        }
        None => (inner, None),
    };
    match context.get(key.trim()) {
        Some(super::Value::One(text)) => Some(text.clone()),
        _ => default.map(str::to_owned),
    }
}

/// Whether `pattern` (`service:Name` with wildcards in the name, or `*`) covers `action`. Case does not matter.
pub fn action_matches(pattern: &str, action: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    let (Some((prefix, name)), Some((service, operation))) = (pattern.split_once(':'), action.split_once(':')) else {
        return false;
    };
    prefix.eq_ignore_ascii_case(service)
        && Glob::new(&name.to_ascii_lowercase(), None).matches(&operation.to_ascii_lowercase())
}

/// Whether `pattern` covers the ARN (or `*`, for an action without resource types) in `resource`.
pub fn resource_matches(pattern: &str, resource: &str, variables: Option<&Context>) -> bool {
    pattern == "*" || arn_matches(pattern, resource, variables)
}

/// Six components, each globbed by itself; the sixth keeps its colons. The service component knows no wildcard.
pub fn arn_matches(pattern: &str, arn: &str, variables: Option<&Context>) -> bool {
    let (Some(patterns), Some(parts)) = (split_arn(pattern), split_arn(arn)) else { return false };
    patterns.iter().zip(parts).enumerate().all(|(index, (pattern, part))| match index {
        2 => *pattern == part,
        _ => Glob::new(pattern, variables).matches(part),
    })
}

/// Splits at the first five colons that are outside a `${...}`.
pub fn split_arn(text: &str) -> Option<[&str; 6]> {
    let mut parts = [""; 6];
    let (mut index, mut start, mut depth) = (0, 0, 0_u32);
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'{' if at > 0 && bytes[at - 1] == b'$' => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b':' if depth == 0 && index < 5 => {
                parts[index] = &text[start..at];
                index += 1;
                start = at + 1;
            }
            _ => {}
        }
    }
    parts[5] = &text[start..];
    (index == 5).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_cross_everything_and_backtrack() {
        let matches = |pattern: &str, text: &str| Glob::new(pattern, None).matches(text);
        assert!(matches("a*b*c", "aXbYbZc"));
        assert!(!matches("a*b*c", "aXbYbZ"));
        assert!(matches("*", ""));
        assert!(matches("a?c", "a/c"));
        assert!(!matches("a?c", "ac"));
        assert!(!matches("", "x"));
        assert!(matches("literal ${x}", "literal ${x}"), "without variables the text is literal");
    }

    #[test]
    fn a_variables_text_is_literal_and_an_unknown_one_matches_nothing() {
        let context = Context::new().with("aws:username", "*");
        let matches = |pattern: &str, text: &str| Glob::new(pattern, Some(&context)).matches(text);
        assert!(matches("home/${aws:username}/x", "home/*/x"));
        assert!(!matches("home/${aws:username}/x", "home/bob/x"));
        assert!(!matches("home/${aws:userid}", "home/"));
        assert!(matches("home/${aws:userid, 'all'}", "home/all"));
        assert!(matches("a${*}b", "a*b"));
        assert!(!matches("a${*}b", "aXb"));
    }

    #[test]
    fn arns_match_component_by_component() {
        let matches = |pattern: &str, arn: &str| resource_matches(pattern, arn, None);
        assert!(matches("arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket/a/b:c"));
        assert!(!matches("arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket"));
        assert!(!matches("arn:aws:s3:*:bucket/*", "arn:aws:s3:::bucket/a"), "five components are no ARN");
        assert!(matches(
            "arn:aws:codebuild:*:123456789012:project/*",
            "arn:aws:codebuild:us-east-1:123456789012:project/x"
        ));
        assert!(!matches("arn:aws:*:us-east-1:1:x", "arn:aws:s3:us-east-1:1:x"), "no wildcard for the service");
        assert!(!matches("arn:aws:s3:::B", "arn:aws:s3:::b"));
        assert!(matches("*", "*"));
        assert!(!matches("arn:aws:s3:::*", "*"));
    }

    #[test]
    fn actions_ignore_case_and_keep_the_service_literal() {
        assert!(action_matches("S3:getobject*", "s3:GetObjectVersion"));
        assert!(action_matches("*", "iam:CreateRole"));
        assert!(!action_matches("s*:GetObject", "s3:GetObject"));
        assert!(!action_matches("s3", "s3:GetObject"));
    }
}
