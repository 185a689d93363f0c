//! The variables a build starts with, as far as the service knows them: the project's, CodeBuild's own, credentials.

use std::collections::BTreeMap;

use towpath_builds::request::{EnvironmentVariable, Secret, VariableKind};
use towpath_model::ids::Scope;
use towpath_wire::codebuild::{Project, cache_type, environment_variable_type};

use super::super::CodeBuild;
use super::super::names::project_arn;
use super::super::plan::{Input, variable_name};
use super::super::records::BuildRecord;
use super::queue::log_place;
use crate::identity::SessionCredentials;

impl CodeBuild {
    pub(super) fn endpoint(&self) -> Option<String> {
        self.endpoint.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// Project and override variables, already merged.
pub(super) fn project_variables(record: &BuildRecord) -> Vec<EnvironmentVariable> {
    let environment = record.effective.environment.as_ref();
    let variables =
        environment.and_then(|environment| environment.environment_variables.as_deref()).unwrap_or_default();
    let of = |variable: &towpath_wire::codebuild::EnvironmentVariable| EnvironmentVariable {
        name: variable.name.clone(),
        value: Secret(variable.value.clone()),
        kind: match variable.r#type.as_deref() {
            Some(environment_variable_type::PARAMETER_STORE) => VariableKind::ParameterStore,
            Some(environment_variable_type::SECRETS_MANAGER) => VariableKind::SecretsManager,
            _ => VariableKind::Plaintext,
        },
    };
    variables.iter().map(of).collect()
}

/// `CODEBUILD_*`, those aside that depend on the sandbox.
/// `cloned`: by input, the URL of one that was cloned.
pub(super) fn codebuild_variables(
    record: &BuildRecord,
    inputs: &[Input],
    cloned: &[Option<String>],
) -> BTreeMap<String, String> {
    let build = &record.build;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (id, region) = (record.id(), &record.scope.region);
    let image = build.environment.as_ref().map(|environment| environment.image.clone()).unwrap_or_default();
    let mut variables = BTreeMap::from([
        ("CODEBUILD_BUILD_ID", id.to_owned()),
        ("CODEBUILD_BUILD_ARN", text(&build.arn)),
        ("CODEBUILD_BUILD_NUMBER", build.build_number.unwrap_or_default().to_string()),
        ("CODEBUILD_BUILD_IMAGE", image),
        ("CODEBUILD_PROJECT_ARN", project_arn(&record.scope, record.project_name())),
        ("CODEBUILD_INITIATOR", text(&build.initiator)),
        ("CODEBUILD_KMS_KEY_ID", text(&build.encryption_key)),
        ("CODEBUILD_START_TIME", build.start_time.unwrap_or_default().as_millis().to_string()),
        (
            "CODEBUILD_BUILD_URL",
            format!("https://{region}.console.aws.amazon.com/codebuild/home?region={region}#/builds/{id}/view/new"),
        ),
    ]);
    if let Some((_, stream)) = log_place(build) {
        variables.insert("CODEBUILD_LOG_PATH", stream);
    }
    if let Some(revision) = &build.resolved_source_version {
        variables.insert("CODEBUILD_RESOLVED_SOURCE_VERSION", revision.clone());
    }
    let mut variables: BTreeMap<String, String> =
        variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    for (index, input) in inputs.iter().enumerate() {
        let suffix = input.identifier.as_deref().map(|name| format!("_{}", variable_name(name))).unwrap_or_default();
        let url = cloned.get(index).cloned().flatten();
        let url = url.unwrap_or_else(|| format!("s3://{}/{}", input.bucket, input.key));
        variables.insert(format!("CODEBUILD_SOURCE_REPO_URL{suffix}"), url);
        let version = if record.pipeline.is_some() { Some(input.arn()) } else { input.version.clone() };
        if let Some(version) = version {
            variables.insert(format!("CODEBUILD_SOURCE_VERSION{suffix}"), version);
        }
    }
    variables
}

/// Region, credentials of the service role, and this server as AWS: beaten by every variable a user sets.
pub(super) fn base(
    scope: &Scope,
    session: &SessionCredentials,
    endpoint: Option<&str>,
    has_clone: bool,
) -> BTreeMap<String, Secret> {
    let mut variables = BTreeMap::from([
        ("AWS_REGION".to_owned(), Secret(scope.region.clone())),
        ("AWS_DEFAULT_REGION".to_owned(), Secret(scope.region.clone())),
        ("AWS_ACCESS_KEY_ID".to_owned(), Secret(session.access_key.clone())),
        ("AWS_SECRET_ACCESS_KEY".to_owned(), Secret(session.secret.expose().to_owned())),
        ("AWS_SESSION_TOKEN".to_owned(), Secret(session.token.expose().to_owned())),
    ]);
    if let Some(endpoint) = endpoint {
        variables.insert("AWS_ENDPOINT_URL".to_owned(), Secret(endpoint.to_owned()));
    }
    if has_clone {
        // Inside a container the clone belongs to a user of the machine outside, which git would not trust.
        for (name, value) in
            [("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "safe.directory"), ("GIT_CONFIG_VALUE_0", "*")]
        {
            variables.insert(name.to_owned(), Secret(value.to_owned()));
        }
    }
    variables
}

/// What must not be read in a log.
pub(super) fn masks(session: &SessionCredentials) -> Vec<Secret> {
    let texts = [session.access_key.as_str(), session.secret.expose(), session.token.expose()];
    texts.into_iter().map(|text| Secret(text.to_owned())).collect()
}

/// A cache in S3 is kept on this machine too: CodeBuild promises no more than a best effort.
pub(super) fn uses_cache(effective: &Project) -> bool {
    effective.cache.as_ref().is_some_and(|cache| match cache.r#type.as_str() {
        cache_type::S3 => true,
        cache_type::LOCAL => cache.modes.iter().flatten().any(|mode| mode == "LOCAL_CUSTOM_CACHE"),
        _ => false,
    })
}
