//! Shows an execution as it happens: a live tree on a terminal, plain lines without one, JSON lines for programs. It is
//! fed history entries, log lines and ticks; what to draw is a pure function of those, writing is the last step.

pub mod json;
pub mod live;
pub mod model;
pub mod plain;
pub mod style;
pub mod tree;

use towpath_model::declaration::PipelineDeclaration;
use towpath_model::history::HistoryEntry;
use towpath_model::time::Timestamp;

use self::model::Model;
use crate::terminal::Terminal;

/// One line of a build's log.
#[derive(Debug, Clone, Copy)]
pub struct LogLine<'a> {
    pub time: Timestamp,
    pub stage: &'a str,
    pub action: &'a str,
    pub message: &'a str,
}

/// What stands at the end of JSON output.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    pub time: Timestamp,
    /// `SUCCEEDED`, `FAILED`, `STOPPED`, `SUPERSEDED`, `CANCELED`, `WAITING`.
    pub state: &'a str,
    pub message: Option<&'a str>,
}

enum Mode {
    Live(live::Painter),
    Plain,
    Json,
}

pub struct Display {
    pub model: Model,
    mode: Mode,
    pub terminal: Terminal,
    frame: usize,
    paused: bool,
}

impl Display {
    pub fn new(declaration: &PipelineDeclaration, execution: &str, json: bool, terminal: Terminal) -> Self {
        let mode = match (json, terminal.live) {
            (true, _) => Mode::Json,
            (false, true) => Mode::Live(live::Painter::default()),
            (false, false) => Mode::Plain,
        };
        Self {
            model: Model { redacted: terminal.redacted, ..Model::new(declaration, execution) },
            mode,
            terminal,
            frame: 0,
            paused: false,
        }
    }

    pub fn is_json(&self) -> bool {
        matches!(self.mode, Mode::Json)
    }

    /// Something is on the screen that has to be redrawn as time passes.
    pub fn is_live(&self) -> bool {
        matches!(self.mode, Mode::Live(_))
    }

    /// Takes what happened before this command watched: it is shown, not told.
    pub fn replay(&mut self, entry: &HistoryEntry) {
        self.model.apply(entry);
    }

    pub fn entry(&mut self, entry: &HistoryEntry) {
        self.model.apply(entry);
        let text = match self.mode {
            Mode::Live(_) => return,
            Mode::Plain => plain::entry(entry, &self.model),
            Mode::Json => json::entry(entry),
        };
        self.write(&text);
    }

    pub fn log(&mut self, line: LogLine<'_>) {
        self.model.log(line.stage, line.action, line.message);
        let text = match self.mode {
            Mode::Live(_) => return,
            Mode::Plain => plain::log(line, &self.model),
            Mode::Json => json::log(line, &self.model.execution),
        };
        self.write(&text);
    }

    /// Redraws the live tree. The caller keeps the pace.
    pub fn tick(&mut self, now: Timestamp) {
        if self.paused {
            return;
        }
        let Mode::Live(painter) = &mut self.mode else { return };
        self.frame += 1;
        let (width, height) = self.terminal.size.get();
        let lines = tree::fitted(&self.model, now, self.frame, width, height.saturating_sub(1));
        let text = painter.frame(&style::paint(&lines, width, self.terminal.colour_out));
        self.write(&text);
    }

    /// Draws the tree a last time, whole, and gives the terminal back: for questions and for the end.
    pub fn pause(&mut self, now: Timestamp) {
        let Mode::Live(painter) = &mut self.mode else { return };
        if self.paused {
            return;
        }
        self.paused = true;
        let (width, _) = self.terminal.size.get();
        let lines = tree::whole(&self.model, now, self.frame);
        let text = painter.last(&style::paint(&lines, width, self.terminal.colour_out));
        self.write(&text);
    }

    pub fn resume(&mut self) {
        self.paused = false;
    }

    /// A line of text for the reader, above what follows. JSON has no place for it.
    pub fn say(&mut self, text: &str) {
        let text = match &mut self.mode {
            Mode::Json => return,
            Mode::Plain => text.to_owned(),
            Mode::Live(painter) => painter.above(text),
        };
        self.write(&text);
    }

    pub fn end(&mut self, end: End<'_>) {
        if self.is_json() {
            let text = json::end(end, &self.model.execution);
            self.write(&text);
        } else {
            self.pause(end.time);
        }
    }

    /// A reader that went away is no reason to stop the execution.
    fn write(&mut self, text: &str) {
        self.terminal.result(text);
    }
}

/// Time passed, in three digits or so: `0.02s`, `59.9s`, `3m05s`, `26h01m`.
pub fn elapsed(from: Timestamp, to: Timestamp) -> String {
    let ms = (to.millis() - from.millis()).max(0);
    let seconds = ms / 1000;
    match seconds {
        0..10 => format!("{seconds}.{:02}s", ms % 1000 / 10),
        10..60 => format!("{seconds}.{}s", ms % 1000 / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// Text from outside, fit for a terminal line: no colours, no cursor movements, no control characters.
pub fn clean(text: &str) -> String {
    let text = console::strip_ansi_codes(text);
    // A progress bar rewrites its line; the last state is what a person would see.
    let text = text.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
    text.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !c.is_control()).collect()
}

/// Several rows of text from outside.
pub fn clean_rows(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elapsed_time_grows_in_unit_not_in_width() {
        let shown = |ms| elapsed(Timestamp(1000), Timestamp(1000_i64 + ms));
        assert_eq!(shown(-5), "0.00s");
        assert_eq!(shown(149), "0.14s");
        assert_eq!(shown(59_999), "59.9s");
        assert_eq!(shown(185_000), "3m05s");
        assert_eq!(shown(93_660_000), "26h01m");
    }

    #[test]
    fn log_lines_cannot_move_the_cursor() {
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m\u{1b}[2A\ttab\u{7}"), "red tab");
        assert_eq!(clean("10%\r50%\r100%\r"), "100%");
    }
}
