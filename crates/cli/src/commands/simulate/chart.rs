//! The chart: a lane per execution, bars over virtual time. A pure function of what happened and of the width.

use console::measure_text_width;
use towpath_model::declaration::ConditionType;
use towpath_model::state::{Execution, ExecutionKind, ExecutionStatus};
use towpath_model::time::Timestamp;

use super::lanes::{End, Kind, Lane, Row, lanes};
use super::rehearsed::{Beat, Rehearsed};
use super::scale::Scale;
use super::words;
use crate::display::style::{Line, Style};

/// A chart wider than this tells nothing more.
const WIDTH_MAX: usize = 140;
const STAGE_COLUMNS_MAX: usize = 14;
const NAME_COLUMNS_MAX: usize = 24;
const MARGIN: &str = "  ";

const WAIT: char = '┄';
const CUT: char = '≈';
const FAILED: char = '✗';
const ENDED: char = '■';
const OPEN: char = '▶';
const GRID: char = '·';

/// One row as it is drawn: a wait is drawn in the first row of its stage.
struct Drawn<'a> {
    stage: &'a str,
    name: String,
    rows: Vec<&'a Row>,
}

/// One column of a bar.
#[derive(Clone, Copy, PartialEq)]
struct Cell {
    glyph: char,
    style: Style,
}

const BLANK: Cell = Cell { glyph: ' ', style: Style::Plain };

/// The whole chart.
pub fn draw(rehearsed: &Rehearsed, width: usize) -> Vec<Line> {
    let lanes = lanes(rehearsed);
    let drawn: Vec<Vec<Drawn<'_>>> = lanes.iter().map(rows).collect();
    let all = || drawn.iter().flatten();
    let stage_columns = all().map(|row| measure_text_width(row.stage)).max().unwrap_or_default().min(STAGE_COLUMNS_MAX);
    let name_columns = all().map(|row| measure_text_width(&row.name)).max().unwrap_or_default();
    let width = width.min(WIDTH_MAX);
    let name_columns = name_columns.min(NAME_COLUMNS_MAX).min((width / 4).max(8));
    let label_columns = MARGIN.len() + stage_columns + 1 + name_columns + 1;
    let scale = scale(rehearsed, &lanes, width.saturating_sub(label_columns).max(20));

    let mut lines = vec![axis(&scale, label_columns)];
    let mut used = Vec::new();
    for (lane, rows) in lanes.iter().zip(&drawn) {
        if let Some(execution) = rehearsed.execution(&lane.execution) {
            lines.push(head(rehearsed, execution));
        }
        let mut before = "";
        for row in rows {
            let stage = if row.stage == before { "" } else { row.stage };
            before = row.stage;
            let line = Line::new()
                .with(Style::Plain, format!("{MARGIN}{} ", padded(stage, stage_columns)))
                .with(Style::Dim, format!("{} ", padded(&row.name, name_columns)));
            lines.push(bars(rehearsed, row, &scale, line, &mut used));
        }
    }
    if !scale.cuts().is_empty() {
        used.push(CUT);
    }
    lines.extend(legend(&used, width));
    lines
}

fn rows(lane: &Lane) -> Vec<Drawn<'_>> {
    let mut drawn: Vec<Drawn<'_>> = Vec::new();
    for row in &lane.rows {
        let name = match row.kind {
            Kind::Action | Kind::Approval => row.name.clone(),
            Kind::Rule(gate) => format!("{} {}", gate_word(gate), row.name),
            Kind::Wait => String::new(),
        };
        match drawn.last_mut() {
            // Only a wait has no name; what comes first in its stage gives the row one.
            Some(last) if last.stage == row.stage && (last.name.is_empty() || row.kind == Kind::Wait) => {
                if last.name.is_empty() {
                    last.name = name;
                }
                last.rows.push(row);
            }
            _ => drawn.push(Drawn { stage: &row.stage, name, rows: vec![row] }),
        }
    }
    for row in drawn.iter_mut().filter(|row| row.name.is_empty()) {
        "(waits)".clone_into(&mut row.name);
    }
    drawn
}

