//! The tree of stages and actions as lines: a pure function of the model, the time and the room there is.

use console::measure_text_width;
use towpath_model::time::Timestamp;

use super::model::{Action, Model, Progress, State};
use super::style::{Line, Style, wrap};
use crate::limits;

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/// Names longer than this push their state to the right.
const NAME_COLUMNS_MAX: usize = 40;
const REASON_COLUMNS: usize = 96;

/// How much is shown: less and less until it fits.
#[derive(Debug, Clone, Copy)]
struct Detail {
    log_lines: usize,
    /// Stages that are over, and those not reached, lose their actions.
    only_active: bool,
}

/// The tree for a terminal of that height.
pub fn fitted(model: &Model, now: Timestamp, frame: usize, width: usize, height: usize) -> Vec<Line> {
    let steps = [(limits::LOG_TAIL_LINES, false), (3, false), (1, false), (3, true), (1, true), (0, true)];
    let mut lines = Vec::new();
    for (log_lines, only_active) in steps {
        lines = draw(model, now, frame, Detail { log_lines, only_active }, width);
        if lines.len() <= height {
            return lines;
        }
    }
    // Still too tall: the part around what is running matters most, and that is below what is done.
    let skip = first_active(model, &lines).min(lines.len().saturating_sub(height.max(1)));
    lines.into_iter().skip(skip).take(height.max(1)).collect()
}

/// The tree in full, as it stays on the screen.
pub fn whole(model: &Model, now: Timestamp, frame: usize) -> Vec<Line> {
    draw(model, now, frame, Detail { log_lines: limits::LOG_TAIL_LINES, only_active: false }, REASON_COLUMNS)
}

fn first_active(model: &Model, lines: &[Line]) -> usize {
    let running = model.stages.iter().find(|s| !s.progress.state.has_ended()).map(|s| s.name.as_str());
    running.and_then(|name| lines.iter().position(|l| l.0.len() > 1 && l.0[1].1.trim() == name)).unwrap_or_default()
}

fn draw(model: &Model, now: Timestamp, frame: usize, detail: Detail, width: usize) -> Vec<Line> {
    let widest = model
        .actions()
        .map(|(_, a)| measure_text_width(&a.name) + 2)
        .chain(model.stages.iter().map(|s| measure_text_width(&s.name)))
        .max()
        .unwrap_or_default()
        .min(NAME_COLUMNS_MAX);
    let mut lines = vec![head(model)];
    for stage in &model.stages {
        let state = stage.progress.state;
        lines.push(row(model, ("", &stage.name, Style::Bold), &stage.progress, now, frame, widest));
        let active = !matches!(state, State::Pending | State::Succeeded);
        if detail.only_active && !active {
            continue;
        }
        for action in &stage.actions {
            lines.push(row(model, ("  ", &action.name, Style::Plain), &action.progress, now, frame, widest));
            lines.extend(below(action, detail, width));
        }
    }
    lines
}

fn head(model: &Model) -> Line {
    Line::new()
        .with(Style::Bold, model.pipeline.clone())
        .with(Style::Dim, format!("  execution {}", model.execution_shown()))
}

fn row(
    model: &Model,
    (indent, name, style): (&str, &str, Style),
    progress: &Progress,
    now: Timestamp,
    frame: usize,
    widest: usize,
) -> Line {
    let (glyph, glyph_style) = glyph(progress.state, frame);
    let pad = (widest + 2).saturating_sub(measure_text_width(name) + indent.len());
    let line = Line::new().with(glyph_style, format!("{indent}{glyph} "));
    if progress.state == State::Pending {
        return line.with(Style::Dim, name.to_owned());
    }
    let line = line.with(style, name.to_owned()).with(Style::Plain, " ".repeat(pad.max(2)));
    let elapsed = progress.span(now).map(|(from, to)| model.elapsed(from, to)).unwrap_or_default();
    line.with(glyph_style, format!("{:<14}", progress.state.word())).with(Style::Dim, format!("{elapsed:>8}"))
}

const fn glyph(state: State, frame: usize) -> (&'static str, Style) {
    match state {
        State::Pending => ("·", Style::Dim),
        State::Waiting => ("…", Style::Attention),
        State::Running | State::Stopping => (SPINNER[frame % SPINNER.len()], Style::Busy),
        State::Approval => ("?", Style::Attention),
        State::Succeeded => ("✓", Style::Good),
        State::Failed => ("✗", Style::Bad),
        State::Stopped | State::Abandoned | State::Superseded | State::Cancelled | State::Skipped => {
            ("■", Style::Attention)
        }
    }
}

/// The tail of a running build's log; the reason and more of the log where it failed.
fn below(action: &Action, detail: Detail, width: usize) -> Vec<Line> {
    let margin = "    ";
    let tail = |count: usize| {
        let skip = action.log.len().saturating_sub(count);
        action
            .log
            .iter()
            .skip(skip)
            .map(move |l| Line::new().with(Style::Dim, format!("{margin}│ ")).with(Style::Dim, l.clone()))
    };
    match action.progress.state {
        State::Running | State::Stopping => tail(detail.log_lines).collect(),
        State::Failed => {
            let count = if detail.only_active { detail.log_lines } else { limits::LOG_TAIL_FAILED_LINES };
            let mut lines: Vec<Line> = tail(count).collect();
            if let Some(reason) = &action.reason {
                let rows = wrap(&super::clean_rows(reason), width.saturating_sub(margin.len()).min(REASON_COLUMNS));
                lines.extend(rows.into_iter().map(|r| Line::new().with(Style::Bad, format!("{margin}{r}"))));
            }
            lines
        }
        _ => Vec::new(),
    }
}
