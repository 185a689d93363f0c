//! What must hold of a project beyond the model's constraints, and what this version cannot do: refused by name, so that
//! nothing is silently left out of a build. The same checks hold for a project and for a build's overrides.

use towpath_wire::WireError;
use towpath_wire::codebuild::{
    EnvironmentVariable, Project, ProjectArtifacts, ProjectEnvironment, ProjectSource, Tag, artifact_namespace,
    artifact_packaging, artifacts_type, cache_type, compute_type, environment_type, environment_variable_type,
    source_type,
};

use super::errors::{invalid, unsupported};

const SECONDARY_MAX: usize = 12;
const TAGS_MAX: usize = 50;
/// Artifact and source identifiers become parts of variable names and of file names.
const IDENTIFIER_CHARS_MAX: usize = 128;

/// Whether commands may be found in a text itself, rather than in the file it names.
pub(super) fn is_inline(buildspec: &str) -> bool {
    buildspec.contains(['\n', '{']) && !buildspec.starts_with("arn:")
}

pub(super) fn project(project: &Project) -> Result<(), WireError> {
    let no_source = ProjectSource::default();
    let source = project.source.as_ref().unwrap_or(&no_source);
    let no_artifacts = ProjectArtifacts::default();
    let artifacts = project.artifacts.as_ref().unwrap_or(&no_artifacts);
    let of_pipeline = |kind: &str| kind == source_type::CODEPIPELINE;
    if of_pipeline(&source.r#type) != of_pipeline(&artifacts.r#type) {
        return Err(invalid(
            "Invalid input: when using CodePipeline both sourceType, and artifactType must be set to: CODEPIPELINE",
        ));
    }
    check_source(source)?;
    let inline = source.buildspec.as_deref().is_some_and(is_inline);
    if source.r#type == source_type::NO_SOURCE && !inline {
        return Err(invalid(
            "Invalid project source: source type NO_SOURCE has no files, so its buildspec must be given inline",
        ));
    }
    let secondary = project.secondary_sources.as_deref().unwrap_or_default();
    bounded("secondarySources", secondary.len())?;
    for source in secondary {
        if of_pipeline(&source.r#type) {
            return Err(invalid("Invalid input: sourceType CODEPIPELINE is not allowed for secondarySources"));
        }
        check_source(source)?;
    }
    unique("secondarySources", "sourceIdentifier", secondary.iter().map(|source| source.source_identifier.as_deref()))?;

    check_artifacts(artifacts)?;
    let secondary = project.secondary_artifacts.as_deref().unwrap_or_default();
    bounded("secondaryArtifacts", secondary.len())?;
    for artifacts in secondary {
        if of_pipeline(&artifacts.r#type) {
            return Err(invalid("Invalid input: artifactType CODEPIPELINE is not allowed for secondaryArtifacts"));
        }
        check_artifacts(artifacts)?;
    }
    let identifiers = secondary.iter().map(|artifacts| artifacts.artifact_identifier.as_deref());
    unique("secondaryArtifacts", "artifactIdentifier", identifiers)?;

    bounded("secondarySourceVersions", project.secondary_source_versions.as_deref().unwrap_or_default().len())?;
    if let Some(environment) = &project.environment {
        check_environment(environment)?;
    }
    check_tags(project.tags.as_deref().unwrap_or_default())?;
    check_absent(project)
}

