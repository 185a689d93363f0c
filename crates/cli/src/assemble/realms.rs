//! The realms of a running system: Towpath's own services, and the `[realm.NAME]` tables of towpath.toml with what the
//! environment says.

use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use towpath_providers::{Abroad, AwsEnvironment, Credentials, RealmSettings, RealmTable, Realms, Staging};

use crate::config::{Config, Realm};
use crate::errors::ExpectedError;

pub fn realms(embedded: RealmSettings, config: &Config) -> Result<Realms, ExpectedError> {
    let tables = config.realms.iter().map(|(name, realm)| table(name, realm)).collect::<Result<Vec<_>, _>>()?;
    let environment = AwsEnvironment::of(std::env::vars());
    let network = Box::new(|| Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https());
    Realms::new(embedded, tables, environment, network).map_err(|error| wrong(error.to_string()))
}

fn table(name: &str, realm: &Realm) -> Result<RealmTable, ExpectedError> {
    let credentials = match (&realm.access_key_id, &realm.secret_access_key) {
        (Some(id), Some(secret)) => {
            let token = realm.session_token.as_ref().map(|token| token.expose().to_owned());
            Some(Credentials::new(id, secret.expose(), token, None, "towpath.toml"))
        }
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
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

fn wrong(message: String) -> ExpectedError {
    ExpectedError::System { message, hint: Some("docs/towpath-toml.md describes realms".to_owned()), usage: true }
}
