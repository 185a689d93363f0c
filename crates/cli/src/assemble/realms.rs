//! The realms of a running system: Towpath's own services, and the `[realm.NAME]` tables of towpath.toml with what the
//! environment and AWS's configuration files say.

use std::sync::Arc;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};

use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use tokio::sync::OnceCell;
use towpath_model::time::Clock;
use towpath_providers::{
    Abroad, AwsEnvironment, Credentials, KeySource, RealmSettings, RealmTable, Realms, SharedCredentialsProvider,
    Staging,
};

use crate::client::{Client, Connection, Settings};
use crate::config::{Config, Realm};
use crate::errors::ExpectedError;

pub fn realms(embedded: RealmSettings, config: &Config) -> Result<Realms, ExpectedError> {
    let clock = &embedded.clock;
    let tables = config.realms.iter().map(|(name, realm)| table(name, realm, clock)).collect::<Result<Vec<_>, _>>()?;
    let environment = AwsEnvironment::of(std::env::vars());
    let network = Box::new(|| Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https());
    Realms::new(embedded, tables, environment, network).map_err(|error| wrong(error.to_string()))
}

fn table(name: &str, realm: &Realm, clock: &Arc<dyn Clock>) -> Result<RealmTable, ExpectedError> {
    let credentials = match (&realm.access_key_id, &realm.secret_access_key, &realm.profile) {
        (Some(id), Some(secret), None) => {
            let token = realm.session_token.as_ref().map(|token| token.expose().to_owned());
            Some(Credentials::new(id, secret.expose(), token, None, "towpath.toml").into())
        }
        (None, None, Some(profile)) => {
            // Roles of a profile are assumed where the realm assumes its own.
            let sts = realm.endpoints.get("sts").or(realm.url.as_ref());
            let connection = Connection {
                endpoint_url: Some(sts.cloned().unwrap_or_else(|| "aws".to_owned())),
                region: realm.region.clone(),
                profile: Some(profile.clone()),
            };
            let asked = Profile { connection, clock: Arc::clone(clock), client: OnceCell::new() };
            Some(KeySource::Asked(SharedCredentialsProvider::new(asked)))
        }
        (None, None, None) => None,
        (_, _, Some(_)) => {
            return Err(wrong(format!("[realm.{name}] has both keys and a profile; give one of them")));
        }
        (Some(_), None, None) | (None, Some(_), None) => {
            return Err(wrong(format!(
                "[realm.{name}] has one half of a key; give both access-key-id and secret-access-key, or neither"
            )));
        }
    };
    Ok(RealmTable {
        name: name.to_owned(),
        url: realm.url.clone(),
        endpoints: realm.endpoints.clone(),
        credentials,
        abroad: Abroad {
            region: realm.region.clone(),
            roles: realm.roles.clone(),
            without_roles: !realm.assume_roles,
            staging: Staging {
                bucket: realm.staging_bucket.clone(),
                buckets: realm.staging_buckets.clone(),
                key: realm.staging_kms_key.clone(),
            },
            jobs_by_id: realm.jobs_by_id,
        },
        providers: realm.providers.clone(),
        accounts: realm.accounts.clone(),
        regions: realm.regions.clone(),
    })
}

/// The credentials of a profile, by the same reader that the commands have; read when the realm is needed first.
struct Profile {
    connection: Connection,
    clock: Arc<dyn Clock>,
    client: OnceCell<Client>,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile").field("name", &self.connection.profile).finish_non_exhaustive()
    }
}

impl Profile {
    async fn get(&self) -> Result<Credentials, CredentialsError> {
        let open = async || {
            let settings = Settings::load(&self.connection, None).await?;
            Ok(Client::new(settings, Arc::clone(&self.clock)))
        };
        let client = self.client.get_or_try_init(open).await;
        let client = client.map_err(|error: crate::client::SettingsError| CredentialsError::provider_error(error))?;
        client.credentials().await.map_err(CredentialsError::provider_error)
    }
}

impl ProvideCredentials for Profile {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.get())
    }
}

fn wrong(message: String) -> ExpectedError {
    ExpectedError::System { message, hint: Some("docs/towpath-toml.md describes realms".to_owned()), usage: true }
}
