//! The closed list of failures that a user can cause or repair, each with its exit code. Anything else is a bug.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::commands::import::ImportError;
use crate::config::LoadError;
use crate::diagnostics::Report;
use crate::document::ReadError;
use crate::file::FindError;
use crate::file::template::TemplateError;
use crate::host::ApiError;
use crate::remote::refusal::Refusal;

/// What the process answers. Documented in `towpath --help`.
pub mod exit {
    pub const SUCCEEDED: u8 = 0;
    /// The execution failed, or the machine did.
    pub const FAILED: u8 = 1;
    /// Bad usage, definition or configuration.
    pub const USAGE: u8 = 2;
    /// The execution waits for somebody, or somebody else stopped it.
    pub const WAITING: u8 = 3;
    /// Ctrl-C.
    pub const INTERRUPTED: u8 = 130;
}

#[derive(Debug, thiserror::Error)]
pub enum ExpectedError {
    #[error(transparent)]
    Find(#[from] FindError),
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The files have problems; they are drawn, the message is the count.
    #[error("{}", reports.iter().filter(|r| r.errors() > 0).map(Report::count).collect::<Vec<_>>().join("; "))]
    Definition { reports: Vec<Report> },
    #[error("`--source {action}=...`: the pipeline has no source action of that name")]
    UnknownSource { action: String, known: Vec<String> },
    #[error("the source of action `{action}` is not there: {path}")]
    SourceMissing { action: String, path: PathBuf },
    #[error("the source of action `{action}` cannot be packed: {reason}")]
    SourcePack { action: String, reason: String },
    #[error("the source of action `{action}` cannot be cloned from {url}: {reason}")]
    SourceClone { action: String, url: String, reason: String },
    #[error("action `{action}` takes its source from {provider}, and nothing here can be asked for it")]
    SourceNeeded { action: String, provider: String },
    #[error("`--var {name}=...`: the pipeline declares no variable of that name")]
    UnknownVariable { name: String, known: Vec<String> },
    #[error("the pipeline's variable `{name}` has no default and no value")]
    VariableMissing { name: String },
    #[error("cannot prepare the data directory {path}")]
    DataDirectory { path: PathBuf, source: std::io::Error },
    #[error("`--approve ask` needs a terminal to ask on")]
    AskWithoutTerminal,
    #[error("nothing of this pipeline waits for approval")]
    NothingToApprove { pipeline: String, data: PathBuf },
    #[error("several approvals wait: {}", waiting.join(", "))]
    SeveralApprovals { waiting: Vec<String> },
    /// A template cannot be imported or run as it was asked.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The API refused something the command needed.
    #[error("cannot {doing}")]
    Api { doing: String, source: ApiError },
    /// A server, or AWS, refused or could not be asked.
    #[error("cannot {doing}")]
    Refused { doing: String, source: Refusal, hint: Option<String>, usage: bool },
    /// What the user asked for is not one thing: nothing of that name, or several.
    #[error("{message}")]
    Unclear { message: String, hint: String },
    /// The system could not be opened or served: data directory of a newer version, port in use, full disk.
    #[error("{message}")]
    System { message: String, hint: Option<String>, usage: bool },
}

impl ExpectedError {
    pub fn api(doing: impl Into<String>) -> impl FnOnce(ApiError) -> Self {
        let doing = doing.into();
        move |source| Self::Api { doing, source }
    }

    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Find(_)
            | Self::Read(_)
            | Self::Definition { .. }
            | Self::UnknownSource { .. }
            | Self::SourceMissing { .. }
            | Self::SourceNeeded { .. }
            | Self::UnknownVariable { .. }
            | Self::VariableMissing { .. }
            | Self::AskWithoutTerminal
            | Self::NothingToApprove { .. }
            | Self::SeveralApprovals { .. }
            | Self::Unclear { .. }
            | Self::Refused { usage: true, .. }
            | Self::System { usage: true, .. } => exit::USAGE,
            Self::Import(error) => error.exit_code(),
            Self::SourcePack { .. }
            | Self::SourceClone { .. }
            | Self::DataDirectory { .. }
            | Self::Api { .. }
            | Self::Refused { usage: false, .. }
            | Self::System { usage: false, .. } => exit::FAILED,
        }
    }

    /// What the user can do next.
    pub fn hint(&self) -> Option<String> {
        let known = |names: &[String], what: &str| match names {
            [] => format!("the pipeline has no {what}"),
            names => format!("the pipeline has {}", names.join(", ")),
        };
        Some(match self {
            Self::Find(FindError::Missing(_)) => "give a pipeline file or template, or a directory with one".to_owned(),
            Self::Find(FindError::NoPipeline(_)) => {
                "name it pipeline.json or pipeline.yaml, or give the file itself".to_owned()
            }
            Self::Find(FindError::Several { .. }) => "give the one that is meant".to_owned(),
            Self::Read(ReadError::NotUtf8 { .. }) => "save the file as UTF-8".to_owned(),
            Self::Read(_) | Self::Definition { .. } | Self::SourcePack { .. } => return None,
            Self::UnknownSource { known: names, .. } => known(names, "source action"),
            Self::UnknownVariable { known: names, .. } => known(names, "variables"),
            Self::SourceMissing { action, .. } => {
                format!(
                    "give its directory with `--source {action}=DIR`, or as `path` of [source.{action}] in towpath.toml"
                )
            }
            Self::SourceClone { action, .. } => format!(
                "clone it yourself and give the directory with `--source {action}=DIR`, or mend `url` and `branch` of \
                 [source.{action}] in towpath.toml"
            ),
            Self::SourceNeeded { action, provider } if provider == "CodeStarSourceConnection" => format!(
                "say in [connections.NAME] of towpath.toml how its git host is reached (docs/connections.md); or let a \
                 directory stand in for it with `--source {action}=DIR`, or with `path` (or `url` and `branch`) of \
                 [source.{action}]"
            ),
            Self::SourceNeeded { action, provider } => format!(
                "let a directory stand in for it with `--source {action}=DIR`, or with `path` (or `url` and `branch`) of \
                 [source.{action}] in towpath.toml; or name where {provider} is: `[realm.aws]` and `profile = \"...\"`"
            ),
            Self::VariableMissing { name } => format!("give one with `--var {name}=VALUE`"),
            Self::DataDirectory { .. } => "choose another place with `--data-dir`".to_owned(),
            Self::AskWithoutTerminal => "use `--approve all` or `--approve none`".to_owned(),
            Self::NothingToApprove { .. } => "`towpath run` with the same path starts an execution".to_owned(),
            Self::SeveralApprovals { .. } => "name the one that is meant with `--action NAME`".to_owned(),
            Self::Import(error) => return error.hint(),
            Self::Api { source, .. } => return api_hint(source),
            Self::Refused { hint, .. } | Self::System { hint, .. } => return hint.clone(),
            Self::Unclear { hint, .. } => hint.clone(),
        })
    }

    pub fn reports(&self) -> &[Report] {
        match self {
            Self::Definition { reports } => reports,
            _ => &[],
        }
    }

    /// The message, what caused it, and the hint; every line but the first is indented.
    pub fn render(&self) -> String {
        // Writing to a String cannot fail.
        let mut out = format!("error: {self}\n");
        let mut cause = std::error::Error::source(self);
        while let Some(source) = cause {
            let _ = writeln!(out, "  because: {source}");
            cause = source.source();
        }
        if let Some(hint) = self.hint() {
            let _ = writeln!(out, "  hint: {hint}");
        }
        out
    }
}

