//! UpdateFunctionCode and UpdateFunctionConfiguration.

use towpath_wire::WireError;
use towpath_wire::lambda::{
    FunctionConfiguration, TracingConfigResponse, UpdateFunctionCodeRequest, UpdateFunctionConfigurationRequest,
};

use super::Lambda;
use super::check::{self, Asked};
use super::code::Source;
use super::create::{logging, runtime_version, set_code, stamp};
use super::errors::{no_function, stale};
use super::names::{Reference, parse};
use crate::call::Call;

impl Lambda {
    pub(super) async fn update_function_code(
        &self,
        call: &Call,
        input: UpdateFunctionCodeRequest,
    ) -> Result<FunctionConfiguration, WireError> {
        let scope = &call.scope;
        let reference = parse(call, &input.function_name, None)?;
        let arn = reference.arn(scope);
        self.may(call, &arn).await?;
        if self.find(scope, &reference.name).await?.is_none() {
            return Err(no_function(&arn));
        }
        let dry_run = input.dry_run.unwrap_or(false);
        let source = Source {
            zip: input.zip_file.map(|blob| blob.0),
            bucket: input.s3_bucket,
            key: input.s3_key,
            version: input.s3_object_version,
            image: input.image_uri,
        };
        let code = self.take_code(call, source, dry_run).await?;
        let (revision, launch, now) = (self.ambient.uuid(), self.ambient.uuid(), self.ambient.now());
        let changed = |config: &mut FunctionConfiguration| {
            set_code(config, &code);
            if let Some(architectures) = &input.architectures {
                config.architectures = Some(architectures.clone());
            }
            stamp(config, now);
            config.revision_id = Some(revision.clone());
        };
        if dry_run {
            let function = self.function(scope, &reference).await?;
            check_revision(&function.latest.config, input.revision_id.as_deref())?;
            let mut shown = function.latest.config;
            changed(&mut shown);
            return Ok(shown);
        }
        let updated = self
            .change(scope, &reference, |function| {
                check_revision(&function.latest.config, input.revision_id.as_deref())?;
                changed(&mut function.latest.config);
                function.latest.code.clone_from(&code.name);
                function.latest.launch.clone_from(&launch);
                Ok(function.latest.config.clone())
            })
            .await?;
        self.answer_update(call, &reference, updated, input.publish.unwrap_or(false)).await
    }

    pub(super) async fn update_function_configuration(
        &self,
        call: &Call,
        input: UpdateFunctionConfigurationRequest,
    ) -> Result<FunctionConfiguration, WireError> {
        let scope = &call.scope;
        let reference = parse(call, &input.function_name, None)?;
        let arn = reference.arn(scope);
        self.may(call, &arn).await?;
        let found = self.find(scope, &reference.name).await?.ok_or_else(|| no_function(&arn))?;
        if let Some(runtime) = &input.runtime {
            check::runtime(runtime)?;
        }
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
        // A role is passed when it is set, not when it stays.
        if let Some(role) = input.role.as_deref().filter(|role| found.value.latest.config.role.as_deref() != Some(role))
        {
            self.check_role(call, role).await?;
        }
        let (revision, launch, now) = (self.ambient.uuid(), self.ambient.uuid(), self.ambient.now());
        let updated = self
            .change(scope, &reference, |function| {
                let config = &mut function.latest.config;
                check_revision(config, input.revision_id.as_deref())?;
                apply(call, &reference, config, &input);
                stamp(config, now);
                config.revision_id = Some(revision.clone());
                function.latest.launch.clone_from(&launch);
                Ok(function.latest.config.clone())
            })
            .await?;
        self.answer_update(call, &reference, updated, false).await
    }

    /// What an update answers: it is under way, as clients expect who wait for it.
    async fn answer_update(
        &self,
        call: &Call,
        reference: &Reference,
        mut shown: FunctionConfiguration,
        publish: bool,
    ) -> Result<FunctionConfiguration, WireError> {
        self.retire(&call.scope, &reference.name);
        if publish {
            return Ok(self.publish(&call.scope, reference, None, None, None).await?.config);
        }
        shown.last_update_status = Some("InProgress".to_owned());
        shown.last_update_status_reason = Some("The function is being created.".to_owned());
        shown.last_update_status_reason_code = Some("Creating".to_owned());
        Ok(shown)
    }
}

pub(super) fn check_revision(config: &FunctionConfiguration, given: Option<&str>) -> Result<(), WireError> {
    match given {
        Some(given) if config.revision_id.as_deref() != Some(given) => Err(stale("GetFunction/GetAlias")),
        _ => Ok(()),
    }
}

fn apply(
    call: &Call,
    reference: &Reference,
    config: &mut FunctionConfiguration,
    input: &UpdateFunctionConfigurationRequest,
) {
    fn set<T: Clone>(target: &mut Option<T>, given: Option<&T>) {
        if let Some(given) = given {
            *target = Some(given.clone());
        }
    }
    set(&mut config.description, input.description.as_ref());
    set(&mut config.handler, input.handler.as_ref());
    set(&mut config.memory_size, input.memory_size.as_ref());
    set(&mut config.timeout, input.timeout.as_ref());
    set(&mut config.role, input.role.as_ref());
    set(&mut config.ephemeral_storage, input.ephemeral_storage.as_ref());
    if let Some(runtime) = &input.runtime {
        config.runtime = Some(runtime.clone());
        config.runtime_version_config = Some(runtime_version(&call.scope, runtime));
    }
    if input.environment.is_some() {
        config.environment = check::environment(input.environment.clone());
    }
    if let Some(asked) = &input.logging_config {
        config.logging_config = Some(logging(&reference.name, Some(asked.clone())));
    }
    if let Some(mode) = input.tracing_config.as_ref().and_then(|tracing| tracing.mode.clone()) {
        config.tracing_config = Some(TracingConfigResponse { mode: Some(mode) });
    }
}
