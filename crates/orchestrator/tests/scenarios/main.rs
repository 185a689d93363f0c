//! Every file of `scenarios/`, on every store: the rules of executions.md, each proven by data. `cargo nextest run -p
//! towpath-orchestrator --test scenarios NAME` runs one.

mod bench;
mod declare;
mod file;
mod names;
mod seen;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use towpath_store::{MemoryStore, PostgresStore, SqliteStore, Store, testing};

fn main() {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let mut files = Vec::new();
    find(&root, &mut files);
    files.sort();
    let mut trials = Vec::new();
    for path in files {
        let name = path.strip_prefix(&root).unwrap_or(&path).with_extension("").display().to_string();
        let of = path.clone();
        trials.push(Trial::test(format!("memory::{name}"), move || run(&of, Arc::new(MemoryStore::new()))));
        let on_postgres_path = path.clone();
        trials.push(Trial::test(format!("sqlite::{name}"), move || on_sqlite(&path)));
        trials.push(Trial::test(format!("postgres::{name}"), move || on_postgres(&on_postgres_path)));
    }
    // A directory that was moved must not make every scenario pass.
    assert!(trials.len() > 300, "found {} scenarios below {}", trials.len() / 3, root.display());
    libtest_mimic::run(&arguments, trials).exit();
}

fn find(directory: &Path, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries {
        let path = entry.expect("a directory can be read").path();
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
}

fn run(path: &Path, store: Arc<dyn Store>) -> Result<(), Failed> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let wrong = |error: &dyn std::fmt::Display| Failed::from(format!("{}: {error}", path.display()));
    let value: serde_json::Value = serde_yaml_ng::from_str(&text).map_err(|error| wrong(&error))?;
    let scenario: file::Scenario = serde_json::from_value(value).map_err(|error| wrong(&error))?;
    bench::run(&scenario, store).map_err(|error| Failed::from(format!("{}\n{error}", scenario.rule)))
}

/// On a real PostgreSQL, where one is installed; the store says so on stderr where not.
fn on_postgres(path: &Path) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let _inside = runtime.enter();
    let Some(url) = runtime.block_on(testing::postgres_url()) else { return Ok(()) };
    let store = runtime.block_on(PostgresStore::connect(&url))?;
    run(path, Arc::new(store))
}

fn on_sqlite(path: &Path) -> Result<(), Failed> {
    // The store reads on tokio's threads; the world waits for them in virtual time.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let _inside = runtime.enter();
    let directory = tempfile::tempdir()?;
    let store = SqliteStore::open(directory.path())?;
    run(path, Arc::new(store))
}
