//! What must hold after every step, whatever happened before it.

use std::collections::{BTreeMap, BTreeSet};

use towpath_engine::Decision;
use towpath_engine::legal::{Change, is_legal};
use towpath_model::declaration::{ConditionType, ExecutionMode};
use towpath_model::history::{EventState, HistoryEntry, HistoryEvent};
use towpath_model::ids::{ActionExecutionId, ExecutionId, StageName};
use towpath_model::secret::MASK;
use towpath_model::state::{
    ActionAttempt, ActionStatus, ConditionStatus, Execution, ExecutionStatus, Position, StageRun, StageStatus,
};

use crate::bench::Bench;

/// The executions a step touched, as they were before it; None where it made them.
pub type Changed = BTreeMap<ExecutionId, Option<Execution>>;

pub fn check(bench: &Bench, before: &Changed) {
    locks(bench);
    active(bench);
    everyone_is_accounted_for(bench);
    effects_match_attempts(bench);
    for id in before.keys() {
        records_match_attempts(bench, &bench.executions[id]);
    }
    final_stays_final(bench, before);
    history_matches(bench, before);
}

/// Who is held back is written together with the gate that holds it, so that nobody opens the gate unnoticed meanwhile.
pub fn holds_carry_the_gate(decision: &Decision, before: &Changed) {
    let held = |execution: &Execution| matches!(execution.position, Position::Before(_) | Position::After(_));
    for execution in &decision.executions {
        let was_held = before[&execution.id].as_ref().is_some_and(|old| old.position == execution.position);
        let ended = execution.status.has_ended();
        assert!(!held(execution) || was_held || ended || decision.gate.is_some(), "{} is held", execution.id);
    }
}

fn stage_of(bench: &Bench, execution: &Execution, index: usize) -> String {
    bench.definitions[&execution.pipeline_version].stages[index].name.to_string()
}

/// One execution per locked stage: the lock's holder is in that stage and has not ended; nobody else is in it.
fn locks(bench: &Bench) {
    for gate in &bench.gate.stages {
        if let Some(holder) = &gate.lock {
            let execution = &bench.executions[holder];
            let (Position::In(index) | Position::After(index)) = execution.position else {
                panic!("{} is held by {holder}, which is at {:?}", gate.name, execution.position);
            };
            assert_eq!(stage_of(bench, execution, index), gate.name.as_str());
            assert!(!execution.status.has_ended(), "{} is held by an ended execution", gate.name);
            assert_ne!(execution.mode, ExecutionMode::Parallel);
        }
    }
    for execution in bench.executions.values() {
        let (Position::In(index) | Position::After(index)) = execution.position else { continue };
        if execution.status.has_ended() || execution.mode == ExecutionMode::Parallel {
            continue;
        }
        if let Some(gate) = bench.gate.stage(&stage_of(bench, execution, index)) {
            assert_eq!(
                gate.lock.as_ref(),
                Some(&execution.id),
                "{} is in {} without its lock",
                execution.id,
                gate.name
            );
        }
    }
}

/// The gate counts exactly the executions that have not ended, oldest first.
fn active(bench: &Bench) {
    let mut running: Vec<&Execution> = bench.executions.values().filter(|e| !e.status.has_ended()).collect();
    running.sort_by_key(|execution| execution.sequence);
    let of = |parallel: bool| -> Vec<ExecutionId> {
        let wanted = running.iter().filter(|e| (e.mode == ExecutionMode::Parallel) == parallel);
        wanted.map(|execution| execution.id.clone()).collect()
    };
    assert_eq!(bench.gate.active, of(false));
    let counted: BTreeSet<_> = bench.gate.parallel.iter().cloned().collect();
    assert_eq!(counted, of(true).into_iter().collect());
    assert_eq!(counted.len(), bench.gate.parallel.len());
}

