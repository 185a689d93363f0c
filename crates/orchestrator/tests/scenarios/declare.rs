//! From a scenario's compact pipeline to a declaration.

use serde_json::{Map, Value, json};
use towpath_model::declaration::PipelineDeclaration;

use crate::file::{Action, Gate, Pipeline, Rule, Stage, WholeAction, WholeStage};

pub fn declaration(pipeline: &Pipeline) -> Result<PipelineDeclaration, String> {
    let mut stages = Vec::new();
    for (index, stage) in pipeline.stages.iter().enumerate() {
        let Some((name, body)) = stage.iter().next().filter(|_| stage.len() == 1) else {
            return Err("a stage is one key, its name".to_owned());
        };
        stages.push(stage_of(name, body, index == 0)?);
    }
    let store = json!({"type": "S3", "location": "artifact-bucket"});
    let mut declared = json!({
        "name": "p",
        "roleArn": "arn:aws:iam::123456789012:role/pipeline",
        "pipelineType": pipeline.kind.as_deref().unwrap_or("V2"),
        "stages": stages,
    });
    if pipeline.regions.is_empty() {
        declared["artifactStore"] = store;
    } else {
        let stores = pipeline
            .regions
            .iter()
            .map(|region| (region.clone(), json!({"type": "S3", "location": format!("artifacts-{region}")})));
        declared["artifactStores"] = Value::Object(stores.collect());
    }
    if let Some(mode) = &pipeline.mode {
        declared["executionMode"] = json!(mode);
    }
    if !pipeline.variables.is_empty() {
        let variables = pipeline.variables.iter().map(|(name, default)| match default {
            Some(value) => json!({"name": name, "defaultValue": value}),
            None => json!({"name": name}),
        });
        declared["variables"] = variables.collect();
    }
    serde_json::from_value(declared).map_err(|error| format!("the pipeline: {error}"))
}

fn stage_of(name: &str, stage: &Stage, first: bool) -> Result<Value, String> {
    let bare;
    let WholeStage { actions, before_entry, on_success, on_failure } = match stage {
        Stage::Actions(actions) => {
            bare = WholeStage { actions: actions.clone(), before_entry: None, on_success: None, on_failure: None };
            &bare
        }
        Stage::Whole(whole) => whole,
    };
    let actions: Result<Vec<Value>, String> = actions.iter().map(|action| action_of(action, first)).collect();
    let mut declared = json!({"name": name, "actions": actions?});
    for (key, gate) in [("beforeEntry", before_entry), ("onSuccess", on_success), ("onFailure", on_failure)] {
        if let Some(gate) = gate {
            declared[key] = gate_of(gate, key)?;
        }
    }
    Ok(declared)
}

fn gate_of(gate: &Gate, key: &str) -> Result<Value, String> {
    if gate.rules.is_empty() {
        if key != "onFailure" {
            return Err(format!("{key} needs rules"));
        }
        let mut declared = json!({"result": gate.result});
        if let Some(mode) = &gate.retry_mode {
            declared["retryConfiguration"] = json!({"retryMode": mode});
        }
        return Ok(declared);
    }
    let rules: Vec<Value> = gate.rules.iter().map(rule_of).collect();
    Ok(json!({"conditions": [{"result": gate.result, "rules": rules}]}))
}

fn rule_of(rule: &Rule) -> Value {
    match rule {
        Rule::Name(name) => json!({"name": name,
            "ruleTypeId": {"category": "Rule", "owner": "AWS", "provider": "Rehearsal", "version": "1"}}),
        Rule::Whole(rule) => {
            let mut declared = json!({"name": rule.name, "configuration": rule.configuration,
                "ruleTypeId": {"category": "Rule", "owner": "AWS", "provider": rule.provider, "version": "1"}});
            if let Some(minutes) = rule.timeout {
                declared["timeoutInMinutes"] = json!(minutes);
            }
            declared
        }
    }
}

/// The name, its run order, and whether it is an approval.
fn named(text: &str) -> Result<(&str, u32, bool), String> {
    let (text, approval) = text.strip_suffix('?').map_or((text, false), |rest| (rest, true));
    match text.split_once('@') {
        None => Ok((text, 1, approval)),
        Some((name, order)) => {
            let order = order.parse().map_err(|_| format!("{text}: after @ comes a run order"))?;
            Ok((name, order, approval))
        }
    }
}

fn action_of(action: &Action, first: bool) -> Result<Value, String> {
    let bare;
    let whole = match action {
        Action::Short(name) => {
            bare = WholeAction {
                name: name.clone(),
                inputs: Vec::new(),
                outputs: Vec::new(),
                configuration: std::collections::BTreeMap::new(),
                namespace: None,
                region: None,
                timeout: None,
            };
            &bare
        }
        Action::Whole(whole) => whole,
    };
    let (name, order, approval) = named(&whole.name)?;
    let category = if first { "Source" } else { "Build" };
    let kind = if approval {
        json!({"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"})
    } else {
        json!({"category": category, "owner": "Custom", "provider": "Rehearsal", "version": "1"})
    };
    let artifacts = |names: &[String]| names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
    let mut declared = Map::new();
    declared.insert("name".to_owned(), json!(name));
    declared.insert("runOrder".to_owned(), json!(order));
    declared.insert("actionTypeId".to_owned(), kind);
    let outputs = if first && whole.outputs.is_empty() { vec![format!("{name}Out")] } else { whole.outputs.clone() };
    declared.insert("outputArtifacts".to_owned(), artifacts(&outputs).into());
    declared.insert("inputArtifacts".to_owned(), artifacts(&whole.inputs).into());
    let optional = [
        ("configuration", (!whole.configuration.is_empty()).then(|| json!(whole.configuration))),
        ("namespace", whole.namespace.as_ref().map(|namespace| json!(namespace))),
        ("region", whole.region.as_ref().map(|region| json!(region))),
        ("timeoutInMinutes", whole.timeout.map(|minutes| json!(minutes))),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            declared.insert(key.to_owned(), value);
        }
    }
    Ok(Value::Object(declared))
}
