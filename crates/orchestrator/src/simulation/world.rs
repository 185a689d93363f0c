//! A world: one store, one clock, work outside, and the process that runs in it until it crashes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_smithy_runtime_api::client::http::{HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::result::ConnectorError;
use towpath_model::declaration::PipelineDeclaration;
use towpath_model::event::Event;
use towpath_model::history::HistoryEntry;
use towpath_model::ids::{ExecutionId, IdSource as _, PipelineId, Scope};
use towpath_model::time::Timestamp;
use towpath_providers::{Catalogue, Credentials, Endpoints, RealmKind, RealmSettings, Realms, Settings};
use towpath_store::{HistoryFilter, MemoryStore, Store};

use super::executor::Virtual;
use super::gateway::{Gateway, Interference, Undisturbed};
use super::outside::{Ending, Outside, Plan, Script};
use super::random::{SeededIds, mixed};
use crate::apply::{Applied, Extra};
use crate::error::CommandError;
use crate::limits::Quotas;
use crate::runtime::Runtime as _;
use crate::{Created, NewPipeline, Orchestrator, Parts, Roles};

/// How long the answer to a command may take, in virtual time.
const ANSWER_MAX: Duration = Duration::from_hours(1);
/// History entries read at once.
const HISTORY_PAGE: usize = 1000;

/// Everything may be assumed.
pub struct AnyRole;

#[async_trait]
impl Roles for AnyRole {
    async fn test_assume(&self, _: &Scope, _: &str, _: &str, _: &[String]) -> Result<(), String> {
        Ok(())
    }
}

/// Everything succeeds at once.
struct Smooth;

impl Script for Smooth {
    fn plan(&self, _: &towpath_model::action::ActionInvocation, _: u32) -> Plan {
        Plan::Ends(Duration::ZERO, Ending::success())
    }
}

/// What a world is made of. The default is a world where everything succeeds at once, on a store in memory.
pub struct Setting {
    pub seed: u64,
    pub start: Timestamp,
    pub scope: Scope,
    pub store: Arc<dyn Store>,
    pub script: Arc<dyn Script>,
    pub interference: Arc<dyn Interference>,
    /// Where the entries come from, and the real providers that a script may leave a run to.
    pub catalogue: Arc<Catalogue>,
    pub quotas: Quotas,
    /// The node, where the store is shared by several; each of its processes gets a name of its own.
    pub node: Option<String>,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            seed: 0,
            // 2030-01-01T00:00:00Z
            start: Timestamp(1_893_456_000_000),
            scope: Scope::new("123456789012", "us-east-1"),
            store: Arc::new(MemoryStore::new()),
            script: Arc::new(Smooth),
            interference: Arc::new(Undisturbed),
            catalogue: Arc::new(Catalogue::new(Settings { rehearsal: true })),
            quotas: Quotas::default(),
            node: None,
        }
    }
}

pub struct World {
    runtime: Virtual,
    outside: Outside,
    scope: Scope,
    store: Arc<dyn Store>,
    gateway: Arc<dyn Store>,
    catalogue: Arc<Catalogue>,
    realms: Arc<Realms>,
    ids: SeededIds,
    quotas: Quotas,
    node_name: Option<String>,
    node: Option<Arc<Orchestrator>>,
    others: Vec<Arc<Orchestrator>>,
}

impl World {
    /// A world in which a process has just started.
    pub fn new(setting: Setting) -> Self {
        let runtime = Virtual::new(setting.seed, setting.start);
        let outside = Outside::new(runtime.clone(), setting.script);
        let gateway = Gateway::new(Arc::clone(&setting.store), runtime.clone(), setting.interference);
        let mut world = Self {
            catalogue: Arc::new(outside.catalogue(&setting.catalogue)),
            realms: Arc::new(nowhere(&runtime)),
            ids: SeededIds::new(mixed(setting.seed) ^ 1),
            runtime,
            outside,
            scope: setting.scope,
            store: setting.store,
            gateway: Arc::new(gateway),
            quotas: setting.quotas,
            node_name: setting.node,
            node: None,
            others: Vec::new(),
        };
        world.restart();
        world
    }

    /// A process over this world's store that has not taken up anything.
    pub fn idle_node(&self) -> Arc<Orchestrator> {
        self.build(Arc::clone(&self.gateway), self.node_name.as_deref().map(|name| self.named(name)))
    }

    /// One that looks at the store directly: nothing interferes with what it reads.
    pub fn observer(&self) -> Arc<Orchestrator> {
        self.build(Arc::clone(&self.store), None)
    }

    /// Every process has a name of its own: what one left behind is not the next one's before its lease runs out.
    fn named(&self, node: &str) -> String {
        format!("{node} {}", self.ids.clone().uuid())
    }

    fn build(&self, store: Arc<dyn Store>, node: Option<String>) -> Arc<Orchestrator> {
        Orchestrator::new(Parts {
            store,
            catalogue: Arc::clone(&self.catalogue),
            realms: Arc::clone(&self.realms),
            roles: Arc::new(AnyRole),
            clock: Arc::new(self.runtime.clone()),
            runtime: Arc::new(self.runtime.clone()),
            ids: Box::new(self.ids.clone()),
            quotas: self.quotas.clone(),
            partners: crate::PartnerClients::new(),
            scratch: PathBuf::new(),
            node,
            keep_history: None,
        })
    }

    /// The process dies at once. What runs outside goes on.
    pub fn crash(&mut self) {
        self.runtime.clear();
        self.node = None;
        self.others.clear();
    }

