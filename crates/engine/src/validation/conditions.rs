//! What a stage declares for its gates: conditions with their results and rules, automatic retry and rollback.

use std::collections::BTreeSet;

use towpath_model::declaration::{
    Condition, ConditionType, ExecutionMode, PipelineType, RuleDeclaration, StageDeclaration,
};

use super::{Path, Rules, ViolationCode, actions};

/// A rule and where it stands.
pub(super) struct Site<'d> {
    pub stage: usize,
    pub gate: ConditionType,
    pub path: Path,
    pub rule: &'d RuleDeclaration,
}

/// Every rule of a declaration.
pub(super) fn sites<'d>(rules: &Rules<'d>) -> Vec<Site<'d>> {
    let mut found = Vec::new();
    for (stage, declared) in rules.declaration.stages.iter().enumerate() {
        for gate in ConditionType::ALL {
            let path = Path::stage(stage).key(gate.as_str()).key("conditions").index(0).key("rules");
            let declared = declared.condition(gate).and_then(|condition| condition.rules.as_ref());
            for (r, rule) in declared.into_iter().flatten().enumerate() {
                found.push(Site { stage, gate, path: path.index(r), rule });
            }
        }
    }
    found
}

pub(super) fn check(rules: &mut Rules) {
    for (s, stage) in rules.declaration.stages.iter().enumerate() {
        gates(rules, &Path::stage(s), s, stage);
    }
    let mut seen = BTreeSet::new();
    for site in sites(rules) {
        actions::check_one(rules, &site.path, &site.rule.as_action());
        if !seen.insert((site.stage, site.gate, site.rule.name.as_str())) {
            rules.add(
                site.path.key("name"),
                ViolationCode::InvalidStageDeclaration,
                format!("Rule name '{}' is used more than once in the condition", site.rule.name),
                Some("Rename one of the rules.".to_owned()),
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
    let success_rolls_back = success.into_iter().flatten().any(|c| c.result.as_deref() == Some("ROLLBACK"));
    if success_rolls_back && rules.declaration.mode() == ExecutionMode::Parallel {
        let message = "Success conditions with rollback result type cannot be added to a PARALLEL pipeline.".to_owned();
        refuse(rules, path.key("onSuccess"), message);
    }
    if success_rolls_back && index == 0 {
        refuse(rules, path.key("onSuccess"), format!("The source stage '{}' cannot be rolled back.", stage.name));
    }
    if let Some(failure) = &stage.on_failure {
        let result = failure.result.as_deref();
        if result.is_some_and(|result| !matches!(result, "ROLLBACK" | "RETRY")) {
            let message =
                format!("The result {} cannot be used in onFailure. Use ROLLBACK or RETRY.", result.unwrap_or(""));
            refuse(rules, path.key("onFailure").key("result"), message);
        }
        if failure.retry_configuration.is_some() && result != Some("RETRY") {
            let message = format!(
                "The failure exit gate of stage '{}' has a retryConfiguration, which needs the result RETRY.",
                stage.name
            );
            refuse(rules, path.key("onFailure").key("retryConfiguration"), message);
        }
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
}

fn results(rules: &mut Rules, path: &Path, gate: &str, condition: &Condition, allowed: &[&str]) {
    if condition.rules.as_ref().is_none_or(Vec::is_empty) {
        let message = format!("The condition of {gate} has no rules.");
        rules.add(
            path.clone(),
            ViolationCode::InvalidStageDeclaration,
            message,
            Some("Give it 1 to 5 rules.".to_owned()),
        );
    }
    let Some(result) = condition.result.as_deref() else {
        let message = format!("The condition of {gate} has no result. Use {}.", allowed.join(" or "));
        rules.add(path.clone(), ViolationCode::InvalidStageDeclaration, message, None);
        return;
    };
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
        if gate == "beforeEntry"
            && result == "SKIP"
            && !matches!(provider, "LambdaInvoke" | "VariableCheck" | "Rehearsal")
        {
            rules.add(
                path.key("rules").index(r).key("ruleTypeId").key("provider"),
                ViolationCode::InvalidStageDeclaration,
                format!("The rule {provider} cannot be used with the result SKIP. Use LambdaInvoke or VariableCheck."),
                None,
            );
        }
    }
}
