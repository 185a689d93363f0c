//! `towpath validate`: everything wrong with a pipeline file, its towpath.toml and the buildspecs they name, at once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use towpath_model::declaration::{ActionDeclaration, ConditionType, PipelineDeclaration};

use crate::buildspec;
use crate::commands::import::ImportError;
use crate::config::{self, Config, LoadError, Loaded};
use crate::diagnostics::{Report, Severity, plural};
use crate::document::Text;
use crate::document::shape::did_you_mean;
use crate::errors::{ExpectedError, exit};
use crate::file::template::{self, Templates};
use crate::file::{self, Location, PipelineFile};
use crate::flow::trees::is_source;
use crate::host::Violation;
use crate::template::{Kind, Plan, Planned};
use crate::terminal::Terminal;

/// The one validation function, with the catalogue that the configuration switches on.
pub type Validate<'a> = &'a (dyn Fn(&PipelineDeclaration, &str, &Config) -> Vec<Violation> + Sync);

/// Where everything stands that a file does not say itself.
pub const DEFAULT_REGION: &str = "us-east-1";
pub const DEFAULT_ACCOUNT: &str = "123456789012";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// A pipeline that was read and found fit to run.
#[derive(Debug, Clone)]
pub struct Checked {
    pub location: Location,
    pub file: PipelineFile,
    pub config: Loaded,
    pub region: String,
    pub account: String,
    /// Warnings about the files.
    pub reports: Vec<Report>,
    /// What else the template declares, where the pipeline is a template's.
    pub template: Option<Plan>,
}

/// Reads and checks all files of a pipeline. `Err` is everything found, where there is at least one error.
pub fn check(path: &Path, config: Option<&Path>, validate: Validate<'_>) -> Result<Checked, ExpectedError> {
    check_as(path, config, &template::Options::default(), validate)
}

/// The same, with what is asked of a template.
pub fn check_as(
    path: &Path,
    config: Option<&Path>,
    options: &template::Options,
    validate: Validate<'_>,
) -> Result<Checked, ExpectedError> {
    let location = file::find(path)?;
    let mut reports = Vec::new();
    let config = match Loaded::beside(&location.directory, config) {
        Ok(config) => Some(config),
        Err(LoadError::Invalid(report)) => {
            reports.push(*report);
            None
        }
        Err(LoadError::Read(error)) => return Err(error.into()),
    };
    let read = match template::read(&location, options) {
        Ok(Some(templates)) => of_template(&templates, options),
        Ok(None) => pipeline_file(&location, options),
        Err(error) => Err(error.into()),
    };
    let Source { file, region, account, template } = match read {
        Ok(source) => source,
        Err(ExpectedError::Definition { reports: found }) => {
            reports.splice(0..0, found);
            return Err(ExpectedError::Definition { reports });
        }
        Err(error) => return Err(error),
    };
    // With a broken configuration, whether the rehearsal provider is on is not known; leave no false errors.
    let assumed = || Config { rehearsal: config::Rehearsal { enabled: true }, ..Config::default() };
    let known = config.as_ref().map_or_else(assumed, |c| c.config.clone());
    reports.insert(0, file.report(validate(&file.declaration, &region, &known)));
    if let Some(config) = &config {
        reports.extend(unknown_names(&file.declaration, config));
        reports.extend(buildspecs(&file.declaration, config, &location, template.as_ref()));
    }
    reports.retain(|r| !r.problems.is_empty());
    match config {
        Some(config) if reports.iter().all(|r| r.errors() == 0) => {
            Ok(Checked { location, file, config, region, account, reports, template })
        }
        _ => Err(ExpectedError::Definition { reports }),
    }
}

/// A declaration and where it lives.
struct Source {
    file: PipelineFile,
    region: String,
    account: String,
    template: Option<Plan>,
}

fn pipeline_file(location: &Location, options: &template::Options) -> Result<Source, ExpectedError> {
    if *options != template::Options::default() {
        return Err(ImportError::NotATemplate { path: location.file.clone(), asked: true }.into());
    }
    let file = PipelineFile::parse(file::read(location)?)
        .map_err(|report| ExpectedError::Definition { reports: vec![report] })?;
    let (region, account) = (file.region(DEFAULT_REGION), file.account(DEFAULT_ACCOUNT));
    Ok(Source { file, region, account, template: None })
}

