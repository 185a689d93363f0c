//! Reads the central directory a second time, by hand, for what the zip library does not tell: how many entries are
//! promised before it allocates them, and whether two of them have one name (it keeps the last one silently).

use std::collections::HashSet;
use std::io::{self, Read, Seek, SeekFrom};

const END_SIGNATURE: [u8; 4] = *b"PK\x05\x06";
const END_BYTES: usize = 22;
const COMMENT_BYTES_MAX: u64 = 0xFFFF;
const LOCATOR_SIGNATURE: [u8; 4] = *b"PK\x06\x07";
const LOCATOR_BYTES: usize = 20;
const END64_SIGNATURE: [u8; 4] = *b"PK\x06\x06";
const END64_BYTES: usize = 56;
const HEADER_SIGNATURE: [u8; 4] = *b"PK\x01\x02";
const HEADER_BYTES: usize = 46;

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    if let Some(b) = bytes.get(at..at + 8) {
        value.copy_from_slice(b);
    }
    u64::from_le_bytes(value)
}

/// How many entries the end record promises; None where there is no end record, so no zip.
pub fn promised_entries(reader: &mut (impl Read + Seek), length: u64) -> io::Result<Option<u64>> {
    let tail_bytes = length.min(END_BYTES as u64 + COMMENT_BYTES_MAX + LOCATOR_BYTES as u64);
    let tail_start = length - tail_bytes;
    reader.seek(SeekFrom::Start(tail_start))?;
    let mut tail = Vec::new();
    reader.take(tail_bytes).read_to_end(&mut tail)?;
    let Some(end) = (0..=tail.len().saturating_sub(END_BYTES)).rev().find(|at| tail[*at..].starts_with(&END_SIGNATURE))
    else {
        return Ok(None);
    };
    let count = u16_at(&tail, end + 10);
    if count < u16::MAX {
        return Ok(Some(u64::from(count)));
    }
    let locator = end.checked_sub(LOCATOR_BYTES).map(|at| &tail[at..end]);
    let Some(locator) = locator.filter(|l| l.starts_with(&LOCATOR_SIGNATURE)) else {
        return Ok(Some(u64::from(count)));
    };
    reader.seek(SeekFrom::Start(u64_at(locator, 8).min(length)))?;
    let mut end64 = Vec::new();
    reader.take(END64_BYTES as u64).read_to_end(&mut end64)?;
    if !end64.starts_with(&END64_SIGNATURE) {
        return Ok(Some(u64::from(count)));
    }
    Ok(Some(u64_at(&end64, 32)))
}

/// Two entries of one name in the directory that starts at `start` and that a reader found to hold `distinct` names;
/// the name as far as it is text.
pub fn duplicate(reader: &mut (impl Read + Seek), start: u64, distinct: usize) -> io::Result<Option<String>> {
    reader.seek(SeekFrom::Start(start))?;
    let mut seen: HashSet<Vec<u8>> = HashSet::with_capacity(distinct);
    let mut headers = 0;
    let mut last = Vec::new();
    loop {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        reader.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut header)?;
        if header.len() < HEADER_BYTES || !header.starts_with(&HEADER_SIGNATURE) {
            break;
        }
        let (name_bytes, rest) = (u16_at(&header, 28), i64::from(u16_at(&header, 30)) + i64::from(u16_at(&header, 32)));
        let mut name = Vec::with_capacity(usize::from(name_bytes));
        reader.by_ref().take(u64::from(name_bytes)).read_to_end(&mut name)?;
        reader.seek(SeekFrom::Current(rest))?;
        headers += 1;
        if seen.contains(&name) {
            return Ok(Some(String::from_utf8_lossy(&name).into_owned()));
        }
        last.clone_from(&name);
        seen.insert(name);
    }
    // Distinct bytes can still be one text, in two encodings.
    Ok((headers > distinct).then(|| String::from_utf8_lossy(&last).into_owned()))
}
