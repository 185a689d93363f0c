//! Lengths, patterns, enumerations and sizes of lists: the constraints of the wire model, in the words of its
//! ValidationException.

use std::ops::RangeInclusive;

use towpath_model::declaration::{ActionDeclaration, ArtifactStore, Condition, RuleDeclaration, StageDeclaration};

use super::{Path, Rules, ViolationCode};

const NAME: Pattern = Pattern { text: r"[A-Za-z0-9.@\-_]+", extra: ".@-_" };
const ARTIFACT: Pattern = Pattern { text: r"[a-zA-Z0-9_\-]+", extra: "_-" };
const NAMESPACE: Pattern = Pattern { text: r"[A-Za-z0-9@\-_]+", extra: "@-_" };
const TYPE: Pattern = Pattern { text: r"[0-9A-Za-z_-]+", extra: "_-" };
const BUCKET: Pattern = Pattern { text: r"[a-zA-Z0-9\-\.]+", extra: "-." };
const ENVIRONMENT_NAME: Pattern = Pattern { text: r"[A-Za-z0-9_]+", extra: "_" };
const ROLE_PATTERN: &str = r"arn:aws(-[\w]+)*:iam::[0-9]{12}:role/.*";

/// Letters, digits and a few more, at least one.
struct Pattern {
    text: &'static str,
    extra: &'static str,
}

impl Pattern {
    fn matches(&self, value: &str) -> bool {
        !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || self.extra.contains(c))
    }
}

pub(super) fn check(rules: &mut Rules) {
    let declaration = rules.declaration;
    let root = Path::root();
    name(rules, &root.key("name"), &declaration.name);
    role(rules, &root.key("roleArn"), &declaration.role_arn);
    if let Some(one) = &declaration.artifact_store {
        store(rules, &root.key("artifactStore"), one);
    }
    for (region, one) in declaration.artifact_stores.iter().flatten() {
        let path = root.key("artifactStores");
        if !(4..=30).contains(&chars(region)) {
            let bound = "Map keys must satisfy constraint: [Member must have length less than or equal to 30, Member must \
                         have length greater than or equal to 4]";
            constraint(rules, &path, bound, Some(format!("'{region}' is no Region name.")));
        }
        store(rules, &path.key(region), one);
    }
    if declaration.version == Some(0) {
        constraint(rules, &root.key("version"), "Member must have value greater than or equal to 1", None);
    }
    if let Some(variables) = &declaration.variables {
        let path = root.key("variables");
        size(rules, &path, variables.len(), 0..=50);
        for (i, variable) in variables.iter().enumerate() {
            let path = path.index(i);
            text(rules, &path.key("name"), &variable.name, 1..=128, Some(&NAMESPACE));
            if let Some(value) = &variable.default_value {
                text(rules, &path.key("defaultValue"), value, 1..=1000, None);
            }
            if let Some(description) = &variable.description {
                text(rules, &path.key("description"), description, 0..=200, None);
            }
        }
    }
    if let Some(triggers) = &declaration.triggers {
        size(rules, &root.key("triggers"), triggers.len(), 0..=50);
    }
    for (s, one) in declaration.stages.iter().enumerate() {
        stage(rules, &Path::stage(s), one);
    }
}

fn store(rules: &mut Rules, path: &Path, store: &ArtifactStore) {
    one_of(rules, &path.key("type"), &store.kind, &["S3"]);
    text(rules, &path.key("location"), &store.location, 3..=63, Some(&BUCKET));
    if let Some(key) = &store.encryption_key {
        let path = path.key("encryptionKey");
        text(rules, &path.key("id"), &key.id, 1..=400, None);
        one_of(rules, &path.key("type"), &key.kind, &["KMS"]);
        rules.add(
            path,
            ViolationCode::InvalidStructure,
            "Artifact stores with an encryptionKey of their own are not in this version of Towpath yet.",
            Some("Remove `encryptionKey`; KMS keys come with the embedded KMS.".to_owned()),
        );
    }
}

