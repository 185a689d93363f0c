//! `GetActionLog`, the one operation here that AWS does not have: what an action wrote in another realm, whose CloudWatch
//! Logs (or history) the caller has no credentials for. Whoever may list a pipeline's action executions may read it.
//! Nothing but `towpath logs` calls it; docs/realms.md describes it.

use bytes::Bytes;
use http::Response;
use serde::{Deserialize, Serialize};
use towpath_model::ids::ExecutionId;
use towpath_orchestrator::ActionLog;
use towpath_wire::codepipeline::ListActionExecutionsInput;
use towpath_wire::{Dialect, WireError, json};

use super::list_action_executions::ListActionExecutions;
use super::{Call, errors};

pub const NAME: &str = "GetActionLog";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Input {
    pipeline_name: String,
    pipeline_execution_id: String,
    action_execution_id: String,
    next_token: Option<String>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    events: Vec<Event>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    /// Why there are no lines, where they cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

#[derive(Serialize)]
struct Event {
    timestamp: i64,
    message: String,
}

pub async fn serve(call: &Call, body: &[u8]) -> Result<Response<Bytes>, WireError> {
    let input: Input = serde_json::from_slice(body)
        .map_err(|error| WireError::new("ValidationException", 400, format!("{NAME}: {error}")))?;
    let listed = ListActionExecutionsInput { pipeline_name: input.pipeline_name.clone(), ..Default::default() };
    call.allow::<ListActionExecutions>(&listed).await?;
    let execution = ExecutionId::new(input.pipeline_execution_id);
    let read = call.orchestrator.action_log(
        call.scope(),
        &input.pipeline_name,
        &execution,
        &input.action_execution_id,
        input.next_token.as_deref(),
    );
    let output = match read.await.map_err(errors::wire)? {
        ActionLog::Page(page) => Output {
            events: page.lines.into_iter().map(|l| Event { timestamp: l.time.millis(), message: l.text }).collect(),
            next_token: page.next,
            message: None,
        },
        ActionLog::Unreadable(message) => Output { message: Some(message), ..Output::default() },
    };
    json::respond(&output, &call.request.request_id).map_err(|error| {
        tracing::error!(%error, operation = NAME, "an answer could not be encoded");
        WireError::internal(Dialect::Json)
    })
}
