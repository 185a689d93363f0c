//! The pipeline as a whole: how many stages, where sources stand, what a V1 pipeline may not have, its variables and
//! triggers.

use std::collections::BTreeSet;

use towpath_model::catalogue::Category;
use towpath_model::declaration::{ExecutionMode, PipelineType};
use towpath_model::limits;

use super::{Path, Rules, ViolationCode};

pub(super) fn check(rules: &mut Rules) {
    counts(rules);
    sources(rules);
    v1(rules);
    variables(rules);
    triggers(rules);
}

fn counts(rules: &mut Rules) {
    let stages = rules.declaration.stages.len();
    let path = Path::root().key("stages");
    if stages < limits::STAGES_MIN {
        rules.add(
            path.clone(),
            ViolationCode::InvalidStructure,
            format!("Pipeline has only {stages} stage(s). There should be a minimum of 2 stages in a pipeline"),
            Some("Add a stage after the source stage with at least one action that is not a source.".to_owned()),
        );
    }
    if stages > limits::STAGES_MAX {
        rules.add(
            path.clone(),
            ViolationCode::InvalidStructure,
            "Pipeline has too many stages. There can only be up to 50 stages in a pipeline",
            Some(format!("It has {stages}; join some of them, or split the pipeline.")),
        );
    }
    let actions: usize = rules.declaration.stages.iter().map(|stage| stage.actions.len()).sum();
    if actions > limits::ACTIONS_PER_PIPELINE_MAX {
        rules.add(
            path,
            ViolationCode::LimitExceeded,
            format!(
                "Pipeline has too many actions. There can only be up to {} actions in a pipeline",
                limits::ACTIONS_PER_PIPELINE_MAX
            ),
            Some(format!("It has {actions}; split the pipeline.")),
        );
    }
}

fn sources(rules: &mut Rules) {
    let stages = &rules.declaration.stages;
    let is_source = |category: Category| category == Category::Source;
    if let Some(first) = stages.first() {
        const STARTS: &str = "Pipeline should start with a stage that only contains source actions";
        let hint = "Move the action to a later stage; the first one is for sources.";
        if first.actions.is_empty() {
            rules.add(
                Path::stage(0).key("actions"),
                ViolationCode::InvalidStructure,
                STARTS,
                Some("Add a source action to the first stage.".to_owned()),
            );
        }
        for (a, action) in first.actions.iter().enumerate() {
            if !is_source(action.action_type_id.category) {
                rules.add(Path::action(0, a), ViolationCode::InvalidStructure, STARTS, Some(hint.to_owned()));
            }
        }
    }
    for (s, stage) in stages.iter().enumerate().skip(1) {
        for (a, action) in stage.actions.iter().enumerate() {
            if is_source(action.action_type_id.category) {
                rules.add(
                    Path::action(s, a),
                    ViolationCode::InvalidStructure,
                    "Source actions can only be included in the first stage of the pipeline",
                    Some(format!("Move '{}' to the first stage.", action.name)),
                );
            }
        }
    }
    let mut actions = stages.iter().flat_map(|stage| &stage.actions).peekable();
    if actions.peek().is_some() && actions.all(|action| is_source(action.action_type_id.category)) {
        rules.add(
            Path::root().key("stages"),
            ViolationCode::InvalidStructure,
            "Pipeline should contain at least 1 action whose category is not Source",
            Some("Add a build, test, deploy, invoke or approval action to a later stage.".to_owned()),
        );
    }
}

/// What only V2 pipelines may have, where the type is given as V1.
fn v1(rules: &mut Rules) {
    let declaration = rules.declaration;
    if declaration.pipeline_type != Some(PipelineType::V1) {
        return;
    }
    let root = Path::root();
    let hint = || Some("Set pipelineType to V2.".to_owned());
    if !declaration.declared_variables().is_empty() {
        rules.add(
            root.key("variables"),
            ViolationCode::InvalidStructure,
            "Pipeline variable can only be used with V2 pipelines",
            hint(),
        );
    }
    if declaration.triggers.as_ref().is_some_and(|triggers| !triggers.is_empty()) {
        rules.add(
            root.key("triggers"),
            ViolationCode::InvalidStructure,
            "Triggers on tag can only be used with V2 pipelines",
            hint(),
        );
    }
    match declaration.execution_mode {
        None | Some(ExecutionMode::Superseded) => {}
        Some(ExecutionMode::Queued | ExecutionMode::Parallel) => rules.add(
            root.key("executionMode"),
            ViolationCode::InvalidStructure,
            "QUEUED or PARALLEL mode can only be used with V2 pipelines",
            hint(),
        ),
    }
}

fn variables(rules: &mut Rules) {
    let mut seen = BTreeSet::new();
    for (i, variable) in rules.declaration.declared_variables().iter().enumerate() {
        if !seen.insert(variable.name.as_str()) {
            rules.add(
                Path::root().key("variables").index(i).key("name"),
                ViolationCode::InvalidStructure,
                format!(
                    "Variable names must be unique. The following variable name is already in use: {}",
                    variable.name
                ),
                Some("Rename or remove one of the two.".to_owned()),
            );
        }
    }
}

fn triggers(rules: &mut Rules) {
    let Some(triggers) = &rules.declaration.triggers else { return };
    let path = Path::root().key("triggers");
    let mut named = BTreeSet::new();
    for (i, trigger) in triggers.iter().enumerate() {
        let name = trigger.pointer("/gitConfiguration/sourceActionName").and_then(serde_json::Value::as_str);
        let is_connection = rules.declaration.stages.iter().flat_map(|stage| &stage.actions).any(|action| {
            Some(action.name.as_str()) == name && action.action_type_id.provider == "CodeStarSourceConnection"
        });
        if !is_connection || !named.insert(name) {
            rules.add(
                path.index(i).key("gitConfiguration").key("sourceActionName"),
                ViolationCode::InvalidStructure,
                "Triggers for connections must reference a CodeStarSourceConnection action. Note that when you specify a \
                 trigger, you can't specify more than one trigger per source action.",
                None,
            );
        }
    }
    if !triggers.is_empty() {
        rules.add(
            path,
            ViolationCode::InvalidStructure,
            "Triggers are not in this version of Towpath yet.",
            Some("Remove `triggers`, and start the pipeline with StartPipelineExecution.".to_owned()),
        );
    }
}
