//! Runs seeds of the simulation: `cargo xtask simulate --seeds N`, or one of them with its whole story, `--seed S`.

#[path = "../tests/seeded/mod.rs"]
mod seeded;

use std::collections::BTreeMap;
use std::process::ExitCode;

use seeded::shrink;

#[expect(clippy::print_stdout, reason = "the story is its output")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    if let Some(seed) = value("--seed") {
        return match shrink::check(seed) {
            Ok(report) => {
                println!("{}\n{} commits", report.history.join("\n"), report.commits);
                ExitCode::SUCCESS
            }
            Err(story) => {
                println!("{story}");
                ExitCode::FAILURE
            }
        };
    }
    let Some(seeds) = value("--seeds") else {
        println!("usage: cargo xtask simulate --seeds N | --seed S");
        return ExitCode::from(2);
    };
    let from = value("--from").unwrap_or(0);
    let mut commits = 0;
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    for seed in from..from.saturating_add(seeds) {
        match shrink::check(seed) {
            Ok(report) => {
                commits += report.commits;
                for (answer, count) in report.answers {
                    *answers.entry(answer).or_default() += count;
                }
            }
            Err(story) => {
                println!("{story}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{seeds} seeds, {commits} commits, every invariant held after each");
    for (answer, count) in answers {
        println!("  {count:7} {answer}");
    }
    ExitCode::SUCCESS
}
