//! What one build really builds: the project with the overrides of its start. Pure.

use towpath_model::ids::Scope;
use towpath_wire::WireError;
use towpath_wire::codebuild::{
    EnvironmentVariable, Project, ProjectEnvironment, ProjectSource, ProjectSourceVersion, StartBuildInput,
    artifacts_type, source_type,
};

use super::errors::invalid;
use super::projects::{complete, complete_variable};

/// Applies the overrides. The result is checked by whoever calls.
pub(super) fn apply(project: &Project, input: &StartBuildInput, scope: &Scope) -> Project {
    let mut build = project.clone();
    let replace = |member: &mut Option<String>, given: &Option<String>| {
        if given.is_some() {
            member.clone_from(given);
        }
    };
    let source = build.source.get_or_insert_default();
    override_source(source, input);
    replace(&mut build.source_version, &input.source_version);
    // A source of another kind is another source: its version is not the project's.
    if input.source_type_override.is_some() && input.source_version.is_none() {
        build.source_version = None;
    }
    if let Some(sources) = &input.secondary_sources_override {
        build.secondary_sources = Some(sources.clone());
        build.secondary_source_versions = Some(Vec::new());
    }
    if let Some(versions) = &input.secondary_sources_version_override {
        build.secondary_source_versions = Some(versions.clone());
    }
    if let Some(artifacts) = &input.artifacts_override {
        build.artifacts = Some(artifacts.clone());
    }
    if let Some(artifacts) = &input.secondary_artifacts_override {
        build.secondary_artifacts = Some(artifacts.clone());
    }
    override_environment(build.environment.get_or_insert_default(), input);
    if let Some(cache) = &input.cache_override {
        build.cache = Some(cache.clone());
    }
    if let Some(logs) = &input.logs_config_override {
        build.logs_config = Some(logs.clone());
    }
    replace(&mut build.service_role, &input.service_role_override);
    replace(&mut build.encryption_key, &input.encryption_key_override);
    build.timeout_in_minutes = input.timeout_in_minutes_override.or(build.timeout_in_minutes);
    build.queued_timeout_in_minutes = input.queued_timeout_in_minutes_override.or(build.queued_timeout_in_minutes);
    build.auto_retry_limit = input.auto_retry_limit_override.or(build.auto_retry_limit);
    complete(&mut build, scope);
    build
}

