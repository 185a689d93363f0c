//! `cargo xtask tidy`: the house rules that a compiler does not check. Each rule is a pure function over a file (or over the list of
//! dependencies) and says where it is broken and how to mend it. Rules about style that clippy or rustfmt know are theirs.

use std::path::Path;
use std::process::{Command, ExitCode};

use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::Outcome;
use crate::tidy_source::{code_only, lines_with};

/// The dependency table of the design: crate, and which of ours it may depend on. The only place where it is code.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("engine", &["model"]),
    ("wire", &[]),
    ("store", &["model"]),
    ("artifacts", &["model"]),
    ("builds", &[]),
    ("git", &["model"]),
    ("providers", &["model", "artifacts", "git"]),
    ("services", &["wire", "store", "builds", "artifacts", "git", "model"]),
    ("orchestrator", &["model", "engine", "store", "providers", "artifacts"]),
    ("server", &["model", "wire", "orchestrator", "services"]),
    (
        "cli",
        &["model", "wire", "engine", "store", "artifacts", "builds", "providers", "services", "orchestrator", "server"],
    ),
];

const LINES_MAX: usize = 600;

/// Something that must not occur in the code of some files.
struct Banned {
    /// Path prefix of the files it is banned from.
    within: &'static str,
    needle: &'static str,
    mend: &'static str,
}

const PURE: &str = "the decision rooms have no I/O, no clock, no randomness: take it as an argument";

const BANNED: &[Banned] = &[
    Banned { within: "", needle: "todo!", mend: "write what is missing, or leave the feature out with a clear error" },
    Banned {
        within: "",
        needle: "unimplemented!",
        mend: "write what is missing, or leave the feature out with a clear error",
    },
    Banned { within: "", needle: "dbg!", mend: "remove it, or use `tracing`" },
    Banned { within: "", needle: "#[ignore", mend: "mend the test or delete it" },
    Banned { within: "", needle: "#[allow(", mend: "use #[expect(LINT, reason = \"...\")]" },
    Banned { within: "", needle: "#![allow(", mend: "use #![expect(LINT, reason = \"...\")]" },
    Banned { within: "crates/model/src/", needle: "async", mend: PURE },
    Banned { within: "crates/model/src/", needle: "std::time::", mend: PURE },
    Banned { within: "crates/model/src/", needle: "std::fs", mend: PURE },
    Banned { within: "crates/model/src/", needle: "std::net", mend: PURE },
    Banned { within: "crates/model/src/", needle: "rand::", mend: PURE },
    Banned { within: "crates/model/src/", needle: "tokio", mend: PURE },
    Banned { within: "crates/engine/src/", needle: "async", mend: PURE },
    Banned { within: "crates/engine/src/", needle: "std::time::", mend: PURE },
    Banned { within: "crates/engine/src/", needle: "std::fs", mend: PURE },
    Banned { within: "crates/engine/src/", needle: "std::net", mend: PURE },
    Banned { within: "crates/engine/src/", needle: "rand::", mend: PURE },
    Banned { within: "crates/engine/src/", needle: "tokio", mend: PURE },
    Banned {
        within: "crates/providers/",
        needle: "towpath_store",
        mend: "a provider returns an outcome and never sees the store",
    },
    Banned {
        within: "crates/providers/",
        needle: "towpath_engine",
        mend: "a provider returns an outcome; the engine decides",
    },
    Banned { within: "crates/server/", needle: "rusqlite", mend: "ask the orchestrator; SQL is the store's" },
];

/// The rooms that only `assemble` may touch in the command line crate.
const ASSEMBLED: &[&str] = &[
    "towpath_engine",
    "towpath_store",
    "towpath_artifacts",
    "towpath_builds",
    "towpath_providers",
    "towpath_services",
    "towpath_orchestrator",
    "towpath_server",
];

/// Written in halves, so that this file obeys its own rule.
const MACHINE_PATHS: &[(&str, &[&str])] = &[
    (concat!("/wo", "rk/"), &[]),
    // A build's HOME is /root, as on AWS's images; files below it are named only where builds are run.
    (concat!("/ro", "ot/"), &["crates/builds/"]),
];

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    file: String,
    line: usize,
    text: String,
}

