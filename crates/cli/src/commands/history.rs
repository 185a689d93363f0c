//! `towpath history`: the executions of a pipeline, or what happened in one of them.

use clap::Args as ClapArgs;
use serde_json::{Value as Json, json};

use crate::display::elapsed;
use crate::display::style::{Line, Style};
use crate::errors::{ExpectedError, exit};
use crate::remote::board::{self, Execution, trigger};
use crate::remote::screen::glyph;
use crate::remote::shape::{list, text, time};
use crate::remote::table::{Cell, Column, draw};
use crate::remote::times::ago;
use crate::remote::{Remote, RemoteArgs, read};

/// List a pipeline's executions, or the actions and rules of one
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = "\
Examples:
  towpath history demo
  towpath history demo --execution 1a2b3c4d      its actions and rules, with durations and reasons
  towpath history demo --limit 500 --format json | jq -r '.pipelineExecutionSummaries[].status'

Exit codes: 0 shown, 1 the server did not answer or refused, 2 no such pipeline or execution

JSON: {\"pipelineExecutionSummaries\"}
      with --execution: {\"pipelineExecution\", \"actionExecutionDetails\", \"ruleExecutionDetails\"}")]
pub struct Args {
    /// The pipeline's name
    pub pipeline: String,
    /// One execution, by its id or the beginning of it
    #[arg(long, value_name = "ID")]
    pub execution: Option<String>,
    /// How many executions are listed, the newest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub limit: u16,
    #[command(flatten)]
    pub remote: RemoteArgs,
}

pub async fn run(args: &Args, mut remote: Remote<'_>) -> Result<u8, ExpectedError> {
    if let Some(given) = &args.execution {
        let id = remote.execution(&args.pipeline, given).await?;
        return one(&args.pipeline, &id, &mut remote).await;
    }
    let executions = read::executions(&remote, &args.pipeline, usize::from(args.limit)).await?;
    if remote.json {
        remote.show_json(&json!({"pipelineExecutionSummaries": executions}));
        return Ok(exit::SUCCEEDED);
    }
    if executions.is_empty() {
        remote.terminal.note(&format!("The pipeline `{}` was never run.\n", args.pipeline));
        return Ok(exit::SUCCEEDED);
    }
    let columns = [
        Column::whole("EXECUTION"),
        Column::whole("STATUS"),
        Column::whole("STARTED"),
        Column::whole("TOOK").leaving(1),
        Column::shrinking("TRIGGER", 14).leaving(2),
        Column::shrinking("REVISIONS", 12).leaving(3),
        Column::shrinking("WHY", 12).leaving(4),
    ];
    let rows: Vec<Vec<Cell>> = executions.iter().map(|execution| cells(&remote, execution)).collect();
    let lines = draw(&columns, &rows, remote.width());
    remote.show(&lines);
    Ok(exit::SUCCEEDED)
}

fn cells(remote: &Remote<'_>, answer: &Json) -> Vec<Cell> {
    let execution = Execution::of(answer);
    let (mark, style) = glyph(Some(&execution.status), None);
    let end = if execution.is_active() { Some(remote.now()) } else { execution.changed };
    let rollback = execution.rollback_to.as_deref().map(|to| format!(" (back to {})", remote.shown(to)));
    let revisions: Vec<String> =
        list(&answer["sourceRevisions"]).filter_map(|r| text(r, "revisionId")).map(brief).collect();
    vec![
        Cell::plain(remote.shown(&execution.id)),
        Cell::new(style, format!("{mark} {}", execution.status)),
        Cell::plain(execution.started.map(|at| since(remote, at)).unwrap_or_default()),
        Cell::plain(execution.started.zip(end).map(|(from, to)| span(remote, from, to)).unwrap_or_default()),
        Cell::dim(trigger(&answer["trigger"]).unwrap_or_default() + &rollback.unwrap_or_default()),
        Cell::dim(if remote.terminal.redacted { String::new() } else { revisions.join(" ") }),
        Cell::dim(execution.summary.unwrap_or_default()),
    ]
}

/// A commit is known by its first characters.
fn brief(revision: &str) -> String {
    let commit = revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_hexdigit());
    if commit { revision[..10].to_owned() } else { revision.to_owned() }
}

fn since(remote: &Remote<'_>, at: towpath_model::time::Timestamp) -> String {
    if remote.terminal.redacted { "-".to_owned() } else { ago(at, remote.now()) }
}

fn span(remote: &Remote<'_>, from: towpath_model::time::Timestamp, to: towpath_model::time::Timestamp) -> String {
    if remote.terminal.redacted { "-.--s".to_owned() } else { elapsed(from, to) }
}

