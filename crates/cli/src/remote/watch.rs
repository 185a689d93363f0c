//! Looks at a pipeline again and again and shows what changed: a board that is redrawn on a terminal, a line for each
//! change without one. It changes nothing: Ctrl-C ends the watching, not the execution.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tokio::time::MissedTickBehavior;

use super::board::{Answers, Board, Execution, boards, in_parallel, is_parallel};
use super::events::{Event, between};
use super::names::short;
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
    // The executions first: when one has ended by then, what is read afterwards tells its end too.
    let executions = match only {
        Some(id) => vec![read::execution(remote, pipeline, id).await?],
        None => read::executions(remote, pipeline, limits::EXECUTIONS_WATCHED).await?,
    };
    let state = read::state(remote, pipeline).await?;
    // The declaration changes with its version only.
    let declaration = match known.map(|known| known.declaration) {
        Some(declaration) if declaration["version"] == state["pipelineVersion"] => declaration,
        _ => read::declaration(remote, pipeline).await?,
    };
    let actions = if only.is_none() && is_parallel(&declaration) {
        let mut actions = Vec::new();
        for id in in_parallel(&executions) {
            actions.append(&mut read::actions(remote, pipeline, Some(id)).await?);
        }
        actions
    } else {
        read::actions(remote, pipeline, only).await?
    };
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
    // Taken out, so that Ctrl-C is heard while an answer is waited for.
    let (_quiet, never) = tokio::sync::mpsc::channel(1);
    let mut interrupts = std::mem::replace(&mut remote.interrupts, never);
    let mut answers = look(remote, pipeline, only, None).await?;
    let mut before: Vec<Board> = Vec::new();
    let mut frame = 0;
    let mut tick = tokio::time::interval(Duration::from_millis(limits::REDRAW_MS));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = boards(&answers, only);
        let looked = Instant::now();
        if !live {
            tell(remote, &before, &now);
        }
        if let Some(end) = end(remote, &answers, &now, live) {
            return Ok(finish(remote, &mut painter, &now, end, live));
        }
        before = now;
        while looked.elapsed() < remote.pace {
            tokio::select! {
                biased;
                _ = interrupts.recv() => return Ok(interrupted(remote, &mut painter, &before, live)),
                _ = tick.tick() => {}
            }
            if live {
                frame += 1;
                let (width, height) = remote.terminal.size.get();
                let lines = screen::fitted(&before, view(remote, Some(frame)), height.saturating_sub(1));
                let text = painter.frame(&paint(&lines, width, remote.terminal.colour_out));
                remote.terminal.result(&text);
            }
        }
        answers = tokio::select! {
            biased;
            _ = interrupts.recv() => return Ok(interrupted(remote, &mut painter, &before, live)),
            answers = look(remote, pipeline, only, Some(answers)) => answers?,
        };
    }
}

fn interrupted(remote: &mut Remote<'_>, painter: &mut Painter, boards: &[Board], live: bool) -> u8 {
    if live {
        last(remote, painter, boards);
    }
    remote.terminal.note("Watching ended; the execution goes on.\n");
    exit::INTERRUPTED
}

fn tell(remote: &mut Remote<'_>, before: &[Board], now: &[Board]) {
    let time = remote.now();
    let mut text = String::new();
    for board in now {
        let same = before.iter().find(|old| old.only == board.only);
        let started = board.executions.first().and_then(|e| e.started);
        for mut event in between(same, board) {
            let at = event.at.unwrap_or(time);
            // Writing to a String cannot fail.
            if remote.json {
                let _ = writeln!(text, "{}", event.json(at));
                continue;
            }
            let stamp = if remote.terminal.redacted { "-.--s".to_owned() } else { elapsed(started.unwrap_or(at), at) };
            event.execution = remote.shown(&event.execution);
            let several = now.len() > 1 && event.stage.is_some();
            let whose = if several { format!("{}  ", short(&event.execution)) } else { String::new() };
            for line in event.text().lines() {
                let _ = writeln!(text, "{stamp:>8}  {whose}{line}");
            }
        }
    }
    if !text.is_empty() {
        remote.terminal.result(&text);
    }
}

fn end(remote: &Remote<'_>, answers: &Answers, boards: &[Board], live: bool) -> Option<End> {
    if !answers.executions.iter().any(read::is_active) {
        let latest = answers.executions.first().map(Execution::of);
        let status = latest.as_ref().map_or_else(|| "none".to_owned(), |e| e.status.clone());
        return Some(End::Over(status, latest.and_then(|e| e.summary)));
    }
    // On a terminal a person is there to answer, or watches somebody who does.
    if live || boards.iter().any(Board::is_moving) {
        return None;
    }
    if let Some((board, (stage, action))) = boards.iter().find_map(|board| Some((board, board.asking().next()?))) {
        let name = format!("{}/{}", stage.name, action.name);
        let command = remote.place.command(&board.answer("approve", &name));
        return Some(End::Waiting(format!("{name} needs approval; to approve: {command}")));
    }
    let (board, stage) = boards.iter().find_map(|board| Some((board, board.held().next()?)))?;
    let command = remote.place.command(&["enable", &board.pipeline, &stage.name]);
    Some(End::Waiting(format!("the transition into {} is disabled; to enable it: {command}", stage.name)))
}

fn finish(remote: &mut Remote<'_>, painter: &mut Painter, boards: &[Board], end: End, live: bool) -> u8 {
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
        last(remote, painter, boards);
    } else if remote.json {
        let executions = boards.iter().flat_map(|board| &board.executions);
        let execution = executions.map(|e| e.id.clone()).next().unwrap_or_default();
        let event = Event { kind: "end", execution, status, message, ..Event::default() };
        remote.terminal.result(&format!("{}\n", event.json(remote.now())));
    } else if status == "WAITING"
        && let Some(message) = message
    {
        remote.terminal.result(&format!("Waiting: {message}\n"));
    }
    code
}

/// The board as it stays on the screen.
fn last(remote: &mut Remote<'_>, painter: &mut Painter, boards: &[Board]) {
    let width = remote.width();
    let lines = screen::whole(boards, view(remote, None));
    let text = painter.last(&paint(&lines, width, remote.terminal.colour_out));
    remote.terminal.result(&text);
}
