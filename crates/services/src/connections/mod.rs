//! CodeConnections, under both of its names: connections to git hosts, hosts of one's own, and the git access that goes
//! through a connection. A connection is pending until a secret is stored with it, by towpath.toml or by Towpath's own
//! operation PutConnectionCredential; AWS does that step in its console.
//!
//! Knows nothing of pipelines. No operation answers a secret, and none reaches a command line or a log.

mod connection;
mod credential;
mod errors;
mod hosts;
mod limits;
mod mirror;
mod names;
mod records;
mod remote;
mod status;
mod tags;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use towpath_model::ids::Scope;
use towpath_store::{Documents, DocumentsExt as _, Expect, StoreError};
use towpath_wire::codeconnections::Operation;
use towpath_wire::schema::Input;
use towpath_wire::{Dialect, WireError, codeconnections, codestar_connections, json};

use crate::ambient::Ambient;
use crate::call::{Call, Response};
use crate::identity::policy::Context;
use crate::identity::{Identity, Refusal};

pub use credential::{Access, Credential, check_url, is_provider, token_user};
pub use mirror::{GitRefusal, Repository};
pub use names::{Named, Prefix, is_repository};
pub use status::{State as CommitState, Status as CommitStatus, request as commit_status_request};

use records::{CONNECTIONS, ConnectionRecord, key};

/// The operation that AWS does not have.
const PUT_CREDENTIAL: &str = "PutConnectionCredential";

/// A connection as a table of towpath.toml says it.
#[derive(Debug, Clone)]
pub struct Configured {
    pub name: String,
    /// Where pipelines already name it by an ARN; else it gets one that its name determines.
    pub arn: Option<String>,
    pub provider_type: String,
    pub access: Access,
}

/// A table that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfiguredError {
    #[error("[connections.{name}] {why}")]
    Wrong { name: String, why: String },
    #[error("the connections of towpath.toml cannot be stored")]
    Store(#[from] StoreError),
}

/// The connections of one data directory.
pub struct Connections {
    documents: Arc<dyn Documents>,
    ambient: Ambient,
    identity: Arc<Identity>,
    /// Where mirrors of repositories are.
    directory: PathBuf,
    /// Secrets of towpath.toml, which are never stored.
    configured: HashMap<(Scope, String), Access>,
    mirrors: Mutex<BTreeMap<PathBuf, Arc<tokio::sync::Mutex<mirror::Freshness>>>>,
    fetches: Semaphore,
}

impl Connections {
    /// Takes in the connections of towpath.toml, which belong to `scope` unless their ARN says otherwise.
    pub async fn open(
        documents: Arc<dyn Documents>,
        ambient: Ambient,
        identity: Arc<Identity>,
        data_dir: &Path,
        scope: &Scope,
        tables: Vec<Configured>,
    ) -> Result<Self, ConfiguredError> {
        let mut this = Self {
            documents,
            ambient,
            identity,
            directory: data_dir.join("connections"),
            configured: HashMap::new(),
            mirrors: Mutex::default(),
            fetches: Semaphore::new(limits::FETCHES_MAX),
        };
        let mut here = Vec::new();
        for table in tables {
            let named = this.configure(scope, table).await?;
            here.push((named.scope, named.id));
        }
        this.retire(scope, &here).await?;
        this.sweep_keys();
        Ok(this)
    }

    async fn configure(&mut self, scope: &Scope, table: Configured) -> Result<Named, ConfiguredError> {
        let wrong = |why: String| ConfiguredError::Wrong { name: table.name.clone(), why };
        let named = match &table.arn {
            Some(arn) => Named::connection(arn).ok_or_else(|| {
                wrong(
                    "has an arn that is not one of a connection (arn:aws:codeconnections:REGION:ACCOUNT:connection/ID)"
                        .to_owned(),
                )
            })?,
            None => Named {
                prefix: Prefix::CodeConnections,
                scope: scope.clone(),
                kind: names::Kind::Connection,
                id: names::configured_id(scope, &table.name),
            },
        };
        if !is_provider(&table.provider_type) {
            return Err(wrong(format!("has the unknown provider-type \"{}\"", table.provider_type)));
        }
        table.access.check().map_err(&wrong)?;
        if table.access.clone_url(&table.provider_type, None, "o/r").is_none() {
            return Err(wrong(format!("needs a url: {} has no address of its own", table.provider_type)));
        }
        let partition = records::partition(&named.scope);
        let found = self.documents.get_json::<ConnectionRecord>(CONNECTIONS, &partition, &named.id).await?;
        let old = found.as_ref().map(|found| &found.value);
        let record = ConnectionRecord {
            prefix: named.prefix,
            name: table.name.clone(),
            provider_type: table.provider_type,
            host: None,
            created: old.map_or_else(|| self.ambient.now(), |old| old.created),
            tags: old.map(|old| old.tags.clone()).unwrap_or_default(),
            available: true,
            configured: true,
        };
        self.documents.put_json(key(CONNECTIONS, &named.scope, &named.id), &record, Expect::Any).await?;
        self.configured.insert((named.scope.clone(), named.id.clone()), table.access);
        Ok(named)
    }

