//! Commit statuses, written back to git hosts: pending when a pipeline has taken a commit, success or failure when the
//! execution is over. An effect after the commit: it follows the committed history with a cursor of its own, so that
//! nothing is lost by a crash and the engine knows nothing of it. The cursor begins with the first action that is about to
//! take a commit; where none ever does, no history is read. Each status is sent at least once; what a host refuses is
//! logged and left. It never touches an execution.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{HttpConnector as _, HttpConnectorSettings};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use towpath_model::catalogue::ActionTypeId;
use towpath_model::history::{ActionRecord, EventState, HistoryEntry, HistoryEvent};
use towpath_model::secret::Secret;
use towpath_providers::git::CommitFollower;
use towpath_services::ambient::Ambient;
use towpath_services::connections::{Access, CommitState, CommitStatus, Connections, commit_status_request};
use towpath_store::{ActionFilter, DocumentsExt as _, Expect, HistoryFilter, Key, Store, StoreError};

/// History entries read at once.
const PAGE: usize = 500;
/// Git sources of one execution whose commits are told.
const SOURCES_MAX: usize = 50;
/// Commits come in bursts; they are looked at together.
const SETTLE: Duration = Duration::from_millis(250);
/// At least this long between two requests: hosts limit how fast they are written to.
const PACE: Duration = Duration::from_millis(100);
/// How often one status is tried before it is given up.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause that a host may ask for.
const PAUSE_MAX: Duration = Duration::from_mins(1);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// How far the history has been told, for all nodes together.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    sequence: u64,
}

/// What is told of one commit, and to whom.
struct Source {
    provider_type: String,
    home: Option<String>,
    access: Access,
    repository: String,
    commit: String,
}

pub struct Statuses {
    pub store: Arc<dyn Store>,
    pub connections: Arc<Connections>,
    pub ambient: Ambient,
    /// Base of the links that statuses carry.
    pub console_url: String,
    /// GitHub hosts other than GitHub, by the action's name.
    pub github_hosts: BTreeMap<String, String>,
}

/// Where the history begins that concerns git hosts.
pub struct Beginning {
    store: Arc<dyn Store>,
    is_there: AtomicBool,
}

impl Beginning {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, is_there: AtomicBool::new(false) }
    }

    async fn mark(&self) -> Result<(), StoreError> {
        let sequence = self.store.history_end().await?;
        match self.store.put_json(key(), &Told { sequence }, Expect::Absent).await {
            // There since an earlier commit.
            Err(error) if error.is_conflict() => Ok(()),
            marked => marked.map(drop),
        }
    }
}

#[async_trait]
impl CommitFollower for Beginning {
    async fn follow(&self) {
        if self.is_there.load(Ordering::Acquire) {
            return;
        }
        match self.mark().await {
            Ok(()) => self.is_there.store(true, Ordering::Release),
            // The next commit tries again; a status is not worth an action.
            Err(error) => tracing::warn!(%error, "the commit statuses of an execution may be missing"),
        }
    }
}

/// Whether an action type takes commits whose host has statuses.
fn is_git(id: &ActionTypeId) -> bool {
    matches!(id.provider.as_str(), "CodeStarSourceConnection" | "GitHub")
}

fn key() -> Key {
    Key::new("statuses.told", "all", "history")
}

