//! What a command tells through files: its progress and result (`CODEPIPELINE_REPORT`) and its output variables
//! (`CODEPIPELINE_VARIABLES`). Both are lines of NAME=VALUE.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::jobs::{Progress, Revision, kind};
use crate::limits;

/// What the report says so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub progress: Progress,
    pub continuation_token: Option<String>,
    pub failure_type: Option<&'static str>,
    revision: Option<String>,
    revision_change_id: Option<String>,
    revision_summary: Option<String>,
}

impl Report {
    /// Reads the report. While the command runs, its last line may still be being written and is left out.
    pub fn read(file: &Path, ended: bool) -> Result<Self, String> {
        let text = text(file, limits::WORKER_REPORT_BYTES_MAX, "CODEPIPELINE_REPORT")?;
        let whole = if ended { text.as_str() } else { text.rfind('\n').map_or("", |end| &text[..end]) };
        Self::parse(whole)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut report = Self::default();
        for (number, line) in lines(text) {
            let at = |why: String| format!("line {number} of CODEPIPELINE_REPORT: {why}");
            let (name, value) = pair(line).ok_or_else(|| at("write it as NAME=VALUE".to_owned()))?;
            let owned = Some(value.to_owned()).filter(|value| !value.is_empty());
            match name {
                "summary" => report.progress.summary = owned,
                "external-id" => report.progress.external_id = owned,
                "percent" => {
                    let percent = value.trim().parse().ok().filter(|percent| *percent <= 100);
                    report.progress.percent =
                        Some(percent.ok_or_else(|| at(format!("percent is 0 to 100, not `{value}`")))?);
                }
                "continuation-token" => report.continuation_token = owned,
                "revision" => report.revision = owned,
                "revision-change-id" => report.revision_change_id = owned,
                "revision-summary" => report.revision_summary = owned,
                "failure-type" => {
                    let known = kind::ALL.into_iter().find(|kind| *kind == value);
                    let known = known.ok_or_else(|| at(format!("failure-type is one of {}", kind::ALL.join(", "))))?;
                    report.failure_type = Some(known);
                }
                other => {
                    return Err(at(format!(
                        "there is no `{other}`; there are summary, external-id, percent, continuation-token, failure-type, \
                         revision, revision-change-id and revision-summary"
                    )));
                }
            }
        }
        Ok(report)
    }

    pub fn revision(&self) -> Option<Revision> {
        let id = self.revision.clone()?;
        let change_id = self.revision_change_id.clone().unwrap_or_else(|| id.chars().take(100).collect());
        Some(Revision { id, change_id, summary: self.revision_summary.clone() })
    }
}

/// The output variables that the command left.
pub fn variables(file: &Path) -> Result<BTreeMap<String, String>, String> {
    let text = text(file, limits::WORKER_VARIABLES_BYTES_MAX, "CODEPIPELINE_VARIABLES")?;
    let mut variables = BTreeMap::new();
    for (number, line) in lines(&text) {
        let at = |why: &str| format!("line {number} of CODEPIPELINE_VARIABLES: {why}");
        let (name, value) = pair(line).ok_or_else(|| at("write it as NAME=VALUE"))?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '@' | '-' | '_');
        if !name.chars().all(allowed) {
            return Err(at("the name of a variable has letters, digits, `@`, `-` and `_` alone"));
        }
        variables.insert(name.to_owned(), value.to_owned());
    }
    Ok(variables)
}

/// The whole file; a missing one is empty.
fn text(file: &Path, most: u64, what: &str) -> Result<String, String> {
    let length = match std::fs::metadata(file) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(format!("{what} cannot be read: {error}")),
    };
    if length > most {
        return Err(format!("{what} has {length} bytes, which is more than {most}"));
    }
    std::fs::read_to_string(file).map_err(|error| format!("{what} cannot be read: {error}"))
}

/// Lines that say something, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    numbered.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
}

fn pair(line: &str) -> Option<(&str, &str)> {
    line.split_once('=').map(|(name, value)| (name.trim(), value)).filter(|(name, _)| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_lines_of_names_and_values() {
        let report =
            Report::parse("# a comment\nsummary=half = 50\n\npercent=20\npercent=50\nexternal-id=7\n").unwrap();
        let progress = Progress { summary: Some("half = 50".into()), external_id: Some("7".into()), percent: Some(50) };
        assert_eq!(report, Report { progress, ..Report::default() });
        let report = Report::parse("revision=abc\nrevision-summary=first").unwrap();
        let revision = Revision { id: "abc".into(), change_id: "abc".into(), summary: Some("first".into()) };
        assert_eq!(report.revision(), Some(revision));
        assert_eq!(Report::parse("failure-type=ConfigurationError").unwrap().failure_type, Some("ConfigurationError"));
    }

    #[test]
    fn what_it_does_not_know_is_told_with_its_line() {
        for (text, why) in [
            ("summary=a\npercnet=3", "line 2"),
            ("percent=101", "0 to 100"),
            ("percent=-1", "0 to 100"),
            ("done", "NAME=VALUE"),
            ("failure-type=Tired", "JobFailed"),
        ] {
            let error = Report::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn files_are_bounded_and_may_be_missing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f");
        assert_eq!(Report::read(&file, true).unwrap(), Report::default());
        assert!(variables(&file).unwrap().is_empty());
        std::fs::write(&file, "percent=10\nsummary=unfini").unwrap();
        assert_eq!(Report::read(&file, false).unwrap().progress.summary, None, "its line is not whole");
        assert_eq!(Report::read(&file, true).unwrap().progress.summary.as_deref(), Some("unfini"));
        std::fs::write(&file, "A=1\nB_b=x=y\nC=\n").unwrap();
        let read = variables(&file).unwrap();
        assert_eq!(
            read.into_iter().collect::<Vec<_>>(),
            [("A".to_owned(), "1".to_owned()), ("B_b".to_owned(), "x=y".to_owned()), ("C".to_owned(), String::new())]
        );
        std::fs::write(&file, "a b=1").unwrap();
        assert!(variables(&file).unwrap_err().contains("letters"));
        std::fs::write(&file, "x".repeat(300_000)).unwrap();
        assert!(variables(&file).unwrap_err().contains("more than"));
    }
}
