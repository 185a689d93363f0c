//! What the commands about a server's pipelines share: the connection, reading the API page by page, errors that say what
//! to do next, tables, the board of stages, and watching it. Everything goes through the public API; nothing here knows
//! whether a Towpath server or AWS answers.

pub mod board;
pub mod events;
pub mod names;
pub mod read;
pub mod refusal;
pub mod screen;
pub mod shape;
pub mod table;
pub mod times;
pub mod watch;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::Value as Json;
use tokio::sync::mpsc::Receiver;
use towpath_model::time::{Clock, Timestamp};

use crate::client::{Client, Connection, Settings};
use crate::commands::validate::Format;
use crate::display::style::{Line, paint};
use crate::env;
use crate::errors::ExpectedError;
use crate::flow::summary::quoted;
use crate::host::Api;
use crate::limits;
use crate::terminal::Terminal;

/// Options of every command that speaks to a server.
#[derive(Debug, Clone, Args)]
pub struct RemoteArgs {
    /// How the answer is shown: for people, or as JSON with the API's own names
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(flatten)]
    pub connection: Connection,
    /// The data directory of a server on this machine: its root user's key is used
    #[arg(long, value_name = "DIR", env = env::DATA_DIR, hide_env_values = true, help_heading = "Connection")]
    pub data_dir: Option<PathBuf>,
}

/// Where the API is, for messages and for the commands they suggest.
#[derive(Debug, Clone)]
pub struct Place {
    pub region: String,
    /// A server on this machine.
    pub local: bool,
    /// The options that the user gave to get there.
    options: String,
}

impl Place {
    fn new(settings: &Settings, connection: &Connection, data_dir: Option<&Path>) -> Self {
        let mut options = String::new();
        let mut add = |name: &str, value: &str| {
            // Writing to a String cannot fail.
            let _ = write!(options, " --{name} {}", quoted(Path::new(value)));
        };
        if let Some(url) = &connection.endpoint_url {
            add("endpoint-url", url);
        }
        if let Some(region) = &connection.region {
            add("region", region);
        }
        if let Some(profile) = &connection.profile {
            add("profile", profile);
        }
        if let Some(data_dir) = data_dir {
            add("data-dir", &data_dir.display().to_string());
        }
        Self { region: settings.region.clone(), local: settings.is_local(), options }
    }

    /// A place for tests.
    pub fn fixed(region: &str) -> Self {
        Self { region: region.to_owned(), local: true, options: String::new() }
    }

    /// A command that can be pasted: `towpath approve demo Gate/Review`, with the same connection.
    pub fn command(&self, words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|word| quoted(Path::new(word))).collect();
        format!("towpath {}{}", words.join(" "), self.options)
    }
}

/// One command's session with the API.
pub struct Remote<'a> {
    pub api: &'a dyn Api,
    pub clock: &'a dyn Clock,
    pub terminal: Terminal,
    /// One message for every Ctrl-C.
    pub interrupts: Receiver<()>,
    pub place: Place,
    pub json: bool,
    /// How often a watched pipeline is asked for.
    pub pace: Duration,
}

/// Connects; `with` is handed the session. Two steps, because the session borrows the client.
pub async fn connect(
    connection: &Connection,
    data_dir: Option<&Path>,
    clock: Arc<dyn Clock>,
) -> Result<(Client, Place), ExpectedError> {
    let settings = Settings::load(connection, data_dir).await.map_err(|error| ExpectedError::System {
        hint: Some(error.hint()),
        message: error.to_string(),
        usage: true,
    })?;
    let place = Place::new(&settings, connection, data_dir);
    Ok((Client::new(settings, clock), place))
}

impl<'a> Remote<'a> {
    pub fn new(client: &'a Client, place: Place, format: Format, terminal: Terminal, interrupts: Receiver<()>) -> Self {
        let pace = if place.local { limits::WATCH_PACE_LOCAL } else { limits::WATCH_PACE };
        let clock = &**client.clock();
        Self { api: client, clock, terminal, interrupts, place, json: format == Format::Json, pace }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// One operation of CodePipeline. `doing` completes "cannot ...".
    pub async fn call(
        &self,
        doing: &str,
        pipeline: Option<&str>,
        operation: &str,
        input: Json,
    ) -> Result<Json, ExpectedError> {
        match self.api.call("codepipeline", operation, input).await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(refusal::explained(self, doing, pipeline, error).await),
        }
    }

    /// The result as a person sees it. Without a terminal no line is cut.
    pub fn show(&mut self, lines: &[Line]) {
        let width = self.width();
        let painted = paint(lines, width, self.terminal.colour_out);
        let mut text = painted.join("\n");
        text.push('\n');
        self.terminal.result(&text);
    }

    /// Columns to draw in: the terminal's, or as many as it takes.
    pub fn width(&self) -> usize {
        if self.terminal.live { self.terminal.size.get().0 } else { usize::MAX }
    }

    /// The result as a program sees it: one JSON document.
    pub fn show_json(&mut self, document: &Json) {
        let text = serde_json::to_string_pretty(&shape::readable(document)).unwrap_or_default();
        self.terminal.result(&(text + "\n"));
    }

    /// The answer of a command that changed something: a sentence, or its JSON.
    pub fn done(&mut self, sentence: &str, document: &Json) {
        if self.json {
            self.show_json(document);
        } else {
            self.terminal.result(&format!("{sentence}\n"));
        }
    }
}
