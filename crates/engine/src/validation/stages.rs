//! Stages: their names, how many actions they hold, their conditions and blockers.

use std::collections::BTreeSet;

use towpath_model::declaration::{Condition, ExecutionMode, PipelineType, StageDeclaration};
use towpath_model::limits;

use super::{Path, Rules, ViolationCode};

pub(super) fn check(rules: &mut Rules) {
    let mut seen = BTreeSet::new();
    for (s, stage) in rules.declaration.stages.iter().enumerate() {
        let path = Path::stage(s);
        if !seen.insert(stage.name.as_str()) {
            rules.add(
                path.key("name"),
                ViolationCode::InvalidStageDeclaration,
                format!("Stage name '{}' is used more than once", stage.name),
                Some("Rename one of the stages.".to_owned()),
            );
        }
        actions(rules, &path, s, stage);
        gates(rules, &path, s, stage);
        if stage.blockers.as_ref().is_some_and(|blockers| !blockers.is_empty()) {
            rules.add(
                path.key("blockers"),
                ViolationCode::InvalidBlockerDeclaration,
                "Blockers are reserved by AWS and not in this version of Towpath.",
                Some("Remove `blockers`; disable the stage's inbound transition instead.".to_owned()),
            );
        }
    }
}

fn actions(rules: &mut Rules, path: &Path, index: usize, stage: &StageDeclaration) {
    let path = path.key("actions");
    // An empty first stage already has AWS's own words.
    if stage.actions.is_empty() && index > 0 {
        rules.add(
            path.clone(),
            ViolationCode::InvalidStageDeclaration,
            format!("Stage '{}' should contain at least 1 action", stage.name),
            Some("Add an action, or remove the stage.".to_owned()),
        );
    }
    if stage.actions.len() > limits::ACTIONS_PER_STAGE_MAX {
        rules.add(
            path.clone(),
            ViolationCode::InvalidStageDeclaration,
            format!(
                "Stage '{}' has too many actions. There can only be up to {} actions in a stage",
                stage.name,
                limits::ACTIONS_PER_STAGE_MAX
            ),
            Some("Split the stage.".to_owned()),
        );
    }
    let mut seen = BTreeSet::new();
    for (a, action) in stage.actions.iter().enumerate() {
        if !seen.insert(action.name.as_str()) {
            rules.add(
                path.index(a).key("name"),
                ViolationCode::InvalidActionDeclaration,
                format!("Action name '{}' is used more than once in stage '{}'", action.name, stage.name),
                Some("Rename one of the actions; the same name may be used in another stage.".to_owned()),
            );
        }
    }
}

fn gates(rules: &mut Rules, path: &Path, index: usize, stage: &StageDeclaration) {
    let declared: Vec<&str> = [
        ("beforeEntry", stage.before_entry.is_some()),
        ("onSuccess", stage.on_success.is_some()),
        ("onFailure", stage.on_failure.is_some()),
    ]
    .into_iter()
    .filter_map(|(key, there)| there.then_some(key))
    .collect();
    let Some(first) = declared.first() else { return };
    let refuse = |rules: &mut Rules, path: Path, message: String| {
        rules.add(path, ViolationCode::InvalidStageDeclaration, message, None);
    };
    if rules.declaration.pipeline_type == Some(PipelineType::V1) {
        let message = "Stage level conditions can only be used with V2 pipelines.".to_owned();
        refuse(rules, path.key(first), message);
    }
    let entry = stage.before_entry.as_ref().map(|gate| gate.conditions.as_slice());
    let success = stage.on_success.as_ref().map(|gate| gate.conditions.as_slice());
    let failure = stage.on_failure.as_ref().and_then(|gate| gate.conditions.as_deref());
    for (key, conditions, allowed) in [
        ("beforeEntry", entry, &["FAIL", "SKIP"][..]),
        ("onSuccess", success, &["ROLLBACK", "FAIL"][..]),
        ("onFailure", failure, &["ROLLBACK"][..]),
    ] {
        for (c, condition) in conditions.into_iter().flatten().enumerate() {
            let path = path.key(key).key("conditions").index(c);
            results(rules, &path, key, condition, allowed);
        }
    }
    if let Some(failure) = &stage.on_failure {
        if failure.result.is_some() && failure.conditions.is_some() {
            let message = format!(
                "The following stage cannot have a failure exit gate configured with both top level result and conditions: '{}",
                stage.name
            );
            refuse(rules, path.key("onFailure"), message);
        }
        let results = failure.conditions.iter().flatten().filter_map(|condition| condition.result.as_deref());
        let rolls_back = results.chain(failure.result.as_deref()).any(|result| result == "ROLLBACK");
        if rolls_back && rules.declaration.mode() == ExecutionMode::Parallel {
            let message =
                "Failure conditions with rollback result type cannot be added to a PARALLEL pipeline.".to_owned();
            refuse(rules, path.key("onFailure"), message);
        }
        if rolls_back && index == 0 {
            let message = format!("The source stage '{}' cannot be rolled back.", stage.name);
            refuse(rules, path.key("onFailure"), message);
        }
    }
    for key in declared {
        let what = if key == "onFailure" {
            "Stage conditions, automatic rollback and automatic retry are"
        } else {
            "Stage conditions are"
        };
        rules.add(
            path.key(key),
            ViolationCode::InvalidStageDeclaration,
            format!("{what} not in this version of Towpath yet."),
            Some(format!("Remove `{key}` from stage '{}'.", stage.name)),
        );
    }
}

fn results(rules: &mut Rules, path: &Path, gate: &str, condition: &Condition, allowed: &[&str]) {
    let Some(result) = condition.result.as_deref() else { return };
    if !allowed.contains(&result) {
        rules.add(
            path.key("result"),
            ViolationCode::InvalidStageDeclaration,
            format!("The result {result} cannot be used in {gate}. Use {}.", allowed.join(" or ")),
            None,
        );
    }
    for (r, rule) in condition.rules.iter().flatten().enumerate() {
        let provider = rule.rule_type_id.provider.as_str();
        if gate == "beforeEntry" && result == "SKIP" && !matches!(provider, "LambdaInvoke" | "VariableCheck") {
            rules.add(
                path.key("rules").index(r).key("ruleTypeId").key("provider"),
                ViolationCode::InvalidStageDeclaration,
                format!("The rule {provider} cannot be used with the result SKIP. Use LambdaInvoke or VariableCheck."),
                None,
            );
        }
    }
}