/// Whoever has not ended has an action in flight, or waits at something that can be named.
fn everyone_is_accounted_for(bench: &Bench) {
    for gate in &bench.gate.stages {
        let mut live = 0;
        for id in &gate.waiting {
            let execution = &bench.executions[id];
            let Position::Before(index) = execution.position else {
                panic!("{id} waits at {} but is at {:?}", gate.name, execution.position);
            };
            assert_eq!(stage_of(bench, execution, index), gate.name.as_str());
            assert!(
                matches!(execution.status, ExecutionStatus::InProgress | ExecutionStatus::Stopped),
                "{id} waits at {} with status {:?}",
                gate.name,
                execution.status
            );
            if execution.status == ExecutionStatus::InProgress {
                live += usize::from(execution.mode == ExecutionMode::Superseded);
                assert!(
                    !gate.inbound.enabled || (gate.lock.is_some() && execution.mode != ExecutionMode::Parallel),
                    "{id} waits at {}, but the door is open and the stage free",
                    gate.name
                );
            }
            assert!(live <= 1, "more than one waits at {}", gate.name);
        }
    }
    for execution in bench.executions.values().filter(|e| !e.status.has_ended()) {
        let in_flight = attempts(execution).any(|attempt| attempt.status == ActionStatus::InProgress);
        match execution.position {
            Position::In(_) => assert!(in_flight, "{} is in a stage where nothing runs", execution.id),
            Position::Before(index) => {
                let stage = stage_of(bench, execution, index);
                let waits = bench.gate.stage(&stage).is_some_and(|gate| gate.waiting.contains(&execution.id));
                assert!(waits && !in_flight, "{} is in front of {stage} but in no line", execution.id);
            }
            Position::After(index) => {
                let stage = stage_of(bench, execution, index);
                let held = bench.gate.stage(&stage).is_some_and(|gate| !gate.outbound.enabled);
                assert!(held && !in_flight, "{} stays in {stage} though nothing holds it", execution.id);
            }
            Position::Done => panic!("{} passed its last stage and has not ended", execution.id),
        }
    }
}

/// What is started or awaited outside is exactly what is in progress.
fn effects_match_attempts(bench: &Bench) {
    let ever = bench.executions.values().flat_map(attempts);
    let running: BTreeSet<_> =
        ever.filter(|attempt| attempt.status == ActionStatus::InProgress).map(|attempt| &attempt.id).collect();
    let open: BTreeSet<_> = bench.open.keys().collect();
    assert_eq!(open, running);
}

fn attempts(execution: &Execution) -> impl Iterator<Item = &ActionAttempt> {
    execution.stages.iter().flat_map(StageRun::work).map(|(_, attempt)| attempt)
}

/// ListActionExecutions and the state agree, and no secret is in the list. A status and its last event agree too.
fn records_match_attempts(bench: &Bench, execution: &Execution) {
    for attempt in attempts(execution) {
        let record = bench.records.get(&attempt.id).unwrap_or_else(|| panic!("{} has no record", attempt.id));
        assert_eq!(record.execution, execution.id);
        let mut shown = record.attempt.clone();
        if attempt.status != ActionStatus::InProgress {
            // What an ended attempt was given is in its record alone.
            assert_eq!(attempt.invocation, None);
            shown.invocation = None;
        }
        if let (Some(shown), Some(kept)) = (&mut shown.invocation, &attempt.invocation) {
            assert_eq!(shown.configuration, record.resolved_configuration);
            shown.configuration.clone_from(&kept.configuration);
        }
        assert_eq!(shown, *attempt);
        assert!(attempt.token.is_none() || attempt.status == ActionStatus::InProgress, "a closed approval has a token");
        for values in [&record.configuration, &record.resolved_configuration] {
            if let Some(secret) = values.get("Password") {
                assert_eq!(secret, MASK);
            }
        }
    }
}

/// Superseded, cancelled and succeeded never change again; a stopping execution only stops.
fn final_stays_final(bench: &Bench, before: &Changed) {
    for (id, old) in before {
        let Some(old) = old else { continue };
        let new = &bench.executions[id];
        match old.status {
            ExecutionStatus::Succeeded | ExecutionStatus::Superseded | ExecutionStatus::Cancelled => {
                assert_eq!(old, new, "a final execution changed");
            }
            ExecutionStatus::Stopping => {
                assert!(matches!(new.status, ExecutionStatus::Stopping | ExecutionStatus::Stopped));
            }
            ExecutionStatus::Failed | ExecutionStatus::Stopped => {
                if new.status != old.status {
                    let overridden = |execution: &Execution| {
                        let conditions = execution.stages.iter().flat_map(|stage| &stage.conditions);
                        conditions.filter(|c| c.status == ConditionStatus::Overridden).count()
                    };
                    let retried = new.attempt > old.attempt;
                    assert!(retried || overridden(new) > overridden(old), "only a retry or an override resumes");
                }
            }
            ExecutionStatus::InProgress => {}
        }
    }
}

