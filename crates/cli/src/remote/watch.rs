//! Looks at a pipeline again and again and shows what changed: a board that is redrawn on a terminal, a line for each
//! change without one. It changes nothing: Ctrl-C ends the watching, not the execution.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tokio::time::MissedTickBehavior;

use super::board::{Answers, Board};
use super::events::{Event, between};
use super::screen::{self, View};
use super::{Remote, read, shape};
use crate::display::elapsed;
use crate::display::live::Painter;
use crate::display::style::paint;
use crate::errors::{ExpectedError, exit};
use crate::limits;

/// Reads everything that a board shows.
pub async fn look(
    remote: &Remote<'_>,
    pipeline: &str,
    only: Option<&str>,
    known: Option<Answers>,
) -> Result<Answers, ExpectedError> {
    let state = read::state(remote, pipeline).await?;
    // The declaration changes with its version only.
    let declaration = match known.map(|known| known.declaration) {
        Some(declaration) if declaration["version"] == state["pipelineVersion"] => declaration,
        _ => read::declaration(remote, pipeline).await?,
    };
    let executions = match only {
        Some(id) => vec![read::execution(remote, pipeline, id).await?],
        None => read::executions(remote, pipeline, limits::EXECUTIONS_WATCHED).await?,
    };
    let actions = read::actions(remote, pipeline, only).await?;
    let rules = match only {
        Some(_) if has_rules(&declaration) => read::rules(remote, pipeline, only).await?,
        _ => Vec::new(),
    };
    Ok(Answers { declaration, state, executions, actions, rules })
}

fn has_rules(declaration: &Json) -> bool {
    shape::list(&declaration["stages"])
        .any(|stage| ["beforeEntry", "onSuccess", "onFailure"].iter().any(|gate| stage[*gate]["conditions"].is_array()))
}

pub fn view<'a>(remote: &'a Remote<'_>, frame: Option<usize>) -> View<'a> {
    View { now: remote.now(), width: remote.width(), place: &remote.place, redacted: remote.terminal.redacted, frame }
}

/// Why watching ends.
enum End {
    /// Nothing runs any more; the status of the execution that was watched, or the latest.
    Over(String, Option<String>),
    /// Nothing goes on without a person.
    Waiting(String),
}

/// Watches one execution, or the pipeline until nothing runs. Answers the exit code.
pub async fn watch(remote: &mut Remote<'_>, pipeline: &str, only: Option<&str>) -> Result<u8, ExpectedError> {
    let live = remote.terminal.live && !remote.json;
    let mut painter = Painter::default();
    let mut answers = look(remote, pipeline, only, None).await?;
    let mut board = Board::new(&answers, only);
    let mut before: Option<Board> = None;
    let mut looked = Instant::now();
    let mut frame = 0;
    let mut tick = tokio::time::interval(Duration::from_millis(limits::REDRAW_MS));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if !live {
            tell(remote, &between(before.as_ref(), &board), &board);
        }
        if let Some(end) = end(remote, &board, live) {
            return Ok(finish(remote, &mut painter, &board, end, live));
        }
        before = Some(board);
        loop {
            tokio::select! {
                biased;
                interrupt = remote.interrupts.recv() => if interrupt.is_some() {
                    if live {
                        let board = before.as_ref().unwrap_or(&Board::new(&answers, only)).clone();
                        last(remote, &mut painter, &board);
                    }
                    remote.terminal.note("The execution goes on; watching ended.\n");
                    return Ok(exit::INTERRUPTED);
                },
                _ = tick.tick() => {}
            }
            if live && let Some(board) = &before {
                frame += 1;
                let (width, height) = remote.terminal.size.get();
                let lines = screen::fitted(board, view(remote, Some(frame)), height.saturating_sub(1));
                let text = painter.frame(&paint(&lines, width, remote.terminal.colour_out));
                remote.terminal.result(&text);
            }
            if looked.elapsed() >= remote.pace {
                break;
            }
        }
        answers = look(remote, pipeline, only, Some(answers)).await?;
        looked = Instant::now();
        board = Board::new(&answers, only);
    }
}

fn tell(remote: &mut Remote<'_>, events: &[Event], board: &Board) {
    let now = remote.now();
    let mut text = String::new();
    for event in events {
        if remote.json {
            text.push_str(&event.json(now).to_string());
        } else {
            let from = board.executions.first().and_then(|e| e.started).unwrap_or(now);
            let stamp = if remote.terminal.redacted { "-.--s".to_owned() } else { elapsed(from, now) };
            let mut event = event.clone();
            event.execution = remote.shown(&event.execution);
            for line in event.text().lines() {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{stamp:>8}  {line}");
            }
            continue;
        }
        text.push('\n');
    }
    if !text.is_empty() {
        remote.terminal.result(&text);
    }
}

fn end(remote: &Remote<'_>, board: &Board, live: bool) -> Option<End> {
    let latest = board.executions.first();
    if !board.executions.iter().any(super::board::Execution::is_active) {
        let status = latest.map_or_else(|| "none".to_owned(), |e| e.status.clone());
        return Some(End::Over(status, latest.and_then(|e| e.summary.clone())));
    }
    // On a terminal a person is there to answer, or watches somebody who does.
    if live || board.is_moving() {
        return None;
    }
    if let Some((stage, action)) = board.asking().next() {
        let name = format!("{}/{}", stage.name, action.name);
        let command = remote.place.command(&["approve", &board.pipeline, &name]);
        return Some(End::Waiting(format!("{name} needs approval; to approve: {command}")));
    }
    let stage = board.held().next()?;
    let command = remote.place.command(&["enable", &board.pipeline, &stage.name]);
    Some(End::Waiting(format!("the transition into {} is disabled; to enable it: {command}", stage.name)))
}

fn finish(remote: &mut Remote<'_>, painter: &mut Painter, board: &Board, end: End, live: bool) -> u8 {
    let (status, message, code) = match end {
        End::Waiting(why) => ("WAITING".to_owned(), Some(why), exit::WAITING),
        End::Over(status, summary) => {
            let code = match status.as_str() {
                "Succeeded" | "none" => exit::SUCCEEDED,
                "Failed" => exit::FAILED,
                _ => exit::WAITING,
            };
            (status, summary, code)
        }
    };
    if live {
        last(remote, painter, board);
    } else if remote.json {
        let execution = board.executions.first().map(|e| e.id.clone()).unwrap_or_default();
        let event = Event { kind: "end", execution, stage: None, action: None, status, message, asks: false }
            .json(remote.now());
        remote.terminal.result(&format!("{event}\n"));
    } else if code == exit::WAITING
        && let Some(message) = message
    {
        remote.terminal.result(&format!("Waiting: {message}\n"));
    }
    code
}

/// The board as it stays on the screen.
fn last(remote: &mut Remote<'_>, painter: &mut Painter, board: &Board) {
    let width = remote.width();
    let lines = screen::whole(board, view(remote, None));
    let text = painter.last(&paint(&lines, width, remote.terminal.colour_out));
    remote.terminal.result(&text);
}
