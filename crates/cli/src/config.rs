//! `towpath.toml`: one schema for `run`, found beside the pipeline, and `serve --config`. Read strictly; a name that
//! belongs to a later version says so.

mod connection;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use towpath_model::secret::Secret;

use crate::diagnostics::{Problem, Report, Severity};
use crate::document::shape::{Object, Shape, check, optional, required};
use crate::document::{Node, ReadError, Text, Trail, locate, toml};

pub use connection::Connection;

/// The name looked for beside a pipeline file.
pub const NAME: &str = "towpath.toml";

static FILE: Object = Object {
    what: "towpath.toml",
    fields: &[
        optional("source", Shape::Map(&Shape::Object(&SOURCE))),
        optional("codebuild", Shape::Map(&Shape::Object(&PROJECT))),
        optional("images", Shape::Map(&Shape::Text)),
        optional("sandbox", Shape::Object(&SANDBOX)),
        optional("quotas", Shape::Object(&QUOTAS)),
        optional("rehearsal", Shape::Object(&REHEARSAL)),
        optional("retention", Shape::Object(&RETENTION)),
        optional("connections", Shape::Map(&Shape::Object(&connection::CONNECTION))),
        optional("functions", Shape::Map(&Shape::Object(&FUNCTION))),
        optional("realm", Shape::Map(&Shape::Object(&REALM))),
        optional("third-party", Shape::Map(&Shape::Object(&THIRD_PARTY))),
    ],
};

static SOURCE: Object = Object {
    what: "a source",
    fields: &[
        optional("path", Shape::Text),
        optional("url", Shape::Text),
        optional("branch", Shape::Text),
        optional("github-url", Shape::Text),
    ],
};

static PROJECT: Object = Object {
    what: "a CodeBuild project",
    fields: &[
        optional("buildspec", Shape::Text),
        optional("image", Shape::Text),
        optional(
            "compute-type",
            Shape::Choice(&[
                "BUILD_GENERAL1_SMALL",
                "BUILD_GENERAL1_MEDIUM",
                "BUILD_GENERAL1_LARGE",
                "BUILD_GENERAL1_XLARGE",
                "BUILD_GENERAL1_2XLARGE",
            ]),
        ),
        optional("environment", Shape::Map(&Shape::Text)),
        // CodeBuild's own bounds.
        optional("timeout-minutes", Shape::Whole(5, 2160)),
    ],
};

static FUNCTION: Object = Object {
    what: "a function",
    fields: &[
        required("path", Shape::Text),
        required("runtime", Shape::Text),
        required("handler", Shape::Text),
        optional("role", Shape::Text),
        optional("environment", Shape::Map(&Shape::Text)),
        // Lambda's own bounds: seconds and megabytes.
        optional("timeout", Shape::Whole(1, 900)),
        optional("memory", Shape::Whole(128, 10_240)),
    ],
};

static SANDBOX: Object = Object {
    what: "the sandbox",
    fields: &[optional("kind", Shape::Choice(&["host", "bubblewrap", "container", "kubernetes"]))],
};

static QUOTAS: Object = Object {
    what: "the quotas",
    fields: &[
        optional("custom-action-types-per-region", Shape::Whole(1, 100_000)),
        optional("pipelines-per-region", Shape::Whole(1, 100_000_000)),
        optional("webhooks-per-region", Shape::Whole(1, 100_000)),
    ],
};

static RETENTION: Object =
    Object { what: "the retention", fields: &[optional("history-days", Shape::Whole(1, 36_500))] };

static REALM: Object = Object {
    what: "a realm",
    fields: &[
        optional("url", Shape::Text),
        optional("endpoints", Shape::Map(&Shape::Text)),
        optional("access-key-id", Shape::Text),
        optional("secret-access-key", Shape::Text),
        optional("session-token", Shape::Text),
        optional("profile", Shape::Text),
        optional("region", Shape::Text),
        optional("roles", Shape::Map(&Shape::Text)),
        optional("assume-roles", Shape::Flag),
        optional("staging-bucket", Shape::Text),
        optional("staging-buckets", Shape::Map(&Shape::Text)),
        optional("staging-kms-key", Shape::Text),
        optional("jobs-by-id", Shape::Flag),
        optional("providers", Shape::List(&Shape::Text)),
        optional("accounts", Shape::List(&Shape::Text)),
        optional("regions", Shape::List(&Shape::Text)),
    ],
};

