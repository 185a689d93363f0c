//! RegisterWebhookWithThirdParty. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_RegisterWebhookWithThirdParty.html

use towpath_wire::WireError;
use towpath_wire::codepipeline::{
    Operation as Name, RegisterWebhookWithThirdPartyInput, RegisterWebhookWithThirdPartyOutput,
};

use super::{Call, Operation, Resource, webhook_item};

pub struct RegisterWebhookWithThirdParty;

impl Operation for RegisterWebhookWithThirdParty {
    type Input = RegisterWebhookWithThirdPartyInput;
    type Output = RegisterWebhookWithThirdPartyOutput;
    const NAME: Name = Name::RegisterWebhookWithThirdParty;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Webhook(input.webhook_name.clone().unwrap_or_default())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        match webhook_item::third_party_hook(call, input.webhook_name).await? {}
    }
}
