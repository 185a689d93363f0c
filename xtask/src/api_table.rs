//! `cargo xtask api-table DIR`: writes docs/api.md from what the tests' clients noted in DIR (`TOWPATH_TEST_RECORD`).
//! With `--check` it writes nothing, and fails unless a test called every operation of the model with success. What the
//! tests assert is theirs; this only counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

const PAGE: &str = "docs/api.md";
const MODEL: &str = "models/codepipeline.json";
/// Calls every operation in every wrong way: its tests say nothing about one operation, and are named once.
const GENERATED: &str = "negative.py";

/// These cannot succeed yet (docs/deviations.md): tests show what they refuse with. One that does succeed leaves the list.
const REFUSED_FOR_NOW: [&str; 2] = ["DeregisterWebhookWithThirdParty", "RegisterWebhookWithThirdParty"];

const HEAD: &str = "\
# Every operation, and the tests that call it

Written by `cargo xtask api-table` from what the clients of one whole test run noted (CONTRIBUTING.md); not edited by hand.
Scripts ending in `.py` are in `tests/clients/` (boto3, the AWS CLI, raw signed requests), those ending in `.rs` in
`crates/cli/tests/sdk/` (the Rust SDK). Each runs against the shipped binary, and CI fails where an operation was not
called with success by any of them. (Registering webhooks with a third party can only be refused for now:
docs/deviations.md.)

`negative.py` is generated from the model: it calls every operation with each required member left out and each length,
range, pattern, enum and type broken. It is not repeated in the rows; its errors are. *Not seen* are the errors that the
model lists for the operation and no test met.
";