/// One execution: what ran in it, in the order in which it began.
async fn one(pipeline: &str, id: &str, remote: &mut Remote<'_>) -> Result<u8, ExpectedError> {
    let execution = read::execution(remote, pipeline, id).await?;
    let actions = read::actions(remote, pipeline, Some(id)).await?;
    let rules = read::rules(remote, pipeline, Some(id)).await?;
    if remote.json {
        remote.show_json(&json!({
            "pipelineExecution": execution,
            "actionExecutionDetails": actions,
            "ruleExecutionDetails": rules,
        }));
        return Ok(exit::SUCCEEDED);
    }
    let head = Execution::of(&execution);
    let (mark, style) = glyph(Some(&head.status), None);
    let mut facts =
        vec![format!("execution {}", if remote.terminal.redacted { remote.shown(id) } else { id.to_owned() })];
    facts.extend(head.started.map(|at| format!("started {}", since(remote, at))));
    facts.extend(trigger(&execution["trigger"]));
    facts.extend(head.rollback_to.as_deref().map(|to| format!("back to {}", remote.shown(to))));
    facts.extend(head.summary.clone());
    let mut lines = vec![
        Line::new().with(Style::Bold, pipeline).with(Style::Dim, format!("  {}", facts.join(", "))),
        Line::new().with(style, format!("{mark} {}", head.status)),
        Line::new(),
    ];
    let mut records: Vec<(&Json, bool)> = actions.iter().map(|r| (r, false)).collect();
    records.extend(rules.iter().map(|r| (r, true)));
    // The lists are the newest first; of two that began in the same moment the later in the list began first.
    records.reverse();
    records.sort_by_key(|(record, _)| time(&record["startTime"]));
    let columns = [
        Column::shrinking("STAGE", 10),
        Column::shrinking("ACTION", 10),
        Column::shrinking("PROVIDER", 10).leaving(2),
        Column::whole("STATUS"),
        Column::whole("TOOK"),
        Column::shrinking("BY", 10).leaving(3),
        Column::shrinking("RESULT", 16).leaving(1),
    ];
    let rows: Vec<Vec<Cell>> = records.iter().map(|(record, rule)| record_cells(remote, record, *rule)).collect();
    lines.extend(draw(&columns, &rows, remote.width()));
    // What a table has no room for is what went wrong.
    for (record, rule) in &records {
        let result = &record["output"]["executionResult"];
        if text(record, "status") == Some("Failed")
            && let Some(message) = board::message(result, "externalExecutionSummary")
        {
            let name = text(record, if *rule { "ruleName" } else { "actionName" }).unwrap_or_default();
            let stage = text(record, "stageName").unwrap_or_default();
            lines.push(Line::new());
            lines.push(Line::new().with(Style::Bad, format!("✗ {stage}/{name}")));
            let width = remote.width().saturating_sub(2).min(110);
            let message = crate::display::clean_rows(&message);
            lines.extend(
                crate::display::style::wrap(&message, width)
                    .into_iter()
                    .map(|row| Line::new().with(Style::Plain, format!("  {row}"))),
            );
        }
    }
    remote.show(&lines);
    Ok(exit::SUCCEEDED)
}

fn record_cells(remote: &Remote<'_>, record: &Json, rule: bool) -> Vec<Cell> {
    let status = text(record, "status").unwrap_or_default();
    let (mark, style) = glyph(Some(status), None);
    let (name, kind) = if rule { ("ruleName", "ruleTypeId") } else { ("actionName", "actionTypeId") };
    let end = if status == "InProgress" { Some(remote.now()) } else { time(&record["lastUpdateTime"]) };
    let took = time(&record["startTime"]).zip(end).map(|(from, to)| span(remote, from, to));
    let name = text(record, name).unwrap_or_default();
    let result = board::message(&record["output"]["executionResult"], "externalExecutionSummary");
    let result = result.as_deref().and_then(|r| r.lines().next()).unwrap_or_default().to_owned();
    vec![
        Cell::plain(text(record, "stageName").unwrap_or_default()),
        Cell::plain(if rule { format!("rule {name}") } else { name.to_owned() }),
        Cell::dim(text(&record["input"][kind], "provider").unwrap_or_default()),
        Cell::new(style, format!("{mark} {status}")),
        Cell::plain(took.unwrap_or_default()),
        Cell::dim(text(record, "updatedBy").map(board::who).unwrap_or_default()),
        Cell::dim(if status == "Failed" || remote.terminal.redacted { String::new() } else { result }),
    ]
}
