//! The door of the engine: what a decision is made over, what it consists of, and which event goes to which verb.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use towpath_model::catalogue::ActionTypes;
use towpath_model::declaration::{ConditionType, PipelineDeclaration, StageDeclaration};
use towpath_model::effect::Effect;
use towpath_model::event::{Event, Rejection};
use towpath_model::history::{ActionRecord, HistoryEntry};
use towpath_model::ids::{ExecutionId, IdSource};
use towpath_model::state::{Execution, Gate};
use towpath_model::time::Timestamp;

use crate::turn::Turn;
use crate::{action, execution, stage};

/// The rows one decision is made over.
pub struct World<'a> {
    pub gate: Gate,
    /// The current version and those that the loaded executions run.
    pub definitions: BTreeMap<u32, Arc<PipelineDeclaration>>,
    /// Those that `executions_needed` asked for and that exist.
    pub executions: BTreeMap<ExecutionId, Execution>,
    pub action_types: &'a dyn ActionTypes,
}

/// What a decision takes from outside.
pub struct Context<'a> {
    pub now: Timestamp,
    pub ids: &'a mut dyn IdSource,
}

/// Everything that changes, to be written in one transaction. Rows that stay as they were are not in it, but for a gate
/// that the decision is right about only as long as nobody else changes it.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub gate: Option<Gate>,
    /// New and changed executions.
    pub executions: Vec<Execution>,
    /// One per action execution that was touched, as it is after the decision.
    pub records: Vec<ActionRecord>,
    /// In the order in which it happened.
    pub history: Vec<HistoryEntry>,
    /// In the order in which they are to be carried out.
    pub effects: Vec<Effect>,
    /// The new version to store, normalised; only of `DefinitionUpdated`.
    pub definition: Option<PipelineDeclaration>,
    pub reply: Reply,
}

/// What the caller of the command is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Nothing,
    Started(ExecutionId),
    ApprovedAt(Timestamp),
    StopAccepted(ExecutionId),
    Retried(ExecutionId),
    RolledBack(ExecutionId),
}

/// Decides one event. The same world, event and context give the same decision.
pub fn step(world: World, event: &Event, cx: &mut Context) -> Result<Decision, Rejection> {
    let mut turn = Turn::new(world, cx);
    let reply = match event {
        Event::ExecutionRequested { trigger, variables, source_overrides } => {
            execution::start::start(&mut turn, trigger, variables, source_overrides)?
        }
        Event::RevisionReported { stage, action, revision, reported_by } => {
            execution::revision::report(&mut turn, stage, action, revision, reported_by)?
        }
        Event::ActionProgressed { execution, action, progress } => {
            action::progressed::progressed(&mut turn, execution, action, progress)?
        }
        Event::ActionFinished { execution, action, outcome } => {
            action::finished::finished(&mut turn, execution, action, outcome)?
        }
        Event::ActionTimedOut { execution, action, unavailable } => {
            action::timed_out::timed_out(&mut turn, execution, action, unavailable.as_deref())?
        }
        Event::ApprovalAnswered { stage, action, token, approved, summary, answered_by } => {
            let answer = action::approval::Answer { stage, action, token, approved: *approved, summary, answered_by };
            action::approval::answer(&mut turn, &answer)?
        }
        Event::StopRequested { execution, abandon, reason, requested_by } => {
            execution::stop::stop(&mut turn, execution, *abandon, reason.as_deref(), requested_by)?
        }
        Event::StageRetryRequested { execution, stage, mode } => {
            execution::retry::retry(&mut turn, execution, stage, *mode)?
        }
        Event::RollbackRequested { stage, target, requested_by } => {
            execution::rollback::request(&mut turn, stage, target, requested_by)?
        }
        Event::ConditionOverridden { execution, stage, gate, overridden_by } => {
            execution::override_condition::override_condition(&mut turn, execution, stage, *gate, overridden_by)?
        }
        Event::TransitionChanged { stage, transition, enabled, reason, changed_by } => {
            stage::transition::change(&mut turn, stage, transition, *enabled, reason.as_deref(), changed_by)?
        }
        Event::DefinitionUpdated { declaration } => execution::update::update(&mut turn, declaration)?,
        Event::PipelineDeleted => execution::delete::delete(&mut turn)?,
    };
    turn.into_decision(reply)
}

/// The executions whose rows the decision about this event needs. Some may not exist: a caller may name anything.
/// `current` is the current version of the pipeline.
pub fn executions_needed(gate: &Gate, current: &PipelineDeclaration, event: &Event) -> Vec<ExecutionId> {
    let mut needed = BTreeSet::new();
    match event {
        // Nothing moves but the progress of one action.
        Event::ActionProgressed { execution, .. } => {
            needed.insert(execution.clone());
        }
        // The ended action may let whoever waits in front of a stage enter it.
        Event::ActionFinished { execution, .. } | Event::ActionTimedOut { execution, .. } => {
            needed.insert(execution.clone());
            if !gate.parallel.contains(execution) {
                needed.extend(waiting(gate));
            }
        }
        Event::ExecutionRequested { .. } | Event::RevisionReported { .. } => needed.extend(waiting(gate)),
        Event::RollbackRequested { target, .. } => {
            needed.insert(target.clone());
            needed.extend(waiting(gate));
        }
        Event::ApprovalAnswered { stage, .. } => {
            needed.extend(waiting(gate));
            needed.extend(gate.stage(stage).into_iter().flat_map(|s| s.lock.iter().chain(&s.latest).cloned()));
            needed.extend(gate.active.iter().chain(&gate.parallel).cloned());
        }
        Event::StopRequested { execution, .. }
        | Event::StageRetryRequested { execution, .. }
        | Event::ConditionOverridden { execution, .. } => {
            needed.insert(execution.clone());
            needed.extend(waiting(gate));
            needed.extend(gate.active.iter().cloned());
        }
        Event::TransitionChanged { .. } | Event::DefinitionUpdated { .. } | Event::PipelineDeleted => {
            needed.extend(waiting(gate));
            needed.extend(gate.active.iter().chain(&gate.parallel).cloned());
        }
    }
    if !matches!(event, Event::ActionProgressed { .. }) {
        needed.extend(rollback_targets(gate, current));
    }
    needed.into_iter().collect()
}

/// Whoever fails in a stage that declares ROLLBACK goes back to these.
fn rollback_targets<'a>(gate: &'a Gate, current: &'a PipelineDeclaration) -> impl Iterator<Item = ExecutionId> + 'a {
    let rolling_back = current.stages.iter().filter(|stage| rolls_back(stage));
    rolling_back.filter_map(|stage| gate.stage(&stage.name)?.last_success.clone())
}

fn rolls_back(stage: &StageDeclaration) -> bool {
    let on_failure = stage.on_failure.as_ref().and_then(|failure| failure.result.as_deref());
    let of = |gate| stage.condition(gate).and_then(|condition| condition.result.as_deref());
    [on_failure, of(ConditionType::OnSuccess), of(ConditionType::OnFailure)].contains(&Some("ROLLBACK"))
}

fn waiting(gate: &Gate) -> impl Iterator<Item = ExecutionId> + '_ {
    gate.stages.iter().flat_map(|stage| stage.waiting.iter().cloned())
}
