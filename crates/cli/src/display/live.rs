//! Redraws lines in place, without flicker: every frame is one write that overwrites line by line, and a frame equal to
//! the last is not written at all. The cursor is hidden meanwhile and comes back however the process ends.

use std::sync::atomic::{AtomicBool, Ordering};

const HIDE_CURSOR: &str = "\u{1b}[?25l";
const SHOW_CURSOR: &str = "\u{1b}[?25h";
/// Terminals that know synchronised output show the frame at once; others ignore it.
const BEGIN: &str = "\u{1b}[?2026h";
const END: &str = "\u{1b}[?2026l";
const CLEAR_LINE_REST: &str = "\u{1b}[K";
const CLEAR_BELOW: &str = "\u{1b}[J";

static CURSOR_HIDDEN: AtomicBool = AtomicBool::new(false);

/// Gives the cursor back where it was hidden: what a panic hook and a second Ctrl-C call.
pub fn restore_cursor() {
    use std::io::Write;
    if CURSOR_HIDDEN.swap(false, Ordering::SeqCst) {
        let mut out = std::io::stdout();
        let _ = out.write_all(SHOW_CURSOR.as_bytes()).and_then(|()| out.flush());
    }
}

#[derive(Debug, Default)]
pub struct Painter {
    shown: Vec<String>,
    hidden: bool,
}

impl Painter {
    /// The bytes that turn what is shown into these lines.
    pub fn frame(&mut self, lines: &[String]) -> String {
        if self.hidden && self.shown == lines {
            return String::new();
        }
        let mut out = String::from(BEGIN);
        if !self.hidden {
            out.push_str(HIDE_CURSOR);
            self.hidden = true;
            CURSOR_HIDDEN.store(true, Ordering::SeqCst);
        }
        self.draw(lines, &mut out);
        out.push_str(END);
        out
    }

    /// The last frame: it stays on the screen, and the cursor comes back below it.
    pub fn last(&mut self, lines: &[String]) -> String {
        let mut out = String::from(BEGIN);
        self.draw(lines, &mut out);
        out.push_str(END);
        if self.hidden {
            out.push_str(SHOW_CURSOR);
            self.hidden = false;
            CURSOR_HIDDEN.store(false, Ordering::SeqCst);
        }
        self.shown.clear();
        out
    }

    /// Text that stays, above the frame that follows.
    pub fn above(&mut self, text: &str) -> String {
        let mut out = String::new();
        up(self.shown.len(), &mut out);
        out.push_str(CLEAR_BELOW);
        out.push_str(text);
        self.shown.clear();
        out
    }

    fn draw(&mut self, lines: &[String], out: &mut String) {
        up(self.shown.len(), out);
        for line in lines {
            out.push_str(line);
            out.push_str(CLEAR_LINE_REST);
            out.push('\n');
        }
        if lines.len() < self.shown.len() {
            out.push_str(CLEAR_BELOW);
        }
        self.shown = lines.to_vec();
    }
}

fn up(rows: usize, out: &mut String) {
    use std::fmt::Write;
    out.push('\r');
    if rows > 0 {
        let _ = write!(out, "\u{1b}[{rows}A");
    }
}

impl Drop for Painter {
    fn drop(&mut self) {
        if self.hidden {
            restore_cursor();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(|t| (*t).to_owned()).collect()
    }

    #[test]
    fn frames_overwrite_and_the_cursor_returns() {
        let mut painter = Painter::default();
        assert_eq!(
            painter.frame(&lines(&["one", "two"])),
            "\u{1b}[?2026h\u{1b}[?25l\rone\u{1b}[K\ntwo\u{1b}[K\n\u{1b}[?2026l"
        );
        assert_eq!(painter.frame(&lines(&["one", "two"])), "", "nothing changed, nothing is written");
        assert_eq!(painter.frame(&lines(&["ONE"])), "\u{1b}[?2026h\r\u{1b}[2AONE\u{1b}[K\n\u{1b}[J\u{1b}[?2026l");
        assert_eq!(painter.above("note\n"), "\r\u{1b}[1A\u{1b}[Jnote\n");
        assert_eq!(painter.last(&lines(&["end"])), "\u{1b}[?2026h\rend\u{1b}[K\n\u{1b}[?2026l\u{1b}[?25h");
    }
}
