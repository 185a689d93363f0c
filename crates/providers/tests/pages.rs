//! The committed reference pages are what the catalogue says.

use std::path::Path;

use towpath_model::catalogue::ActionTypes as _;
use towpath_providers::docs::{docs_file_name, docs_page};
use towpath_providers::{Catalogue, Settings};

#[test]
fn the_pages_are_what_the_catalogue_says() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers");
    for entry in Catalogue::new(Settings { rehearsal: true }).all() {
        let name = docs_file_name(entry);
        let page = std::fs::read_to_string(pages.join(&name)).unwrap_or_default();
        assert_eq!(page, docs_page(entry), "docs/providers/{name} is out of date; run `cargo xtask docs`");
    }
}
