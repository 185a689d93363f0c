//! CloudWatch Logs. A stream is a file of JSON lines, `{"time": epoch milliseconds, "message": text}`: either one of this
//! service's own, which PutLogEvents appends to, or one that another part of Towpath writes and has attached
//! ([`Logs::attach`]). The log of a build is read straight from its runner's `log.jsonl`, while it grows.
//! No metrics, no subscriptions, no retention here.

mod filter;
mod groups;
pub(crate) mod lines;
mod pattern;
mod read;
mod streams;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use towpath_model::ids::Scope;
use towpath_store::{Documents, StoreError};
use towpath_wire::logs::{Operation, SERVICE};
use towpath_wire::{Dialect, WireError, json};

use crate::ambient::Ambient;
use crate::call::{Call, Response};
use crate::identity::policy::Context;
use crate::identity::{Identity, Refusal};

const GROUPS: &str = "logs.group";
const STREAMS: &str = "logs.stream";

/// The log service of one data directory.
pub struct Logs {
    documents: Arc<dyn Documents>,
    ambient: Ambient,
    identity: Arc<Identity>,
    data_dir: PathBuf,
    /// One writer at a time per process; files of this service are appended to by nobody else.
    append: tokio::sync::Mutex<()>,
}

impl Logs {
    pub fn new(documents: Arc<dyn Documents>, ambient: Ambient, identity: Arc<Identity>, data_dir: &Path) -> Self {
        Self { documents, ambient, identity, data_dir: data_dir.to_owned(), append: tokio::sync::Mutex::default() }
    }

    /// Answers one request.
    pub async fn handle(&self, call: &Call) -> Response {
        match self.answer(call).await {
            Ok(response) => response,
            Err(error) => json::respond_error(&error, &call.request_id),
        }
    }

    async fn answer(&self, call: &Call) -> Result<Response, WireError> {
        let operation = Operation::from_name(&call.operation).ok_or_else(WireError::unknown_operation)?;
        let body = &call.body;
        let output = match operation {
            Operation::CreateLogGroup => self.create_log_group(call, json::decode(body)?).await.map(empty),
            Operation::CreateLogStream => self.create_log_stream(call, json::decode(body)?).await.map(empty),
            Operation::DeleteLogGroup => self.delete_log_group(call, json::decode(body)?).await.map(empty),
            Operation::DescribeLogGroups => self.describe_log_groups(call, json::decode(body)?).await.and_then(encode),
            Operation::DescribeLogStreams => {
                self.describe_log_streams(call, json::decode(body)?).await.and_then(encode)
            }
            Operation::FilterLogEvents => self.filter_log_events(call, json::decode(body)?).await.and_then(encode),
            Operation::GetLogEvents => self.get_log_events(call, json::decode(body)?).await.and_then(encode),
            Operation::PutLogEvents => self.put_log_events(call, json::decode(body)?).await.and_then(encode),
        }?;
        match output {
            None => Ok(json::respond_empty(&call.request_id)),
            Some(value) => json::respond(&value, &call.request_id).map_err(|error| internal(&error)),
        }
    }

    /// Whether the caller may do this to a group (its ARN with or without `:*`, as policies have both) or to a stream.
    async fn may(&self, call: &Call, resource: &str) -> Result<(), WireError> {
        let action = format!("logs:{}", call.operation);
        self.permitted(&call.principal, &action, resource, call.context()).await
    }

    async fn permitted(
        &self,
        principal: &crate::identity::Principal,
        action: &str,
        resource: &str,
        context: Context,
    ) -> Result<(), WireError> {
        let first = match self.identity.authorize(principal, action, resource, context.clone()).await {
            Ok(()) => return Ok(()),
            Err(refusal) => refusal,
        };
        let wider = format!("{resource}:*");
        match (first, self.identity.authorize(principal, action, &wider, context).await) {
            (_, Ok(())) => Ok(()),
            (Refusal::Denied(denied), _) => Err(WireError::access_denied(Dialect::Json, denied.to_string())),
            (Refusal::Unavailable(error), _) => Err(store_error(&error)),
        }
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.data_dir.join(relative)
    }
}

fn empty((): ()) -> Option<serde_json::Value> {
    None
}

fn encode<T: serde::Serialize>(output: T) -> Result<Option<serde_json::Value>, WireError> {
    serde_json::to_value(output).map(Some).map_err(|error| internal(&error))
}

fn partition(scope: &Scope) -> String {
    format!("{}/{}", scope.account, scope.region)
}

fn group_arn(scope: &Scope, group: &str) -> String {
    format!("arn:aws:logs:{}:{}:log-group:{group}", scope.region, scope.account)
}

/// The ARN of a stream, as CodeBuild shows it too.
pub fn stream_arn(scope: &Scope, group: &str, stream: &str) -> String {
    format!("{}:log-stream:{stream}", group_arn(scope, group))
}

/// A group by exactly one of its name and its identifier (name or ARN).
fn group_name(name: Option<String>, identifier: Option<String>) -> Result<String, WireError> {
    match (name, identifier) {
        (None, Some(identifier)) if identifier.starts_with("arn:") => {
            let name = identifier.split_once(":log-group:").map(|(_, name)| name.trim_end_matches(":*"));
            name.filter(|name| !name.is_empty())
                .map(str::to_owned)
                .ok_or_else(|| invalid("The log group ARN is not valid."))
        }
        (Some(name), None) | (None, Some(name)) => Ok(name),
        (Some(_), Some(_)) => Err(invalid("LogGroupName and LogGroupIdentifier cannot be given together.")),
        (None, None) => Err(invalid("Either LogGroupName or LogGroupIdentifier must be given.")),
    }
}

fn invalid(message: impl Into<String>) -> WireError {
    WireError::modeled(&SERVICE, "InvalidParameterException", message)
}

fn no_group() -> WireError {
    WireError::modeled(&SERVICE, "ResourceNotFoundException", "The specified log group does not exist.")
}

fn no_stream() -> WireError {
    WireError::modeled(&SERVICE, "ResourceNotFoundException", "The specified log stream does not exist.")
}

fn store_error(error: &StoreError) -> WireError {
    tracing::error!(%error, source = ?std::error::Error::source(error), "log documents cannot be used");
    match error {
        StoreError::DiskFull { .. } => WireError::disk_full(Dialect::Json),
        _ => WireError::internal(Dialect::Json),
    }
}

fn internal(error: &dyn std::error::Error) -> WireError {
    tracing::error!(%error, "a log answer cannot be made");
    WireError::internal(Dialect::Json)
}

fn file_error(error: &std::io::Error) -> WireError {
    internal(error)
}

/// Runs file work off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, WireError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| file_error(&error)),
        Err(panicked) => Err(internal(&panicked)),
    }
}
