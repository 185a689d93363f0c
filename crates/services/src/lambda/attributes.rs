//! What else is kept of a function: tags, reserved concurrency, and how its asynchronous events are repeated.

use towpath_wire::WireError;
use towpath_wire::lambda::{
    Concurrency, DeleteFunctionConcurrencyRequest, DeleteFunctionEventInvokeConfigRequest, DestinationConfig,
    FunctionEventInvokeConfig, GetFunctionConcurrencyRequest, GetFunctionConcurrencyResponse,
    GetFunctionEventInvokeConfigRequest, ListTagsRequest, ListTagsResponse, PutFunctionConcurrencyRequest,
    PutFunctionEventInvokeConfigRequest, TagResourceRequest, UntagResourceRequest,
    UpdateFunctionEventInvokeConfigRequest,
};
use towpath_wire::types::Timestamp;

use super::Lambda;
use super::errors::{invalid, not_found, unsupported};
use super::limits::{ACCOUNT_CONCURRENCY, FUNCTIONS_PER_PAGE, TAGS_MAX, UNRESERVED_MIN};
use super::names::{Reference, parse};
use super::records::EventConfig;
use crate::call::Call;

impl Lambda {
    pub(super) async fn list_tags(&self, call: &Call, input: ListTagsRequest) -> Result<ListTagsResponse, WireError> {
        let reference = taggable(call, &input.resource)?;
        self.may(call, &reference.arn(&call.scope)).await?;
        let function = self.function(&call.scope, &reference).await?;
        Ok(ListTagsResponse { tags: Some(function.tags) })
    }