fn stage(rules: &mut Rules, path: &Path, stage: &StageDeclaration) {
    name(rules, &path.key("name"), &stage.name);
    for (i, blocker) in stage.blockers.iter().flatten().enumerate() {
        let path = path.key("blockers").index(i);
        text(rules, &path.key("name"), &blocker.name, 1..=100, None);
        one_of(rules, &path.key("type"), &blocker.kind, &["Schedule"]);
    }
    for (key, gate) in [("beforeEntry", &stage.before_entry), ("onSuccess", &stage.on_success)] {
        if let Some(gate) = gate {
            conditions(rules, &path.key(key).key("conditions"), &gate.conditions);
        }
    }
    if let Some(failure) = &stage.on_failure {
        let path = path.key("onFailure");
        if let Some(result) = &failure.result {
            one_of(rules, &path.key("result"), result, &["ROLLBACK", "FAIL", "RETRY", "SKIP"]);
        }
        if let Some(gate) = &failure.conditions {
            conditions(rules, &path.key("conditions"), gate);
        }
    }
    for (a, one) in stage.actions.iter().enumerate() {
        action(rules, &path.key("actions").index(a), one);
    }
}

fn conditions(rules: &mut Rules, path: &Path, conditions: &[Condition]) {
    size(rules, path, conditions.len(), 1..=1);
    for (c, condition) in conditions.iter().enumerate() {
        let path = path.index(c);
        if let Some(result) = &condition.result {
            one_of(rules, &path.key("result"), result, &["ROLLBACK", "FAIL", "RETRY", "SKIP"]);
        }
        if let Some(list) = &condition.rules {
            size(rules, &path.key("rules"), list.len(), 1..=5);
            for (r, one) in list.iter().enumerate() {
                rule(rules, &path.key("rules").index(r), one);
            }
        }
    }
}

fn rule(rules: &mut Rules, path: &Path, rule: &RuleDeclaration) {
    name(rules, &path.key("name"), &rule.name);
    let id = path.key("ruleTypeId");
    one_of(rules, &id.key("category"), &rule.rule_type_id.category, &["Rule"]);
    if let Some(owner) = &rule.rule_type_id.owner {
        one_of(rules, &id.key("owner"), owner, &["AWS"]);
    }
    text(rules, &id.key("provider"), &rule.rule_type_id.provider, 1..=35, Some(&TYPE));
    if let Some(version) = &rule.rule_type_id.version {
        text(rules, &id.key("version"), version, 1..=9, Some(&TYPE));
    }
    if let Some(configuration) = &rule.configuration {
        let path = path.key("configuration");
        size(rules, &path, configuration.len(), 0..=200);
        for (key, value) in configuration {
            entry(rules, &path, key, value, 10_000);
        }
    }
    commands(rules, path, rule.commands.as_deref());
    for (i, input) in rule.input_artifacts.iter().flatten().enumerate() {
        text(rules, &path.key("inputArtifacts").index(i).key("name"), &input.name, 1..=100, Some(&ARTIFACT));
    }
    if let Some(arn) = &rule.role_arn {
        role(rules, &path.key("roleArn"), arn);
    }
    if let Some(region) = &rule.region {
        text(rules, &path.key("region"), region, 4..=30, None);
    }
    if let Some(minutes) = rule.timeout_in_minutes {
        number(rules, &path.key("timeoutInMinutes"), minutes, 5..=86_400);
    }
}

