//! PutWebhook. Source: https://docs.aws.amazon.com/codepipeline/latest/APIReference/API_PutWebhook.html

use towpath_orchestrator::{WebhookAuthentication, WebhookDefinition, WebhookFilter};
use towpath_wire::WireError;
use towpath_wire::codepipeline::{Operation as Name, PutWebhookInput, PutWebhookOutput};
use towpath_wire::types::Sensitive;

use super::{Call, Operation, Resource, Tagging, errors, tags, webhook_item};

pub struct PutWebhook;

impl Operation for PutWebhook {
    type Input = PutWebhookInput;
    type Output = PutWebhookOutput;
    const NAME: Name = Name::PutWebhook;

    fn resource(input: &Self::Input) -> Resource {
        Resource::Webhook(input.webhook.name.clone())
    }

    fn tagging(input: &Self::Input) -> Tagging {
        Tagging::of(input.tags.as_deref())
    }

    /// A webhook starts the pipeline, so the caller must be allowed to have one there.
    fn further(input: &Self::Input) -> Option<Resource> {
        Some(Resource::Pipeline(input.webhook.target_pipeline.clone()))
    }

    async fn run(call: &Call, input: Self::Input) -> Result<Self::Output, WireError> {
        let asked = input.webhook;
        tags::check(input.tags.as_deref().unwrap_or_default())?;
        let configuration = asked.authentication_configuration;
        let authentication = WebhookAuthentication::new(
            &asked.authentication,
            configuration.secret_token.as_ref().map(Sensitive::expose_secret),
            configuration.allowed_ip_range.as_deref(),
        )
        .map_err(errors::wire)?;
        let filter = |filter: towpath_wire::codepipeline::WebhookFilterRule| WebhookFilter {
            json_path: filter.json_path,
            match_equals: filter.match_equals,
        };
        let definition = WebhookDefinition {
            name: asked.name,
            target_pipeline: asked.target_pipeline,
            target_action: asked.target_action,
            filters: asked.filters.into_iter().map(filter).collect(),
            authentication,
        };
        let (webhook, tags) = call
            .orchestrator
            .put_webhook(call.scope(), definition, input.tags.map(tags::pairs))
            .await
            .map_err(errors::wire)?;
        Ok(PutWebhookOutput { webhook: Some(webhook_item::item(call, webhook, tags)) })
    }
}
