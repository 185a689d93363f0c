//! The committed reference pages are what the catalogue and the supplements say, and every one has an example of its type.
//! That the examples are valid is tested where pipeline files are read (`crates/cli/tests/pages.rs`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use towpath_model::catalogue::{ActionTypes as _, Owner};
use towpath_providers::docs::{Supplement, SupplementError, docs_file_name, docs_page};
use towpath_providers::{Catalogue, Service, Settings};

fn supplements() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pages")
}

fn supplement(name: &str) -> String {
    std::fs::read_to_string(supplements().join(name)).unwrap_or_else(|error| {
        panic!("crates/providers/pages/{name}: {error}. Every type has one; CONTRIBUTING.md says what is in it")
    })
}

#[test]
fn the_pages_are_what_the_catalogue_says() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers");
    let catalogue = Catalogue::new(Settings { rehearsal: true });
    for (entry, service) in catalogue.described() {
        let name = docs_file_name(entry);
        let text = supplement(&name);
        let supplement =
            Supplement::read(&text).unwrap_or_else(|error| panic!("crates/providers/pages/{name}: {error}"));
        let page = std::fs::read_to_string(pages.join(&name)).unwrap_or_default();
        assert_eq!(
            page,
            docs_page(entry, service, &supplement),
            "docs/providers/{name} is out of date; run `cargo xtask docs`"
        );
        for property in &entry.properties {
            assert!(page.contains(&format!("| `{}` |", property.name)), "{page}");
        }
        let word = format!("provider: {}", entry.id.provider);
        assert!(supplement.pipeline.contains(&word), "the example of {name} does not show \"{word}\"");
    }
}

#[test]
fn no_page_is_left_of_a_type_that_is_gone() {
    let names = |directory: PathBuf| -> BTreeSet<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).filter(|n| n != "README.md").collect()
    };
    let catalogue = Catalogue::new(Settings { rehearsal: true });
    let types: BTreeSet<String> = catalogue.all().into_iter().map(docs_file_name).collect();
    assert_eq!(names(supplements()), types);
    assert_eq!(names(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers")), types);
}

#[test]
fn a_page_is_what_is_declared_and_then_what_is_told() {
    let catalogue = Catalogue::new(Settings::default());
    let (s3, service) = catalogue.described().find(|(entry, _)| docs_file_name(entry) == "source-aws-s3.md").unwrap();
    let text =
        "## Permissions\n\n- `s3:GetObject`: to read\n\n## Errors\n\nSome.\n\n## Example\n\n```yaml\nname: x\n```\n";
    let page = docs_page(s3, service, &Supplement::read(text).unwrap());
    assert!(page.starts_with("# Source / AWS / S3 (version 1)\n\nTakes one object of a versioned"), "{page}");
    assert!(page.contains("- Realm: Towpath's own Amazon S3, unless a `[realm.NAME]`"), "{page}");
    assert!(
        page.contains("## Output variables\n\n- `BucketName`\n- `ETag`\n- `ObjectKey`\n- `VersionId`\n\n## Per"),
        "{page}"
    );
    assert!(page.ends_with(text), "{page}");
}

#[test]
fn a_supplement_has_all_its_sections() {
    let whole = "## Permissions\n\nNone: it calls nothing.\n\n## Errors\n\nSome.\n\n## Example\n\n```toml\n[a]\n```\n\n\
                 ```yaml\nname: x\nstages: []\n```\n";
    let read = Supplement::read(whole).unwrap();
    assert_eq!((read.pipeline, read.config), ("name: x\nstages: []", Some("[a]")));
    let with = |from: &str, to: &str| Supplement::read(&whole.replace(from, to)).unwrap_err();
    assert!(matches!(with("## Errors", "## Mistakes"), SupplementError::Sections { .. }));
    assert!(matches!(with("## Permissions", "Some words\n\n## Permissions"), SupplementError::Sections { .. }));
    assert_eq!(with("Some.", ""), SupplementError::Empty("Errors"));
    assert_eq!(with("```yaml", "```"), SupplementError::Example);
    let line = "- s3:GetObject".to_owned();
    assert_eq!(with("None: it calls nothing.", "- s3:GetObject"), SupplementError::Permission { line });
    let line = "Nothing.".to_owned();
    assert_eq!(with("None: it calls nothing.", "Nothing."), SupplementError::Permission { line });
}

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whoever has an account finds each of them in the checklist, and everybody what it has run against until then.
#[test]
fn every_type_is_told_of_where_it_was_not_tried_on_aws() {
    let deviations = document("deviations.md");
    let section = deviations.split("\n## Not yet tried on AWS itself\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let checklist = document("try-on-aws.md");
    // Those are Towpath's own work, with nothing of AWS in it.
    let inside = ["DeploymentWindow", "Rehearsal", "VariableCheck"];
    for entry in Catalogue::new(Settings { rehearsal: true }).all() {
        let provider = entry.id.provider.as_str();
        if inside.contains(&provider) || entry.id.owner == Owner::Custom {
            continue;
        }
        let named = |text: &str| text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == provider);
        assert!(named(section), "docs/deviations.md does not say what {provider} has run against");
        assert!(named(&checklist), "docs/try-on-aws.md does not say how {provider} is tried");
    }
}

#[test]
fn every_service_that_may_have_an_endpoint_is_listed() {
    let keys = document("towpath-toml.md");
    let row = keys.lines().find(|line| line.starts_with("| `[realm.NAME.endpoints]` |")).unwrap();
    for service in Service::ALL {
        let is_named = row.split('`').any(|part| part.split(' ').next() == Some(service.id()));
        assert!(is_named, "docs/towpath-toml.md does not list the endpoint {}", service.id());
    }
}
