//! The board as lines: a pure function of the board, the time and the room there is.

use console::measure_text_width;
use towpath_model::time::Timestamp;

use super::Place;
use super::board::{Action, Board, Execution, Gate, Stage};
use super::times::ago;
use crate::display::style::{Line, Style, wrap};
use crate::display::{clean, clean_rows, elapsed};

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const NAME_COLUMNS_MAX: usize = 40;
const REASON_COLUMNS: usize = 96;
/// Executions named above the stages.
const EXECUTIONS_SHOWN: usize = 5;

/// How a board is drawn.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub now: Timestamp,
    pub width: usize,
    pub place: &'a Place,
    /// Times and ids are shown as placeholders.
    pub redacted: bool,
    /// The frame of the spinner; None: nothing moves.
    pub frame: Option<usize>,
}

impl View<'_> {
    fn id(&self, id: &str) -> String {
        if self.redacted { "00000000".to_owned() } else { super::names::short(id).to_owned() }
    }

    fn ago(&self, then: Timestamp) -> String {
        if self.redacted { "-".to_owned() } else { ago(then, self.now) }
    }

    fn elapsed(&self, from: Timestamp, to: Timestamp) -> String {
        if self.redacted { "-.--s".to_owned() } else { elapsed(from, to) }
    }
}

/// How much of the board is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    All,
    /// Stages that are over, and those not reached, lose their actions.
    Active,
    Stages,
}

/// The whole board; of a PARALLEL pipeline, that of each execution.
pub fn whole(boards: &[Board], view: View<'_>) -> Vec<Line> {
    all(boards, view, Detail::All)
}

/// As much of the board as fits in so many lines.
pub fn fitted(boards: &[Board], view: View<'_>, height: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for detail in [Detail::All, Detail::Active, Detail::Stages] {
        lines = all(boards, view, detail);
        if lines.len() <= height {
            return lines;
        }
    }
    lines.truncate(height.max(1));
    lines
}

fn all(boards: &[Board], view: View<'_>, detail: Detail) -> Vec<Line> {
    let Some(board) = boards.first() else { return Vec::new() };
    let mut lines = vec![
        Line::new()
            .with(Style::Bold, board.pipeline.clone())
            .with(Style::Dim, format!("  version {}, {}, {}", board.version, board.mode, view.place.region)),
    ];
    for (at, board) in boards.iter().enumerate() {
        if at > 0 {
            lines.push(Line::new());
        }
        lines.extend(draw(board, view, detail));
    }
    lines
}