static THIRD_PARTY: Object = Object {
    what: "a third party",
    fields: &[required("client-id", Shape::Text), required("client-token", Shape::Text)],
};

static REHEARSAL: Object = Object { what: "the rehearsal provider", fields: &[optional("enabled", Shape::Flag)] };

/// What the file says; `Default` is what holds without one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Config {
    #[serde(rename = "source")]
    pub sources: BTreeMap<String, Source>,
    #[serde(rename = "codebuild")]
    pub projects: BTreeMap<String, Project>,
    /// Image names as pipelines and projects write them, to the names a container engine knows.
    pub images: BTreeMap<String, String>,
    pub functions: BTreeMap<String, Function>,
    /// Connections to git hosts.
    pub connections: BTreeMap<String, Connection>,
    pub sandbox: Sandbox,
    pub quotas: Quotas,
    pub rehearsal: Rehearsal,
    pub retention: Retention,
    /// In the order of their names, which is the order in which they are tried.
    #[serde(rename = "realm")]
    pub realms: BTreeMap<String, Realm>,
    /// Who partners' job workers are, by provider.
    #[serde(rename = "third-party")]
    pub third_parties: BTreeMap<String, ThirdParty>,
}

/// The pair by which a partner's job worker is known.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ThirdParty {
    /// A UUID.
    pub client_id: String,
    pub client_token: Secret,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Source {
    /// A directory or file; a relative one starts at the directory of towpath.toml.
    pub path: Option<PathBuf>,
    /// What is cloned where there is no `path`.
    pub url: Option<String>,
    /// The branch that is cloned; the repository's default one when absent.
    pub branch: Option<String>,
    /// Of a GitHub (version 1) source: the GitHub that it is on, such as a GitHub Enterprise Server.
    pub github_url: Option<String>,
}

impl Source {
    pub const fn is_somewhere(&self) -> bool {
        self.path.is_some() || self.url.is_some()
    }
}

/// How `run` creates a CodeBuild project that a pipeline names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Project {
    /// A path in the source, or the buildspec itself.
    pub buildspec: Option<String>,
    pub image: Option<String>,
    pub compute_type: Option<String>,
    pub environment: BTreeMap<String, String>,
    pub timeout_minutes: Option<u32>,
}

