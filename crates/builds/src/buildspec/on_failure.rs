//! `on-failure`: what a failed phase means for the rest of the build. Must not know how phases run.

use regex::RegexBuilder;

use crate::limits::{RETRIES_DEFAULT, RETRIES_MAX, RETRY_REGEX_BYTES_MAX};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnFailure {
    Abort,
    Continue,
    Retry(Retry),
}

/// How often a failed phase is tried again, and for which messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    pub times: u32,
    /// Checked when the buildspec was parsed.
    pub pattern: String,
}

impl Retry {
    pub fn matches(&self, message: &str) -> bool {
        compile(&self.pattern).is_ok_and(|regex| regex.is_match(message))
    }
}

impl OnFailure {
    /// `ABORT`, `CONTINUE`, `RETRY`, `RETRY-n`, `RETRY-regex` or `RETRY-n-regex`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "ABORT" => return Ok(Self::Abort),
            "CONTINUE" => return Ok(Self::Continue),
            "RETRY" => return Ok(Self::Retry(Retry { times: RETRIES_DEFAULT, pattern: ".*".to_owned() })),
            _ => {}
        }
        let Some(rest) = text.strip_prefix("RETRY-") else {
            return Err(format!(
                "Invalid on-failure value: {text}. Expecting ABORT, CONTINUE, RETRY, RETRY-<count>, RETRY-<regex> or RETRY-<count>-<regex>"
            ));
        };
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (times, pattern) = match (&rest[..digits], &rest[digits..]) {
            ("", pattern) => (RETRIES_DEFAULT, pattern),
            (count, "") => (times(count)?, ".*"),
            (count, tail) if tail.starts_with('-') => (times(count)?, &tail[1..]),
            // A regex may begin with a digit, as in `RETRY-5\d\d`.
            _ => (RETRIES_DEFAULT, rest),
        };
        if pattern.is_empty() {
            return Err(format!("Invalid on-failure value: {text}. The regular expression is empty"));
        }
        compile(pattern).map_err(|error| format!("Invalid on-failure value: {text}. {error}"))?;
        Ok(Self::Retry(Retry { times, pattern: pattern.to_owned() }))
    }
}

fn times(count: &str) -> Result<u32, String> {
    count
        .parse()
        .ok()
        .filter(|times| *times <= RETRIES_MAX)
        .ok_or_else(|| format!("Invalid on-failure retry count: {count}. Expecting 0 to {RETRIES_MAX}"))
}

fn compile(pattern: &str) -> Result<regex::Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(RETRY_REGEX_BYTES_MAX).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(times: u32, pattern: &str) -> OnFailure {
        OnFailure::Retry(Retry { times, pattern: pattern.to_owned() })
    }

    #[test]
    fn reads_every_form() {
        assert_eq!(OnFailure::parse("ABORT"), Ok(OnFailure::Abort));
        assert_eq!(OnFailure::parse("CONTINUE"), Ok(OnFailure::Continue));
        assert_eq!(OnFailure::parse("RETRY"), Ok(retry(3, ".*")));
        assert_eq!(OnFailure::parse("RETRY-0"), Ok(retry(0, ".*")));
        assert_eq!(OnFailure::parse("RETRY-100"), Ok(retry(100, ".*")));
        assert_eq!(OnFailure::parse("RETRY-.*timeout.*"), Ok(retry(3, ".*timeout.*")));
        assert_eq!(OnFailure::parse("RETRY-5-exit status [45]"), Ok(retry(5, "exit status [45]")));
        assert_eq!(OnFailure::parse("RETRY-5xx"), Ok(retry(3, "5xx")));
    }

    #[test]
    fn refuses_what_it_cannot_mean() {
        assert!(OnFailure::parse("abort").unwrap_err().starts_with("Invalid on-failure value: abort."));
        assert_eq!(
            OnFailure::parse("RETRY-101"),
            Err("Invalid on-failure retry count: 101. Expecting 0 to 100".to_owned())
        );
        assert!(OnFailure::parse("RETRY-").unwrap_err().contains("is empty"));
        assert!(OnFailure::parse("RETRY-3-(").unwrap_err().contains("regex parse error"));
    }

    #[test]
    fn matches_the_message() {
        let retry = Retry { times: 1, pattern: "exit status 4$".to_owned() };
        assert!(retry.matches("Error while executing command: x. Reason: exit status 4"));
        assert!(!retry.matches("Error while executing command: x. Reason: exit status 41"));
    }
}
