//! The flow of artifacts: every name has one producer, and every input is produced before it is read.

use std::collections::BTreeMap;

use towpath_model::declaration::ConditionType;

use super::suggest::did_you_mean;
use super::{Path, Rules, ViolationCode, conditions};

/// Where an action runs: its stage, and its run order in it.
type Place = (usize, u32);

pub(super) fn check(rules: &mut Rules) {
    let mut producers: BTreeMap<&str, (Place, &str)> = BTreeMap::new();
    for (s, stage) in rules.declaration.stages.iter().enumerate() {
        for (a, action) in stage.actions.iter().enumerate() {
            for (o, output) in action.output_artifacts.iter().enumerate() {
                if producers.contains_key(output.name.as_str()) {
                    rules.add(
                        Path::action(s, a).key("outputArtifacts").index(o).key("name"),
                        ViolationCode::InvalidActionDeclaration,
                        format!(
                            "Output Artifact Bundle name must be unique within the pipeline. {} has been used more than once.",
                            output.name
                        ),
                        Some("Rename one of the artifacts.".to_owned()),
                    );
                } else {
                    producers.insert(&output.name, ((s, action.run_order), &action.name));
                }
            }
        }
    }
    for (s, stage) in rules.declaration.stages.iter().enumerate() {
        for (a, action) in stage.actions.iter().enumerate() {
            let here = (s, action.run_order);
            for (i, input) in action.input_artifacts.iter().enumerate() {
                let producer = producers.get(input.name.as_str());
                if producer.is_some_and(|(place, _)| *place < here) {
                    continue;
                }
                let hint = match producer {
                    Some((_, name)) if *name == action.name.as_str() => {
                        Some(format!("'{}' is an output of this very action.", input.name))
                    }
                    Some((place, name)) if place.0 == s => Some(format!(
                        "'{}' is an output of action '{name}' of the same stage, which does not run before this one: give \
                         '{}' a higher runOrder.",
                        input.name, action.name
                    )),
                    Some((_, name)) => {
                        Some(format!("'{}' is an output of action '{name}', which runs later.", input.name))
                    }
                    None => did_you_mean(&input.name, producers.keys().copied()),
                };
                rules.add(
                    Path::action(s, a).key("inputArtifacts").index(i).key("name"),
                    ViolationCode::InvalidActionDeclaration,
                    format!(
                        "Input Artifact Bundle {} in action {} is not declared as Output Artifact Bundle in any of the preceding \
                         actions",
                        input.name, action.name
                    ),
                    hint,
                );
            }
        }
    }
    for site in conditions::sites(rules) {
        let order = if site.gate == ConditionType::BeforeEntry { 0 } else { u32::MAX };
        for (i, input) in site.rule.input_artifacts.iter().flatten().enumerate() {
            if producers.get(input.name.as_str()).is_none_or(|(place, _)| *place >= (site.stage, order)) {
                rules.add(
                    site.path.key("inputArtifacts").index(i).key("name"),
                    ViolationCode::InvalidStageDeclaration,
                    format!(
                        "Input Artifact Bundle {} in rule {} is not declared as Output Artifact Bundle in any of the preceding \
                         actions",
                        input.name, site.rule.name
                    ),
                    did_you_mean(&input.name, producers.keys().copied()),
                );
            }
        }
    }
}
