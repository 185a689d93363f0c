//! What a process prints, as lines of its log stream, and the last of it for `LogType: Tail`. One file of JSON lines, as the
//! log service reads it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use towpath_model::time::Timestamp;

use crate::lambda::limits::{LOG_LINE_BYTES_MAX, LOG_TAIL_BYTES};
use crate::logs::lines::StoredLine;

pub(super) struct RunLog {
    /// None where the execution role may not write logs: the function runs, its log is nowhere.
    file: Option<File>,
    tail: VecDeque<u8>,
    /// A line that has no end yet.
    open: Vec<u8>,
}

impl RunLog {
    pub fn new(path: Option<&Path>) -> io::Result<Self> {
        let file = path
            .map(|path| {
                if let Some(parent) = path.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)
            })
            .transpose()?;
        Ok(Self { file, tail: VecDeque::new(), open: Vec::new() })
    }

    /// What the process printed.
    pub fn output(&mut self, mut bytes: &[u8], now: Timestamp) {
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let room = LOG_LINE_BYTES_MAX - self.open.len();
            let take = end.map_or(bytes.len(), |end| end + 1).min(room);
            self.open.extend_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            if self.open.ends_with(b"\n") || self.open.len() >= LOG_LINE_BYTES_MAX {
                self.flush(now);
            }
        }
    }

    /// A line of ours; what the process left unfinished comes before it.
    pub fn line(&mut self, line: &str, now: Timestamp) {
        if !self.open.is_empty() {
            self.flush(now);
        }
        self.open.extend_from_slice(line.as_bytes());
        self.open.push(b'\n');
        self.flush(now);
    }

    fn flush(&mut self, now: Timestamp) {
        let bytes = std::mem::take(&mut self.open);
        self.tail.extend(&bytes);
        let excess = self.tail.len().saturating_sub(LOG_TAIL_BYTES);
        self.tail.drain(..excess);
        let Some(file) = &mut self.file else { return };
        let message = String::from_utf8_lossy(&bytes).into_owned();
        let line = StoredLine { time: now.millis(), message, ingested: None };
        let written = serde_json::to_vec(&line).map_err(io::Error::from).and_then(|mut text| {
            text.push(b'\n');
            file.write_all(&text)
        });
        if let Err(error) = written {
            // A log that cannot be written must not end the function.
            tracing::warn!(%error, "a line of a function's log is lost");
        }
    }

    /// Forgets what earlier invocations printed.
    pub fn begin(&mut self) {
        self.tail.clear();
    }

    /// The last 4 KB since [`RunLog::begin`].
    pub fn tail(&mut self) -> Vec<u8> {
        self.tail.make_contiguous().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use towpath_model::time::Timestamp;

    use super::RunLog;

    #[test]
    fn output_becomes_lines_and_a_tail() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("logs/stream.jsonl");
        let now = Timestamp::from_millis(5);
        let mut log = RunLog::new(Some(&path)).expect("writable");
        log.output(b"one\ntw", now);
        log.output(b"o\nhalf", now);
        log.line("END", now);
        let text = std::fs::read_to_string(&path).expect("written");
        let messages: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["message"].to_string())
            .collect();
        assert_eq!(messages, [r#""one\n""#, r#""two\n""#, r#""half""#, r#""END\n""#]);
        assert_eq!(log.tail(), b"one\ntwo\nhalfEND\n");
        log.begin();
        log.output(&[b'x'; 5_000], now);
        log.line("", now);
        assert_eq!(log.tail().len(), 4_096);
    }
}
