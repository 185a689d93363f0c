//! What a runner says about its build: `status.json`, rewritten at every change, and `collected.json`, written once
//! before the last change. Must not hold log lines (see `log.jsonl`) or anything secret.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The state of a build as its runner last wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Grows by one with every write.
    pub version: u64,
    /// In the order they began: PROVISIONING, DOWNLOAD_SOURCE, INSTALL, PRE_BUILD, BUILD, POST_BUILD, UPLOAD_ARTIFACTS.
    pub phases: Vec<PhaseRecord>,
    /// Set exactly once, by the last write.
    pub outcome: Option<Outcome>,
    /// Values at the end of POST_BUILD; a name that was never set is absent.
    pub exported_variables: Vec<(String, String)>,
    /// The commands are done and `collected.json` says what there is to upload. Not set where a failed phase
    /// means that CodeBuild does not attempt UPLOAD_ARTIFACTS.
    pub upload_artifacts: bool,
}

impl Status {
    /// The phase under way, or the last one.
    pub fn current_phase(&self) -> Option<&PhaseRecord> {
        self.phases.last()
    }

    /// The first phase that did not succeed.
    pub fn failed_phase(&self) -> Option<&PhaseRecord> {
        self.phases.iter().find(|phase| !matches!(phase.status, PhaseStatus::Succeeded | PhaseStatus::InProgress))
    }
}

/// One phase. PROVISIONING is the making of the sandbox and DOWNLOAD_SOURCE the reading of the buildspec: the service
/// joins both with its own share. UPLOAD_ARTIFACTS is the finding of the files; packing and upload are the service's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseRecord {
    #[serde(rename = "type")]
    pub phase_type: PhaseType,
    pub status: PhaseStatus,
    /// Epoch milliseconds.
    pub start_ms: u64,
    pub end_ms: Option<u64>,
    /// Whole seconds, rounded down.
    pub duration_seconds: Option<u64>,
    /// One with two empty strings after success, none after a stop.
    pub contexts: Vec<Context>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PhaseType {
    Provisioning,
    DownloadSource,
    Install,
    PreBuild,
    Build,
    PostBuild,
    UploadArtifacts,
}

impl PhaseType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::DownloadSource => "DOWNLOAD_SOURCE",
            Self::Install => "INSTALL",
            Self::PreBuild => "PRE_BUILD",
            Self::Build => "BUILD",
            Self::PostBuild => "POST_BUILD",
            Self::UploadArtifacts => "UPLOAD_ARTIFACTS",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PhaseStatus {
    InProgress,
    Succeeded,
    Failed,
    Fault,
    TimedOut,
    Stopped,
}

impl PhaseStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Fault => "FAULT",
            Self::TimedOut => "TIMED_OUT",
            Self::Stopped => "STOPPED",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Context {
    pub status_code: String,
    pub message: String,
}

impl Context {
    pub fn new(status_code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status_code: status_code.into(), message: message.into() }
    }
}

/// How it ended. CodeBuild reports `TimedOut` as buildStatus FAILED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    Succeeded,
    Failed,
    Stopped,
    TimedOut,
    Fault,
}

/// What came out of a build, beside its log and its variables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    pub artifacts: Vec<CollectedArtifact>,
    pub reports: Vec<ReportResult>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectedArtifact {
    /// None for the primary artifact.
    pub identifier: Option<String>,
    /// `artifacts.name` after the shell expanded it.
    pub name: Option<String>,
    pub s3_prefix: Option<String>,
    /// By path, ascending.
    pub files: Vec<ArtifactFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactFile {
    /// Inside the artifact, with `/`.
    pub path: String,
    /// On the host, absolute, symbolic links resolved unless `symlink` says to store the link.
    pub source: PathBuf,
    /// The link's target as it is to be stored; only with `enable-symlinks`.
    pub symlink: Option<String>,
}

/// One report of a build: what `BatchGetReports` and `DescribeTestCases` answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportResult {
    /// Group name or ARN, variables expanded. `JUNITXML-AutoDiscovered` where nobody asked for it.
    pub group: String,
    pub auto_discovered: bool,
    pub file_format: String,
    pub status: ReportStatus,
    /// Of all cases, kept or not.
    pub total: u64,
    pub counts: CaseCounts,
    pub duration_ns: u64,
    /// Failed ones first; at most CodeBuild's 500.
    pub cases: Vec<TestCase>,
    /// Some cases are counted and not kept.
    pub truncated: bool,
    /// Files read, relative to the source.
    pub files: Vec<String>,
    /// Why the status is INCOMPLETE.
    pub problem: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReportStatus {
    Succeeded,
    Failed,
    Incomplete,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseCounts {
    pub succeeded: u64,
    pub failed: u64,
    pub error: u64,
    pub skipped: u64,
    pub unknown: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestCase {
    pub name: String,
    pub prefix: String,
    pub test_suite_name: String,
    pub status: CaseStatus,
    pub duration_ns: u64,
    pub message: String,
    /// File it was read from, relative to the source.
    pub raw_data_path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CaseStatus {
    Succeeded,
    Failed,
    Error,
    Skipped,
    Unknown,
}
