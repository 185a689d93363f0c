//! Invoke / AWS / Lambda and the rule LambdaInvoke: hands the function its job in an event. The function answers when it
//! likes with PutJobSuccessResult or PutJobFailureResult, so there is nothing to poll; a continuation is another job and
//! another event. What an answer means, how long one is waited for and when the function is asked again is for whoever
//! keeps the jobs, never for this file.
//!
//! The event holds credentials and is never shown.

use async_trait::async_trait;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use serde_json::{Value, json};
use towpath_model::action::{ActionInvocation, ArtifactLocation, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::TIMEOUT_CUSTOM_MINUTES;

use crate::job_credentials::{JobCredentials, job_credentials};
use crate::logs::LogPage;
use crate::problem::{Kind, Problem};
use crate::provider::{Call, HandedJob, Provider};
use crate::realms::Service;
use crate::{links, logs, rules};

const SERVICE: &str = "AWSLambda";

pub struct LambdaInvoke {
    entry: ActionTypeEntry,
}

impl LambdaInvoke {
    pub const CATEGORIES: [Category; 2] = [Category::Invoke, Category::Rule];

    pub fn new(category: Category) -> Self {
        Self { entry: entry(category) }
    }
}

fn entry(category: Category) -> ActionTypeEntry {
    let properties = vec![
        Property::required("FunctionName", "Function to invoke, in the account and Region of the action."),
        Property::optional("UserParameters", "Text that the function finds in its event."),
    ];
    let shared = ActionTypeEntry {
        id: ActionTypeId::new(Category::Invoke, Owner::Aws, "Lambda", "1"),
        description: "Invokes an AWS Lambda function, which answers with PutJobSuccessResult or PutJobFailureResult: \
                      within 20 minutes, or with a continuation token to be invoked again."
            .to_owned(),
        properties: Vec::new(),
        inputs: Bounds::new(0, 5),
        outputs: Bounds::new(0, 5),
        output_variables: Vec::new(),
        default_timeout_minutes: TIMEOUT_CUSTOM_MINUTES,
        timeout_configurable: false,
        v2_only: false,
        // Lambda has no client token. Each repetition carries the same job id, and a job is answered once.
        repeat: Repeat::AtLeastOnce,
        entity_url_template: Some(
            "https://console.aws.amazon.com/lambda/home?#/functions/{Config:FunctionName}".to_owned(),
        ),
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Lambda,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-Lambda.html"
            .to_owned(),
    };
    if category == Category::Rule {
        let description = "Invokes an AWS Lambda function; met when it answers with PutJobSuccessResult.";
        return ActionTypeEntry {
            inputs: shared.inputs,
            repeat: shared.repeat,
            entity_url_template: shared.entity_url_template,
            executor: shared.executor,
            ..rules::entry("LambdaInvoke", description, properties)
        };
    }
    ActionTypeEntry { properties, ..shared }
}

/// The event, exactly as CodePipeline words it.
fn event(action: &ActionInvocation, job: &HandedJob, credentials: &JobCredentials) -> Value {
    let mut data = json!({
        "actionConfiguration": {"configuration": action.configuration},
        "inputArtifacts":
            action.input_artifacts.iter().map(|l| artifact(l, l.revision_id.as_deref())).collect::<Vec<_>>(),
        // An output has no revision before it is made.
        "outputArtifacts": action.output_artifacts.iter().map(|l| artifact(l, None)).collect::<Vec<_>>(),
        "artifactCredentials": {
            "accessKeyId": credentials.access_key_id,
            "secretAccessKey": credentials.secret_access_key.expose(),
            "sessionToken": credentials.session_token.expose(),
            "expirationTime": credentials.expires.millis(),
        },
    });
    if let Some(token) = &job.continuation_token {
        data["continuationToken"] = json!(token);
    }
    if let Some(key) = &action.encryption_key {
        data["encryptionKey"] = json!({"id": key, "type": "KMS"});
    }
    json!({"CodePipeline.job": {"id": job.id, "accountId": action.scope.account, "data": data}})
}

fn artifact(location: &ArtifactLocation, revision: Option<&str>) -> Value {
    json!({
        "name": location.name,
        "revision": revision,
        "location": {
            "type": "S3",
            "s3Location": {"bucketName": location.bucket, "objectKey": location.key},
        },
    })
}

async fn invoke(cx: &Call<'_>, action: &ActionInvocation, job: &HandedJob, event: &Value) -> Result<(), Problem> {
    let request = cx
        .realm
        .lambda(action)
        .await?
        .invoke()
        .function_name(&job.function)
        .invocation_type(InvocationType::Event)
        .payload(Blob::new(event.to_string()));
    request.send().await.map(drop).map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))
}

