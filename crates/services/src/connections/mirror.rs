//! Git access through a connection: who may, and the bare mirror of the repository that is served to them. A mirror is
//! fetched from the git host before each conversation begins, so that whoever asks sees what is there now and a revoked
//! token serves nobody. Read-only: nothing is ever pushed to a host.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use towpath_git::{Bounds, FetchError, GitError, Reason};
use towpath_model::ids::Scope;
use towpath_model::time::Timestamp;
use towpath_store::DocumentsExt as _;

use super::names::Named;
use super::records::{CONNECTIONS, ConnectionRecord, partition};
use super::remote::Way;
use super::{Access, Connections, limits, names};
use crate::identity::policy::Context;
use crate::identity::{Principal, Refusal};

/// When the last fetch of a mirror began; none if it failed.
#[derive(Debug, Default)]
pub struct Freshness(Option<Timestamp>);

/// A repository that somebody may read.
#[derive(Debug, Clone)]
pub struct Repository {
    pub arn: String,
    pub provider_type: String,
    pub full_id: String,
    /// The bare mirror.
    pub path: PathBuf,
    scope: Scope,
    id: String,
    host: Option<String>,
}

/// Why a repository cannot be read, in AWS's words where they are known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitRefusal {
    #[error("Connection {arn} not found")]
    NoConnection { arn: String },
    #[error("Unable to use Connection: {arn}. The provided role does not have sufficient permissions.")]
    Denied { arn: String },
    #[error("Connection {arn} is not available")]
    Pending { arn: String },
    #[error("'{id}' is not the full id of a repository; it must be OWNER/REPOSITORY")]
    NoRepositoryId { id: String },
    #[error(
        "[{provider}] The git host refused the credential of connection {arn}. Store a valid one with `towpath connection set-token`, or in towpath.toml."
    )]
    HostRefused { provider: String, arn: String },
    #[error(
        "[{provider}] No repository found for FullRepositoryName [{id}]. It does not exist, or the credential of the connection may not read it. Upper and lower case count."
    )]
    NoRepository { provider: String, id: String },
    #[error(
        "[{provider}] The SSH host key of the git host is not the one that connection {arn} knows. If the host really has a new key, give its line in known-hosts."
    )]
    HostKey { provider: String, arn: String },
    #[error("[{provider}] The git host could not be reached: {reason}")]
    Unavailable { provider: String, reason: String },
    #[error("[{provider}] The repository {id} is too large for this server: {reason}")]
    TooLarge { provider: String, id: String, reason: String },
    #[error("[{provider}] The git host's answer cannot be used: {reason}")]
    Unusable { provider: String, reason: String },
    #[error("The repository cannot be read by this server: {0}")]
    Internal(String),
}

impl GitRefusal {
    /// The HTTP status that git is answered with.
    pub const fn status(&self) -> u16 {
        match self {
            Self::NoConnection { .. } | Self::NoRepositoryId { .. } | Self::NoRepository { .. } => 404,
            Self::Denied { .. } | Self::Pending { .. } | Self::HostRefused { .. } | Self::HostKey { .. } => 403,
            Self::TooLarge { .. } | Self::Unusable { .. } => 422,
            Self::Unavailable { .. } => 503,
            Self::Internal(_) => 500,
        }
    }
}

/// Characters of a repository's id that a file name may hold as they are.
const FILE_NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

impl Connections {
    /// Whether `principal` may read a repository through a connection (`UseConnection`), and where its mirror is.
    pub async fn repository(
        &self,
        principal: &Principal,
        context: Context,
        scope: &Scope,
        connection: &str,
        full_id: &str,
    ) -> Result<Repository, GitRefusal> {
        let found = self.documents.get_json::<ConnectionRecord>(CONNECTIONS, &partition(scope), connection).await;
        let found = found.map_err(|error| GitRefusal::Internal(error.to_string()))?;
        let Some(record) = found.map(|found| found.value) else {
            let arn = super::Prefix::CodeConnections.connection_arn(scope, connection);
            return Err(GitRefusal::NoConnection { arn });
        };
        let arn = record.prefix.connection_arn(scope, connection);
        if !names::is_repository(full_id) {
            return Err(GitRefusal::NoRepositoryId { id: full_id.to_owned() });
        }
        let keys = conditions(&record, full_id);
        let action = format!("{}:UseConnection", record.prefix.as_str());
        // The connection of another account would need a resource policy, which connections do not have.
        let own = principal.account == scope.account;
        let allowed = self.identity.authorize(principal, &action, &arn, context.merged(keys)).await;
        match allowed {
            Ok(()) if own => {}
            Ok(()) | Err(Refusal::Denied(_)) => return Err(GitRefusal::Denied { arn }),
            Err(Refusal::Unavailable(error)) => return Err(GitRefusal::Internal(error.to_string())),
        }
        if !record.available {
            return Err(GitRefusal::Pending { arn });
        }
        let name = format!("{}.git", utf8_percent_encode(full_id, FILE_NAME));
        Ok(Repository {
            arn,
            provider_type: record.provider_type,
            full_id: full_id.to_owned(),
            path: self.mirrors_of(connection).join(name),
            scope: scope.clone(),
            id: connection.to_owned(),
            host: record.host,
        })
    }

