//! The running system as the commands see it: AWS's API, called as the root user without a socket.

use std::path::Path;

use async_trait::async_trait;
use aws_credential_types::Credentials;
use axum::body::Body;
use bytes::Bytes;
use serde_json::Value;
use towpath_model::history::HistoryEntry;
use towpath_model::ids::ExecutionId;
use towpath_model::time::Timestamp;
use towpath_providers::working_tree;
use towpath_server::Peer;
use towpath_services::call::{Call, Origin};
use towpath_services::identity::Principal;
use towpath_services::s3::{NewBucket, PutOptions, Refusal};

use super::System;
use crate::client::{Signing, protocol, signed};
use crate::host::{Api, ApiError, Host, Target, Tree};
use crate::limits::ANSWER_BYTES_MAX;

/// Entries read at once; more are read when these were shown.
const HISTORY_PAGE: usize = 500;

#[async_trait]
impl Api for System {
    async fn call(&self, service: &str, operation: &str, input: Value) -> Result<Value, ApiError> {
        let services = &self.front.services;
        let principal = Principal::root(&self.scope.account);
        let request_id = (self.front.request_ids)();
        let query = service == "iam";
        let body = if query { protocol::form(operation, "2010-05-08", &input) } else { input.to_string() };
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
            "iam" => protocol::query_answer(operation, &services.identity.handle_iam(&call).await),
            "logs" => json_answer(&services.logs.handle(&call).await),
            other => Err(ApiError::new("UnknownService", format!("there is no service `{other}` here"))),
        }
    }
}

#[async_trait]
impl Target for System {
    /// S3 knows its callers by their signatures only, so the request is signed with the root user's own key.
    async fn bucket(
        &self,
        method: http::Method,
        bucket: &str,
        subresource: &str,
        body: String,
    ) -> Result<(http::StatusCode, String), ApiError> {
        let query = if subresource.is_empty() { String::new() } else { format!("?{subresource}") };
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}/{bucket}{query}", self.address))
            .header(http::header::HOST, self.address.to_string())
            .header(http::header::CONTENT_LENGTH, body.len())
            .body(Bytes::from(body))
            .map_err(|error| ApiError::new("InvalidURI", error.to_string()))?;
        let root = self.front.services.identity.root_key();
        let key = Credentials::new(&root.id, root.secret.expose(), None, None, "root");
        signed(&mut request, Signing::of("s3", &self.scope.region), &key, self.clock.now())?;
        let answer = self.front.handle(request.map(Body::from), Peer::default()).await;
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), ANSWER_BYTES_MAX).await;
        let body = body.map_err(|error| ApiError::new("InternalError", error.to_string()))?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
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

    async fn stand_in(
        &self,
        bucket: &str,
        pipeline: &str,
        action: &str,
        zip: &Path,
        tree: Tree,
    ) -> Result<(), ApiError> {
        let Tree { revision, summary, created, variables } = tree;
        let description = working_tree::Description { revision, summary, created, variables };
        let unwritten = |error: &dyn std::error::Error| ApiError::new("InternalFailure", error.to_string());
        let mut file = tempfile::NamedTempFile::new().map_err(|error| unwritten(&error))?;
        serde_json::to_writer(&mut file, &description).map_err(|error| unwritten(&error))?;
        let (zip_key, description_key) = working_tree::keys(pipeline, action);
        self.put_file(bucket, &zip_key, zip).await?;
        self.put_file(bucket, &description_key, file.path()).await.map(drop)
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
