//! DeregisterWebhookWithThirdParty. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_DeregisterWebhookWithThirdParty.html

use towpath_wire::WireError;
use towpath_wire::codepipeline::{
    DeregisterWebhookWithThirdPartyInput, DeregisterWebhookWithThirdPartyOutput, Operation as Name,
};

use super::{Call, Operation, Resource, webhook_item};

pub struct DeregisterWebhookWithThirdParty;

impl Operation for DeregisterWebhookWithThirdParty {
    type Input = DeregisterWebhookWithThirdPartyInput;
    type Output = DeregisterWebhookWithThirdPartyOutput;
    const NAME: Name = Name::DeregisterWebhookWithThirdParty;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Webhook(input.webhook_name.clone().unwrap_or_default())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        match webhook_item::third_party_hook(call, input.webhook_name).await? {}
    }
}
