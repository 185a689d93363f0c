//! What a configuration may say beyond the constraints of the model, and what of it this version does not do. Refused, never
//! ignored, where a function would behave differently.

use std::collections::BTreeMap;

use towpath_wire::WireError;
use towpath_wire::lambda::{
    DeadLetterConfig, Environment, EnvironmentResponse, FileSystemConfig, LoggingConfig, SnapStart, TracingConfig,
    VpcConfig, snap_start_apply_on,
};
use towpath_wire::types::Sensitive;

use super::Lambda;
use super::errors::{invalid, refused, unsupported};
use super::limits::{ENVIRONMENT_BYTES_MAX, TIMEOUT_SECONDS_MAX};
use crate::call::Call;
use crate::identity::LAMBDA_PRINCIPAL;
use crate::identity::policy::Context;

/// What a handler's process is, so what the user must not say.
pub(super) const RESERVED_VARIABLES: [&str; 16] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
];

/// The kinds of runtime that are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RuntimeKind {
    Python,
    Node,
    Provided,
}

pub(super) fn runtime_kind(runtime: &str) -> Option<RuntimeKind> {
    let number = |text: &str| text.split('.').next().and_then(|major| major.parse::<u32>().ok());
    match runtime {
        "provided.al2" | "provided.al2023" => Some(RuntimeKind::Provided),
        _ if runtime.starts_with("python3.") => {
            let minor = runtime.strip_prefix("python3.").and_then(|minor| minor.parse::<u32>().ok())?;
            (minor >= 8).then_some(RuntimeKind::Python)
        }
        _ => number(runtime.strip_prefix("nodejs")?).filter(|major| *major >= 18).map(|_| RuntimeKind::Node),
    }
}

pub(super) fn runtime(runtime: &str) -> Result<RuntimeKind, WireError> {
    let gone = ["python2.7", "python3.6", "python3.7", "go1.x", "provided", "nodejs"];
    runtime_kind(runtime).ok_or_else(|| {
        if gone.contains(&runtime) || runtime.starts_with("nodejs") {
            return invalid(format!(
                "The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions. \
                 We recommend you use a supported runtime while creating or updating functions."
            ));
        }
        unsupported(
            &format!("The runtime {runtime}"),
            "Use python3.*, nodejs*, or provided.al2023 with a bootstrap of your own.",
        )
    })
}

/// The members of a configuration that are refused or checked, from whichever request they come.
#[derive(Default)]
pub(super) struct Asked<'a> {
    pub timeout: Option<i32>,
    pub environment: Option<&'a Environment>,
    pub dead_letter: Option<&'a DeadLetterConfig>,
    pub file_systems: Option<&'a [FileSystemConfig]>,
    pub kms_key: Option<&'a str>,
    pub layers: Option<&'a [String]>,
    pub logging: Option<&'a LoggingConfig>,
    pub snap_start: Option<&'a SnapStart>,
    pub tracing: Option<&'a TracingConfig>,
    pub vpc: Option<&'a VpcConfig>,
    pub durable: bool,
    pub capacity: bool,
    pub image_config: bool,
}

pub(super) fn configuration(asked: &Asked<'_>) -> Result<(), WireError> {
    if asked.timeout.is_some_and(|timeout| timeout > TIMEOUT_SECONDS_MAX) {
        let text = asked.timeout.unwrap_or_default().to_string();
        let constraint = format!("Member must have value less than or equal to {TIMEOUT_SECONDS_MAX}");
        return Err(super::errors::validation(&text, "timeout", &constraint));
    }
    if let Some(environment) = asked.environment {
        variables(environment.variables.as_ref().unwrap_or(&BTreeMap::new()))?;
    }
    let set = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
    if set(asked.dead_letter.and_then(|config| config.target_arn.as_deref())) {
        return Err(unsupported("DeadLetterConfig", "There is no SQS or SNS here yet; leave it out."));
    }
    if asked.file_systems.is_some_and(|systems| !systems.is_empty()) {
        return Err(unsupported(
            "FileSystemConfigs",
            "A function runs on this machine and sees its files; leave it out.",
        ));
    }
    if set(asked.kms_key) {
        return Err(unsupported("KMSKeyArn", "There is no KMS here yet; leave it out."));
    }
    if let Some(layers) = asked.layers.filter(|layers| !layers.is_empty()) {
        if layers.len() > 5 {
            return Err(invalid("Cannot reference more than 5 layers."));
        }
        return Err(unsupported("A layer", "Put its files into the function's zip."));
    }
    if asked.logging.is_some_and(|logging| logging.log_format.as_deref() == Some("JSON")) {
        return Err(unsupported("LogFormat JSON", "Use Text."));
    }
    if asked.snap_start.is_some_and(|snap| snap.apply_on.as_deref() == Some(snap_start_apply_on::PUBLISHED_VERSIONS)) {
        return Err(unsupported("SnapStart", "Leave it out; processes start fast here."));
    }
    let in_vpc = asked.vpc.is_some_and(|vpc| {
        vpc.subnet_ids.as_ref().is_some_and(|ids| !ids.is_empty())
            || vpc.security_group_ids.as_ref().is_some_and(|ids| !ids.is_empty())
    });
    if in_vpc {
        return Err(unsupported("VpcConfig", "A function has this machine's network; leave it out."));
    }
    if asked.durable || asked.capacity {
        return Err(unsupported("DurableConfig or CapacityProviderConfig", "Leave it out."));
    }
    if asked.image_config {
        return Err(unsupported("ImageConfig", "Deploy a zip."));
    }
    // X-Ray has no counterpart; traces are not promised to anybody, so a function may ask for them.
    let _ = asked.tracing;
    Ok(())
}

