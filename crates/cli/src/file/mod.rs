//! The pipeline file: finds it, reads JSON or YAML strictly, and can point any part of the declaration back to its
//! line. A pipeline of a CloudFormation template arrives in the same shape and points into the template. Whether the
//! pipeline may run is asked of the one validation function, passed in.

mod shape;
pub mod template;

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use towpath_model::declaration::PipelineDeclaration;

use crate::diagnostics::{Problem, Report, Severity};
use crate::document::shape::check;
use crate::document::{Node, ReadError, Span, Step, Text, Trail, json, locate, yaml};
use crate::host::{Segment, Violation};

/// The names looked for in a directory, in this order.
pub const NAMES: [&str; 3] = ["pipeline.json", "pipeline.yaml", "pipeline.yml"];

/// Where a pipeline is: the file, and the directory that its sources, configuration and data stand in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    pub file: PathBuf,
    pub directory: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum FindError {
    #[error("there is no file or directory `{0}`")]
    Missing(String),
    #[error("the directory `{0}` holds no pipeline file")]
    NoPipeline(String),
    #[error("the directory `{directory}` holds several pipeline files: {names}")]
    Several { directory: String, names: String },
}

/// Resolves what the user named: a pipeline file, or a directory with one.
pub fn find(path: &Path) -> Result<Location, FindError> {
    let shown = path.display().to_string();
    if path.is_dir() {
        let found: Vec<&str> = NAMES.into_iter().filter(|n| path.join(n).is_file()).collect();
        return match found.as_slice() {
            [] if template::is_cdk(path) => {
                Ok(Location { file: path.join(template::MANIFEST), directory: path.to_owned() })
            }
            [] => match template::NAMES.iter().map(|name| path.join(name)).find(|file| file.is_file()) {
                Some(file) => Ok(Location { file, directory: path.to_owned() }),
                None => Err(FindError::NoPipeline(shown)),
            },
            [one] => Ok(Location { file: path.join(one), directory: path.to_owned() }),
            several => Err(FindError::Several { directory: shown, names: several.join(", ") }),
        };
    }
    if !path.exists() {
        return Err(FindError::Missing(shown));
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(Location { file: path.to_owned(), directory: parent.to_owned() })
}

/// What a pipeline file says.
#[derive(Debug, Clone)]
pub struct PipelineFile {
    pub text: Text,
    root: Node,
    /// The declaration stands under `pipeline`.
    wrapped: bool,
    pub declaration: PipelineDeclaration,
    pub tags: Vec<(String, String)>,
    /// Problems that did not keep it from being understood (unknown fields, keys given twice).
    problems: Vec<Problem>,
}

impl PipelineFile {
    /// Reads text that was taken from a file. `Err` holds everything wrong with a text that is no declaration.
    pub fn parse(text: Text) -> Result<Self, Report> {
        let parsed = if is_json(&text) { json::parse(&text.text) } else { yaml::parse(&text.text) };
        match parsed {
            Ok(root) => Self::of(text, root),
            Err(error) => Err(Report::new(text, vec![Problem::syntax(error)])),
        }
    }

    /// A declaration from a tree whose values point into the text.
    pub fn of(text: Text, root: Node) -> Result<Self, Report> {
        let wrapped = root.get("pipeline").is_some();
        let object = if wrapped { &shape::WRAPPED } else { &shape::PIPELINE };
        let mut problems = Vec::new();
        let read = check(&root, &crate::document::shape::Shape::Object(object), &Trail::default(), &mut problems);
        let Some(mut read) = read else { return Err(Report::new(text, problems)) };
        let tags = tags(&read);
        let pipeline = if wrapped { read["pipeline"].take() } else { read };
        match serde_json::from_value(pipeline) {
            Ok(declaration) => Ok(Self { text, root, wrapped, declaration, tags, problems }),
            // The shape and the model's types say the same; this is what is left if they ever part.
            Err(error) => {
                problems.push(Problem {
                    severity: Severity::Error,
                    code: "unreadable".to_owned(),
                    trail: Trail::default(),
                    span: locate(&root, &Trail::default()),
                    message: format!("not a pipeline declaration: {error}"),
                    label: None,
                    hint: None,
                });
                Err(Report::new(text, problems))
            }
        }
    }

    /// The bytes to point at for a part of the declaration.
    pub fn span(&self, segments: &[Segment]) -> Span {
        locate(&self.root, &self.trail(segments))
    }

    fn trail(&self, segments: &[Segment]) -> Trail {
        let prefix = self.wrapped.then(|| Step::from("pipeline"));
        let steps = segments.iter().map(|s| match s {
            Segment::Key(key) => Step::Key(key.clone()),
            Segment::Index(index) => Step::Index(*index),
        });
        Trail(prefix.into_iter().chain(steps).collect())
    }

    /// The file's own problems and the given violations, together, in the order of the lines.
    pub fn report(&self, violations: Vec<Violation>) -> Report {
        let mut problems = self.problems.clone();
        problems.extend(violations.into_iter().map(|v| Problem {
            severity: Severity::Error,
            span: self.span(&v.path),
            trail: self.trail(&v.path),
            code: v.code,
            message: v.message,
            label: None,
            hint: v.hint,
        }));
        Report::new(self.text.clone(), problems)
    }

    /// The Region the pipeline lives in: the default one, unless the file itself says that it lives elsewhere.
    pub fn region(&self, default: &str) -> String {
        if let Some(stores) = &self.declaration.artifact_stores {
            return if stores.contains_key(default) { None } else { stores.keys().next().cloned() }
                .unwrap_or_else(|| default.to_owned());
        }
        // With a single store all actions stand in the pipeline's Region.
        let mut actions = self.declaration.stages.iter().flat_map(|s| &s.actions);
        actions.find_map(|a| a.region.clone()).unwrap_or_else(|| default.to_owned())
    }

    /// The account of the pipeline's role.
    pub fn account(&self, default: &str) -> String {
        let account = self.declaration.role_arn.split(':').nth(4).unwrap_or_default();
        let known = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        if known { account.to_owned() } else { default.to_owned() }
    }
}

/// A file is JSON by its name, or by its first character where the name does not tell.
fn is_json(text: &Text) -> bool {
    let extension = Path::new(&text.name).extension().map(|e| e.to_string_lossy().to_lowercase());
    match extension.as_deref() {
        Some("json") => true,
        Some("yaml" | "yml") => false,
        _ => text.text.trim_start().starts_with('{'),
    }
}

fn tags(read: &Json) -> Vec<(String, String)> {
    let text = |tag: &Json, key: &str| tag[key].as_str().unwrap_or_default().to_owned();
    let tags = read.get("tags").and_then(Json::as_array).into_iter().flatten();
    tags.map(|tag| (text(tag, "key"), text(tag, "value"))).collect()
}

/// Reads the file at a location.
pub fn read(location: &Location) -> Result<Text, ReadError> {
    Text::read(&location.file)
}