fn check_source(source: &ProjectSource) -> Result<(), WireError> {
    let located = source.location.as_deref().is_some_and(|location| !location.is_empty());
    match source.r#type.as_str() {
        source_type::CODEPIPELINE | source_type::NO_SOURCE => {
            if source.report_build_status == Some(true) {
                return Err(invalid(format!("Source type {} does not support ReportBuildStatus", source.r#type)));
            }
        }
        source_type::S3 => {
            if !located {
                return Err(invalid("Project source location is required"));
            }
            if source.report_build_status == Some(true) {
                return Err(invalid("Source type S3 does not support ReportBuildStatus"));
            }
            let location = source.location.as_deref().unwrap_or_default();
            if location.split_once('/').is_none_or(|(bucket, key)| bucket.is_empty() || key.is_empty()) {
                return Err(invalid(format!(
                    "Invalid project source location: {location}. It must be <bucket>/<key of a zip file> or \
                     <bucket>/<folder>/"
                )));
            }
        }
        source_type::CODECOMMIT
        | source_type::GITHUB
        | source_type::GITHUB_ENTERPRISE
        | source_type::GITLAB
        | source_type::GITLAB_SELF_MANAGED
        | source_type::BITBUCKET => {
            if !located {
                return Err(invalid("Project source location is required"));
            }
        }
        _ => return Err(invalid("Invalid type provided: Project source type")),
    }
    Ok(())
}

/// Sources that a build cannot fetch yet. A project may name them: a pipeline gives its builds another source.
pub(super) fn fetchable(source: &ProjectSource) -> Result<(), WireError> {
    match source.r#type.as_str() {
        source_type::S3 | source_type::NO_SOURCE | source_type::CODEPIPELINE => Ok(()),
        git => Err(unsupported(
            &format!("Building from source type {git}"),
            "Start the build from a pipeline, whose source action fetches the repository, or give it a zip file in S3 \
             with sourceTypeOverride and sourceLocationOverride.",
        )),
    }
}

fn check_artifacts(artifacts: &ProjectArtifacts) -> Result<(), WireError> {
    let packaging = artifacts.packaging.as_deref().unwrap_or(artifact_packaging::NONE);
    if ![artifact_packaging::NONE, artifact_packaging::ZIP].contains(&packaging) {
        return Err(invalid("Invalid type provided: Artifact packaging"));
    }
    let namespace = artifacts.namespace_type.as_deref().unwrap_or(artifact_namespace::NONE);
    if ![artifact_namespace::NONE, artifact_namespace::BUILD_ID].contains(&namespace) {
        return Err(invalid("Invalid type provided: Artifact namespace type"));
    }
    match artifacts.r#type.as_str() {
        artifacts_type::CODEPIPELINE => Ok(()),
        artifacts_type::NO_ARTIFACTS => {
            let given = [
                (artifacts.encryption_disabled == Some(true), "encryptionDisabled"),
                (artifacts.name.as_deref().is_some_and(|name| !name.is_empty()), "output name"),
                (artifacts.location.as_deref().is_some_and(|location| !location.is_empty()), "location"),
            ];
            match given.iter().find(|(given, _)| *given) {
                Some((_, member)) => {
                    let text = format!("Invalid artifacts: artifact type NO_ARTIFACTS should have null {member}");
                    Err(invalid(text))
                }
                None => Ok(()),
            }
        }
        artifacts_type::S3 => match artifacts.location.as_deref().unwrap_or_default() {
            "" => Err(invalid("Invalid artifacts: artifact type S3 must have a location, the name of a bucket")),
            bucket if bucket.contains('/') => Err(invalid(format!(
                "Invalid artifacts: location {bucket} must be the name of a bucket. Give the folder in path"
            ))),
            _ => Ok(()),
        },
        _ => Err(invalid("Invalid type provided: Artifact type")),
    }
}

fn check_environment(environment: &ProjectEnvironment) -> Result<(), WireError> {
    const COMPUTE: [&str; 12] = [
        compute_type::BUILD_GENERAL1_SMALL,
        compute_type::BUILD_GENERAL1_MEDIUM,
        compute_type::BUILD_GENERAL1_LARGE,
        compute_type::BUILD_GENERAL1_XLARGE,
        compute_type::BUILD_GENERAL1_2XLARGE,
        compute_type::BUILD_LAMBDA_1GB,
        compute_type::BUILD_LAMBDA_2GB,
        compute_type::BUILD_LAMBDA_4GB,
        compute_type::BUILD_LAMBDA_8GB,
        compute_type::BUILD_LAMBDA_10GB,
        compute_type::ATTRIBUTE_BASED_COMPUTE,
        compute_type::CUSTOM_INSTANCE_TYPE,
    ];
    if !COMPUTE.contains(&environment.compute_type.as_str()) {
        return Err(invalid(format!("Invalid compute type provided: {}", environment.compute_type)));
    }
    match environment.r#type.as_str() {
        environment_type::LINUX_CONTAINER
        | environment_type::LINUX_GPU_CONTAINER
        | environment_type::LINUX_LAMBDA_CONTAINER
        | environment_type::LINUX_EC2
        | environment_type::ARM_CONTAINER
        | environment_type::ARM_LAMBDA_CONTAINER
        | environment_type::ARM_EC2 => {}
        environment_type::WINDOWS_CONTAINER
        | environment_type::WINDOWS_SERVER_2019_CONTAINER
        | environment_type::WINDOWS_SERVER_2022_CONTAINER
        | environment_type::WINDOWS_EC2
        | environment_type::MAC_ARM => {
            return Err(unsupported(
                &format!("Environment type {}", environment.r#type),
                "Builds run on Linux: use LINUX_CONTAINER or ARM_CONTAINER.",
            ));
        }
        other => return Err(invalid(format!("Invalid environment type provided: {other}"))),
    }
    for variable in environment.environment_variables.as_deref().unwrap_or_default() {
        check_variable(variable)?;
    }
    if environment.registry_credential.is_some() {
        return Err(unsupported(
            "environment.registryCredential",
            "It names a secret of AWS Secrets Manager, which is not embedded yet: log the container engine in to the \
             registry instead.",
        ));
    }
    let refused = [
        (environment.certificate.as_deref().is_some_and(|text| !text.is_empty()), "environment.certificate"),
        (environment.fleet.is_some(), "environment.fleet"),
        (environment.docker_server.is_some(), "environment.dockerServer"),
    ];
    match refused.iter().find(|(given, _)| *given) {
        Some((_, member)) => Err(unsupported(member, "Leave it out.")),
        None => Ok(()),
    }
}