const fn gate_word(gate: ConditionType) -> &'static str {
    match gate {
        ConditionType::BeforeEntry => "entry?",
        ConditionType::OnSuccess => "success?",
        ConditionType::OnFailure => "failure?",
    }
}

fn scale(rehearsed: &Rehearsed, lanes: &[Lane], width: usize) -> Scale {
    let since = |time: Timestamp| time.millis() - rehearsed.start.millis();
    let spans =
        || lanes.iter().flat_map(|lane| &lane.rows).flat_map(|row| row.spans.iter().map(move |s| (row.kind, s)));
    let mut changes: Vec<i64> = spans().flat_map(|(_, span)| [since(span.from), since(span.to)]).collect();
    changes.extend(rehearsed.executions.iter().map(|execution| since(execution.started)));
    changes.push(since(rehearsed.end));
    changes.extend(rehearsed.beats.iter().filter_map(|beat| match beat {
        Beat::Done(done) => Some(since(done.time)),
        Beat::History(_) => None,
    }));
    let runs = |from: i64, to: i64| {
        spans().any(|(kind, span)| kind != Kind::Wait && since(span.from) < to && since(span.to) > from)
    };
    Scale::new(&changes, |from, to| !runs(from, to), width)
}

fn axis(scale: &Scale, label_columns: usize) -> Line {
    let mut text = String::new();
    let mut at = 0;
    let mut marks: Vec<(usize, String)> = scale.ticks().into_iter().map(|tick| (tick.column, tick.label)).collect();
    marks.extend(scale.cuts().into_iter().map(|column| (column, CUT.to_string())));
    marks.sort();
    for (column, label) in marks {
        if column < at {
            continue;
        }
        text.push_str(&" ".repeat(column - at));
        text.push_str(&label);
        at = column + measure_text_width(&label);
    }
    Line::new().with(Style::Dim, format!("{}{text}", " ".repeat(label_columns)))
}

fn head(rehearsed: &Rehearsed, execution: &Execution) -> Line {
    let (glyph, style, word) = standing(execution.status);
    let kind = match &execution.kind {
        ExecutionKind::Standard => String::new(),
        ExecutionKind::Rollback { target, stage } => {
            format!("  rollback of {stage} to execution {}", rehearsed.number(target))
        }
    };
    let version = if execution.pipeline_version > 1 {
        format!("  version {}", execution.pipeline_version)
    } else {
        String::new()
    };
    Line::new()
        .with(style, format!("{glyph} "))
        .with(Style::Bold, format!("Execution {}", execution.sequence))
        .with(style, format!("  {word}"))
        .with(Style::Dim, format!("{kind}{version}"))
}

/// A glyph, its colour and AWS's word.
pub const fn standing(status: ExecutionStatus) -> (&'static str, Style, &'static str) {
    let word = status.as_str();
    match status {
        ExecutionStatus::Succeeded => ("✓", Style::Good, word),
        ExecutionStatus::Failed => ("✗", Style::Bad, word),
        ExecutionStatus::InProgress | ExecutionStatus::Stopping => ("…", Style::Busy, word),
        ExecutionStatus::Stopped | ExecutionStatus::Superseded | ExecutionStatus::Cancelled => {
            ("■", Style::Attention, word)
        }
    }
}

