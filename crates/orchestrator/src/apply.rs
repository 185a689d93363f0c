//! The one place that changes pipeline state: load, decide, commit, then act.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use towpath_engine::{Context, Decision, Reply, World};
use towpath_model::declaration::{Definition, PipelineDeclaration};
use towpath_model::effect::{Effect, Task, TaskKind, stop_task_id, task_id};
use towpath_model::event::Event;
use towpath_model::ids::{ActionExecutionId, ExecutionId, PipelineId, TaskId};
use towpath_model::time::Timestamp;
use towpath_store::{Commit, Committed, RequestToken, Row, StoreError, Versioned, Write};

use crate::action_types::{Types, declared};
use crate::error::CommandError;
use crate::limits::CONFLICT_RETRIES_MAX;
use crate::slots::{Loaded, Slot, Snapshot};
use crate::{Ids, Orchestrator};

/// What goes into the commit beside the decision itself.
#[derive(Default, Clone)]
pub struct Extra {
    pub tasks_moved: Vec<Task>,
    pub tasks_done: Vec<TaskId>,
    pub request_token: Option<String>,
    pub documents: Vec<Write>,
    /// The action whose job these documents end; any other job that loses its action is ended by the commit.
    pub settled: Option<ActionExecutionId>,
}

impl Extra {
    /// Whether a conflict over this document is the caller's to solve.
    pub(crate) fn writes(&self, key: &str) -> bool {
        self.documents.iter().any(|write| write.key().key == key)
    }
}

/// The answer to an applied command.
pub struct Applied {
    pub reply: Reply,
    /// Version of the definition after the command.
    pub definition_version: u32,
    /// Whether the event changed anything; a stale answer does not.
    pub changed: bool,
}

impl Orchestrator {
    /// Decides one event and makes the decision durable; effects start after that.
    pub(crate) async fn apply(
        self: &Arc<Self>,
        pipeline: &PipelineId,
        event: Event,
        extra: Extra,
    ) -> Result<Applied, CommandError> {
        if let Some(applied) = self.apply_in_lane(pipeline, &event, &extra).await? {
            return Ok(applied);
        }
        let slot = self.slots.get(pipeline);
        // What concerns every execution waits for the lanes, and they for it.
        let _alone = if concerns_all(&event) { Some(slot.lanes_open.write().await) } else { None };
        let mut rows = slot.rows.lock().await;
        for _ in 0..CONFLICT_RETRIES_MAX {
            if self.store.is_shared() || rows.is_none() {
                let definitions = rows.take().map(|loaded| loaded.definitions).unwrap_or_default();
                *rows = Some(self.load(pipeline, definitions).await?);
            }
            let Some(loaded) = rows.as_mut() else { continue };
            loaded.leave_to_lanes();
            let current = loaded.definitions.get(&loaded.gate.value.definition_version).cloned();
            let current = current.ok_or_else(|| CommandError::PipelineNotFound {
                account: loaded.gate.value.scope.account.clone(),
                name: loaded.gate.value.name.to_string(),
            })?;
            let needed = towpath_engine::executions_needed(&loaded.gate.value, &current, &event);
            if self.store.is_shared() && !self.fill_at_once(loaded, &needed).await? {
                continue;
            }
            self.fill(loaded, &needed).await?;
            let Decided { decision, with, now } = self.decide(loaded, &needed, &event, &extra).await?;
            match self.commit(&slot, &mut rows, decision, &event, &with, now).await {
                Ok((applied, tasks)) => {
                    drop(rows);
                    self.launch(tasks);
                    return Ok(applied);
                }
                // Another call with this token was first; deciding again cannot change that.
                Err(CommandError::Store(StoreError::Conflict { row: Row::RequestToken, .. })) => {
                    return Err(CommandError::Contention);
                }
                // Another node has the task now; whatever this one learned is that one's to find out.
                Err(CommandError::Store(StoreError::Conflict { row: Row::Task, .. })) => {
                    return Err(CommandError::TaskLost);
                }
                // What the caller brought along is outdated; only the caller can bring it up to date.
                Err(CommandError::Store(StoreError::Conflict { row: Row::Document, key })) if extra.writes(&key) => {
                    return Err(CommandError::Contention);
                }
                Err(CommandError::Store(StoreError::Conflict { .. })) => *rows = None,
                Err(error) => {
                    // What the store holds is unknown now; read it again before the next decision.
                    *rows = None;
                    return Err(error);
                }
            }
        }
        Err(CommandError::Contention)
    }

