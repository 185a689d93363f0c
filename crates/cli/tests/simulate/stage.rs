//! Runs the command as `main` does, on a terminal of a given size.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use clap::Parser as _;
use towpath_cli::args::{Cli, Command};
use towpath_cli::terminal::{Size, Terminal};
use towpath_cli::{assemble, commands};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub struct Shown {
    pub out: String,
    pub err: String,
    pub exit: u8,
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// At 80 columns, without colours.
pub fn simulate(path: &str, arguments: &[&str]) -> Shown {
    sized(path, arguments, 80, false)
}

pub fn simulate_text(path: &str, arguments: &[&str], width: usize, colour: bool) -> String {
    let shown = sized(path, arguments, width, colour);
    assert_eq!(shown.err, "");
    shown.out
}

fn sized(path: &str, arguments: &[&str], width: usize, colour: bool) -> Shown {
    let path = root().join(path);
    let words = ["towpath", "simulate"].into_iter().chain([path.to_str().unwrap()]).chain(arguments.iter().copied());
    let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
    let Command::Simulate(args) = cli.command else { panic!("another command") };
    let out = Captured::default();
    let mut terminal = Terminal {
        out: Box::new(out.clone()),
        err: Box::new(std::io::sink()),
        live: false,
        can_ask: false,
        colour_out: colour,
        colour_err: false,
        size: Size::Fixed { width, height: 40 },
        redacted: false,
    };
    let result = commands::simulate::run(&args.options(), &assemble::validate, &assemble::simulate, &mut terminal);
    let (exit, err) = match result {
        Ok(exit) => (exit, String::new()),
        Err(error) => {
            let drawing = terminal.drawing_err();
            let reports: String = error.reports().iter().map(|report| report.draw(drawing)).collect();
            let place = root().display().to_string();
            (error.exit_code(), format!("{reports}{}", error.render()).replace(&place, "..."))
        }
    };
    Shown { out: out.text(), err, exit }
}
