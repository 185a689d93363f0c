//! Webhooks (the first version's): their records, what makes one valid, and the token of their URL. Nothing here listens;
//! whoever does asks for the record behind a token and judges the delivery by it.

use std::convert::Infallible;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json_path::JsonPath;
use towpath_model::arn::Resource;
use towpath_model::declaration::ActionDeclaration;
use towpath_model::ids::{IdSource as _, Scope};
use towpath_model::secret::{MASK, Secret};
use towpath_model::time::Timestamp;
use towpath_store::{DocumentsExt as _, Expect, Key, Scan, Write};

use crate::Orchestrator;
use crate::action_types::partition;
use crate::error::CommandError;
use crate::limits::WEBHOOK_PAGE;
use crate::tags::{Tags, delete_tags, put_tags};
use crate::views::{opened, page_end, sealed};

const WEBHOOKS: &str = "codepipeline.webhooks";
/// About 256 random bits.
const SECRET_CHARS: usize = 43;

/// What PutWebhook is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookDefinition {
    pub name: String,
    pub target_pipeline: String,
    pub target_action: String,
    pub filters: Vec<WebhookFilter>,
    pub authentication: WebhookAuthentication,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookFilter {
    pub json_path: String,
    /// May hold `{Key}` for a configuration value of the target action.
    pub match_equals: Option<String>,
}

/// How a delivery proves where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WebhookAuthentication {
    GithubHmac {
        secret: Secret,
    },
    /// Addresses of this CIDR range.
    Ip {
        range: String,
    },
    Unauthenticated,
}

impl WebhookAuthentication {
    /// Reads what a request says; the configuration must fit the kind exactly.
    pub fn new(kind: &str, secret: Option<&str>, range: Option<&str>) -> Result<Self, CommandError> {
        let refuse = |message: String| Err(CommandError::InvalidWebhookAuthenticationParameters(message));
        match (kind, secret, range) {
            ("GITHUB_HMAC", Some(secret), None) => Ok(Self::GithubHmac { secret: Secret::new(secret) }),
            ("GITHUB_HMAC", ..) => {
                refuse("'authenticationConfig' should contain only one property: 'SecretToken'".to_owned())
            }
            ("IP", None, Some(range)) if is_cidr(range) => Ok(Self::Ip { range: range.to_owned() }),
            ("IP", None, Some(range)) => {
                refuse(format!("The AllowedIPRange '{range}' is not a CIDR range such as 192.0.2.0/24."))
            }
            ("IP", ..) => {
                refuse("'authenticationConfig' should contain only one property: 'AllowedIPRange'".to_owned())
            }
            ("UNAUTHENTICATED", None, None) => Ok(Self::Unauthenticated),
            _ => refuse("'authenticationConfig' should be empty".to_owned()),
        }
    }

    pub const fn kind(&self) -> &'static str {
        match self {
            Self::GithubHmac { .. } => "GITHUB_HMAC",
            Self::Ip { .. } => "IP",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }
}

/// A webhook as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    pub definition: WebhookDefinition,
    /// The random part of the URL's token; a new one with every creation, the same over updates.
    secret: Secret,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub last_triggered: Option<Timestamp>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
}

/// What the token of a URL says: which webhook, and that its owner gave the URL out.
#[derive(Serialize)]
struct Token<'t> {
    webhook: [&'t str; 3],
    secret: &'t str,
}

impl Webhook {
    /// The token of the webhook's URL: it names the record, so that a delivery finds it, and cannot be guessed.
    pub fn token(&self, scope: &Scope) -> String {
        let webhook = [scope.account.as_str(), scope.region.as_str(), self.definition.name.as_str()];
        let token = Token { webhook, secret: self.secret.expose() };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }
}

pub struct WebhookPage {
    pub webhooks: Vec<(Webhook, Tags)>,
    pub next_token: Option<String>,
}