fn variables(variables: &BTreeMap<String, Sensitive>) -> Result<(), WireError> {
    const WHY: &str = "Lambda was unable to configure your environment variables because the environment variables you \
                       have provided";
    let reserved: Vec<&str> =
        variables.keys().map(String::as_str).filter(|name| RESERVED_VARIABLES.contains(name)).collect();
    if !reserved.is_empty() {
        return Err(invalid(format!(
            "{WHY} contains reserved keys that are currently not supported for modification. Reserved keys used in this \
             request: {}",
            reserved.join(", ")
        )));
    }
    let bytes: usize = variables.iter().map(|(name, value)| name.len() + value.expose_secret().len()).sum();
    if bytes > ENVIRONMENT_BYTES_MAX {
        let names: Vec<&str> = variables.keys().map(String::as_str).collect();
        return Err(invalid(format!(
            "{WHY} exceeded the 4KB limit. String measured: {bytes} bytes of {}",
            names.join(", ")
        )));
    }
    if variables.values().any(|value| value.expose_secret().contains('\0')) {
        return Err(invalid(format!("{WHY} contain a NUL character.")));
    }
    Ok(())
}

pub(super) fn environment(asked: Option<Environment>) -> Option<EnvironmentResponse> {
    let variables = asked?.variables.filter(|variables| !variables.is_empty())?;
    Some(EnvironmentResponse { error: None, variables: Some(variables) })
}

impl Lambda {
    /// The caller may hand the role to Lambda, and the role lets Lambda in.
    pub(super) async fn check_role(&self, call: &Call, role: &str) -> Result<(), WireError> {
        self.identity
            .authorize_pass_role(&call.principal, role, LAMBDA_PRINCIPAL, call.context())
            .await
            .map_err(refused)?;
        self.identity
            .test_assume(LAMBDA_PRINCIPAL, role, Context::new())
            .await
            .map_err(|_| invalid("The role defined for the function cannot be assumed by Lambda."))
    }
}

#[cfg(test)]
mod tests {
    use towpath_wire::lambda::{Environment, SnapStart};
    use towpath_wire::types::Sensitive;

    use super::{Asked, RuntimeKind, configuration, runtime};

    #[test]
    fn runtimes_are_known_by_their_kind() {
        assert_eq!(runtime("python3.12"), Ok(RuntimeKind::Python));
        assert_eq!(runtime("nodejs22.x"), Ok(RuntimeKind::Node));
        assert_eq!(runtime("provided.al2023"), Ok(RuntimeKind::Provided));
        for (old, part) in [("python3.7", "no longer supported"), ("nodejs12.x", "no longer"), ("java21", "bootstrap")]
        {
            let error = runtime(old).expect_err(old);
            assert!(error.message.contains(part), "{old}: {}", error.message);
        }
    }

    #[test]
    fn variables_have_bounds_and_reserved_names() {
        let with = |name: &str, value: &str| Environment {
            variables: Some([(name.to_owned(), Sensitive::new(value))].into()),
        };
        let check =
            |environment: &Environment| configuration(&Asked { environment: Some(environment), ..Asked::default() });
        assert!(check(&with("STAGE", "test")).is_ok());
        let error = check(&with("AWS_REGION", "x")).expect_err("reserved");
        assert!(error.message.ends_with("Reserved keys used in this request: AWS_REGION"), "{}", error.message);
        let error = check(&with("LONG", &"x".repeat(4_100))).expect_err("too long");
        assert!(
            error.message.contains("exceeded the 4KB limit") && !error.message.contains("xxx"),
            "{}",
            error.message
        );
    }

    #[test]
    fn what_is_not_here_is_refused_by_name() {
        let snap = SnapStart { apply_on: Some("PublishedVersions".to_owned()) };
        let error = configuration(&Asked { snap_start: Some(&snap), ..Asked::default() }).expect_err("refused");
        assert!(error.message.starts_with("SnapStart is not supported"), "{}", error.message);
        assert!(configuration(&Asked { timeout: Some(901), ..Asked::default() }).is_err());
    }
}