    /// Makes the mirror as new as the host is now, for a conversation that begins.
    pub async fn refresh(&self, repository: &Repository) -> Result<(), GitRefusal> {
        self.seen_since(repository, self.ambient.now()).await
    }

    /// For a conversation that goes on: what its beginning saw is new enough, and nobody begins in the middle.
    pub async fn go_on(&self, repository: &Repository) -> Result<(), GitRefusal> {
        let long = i64::try_from(limits::CONVERSATION.as_millis()).unwrap_or(i64::MAX);
        self.seen_since(repository, Timestamp::from_millis(self.ambient.now().millis().saturating_sub(long))).await
    }

    /// Fetches, unless a fetch that began after `since` has seen all that may be seen.
    async fn seen_since(&self, repository: &Repository, since: Timestamp) -> Result<(), GitRefusal> {
        let turn = {
            let mut mirrors = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(mirrors.entry(repository.path.clone()).or_default())
        };
        let mut fresh = turn.lock().await;
        if fresh.0.is_some_and(|began| began > since) {
            return Ok(());
        }
        fresh.0 = None;
        let _slot = self.fetches.acquire().await.map_err(|error| GitRefusal::Internal(error.to_string()))?;
        let began = self.ambient.now();
        let fetched = self.fetch(repository).await;
        if fetched.is_ok() {
            fresh.0 = Some(began);
        } else {
            // Names that nobody has are not remembered; two hold it who do not wait: this one and the map.
            let mut mirrors = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
            drop(fresh);
            if Arc::strong_count(&turn) == 2 {
                mirrors.remove(&repository.path);
            }
        }
        fetched
    }

    async fn fetch(&self, repository: &Repository) -> Result<(), GitRefusal> {
        let internal = |error: std::io::Error| GitRefusal::Internal(error.to_string());
        let (access, url) = self.way(repository).await?;
        let way = Way::new(&access, &repository.provider_type, url, &self.directory, &repository.id);
        let way = way.map_err(|error| refusal(repository, &error))?;
        let path = repository.path.clone();
        tokio::fs::create_dir_all(&path).await.map_err(internal)?;
        // Nodes that share the data directory take turns; the lock ends with the file.
        let lock = path.join("towpath.lock");
        let held = tokio::task::spawn_blocking(move || {
            let file = std::fs::File::create(lock)?;
            file.lock()?;
            Ok::<_, std::io::Error>(file)
        });
        let _held = held.await.map_err(|error| GitRefusal::Internal(error.to_string()))?.map_err(internal)?;
        let bounds = Bounds { time: limits::FETCH_TIME_MAX, ..Bounds::default() };
        let Err(error) = way.remote.mirror(&path, &bounds).await else { return Ok(()) };
        // What is not there leaves no mirror, and what is too large does not stay.
        if error.reason() == Reason::TooLarge || !path.join("HEAD").exists() {
            gone(tokio::fs::remove_dir_all(&path).await, &path);
        }
        Err(refusal(repository, &error))
    }

    /// The credential of a repository's connection and the address git is given.
    async fn way(&self, repository: &Repository) -> Result<(Access, String), GitRefusal> {
        let internal = |error: towpath_wire::WireError| GitRefusal::Internal(error.to_string());
        let pending = || GitRefusal::Pending { arn: repository.arn.clone() };
        let access = self.find_access(&repository.scope, &repository.id).await.map_err(internal)?;
        let access = access.ok_or_else(pending)?;
        let home = match repository.host.as_deref().and_then(Named::host) {
            Some(named) => {
                let host = self.find_host(&named.scope, &named.id).await.map_err(internal)?;
                host.map(|host| host.value.endpoint)
            }
            None => None,
        };
        let url = access.clone_url(&repository.provider_type, home.as_deref(), &repository.full_id);
        Ok((access, url.ok_or_else(pending)?))
    }

