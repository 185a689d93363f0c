//! Stages: their names, how many actions they hold, their blockers.

use std::collections::BTreeSet;

use towpath_model::declaration::StageDeclaration;
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