    /// Lets the engine decide, and adds to what is written beside the decision what it means for jobs.
    pub(crate) async fn decide<'e>(
        &self,
        loaded: &Loaded,
        needed: &[ExecutionId],
        event: &Event,
        extra: &'e Extra,
    ) -> Result<Decided<'e>, CommandError> {
        let gate = &loaded.gate.value;
        let declarations = loaded.definitions.values().map(AsRef::as_ref).chain(declared(event));
        let types = self.types_for(&gate.scope, declarations).await?;
        let now = self.clock.now();
        let decision = {
            let mut ids = self.ids();
            towpath_engine::step(world(loaded, needed, &types), event, &mut Context { now, ids: &mut ids })?
        };
        let jobs = self.job_writes(gate, &decision, extra.settled.as_ref(), &types, now).await?;
        let mut with = Cow::Borrowed(extra);
        if !jobs.is_empty() {
            with.to_mut().documents.extend(jobs);
        }
        Ok(Decided { decision, with, now })
    }

    /// `definitions` are those known from before: a version never changes.
    async fn load(
        &self,
        pipeline: &PipelineId,
        definitions: BTreeMap<u32, Arc<PipelineDeclaration>>,
    ) -> Result<Loaded, CommandError> {
        let gate = self
            .store
            .gate(pipeline)
            .await?
            .ok_or_else(|| CommandError::PipelineNotFound { account: String::new(), name: pipeline.to_string() })?;
        let version = gate.value.definition_version;
        let mut loaded = Loaded { gate, executions: std::collections::HashMap::new(), definitions };
        self.fill_definition(&mut loaded, version).await?;
        Ok(loaded)
    }

    /// Loads the named executions as they were together with the gate: rows of two moments make no state that ever was.
    /// False where another node wrote the gate meanwhile.
    async fn fill_at_once(&self, loaded: &mut Loaded, needed: &[ExecutionId]) -> Result<bool, CommandError> {
        let found = self.store.load(&loaded.gate.value.pipeline, needed).await?;
        if found.gate.is_none_or(|gate| gate.version != loaded.gate.version) {
            return Ok(false);
        }
        let rows = found.executions.into_iter().flatten();
        let own = rows.filter(|row| row.value.pipeline == loaded.gate.value.pipeline);
        loaded.executions = own.map(|row| (row.value.id.clone(), row)).collect();
        Ok(true)
    }

    /// Loads the named executions and the definitions they run, unless they are here.
    async fn fill(&self, loaded: &mut Loaded, needed: &[ExecutionId]) -> Result<(), CommandError> {
        for id in needed {
            if !loaded.executions.contains_key(id)
                && let Some(row) = self.store.execution(id).await?
                && row.value.pipeline == loaded.gate.value.pipeline
            {
                loaded.executions.insert(id.clone(), row);
            }
        }
        let versions: Vec<u32> = loaded.executions.values().map(|e| e.value.pipeline_version).collect();
        for version in versions {
            self.fill_definition(loaded, version).await?;
        }
        Ok(())
    }

    async fn fill_definition(&self, loaded: &mut Loaded, version: u32) -> Result<(), CommandError> {
        if !loaded.definitions.contains_key(&version)
            && let Some(definition) = self.store.definition(&loaded.gate.value.pipeline, version).await?
        {
            loaded.definitions.insert(version, Arc::new(definition.declaration));
        }
        Ok(())
    }

    async fn commit(
        &self,
        slot: &Slot,
        rows: &mut Option<Loaded>,
        decision: Decision,
        event: &Event,
        extra: &Extra,
        now: Timestamp,
    ) -> Result<(Applied, Vec<Task>), CommandError> {
        let Some(loaded) = rows.as_mut() else { return Err(CommandError::Contention) };
        let deleted = matches!(event, Event::PipelineDeleted);
        let definition_version = loaded.gate.value.definition_version;
        let reply = decision.reply.clone();
        let (gate, executions) = (decision.gate.clone(), decision.executions.clone());
        let Some(prepared) = self.prepare(loaded, decision, deleted, extra, now) else {
            return Ok((Applied { reply, definition_version, changed: false }, Vec::new()));
        };
        let Prepared { commit, tasks, changed } = prepared;
        let definition = commit.definition.clone();
        let done = commit.tasks_done.clone();
        let committed = self.store.commit(commit).await?;
        for id in &done {
            self.schedule.forget(id);
        }
        for execution in executions.iter().filter(|execution| execution.status.has_ended()) {
            slot.close_lane(&execution.id);
        }
        if deleted {
            let gate = &loaded.gate.value;
            self.slots.forget(&gate.scope, &gate.name, &gate.pipeline);
            slot.publish(None);
            let applied = Applied { reply, definition_version: gate.definition_version, changed };
            *rows = None;
            self.announce(&committed);
            return Ok((applied, tasks));
        }
        adopt(loaded, gate, executions, definition, &committed);
        publish(slot, loaded);
        self.announce(&committed);
        let definition_version = loaded.gate.value.definition_version;
        Ok((Applied { reply, definition_version, changed }, tasks))
    }

    /// The one transaction of a decision; None where it changes nothing.
    pub(crate) fn prepare(
        &self,
        loaded: &Loaded,
        decision: Decision,
        deleted: bool,
        extra: &Extra,
        now: Timestamp,
    ) -> Option<Prepared> {
        let gate = &loaded.gate.value;
        let (tasks, done) = self.tasks_of(&gate.pipeline, &decision.effects, now);
        let changed = deleted || decision.gate.is_some() || !decision.executions.is_empty() || !tasks.is_empty();
        // A moved task belongs to the change it came with; a stale answer must not bring a finished task back.
        if !changed && extra.tasks_done.is_empty() && extra.documents.is_empty() {
            return None;
        }
        let version = decision.gate.as_ref().unwrap_or(gate).definition_version;
        let expected = |id: &ExecutionId| loaded.executions.get(id).map(|row| row.version);
        let commit = Commit {
            delete_gate: deleted.then(|| (gate.pipeline.clone(), loaded.gate.version)),
            definition: decision.definition.map(|declaration| Definition {
                pipeline: gate.pipeline.clone(),
                version,
                created: now,
                declaration,
            }),
            gate: decision.gate.filter(|_| !deleted).map(|gate| (gate, Some(loaded.gate.version))),
            executions: decision
                .executions
                .into_iter()
                .map(|execution| {
                    let version = expected(&execution.id);
                    (execution, version)
                })
                .collect(),
            actions: decision.records,
            history: decision.history,
            tasks_put: tasks.clone(),
            tasks_moved: if changed { extra.tasks_moved.clone() } else { Vec::new() },
            tasks_done: done.iter().chain(&extra.tasks_done).cloned().collect(),
            request_token: match (&extra.request_token, &decision.reply) {
                (Some(token), Reply::Started(execution)) => Some(RequestToken {
                    pipeline: gate.pipeline.clone(),
                    token: token.clone(),
                    execution: execution.clone(),
                }),
                _ => None,
            },
            documents: extra.documents.clone(),
        };
        Some(Prepared { commit, tasks, changed })
    }

    /// A new pipeline: its gate, first definition and first execution in one commit.
    pub(crate) async fn insert(
        self: &Arc<Self>,
        gate: towpath_model::state::Gate,
        definition: Definition,
        event: &Event,
        documents: Vec<Write>,
    ) -> Result<Applied, CommandError> {
        let now = self.clock.now();
        let pipeline = gate.pipeline.clone();
        let slot = self.slots.get(&pipeline);
        let mut rows = slot.rows.lock().await;
        let types = self.types_for(&gate.scope, [&definition.declaration]).await?;
        let world = World {
            gate: gate.clone(),
            definitions: BTreeMap::from([(definition.version, Arc::new(definition.declaration.clone()))]),
            executions: BTreeMap::new(),
            action_types: &types,
        };
        let decision = {
            let mut ids: Ids<'_> = self.ids();
            towpath_engine::step(world, event, &mut Context { now, ids: &mut ids })?
        };
        let (tasks, _) = self.tasks_of(&pipeline, &decision.effects, now);
        let mut documents = documents;
        documents.extend(self.job_writes(&gate, &decision, None, &types, now).await?);
        let gate = decision.gate.unwrap_or(gate);
        let committed = self
            .store
            .commit(Commit {
                gate: Some((gate.clone(), None)),
                definition: Some(definition.clone()),
                executions: decision.executions.iter().map(|e| (e.clone(), None)).collect(),
                actions: decision.records,
                history: decision.history,
                tasks_put: tasks.clone(),
                documents,
                ..Commit::default()
            })
            .await
            .inspect_err(|_| self.slots.forget(&gate.scope, &gate.name, &pipeline))?;
        let mut loaded = Loaded {
            gate: Versioned { value: gate, version: committed.version },
            executions: std::collections::HashMap::new(),
            definitions: BTreeMap::new(),
        };
        let applied = Applied { reply: decision.reply, definition_version: definition.version, changed: true };
        adopt(&mut loaded, None, decision.executions, Some(definition), &committed);
        publish(&slot, &loaded);
        self.slots.remember_name(&loaded.gate.value.scope, &loaded.gate.value.name, &pipeline);
        *rows = Some(loaded);
        drop(rows);
        self.announce(&committed);
        self.launch(tasks);
        Ok(applied)
    }

    pub(crate) fn announce(&self, committed: &Committed) {
        self.committed.send_modify(|last| *last = (*last).max(committed.version));
    }

    /// The outbox rows that effects put and remove. What is put is this node's own.
    fn tasks_of(&self, pipeline: &PipelineId, effects: &[Effect], now: Timestamp) -> (Vec<Task>, Vec<TaskId>) {
        let (mut put, done) = tasks_of(pipeline, effects, now);
        // A job worker is told nothing: its job is withdrawn.
        put.retain(|task| task.kind != TaskKind::Stop || !self.has_jobs(&task.invocation.action_type));
        for task in &mut put {
            task.owner.clone_from(&self.node);
        }
        (put, done)
    }
}

