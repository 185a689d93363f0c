//! From the YAML tree to a [`Buildspec`]. Every key of the grammar is named here and nowhere else.

use super::fields::{Fields, Result, error, strings, text};
use super::{
    ArtifactSpec, Artifacts, Buildspec, BuildspecError, Cache, CacheAction, Env, OnFailure, Parsed, Phase, PhaseKind,
    Report, Version, Warning,
};
use crate::limits::REPORT_GROUPS_MAX;
use crate::yaml::{self, Node, Value};

const FALLBACK_KEYS_MAX: usize = 5;
const REPORT_FORMATS: [&str; 10] = [
    "JUNITXML",
    "CUCUMBERJSON",
    "NUNITXML",
    "NUNIT3XML",
    "TESTNGXML",
    "VISUALSTUDIOTRX",
    "CLOVERXML",
    "COBERTURAXML",
    "JACOCOXML",
    "SIMPLECOV",
];
const SHELLS: [&str; 6] = ["bash", "/bin/bash", "sh", "/bin/sh", "powershell.exe", "cmd.exe"];

/// Reads a buildspec as CodeBuild does.
pub fn parse(text: &str) -> Result<Parsed> {
    let root =
        yaml::read(text).map_err(|error| BuildspecError { line: Some(error.line), message: error.to_string() })?;
    if !matches!(root.value, Value::Map(_)) {
        return error(
            root.line,
            format!("Expected the buildspec to be a map: found {} instead at line {}", root.kind(), root.line),
        );
    }
    let mut warnings = Vec::new();
    let mut top = Fields::of(&root, "")?;
    let version = version(&mut top)?;
    let buildspec = Buildspec {
        version,
        run_as: top.string("run-as")?,
        env: env(&mut top, version, &mut warnings)?,
        phases: phases(&mut top, &mut warnings)?,
        reports: reports(&mut top, &mut warnings)?,
        artifacts: artifacts(&mut top, version, &mut warnings)?,
        cache: cache(&mut top, &mut warnings)?,
    };
    proxy(&mut top, &mut warnings)?;
    if let Some(batch) = top.get("batch") {
        warnings.push(Warning {
            line: batch.line,
            column: batch.column,
            message: "batch is read only by batch builds, which Towpath does not run yet".to_owned(),
        });
    }
    top.finish(&mut warnings);
    warnings.sort_by_key(|warning| (warning.line, warning.column));
    Ok(Parsed { buildspec, warnings })
}

fn version(top: &mut Fields) -> Result<Version> {
    let Some(node) = top.get("version") else {
        return error(top.line, "Missing buildspec version. Supported versions are 0.1 and 0.2");
    };
    match text(node, "version")?.trim() {
        "0.1" => Ok(Version::V0_1),
        "0.2" => Ok(Version::V0_2),
        other => error(node.line, format!("Invalid buildspec version: {other}. Supported versions are 0.1 and 0.2")),
    }
}

fn env(top: &mut Fields, version: Version, warnings: &mut Vec<Warning>) -> Result<Env> {
    if version == Version::V0_1 {
        let Some(node) = top.get("environment_variables") else { return Ok(Env::default()) };
        let mut fields = Fields::of(node, "environment_variables")?;
        let env = Env {
            variables: fields.pairs("plaintext")?,
            parameter_store: fields.pairs("parameter-store")?,
            ..Env::default()
        };
        fields.finish(warnings);
        return checked(env, node.line);
    }
    let Some(node) = top.get("env") else { return Ok(Env::default()) };
    let mut fields = Fields::of(node, "env")?;
    let shell = fields.string("shell")?;
    if let Some(shell) = shell.as_deref().filter(|shell| !SHELLS.contains(shell)) {
        return error(
            node.line,
            format!("Invalid env.shell: {shell}. Expecting bash, /bin/sh, powershell.exe or cmd.exe"),
        );
    }
    let env = Env {
        shell,
        variables: fields.pairs("variables")?,
        parameter_store: fields.pairs("parameter-store")?,
        secrets_manager: fields.pairs("secrets-manager")?,
        exported_variables: fields.strings("exported-variables")?,
        git_credential_helper: fields.flag("git-credential-helper")?,
    };
    fields.finish(warnings);
    checked(env, node.line)
}

fn checked(env: Env, line: usize) -> Result<Env> {
    let maps = [&env.variables, &env.parameter_store, &env.secrets_manager];
    let names = maps.into_iter().flatten().map(|(name, _)| name).chain(&env.exported_variables);
    for name in names {
        if !is_variable_name(name) {
            return error(
                line,
                format!(
                    "Invalid environment variable name: {name}. Names hold letters, digits and _ and do not start with a digit"
                ),
            );
        }
    }
    Ok(env)
}

pub(crate) fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
}

fn phases(top: &mut Fields, warnings: &mut Vec<Warning>) -> Result<Vec<Phase>> {
    if !top.has("phases") {
        return error(top.line, "Missing phases. A buildspec needs a phases map");
    }
    let Some(node) = top.get("phases") else { return Ok(Vec::new()) };
    let fields = Fields::of(node, "phases")?;
    for (key, _) in fields.entries() {
        let name = key.text().unwrap_or_default();
        if !PhaseKind::ALL.iter().any(|kind| kind.key() == name) {
            return error(
                key.line,
                format!("Invalid buildspec phase name: {name}. Expecting: install,pre_build,build,post_build"),
            );
        }
    }
    let mut phases = Vec::new();
    for kind in PhaseKind::ALL {
        if let Some((key, value)) = fields.entries().iter().find(|(key, _)| key.text() == Some(kind.key())) {
            phases.push(phase(kind, key, value, warnings)?);
        }
    }
    Ok(phases)
}

