//! `towpath simulate`: what a definition would do, rehearsed on a virtual clock by the real engine, with nothing called
//! and nothing written. Reads the files and the wishes, has them rehearsed, and shows what came of it.

pub mod args;
mod chart;
mod ending;
mod lanes;
pub mod moment;
pub mod rehearsed;
mod scale;
mod story;
pub mod wish;
pub mod words;

use serde_json::json;
use towpath_model::state::ExecutionStatus;

use self::moment::Deed;
use self::rehearsed::{Beat, Done, Rehearsed};
use self::wish::{Options, Wishes};
use crate::commands::validate::{Checked, Format, Validate, check};
use crate::diagnostics::plural;
use crate::display::style::{Line, Style, paint, wrap};
use crate::display::{End, json};
use crate::errors::{ExpectedError, exit};
use crate::terminal::Terminal;

/// Rehearses a definition as it is wished.
pub type Rehearse<'a> = &'a (dyn Fn(&Checked, &Wishes) -> Result<Rehearsed, ExpectedError> + Sync);

/// Sentences are not wider than what reads well.
const SENTENCE_COLUMNS_MAX: usize = 110;

pub fn run(
    options: &Options,
    validate: Validate<'_>,
    rehearse: Rehearse<'_>,
    terminal: &mut Terminal,
) -> Result<u8, ExpectedError> {
    let checked = check(&options.path, options.config.as_deref(), validate)?;
    let wishes = Wishes::new(options, &checked.file.declaration)?;
    // Another mode may be one that the definition does not allow.
    let report = checked.file.report(validate(&wishes.declaration, &checked.region, &checked.config.config));
    if report.errors() > 0 {
        return Err(ExpectedError::Definition { reports: vec![report] });
    }
    let rehearsed = rehearse(&checked, &wishes)?;
    match options.format {
        Format::Json => terminal.result(&json_lines(&rehearsed)),
        Format::Text => {
            let (width, _) = terminal.size.get();
            let lines = text(&rehearsed, &wishes, width.max(60));
            let mut shown = paint(&lines, width.max(60), terminal.colour_out).join("\n");
            shown.push('\n');
            terminal.result(&shown);
        }
    }
    let failed = rehearsed.executions.iter().any(|execution| execution.status == ExecutionStatus::Failed);
    Ok(if failed { exit::FAILED } else { exit::SUCCEEDED })
}

fn text(rehearsed: &Rehearsed, wishes: &Wishes, width: usize) -> Vec<Line> {
    let declaration = &wishes.declaration;
    let took = words::since(rehearsed.start, rehearsed.end);
    let executions = plural(rehearsed.executions.len(), "execution");
    let mut lines = vec![
        Line::new().with(Style::Bold, declaration.name.to_string()).with(
            Style::Dim,
            format!("  {executions} in {} mode, {took} of virtual time", declaration.mode().as_str()),
        ),
        Line::new(),
    ];
    lines.extend(chart::draw(rehearsed, width));
    lines.push(Line::new());
    lines.push(Line::new().with(Style::Bold, "What happened"));
    let sentences = story::tell(rehearsed, declaration);
    let times: Vec<String> = sentences.iter().map(|s| words::since(rehearsed.start, s.time)).collect();
    let time_columns = times.iter().map(String::len).max().unwrap_or_default();
    let mut last = "";
    for (sentence, time) in sentences.iter().zip(&times) {
        let shown = if time == last { "" } else { time };
        last = time;
        lines.extend(paragraph(shown, time_columns, sentence.style, &sentence.text, width));
    }
    lines.push(Line::new());
    lines.push(Line::new().with(Style::Bold, format!("In the end, after {took}")));
    lines.extend(ending::lines(rehearsed, declaration, width));
    let unmet: Vec<String> = wishes.unmet(&rehearsed.ran).into_iter().chain(rehearsed.missed.iter().cloned()).collect();
    if !unmet.is_empty() {
        lines.push(Line::new());
        lines.push(Line::new().with(Style::Bold, "Never came to pass"));
        for text in unmet {
            lines.push(Line::new().with(Style::Attention, format!("  {text}")));
        }
    }
    lines
}

/// A time and a sentence, whose further rows stand under its first.
fn paragraph(time: &str, time_columns: usize, style: Style, text: &str, width: usize) -> Vec<Line> {
    let margin = time_columns + 4;
    let rows = wrap(text, width.min(SENTENCE_COLUMNS_MAX).saturating_sub(margin));
    let row = |(at, row): (usize, String)| {
        let time = if at == 0 { time } else { "" };
        Line::new().with(Style::Dim, format!("  {time:>time_columns$}  ")).with(style, row)
    };
    rows.into_iter().enumerate().map(row).collect()
}

/// The lines of `run --format json`, one `command` line for everything that an option did, and an `end` for each
/// execution.
fn json_lines(rehearsed: &Rehearsed) -> String {
    let mut out = String::new();
    for beat in &rehearsed.beats {
        match beat {
            Beat::History(entry) => out += &json::entry(entry),
            Beat::Done(done) => out += &command(done),
        }
    }
    for execution in &rehearsed.executions {
        let state = match execution.status {
            ExecutionStatus::Succeeded => "SUCCEEDED",
            ExecutionStatus::Failed => "FAILED",
            ExecutionStatus::Stopped => "STOPPED",
            ExecutionStatus::Superseded => "SUPERSEDED",
            ExecutionStatus::Cancelled => "CANCELED",
            ExecutionStatus::InProgress | ExecutionStatus::Stopping => "WAITING",
        };
        let waits = ending::waits_for(rehearsed, execution);
        let message = execution.status_summary.as_deref().or(waits.as_deref());
        out += &json::end(End { time: rehearsed.end, state, message }, execution.id.as_str());
    }
    out
}

fn command(done: &Done) -> String {
    let stage = match &done.deed {
        Deed::Retry { stage, .. }
        | Deed::Rollback { stage }
        | Deed::Override { stage, .. }
        | Deed::Transition { stage, .. } => Some(stage),
        Deed::Start | Deed::Stop { .. } | Deed::Update => None,
    };
    let state = if done.refused.is_some() { "REFUSED" } else { "ACCEPTED" };
    let message = match &done.refused {
        Some(refused) => format!("{}: {refused}", done.option),
        None => done.option.clone(),
    };
    let object = json!({
        "time": done.time.iso8601(),
        "type": "command",
        "executionId": done.execution.as_ref().map(towpath_model::ids::ExecutionId::as_str),
        "stage": stage,
        "action": null,
        "state": state,
        "message": message,
    });
    format!("{object}\n")
}
