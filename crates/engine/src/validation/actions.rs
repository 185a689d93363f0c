//! Actions and rules against the entry of their type: the type exists, artifacts are as many as it takes, its configuration keys
//! are there and known, and fields of one type do not stand on another.

use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, ValidValues};
use towpath_model::declaration::{ActionDeclaration, PipelineType};

use super::stores::region_enum;
use super::suggest::{did_you_mean, nearest};
use super::{Path, Rules, ViolationCode, config};
use crate::action::start::NOTIFICATION;
use crate::variables::references;

pub(super) fn check(rules: &mut Rules) {
    for (s, stage) in rules.declaration.stages.iter().enumerate() {
        for (a, action) in stage.actions.iter().enumerate() {
            let path = Path::action(s, a);
            if action.action_type_id.category == Category::Rule {
                unknown_type(rules, &path, "action", action);
            } else {
                check_one(rules, &path, action);
            }
        }
    }
}

/// An action, or a rule read as one, against the entry of its type.
pub(super) fn check_one(rules: &mut Rules, path: &Path, action: &ActionDeclaration) {
    let what = if action.action_type_id.category == Category::Rule { "rule" } else { "action" };
    match rules.action_types.find(&action.action_type_id) {
        Some(entry) => against_entry(rules, path, what, action, entry),
        None => unknown_type(rules, path, what, action),
    }
    fields_of_commands(rules, path, what, action);
}

fn refuse(rules: &mut Rules, path: Path, what: &str, message: String, hint: Option<String>) {
    let code = match what {
        "rule" => ViolationCode::InvalidStageDeclaration,
        _ => ViolationCode::InvalidActionDeclaration,
    };
    rules.add(path, code, message, hint);
}

/// `action` at the start of a sentence.
fn capital(what: &str) -> &'static str {
    if what == "rule" { "Rule" } else { "Action" }
}

fn unknown_type(rules: &mut Rules, path: &Path, what: &str, action: &ActionDeclaration) {
    let id = &action.action_type_id;
    let message = format!(
        "{}Type (Category: '{}', Provider: '{}', Owner: '{}', Version: '{}') in {what} '{}' is not available in region '{}'",
        capital(what),
        id.category.as_str(),
        id.provider,
        id.owner.as_str(),
        id.version,
        action.name,
        region_enum(action.region.as_deref().unwrap_or(rules.region))
    );
    let hint = type_hint(rules, id);
    refuse(rules, path.key(type_key(what)), what, message, hint);
}

fn type_key(what: &str) -> &'static str {
    if what == "rule" { "ruleTypeId" } else { "actionTypeId" }
}

