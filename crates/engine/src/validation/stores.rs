//! Artifact stores and Regions: which stores a pipeline must have, and which actions may leave its own Region.

use std::collections::BTreeSet;

use towpath_model::catalogue::{Category, Owner};

use super::{Path, Rules, ViolationCode, conditions};

/// A Region as AWS prints it in these messages: `US_EAST_1`.
pub(crate) fn region_enum(region: &str) -> String {
    region.to_uppercase().replace('-', "_")
}

pub(super) fn check(rules: &mut Rules) {
    let declaration = rules.declaration;
    let root = Path::root();
    match (&declaration.artifact_store, &declaration.artifact_stores) {
        (Some(_), Some(_)) => rules.add(
            root.key("artifactStores"),
            ViolationCode::InvalidStructure,
            "Pipeline should have either 'pipeline.artifactStore' or 'pipeline.artifactStores', but not both",
            Some("Keep `artifactStores` if any action runs in another Region, otherwise `artifactStore`.".to_owned()),
        ),
        (None, None) => rules.add(
            root,
            ViolationCode::InvalidStructure,
            "Pipeline should have either 'pipeline.artifactStore' or 'pipeline.artifactStores'",
            Some("Add `artifactStore: {type: S3, location: BUCKET}`.".to_owned()),
        ),
        (Some(_), None) => foreign_regions(rules),
        (None, Some(_)) => covered_regions(rules),
    }
    for (s, stage) in declaration.stages.iter().enumerate() {
        for (a, action) in stage.actions.iter().enumerate() {
            let id = &action.action_type_id;
            let stays = id.category == Category::Source || id.owner != Owner::Aws;
            if stays && action.region.as_deref().is_some_and(|region| region != rules.region) {
                rules.add(
                    Path::action(s, a).key("region"),
                    ViolationCode::InvalidActionDeclaration,
                    format!(
                        "Action '{}' must be in the region of the pipeline ({}). Source, custom and third-party actions cannot \
                         be cross-region actions.",
                        action.name, rules.region
                    ),
                    Some("Remove `region` from the action.".to_owned()),
                );
            }
        }
    }
}

fn action_regions(rules: &Rules) -> BTreeSet<String> {
    let actions = rules.declaration.stages.iter().flat_map(|stage| &stage.actions);
    let of_rules = conditions::sites(rules).into_iter().filter_map(|site| site.rule.region.clone());
    actions.filter_map(|action| action.region.clone()).chain(of_rules).collect()
}

fn foreign_regions(rules: &mut Rules) {
    if action_regions(rules).iter().any(|region| region != rules.region) {
        rules.add(
            Path::root().key("artifactStore"),
            ViolationCode::Validation,
            "Your pipeline contains actions in more than one region. Use 'pipeline.artifactStores' instead of \
             'pipeline.artifactStore' to declare an artifact store, such as an artifact bucket, for each region where you \
             have an action.",
            None,
        );
    }
}

fn covered_regions(rules: &mut Rules) {
    let path = Path::root().key("artifactStores");
    let stores: BTreeSet<&String> =
        rules.declaration.artifact_stores.iter().flatten().map(|(region, _)| region).collect();
    for region in &stores {
        if !is_region(region) {
            rules.add(
                path.key(region),
                ViolationCode::Validation,
                format!("The region {region} specified in 'pipeline.artifactStores' is not a valid AWS Region."),
                None,
            );
        }
    }
    let mut needed = action_regions(rules);
    needed.insert(rules.region.to_owned());
    for region in needed.iter().filter(|region| !stores.contains(region)) {
        rules.add(
            path.clone(),
            ViolationCode::Validation,
            format!(
                "Your pipeline must have an artifact store, such as an artifact bucket, for each region where you have an \
                 action. The following region is missing in 'pipeline.artifactStores': {region}."
            ),
            Some(format!("Add an entry '{region}' with a bucket of that Region.")),
        );
    }
}

/// `eu-west-3`, `us-gov-east-1`: words and a number.
fn is_region(region: &str) -> bool {
    let parts: Vec<&str> = region.split('-').collect();
    let Some((number, words)) = parts.split_last() else { return false };
    words.len() >= 2
        && words.iter().all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
}