pub fn run(root: &Path, arguments: &[String]) -> Result<ExitCode, String> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (directory, check) = match *arguments.as_slice() {
        [directory] if directory != "--check" => (directory, false),
        ["--check", directory] => (directory, true),
        _ => return Err("say where the notes are: api-table [--check] DIR".to_owned()),
    };
    let model = read(&root.join(MODEL))?;
    let table = Table::new(&model, &notes(Path::new(directory))?)?;
    let outdated: Vec<&str> = REFUSED_FOR_NOW.into_iter().filter(|name| table.succeeded(name)).collect();
    if !outdated.is_empty() {
        return Err(format!("{} succeeded: take it out of REFUSED_FOR_NOW (xtask)", outdated.join(", ")));
    }
    let missing = table.not_shown();
    if !missing.is_empty() {
        return Err(format!(
            "no test called these operations with success: {}. Write a scenario for each, or run every test with \
             TOWPATH_TEST_RECORD set",
            missing.join(", ")
        ));
    }
    if !check {
        let page = root.join(PAGE);
        std::fs::write(&page, table.page()).map_err(|e| format!("{} cannot be written: {e}", page.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

/// The lines of every file in the directory.
fn notes(directory: &Path) -> Result<String, String> {
    let context = |error: std::io::Error| format!("{} cannot be read: {error}", directory.display());
    let mut lines = String::new();
    for entry in std::fs::read_dir(directory).map_err(context)? {
        let path = entry.map_err(context)?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            lines.push_str(&read(&path)?);
        }
    }
    Ok(lines)
}

#[derive(Default)]
struct Row {
    /// Scenarios by file.
    tests: BTreeMap<String, BTreeSet<String>>,
    successful: bool,
    seen: BTreeSet<String>,
    modeled: BTreeSet<String>,
}

struct Table(BTreeMap<String, Row>);

impl Table {
    fn new(model: &str, notes: &str) -> Result<Self, String> {
        let model: Value = serde_json::from_str(model).map_err(|error| format!("{MODEL}: {error}"))?;
        let operations = model["operations"].as_object().ok_or_else(|| format!("{MODEL} has no operations"))?;
        let row = |operation: &Value| Row {
            modeled: operation["errors"].as_array().into_iter().flatten().filter_map(text).collect(),
            ..Row::default()
        };
        let mut rows: BTreeMap<String, Row> = operations.iter().map(|(name, o)| (name.clone(), row(o))).collect();
        for line in notes.lines() {
            let note: Value =
                serde_json::from_str(line).map_err(|error| format!("a note is no JSON ({error}): {line}"))?;
            let known = |key: &str| note[key].as_str().ok_or_else(|| format!("a note without {key}: {line}"));
            let (operation, file, scenario) = (known("operation")?, known("file")?, known("scenario")?);
            // Tests of the wire also ask for operations that do not exist.
            let Some(row) = rows.get_mut(operation) else { continue };
            row.seen.extend(text(&note["error"]));
            if file != GENERATED {
                row.successful |= note["error"].is_null();
                row.tests.entry(file.to_owned()).or_default().insert(scenario.to_owned());
            }
        }
        Ok(Self(rows))
    }

    fn succeeded(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|row| row.successful)
    }

    /// Operations that no test of theirs called with success; where that cannot be, that none called at all.
    fn not_shown(&self) -> Vec<&str> {
        let shown =
            |name: &str, row: &Row| row.successful || (REFUSED_FOR_NOW.contains(&name) && !row.tests.is_empty());
        self.0.iter().map(|(name, row)| (name.as_str(), row)).filter(|(n, r)| !shown(n, r)).map(|(n, _)| n).collect()
    }

    fn page(&self) -> String {
        let mut page = format!("{HEAD}\n| Operation | Tests | Errors seen | Not seen |\n|---|---|---|---|\n");
        for (name, row) in &self.0 {
            let tests: Vec<String> =
                row.tests.iter().map(|(file, scenarios)| format!("`{file}`: {}", list(scenarios.iter(), ""))).collect();
            let (seen, not_seen) = (list(row.seen.iter(), "`"), list(row.modeled.difference(&row.seen), "`"));
            let _ = writeln!(page, "| {name} | {} | {seen} | {not_seen} |", tests.join("<br>"));
        }
        page
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn list<'a>(items: impl Iterator<Item = &'a String>, quote: &str) -> String {
    items.map(|item| format!("{quote}{item}{quote}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = r#"{"operations": {"GetA": {"errors": ["AbsentException", "RareException"]}, "PutB": {}}}"#;

    fn note(operation: &str, file: &str, scenario: &str, error: Option<&str>) -> String {
        let note = serde_json::json!({"operation": operation, "file": file, "scenario": scenario, "error": error});
        format!("{note}\n")
    }

    #[test]
    fn an_operation_that_only_failed_is_missing() {
        let notes = note("GetA", "a.py", "one", None)
            + &note("PutB", "a.py", "one", Some("AbsentException"))
            + &note("PutB", GENERATED, "limits", None);
        assert_eq!(Table::new(MODEL, &notes).unwrap().not_shown(), ["PutB"]);
        let whole = notes + &note("PutB", "life.rs", "two", None);
        assert_eq!(Table::new(MODEL, &whole).unwrap().not_shown(), Vec::<&str>::new());
        assert_eq!(Table::new(MODEL, "").unwrap().not_shown(), ["GetA", "PutB"]);
    }

    #[test]
    fn what_can_only_be_refused_must_be_called_all_the_same() {
        let model = r#"{"operations": {"RegisterWebhookWithThirdParty": {}}}"#;
        let refused = note("RegisterWebhookWithThirdParty", "a.py", "one", Some("ValidationException"));
        let table = Table::new(model, &refused).unwrap();
        assert_eq!((table.not_shown(), table.succeeded("RegisterWebhookWithThirdParty")), (Vec::new(), false));
        assert_eq!(Table::new(model, "").unwrap().not_shown(), ["RegisterWebhookWithThirdParty"]);
        let taken = note("RegisterWebhookWithThirdParty", "a.py", "one", None);
        assert!(Table::new(model, &taken).unwrap().succeeded("RegisterWebhookWithThirdParty"));
    }

    #[test]
    fn rows_name_tests_and_errors() {
        let notes = note("GetA", "b.rs", "two", None)
            + &note("GetA", "a.py", "two", Some("AbsentException"))
            + &note("GetA", "a.py", "one", None)
            + &note("GetA", GENERATED, "types", Some("SerializationException"))
            + &note("NoSuchOperation", "a.py", "one", Some("UnknownOperationException"));
        let page = Table::new(MODEL, &notes).unwrap().page();
        let rows: Vec<&str> = page.lines().skip_while(|line| !line.starts_with("|---")).skip(1).collect();
        assert_eq!(
            rows,
            [
                "| GetA | `a.py`: one, two<br>`b.rs`: two | `AbsentException`, `SerializationException` | `RareException` |",
                "| PutB |  |  |  |",
            ]
        );
    }

    #[test]
    fn half_a_note_is_told() {
        let told = Table::new(MODEL, "{\"operation\":").err().unwrap();
        assert!(told.contains("is no JSON"), "{told}");
        let told = Table::new(MODEL, r#"{"operation": "GetA"}"#).err().unwrap();
        assert!(told.contains("a note without file"), "{told}");
    }
}
