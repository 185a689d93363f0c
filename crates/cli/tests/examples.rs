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
        // Beside the examples lie scripts that use them.
        if !path.is_dir() {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let checked = check(&path, None, &nothing).unwrap_or_else(|e| panic!("{name}: {}", e.render()));
        let told: Vec<String> = checked.reports.iter().flat_map(|r| &r.problems).map(|p| p.message.clone()).collect();
        assert_eq!(told, Vec::<String>::new(), "{name}");
        assert!(path.join("README.md").is_file(), "{name} has a README");
        seen.push(name);
    }
    seen.sort();
    assert_eq!(
        seen,
        ["cloudformation", "partners", "progressive-delivery", "python-package", "rehearsal", "static-site"]
    );
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

/// Runs the real program over a copy of an example, as a user without a terminal would.
fn run(example: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    copy(&examples().join(example), &directory.path().join(example));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_towpath"))
        .args(["run", example])
        .current_dir(directory.path())
        .env("TOWPATH_REDACT", "1")
        .env_remove("TOWPATH_DATA_DIR")
        .env_remove("TOWPATH_CONFIG")
        .env_remove("TOWPATH_LOG")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    // What the build's agent says of itself, and the revision, are new every time.
    let same =
        |line: &&str| !line.contains("[Container]") && !line.contains("version id") && !line.contains("revision");
    let out: Vec<&str> = out.lines().filter(same).collect();
    format!("{}\n{err}exit {}\n", out.join("\n"), output.status.code().unwrap())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // Somebody may have run the example in place.
        if entry.file_name() == ".towpath" {
            continue;
        }
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn the_rehearsal_runs() {
    insta::assert_snapshot!(run("rehearsal"));
}

#[test]
fn the_static_site_runs() {
    insta::assert_snapshot!(run("static-site"));
}
