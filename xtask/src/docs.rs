//! `cargo xtask docs`: writes docs/providers from the catalogue's entries, so that the pages cannot drift from the code.
//! The catalogue itself prints the pages (an example of the providers crate); this only puts them in their place.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::shell;

const DIRECTORY: &str = "docs/providers";

pub fn run(root: &Path, arguments: &[String]) -> Result<ExitCode, String> {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        other => return Err(format!("there are no arguments {other:?}; `--check` only compares")),
    };
    let target = if check {
        std::env::temp_dir().join(format!("towpath-docs-{}", std::process::id()))
    } else {
        root.join(DIRECTORY)
    };
    std::fs::create_dir_all(&target).map_err(|e| format!("cannot make {}: {e}", target.display()))?;
    shell::must(
        Command::new("cargo")
            .args(["run", "--quiet", "-p", "towpath-providers", "--example", "pages", "--"])
            .arg(&target)
            .current_dir(root),
        "the catalogue cannot print its pages",
    )?;
    if !check {
        return Ok(ExitCode::SUCCESS);
    }
    let same = shell::succeeds(Command::new("diff").arg("-r").arg(root.join(DIRECTORY)).arg(&target));
    let _ = std::fs::remove_dir_all(&target);
    if same { Ok(ExitCode::SUCCESS) } else { Err(format!("{DIRECTORY} is out of date; run `cargo xtask docs`")) }
}
