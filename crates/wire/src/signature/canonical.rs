//! The canonical request: the bytes that both sides hash. Written into one buffer; no cryptography here.

use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode, percent_encode_byte};

use super::Parsed;
use crate::error::Dialect;

/// Everything but `A-Z a-z 0-9 - . _ ~`.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &STRICT.remove(b'/');

/// Where clients differ in what they sign, and only the signature tells which way this one went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub plus: Plus,
    /// S3 only: the path as it was sent, not decoded and encoded again. Some SDKs sign `+` or `%2F` as they send them.
    pub path_as_sent: bool,
}

/// What a raw `+` in a query stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plus {
    Literal,
    Space,
}

/// The readings that a request allows, the usual one first. Nearly every request allows only one.
pub fn readings(parsed: &Parsed<'_>, parts: &Parts) -> impl Iterator<Item = Reading> {
    let plus_is_open = parts.uri.query().is_some_and(|query| query.contains('+'));
    let path_is_open =
        parsed.dialect() == Dialect::S3 && parts.uri.path().bytes().any(|b| !is_unreserved(b) && b != b'/');
    [(Plus::Literal, false), (Plus::Literal, true), (Plus::Space, false), (Plus::Space, true)]
        .into_iter()
        .filter(move |(plus, path_as_sent)| (plus_is_open || *plus == Plus::Literal) && (path_is_open || !path_as_sent))
        .map(|(plus, path_as_sent)| Reading { plus, path_as_sent })
}

/// Replaces the contents of `out` with the canonical request.
pub fn write(out: &mut Vec<u8>, parsed: &Parsed<'_>, parts: &Parts, payload_hash: &str, reading: Reading) {
    out.clear();
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b'\n');
    match (parsed.dialect(), reading.path_as_sent) {
        (Dialect::S3, true) => out.extend_from_slice(parts.uri.path().as_bytes()),
        (dialect, _) => write_path(out, parts.uri.path(), dialect == Dialect::S3),
    }
    out.push(b'\n');
    if let Some(query) = parts.uri.query() {
        write_query(out, query, parsed.is_presigned(), reading.plus);
    }
    out.push(b'\n');
    for name in parsed.signed_headers.split(';') {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        write_header(out, parts, name);
        out.push(b'\n');
    }
    out.push(b'\n');
    out.extend_from_slice(parsed.signed_headers.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(payload_hash.as_bytes());
}

fn write_path(out: &mut Vec<u8>, path: &str, is_s3: bool) {
    if path.is_empty() || path == "/" {
        out.push(b'/');
        return;
    }
    if is_s3 {
        // Keys are bytes: no normalisation. Decoding first makes a client that sends `$` or `(` raw agree with one that escapes.
        for byte in percent_decode(path.as_bytes()) {
            if byte == b'/' || is_unreserved(byte) {
                out.push(byte);
            } else {
                out.extend_from_slice(percent_encode_byte(byte).as_bytes());
            }
        }
        return;
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut is_directory = false;
    for segment in path.split('/') {
        is_directory = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    for segment in &kept {
        out.push(b'/');
        percent_encode(segment.as_bytes(), PATH).for_each(|chunk| out.extend_from_slice(chunk.as_bytes()));
    }
    if is_directory || kept.is_empty() {
        out.push(b'/');
    }
}

/// The bytes that are never percent-encoded.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn write_query(out: &mut Vec<u8>, query: &str, is_presigned: bool, plus: Plus) {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .filter(|(name, _)| !(is_presigned && *name == "X-Amz-Signature"))
        .map(|(name, value)| (encode_again(name, plus), encode_again(value, plus)))
        .collect();
    pairs.sort_unstable();
    for (i, (name, value)) in pairs.iter().enumerate() {
        if i > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value);
    }
}

fn encode_again(text: &str, plus: Plus) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 8);
    // Each run between raw plus signs is decoded on its own, so that `%2B` stays a plus in either reading.
    for (i, run) in text.as_bytes().split(|b| *b == b'+').enumerate() {
        if i > 0 {
            out.extend_from_slice(match plus {
                Plus::Literal => b"%2B",
                Plus::Space => b"%20",
            });
        }
        for byte in percent_decode(run) {
            if is_unreserved(byte) {
                out.push(byte);
            } else {
                out.extend_from_slice(percent_encode_byte(byte).as_bytes());
            }
        }
    }
    out
}

/// The values of a header joined by commas, each trimmed, runs of spaces made one. A header that is absent is empty, which only
/// matches a client that signed it empty. HTTP/2 carries the host in the URI.
fn write_header(out: &mut Vec<u8>, parts: &Parts, name: &str) {
    let mut values = parts.headers.get_all(name).iter().peekable();
    if values.peek().is_none() && name == "host" {
        if let Some(authority) = parts.uri.authority() {
            out.extend_from_slice(authority.as_str().as_bytes());
        }
        return;
    }
    for (i, value) in values.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        let mut after_space = false;
        for &byte in value.as_bytes().trim_ascii() {
            if byte == b' ' && after_space {
                continue;
            }
            after_space = byte == b' ';
            out.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Plus, write_path, write_query};

    fn path(path: &str, is_s3: bool) -> String {
        let mut out = Vec::new();
        write_path(&mut out, path, is_s3);
        String::from_utf8(out).expect("ASCII")
    }

    fn query(query: &str) -> String {
        let mut out = Vec::new();
        write_query(&mut out, query, true, Plus::Literal);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn paths_are_normalised_and_encoded_twice_except_for_s3() {
        for (raw, expected) in [
            ("", "/"),
            ("/a/../b", "/b"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/./a//b/", "/a/b/"),
            ("/../..", "/"),
            ("/functions/arn%3Aaws", "/functions/arn%253Aaws"),
            ("/a b", "/a%20b"),
        ] {
            assert_eq!(path(raw, false), expected, "{raw}");
        }
        for (raw, expected) in [
            ("", "/"),
            ("//a/../b/./", "//a/../b/./"),
            ("/test$file.text", "/test%24file.text"),
            ("/test%24file.text", "/test%24file.text"),
            ("/a+b%2Bc%20d", "/a%2Bb%2Bc%20d"),
            ("/%C3%A9/100%", "/%C3%A9/100%25"),
        ] {
            assert_eq!(path(raw, true), expected, "{raw}");
        }
    }

    #[test]
    fn queries_are_sorted_by_their_encoded_form() {
        assert_eq!(query("lifecycle"), "lifecycle=");
        assert_eq!(query("b=2&a=1&a=0&X-Amz-Signature=x"), "a=0&a=1&b=2");
        assert_eq!(query("prefix=a%2fb&k=1=2&&x=%7E"), "k=1%3D2&prefix=a%2Fb&x=~");
        assert_eq!(query("a=x+y"), "a=x%2By");
    }
}
