//! The catalogue agrees with what AWS documents of each type: artifact bounds, default timeout, V2 only, console links.
//! The documented facts are data (`action_types.txt`), of all types, whether they are here yet or not.

use std::collections::BTreeMap;

use towpath_model::catalogue::{ActionTypeEntry, ActionTypes as _, Bounds, Category, Owner};
use towpath_providers::{Catalogue, Settings};

/// The columns after the id, as the table writes them.
type Row = [String; 5];

const TABLE: &str = include_str!("action_types.txt");

fn documented() -> BTreeMap<String, Row> {
    let lines = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let rows = lines.map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [category, owner, provider, version, facts @ ..] = words.as_slice() else { panic!("a row: {line}") };
        let facts: Vec<String> = facts.iter().map(|word| (*word).to_owned()).collect();
        (
            format!("{category} {owner} {provider} {version}"),
            facts.try_into().unwrap_or_else(|_| panic!("a row: {line}")),
        )
    });
    rows.collect()
}

fn id(entry: &ActionTypeEntry) -> String {
    let id = &entry.id;
    format!("{} {} {} {}", id.category.as_str(), id.owner.as_str(), id.provider, id.version)
}

fn bounds(bounds: Bounds) -> String {
    if bounds.min == bounds.max { bounds.min.to_string() } else { format!("{}-{}", bounds.min, bounds.max) }
}

#[test]
fn every_type_is_as_documented() {
    let documented = documented();
    assert_eq!(
        documented.len(),
        TABLE.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).count(),
        "no row twice"
    );
    for entry in Catalogue::new(Settings::default()).all() {
        let id = id(entry);
        let row = documented.get(&id).unwrap_or_else(|| panic!("{id} has no row in action_types.txt"));
        let mut ours = [
            bounds(entry.inputs),
            bounds(entry.outputs),
            if entry.v2_only { "yes" } else { "no" }.to_owned(),
            entry.default_timeout_minutes.to_string(),
            entry.entity_url_template.clone().unwrap_or_else(|| "-".to_owned()),
        ];
        if row[4] == "-" {
            "-".clone_into(&mut ours[4]);
        }
        assert_eq!(&ours, row, "{id}");
    }
}

#[test]
fn owners_and_timeouts_are_of_the_category() {
    for entry in Catalogue::new(Settings { rehearsal: true }).all() {
        let id = &entry.id;
        let is_rule = id.category == Category::Rule;
        let of_aws = is_rule || id.provider != "Rehearsal";
        assert!(!of_aws || id.owner != Owner::Custom, "{id:?}: only Rehearsal is a custom type");
        // The rules' timeouts and the approval's may be set; of AWS's other types none is documented.
        let may_be_set = is_rule || id.category == Category::Approval || id.owner == Owner::Custom;
        assert!(!entry.timeout_configurable || may_be_set, "{id:?}");
        assert!(
            id.category != Category::Source || (entry.inputs == Bounds::new(0, 0)),
            "{id:?}: a source has no inputs"
        );
        let page = "https://docs.aws.amazon.com/codepipeline/latest/userguide/";
        assert!(id.provider == "Rehearsal" || entry.documentation.starts_with(page), "{id:?}");
    }
}

#[test]
fn links_name_what_is_known_when_they_are_drawn() {
    for entry in Catalogue::new(Settings { rehearsal: true }).all() {
        let templates = [&entry.entity_url_template, &entry.revision_url_template, &entry.execution_url_template];
        for (place, template) in templates.into_iter().enumerate() {
            let Some(template) = template else { continue };
            assert!(template.starts_with("https://") && template.len() <= 2048, "{:?}: {template}", entry.id);
            for placeholder in template.split('{').skip(1) {
                let (name, _) = placeholder.split_once('}').unwrap_or_else(|| panic!("{template}"));
                let is_revision = name == "RevisionId" && place == 1;
                let is_execution = name == "ExternalExecutionId" && place == 2;
                let property = name.strip_prefix("Config:").and_then(|name| entry.property(name));
                let is_known = property.is_some_and(|property| property.required && !property.secret);
                assert!(is_revision || is_execution || is_known, "{:?}: {template} names {name}", entry.id);
            }
        }
    }
}
