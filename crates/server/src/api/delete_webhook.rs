//! DeleteWebhook. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_DeleteWebhook.html

use towpath_wire::WireError;
use towpath_wire::codepipeline::{DeleteWebhookInput, DeleteWebhookOutput, Operation as Name};

use super::{Call, Operation, Resource, errors};

pub struct DeleteWebhook;

impl Operation for DeleteWebhook {
    type Input = DeleteWebhookInput;
    type Output = DeleteWebhookOutput;
    const NAME: Name = Name::DeleteWebhook;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Webhook(input.name.clone())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        call.orchestrator.delete_webhook(call.scope(), &input.name).await.map_err(errors::wire)?;
        Ok(DeleteWebhookOutput {})
    }
}
