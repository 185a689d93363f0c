//! The examples that ship are files a user would write: they are read as strictly, and nothing about them is warned of.

use std::path::{Path, PathBuf};

use towpath_cli::commands::validate::{actions, check, is_codebuild, projects};
use towpath_cli::config::Config;
use towpath_cli::host::Violation;
use towpath_model::declaration::PipelineDeclaration;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn nothing(_: &PipelineDeclaration, _: &str, _: &Config) -> Vec<Violation> {
    Vec::new()
}

#[test]
fn every_example_is_read_without_a_word() {
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(examples()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let checked = check(&path, None, &nothing).unwrap_or_else(|e| panic!("{name}: {}", e.render()));
        let told: Vec<String> = checked.reports.iter().flat_map(|r| &r.problems).map(|p| p.message.clone()).collect();
        assert_eq!(told, Vec::<String>::new(), "{name}");
        assert!(path.join("README.md").is_file(), "{name} has a README");
        seen.push(name);
    }
    seen.sort();
    assert_eq!(seen, ["python-package", "rehearsal", "static-site"]);
}

#[test]
fn the_python_package_is_the_main_job() {
    let checked = check(&examples().join("python-package"), None, &nothing).unwrap();
    let declaration = &checked.file.declaration;
    let stages: Vec<&str> = declaration.stages.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(stages, ["Source", "Build", "Test", "Approve", "Deploy"]);
    let tests = &declaration.stage("Test").unwrap().actions;
    assert_eq!(tests.iter().map(|a| a.run_order).collect::<Vec<_>>(), [1, 1], "side by side");
    assert!(actions(declaration).filter(|a| is_codebuild(a)).count() == 3 && projects(declaration).len() == 2);
    for project in projects(declaration) {
        assert!(checked.config.config.projects.contains_key(project), "towpath.toml says how to make {project}");
    }
}