    pub(super) async fn tag_resource(&self, call: &Call, input: TagResourceRequest) -> Result<(), WireError> {
        let reference = taggable(call, &input.resource)?;
        self.may(call, &reference.arn(&call.scope)).await?;
        self.change(&call.scope, &reference, |function| {
            function.tags.extend(input.tags.clone());
            if function.tags.len() > TAGS_MAX {
                return Err(invalid(format!("The number of tags exceeds the limit of {TAGS_MAX}.")));
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn untag_resource(&self, call: &Call, input: UntagResourceRequest) -> Result<(), WireError> {
        let reference = taggable(call, &input.resource)?;
        self.may(call, &reference.arn(&call.scope)).await?;
        self.change(&call.scope, &reference, |function| {
            function.tags.retain(|key, _| !input.tag_keys.contains(key));
            Ok(())
        })
        .await
    }

    pub(super) async fn put_function_concurrency(
        &self,
        call: &Call,
        input: PutFunctionConcurrencyRequest,
    ) -> Result<Concurrency, WireError> {
        let scope = &call.scope;
        let reference = whole(call, &input.function_name)?;
        self.may(call, &reference.arn(scope)).await?;
        let mut others = 0;
        let mut after: Option<String> = None;
        loop {
            let found = self.functions(scope, after.as_deref(), FUNCTIONS_PER_PAGE).await?;
            let Some((last, _)) = found.last() else { break };
            after = Some(last.clone());
            let reserved = found.iter().filter(|(name, _)| *name != reference.name);
            others += reserved.filter_map(|(_, function)| function.reserved).sum::<i32>();
        }
        let asked = input.reserved_concurrent_executions;
        if asked.saturating_add(others) > ACCOUNT_CONCURRENCY - UNRESERVED_MIN {
            return Err(invalid(format!(
                "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution \
                 below its minimum value of [{UNRESERVED_MIN}]."
            )));
        }
        self.change(scope, &reference, |function| {
            function.reserved = Some(asked);
            Ok(Concurrency { reserved_concurrent_executions: Some(asked) })
        })
        .await
    }

    pub(super) async fn get_function_concurrency(
        &self,
        call: &Call,
        input: GetFunctionConcurrencyRequest,
    ) -> Result<GetFunctionConcurrencyResponse, WireError> {
        let reference = whole(call, &input.function_name)?;
        self.may(call, &reference.arn(&call.scope)).await?;
        let function = self.function(&call.scope, &reference).await?;
        Ok(GetFunctionConcurrencyResponse { reserved_concurrent_executions: function.reserved })
    }

    pub(super) async fn delete_function_concurrency(
        &self,
        call: &Call,
        input: DeleteFunctionConcurrencyRequest,
    ) -> Result<(), WireError> {
        let reference = whole(call, &input.function_name)?;
        self.may(call, &reference.arn(&call.scope)).await?;
        self.change(&call.scope, &reference, |function| {
            function.reserved = None;
            Ok(())
        })
        .await
    }

    pub(super) async fn put_function_event_invoke_config(
        &self,
        call: &Call,
        input: PutFunctionEventInvokeConfigRequest,
    ) -> Result<FunctionEventInvokeConfig, WireError> {
        no_destinations(input.destination_config.as_ref())?;
        if input.maximum_retry_attempts.is_none() && input.maximum_event_age_in_seconds.is_none() {
            return Err(invalid("You must specify at least one of error handling or destination setting."));
        }
        let reference = parse(call, &input.function_name, input.qualifier.as_deref())?;
        let config = EventConfig {
            retries: input.maximum_retry_attempts,
            age_seconds: input.maximum_event_age_in_seconds,
            modified_ms: self.ambient.now().millis(),
        };
        self.set_event_config(call, reference, move |_| config.clone()).await
    }

    pub(super) async fn update_function_event_invoke_config(
        &self,
        call: &Call,
        input: UpdateFunctionEventInvokeConfigRequest,
    ) -> Result<FunctionEventInvokeConfig, WireError> {
        no_destinations(input.destination_config.as_ref())?;
        let reference = parse(call, &input.function_name, input.qualifier.as_deref())?;
        let now = self.ambient.now().millis();
        self.set_event_config(call, reference, move |before| EventConfig {
            retries: input.maximum_retry_attempts.or(before.and_then(|before| before.retries)),
            age_seconds: input.maximum_event_age_in_seconds.or(before.and_then(|before| before.age_seconds)),
            modified_ms: now,
        })
        .await
    }

    async fn set_event_config(
        &self,
        call: &Call,
        reference: Reference,
        made: impl Fn(Option<&EventConfig>) -> EventConfig,
    ) -> Result<FunctionEventInvokeConfig, WireError> {
        let scope = &call.scope;
        self.may(call, &reference.qualified_arn(scope)).await?;
        let Some(found) = self.find(scope, &reference.name).await? else {
            return Err(not_found("The function doesn't exist."));
        };
        self.resolve(scope, &reference, &found.value).await?;
        let qualifier = reference.qualifier.clone().unwrap_or_default();
        let config = self
            .change(scope, &reference, |function| {
                let config = made(function.event_configs.get(&qualifier));
                function.event_configs.insert(qualifier.clone(), config.clone());
                Ok(config)
            })
            .await?;
        Ok(shown(call, &reference, &config))
    }

    pub(super) async fn get_function_event_invoke_config(
        &self,
        call: &Call,
        input: GetFunctionEventInvokeConfigRequest,
    ) -> Result<FunctionEventInvokeConfig, WireError> {
        let reference = parse(call, &input.function_name, input.qualifier.as_deref())?;
        self.may(call, &reference.qualified_arn(&call.scope)).await?;
        let function = self.find(&call.scope, &reference.name).await?.map(|found| found.value);
        let qualifier = reference.qualifier.as_deref().unwrap_or_default();
        let config = function.as_ref().and_then(|function| function.event_configs.get(qualifier));
        let config = config.ok_or_else(|| no_event_config(call, &reference))?;
        Ok(shown(call, &reference, config))
    }

    pub(super) async fn delete_function_event_invoke_config(
        &self,
        call: &Call,
        input: DeleteFunctionEventInvokeConfigRequest,
    ) -> Result<(), WireError> {
        let reference = parse(call, &input.function_name, input.qualifier.as_deref())?;
        self.may(call, &reference.qualified_arn(&call.scope)).await?;
        let qualifier = reference.qualifier.clone().unwrap_or_default();
        self.change(&call.scope, &reference, |function| {
            let gone = function.event_configs.remove(&qualifier);
            gone.map(|_| ()).ok_or_else(|| no_event_config(call, &reference))
        })
        .await
    }
}

fn shown(call: &Call, reference: &Reference, config: &EventConfig) -> FunctionEventInvokeConfig {
    let qualifier = reference.qualifier.as_deref().unwrap_or(super::names::LATEST);
    FunctionEventInvokeConfig {
        destination_config: Some(DestinationConfig { on_failure: None, on_success: None }),
        function_arn: Some(format!("{}:{qualifier}", reference.arn(&call.scope))),
        last_modified: Some(Timestamp::from_millis(config.modified_ms)),
        maximum_event_age_in_seconds: config.age_seconds,
        maximum_retry_attempts: config.retries,
    }
}

fn no_event_config(call: &Call, reference: &Reference) -> towpath_wire::WireError {
    let qualifier = reference.qualifier.as_deref().unwrap_or(super::names::LATEST);
    not_found(format!("The function {}:{qualifier} doesn't have an EventInvokeConfig", reference.arn(&call.scope)))
}

fn no_destinations(config: Option<&DestinationConfig>) -> Result<(), WireError> {
    let set = config.is_some_and(|config| {
        config.on_success.as_ref().is_some_and(|to| to.destination.is_some())
            || config.on_failure.as_ref().is_some_and(|to| to.destination.is_some())
    });
    if set {
        return Err(unsupported("DestinationConfig", "There is no SQS, SNS or EventBridge here yet; leave it out."));
    }
    Ok(())
}

/// The function as a whole: neither an alias nor a version.
fn whole(call: &Call, text: &str) -> Result<Reference, WireError> {
    let reference = parse(call, text, None)?;
    if reference.qualifier.is_some() {
        return Err(invalid(
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. \
             Please specify either a function name or an unqualified function ARN.",
        ));
    }
    Ok(reference)
}

fn taggable(call: &Call, arn: &str) -> Result<Reference, WireError> {
    let reference = parse(call, arn, None)?;
    if reference.qualifier.is_some() {
        return Err(invalid("Tags on function aliases and versions are not supported. Please specify a function ARN."));
    }
    Ok(reference)
}