impl Orchestrator {
    /// PutWebhook: makes the webhook, or changes the one of that name in place. Tags that are given replace the old ones.
    pub async fn put_webhook(
        &self,
        scope: &Scope,
        mut definition: WebhookDefinition,
        tags: Option<Tags>,
    ) -> Result<(Webhook, Tags), CommandError> {
        self.check_target(scope, &definition).await?;
        let key = key(scope, &definition.name);
        let resource = Resource::Webhook(definition.name.clone());
        let known = self.store.get_json::<Webhook>(&key.collection, &key.partition, &key.key).await?;
        keep_secret(&mut definition, known.as_ref().map(|known| &known.value.definition))?;
        let now = self.clock.now();
        let (webhook, expect) = if let Some(known) = known {
            (Webhook { definition, updated: now, ..known.value }, Expect::Version(known.version))
        } else {
            self.check_webhook_quota(scope).await?;
            let secret = Secret::new(self.ids().alphanumeric(SECRET_CHARS));
            let webhook = Webhook {
                definition,
                secret,
                created: now,
                updated: now,
                last_triggered: None,
                error_code: None,
                error_message: None,
            };
            (webhook, Expect::Absent)
        };
        let mut writes = vec![Write::put_json(key, &webhook, expect)?];
        let tags = match tags {
            None if expect != Expect::Absent => self.tags_of(scope, &resource).await?,
            given => {
                let tags = given.unwrap_or_default();
                writes.push(put_tags(scope, &resource, &tags)?);
                tags
            }
        };
        match self.store.write(writes).await {
            Ok(_) => Ok((webhook, tags)),
            Err(error) if error.is_conflict() => Err(CommandError::ConcurrentModification(
                "Another request changed the webhook at the same time. Try again.".to_owned(),
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// DeleteWebhook. A name that is not there is no error, as on AWS.
    pub async fn delete_webhook(&self, scope: &Scope, name: &str) -> Result<(), CommandError> {
        if self.webhook_exists(scope, name).await? {
            let resource = Resource::Webhook(name.to_owned());
            self.store.write(vec![Write::delete(key(scope, name), Expect::Any), delete_tags(scope, &resource)]).await?;
        }
        Ok(())
    }

    /// Webhooks by name.
    pub async fn list_webhooks(
        &self,
        scope: &Scope,
        token: Option<&str>,
        limit: usize,
    ) -> Result<WebhookPage, CommandError> {
        let query = format!("webhooks {}", partition(scope));
        let mut scan = Scan::all().limit(limit + 1);
        if let Some(token) = token {
            scan = scan.after(opened(&query, token)?);
        }
        let mut rows = self.store.scan_json::<Webhook>(WEBHOOKS, &partition(scope), scan).await?;
        let next_token = page_end(&mut rows, limit, |(name, _)| sealed(&query, name));
        let mut webhooks = Vec::with_capacity(rows.len());
        for (name, row) in rows {
            let tags = self.tags_of(scope, &Resource::Webhook(name)).await?;
            webhooks.push((row.value, tags));
        }
        Ok(WebhookPage { webhooks, next_token })
    }

    /// Register- and DeregisterWebhookWithThirdParty are about the hook at GitHub that belongs to a source action of GitHub's
    /// first version. Nothing here speaks to GitHub, so the answer is always why not.
    pub async fn third_party_hook(&self, scope: &Scope, name: &str) -> Result<Infallible, CommandError> {
        let key = key(scope, name);
        let known = self.store.get_json::<Webhook>(&key.collection, &key.partition, &key.key).await?;
        let Some(known) = known else {
            return Err(CommandError::WebhookNotFound(format!("The webhook '{name}' does not exist.")));
        };
        let definition = known.value.definition;
        Err(CommandError::Validation(format!(
            "The webhook '{name}' cannot be registered with a third party: Towpath manages no hooks for the action '{}' of pipeline \
             '{}'. Give the webhook's URL to the sender yourself.",
            definition.target_action, definition.target_pipeline
        )))
    }

    pub(crate) async fn webhook_exists(&self, scope: &Scope, name: &str) -> Result<bool, CommandError> {
        let key = key(scope, name);
        Ok(self.store.get(&key.collection, &key.partition, &key.key).await?.is_some())
    }

    /// The pipeline and its source action must be there, and the filters must be about them.
    async fn check_target(&self, scope: &Scope, definition: &WebhookDefinition) -> Result<(), CommandError> {
        let view = self.pipeline(scope, &definition.target_pipeline, None).await?;
        let first = view.declaration.stages.first();
        let Some(action) = first.and_then(|stage| stage.action(&definition.target_action)) else {
            return Err(CommandError::Validation(format!(
                "The target action '{}' is not in the first stage of pipeline '{}'. A webhook starts a pipeline at one of its \
                 source actions.",
                definition.target_action, definition.target_pipeline
            )));
        };
        definition.filters.iter().try_for_each(|filter| check_filter(filter, action))
    }

    async fn check_webhook_quota(&self, scope: &Scope) -> Result<(), CommandError> {
        let limit = self.quotas.webhooks_per_region;
        let mut count = 0;
        let mut scan = Scan::all().limit(WEBHOOK_PAGE);
        loop {
            let page = self.store.scan(WEBHOOKS, &partition(scope), scan).await?;
            count += page.len();
            if count >= limit {
                return Err(CommandError::LimitExceeded(format!(
                    "The number of webhooks in the account '{}' in region '{}' has reached its limit of {limit}. Delete webhooks \
                     you no longer need, or raise `webhooks-per-region` under [quotas] in towpath.toml.",
                    scope.account, scope.region
                )));
            }
            match page.last() {
                Some(last) if page.len() == WEBHOOK_PAGE => {
                    scan = Scan::all().limit(WEBHOOK_PAGE).after(last.key.clone());
                }
                _ => return Ok(()),
            }
        }
    }
}

/// The mask in place of the secret keeps the stored one, as it does in a pipeline's configuration.
fn keep_secret(new: &mut WebhookDefinition, stored: Option<&WebhookDefinition>) -> Result<(), CommandError> {
    let WebhookAuthentication::GithubHmac { secret } = &mut new.authentication else { return Ok(()) };
    if secret.expose() != MASK {
        return Ok(());
    }
    match stored.map(|stored| &stored.authentication) {
        Some(WebhookAuthentication::GithubHmac { secret: kept }) => {
            secret.clone_from(kept);
            Ok(())
        }
        _ => Err(CommandError::InvalidWebhookAuthenticationParameters(format!(
            "The SecretToken is \"{MASK}\", which may be used only when updating a webhook that has a secret."
        ))),
    }
}

fn check_filter(filter: &WebhookFilter, action: &ActionDeclaration) -> Result<(), CommandError> {
    let refuse = |message: String| Err(CommandError::InvalidWebhookFilterPattern(message));
    if let Err(error) = JsonPath::parse(&filter.json_path) {
        return refuse(format!("The JSONPath expression '{}' is not valid: {error}", filter.json_path));
    }
    for name in filter.match_equals.iter().flat_map(|text| placeholders(text)) {
        if action.config(name).is_none() {
            return refuse(format!(
                "The filter's matchEquals '{}' refers to '{name}', which the configuration of action '{}' does not have.",
                filter.match_equals.as_deref().unwrap_or_default(),
                action.name
            ));
        }
    }
    Ok(())
}

/// The names in curly brackets.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name)
}

fn is_cidr(range: &str) -> bool {
    let Some((address, length)) = range.split_once('/') else { return false };
    let longest = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    let plain = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    plain && length.parse::<u8>().is_ok_and(|length| length <= longest)
}

fn key(scope: &Scope, name: &str) -> Key {
    Key::new(WEBHOOKS, partition(scope), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authentication_takes_exactly_its_own_configuration() {
        let kind = |kind, secret, range| WebhookAuthentication::new(kind, secret, range).map(|made| made.kind());
        assert!(matches!(kind("GITHUB_HMAC", Some("s"), None), Ok("GITHUB_HMAC")));
        assert!(matches!(kind("IP", None, Some("192.0.2.0/24")), Ok("IP")));
        assert!(matches!(kind("IP", None, Some("2001:db8::/32")), Ok("IP")));
        assert!(matches!(kind("UNAUTHENTICATED", None, None), Ok("UNAUTHENTICATED")));
        for (authentication, secret, range, words) in [
            ("GITHUB_HMAC", None, None, "only one property: 'SecretToken'"),
            ("GITHUB_HMAC", Some("s"), Some("192.0.2.0/24"), "only one property: 'SecretToken'"),
            ("IP", None, None, "only one property: 'AllowedIPRange'"),
            ("IP", Some("s"), None, "only one property: 'AllowedIPRange'"),
            ("IP", None, Some("192.0.2.0"), "'192.0.2.0' is not a CIDR range"),
            ("IP", None, Some("192.0.2.0/33"), "is not a CIDR range"),
            ("IP", None, Some("192.0.2/24"), "is not a CIDR range"),
            ("IP", None, Some("192.0.2.0/+8"), "is not a CIDR range"),
            ("UNAUTHENTICATED", Some("s"), None, "should be empty"),
        ] {
            let error = kind(authentication, secret, range).expect_err("it does not fit");
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn placeholders_are_names_in_curly_brackets() {
        let names = |text| placeholders(text).collect::<Vec<_>>();
        assert_eq!(names("refs/heads/{Branch}"), ["Branch"]);
        assert_eq!(names("{Owner}/{Repo}"), ["Owner", "Repo"]);
        assert_eq!(names("refs/heads/main {open"), [""; 0]);
    }

    #[test]
    fn a_token_is_bound_to_its_webhook_and_never_prints() {
        let webhook = |secret: &str| Webhook {
            definition: WebhookDefinition {
                name: "hook".to_owned(),
                target_pipeline: "p".to_owned(),
                target_action: "Fetch".to_owned(),
                filters: Vec::new(),
                authentication: WebhookAuthentication::GithubHmac { secret: Secret::new("hunter2") },
            },
            secret: Secret::new(secret),
            created: Timestamp(0),
            updated: Timestamp(0),
            last_triggered: None,
            error_code: None,
            error_message: None,
        };
        let here = Scope::new("111122223333", "eu-west-1");
        assert_eq!(webhook("a").token(&here), webhook("a").token(&here));
        assert_ne!(webhook("a").token(&here), webhook("b").token(&here));
        assert_ne!(webhook("a").token(&here), webhook("a").token(&Scope::new("111122223333", "eu-west-2")));
        let printed = format!("{:?}", webhook("drawn"));
        assert!(!printed.contains("hunter2") && !printed.contains("drawn"), "{printed}");
    }
}
