//! `cargo xtask docs`: writes docs/providers from the catalogue's entries. The catalogue itself prints the pages (an
//! example of the providers crate); this only puts them in their place. A test of that crate keeps them current.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::shell;

const DIRECTORY: &str = "docs/providers";

pub fn run(root: &Path, arguments: &[String]) -> Result<ExitCode, String> {
    if !arguments.is_empty() {
        return Err(format!("there are no arguments {arguments:?}"));
    }
    let target = root.join(DIRECTORY);
    std::fs::create_dir_all(&target).map_err(|e| format!("cannot make {}: {e}", target.display()))?;
    let pages = "run --quiet -p towpath-providers --example pages --";
    shell::must(
        Command::new("cargo").args(pages.split(' ')).arg(&target).current_dir(root),
        "the catalogue cannot print its pages",
    )?;
    Ok(ExitCode::SUCCESS)
}
