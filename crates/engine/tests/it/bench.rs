//! The world around the engine: keeps rows like a store, loads only what `executions_needed` asks for, carries out
//! effects by remembering them, and tells what happened in words. Checks every invariant after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use towpath_engine::{Context, Decision, Reply, World, create, executions_needed, normalise, step};
use towpath_model::action::{ActionInvocation, ErrorDetails, Outcome, Progress, Revision, SourceRevisionOverride};
use towpath_model::declaration::{ConditionType, PipelineDeclaration, RetryMode};
use towpath_model::effect::Effect;
use towpath_model::event::{Event, Rejection, TransitionType};
use towpath_model::history::{ActionRecord, HistoryEntry, HistoryEvent};
use towpath_model::ids::{ActionExecutionId, ExecutionId, IdSource, PipelineId, Scope};
use towpath_model::state::{ActionAttempt, Execution, ExecutionStatus, Gate, StageStatus, Trigger};
use towpath_model::time::Timestamp;

use crate::declare::Pipeline;
use crate::invariants::{self, Told};
use crate::types::{Types, types};

/// Ids that count, so that a failing test reads the same twice.
#[derive(Clone, Default)]
pub struct Counting(u128);

impl IdSource for Counting {
    fn bits(&mut self) -> u128 {
        self.0 += 1;
        // Spread over all bits, so that the alphanumeric ids differ too.
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }
}

/// What is asked of the world and not yet over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Open {
    Start(ActionInvocation),
    Await(ActionInvocation),
}

pub struct Bench {
    types: Types,
    pub ids: Counting,
    pub now: Timestamp,
    pub gate: Gate,
    pub definitions: BTreeMap<u32, Arc<PipelineDeclaration>>,
    pub executions: BTreeMap<ExecutionId, Execution>,
    pub records: BTreeMap<ActionExecutionId, ActionRecord>,
    pub history: Vec<HistoryEntry>,
    pub open: BTreeMap<ActionExecutionId, Open>,
    /// Told to stop, in order.
    pub stopped: Vec<ActionExecutionId>,
    pub told: Told,
    heard: usize,
    names: BTreeMap<ExecutionId, String>,
}

pub const BY: &str = "arn:aws:iam::123456789012:user/ada";

#[expect(clippy::needless_pass_by_value, reason = "a test hands over the pipeline it has just built")]
pub fn bench(pipeline: Pipeline) -> Bench {
    let types = types();
    let now = Timestamp(1_900_000_000_000);
    let scope = Scope::new("123456789012", "eu-west-1");
    let gate = create(&pipeline.0, scope, PipelineId::new("pipeline-1"), now);
    let definition = normalise(&pipeline.0, &types, 1);
    Bench {
        types,
        ids: Counting::default(),
        now,
        gate,
        definitions: BTreeMap::from([(1, Arc::new(definition))]),
        executions: BTreeMap::new(),
        records: BTreeMap::new(),
        history: Vec::new(),
        open: BTreeMap::new(),
        stopped: Vec::new(),
        told: Told::default(),
        heard: 0,
        names: BTreeMap::new(),
    }
}

impl Bench {
    /// One event, decided and stored; a refusal must leave everything as it was.
    pub fn apply(&mut self, event: &Event) -> Result<Reply, Rejection> {
        let needed = executions_needed(&self.gate, &self.definitions[&self.gate.definition_version], event);
        let world = World {
            gate: self.gate.clone(),
            definitions: self.definitions.clone(),
            executions: needed
                .into_iter()
                .filter_map(|id| self.executions.get(&id).map(|execution| (id, execution.clone())))
                .collect(),
            action_types: &self.types,
        };
        let decision = step(world, event, &mut Context { now: self.now, ids: &mut self.ids });
        if let Err(Rejection::Internal(fault)) = &decision {
            panic!("{event:?}: {fault}");
        }
        let decision = decision?;
        let reply = decision.reply.clone();
        // The others are not in the decision, so they cannot have changed.
        let changed: Vec<_> = decision.executions.iter().map(|execution| execution.id.clone()).collect();
        let before = changed.iter().map(|id| (id.clone(), self.executions.get(id).cloned())).collect();
        invariants::holds_carry_the_gate(&decision, &before);
        self.store(decision);
        invariants::check(self, &before);
        Ok(reply)
    }

