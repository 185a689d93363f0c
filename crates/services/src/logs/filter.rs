//! FilterLogEvents: the events of many streams in order of time. The streams are merged; a page's token holds the
//! position in every stream that has begun and is not at its end, so that the next page goes on exactly there.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use towpath_wire::WireError;
use towpath_wire::logs::{FilterLogEventsRequest, FilterLogEventsResponse, FilteredLogEvent};

use super::lines::{Line, forward};
use super::pattern::Pattern;
use super::read::{EVENTS_MAX, PAGE_BYTES_MAX, SCAN_BYTES_MAX};
use super::{Logs, group_arn, group_name, invalid, no_group};
use crate::call::Call;

const SCAN_PAGE: usize = 500;
/// Streams of a group that one request looks at.
const STREAMS_MAX: usize = 10_000;
/// Lines fetched from one stream at a time.
const BATCH_LINES: usize = 16;

/// Where the next page goes on.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Token {
    /// Everything up to this event, and nothing after it, was looked at: its time and its stream.
    time: i64,
    stream: String,
    /// Positions in streams that have begun and are not at their end.
    open: Vec<(String, u64)>,
}

/// One stream on its way through the merge.
struct Cursor {
    name: String,
    path: PathBuf,
    next: u64,
    /// Lines read ahead, last first.
    ahead: Vec<Line>,
}

impl Cursor {
    /// The next line, without taking it.
    fn peek(&mut self) -> io::Result<Option<&Line>> {
        if self.ahead.is_empty() {
            let mut lines = Vec::new();
            self.next = forward(&self.path, self.next, |line| {
                if lines.len() == BATCH_LINES {
                    return ControlFlow::Break(());
                }
                lines.push(line);
                ControlFlow::Continue(())
            })?;
            lines.reverse();
            self.ahead = lines;
        }
        Ok(self.ahead.last())
    }

    /// Where reading goes on, given what was read ahead.
    fn position(&self) -> u64 {
        self.ahead.last().map_or(self.next, |line| line.start)
    }
}

struct Search {
    pattern: Pattern,
    start_time: i64,
    /// Events of exactly this time are in.
    end_time: i64,
    limit: usize,
}

impl Logs {
    pub(super) async fn filter_log_events(
        &self,
        call: &Call,
        input: FilterLogEventsRequest,
    ) -> Result<FilterLogEventsResponse, WireError> {
        let group = group_name(input.log_group_name, input.log_group_identifier)?;
        self.may(call, &group_arn(&call.scope, &group)).await?;
        if self.group(&call.scope, &group).await?.is_none() {
            return Err(no_group());
        }
        let names = input.log_stream_names.unwrap_or_default();
        let prefix = input.log_stream_name_prefix.unwrap_or_default();
        if !names.is_empty() && !prefix.is_empty() {
            return Err(invalid("logStreamNames and logStreamNamePrefix cannot be given together."));
        }
        let token = input.next_token.as_deref().map(parse_token).transpose()?;
        let search = Search {
            pattern: Pattern::parse(&input.filter_pattern.unwrap_or_default()).map_err(invalid)?,
            start_time: input.start_time.unwrap_or(i64::MIN),
            end_time: input.end_time.unwrap_or(i64::MAX),
            limit: input.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(EVENTS_MAX),
        };
        let mut streams = Vec::new();
        if names.is_empty() {
            let mut after: Option<String> = None;
            while streams.len() < STREAMS_MAX {
                let found = self.stream_records(&call.scope, &group, &prefix, after.as_deref(), SCAN_PAGE).await?;
                let end = found.len() < SCAN_PAGE;
                for (name, record) in found {
                    after = Some(name.clone());
                    streams.push((name, self.path(&record.file)));
                }
                if end {
                    break;
                }
            }
        } else {
            for name in names {
                let record = self.stream(&call.scope, &group, &name).await?;
                streams.push((name, self.path(&record.file)));
            }
        }
        let (events, token) = super::blocking(move || merge(streams, token, &search)).await?;
        let next_token = token.map(|token| {
            let json = serde_json::to_vec(&token).unwrap_or_default();
            URL_SAFE_NO_PAD.encode(json)
        });
        Ok(FilterLogEventsResponse { events: Some(events), next_token, searched_log_streams: Some(Vec::new()) })
    }
}

fn parse_token(token: &str) -> Result<Token, WireError> {
    let wrong = || invalid("The specified nextToken is invalid.");
    let json = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
    serde_json::from_slice(&json).map_err(|_| wrong())
}

fn merge(
    streams: Vec<(String, PathBuf)>,
    token: Option<Token>,
    search: &Search,
) -> io::Result<(Vec<FilteredLogEvent>, Option<Token>)> {
    let mut cursors: Vec<Cursor> = Vec::new();
    let mut order = BinaryHeap::new();
    let token = token.unwrap_or(Token { time: i64::MIN, ..Token::default() });
    for (name, path) in streams {
        let open = token.open.iter().find(|(known, _)| *known == name).map(|(_, next)| *next);
        let mut cursor = Cursor { name, path, next: open.unwrap_or(0), ahead: Vec::new() };
        let Some(time) = cursor.peek()?.map(|line| line.time) else { continue };
        // A stream that began before the last event and is not open any more is at its end.
        if open.is_none() && (time, cursor.name.as_str()) <= (token.time, token.stream.as_str()) {
            continue;
        }
        order.push(Reverse((time, cursor.name.clone(), cursors.len())));
        cursors.push(cursor);
    }

    let (mut events, mut weight, mut scanned) = (Vec::new(), 0, 0);
    let (mut time, mut stream) = (token.time, token.stream);
    let mut begun: Vec<bool> =
        cursors.iter().map(|cursor| token.open.iter().any(|(name, _)| *name == cursor.name)).collect();
    while let Some(Reverse((_, _, index))) = order.pop() {
        let cursor = &mut cursors[index];
        let Some(line) = cursor.ahead.pop() else { continue };
        let wanted =
            (search.start_time..=search.end_time).contains(&line.time) && search.pattern.matches(&line.message);
        let full = wanted && (events.len() >= search.limit || weight + line.weight() > PAGE_BYTES_MAX);
        if (full && !events.is_empty()) || scanned > SCAN_BYTES_MAX {
            cursor.ahead.push(line);
            let mut open = Vec::new();
            for (cursor, begun) in cursors.iter_mut().zip(&begun) {
                if *begun && cursor.peek()?.is_some() {
                    open.push((cursor.name.clone(), cursor.position()));
                }
            }
            return Ok((events, Some(Token { time, stream, open })));
        }
        begun[index] = true;
        scanned += line.end - line.start;
        (time, stream) = (line.time, cursor.name.clone());
        if wanted {
            weight += line.weight();
            events.push(FilteredLogEvent {
                event_id: Some(event_id(&cursor.name, &line)),
                ingestion_time: Some(line.ingested),
                log_stream_name: Some(cursor.name.clone()),
                message: Some(line.message),
                timestamp: Some(line.time),
            });
        }
        let name = cursor.name.clone();
        if let Some(next) = cursor.peek()? {
            order.push(Reverse((next.time, name, index)));
        }
    }
    Ok((events, None))
}

/// 56 digits, the same for the same event and ascending with time.
fn event_id(stream: &str, line: &Line) -> String {
    let digest = Sha256::digest(format!("{stream}\n{}", line.start));
    let unique = digest.iter().take(15).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    format!("{:020}{unique:036}", line.time.max(0))
}
