//! The Python environment that `cargo xtask test` makes, and the scripts that run in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::server::Server;

const VARIABLE: &str = "TOWPATH_TEST_PYTHON";

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients")
}

/// A command that runs a script of `tests/clients`, with no AWS settings but those it is given.
fn script(name: &str) -> Command {
    let python = std::env::var_os(VARIABLE).unwrap_or_else(|| {
        panic!("{VARIABLE} is not set: boto3 and the AWS CLI are needed. Run `cargo xtask test`, which installs them")
    });
    let mut command = Command::new(python);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command.arg(scripts().join(name)).env("TOWPATH_TEST_BINARY", env!("CARGO_BIN_EXE_towpath"));
    // The checkout stays as it is, and nothing of the user's own AWS set-up is read.
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs one scenario of a script against a server of its own.
pub fn against_a_server(name: &str, scenario: &str) {
    let server = Server::start();
    let output = script(name)
        .arg(scenario)
        .env("AWS_ENDPOINT_URL", &server.url)
        .env("AWS_SHARED_CREDENTIALS_FILE", server.credentials())
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("TOWPATH_TEST_DIRECTORY", server.directory())
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{name} {scenario}:\n{}\nserver:\n{}", told(&output), server.log());
}

/// Runs a shell script of an example against a server of its own, with the AWS CLI of that environment; answers what it
/// printed.
pub fn shell_against_a_server(path: &str) -> String {
    let server = Server::start();
    let python = script("harness.py").get_program().to_owned();
    let tools = Path::new(&python).parent().map(Path::to_owned).unwrap_or_default();
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(tools).chain(std::env::split_paths(&paths));
    let output = Command::new("sh")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path))
        .env("PATH", std::env::join_paths(paths).expect("a PATH"))
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ENDPOINT_URL", &server.url)
        .env("AWS_SHARED_CREDENTIALS_FILE", server.credentials())
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .output()
        .expect("sh runs");
    assert!(output.status.success(), "{path}:\n{}\nserver:\n{}", told(&output), server.log());
    told(&output)
}

/// Runs one scenario that starts and ends its servers itself.
pub fn alone(name: &str, scenario: &str) {
    run(script(name), name, scenario);
}

/// The same, with an empty PostgreSQL database. Where none is installed this proves nothing, and says so.
pub fn with_a_database(name: &str, scenario: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let Some(url) = runtime.block_on(towpath_store::testing::postgres_url()) else { return };
    let mut script = script(name);
    script.env("TOWPATH_TEST_DATABASE_URL", url);
    run(script, name, scenario);
}

fn run(mut script: Command, name: &str, scenario: &str) {
    let output = script.arg(scenario).output().expect("python runs");
    assert!(output.status.success(), "{name} {scenario}:\n{}", told(&output));
    #[expect(clippy::print_stderr, reason = "the seed, and what this machine does not let it test")]
    {
        eprint!("{}", told(&output));
    }
}

/// The scenarios that a script has.
pub fn scenarios(name: &str) -> Vec<String> {
    let output = script(name).arg("--list").output().expect("python runs");
    assert!(output.status.success(), "{name}:\n{}", told(&output));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}