fn bars(rehearsed: &Rehearsed, drawn: &Drawn<'_>, scale: &Scale, line: Line, used: &mut Vec<char>) -> Line {
    let since = |time: Timestamp| time.millis() - rehearsed.start.millis();
    let mut cells = vec![BLANK; scale.width];
    for tick in scale.ticks() {
        cells[tick.column] = Cell { glyph: GRID, style: Style::Dim };
    }
    let cuts = scale.cuts();
    let mut last = 0;
    for row in &drawn.rows {
        let fill = glyph(row.kind);
        for span in &row.spans {
            let columns = scale.columns(since(span.from), since(span.to));
            let style = style(row.kind, span.end);
            last = last.max(columns.end);
            let final_column = columns.end - 1;
            for column in columns {
                // How the one before ended stays to be seen.
                if matches!(cells[column].glyph, FAILED | ENDED) && column != final_column {
                    continue;
                }
                // A wait ends where the stage's work begins.
                if row.kind == Kind::Wait && !matches!(cells[column].glyph, ' ' | GRID) {
                    continue;
                }
                let end = match span.end {
                    End::Bad => Some(FAILED),
                    End::Cut => Some(ENDED),
                    End::Open => Some(OPEN),
                    End::Good => None,
                };
                let shown = match end {
                    Some(mark) if column == final_column => mark,
                    _ if cuts.contains(&column) => CUT,
                    _ => fill,
                };
                cells[column] = Cell { glyph: shown, style };
                for seen in [shown, fill] {
                    if !used.contains(&seen) {
                        used.push(seen);
                    }
                }
            }
        }
    }
    write_length(drawn, &mut cells, last);
    let mut line = line;
    let mut text = String::new();
    let mut of = Style::Plain;
    for cell in cells {
        if cell.style != of && !text.is_empty() {
            line = line.with(of, std::mem::take(&mut text));
        }
        of = cell.style;
        text.push(cell.glyph);
    }
    line.with(of, text)
}

/// How long it took stands behind the bar, where it ran once and there is room.
fn write_length(drawn: &Drawn<'_>, cells: &mut [Cell], last: usize) {
    let mut work = drawn.rows.iter().filter(|row| row.kind != Kind::Wait).flat_map(|row| &row.spans);
    let (Some(span), None) = (work.next(), work.next()) else { return };
    if span.end == End::Open || span.from == span.to {
        return;
    }
    let text = format!(" {}", words::since(span.from, span.to));
    if last + text.len() >= cells.len() {
        return;
    }
    for (cell, glyph) in cells[last..].iter_mut().zip(text.chars()) {
        *cell = Cell { glyph, style: Style::Dim };
    }
}

const fn glyph(kind: Kind) -> char {
    match kind {
        Kind::Action => '█',
        Kind::Approval => '░',
        Kind::Rule(_) => '▒',
        Kind::Wait => WAIT,
    }
}

const fn style(kind: Kind, end: End) -> Style {
    match (kind, end) {
        (Kind::Wait, _) | (_, End::Cut) | (Kind::Approval, End::Open) => Style::Attention,
        (_, End::Bad) => Style::Bad,
        (_, End::Good) => Style::Good,
        (_, End::Open) => Style::Busy,
    }
}

/// What the signs mean, of those that are there.
fn legend(used: &[char], width: usize) -> Vec<Line> {
    let meanings = [
        ('█', "action"),
        ('▒', "rule"),
        ('░', "approval"),
        (WAIT, "waits in front"),
        (FAILED, "failed"),
        (ENDED, "cut off"),
        (OPEN, "not over"),
        (CUT, "time cut short"),
    ];
    let known: Vec<String> = meanings
        .iter()
        .filter(|(glyph, _)| used.contains(glyph))
        .map(|(glyph, text)| format!("{glyph} {text}"))
        .collect();
    let mut rows: Vec<String> = Vec::new();
    for one in known {
        match rows.last_mut() {
            Some(row) if measure_text_width(row) + 3 + measure_text_width(&one) + MARGIN.len() <= width => {
                row.push_str("   ");
                row.push_str(&one);
            }
            _ => rows.push(one),
        }
    }
    rows.into_iter().map(|row| Line::new().with(Style::Dim, format!("{MARGIN}{row}"))).collect()
}

/// Text in exactly so many columns.
fn padded(text: &str, columns: usize) -> String {
    let text = console::truncate_str(text, columns, "…");
    let blanks = columns.saturating_sub(measure_text_width(&text));
    format!("{text}{}", " ".repeat(blanks))
}
