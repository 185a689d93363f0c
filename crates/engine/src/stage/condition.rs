//! The condition at a gate of a stage: its rules start together, and the first that is not met decides (executions.md
//! section 10). What the answer means for the stage is `progress`'s business.

use towpath_model::action::error_code;
use towpath_model::declaration::ConditionType;
use towpath_model::history::{EventState, HistoryEvent};
use towpath_model::ids::{ActionExecutionId, ActionName, ExecutionId, StageName};
use towpath_model::state::{ActionStatus, ConditionRun, ConditionStatus, Work};

use crate::action::{start, timed_out};
use crate::turn::{Result, Turn, find_stage, internal};

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is no condition at the gate.
    None,
    /// Its rules still run.
    Pending,
    Met,
    NotMet,
}

/// Starts the condition of a gate if there is one and it was not started yet, takes note of what its rules answered,
/// and says what it amounts to.
pub(crate) fn evaluate(turn: &mut Turn, id: &ExecutionId, stage: &StageName, gate: ConditionType) -> Result<Verdict> {
    if turn.stage_run(id, stage)?.condition(gate).is_none() && !begin(turn, id, stage, gate)? {
        return Ok(Verdict::None);
    }
    if run_of(turn, id, stage, gate)?.status == ConditionStatus::InProgress {
        settle(turn, id, stage, gate)?;
    }
    Ok(match run_of(turn, id, stage, gate)?.status {
        ConditionStatus::InProgress => Verdict::Pending,
        ConditionStatus::Succeeded | ConditionStatus::Overridden => Verdict::Met,
        ConditionStatus::Failed
        | ConditionStatus::Errored
        | ConditionStatus::Cancelled
        | ConditionStatus::Abandoned => Verdict::NotMet,
    })
}

fn run_of<'t>(turn: &'t Turn, id: &ExecutionId, stage: &StageName, gate: ConditionType) -> Result<&'t ConditionRun> {
    let run = turn.stage_run(id, stage)?.condition(gate);
    run.ok_or_else(|| internal(format!("{id} evaluates no {} of {stage}", gate.as_str())))
}

fn begin(turn: &mut Turn, id: &ExecutionId, stage: &StageName, gate: ConditionType) -> Result<bool> {
    let definition = turn.definition_of(id)?;
    let Some(condition) = find_stage(&definition, stage)?.condition(gate) else { return Ok(false) };
    let rules: Vec<ActionName> = condition.rules.iter().flatten().map(|rule| ActionName::new(&rule.name)).collect();
    if rules.is_empty() {
        return Ok(false);
    }
    let now = turn.now;
    turn.stage_run_mut(id, stage)?.conditions.push(ConditionRun {
        gate,
        status: ConditionStatus::InProgress,
        summary: None,
        last_change: now,
        rules: Vec::new(),
    });
    let status = ConditionStatus::InProgress;
    turn.tell(id, HistoryEvent::Condition { stage: stage.clone(), gate, status, summary: None })?;
    for rule in rules {
        start::start(turn, id, stage, Work::Rule(gate, &rule))?;
    }
    Ok(true)
}

/// Met when every rule succeeded, not met as soon as one failed: the others are then abandoned.
fn settle(turn: &mut Turn, id: &ExecutionId, stage: &StageName, gate: ConditionType) -> Result {
    let run = run_of(turn, id, stage, gate)?;
    let failed = run.rules.iter().find(|rule| rule.attempt.status == ActionStatus::Failed);
    if let Some(rule) = failed {
        let error = rule.attempt.error.as_ref();
        let errored = error.is_some_and(|error| could_not_be_evaluated(&error.code));
        let why = error.map_or_else(String::new, |error| format!(": {}", error.message));
        let summary = format!("The rule {} was not met{why}", rule.name);
        abandon_rules(turn, id, stage, gate)?;
        let status = if errored { ConditionStatus::Errored } else { ConditionStatus::Failed };
        return turn.set_condition(id, stage, gate, status, Some(summary));
    }
    if run.rules.iter().all(|rule| rule.attempt.status == ActionStatus::Succeeded) {
        return turn.set_condition(id, stage, gate, ConditionStatus::Succeeded, None);
    }
    Ok(())
}

/// The rule did not say no: it could not be asked.
fn could_not_be_evaluated(code: &str) -> bool {
    matches!(
        code,
        error_code::CONFIGURATION_ERROR
            | error_code::PERMISSION_ERROR
            | error_code::INTERNAL_ERROR
            | error_code::INVALID_VARIABLES
    )
}

fn abandon_rules(turn: &mut Turn, id: &ExecutionId, stage: &StageName, gate: ConditionType) -> Result {
    let rules = &run_of(turn, id, stage, gate)?.rules;
    let running = rules.iter().filter(|rule| rule.attempt.status == ActionStatus::InProgress);
    let running: Vec<ActionExecutionId> = running.map(|rule| rule.attempt.id.clone()).collect();
    for rule in running {
        let stop = timed_out::stop_effect(turn, id, &rule);
        turn.end_action(id, &rule, ActionStatus::Abandoned, EventState::Abandoned, None)?;
        turn.effects.extend(stop);
    }
    Ok(())
}

/// The execution is told to end, or the gate is overridden, while rules may still run.
pub(crate) fn end(
    turn: &mut Turn,
    id: &ExecutionId,
    stage: &StageName,
    gate: ConditionType,
    status: ConditionStatus,
    summary: Option<String>,
) -> Result {
    abandon_rules(turn, id, stage, gate)?;
    turn.set_condition(id, stage, gate, status, summary)
}

/// Ends whatever condition of the stage is still being evaluated: a rule is a question, nothing waits for its answer
/// once the execution ends.
pub(crate) fn end_all(turn: &mut Turn, id: &ExecutionId, stage: &StageName, status: ConditionStatus) -> Result {
    for gate in ConditionType::ALL {
        let running = turn.stage_run(id, stage)?.condition(gate).map(|run| run.status);
        if running == Some(ConditionStatus::InProgress) {
            end(turn, id, stage, gate, status, None)?;
        }
    }
    Ok(())
}

/// A retry asks every gate again.
pub(crate) fn forget(turn: &mut Turn, id: &ExecutionId, stage: &StageName) -> Result {
    let conditions = &turn.stage_run(id, stage)?.conditions;
    let rules: Vec<_> = conditions.iter().flat_map(|c| &c.rules).map(|rule| rule.attempt.id.clone()).collect();
    for rule in rules {
        turn.put_away(id, &rule)?;
    }
    turn.stage_run_mut(id, stage)?.conditions.clear();
    Ok(())
}
