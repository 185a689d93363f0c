//! The running system as the commands see it: AWS's API, called as the root user without a socket.

use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use towpath_model::history::HistoryEntry;
use towpath_model::ids::ExecutionId;
use towpath_model::time::Timestamp;
use towpath_services::call::{Call, Origin};
use towpath_services::identity::Principal;
use towpath_services::s3::{NewBucket, PutOptions, Refusal};

use super::System;
use crate::host::{Api, ApiError, Host};

/// Entries read at once; more are read when these were shown.
const HISTORY_PAGE: usize = 500;

#[async_trait]
impl Api for System {
    async fn call(&self, service: &str, operation: &str, input: Value) -> Result<Value, ApiError> {
        let services = &self.front.services;
        let principal = Principal::root(&self.scope.account);
        let request_id = (self.front.request_ids)();
        let query = service == "iam";
        let body = if query { form(operation, &input) } else { input.to_string() };
        let call = Call {
            principal,
            scope: self.scope.clone(),
            operation: operation.to_owned(),
            body: Bytes::from(body),
            request_id,
            origin: Origin::default(),
        };
        match service {
            "codebuild" => json_answer(&services.codebuild.handle(&call).await),
            "codepipeline" => json_answer(&self.front.pipelines(call).serve().await),
            "iam" => query_answer(&services.identity.handle_iam(&call).await),
            "logs" => json_answer(&services.logs.handle(&call).await),
            other => Err(ApiError::new("UnknownService", format!("there is no service `{other}` here"))),
        }
    }
}

#[async_trait]
impl Host for System {
    async fn ensure_bucket(&self, bucket: &str, versioned: bool) -> Result<(), ApiError> {
        let (account, region) = (&self.scope.account, &self.scope.region);
        // Deploy actions may name a canned ACL; a bucket made for them takes it.
        let new = NewBucket { versioned, acls: true };
        self.front.services.s3.ensure_bucket(account, region, bucket, new).await.map(drop).map_err(refusal)
    }

    async fn put_file(&self, bucket: &str, key: &str, file: &Path) -> Result<String, ApiError> {
        let s3 = &self.front.services.s3;
        let put = s3.put_from_file(&self.scope.account, bucket, key, file, PutOptions::default()).await;
        Ok(put.map_err(refusal)?.version_id.unwrap_or_default())
    }

    async fn history(&self, execution: &str, after: u64) -> Result<Vec<HistoryEntry>, ApiError> {
        let id = ExecutionId::new(execution);
        let read = self.front.orchestrator.history(&id, after, HISTORY_PAGE).await;
        read.map_err(|error| ApiError::new("InternalFailure", error.to_string()))
    }

    async fn history_changed(&self) {
        let _ = self.commits.lock().await.changed().await;
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn shutdown(&self) {
        self.close().await;
    }
}

fn refusal(refusal: Refusal) -> ApiError {
    ApiError::new(refusal.code, refusal.message)
}

fn json_answer(response: &http::Response<Bytes>) -> Result<Value, ApiError> {
    let body = response.body();
    let value: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(body).unwrap_or(Value::Null) };
    if response.status().is_success() {
        return Ok(value);
    }
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    Err(ApiError::new(text("__type"), text("message")))
}

/// A Query request of flat members, which is all that the commands send.
fn form(operation: &str, input: &Value) -> String {
    let mut body = format!("Action={operation}&Version=2010-05-08");
    for (name, value) in input.as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        body.push('&');
        body.push_str(name);
        body.push('=');
        body.extend(percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC));
    }
    body
}

/// The commands look at whether a Query request worked, and at the error when it did not.
fn query_answer(response: &http::Response<Bytes>) -> Result<Value, ApiError> {
    if response.status().is_success() {
        return Ok(Value::Null);
    }
    let body = String::from_utf8_lossy(response.body());
    let element = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
    };
    Err(ApiError::new(element("Code").unwrap_or_default(), element("Message").unwrap_or_default()))
}