/// The one pipeline of a template, or the one that was named.
fn of_template(templates: &Templates, options: &template::Options) -> Result<Source, ExpectedError> {
    let region = templates.region.clone().unwrap_or_else(|| DEFAULT_REGION.to_owned());
    let account = templates.account.clone().unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned());
    let inputs = options.inputs(&account, &region);
    let plan = crate::template::plan(&templates.stacks, &inputs);
    let plan = plan.map_err(|reports| ExpectedError::Definition { reports })?;
    let names = || plan.pipelines().map(|p| p.name.clone()).collect();
    let is_meant = |p: &&Planned| options.pipeline.as_ref().is_none_or(|name| *name == p.name || *name == p.logical);
    let meant: Vec<&Planned> = plan.pipelines().filter(is_meant).collect();
    let pipeline = match (meant.as_slice(), &options.pipeline) {
        ([one], _) => *one,
        ([], Some(name)) => return Err(ImportError::NoSuchPipeline { name: name.clone(), known: names() }.into()),
        ([], None) => return Err(ImportError::NoPipeline.into()),
        _ => return Err(ImportError::SeveralPipelines { known: names() }.into()),
    };
    let text = templates.stacks[pipeline.stack].template.text.clone();
    let file = PipelineFile::of(text, pipeline.declaration())
        .map_err(|report| ExpectedError::Definition { reports: vec![report] })?;
    Ok(Source { file, region, account, template: Some(plan) })
}

/// The command.
pub fn run(
    path: &Path,
    config: Option<&Path>,
    options: &template::Options,
    format: Format,
    validate: Validate<'_>,
    terminal: &mut Terminal,
) -> Result<u8, ExpectedError> {
    let (reports, summary) = match check_as(path, config, options, validate) {
        Ok(checked) => (checked.reports.clone(), Some(summary(&checked))),
        Err(ExpectedError::Definition { reports }) => (reports, None),
        Err(other) => return Err(other),
    };
    let (errors, warnings) = totals(&reports);
    match format {
        Format::Json => {
            let violations: Vec<Json> = reports.iter().flat_map(Report::json).collect();
            let document =
                json!({"valid": errors == 0, "errors": errors, "warnings": warnings, "violations": violations});
            terminal.result(&format!("{document:#}\n"));
        }
        Format::Text => {
            let drawing = terminal.drawing_out();
            for report in &reports {
                terminal.result(&report.draw(drawing));
            }
            for report in &reports {
                terminal.result(&format!("{}\n", report.count()));
            }
            if let Some(summary) = summary {
                terminal.result(&summary);
            }
        }
    }
    Ok(if errors == 0 { exit::SUCCEEDED } else { exit::USAGE })
}

fn totals(reports: &[Report]) -> (usize, usize) {
    reports.iter().fold((0, 0), |(e, w), r| (e + r.errors(), w + r.warnings()))
}

fn summary(checked: &Checked) -> String {
    let declaration = &checked.file.declaration;
    let actions = declaration.stages.iter().map(|s| s.actions.len()).sum();
    format!(
        "{}: valid: pipeline `{}` with {} and {}\n",
        checked.file.text.name,
        declaration.name,
        plural(declaration.stages.len(), "stage"),
        plural(actions, "action"),
    )
}

/// Actions of the pipeline with their numbers, in order.
pub fn actions(declaration: &PipelineDeclaration) -> impl Iterator<Item = &ActionDeclaration> {
    declaration.stages.iter().flat_map(|s| &s.actions)
}

pub fn is_s3_source(action: &ActionDeclaration) -> bool {
    action.action_type_id.category.as_str() == "Source" && action.action_type_id.provider == "S3"
}

pub fn is_codebuild(action: &ActionDeclaration) -> bool {
    action.action_type_id.provider == "CodeBuild" && action.action_type_id.owner.as_str() == "AWS"
}

/// The CodeBuild projects that a pipeline's actions and rules name, without those whose name is a variable.
pub fn projects(declaration: &PipelineDeclaration) -> BTreeSet<&str> {
    let of_actions = actions(declaration).filter(|a| is_codebuild(a)).filter_map(|a| a.config("ProjectName"));
    let gates = declaration.stages.iter().flat_map(|s| ConditionType::ALL.into_iter().filter_map(|g| s.condition(g)));
    let rules = gates.flat_map(|condition| condition.rules.iter().flatten());
    let of_rules = rules.filter(|r| r.rule_type_id.provider == "CodeBuild").filter_map(|r| {
        let configuration = r.configuration.as_ref()?;
        configuration.get("ProjectName").map(String::as_str)
    });
    of_actions.chain(of_rules).filter(|name| !name.contains("#{")).collect()
}

