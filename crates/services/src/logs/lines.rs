//! Files of JSON lines, read from any byte position in both directions while another process appends. A last line without
//! its line feed is not there yet. Blocking.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The longest message (CloudWatch Logs' 256 KiB) after the worst that JSON escaping does to it.
const LINE_BYTES_MAX: usize = 256 * 1024 * 6 + 256;
const BLOCK_BYTES: u64 = 64 * 1024;

#[derive(Debug, Serialize, Deserialize)]
pub struct StoredLine {
    pub time: i64,
    pub message: String,
    /// When it was taken in; absent in a build's log, where both are one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingested: Option<i64>,
}

/// A line and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub start: u64,
    pub end: u64,
    pub time: i64,
    pub ingested: i64,
    pub message: String,
}

impl Line {
    /// What it counts towards a page, as CloudWatch Logs counts.
    pub fn weight(&self) -> usize {
        self.message.len() + 26
    }

    fn parse(start: u64, bytes: &[u8]) -> Option<Self> {
        // A disk that was full for a moment can leave half a line in the middle of a file; it is passed over.
        let stored: StoredLine = serde_json::from_slice(bytes).ok()?;
        Some(Self {
            start,
            end: start + bytes.len() as u64 + 1,
            time: stored.time,
            ingested: stored.ingested.unwrap_or(stored.time),
            message: stored.message,
        })
    }
}

/// Visits lines from `from` on until `visit` breaks or the file ends. Answers the position after the last visited line;
/// a line that `visit` breaks at counts as not visited.
pub fn forward(path: &Path, from: u64, mut visit: impl FnMut(Line) -> ControlFlow<()>) -> io::Result<u64> {
    let Some(mut file) = open(path)? else { return Ok(from) };
    if from >= file.metadata()?.len() {
        return Ok(from.min(file.metadata()?.len()));
    }
    file.seek(SeekFrom::Start(from))?;
    let mut reader = BufReader::with_capacity(64 * 1024, file);
    let (mut position, mut bytes) = (from, Vec::new());
    loop {
        bytes.clear();
        let read = reader.by_ref().take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut bytes)?;
        if bytes.last() != Some(&b'\n') {
            if read < LINE_BYTES_MAX {
                return Ok(position);
            }
            // No line of ours is that long: pass over it piece by piece.
            position += read as u64;
            continue;
        }
        if let Some(line) = Line::parse(position, &bytes[..read - 1])
            && visit(line).is_break()
        {
            return Ok(position);
        }
        position += read as u64;
    }
}

/// Visits lines that end at or before `before`, last first, until `visit` breaks or the file begins. Answers the start of
/// the last visited line, and the end of the first.
pub fn backward(path: &Path, before: u64, mut visit: impl FnMut(Line) -> ControlFlow<()>) -> io::Result<(u64, u64)> {
    let Some(mut file) = open(path)? else { return Ok((0, 0)) };
    let mut position = before.min(file.metadata()?.len());
    let mut tail: Vec<u8> = Vec::new();
    let mut edges: Option<(u64, u64)> = None;
    loop {
        // Everything after the first line feed in `tail` (which starts at `position`) is whole lines.
        while let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') {
            let before_it = tail[..end].iter().rposition(|byte| *byte == b'\n');
            let start = match before_it {
                Some(feed) => feed + 1,
                None if position == 0 => 0,
                None => break,
            };
            let (at, after) = (position + start as u64, position + end as u64 + 1);
            let (first, last) = edges.unwrap_or((after, after));
            if let Some(line) = Line::parse(at, &tail[start..end])
                && visit(line).is_break()
            {
                return Ok((first, last));
            }
            edges = Some((at, last));
            tail.truncate(start);
        }
        if position == 0 {
            return Ok(edges.map_or((0, 0), |(_, last)| (0, last)));
        }
        if tail.len() > LINE_BYTES_MAX {
            // Not a line of ours; keep only the line feed that ends it.
            tail.clear();
        }
        let size = BLOCK_BYTES.min(position);
        position -= size;
        file.seek(SeekFrom::Start(position))?;
        let mut block = vec![0; usize::try_from(size).unwrap_or(0)];
        file.read_exact(&mut block)?;
        block.extend_from_slice(&tail);
        tail = block;
    }
}

pub fn first(path: &Path) -> io::Result<Option<Line>> {
    let mut found = None;
    forward(path, 0, |line| {
        found = Some(line);
        ControlFlow::Break(())
    })?;
    Ok(found)
}

pub fn last(path: &Path) -> io::Result<Option<Line>> {
    let mut found = None;
    backward(path, u64::MAX, |line| {
        found = Some(line);
        ControlFlow::Break(())
    })?;
    Ok(found)
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(lines: &[&str], unfinished: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut text = String::new();
        for (index, message) in lines.iter().enumerate() {
            text.push_str(&serde_json::json!({"time": index, "message": message}).to_string());
            text.push('\n');
        }
        text.push_str(unfinished);
        std::fs::write(file.path(), text).expect("written");
        file
    }

    fn messages(visit: impl FnOnce(&mut dyn FnMut(Line) -> ControlFlow<()>)) -> Vec<String> {
        let mut found = Vec::new();
        visit(&mut |line: Line| {
            found.push(line.message);
            ControlFlow::Continue(())
        });
        found
    }

    #[test]
    fn both_directions_see_whole_lines_only() {
        let long = "x".repeat(200_000);
        let file = write(&["a", &long, "c"], "{\"time\":9,\"mess");
        let seen = messages(|each| {
            forward(file.path(), 0, each).expect("read");
        });
        assert_eq!(seen, ["a", long.as_str(), "c"]);
        let mut edges = (0, 0);
        let seen = messages(|each| edges = backward(file.path(), u64::MAX, each).expect("read"));
        assert_eq!(seen, ["c", long.as_str(), "a"]);
        let whole = std::fs::metadata(file.path()).expect("metadata").len() - 15;
        assert_eq!(edges, (0, whole), "the unfinished line is not there");
    }

    #[test]
    fn positions_continue_where_a_visit_broke_off() {
        let file = write(&["a", "b", "c", "d"], "");
        let mut taken = Vec::new();
        let mut take_two = |line: Line| {
            if taken.len() % 3 == 2 {
                taken.push(String::new());
                return ControlFlow::Break(());
            }
            taken.push(line.message);
            ControlFlow::Continue(())
        };
        let next = forward(file.path(), 0, &mut take_two).expect("read");
        forward(file.path(), next, &mut take_two).expect("read");
        assert_eq!(taken, ["a", "b", "", "c", "d"]);
        let (first, _) = backward(file.path(), next, |_| ControlFlow::Continue(())).expect("read");
        assert_eq!(first, 0);
        assert_eq!(
            forward(file.path(), 10_000, |_| ControlFlow::Continue(())).expect("read"),
            file.path().metadata().expect("metadata").len()
        );
    }

    #[test]
    fn a_broken_line_is_passed_over_and_a_missing_file_is_empty() {
        let file = write(&["a"], "not json\n{\"time\":5,\"message\":\"b\"}\n");
        assert_eq!(first(file.path()).expect("read").map(|line| line.message), Some("a".to_owned()));
        assert_eq!(last(file.path()).expect("read").map(|line| line.time), Some(5));
        let seen = messages(|each| {
            backward(file.path(), u64::MAX, each).expect("read");
        });
        assert_eq!(seen, ["b", "a"]);
        assert_eq!(last(Path::new("/nonexistent/log.jsonl")).expect("empty"), None);
    }
}
