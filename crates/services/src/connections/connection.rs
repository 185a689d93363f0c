//! CreateConnection, GetConnection, ListConnections, DeleteConnection, and Towpath's own step that AWS has in its console
//! alone: storing the secret that makes a pending connection available.

use serde::{Deserialize, Serialize};
use towpath_model::secret::Secret;
use towpath_store::{Expect, Versioned, Write};
use towpath_wire::WireError;
use towpath_wire::codeconnections::{
    CreateConnectionInput, CreateConnectionOutput, DeleteConnectionInput, DeleteConnectionOutput, GetConnectionInput,
    GetConnectionOutput, ListConnectionsInput, ListConnectionsOutput,
};

use super::credential::{Access, Credential, needs_host};
use super::names::{Named, Prefix};
use super::records::{CONNECTIONS, CREDENTIALS, ConnectionRecord, key, pairs};
use super::{Connections, errors, limits, tags};
use crate::call::Call;
use crate::identity::policy::Context;

/// The input of Towpath's own operation.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct PutConnectionCredentialInput {
    connection_arn: String,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    api_url: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    token: Option<Secret>,
    #[serde(default)]
    ssh_key: Option<Secret>,
    #[serde(default)]
    known_hosts: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutConnectionCredentialOutput {
    connection_status: &'static str,
}

impl Connections {
    pub(super) async fn create_connection(
        &self,
        prefix: Prefix,
        call: &Call,
        input: CreateConnectionInput,
    ) -> Result<CreateConnectionOutput, WireError> {
        let id = self.ambient.uuid();
        let arn = prefix.connection_arn(&call.scope, &id);
        let given = input.tags.as_deref().unwrap_or_default();
        let context = tags::requested(given)
            .with_optional(&format!("{}:ProviderType", prefix.as_str()), input.provider_type.clone())
            .with_optional(&format!("{}:HostArn", prefix.as_str()), input.host_arn.clone());
        self.may(call, prefix, &arn, context).await?;
        tags::check(given)?;
        let provider_type = self.asked_type(call, &input).await?;
        if self.scan::<ConnectionRecord>(CONNECTIONS, &call.scope).await?.len() >= limits::CONNECTIONS_MAX {
            let most = limits::CONNECTIONS_MAX;
            return Err(errors::limit(format!("An account may have at most {most} connections in a Region.")));
        }
        let record = ConnectionRecord {
            prefix,
            name: input.connection_name,
            provider_type,
            host: input.host_arn,
            created: self.ambient.now(),
            tags: pairs(input.tags.clone()),
            available: false,
            configured: false,
        };
        let write = Write::put_json(key(CONNECTIONS, &call.scope, &id), &record, Expect::Absent);
        self.write(vec![write]).await?;
        Ok(CreateConnectionOutput { connection_arn: arn, tags: input.tags })
    }

    /// The type that the request or its host names.
    async fn asked_type(&self, call: &Call, input: &CreateConnectionInput) -> Result<String, WireError> {
        let Some(arn) = &input.host_arn else {
            return match &input.provider_type {
                None => Err(errors::invalid("Either ProviderType or HostArn must be specified.")),
                Some(kind) if needs_host(kind) => {
                    Err(errors::invalid(format!("A connection of the provider type {kind} needs a HostArn.")))
                }
                Some(kind) => Ok(kind.clone()),
            };
        };
        let named = Self::own(call, Named::host(arn))?;
        let host = self.find_host(&named.scope, &named.id).await?.ok_or_else(errors::not_found)?.value;
        match &input.provider_type {
            Some(kind) if *kind != host.provider_type => {
                Err(errors::invalid(format!("The host is of the provider type {}, not {kind}.", host.provider_type)))
            }
            _ => Ok(host.provider_type),
        }
    }

    pub(super) async fn get_connection(
        &self,
        call: &Call,
        input: GetConnectionInput,
    ) -> Result<GetConnectionOutput, WireError> {
        let (named, record) = self.connection(call, &input.connection_arn).await?;
        Ok(GetConnectionOutput { connection: Some(record.value.shown(&named.scope, &named.id)) })
    }

    pub(super) async fn list_connections(
        &self,
        prefix: Prefix,
        call: &Call,
        input: ListConnectionsInput,
    ) -> Result<ListConnectionsOutput, WireError> {
        let context = Context::new()
            .with_optional(&format!("{}:ProviderTypeFilter", prefix.as_str()), input.provider_type_filter.clone())
            .with_optional(&format!("{}:HostArn", prefix.as_str()), input.host_arn_filter.clone());
        self.may(call, prefix, "*", context).await?;
        let all = self.scan::<ConnectionRecord>(CONNECTIONS, &call.scope).await?;
        let wanted = |record: &ConnectionRecord| {
            input.provider_type_filter.as_ref().is_none_or(|kind| *kind == record.provider_type)
                && input.host_arn_filter.as_ref().is_none_or(|host| record.host.as_ref() == Some(host))
        };
        let (found, next_token) = page(all, input.max_results, input.next_token.as_deref(), wanted);
        let connections = found.into_iter().map(|(id, record)| record.shown(&call.scope, &id)).collect();
        Ok(ListConnectionsOutput { connections: Some(connections), next_token })
    }

