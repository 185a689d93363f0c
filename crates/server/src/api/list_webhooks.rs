//! ListWebhooks. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_ListWebhooks.html

use towpath_wire::WireError;
use towpath_wire::codepipeline::{ListWebhooksInput, ListWebhooksOutput, Operation as Name};

use super::{Call, Operation, Resource, convert, errors, webhook_item};

pub struct ListWebhooks;

impl Operation for ListWebhooks {
    type Input = ListWebhooksInput;
    type Output = ListWebhooksOutput;
    const NAME: Name = Name::ListWebhooks;

    fn resource(input: &Self::Input) -> Resource {
        let _: &ListWebhooksInput = input;
        Resource::Webhook("*".to_owned())
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let limit = convert::page_size(input.max_results, 100);
        let page = call
            .orchestrator
            .list_webhooks(call.scope(), input.next_token.as_deref(), limit)
            .await
            .map_err(errors::wire)?;
        Ok(ListWebhooksOutput {
            webhooks: Some(
                page.webhooks.into_iter().map(|(webhook, tags)| webhook_item::item(call, webhook, tags)).collect(),
            ),
            next_token: page.next_token,
        })
    }
}