    fn store(&mut self, decision: Decision) {
        if let Some(gate) = decision.gate {
            self.gate = gate;
        }
        if let Some(definition) = decision.definition {
            self.definitions.insert(definition.version.unwrap(), Arc::new(definition));
        }
        for execution in decision.executions {
            let next = format!("e{}", self.names.len() + 1);
            self.names.entry(execution.id.clone()).or_insert(next);
            self.executions.insert(execution.id.clone(), execution);
        }
        for record in decision.records {
            self.records.insert(record.attempt.id.clone(), record);
        }
        for entry in decision.history {
            self.told.listen(&entry);
            self.history.push(entry);
        }
        for effect in decision.effects {
            match effect {
                Effect::StartAction { invocation } => {
                    let id = invocation.action_execution_id.clone();
                    assert!(self.open.insert(id, Open::Start(*invocation)).is_none(), "started twice");
                }
                Effect::AwaitAction { invocation } | Effect::OfferJob { invocation } => {
                    let id = invocation.action_execution_id.clone();
                    assert!(self.open.insert(id, Open::Await(*invocation)).is_none(), "awaited twice");
                }
                Effect::StopAction { invocation, .. } => self.stopped.push(invocation.action_execution_id),
                Effect::ForgetAction { action } => {
                    self.open.remove(&action);
                }
            }
        }
    }

    // --- commands ---

    pub fn start(&mut self) -> ExecutionId {
        self.start_with(&[], &[]).unwrap()
    }

    pub fn start_with(
        &mut self,
        variables: &[(&str, &str)],
        overrides: &[(&str, &str, &str)],
    ) -> Result<ExecutionId, Rejection> {
        let event = Event::ExecutionRequested {
            trigger: Trigger { kind: "StartPipelineExecution".to_owned(), detail: BY.to_owned() },
            variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            source_overrides: overrides
                .iter()
                .map(|(action, kind, value)| SourceRevisionOverride {
                    action_name: (*action).into(),
                    revision_type: (*kind).to_owned(),
                    revision_value: (*value).to_owned(),
                })
                .collect(),
        };
        match self.apply(&event)? {
            Reply::Started(id) => Ok(id),
            other => panic!("start replied {other:?}"),
        }
    }

    pub fn roll_back(&mut self, stage: &str, target: &ExecutionId) -> Result<ExecutionId, Rejection> {
        let event =
            Event::RollbackRequested { stage: stage.into(), target: target.clone(), requested_by: BY.to_owned() };
        match self.apply(&event)? {
            Reply::RolledBack(id) => Ok(id),
            other => panic!("rollback replied {other:?}"),
        }
    }

    pub fn override_condition(
        &mut self,
        execution: &ExecutionId,
        stage: &str,
        gate: ConditionType,
    ) -> Result<Reply, Rejection> {
        self.apply(&Event::ConditionOverridden {
            execution: execution.clone(),
            stage: stage.into(),
            gate,
            overridden_by: BY.to_owned(),
        })
    }

    /// A rule answers: it succeeds, or fails with a code.
    pub fn rule(&mut self, execution: &ExecutionId, rule: &str, outcome: Result<(), &str>) {
        let runs = self.executions[execution].stages.iter().flat_map(|stage| &stage.conditions).flat_map(|c| &c.rules);
        let mut open = runs.filter(|run| run.name == *rule && run.attempt.status.as_str() == "InProgress");
        let action = open.next().unwrap_or_else(|| panic!("{rule} does not run")).attempt.id.clone();
        let outcome = match outcome {
            Ok(()) => Outcome::succeeded(),
            Err(code) => Outcome::failed(code, "not so"),
        };
        self.apply(&Event::ActionFinished { execution: execution.clone(), action, outcome }).unwrap();
    }

