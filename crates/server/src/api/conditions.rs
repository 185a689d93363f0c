//! What GetPipelineState shows of a stage's conditions: as declared, and how far the latest execution got with them.

use towpath_model::declaration::{Condition, ConditionType, StageDeclaration};
use towpath_model::state::{ConditionRun, RuleRun, StageRun};
use towpath_wire::codepipeline::{
    ConditionExecution, ConditionState, RuleExecution, RuleState, StageConditionState, StageConditionsExecution,
};

use super::convert;

/// The state of a gate's condition; None where the stage declares none.
pub fn state(stage: &StageDeclaration, run: Option<&StageRun>, gate: ConditionType) -> Option<StageConditionState> {
    let declared = stage.condition(gate)?;
    let run = run.and_then(|run| run.condition(gate));
    Some(StageConditionState {
        latest_execution: run.map(|run| StageConditionsExecution {
            status: Some(run.status.as_str().to_owned()),
            summary: run.summary.clone(),
        }),
        condition_states: Some(vec![condition(declared, run)]),
    })
}

fn condition(declared: &Condition, run: Option<&ConditionRun>) -> ConditionState {
    let rule = |name: &str| RuleState {
        rule_name: Some(name.to_owned()),
        latest_execution: run.and_then(|run| run.rules.iter().find(|rule| rule.name == *name)).map(rule_execution),
        ..RuleState::default()
    };
    ConditionState {
        latest_execution: run.map(|run| ConditionExecution {
            status: Some(run.status.as_str().to_owned()),
            summary: run.summary.clone(),
            last_status_change: Some(convert::time(run.last_change)),
        }),
        rule_states: Some(declared.rules.iter().flatten().map(|declared| rule(&declared.name)).collect()),
    }
}

fn rule_execution(rule: &RuleRun) -> RuleExecution {
    let attempt = &rule.attempt;
    RuleExecution {
        rule_execution_id: Some(attempt.id.to_string()),
        status: Some(attempt.status.as_str().to_owned()),
        summary: attempt.progress.summary.clone(),
        last_status_change: Some(convert::time(attempt.last_change)),
        last_updated_by: attempt.updated_by.clone(),
        external_execution_id: attempt.progress.external_id.clone(),
        external_execution_url: attempt.progress.external_url.clone(),
        error_details: attempt.error.as_ref().map(convert::error_details),
        token: None,
    }
}