/// The same provider under another category, owner or version; or one of nearly that name.
fn type_hint(rules: &Rules, id: &ActionTypeId) -> Option<String> {
    let known = rules.action_types.all();
    let spell =
        |id: &ActionTypeId| format!("{}/{}/{}/{}", id.category.as_str(), id.owner.as_str(), id.provider, id.version);
    let same: Vec<String> =
        known.iter().filter(|entry| entry.id.provider == id.provider).map(|entry| spell(&entry.id)).collect();
    if !same.is_empty() {
        return Some(format!("{} exists as {} (category/owner/provider/version).", id.provider, same.join(", ")));
    }
    let in_category = known.iter().filter(|entry| entry.id.category == id.category);
    did_you_mean(&id.provider, in_category.map(|entry| entry.id.provider.as_str())).or_else(|| {
        let mut names: Vec<&str> =
            known.iter().filter(|e| e.id.category == id.category).map(|e| e.id.provider.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        (!names.is_empty())
            .then(|| format!("The providers of category {} are: {}.", id.category.as_str(), names.join(", ")))
    })
}

fn against_entry(rules: &mut Rules, path: &Path, what: &str, action: &ActionDeclaration, entry: &ActionTypeEntry) {
    if entry.v2_only && rules.declaration.pipeline_type == Some(PipelineType::V1) {
        let message = format!("{} Action can only be used with V2 pipelines.", entry.id.provider);
        refuse(rules, path.key(type_key(what)), what, message, Some("Set pipelineType to V2.".to_owned()));
    }
    count(rules, &path.key("inputArtifacts"), what, action, "input", action.input_artifacts.len(), entry.inputs);
    count(rules, &path.key("outputArtifacts"), what, action, "output", action.output_artifacts.len(), entry.outputs);
    if action.timeout_in_minutes.is_some() && !entry.timeout_configurable {
        let message = format!(
            "The timeoutInMinutes of action '{}' cannot be set for the action type {}.",
            action.name, entry.id.provider
        );
        refuse(
            rules,
            path.key("timeoutInMinutes"),
            what,
            message,
            Some("Only manual approval actions may set it.".to_owned()),
        );
    }
    configuration(rules, &path.key("configuration"), what, action, entry);
}

fn count(
    rules: &mut Rules,
    path: &Path,
    what: &str,
    action: &ActionDeclaration,
    kind: &str,
    count: usize,
    bounds: Bounds,
) {
    let (words, bound) = if count < bounds.min {
        ("less than the minimum", bounds.min)
    } else if count > bounds.max {
        ("more than the maximum", bounds.max)
    } else {
        return;
    };
    let message =
        format!("{} {} declares {count} {kind} artifacts which is {words} count ({bound})", capital(what), action.name);
    refuse(rules, path.clone(), what, message, None);
}

fn configuration(rules: &mut Rules, path: &Path, what: &str, action: &ActionDeclaration, entry: &ActionTypeEntry) {
    for property in entry.properties.iter().filter(|property| property.required) {
        if action.config(&property.name).is_none() {
            let message = format!(
                "{} configuration for {what} '{}' is missing required configuration '{}'",
                capital(what),
                action.name,
                property.name
            );
            let written = action.configuration.iter().flatten().map(|(key, _)| key.as_str());
            let hint = match nearest(&property.name, written.filter(|key| entry.property(key).is_none())) {
                Some(meant) => format!("Is '{meant}' meant to be '{}'?", property.name),
                None => property.description.clone(),
            };
            refuse(rules, path.clone(), what, message, Some(hint).filter(|hint| !hint.is_empty()));
        }
    }
    if entry.has_unpublished_keys() {
        return;
    }
    for (key, value) in action.configuration.iter().flatten() {
        let path = path.key(key);
        let Some(property) = entry.property(key) else {
            let message = format!(
                "{} configuration for {what} '{}' contains unknown configuration '{key}'",
                capital(what),
                action.name
            );
            let known = entry.properties.iter().map(|property| property.name.as_str());
            let hint = did_you_mean(key, known.clone()).or_else(|| {
                let known: Vec<&str> = known.collect();
                (!known.is_empty()).then(|| format!("{} knows: {}.", entry.id.provider, known.join(", ")))
            });
            refuse(rules, path, what, message, hint);
            continue;
        };
        // Switching off what is not here is no use of it; generated pipelines spell such defaults out.
        let switched_off = property.valid == ValidValues::Boolean && value.eq_ignore_ascii_case("false");
        if let Some(why) = property.refused.as_ref().filter(|_| !switched_off) {
            refuse(rules, path, what, why.clone(), Some(format!("Remove '{key}' from {what} '{}'.", action.name)));
            continue;
        }
        if entry.is_approval() && key == NOTIFICATION {
            if let Some(message) = wrong_topic(rules.region, &action.name, value) {
                refuse(rules, path, what, message, Some("It is the ARN of an Amazon SNS topic there.".to_owned()));
            }
            continue;
        }
        // A value with references is checked once they are resolved.
        let fits = || {
            config::fits(&property.valid, value).and_then(|()| rules.action_types.check_value(&entry.id, key, value))
        };
        if references(value).is_empty()
            && let Err(expected) = fits()
        {
            let message = format!(
                "{} configuration for {what} '{}' has an invalid value for configuration '{key}': {expected}",
                capital(what),
                action.name
            );
            refuse(rules, path.clone(), what, message, None);
        }
        let queryable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if property.queryable && (value.chars().count() > 20 || !value.chars().all(queryable)) {
            let message = format!(
                "Action configuration for action '{}' has an invalid value for the queryable configuration '{key}': it must \
                 have at most 20 characters of [a-zA-Z0-9_-]",
                action.name
            );
            refuse(rules, path, what, message, None);
        }
    }
}

/// What keeps a topic from being told of an approval, in AWS's words.
fn wrong_topic(region: &str, action: &str, arn: &str) -> Option<String> {
    if !references(arn).is_empty() {
        return None;
    }
    let but = |why: &str| {
        format!(
            "The ARN {arn} has been specified for sending notifications for the approval action {action}, but {why}"
        )
    };
    let parts: Vec<&str> = arn.split(':').collect();
    let ["arn", partition, service, topic_region, account, name] = parts.as_slice() else {
        return Some(malformed_topic(action, arn));
    };
    let is_account = account.len() == 12 && account.chars().all(|c| c.is_ascii_digit());
    match () {
        () if *service != "sns" && !service.is_empty() => {
            Some(but("the AWS service for this ARN cannot be used to send approval requests."))
        }
        () if [partition, service, topic_region, name].iter().any(|part| part.is_empty()) || !is_account => {
            Some(malformed_topic(action, arn))
        }
        () if *topic_region != region => Some(but("the ARN is not in the same region as the pipeline.")),
        () => None,
    }
}

fn malformed_topic(action: &str, arn: &str) -> String {
    format!(
        "The ARN {arn} you specified for sending notifications for the approval action {action} contains a format error."
    )
}

/// `commands`, `outputVariables` and `files` belong to the Commands action, `environmentVariables` also to EKS.
fn fields_of_commands(rules: &mut Rules, path: &Path, what: &str, action: &ActionDeclaration) {
    let name = &action.name;
    let provider = action.action_type_id.provider.as_str();
    if provider == "Commands" {
        if action.commands.as_ref().is_none_or(Vec::is_empty) {
            let message = format!("{} {name} must have a non-empty commands field", capital(what));
            refuse(rules, path.key("commands"), what, message, None);
        }
        return;
    }
    let files = action.output_artifacts.iter().position(|output| output.files.is_some());
    let misplaced = [
        (action.commands.is_some(), path.key("commands"), "commands"),
        (action.output_variables.is_some(), path.key("outputVariables"), "outputVariables"),
        (
            action.environment_variables.is_some() && provider != "EKS",
            path.key("environmentVariables"),
            "environmentVariables",
        ),
        (files.is_some(), path.key("outputArtifacts").index(files.unwrap_or(0)).key("files"), "outputArtifacts.files"),
    ];
    for (there, path, field) in misplaced {
        if there {
            let message =
                format!("{} {name} uses the field {field}, which is only valid for the Commands {what}", capital(what));
            let hint = match (field, provider) {
                ("environmentVariables", "CodeBuild") => {
                    Some("CodeBuild takes them as JSON in the configuration key EnvironmentVariables.".to_owned())
                }
                _ => Some(format!("Remove {field} from the {what}.")),
            };
            refuse(rules, path, what, message, hint);
        }
    }
}
