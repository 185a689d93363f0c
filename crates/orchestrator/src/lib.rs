//! The only room where engine, store, providers and clock meet: applies events, commits, runs effects.
//!
//! `apply` is the only code that changes pipeline state: it loads the rows a command names, lets the engine decide over
//! the values, and commits state, history and effects in one transaction. `effects` runs what was committed, after the
//! commit, at least once. Nothing here speaks HTTP or HTML, and nothing here decides.

mod action_types;
mod apply;
mod commands;
mod effects;
mod error;
mod jobs;
mod lanes;
pub mod limits;
mod logs;
mod nodes;
mod partner_types;
mod retention;
mod revisions;
pub mod runtime;
mod schedule;
pub mod simulation;
mod slots;
mod tags;
mod targets;
mod views;
mod webhooks;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::{Semaphore, watch};
use towpath_model::ids::{IdSource, Scope};
use towpath_model::time::Clock;
use towpath_providers::{Catalogue, Realms};
use towpath_store::Store;

pub use action_types::{CustomActionType, NewActionType, Types, custom_entry};
pub use apply::Applied;
pub use commands::{Created, NewPipeline, StartRequest};
pub use error::CommandError;
pub use jobs::{
    Door, Job, JobDetails, JobFailure, JobProgress, JobRevision, JobStatus, JobSuccess, PartnerClient, PartnerClients,
    PartnerJob, PartnerJobDetails,
};
pub use logs::ActionLog;
pub use partner_types::{DescribedType, PartnerExecutor, PartnerType};
pub use revisions::NewRevision;
pub use runtime::{Runtime, TokioRuntime};
pub use tags::{TagChange, Tags};
pub use targets::TargetPage;
pub use towpath_engine::Reply;
pub use towpath_engine::validation::{Violation, ViolationCode};
pub use views::{ActionPage, ExecutionPage, PipelinePage, PipelineState, PipelineView};
pub use webhooks::{Webhook, WebhookAuthentication, WebhookDefinition, WebhookFilter, WebhookPage};

/// Asks whoever owns the roles whether CodePipeline may act as one.
#[async_trait]
pub trait Roles: Send + Sync {
    /// Test-assumes `role` for a pipeline; `Err` carries AWS's words.
    async fn test_assume(
        &self,
        scope: &Scope,
        pipeline: &str,
        role: &str,
        action_roles: &[String],
    ) -> Result<(), String>;
}

/// What the orchestrator is assembled from.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub catalogue: Arc<Catalogue>,
    /// Where the actions' services are.
    pub realms: Arc<Realms>,
    pub roles: Arc<dyn Roles>,
    pub clock: Arc<dyn Clock>,
    /// What runs tasks and waits.
    pub runtime: Arc<dyn Runtime>,
    pub ids: Box<dyn IdSource + Send>,
    pub quotas: limits::Quotas,
    /// Who partners' job workers are, by provider.
    pub partners: PartnerClients,
    /// A directory for the providers' temporary files.
    pub scratch: PathBuf,
    /// The name of this node where several share the store.
    pub node: Option<String>,
    /// How long an execution's history is kept after its end; None: for ever.
    pub keep_history: Option<std::time::Duration>,
}

pub struct Orchestrator {
    store: Arc<dyn Store>,
    catalogue: Arc<Catalogue>,
    realms: Arc<Realms>,
    roles: Arc<dyn Roles>,
    clock: Arc<dyn Clock>,
    runtime: Arc<dyn Runtime>,
    ids: Mutex<Box<dyn IdSource + Send>>,
    quotas: limits::Quotas,
    partners: PartnerClients,
    scratch: PathBuf,
    node: Option<String>,
    keep_history: Option<std::time::Duration>,
    slots: slots::Slots,
    tag_turns: tags::Turns,
    schedule: schedule::Schedule,
    calls: Arc<Semaphore>,
    stopping: AtomicBool,
    /// Grows with every commit, so that followers know when to read the history again.
    committed: watch::Sender<u64>,
}

impl Orchestrator {
    /// Builds the orchestrator; nothing runs before [`Orchestrator::resume`].
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            store: parts.store,
            catalogue: parts.catalogue,
            realms: parts.realms,
            roles: parts.roles,
            clock: parts.clock,
            runtime: parts.runtime,
            ids: Mutex::new(parts.ids),
            quotas: parts.quotas,
            partners: parts.partners,
            scratch: parts.scratch,
            node: parts.node,
            keep_history: parts.keep_history,
            slots: slots::Slots::default(),
            tag_turns: tags::Turns::default(),
            schedule: schedule::Schedule::default(),
            calls: Arc::new(Semaphore::new(limits::PROVIDER_CALLS_MAX)),
            stopping: AtomicBool::new(false),
            committed: watch::Sender::new(0),
        })
    }

    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Resolves when something was committed after the receiver last looked.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }
}

/// Locks the shared id source for one step; the guard is an id source itself.
struct Ids<'a>(std::sync::MutexGuard<'a, Box<dyn IdSource + Send>>);

impl IdSource for Ids<'_> {
    fn bits(&mut self) -> u128 {
        self.0.bits()
    }
}

impl Orchestrator {
    fn ids(&self) -> Ids<'_> {
        Ids(self.ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}