/// Tables of towpath.toml that name nothing in the pipeline: a mistyped source would silently be the wrong directory.
fn unknown_names(declaration: &PipelineDeclaration, loaded: &Loaded) -> Vec<Report> {
    let sources: Vec<&str> = actions(declaration).filter(|a| is_source(a)).map(|a| a.name.as_str()).collect();
    let projects = projects(declaration);
    let suggest = |name: &str, known: &mut dyn Iterator<Item = &str>| -> Option<String> {
        let known: Vec<String> = known.map(str::to_owned).collect();
        let near = did_you_mean(name, known.iter().map(String::as_str)).map(|n| format!("did you mean `{n}`?"));
        near.or_else(|| (!known.is_empty()).then(|| format!("the pipeline has {}", known.join(", "))))
    };
    let wrong_sources = loaded.config.sources.keys().filter(|n| !sources.contains(&n.as_str())).filter_map(|name| {
        let message = format!("the pipeline has no source action `{name}`");
        loaded.problem(Severity::Error, &["source", name], message, suggest(name, &mut sources.iter().copied()))
    });
    let wrong_projects = loaded.config.projects.keys().filter(|n| !projects.contains(n.as_str())).filter_map(|name| {
        let message = format!("no action of the pipeline runs the CodeBuild project `{name}`");
        let hint = suggest(name, &mut projects.iter().copied());
        loaded.problem(Severity::Warning, &["codebuild", name], message, hint)
    });
    merge(wrong_sources.chain(wrong_projects).collect())
}

/// Reports on one file become one.
fn merge(reports: Vec<Report>) -> Vec<Report> {
    let mut merged: Vec<Report> = Vec::new();
    for report in reports {
        match merged.iter_mut().find(|m| m.text.name == report.text.name) {
            Some(known) => {
                let problems = known.problems.drain(..).chain(report.problems).collect();
                *known = Report::new(known.text.clone(), problems);
            }
            None => merged.push(report),
        }
    }
    merged
}

/// Where the source of a source action comes from: the configured path, else the pipeline's directory.
pub fn source_path(action: &str, loaded: &Loaded, location: &Location) -> PathBuf {
    match loaded.config.sources.get(action).and_then(|s| s.path.as_deref()) {
        Some(path) => loaded.directory.join(path),
        None => location.directory.clone(),
    }
}

/// Warnings about the buildspecs of the projects, where their text can be found: inline, or in the directory of the
/// source that feeds the build directly.
fn buildspecs(
    declaration: &PipelineDeclaration,
    loaded: &Loaded,
    location: &Location,
    template: Option<&Plan>,
) -> Vec<Report> {
    let mut seen = BTreeSet::new();
    let mut reports = Vec::new();
    for action in actions(declaration).filter(|a| is_codebuild(a)) {
        let Some(project) = action.config("ProjectName") else { continue };
        let configured = loaded.config.projects.get(project).and_then(|p| p.buildspec.as_deref());
        let planned =
            template.and_then(|plan| plan.items.iter().find(|i| i.kind == Kind::Project && i.name == project));
        let configured = configured.or_else(|| planned.and_then(|p| p.body["source"]["buildspec"].as_str()));
        let spec = action.config("BuildspecOverride").or(configured).unwrap_or("buildspec.yml");
        if spec.contains("#{") || spec.starts_with("arn:") {
            continue;
        }
        if spec.contains(['\n', '{']) {
            if seen.insert(format!("{project}:inline")) {
                reports.push(buildspec::warnings(Text::new(format!("buildspec of project {project}"), spec)));
            }
            continue;
        }
        let Some(source) = primary_source(declaration, action) else { continue };
        let path = source_path(source.name.as_str(), loaded, location).join(spec);
        if path.is_file()
            && seen.insert(path.display().to_string())
            && let Ok(text) = Text::read(&path)
        {
            reports.push(buildspec::warnings(text));
        }
    }
    reports
}

/// The source action that a build gets its primary source from, if it comes straight from one.
fn primary_source<'a>(
    declaration: &'a PipelineDeclaration,
    action: &ActionDeclaration,
) -> Option<&'a ActionDeclaration> {
    let input = action.config("PrimarySource").or_else(|| action.input_artifacts.first().map(|a| a.name.as_str()))?;
    let producer = actions(declaration).find(|a| a.output_artifacts.iter().any(|o| o.name == *input))?;
    is_source(producer).then_some(producer)
}
