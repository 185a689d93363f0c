//! The three streams of the command and what is known of them. Results go to stdout, everything else to stderr; the
//! only place that touches the process's own streams is `Terminal::process`.

use std::io::{IsTerminal, Write};

use crate::diagnostics::Drawing;
use crate::env;

pub struct Terminal {
    pub out: Box<dyn Write + Send>,
    pub err: Box<dyn Write + Send>,
    /// Stdout is a terminal that can redraw lines.
    pub live: bool,
    /// A person can be asked: stdin and stderr are terminals.
    pub can_ask: bool,
    pub colour_out: bool,
    pub colour_err: bool,
    /// Where the current size is read from; tests fix it.
    pub size: Size,
    /// Times and ids are shown as placeholders (`TOWPATH_REDACT`).
    pub redacted: bool,
}

#[derive(Debug, Clone, Copy)]
pub enum Size {
    OfStdout,
    Fixed { width: usize, height: usize },
}

impl Size {
    pub fn get(self) -> (usize, usize) {
        match self {
            Self::Fixed { width, height } => (width, height),
            Self::OfStdout => {
                console::Term::stdout().size_checked().map_or((100, 40), |(h, w)| (usize::from(w), usize::from(h)))
            }
        }
    }
}

impl Terminal {
    pub fn process() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let dumb = std::env::var(env::TERM).is_ok_and(|t| t == "dumb");
        let plain = set(env::NO_COLOR) || dumb;
        let (out, err) = (std::io::stdout(), std::io::stderr());
        let (out_tty, err_tty) = (out.is_terminal(), err.is_terminal());
        Self {
            live: out_tty && !dumb,
            can_ask: std::io::stdin().is_terminal() && err_tty,
            colour_out: out_tty && !plain,
            colour_err: err_tty && !plain,
            size: Size::OfStdout,
            redacted: set(env::REDACT),
            out: Box::new(out),
            err: Box::new(err),
        }
    }

    pub fn drawing_out(&self) -> Drawing {
        Drawing { colour: self.colour_out, width: self.size.get().0 }
    }

    pub fn drawing_err(&self) -> Drawing {
        Drawing { colour: self.colour_err, width: self.size.get().0 }
    }

    /// Writes a result. A reader that went away (`| head`) is no reason to stop the work.
    pub fn result(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }

    /// Writes anything that is not the result.
    pub fn note(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes()).and_then(|()| self.err.flush());
    }
}
