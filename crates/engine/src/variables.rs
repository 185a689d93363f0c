//! `#{namespace.key}` references: where they are in a text, and what they stand for in an execution. A substituted
//! value is never read again for references.

use std::collections::BTreeMap;
use std::ops::Range;

use towpath_model::state::Execution;

/// The namespace AWS fills itself.
pub const PIPELINE_NAMESPACE: &str = "codepipeline";
/// The namespace of pipeline-level variables.
pub const VARIABLES_NAMESPACE: &str = "variables";
/// The one key of the `codepipeline` namespace.
pub const EXECUTION_ID_KEY: &str = "PipelineExecutionId";

/// One `#{...}` in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference<'t> {
    /// With `#{` and `}`.
    pub text: &'t str,
    pub range: Range<usize>,
    /// Namespace and key; None where the text between the braces is not of that form.
    pub names: Option<(&'t str, &'t str)>,
}

impl<'t> Reference<'t> {
    /// What stands between the braces.
    pub fn inner(&self) -> &'t str {
        self.text.strip_prefix("#{").and_then(|text| text.strip_suffix('}')).unwrap_or(self.text)
    }
}

/// Every reference in a text, in order. `#{` without a closing brace is plain text.
pub fn references(text: &str) -> Vec<Reference<'_>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find("#{").map(|at| from + at) {
        let Some(end) = text[start..].find('}').map(|at| start + at + 1) else { break };
        let inner = &text[start + 2..end - 1];
        let names = inner.split_once('.').filter(|(namespace, key)| is_name(namespace) && is_key(key));
        found.push(Reference { text: &text[start..end], range: start..end, names });
        from = end;
    }
    found
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '@' | '-' | '_'))
}

/// AWS's limits page lists more characters for keys than its model does; whatever has no brace and no space may be one.
fn is_key(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || matches!(c, '{' | '}' | '#'))
}

/// A reference that stands for nothing in this execution.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the variable {0} could not be resolved")]
pub struct Unresolved(pub String);

/// The variables an action of an execution may see when it starts.
pub struct Scope<'e> {
    execution: &'e Execution,
    empty: BTreeMap<String, String>,
}

impl<'e> Scope<'e> {
    pub const fn of(execution: &'e Execution) -> Self {
        Self { execution, empty: BTreeMap::new() }
    }

    pub fn lookup(&self, namespace: &str, key: &str) -> Option<&str> {
        if namespace == PIPELINE_NAMESPACE {
            return (key == EXECUTION_ID_KEY).then(|| self.execution.id.as_str());
        }
        // Where the pipeline declares no variables, an action may use the namespace for its own.
        let pipeline_level = self.execution.variables.as_ref().unwrap_or(&self.empty);
        if namespace == VARIABLES_NAMESPACE
            && let Some(value) = pipeline_level.get(key)
        {
            return Some(value);
        }
        self.execution.outputs.get(namespace)?.get(key).map(String::as_str)
    }

    /// The text with every reference replaced, or the first that stands for nothing.
    pub fn resolve(&self, text: &str) -> Result<String, Unresolved> {
        let mut resolved = String::with_capacity(text.len());
        let mut from = 0;
        for reference in references(text) {
            let value = reference.names.and_then(|(namespace, key)| self.lookup(namespace, key));
            let value = value.ok_or_else(|| Unresolved(reference.text.to_owned()))?;
            resolved.push_str(&text[from..reference.range.start]);
            resolved.push_str(value);
            from = reference.range.end;
        }
        resolved.push_str(&text[from..]);
        Ok(resolved)
    }
}

#[cfg(test)]
mod tests {
    use super::references;

    fn names(text: &str) -> Vec<Option<(&str, &str)>> {
        references(text).into_iter().map(|reference| reference.names).collect()
    }

    #[test]
    fn several_references_in_one_text() {
        assert_eq!(names("a #{A.b}-#{variables.c_d} z"), [Some(("A", "b")), Some(("variables", "c_d"))]);
    }

    #[test]
    fn a_reference_without_a_period_has_no_names() {
        assert_eq!(names("#{Ab} #{.x} #{y.} #{a b.c}"), [None, None, None, None]);
    }

    #[test]
    fn an_open_brace_that_never_closes_is_text() {
        assert_eq!(names("costs #{A.b"), []);
        assert_eq!(names("${A.b} {A.b} # {A.b}"), []);
    }
}
