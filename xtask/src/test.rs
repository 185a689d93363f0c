//! `cargo xtask test`: everything a fresh machine needs to run every test, then the tests. Arguments go to the runner.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::shell;

/// Clients that nobody here wrote. Pinned, so that a red run is ours.
const PYTHON_PACKAGES: &str = "tests/requirements.txt";
/// The AWS SDK of the tests' Lambda functions, with its lock file.
const NODE_PACKAGES: &str = "tests/node";

pub fn run(root: &Path, arguments: &[String]) -> Result<ExitCode, String> {
    let python = python(root)?;
    node(root)?;
    let nextest = shell::succeeds(Command::new("cargo").args(["nextest", "--version"]));
    let mut tests = Command::new("cargo");
    if nextest {
        tests.args(["nextest", "run", "--workspace"]);
    } else {
        shell::say("cargo-nextest is not installed; the tests run under `cargo test`, which is slower");
        tests.args(["test", "--workspace"]);
    }
    tests.args(arguments).current_dir(root).env("TOWPATH_TEST_PYTHON", python);
    shell::status(&mut tests)
}

/// The project's own Python environment with boto3 and the AWS CLI.
pub fn python(root: &Path) -> Result<PathBuf, String> {
    let venv = root.join(".venv");
    let python = venv.join("bin/python");
    let wanted = std::fs::read_to_string(root.join(PYTHON_PACKAGES))
        .map_err(|error| format!("{PYTHON_PACKAGES} cannot be read: {error}"))?;
    let stamp = venv.join("requirements.installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    shell::say("installing boto3, the AWS CLI and moto into .venv");
    shell::must(
        Command::new("python3").args(["-m", "venv"]).arg(&venv),
        "python3 with its venv module is needed (Debian: python3-venv)",
    )?;
    shell::must(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(root.join(PYTHON_PACKAGES)),
        "the packages of tests/requirements.txt could not be installed; is PyPI reachable?",
    )?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("{} cannot be written: {error}", stamp.display()))?;
    Ok(python)
}

/// The packages that functions in Node.js bring along. Node.js itself is the machine's own, as it is a server's.
fn node(root: &Path) -> Result<(), String> {
    let packages = root.join(NODE_PACKAGES);
    let lock = packages.join("package-lock.json");
    let wanted =
        std::fs::read_to_string(&lock).map_err(|error| format!("{} cannot be read: {error}", lock.display()))?;
    let stamp = packages.join("node_modules").join("installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    shell::say("installing the AWS SDK for Node.js into tests/node");
    shell::must(
        Command::new("npm").args(["ci", "--ignore-scripts", "--loglevel=error"]).current_dir(&packages),
        "npm and Node.js 18 or newer are needed (Debian: npm, nodejs), and the npm registry must be reachable",
    )?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("{} cannot be written: {error}", stamp.display()))
}
