//! What is done about one planned resource: nothing, where it is there already and says the same; else the calls that make
//! or change it. Calls are data, so that a plan shows exactly what will be sent.

use serde_json::{Value as Json, json};

use crate::host::{ApiError, Target};
use crate::template::{Kind, Plan, Planned};

use super::{action_type, bucket, managed_policy, pipeline, project, role, webhook};

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Service { service: &'static str, operation: &'static str, input: Json },
    Bucket { operation: &'static str, bucket: String, subresource: &'static str, body: String },
}

impl Call {
    pub const fn iam(operation: &'static str, input: Json) -> Self {
        Self::Service { service: "iam", operation, input }
    }

    pub const fn codepipeline(operation: &'static str, input: Json) -> Self {
        Self::Service { service: "codepipeline", operation, input }
    }

    pub const fn codebuild(operation: &'static str, input: Json) -> Self {
        Self::Service { service: "codebuild", operation, input }
    }

    pub const fn operation(&self) -> &'static str {
        match self {
            Self::Service { operation, .. } | Self::Bucket { operation, .. } => operation,
        }
    }

    pub fn json(&self) -> Json {
        match self {
            Self::Service { service, operation, input } => {
                json!({"service": service, "operation": operation, "input": input})
            }
            Self::Bucket { operation, bucket, body, .. } => {
                json!({"service": "s3", "operation": operation, "input": {"Bucket": bucket, "Body": body}})
            }
        }
    }

    pub async fn make(&self, target: &dyn Target) -> Result<(), ApiError> {
        match self {
            Self::Service { service, operation, input } => {
                target.call(service, operation, input.clone()).await.map(drop)
            }
            Self::Bucket { bucket, subresource, body, .. } => {
                let (status, answer) = target.bucket(http::Method::PUT, bucket, subresource, body.clone()).await?;
                if status.is_success() { Ok(()) } else { Err(bucket::refusal(status, &answer)) }
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Create,
    Update,
    /// It is there and says the same.
    Keep,
}

impl Change {
    pub const fn words(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Keep => "keep",
        }
    }
}

/// What is done about one resource.
#[derive(Debug, Clone)]
pub struct Work {
    pub change: Change,
    pub calls: Vec<Call>,
    /// What the plan does not say and the server does.
    pub notes: Vec<String>,
}

impl Work {
    pub const fn create(calls: Vec<Call>) -> Self {
        Self { change: Change::Create, calls, notes: Vec::new() }
    }

    /// An update where there is something to do.
    pub fn existing(calls: Vec<Call>) -> Self {
        let change = if calls.is_empty() { Change::Keep } else { Change::Update };
        Self { change, calls, notes: Vec::new() }
    }
}

/// Why a resource cannot become what the template says.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the custom action type {0} is there already and says something else")]
    ActionTypeChanged(String),
    #[error("the bucket `{0}` is there already and is somebody else's")]
    ForeignBucket(String),
}

/// Asks the server about one resource and answers what is to be done.
pub async fn look(target: &dyn Target, plan: &Plan, item: &Planned, region: &str) -> Result<Work, LookError> {
    match item.kind {
        Kind::Bucket => bucket::look(target, item, region).await,
        Kind::BucketPolicy => bucket::look_policy(target, item).await,
        Kind::Role => Ok(role::look(target, plan, item).await?),
        Kind::Policy => Ok(role::look_policy(target, item).await?),
        Kind::ManagedPolicy => Ok(managed_policy::look(target, item).await?),
        Kind::ActionType => action_type::look(target, item).await,
        Kind::Project => Ok(project::look(target, item).await?),
        Kind::Pipeline => Ok(pipeline::look(target, item, region).await?),
        Kind::Webhook => Ok(webhook::look(target, item).await?),
    }
}

/// Whether two policies say the same; the order of members means nothing.
pub fn same_document(left: &Json, right: &Json) -> bool {
    sorted(left) == sorted(right)
}

fn sorted(value: &Json) -> Json {
    match value {
        Json::Object(members) => {
            let mut members: Vec<_> = members.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Json::Object(members.into_iter().collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// A document of IAM's answers, which has its characters escaped.
pub fn document(answer: &Json) -> Json {
    let text = answer.as_str().unwrap_or_default();
    let text = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    serde_json::from_str(&text).unwrap_or(Json::Null)
}

/// The members of an object, but for some.
pub fn without(body: &Json, left_out: &[&str]) -> Json {
    let members = body.as_object().into_iter().flatten();
    Json::Object(
        members.filter(|(k, _)| !left_out.contains(&k.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect(),
    )
}