fn action(rules: &mut Rules, path: &Path, action: &ActionDeclaration) {
    name(rules, &path.key("name"), &action.name);
    let id = path.key("actionTypeId");
    text(rules, &id.key("provider"), &action.action_type_id.provider, 1..=35, Some(&TYPE));
    text(rules, &id.key("version"), &action.action_type_id.version, 1..=9, Some(&TYPE));
    number(rules, &path.key("runOrder"), action.run_order, 1..=999);
    for (key, value) in action.configuration.iter().flatten() {
        entry(rules, &path.key("configuration"), key, value, 1000);
    }
    commands(rules, path, action.commands.as_deref());
    for (i, input) in action.input_artifacts.iter().enumerate() {
        text(rules, &path.key("inputArtifacts").index(i).key("name"), &input.name, 1..=100, Some(&ARTIFACT));
    }
    for (i, output) in action.output_artifacts.iter().enumerate() {
        let path = path.key("outputArtifacts").index(i);
        text(rules, &path.key("name"), &output.name, 1..=100, Some(&ARTIFACT));
        if let Some(files) = &output.files {
            texts(rules, &path.key("files"), files, 1..=10, 1..=128);
        }
    }
    if let Some(variables) = &action.output_variables {
        texts(rules, &path.key("outputVariables"), variables, 1..=15, 1..=128);
    }
    if let Some(arn) = &action.role_arn {
        role(rules, &path.key("roleArn"), arn);
    }
    if let Some(region) = &action.region {
        text(rules, &path.key("region"), region, 4..=30, None);
    }
    if let Some(namespace) = &action.namespace {
        text(rules, &path.key("namespace"), namespace, 1..=100, Some(&NAMESPACE));
    }
    if let Some(minutes) = action.timeout_in_minutes {
        number(rules, &path.key("timeoutInMinutes"), minutes, 5..=86_400);
    }
    if let Some(variables) = &action.environment_variables {
        let path = path.key("environmentVariables");
        size(rules, &path, variables.len(), 1..=10);
        for (i, variable) in variables.iter().enumerate() {
            let path = path.index(i);
            text(rules, &path.key("name"), &variable.name, 1..=128, Some(&ENVIRONMENT_NAME));
            text(rules, &path.key("value"), &variable.value, 1..=2000, None);
            if let Some(kind) = &variable.kind {
                one_of(rules, &path.key("type"), kind, &["PLAINTEXT", "SECRETS_MANAGER"]);
            }
        }
    }
}

fn commands(rules: &mut Rules, path: &Path, commands: Option<&[String]>) {
    let Some(commands) = commands else { return };
    let path = path.key("commands");
    // An empty list has AWS's own words where commands are required.
    if !commands.is_empty() {
        texts(rules, &path, commands, 1..=50, 1..=1000);
    }
    for (i, command) in commands.iter().enumerate() {
        if command.contains(['\n', '\r']) {
            constraint(
                rules,
                &path.index(i),
                "Member must satisfy regular expression pattern: .*",
                Some("A command is one line; write each line as a command of its own.".to_owned()),
            );
        }
    }
}

// --- kinds of constraints ---

