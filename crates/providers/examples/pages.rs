//! Writes the reference page of every action and rule type into a directory: what `cargo xtask docs` runs.

use towpath_model::catalogue::ActionTypes as _;
use towpath_providers::docs::{docs_file_name, docs_page};
use towpath_providers::{Catalogue, Settings};

fn main() -> std::io::Result<()> {
    let directory = std::env::args().nth(1).ok_or_else(|| std::io::Error::other("name the directory to write to"))?;
    let directory = std::path::Path::new(&directory);
    let catalogue = Catalogue::new(Settings { rehearsal: true });
    let mut index = String::from(
        "# Action and rule types\n\nGenerated from the catalogue by `cargo xtask docs`. One page per type.\n\n",
    );
    for entry in catalogue.all() {
        let name = docs_file_name(entry);
        std::fs::write(directory.join(&name), docs_page(entry))?;
        let id = &entry.id;
        let line = [id.category.as_str(), id.owner.as_str(), &id.provider].join(" / ");
        index.push_str(&["- [", &line, "](", &name, ")\n"].concat());
    }
    std::fs::write(directory.join("README.md"), index)
}
