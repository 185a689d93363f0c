//! Warnings about a buildspec, before any build. CodeBuild ignores what it does not know, so nothing here is an error:
//! the build itself has the last word.

use crate::diagnostics::{Problem, Report, Severity};
use crate::document::shape::{Object, Shape, check, optional, required};
use crate::document::{Node, Span, Text, Trail, Value, json, locate, yaml};

static BUILDSPEC: Object = Object {
    what: "a buildspec",
    fields: &[
        required("version", Shape::Any),
        optional("run-as", Shape::Text),
        optional("env", Shape::Object(&ENV)),
        optional("proxy", Shape::Any),
        optional("batch", Shape::Any),
        required("phases", Shape::Object(&PHASES)),
        optional("reports", Shape::Map(&Shape::Object(&REPORT))),
        optional("artifacts", Shape::Object(&ARTIFACTS)),
        optional("cache", Shape::Object(&CACHE)),
    ],
};

static ENV: Object = Object {
    what: "`env`",
    fields: &[
        optional("shell", Shape::Choice(&["bash", "/bin/sh", "powershell.exe", "cmd.exe"])),
        optional("variables", Shape::Map(&Shape::Any)),
        optional("parameter-store", Shape::Map(&Shape::Text)),
        optional("secrets-manager", Shape::Map(&Shape::Text)),
        optional("exported-variables", Shape::List(&Shape::Text)),
        optional("git-credential-helper", Shape::Any),
    ],
};

static PHASES: Object = Object {
    what: "`phases`",
    fields: &[
        optional("install", Shape::Object(&PHASE)),
        optional("pre_build", Shape::Object(&PHASE)),
        optional("build", Shape::Object(&PHASE)),
        optional("post_build", Shape::Object(&PHASE)),
    ],
};

static PHASE: Object = Object {
    what: "a phase",
    fields: &[
        optional("run-as", Shape::Text),
        optional("on-failure", Shape::Text),
        optional("runtime-versions", Shape::Map(&Shape::Any)),
        optional("commands", Shape::Any),
        optional("finally", Shape::Any),
    ],
};

static REPORT: Object = Object {
    what: "a report group",
    fields: &[
        required("files", Shape::Any),
        optional("file-format", Shape::Text),
        optional("base-directory", Shape::Text),
        optional("discard-paths", Shape::Any),
    ],
};

static ARTIFACTS: Object = Object {
    what: "`artifacts`",
    fields: &[
        optional("files", Shape::Any),
        optional("name", Shape::Text),
        optional("discard-paths", Shape::Any),
        optional("base-directory", Shape::Text),
        optional("exclude-paths", Shape::Any),
        optional("enable-symlinks", Shape::Any),
        optional("s3-prefix", Shape::Text),
        optional("secondary-artifacts", Shape::Map(&Shape::Object(&SECONDARY))),
    ],
};

static SECONDARY: Object = Object {
    what: "a secondary artifact",
    fields: &[
        required("files", Shape::Any),
        optional("name", Shape::Text),
        optional("discard-paths", Shape::Any),
        optional("base-directory", Shape::Text),
        optional("exclude-paths", Shape::Any),
        optional("enable-symlinks", Shape::Any),
        optional("s3-prefix", Shape::Text),
    ],
};

static CACHE: Object = Object {
    what: "`cache`",
    fields: &[
        optional("paths", Shape::List(&Shape::Text)),
        optional("key", Shape::Text),
        optional("fallback-keys", Shape::List(&Shape::Text)),
        optional("action", Shape::Choice(&["restore", "save"])),
    ],
};

/// Everything about a buildspec that looks unintended.
pub fn warnings(text: Text) -> Report {
    let parsed =
        if text.text.trim_start().starts_with('{') { json::parse(&text.text) } else { yaml::parse(&text.text) };
    let mut problems = Vec::new();
    match parsed {
        Err(error) => problems.push(Problem::syntax(error)),
        Ok(root) => {
            check(&root, &Shape::Object(&BUILDSPEC), &Trail::default(), &mut problems);
            version(&root, &mut problems);
            commands(&root, &mut problems);
        }
    }
    for problem in &mut problems {
        problem.severity = Severity::Warning;
    }
    Report::new(text, problems)
}

fn version(root: &Node, problems: &mut Vec<Problem>) {
    let Some(node) = root.get("version") else { return };
    let known = match &node.value {
        Value::Text(t) | Value::Plain(t) | Value::Number(t) => matches!(t.as_str(), "0.1" | "0.2"),
        _ => false,
    };
    if !known {
        let message = format!("the version of a buildspec is 0.2 (or the older 0.1), not {}", node.kind());
        problems.push(problem("version", node.span, &["version"], message, Some("write `version: 0.2`".to_owned())));
    }
}

fn commands(root: &Node, problems: &mut Vec<Problem>) {
    let Some(Value::Map(phases)) = root.get("phases").map(|p| &p.value) else { return };
    for phase in phases {
        for key in ["commands", "finally"] {
            let Some(node) = phase.node.get(key) else { continue };
            let trail = ["phases", &phase.key, key];
            let Value::List(items) = &node.value else {
                if node.text().is_none() {
                    let message = format!("`{key}` must be a list of commands, not {}", node.kind());
                    problems.push(problem("wrong-type", locate(root, &to_trail(&trail)), &trail, message, None));
                }
                continue;
            };
            for (i, item) in items.iter().enumerate() {
                if matches!(item.value, Value::Map(_) | Value::List(_) | Value::Null) {
                    let message =
                        format!("command {} of phase {} must be a string, not {}", i + 1, phase.key, item.kind());
                    let hint = "put the command in quotes: a `: ` or a leading `-`, `[` or `{` means something in YAML";
                    let span = Span::new(item.span.start, item.span.end);
                    problems.push(problem("wrong-type", span, &trail, message, Some(hint.to_owned())));
                }
            }
        }
    }
}

fn to_trail(steps: &[&str]) -> Trail {
    Trail(steps.iter().map(|s| (*s).into()).collect())
}

fn problem(code: &str, span: Span, trail: &[&str], message: String, hint: Option<String>) -> Problem {
    Problem {
        severity: Severity::Warning,
        code: code.to_owned(),
        trail: to_trail(trail),
        span,
        message,
        label: Some("here".to_owned()),
        hint,
    }
}
