//! The examples of the reference pages (docs/providers) are valid: the shipped `towpath validate` takes each of them, with
//! the towpath.toml that the page shows.

use std::path::Path;
use std::process::{Command, Stdio};

use towpath_providers::docs::Supplement;

#[test]
fn every_example_of_a_reference_page_is_valid() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../providers/pages");
    let mut tried = 0;
    let mut refused = Vec::new();
    for entry in std::fs::read_dir(pages).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let supplement =
            Supplement::read(&text).unwrap_or_else(|error| panic!("crates/providers/pages/{name}: {error}"));
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("pipeline.yaml"), supplement.pipeline).unwrap();
        if let Some(config) = supplement.config {
            std::fs::write(directory.path().join("towpath.toml"), config).unwrap();
        }
        let output = Command::new(env!("CARGO_BIN_EXE_towpath"))
            .args(["validate", "pipeline.yaml"])
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        if !output.status.success() || !told.contains("pipeline.yaml: valid") {
            refused.push(format!("crates/providers/pages/{name}:\n{told}"));
        }
        tried += 1;
    }
    assert!(tried > 0, "there are no pages");
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}
