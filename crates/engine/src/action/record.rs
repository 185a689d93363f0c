//! What ListActionExecutions shows of an attempt, with every secret masked. The clear text stays in the execution and
//! in the effects.

use std::collections::BTreeMap;

use towpath_model::catalogue::{ActionTypeEntry, ActionTypes};
use towpath_model::declaration::ActionDeclaration;
use towpath_model::history::ActionRecord;
use towpath_model::ids::StageName;
use towpath_model::secret::MASK;
use towpath_model::state::{ActionAttempt, Execution, Work};

pub(crate) fn record(
    execution: &Execution,
    stage: &StageName,
    work: Work,
    declaration: &ActionDeclaration,
    attempt: &ActionAttempt,
    action_types: &dyn ActionTypes,
) -> ActionRecord {
    let entry = action_types.described(&declaration.action_type_id);
    let mut attempt = attempt.clone();
    let mut resolved_configuration = BTreeMap::new();
    if let Some(invocation) = &mut attempt.invocation {
        mask(&mut invocation.configuration, entry);
        resolved_configuration.clone_from(&invocation.configuration);
    }
    let mut configuration = declaration.configuration.clone().unwrap_or_default();
    mask(&mut configuration, entry);
    ActionRecord {
        pipeline: execution.pipeline.clone(),
        execution: execution.id.clone(),
        pipeline_version: execution.pipeline_version,
        stage: stage.clone(),
        action: declaration.name.clone(),
        action_type: declaration.action_type_id.clone(),
        condition: work.gate(),
        namespace: declaration.namespace.clone(),
        role_arn: declaration.role_arn.clone(),
        region: declaration.region.clone().unwrap_or_else(|| execution.scope.region.clone()),
        configuration,
        resolved_configuration,
        attempt,
    }
}

/// Without an entry nobody knows which values are secret, so all of them are masked.
fn mask(configuration: &mut BTreeMap<String, String>, entry: Option<&ActionTypeEntry>) {
    for (key, value) in configuration {
        if entry.is_none_or(|entry| entry.is_secret(key)) {
            MASK.clone_into(value);
        }
    }
}
