//! What the operations of webhooks share: a webhook as it may be shown, its secret masked.

use std::convert::Infallible;

use towpath_model::arn;
use towpath_model::secret::MASK;
use towpath_orchestrator::{CommandError, Tags, Webhook, WebhookAuthentication, WebhookFilter};
use towpath_wire::WireError;
use towpath_wire::codepipeline::{ListWebhookItem, WebhookAuthConfiguration, WebhookDefinition, WebhookFilterRule};

use super::{Call, convert, errors, tags};

pub fn item(call: &Call, webhook: Webhook, tags: Tags) -> ListWebhookItem {
    let url = format!("{}/webhooks/trigger?t={}&v=1", call.public_url, webhook.token(call.scope()));
    let definition = webhook.definition;
    let authentication = definition.authentication.kind().to_owned();
    let authentication_configuration = match definition.authentication {
        WebhookAuthentication::GithubHmac { .. } => {
            WebhookAuthConfiguration { secret_token: Some(MASK.into()), allowed_ip_range: None }
        }
        WebhookAuthentication::Ip { range } => {
            WebhookAuthConfiguration { secret_token: None, allowed_ip_range: Some(range) }
        }
        WebhookAuthentication::Unauthenticated => WebhookAuthConfiguration::default(),
    };
    let filter =
        |filter: WebhookFilter| WebhookFilterRule { json_path: filter.json_path, match_equals: filter.match_equals };
    ListWebhookItem {
        arn: Some(arn::webhook(call.scope(), &definition.name)),
        definition: WebhookDefinition {
            name: definition.name,
            target_pipeline: definition.target_pipeline,
            target_action: definition.target_action,
            filters: definition.filters.into_iter().map(filter).collect(),
            authentication,
            authentication_configuration,
        },
        url,
        last_triggered: webhook.last_triggered.map(convert::time),
        error_code: webhook.error_code,
        error_message: webhook.error_message,
        tags: Some(tags::shown(tags)),
    }
}

/// The model does not require the name, though nothing can be done without it.
pub async fn third_party_hook(call: &Call, name: Option<String>) -> Result<Infallible, WireError> {
    let name = name.ok_or_else(|| {
        let message = "A webhook can only be registered by its name. Give it in webhookName.";
        errors::wire(CommandError::Validation(message.to_owned()))
    })?;
    call.orchestrator.third_party_hook(call.scope(), &name).await.map_err(errors::wire)
}
