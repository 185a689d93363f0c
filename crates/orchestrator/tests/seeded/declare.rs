//! Random pipelines: every mode, several stages, run-order groups, approvals, conditions with every result, automatic
//! retry and rollback, work that hangs until its deadline.

use serde_json::{Value, json};
use towpath_model::declaration::PipelineDeclaration;
use towpath_orchestrator::simulation::Random;

/// The first definition and those that updates change it to.
pub fn versions(random: &mut Random) -> Vec<PipelineDeclaration> {
    let mode = mode(random);
    let count = 1 + random.index(3);
    let mut versions = vec![pipeline(random, mode)];
    for _ in 1..count {
        let mode = if random.percent(60) { mode } else { self::mode(random) };
        versions.push(pipeline(random, mode));
    }
    versions
}

fn mode(random: &mut Random) -> &'static str {
    match random.below(100) {
        0..45 => "SUPERSEDED",
        45..75 => "QUEUED",
        _ => "PARALLEL",
    }
}

fn pipeline(random: &mut Random, mode: &str) -> PipelineDeclaration {
    let count = 2 + random.index(3);
    let stages: Vec<Value> = (0..count).map(|index| stage(random, index, mode)).collect();
    let declared = json!({
        "name": "p",
        "roleArn": "arn:aws:iam::123456789012:role/pipeline",
        "artifactStore": {"type": "S3", "location": "artifact-bucket"},
        "pipelineType": "V2",
        "executionMode": mode,
        "stages": stages,
    });
    serde_json::from_value(declared).expect("the declaration has its own form")
}

fn stage(random: &mut Random, index: usize, mode: &str) -> Value {
    let name = ["Source", "Build", "Gate", "Deploy"][index];
    let count = 1 + random.index(3);
    let actions: Vec<Value> = (0..count).map(|number| action(random, index, number)).collect();
    let mut stage = json!({"name": name, "actions": actions});
    if random.percent(25) {
        let result = if random.percent(50) { "FAIL" } else { "SKIP" };
        stage["beforeEntry"] = condition(random, result);
    }
    let may_roll_back = index > 0 && mode != "PARALLEL";
    if random.percent(25) {
        let result = if may_roll_back && random.percent(50) { "ROLLBACK" } else { "FAIL" };
        stage["onSuccess"] = condition(random, result);
    }
    match random.below(100) {
        0..18 => {
            stage["onFailure"] = json!({"result": "RETRY"});
            if random.percent(60) {
                let mode = if random.percent(50) { "ALL_ACTIONS" } else { "FAILED_ACTIONS" };
                stage["onFailure"]["retryConfiguration"] = json!({"retryMode": mode});
            }
        }
        18..34 if may_roll_back => stage["onFailure"] = json!({"result": "ROLLBACK"}),
        34..44 if may_roll_back => stage["onFailure"] = condition(random, "ROLLBACK"),
        _ => {}
    }
    stage
}

fn condition(random: &mut Random, result: &str) -> Value {
    let count = 1 + random.index(2);
    // SKIP is for rules that answer at once.
    let provider = if result == "SKIP" { "VariableCheck" } else { "Rehearsal" };
    let rules: Vec<Value> = (0..count)
        .map(|number| {
            let mut rule = json!({"name": format!("R{number}"), "timeoutInMinutes": 5 + random.below(3),
                "ruleTypeId": {"category": "Rule", "owner": "AWS", "provider": provider, "version": "1"}});
            if provider == "VariableCheck" {
                rule["configuration"] = json!({"Variable": "#{codepipeline.PipelineExecutionId}",
                    "Value": "0", "Operator": "CONTAINS"});
            }
            rule
        })
        .collect();
    json!({"conditions": [{"result": result, "rules": rules}]})
}

fn action(random: &mut Random, stage: usize, number: usize) -> Value {
    let order = 1 + random.below(3);
    if stage > 0 && random.percent(18) {
        return json!({"name": format!("Ok{number}"), "runOrder": order, "timeoutInMinutes": 30,
            "actionTypeId": {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"}});
    }
    let category = if stage == 0 { "Source" } else { "Build" };
    let mut action = json!({"name": format!("A{number}"), "runOrder": order,
        "actionTypeId": {"category": category, "owner": "Custom", "provider": "Rehearsal", "version": "1"}});
    if stage == 0 {
        action["outputArtifacts"] = json!([{"name": format!("A{number}Out")}]);
    } else if random.percent(30) {
        action["inputArtifacts"] = json!([{"name": "A0Out"}]);
    }
    if random.percent(60) {
        action["timeoutInMinutes"] = json!(5 + random.below(10));
    }
    action
}