fn execution_status(state: EventState) -> ExecutionStatus {
    match state {
        EventState::Started | EventState::Resumed => ExecutionStatus::InProgress,
        EventState::Stopping => ExecutionStatus::Stopping,
        EventState::Stopped => ExecutionStatus::Stopped,
        EventState::Succeeded => ExecutionStatus::Succeeded,
        EventState::Failed => ExecutionStatus::Failed,
        EventState::Superseded => ExecutionStatus::Superseded,
        EventState::Canceled => ExecutionStatus::Cancelled,
        EventState::Abandoned | EventState::Skipped => panic!("no execution is {state:?}"),
    }
}

fn stage_status(state: EventState) -> StageStatus {
    match state {
        EventState::Started | EventState::Resumed => StageStatus::InProgress,
        EventState::Stopping => StageStatus::Stopping,
        EventState::Stopped => StageStatus::Stopped,
        EventState::Succeeded => StageStatus::Succeeded,
        EventState::Failed => StageStatus::Failed,
        EventState::Canceled => StageStatus::Cancelled,
        EventState::Skipped => StageStatus::Skipped,
        EventState::Superseded | EventState::Abandoned => panic!("no stage is {state:?}"),
    }
}

fn action_status(state: EventState) -> ActionStatus {
    match state {
        EventState::Started => ActionStatus::InProgress,
        EventState::Succeeded => ActionStatus::Succeeded,
        // AWS has no status for a cancelled approval; the state shows Failed.
        EventState::Failed | EventState::Canceled => ActionStatus::Failed,
        EventState::Abandoned => ActionStatus::Abandoned,
        EventState::Resumed
        | EventState::Stopping
        | EventState::Stopped
        | EventState::Superseded
        | EventState::Skipped => panic!("no action is {state:?}"),
    }
}

/// The statuses that history has told so far.
#[derive(Default)]
pub struct Told {
    executions: BTreeMap<ExecutionId, ExecutionStatus>,
    stages: BTreeMap<(ExecutionId, StageName), StageStatus>,
    actions: BTreeMap<ActionExecutionId, ActionStatus>,
    conditions: BTreeMap<(ExecutionId, StageName, ConditionType), ConditionStatus>,
}

impl Told {
    /// Every pair of statuses that history tells is legal.
    pub fn listen(&mut self, entry: &HistoryEntry) {
        let id = &entry.execution;
        match &entry.event {
            HistoryEvent::Execution { state, .. } => {
                let to = execution_status(*state);
                match self.executions.insert(id.clone(), to) {
                    None => assert_eq!(*state, EventState::Started),
                    // A retry beside running actions is announced without a change.
                    Some(ExecutionStatus::InProgress) if *state == EventState::Resumed => {}
                    Some(from) => assert!(is_legal(Change::Execution(from, to)), "{id}: {from:?} -> {to:?}"),
                }
            }
            HistoryEvent::Stage { stage, state } => {
                let to = stage_status(*state);
                match self.stages.insert((id.clone(), stage.clone()), to) {
                    None => assert_eq!(*state, EventState::Started),
                    Some(StageStatus::InProgress) if *state == EventState::Resumed => {}
                    Some(from) => assert!(is_legal(Change::Stage(from, to)), "{id} {stage}: {from:?} -> {to:?}"),
                }
            }
            HistoryEvent::Action { action_execution, state, .. }
            | HistoryEvent::Rule { rule_execution: action_execution, state, .. } => {
                let to = action_status(*state);
                match self.actions.insert(action_execution.clone(), to) {
                    None => assert_eq!(*state, EventState::Started),
                    Some(from) => assert!(is_legal(Change::Action(from, to)), "{from:?} -> {to:?}"),
                }
            }
            HistoryEvent::Condition { stage, gate, status, .. } => {
                match self.conditions.insert((id.clone(), stage.clone(), *gate), *status) {
                    Some(from) if *status != ConditionStatus::InProgress => {
                        assert!(is_legal(Change::Condition(from, *status)), "{id} {stage}: {from:?} -> {status:?}");
                    }
                    // Asked for the first time, or again by a retry.
                    _ => assert_eq!(*status, ConditionStatus::InProgress),
                }
            }
            HistoryEvent::Waiting { .. } => {}
        }
    }
}

/// The last status that was told is the one that is stored.
fn history_matches(bench: &Bench, changed: &Changed) {
    for id in changed.keys() {
        let execution = &bench.executions[id];
        assert_eq!(bench.told.executions[id], execution.status);
        for run in &execution.stages {
            assert_eq!(bench.told.stages[&(id.clone(), run.name.clone())], run.status);
        }
        for attempt in attempts(execution) {
            assert_eq!(bench.told.actions[&attempt.id], attempt.status);
        }
    }
}