    /// A connection whose table is gone has no secret any more.
    async fn retire(&self, scope: &Scope, here: &[(Scope, String)]) -> Result<(), StoreError> {
        let partition = records::partition(scope);
        let all =
            self.documents.scan_json::<ConnectionRecord>(CONNECTIONS, &partition, towpath_store::Scan::all()).await?;
        for (id, found) in all {
            let known = here.contains(&(scope.clone(), id.clone()));
            if found.value.configured && !known {
                let record = ConnectionRecord { available: false, configured: false, ..found.value };
                self.documents.put_json(key(CONNECTIONS, scope, &id), &record, Expect::Version(found.version)).await?;
            }
        }
        Ok(())
    }

    /// Answers one request to the service by the name that was used.
    pub async fn handle(&self, prefix: Prefix, call: &Call) -> Response {
        let answer = match self.answer(prefix, call).await {
            Ok(value) => json::respond(&value, &call.request_id)
                .unwrap_or_else(|error| json::respond_error(&errors::broken(&error), &call.request_id)),
            Err(error) => json::respond_error(&errors::spelled(error), &call.request_id),
        };
        json::in_version_1_0(answer)
    }

    async fn answer(&self, prefix: Prefix, call: &Call) -> Result<serde_json::Value, WireError> {
        if call.operation == PUT_CREDENTIAL {
            let input = serde_json::from_slice(&call.body).map_err(|error| {
                // The text of the error may quote what stands where something else should: a secret, perhaps.
                let (line, column) = (error.line(), error.column());
                WireError::serialization(format!("The body is not a {PUT_CREDENTIAL} (line {line}, column {column})."))
            })?;
            return value(self.put_connection_credential(call, input).await?);
        }
        let operation = Operation::from_name(&call.operation).ok_or_else(WireError::unknown_operation)?;
        let body = &call.body;
        match operation {
            Operation::CreateConnection => value(self.create_connection(prefix, call, read(prefix, body)?).await?),
            Operation::CreateHost => value(self.create_host(prefix, call, read(prefix, body)?).await?),
            Operation::DeleteConnection => value(self.delete_connection(call, read(prefix, body)?).await?),
            Operation::DeleteHost => value(self.delete_host(call, read(prefix, body)?).await?),
            Operation::GetConnection => value(self.get_connection(call, read(prefix, body)?).await?),
            Operation::GetHost => value(self.get_host(call, read(prefix, body)?).await?),
            Operation::ListConnections => value(self.list_connections(prefix, call, read(prefix, body)?).await?),
            Operation::ListHosts => value(self.list_hosts(prefix, call, read(prefix, body)?).await?),
            Operation::ListTagsForResource => value(self.list_tags_for_resource(call, read(prefix, body)?).await?),
            Operation::TagResource => value(self.tag_resource(call, read(prefix, body)?).await?),
            Operation::UntagResource => value(self.untag_resource(call, read(prefix, body)?).await?),
            Operation::UpdateHost => value(self.update_host(call, read(prefix, body)?).await?),
        }
    }

    /// What an ARN names, where it is of the caller's account and of the Region that was asked.
    fn own(call: &Call, named: Option<Named>) -> Result<Named, WireError> {
        named.filter(|named| named.scope == call.scope).ok_or_else(errors::not_found)
    }

    /// Whether the caller may do this operation; the action has the prefix of the ARN.
    async fn may(&self, call: &Call, prefix: Prefix, resource: &str, context: Context) -> Result<(), WireError> {
        self.allowed(call, &format!("{}:{}", prefix.as_str(), call.operation), resource, context).await
    }

    async fn allowed(&self, call: &Call, action: &str, resource: &str, context: Context) -> Result<(), WireError> {
        let context = call.context().merged(context);
        self.identity.authorize(&call.principal, action, resource, context).await.map_err(|refusal| match refusal {
            Refusal::Denied(denied) => WireError::access_denied(Dialect::Json, denied.to_string()),
            Refusal::Unavailable(error) => errors::store(&error),
        })
    }
}

/// Reads a body under the constraints of the API that was used. The two differ in nothing else.
fn read<T: Input + DeserializeOwned>(prefix: Prefix, body: &[u8]) -> Result<T, WireError> {
    let service = match prefix {
        Prefix::CodeConnections => &codeconnections::SERVICE,
        Prefix::CodeStar => &codestar_connections::SERVICE,
    };
    let schema = service.inputs.iter().find(|schema| schema.name == T::schema().name).copied();
    let read = json::decode_value(service, schema.unwrap_or_else(T::schema), body)?;
    serde_json::from_value(read).map_err(|error| WireError::serialization(error.to_string()))
}

fn value<T: serde::Serialize>(output: T) -> Result<serde_json::Value, WireError> {
    serde_json::to_value(output).map_err(|error| errors::broken(&error))
}
