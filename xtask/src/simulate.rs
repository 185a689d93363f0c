//! `cargo xtask simulate --seeds N | --seed S`: the seeded simulation of engine, store and orchestrator. CI runs 2,000
//! seeds as tests; this runs as many as you like, or one of them with its whole story.

use std::path::Path;
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask simulate --seeds N [--from S] | --seed S";

pub fn run(root: &Path, arguments: &[String]) -> Result<ExitCode, String> {
    let known = ["--seeds", "--seed", "--from"];
    let pairs = arguments.chunks(2);
    let right = pairs
        .clone()
        .all(|pair| matches!(pair, [name, value] if known.contains(&name.as_str()) && value.parse::<u64>().is_ok()));
    if arguments.is_empty() || !right {
        return Err(USAGE.to_owned());
    }
    let status = Command::new("cargo")
        .args(["run", "--quiet", "-p", "towpath-orchestrator", "--example", "simulate", "--"])
        .args(arguments)
        .current_dir(root)
        .status()
        .map_err(|e| format!("the simulation cannot be started: {e}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
