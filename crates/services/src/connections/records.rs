//! What is stored of connections and hosts, and how it is read and written.

use serde::{Deserialize, Serialize};
use towpath_model::ids::Scope;
use towpath_model::time::Timestamp;
use towpath_store::{DocumentsExt as _, Key, Scan, Versioned};
use towpath_wire::WireError;
use towpath_wire::codeconnections::{Connection, Host, Tag, VpcConfiguration};

use super::credential::Access;
use super::names::Prefix;
use super::{Connections, errors};

pub const CONNECTIONS: &str = "connections.connection";
pub const CREDENTIALS: &str = "connections.credential";
pub const HOSTS: &str = "connections.host";

pub type Tags = Vec<(String, String)>;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectionRecord {
    pub prefix: Prefix,
    pub name: String,
    pub provider_type: String,
    /// The ARN of its host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    pub created: Timestamp,
    #[serde(default)]
    pub tags: Tags,
    /// Whether there is a credential to use it with.
    pub available: bool,
    /// A table of towpath.toml made it and holds its credential.
    #[serde(default)]
    pub configured: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostRecord {
    pub prefix: Prefix,
    pub name: String,
    pub provider_type: String,
    pub endpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<Vpc>,
    pub created: Timestamp,
    #[serde(default)]
    pub tags: Tags,
}

/// Kept because it is shown again; whoever runs Towpath decides which networks it reaches.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Vpc {
    pub id: String,
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_certificate: Option<String>,
}

impl Vpc {
    pub fn of(wire: VpcConfiguration) -> Self {
        Self {
            id: wire.vpc_id,
            subnets: wire.subnet_ids,
            security_groups: wire.security_group_ids,
            tls_certificate: wire.tls_certificate,
        }
    }

    fn shown(&self) -> VpcConfiguration {
        VpcConfiguration {
            vpc_id: self.id.clone(),
            subnet_ids: self.subnets.clone(),
            security_group_ids: self.security_groups.clone(),
            tls_certificate: self.tls_certificate.clone(),
        }
    }
}

impl ConnectionRecord {
    pub fn shown(&self, scope: &Scope, id: &str) -> Connection {
        Connection {
            connection_arn: Some(self.prefix.connection_arn(scope, id)),
            connection_name: Some(self.name.clone()),
            connection_status: Some(if self.available { "AVAILABLE" } else { "PENDING" }.to_owned()),
            host_arn: self.host.clone(),
            owner_account_id: Some(scope.account.clone()),
            provider_type: Some(self.provider_type.clone()),
        }
    }
}

impl HostRecord {
    /// There is nothing to register with a host before connections use it, so it is available at once.
    pub const STATUS: &str = "AVAILABLE";

    pub fn shown(&self, scope: &Scope, id: &str) -> Host {
        Host {
            host_arn: Some(self.prefix.host_arn(scope, id)),
            name: Some(self.name.clone()),
            provider_endpoint: Some(self.endpoint.clone()),
            provider_type: Some(self.provider_type.clone()),
            status: Some(Self::STATUS.to_owned()),
            status_message: None,
            vpc_configuration: self.vpc.as_ref().map(Vpc::shown),
        }
    }
}

pub fn partition(scope: &Scope) -> String {
    format!("{}/{}", scope.account, scope.region)
}

pub fn key(collection: &str, scope: &Scope, id: &str) -> Key {
    Key::new(collection, partition(scope), id)
}

pub fn pairs(tags: Option<Vec<Tag>>) -> Tags {
    tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect()
}

pub fn shown_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() }).collect()
}

impl Connections {
    pub(super) async fn find_connection(
        &self,
        scope: &Scope,
        id: &str,
    ) -> Result<Option<Versioned<ConnectionRecord>>, WireError> {
        self.documents.get_json(CONNECTIONS, &partition(scope), id).await.map_err(|e| errors::store(&e))
    }

    pub(super) async fn find_host(&self, scope: &Scope, id: &str) -> Result<Option<Versioned<HostRecord>>, WireError> {
        self.documents.get_json(HOSTS, &partition(scope), id).await.map_err(|e| errors::store(&e))
    }

    /// The credential of a connection: that of towpath.toml, else the one that was stored.
    pub(super) async fn find_access(&self, scope: &Scope, id: &str) -> Result<Option<Access>, WireError> {
        if let Some(access) = self.configured.get(&(scope.clone(), id.to_owned())) {
            return Ok(Some(access.clone()));
        }
        let found = self.documents.get_json::<Access>(CREDENTIALS, &partition(scope), id).await;
        Ok(found.map_err(|e| errors::store(&e))?.map(|stored| stored.value))
    }

    pub(super) async fn scan<T: serde::de::DeserializeOwned + Send>(
        &self,
        collection: &str,
        scope: &Scope,
    ) -> Result<Vec<(String, Versioned<T>)>, WireError> {
        // Quotas keep either collection below one page of the store.
        self.documents.scan_json(collection, &partition(scope), Scan::all()).await.map_err(|e| errors::store(&e))
    }
}