    /// A new process starts on what the last one left in the store, and hears nobody before it has read that. It may
    /// crash while it does.
    pub fn restart(&mut self) {
        self.crash();
        self.node = Some(self.idle_node());
        // What cannot be read now is not there to be taken up; the next start tries again, as a real process would.
        match self.ask(|node| async move { node.resume().await }) {
            Some(Ok(())) | None => {}
            Some(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the outbox cannot be read");
                self.runtime.crash();
            }
        }
    }

    /// Another process on the same store, by the name of its node. A crash takes every process along.
    pub fn join(&mut self, name: &str) {
        let node = self.build(Arc::clone(&self.gateway), Some(self.named(name)));
        self.others.push(Arc::clone(&node));
        let resumed = self.ask(|_| async move { node.resume().await });
        if let Some(Err(_)) = resumed {
            self.runtime.crash();
        }
    }

    /// The processes that joined.
    pub fn others(&self) -> &[Arc<Orchestrator>] {
        &self.others
    }

    /// The process that runs now.
    ///
    /// # Panics
    /// After a crash without a restart: nobody is there to be asked.
    pub fn node(&self) -> &Arc<Orchestrator> {
        self.node.as_ref().expect("a process runs in this world")
    }

    pub fn runtime(&self) -> &Virtual {
        &self.runtime
    }

    pub fn outside(&self) -> &Outside {
        &self.outside
    }

    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The store as the process sees it. Ask it inside of [`World::ask`].
    pub fn gateway(&self) -> &Arc<dyn Store> {
        &self.gateway
    }

    pub fn now(&self) -> Timestamp {
        towpath_model::time::Clock::now(&self.runtime)
    }

    /// Everything that happens without time passing.
    pub fn settle(&mut self) {
        self.runtime.run_until(self.runtime.elapsed());
    }

    /// Everything that happens within the next while.
    pub fn advance(&mut self, duration: Duration) {
        self.runtime.run_until(self.runtime.elapsed().saturating_add(duration));
    }

    /// Asks the process something and runs until it answers; None if it crashed before, or did not.
    pub fn ask<T, F>(&mut self, question: impl FnOnce(Arc<Orchestrator>) -> F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let answer = Arc::new(Mutex::new(None));
        let (slot, question) = (Arc::clone(&answer), question(Arc::clone(self.node())));
        self.runtime.spawn(Box::pin(async move {
            let value = question.await;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        }));
        let taken = || answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let latest = self.runtime.elapsed().saturating_add(ANSWER_MAX);
        loop {
            self.settle();
            if let Some(value) = taken() {
                return Some(value);
            }
            match self.runtime.next_timer() {
                Some(next) if next <= latest && !self.runtime.has_crashed() => self.runtime.advance_to(next),
                _ => return None,
            }
        }
    }

    /// CreatePipeline, which starts the first execution.
    pub fn create(&mut self, declaration: PipelineDeclaration) -> Result<Created, CommandError> {
        let new = NewPipeline {
            scope: self.scope.clone(),
            declaration,
            tags: Vec::new(),
            created_by: format!("arn:aws:iam::{}:root", self.scope.account),
        };
        self.ask(|node| async move { node.create_pipeline(new).await }).unwrap_or(Err(CommandError::Contention))
    }

    /// An event as it is, past the commands of the API: a late answer, a doubled one, one that nobody sent.
    pub async fn deliver(node: Arc<Orchestrator>, pipeline: PipelineId, event: Event) -> Result<Applied, CommandError> {
        node.apply(&pipeline, event, Extra::default()).await
    }

    /// Everything that happened, in order, with the time at which it did.
    pub fn history(&mut self) -> Result<Vec<HistoryEntry>, CommandError> {
        self.history_of(HistoryFilter::All)
    }

    pub fn history_of_execution(&mut self, execution: &ExecutionId) -> Result<Vec<HistoryEntry>, CommandError> {
        self.history_of(HistoryFilter::Execution(execution.clone()))
    }

    fn history_of(&mut self, filter: HistoryFilter) -> Result<Vec<HistoryEntry>, CommandError> {
        let store = Arc::clone(&self.gateway);
        let read = self.ask(|_| async move {
            let mut entries: Vec<HistoryEntry> = Vec::new();
            loop {
                let after = entries.last().map_or(0, |entry| entry.sequence);
                let page = store.history(&filter, after, HISTORY_PAGE).await?;
                let last = page.len() < HISTORY_PAGE;
                entries.extend(page);
                if last {
                    return Ok(entries);
                }
            }
        });
        read.unwrap_or(Err(CommandError::Contention))
    }
}

/// A realm in which nobody answers: a simulation asks no service.
fn nowhere(runtime: &Virtual) -> Realms {
    Realms::embedded_only(RealmSettings {
        name: "nowhere".to_owned(),
        kind: RealmKind::Other,
        endpoints: Endpoints::one("http://127.0.0.1:1"),
        credentials: Credentials::new("AKIDEXAMPLE", "secret", None, None, "simulation").into(),
        http: http_client_fn(|_, _| SharedHttpConnector::new(Nobody)),
        clock: Arc::new(runtime.clone()),
        console_url: None,
    })
}

#[derive(Debug)]
struct Nobody;

impl aws_smithy_runtime_api::client::http::HttpConnector for Nobody {
    fn call(&self, _: aws_smithy_runtime_api::client::orchestrator::HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(Err(ConnectorError::io("a simulation reaches no service".into())))
    }
}
