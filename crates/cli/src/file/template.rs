//! Finds the templates that a path means: one file, or the directory that `cdk synth` writes. Reads files and nothing
//! else; what they say is for `template` to find out.

use std::path::{Component, Path, PathBuf};

use serde_json::Value as Json;

use super::Location;
use crate::diagnostics::{Problem, Report};
use crate::document::{ReadError, Span, SyntaxError, Text};
use crate::limits;
use crate::template::{Stack, Template, is_one, looks_like_one};

/// What CDK writes beside its templates.
pub const MANIFEST: &str = "manifest.json";

/// The names looked for in a directory that has no pipeline file.
pub const NAMES: [&str; 3] = ["template.yaml", "template.yml", "template.json"];

/// What is asked of templates beside their path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    pub parameters: Vec<(String, String)>,
    pub imports: Vec<(String, String)>,
    pub attributes: Vec<(String, String)>,
    /// What the stack of a single template is called.
    pub stack_name: Option<String>,
    /// Which of several stacks are meant; all where it is empty.
    pub stacks: Vec<String>,
    /// Which of several pipelines is meant.
    pub pipeline: Option<String>,
}

impl Options {
    /// The options that say the same on a command line.
    pub fn words(&self) -> Vec<(&'static str, String)> {
        let pairs = |option, given: &[(String, String)]| -> Vec<(&'static str, String)> {
            given.iter().map(|(name, value)| (option, format!("{name}={value}"))).collect()
        };
        let mut words = pairs("--parameter", &self.parameters);
        words.extend(pairs("--import", &self.imports));
        words.extend(pairs("--attribute", &self.attributes));
        words.extend(self.stack_name.iter().map(|name| ("--stack-name", name.clone())));
        words.extend(self.stacks.iter().map(|name| ("--stack", name.clone())));
        words.extend(self.pipeline.iter().map(|name| ("--pipeline", name.clone())));
        words
    }

    pub fn inputs(&self, account: &str, region: &str) -> crate::template::Inputs {
        crate::template::Inputs {
            account: account.to_owned(),
            region: region.to_owned(),
            parameters: self.parameters.iter().cloned().collect(),
            imports: self.imports.iter().cloned().collect(),
            attributes: self.attributes.iter().cloned().collect(),
        }
    }
}

/// The stacks of a path, in the order in which they are deployed.
#[derive(Debug, Clone)]
pub struct Templates {
    pub stacks: Vec<Stack>,
    /// Account and Region that CDK was told, where all stacks agree on them.
    pub account: Option<String>,
    pub region: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{}", .0.count())]
    Invalid(Box<Report>),
    #[error("the app has no stack `{name}`")]
    NoStack { name: String, known: Vec<String> },
}

/// A directory that `cdk synth` has written.
pub fn is_cdk(directory: &Path) -> bool {
    directory.join(MANIFEST).is_file()
}

/// Reads the templates of a location; `None` where it is a pipeline file.
pub fn read(location: &Location, options: &Options) -> Result<Option<Templates>, TemplateError> {
    if location.file.file_name().is_some_and(|name| name == MANIFEST) {
        return app(location, options).map(Some);
    }
    let text = Text::read(&location.file)?;
    let template = if text.text.trim_start().starts_with('{') {
        // JSON says what it is once it is read; what is not JSON at all is told by whoever reads it next.
        match crate::document::json::parse(&text.text) {
            Ok(root) if is_one(&root) => Template::of(text, root),
            _ => return Ok(None),
        }
    } else if looks_like_one(&text.text) {
        Template::parse(text)
    } else {
        return Ok(None);
    };
    let template = template.map_err(|report| TemplateError::Invalid(Box::new(report)))?;
    let name = options.stack_name.clone().unwrap_or_else(|| stack_name(&location.file));
    Ok(Some(Templates { stacks: vec![Stack { name, template }], account: None, region: None }))
}

/// `dir/shop.template.json` is the stack `shop`; names of stacks are letters, digits and hyphens.
fn stack_name(file: &Path) -> String {
    let stem = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = stem.strip_suffix(".template").unwrap_or(&stem);
    // A template's own directory says more than `template.yaml`.
    let parent = file.parent().and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned());
    let name = if stem == "template" { parent.unwrap_or_else(|| stem.to_owned()) } else { stem.to_owned() };
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = name.trim_matches('-');
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name.to_owned() } else { format!("stack-{name}") }
}

/// One stack as the manifest lists it.
struct Listed {
    artifact: String,
    name: String,
    file: PathBuf,
    environment: Option<(String, String)>,
    needs: Vec<String>,
}

