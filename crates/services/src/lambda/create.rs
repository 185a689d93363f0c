//! CreateFunction.

use sha2::{Digest as _, Sha256};
use towpath_model::ids::Scope;
use towpath_model::time::Timestamp;
use towpath_wire::WireError;
use towpath_wire::lambda::{
    CreateFunctionRequest, EphemeralStorage, FunctionConfiguration, LoggingConfig, RuntimeVersionConfig,
    SnapStartResponse, TracingConfigResponse, architecture, package_type, state, state_reason_code,
};

use super::Lambda;
use super::check::{self, Asked};
use super::code::{Code, Source};
use super::errors::{conflict, invalid};
use super::limits::TAGS_MAX;
use super::names::{LATEST, function_arn, parse};
use super::records::{Function, Version};
use crate::call::Call;

impl Lambda {
    pub(super) async fn create_function(
        &self,
        call: &Call,
        input: CreateFunctionRequest,
    ) -> Result<FunctionConfiguration, WireError> {
        let scope = &call.scope;
        let reference = parse(call, &input.function_name, None)?;
        let arn = reference.arn(scope);
        self.may(call, &arn).await?;
        if input.tags.as_ref().is_some_and(|tags| !tags.is_empty()) {
            self.may_also(call, "TagResource", &arn).await?;
        }
        if input.package_type.as_deref() == Some(package_type::IMAGE) {
            return Err(super::errors::unsupported("PackageType Image", "Deploy a zip."));
        }
        let Some(runtime) = input.runtime.clone() else {
            return Err(invalid("Runtime is mandatory when creating functions with the Zip package type."));
        };
        let Some(handler) = input.handler.clone() else {
            return Err(invalid("Handler is mandatory when creating functions with the Zip package type."));
        };
        check::runtime(&runtime)?;
        check::configuration(&Asked {
            timeout: input.timeout,
            environment: input.environment.as_ref(),
            dead_letter: input.dead_letter_config.as_ref(),
            file_systems: input.file_system_configs.as_deref(),
            kms_key: input.kms_key_arn.as_deref(),
            layers: input.layers.as_deref(),
            logging: input.logging_config.as_ref(),
            snap_start: input.snap_start.as_ref(),
            tracing: input.tracing_config.as_ref(),
            vpc: input.vpc_config.as_ref(),
            durable: input.durable_config.is_some(),
            capacity: input.capacity_provider_config.is_some(),
            image_config: input.image_config.is_some(),
        })?;
        if input.code_signing_config_arn.is_some() {
            return Err(super::errors::unsupported("CodeSigningConfigArn", "Leave it out."));
        }
        let tags = input.tags.clone().unwrap_or_default();
        if tags.len() > TAGS_MAX {
            return Err(invalid(format!("The number of tags exceeds the limit of {TAGS_MAX}.")));
        }
        self.check_role(call, &input.role).await?;
        if self.find(scope, &reference.name).await?.is_some() {
            return Err(conflict(format!("Function already exist: {}", reference.name)));
        }
        let publish = input.publish.unwrap_or(false);
        let source = Source {
            zip: input.code.zip_file.clone().map(|blob| blob.0),
            bucket: input.code.s3_bucket.clone(),
            key: input.code.s3_key.clone(),
            version: input.code.s3_object_version.clone(),
            image: input.code.image_uri.clone(),
        };
        let code = self.take_code(call, source, false).await?;
        let mut config = configuration(scope, &reference.name, input, runtime, handler);
        stamp(&mut config, self.ambient.now());
        set_code(&mut config, &code);
        config.revision_id = Some(self.ambient.uuid());
        let latest = Version { config, code: code.name, launch: self.ambient.uuid() };
        let mut function = Function::new(latest);
        function.tags = tags;
        self.create(scope, &reference.name, &function).await?;
        let mut shown = function.latest.config.clone();
        if publish {
            let version = self.publish(scope, &reference, None, None, None).await?;
            shown.version = version.config.version;
        }
        shown.state = Some(state::PENDING.to_owned());
        shown.state_reason = Some("The function is being created.".to_owned());
        shown.state_reason_code = Some(state_reason_code::CREATING.to_owned());
        shown.last_update_status = None;
        // The state settles with a revision of its own.
        shown.revision_id = Some(self.ambient.uuid());
        Ok(shown)
    }
}

/// `LastModified` as Lambda writes it.
pub(super) fn stamp(config: &mut FunctionConfiguration, now: Timestamp) {
    let text = now.iso8601();
    let (seconds, fraction) = text.trim_end_matches('Z').split_once('.').unwrap_or((text.trim_end_matches('Z'), "000"));
    let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
    config.last_modified = Some(format!("{seconds}.{millis}+0000"));
}

pub(super) fn set_code(config: &mut FunctionConfiguration, code: &Code) {
    config.code_sha256 = Some(code.sha256());
    config.code_size = Some(code.size);
}

/// What Lambda calls the build of a runtime; here one for each name.
pub(super) fn runtime_version(scope: &Scope, runtime: &str) -> RuntimeVersionConfig {
    let id = hex::encode(Sha256::digest(runtime));
    RuntimeVersionConfig {
        error: None,
        runtime_version_arn: Some(format!("arn:aws:lambda:{}::runtime:{id}", scope.region)),
    }
}

fn configuration(
    scope: &Scope,
    name: &str,
    input: CreateFunctionRequest,
    runtime: String,
    handler: String,
) -> FunctionConfiguration {
    FunctionConfiguration {
        architectures: Some(input.architectures.unwrap_or_else(|| vec![architecture::X86_64.to_owned()])),
        description: Some(input.description.unwrap_or_default()),
        environment: check::environment(input.environment),
        ephemeral_storage: Some(input.ephemeral_storage.unwrap_or(EphemeralStorage { size: 512 })),
        function_arn: Some(function_arn(scope, name)),
        function_name: Some(name.to_owned()),
        handler: Some(handler),
        last_update_status: Some("Successful".to_owned()),
        logging_config: Some(logging(name, input.logging_config)),
        memory_size: Some(input.memory_size.unwrap_or(128)),
        package_type: Some(package_type::ZIP.to_owned()),
        role: Some(input.role),
        runtime_version_config: Some(runtime_version(scope, &runtime)),
        runtime: Some(runtime),
        snap_start: Some(SnapStartResponse {
            apply_on: Some("None".to_owned()),
            optimization_status: Some("Off".to_owned()),
        }),
        state: Some(state::ACTIVE.to_owned()),
        timeout: Some(input.timeout.unwrap_or(3)),
        tracing_config: Some(TracingConfigResponse {
            mode: Some(input.tracing_config.and_then(|config| config.mode).unwrap_or_else(|| "PassThrough".to_owned())),
        }),
        version: Some(LATEST.to_owned()),
        ..FunctionConfiguration::default()
    }
}

pub(super) fn logging(name: &str, asked: Option<LoggingConfig>) -> LoggingConfig {
    let group = asked.and_then(|logging| logging.log_group).unwrap_or_else(|| format!("/aws/lambda/{name}"));
    LoggingConfig {
        log_format: Some("Text".to_owned()),
        log_group: Some(group),
        application_log_level: None,
        system_log_level: None,
    }
}
