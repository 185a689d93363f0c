//! Approval / AWS / Manual: somebody answers with PutApprovalResult. The token, the answer and the deadline are the
//! engine's; what is done here is to tell an SNS topic that an answer is wanted. Publishing has no idempotency token for
//! ordinary topics, so a crash may tell it twice.

use async_trait::async_trait;
use serde_json::{Value, json};
use towpath_model::action::{ActionInvocation, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::TIMEOUT_APPROVAL_MINUTES;

use crate::limits::NOTICE_NAME_CHARS_MAX;
use crate::links;
use crate::problem::{Kind, Problem};
use crate::provider::{Call, Provider};
use crate::realms::Service;

const SERVICE: &str = "AmazonSNS";
/// Where a request for an answer is published. The engine starts an approval that has one, and only waits for others.
const TOPIC: &str = "NotificationArn";

pub struct ManualApproval {
    entry: ActionTypeEntry,
}

impl Default for ManualApproval {
    fn default() -> Self {
        Self::new()
    }
}

impl ManualApproval {
    pub fn new() -> Self {
        Self { entry: entry() }
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Approval, Owner::Aws, "Manual", "1"),
        description: "Waits until somebody approves or rejects.".to_owned(),
        properties: vec![
            Property::optional("CustomData", "Comment shown to the approver."),
            Property::optional("ExternalEntityLink", "URL of the thing to review."),
            Property::optional("IsSummaryRequired", "The answer must carry a summary.").boolean(),
            Property::optional(TOPIC, "SNS topic, in the Region of the pipeline, to which the request is published."),
        ],
        inputs: Bounds::new(0, 0),
        outputs: Bounds::new(0, 0),
        output_variables: Vec::new(),
        default_timeout_minutes: TIMEOUT_APPROVAL_MINUTES,
        timeout_configurable: true,
        v2_only: false,
        repeat: Repeat::AtLeastOnce,
        entity_url_template: None,
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Approval,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/approvals.html".to_owned(),
    }
}

/// What an approver is told.
struct Notice<'a> {
    action: &'a ActionInvocation,
    console: String,
    review: String,
    expires: String,
}

impl<'a> Notice<'a> {
    fn of(cx: &Call<'_>, action: &'a ActionInvocation) -> Self {
        // The pipeline is Towpath's own, wherever the topic is.
        let console = links::pipeline(cx.artifacts, &action.scope.region, &action.pipeline_name);
        let (stage, name, token) = (&action.stage_name, &action.action_name, &action.action_execution_id);
        Self {
            action,
            review: format!("{console}#/{stage}/{name}/approve/{token}"),
            console,
            // 2026-03-09T08:20:11.000Z, to the minute.
            expires: format!("{}Z", action.deadline.iso8601().chars().take(16).collect::<String>()),
        }
    }

    fn given(&self, key: &str) -> Option<&str> {
        self.action.config(key).filter(|value| !value.is_empty())
    }

    fn subject(&self) -> String {
        let name = |text: &str| -> String {
            let more = if text.chars().count() > NOTICE_NAME_CHARS_MAX { "..." } else { "" };
            text.chars().take(NOTICE_NAME_CHARS_MAX).chain(more.chars()).collect()
        };
        let (pipeline, action) = (name(&self.action.pipeline_name), name(&self.action.action_name));
        format!("APPROVAL NEEDED: AWS CodePipeline {pipeline} for action {action}")
    }

    /// AWS's members in AWS's order.
    fn document(&self) -> Value {
        let action = self.action;
        json!({
            "region": action.scope.region,
            "consoleLink": self.console,
            "approval": {
                "pipelineName": action.pipeline_name,
                "stageName": action.stage_name,
                "actionName": action.action_name,
                "token": action.action_execution_id,
                "expires": self.expires,
                "externalEntityLink": self.given("ExternalEntityLink"),
                "approvalReviewLink": self.review,
                "customData": self.given("CustomData"),
            },
        })
    }

    /// The same for people who read mail.
    fn text(&self) -> String {
        let action = self.action;
        let mut text = format!(
            "Hello,\n\nThe following Approval action is waiting for your response:\n\n--Pipeline Details--\n\nPipeline name: \
             {}\nStage name: {}\nAction name: {}\nRegion: {}\n\n--Approval Details--\n\nApprove or reject: {}\n",
            action.pipeline_name, action.stage_name, action.action_name, action.scope.region, self.review
        );
        for (label, key) in [("Additional information", "CustomData"), ("Content to review", "ExternalEntityLink")] {
            if let Some(value) = self.given(key) {
                text.extend([label, ": ", value, "\n"]);
            }
        }
        text.extend(["Deadline: This review request will expire on ", &self.expires, "\n"]);
        text
    }

    /// One text for each kind of subscriber: the document is everybody's but the readers' of mail.
    fn message(&self) -> String {
        json!({"default": self.document().to_string(), "email": self.text()}).to_string()
    }
}

/// AWS's words for a topic that cannot be told.
fn outcome(topic: &str, problem: &Problem) -> Outcome {
    match problem.kind {
        Kind::AccessDenied => problem.outcome(
            error_code::PERMISSION_ERROR,
            format!(
                "The Pipeline or Action role does not have permission to publish to topics in Amazon SNS. Update the IAM \
                 role permissions, and then try again. {}",
                problem.detail()
            ),
        ),
        Kind::NotFound => problem.outcome(
            error_code::CONFIGURATION_ERROR,
            format!("No Amazon SNS topic with the ARN {topic} was found. {}", problem.detail()),
        ),
        Kind::Rejected | Kind::Transient | Kind::Session => problem.outcome(
            error_code::CONFIGURATION_ERROR,
            format!("An invalid topic ARN ({topic}) was provided. {}", problem.detail()),
        ),
    }
}

async fn publish(cx: &Call<'_>, action: &ActionInvocation, topic: &str) -> Result<(), Problem> {
    let notice = Notice::of(cx, action);
    let client = cx.realm.sns(action).await?;
    let request = client.publish().topic_arn(topic).subject(notice.subject());
    let answer = request.message_structure("json").message(notice.message()).send().await;
    answer.map(drop).map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))
}

#[async_trait]
impl Provider for ManualApproval {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn check_value(&self, key: &str, value: &str) -> Result<(), String> {
        if key != TOPIC {
            return Ok(());
        }
        let parts: Vec<&str> = value.split(':').collect();
        match parts.as_slice() {
            ["arn", partition, "sns", region, account, name]
                if ![partition, region, name].iter().any(|part| part.is_empty())
                    && account.len() == 12
                    && account.chars().all(|c| c.is_ascii_digit()) =>
            {
                Ok(())
            }
            _ => Err("it must be the ARN of an Amazon SNS topic, arn:aws:sns:REGION:ACCOUNT:NAME".to_owned()),
        }
    }

    fn service(&self) -> Option<Service> {
        Some(Service::Sns)
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        let awaiting = Outcome::AwaitingCallback { progress: Progress::default() };
        let Some(topic) = action.config(TOPIC).filter(|topic| !topic.is_empty()) else { return awaiting };
        match publish(cx, action, topic).await {
            Ok(()) => awaiting,
            Err(problem) => outcome(topic, &problem),
        }
    }

    async fn poll(&self, _cx: &Call<'_>, _action: &ActionInvocation, progress: &Progress) -> Outcome {
        Outcome::AwaitingCallback { progress: progress.clone() }
    }

    /// What was published cannot be taken back; its token is dead.
    async fn stop(&self, _cx: &Call<'_>, _action: &ActionInvocation, _progress: &Progress) -> Result<(), String> {
        Ok(())
    }
}