/// A Lambda function that is there when the system is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Function {
    /// The directory of its code; a relative one starts at the directory of towpath.toml.
    pub path: PathBuf,
    pub runtime: String,
    pub handler: String,
    /// Its execution role; made where none is named.
    #[serde(default)]
    pub role: Option<String>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Seconds.
    #[serde(default)]
    pub timeout: Option<u32>,
    /// Megabytes.
    #[serde(default)]
    pub memory: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxKind {
    /// On this machine, as this user.
    Host,
    /// On this machine, behind bubblewrap.
    Bubblewrap,
    /// In a container of Docker or Podman.
    Container,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Sandbox {
    pub kind: Option<SandboxKind>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Quotas {
    pub custom_action_types_per_region: Option<u32>,
    pub pipelines_per_region: Option<u32>,
    pub webhooks_per_region: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Rehearsal {
    pub enabled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Retention {
    /// Days that an execution's history is kept after its end; AWS's twelve months when absent.
    pub history_days: Option<u32>,
}

/// Where services are that Towpath does not embed, or that some actions are to find elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Realm {
    /// One endpoint for all services.
    pub url: Option<String>,
    /// Endpoints by service.
    pub endpoints: BTreeMap<String, String>,
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<Secret>,
    pub session_token: Option<Secret>,
    /// A profile of AWS's configuration files, instead of keys.
    pub profile: Option<String>,
    /// The Region that is asked there, whatever the action's is.
    pub region: Option<String>,
    /// Roles by the ARN a pipeline names, to the ARN that is assumed there.
    pub roles: BTreeMap<String, String>,
    /// `false`: calls are made with the realm's own keys.
    pub assume_roles: bool,
    /// Where artifacts are put for services that do not see the artifact store.
    pub staging_bucket: Option<String>,
    /// The same for single Regions of the realm.
    pub staging_buckets: BTreeMap<String, String>,
    /// The KMS key there that staged artifacts are encrypted with.
    pub staging_kms_key: Option<String>,
    /// A function there may answer its job by the job's id alone.
    pub jobs_by_id: bool,
    pub providers: Vec<String>,
    pub accounts: Vec<String>,
    pub regions: Vec<String>,
}

impl Default for Realm {
    fn default() -> Self {
        Self {
            url: None,
            endpoints: BTreeMap::new(),
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            profile: None,
            region: None,
            roles: BTreeMap::new(),
            assume_roles: true,
            staging_bucket: None,
            staging_buckets: BTreeMap::new(),
            staging_kms_key: None,
            jobs_by_id: false,
            providers: Vec::new(),
            accounts: Vec::new(),
            regions: Vec::new(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{}", .0.count())]
    Invalid(Box<Report>),
}

/// A configuration with the text it came from, so that later findings can point into it.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    pub config: Config,
    source: Option<(Text, Node)>,
    /// What relative paths start at.
    pub directory: PathBuf,
}

impl Loaded {
    /// Reads the named file, or the one beside the pipeline where there is one.
    pub fn beside(directory: &Path, named: Option<&Path>) -> Result<Self, LoadError> {
        match named {
            Some(file) => Self::read(file),
            None if directory.join(NAME).is_file() => Self::read(&directory.join(NAME)),
            None => Ok(Self { directory: directory.to_owned(), ..Self::default() }),
        }
    }

    pub fn read(file: &Path) -> Result<Self, LoadError> {
        let directory = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        let loaded = Self::parse(Text::read(file)?).map_err(|report| LoadError::Invalid(Box::new(report)))?;
        let mut loaded = Self { directory, ..loaded };
        for function in loaded.config.functions.values_mut() {
            function.path = loaded.directory.join(&function.path);
        }
        Ok(loaded)
    }

    pub fn parse(text: Text) -> Result<Self, Report> {
        let root = match toml::parse(&text.text) {
            Ok(root) => root,
            Err(error) => return Err(Report::new(text, vec![Problem::syntax(error)])),
        };
        let mut problems = Vec::new();
        let read = check(&root, &Shape::Object(&FILE), &Trail::default(), &mut problems);
        let kind = Trail(vec!["sandbox".into(), "kind".into()]);
        if root.get("sandbox").and_then(|s| s.get("kind")).and_then(Node::text) == Some("kubernetes") {
            problems.push(Problem {
                severity: Severity::Error,
                code: "not-in-this-version".to_owned(),
                span: locate(&root, &kind),
                trail: kind,
                message: "builds on Kubernetes are not in this version of Towpath yet".to_owned(),
                label: Some("not in this version".to_owned()),
                hint: Some("use \"container\", with Docker or Podman on this machine".to_owned()),
            });
        }
        match read {
            Some(read) if problems.is_empty() => match serde_json::from_value(read) {
                Ok(config) => Ok(Self { config, source: Some((text, root)), directory: PathBuf::from(".") }),
                Err(error) => Err(Report::new(
                    text,
                    vec![Problem::syntax(crate::document::SyntaxError {
                        span: root.span,
                        message: format!("not a configuration: {error}"),
                        hint: None,
                    })],
                )),
            },
            _ => Err(Report::new(text, problems)),
        }
    }

    /// A problem at a place of the file, found by somebody who knows the pipeline. None without a file.
    pub fn problem(&self, severity: Severity, trail: &[&str], message: String, hint: Option<String>) -> Option<Report> {
        let (text, root) = self.source.as_ref()?;
        let trail = Trail(trail.iter().map(|k| (*k).into()).collect());
        let code = match severity {
            Severity::Error => "unknown-name",
            Severity::Warning => "unused",
        };
        let problem =
            Problem { severity, code: code.to_owned(), span: locate(root, &trail), trail, message, label: None, hint };
        Some(Report::new(text.clone(), vec![problem]))
    }
}