fn override_source(source: &mut ProjectSource, input: &StartBuildInput) {
    if let Some(kind) = &input.source_type_override
        && *kind != source.r#type
    {
        *source =
            ProjectSource { r#type: kind.clone(), buildspec: source.buildspec.take(), ..ProjectSource::default() };
    }
    let replace = |member: &mut Option<String>, given: &Option<String>| {
        if given.is_some() {
            member.clone_from(given);
        }
    };
    replace(&mut source.location, &input.source_location_override);
    replace(&mut source.buildspec, &input.buildspec_override);
    source.auth = input.source_auth_override.clone().or(source.auth.take());
    source.git_clone_depth = input.git_clone_depth_override.or(source.git_clone_depth);
    let submodules = input.git_submodules_config_override.clone();
    source.git_submodules_config = submodules.or(source.git_submodules_config.take());
    source.insecure_ssl = input.insecure_ssl_override.or(source.insecure_ssl);
    source.report_build_status = input.report_build_status_override.or(source.report_build_status);
    source.build_status_config = input.build_status_config_override.clone().or(source.build_status_config.take());
}

fn override_environment(environment: &mut ProjectEnvironment, input: &StartBuildInput) {
    let replace = |member: &mut String, given: &Option<String>| {
        if let Some(given) = given {
            member.clone_from(given);
        }
    };
    replace(&mut environment.r#type, &input.environment_type_override);
    replace(&mut environment.image, &input.image_override);
    replace(&mut environment.compute_type, &input.compute_type_override);
    environment.certificate = input.certificate_override.clone().or(environment.certificate.take());
    environment.privileged_mode = input.privileged_mode_override.or(environment.privileged_mode);
    let credential = input.registry_credential_override.clone();
    environment.registry_credential = credential.or(environment.registry_credential.take());
    let pull = input.image_pull_credentials_type_override.clone();
    environment.image_pull_credentials_type = pull.or(environment.image_pull_credentials_type.take());
    environment.fleet = input.fleet_override.clone().or(environment.fleet.take());
    if let Some(given) = &input.environment_variables_override {
        merge(environment.environment_variables.get_or_insert_default(), given);
    }
}

/// The same name is replaced, a new one added, the others stay.
fn merge(variables: &mut Vec<EnvironmentVariable>, given: &[EnvironmentVariable]) {
    for variable in given {
        let mut variable = variable.clone();
        complete_variable(&mut variable);
        match variables.iter_mut().find(|known| known.name == variable.name) {
            Some(known) => *known = variable,
            None => variables.push(variable),
        }
    }
}

/// What only a pipeline may start, and versions that contradict their source.
pub(super) fn check_start(build: &Project) -> Result<(), WireError> {
    let kind = |kind: &str| build.artifacts.as_ref().is_some_and(|artifacts| artifacts.r#type == kind);
    if kind(artifacts_type::CODEPIPELINE) {
        return Err(invalid("ArtifactsOverride must be set when using artifacts type CodePipelines"));
    }
    let Some(source) = &build.source else { return Ok(()) };
    if source.r#type == source_type::CODEPIPELINE {
        return Err(invalid("Source type CODEPIPELINE can be built by a pipeline only"));
    }
    let folder = |source: &ProjectSource| {
        source.r#type == source_type::S3 && source.location.as_deref().is_some_and(|location| location.ends_with('/'))
    };
    let versioned = |version: Option<&str>| version.is_some_and(|version| !version.is_empty());
    let secondary = build.secondary_sources.as_deref().unwrap_or_default();
    if (folder(source) && versioned(build.source_version.as_deref()))
        || secondary.iter().any(|source| folder(source) && versioned(secondary_version(build, source)))
    {
        return Err(invalid("Source version should be empty for S3 folder source location"));
    }
    Ok(())
}

/// The version that was asked for of a secondary source.
pub(super) fn secondary_version<'a>(build: &'a Project, source: &ProjectSource) -> Option<&'a str> {
    let of = |version: &&ProjectSourceVersion| Some(&version.source_identifier) == source.source_identifier.as_ref();
    let versions = build.secondary_source_versions.as_deref().unwrap_or_default();
    versions.iter().find(of).map(|version| version.source_version.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str, value: &str) -> EnvironmentVariable {
        EnvironmentVariable { name: name.into(), value: value.into(), r#type: None }
    }

    #[test]
    fn overrides_replace_and_variables_merge() {
        let scope = Scope::new("123456789012", "us-east-1");
        let project = Project {
            name: Some("demo".into()),
            source: Some(ProjectSource {
                r#type: "CODEPIPELINE".into(),
                buildspec: Some("ci.yml".into()),
                ..ProjectSource::default()
            }),
            source_version: Some("main".into()),
            environment: Some(ProjectEnvironment {
                image: "aws/codebuild/standard:7.0".into(),
                environment_variables: Some(vec![variable("A", "1"), variable("B", "2")]),
                ..ProjectEnvironment::default()
            }),
            ..Project::default()
        };
        let input = StartBuildInput {
            source_type_override: Some("S3".into()),
            source_location_override: Some("b/k".into()),
            environment_variables_override: Some(vec![variable("B", "3"), variable("C", "4")]),
            timeout_in_minutes_override: Some(7),
            ..StartBuildInput::default()
        };
        let build = apply(&project, &input, &scope);
        let source = build.source.expect("a source");
        assert_eq!((source.r#type.as_str(), source.location.as_deref()), ("S3", Some("b/k")));
        assert_eq!(source.buildspec.as_deref(), Some("ci.yml"), "the buildspec stays the project's");
        assert_eq!(build.source_version, None, "the version belonged to the other source");
        let variables = build.environment.and_then(|environment| environment.environment_variables).expect("variables");
        let shown: Vec<_> = variables
            .iter()
            .map(|v| format!("{}={}:{}", v.name, v.value, v.r#type.as_deref().unwrap_or("-")))
            .collect();
        assert_eq!(shown, ["A=1:PLAINTEXT", "B=3:PLAINTEXT", "C=4:PLAINTEXT"]);
        assert_eq!((build.timeout_in_minutes, build.queued_timeout_in_minutes), (Some(7), Some(480)));
    }
}
