//! The mask in place of a secret value: what an update may keep behind it, and where it means nothing.

use towpath_model::catalogue::ActionTypes;
use towpath_model::declaration::{ActionDeclaration, PipelineDeclaration};

use super::{Path, Rules, ViolationCode};

/// AWS shows four asterisks; its model speaks of five.
pub fn is_mask(value: &str) -> bool {
    matches!(value, "****" | "*****")
}

/// The new declaration with every kept mask replaced by the stored secret. A mask is kept where stage and action have
/// their names still and nothing else in the action changed; otherwise it stays a mask and `validate` refuses it.
#[must_use]
pub fn merge_masked(
    new: &PipelineDeclaration,
    old: &PipelineDeclaration,
    action_types: &dyn ActionTypes,
) -> PipelineDeclaration {
    let mut merged = new.clone();
    for stage in &mut merged.stages {
        for action in &mut stage.actions {
            let Some(stored) = old.stage(&stage.name).and_then(|stage| stage.action(&action.name)) else { continue };
            let masked = masked_keys(action, action_types);
            if masked.is_empty() || !same_but(action, stored, &masked) {
                continue;
            }
            for key in masked {
                if let (Some(configuration), Some(secret)) = (&mut action.configuration, stored.config(&key)) {
                    configuration.insert(key, secret.to_owned());
                }
            }
        }
    }
    merged
}

/// The secret keys whose value is the mask.
fn masked_keys(action: &ActionDeclaration, action_types: &dyn ActionTypes) -> Vec<String> {
    let Some(entry) = action_types.find(&action.action_type_id) else { return Vec::new() };
    let configuration = action.configuration.iter().flatten();
    configuration.filter(|(key, value)| entry.is_secret(key) && is_mask(value)).map(|(key, _)| key.clone()).collect()
}

/// Whether two actions differ in nothing but these keys.
fn same_but(new: &ActionDeclaration, old: &ActionDeclaration, keys: &[String]) -> bool {
    let without = |action: &ActionDeclaration| {
        let mut action = action.clone();
        let mut configuration = action.configuration.take().unwrap_or_default();
        for key in keys {
            configuration.remove(key);
        }
        action.configuration = Some(configuration);
        action
    };
    without(new) == without(old) && keys.iter().all(|key| old.config(key).is_some())
}

pub(super) fn check(rules: &mut Rules) {
    let merged = match rules.previous {
        Some(previous) => merge_masked(rules.declaration, previous, rules.action_types),
        None => rules.declaration.clone(),
    };
    for (s, stage) in merged.stages.iter().enumerate() {
        for (a, action) in stage.actions.iter().enumerate() {
            let known =
                rules.previous.and_then(|p| p.stage(&stage.name)).and_then(|s| s.action(&action.name)).is_some();
            for key in masked_keys(action, rules.action_types) {
                let (message, hint) = if known {
                    (
                        format!(
                            "Action configuration for the action \"{}\" contains an invalid configuration for the secret \
                             property \"{key}\". \"****\" keeps the stored value only while nothing else in the action changes.",
                            action.name
                        ),
                        "Send the secret value again together with the other changes.",
                    )
                } else {
                    (
                        format!(
                            "Action configuration for the new action \"{}\" contains an invalid configuration for the secret \
                             property \"{key}\". \"****\" may be used in secret properties only when updating an existing action.",
                            action.name
                        ),
                        "Write the secret value itself; a renamed stage or action is a new one.",
                    )
                };
                let path = Path::action(s, a).key("configuration").key(&key);
                rules.add(path, ViolationCode::InvalidActionDeclaration, message, Some(hint.to_owned()));
            }
        }
    }
}