/// The rows the decision needs, and no more: what else is kept in memory is not worth a copy.
fn world<'t>(loaded: &Loaded, needed: &[ExecutionId], types: &'t Types) -> World<'t> {
    let row = |id: &ExecutionId| Some((id.clone(), loaded.executions.get(id)?.value.clone()));
    World {
        gate: loaded.gate.value.clone(),
        definitions: loaded.definitions.clone(),
        executions: needed.iter().filter_map(row).collect(),
        action_types: types,
    }
}

/// A decision and what is written beside it.
pub(crate) struct Decided<'e> {
    pub decision: Decision,
    pub with: Cow<'e, Extra>,
    pub now: Timestamp,
}

/// A decision as it is about to be written.
pub(crate) struct Prepared {
    pub commit: Commit,
    /// What is to be launched after the commit.
    pub tasks: Vec<Task>,
    pub changed: bool,
}

/// Whether an event is about every execution of the pipeline, the PARALLEL ones included.
fn concerns_all(event: &Event) -> bool {
    matches!(event, Event::TransitionChanged { .. } | Event::DefinitionUpdated { .. } | Event::PipelineDeleted)
}

/// Takes the committed values into the cached rows.
fn adopt(
    loaded: &mut Loaded,
    gate: Option<towpath_model::state::Gate>,
    executions: Vec<towpath_model::state::Execution>,
    definition: Option<Definition>,
    committed: &Committed,
) {
    if let Some(gate) = gate {
        loaded.gate = Versioned { value: gate, version: committed.version };
    }
    for execution in executions {
        let id = execution.id.clone();
        loaded.executions.insert(id, Versioned { value: execution, version: committed.version });
    }
    if let Some(definition) = definition {
        loaded.definitions.insert(definition.version, Arc::new(definition.declaration));
    }
    loaded.prune();
}

