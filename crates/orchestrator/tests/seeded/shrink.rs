//! Makes a failing case small: commands and faults are left out, one by one, as long as it still fails.

use crate::seeded::case::{self, Case};
use crate::seeded::drive::{self, Failure};

/// Runs a shrinking may take; each is a fraction of a second.
const RUNS_MAX: usize = 600;

/// Runs the case of a seed; a failing one is answered as the shortest history that was found, ready to be printed.
pub fn check(seed: u64) -> Result<drive::Report, String> {
    check_case(case::of(seed))
}

pub fn check_case(case: Case) -> Result<drive::Report, String> {
    match drive::run(&case) {
        Ok(report) => Ok(report),
        Err(failure) => {
            let (smaller, failure) = shrink(case, failure);
            Err(tell(&smaller, &failure))
        }
    }
}

fn shrink(mut case: Case, mut failure: Failure) -> (Case, Failure) {
    let mut runs = 0;
    loop {
        let mut smaller = None;
        for candidate in candidates(&case) {
            runs += 1;
            if runs > RUNS_MAX {
                return (case, failure);
            }
            if let Err(found) = drive::run(&candidate)
                && found.story.len() <= failure.story.len()
            {
                smaller = Some((candidate, found));
                break;
            }
        }
        match smaller {
            Some(found) => (case, failure) = found,
            None => return (case, failure),
        }
    }
}

/// The case with something left out: the latter half of the commands first, then each thing alone.
fn candidates(case: &Case) -> Vec<Case> {
    let mut found = Vec::new();
    if case.commands.len() > 3 {
        found.push(Case { commands: case.commands[..case.commands.len() / 2].to_vec(), ..case.clone() });
    }
    for at in (0..case.faults.len()).rev() {
        let mut smaller = case.clone();
        smaller.faults.remove(at);
        found.push(smaller);
    }
    for at in (1..case.commands.len()).rev() {
        let mut smaller = case.clone();
        smaller.commands.remove(at);
        found.push(smaller);
    }
    found
}

fn tell(case: &Case, failure: &Failure) -> String {
    let mut text = vec![format!("seed {}: {}", case.seed, failure.message), String::new()];
    text.push("the definitions:".to_owned());
    for version in &case.versions {
        text.push(format!("  {}", serde_json::to_string(version).unwrap_or_default()));
    }
    text.push(format!("the faults: {:?}", case.faults));
    text.push("the shortest history found that ends like this:".to_owned());
    text.extend(failure.story.iter().map(|line| format!("  {line}")));
    text.push(String::new());
    text.push(format!("again: cargo xtask simulate --seed {}", case.seed));
    text.join("\n")
}