fn refused(problem: &Problem, function: &str) -> Outcome {
    // Lambda says so with a status of 502, and would for ever.
    if problem.code == "InvalidRuntimeException" {
        let message = format!("The AWS Lambda function {function} could not be invoked: {}", problem.detail());
        return Outcome::failed(error_code::CONFIGURATION_ERROR, message);
    }
    match problem.kind {
        Kind::AccessDenied => problem.outcome(
            error_code::PERMISSION_ERROR,
            format!(
                "The provided role does not have permissions to perform this action. Underlying error: {}",
                problem.detail()
            ),
        ),
        Kind::NotFound => problem
            .outcome(error_code::CONFIGURATION_ERROR, format!("The AWS Lambda function {function} does not exist.")),
        // The function is being made or changed and cannot be asked for the moment.
        Kind::Rejected if problem.status == 409 => Outcome::Unavailable { message: problem.detail() },
        Kind::Rejected | Kind::Transient | Kind::Session => problem.outcome(
            error_code::JOB_FAILED,
            format!("The AWS Lambda function {function} could not be invoked: {}", problem.detail()),
        ),
    }
}

#[async_trait]
impl Provider for LambdaInvoke {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn service(&self) -> Option<Service> {
        Some(Service::Lambda)
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        let Some(job) = cx.job else {
            let message = format!("{} has no job to hand to its function.", action.action_name);
            return Outcome::failed(error_code::INTERNAL_ERROR, message);
        };
        if job.function.is_empty() {
            let message = format!("The configuration of {} lacks FunctionName.", action.action_name);
            return Outcome::failed(error_code::CONFIGURATION_ERROR, message);
        }
        let credentials = match job_credentials(cx.artifacts, action).await {
            Ok(credentials) => credentials,
            Err(problem) => return problem.outcome(error_code::PERMISSION_ERROR, problem.detail()),
        };
        match invoke(cx, action, job, &event(action, job, &credentials)).await {
            Ok(()) => Outcome::AwaitingCallback {
                progress: Progress {
                    external_id: Some(job.function.clone()),
                    external_url: Some(links::lambda_logs(cx.realm, &action.region, &job.function)),
                    // Says that this job, and not only one before it, has been handed over.
                    continuation: Some(job.id.clone()),
                    ..Progress::default()
                },
            },
            Err(problem) => refused(&problem, &job.function),
        }
    }

    /// Never `Pending`; asked all the same, it hands the job over again.
    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, _progress: &Progress) -> Outcome {
        self.start(cx, action).await
    }

    /// A function that runs cannot be stopped; its job is withdrawn, so that its answer means nothing any more.
    async fn stop(&self, _cx: &Call<'_>, _action: &ActionInvocation, _progress: &Progress) -> Result<(), String> {
        Ok(())
    }

    /// What the function has logged since the action began.
    async fn logs(
        &self,
        cx: &Call<'_>,
        action: &ActionInvocation,
        progress: &Progress,
        token: Option<&str>,
    ) -> Result<LogPage, Problem> {
        match progress.external_id.as_deref().or_else(|| action.config("FunctionName")) {
            Some(function) => logs::of_group(cx, action, &logs::group_of_function(function), token).await,
            None => Ok(LogPage::default()),
        }
    }
}