fn app(location: &Location, options: &Options) -> Result<Templates, TemplateError> {
    let text = Text::read(&location.file)?;
    let wrong = |message: String| {
        let span = Span::new(0, 1.min(text.text.len()));
        let problem =
            Problem::syntax(SyntaxError { span, message, hint: Some("write it again with `cdk synth`".to_owned()) });
        TemplateError::Invalid(Box::new(Report::new(text.clone(), vec![problem])))
    };
    let manifest: Json =
        serde_json::from_str(&text.text).map_err(|error| wrong(format!("not a manifest of CDK: {error}")))?;
    let listed = listed(&manifest).map_err(wrong)?;
    let known: Vec<String> = listed.iter().map(|l| l.name.clone()).collect();
    if listed.is_empty() {
        return Err(wrong("the app has no stacks".to_owned()));
    }
    if let Some(name) = options.stacks.iter().find(|s| !listed.iter().any(|l| l.is(s))) {
        return Err(TemplateError::NoStack { name: name.clone(), known });
    }
    let mut templates = Templates { stacks: Vec::new(), account: None, region: None };
    let mut environments = Vec::new();
    for one in in_order(listed) {
        if !options.stacks.is_empty() && !options.stacks.iter().any(|s| one.is(s)) {
            continue;
        }
        let text = Text::read(&location.directory.join(&one.file))?;
        let template = Template::parse(text).map_err(|report| TemplateError::Invalid(Box::new(report)))?;
        environments.push(one.environment);
        templates.stacks.push(Stack { name: one.name, template });
    }
    if let Some(Some((account, region))) = environments.first()
        && environments.iter().all(|e| e.as_ref() == Some(&(account.clone(), region.clone())))
    {
        templates.account = Some(account.clone()).filter(|a| a != "unknown-account");
        templates.region = Some(region.clone()).filter(|r| r != "unknown-region");
    }
    Ok(templates)
}

impl Listed {
    fn is(&self, name: &str) -> bool {
        self.name == name || self.artifact == name
    }
}

fn listed(manifest: &Json) -> Result<Vec<Listed>, String> {
    let artifacts = manifest["artifacts"].as_object().ok_or("it lists no artifacts")?;
    let mut listed = Vec::new();
    for (artifact, entry) in artifacts.iter().filter(|(_, e)| e["type"] == "aws:cloudformation:stack") {
        let properties = &entry["properties"];
        let file = properties["templateFile"].as_str().ok_or_else(|| format!("`{artifact}` names no template"))?;
        let file = PathBuf::from(file);
        if !file.components().all(|c| matches!(c, Component::Normal(_))) {
            return Err(format!("the template of `{artifact}` is outside of the app's directory"));
        }
        let environment = entry["environment"].as_str().and_then(|e| e.strip_prefix("aws://")?.split_once('/'));
        let needs = entry["dependencies"].as_array().into_iter().flatten();
        listed.push(Listed {
            artifact: artifact.clone(),
            name: properties["stackName"].as_str().unwrap_or(artifact).to_owned(),
            file,
            environment: environment.map(|(account, region)| (account.to_owned(), region.to_owned())),
            needs: needs.filter_map(Json::as_str).map(str::to_owned).collect(),
        });
        if listed.len() > limits::STACKS_MAX {
            return Err(format!("the app has more than {} stacks", limits::STACKS_MAX));
        }
    }
    Ok(listed)
}

/// What a stack needs comes before it; CDK lets nothing go round in circles.
fn in_order(mut left: Vec<Listed>) -> Vec<Listed> {
    let mut ordered: Vec<Listed> = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let waits = |one: &Listed| one.needs.iter().any(|n| left.iter().any(|l| l.artifact == *n));
        let next = left.iter().position(|one| !waits(one)).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stacks_are_named_after_their_files() {
        for (file, name) in [
            ("shop.template.json", "shop"),
            ("infra/pipe line.yaml", "pipe-line"),
            ("my-app/template.yaml", "my-app"),
            ("1.json", "stack-1"),
        ] {
            assert_eq!(stack_name(Path::new(file)), name);
        }
    }

    #[test]
    fn a_manifest_is_read_in_the_order_of_needs() {
        let manifest = json!({"artifacts": {
            "B.assets": {"type": "cdk:asset-manifest"},
            "B": {"type": "aws:cloudformation:stack", "environment": "aws://1/eu-west-1", "dependencies": ["A", "B.assets"],
                  "properties": {"templateFile": "B.template.json"}},
            "A": {"type": "aws:cloudformation:stack", "properties": {"templateFile": "A.template.json", "stackName": "base"}},
        }});
        let names: Vec<String> = in_order(listed(&manifest).unwrap()).into_iter().map(|l| l.name).collect();
        assert_eq!(names, ["base", "B"]);
        let outside = json!({"artifacts": {"A": {"type": "aws:cloudformation:stack",
            "properties": {"templateFile": "../../etc/passwd"}}}});
        assert!(listed(&outside).is_err_and(|e| e.contains("outside")));
    }
}