impl From<TemplateError> for ExpectedError {
    fn from(error: TemplateError) -> Self {
        match error {
            TemplateError::Read(error) => Self::Read(error),
            TemplateError::Invalid(report) => Self::Definition { reports: vec![*report] },
            TemplateError::NoStack { name, known } => Self::Import(ImportError::NoStack { name, known }),
        }
    }
}

impl From<LoadError> for ExpectedError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Read(error) => Self::Read(error),
            LoadError::Invalid(report) => Self::Definition { reports: vec![*report] },
        }
    }
}

fn api_hint(error: &ApiError) -> Option<String> {
    match error.code.as_str() {
        "ConcurrentPipelineExecutionsLimitExceededException" => {
            Some("wait for an execution to end, or stop one".to_owned())
        }
        "LimitExceededException" => Some("a row of [quotas] in towpath.toml lifts the limit".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_message_cause_and_hint() {
        let error = ExpectedError::Api {
            doing: "create the pipeline `demo`".into(),
            source: ApiError::new("LimitExceededException", "The limit of 1000 pipelines is reached."),
        };
        assert_eq!(
            error.render(),
            "error: cannot create the pipeline `demo`\n  because: The limit of 1000 pipelines is reached.\n  \
             hint: a row of [quotas] in towpath.toml lifts the limit\n"
        );
        assert_eq!(error.exit_code(), exit::FAILED);
        let error = ExpectedError::UnknownVariable { name: "x".into(), known: vec![] };
        assert_eq!(error.exit_code(), exit::USAGE);
        assert_eq!(error.hint().unwrap(), "the pipeline has no variables");
    }
}