    pub(super) async fn delete_connection(
        &self,
        call: &Call,
        input: DeleteConnectionInput,
    ) -> Result<DeleteConnectionOutput, WireError> {
        let (named, record) = self.connection(call, &input.connection_arn).await?;
        if record.value.configured {
            return Err(errors::unavailable(format!(
                "The connection {} is configured in towpath.toml. Remove [connections.{}] there.",
                input.connection_arn, record.value.name
            )));
        }
        let (scope, id) = (&named.scope, named.id.as_str());
        self.write(vec![
            Ok(Write::delete(key(CONNECTIONS, scope, id), Expect::Version(record.version))),
            Ok(Write::delete(key(CREDENTIALS, scope, id), Expect::Any)),
        ])
        .await?;
        self.forget_mirrors(id).await;
        Ok(DeleteConnectionOutput {})
    }

    /// Stores the secret; from now on the connection is available. Guarded by AWS's permission for the console's own
    /// last step.
    pub(super) async fn put_connection_credential(
        &self,
        call: &Call,
        input: PutConnectionCredentialInput,
    ) -> Result<PutConnectionCredentialOutput, WireError> {
        let named = Self::own(call, Named::connection(&input.connection_arn))?;
        let found = self.find_connection(&named.scope, &named.id).await?;
        let context = found.as_ref().map_or_else(Context::new, |found| tags::held(&found.value.tags));
        let action = format!("{}:UpdateConnectionInstallation", named.prefix.as_str());
        self.allowed(call, &action, &input.connection_arn, context).await?;
        let Versioned { value: mut record, version } = found.ok_or_else(errors::not_found)?;
        if record.configured {
            return Err(errors::unavailable(format!(
                "The secret of the connection {} is configured in towpath.toml. Change it in [connections.{}] there.",
                input.connection_arn, record.name
            )));
        }
        let credential = match (input.token, input.ssh_key) {
            (Some(token), None) => Credential::Token { username: input.username, token },
            (None, Some(key)) if input.username.is_none() => Credential::SshKey(key),
            (None, Some(_)) => {
                return Err(errors::invalid("The user of an SshKey belongs into the Url: ssh://USER@HOST"));
            }
            _ => return Err(errors::invalid("Exactly one of Token and SshKey must be specified.")),
        };
        let access = Access { url: input.url, credential, known_hosts: input.known_hosts, api_url: input.api_url };
        access.check().map_err(errors::invalid)?;
        record.available = true;
        let (scope, id) = (&named.scope, named.id.as_str());
        self.write(vec![
            Write::put_json(key(CONNECTIONS, scope, id), &record, Expect::Version(version)),
            Write::put_json(key(CREDENTIALS, scope, id), &access, Expect::Any),
        ])
        .await?;
        // What was fetched from another address, or with another's rights, is not to be served.
        self.forget_mirrors(id).await;
        Ok(PutConnectionCredentialOutput { connection_status: "AVAILABLE" })
    }

    /// A connection that the caller may do this to.
    async fn connection(&self, call: &Call, arn: &str) -> Result<(Named, Versioned<ConnectionRecord>), WireError> {
        let named = Self::own(call, Named::connection(arn))?;
        let found = self.find_connection(&named.scope, &named.id).await?;
        let context = found.as_ref().map_or_else(Context::new, |found| tags::held(&found.value.tags));
        self.may(call, named.prefix, arn, context).await?;
        found.map(|found| (named, found)).ok_or_else(errors::not_found)
    }

    async fn write(&self, writes: Vec<Result<Write, towpath_store::StoreError>>) -> Result<(), WireError> {
        let writes = writes.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| errors::store(&error))?;
        self.documents.write(writes).await.map(drop).map_err(|error| errors::store(&error))
    }
}

/// One page of records in the order of their ids; the token is the last id of the page before.
pub(super) fn page<T>(
    all: Vec<(String, Versioned<T>)>,
    max_results: Option<i32>,
    after: Option<&str>,
    wanted: impl Fn(&T) -> bool,
) -> (Vec<(String, T)>, Option<String>) {
    let size = max_results.and_then(|most| usize::try_from(most).ok()).filter(|most| *most > 0);
    let size = size.unwrap_or(limits::PAGE_MAX).min(limits::PAGE_MAX);
    let mut rest = all
        .into_iter()
        .filter(|(id, record)| after.is_none_or(|after| id.as_str() > after) && wanted(&record.value))
        .map(|(id, record)| (id, record.value));
    let found: Vec<(String, T)> = rest.by_ref().take(size).collect();
    let next = rest.next().and(found.last()).map(|(id, _)| id.clone());
    (found, next)
}