fn check_variable(variable: &EnvironmentVariable) -> Result<(), WireError> {
    const KINDS: [&str; 3] = [
        environment_variable_type::PLAINTEXT,
        environment_variable_type::PARAMETER_STORE,
        environment_variable_type::SECRETS_MANAGER,
    ];
    if variable.name.starts_with("CODEBUILD_") && !variable.name.starts_with("CODEBUILD_CONFIG_") {
        return Err(invalid(format!(
            "Invalid environment variable name: {}. Names that start with CODEBUILD_ are reserved",
            variable.name
        )));
    }
    match variable.r#type.as_deref() {
        Some(kind) if !KINDS.contains(&kind) => Err(invalid("Invalid type provided: Environment variable type")),
        _ => Ok(()),
    }
}

fn check_tags(tags: &[Tag]) -> Result<(), WireError> {
    if tags.len() > TAGS_MAX {
        return Err(invalid(format!("Invalid tags: a project can have at most {TAGS_MAX} tags")));
    }
    let mut seen = std::collections::BTreeSet::new();
    for tag in tags {
        let key = tag.key.as_deref().unwrap_or_default();
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(invalid(format!("Invalid tags: key {key} starts with the reserved prefix aws:")));
        }
        if !seen.insert(key) {
            return Err(invalid(format!("Invalid tags: key {key} is given twice")));
        }
    }
    Ok(())
}

/// Parts of CodeBuild that are not here. What has no effect on what a build does may be given (`vpcConfig`,
/// `buildBatchConfig`); what would make a build do something else may not.
fn check_absent(project: &Project) -> Result<(), WireError> {
    if project.file_system_locations.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(unsupported("fileSystemLocations", "Fetch what the build needs in its buildspec."));
    }
    if project.badge.as_ref().and_then(|badge| badge.badge_enabled) == Some(true) {
        return Err(unsupported("badgeEnabled", "Leave it out."));
    }
    if project.auto_retry_limit.is_some_and(|limit| limit > 0) {
        return Err(unsupported("autoRetryLimit", "Use RetryBuild, or on-failure: RETRY in the buildspec."));
    }
    let s3_logs = project.logs_config.as_ref().and_then(|logs| logs.s3_logs.as_ref());
    if s3_logs.is_some_and(|logs| logs.status == "ENABLED") {
        return Err(unsupported("logsConfig.s3Logs", "Read the log with CloudWatch Logs: get-log-events."));
    }
    if let Some(cache) = &project.cache
        && ![cache_type::NO_CACHE, cache_type::LOCAL, cache_type::S3].contains(&cache.r#type.as_str())
    {
        return Err(invalid("Invalid type provided: Project cache type"));
    }
    Ok(())
}

fn bounded(what: &str, count: usize) -> Result<(), WireError> {
    if count > SECONDARY_MAX {
        return Err(invalid(format!("Invalid input: {what} can have at most {SECONDARY_MAX} items")));
    }
    Ok(())
}