fn phase(kind: PhaseKind, key: &Node, node: &Node, warnings: &mut Vec<Warning>) -> Result<Phase> {
    let mut fields = Fields::of(node, format!("phases.{}", kind.key()))?;
    let on_failure = match fields.get("on-failure") {
        None => None,
        Some(node) => match OnFailure::parse(&text(node, "on-failure")?) {
            Ok(on_failure) => Some(on_failure),
            Err(message) => return error(node.line, message),
        },
    };
    let commands = fields.get("commands");
    if commands.is_none() && kind != PhaseKind::Install {
        return error(key.line, format!("No commands found for phase name: {}", kind.key()));
    }
    let phase = Phase {
        kind,
        run_as: fields.string("run-as")?,
        on_failure,
        commands: commands.map(|node| strings(node, "commands", "Commands")).transpose()?.unwrap_or_default(),
        finally: fields.get("finally").map(|node| strings(node, "finally", "Finally")).transpose()?.unwrap_or_default(),
        runtime_versions: if kind == PhaseKind::Install { fields.pairs("runtime-versions")? } else { Vec::new() },
    };
    fields.finish(warnings);
    Ok(phase)
}

fn reports(top: &mut Fields, warnings: &mut Vec<Warning>) -> Result<Vec<Report>> {
    let Some(node) = top.get("reports") else { return Ok(Vec::new()) };
    let groups = Fields::of(node, "reports")?;
    if groups.entries().len() > REPORT_GROUPS_MAX {
        return error(node.line, format!("A buildspec can have at most {REPORT_GROUPS_MAX} report groups"));
    }
    let mut reports = Vec::new();
    for (key, value) in groups.entries() {
        let group = key.text().unwrap_or_default().to_owned();
        let mut fields = Fields::of(value, format!("reports.{group}"))?;
        let file_format = fields.string("file-format")?.unwrap_or_else(|| "JUNITXML".to_owned()).to_ascii_uppercase();
        if !REPORT_FORMATS.contains(&file_format.as_str()) {
            return error(
                value.line,
                format!(
                    "Invalid file-format for report group {group}: {file_format}. Expecting one of {}",
                    REPORT_FORMATS.join(", ")
                ),
            );
        }
        let files = fields.strings("files")?;
        if files.is_empty() {
            return error(key.line, format!("No files found for report group: {group}"));
        }
        reports.push(Report {
            files,
            file_format,
            base_directory: fields.string("base-directory")?,
            discard_paths: fields.flag("discard-paths")?,
            group,
        });
        fields.finish(warnings);
    }
    Ok(reports)
}

fn artifacts(top: &mut Fields, version: Version, warnings: &mut Vec<Warning>) -> Result<Option<Artifacts>> {
    let Some(node) = top.get("artifacts") else { return Ok(None) };
    let mut fields = Fields::of(node, "artifacts")?;
    if version == Version::V0_1 {
        fields.get("type");
    }
    let mut artifacts = Artifacts::default();
    if let Some(node) = fields.get("secondary-artifacts") {
        for (key, value) in Fields::of(node, "artifacts.secondary-artifacts")?.entries() {
            let id = key.text().unwrap_or_default().to_owned();
            let mut fields = Fields::of(value, format!("artifacts.secondary-artifacts.{id}"))?;
            let spec = artifact(&mut fields)?;
            if spec.files.is_empty() {
                return error(key.line, format!("No files found for secondary artifact: {id}"));
            }
            fields.finish(warnings);
            artifacts.secondary.push((id, spec));
        }
    }
    let primary = artifact(&mut fields)?;
    if !primary.files.is_empty() {
        artifacts.primary = Some(primary);
    } else if artifacts.secondary.is_empty() {
        return error(node.line, "No files found for artifacts");
    }
    fields.finish(warnings);
    Ok(Some(artifacts))
}

fn artifact(fields: &mut Fields) -> Result<ArtifactSpec> {
    Ok(ArtifactSpec {
        files: fields.strings("files")?,
        name: fields.string("name")?,
        discard_paths: fields.flag("discard-paths")?,
        base_directory: fields.string("base-directory")?,
        exclude_paths: fields.strings("exclude-paths")?,
        enable_symlinks: fields.flag("enable-symlinks")?,
        s3_prefix: fields.string("s3-prefix")?,
    })
}

fn cache(top: &mut Fields, warnings: &mut Vec<Warning>) -> Result<Option<Cache>> {
    let Some(node) = top.get("cache") else { return Ok(None) };
    let mut fields = Fields::of(node, "cache")?;
    let action = match fields.string("action")?.as_deref() {
        None => CacheAction::Both,
        Some("restore") => CacheAction::Restore,
        Some("save") => CacheAction::Save,
        Some(other) => return error(node.line, format!("Invalid cache.action: {other}. Expecting restore or save")),
    };
    let cache = Cache {
        paths: fields.strings("paths")?,
        key: fields.string("key")?,
        fallback_keys: fields.strings("fallback-keys")?,
        action,
    };
    if cache.fallback_keys.len() > FALLBACK_KEYS_MAX {
        return error(node.line, format!("cache.fallback-keys can hold at most {FALLBACK_KEYS_MAX} keys"));
    }
    fields.finish(warnings);
    Ok(Some(cache))
}

/// Only explicit proxies on AWS read it; it is checked and has no effect here.
fn proxy(top: &mut Fields, warnings: &mut Vec<Warning>) -> Result<()> {
    let Some(node) = top.get("proxy") else { return Ok(()) };
    let mut fields = Fields::of(node, "proxy")?;
    fields.flag("upload-artifacts")?;
    fields.flag("logs")?;
    fields.finish(warnings);
    Ok(())
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
