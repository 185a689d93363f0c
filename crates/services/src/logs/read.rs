//! GetLogEvents. A token is a byte position in the stream's file: `f/` reads on from it, `b/` reads up to it. At the end
//! the same token comes back until somebody appends, which is how tailers poll.

use std::ops::ControlFlow;

use towpath_wire::WireError;
use towpath_wire::logs::{GetLogEventsRequest, GetLogEventsResponse, OutputLogEvent};

use super::lines::{Line, backward, forward};
use super::{Logs, group_name, invalid, stream_arn};
use crate::call::Call;

pub(super) const EVENTS_MAX: usize = 10_000;
pub(super) const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Lines that a time range leaves out are read too; a page ends when it has read this much, with tokens that go on.
pub(super) const SCAN_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Forward(u64),
    Backward(u64),
}

/// What one page takes.
struct Page {
    start_time: i64,
    end_time: i64,
    limit: usize,
    lines: Vec<Line>,
    weight: usize,
}

impl Page {
    fn take(&mut self, line: Line) -> ControlFlow<()> {
        if line.time < self.start_time || line.time >= self.end_time {
            return ControlFlow::Continue(());
        }
        let full = self.lines.len() >= self.limit || self.weight + line.weight() > PAGE_BYTES_MAX;
        if full && !self.lines.is_empty() {
            return ControlFlow::Break(());
        }
        self.weight += line.weight();
        self.lines.push(line);
        ControlFlow::Continue(())
    }
}

impl Logs {
    pub(super) async fn get_log_events(
        &self,
        call: &Call,
        input: GetLogEventsRequest,
    ) -> Result<GetLogEventsResponse, WireError> {
        let group = group_name(input.log_group_name, input.log_group_identifier)?;
        self.may(call, &stream_arn(&call.scope, &group, &input.log_stream_name)).await?;
        let stream = self.stream(&call.scope, &group, &input.log_stream_name).await?;
        let start = match &input.next_token {
            Some(token) => parse_token(token)?,
            None if input.start_from_head.unwrap_or(false) => Start::Forward(0),
            None => Start::Backward(u64::MAX),
        };
        let mut page = Page {
            start_time: input.start_time.unwrap_or(i64::MIN),
            end_time: input.end_time.unwrap_or(i64::MAX),
            limit: input.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(EVENTS_MAX),
            lines: Vec::new(),
            weight: 0,
        };
        let path = self.path(&stream.file);
        let (page, head, tail) = super::blocking(move || {
            let edges = match start {
                Start::Forward(from) => {
                    let stop = from.saturating_add(SCAN_BYTES_MAX);
                    let next = forward(&path, from, |line| {
                        if line.start >= stop { ControlFlow::Break(()) } else { page.take(line) }
                    })?;
                    (from.min(next), next)
                }
                Start::Backward(before) => {
                    let mut stop = None;
                    let (first, last) = backward(&path, before, |line| {
                        let stop = *stop.get_or_insert(line.end.saturating_sub(SCAN_BYTES_MAX));
                        if line.end <= stop { ControlFlow::Break(()) } else { page.take(line) }
                    })?;
                    page.lines.reverse();
                    // Reading back from the start itself finds nothing, and the end stays where it was.
                    (first, if last == 0 && before != u64::MAX { before } else { last })
                }
            };
            Ok((page, edges.0, edges.1))
        })
        .await?;
        let event = |line: Line| OutputLogEvent {
            ingestion_time: Some(line.ingested),
            message: Some(line.message),
            timestamp: Some(line.time),
        };
        Ok(GetLogEventsResponse {
            events: Some(page.lines.into_iter().map(event).collect()),
            next_backward_token: Some(format!("b/{head:056}/s")),
            next_forward_token: Some(format!("f/{tail:056}/s")),
        })
    }
}

fn parse_token(token: &str) -> Result<Start, WireError> {
    let wrong = || invalid("The specified nextToken is invalid.");
    let (direction, rest) = token.split_once('/').ok_or_else(wrong)?;
    let position = rest.trim_end_matches("/s").parse().map_err(|_| wrong())?;
    match direction {
        "f" => Ok(Start::Forward(position)),
        "b" => Ok(Start::Backward(position)),
        _ => Err(wrong()),
    }
}