    /// What kind of host a connection leads to.
    pub async fn provider_type(&self, arn: &str) -> Option<String> {
        let named = Named::connection(arn)?;
        Some(self.find_connection(&named.scope, &named.id).await.ok()??.value.provider_type)
    }

    /// What a commit status needs of a connection: its type, the base of its host, and its secret. For Towpath itself,
    /// which acts for the connection's owner.
    pub async fn access(&self, arn: &str) -> Option<(String, Option<String>, Access)> {
        let named = Named::connection(arn)?;
        let record = self.find_connection(&named.scope, &named.id).await.ok()??.value;
        let access = self.find_access(&named.scope, &named.id).await.ok()??;
        let home = match record.host.as_deref().and_then(Named::host) {
            Some(host) => self.find_host(&host.scope, &host.id).await.ok()?.map(|host| host.value.endpoint),
            None => None,
        };
        Some((record.provider_type, home, access))
    }

    fn mirrors_of(&self, connection: &str) -> PathBuf {
        self.directory.join("mirrors").join(connection)
    }

    /// Removes what was fetched through a connection.
    pub(super) async fn forget_mirrors(&self, connection: &str) {
        let path = self.mirrors_of(connection);
        self.mirrors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|mirror, turn| !mirror.starts_with(&path) || Arc::strong_count(turn) > 1);
        gone(tokio::fs::remove_dir_all(&path).await, &path);
        for known in [connection.to_owned(), format!("{connection}.given")] {
            let path = self.directory.join("known-hosts").join(known);
            gone(tokio::fs::remove_file(&path).await, &path);
        }
    }

    /// Removes keys that a killed process left.
    pub(super) fn sweep_keys(&self) {
        let Ok(entries) = std::fs::read_dir(self.directory.join("keys")) else { return };
        let now = self.ambient.now().millis() / 1000;
        let oldest = now - i64::try_from(limits::FETCH_TIME_MAX.as_secs()).unwrap_or(i64::MAX);
        for entry in entries.flatten() {
            let written = entry.metadata().and_then(|facts| facts.modified()).ok();
            let written = written.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            if written.is_some_and(|time| i64::try_from(time.as_secs()).is_ok_and(|written| written < oldest)) {
                gone(std::fs::remove_file(entry.path()), &entry.path());
            }
        }
    }
}

fn gone(removed: std::io::Result<()>, path: &Path) {
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, path = %path.display(), "cannot be removed");
        }
        _ => {}
    }
}

/// The condition keys of UseConnection, under both names of the service.
fn conditions(record: &ConnectionRecord, full_id: &str) -> Context {
    let (owner, name) = full_id.rsplit_once('/').unwrap_or(("", full_id));
    let mut context = super::tags::held(&record.tags);
    for prefix in super::Prefix::ALL {
        let prefix = prefix.as_str();
        for (key, value) in [
            ("FullRepositoryId", full_id),
            ("OwnerId", owner),
            ("ProviderAction", "GitPull"),
            ("ProviderPermissionsRequired", "read_only"),
            ("ProviderType", record.provider_type.as_str()),
            ("RepositoryName", name),
        ] {
            context = context.with(&format!("{prefix}:{key}"), value);
        }
    }
    context
}

fn refusal(repository: &Repository, error: &FetchError) -> GitRefusal {
    let (provider, arn, id) = (repository.provider_type.clone(), repository.arn.clone(), repository.full_id.clone());
    // Its parts are told apart by git's own mark; in another message they are one.
    let reason = error.to_string().replace("; ", ", ");
    match (error.reason(), error) {
        (Reason::Unauthorized | Reason::Forbidden, _) => GitRefusal::HostRefused { provider, arn },
        (Reason::NoRepository, _) => GitRefusal::NoRepository { provider, id },
        (Reason::HostKey, _) => GitRefusal::HostKey { provider, arn },
        (Reason::Unreachable, _) => GitRefusal::Unavailable { provider, reason },
        (Reason::TooLarge, _) => GitRefusal::TooLarge { provider, id, reason },
        (Reason::NoRevision | Reason::Other, FetchError::Git(GitError::NotStarted(_) | GitError::Files(_))) => {
            GitRefusal::Internal(reason)
        }
        (Reason::NoRevision | Reason::Other, _) => GitRefusal::Unusable { provider, reason },
    }
}