fn publish(slot: &Slot, loaded: &Loaded) {
    let snapshot = loaded
        .definitions
        .get(&loaded.gate.value.definition_version)
        .map(|definition| Snapshot { gate: loaded.gate.clone(), definition: Arc::clone(definition) });
    slot.publish(snapshot);
}

/// The outbox rows that effects put and remove.
fn tasks_of(pipeline: &PipelineId, effects: &[Effect], now: Timestamp) -> (Vec<Task>, Vec<TaskId>) {
    let mut put = Vec::new();
    let mut done = Vec::new();
    for effect in effects {
        let task = |kind, id, due, invocation: &towpath_model::action::ActionInvocation, progress| Task {
            id,
            pipeline: pipeline.clone(),
            execution: invocation.execution_id.clone(),
            kind,
            due,
            invocation: invocation.clone(),
            progress,
            failures: 0,
            last_failure: None,
            owner: None,
            lease_until: None,
        };
        match effect {
            Effect::StartAction { invocation } => put.push(task(
                TaskKind::Start,
                task_id(&invocation.action_execution_id),
                now,
                invocation,
                towpath_model::action::Progress::default(),
            )),
            Effect::AwaitAction { invocation } | Effect::OfferJob { invocation } => put.push(task(
                TaskKind::Await,
                task_id(&invocation.action_execution_id),
                invocation.deadline,
                invocation,
                towpath_model::action::Progress::default(),
            )),
            Effect::StopAction { invocation, progress } => put.push(task(
                TaskKind::Stop,
                stop_task_id(&invocation.action_execution_id),
                now,
                invocation,
                progress.clone(),
            )),
            Effect::ForgetAction { action } => done.push(task_id(action)),
        }
    }
    // Begun and ended in one decision: there is nothing to begin.
    put.retain(|task| task.kind == TaskKind::Stop || !done.contains(&task.id));
    (put, done)
}