    pub fn condition(&self, execution: &ExecutionId, stage: &str, gate: ConditionType) -> &'static str {
        let run = self.executions[execution].stage_run(stage).expect("the stage was entered");
        run.condition(gate).expect("the condition was asked").status.as_str()
    }

    /// The execution that was started last.
    pub fn newest(&self) -> &Execution {
        self.executions.values().max_by_key(|execution| execution.sequence).expect("an execution")
    }

    /// The open attempt of an action, by its name.
    pub fn running(&self, execution: &ExecutionId, action: &str) -> ActionExecutionId {
        let attempt = self.attempt(execution, action);
        assert_eq!(attempt.status.as_str(), "InProgress", "{action} does not run");
        attempt.id.clone()
    }

    pub fn attempt(&self, execution: &ExecutionId, action: &str) -> &ActionAttempt {
        let runs = self.executions[execution].stages.iter().flat_map(|stage| &stage.actions);
        let mut latest = runs.filter(|run| run.name == *action).filter_map(|run| run.latest.as_ref());
        latest.next().unwrap_or_else(|| panic!("{action} never started"))
    }

    /// What the provider was given.
    pub fn invocation(&self, execution: &ExecutionId, action: &str) -> &ActionInvocation {
        match &self.open[&self.running(execution, action)] {
            Open::Start(invocation) | Open::Await(invocation) => invocation,
        }
    }

    pub fn finish_with(&mut self, execution: &ExecutionId, action: &str, outcome: Outcome) {
        let action = self.running(execution, action);
        self.apply(&Event::ActionFinished { execution: execution.clone(), action, outcome }).unwrap();
    }

    /// The action succeeds.
    pub fn done(&mut self, execution: &ExecutionId, action: &str) {
        self.finish_with(execution, action, Outcome::succeeded());
    }

    /// The action succeeds and tells variables.
    pub fn done_telling(&mut self, execution: &ExecutionId, action: &str, variables: &[(&str, &str)]) {
        let variables = variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let outcome = Outcome::Succeeded { progress: Progress::default(), variables, revisions: Vec::new() };
        self.finish_with(execution, action, outcome);
    }

    /// A source action succeeds with a revision of its artifact.
    pub fn done_at(&mut self, execution: &ExecutionId, action: &str, artifact: &str, revision: &str) {
        let revisions = vec![Revision {
            artifact: artifact.into(),
            action: action.into(),
            id: revision.to_owned(),
            change_id: None,
            summary: None,
            url: None,
            created: None,
        }];
        let outcome = Outcome::Succeeded { progress: Progress::default(), variables: BTreeMap::new(), revisions };
        self.finish_with(execution, action, outcome);
    }

    pub fn fail(&mut self, execution: &ExecutionId, action: &str) {
        self.finish_with(execution, action, Outcome::failed("JobFailed", "it broke"));
    }

    pub fn progress(&mut self, execution: &ExecutionId, action: &str, progress: Progress) {
        let action = self.running(execution, action);
        self.apply(&Event::ActionProgressed { execution: execution.clone(), action, progress }).unwrap();
    }

    pub fn time_out(&mut self, execution: &ExecutionId, action: &str) {
        let action = self.running(execution, action);
        self.apply(&Event::ActionTimedOut { execution: execution.clone(), action, unavailable: None }).unwrap();
    }

    pub fn answer(
        &mut self,
        stage: &str,
        action: &str,
        token: &str,
        approved: bool,
        summary: &str,
    ) -> Result<Reply, Rejection> {
        self.apply(&Event::ApprovalAnswered {
            stage: stage.into(),
            action: action.into(),
            token: token.to_owned(),
            approved,
            summary: summary.to_owned(),
            answered_by: BY.to_owned(),
        })
    }

    pub fn token(&self, execution: &ExecutionId, action: &str) -> String {
        self.attempt(execution, action).token.clone().expect("an open approval has a token")
    }

    pub fn stop(&mut self, execution: &ExecutionId, abandon: bool, reason: Option<&str>) -> Result<Reply, Rejection> {
        self.apply(&Event::StopRequested {
            execution: execution.clone(),
            abandon,
            reason: reason.map(str::to_owned),
            requested_by: BY.to_owned(),
        })
    }

    pub fn retry(&mut self, execution: &ExecutionId, stage: &str, mode: RetryMode) -> Result<Reply, Rejection> {
        self.apply(&Event::StageRetryRequested { execution: execution.clone(), stage: stage.into(), mode })
    }

    pub fn transition(&mut self, stage: &str, transition: TransitionType, enabled: bool) -> Result<Reply, Rejection> {
        self.apply(&Event::TransitionChanged {
            stage: stage.into(),
            transition,
            enabled,
            reason: (!enabled).then(|| "closed".to_owned()),
            changed_by: BY.to_owned(),
        })
    }

    pub fn close(&mut self, stage: &str) {
        self.transition(stage, TransitionType::Inbound, false).unwrap();
    }

    pub fn reopen(&mut self, stage: &str) {
        self.transition(stage, TransitionType::Inbound, true).unwrap();
    }

    pub fn update(&mut self, pipeline: Pipeline) {
        self.apply(&Event::DefinitionUpdated { declaration: Box::new(pipeline.0) }).unwrap();
    }

    // --- what is to be seen ---

    pub fn status(&self, execution: &ExecutionId) -> ExecutionStatus {
        self.executions[execution].status
    }

    pub fn stage_status(&self, execution: &ExecutionId, stage: &str) -> StageStatus {
        self.executions[execution].stage_run(stage).expect("the stage was entered").status
    }

    pub fn error(&self, execution: &ExecutionId, action: &str) -> &ErrorDetails {
        self.attempt(execution, action).error.as_ref().expect("the action shows an error")
    }

    pub fn lock(&self, stage: &str) -> Option<String> {
        self.gate.stage(stage).unwrap().lock.as_ref().map(|id| self.names[id].clone())
    }

    pub fn waiting(&self, stage: &str) -> Vec<String> {
        self.gate.stage(stage).unwrap().waiting.iter().map(|id| self.names[id].clone()).collect()
    }

    /// The names of the actions that run now.
    pub fn in_flight(&self, execution: &ExecutionId) -> BTreeSet<String> {
        let runs = self.executions[execution].stages.iter().flat_map(|stage| &stage.actions);
        let running = runs.filter(|run| run.latest.as_ref().is_some_and(|a| a.status.as_str() == "InProgress"));
        running.map(|run| run.name.to_string()).collect()
    }

    /// What happened since this was last asked, one line each: `e1 Source/S STARTED`.
    pub fn happened(&mut self) -> Vec<String> {
        let lines = self.history[self.heard..].iter().map(|entry| self.line(entry)).collect();
        self.heard = self.history.len();
        lines
    }

    fn line(&self, entry: &HistoryEntry) -> String {
        let who = &self.names[&entry.execution];
        match &entry.event {
            HistoryEvent::Execution { state, summary: Some(summary) } => {
                format!("{who} {} ({summary})", state.as_str())
            }
            HistoryEvent::Execution { state, summary: None } => format!("{who} {}", state.as_str()),
            HistoryEvent::Stage { stage, state } => format!("{who} {stage} {}", state.as_str()),
            HistoryEvent::Action { stage, action, state, .. } => format!("{who} {stage}/{action} {}", state.as_str()),
            HistoryEvent::Waiting { stage } => format!("{who} waits at {stage}"),
            HistoryEvent::Condition { stage, gate, status, .. } => {
                format!("{who} {stage}.{} {}", gate.as_str(), status.as_str())
            }
            HistoryEvent::Rule { stage, gate, rule, state, .. } => {
                format!("{who} {stage}.{}/{rule} {}", gate.as_str(), state.as_str())
            }
        }
    }

    /// Forgets what happened so far.
    pub fn hush(&mut self) {
        self.heard = self.history.len();
    }
}