fn draw(board: &Board, view: View<'_>, detail: Detail) -> Vec<Line> {
    let names = board.stages.iter().flat_map(|stage| {
        let actions = stage.actions.iter().map(|action| measure_text_width(&action.name) + 2);
        std::iter::once(measure_text_width(&stage.name)).chain(actions)
    });
    let widest = names.max().unwrap_or_default().min(NAME_COLUMNS_MAX);
    let shown = board.executions.iter().take(EXECUTIONS_SHOWN);
    let mut lines: Vec<Line> = shown.map(|execution| headline(execution, view)).collect();
    if let Some(more) = board.executions.len().checked_sub(EXECUTIONS_SHOWN).filter(|more| *more > 0) {
        lines.push(Line::new().with(Style::Dim, format!("  and {more} more")));
    }
    lines.push(Line::new());
    for stage in &board.stages {
        lines.extend(above(board, stage, view));
        lines.push(stage_row(stage, board.only.is_some(), view, widest));
        let asks = stage.actions.iter().any(|action| action.asks.is_some());
        let active = asks || !matches!(stage.status.as_deref(), None | Some("Succeeded" | "Skipped"));
        if detail == Detail::Stages || (detail == Detail::Active && !active) {
            continue;
        }
        let gates = |kinds: [&'static str; 3]| stage.gates.iter().filter(move |gate| kinds.contains(&gate.kind));
        lines.extend(gates(["beforeEntry", "rules", ""]).flat_map(|gate| gate_rows(gate, view, widest)));
        for action in &stage.actions {
            lines.push(action_row(action, view, widest));
            lines.extend(below(board, stage, action, view));
        }
        lines.extend(gates(["onSuccess", "onFailure", ""]).flat_map(|gate| gate_rows(gate, view, widest)));
    }
    lines
}

/// `InProgress  execution 1a2b3c4d, 2m ago, StartPipelineExecution by root`.
fn headline(execution: &Execution, view: View<'_>) -> Line {
    let (glyph, style) = glyph(Some(&execution.status), view.frame);
    let mut facts = vec![format!("execution {}", view.id(&execution.id))];
    facts.extend(execution.started.map(|started| format!("started {}", view.ago(started))));
    if let (Some(from), Some(to), false) = (execution.started, execution.changed, execution.is_active()) {
        facts.push(format!("took {}", view.elapsed(from, to)));
    }
    facts.extend(execution.rollback_to.as_ref().map(|to| format!("back to {}", view.id(to))));
    facts.extend(execution.trigger.as_deref().map(clean));
    facts.extend(execution.summary.as_deref().map(clean));
    Line::new().with(style, format!("{glyph} {}", execution.status)).with(Style::Dim, format!("  {}", facts.join(", ")))
}

/// What stands between this stage and the one before it.
fn above(board: &Board, stage: &Stage, view: View<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(closed) = &stage.closed {
        let by = closed.by.as_deref().map(|by| format!(" by {}", clean(by))).unwrap_or_default();
        let since = closed.since.map(|since| format!(", {}", view.ago(since))).unwrap_or_default();
        let reason = clean(&closed.reason);
        lines.push(
            Line::new()
                .with(Style::Attention, format!("⊘ the transition into {} is disabled: ", stage.name))
                .with(Style::Plain, reason)
                .with(Style::Dim, format!("{by}{since}")),
        );
        let command = view.place.command(&["enable", &board.pipeline, &stage.name]);
        lines.extend(suggestion("  to enable it: ", &command, view));
    }
    for (ids, style, what) in [
        (&stage.waiting, Style::Attention, "… waiting to enter"),
        (&stage.stranded, Style::Dim, "■ stopped in front of"),
    ] {
        if !ids.is_empty() {
            let ids: Vec<String> = ids.iter().map(|id| view.id(id)).collect();
            lines.push(Line::new().with(style, format!("{what} {}: {}", stage.name, ids.join(", "))));
        }
    }
    lines
}

fn row(name: (&str, &str, Style), status: Option<&str>, view: View<'_>, widest: usize) -> Line {
    let (indent, name, style) = name;
    let (glyph, glyph_style) = glyph(status, view.frame);
    let line = Line::new().with(glyph_style, format!("{indent}{glyph} "));
    let Some(status) = status else { return line.with(Style::Dim, name.to_owned()) };
    let pad = (widest + 2).saturating_sub(measure_text_width(name) + indent.len()).max(2);
    line.with(style, name.to_owned()).with(Style::Plain, " ".repeat(pad)).with(glyph_style, format!("{status:<14}"))
}

fn stage_row(stage: &Stage, alone: bool, view: View<'_>, widest: usize) -> Line {
    let line = row(("", &stage.name, Style::Bold), stage.status.as_deref(), view, widest);
    // Of one execution, each stage would say the same.
    let execution = stage.execution.as_deref().filter(|_| !alone && stage.status.is_some());
    let line = match execution {
        Some(id) => line.with(Style::Dim, format!("  {}", view.id(id))),
        None => line,
    };
    match stage.retries {
        0 => line,
        1 => line.with(Style::Dim, "  retried once"),
        times => line.with(Style::Dim, format!("  retried {times} times")),
    }
}

fn action_row(action: &Action, view: View<'_>, widest: usize) -> Line {
    let status = if action.asks.is_some() { Some("Needs approval") } else { action.status.as_deref() };
    let line = row(("  ", &action.name, Style::Plain), status, view, widest);
    let running = status == Some("InProgress") || action.asks.is_some();
    let time = match (running, action.started, action.changed) {
        (_, None, None) => None,
        (true, Some(from), _) | (true, None, Some(from)) => Some(view.elapsed(from, view.now)),
        (false, Some(from), Some(to)) => Some(view.elapsed(from, to)),
        (false, None, Some(at)) | (false, Some(at), None) => Some(view.ago(at)),
    };
    let Some(time) = time else { return line };
    let line = line.with(Style::Dim, format!("{time:>8}"));
    let percent = action.percent.filter(|_| running).map(|percent| format!("  {percent} %"));
    let line = line.with(Style::Plain, percent.unwrap_or_default());
    let failed = matches!(status, Some("Failed" | "Abandoned"));
    let note = match (&action.revision, &action.message) {
        (Some(revision), _) => Some(format!("revision {}", if view.redacted { "-" } else { revision })),
        (None, Some(message)) if !failed && action.asks.is_none() => Some(message.clone()),
        _ => None,
    };
    let first = note.as_deref().and_then(|note| note.lines().next()).map(clean).unwrap_or_default();
    line.with(Style::Dim, if first.is_empty() { first } else { format!("  {first}") })
}

/// The reason under a failed action, and how to answer under an approval that waits.
fn below(board: &Board, stage: &Stage, action: &Action, view: View<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    if action.status.as_deref() == Some("Failed")
        && let Some(message) = &action.message
    {
        lines.extend(reason(message, view));
    }
    if let Some(question) = &action.asks {
        for (label, text) in [("note", &question.note), ("review", &question.link)] {
            for line in text.iter().flat_map(|text| text.lines()) {
                lines.push(Line::new().with(Style::Plain, format!("    {label}: {}", clean(line))));
            }
        }
        let name = format!("{}/{}", stage.name, action.name);
        for verb in ["approve", "reject"] {
            let command = view.place.command(&board.answer(verb, &name));
            lines.extend(suggestion(&format!("    to {verb}: "), &command, view));
        }
    }
    lines
}

/// A command that can be pasted, whole: where it is too long it goes on in the next line, as a shell reads it.
fn suggestion(label: &str, command: &str, view: View<'_>) -> Vec<Line> {
    if measure_text_width(label) + measure_text_width(command) <= view.width {
        return vec![Line::new().with(Style::Dim, format!("{label}{command}"))];
    }
    let margin = " ".repeat(label.len() - label.trim_start().len() + 4);
    let (first, rest) = command.split_once(" --").unwrap_or((command, ""));
    let mut rows = vec![format!("{label}{first}")];
    for option in rest.split(" --").filter(|option| !option.is_empty()) {
        if let Some(last) = rows.last_mut() {
            last.push_str(" \\");
        }
        rows.push(format!("{margin}--{option}"));
    }
    rows.into_iter().map(|row| Line::new().with(Style::Dim, row)).collect()
}

fn gate_rows(gate: &Gate, view: View<'_>, widest: usize) -> Vec<Line> {
    let name = if gate.kind == "rules" { gate.kind.to_owned() } else { format!("{} condition", gate.kind) };
    let mut lines = vec![row(("  ", &name, Style::Plain), Some(&gate.status), view, widest)];
    for rule in &gate.rules {
        let (glyph, style) = glyph(Some(&rule.status).filter(|s| !s.is_empty()).map(String::as_str), view.frame);
        lines.push(
            Line::new()
                .with(style, format!("    {glyph} "))
                .with(Style::Plain, clean(&rule.name))
                .with(Style::Dim, format!("  {}", rule.status)),
        );
        let told = rule.reason.as_deref().filter(|_| rule.status == "Failed");
        lines.extend(told.into_iter().flat_map(|message| reason(message, view)));
    }
    lines
}

fn reason(text: &str, view: View<'_>) -> Vec<Line> {
    let margin = "      ";
    let rows = wrap(&clean_rows(text), view.width.saturating_sub(margin.len()).min(REASON_COLUMNS));
    rows.into_iter().map(|row| Line::new().with(Style::Bad, format!("{margin}{row}"))).collect()
}

/// The mark and the colour of a status.
pub fn glyph(status: Option<&str>, frame: Option<usize>) -> (&'static str, Style) {
    match status {
        None => ("·", Style::Dim),
        Some("InProgress" | "Stopping") => (frame.map_or("▸", |frame| SPINNER[frame % SPINNER.len()]), Style::Busy),
        Some("Succeeded" | "Overridden") => ("✓", Style::Good),
        Some("Failed" | "Errored") => ("✗", Style::Bad),
        Some("Needs approval") => ("?", Style::Attention),
        Some(_) => ("■", Style::Attention),
    }
}