fn unique<'a>(list: &str, member: &str, identifiers: impl Iterator<Item = Option<&'a str>>) -> Result<(), WireError> {
    let mut seen = std::collections::BTreeSet::new();
    for identifier in identifiers {
        let identifier = identifier.unwrap_or_default();
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '@' | '.');
        if identifier.is_empty() || identifier.len() > IDENTIFIER_CHARS_MAX || !identifier.chars().all(legal) {
            return Err(invalid(format!("Invalid input: each of {list} must have a valid {member}")));
        }
        if !seen.insert(identifier) {
            return Err(invalid(format!("Invalid input: {list} has {member} {identifier} twice")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Project {
        Project {
            source: Some(ProjectSource { r#type: "S3".into(), location: Some("b/k.zip".into()), ..Default::default() }),
            artifacts: Some(ProjectArtifacts { r#type: "NO_ARTIFACTS".into(), ..Default::default() }),
            environment: Some(ProjectEnvironment {
                r#type: "LINUX_CONTAINER".into(),
                image: "aws/codebuild/standard:7.0".into(),
                compute_type: "BUILD_GENERAL1_SMALL".into(),
                ..Default::default()
            }),
            ..Project::default()
        }
    }

    fn problem(change: impl FnOnce(&mut Project)) -> String {
        let mut changed = good();
        change(&mut changed);
        project(&changed).expect_err("must be refused").message
    }

    fn source(change: impl FnOnce(&mut ProjectSource)) -> String {
        problem(|project| change(project.source.as_mut().expect("a source")))
    }

    fn artifacts(change: impl FnOnce(&mut ProjectArtifacts)) -> String {
        problem(|project| change(project.artifacts.as_mut().expect("artifacts")))
    }

    #[test]
    fn a_plain_project_is_accepted() {
        assert!(project(&good()).is_ok());
    }

    #[test]
    fn refusals_have_codebuilds_texts() {
        assert_eq!(source(|source| source.location = None), "Project source location is required");
        assert_eq!(
            source(|source| source.r#type = "CODEPIPELINE".into()),
            "Invalid input: when using CodePipeline both sourceType, and artifactType must be set to: CODEPIPELINE"
        );
        assert_eq!(source(|source| source.r#type = "SVN".into()), "Invalid type provided: Project source type");
        assert_eq!(
            source(|source| {
                source.r#type = "NO_SOURCE".into();
                source.report_build_status = Some(true);
            }),
            "Source type NO_SOURCE does not support ReportBuildStatus"
        );
        assert_eq!(
            artifacts(|artifacts| artifacts.encryption_disabled = Some(true)),
            "Invalid artifacts: artifact type NO_ARTIFACTS should have null encryptionDisabled"
        );
        assert_eq!(
            artifacts(|artifacts| artifacts.name = Some("n".into())),
            "Invalid artifacts: artifact type NO_ARTIFACTS should have null output name"
        );
        assert_eq!(artifacts(|artifacts| artifacts.r#type = "FTP".into()), "Invalid type provided: Artifact type");
        assert_eq!(
            problem(|project| project.environment.as_mut().expect("an environment").compute_type = "HUGE".into()),
            "Invalid compute type provided: HUGE"
        );
        let secondary = ProjectSource { r#type: "CODEPIPELINE".into(), ..Default::default() };
        assert_eq!(
            problem(|project| project.secondary_sources = Some(vec![secondary])),
            "Invalid input: sourceType CODEPIPELINE is not allowed for secondarySources"
        );
        let secondary = ProjectArtifacts { r#type: "CODEPIPELINE".into(), ..Default::default() };
        assert_eq!(
            problem(|project| project.secondary_artifacts = Some(vec![secondary])),
            "Invalid input: artifactType CODEPIPELINE is not allowed for secondaryArtifacts"
        );
    }

    #[test]
    fn what_is_not_here_is_refused_by_name() {
        let named = problem(|project| project.auto_retry_limit = Some(1));
        assert!(named.starts_with("autoRetryLimit is not supported in this version of Towpath."), "{named}");
        let named = problem(|project| project.environment.as_mut().expect("an environment").r#type = "MAC_ARM".into());
        assert!(named.starts_with("Environment type MAC_ARM is not supported"), "{named}");
        let git = ProjectSource { r#type: "GITHUB".into(), location: Some("https://x".into()), ..Default::default() };
        assert!(fetchable(&git).expect_err("refused").message.contains("source type GITHUB"));
    }

    #[test]
    fn inline_is_told_from_a_path() {
        assert!(is_inline("version: 0.2\nphases: {}\n"));
        assert!(is_inline("{\"version\": 0.2}"));
        assert!(!is_inline("ci/buildspec.yml"));
        assert!(!is_inline("arn:aws:s3:::b/buildspec.yml"));
        assert!(!is_inline(""));
    }
}
