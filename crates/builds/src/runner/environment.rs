//! The variables a build starts with: what beats what, and what CodeBuild adds. Must not read the runner's own
//! environment (the sandbox says what of it a build sees).

use std::collections::BTreeMap;

use crate::buildspec::{Buildspec, is_variable_name};
use crate::request::{BuildRequest, VariableKind};
use crate::sandbox::layout::Layout;
use crate::status::Context;

/// Later ones beat earlier ones: sandbox or image, service, buildspec, project and override, CodeBuild's own.
pub(crate) fn environment(
    base: BTreeMap<String, String>,
    request: &BuildRequest,
    spec: &Buildspec,
    layout: &Layout,
) -> BTreeMap<String, String> {
    let mut environment = base;
    environment.extend(request.base_environment.iter().map(|(name, value)| (name.clone(), value.0.clone())));
    environment.extend(spec.env.variables.iter().cloned());
    let plain = request.environment.iter().filter(|variable| variable.kind == VariableKind::Plaintext);
    environment.extend(plain.map(|variable| (variable.name.clone(), variable.value.0.clone())));
    environment.extend(request.codebuild.clone());
    environment.insert("CODEBUILD_SRC_DIR".to_owned(), layout.source.to_string_lossy().into_owned());
    for (identifier, dir) in &layout.secondary {
        environment.insert(format!("CODEBUILD_SRC_DIR_{identifier}"), dir.to_string_lossy().into_owned());
    }
    environment.insert("CODEBUILD_BUILD_SUCCEEDING".to_owned(), "1".to_owned());
    environment.insert("CODEBUILD_CI".to_owned(), "true".to_owned());
    environment.insert("CODEBUILD_CONTAINER_NAME".to_owned(), "default".to_owned());
    // The shell cannot have others, and a name is written into a script as it is.
    environment.retain(|name, _| is_variable_name(name));
    environment
}

/// Why the variables cannot be had: a reference to a store that is not embedded.
pub(crate) fn unavailable(request: &BuildRequest, spec: &Buildspec) -> Option<Context> {
    let of = |kind: VariableKind| request.environment.iter().find(|variable| variable.kind == kind);
    let parameter = of(VariableKind::ParameterStore)
        .map(|variable| (&variable.name, &variable.value.0))
        .or_else(|| spec.env.parameter_store.first().map(|(name, value)| (name, value)));
    if let Some((name, parameter)) = parameter {
        return Some(Context::new(
            "Decrypted Variables Error",
            format!(
                "parameter does not exist: {parameter} (variable {name}: AWS Systems Manager Parameter Store is not embedded in Towpath yet; use a plaintext variable)"
            ),
        ));
    }
    let secret = of(VariableKind::SecretsManager)
        .map(|variable| (&variable.name, &variable.value.0))
        .or_else(|| spec.env.secrets_manager.first().map(|(name, value)| (name, value)));
    secret.map(|(name, secret)| {
        Context::new(
            "Secrets Manager Error Message",
            format!("ResourceNotFoundException: Secrets Manager can't find the specified secret: {secret} (variable {name}: AWS Secrets Manager is not embedded in Towpath yet; use a plaintext variable)"),
        )
    })
}
