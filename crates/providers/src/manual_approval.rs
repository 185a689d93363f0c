//! Approval / AWS / Manual: somebody answers with PutApprovalResult. Nothing happens outside Towpath, so this file is an
//! entry; the token, the answer and the deadline are the engine's.

use async_trait::async_trait;
use towpath_model::action::{ActionInvocation, Outcome, Progress};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::TIMEOUT_APPROVAL_MINUTES;

use crate::provider::{Call, Provider};

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
            Property::optional("NotificationArn", "SNS topic to which the request is published.").refused(
                "NotificationArn is not supported yet: Towpath has no Amazon SNS. Remove it and watch the pipeline state, \
                 or approve with PutApprovalResult.",
            ),
        ],
        inputs: Bounds::new(0, 0),
        outputs: Bounds::new(0, 0),
        output_variables: Vec::new(),
        default_timeout_minutes: TIMEOUT_APPROVAL_MINUTES,
        timeout_configurable: true,
        v2_only: false,
        repeat: Repeat::Internal,
        entity_url_template: None,
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Approval,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/approvals.html".to_owned(),
    }
}

#[async_trait]
impl Provider for ManualApproval {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    async fn start(&self, _cx: &Call<'_>, _action: &ActionInvocation) -> Outcome {
        Outcome::AwaitingCallback { progress: Progress::default() }
    }

    async fn poll(&self, _cx: &Call<'_>, _action: &ActionInvocation, progress: &Progress) -> Outcome {
        Outcome::AwaitingCallback { progress: progress.clone() }
    }

    async fn stop(&self, _cx: &Call<'_>, _action: &ActionInvocation, _progress: &Progress) -> Result<(), String> {
        Ok(())
    }
}