impl Statuses {
    /// Follows the history until the server stops.
    pub async fn follow(self, mut commits: watch::Receiver<u64>, mut stop: watch::Receiver<bool>) {
        let connectors = Connectors::default();
        loop {
            match self.pass(&connectors).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "commit statuses wait: the history cannot be read");
                    tokio::time::sleep(SETTLE * 20).await;
                }
            }
            tokio::select! {
                changed = commits.changed() => if changed.is_err() { return },
                _ = stop.wait_for(|stop| *stop) => return,
            }
            tokio::time::sleep(SETTLE).await;
        }
    }

    /// Tells one page of the history; `true` when there may be more.
    async fn pass(&self, connectors: &Connectors) -> Result<bool, StoreError> {
        let place = key();
        let told = self.store.get_json::<Told>(&place.collection, &place.partition, &place.key).await?;
        let Some(told) = told else { return Ok(false) };
        let (from, expect) = (told.value.sequence, Expect::Version(told.version));
        if from >= self.store.history_end().await? {
            return Ok(false);
        }
        let entries = self.store.history(&HistoryFilter::All, from, PAGE).await?;
        for entry in &entries {
            self.tell(connectors, entry).await?;
        }
        let sequence = entries.last().map_or(from, |entry| entry.sequence);
        match self.store.put_json(place, &Told { sequence }, expect).await {
            Ok(_) => {}
            // Another node was faster; statuses may be said twice.
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error),
        }
        Ok(entries.len() == PAGE)
    }

    async fn tell(&self, connectors: &Connectors, entry: &HistoryEntry) -> Result<(), StoreError> {
        let (state, words, records) = match &entry.event {
            HistoryEvent::Action { action_type, action_execution, state: EventState::Succeeded, .. }
                if is_git(action_type) =>
            {
                let record = self.store.action(&entry.execution, action_execution).await?;
                (CommitState::Pending, "The pipeline runs", record.into_iter().collect())
            }
            HistoryEvent::Execution { state, .. } => {
                let (state, words) = match state {
                    EventState::Resumed => (CommitState::Pending, "The pipeline runs again"),
                    EventState::Succeeded => (CommitState::Success, "The pipeline succeeded"),
                    EventState::Failed => (CommitState::Failure, "The pipeline failed"),
                    EventState::Stopped => (CommitState::Failure, "The pipeline was stopped"),
                    EventState::Canceled => (CommitState::Failure, "The pipeline was cancelled"),
                    EventState::Superseded => (CommitState::Failure, "A newer execution superseded this one"),
                    EventState::Started | EventState::Stopping | EventState::Abandoned | EventState::Skipped => {
                        return Ok(());
                    }
                };
                let filter = ActionFilter::LatestInExecution(entry.execution.clone());
                let page = self.store.action_page(&filter, None, SOURCES_MAX).await?;
                (state, words, page.items)
            }
            _ => return Ok(()),
        };
        for record in records.iter().filter(|record| is_git(&record.action_type)) {
            let Some(source) = self.source(entry, record).await? else { continue };
            let context = format!("towpath/{}", entry.pipeline_name);
            let target_url =
                format!("{}/pipelines/{}/executions/{}", self.console_url, entry.pipeline_name, entry.execution);
            let status = CommitStatus {
                provider_type: &source.provider_type,
                home: source.home.as_deref(),
                repository: &source.repository,
                commit: &source.commit,
                state,
                context: &context,
                description: words,
                target_url: &target_url,
            };
            let Some(request) = commit_status_request(&source.access, &status) else { continue };
            self.send(connectors, &request, &source).await;
        }
        Ok(())
    }

    /// The commit that a source action took, with what its host needs; None where it took none.
    async fn source(&self, entry: &HistoryEntry, record: &ActionRecord) -> Result<Option<Source>, StoreError> {
        let configuration = &record.resolved_configuration;
        let of = |name: &str| configuration.get(name).cloned();
        let Some(commit) = record.attempt.progress.external_id.clone() else { return Ok(None) };
        if record.action_type.provider.as_str() == "CodeStarSourceConnection" {
            let (Some(arn), Some(repository)) = (of("ConnectionArn"), of("FullRepositoryId")) else { return Ok(None) };
            let access = self.connections.access(&arn).await;
            return Ok(access.map(|(provider_type, home, access)| Source {
                provider_type,
                home,
                access,
                repository,
                commit,
            }));
        }
        // The record has a mask where the token was; the definition has the token.
        let definition = self.store.definition(&entry.pipeline, entry.pipeline_version).await?;
        let token = definition.as_ref().and_then(|definition| {
            let mut actions = definition.declaration.stages.iter().flat_map(|stage| &stage.actions);
            actions.find(|action| action.name == record.action)?.configuration.as_ref()?.get("OAuthToken").cloned()
        });
        let (Some(token), Some(owner), Some(repo)) = (token, of("Owner"), of("Repo")) else { return Ok(None) };
        Ok(Some(Source {
            provider_type: "GitHub".to_owned(),
            home: self.github_hosts.get(record.action.as_str()).cloned(),
            access: Access::token(None, Secret::new(token)),
            repository: format!("{owner}/{repo}"),
            commit,
        }))
    }

    async fn send(&self, connectors: &Connectors, request: &http::Request<Bytes>, source: &Source) {
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=TRIES {
            tokio::time::sleep(PACE).await;
            let why = match tokio::time::timeout(ANSWER_TIMEOUT, connectors.send(request)).await {
                Ok(Ok(answer)) if answer.status().is_success() => {
                    tracing::debug!(repository = source.repository, commit = source.commit, "commit status written");
                    return;
                }
                Ok(Ok(answer)) => {
                    let status = answer.status();
                    if status.as_u16() != 429 && !status.is_server_error() {
                        tracing::warn!(
                            repository = source.repository, commit = source.commit, %status,
                            "the git host takes no commit status; the token may lack the right to write one"
                        );
                        return;
                    }
                    let asked = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
                    if let Some(seconds) = asked {
                        pause = Duration::from_secs(seconds);
                    }
                    format!("HTTP {status}")
                }
                Ok(Err(error)) => error,
                Err(_) => "no answer in time".to_owned(),
            };
            tracing::info!(repository = source.repository, why, attempt, "a commit status is tried again");
            if attempt < TRIES {
                // Half of the pause is drawn, so that many who failed together do not come back together.
                let drawn = f64::from(u32::from(self.ambient.bytes::<1>()[0])) / 255.0;
                tokio::time::sleep(pause.min(PAUSE_MAX).mul_f64(0.5 + drawn / 2.0)).await;
                pause *= 2;
            }
        }
        tracing::warn!(repository = source.repository, commit = source.commit, "the commit status was not written");
    }
}

/// Connections to git hosts, made when they are first needed.
#[derive(Default)]
struct Connectors {
    plain: std::sync::OnceLock<Connector>,
    tls: std::sync::OnceLock<Connector>,
}

impl Connectors {
    async fn send(&self, request: &http::Request<Bytes>) -> Result<http::Response<()>, String> {
        let builder = || {
            let settings = HttpConnectorSettings::builder()
                .connect_timeout(crate::limits::CONNECT_TIMEOUT)
                .read_timeout(ANSWER_TIMEOUT)
                .build();
            Connector::builder().connector_settings(settings)
        };
        let connector = if request.uri().scheme() == Some(&http::uri::Scheme::HTTPS) {
            self.tls.get_or_init(|| {
                let builder = builder().proxy_config(ProxyConfig::from_env());
                builder.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build()
            })
        } else {
            self.plain.get_or_init(|| builder().build_http())
        };
        let request = HttpRequest::try_from(request.clone().map(SdkBody::from)).map_err(|error| error.to_string())?;
        let response = connector.call(request).await.map_err(|error| error.to_string())?;
        // Only the status counts; the body is dropped unread.
        let response = response.try_into_http1x().map_err(|error| error.to_string())?;
        Ok(response.map(drop))
    }
}
