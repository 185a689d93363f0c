//! Invoke: RequestResponse, Event, DryRun.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderValue;
use towpath_wire::lambda::{InvocationRequest, SERVICE, invocation_type, log_type};
use towpath_wire::{WireError, rest};

use super::Lambda;
use super::errors::{no_function, unsupported};
use super::limits::{CLIENT_CONTEXT_BYTES_MAX, EVENT_BYTES_MAX, PAYLOAD_BYTES_MAX};
use super::names::{LATEST, Reference, is_number, parse};
use super::records::{Function, Version};
use super::runtime::Job;
use crate::call::{Call, Response};

impl Lambda {
    pub(super) async fn invoke(
        self: &std::sync::Arc<Self>,
        call: &Call,
        input: InvocationRequest,
    ) -> Result<Response, WireError> {
        let scope = &call.scope;
        let reference = parse(call, &input.function_name, input.qualifier.as_deref())?;
        let found = self.find(scope, &reference.name).await?.map(|found| found.value);
        self.may_on(call, "InvokeFunction", &reference, found.as_ref()).await?;
        for (given, what) in [
            (input.tenant_id.is_some(), "X-Amz-Tenant-Id"),
            (input.durable_execution_name.is_some(), "X-Amz-Durable-Execution-Name"),
        ] {
            if given {
                return Err(unsupported(what, "Leave it out."));
            }
        }
        let Some(function) = found else { return Err(no_function(&reference.qualified_arn(scope))) };
        let version = self.pick(call, &reference, &function).await?;
        let asynchronous = input.invocation_type.as_deref() == Some(invocation_type::EVENT);
        let payload = event(&call.body, asynchronous)?;
        match input.invocation_type.as_deref() {
            Some(invocation_type::DRY_RUN) => Ok(rest::reply(204, Bytes::new(), &call.request_id)),
            Some(invocation_type::EVENT) => {
                // What cannot run here never will: nobody should wait for it.
                self.is_startable(&version).await?;
                self.enqueue(call, &reference, payload).await?;
                Ok(rest::reply(202, Bytes::new(), &call.request_id))
            }
            _ => {
                let client_context = input.client_context.as_deref().map(client_context).transpose()?;
                let job = Job {
                    scope: scope.clone(),
                    name: reference.name.clone(),
                    arn: reference.qualified_arn(scope),
                    version,
                    reserved: function.reserved,
                    request_id: call.request_id.clone(),
                    payload,
                    client_context,
                };
                // A caller who hangs up does not end the invocation.
                let lambda = std::sync::Arc::clone(self);
                let running = self.work.spawn(async move { lambda.run(job).await });
                let outcome = running.await.map_err(|error| super::errors::internal("run a function", &error))??;
                let mut response = rest::reply(200, outcome.body, &call.request_id);
                let headers = response.headers_mut();
                if let Ok(version) = HeaderValue::from_str(&outcome.version) {
                    headers.insert("x-amz-executed-version", version);
                }
                if outcome.failed {
                    headers.insert("x-amz-function-error", HeaderValue::from_static("Unhandled"));
                }
                if input.log_type.as_deref() == Some(log_type::TAIL)
                    && let Ok(tail) = HeaderValue::from_str(&STANDARD.encode(outcome.tail))
                {
                    headers.insert("x-amz-log-result", tail);
                }
                Ok(response)
            }
        }
    }

    /// The version that an invocation runs: an alias with weights draws.
    pub(super) async fn pick(
        &self,
        call: &Call,
        reference: &Reference,
        function: &Function,
    ) -> Result<Version, WireError> {
        self.pick_in(&call.scope, reference, function).await
    }

    pub(super) async fn pick_in(
        &self,
        scope: &towpath_model::ids::Scope,
        reference: &Reference,
        function: &Function,
    ) -> Result<Version, WireError> {
        let alias = reference
            .qualifier
            .as_deref()
            .filter(|qualifier| *qualifier != LATEST && !is_number(qualifier))
            .and_then(|qualifier| function.aliases.get(qualifier));
        let Some((label, weight)) = alias.and_then(|alias| alias.weights.iter().next()) else {
            return self.resolve(scope, reference, function).await.map_err(|error| {
                // Invoke has one sentence for whatever is missing.
                if error.code == "ResourceNotFoundException" {
                    no_function(&reference.qualified_arn(scope))
                } else {
                    error
                }
            });
        };
        let drawn = u32::from_be_bytes(self.ambient.bytes());
        if f64::from(drawn) / f64::from(u32::MAX) < *weight {
            return self.numbered(scope, &reference.name, function, label).await;
        }
        self.resolve(scope, reference, function).await
    }
}

/// The event: JSON of at most so many bytes. None at all is an empty object.
fn event(body: &Bytes, asynchronous: bool) -> Result<Bytes, WireError> {
    let most = if asynchronous { EVENT_BYTES_MAX } else { PAYLOAD_BYTES_MAX };
    if body.len() > most {
        let length = body.len();
        let message = format!(
            "{length} byte payload is too large for the {} invocation type (limit {most} bytes)",
            if asynchronous { "Event" } else { "RequestResponse" }
        );
        return Err(WireError::modeled(&SERVICE, "RequestTooLargeException", message));
    }
    if body.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
        Ok(_) => Ok(body.clone()),
        Err(error) => {
            let message = format!("Could not parse request body into json: Could not parse payload into json: {error}");
            Err(WireError::modeled(&SERVICE, "InvalidRequestContentException", message))
        }
    }
}

fn client_context(text: &str) -> Result<String, WireError> {
    let wrong = || {
        WireError::modeled(
            &SERVICE,
            "InvalidRequestContentException",
            "Client context must be a valid Base64-encoded JSON object.",
        )
    };
    if text.len() > CLIENT_CONTEXT_BYTES_MAX {
        return Err(WireError::modeled(&SERVICE, "RequestTooLargeException", "Client context is too large."));
    }
    let bytes = STANDARD.decode(text).map_err(|_| wrong())?;
    let parsed: serde_json::Value = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
    // Written again, so that no line break of it ends up in a header.
    Ok(parsed.to_string())
}
