//! The build's log: CodeBuild's own lines and the commands' output, masked, one JSON object a line, written as it
//! happens. A full disk ends the log, never the build. Must not decide what is worth logging.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::handle::LogLine;
use crate::limits::{LOG_LINE_BYTES_MAX, LOG_OUTPUT_BYTES_MAX, OUTPUT_CHUNK_BYTES};
use crate::runner::mask::Masks;

/// The time is an argument: what `SystemTime::now` would answer.
pub type Clock = fn() -> SystemTime;

pub(crate) struct BuildLog {
    file: File,
    pub now: Clock,
    pub masks: Masks,
    /// Output of a line that has not ended yet.
    partial: Vec<u8>,
    /// Lines encoded and not yet written.
    batch: Vec<u8>,
    output_bytes: u64,
    /// The last line a command printed: the reason, where a sandbox fails to start.
    pub last_output: String,
}

pub(crate) fn epoch_ms(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl BuildLog {
    pub fn create(path: &Path, now: Clock) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        Ok(Self {
            file,
            now,
            masks: Masks::default(),
            partial: Vec::new(),
            batch: Vec::new(),
            output_bytes: 0,
            last_output: String::new(),
        })
    }

    pub fn now_ms(&self) -> u64 {
        epoch_ms((self.now)())
    }

    /// One of CodeBuild's own lines.
    pub fn line(&mut self, text: &str) {
        self.end_output();
        let now = (self.now)();
        let message = container_line(now, &self.masks.text(text));
        self.push(epoch_ms(now), message);
    }

    /// What a command printed, as it came.
    pub fn output(&mut self, bytes: &[u8]) {
        let before = self.output_bytes;
        self.output_bytes = before.saturating_add(bytes.len() as u64);
        if before > LOG_OUTPUT_BYTES_MAX {
            return;
        }
        let now = epoch_ms((self.now)());
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if self.partial.last() == Some(&b'\n') {
                self.end_line(now);
            } else if self.partial.len() > LOG_LINE_BYTES_MAX {
                let cut = self.masks.safe_cut(&self.partial).clamp(1, LOG_LINE_BYTES_MAX);
                let rest = self.partial.split_off(cut);
                self.end_line(now);
                self.partial = rest;
            }
        }
        if self.output_bytes > LOG_OUTPUT_BYTES_MAX {
            self.end_output();
            self.push(now, format!("[Container] The commands printed more than {LOG_OUTPUT_BYTES_MAX} bytes; further output is not kept"));
        }
        self.flush();
    }

    /// Ends a line that the command left open.
    pub fn end_output(&mut self) {
        if !self.partial.is_empty() {
            let now = self.now_ms();
            self.end_line(now);
        }
    }

    /// The empty line after each command's output.
    pub fn blank(&mut self) {
        self.end_output();
        let now = self.now_ms();
        self.push(now, String::new());
    }

    fn end_line(&mut self, now: u64) {
        let mut line = std::mem::take(&mut self.partial);
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let masked = self.masks.bytes(&line);
        self.last_output = String::from_utf8_lossy(&masked).into_owned();
        self.push(now, self.last_output.clone());
        line.clear();
        self.partial = line;
    }

    fn push(&mut self, time: u64, mut message: String) {
        if message.len() > LOG_LINE_BYTES_MAX {
            let mut cut = LOG_LINE_BYTES_MAX;
            while !message.is_char_boundary(cut) {
                cut -= 1;
            }
            message.truncate(cut);
        }
        message.push('\n');
        // Numbers and strings always have a JSON form.
        if let Ok(json) = serde_json::to_vec(&LogLine { time, message }) {
            self.batch.extend_from_slice(&json);
            self.batch.push(b'\n');
        }
        if self.batch.len() > OUTPUT_CHUNK_BYTES {
            self.flush();
        }
    }

    /// Shows what has gathered: before every wait, and before the status says what the log must show already.
    pub fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        // A full disk must not end the build; readers skip a line that is cut short.
        let _ = self.file.write_all(&self.batch);
        self.batch.clear();
    }
}

/// One of CodeBuild's own lines, without its line feed: `[Container] 2024/04/21 21:06:52.675129 Entering phase BUILD`.
pub fn container_line(now: SystemTime, text: &str) -> String {
    format!("[Container] {} {text}", stamp(now))
}

fn stamp(now: SystemTime) -> String {
    match jiff::Timestamp::try_from(now) {
        Ok(timestamp) => timestamp.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y/%m/%d %H:%M:%S.%6f").to_string(),
        Err(_) => "0000/00/00 00:00:00.000000".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn noon() -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(1_713_733_612_675_129)
    }

    fn logged(write: impl FnOnce(&mut BuildLog)) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = BuildLog::create(&path, noon).unwrap();
        write(&mut log);
        log.flush();
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str::<LogLine>(line).unwrap())
            .map(|line| {
                assert_eq!(line.time, 1_713_733_612_675);
                line.message
            })
            .collect()
    }

    #[test]
    fn own_lines_carry_the_time_and_output_does_not() {
        let lines = logged(|log| {
            log.line("Entering phase BUILD");
            log.output(b"one\ntw");
            log.output(b"o\r\nthree");
            log.blank();
            log.line("Phase context status code:  Message: ");
        });
        assert_eq!(
            lines,
            [
                "[Container] 2024/04/21 21:06:52.675129 Entering phase BUILD\n",
                "one\n",
                "two\n",
                "three\n",
                "\n",
                "[Container] 2024/04/21 21:06:52.675129 Phase context status code:  Message: \n",
            ]
        );
    }

    #[test]
    fn masks_across_chunks_and_splits_endless_lines() {
        let lines = logged(|log| {
            log.masks = Masks::new(["s3cret"].into_iter());
            log.output(b"the s3c");
            log.output(b"ret is out\n");
            log.output(&b"x".repeat(LOG_LINE_BYTES_MAX + 10));
            log.end_output();
            log.line("Running command echo s3cret");
        });
        assert_eq!(lines[0], "the *** is out\n");
        assert_eq!(lines[1].len() + lines[2].len(), LOG_LINE_BYTES_MAX + 10 + 2);
        assert!(lines[1].len() <= LOG_LINE_BYTES_MAX + 1);
        assert!(lines[3].ends_with("Running command echo ***\n"));
    }

    #[test]
    fn stops_keeping_output_at_the_limit() {
        let lines = logged(|log| {
            log.output_bytes = LOG_OUTPUT_BYTES_MAX - 1;
            log.output(b"last\n");
            log.output(b"never\n");
            log.line("Phase complete");
        });
        assert_eq!(lines[0], "last\n");
        assert!(lines[1].contains("further output is not kept"), "{}", lines[1]);
        assert!(lines[2].contains("Phase complete"));
        assert_eq!(lines.len(), 3);
    }
}
