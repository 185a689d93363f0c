//! Namespaces, and the `#{namespace.key}` references into them: they have the form, the namespace exists, and its
//! action is sure to have run. Whether a key exists is only known when the pipeline runs.

use std::collections::{BTreeMap, BTreeSet};

use towpath_model::catalogue::Category;
use towpath_model::declaration::{ActionDeclaration, ConditionType};

use super::suggest::did_you_mean;
use super::{Path, Rules, ViolationCode, conditions};
use crate::variables::{PIPELINE_NAMESPACE, Reference, VARIABLES_NAMESPACE, references};

/// Where an action runs: its stage, and its run order in it.
type Place = (usize, u32);

pub(super) fn check(rules: &mut Rules) {
    let namespaces = namespaces(rules);
    for (s, stage) in rules.declaration.stages.iter().enumerate() {
        for (a, action) in stage.actions.iter().enumerate() {
            for (path, key, text) in texts(&Path::action(s, a), action) {
                for reference in references(text) {
                    let site =
                        Site { stage: &stage.name, action, place: (s, action.run_order), path: &path, key: &key };
                    check_one(rules, &namespaces, &site, &reference);
                }
            }
        }
    }
    for site in conditions::sites(rules) {
        // An entry condition is asked before every action of its stage, the others after all of them.
        let order = if site.gate == ConditionType::BeforeEntry { 0 } else { u32::MAX };
        let rule = site.rule.as_action();
        for (path, key, text) in texts(&site.path, &rule) {
            for reference in references(text) {
                let stage = &rules.declaration.stages[site.stage].name;
                let site = Site { stage, action: &rule, place: (site.stage, order), path: &path, key: &key };
                check_one(rules, &namespaces, &site, &reference);
            }
        }
    }
}

/// Every text of an action that may hold references, with the key AWS names it by.
fn texts<'d>(path: &Path, action: &'d ActionDeclaration) -> Vec<(Path, String, &'d str)> {
    let mut texts = Vec::new();
    for (key, value) in action.configuration.iter().flatten() {
        texts.push((path.key("configuration").key(key), key.clone(), value.as_str()));
    }
    for (i, command) in action.commands.iter().flatten().enumerate() {
        texts.push((path.key("commands").index(i), "commands".to_owned(), command));
    }
    for (i, variable) in action.environment_variables.iter().flatten().enumerate() {
        let path = path.key("environmentVariables").index(i).key("value");
        texts.push((path, variable.name.clone(), &variable.value));
    }
    texts
}

/// The namespaces that actions declare and where those run, with what is wrong about them.
fn namespaces<'d>(rules: &mut Rules<'d>) -> BTreeMap<&'d str, Place> {
    let declaration = rules.declaration;
    let artifacts: BTreeSet<&str> = declaration
        .stages
        .iter()
        .flat_map(|stage| &stage.actions)
        .flat_map(|action| {
            let inputs = action.input_artifacts.iter().map(|artifact| artifact.name.as_str());
            inputs.chain(action.output_artifacts.iter().map(|artifact| artifact.name.as_str()))
        })
        .collect();
    let mut known: BTreeMap<&str, Place> = BTreeMap::new();
    for (s, stage) in declaration.stages.iter().enumerate() {
        for (a, action) in stage.actions.iter().enumerate() {
            let Some(namespace) = action.namespace.as_deref() else { continue };
            let path = Path::action(s, a).key("namespace");
            let reserved = namespace == PIPELINE_NAMESPACE
                || (namespace == VARIABLES_NAMESPACE && !declaration.declared_variables().is_empty());
            if reserved {
                rules.add(
                    path.clone(),
                    ViolationCode::InvalidStructure,
                    format!("The namespace '{namespace}' of action '{}' is reserved", action.name),
                    Some("Choose another namespace.".to_owned()),
                );
            }
            if artifacts.contains(namespace) {
                rules.add(
                    path.clone(),
                    ViolationCode::InvalidActionDeclaration,
                    format!("The namespace '{namespace}' of action '{}' is also the name of an artifact", action.name),
                    Some("Choose another namespace, or rename the artifact.".to_owned()),
                );
            }
            if known.contains_key(namespace) {
                rules.add(
                    path,
                    ViolationCode::InvalidActionDeclaration,
                    format!(
                        "Namespaces must be unique across the pipeline definition. The following occur more than once in the \
                         pipeline. StageName=[{}], ActionName=[{}], Namespace=[{namespace}]",
                        stage.name, action.name
                    ),
                    Some("Rename one of the namespaces.".to_owned()),
                );
            } else {
                known.insert(namespace, (s, action.run_order));
            }
        }
    }
    known
}

/// The place in the declaration where a reference stands.
struct Site<'d> {
    stage: &'d str,
    action: &'d ActionDeclaration,
    place: Place,
    path: &'d Path,
    key: &'d str,
}

const FORMAT: &str =
    "Valid format for a pipeline execution variable reference is a namespace and a key separated by a period (.).";

fn check_one(rules: &mut Rules, namespaces: &BTreeMap<&str, Place>, site: &Site, reference: &Reference) {
    let tail = format!(
        "StageName=[{}], ActionName=[{}], ActionConfigurationKey=[{}], VariableReferenceText=[{}]",
        site.stage,
        site.action.name,
        site.key,
        reference.inner()
    );
    let mut refuse = |code: ViolationCode, message: String, hint: Option<String>| {
        rules.found.push(super::Violation {
            path: site.path.0.clone(),
            code,
            message: format!("{message}\n{tail}"),
            hint,
        });
    };
    let Some((namespace, key)) = reference.names else {
        let message = format!("{FORMAT} The following pipeline execution variables do not have that format.");
        refuse(ViolationCode::InvalidActionDeclaration, message, Some("Write #{namespace.key}.".to_owned()));
        return;
    };
    if namespace == PIPELINE_NAMESPACE {
        return;
    }
    let declared = rules.declaration.declared_variables();
    if namespace == VARIABLES_NAMESPACE && !namespaces.contains_key(VARIABLES_NAMESPACE) {
        if site.action.action_type_id.category == Category::Source {
            let message = "Variables at the pipeline level cannot be used in source actions.".to_owned();
            refuse(ViolationCode::InvalidStructure, message, None);
        } else if !declared.iter().any(|variable| variable.name == key) {
            let message = "The referenced variables haven't been declared.".to_owned();
            let known = declared.iter().map(|variable| variable.name.as_str());
            let hint = did_you_mean(key, known).unwrap_or_else(|| format!("Declare '{key}' in `variables`."));
            refuse(ViolationCode::InvalidStructure, message, Some(hint));
        }
        return;
    }
    match namespaces.get(namespace) {
        None => {
            let message = format!(
                "{FORMAT} The following pipeline execution variables are referencing a namespace that does not exist."
            );
            let hint = did_you_mean(namespace, namespaces.keys().copied())
                .unwrap_or_else(|| format!("Give the action that emits it `namespace: {namespace}`."));
            refuse(ViolationCode::InvalidActionDeclaration, message, Some(hint));
        }
        Some(place) if *place >= site.place => {
            let message = "The following pipeline execution variables are referencing a namespace whose action is not \
                           guaranteed to run before the action."
                .to_owned();
            let hint = "The producing action must be in an earlier stage, or have a lower runOrder in this one.";
            refuse(ViolationCode::InvalidActionDeclaration, message, Some(hint.to_owned()));
        }
        Some(_) => {}
    }
}