fn constraint(rules: &mut Rules, path: &Path, constraint: &str, hint: Option<String>) {
    let message = format!("1 validation error detected: Value at '{path}' failed to satisfy constraint: {constraint}");
    rules.add(path.clone(), ViolationCode::Validation, message, hint);
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

fn name(rules: &mut Rules, path: &Path, value: &str) {
    text(rules, path, value, 1..=100, Some(&NAME));
}

fn text(rules: &mut Rules, path: &Path, value: &str, length: RangeInclusive<usize>, pattern: Option<&Pattern>) {
    let count = chars(value);
    if count > *length.end() {
        let bound = format!("Member must have length less than or equal to {}", length.end());
        constraint(rules, path, &bound, Some(format!("It has {count} characters.")));
    } else if count < *length.start() {
        let bound = format!("Member must have length greater than or equal to {}", length.start());
        constraint(rules, path, &bound, None);
    } else if let Some(pattern) = pattern
        && !value.is_empty()
        && !pattern.matches(value)
    {
        let bound = format!("Member must satisfy regular expression pattern: {}", pattern.text);
        constraint(rules, path, &bound, Some(format!("'{value}' has other characters in it.")));
    }
}

fn texts(
    rules: &mut Rules,
    path: &Path,
    values: &[String],
    count: RangeInclusive<usize>,
    length: RangeInclusive<usize>,
) {
    size(rules, path, values.len(), count);
    for (i, value) in values.iter().enumerate() {
        text(rules, &path.index(i), value, length.clone(), None);
    }
}

/// One entry of a configuration map.
fn entry(rules: &mut Rules, path: &Path, key: &str, value: &str, max: usize) {
    let bounds = |max: usize| {
        format!(
            "[Member must have length less than or equal to {max}, Member must have length greater than or equal to 1]"
        )
    };
    let message = |what: &str, max: usize| {
        format!(
            "1 validation error detected: Value at '{path}' failed to satisfy constraint: Map {what} must satisfy constraint: {}",
            bounds(max)
        )
    };
    if !(1..=50).contains(&chars(key)) {
        let hint = format!("The key '{key}' has {} characters.", chars(key));
        rules.add(path.key(key), ViolationCode::Validation, message("keys", 50), Some(hint));
    }
    if !(1..=max).contains(&chars(value)) {
        let hint = if value.is_empty() {
            format!("The value of '{key}' is empty; leave the key out instead.")
        } else {
            format!("The value of '{key}' has {} characters.", chars(value))
        };
        rules.add(path.key(key), ViolationCode::Validation, message("value", max), Some(hint));
    }
}

fn size(rules: &mut Rules, path: &Path, count: usize, bounds: RangeInclusive<usize>) {
    if count > *bounds.end() {
        let bound = format!("Member must have length less than or equal to {}", bounds.end());
        constraint(rules, path, &bound, Some(format!("There are {count}.")));
    } else if count < *bounds.start() {
        let bound = format!("Member must have length greater than or equal to {}", bounds.start());
        constraint(rules, path, &bound, None);
    }
}

fn number(rules: &mut Rules, path: &Path, value: u32, bounds: RangeInclusive<u32>) {
    if value > *bounds.end() {
        constraint(rules, path, &format!("Member must have value less than or equal to {}", bounds.end()), None);
    } else if value < *bounds.start() {
        constraint(rules, path, &format!("Member must have value greater than or equal to {}", bounds.start()), None);
    }
}

fn one_of(rules: &mut Rules, path: &Path, value: &str, allowed: &[&str]) {
    if !allowed.contains(&value) {
        let bound = format!("Member must satisfy enum value set: [{}]", allowed.join(", "));
        let hint = super::suggest::did_you_mean(value, allowed.iter().copied());
        constraint(rules, path, &bound, hint);
    }
}

fn role(rules: &mut Rules, path: &Path, arn: &str) {
    if chars(arn) > 1024 {
        constraint(rules, path, "Member must have length less than or equal to 1024", None);
    } else if !is_role(arn) {
        let bound = format!("Member must satisfy regular expression pattern: {ROLE_PATTERN}");
        constraint(rules, path, &bound, Some("A role ARN looks like arn:aws:iam::123456789012:role/NAME.".to_owned()));
    }
}

/// `arn:aws(-[\w]+)*:iam::[0-9]{12}:role/.*`
fn is_role(arn: &str) -> bool {
    let Some(rest) = arn.strip_prefix("arn:aws") else { return false };
    let Some((partition, rest)) = rest.split_once(":iam::") else { return false };
    let Some((account, name)) = rest.split_once(":role/") else { return false };
    let word = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let partition_fits =
        partition.is_empty() || partition.strip_prefix('-').is_some_and(|suffixes| suffixes.split('-').all(word));
    partition_fits && account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()) && !name.contains(['\n', '\r'])
}

#[cfg(test)]
mod tests {
    use super::is_role;

    #[test]
    fn role_arns() {
        assert!(is_role("arn:aws:iam::123456789012:role/pipeline"));
        assert!(is_role("arn:aws-us-gov:iam::123456789012:role/path/to/pipeline"));
        assert!(!is_role("arn:aws-:iam::123456789012:role/pipeline"));
        assert!(!is_role("arn:aws:iam::12345:role/pipeline"));
        assert!(!is_role("arn:aws:iam::123456789012:user/pipeline"));
        assert!(!is_role("pipeline"));
    }
}
