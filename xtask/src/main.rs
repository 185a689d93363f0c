//! Development tasks, run as `cargo xtask COMMAND`. Each command is one file with a `run` function and one line below.
//! Nothing here is part of the product.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to its terminal")]

mod api_table;
mod bench;
mod docs;
mod generate;
mod generate_model;
mod generate_render;
mod shell;
mod simulate;
mod test;
mod tidy;
mod tidy_source;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What a command answers: its exit code, or a message for the person who ran it.
type Outcome = Result<ExitCode, String>;

struct Command {
    name: &'static str,
    usage: &'static str,
    run: fn(&Path, &[String]) -> Outcome,
}

/// Every command, alphabetically.
const COMMANDS: &[Command] = &[
    Command {
        name: "api-table",
        usage: "api-table DIR        write docs/api.md from what a test run noted in DIR; --check DIR only looks",
        run: api_table::run,
    },
    Command { name: "bench", usage: "bench [--clone]      measure, beside the goals", run: bench::run },
    Command { name: "docs", usage: "docs                 write docs/providers from the catalogue", run: docs::run },
    Command {
        name: "generate",
        usage: "generate [--check]   write crates/wire/src/generated from models/",
        run: generate::run,
    },
    Command {
        name: "simulate",
        usage: "simulate --seeds N   run the seeded simulation; --seed S replays one",
        run: simulate::run,
    },
    Command { name: "test", usage: "test [ARGS...]       set everything up, then run every test", run: test::run },
    Command { name: "tidy", usage: "tidy                 check the house rules of the source tree", run: tidy::run },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(command) = arguments.first().and_then(|name| COMMANDS.iter().find(|c| c.name == name)) else {
        eprintln!("usage: cargo xtask COMMAND");
        for command in COMMANDS {
            eprintln!("  {}", command.usage);
        }
        return ExitCode::from(2);
    };
    match (command.run)(&workspace_root(), &arguments[1..]) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("xtask {}: {message}", command.name);
            ExitCode::FAILURE
        }
    }
}

/// The workspace is the parent of this crate, wherever it was cloned.
fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}