pub fn run(root: &Path, arguments: &[String]) -> Outcome {
    if !arguments.is_empty() {
        return Err("usage: cargo xtask tidy".to_owned());
    }
    let mut violations = check_rooms(&dependencies(root)?);
    let files = source_files(root)?;
    for file in &files {
        // Only text has rules, and a file may have been deleted since git listed it.
        if let Ok(text) = std::fs::read_to_string(root.join(file)) {
            violations.extend(check_file(file, &text));
        }
    }
    violations.sort();
    for violation in &violations {
        println!("{}:{}: {}", violation.file, violation.line, violation.text);
    }
    println!("tidy: {} violation(s) in {} files", violations.len(), files.len());
    Ok(if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything that is committed or about to be.
fn source_files(root: &Path) -> Result<Vec<String>, String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cannot run git to list the files: {error}"))?;
    if !output.status.success() {
        return Err(format!("git cannot list the files: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let names = String::from_utf8_lossy(&output.stdout);
    Ok(names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// A crate of ours and the crates of ours it depends on, by directory name.
struct Room {
    name: String,
    uses: Vec<String>,
}

fn dependencies(root: &Path) -> Result<Vec<Room>, String> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .map_err(|error| format!("cargo metadata failed: {error}"))?;
    let ours = |name: &str| name.strip_prefix("towpath-").map(str::to_owned);
    let rooms = metadata.packages.iter().filter_map(|package| {
        let normal = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
        let uses = normal.filter_map(|dependency| ours(&dependency.name)).collect();
        Some(Room { name: ours(package.name.as_str())?, uses })
    });
    Ok(rooms.collect())
}

fn check_rooms(rooms: &[Room]) -> Vec<Violation> {
    let mut found = Vec::new();
    for room in rooms {
        let file = format!("crates/{}/Cargo.toml", room.name);
        let mut report = |text: String| found.push(Violation { file: file.clone(), line: 1, text });
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room.name) else {
            report(format!(
                "{} is no room of the design: add it to ROOMS in xtask/src/tidy.rs and to ARCHITECTURE.md",
                room.name
            ));
            continue;
        };
        for used in room.uses.iter().filter(|used| !allowed.contains(&used.as_str())) {
            report(format!("{} must not depend on {used}: pass what it needs in, or move the code", room.name));
        }
    }
    found
}

fn check_file(file: &str, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut report = |line: usize, text: String| found.push(Violation { file: file.to_owned(), line, text });
    for (path, exempt) in MACHINE_PATHS {
        if exempt.iter().any(|prefix| file.starts_with(prefix)) {
            continue;
        }
        for line in lines_with_path(text, path) {
            report(line, format!("{path} is a path of somebody's machine: make it relative, or an argument"));
        }
    }
    let is_generated = file.contains("/generated/");
    if !has_extension(file, "rs") || is_generated {
        return found;
    }
    let length = text.lines().count();
    if length > LINES_MAX {
        report(LINES_MAX + 1, format!("the file has {length} lines, at most {LINES_MAX}: split it by purpose"));
    }
    let is_product = file.starts_with("crates/") && file.contains("/src/");
    if is_product && !text.starts_with("//!") {
        report(1, "no header: begin with `//!`, what the module is for and what it must not do".to_owned());
    }
    let code = code_only(text);
    for ban in BANNED.iter().filter(|ban| file.starts_with(ban.within)) {
        for line in lines_with(&code, ban.needle) {
            report(line, format!("`{}` is banned here: {}", ban.needle, ban.mend));
        }
    }
    let assembles = file == "crates/cli/src/assemble.rs" || file.starts_with("crates/cli/src/assemble/");
    if file.starts_with("crates/cli/src/") && !assembles {
        for room in ASSEMBLED {
            for line in lines_with(&code, room) {
                report(
                    line,
                    format!("`{room}` is wired in crates/cli/src/assemble.rs only: re-export what is needed there"),
                );
            }
        }
    }
    found
}

fn has_extension(file: &str, extension: &str) -> bool {
    Path::new(file).extension().is_some_and(|found| found == extension)
}

/// Lines where `path` begins an absolute path, not the middle of a longer one or of a URL.
fn lines_with_path(text: &str, path: &str) -> Vec<usize> {
    let continues = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '~' | '}' | ')' | '*' | '/');
    let begins = |line: &str| line.match_indices(path).any(|(at, _)| !line[..at].ends_with(continues));
    text.lines().enumerate().filter(|(_, line)| begins(line)).map(|(number, _)| number + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::{BANNED, LINES_MAX, ROOMS, Room, check_file, check_rooms};

    const NONE: [usize; 0] = [];

    fn lines(file: &str, text: &str) -> Vec<usize> {
        check_file(file, text).into_iter().map(|violation| violation.line).collect()
    }

    fn room(name: &str, uses: &[&str]) -> Room {
        Room { name: name.to_owned(), uses: uses.iter().map(|used| (*used).to_owned()).collect() }
    }

    #[test]
    fn a_room_may_use_only_what_its_row_says() {
        let good: Vec<Room> = ROOMS.iter().map(|(name, uses)| room(name, uses)).collect();
        assert_eq!(check_rooms(&good), Vec::new());
        let found = check_rooms(&[room("providers", &["model", "store"]), room("attic", &[])]);
        let texts: Vec<&str> = found.iter().map(|violation| violation.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "providers must not depend on store: pass what it needs in, or move the code",
                "attic is no room of the design: add it to ROOMS in xtask/src/tidy.rs and to ARCHITECTURE.md"
            ]
        );
        assert_eq!(found[0].file, "crates/providers/Cargo.toml");
    }

    #[test]
    fn every_ban_catches_a_sample_and_spares_prose() {
        for ban in BANNED {
            let file = format!("{}crate.rs", if ban.within.is_empty() { "xtask/src/" } else { ban.within });
            let sample = format!("//! Header.\nfn f() {{ {}(x) }}\n", ban.needle);
            assert_eq!(lines(&file, &sample), [2], "{}", ban.needle);
            let prose = format!("//! About {}.\nconst X: &str = \"{}\";\n", ban.needle, ban.needle);
            assert_eq!(lines(&file, &prose), NONE, "{}", ban.needle);
        }
    }

    #[test]
    fn a_ban_ends_where_its_room_ends() {
        let text = "//! Header.\nuse std::fs;\nasync fn f() {}\n";
        assert_eq!(lines("crates/engine/src/lib.rs", text), [3, 2]);
        assert_eq!(lines("crates/engine/tests/table.rs", text), NONE);
        assert_eq!(lines("crates/store/src/lib.rs", text), NONE);
    }

    #[test]
    fn long_files_are_counted_except_generated_ones() {
        let long = format!("//! Header.\n{}", "x\n".repeat(LINES_MAX));
        assert_eq!(lines("crates/store/src/lib.rs", &long), [LINES_MAX + 1]);
        assert_eq!(lines("crates/wire/src/generated/iam.rs", &long), NONE);
        assert_eq!(lines("crates/store/src/lib.rs", long.strip_suffix("x\n").expect("one fewer")), NONE);
    }

    #[test]
    fn product_files_begin_with_their_purpose() {
        assert_eq!(lines("crates/store/src/sqlite/rows.rs", "use x;\n"), [1]);
        assert_eq!(lines("crates/store/tests/contract.rs", "use x;\n"), NONE);
        assert_eq!(lines("crates/store/src/lib.rs", "//! Rows.\n"), NONE);
    }

    #[test]
    fn paths_of_a_machine_are_found_in_any_text() {
        let bad = concat!("cd /wo", "rk/main\nok\nHOME=`/ro", "ot/x`\n");
        assert_eq!(lines("docs/start.md", bad), [1, 3]);
        assert_eq!(lines("crates/builds/src/home.rs", concat!("//! HOME is /ro", "ot/x\n")), NONE);
        let good = concat!("see https://host/wo", "rk/x, $HOME/wo", "rk/, and the HOME /root\n");
        assert_eq!(lines("docs/start.md", good), NONE);
    }

    #[test]
    fn only_assemble_wires_the_rooms() {
        let text = "//! Header.\nuse towpath_store::Store;\nuse towpath_model::Clock;\n";
        assert_eq!(lines("crates/cli/src/run.rs", text), [2]);
        assert_eq!(lines("crates/cli/src/assemble.rs", text), NONE);
        assert_eq!(lines("crates/cli/src/assemble/embedded.rs", text), NONE);
    }
}
